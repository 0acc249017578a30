"""Galaxies and curves for tests of falsification, one of them that of the tiny cube of a disc."""

import numpy as np
from small_fit import DISC_TRUTH

from pipeline.falsify.cube.likelihood import Settings
from pipeline.falsify.cube.view import Grids
from pipeline.falsify.tasks import N_RADIUS, Curve, Model

SETTINGS = Settings(grids=Grids(pad=4, depths=8, v_max_kms=900.0), n_together=2)
_EDGE_ARCSEC = 0.1  # as in pipeline.infer.scenes


def curve_of(v_max_kms=110.0, turn_kpc=4.0, r_max_kpc=22.0, r_d_kpc=7.0, dispersion_kms=40.0):
    """Give a curve that rises as a tanh, of an exponential disc that ends."""
    radius = np.linspace(0.0, r_max_kpc, N_RADIUS)
    return Curve(
        radius,
        v_max_kms * np.tanh(radius / turn_kpc),
        np.full(N_RADIUS, dispersion_kms),
        np.exp(-radius / r_d_kpc),
    )


def galaxy_at(likelihood, *, number=0, ahead_kpc=0.0, radius_kpc=22.0, **more):
    """Give a galaxy that ends at the tip, or ahead of it."""
    tip = likelihood.away_arcsec * likelihood.seen.frame.kpc_per_arcsec
    place = {"centre_kpc": tip + ahead_kpc - radius_kpc, "offset_kpc": 0.0, "spin": -1.0}
    return Model(number, {**place, "inclination_deg": 90.0, "h_z_kpc": 0.8, **more})


def true_disc(likelihood):
    """Give the disc of `DISC_TRUTH`, whose tip is 0.05 arcsec ahead of the declared one."""
    scale, truth = likelihood.seen.frame.kpc_per_arcsec, DISC_TRUTH
    # The light falls as a tanh about its end: tables go on to where nothing is left.
    radius = np.linspace(0.0, truth["radius_arcsec"] + 0.4, N_RADIUS)
    edge = 0.5 * (1.0 - np.tanh((radius - truth["radius_arcsec"]) / _EDGE_ARCSEC))
    curve = Curve(
        radius * scale,
        110.0 * np.tanh(radius / truth["turnover_arcsec"]),
        np.full(N_RADIUS, truth["dispersion_kms"]),
        np.exp(-radius / truth["scale_arcsec"]) * edge,
    )
    model = galaxy_at(
        likelihood,
        radius_kpc=truth["radius_arcsec"] * scale,
        h_z_kpc=truth["height_arcsec"] * scale,
    )
    return model, curve
