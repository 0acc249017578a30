"""What does a rotating disc of gas look like, at any inclination and of any thickness?

The light falls exponentially with radius, or as a table says, and by one of three laws with height;
rotation curve and dispersion are tables. Depth is summed on nodes that lie dense where the sight
crosses the minor axis: there the speed changes fastest.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.errors import ArdError
from pipeline.scene.grid import FloatArray, SkyGrid
from pipeline.scene.losvd import Samples
from pipeline.scene.parameters import ParameterRow, require_in_range

# Heights, in scale heights, beyond which a law leaves less than 2e-6 of the light. Farther out the
# nodes would be missed where the light is: 32 of them are exact to 3e-5 of the peak.
VERTICAL: Final = {"exponential": 14.0, "sech2": 7.0, "gaussian": 5.0}
_WITHIN: Final = {  # the part within, to which the light of a layer is held
    "exponential": -math.expm1(-VERTICAL["exponential"]),
    "sech2": math.tanh(VERTICAL["sech2"]),
    "gaussian": math.erf(VERTICAL["gaussian"] / math.sqrt(2.0)),
}
_RADII: Final = 18.0  # scale lengths, with 3e-7 of the light beyond
_DENSE: Final = 0.3  # of a scale length: where the nodes are densest (reference/cubes.md 3.4)
_TINY: Final = 1e-4
_ALIASES: Final = 16  # multiples of a frequency that are summed; the last have 1e-3 of the first


PARAMETERS: Final = (
    ParameterRow("x_arcsec", "arcsec", -30.0, 30.0, "the centre may lie outside of the field"),
    ParameterRow("y_arcsec", "arcsec", -30.0, 30.0, "the centre may lie outside of the field"),
    ParameterRow("pa_deg", "deg", -360.0, 360.0, "of the receding side, from +y to -x"),
    ParameterRow("inclination_deg", "deg", 0.0, 90.0, "0 is face-on, 90 edge-on"),
    ParameterRow(
        "scale_arcsec", "arcsec", 0.01, 5.0, "3 to 12 kpc: reference/science.md section 4"
    ),
    ParameterRow("height_arcsec", "arcsec", 0.005, 1.0, "0.2 to 1.2 kpc: the same"),
    ParameterRow("v_sys_kms", "km/s", -1000.0, 1000.0, "relative to the declared redshift"),
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Disc:
    """A disc; see `PARAMETERS` for units and ranges.

    Attributes
    ----------
    x_arcsec, y_arcsec : scalar
        Centre, from the middle of the field.
    pa_deg : scalar
        Direction of the receding half of the major axis, from +y over -x (north over east where
        x grows to the west).
    inclination_deg : scalar
    scale_arcsec, height_arcsec : scalar
        Scale length and height.
    v_sys_kms : scalar
        Velocity of the whole.
    rotation_kms, dispersion_kms : array, shape (n_radius,)
        At radii 0, dr, 2 dr, ...: speed of rotation, standard deviation; flat beyond.
    radius_step_arcsec : scalar
        dr.
    brightness : array, shape (n_radius,), optional
        Light per area, in any unit, at the same radii: linear between, zero beyond the last.
        Without it the light falls exponentially with `scale_arcsec`; with it `scale_arcsec` says
        only how dense the nodes of depth lie.
    """

    x_arcsec: Any
    y_arcsec: Any
    pa_deg: Any
    inclination_deg: Any
    scale_arcsec: Any
    height_arcsec: Any
    v_sys_kms: Any
    rotation_kms: Any
    dispersion_kms: Any
    radius_step_arcsec: Any
    brightness: Any = None


def require_valid(disc: Disc) -> None:
    """Make sure, before anything is compiled, that every parameter is within its range.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    require_in_range(PARAMETERS, disc, "disc")
    rotation, dispersion = np.asarray(disc.rotation_kms), np.asarray(disc.dispersion_kms)
    if rotation.ndim != 1 or rotation.size < 2 or rotation.shape != dispersion.shape:
        found = f"{rotation.shape} and {dispersion.shape}"
        raise _outside("rotation_kms, dispersion_kms", "tables of one length, 2 or more", found)
    if not (np.all(np.isfinite(rotation)) and np.all(np.isfinite(dispersion))):
        raise _outside("rotation_kms, dispersion_kms", "finite numbers", "NaN or infinity")
    if np.any(dispersion < 0.0):
        raise _outside("dispersion_kms", "0 km/s or more", float(dispersion.min()))
    if not 0.0 < float(disc.radius_step_arcsec) < np.inf:
        raise _outside("radius_step_arcsec", "above 0 arcsec", disc.radius_step_arcsec)
    if disc.brightness is not None:
        _require_bright(np.asarray(disc.brightness), rotation.shape)


