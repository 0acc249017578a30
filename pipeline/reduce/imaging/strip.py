"""How bright is the image in cells along and across an axis, whatever its pixels are?

Pixels are shared between cells by area, in parts of a pixel; nothing is interpolated. So every
number that follows is a weighted sum over pixels, and its error is exact given the noise. Images
on other grids are brought together here, as cells of the same sky.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix, vstack

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.noise import Noise
from pipeline.reduce.imaging.parts import solid_angles
from pipeline.reduce.imaging.sphere import Axis

# Parts of a pixel edge: the largest error of a shared pixel is a tenth of its light.
_PARTS: Final = 5


@dataclass(frozen=True, eq=False)
class Seen:
    """An image with its noise, and the pixels in which nothing else shines.

    Attributes
    ----------
    image : Image
    noise : Noise
    excluded : ndarray of bool, shape (ny, nx)
        Masked, or neighbours.
    """

    image: Image
    noise: Noise
    excluded: BoolArray


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums over the pixels of one image, such as the light in cells.

    Attributes
    ----------
    weights : sparse matrix, shape (n, ny * nx)
        Share of every pixel in every sum.
    area : ndarray, shape (n,)
        Solid angle of the pixels that took part, arcsec^2.
    """

    weights: csr_matrix
    area: FloatArray

    def rates(self, seen: Seen) -> FloatArray:
        """Give the sums over the image, less its sky, electrons/s, shape (n,)."""
        flux = np.nan_to_num(seen.image.flux).ravel() - seen.noise.sky
        return np.asarray(self.weights @ flux)

    def covariance(self, seen: Seen) -> FloatArray:
        """Give their covariance, shape (n, n)."""
        return seen.noise.covariance(self.weights)

    def combined(self, matrix: FloatArray | csr_matrix) -> "Sums":
        """Give linear combinations of the sums: matrix, shape (m, n)."""
        rows = csr_matrix(matrix)
        return Sums(csr_matrix(rows @ self.weights), np.asarray(rows @ self.area))

    def joined(self, other: "Sums") -> "Sums":
        """Put the sums of both into one list."""
        return Sums(
            csr_matrix(vstack([self.weights, other.weights])),
            np.concatenate([self.area, other.area]),
        )


@dataclass(frozen=True, eq=False)
class Strip:
    """Cells along and across an axis in one image.

    Attributes
    ----------
    along, across : ndarray
        Edges of the cells, arcsec.
    sums : Sums
        The cells, the ones along the axis varying slowest; n_along * n_across of them.
    full : ndarray, shape (n_along * n_across,)
        Solid angle of each cell, arcsec^2.
    """

    along: FloatArray
    across: FloatArray
    sums: Sums
    full: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along and across."""
        return self.along.size - 1, self.across.size - 1

    def beside(self, along: tuple[float, float], across: tuple[float, float]) -> "Sums":
        """Give one sum over the sky on both sides: a range along, and distances across."""
        ends = np.array(along)
        near, far = across
        matrix = self.binning(ends, np.array([-far, -near])) + self.binning(
            ends, np.array([near, far])
        )
        return self.sums.combined(matrix)

    def binned(self, along: FloatArray, across: tuple[float, float]) -> "Sums":
        """Give sums over wider cells: one for each interval along, over a range across.

        Parameters
        ----------
        along : ndarray, shape (n + 1,)
            Edges, each an edge of the strip.
        across : (float, float)
            Ends, both edges of the strip.
        """
        return self.sums.combined(self.binning(along, np.array(across)))

    def binning(self, along: FloatArray, across: FloatArray) -> csr_matrix:
        """Give the matrix that adds cells to wider ones."""
        first = _membership(self.along, along)
        second = _membership(self.across, across)
        return csr_matrix(np.kron(first, second))

    def coverage(self, along: FloatArray, across: tuple[float, float]) -> FloatArray:
        """Give the part of the wider cells that usable pixels cover, shape (n,)."""
        matrix = self.binning(along, np.array(across))
        whole = np.asarray(matrix @ self.full)
        return np.asarray(matrix @ self.sums.area) / whole


def _membership(fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Say which fine cells lie in each coarse one, shape (n_coarse, n_fine)."""
    middle = 0.5 * (fine[1:] + fine[:-1])
    inside = (middle > coarse[:-1, None]) & (middle < coarse[1:, None])
    return inside.astype(float)


