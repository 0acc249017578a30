"""What do the single exposures of a pointing say about its noise?

The sky is the same in all of them, so it is absent from their differences, lines included, and
no continuum has to be fitted. Imprints never enter: which exposures are science is said by the
table of exposures.
"""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.cube import Cube, FloatArray
from ard.errors import FormatError
from ard.fitsio import native, open_hdus
from ard.headers import celestial_wcs
from ard.s3d import DO_NOT_USE, NON_SCIENCE
from ard.spectral import read_wave
from ard.table import Table
from pipeline import roles
from pipeline.reduce.noise.apertures import measure_apertures
from pipeline.reduce.noise.correlation import Covariance, measure
from pipeline.reduce.noise.kernel import Kronecker, covariance_of, kronecker
from pipeline.reduce.noise.scale import ScaleCurve, draw_scale
from pipeline.reduce.outliers import MAD_TO_SIGMA, nanmedian

Float32Array = NDArray[np.float32]

# A dither further from whole spaxels than this would have to be resampled.
_WHOLE: Final = 0.02
_LAGS: Final = (2, 6, 6)
_SIDE: Final = 3
_SKY_GRID: Final = (8, 64, 64)
# An error this many times the median of its channel is that of a hit or of a hot pixel, which can
# hide in a difference where two exposures have it side by side.
_HIT: Final = 3.0
_FEWEST: Final = 2
_TO_LEAVE_OUT: Final = 3


@dataclass(frozen=True, eq=False)
class Dither:
    """One exposure, as far as it is needed here.

    Attributes
    ----------
    filename : str
    flux, err : ndarray of float32, shape (n_wave, ny, nx), or None
        NaN where not usable; None for what its header calls an imprint.
    wave : ndarray, shape (n_wave,)
        um.
    wcs : astropy.wcs.WCS
    unit : str
    simulated : bool
    """

    filename: str
    flux: Float32Array | None
    err: Float32Array | None
    wave: FloatArray
    wcs: WCS
    unit: str
    simulated: bool


def read_dither(path: str | os.PathLike[str]) -> Dither:
    """Read flux and error of one exposure; of an imprint, nothing but where it is.

    Raises
    ------
    FormatError
        If it has no SCI or ERR.
    """
    file = Path(path).name
    with open_hdus(path) as hdus:
        if "SCI" not in hdus or "ERR" not in hdus:
            raise FormatError(
                "the file is no exposure",
                file=path,
                expected="the extensions SCI and ERR",
                found=", ".join(hdu.name for hdu in hdus),
                action="give the per-exposure s3d files of the archive",
            )
        primary, header = hdus[0].header, hdus["SCI"].header
        flux = err = None
        if roles.flag(primary.get("IS_IMPRT")) is not True:
            flux = native(hdus["SCI"].data).astype(np.float32)
            err = native(hdus["ERR"].data).astype(np.float32)
            good = np.isfinite(flux) & np.isfinite(err) & (err > 0)
            if "DQ" in hdus:
                flags = native(hdus["DQ"].data).astype(np.uint32)
                good &= (flags & np.uint32(DO_NOT_USE | NON_SCIENCE)) == 0
            flux[~good], err[~good] = np.nan, np.nan
        return Dither(
            filename=file,
            flux=flux,
            err=err,
            wave=read_wave(hdus, header, file),
            wcs=celestial_wcs(header, file),
            unit=str(header.get("BUNIT", "")),
            simulated=bool(primary.get("SIMULATD", False)),
        )


@dataclass(frozen=True, eq=False)
class Stack:
    """The science exposures of a pointing on the grid of its cube.

    Attributes
    ----------
    names : tuple of str
    flux, err : ndarray of float32, shape (n_exposures, n_wave, ny, nx)
        NaN where an exposure has nothing.
    """

    names: tuple[str, ...]
    flux: Float32Array
    err: Float32Array


