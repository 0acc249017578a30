"""How do the optics spread the light of one place over the spaxels?

A point-spread function here is a sum of products, one factor for the rows and one for the columns,
each integrated over the pixels. Two small matrices for each term then do for a whole plane what a
convolution would, without its wrap-around, and at places between the pixels.

An ellipse that lies across the pixels is no product, but a sum of them: a Gaussian that is spread
along a line by another one. The sum over its Gauss-Hermite nodes is positive, keeps the light and
has the right second moments.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ard.errors import ArdError
from pipeline.scene.grid import FloatArray, SkyGrid
from pipeline.scene.optics import FWHM_PER_SIGMA, pixel_matrix
from pipeline.scene.parameters import ParameterRow, require_in_range

# Below this correlation of x and y the ellipse's nodes move with the square root of it no more:
# its derivative would be infinite. Second moments are exact on both sides.
_UPRIGHT: Final = 1e-4
# Light that may be missed of what lies just outside of a grid's margin.
_FAINT: Final = 5e-4
_WINGS_SIGMA: Final = 3.5  # with 4.7e-4 of a Gaussian beyond, along one axis
_ELLIPSE: Final = 1e-3  # of the peak
_SUM_RTOL: Final = 1e-5  # an image stored in float32 sums to one no better


PARAMETERS: Final = (
    ParameterRow("fwhm_arcsec", "arcsec", 0.01, 3.0, "0.12 to 0.22 for NIRSpec: science.md 5"),
    ParameterRow("fwhm_minor_arcsec", "arcsec", 0.01, 3.0, "the major axis at most"),
    ParameterRow("pa_deg", "deg", -360.0, 360.0, "of the major axis, from +y to -x"),
)
GHOSTS: Final = (
    ParameterRow("strength", "1", 0.0, 1.0, "of each; 0.5 where both pointings weigh the same"),
)


class Psf(Protocol):
    """A point-spread function: products of two factors, and copies of them at other places."""

    def factors(self, sky: SkyGrid, y_arcsec: Any, x_arcsec: Any) -> tuple[Any, Any]:
        """Give the share of each place's light by row and by column, for each product.

        Parameters
        ----------
        sky : SkyGrid
        y_arcsec : array, shape (..., n)
        x_arcsec : array, shape (..., m)

        Returns
        -------
        rows : jax.Array, shape (n_product, ..., ny, n)
        columns : jax.Array, shape (n_product, ..., nx, m)
        """
        ...

    def copies(self) -> tuple[Any, Any, Any]:
        """Where are all copies, and how bright: y and x from the place, arcsec; weight.

        Returns
        -------
        tuple of three arrays, shape (n_copy,)
        """
        ...

    def reach_arcsec(self) -> float:
        """How far from a place does its light still matter, arcsec?"""
        ...


def matrices(psf: Psf, sky: SkyGrid, y_arcsec: Any, x_arcsec: Any) -> tuple[Any, Any]:
    """Give all products of all copies.

    Parameters
    ----------
    psf : Psf
    sky : SkyGrid
    y_arcsec : array, shape (n,)
    x_arcsec : array, shape (m,)

    Returns
    -------
    rows : jax.Array, shape (n_term, ny, n)
    columns : jax.Array, shape (n_term, nx, m)
        Light at (y_i, x_j) falls on spaxel (a, b) with the share sum_k rows[k, a, i]
        columns[k, b, j].
    """
    dtype = jnp.result_type(float)
    y, x = (jnp.asarray(places, dtype) for places in (y_arcsec, x_arcsec))
    up, side, weight = psf.copies()
    rows, columns = psf.factors(sky, y + up[:, None], x + side[:, None])
    rows = rows * weight[:, None, None]
    return rows.reshape(-1, sky.ny, y.size), columns.reshape(-1, sky.nx, x.size)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """An elliptical Gaussian.

    Attributes
    ----------
    fwhm_arcsec, fwhm_minor_arcsec : scalar
        Along the major and the minor axis.
    pa_deg : scalar
        Direction of the major axis, from +y over -x.
    nodes : int
        Terms of the sum; fixed when compiled. 1 is right for a circle only. 7 are exact to 1e-5 of
        the peak for an axis ratio of 0.75 (NIRSpec at 1 um), 6e-4 for 0.6.
    """

    fwhm_arcsec: Any
    fwhm_minor_arcsec: Any
    pa_deg: Any
    nodes: int = field(default=7, metadata={"static": True})

    @classmethod
    def round(cls, fwhm_arcsec: Any) -> "Gaussian":
        """Give a circular one."""
        return cls(fwhm_arcsec, fwhm_arcsec, 0.0, 1)

    def factors(self, sky: SkyGrid, y_arcsec: Any, x_arcsec: Any) -> tuple[Any, Any]:
        """See `Psf`."""
        (sigma_y, _), (sigma_x, _) = self._parts()
        rows = pixel_matrix(sky.edges(sky.ny), y_arcsec, sigma_y)
        return rows[None], pixel_matrix(sky.edges(sky.nx), x_arcsec, sigma_x)[None]

    def copies(self) -> tuple[Any, Any, Any]:
        """See `Psf`."""
        (_, step_y), (_, step_x) = self._parts()
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        dtype = jnp.result_type(float)
        places = jnp.asarray(nodes, dtype)
        return places * step_y, places * step_x, jnp.asarray(weights / weights.sum(), dtype)

    def _parts(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Give for y and x the width of each product, and the step along the line."""
        if self.nodes == 1:
            sigma = self.fwhm_arcsec / FWHM_PER_SIGMA
            return (sigma, 0.0), (sigma, 0.0)
        pa = jnp.deg2rad(self.pa_deg)
        sin, cos = jnp.sin(pa), jnp.cos(pa)
        major, minor = (
            (width / FWHM_PER_SIGMA) ** 2 for width in (self.fwhm_arcsec, self.fwhm_minor_arcsec)
        )
        var_x = major * sin**2 + minor * cos**2
        var_y = major * cos**2 + minor * sin**2
        slant = -(major - minor) * sin * cos / jnp.sqrt(var_x * var_y)
        size = jnp.sqrt(slant**2 + _UPRIGHT**2)
        step_x = jnp.sqrt(var_x * size)
        step_y = jnp.sqrt(var_y / size) * slant
        # What the line does not spread: steps multiply to the covariance for every `size`.
        return (
            (jnp.sqrt(var_y * (1.0 - slant**2 / size)), step_y),
            (jnp.sqrt(var_x * (1.0 - size)), step_x),
        )

    def reach_arcsec(self) -> float:
        """See `Psf`."""
        widest = max(float(self.fwhm_arcsec), float(self.fwhm_minor_arcsec))
        return float(_WINGS_SIGMA * widest / FWHM_PER_SIGMA)


