"""How noisy is an image, and how does its noise hang together from pixel to pixel?

Drizzling shares the light of a detector pixel between neighbours, so that single pixels scatter
too little and sums over an aperture scatter more than the pixels say (Fruchter & Hook 2002, PASP
114, 144; Casertano et al. 2000, AJ 120, 2747). Both are measured on the blank sky of the image:
the scatter of pixels, scaled by the weight, and the correlation of neighbours. Every error of
this package is one quadratic form in them. What varies over more than an arcsecond or so (scattered
light, the halo of a galaxy) is background, not noise: it is smoothed off first.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import convolve, gaussian_filter
from scipy.sparse import csr_matrix, vstack

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.weights import EXPOSURE, TOTAL
from pipeline.reduce.outliers import robust_sigma

# Pixels further from zero are no noise; a Gaussian keeps 1 - 6e-5 of its own.
_CLIP_SIGMA: Final = 4.0
# Fewer blank pixels say nothing about correlations of a few per cent.
_MIN_BLANK: Final = 2000
# Light of a source is smoothed before it is turned into photon noise, or noise would make noise.
_PHOTON_SMOOTHING_PIXELS: Final = 1.0
_MIN_APERTURES: Final = 10


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of one image.

    Attributes
    ----------
    sky : float
        Level of the blank sky, electrons/s in a pixel.
    sigma : ndarray, shape (ny, nx)
        Standard deviation of each pixel, electrons/s; 0 where masked.
    kernel : ndarray, shape (2 r + 1, 2 r + 1)
        Correlation with the neighbours; 1 in its middle.
    blank : ndarray of bool, shape (ny, nx)
        The pixels that it was measured on.
    typical : float
        Median of sigma over blank pixels.
    declared_ratio : float
        Measured over declared error of a large aperture, where the weight is an inverse variance;
        NaN where it is a time, which declares no error.
    """

    sky: float
    sigma: FloatArray
    kernel: FloatArray
    blank: BoolArray
    typical: float
    declared_ratio: float

    @property
    def inflation(self) -> float:
        """Give the error of a large aperture over that of independent pixels."""
        return float(np.sqrt(self.kernel.sum()))

    def covariance(self, sums: csr_matrix) -> FloatArray:
        """Give the covariance of weighted sums over the image.

        Parameters
        ----------
        sums : sparse matrix, shape (n, ny * nx)
            Weight of every pixel in every sum.

        Returns
        -------
        ndarray, shape (n, n)
            W S R S W', S the errors and R the correlation.
        """
        weighted = csr_matrix(sums, copy=True)
        weighted.data = weighted.data * self.sigma.ravel()[weighted.indices]
        weighted.eliminate_zeros()
        if not weighted.shape[0]:
            return np.zeros((0, 0))
        # A sum over a few pixels of a large mosaic must not cost a plane of it.
        spread = vstack([self._spread(row) for row in weighted], format="csr")
        product = (weighted @ spread.T).toarray()
        return np.asarray(0.5 * (product + product.T))

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw noise with these errors and this correlation, shape (ny, nx)."""
        ny, nx = self.sigma.shape
        amplitude = np.sqrt(_power(self.kernel, (ny, nx)))
        white = np.fft.rfft2(rng.standard_normal((ny, nx)))
        return np.asarray(np.fft.irfft2(white * amplitude, s=(ny, nx)) * self.sigma)

    def _spread(self, row: csr_matrix) -> csr_matrix:
        """Apply the correlation to the weights of one sum, in the box that holds them."""
        if not row.nnz:
            return row
        reach = self.kernel.shape[0] // 2
        places = np.divmod(row.indices, self.sigma.shape[1])
        low = [max(int(k.min()) - reach, 0) for k in places]
        high = [
            min(int(k.max()) + reach + 1, n) for k, n in zip(places, self.sigma.shape, strict=True)
        ]
        plane = np.zeros([b - a for a, b in zip(low, high, strict=True)])
        plane[places[0] - low[0], places[1] - low[1]] = row.data
        spread = convolve(plane, self.kernel, mode="constant")
        y, x = np.nonzero(spread)
        column = (y + low[0]) * self.sigma.shape[1] + x + low[1]
        return csr_matrix((spread[y, x], (np.zeros_like(column), column)), shape=row.shape)


def measure(image: Image, sources: BoolArray, reach: int, smoothing_pixels: float) -> Noise:
    """Measure sky, errors and correlation on the blank part of an image.

    Parameters
    ----------
    image : Image
    sources : ndarray of bool, shape (ny, nx)
        Where there is light of anything.
    reach : int
        Largest distance of correlated pixels, in rows and columns.
    smoothing_pixels : float
        Standard deviation of the Gaussian that makes the background of the blank sky.

    Raises
    ------
    FormatError
        If hardly any pixel is blank, or the blank pixels do not scatter.
    """
    blank = ~image.mask & ~sources
    if blank.sum() < _MIN_BLANK:
        raise FormatError(
            "the image has too little blank sky to measure its noise on",
            file=image.file,
            expected=f"{_MIN_BLANK} pixels without sources",
            found=f"{int(blank.sum())}",
            action="give a larger cut-out",
        )
    unit = unit_errors(image)
    values, errors = image.flux[blank], unit[blank]
    sky, scatter = _clipped(values, errors)
    if not scatter > 0:
        raise FormatError(
            "the blank pixels of the image do not scatter, so it has no noise to go by",
            file=image.file,
            expected="an image with noise",
            found=f"scatter {scatter:g}",
            action="give the image of the archive",
        )
    flat = _flattened(image, blank, sky, smoothing_pixels)
    scatter = float(robust_sigma((flat / np.where(unit > 0, unit, 1.0))[blank], axis=0))
    residual = np.where(blank, flat / np.where(unit > 0, scatter * unit, 1.0), np.nan)
    kernel = correlation(residual, reach)
    sigma = scatter * unit
    if image.weight_kind != TOTAL:
        sigma = np.hypot(sigma, _photons(image, sky, kernel))
    return Noise(
        sky=sky,
        sigma=np.where(image.mask, 0.0, sigma),
        kernel=kernel,
        blank=blank,
        typical=float(np.median(sigma[blank])),
        declared_ratio=float("nan")
        if image.weight_kind == EXPOSURE
        else scatter * float(np.sqrt(kernel.sum())),
    )


def unit_errors(image: Image) -> FloatArray:
    """Give the error of every pixel up to one factor: weight^-1/2, whatever the weight means.

    A time is scaled by its median, so that the factor is the error of a typical pixel.
    """
    used = ~image.mask & (image.weight > 0)
    typical = float(np.median(image.weight[used])) if image.weight_kind == EXPOSURE else 1.0
    with np.errstate(divide="ignore"):
        return np.where(used, np.sqrt(typical / np.where(used, image.weight, 1.0)), 0.0)


def _flattened(image: Image, blank: BoolArray, sky: float, smoothing_pixels: float) -> FloatArray:
    """Give the blank sky less its smooth background, 0 elsewhere."""
    values = np.where(blank, np.nan_to_num(image.flux) - sky, 0.0)
    level = gaussian_filter(values, smoothing_pixels)
    share = gaussian_filter(blank.astype(float), smoothing_pixels)
    return np.where(blank, values - level / np.where(share > 0, share, 1.0), 0.0)


def aperture_ratio(image: Image, noise: Noise, side: int, smoothing_pixels: float) -> float:
    """Give the scatter of blank square apertures over the error that the noise predicts.

    Parameters
    ----------
    image : Image
    noise : Noise
        As measured with the same smoothing.
    side : int
        Side of the squares, pixels; they stand side by side.

    Returns
    -------
    float
        1 where the noise is right; NaN where fewer than ten squares are blank.
    """
    flat = _flattened(image, noise.blank, noise.sky, smoothing_pixels)
    ny, nx = (n // side for n in image.shape)

    def cells(plane: FloatArray) -> FloatArray:
        cut = plane[: ny * side, : nx * side].reshape(ny, side, nx, side)
        return np.asarray(cut.sum(axis=(1, 3)))

    whole = cells(noise.blank.astype(float)) == side**2
    if whole.sum() < _MIN_APERTURES:
        return float("nan")
    reach = noise.kernel.shape[0] // 2
    lag = np.arange(-reach, reach + 1)
    pairs = np.maximum(side - np.abs(lag), 0)
    factor = float(pairs @ noise.kernel @ pairs)
    typical = np.sqrt(cells(noise.sigma**2)[whole] / side**2)
    return float(robust_sigma(cells(flat)[whole] / (typical * np.sqrt(factor)), axis=0))


def _clipped(values: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Give level and scatter of the blank sky: medians, after what is far off has been left."""
    sky = float(np.median(values))
    scatter = float(robust_sigma((values - sky) / errors, axis=0))
    near = np.abs(values - sky) <= _CLIP_SIGMA * scatter * errors
    if not near.any():
        return sky, scatter
    sky = float(np.average(values[near], weights=errors[near] ** -2))
    return sky, float(robust_sigma((values[near] - sky) / errors[near], axis=0))


