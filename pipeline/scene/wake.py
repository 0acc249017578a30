"""How does the gas behind the body move, and where does it shine?

It keeps its speed until it has cooled, and then shares it with the gas around: Eq 19 of the
published model, v(d) = v_0 exp(-max(0, d - d_delay) / l_mix) at the distance d behind the tip
(reference/science.md section 2.3). The wake lies along a line on the sky and is thin across it.
"""

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.scene.parameters import ParameterRow, require_in_range
from pipeline.scene.points import Points

PARAMETERS: Final = (
    ParameterRow("x_arcsec", "arcsec", -30.0, 30.0, "the tip may lie outside of the field"),
    ParameterRow("y_arcsec", "arcsec", -30.0, 30.0, "the tip may lie outside of the field"),
    ParameterRow("pa_deg", "deg", -360.0, 360.0, "from the wake's end to its tip, +y to -x"),
    ParameterRow("length_kpc", "kpc", 0.1, 100.0, "62 published: science.md section 1"),
    ParameterRow("fade_kpc", "kpc", 2.0, np.inf, "light per length falls by e; inf: it does not"),
    ParameterRow("width_kpc", "kpc", 0.0, 1.0, "across, standard deviation; see `nodes`"),
    ParameterRow("v_start_kms", "km/s", -3000.0, 3000.0, "-301 published: negative approaches"),
    ParameterRow("delay_kpc", "kpc", 0.0, 100.0, "16 published"),
    ParameterRow("mixing_kpc", "kpc", 0.1, np.inf, "26 published"),
    ParameterRow("dispersion_kms", "km/s", 0.0, 300.0, "31 at the tip: science.md section 2.1"),
    ParameterRow("kpc_per_arcsec", "kpc/arcsec", 7.0, 9.0, "7.937 for H0 = 70, Om = 0.3"),
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Wake:
    """A wake; see `PARAMETERS`. Lengths are as projected on the sky."""

    x_arcsec: Any
    y_arcsec: Any
    pa_deg: Any
    length_kpc: Any
    fade_kpc: Any
    width_kpc: Any
    v_start_kms: Any
    delay_kpc: Any
    mixing_kpc: Any
    dispersion_kms: Any
    kpc_per_arcsec: Any


def require_valid(wake: Wake) -> None:
    """Make sure, before anything is compiled, that every parameter is within its range.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    require_in_range(PARAMETERS, wake, "wake")


def speed_behind(wake: Wake, distance_kpc: Any) -> Any:
    """Give the velocity at a distance behind the tip, km/s."""
    mixed = jnp.maximum(0.0, distance_kpc - wake.delay_kpc)
    return wake.v_start_kms * jnp.exp(-mixed / wake.mixing_kpc)


def nodes(wake: Wake, *, along: int = 256, across: int = 17) -> Points:
    """Give the nodes of a wake, each with its places across; its light is 1.

    Parameters
    ----------
    wake : Wake
    along, across : int
        Number of nodes. Under a point-spread function of 0.13 arcsec, 256 and 17 keep voxels of 0.1
        arcsec within 1e-4 of the brightest for the published wake, 5e-4 for the longest. The widest
        wakes are the worst: 2e-3 at 1 kpc and 7.937 kpc to the arcsec, 7e-3 at 7. With 5 nodes
        across, gaps would make it 4 % at 0.7 kpc.
    """
    dtype = jnp.result_type(float)
    steps, shares = np.polynomial.legendre.leggauss(along)
    distance = wake.length_kpc * jnp.asarray(0.5 * (steps + 1.0), dtype)[:, None]
    places, weights = np.polynomial.hermite_e.hermegauss(across)
    aside = wake.width_kpc * jnp.asarray(places, dtype)[None, :]
    light = jnp.exp(-distance / wake.fade_kpc) * jnp.asarray(shares, dtype)[:, None]
    light = light / light.sum() * jnp.asarray(weights / weights.sum(), dtype)[None, :]
    pa = jnp.deg2rad(wake.pa_deg)
    back, side = -distance / wake.kpc_per_arcsec, aside / wake.kpc_per_arcsec
    x = wake.x_arcsec - back * jnp.sin(pa) + side * jnp.cos(pa)
    y = wake.y_arcsec + back * jnp.cos(pa) + side * jnp.sin(pa)
    speed = speed_behind(wake, distance[:, 0])
    width = jnp.broadcast_to(jnp.asarray(wake.dispersion_kms, dtype), (along,))
    return Points(x, y, speed, width, light)
