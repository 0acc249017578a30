"""What does the weight of a drizzled image mean: seconds of exposure, or inverse variance?

The file does not say it. It is decided by what the numbers can be: weights that add up to the
exposure time are times; weights that, times the variance of the blank sky, give one are inverse
variances. What fits neither or both is refused.
"""

from pathlib import Path
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError
from pipeline.reduce.imaging.parts import Part
from pipeline.reduce.outliers import robust_sigma

EXPOSURE: Final = "exposure"
INVERSE_VARIANCE: Final = "inverse variance"
# ERR of a calibrated exposure knows the photons of the sources as well (WFC3 Data Handbook:
# read noise and Poisson noise of the counts); an inverse variance in WHT is that of the background.
TOTAL: Final = "total inverse variance"
KINDS: Final = (EXPOSURE, INVERSE_VARIANCE)
# The best covered pixels saw the whole exposure: saturated and hot pixels take little away, and
# the drops of neighbours add a few per cent.
_TIME_RANGE: Final = (0.85, 1.15)
_BEST_PERCENTILE: Final = 90.0
# An inverse variance knows sky, dark and read noise, to some ten per cent. Single pixels of a
# drizzled image scatter too little, so blocks of them are asked; even they miss a little.
_VARIANCE_RANGE: Final = (0.6, 1.6)
_BLOCK: Final = 4
_MIN_BLOCKS: Final = 50


def read(
    part: Part, flux: FloatArray, mask: BoolArray, exptime: float, factor: FloatArray | float, *,
    given: str | None, file: Path,
) -> tuple[FloatArray, str]:  # fmt: skip
    """Give the weight of every pixel, and what it means.

    Parameters
    ----------
    part : Part
        The extensions of one chip: ERR, or WHT.
    flux : ndarray, shape (ny, nx)
        Electrons per second.
    mask : ndarray of bool, shape (ny, nx)
        True: do not use.
    exptime : float
        Exposure time of the image, s; 0 where it is not known.
    factor : float, or ndarray of shape (ny, nx)
        From the unit of SCI to electrons per second.
    given : str or None
        What the weight means, where the caller knows.
    file : path
        For messages.

    Raises
    ------
    FormatError
        If there is neither ERR nor WHT, no weight is positive, or its meaning cannot be decided.
    """
    err, weight = part.named("ERR"), part.named("WHT")
    if err is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ivar = np.where(err > 0, 1.0 / (err * factor) ** 2, 0.0)
        return np.where(np.isfinite(ivar), ivar, 0.0), TOTAL
    used = ~mask if weight is None else ~mask & (weight > 0)
    if weight is None or not used.any():
        raise FormatError(
            "the image has no weight",
            file=file,
            expected="an extension WHT or ERR with positive values",
            found="none" if weight is None else "WHT without a positive value",
            action="fetch the file again, or leave it out",
        )
    weight = np.where(np.isfinite(weight), weight, 0.0)
    kind = given or _decide(weight, flux, used, exptime, file)
    if kind not in KINDS:
        raise FormatError(
            "a weight cannot mean this",
            file=file,
            expected=" or ".join(KINDS),
            found=kind,
            action="correct Known(weight_kind=...)",
        )
    return (weight / factor**2 if kind == INVERSE_VARIANCE else weight), kind


def _decide(
    weight: FloatArray, flux: FloatArray, used: BoolArray, exptime: float, file: Path
) -> str:
    best = float(np.percentile(weight[used], _BEST_PERCENTILE))
    seconds = best / exptime if exptime > 0 else float("nan")
    variance = float(np.median(weight[used])) * _block_variance(flux, used)
    is_time = _TIME_RANGE[0] <= seconds <= _TIME_RANGE[1]
    is_inverse = _VARIANCE_RANGE[0] <= variance <= _VARIANCE_RANGE[1]
    if is_time != is_inverse:
        return EXPOSURE if is_time else INVERSE_VARIANCE
    raise FormatError(
        "it cannot be decided what the weight of this image means",
        file=file,
        expected="either WHT near EXPTIME, or WHT times the variance of the sky near 1",
        found=f"WHT / EXPTIME = {seconds:.3g}, WHT x variance = {variance:.3g}",
        action="say it with Known(weight_kind=...): exposure or inverse variance",
    )


def _block_variance(flux: FloatArray, used: BoolArray) -> float:
    """Give the variance of the sky for one pixel, from sums over blocks of pixels."""
    ny, nx = (n // _BLOCK for n in flux.shape)

    def sums(plane: FloatArray) -> FloatArray:
        cut = plane[: ny * _BLOCK, : nx * _BLOCK].reshape(ny, _BLOCK, nx, _BLOCK)
        return np.asarray(cut.sum(axis=(1, 3)))

    whole = sums(used.astype(float)) == _BLOCK**2
    if whole.sum() < _MIN_BLOCKS:
        return float("nan")
    light = sums(np.where(used, flux, 0.0))[whole]
    return float(robust_sigma(light - np.median(light), axis=0)) ** 2 / _BLOCK**2