def _photons(image: Image, sky: float, kernel: FloatArray) -> FloatArray:
    """Give the photon noise of what shines above the sky, in a pixel.

    A large aperture has the Poisson variance of its light, so a pixel has it divided by what the
    correlation adds.
    """
    smooth = gaussian_filter(
        np.where(image.mask, 0.0, np.nan_to_num(image.flux) - sky), _PHOTON_SMOOTHING_PIXELS
    )
    seconds = (
        image.weight if image.weight_kind == EXPOSURE else np.full(image.shape, image.exptime_s)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(seconds > 0, np.maximum(smooth, 0.0) / seconds, 0.0)
    # Noise peaks of the blank sky are no light.
    bright = smooth > _CLIP_SIGMA * robust_sigma(smooth[~image.mask], axis=0)
    return np.sqrt(np.where(bright, variance / kernel.sum(), 0.0))


def correlation(residual: FloatArray, reach: int) -> FloatArray:
    """Give the correlation of neighbouring pixels, shape (2 reach + 1, 2 reach + 1).

    Parameters
    ----------
    residual : ndarray, shape (ny, nx)
        Noise in units of its error; NaN where there is none.
    reach : int
        Largest distance in rows and columns.

    Returns
    -------
    ndarray
        Even about its middle, which is 1, and without negative power at any frequency, so that
        no sum over pixels has a negative variance.
    """
    with np.errstate(invalid="ignore"):
        used = np.isfinite(residual) & (np.abs(residual) <= _CLIP_SIGMA)
    values = np.where(used, residual, 0.0)
    values = np.where(used, values - values[used].mean(), 0.0)
    size = 2 * reach + 1
    kernel = np.zeros((size, size))
    for dy in range(reach + 1):
        for dx in range(-reach, reach + 1):
            here, there = _overlap(values, dy, dx)
            pairs = _overlap(used, dy, dx)
            count = int((pairs[0] & pairs[1]).sum())
            mean = float((here * there).sum()) / count if count else 0.0
            kernel[reach + dy, reach + dx] = kernel[reach - dy, reach - dx] = mean
    return _without_negative_power(kernel / kernel[reach, reach])


def _overlap[A: (FloatArray, BoolArray)](plane: A, dy: int, dx: int) -> tuple[A, A]:
    ny, nx = plane.shape
    first = plane[dy:, max(dx, 0) : nx + min(dx, 0)]
    second = plane[: ny - dy, max(-dx, 0) : nx - max(dx, 0)]
    return first, second


def _power(kernel: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Give the power spectrum of a correlation, as `rfft2` of an image of a shape orders it."""
    reach = kernel.shape[0] // 2
    plane = np.zeros(shape)
    plane[: kernel.shape[0], : kernel.shape[1]] = kernel
    plane = np.roll(plane, (-reach, -reach), axis=(0, 1))
    return np.maximum(np.fft.rfft2(plane).real, 0.0)


def _without_negative_power(kernel: FloatArray) -> FloatArray:
    reach = kernel.shape[0] // 2
    shape = (8 * kernel.shape[0],) * 2
    plane = np.fft.irfft2(_power(kernel, shape), s=shape)
    cut = np.roll(plane, (reach, reach), axis=(0, 1))[: kernel.shape[0], : kernel.shape[1]]
    return np.asarray(cut / cut[reach, reach])