def cut(seen: Seen, axis: Axis, along: FloatArray, across: FloatArray) -> Strip:
    """Share the pixels of an image between cells along and across an axis.

    Parameters
    ----------
    seen : Seen
    axis : Axis
    along, across : ndarray
        Edges of the cells, arcsec.

    Raises
    ------
    FormatError
        If the image does not cover the strip.
    """
    box = _box(seen.image, axis, along, across)
    y, x = np.mgrid[box]
    s, c = axis.offsets(*seen.image.wcs.all_pix2world(x, y, 0))
    steps = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    area = solid_angles(seen.image.wcs, x.astype(float), y.astype(float))
    ny, nx = seen.image.shape
    usable = ~seen.excluded[box]
    pixel = (y * nx + x)[usable]
    ds, dc = np.gradient(s), np.gradient(c)
    n_across = across.size - 1
    n_cells = (along.size - 1) * n_across
    cells, pixels = [], []
    for dy in steps:
        for dx in steps:
            i = _index(along, (s + dy * ds[0] + dx * ds[1])[usable])
            j = _index(across, (c + dy * dc[0] + dx * dc[1])[usable])
            hit = (i >= 0) & (j >= 0)
            cells.append(i[hit] * n_across + j[hit])
            pixels.append(pixel[hit])
    places = (np.concatenate(cells), np.concatenate(pixels))
    share = np.full(places[0].size, 1.0 / steps.size**2)
    total = csr_matrix((share, places), shape=(n_cells, ny * nx))
    pixel_area = np.zeros(ny * nx)
    pixel_area[(y * nx + x).ravel()] = area.ravel()
    full = np.outer(np.diff(along), np.diff(across)).ravel()
    return Strip(along, across, Sums(total, np.asarray(total @ pixel_area)), full)


def _index(edges: FloatArray, values: FloatArray) -> FloatArray:
    found = np.searchsorted(edges, values, side="right") - 1
    return np.where((found >= 0) & (found < edges.size - 1), found, -1)


def _box(image: Image, axis: Axis, along: FloatArray, across: FloatArray) -> tuple[slice, slice]:
    """Give the pixels around the strip, two of them to spare for the gradient."""
    corners = [axis.place(s, c) for s in (along[0], along[-1]) for c in (across[0], across[-1])]
    x, y = image.wcs.all_world2pix(*np.transpose(corners), 0, quiet=True)
    ny, nx = image.shape
    low_x, high_x = int(np.floor(x.min())) - 2, int(np.ceil(x.max())) + 3
    low_y, high_y = int(np.floor(y.min())) - 2, int(np.ceil(y.max())) + 3
    if low_x < 0 or low_y < 0 or high_x > nx or high_y > ny:
        raise FormatError(
            "the image does not cover the target",
            file=image.file,
            expected=f"columns {low_x} to {high_x - 1} and rows {low_y} to {high_y - 1}: host, "
            "wake and the sky beside them",
            found=f"{nx} columns and {ny} rows",
            action="give an image of the field, or check host and tip in the target's manifest",
        )
    return slice(low_y, high_y), slice(low_x, high_x)


@dataclass(frozen=True, eq=False)
class Measured:
    """Surface brightness in cells, with its covariance.

    Attributes
    ----------
    value : ndarray, shape (n,)
        Electrons/s/arcsec^2, or AB-scaled flux density where bands were joined.
    covariance : ndarray, shape (n, n)
        Of the values.
    """

    value: FloatArray
    covariance: FloatArray

    @property
    def err(self) -> FloatArray:
        """Standard deviations."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def combined(self, matrix: FloatArray) -> "Measured":
        """Give linear combinations: matrix, shape (m, n)."""
        return Measured(matrix @ self.value, matrix @ self.covariance @ matrix.T)

    def scaled(self, factor: FloatArray | float) -> "Measured":
        """Multiply values and errors."""
        each = np.broadcast_to(np.asarray(factor, dtype=float), self.value.shape)
        return Measured(self.value * each, self.covariance * np.outer(each, each))


def brightness(seen: Seen, sums: Sums, background: Sums) -> Measured:
    """Give the mean surface brightness over the pixels of each sum, electrons/s/arcsec^2.

    Parameters
    ----------
    seen : Seen
    sums : Sums
        n of them.
    background : Sums
        One sum over the sky beside them, whose mean is taken off; its error is in the covariance.
    """
    both = sums.joined(background)
    n = sums.area.size
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(both.area > 0, 1.0 / both.area, np.nan)
    joint = Measured(both.rates(seen), both.covariance(seen)).scaled(scale)
    return joint.combined(np.hstack([np.eye(n), -np.ones((n, 1))]))


def mean(parts: Sequence[Measured]) -> Measured:
    """Average measurements of the same cells in several images of one filter.

    Each image counts with the inverse of its typical variance; their noises are independent.
    """
    if len(parts) == 1:
        return parts[0]
    weight = np.array([1.0 / np.nanmedian(part.err**2) for part in parts])
    weight /= weight.sum()
    value = sum((w * part.value for w, part in zip(weight, parts, strict=True)), np.zeros(1))
    covariance = sum(
        (w**2 * part.covariance for w, part in zip(weight, parts, strict=True)), np.zeros((1, 1))
    )
    return Measured(np.asarray(value), np.asarray(covariance))
