"""How does gas move that a supersonic body pushes aside, and where on the sky does it shine?

Frame: the body moves along n = cos i s + sin i o, with s on the sky (from host to tip) and o
towards the observer; azimuth phi about n, 0 towards the observer. A node at depth d behind the
apex and radius R lies on the sky at s = -d cos i - R cos phi sin i, across it at R sin phi; its gas
recedes with -(u_n sin i + u_R cos phi cos i) (reference/science.md section 2.3). Lengths in kpc.

As many nodes as the functions take keep voxels of 0.1 arcsec, under optics of 0.13 arcsec, within
5e-5 of the brightest, for shapes as large as `SHAPES` and `PARAMETERS` allow.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.errors import ArdError
from pipeline.scene.parameters import ParameterRow, require_in_range
from pipeline.scene.points import Points

PARAMETERS: Final = (
    ParameterRow("x_arcsec", "arcsec", -30.0, 30.0, "the tip may lie outside of the field"),
    ParameterRow("y_arcsec", "arcsec", -30.0, 30.0, "the tip may lie outside of the field"),
    ParameterRow("pa_deg", "deg", -360.0, 360.0, "of the motion on the sky, from +y to -x"),
    ParameterRow("inclination_deg", "deg", 0.0, 90.0, "out of the plane of the sky, approaching"),
    ParameterRow("v_star_kms", "km/s", 0.0, 3000.0, "954 published: science.md section 2.1"),
    ParameterRow("compression", "1", 1.0, np.inf, "chi; 4 for a strong adiabatic shock"),
    ParameterRow("v_sys_kms", "km/s", -1000.0, 1000.0, "relative to the declared redshift"),
    ParameterRow("dispersion_kms", "km/s", 0.0, 300.0, "of the gas at one place"),
    ParameterRow("kpc_per_arcsec", "kpc/arcsec", 7.0, 9.0, "7.937 for H0 = 70, Om = 0.3"),
)

SHAPES: Final = {
    "ring": (
        ParameterRow("inner_kpc", "kpc", 0.0, 5.0, "1.35 published: science.md section 2.4"),
        ParameterRow("outer_kpc", "kpc", 0.01, 5.0, "1.5 published; above the inner radius"),
        ParameterRow("angle_deg", "deg", 0.0, 90.0, "55 published: of the shock's normal"),
    ),
    "paraboloid": (
        ParameterRow("curvature_kpc", "kpc", 0.05, 5.0, "1.8 published: science.md section 2.1"),
        ParameterRow("depth_kpc", "kpc", 0.05, 10.0, "decides the span: science.md section 2.4"),
    ),
    "thin_shell": (
        ParameterRow("standoff_kpc", "kpc", 0.03, 2.0, "0.6 of the radius of curvature"),
        ParameterRow("wind_ratio", "1", 0.0, 10.0, "body over wind; 0 for a fast wind"),
        ParameterRow("end_deg", "deg", 5.0, 140.0, "polar angle where the shell is cut"),
    ),
}
_NARROW: Final = 0.3  # rad: below it, series of four terms are exact to 1e-8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bow:
    """What all bow shocks have in common; see `PARAMETERS`.

    Attributes
    ----------
    x_arcsec, y_arcsec : scalar
        Place of the apex.
    pa_deg : scalar
        Direction of s, from +y over -x.
    inclination_deg, v_star_kms, compression, v_sys_kms, dispersion_kms, kpc_per_arcsec : scalar
    """

    x_arcsec: Any
    y_arcsec: Any
    pa_deg: Any
    inclination_deg: Any
    v_star_kms: Any
    compression: Any
    v_sys_kms: Any
    dispersion_kms: Any
    kpc_per_arcsec: Any


def require_valid(bow: Bow) -> None:
    """Make sure, before anything is compiled, that every parameter is within its range.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    require_in_range(PARAMETERS, bow, "bow shock")


