"""Which voxels of an exposure disagree with the other dithers of the same place?

Compared are exposures with one another, channel by channel; never a channel with its neighbours,
because an emission line stands out among those and not among the dithers. The pipeline of the
observatory compares detector pixels over the stack and is known to leave hits of single exposures
in; the imprints leave hot pixels, which dithers move over the sky.

With three or four samples a mean or its scatter are no use, as one outlier makes both. The
reference is the median where the samples next to the middle agree, else the middle of two that do,
and none at all where no two samples agree: then nobody knows which is right, and all are rejected.
The error of a hit grows with it, so two hits that happen to agree are told by their errors: held
against those of the other samples, and where all are hits against those of the places around.

Where dithers are parts of spaxels, a sample is made of four voxels, so that four times as many have
a part of a hit. So the comparison is made twice there, the second time without the hits of the
first; and how steep the sky is at a place, which decides what may differ, is asked of samples whose
errors are usual.

What lies far below zero, with an error that is not usual, is told without the others: light is
never negative, but a hot pixel is, once the imprint is taken off. At the edge of the field two
dithers may be all there are; where they lie closer than a hit is wide, both see the same one, agree
and have like errors, and so have the places around.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from pipeline.reduce.combine.overlap import Operator
from pipeline.reduce.outliers import nanmedian, robust_sigma

# Share of a spaxel that good light of an exposure has to cover to count as a sample of it.
COVERED: Final = 0.3
# Pairs of samples in a channel from which the scatter over ERR is taken.
_ENOUGH_PAIRS: Final = 30
# Of the smallest error of a place: samples with a larger one do not vouch for one another.
_INFLATED: Final = 4.0
# So many samples of hits may agree by chance.
_FEW: Final = 2
# Of the typical error of a channel. Spaxels gather like numbers of detector pixels, within a factor
# of four, so that good errors are not smaller than half of it, but for places where all are; nor
# larger than twice it.
_SMALLEST: Final = 0.5
# Times that samples of parts of spaxels are compared: a third finds next to nothing.
_ROUNDS: Final = 2
# Of their robust scatter: beyond, differences are those of outliers.
_FAR: Final = 5.0


@dataclass(frozen=True, eq=False)
class Samples:
    """A few channels of one exposure, and how they are put on the grid.

    Attributes
    ----------
    flux, err : ndarray, shape (n_in, n)
        0 where not good.
    good : ndarray of bool, shape (n_in, n)
    operator : Operator
    subtracted : bool
        Whether another pointing was taken off, so that light may be negative.
    """

    flux: FloatArray
    err: FloatArray
    good: BoolArray
    operator: Operator
    subtracted: bool = False


@dataclass(frozen=True, eq=False)
class Rejection:
    """What was rejected in a few channels.

    Attributes
    ----------
    outliers : list of ndarray of bool, shape (n_in, n)
        For each exposure.
    scale : ndarray, shape (n,)
        Scatter between the dithers over what their errors say, channel by channel; NaN where too
        few places were seen twice.
    """

    outliers: list[BoolArray]
    scale: FloatArray


def reject(
    samples: Sequence[Samples], shape: tuple[int, int], *, n_sigma: float, least: int, slope: float
) -> Rejection:
    """Find the voxels that disagree with the other exposures.

    Parameters
    ----------
    samples : sequence of Samples
        One for each exposure.
    shape : (int, int)
        Rows and columns of the grid.
    n_sigma : float
        Smallest deviation, in errors times their scale (never below 1). The error is the smallest
        of the samples, because that of a hit grows with it: two hits would vouch for one another.
        0 rejects nothing.
    least : int
        Number of samples below which a place is not judged. With fewer exposures than that nothing
        is rejected.
    slope : float
        What is allowed besides, in largest steps of a sample from a place to its neighbours, where
        exposures are offset by parts of spaxels: they sample a sharp source differently, and a
        resampled one is blunter. Of the steps of the samples the median counts.

    Returns
    -------
    Rejection
    """
    found = _compare(samples, shape, (n_sigma, least, slope))
    if n_sigma == 0 or all(sample.operator.whole for sample in samples):
        return found
    for _ in range(_ROUNDS - 1):
        left = [_without(*pair) for pair in zip(samples, found.outliers, strict=True)]
        more = _compare(left, shape, (n_sigma, least, slope))
        outliers = [a | b for a, b in zip(found.outliers, more.outliers, strict=True)]
        found = Rejection(outliers, more.scale)
    return found


def _without(sample: Samples, outliers: BoolArray) -> Samples:
    flux, err = (np.where(outliers, 0.0, values) for values in (sample.flux, sample.err))
    return replace(sample, flux=flux, err=err, good=sample.good & ~outliers)


def _compare(
    samples: Sequence[Samples], shape: tuple[int, int], how: tuple[float, int, float]
) -> Rejection:
    """Compare all samples once; `how` is n_sigma, least and slope of `reject`."""
    n_sigma, least, slope = how
    flux, err = (np.stack(values) for values in zip(*map(_on_grid, samples), strict=True))
    scale = _scale(flux, err, samples)
    if n_sigma == 0 or len(samples) < max(least, 2):
        return Rejection([np.zeros(s.good.shape, bool) for s in samples], scale)
    factor = n_sigma * np.fmax(scale, 1.0)
    dark = [_dark(sample, factor) for sample in samples]
    samples = [_without(*pair) for pair in zip(samples, dark, strict=True)]
    flux, err = (np.stack(values) for values in zip(*map(_on_grid, samples), strict=True))
    least_err = _least(err)
    partial = slope > 0 and not all(sample.operator.whole for sample in samples)
    edges = slope * _edges(flux, err, least_err, shape) if partial else np.zeros(least_err.shape)
    agree = factor * least_err + edges
    centre, known, disputed = _reference(flux, err, least_err, agree, least)
    hit = known & _all_hits(flux, centre, agree, least_err, shape)
    known, disputed = known & ~hit, disputed | hit
    outliers = []
    for sample, hole in zip(samples, dark, strict=True):
        back = sample.operator.matrix.T
        share = back @ known.astype(np.float64)
        judged = share > 0
        over = np.where(judged, share, 1.0)
        expected, level, edge = (
            (back @ np.where(known, values, 0.0)) / over for values in (centre, least_err, edges)
        )
        far = judged & (np.abs(sample.flux - expected) > factor * level + edge)
        lost = ~judged & (back @ disputed.astype(np.float64) > 0)
        outliers.append(hole | sample.good & (far | lost))
    return Rejection(outliers, scale)


def _dark(sample: Samples, factor: FloatArray) -> BoolArray:
    """Say which voxels are far below zero, and have an error beyond those of good ones."""
    if sample.subtracted:
        return np.zeros(sample.good.shape, bool)
    usual = nanmedian(np.where(sample.good, sample.err, np.nan), axis=0)
    with np.errstate(invalid="ignore"):
        inflated = sample.err > usual / _SMALLEST
    return np.asarray(sample.good & inflated & (sample.flux < -factor * sample.err))


def _on_grid(sample: Samples) -> tuple[FloatArray, FloatArray]:
    """Give flux and error of one exposure at every place of the grid; NaN where it saw nothing.

    The error is the mean of the errors around, not that of the mean: the level, for comparison
    with single spaxels.
    """
    matrix = sample.operator.matrix
    share = matrix @ sample.good.astype(np.float64)
    seen = share > COVERED
    over = np.where(seen, share, 1.0)
    flux, err = (matrix @ values / over for values in (sample.flux, sample.err))
    return np.where(seen, flux, np.nan), np.where(seen, err, np.nan)


def smoothing(matrix: Any) -> FloatArray:
    """Give by how much resampling lowers an equal, independent error, shape (n_out,)."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    squares = np.asarray((matrix * matrix).sum(axis=1)).ravel()
    return np.sqrt(squares) / np.where(total > 0, total, 1.0)


