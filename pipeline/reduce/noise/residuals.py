"""What is left of a cube when lines, continuum and outliers are taken away?

In this order: channels with lines are left out, a first continuum is drawn through medians, voxels
far from it are outliers, and the continuum is fitted again without them. An outlier is far from
what its own spaxel and channel scatter, so that a bright source with larger residuals does not
count as a field of outliers. The width comes from medians of absolute deviations and the limit is
the same on both sides, so that tails on one side neither hide themselves nor bend the rest.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.ndimage import median_filter

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import ArdError
from pipeline.reduce.noise import continuum
from pipeline.reduce.noise.channels import FreeChannels
from pipeline.reduce.noise.continuum import Splines
from pipeline.reduce.outliers import MAD_TO_SIGMA, nanmedian

# Of a normal distribution, the scatter of ln(MAD) times the root of the number of values.
MAD_SCATTER: Final = 1.17
_SURE: Final = 3.0
# The scale of a channel for the rejection alone: a median over this many.
_SMOOTH: Final = 9


@dataclass(frozen=True, eq=False)
class Residuals:
    """Line-free residuals in units of ERR, with what was left out.

    Attributes
    ----------
    pull : ndarray, shape (n_free, ny, nx)
        (Flux - continuum) / ERR in the line-free channels; NaN where not used.
    err : ndarray, shape (n_free, ny, nx)
        ERR; 1 where not used.
    index : ndarray of int, shape (n_free,)
        Numbers of these channels in the cube.
    basis : Splines
        What counts as continuum.
    spaxels : ndarray of bool, shape (ny, nx)
        Spaxels that are measured.
    odd : ndarray of bool, shape (ny, nx)
        Spaxels that scatter unlike the others: a bright source leaves more than noise.
    outliers : ndarray of bool, shape (n_wave, ny, nx)
        Voxels beyond the limit, in all spaxels that a continuum was fitted to.
    scatter : ndarray, shape (ny, nx)
        Robust scatter over ERR of each spaxel; NaN where none was fitted.
    channel_scatter : ndarray, shape (n_free,)
        Robust scatter over ERR of each line-free channel, of all residuals of measured spaxels:
        where a channel is loud, many of them are beyond the limit.
    """

    pull: FloatArray
    err: FloatArray
    index: Any
    basis: Splines
    spaxels: BoolArray
    odd: BoolArray
    outliers: BoolArray
    scatter: FloatArray
    channel_scatter: FloatArray

    @property
    def used(self) -> BoolArray:
        """Say which voxels count, shape (n_free, ny, nx)."""
        return np.isfinite(self.pull)

    @property
    def mean_square(self) -> FloatArray:
        """Give the mean square of each line-free channel, shape (n_free,)."""
        number = np.maximum(self.used.sum(axis=(1, 2)), 1)
        return np.asarray(np.nansum(self.pull**2, axis=(1, 2)) / number)


@dataclass(frozen=True)
class Limits:
    """What is needed of a spaxel, and what is an outlier?

    Attributes
    ----------
    spacing : float
        Line-free channels between the knots of the continuum.
    n_sigma : float
        A voxel further from the continuum is an outlier.
    min_used : float
        A spaxel is measured if this fraction of the line-free channels can be used.
    odd_factor : float
        A spaxel is odd if it scatters more, or less, than the typical one by this factor.
    min_spaxels : int
        Fewer measured spaxels are an error.
    """

    spacing: float
    n_sigma: float
    min_used: float
    odd_factor: float
    min_spaxels: int


def find_residuals(cube: Cube, channels: FreeChannels, limits: Limits) -> Residuals:
    """Take lines, continuum and outliers off a cube.

    Parameters
    ----------
    cube : Cube
    channels : FreeChannels
        Where no line can be.
    limits : Limits

    Raises
    ------
    ArdError
        If too few spaxels can be measured, or they do not scatter at all.
    """
    index = channels.index
    _, ny, nx = cube.shape
    good = ~cube.mask[index].reshape(index.size, -1)
    fitted = good.mean(axis=0) >= limits.min_used
    _require_spaxels(int(fitted.sum()), limits, "with enough line-free voxels")
    good = good[:, fitted]
    err = np.where(good, np.sqrt(cube.var[index].reshape(index.size, -1)[:, fitted]), 1.0)
    pull = np.where(good, cube.flux[index].reshape(index.size, -1)[:, fitted] / err, np.nan)
    basis = continuum.splines(index, limits.spacing)
    kept, left, scatter = _clip(basis, pull, good, err, limits)
    odd = _odd(scatter, index.size, limits)
    _require_spaxels(int((~odd).sum()), limits, "that scatter alike")

    def whole(values: Any, blank: Any) -> Any:
        out = np.full((*values.shape[:-1], ny * nx), blank)
        out[..., fitted] = values
        return out.reshape(*values.shape[:-1], ny, nx)

    outliers = np.zeros(cube.shape, dtype=bool)
    outliers[index] = whole(good & ~kept, False)
    return Residuals(
        pull=whole(np.where(kept & ~odd, left, np.nan), np.nan),
        err=whole(err, 1.0),
        index=index,
        basis=basis,
        spaxels=whole(~odd, False),
        odd=whole(odd, False),
        outliers=outliers,
        scatter=whole(scatter, np.nan),
        channel_scatter=MAD_TO_SIGMA * nanmedian(np.abs(left[:, ~odd]), axis=1),
    )


def refit(found: Residuals, pull: FloatArray) -> FloatArray:
    """Take the continuum off other values, with the voxels and weights of given residuals.

    Parameters
    ----------
    found : Residuals
    pull : ndarray, shape (n_free, ny, nx)
        Values in units of ERR.

    Returns
    -------
    ndarray, shape (n_free, ny, nx)
        NaN where `found` is.
    """
    used = found.used[:, found.spaxels]
    values = np.where(used, pull[:, found.spaxels], 0.0)
    err = found.err[:, found.spaxels]
    left = values - continuum.fit(found.basis, values, used.astype(np.float64), err)
    out = np.full(found.pull.shape, np.nan)
    out[:, found.spaxels] = np.where(used, left, np.nan)
    return out


def _require_spaxels(count: int, limits: Limits, which: str) -> None:
    if count < limits.min_spaxels:
        raise ArdError(
            "too few spaxels to measure the noise of a cube",
            expected=f"{limits.min_spaxels} spaxels or more {which}",
            found=count,
            action="check DQ and ERR of the cube; a smaller field needs --set "
            "noise.min_spaxels and larger errors of the result",
        )


def _clip(
    basis: Splines, pull: FloatArray, good: BoolArray, err: FloatArray, limits: Limits
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Give which voxels are kept, what the continuum leaves of all, and the scatter of spaxels."""
    left = pull - _first_continuum(basis, pull, err)
    kept, scatter = _inside(left, good, limits.n_sigma)
    for _ in range(2):
        values = np.where(kept, pull, 0.0)
        left = pull - continuum.fit(basis, values, kept.astype(np.float64), err)
        kept, scatter = _inside(left, good, limits.n_sigma)
    values = np.where(kept, pull, 0.0)
    left = pull - continuum.fit(basis, values, kept.astype(np.float64), err)
    return kept, left, scatter