def require_shape(name: str, **values: float) -> None:
    """Make sure of the same of a shape's own parameters.

    Parameters
    ----------
    name : {"ring", "paraboloid", "thin_shell"}
    **values : float
        The arguments of that function; see `SHAPES`.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    require_in_range(SHAPES[name], SimpleNamespace(**values), name)
    if name == "ring" and not values["inner_kpc"] < values["outer_kpc"]:
        raise ArdError(
            "the ring has no width",
            expected="an inner radius below the outer one",
            found=f"{values['inner_kpc']:g} and {values['outer_kpc']:g} kpc",
            action="correct the radii",
        )


def ring(
    bow: Bow,
    inner_kpc: Any,
    outer_kpc: Any,
    angle_deg: Any,
    *,
    conserving: bool = False,
    nodes: tuple[int, int] = (16, 96),
) -> Points:
    """Give the nodes of a flat ring, or of a filled disc, that expands: the published model.

    Parameters
    ----------
    bow : Bow
    inner_kpc, outer_kpc : scalar
        Radii; an inner one of 0 fills the disc. Light per area is uniform.
    angle_deg : scalar
        Angle between the shock's normal and the motion.
    conserving : bool
        With the factor 1 - 1/chi in the transverse speed that Rankine and Hugoniot ask for; the
        model as quoted lacks it.
    nodes : (int, int)
        In radius and azimuth; an even number of azimuths.
    """
    along, weight = _legendre(nodes[0])
    width = outer_kpc - inner_kpc
    radius = inner_kpc + width * along[:, None]
    phi = _azimuths(nodes[1])[None, :]
    # The width cancels, and must: in float32 the squares of close radii differ by little.
    light = 2.0 * radius * weight[:, None] / (outer_kpc + inner_kpc) / nodes[1]
    theta = jnp.deg2rad(angle_deg)
    slip = 1.0 - 1.0 / bow.compression
    outward = bow.v_star_kms * jnp.sin(theta) * jnp.cos(theta) * (slip if conserving else 1.0)
    forward = bow.v_star_kms * slip
    return _points(bow, 0.0 * radius, radius, phi, light, forward=forward, outward=outward)


def paraboloid(
    bow: Bow, curvature_kpc: Any, depth_kpc: Any, *, nodes: tuple[int, int] = (48, 96)
) -> Points:
    """Give the nodes of a shell R = sqrt(2 R_c d) whose gas is what a shock leaves behind.

    Speed normal to the shell (science.md Eq 13): v* (1 + 2 d / R_c)^-1/2; light per area goes as
    its square.

    Parameters
    ----------
    bow : Bow
    curvature_kpc : scalar
        Radius of curvature of the apex, R_c.
    depth_kpc : scalar
        Where the shell is cut, behind the apex.
    nodes : (int, int)
        Along the shell and in azimuth, there an even number.
    """
    along, weight = _legendre(nodes[0])
    # Equal steps of radius, not of depth: the apex, where all changes fastest, is at radius 0.
    reach = jnp.sqrt(2.0 * curvature_kpc * depth_kpc)
    radius = reach * along[:, None]
    depth = radius**2 / (2.0 * curvature_kpc)
    cosine2 = 1.0 / (1.0 + 2.0 * depth / curvature_kpc)
    area = radius * jnp.sqrt(1.0 + (radius / curvature_kpc) ** 2) * reach * weight[:, None]
    phi = _azimuths(nodes[1])[None, :]
    light = area * cosine2
    light = light / (light.sum() * nodes[1])
    pushed = bow.v_star_kms * (1.0 - 1.0 / bow.compression)
    outward = pushed * jnp.sqrt(cosine2 * (1.0 - cosine2))
    return _points(bow, depth, radius, phi, light, forward=pushed * cosine2, outward=outward)


def thin_shell(
    bow: Bow,
    standoff_kpc: Any,
    wind_ratio: Any,
    end_deg: Any,
    *,
    nodes: tuple[int, int] = (64, 96),
) -> Points:
    """Give the nodes of a cold, momentum-conserving shell (Wilkin 1996).

    Parameters
    ----------
    bow : Bow
        Its compression has no part in this model.
    standoff_kpc : scalar
        R_0, from the body to the apex.
    wind_ratio : scalar
        alpha = v* / V_w, body over wind.
    end_deg : scalar
        Polar angle at the body at which the shell is cut, below 180.
    nodes : (int, int)
        Along the shell and in azimuth, there an even number. Light per area goes as the square of
        the speed normal to the shell.
    """
    along, weight = _legendre(nodes[0])
    theta = jnp.deg2rad(end_deg) * along[:, None]
    sin, cos = jnp.sin(theta), jnp.cos(theta)
    swept, turned = _wilkin(theta)
    distance = standoff_kpc / sin * jnp.sqrt(swept)
    radius, ahead = distance * sin, distance * cos
    below = 2.0 * wind_ratio * (1.0 - cos) + swept
    outward = bow.v_star_kms * turned / below
    forward = bow.v_star_kms * ((sin**2 - swept) / below + 1.0)
    # d(radius), d(ahead) by theta, for the area and the shell's normal.
    stretch = standoff_kpc * 1.5 * turned / sin**2 / jnp.sqrt(swept)
    back = stretch * cos / sin - radius / sin**2
    length = jnp.sqrt(stretch**2 + back**2)
    light = radius * length * weight[:, None] * (stretch / length) ** 2
    phi = _azimuths(nodes[1])[None, :]
    light = light / (light.sum() * nodes[1])
    return _points(bow, standoff_kpc - ahead, radius, phi, light, forward=forward, outward=outward)


def _wilkin(theta: Any) -> tuple[Any, Any]:
    """Give 3 (1 - theta cot theta) and theta - sin theta cos theta, near the apex too.

    There both are small differences of large numbers, and float32 would make them negative.
    """
    wide = jnp.maximum(theta, _NARROW)
    sin, cos = jnp.sin(wide), jnp.cos(wide)
    t2 = jnp.minimum(theta, _NARROW) ** 2
    small = t2 * (1.0 + t2 * (1.0 / 15.0 + t2 * (2.0 / 315.0 + t2 / 1575.0)))
    turn = theta * t2 * (2.0 / 3.0 - t2 * (2.0 / 15.0 - t2 * (4.0 / 315.0 - t2 * 2.0 / 2835.0)))
    near = theta < _NARROW
    swept = jnp.where(near, small, 3.0 * (1.0 - wide * cos / sin))
    return swept, jnp.where(near, turn, wide - sin * cos)


def _legendre(count: int) -> tuple[Any, Any]:
    """Give places in 0 to 1 and weights that sum to 1."""
    places, weights = np.polynomial.legendre.leggauss(count)
    dtype = jnp.result_type(float)
    return jnp.asarray(0.5 * (places + 1.0), dtype), jnp.asarray(0.5 * weights, dtype)


def _azimuths(count: int) -> Any:
    """Give those of one half: the other is its mirror image, and moves alike."""
    half = (np.arange(count // 2) + 0.5) * 2.0 * np.pi / count
    return jnp.asarray(half, jnp.result_type(float))


def _points(
    bow: Bow, depth: Any, radius: Any, phi: Any, light: Any, *, forward: Any, outward: Any
) -> Points:
    """Put nodes on the sky, and their speeds on the line of sight."""
    tilt, pa = jnp.deg2rad(bow.inclination_deg), jnp.deg2rad(bow.pa_deg)
    sin, cos = jnp.sin(tilt), jnp.cos(tilt)
    along = (-depth * cos - radius * jnp.cos(phi) * sin) / bow.kpc_per_arcsec
    across = radius * jnp.sin(phi) / bow.kpc_per_arcsec
    speed = bow.v_sys_kms - (forward * sin + outward * jnp.cos(phi) * cos)
    shape = (*jnp.broadcast_shapes(along.shape, across.shape), 2)
    both = jnp.stack([across, -across], axis=-1)
    x = bow.x_arcsec - along[..., None] * jnp.sin(pa) + both * jnp.cos(pa)
    y = bow.y_arcsec + along[..., None] * jnp.cos(pa) + both * jnp.sin(pa)
    x, y, light = (jnp.broadcast_to(v, shape) for v in (x, y, light[..., None]))
    if speed.shape[0] == 1:  # all radii move alike: they are places of one node
        x, y, light = (jnp.moveaxis(v, 0, 1) for v in (x, y, light))
    speed = speed.ravel()
    x, y, light = (v.reshape(speed.size, -1) for v in (x, y, light))
    return Points(x, y, speed, jnp.broadcast_to(bow.dispersion_kms, speed.shape), light)