def _scale(flux: FloatArray, err: FloatArray, samples: Sequence[Samples]) -> FloatArray:
    """Give the scatter of differences between successive exposures over their errors."""
    n = flux.shape[2]
    if len(samples) < 2:
        return np.full(n, np.nan)
    lowered = np.stack([smoothing(sample.operator.matrix) for sample in samples])[:, :, None]
    variance = (lowered * err) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = np.diff(flux, axis=0) / np.sqrt(variance[1:] + variance[:-1])
    pairs = pairs.reshape(-1, n)
    pairs = np.where(np.isfinite(pairs), pairs, np.nan)
    # One in eight of the differences holds an outlier, which even a median feels: once more
    # without them.
    first = robust_sigma(pairs, 0)
    with np.errstate(invalid="ignore"):
        pairs = np.where(np.abs(pairs) < _FAR * first, pairs, np.nan)
    enough = np.isfinite(pairs).sum(axis=0) >= _ENOUGH_PAIRS
    return np.where(enough, robust_sigma(pairs, 0), np.nan)


def _least(err: FloatArray) -> FloatArray:
    """Give the smallest error of each place, or the usual one where it is alone in being small.

    A single error that is too small would let no two samples agree.
    """
    # fmin ignores what is not there.
    least = np.fmin.reduce(err, axis=0)
    if len(err) < 2:
        return np.asarray(least)
    second = np.sort(err, axis=0)[1]  # NaN, where there is one alone, comes last
    usual = np.fmin(second, nanmedian(least, axis=0))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(least < _SMALLEST * usual, usual, least))


