"""What are velocity, width and fluxes of the lines in every spectrum, and how sure is that?

All spectra are fitted at once. The lines of a set share one velocity and one intrinsic width;
fluxes and a polynomial continuum for each block of channels enter linearly and are solved for
exactly (variable projection). A scan over a grid of templates finds the global minimum; damped
Gauss-Newton steps in velocity and variance then polish it within bounds.

The width parameter is the intrinsic variance sigma^2 >= 0, not sigma: its derivative does not
vanish at zero, so that an unresolved line ends on the bound with an honest error.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from pipeline.descent import Limits, descend
from pipeline.linemaps import projection
from pipeline.linemaps.projection import Projected
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import BoolArray, FloatArray, IntArray, Response, sigma_error
from pipeline.lineset import LineSet

_EDGE: Final = 1e-6  # of the search range: nearer to its end than this is "at the edge"


class Status(IntEnum):
    """How did the fit of a spectrum end? Values of the layer `status`."""

    GOOD = 0
    TOO_FEW_CHANNELS = 1
    FAILED = 2
    VELOCITY_AT_EDGE = 3
    UNRESOLVED = 4  # sigma is at its lower bound, zero: an upper limit
    SIGMA_AT_MAXIMUM = 5
    LINE_NOT_SEEN = 6  # a line of the set falls on masked channels: no flux for it


USABLE: Final = (Status.GOOD, Status.UNRESOLVED)


@dataclass(frozen=True)
class Config:
    """How are line windows cut and searched?

    Attributes
    ----------
    window_kms : float
        Half width of the window around a line.
    velocity_min_kms, velocity_max_kms : float
        Search range. RBH-1 shows -600 to +50 km/s (reference/science.md).
    sigma_max_kms : float
        Largest intrinsic standard deviation.
    continuum_order : int
        Order of the continuum polynomial of each block.
    min_dof : int
        Least number of degrees of freedom for a fit.
    min_coverage : float
        At least one flux must have this share of its light on good channels.
    drop_coverage : float
        A flux with a smaller share of its light on good channels is not fitted.
    velocity_step, width_step : float
        Spacing of the templates: in total line widths, and as a factor between widths.
    tolerance : float
        Converged when the expected further step is this fraction of the error.
    max_iterations : int
        Gauss-Newton steps, rejected ones included.
    chunk : int
        Spectra fitted at a time: bounds the memory.
    """

    window_kms: float = 1500.0
    velocity_min_kms: float = -800.0
    velocity_max_kms: float = 800.0
    sigma_max_kms: float = 500.0
    continuum_order: int = 1
    min_dof: int = 3
    min_coverage: float = 0.5
    drop_coverage: float = 0.05
    velocity_step: float = 0.7
    width_step: float = 1.6
    tolerance: float = 1e-3
    max_iterations: int = 100
    chunk: int = 256

    def __post_init__(self) -> None:
        if not self.velocity_min_kms < self.velocity_max_kms:
            raise ValueError("velocity_min_kms must be below velocity_max_kms")
        if not (self.window_kms > 0 and self.sigma_max_kms > 0 and self.chunk > 0):
            raise ValueError("window_kms, sigma_max_kms and chunk must be positive")
        if self.continuum_order < 0 or self.width_step <= 1 or self.velocity_step <= 0:
            raise ValueError("continuum_order >= 0, width_step > 1 and velocity_step > 0 needed")
        fastest = max(abs(self.velocity_min_kms), abs(self.velocity_max_kms))
        if self.window_kms <= fastest:
            raise ValueError("window_kms must be above the largest velocity that is searched")
        if not (0 <= self.drop_coverage <= self.min_coverage <= 1 and self.min_coverage > 0):
            raise ValueError("0 <= drop_coverage <= min_coverage <= 1 and min_coverage > 0 needed")
        if self.min_dof < 1 or self.max_iterations < 1 or self.tolerance <= 0:
            raise ValueError("min_dof and max_iterations of 1 or more, tolerance above 0 needed")


@dataclass(frozen=True, eq=False)
class FitResult:
    """What was found in each of n spectra? NaN where there is no value.

    Attributes
    ----------
    velocity, velocity_err : ndarray, shape (n,)
        km/s.
    sigma, sigma_err : ndarray, shape (n,)
        Intrinsic standard deviation, km/s. At the bound (sigma = 0) the error is the square
        root of the error of sigma^2, so that sigma_err is the 1-sigma upper limit.
    variance, variance_err : ndarray, shape (n,)
        sigma^2, the parameter of the fit, (km/s)^2.
    flux, flux_err : ndarray, shape (n, n_lines)
        Line fluxes, in the unit of the data times um.
    chi2, dof, n_used : ndarray, shape (n,)
        Of all fitted channels.
    chi2_continuum, dof_continuum : ndarray, shape (n,)
        Of the channels that no line reaches; the degrees of freedom are what the fit left them.
    status : ndarray of int, shape (n,)
        `Status`.
    covariance : ndarray, shape (n, 2 + n_free, 2 + n_free)
        Of velocity, variance and amplitudes, the continuum marginalised.
    """

    velocity: FloatArray
    velocity_err: FloatArray
    sigma: FloatArray
    sigma_err: FloatArray
    variance: FloatArray
    variance_err: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    chi2: FloatArray
    dof: FloatArray
    n_used: FloatArray
    chi2_continuum: FloatArray
    dof_continuum: FloatArray
    status: IntArray
    covariance: FloatArray

    @property
    def usable(self) -> BoolArray:
        """True where values and errors may be used, shape (n,)."""
        usable: BoolArray = np.isin(self.status, USABLE)
        return usable

    @property
    def chi2_dof(self) -> FloatArray:
        """Reduced chi square, NaN without degrees of freedom, shape (n,)."""
        ratio: FloatArray = self.chi2 / np.where(self.dof > 0, self.dof, np.nan)
        return ratio

    def scaled(self, factor: FloatArray) -> "FitResult":
        """Give the same fit with all errors multiplied by `factor`, shape (n,)."""
        column = factor[:, None]
        return replace(
            self,
            velocity_err=self.velocity_err * factor,
            variance_err=self.variance_err * factor,
            sigma_err=sigma_error(self.variance, self.variance_err * factor),
            flux_err=self.flux_err * column,
            covariance=self.covariance * column[:, :, None] ** 2,
        )


def fit(
    flux: FloatArray,
    ivar: FloatArray,
    wave_edges: FloatArray,
    lines: LineSet,
    redshift: float,
    config: Config,
    *,
    others_um: FloatArray | None = None,
) -> FitResult:
    """Fit tied lines to many spectra at once.

    Parameters
    ----------
    flux : ndarray, shape (n, n_wave)
        Flux densities per um; values with zero weight are never looked at.
    ivar : ndarray, shape (n, n_wave)
        Inverse variances; 0 = do not use.
    wave_edges : ndarray, shape (n_wave + 1,)
        Channel edges, vacuum, observed, um.
    lines : LineSet
        Lines inside the wavelength range (`lineset.covered`).
    redshift : float
        Of velocity zero.
    config : Config
        Windows and search.
    others_um : ndarray, optional
        Rest wavelengths of lines whose channels are left out.

    Returns
    -------
    FitResult
    """
    windows = cut(wave_edges, lines, redshift, config.window_kms, others_um)
    response = Response.of(wave_edges, lines, windows, redshift)
    grid = _grid(lines, config)
    templates = response.templates(*grid)[0]
    parts = []
    for start in range(0, max(len(flux), 1), config.chunk):
        rows = slice(start, start + config.chunk)
        data = Projected.of(
            flux[rows, windows.channels],
            ivar[rows, windows.channels],
            response,
            (config.continuum_order, config.min_coverage, config.drop_coverage),
        )
        best = projection.scan(data, templates)
        parts.append(_fit_chunk(data, grid[0][best], grid[1][best], config))
    return FitResult(
        **{name: np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0])}
    )


def _grid(lines: LineSet, config: Config) -> tuple[FloatArray, FloatArray]:
    """Give velocity and variance of every template: spaced by the width of the line."""
    narrow = float(lines.sigma_lsf_kms.min())
    widest = np.hypot(narrow, config.sigma_max_kms)
    n_width = int(np.ceil(np.log(widest / narrow) / np.log(config.width_step))) + 1
    pairs = []
    for total in np.geomspace(narrow, widest, n_width):
        span = config.velocity_max_kms - config.velocity_min_kms
        n_velocity = int(np.ceil(span / (config.velocity_step * total))) + 1
        step = span / n_velocity
        velocity = config.velocity_min_kms + step * (np.arange(n_velocity) + 0.5)
        pairs.append((velocity, np.full(n_velocity, total**2 - narrow**2)))
    velocities, variances = zip(*pairs, strict=True)
    return np.concatenate(velocities), np.maximum(np.concatenate(variances), 0.0)


def _bounds(config: Config) -> tuple[FloatArray, FloatArray]:
    low = np.array([config.velocity_min_kms, 0.0])
    return low, np.array([config.velocity_max_kms, config.sigma_max_kms**2])


def _fit_chunk(
    data: Projected, velocity: FloatArray, variance: FloatArray, config: Config
) -> FitResult:
    """Polish the scan's best templates and collect values and errors."""
    point = np.stack([velocity, variance], axis=1)
    enough = data.n_good - data.n_continuum - data.response.lines.n_free - 2 >= config.min_dof
    limits = Limits(*_bounds(config), config.tolerance, config.max_iterations)
    point, converged = descend(data, point, np.flatnonzero(enough), limits)
    return _collect(data, point, enough, converged, config)


