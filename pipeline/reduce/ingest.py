"""Can this cube be trusted, and which of its voxels must not be used?

The stage looks before it computes: structure, the agreement of the three signs that a voxel holds
no data (NaN, DQ, WMAP), absurd errors, outliers, the place of the target, and how the noise
relates to the errors that the archive gives. It changes no flux and no error; it only masks, and
reports what it saw.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import FormatError
from ard.s3d import DO_NOT_USE, NON_SCIENCE, OUTLIER
from ard.spectral import require_barycentric
from manifests import Target
from pipeline.reduce.instruments import lsf_for, psf_for
from pipeline.reduce.outliers import Outliers, find_outliers, nanmedian, robust_sigma


@dataclass(frozen=True)
class Config:
    """Settings of the ingest stage.

    Attributes
    ----------
    min_channels : int
        A spaxel with fewer usable channels counts as empty.
    absurd_err_factor : float
        An error above this many times the median error of its channel says nothing: the voxel is
        masked. Real files hold errors up to 5.6e27.
    max_absurd_fraction : float
        If more of the usable voxels than this have absurd errors, the cube is refused.
    continuum_channels : int
        Width of the running median (odd).
    outlier_sigma, outlier_isolation : float
        See `pipeline.reduce.outliers`.
    """

    min_channels: int = 5
    absurd_err_factor: float = 1e4
    max_absurd_fraction: float = 0.1
    continuum_channels: int = 25
    outlier_sigma: float = 10.0
    outlier_isolation: float = 4.0

    def __post_init__(self) -> None:
        if self.min_channels < 1 or self.absurd_err_factor <= 1:
            raise ValueError("min_channels of 1 or more and absurd_err_factor above 1 needed")
        if not 0 <= self.max_absurd_fraction < 1:
            raise ValueError("max_absurd_fraction must be 0 or more, and below 1")
        if self.continuum_channels < 3 or self.continuum_channels % 2 == 0:
            raise ValueError("continuum_channels must be odd, and 3 or more")
        if self.outlier_sigma <= 0 or self.outlier_isolation < 1:
            raise ValueError("outlier_sigma above 0 and outlier_isolation of 1 or more needed")


def run(*, cube: Cube, target: Target, config: Config) -> dict[str, Any]:
    """Judge and mask one cube.

    Parameters
    ----------
    cube : Cube
        As read from the archive file.
    target : manifests.Target
        What the cube should show; its position has to lie inside the field.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``cube``: the Cube with outliers and absurd errors masked and the line- and point-spread
        functions attached; ``seen``: what was seen, as a document.

    Raises
    ------
    FormatError
        If no spaxel is usable, most errors are absurd, the target is outside the field, or the
        wavelengths are not barycentric.
    """
    require_barycentric(cube.specsys, str(cube.meta.get("FILENAME", "the cube")))
    absurd = _absurd_errors(cube, config)
    _require_spaxels(cube, cube.mask | absurd, config)
    x, y = _locate(cube, target)
    outliers = find_outliers(
        cube.flux,
        cube.err,
        cube.mask | absurd,
        width=config.continuum_channels,
        n_sigma=config.outlier_sigma,
        isolation=config.outlier_isolation,
    )
    masked = cube.mask | absurd | outliers.all
    dq = np.zeros(cube.shape, np.uint32) if cube.dq is None else np.array(cube.dq)
    dq[absurd] |= np.uint32(DO_NOT_USE)
    dq[outliers.all] |= np.uint32(OUTLIER | DO_NOT_USE)
    clean = cube.replace(
        mask=masked,
        dq=dq,
        lsf=cube.lsf or lsf_for(cube.meta, cube.wave),
        psf=cube.psf or psf_for(cube.meta, cube.wave),
    )
    seen = {
        "schema": "ingest",
        "simulated": cube.simulated,
        "source_file": str(cube.meta.get("FILENAME", "")),
        "error_from": str(cube.meta.get("ERRFROM", "file")),
        "shape": list(cube.shape),
        "wave_um": {"min": float(cube.wave[0]), "max": float(cube.wave[-1])},
        "target_pixel": {"x": round(x, 3), "y": round(y, 3)},
        "spaxels": _spaxels(masked, config),
        "voxels": _voxels(cube, absurd, outliers, masked),
        "consistency": _consistency(cube),
        "flux": _statistics(np.where(masked, np.nan, cube.flux)),
        "err": _statistics(np.where(masked, np.nan, cube.err)),
        "noise": _noise(clean, np.where(masked, np.nan, outliers.residual), config),
    }
    return {"cube": clean, "seen": seen}


def _absurd_errors(cube: Cube, config: Config) -> BoolArray:
    err = np.where(cube.mask, np.nan, cube.err)
    typical = nanmedian(err.reshape(err.shape[0], -1), axis=1)[:, None, None]
    with np.errstate(invalid="ignore"):
        absurd = err > config.absurd_err_factor * typical
    used = int((~cube.mask).sum())
    # A cube whose errors all are absurd has an absurd median as well: compare with its flux.
    flux = np.abs(np.where(cube.mask, np.nan, cube.flux))
    level = nanmedian(flux.ravel(), axis=0)
    middle = nanmedian(err.ravel(), axis=0)
    hopeless = bool(level > 0 and middle > config.absurd_err_factor * level)
    if hopeless or absurd.sum() > config.max_absurd_fraction * used:
        raise FormatError(
            "the errors of this cube are absurd",
            file=cube.meta.get("FILENAME"),
            expected=f"errors below {config.absurd_err_factor:g} times their median and the flux, "
            f"in {1 - config.max_absurd_fraction:.0%} of the voxels",
            found=f"{int(absurd.sum())} of {used} voxels above, largest {np.nanmax(err):.3g}, "
            f"median error {float(middle):.3g}, median |flux| {float(level):.3g} {cube.unit}",
            action="reduce the cube again, or give one whose ERR extension is right",
        )
    return np.asarray(absurd)


def _require_spaxels(cube: Cube, mask: BoolArray, config: Config) -> None:
    channels = (~mask).sum(axis=0)
    if not (channels >= config.min_channels).any():
        raise FormatError(
            "the cube has no valid spaxel",
            file=cube.meta.get("FILENAME"),
            expected=f"a spaxel with {config.min_channels} usable channels or more",
            found=f"at most {int(channels.max(initial=0))} in {channels.size} spaxels",
            action="check the DQ and WMAP extensions; the exposure may hold no sky",
        )


def _locate(cube: Cube, target: Target) -> tuple[float, float]:
    """Give the pixel of the target's anchor, or refuse a field that does not hold it."""
    place = target.anchor
    x, y = (float(v) for v in cube.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0, quiet=True))
    _, ny, nx = cube.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        ra, dec = cube.wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
        raise FormatError(
            f"the target {target.name} is outside the field of this cube",
            file=cube.meta.get("FILENAME"),
            expected=f"RA {place.ra_deg:.6f}, Dec {place.dec_deg:.6f} deg inside {ny} x {nx} "
            "spaxels",
            found=f"a field centred on RA {float(ra) % 360:.6f}, Dec {float(dec):.6f} deg",
            action="give the target file that belongs to this cube",
        )
    return x, y