def stack(cube: Cube, exposures: Mapping[str, Dither], table: Table) -> Stack | str:
    """Put the science exposures of the cube's pointing on its grid.

    Returns
    -------
    Stack or str
        Why there is none: fewer than two exposures of this pointing, or exposures that are not on
        the spaxels and channels of the cube (they are resampled elsewhere, which changes noise).
    """
    chosen = [exposures[name] for name in _science(cube, table) if name in exposures]
    chosen = [one for one in chosen if one.flux is not None]
    if len(chosen) < _FEWEST:
        return f"{len(chosen)} science exposures of this pointing"
    shape = (len(chosen), *cube.shape)
    flux, err = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for number, one in enumerate(chosen):
        place = _place(cube, one)
        if place is None:
            return f"{one.filename} is not on whole spaxels and channels of the cube"
        flux[number][place], err[number][place] = one.flux, one.err
        typical = nanmedian(err[number].reshape(cube.shape[0], -1), axis=1)[:, None, None]
        with np.errstate(invalid="ignore"):
            flux[number][err[number] > _HIT * typical] = np.nan
    return Stack(tuple(one.filename for one in chosen), flux, err)


def _science(cube: Cube, table: Table) -> list[str]:
    """Name the science exposures of the pointing of a cube, by what the exposures stage found."""
    ra_deg, dec_deg = cube.meta.get("TARG_RA"), cube.meta.get("TARG_DEC")
    if not isinstance(ra_deg, int | float) or not isinstance(dec_deg, int | float):
        return []
    place = (float(ra_deg), float(dec_deg))
    rows = table.data
    ra, dec = (u.Quantity(rows[name]).to_value(u.deg) for name in ("ra_deg", "dec_deg"))
    positions = zip(ra.tolist(), dec.tolist(), strict=True)
    near = [roles.separation_arcsec(p, place) < roles.POINTING_ARCSEC for p in positions]
    science = [str(role) == roles.SCIENCE for role in rows["role"]]
    wanted = zip(rows["filename"], near, science, strict=True)
    return [str(name) for name, close, right in wanted if close and right]


def _place(cube: Cube, one: Dither) -> Any:
    """Say where an exposure lies on the grid of the cube; None if on no whole spaxels of it."""
    if one.flux is None or one.unit != cube.unit:
        return None
    n_wave, ny, nx = one.flux.shape
    corners = np.array([[0, 0], [nx - 1, ny - 1], [nx - 1, 0]], dtype=np.float64)
    sky = one.wcs.all_pix2world(corners, 0)
    shift = cube.wcs.all_world2pix(sky, 0, quiet=True) - corners
    x, y = (int(v) for v in np.rint(shift[0]))
    first = int(np.argmin(np.abs(cube.wave - one.wave[0])))
    _, rows, columns = cube.shape
    inside = x >= 0 and y >= 0 and x + nx <= columns and y + ny <= rows
    if not inside or first + n_wave > cube.wave.size:
        return None
    step = float(np.median(np.diff(cube.wave)))
    off = np.abs(cube.wave[first : first + n_wave] - one.wave).max() / step
    if max(np.abs(shift - [x, y]).max(), off) > _WHOLE:
        return None
    return np.s_[first : first + n_wave, y : y + ny, x : x + nx]


@dataclass(frozen=True, eq=False)
class DitherNoise:
    """The noise that differences of exposures show.

    Attributes
    ----------
    curve : ScaleCurve
        Scatter over ERR of the exposures, in every channel.
    correlation : Covariance
        Of the differences.
    left_out : tuple of dict
        For each exposure: how the difference between it and the mean of the others scatters, over
        what a model made of the others alone predicts, in single voxels and in apertures.
    """

    curve: ScaleCurve
    correlation: Covariance
    left_out: tuple[dict[str, Any], ...]


def from_dithers(
    stacked: Stack, *, n_sigma: float, n_sigma_lag: float, spacing: float
) -> DitherNoise:
    """Measure the noise of the exposures from their differences, and leave out one at a time.

    Parameters
    ----------
    stacked : Stack
    n_sigma : float
        A difference further from zero is an outlier.
    n_sigma_lag : float
        See `kernel.support`.
    spacing : float
        Channels between the knots of the scale.
    """
    # A model without one exposure needs a single difference that no other model has.
    difference = cache(partial(_difference, stacked, n_sigma))
    every = list(range(len(stacked.names)))
    curve, correlation, _ = _model(difference, every, n_sigma_lag, spacing)
    left_out = []
    if len(every) >= _TO_LEAVE_OUT:
        for number in every:
            others = [k for k in every if k != number]
            model = _model(difference, others, n_sigma_lag, spacing)
            left_out.append(_leave_out(stacked, number, others, model, n_sigma))
    return DitherNoise(curve, correlation, tuple(left_out))