def _first_continuum(basis: Splines, pull: FloatArray, err: FloatArray) -> FloatArray:
    """Join medians of groups of channels by straight lines, in units of ERR."""
    n_free = pull.shape[0]
    # As long as the distance of knots: so many outliers that they are half of one are no outliers.
    groups = np.array_split(np.arange(n_free), max(2, basis.count - 3))
    flux = pull * err
    nodes = np.stack([nanmedian(flux[group], axis=0) for group in groups if group.size])
    nodes = np.where(np.isnan(nodes), nanmedian(flux, axis=0), nodes)
    middle = [basis.index[group].mean() for group in groups if group.size]
    hats = np.stack([np.interp(basis.index, middle, row) for row in np.eye(len(middle))], axis=1)
    return np.asarray((hats @ nodes) / err)


def _inside(left: FloatArray, good: BoolArray, n_sigma: float) -> tuple[BoolArray, FloatArray]:
    """Say which residuals are within the limit, and how each spaxel scatters."""
    size = np.abs(left)
    scatter = MAD_TO_SIGMA * nanmedian(size, axis=0)
    if not (np.isfinite(scatter) & (scatter > 0)).all():
        raise ArdError(
            "spaxels of the cube do not scatter at all",
            expected="noise in every spaxel that is measured",
            found=f"{int((~(scatter > 0)).sum())} of {scatter.size} spaxels with constant flux",
            action="give the cube of the archive, not a model or a smoothed one",
        )
    shape = MAD_TO_SIGMA * nanmedian(size / scatter, axis=1)
    shape = median_filter(np.where(shape > 0, shape, 1.0), size=_SMOOTH, mode="nearest")
    # A spaxel that by chance seems to scatter less than the typical one does not.
    width = np.maximum(scatter, np.median(scatter))
    with np.errstate(invalid="ignore"):
        return good & (size < n_sigma * width * shape[:, None]), scatter


def _odd(scatter: FloatArray, n_free: int, limits: Limits) -> BoolArray:
    """Find spaxels whose scatter is not the typical one, by more than chance allows."""
    allowed = np.log(limits.odd_factor) + _SURE * MAD_SCATTER / np.sqrt(n_free)
    return np.asarray(np.abs(np.log(scatter / np.median(scatter))) > allowed)