def _collect(
    data: Projected, point: FloatArray, enough: BoolArray, converged: BoolArray, config: Config
) -> FitResult:
    """Gather values, errors and status at the final point."""
    found, _ = projection.solve(data, point)
    cov = projection.covariance(found)
    errors = np.sqrt(np.einsum("nkk->nk", cov))
    ratio = data.response.lines.ratio
    seen = (found.seen @ (ratio != 0).T.astype(float)) == (ratio != 0).sum(axis=1)
    flux_var = np.einsum("lk,nkm,lm->nl", ratio, cov[:, 2:, 2:], ratio)
    near = data.response.near(point[:, 0], point[:, 1], projection.CONTINUUM_SIGMA)
    far = (data.root > 0) & ~near
    failed = ~enough | ~converged | ~found.allowed
    failed |= ~np.isfinite(errors[:, :2]).all(axis=1)
    status = _status(point, enough, failed, seen.all(axis=1), config)

    def valid(values: FloatArray) -> FloatArray:
        keep = ~failed if values.ndim == 1 else ~failed[:, None]
        return np.where(keep, values, np.nan)

    return FitResult(
        velocity=valid(point[:, 0]),
        velocity_err=valid(errors[:, 0]),
        sigma=valid(np.sqrt(point[:, 1])),
        sigma_err=valid(sigma_error(point[:, 1], errors[:, 1])),
        variance=valid(point[:, 1]),
        variance_err=valid(errors[:, 1]),
        flux=valid(np.where(seen, found.amplitudes @ ratio.T, np.nan)),
        flux_err=valid(np.where(seen, np.sqrt(flux_var), np.nan)),
        chi2=valid((found.residual**2).sum(axis=1)),
        dof=data.n_good - data.n_continuum - found.seen.sum(axis=1) - 2.0,
        n_used=data.n_good,
        chi2_continuum=valid((found.residual**2 * far).sum(axis=1)),
        dof_continuum=((1.0 - projection.leverage(data, found, cov)) * far).sum(axis=1),
        status=status,
        covariance=np.where(failed[:, None, None], np.nan, cov),
    )


def _status(
    point: FloatArray, enough: BoolArray, failed: BoolArray, seen: BoolArray, config: Config
) -> IntArray:
    """Name the first thing that is wrong with each fit."""
    low, high = _bounds(config)
    margin = _EDGE * (high - low)
    below, above = point <= low + margin, point >= high - margin
    return np.select(
        [~enough, failed, below[:, 0] | above[:, 0], above[:, 1], ~seen, point[:, 1] <= 0.0],
        [
            int(Status.TOO_FEW_CHANNELS),
            int(Status.FAILED),
            int(Status.VELOCITY_AT_EDGE),
            int(Status.SIGMA_AT_MAXIMUM),
            int(Status.LINE_NOT_SEEN),
            int(Status.UNRESOLVED),
        ],
        default=int(Status.GOOD),
    ).astype(np.int64)