@dataclass(frozen=True, eq=False)
class _Difference:
    """What one exposure minus another shows: its covariance, and counts and squares by channel."""

    covariance: Covariance
    number: NDArray[np.int64]
    square: FloatArray


def _difference(stacked: Stack, n_sigma: float, one: int, other: int) -> _Difference:
    error = np.hypot(stacked.err[one], stacked.err[other])
    pull = _clipped((stacked.flux[one] - stacked.flux[other]) / error, n_sigma)
    return _Difference(
        covariance=measure(pull, np.arange(pull.shape[0]), _LAGS),
        number=np.isfinite(pull).sum(axis=(1, 2)),
        square=np.nansum(pull**2, axis=(1, 2)),
    )


def _model(
    difference: Callable[[int, int], _Difference],
    chosen: Sequence[int],
    n_sigma_lag: float,
    spacing: float,
) -> tuple[ScaleCurve, Covariance, Kronecker]:
    """Make a model of the noise of some exposures from differences of neighbours in time."""
    parts = [difference(one, other) for one, other in itertools.pairwise(chosen)]
    first = _together([part.covariance for part in parts])
    number = np.sum([part.number for part in parts], axis=0)
    square = np.sum([part.square for part in parts], axis=0)
    # Neighbouring differences share an exposure, which takes a part of their independence.
    shared = 1.0 + 0.5 * (len(parts) - 1) / len(parts)
    independent = number / (np.sum(first.value[first.lags[0]] ** 2) * shared)
    mean = square / np.maximum(number, 1)
    index = np.arange(mean.size)
    curve = draw_scale(mean, independent, index, index.size, spacing)
    return curve, first, kronecker(first, n_sigma_lag)


def _together(parts: Sequence[Covariance]) -> Covariance:
    """Average covariance functions; the error is that of one, which is on the safe side."""
    pairs = sum(part.pairs for part in parts)
    value = sum(part.value * part.pairs for part in parts) / np.maximum(pairs, 1.0)
    variance = float(np.mean([part.variance for part in parts]))
    return Covariance(np.asarray(value), parts[0].error, variance, np.asarray(pairs))


def _clipped(pull: Any, n_sigma: float) -> FloatArray:
    """Take outliers out: far from zero for their channel and for their spaxel."""
    values = np.asarray(pull, dtype=np.float64)
    flat = np.abs(values).reshape(values.shape[0], -1)
    channel = MAD_TO_SIGMA * nanmedian(flat, axis=1)[:, None, None]
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < n_sigma * channel, values, np.nan)


def _leave_out(
    stacked: Stack,
    number: int,
    others: Sequence[int],
    model: tuple[ScaleCurve, Covariance, Kronecker],
    n_sigma: float,
) -> dict[str, Any]:
    curve, correlation, sequences = model
    mean = np.mean([stacked.flux[k] for k in others], axis=0, dtype=np.float64)
    variance = np.mean([stacked.err[k] ** 2 for k in others], axis=0) / len(others)
    sigma = np.sqrt(stacked.err[number] ** 2 + variance) * curve.value[:, None, None]
    pull = _clipped((stacked.flux[number] - mean) / sigma, n_sigma)
    values = pull[np.isfinite(pull)]
    effective = values.size / np.sum(correlation.value**2)
    lags = covariance_of(sequences.density(_SKY_GRID))[0]
    good = np.isfinite(pull)
    error = np.where(good, sigma, 1.0)
    residual = np.where(good, pull * error, np.nan)
    (found,) = measure_apertures(residual, error, (lags,), (_SIDE,))
    return {
        "file": stacked.names[number],
        "count": int(values.size),
        "ratio": float(np.mean(values**2)),
        "error": float(np.sqrt(2.0 / effective)),
        "aperture_ratio": found[0].ratio if found else None,
        "aperture_error": found[0].error if found else None,
    }