def require_valid(psf: Gaussian) -> None:
    """Make sure, before anything is compiled, that a Gaussian is one.

    Raises
    ------
    ArdError
        If a width is not above zero, the minor axis is the longer one, or one node is to carry an
        ellipse.
    """
    require_in_range(PARAMETERS, psf, "point-spread function")
    major, minor, pa = (float(v) for v in (psf.fwhm_arcsec, psf.fwhm_minor_arcsec, psf.pa_deg))
    good = minor <= major and psf.nodes >= 1
    # The correlation of x and y at 45 degrees; a tenth of its power is the error that is seen.
    slant = (major**2 - minor**2) / (major**2 + minor**2) if good else np.nan
    if not good or 0.1 * slant**psf.nodes > _ELLIPSE or (psf.nodes == 1 and minor != major):
        raise ArdError(
            "a point-spread function is impossible",
            expected="a minor axis that is not the longer one; nodes enough for the axis ratio: "
            "1 for a circle, 7 down to 0.6, 15 down to 0.4",
            found=f"{major} and {minor} arcsec, {pa} deg, {psf.nodes} nodes",
            action="correct the widths, or take more nodes",
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Image:
    """A point-spread function given as an image; made by `from_image`.

    Attributes
    ----------
    rows, columns : array, shape (n_term, n + 1)
        Running sums of each term's factors, 0 at the first edge.
    pixel_arcsec : scalar
        Side of the image's pixels.
    """

    rows: Any
    columns: Any
    pixel_arcsec: Any

    def factors(self, sky: SkyGrid, y_arcsec: Any, x_arcsec: Any) -> tuple[Any, Any]:
        """See `Psf`."""
        return (
            self._factor(self.rows, sky.edges(sky.ny), y_arcsec),
            self._factor(self.columns, sky.edges(sky.nx), x_arcsec),
        )

    def copies(self) -> tuple[Any, Any, Any]:
        """See `Psf`."""
        dtype = jnp.result_type(float)
        return jnp.zeros(1, dtype), jnp.zeros(1, dtype), jnp.ones(1, dtype)

    def _factor(self, sums: Any, edges: FloatArray, places: Any) -> Any:
        """Integrate each factor over the pixels: differences of its running sum."""
        dtype = jnp.result_type(float)
        last = sums.shape[1] - 1
        steps = jnp.asarray(edges, dtype)[:, None] - jnp.asarray(places, dtype)[..., None, :]
        place = jnp.clip(steps / self.pixel_arcsec + last / 2.0, 0.0, last)
        below = jnp.clip(jnp.floor(place).astype(int), 0, last - 1)
        part, table = place - below, jnp.asarray(sums, dtype)
        reached = table[:, below] * (1.0 - part) + table[:, below + 1] * part
        return jnp.diff(reached, axis=-2)

    def reach_arcsec(self) -> float:
        """See `Psf`."""
        rows, columns = np.asarray(self.rows), np.asarray(self.columns)
        reaches = [_half_width(rows, columns[:, -1]), _half_width(columns, rows[:, -1])]
        return float(max(reaches) * float(self.pixel_arcsec))


def from_image(image: FloatArray, pixel_arcsec: float, *, tolerance: float = 1e-3) -> Image:
    """Give the point-spread function that an image shows.

    Parameters
    ----------
    image : ndarray, shape (n, m)
        Share of a point's light in each of its pixels, rows along y; the point is in the middle.
        Between the pixels' edges light is even.
    pixel_arcsec : float
        Side of its pixels, in arcsec; those of the cube need not be a multiple.
    tolerance : float
        How far the sum of products may be from the image, of its peak: decides how many terms there
        are. Spaxels may become negative by as much.

    Raises
    ------
    ArdError
        If the image has negative or impossible values, or does not sum to one.
    """
    values = np.asarray(image, dtype=np.float64)
    if values.ndim != 2 or not np.all(np.isfinite(values)) or values.size == 0 or values.min() < 0:
        raise ArdError(
            "an image is no point-spread function",
            expected="two axes, finite values of 0 or more",
            found=f"shape {values.shape}, least value {values.min() if values.size else 'none'}",
            action="mend the image: set what noise made negative to zero",
        )
    total = float(values.sum())
    if abs(total - 1.0) > _SUM_RTOL or not 0 < pixel_arcsec < np.inf or not tolerance > 0:
        raise ArdError(
            "a point-spread function does not sum to one",
            expected=f"1 within {_SUM_RTOL:g}; pixels and a tolerance above zero",
            found=f"{total:.6g}, pixels of {pixel_arcsec} arcsec, tolerance {tolerance}",
            action="divide by the sum, if the image holds all of the light",
        )
    left, sizes, right = np.linalg.svd(values)
    terms = next(
        n
        for n in range(1, sizes.size + 1)
        if np.abs((left[:, :n] * sizes[:n]) @ right[:n] - values).max() <= tolerance * values.max()
        or n == sizes.size
    )
    rows, columns = (left[:, :terms] * sizes[:terms]).T, right[:terms]
    rows = rows / float((rows.sum(axis=1) * columns.sum(axis=1)).sum())
    return Image(_running(rows), _running(columns), float(pixel_arcsec))


def _running(factors: FloatArray) -> FloatArray:
    return np.concatenate([np.zeros((len(factors), 1)), np.cumsum(factors, axis=1)], axis=1)


def _half_width(sums: FloatArray, others: FloatArray) -> float:
    """Within how many pixels of the middle is all light but `_FAINT`, along one axis?"""
    light = np.diff(others @ sums)
    away = np.abs(np.arange(light.size) + 0.5 - light.size / 2.0) + 0.5
    order = np.argsort(away)
    inside = np.cumsum(light[order])
    return float(away[order][np.searchsorted(inside, 1.0 - _FAINT).clip(max=light.size - 1)])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ghosts:
    """Optics, and a background that was taken where the source is: it is subtracted from itself.

    Attributes
    ----------
    psf : Psf
    x_arcsec, y_arcsec : array, shape (n_ghost,)
        Where the ghosts lie, from their source.
    strength : array, shape (n_ghost,)
        Light of each, taken away.
    """

    psf: Psf
    x_arcsec: Any
    y_arcsec: Any
    strength: Any

    @classmethod
    def of_pointings(
        cls, psf: Psf, offset_arcsec: float, pa_deg: float, strength: Any = 0.5
    ) -> "Ghosts":
        """Give those of a mosaic of two pointings, each the other's background.

        Parameters
        ----------
        psf : Psf
        offset_arcsec, pa_deg : float
            From one pointing to the other, on the grid: from +y over -x. For GO-3149 it is 1.063
            arcsec at PA 236.3 on the sky (reference/science.md section 2.2), and
            `observed.angle_of` turns that.
        strength : scalar
            Of each of the two; 0.5 where both pointings weigh the same.
        """
        pa = np.deg2rad(pa_deg)
        x, y = -offset_arcsec * np.sin(pa), offset_arcsec * np.cos(pa)
        both = jnp.asarray([1.0, 1.0]) * strength
        return cls(psf, np.array([x, -x]), np.array([y, -y]), both)

    def factors(self, sky: SkyGrid, y_arcsec: Any, x_arcsec: Any) -> tuple[Any, Any]:
        """See `Psf`."""
        return self.psf.factors(sky, y_arcsec, x_arcsec)

    def copies(self) -> tuple[Any, Any, Any]:
        """See `Psf`."""
        dtype = jnp.result_type(float)
        y, x, weight = self.psf.copies()
        up, side, taken = (
            jnp.concatenate([jnp.full(1, first), jnp.asarray(values, dtype)])
            for first, values in (
                (0.0, self.y_arcsec),
                (0.0, self.x_arcsec),
                (1.0, -jnp.asarray(self.strength)),
            )
        )
        return (
            (up[:, None] + y).ravel(),
            (side[:, None] + x).ravel(),
            (taken[:, None] * weight).ravel(),
        )

    def reach_arcsec(self) -> float:
        """See `Psf`."""
        steps = np.maximum(np.abs(np.asarray(self.x_arcsec)), np.abs(np.asarray(self.y_arcsec)))
        return self.psf.reach_arcsec() + float(steps.max(initial=0.0))


def spread(planes: Any, grid: SkyGrid, psf: Psf) -> jax.Array:
    """Spread planes of a fine grid over the spaxels.

    Parameters
    ----------
    planes : array, shape (n, fine ny, fine nx)
        Light of each sub-spaxel.
    grid : SkyGrid
    psf : Psf

    Returns
    -------
    jax.Array, shape (n, ny, nx)
    """
    rows, columns = matrices(psf, grid, grid.fine(grid.ny), grid.fine(grid.nx))
    half = jnp.einsum("kyp,npq->nkyq", rows, planes)
    return jnp.einsum("nkyq,kxq->nyx", half, columns)


def require_margin(grid: SkyGrid, psf: Psf) -> None:
    """Make sure that a fine grid holds all whose light the optics bring into the field.

    Raises
    ------
    ArdError
        If light from outside of the margin would be missing in the field.
    """
    margin, reach = grid.pad * grid.pixel_arcsec, psf.reach_arcsec()
    if not margin >= reach:
        raise ArdError(
            "the grid on the sky cannot hold the source",
            expected=f"a margin of {int(np.ceil(reach / grid.pixel_arcsec))} spaxels, so that "
            "light is not lost that the optics bring into the field",
            found=f"{grid.pad} spaxels of {grid.pixel_arcsec} arcsec",
            action="take a larger `pad`",
        )
