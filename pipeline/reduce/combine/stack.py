"""What is the flux of every voxel of a grid, given any subset of the exposures?

The flux of a place is the mean of what fell on it, weighted by area and exposure; its variance
follows. `combine` is what jackknives call: it takes any exposures, any grid, and a list of those
to leave out. A few channels are treated at a time, so that memory does not grow with the number
of exposures.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import FormatError, NotFoundError
from ard.s3d import DO_NOT_USE, NON_SCIENCE, OUTLIER
from pipeline.reduce.combine.covariance import Kernel, covariance, coverage, kernel
from pipeline.reduce.combine.exposure import ExposureCube
from pipeline.reduce.combine.grid import Grid, require_same_wave
from pipeline.reduce.combine.overlap import Operator, operator
from pipeline.reduce.combine.rejection import COVERED, Samples, reject

# Spaxels along x and y over which correlations are given: drops of one spaxel reach no further.
_REACH: Final = 3


@dataclass(frozen=True)
class Config:
    """How are exposures combined?

    Attributes
    ----------
    pixfrac : float
        Side of the drop that a spaxel is shrunk to, above 0, at most 1: smaller drops correlate
        neighbours less, and leave holes where there are few dithers.
    weighting : {"equal", "exptime"}
        Whether exposures count alike, or by their exposure time.
    min_coverage : float
        A voxel on which less area of good light fell, in spaxels and relative to that of a drop,
        is masked.
    min_exposures : int
        A voxel of which fewer exposures have a good sample is masked, because nothing tells what
        one alone shows from a hit. With fewer exposures than that, all of them are asked for.
    reject_sigma : float
        See `pipeline.reduce.combine.rejection`; 0 rejects nothing.
    reject_samples : int
        Number of exposures of a place below which nothing is rejected there. Of two that
        disagree, both are rejected; 3 would keep both.
    reject_slope : float
        See `pipeline.reduce.combine.rejection`.
    chunk : int
        Channels treated at a time.
    """

    pixfrac: float = 1.0
    weighting: Literal["equal", "exptime"] = "equal"
    min_coverage: float = 0.1
    min_exposures: int = 2
    reject_sigma: float = 6.0
    reject_samples: int = 2
    reject_slope: float = 1.5
    chunk: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.pixfrac <= 1:
            raise ValueError("pixfrac must be above 0, and 1 at most")
        if self.min_coverage <= 0 or self.reject_sigma < 0 or self.reject_slope < 0:
            raise ValueError("min_coverage above 0, reject_sigma and reject_slope of 0 or more")
        if self.reject_samples < 2 or self.chunk < 1 or self.min_exposures < 1:
            raise ValueError("reject_samples of 2 or more, chunk and min_exposures of 1 or more")


@dataclass(frozen=True)
class Part:
    """What one exposure gave.

    Attributes
    ----------
    filename : str
    shift : (float, float)
        Offset on the grid, x and y, spaxels.
    whole : bool
        Whether that is whole spaxels.
    weight : float
    good, errorless, rejected : int
        Voxels that could be used, that have a flux and no error, that the other dithers
        contradict.
    """

    filename: str
    shift: tuple[float, float]
    whole: bool
    weight: float
    good: int
    errorless: int
    rejected: int


@dataclass(frozen=True, eq=False)
class Combination:
    """A combined cube, and what it was made of.

    Attributes
    ----------
    grid : Grid
    flux, var, weight : ndarray, shape (n_wave, ny, nx)
        MJy/sr, its square; number of contributing detector pixels. NaN, NaN and 0 where masked.
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.
    dq : ndarray of uint32, shape (n_wave, ny, nx)
        DO_NOT_USE and NON_SCIENCE where no exposure looked, DO_NOT_USE where none can be used,
        OUTLIER where a sample was rejected.
    scale : ndarray, shape (n_wave,)
        Scatter between the dithers over what their errors say.
    operators : tuple of Operator
        One for each exposure that was used.
    parts : tuple of Part
        The same, in words and numbers.
    """

    grid: Grid
    flux: FloatArray
    var: FloatArray
    weight: FloatArray
    mask: BoolArray
    dq: Any
    scale: FloatArray
    operators: tuple[Operator, ...]
    parts: tuple[Part, ...]

    def cube(self, **attributes: Any) -> Cube:
        """Give it as a Cube; `attributes` are further ones of `ard.Cube`."""
        return Cube(
            self.flux, self.var, self.mask, self.grid.wave, self.grid.wcs,
            dq=self.dq, weight=self.weight, **attributes,
        )  # fmt: skip

    def covariance(self) -> Any:
        """Give the covariance of spaxels for inputs of unit variance, scipy.sparse (n, n)."""
        return covariance(self.operators, [part.weight for part in self.parts])

    def kernel(self, reach: int = _REACH) -> Kernel:
        """Give the correlation that the resampling makes, by separation up to `reach`."""
        total = coverage(self.operators, [part.weight for part in self.parts])
        return kernel(self.covariance(), total, self.grid.shape, reach)


def combine(
    exposures: Sequence[ExposureCube],
    grid: Grid,
    leave_out: Collection[str] = (),
    *,
    config: Config | None = None,
) -> Combination:
    """Put exposures on a grid and average them.

    Parameters
    ----------
    exposures : sequence of ExposureCube
        Science exposures; what else lies beside them is for the caller to keep away.
    grid : Grid
        Of the archive's Level-3 cube, or `common_grid` of the exposures.
    leave_out : collection of str
        File names of exposures that are not to be used.
    config : Config, optional
        Settings; the defaults if absent.

    Returns
    -------
    Combination

    Raises
    ------
    NotFoundError
        If one to be left out is not there.
    FormatError
        If no exposure is left, none has a voxel that can be used, or one misses the grid or the
        exposure time that it is to be weighted by; GridMismatchError if the wavelengths differ.
    """
    config = config or Config()
    used = _kept(exposures, leave_out)
    require_same_wave(used, grid)
    operators = tuple(_operator(exposure, grid, config) for exposure in used)
    weights = _weights(used, config)
    sums = _Sums(grid, operators, weights, config)
    for start in range(0, grid.wave.size, config.chunk):
        stop = min(start + config.chunk, grid.wave.size)
        sums.add(start, stop, used)
    if not sums.good.any():
        raise FormatError(
            "no exposure has a voxel that can be used",
            file=used[0].filename,
            expected="finite flux, positive error, and no DO_NOT_USE in DQ, somewhere",
            found=f"{len(used)} exposures, all of them masked: "
            + ", ".join(exposure.filename for exposure in used),
            action="check the DQ and WMAP extensions of these files",
        )
    counts = zip(sums.good, sums.errorless, sums.rejected, strict=True)
    parts = tuple(
        Part(e.filename, o.shift, o.whole, w, *(int(n) for n in count))
        for e, o, w, count in zip(used, operators, weights, counts, strict=True)
    )
    return Combination(grid, *sums.cubes(), sums.scale, operators, parts)


def _kept(exposures: Sequence[ExposureCube], leave_out: Collection[str]) -> list[ExposureCube]:
    names = [exposure.filename for exposure in exposures]
    unknown = sorted(set(leave_out) - set(names))
    if unknown:
        raise NotFoundError(
            "an exposure that is to be left out is not there",
            expected=", ".join(names),
            found=", ".join(unknown),
            action="name exposures of this pointing",
        )
    return [exposure for exposure in exposures if exposure.filename not in leave_out]


def _operator(exposure: ExposureCube, grid: Grid, config: Config) -> Operator:
    try:
        return operator(
            exposure.wcs, exposure.shape[1:], grid.wcs, grid.shape, pixfrac=config.pixfrac
        )
    except FormatError as error:
        raise FormatError(
            error.problem,
            file=exposure.filename,
            expected=error.expected,
            found=error.found,
            action=error.action,
        ) from error


def _weights(exposures: Sequence[ExposureCube], config: Config) -> list[float]:
    if config.weighting == "equal":
        return [1.0] * len(exposures)
    times = [exposure.exptime_s for exposure in exposures]
    known = np.array([time for time in times if time is not None])
    if known.size < len(times):
        missing = [e.filename for e, time in zip(exposures, times, strict=True) if time is None]
        raise FormatError(
            "exposures without a time cannot be weighted by it",
            file=missing[0],
            expected="EFFEXPTM above 0 in every exposure",
            found=f"none in {', '.join(missing)}",
            action="fetch these files again, or use weighting equal",
        )
    return [float(weight) for weight in known / known.mean()]


class _Sums:
    """The cubes of a combination, filled a few channels at a time."""

    def __init__(
        self, grid: Grid, operators: Sequence[Operator], weights: Sequence[float], config: Config
    ) -> None:
        self._grid, self._operators, self._weights = grid, operators, weights
        self._config = config
        shape = (grid.wave.size, *grid.shape)
        self._flux, self._var, self._wmap = (np.full(shape, np.nan) for _ in range(3))
        self._dq = np.zeros(shape, np.uint32)
        self._squares = [o.matrix * o.matrix for o in operators]
        self._seen = (coverage(operators, weights) > 0).reshape(grid.shape)
        self.scale = np.full(grid.wave.size, np.nan)
        self.good, self.errorless, self.rejected = (np.zeros(len(operators), int) for _ in "123")

    def add(self, start: int, stop: int, exposures: Sequence[ExposureCube]) -> None:
        """Combine channels start to stop."""
        config = self._config
        sections = [exposure.channels(start, stop) for exposure in exposures]
        samples = [
            Samples(_flat(s.flux), _flat(s.err), _flat(s.good), o, e.subtracted)
            for e, s, o in zip(exposures, sections, self._operators, strict=True)
        ]
        found = reject(
            samples,
            self._grid.shape,
            n_sigma=config.reject_sigma,
            least=config.reject_samples,
            slope=config.reject_slope,
        )
        self.scale[start:stop] = found.scale
        n_out = self._seen.size
        flux, var, area, wmap, hit, count = (np.zeros((n_out, stop - start)) for _ in range(6))
        for k, (sample, section) in enumerate(zip(samples, sections, strict=True)):
            outlier, matrix, weight = found.outliers[k], sample.operator.matrix, self._weights[k]
            kept = sample.good & ~outlier
            self.good[k] += int(sample.good.sum())
            self.errorless[k] += section.errorless
            self.rejected[k] += int(outlier.sum())
            flux += weight * (matrix @ np.where(kept, sample.flux, 0.0))
            var += weight**2 * (self._squares[k] @ np.where(kept, sample.err**2, 0.0))
            fallen = matrix @ kept.astype(np.float64)
            area += weight * fallen
            count += fallen > COVERED
            wmap += matrix @ np.where(kept, _flat(section.weight), 0.0)
            hit += matrix @ outlier.astype(np.float64)
        self._fill(start, stop, (flux, var, area, wmap, hit, count))

    def _fill(self, start: int, stop: int, sums: tuple[FloatArray, ...]) -> None:
        shape = (stop - start, *self._grid.shape)
        flux, var, area, wmap, hit, count = (values.T.reshape(shape) for values in sums)
        least = min(self._config.min_exposures, len(self._operators))
        usable = (area >= self._config.min_coverage) & ((count >= least) | (least == 1))
        over = np.where(usable, area, 1.0)
        part = np.s_[start:stop]
        self._flux[part] = np.where(usable, flux / over, np.nan)
        self._var[part] = np.where(usable, var / over**2, np.nan)
        self._wmap[part] = np.where(usable, wmap, 0.0)
        flags = np.where(hit > 0, np.uint32(OUTLIER), np.uint32(0))
        flags |= np.where(usable, np.uint32(0), np.uint32(DO_NOT_USE))
        unseen = np.where(self._seen, np.uint32(0), np.uint32(DO_NOT_USE | NON_SCIENCE))
        self._dq[part] = flags | unseen

    def cubes(self) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray, Any]:
        """Give flux, variance, weight, mask and DQ."""
        return self._flux, self._var, self._wmap, np.isnan(self._flux), self._dq


def _flat(values: Any) -> Any:
    """Give channels as columns: (n, ny, nx) to (n_in, n)."""
    return np.ascontiguousarray(values.reshape(values.shape[0], -1).T)