def _require_bright(brightness: FloatArray, shape: tuple[int, ...]) -> None:
    if brightness.shape != shape:
        raise _outside("brightness", f"a table of shape {shape}", f"shape {brightness.shape}")
    if not (np.all(np.isfinite(brightness)) and np.all(brightness >= 0.0)):
        raise _outside("brightness", "finite numbers, 0 or more", brightness.tolist())
    if not np.any(brightness > 0.0):
        raise _outside("brightness", "light at one radius at least", "none")


def _outside(name: str, expected: str, found: object) -> ArdError:
    problem = f"the disc's {name} is outside of its range"
    return ArdError(problem, expected=expected, found=found, action="correct the parameter")


def coarseness(disc: Disc, cell_arcsec: float, vertical: str = "sech2") -> float:
    """How wrong can the light of a disc be for sub-spaxels of this side, at the most?

    A sum over middles of cells adds, to the integral, the disc's Fourier transform at every
    frequency that is a multiple of one over the cell: much, where a disc lies edge-on along the
    cells and is thinner than they are.

    Parameters
    ----------
    disc : Disc
    cell_arcsec : float
        Side of a sub-spaxel.
    vertical : str
        See `Sampler`.

    Returns
    -------
    float
        Part of the light. For a table of brightness that of the exponential law with its
        `scale_arcsec`: what the table's edge adds is said in `Sampler`.
    """
    pa, tilt = np.deg2rad(float(disc.pa_deg)), np.deg2rad(float(disc.inclination_deg))
    numbers = np.arange(-_ALIASES, _ALIASES + 1) / cell_arcsec
    # Half of all frequencies but zero: the others are their mirror images.
    x, y = (v.ravel()[numbers.size**2 // 2 + 1 :] for v in np.meshgrid(numbers, numbers))
    along, across = -x * np.sin(pa) + y * np.cos(pa), x * np.cos(pa) + y * np.sin(pa)
    plane = along**2 + (across * np.cos(tilt)) ** 2
    light = (1.0 + (2.0 * np.pi * float(disc.scale_arcsec)) ** 2 * plane) ** -1.5
    height = np.abs(across * np.sin(tilt) * float(disc.height_arcsec))
    return float(2.0 * np.sum(light * _vertical_spectrum(height, vertical)))


def _vertical_spectrum(cycles: FloatArray, law: str) -> FloatArray:
    """Give the Fourier transform of the light per height, at cycles per scale height."""
    if law == "exponential":
        return np.asarray(1.0 / (1.0 + (2.0 * np.pi * cycles) ** 2), np.float64)
    if law == "gaussian":
        return np.asarray(np.exp(-2.0 * (np.pi * cycles) ** 2), np.float64)
    wide = np.maximum(np.pi**2 * cycles, 1e-9)
    return np.asarray(2.0 * wide * np.exp(-wide) / -np.expm1(-2.0 * wide), np.float64)


class Sampler:
    """Gives the disc's light at each depth of every sub-spaxel.

    Of a disc with a table of `brightness`, 32 depths are exact to 2e-4 of the brightest voxel,
    where the table ends bright too: depths end where the table does. A table of an exponential law
    in steps of a twentieth of its scale length gives the cube of the law to 1e-4. What remains is
    the end of the table as an edge on the sky, which sub-spaxels cut into steps. Oversampled
    twice, a disc that ends at 3.2 scale lengths is right to 5e-4 of the brightest voxel edge-on, to
    1e-3 at 60 deg, and to 6e-3 face-on; a uniform slab to 4e-3, 2e-2 and 1e-1. Oversampling of 6
    makes these at least five times smaller.

    Parameters
    ----------
    grid : SkyGrid
    depths : int
        Nodes along each line of sight.
    vertical : {"exponential", "sech2", "gaussian"}
    """

    def __init__(self, grid: SkyGrid, depths: int = 32, vertical: str = "sech2") -> None:
        if vertical not in VERTICAL or depths < 4 or depths % 2:
            raise ArdError(
                "a disc cannot be sampled like this",
                expected=f"a vertical law out of {', '.join(VERTICAL)}; 4 depths or more, even",
                found=f"{vertical}, {depths} depths",
                action="correct the model",
            )
        self.grid, self.depths, self.vertical = grid, depths, vertical
        y, x = np.meshgrid(grid.fine(grid.ny), grid.fine(grid.nx), indexing="ij")
        self._x: FloatArray = x.ravel()
        self._y: FloatArray = y.ravel()
        # The exponential law has its corner in the middle of the layer: nodes on either side.
        self._halves = 2 if vertical == "exponential" else 1
        places, weights = np.polynomial.legendre.leggauss(depths // self._halves)
        self._places, self._weights = 0.5 * (places + 1.0), 0.5 * weights

    @property
    def sights(self) -> int:
        """Number of sub-spaxels."""
        return self._x.size

    def at(self, disc: Disc) -> Any:
        """Give the function of the number of a depth that `losvd.count` asks for.

        The light of all depths and an infinite sky sums to 1.
        """
        sight = self._sight(disc)

        def sample(number: Any) -> Samples:
            return self._sample(disc, sight, number)

        return sample

    def _sight(self, disc: Disc) -> tuple[Any, ...]:
        """Say for every sight where it runs, and between which depths it is in the disc."""
        dtype = jnp.result_type(disc.x_arcsec, jnp.float32)
        pa, tilt = jnp.deg2rad(disc.pa_deg), jnp.deg2rad(disc.inclination_deg)
        dx = jnp.asarray(self._x, dtype) - disc.x_arcsec
        dy = jnp.asarray(self._y, dtype) - disc.y_arcsec
        along = -dx * jnp.sin(pa) + dy * jnp.cos(pa)
        across = dx * jnp.cos(pa) + dy * jnp.sin(pa)
        sin, cos = jnp.sin(tilt), jnp.cos(tilt)
        steep, flat = jnp.maximum(sin, _TINY), jnp.maximum(cos, _TINY)
        # In the layer: |z| < heights; within the radius: |y| < radii (y, z in the disc's frame).
        layer, layer_half = across * sin / flat, VERTICAL[self.vertical] * disc.height_arcsec / flat
        crossing, disc_half = -across * cos / steep, _reach(disc, along) / steep
        near = jnp.maximum(layer - layer_half, crossing - disc_half)
        far = jnp.minimum(layer + layer_half, crossing + disc_half)
        far = jnp.maximum(far, near)  # a sight that misses the disc has no depth
        dense = _DENSE * disc.scale_arcsec / steep
        begin, end = (near - crossing) / dense, (far - crossing) / dense
        span = _difference(begin, end, (far - near) / dense)
        corner = _difference(begin, (layer - crossing) / dense, (layer - near) / dense)
        corner = jnp.where((layer > near) & (layer < far), corner, 0.5 * span)
        return along, across, sin, cos, near, dense, jnp.arcsinh(begin), span, corner

    def _sample(self, disc: Disc, sight: tuple[Any, ...], number: Any) -> Samples:
        along, across, sin, cos, near, dense, begin, span, corner = sight
        part, step = self._node(number, span, corner, edge=disc.brightness is not None)
        # From the near end, not from the crossing: face-on that is 1e4 times as far as the disc.
        depth = near + 2.0 * dense * jnp.cosh(begin + 0.5 * part) * jnp.sinh(0.5 * part)
        length = dense * jnp.cosh(begin + part) * step
        inside = across * cos + depth * sin
        height = depth * cos - across * sin
        radius = jnp.sqrt(along**2 + inside**2 + (_TINY * disc.scale_arcsec) ** 2)
        rotation = _table(disc.rotation_kms, radius / disc.radius_step_arcsec)
        speed = disc.v_sys_kms + rotation * along / radius * sin
        dispersion = _table(disc.dispersion_kms, radius / disc.radius_step_arcsec)
        density = _surface(disc, radius) * _vertical(height, disc.height_arcsec, self.vertical)
        return Samples(speed, dispersion, density * length * self.grid.cell_arcsec2)

    def _node(self, number: Any, span: Any, corner: Any, *, edge: bool) -> tuple[Any, Any]:
        """Give how far a node lies from the near end, and its step, in the measure of `span`.

        Equal steps are best where the light fades before the ends; a table may end bright, and
        there equal steps would be wrong by 1e-3, as they are by 3e-2 at the corner of the
        exponential law.
        """
        if not edge and self._halves == 1:
            return (number + 0.5) / self.depths * span, span / self.depths
        dtype = jnp.result_type(float)
        places, weights = jnp.asarray(self._places, dtype), jnp.asarray(self._weights, dtype)
        if self._halves == 1:
            return places[number] * span, weights[number] * span
        half, order = number // places.size, number % places.size
        first = jnp.where(half == 0, 0.0, corner)
        width = jnp.where(half == 0, corner, span - corner)
        return first + places[order] * width, weights[order] * width


def _difference(low: Any, high: Any, width: Any) -> Any:
    """Give arcsinh(high) - arcsinh(low) where high - low = width, however large both are."""
    one, other = low * jnp.sqrt(1.0 + high**2), high * jnp.sqrt(1.0 + low**2)
    alike = low * high > 0.0
    total = jnp.where(alike, one + other, 1.0)
    return jnp.arcsinh(jnp.where(alike, width * (low + high) / total, other - one))


def _reach(disc: Disc, along: Any) -> Any:
    """How far from the minor axis, in the disc's plane, is there light on sights at `along`?"""
    if disc.brightness is None:
        return _RADII * disc.scale_arcsec
    last = (disc.brightness.shape[0] - 1) * disc.radius_step_arcsec
    chord2 = last**2 - along**2
    inside = chord2 > 0.0
    # Two branches: at the root of zero the slope is infinite, and times nothing still NaN.
    return jnp.where(inside, jnp.sqrt(jnp.where(inside, chord2, 1.0)), 0.0)


def _surface(disc: Disc, radius: Any) -> Any:
    """Give the light per area of the disc's plane; its integral over the plane is 1."""
    if disc.brightness is None:
        return jnp.exp(-radius / disc.scale_arcsec) / (2.0 * jnp.pi * disc.scale_arcsec**2)
    table, step = jnp.asarray(disc.brightness), disc.radius_step_arcsec
    number = jnp.arange(table.shape[0] - 1, dtype=table.dtype)
    # Integral of R times the line between two radii, in units of step^2.
    rings = table[:-1] * (number / 2.0 + 1.0 / 6.0) + table[1:] * (number / 2.0 + 1.0 / 3.0)
    return _table(table, radius / step) / (2.0 * jnp.pi * step**2 * rings.sum())


def _table(values: Any, place: Any) -> Any:
    """Interpolate a table linearly at fractional places, flat beyond its end."""
    last = values.shape[0] - 1
    place = jnp.clip(place, 0.0, last)
    below = jnp.clip(jnp.floor(place).astype(int), 0, last - 1)
    part = place - below
    return values[below] * (1.0 - part) + values[below + 1] * part


def _vertical(height: Any, scale: Any, law: str) -> Any:
    """Give the light per height; its integral over the heights that are summed is 1."""
    ratio, all_scale = height / scale, scale * _WITHIN[law]
    if law == "exponential":
        return jnp.exp(-jnp.abs(ratio)) / (2.0 * all_scale)
    if law == "gaussian":
        return jnp.exp(-0.5 * ratio**2) / (math.sqrt(2.0 * math.pi) * all_scale)
    falling = jnp.exp(-2.0 * jnp.abs(ratio))  # sech2 without the overflow of cosh
    return 4.0 * falling / (1.0 + falling) ** 2 / (2.0 * all_scale)
