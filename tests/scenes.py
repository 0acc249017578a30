"""Discs and models of the size of NIRSpec's, for tests of synthetic cubes."""

import numpy as np

from pipeline.scene.disc import Disc
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel


def tanh_disc(**changes) -> Disc:
    """The edge-on test disc of reference/cubes.md section 0, smaller so that a field holds it."""
    radii = np.linspace(0, 6, 121)
    values = {
        "x_arcsec": 0.05,
        "y_arcsec": -0.08,
        "pa_deg": 34.0,
        "inclination_deg": 88.0,
        "scale_arcsec": 0.25,
        "height_arcsec": 0.08,
        "v_sys_kms": 20.0,
        "rotation_kms": 180.0 * np.tanh(radii / 0.3),
        "dispersion_kms": np.full(radii.size, 40.0),
        "radius_step_arcsec": radii[1],
    }
    return Disc(**{**values, **changes})


def make_model(n=16, *, oversample=2, pad=4, v_max=1000.0, step=60.0, lines=(1.2893,), channels=24):
    """Channels around the lines, of the size and resolution of NIRSpec G140M."""
    middle = float(np.mean(lines))
    width = 0.000636
    starts = middle + width * (np.arange(channels) - channels / 2)
    return LineModel(
        SkyGrid(n, n, 0.1, oversample, pad),
        VelocityGrid(v_max, step),
        np.stack([starts, starts + width], axis=1),
        np.array(lines),
        np.full(len(lines), 127.0),
    )
