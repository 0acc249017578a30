"""Where on the grid of a model is the tip, and what do all scenes believe of it before the data?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.infer.families import Family, Normal, Uniform
from pipeline.infer.prior import Parameter, Prior
from pipeline.scene.observed import GAIN_MAX

type Values = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    """Where tip and axis of a target lie on the grid of a model.

    Attributes
    ----------
    x_arcsec, y_arcsec : float
        The declared tip, from the middle of the field.
    angle_deg : float
        From host to tip, from +y over -x.
    kpc_per_arcsec : float
    fwhm_arcsec : tuple of float
        Of the point-spread function, for each group of lines of the model.
    aperture_deg : float, optional
        Along which the aperture lies, and the point-spread function is elongated; from +y over -x.
    """

    x_arcsec: float
    y_arcsec: float
    angle_deg: float
    kpc_per_arcsec: float
    fwhm_arcsec: tuple[float, ...]
    aperture_deg: float | None = None

    def place(self, along_arcsec: Any, across_arcsec: Any) -> tuple[Any, Any]:
        """Give x and y of a place by its distances from the tip: ahead of it, and to its left."""
        angle = np.deg2rad(self.angle_deg)
        sin, cos = float(np.sin(angle)), float(np.cos(angle))
        x = self.x_arcsec - along_arcsec * sin - across_arcsec * cos
        y = self.y_arcsec + along_arcsec * cos - across_arcsec * sin
        return x, y


# Rows of priors that scenes share: name, unit, family, source.
GAIN: Final = (
    "lsf_gain",
    "1",
    Uniform(1.0, GAIN_MAX),
    "resolving power over that before launch: 1 to 24 % above it (Shajib+2025)",
)
ALONG: Final = (
    "along_arcsec",
    "arcsec",
    Normal(0.0, 0.15, -0.5, 0.5),
    "of the end of the light ahead of the target's tip: pointing, 0.1 arcsec, and the bow",
)
ACROSS: Final = (
    "across_arcsec",
    "arcsec",
    Normal(0.0, 0.15, -0.5, 0.5),
    "of the same, to the left of the axis: pointing",
)
TURN: Final = (
    "turn_deg",
    "deg",
    Normal(0.0, 3.0, -15.0, 15.0),
    "of the line against the target's position angle, whose error is 0.3 deg, and which is that "
    "of the whole line; locally it bends by a few degrees",
)
DISPERSION: Final = (
    "dispersion_kms",
    "km/s",
    Uniform(10.0, 150.0),
    "of the gas at one place: 31 at the tip (LRIS), up to that of a blend",
)


def prior_of(*rows: tuple[str, str, Family, str]) -> Prior:
    """Give the prior of a scene: its own rows, and the gain of the resolving power."""
    return Prior(tuple(Parameter(*row) for row in (*rows, GAIN)))