def _spaxels(masked: BoolArray, config: Config) -> dict[str, int]:
    channels = (~masked).sum(axis=0)
    return {
        "total": int(channels.size),
        "usable": int((channels >= config.min_channels).sum()),
    }


def _voxels(
    cube: Cube, absurd: BoolArray, outliers: Outliers, masked: BoolArray
) -> dict[str, int | float]:
    return {
        "total": int(masked.size),
        "masked_by_archive": int(cube.mask.sum()),
        "absurd_errors": int(absurd.sum()),
        "outliers_negative": int(outliers.negative.sum()),
        "outliers_positive": int(outliers.positive.sum()),
        "masked_fraction": float(masked.mean()),
    }


def _consistency(cube: Cube) -> dict[str, int]:
    """Count voxels on which NaN, DQ, WMAP and ERR disagree. In real cubes nearly none do."""
    nan = ~np.isfinite(cube.flux)
    flagged = np.zeros(cube.shape, bool)
    if cube.dq is not None:
        flagged = (cube.dq & (DO_NOT_USE | NON_SCIENCE)) != 0
    empty = nan if cube.weight is None else ~(cube.weight > 0)
    no_error = ~(np.isfinite(cube.var) & (cube.var > 0))
    return {
        "nan": int(nan.sum()),
        "flagged": int(flagged.sum()) if cube.dq is not None else 0,
        "nan_without_flag": int((nan & ~flagged).sum()) if cube.dq is not None else 0,
        "flag_without_nan": int((flagged & ~nan).sum()),
        "nan_with_weight": int((nan & ~empty).sum()),
        "weightless_without_nan": int((empty & ~nan).sum()),
        "flux_without_error": int((no_error & ~nan).sum()),
    }


def _statistics(values: FloatArray) -> dict[str, float]:
    good = values[np.isfinite(values)]
    p1, median, p99 = np.percentile(good, [1, 50, 99])
    return {
        "min": float(good.min()),
        "p1": float(p1),
        "median": float(median),
        "p99": float(p99),
        "max": float(good.max()),
    }


def _noise(cube: Cube, residual: FloatArray, config: Config) -> dict[str, Any]:
    """Measure how the scatter about the continuum relates to ERR, and how it is correlated.

    The scale is robust, so that a line in some spaxels does not count as noise; a line in most
    spaxels of a channel would, hence the median of the scale over neighbouring channels.
    """
    pull = residual / cube.err
    scale = robust_sigma(pull.reshape(pull.shape[0], -1), axis=1)
    smooth = _smooth(scale, config.continuum_channels)
    return {
        "scatter_over_err": float(nanmedian(scale, axis=0)),
        "wave_um": _rounded(cube.wave),
        "scale": _rounded(smooth),
        "correlation": {
            "wave_lag1": _correlation(pull, (1, 0, 0)),
            "y_lag1": _correlation(pull, (0, 1, 0)),
            "x_lag1": _correlation(pull, (0, 0, 1)),
        },
    }


def _smooth(values: FloatArray, width: int) -> FloatArray:
    half = width // 2
    padded = np.pad(values, half, mode="reflect" if values.size > half else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return nanmedian(windows, axis=-1)


def _rounded(values: FloatArray) -> list[float | None]:
    return [round(float(v), 7) if np.isfinite(v) else None for v in values]


def _correlation(pull: FloatArray, lag: tuple[int, int, int]) -> float | None:
    """Give the correlation of neighbours, of values clipped at 3 sigma so that none dominates."""
    ahead: NDArray[np.float64] = pull[tuple(slice(step, None) for step in lag)]
    behind = pull[tuple(slice(None, n - step) for n, step in zip(pull.shape, lag, strict=True))]
    both = np.isfinite(ahead) & np.isfinite(behind)
    if both.sum() < 3:
        return None
    limit = 3.0 * float(robust_sigma(pull.reshape(-1), axis=0))
    one, other = (np.clip(v[both], -limit, limit) for v in (ahead, behind))
    if one.std() == 0 or other.std() == 0:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 4)
