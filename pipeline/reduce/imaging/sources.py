"""Where are other sources, and where exactly is the host?"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    gaussian_filter,
    generate_binary_structure,
    maximum_filter,
    watershed_ift,
)
from scipy.sparse import csr_matrix

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.noise import Noise, unit_errors
from pipeline.reduce.imaging.parts import box_at
from pipeline.reduce.outliers import robust_sigma

_GRID_LEVELS: Final = 60000  # of the 16 bits that the watershed takes
_ITERATIONS: Final = 50
_CONVERGED_PIXELS: Final = 1e-4
_FAR_SIGMA: Final = 3.0  # a centre further from where it began has run away, in window widths
_WINDOW_SIGMA: Final = 8.0  # further out the window is 1e-14


@dataclass(frozen=True, eq=False)
class Sources:
    """What shines in an image.

    Attributes
    ----------
    labels : ndarray of int, shape (ny, nx)
        Number of the source that each pixel belongs to; 0 for blank sky.
    peaks : ndarray, shape (n, 2)
        Column and row of the peak of source 1, 2, ...
    """

    labels: FloatArray
    peaks: FloatArray

    @property
    def any(self) -> BoolArray:
        """Say where anything shines."""
        return np.asarray(self.labels > 0)

    def chosen(self, numbers: BoolArray) -> BoolArray:
        """Say which pixels belong to some of the sources (one flag for each peak)."""
        return np.asarray(np.concatenate([[False], numbers])[self.labels.astype(int)])


def find(image: Image, *, peak_sigma: float, edge_sigma: float, smoothing_pixels: float) -> Sources:
    """Find sources by their peaks, and give every pixel above the edge to one of them.

    Parameters
    ----------
    image : Image
    peak_sigma, edge_sigma : float
        A source has a peak above the first in the smoothed image, and ends below the second; both
        in units of the scatter of the smoothed blank sky.
    smoothing_pixels : float
        Standard deviation of the Gaussian that smooths.

    Returns
    -------
    Sources
        Each grown by one smoothing length, for the light that smoothing does not lift.
    """
    unit = unit_errors(image)
    used = unit > 0
    sky = float(np.median(image.flux[used]))
    scaled = np.where(used, (np.nan_to_num(image.flux) - sky) / np.where(used, unit, 1.0), 0.0)
    smooth = gaussian_filter(scaled, smoothing_pixels)
    scatter = float(robust_sigma(smooth[used], axis=0))
    snr = smooth / scatter if scatter > 0 else np.zeros_like(smooth)
    around = maximum_filter(snr, size=2 * int(np.ceil(2 * smoothing_pixels)) + 1)
    rows, columns = np.nonzero((snr == around) & (snr > peak_sigma))
    markers = np.zeros(image.shape, dtype=np.int32)
    markers[rows, columns] = np.arange(1, rows.size + 1)
    inside = snr > edge_sigma
    height = np.clip(snr / max(float(snr.max()), 1e-12), 0.0, 1.0)
    # Water rises from the peaks; what is not above the edge is a sea of its own.
    levels = (_GRID_LEVELS * (1.0 - height)).astype(np.uint16)
    markers[~inside] = -1
    flooded = watershed_ift(levels, markers) if rows.size else np.zeros(image.shape, np.int32)
    labels = np.where(inside & (flooded > 0), flooded, 0)
    return Sources(
        _grown(labels, int(np.ceil(smoothing_pixels))), np.stack([columns, rows], axis=1)
    )


def _grown(labels: FloatArray, pixels: int) -> FloatArray:
    """Let every source grow into blank pixels."""
    structure = generate_binary_structure(2, 2)
    for _ in range(pixels):
        ring = binary_dilation(labels > 0, structure) & (labels == 0)
        labels = np.where(ring, maximum_filter(labels, footprint=structure), labels)
    return labels


@dataclass(frozen=True)
class Centroid:
    """A centre in an image: column, row and their covariance, in pixels."""

    x: float
    y: float
    covariance: FloatArray


def centroid(
    image: Image,
    noise: Noise,
    start: tuple[float, float],
    sigma_pixels: float,
    *,
    without: BoolArray | None = None,
) -> Centroid:
    """Find the centre of a source: the mean position under a Gaussian window that follows it.

    Parameters
    ----------
    image : Image
    noise : Noise
        Gives the sky, and the covariance of the result.
    start : (float, float)
        Column and row to begin at.
    sigma_pixels : float
        Standard deviation of the window.
    without : ndarray of bool, shape (ny, nx), optional
        Pixels that take no part.

    Returns
    -------
    Centroid
        The step is doubled, as for a source as wide as the window (Bertin & Arnouts 1996 and the
        manual of SExtractor, XWIN_IMAGE).

    Raises
    ------
    FormatError
        If there is no light, or the window runs away.
    """
    reach = int(np.ceil((_FAR_SIGMA + _WINDOW_SIGMA) * sigma_pixels))
    box = box_at(*start, reach, image.shape)
    y, x = np.mgrid[box].astype(float)
    used = ~image.mask[box] if without is None else ~(image.mask | without)[box]
    flux = np.where(used, np.nan_to_num(image.flux[box]) - noise.sky, 0.0)
    cx, cy = start
    for _ in range(_ITERATIONS):
        window = np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / sigma_pixels**2)
        total = float((window * flux).sum())
        if not total > 0:
            break
        step_x = 2.0 * float((window * flux * (x - cx)).sum()) / total
        step_y = 2.0 * float((window * flux * (y - cy)).sum()) / total
        cx, cy = cx + step_x, cy + step_y
        if np.hypot(cx - start[0], cy - start[1]) > _FAR_SIGMA * sigma_pixels:
            break
        if np.hypot(step_x, step_y) < _CONVERGED_PIXELS:
            weight = np.where(used, 2.0 * window / total, 0.0)
            rows = np.concatenate([(weight * (x - cx)).ravel(), (weight * (y - cy)).ravel()])
            pixel = (y * image.shape[1] + x).ravel().astype(int)
            places = (np.repeat([0, 1], pixel.size), np.tile(pixel, 2))
            sums = csr_matrix((rows, places), shape=(2, image.mask.size))
            return Centroid(cx, cy, noise.covariance(sums))
    raise FormatError(
        "no source has its centre near the declared place of the host",
        file=image.file,
        expected=f"a source within {_FAR_SIGMA * sigma_pixels:.1f} pixels of x = {start[0]:.1f}, "
        f"y = {start[1]:.1f}",
        found="no light, or a centre that runs away",
        action="check the host in the target's manifest, and the WCS of the image",
    )
