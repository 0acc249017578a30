"""What does a knot of ionised gas look like: a point, or a round blob that moves as one?

The other rival at the tip is an H II region. Its light falls as a round Gaussian.
"""

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.scene.parameters import ParameterRow, require_in_range
from pipeline.scene.points import Points

PARAMETERS: Final = (
    ParameterRow("x_arcsec", "arcsec", -30.0, 30.0, "the knot may lie outside of the field"),
    ParameterRow("y_arcsec", "arcsec", -30.0, 30.0, "the knot may lie outside of the field"),
    ParameterRow("size_arcsec", "arcsec", 0.0, 0.2, "standard deviation; 0 is a point; to 1.6 kpc"),
    ParameterRow("speed_kms", "km/s", -1000.0, 1000.0, "relative to the declared redshift"),
    ParameterRow("dispersion_kms", "km/s", 0.0, 300.0, "31 at the tip: science.md section 2.1"),
)
_REACH: Final = 4.0  # standard deviations; 1e-4 of the light lies beyond, on either axis


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Knot:
    """A knot; see `PARAMETERS`.

    Of size 0 it is a point, exactly; `points.single` gives the same with one place.
    """

    x_arcsec: Any
    y_arcsec: Any
    size_arcsec: Any
    speed_kms: Any
    dispersion_kms: Any


def require_valid(knot: Knot) -> None:
    """Make sure, before anything is compiled, that every parameter is within its range.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    require_in_range(PARAMETERS, knot, "knot")


def nodes(knot: Knot, *, side: int = 21) -> Points:
    """Give a knot as one node of many places; its light is 1.

    Parameters
    ----------
    knot : Knot
    side : int
        Number of places along x, and along y. They lie in equal steps: 21 keep pixels of 0.1 arcsec
        under a point-spread function of 0.13 arcsec within 6e-5 of the brightest up to a size of
        0.16 arcsec, and 2e-4 at 0.2. As many of Gauss and Hermite's are wrong by 8 % there: their
        outermost lie where there is no light.
    """
    dtype = jnp.result_type(float)
    places = np.linspace(-_REACH, _REACH, side)
    weights = np.exp(-0.5 * places**2)
    weights = weights / weights.sum()
    aside, up = (
        knot.size_arcsec * jnp.asarray(grid.reshape(1, -1), dtype)
        for grid in np.meshgrid(places, places)
    )
    light = jnp.asarray(np.outer(weights, weights).reshape(1, -1), dtype)
    speed, width = (
        jnp.asarray(value, dtype).reshape(1) for value in (knot.speed_kms, knot.dispersion_kms)
    )
    return Points(knot.x_arcsec + aside, knot.y_arcsec + up, speed, width, light)
