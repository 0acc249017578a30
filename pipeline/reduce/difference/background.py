"""What would each method take off as background, spaxel by spaxel?

Four answers to one question. Nothing (the standard Level-3 extraction); the other pointing at the
same place of the detector, which carries a copy of the wake; the sky beside the wake; and a few
spectra that describe the sky beside the wake, learned and fitted without the channels of lines, so
that no line flux can be in them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.reduce.combine.overlap import operator
from pipeline.reduce.difference.apertures import moved_wcs
from pipeline.reduce.outliers import MAD_TO_SIGMA, nanmedian, robust_sigma

STANDARD: Final = "standard"
COMBINED: Final = "combined"
POINTINGS: Final = "pointings"
ANNULUS: Final = "annulus"
LOWRANK: Final = "lowrank"
METHODS: Final = (STANDARD, COMBINED, POINTINGS, ANNULUS, LOWRANK)
SUBTRACTING: Final = (POINTINGS, ANNULUS, LOWRANK)

_NEAR: Final = np.array([1.0, 2.0, 1.0])
_FEW: Final = 5  # channels: about two line widths
_CONTRAST: Final = 4.0  # a point source has less over the mean of a spaxel and its neighbours
_INFLATED: Final = 3.0  # over the median error of the sky
_FAR: Final = 5.0  # robust standard deviations
_ROUNDS: Final = 6  # of clipping: without hits the first changes nothing
_LIVE: Final = 0.5  # share of the channels that a spaxel needs to count as seen


@dataclass(frozen=True, eq=False)
class Filled:
    """A cube without gaps where it was seen.

    Attributes
    ----------
    flux, var : ndarray, shape (n_wave, ny, nx)
        0 where not seen.
    seen : ndarray of bool, shape (ny, nx)
        Spaxels with enough good channels.
    measured : ndarray of bool, shape (n_wave, ny, nx)
        Voxels that were not filled.
    """

    flux: FloatArray
    var: FloatArray
    seen: BoolArray
    measured: BoolArray

    @property
    def live(self) -> BoolArray:
        """Channels in which anything was measured, shape (n_wave,).

        The others hold no flux and no error: no sum may run over them.
        """
        return np.asarray(self.measured[:, self.seen].any(axis=1))


def filled(cube: Cube) -> Filled:
    """Fill single masked voxels from their neighbours on the sky in the same channel.

    A sum over an aperture needs every spaxel at every wavelength; a masked one would make a step
    in the spectrum that looks like a line. How bright the spaxel is beside its neighbours is taken
    from the nearest channels, because the brightest spaxel of a knot is none of their mean.
    """
    good = (~cube.mask).astype(np.float64)
    seen = good.mean(axis=0) >= _LIVE
    clean = np.where(cube.mask, 0.0, cube.flux)
    flux = _bridge(clean, good, _brightness(clean, good))
    var = _bridge(np.where(cube.mask, 0.0, cube.var), good, None)
    return Filled(np.where(seen, flux, 0.0), np.where(seen, var, 0.0), seen, ~cube.mask & seen)


def _bridge(clean: FloatArray, good: FloatArray, brightness: FloatArray | None) -> FloatArray:
    """Give the values, and where there is none the mean of the neighbours times a brightness."""
    near = _near(good)
    around = _near(clean) / np.where(near > 0, near, 1.0)
    if brightness is not None:
        around *= brightness
    level = nanmedian(np.where(good > 0, clean, np.nan).reshape(good.shape[0], -1), axis=1)
    lone = np.nan_to_num(level)[:, None, None]
    return np.where(good > 0, clean, np.where(near > 0, around, lone))


def _brightness(clean: FloatArray, good: FloatArray) -> FloatArray:
    """Give each spaxel over the mean around it, over a few channels; 1 where that says nothing."""
    count, total = (
        ndimage.uniform_filter1d(values, _FEW, axis=0, mode="constant") for values in (good, clean)
    )
    known = (count > 0.5 / _FEW).astype(np.float64)
    image = np.where(known > 0, total / np.where(known > 0, count, 1.0), 0.0)
    near = _near(known)
    around = _near(image) / np.where(near > 0, near, 1.0)
    positive = (image > 0) & (around > 0) & (known > 0)
    ratio = np.where(positive, image, 1.0) / np.where(positive, around, 1.0)
    return np.clip(ratio, 1.0 / _CONTRAST, _CONTRAST)


def _near(values: FloatArray) -> FloatArray:
    rows = ndimage.convolve1d(values, _NEAR, axis=1, mode="constant")
    return np.asarray(ndimage.convolve1d(rows, _NEAR, axis=2, mode="constant"))


@dataclass(frozen=True, eq=False)
class Background:
    """What a method takes off, and how well that is known.

    Attributes
    ----------
    flux, var : ndarray, shape (n_wave, ny, nx)
        MJy/sr and its square.
    seen : ndarray of bool, shape (ny, nx)
        Where there is one.
    live : ndarray of bool, shape (n_wave,)
        Channels in which there is one.
    measured : ndarray of bool, shape (n_wave, ny, nx)
        Voxels of which more than half was measured, and the rest filled.
    fitted : bool
        Whether it follows the noise of every spaxel, in channels without lines only.
    """

    flux: FloatArray
    var: FloatArray
    seen: BoolArray
    live: BoolArray
    measured: BoolArray
    fitted: bool = False


def other_pointing(
    own: Cube, other: Cube, filling: Filled, offset: tuple[float, float]
) -> Background:
    """Give the other pointing at the same places of the detector.

    Parameters
    ----------
    own, other : Cube
    filling : Filled
        Of the other.
    offset : (float, float)
        Own minus other pointing, east and north, arcsec.
    """
    onto = operator(moved_wcs(other.wcs, *offset), other.shape[1:], own.wcs, own.shape[1:]).matrix
    share = onto @ filling.seen.ravel().astype(np.float64)
    seen = share > _LIVE
    over = np.where(seen, share, 1.0)
    flux, var = (
        (matrix @ values.reshape(values.shape[0], -1).T).T / over**power
        for matrix, values, power in (
            (onto, filling.flux, 1), (onto * onto, filling.var, 2),
        )
    )  # fmt: skip
    shape = (own.shape[0], *own.shape[1:])
    grid = seen.reshape(own.shape[1:])
    known = onto @ filling.measured.reshape(shape[0], -1).T.astype(np.float64)
    return Background(
        np.where(grid, flux.reshape(shape), 0.0),
        np.where(grid, var.reshape(shape), 0.0),
        grid,
        filling.live,
        (known.T > _LIVE).reshape(shape),
    )


def annulus(own: Filled, sky: BoolArray, blocked: BoolArray) -> Background:
    """Give the mean spectrum of the sky beside the wake.

    Left out are values of which the error is far above the others of their channel, as those of
    hits are; and values far off the others, but not in channels that lines can reach: faint light
    of a line in the sky is what is to be measured.

    Parameters
    ----------
    own : Filled
    sky : ndarray of bool, shape (ny, nx)
    blocked : ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    """
    chosen = own.seen & sky
    values, var = own.flux[:, chosen], own.var[:, chosen]
    middle, scatter = np.median(values, axis=1)[:, None], robust_sigma(values, 1)[:, None]
    kept = blocked[:, None] | (np.abs(values - middle) <= _FAR * scatter)
    kept &= var <= _INFLATED**2 * np.median(var, axis=1)[:, None]
    count = np.maximum(kept.sum(axis=1), 1)
    level = np.where(kept, values, 0.0).sum(axis=1) / count
    error = np.where(kept, var, 0.0).sum(axis=1) / count**2
    shape = own.flux.shape
    spread = [np.broadcast_to(v[:, None, None], shape) for v in (level, error)]
    live = own.measured[:, chosen].any(axis=1)
    return Background(spread[0], spread[1], own.seen, live, own.measured)


def low_rank(own: Filled, sky: BoolArray, blocked: BoolArray, rank: int) -> Background:
    """Describe every spaxel by the mean and the main components of the sky beside the wake.

    Parameters
    ----------
    own : Filled
    sky : ndarray of bool, shape (ny, nx)
    blocked : ndarray of bool, shape (n_wave,)
        Channels that lines can reach. They are left out when components are learned and when
        these are fitted; the spectra that are found are bridged there by straight lines.
    rank : int
        Number of components.

    Notes
    -----
    The variance is that of the cube, of which the fit follows a part: it says how noise changes
    with the channel, and its size means nothing.
    """
    chosen = own.seen & sky
    live = own.measured[:, chosen].any(axis=1)
    sigma = np.sqrt(np.median(own.var[:, chosen], axis=1))
    # Bridges are left out when components are learned: every channel of one repeats the noise of
    # its two ends, which alone would be taken for the main component of the sky.
    clear = ~blocked & live & (sigma > 0)
    sky_flux, scale = own.flux[:, chosen][clear], sigma[clear][:, None]
    # In a median spectrum and clipped values, a hit that was left does not become a component.
    middle = np.median(sky_flux, axis=1)[:, None]
    spread = (sky_flux - middle) / scale
    limit = _FAR * max(MAD_TO_SIGMA * float(np.median(np.abs(spread))), 1e-300)
    left, _, _ = np.linalg.svd(np.clip(spread, -limit, limit), full_matrices=False)
    white = left[:, :rank]
    data = own.flux.reshape(own.flux.shape[0], -1)[clear]
    scores = _scores(white, (data - middle) / scale)
    spectra = np.zeros((blocked.size, 1 + white.shape[1]))
    spectra[clear] = np.hstack([middle, white * scale])
    spectra = bridged(spectra, ~clear)
    model = spectra[:, :1] + spectra[:, 1:] @ scores
    shape = own.flux.shape
    flux = np.where(own.seen, model.reshape(shape), 0.0)
    return Background(flux, own.var, own.seen, live, own.measured, fitted=True)


def _scores(white: FloatArray, data: FloatArray) -> FloatArray:
    """Fit orthonormal components to spectra, in each of which a hit counts as five sigma do.

    Huber's estimate, by clipping what is left around the last fit; it begins with what is left
    around the median of each spectrum.
    """
    level = np.median(data, axis=0)
    scores = white.T @ (level + _clipped(data - level))
    for _ in range(_ROUNDS):
        scores = scores + white.T @ _clipped(data - white @ scores)
    return np.asarray(scores)


def _clipped(left: FloatArray) -> FloatArray:
    limit = _FAR * MAD_TO_SIGMA * np.median(np.abs(left), axis=0)
    return np.clip(left, -limit, limit)


def bridged(spectra: FloatArray, blocked: BoolArray) -> FloatArray:
    """Replace blocked channels by straight lines between those beside them, shape (n_wave, n)."""
    channel = np.arange(blocked.size)
    clear = channel[~blocked]
    right = np.clip(np.searchsorted(clear, channel), 0, clear.size - 1)
    left = np.clip(right - 1, 0, None)
    left = np.where(clear[right] <= channel, right, left)
    gap = np.where(right > left, clear[right] - clear[left], 1)
    share = np.clip((channel - clear[left]) / gap, 0.0, 1.0)[:, None]
    bridge = (1.0 - share) * spectra[clear[left]] + share * spectra[clear[right]]
    return np.where(blocked[:, None], bridge, spectra)