def _reference(
    flux: FloatArray, err: FloatArray, least_err: FloatArray, agree: FloatArray, least: int
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Give the value that samples support, where there is one, and where there is none.

    Parameters
    ----------
    flux, err : ndarray, shape (n_exposures, n_out, n)
        NaN where an exposure saw nothing.
    least_err : ndarray, shape (n_out, n)
        What the errors of samples that vouch for one another are held against.
    agree : ndarray, shape (n_out, n)
        Samples nearer to one another than this agree.
    least : int
        Number of samples below which a place is not judged.

    Returns
    -------
    centre : ndarray, shape (n_out, n)
    known : ndarray of bool, shape (n_out, n)
        Where there are enough samples, and the centre is supported by two at least.
    disputed : ndarray of bool, shape (n_out, n)
        Where there are enough samples, and no two agree.
    """
    order = np.argsort(flux, axis=0)
    ordered, errors = (np.take_along_axis(values, order, 0) for values in (flux, err))
    count = np.isfinite(ordered).sum(axis=0)
    pair_err = np.maximum(errors[1:], errors[:-1])
    with np.errstate(invalid="ignore"):
        support = np.diff(ordered, axis=0) <= agree
        support &= pair_err <= _INFLATED * least_err

    def at(values: Any, place: Any) -> Any:
        return np.take_along_axis(values, np.clip(place, 0, values.shape[0] - 1)[None], 0)[0]

    low, high = (count - 1) // 2, count // 2
    # Of an even number of samples the two in the middle, of an odd one the middle and a neighbour.
    odd = count % 2 == 1
    central = at(support, low) & (odd | (high > low)) & (low + 1 < count)
    central |= at(support, low - 1) & odd & (low > 0)
    best = np.where(support, pair_err, np.inf).argmin(axis=0)
    pair = 0.5 * (at(ordered, best) + at(ordered, best + 1))
    centre = np.where(central, 0.5 * (at(ordered, low) + at(ordered, high)), pair)
    enough = count >= max(least, 2)
    known = enough & support.any(axis=0)
    return centre, known, enough & ~known


def _all_hits(
    flux: FloatArray,
    centre: FloatArray,
    agree: FloatArray,
    least_err: FloatArray,
    shape: tuple[int, int],
) -> BoolArray:
    """Say where no more than two samples agree, and even the best error is that of a hit.

    It is held against the places around in the same channel. Three samples or more that agree show
    a bright source, whose errors are large as well.
    """
    with np.errstate(invalid="ignore"):
        few = (np.abs(flux - centre) <= agree).sum(axis=0) <= _FEW
        return np.asarray(few & (least_err > _INFLATED * _around(least_err, shape)))


def _around(image: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Give the median of each place and its eight neighbours, of those that there are."""
    ny, nx = shape
    edges = [(1, 1), (1, 1), (0, 0)]
    wide = np.pad(image.reshape(ny, nx, -1), edges, constant_values=np.nan)
    near = [wide[y : y + ny, x : x + nx] for y in range(3) for x in range(3)]
    return np.asarray(nanmedian(np.stack(near), axis=0).reshape(image.shape))


def _edges(
    flux: FloatArray, err: FloatArray, least_err: FloatArray, shape: tuple[int, int]
) -> FloatArray:
    """Give the largest step from each place to a neighbour, shape (n_out, n); 0 where unknown.

    The lower median of the samples, of which none is asked whose error is that of a hit.
    """
    with np.errstate(invalid="ignore"):
        calm = err <= _INFLATED * _around(least_err, shape)
    steps = np.sort([_steps(image, shape) for image in np.where(calm, flux, np.nan)], axis=0)
    middle = np.maximum(np.isfinite(steps).sum(axis=0) - 1, 0) // 2
    return np.asarray(np.nan_to_num(np.take_along_axis(steps, middle[None], 0)[0]))


def _steps(image: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Give the largest step from each place to one of its four neighbours, NaN without any."""
    largest = np.full((*shape, image.shape[1]), np.nan)
    for axis in (0, 1):
        step = np.abs(np.diff(image.reshape(largest.shape), axis=axis))
        edges = [(0, 0)] * 3
        for before in (0, 1):
            edges[axis] = (before, 1 - before)
            largest = np.fmax(largest, np.pad(step, edges, constant_values=np.nan))
    return largest.reshape(image.shape)
