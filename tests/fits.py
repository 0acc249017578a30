"""A small scene and its posterior, for tests and benchmarks of fits of whole cubes."""

import dataclasses

import numpy as np

from ard.likelihood import LinearPrior, Noise
from pipeline.infer.families import Normal, Uniform
from pipeline.infer.posterior import Posterior, scene_templates
from pipeline.infer.prior import Parameter, Prior
from pipeline.scene import knot
from pipeline.scene.cube import Component, Optics, scene_cube
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel
from pipeline.scene.psf import Gaussian

LINE_UM = 1.2893


def small_model(n=8, channels=16) -> LineModel:
    """One line, in channels of NIRSpec's G140M."""
    width = 0.000636
    starts = LINE_UM + width * (np.arange(channels) - channels / 2)
    return LineModel(
        SkyGrid(n, n, 0.1, 2, 2),
        VelocityGrid(600.0, 65.0),
        np.stack([starts, starts + width], axis=1),
        np.array([LINE_UM]),
        np.array([127.0]),
    )


def knot_prior() -> Prior:
    return Prior((
        Parameter("x_arcsec", "arcsec", Uniform(-0.3, 0.3)),
        Parameter("y_arcsec", "arcsec", Normal(0.0, 0.1, -0.3, 0.3)),
        Parameter("speed_kms", "km/s", Normal(0.0, 80.0, -200.0, 200.0)),
        Parameter("dispersion_kms", "km/s", Uniform(20.0, 120.0)),
    ))  # fmt: skip


def build_knot(values):
    blob = knot.Knot(values["x_arcsec"], values["y_arcsec"], 0.06, values["speed_kms"],
                     values["dispersion_kms"])  # fmt: skip
    return Optics((Gaussian.round(0.15),)), (Component((knot.nodes(blob, side=7),)),)


def knot_posterior(data=None, *, sigma=0.05, flux=8.0, mask=None, **more) -> Posterior:
    """The posterior of a knot whose flux is not known; flux 8 is seen at 20 sigma or so."""
    model = small_model()
    shape = (len(model.wave_edges), model.sky.ny, model.sky.nx)
    masked = np.zeros(shape, bool) if mask is None else mask
    return Posterior(
        knot_prior(),
        scene_templates(model, build_knot),
        np.zeros(shape) if data is None else data,
        Noise(np.full(shape, sigma), masked),
        LinearPrior(np.array([flux]), np.array([0.5 * flux])),
        **more,
    )


def knot_cube(values, flux):
    optics, (one,) = build_knot(values)
    lit = dataclasses.replace(one, amplitudes=np.atleast_1d(flux))
    return np.asarray(scene_cube(small_model(), optics, (lit,)), np.float64)
