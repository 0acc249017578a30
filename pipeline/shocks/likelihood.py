"""How probable are measured line fluxes, given the ratios of a model?

Strong lines are compared in log10 of flux over H alpha, with the covariance of the measurement (all
share the error of H alpha), a systematic floor of the models that is constant in dex, and A_V, in
which log fluxes are linear, marginalised over a Gaussian. A floor that grew with the model's flux
would bias what is inferred (Shinn et al. 2025, arXiv:2506.13124).

A line below a given S/N, unless its error was given in dex, is compared in flux, which may be
negative: given the strong lines, the amplitude (the true flux of H alpha) and A_V are Gaussian, and
the flux of the weak line is taken as linear in both and in the line's own floor, which are then
integrated out. It is so at the error that is most probable for what is seen, for a model far above
a limit is not linear at itself (Laplace's method). An upper limit of k sigma is a flux of zero with
that sigma.

Tables of models are rounded at a step of flux, which is an error of weak lines that no floor in dex
has: its variance is added to the flux of a weak line, and in dex, at the flux that was measured, to
that of a strong one. So it does not change from model to model either.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import numpy as np

from ard.cube import FloatArray, frozen
from ard.errors import ArdError, FormatError
from ard.likelihood.arrays import namespace
from manifests.shocks import ShockAssumptions
from pipeline.shocks.extinction import extinction
from pipeline.shocks.grid import HALPHA, GridLine

LN10: Final = math.log(10.0)
_WAVE_HALPHA_UM: Final = 0.656461  # vacuum
# H alpha / H beta by recombination (case B, 1e4 K; Osterbrock & Ferland 2006, table 4.4). Shocks
# have 2.9 to 4.4, with which rounding counts for less.
_RECOMBINATION: Final = 2.86
_ROUNDS: Final = 4  # of Gauss-Newton: to 0.05 nat where models are not excluded by 12
LEAST_BEND: Final = -0.9  # it is above -1 at a maximum
_PER_MAG: Final = -0.4  # d log10 flux / d A(wave)


@dataclass(frozen=True, eq=False)
class LineFluxes:
    """Fluxes of one set of lines in many spaxels.

    Attributes
    ----------
    names : tuple of str
        The lines, as the grid calls them; H alpha is one of them.
    flux : ndarray, shape (n, n_line)
        In any unit; NaN where a line is not to be used.
    cov : ndarray, shape (n, n_line, n_line)
        Covariance of their errors.
    in_dex : bool
        Whether errors were given of the logarithm: then that is Gaussian, however large they are.

    Raises
    ------
    FormatError
        If the shapes do not fit, a name is missing or twice, or an error is impossible.
    """

    names: tuple[str, ...]
    flux: FloatArray
    cov: FloatArray
    in_dex: bool = False

    def __post_init__(self) -> None:
        flux, cov = np.asarray(self.flux, np.float64), np.asarray(self.cov, np.float64)
        count = len(self.names)
        if len(set(self.names)) != count or HALPHA not in self.names:
            _refuse("line fluxes need H alpha, and each line once", HALPHA, ", ".join(self.names))
        if flux.ndim != _ROWS or flux.shape[1] != count or cov.shape != (*flux.shape, count):
            _refuse("fluxes and covariances do not fit", f"(n, {count}), (n, {count}, {count})",
                    f"{flux.shape}, {cov.shape}")  # fmt: skip
        used = ~np.isnan(flux)
        if np.isinf(flux).any() or not np.isfinite(cov[used[:, :, None] & used[:, None]]).all():
            _refuse("a flux that is used has no error", "finite fluxes and covariances", "inf, NaN")
        variance = np.diagonal(cov, axis1=1, axis2=2)
        if not (variance[used] >= 0).all():
            _refuse("a variance is negative", "0 or more", np.min(variance[used]))
        object.__setattr__(self, "flux", frozen(flux))
        object.__setattr__(self, "cov", frozen(cov))

    @classmethod
    def of_errors(cls, names: Sequence[str], flux: Any, error: Any) -> "LineFluxes":
        """Make them of independent errors, both of shape (n, n_line)."""
        variance = np.asarray(error, np.float64) ** 2
        return cls(tuple(names), flux, variance[..., None] * np.eye(len(names)))

    @classmethod
    def of_ratios(cls, names: Sequence[str], log_ratio: Any, sigma_dex: Any) -> "LineFluxes":
        """Make them of log10 of ratios to H alpha, with errors in dex, shape (n, n_ratio)."""
        y, sigma = np.broadcast_arrays(np.asarray(log_ratio, np.float64), sigma_dex)
        ratio = np.pad(10.0**y, ((0, 0), (1, 0)), constant_values=1.0)
        error = np.pad(10.0**y * sigma * LN10, ((0, 0), (1, 0)))
        return dataclasses.replace(cls.of_errors((HALPHA, *names), ratio, error), in_dex=True)

    def take(self, rows: slice | FloatArray) -> "LineFluxes":
        """Give some of the spaxels."""
        return dataclasses.replace(self, flux=self.flux[rows], cov=self.cov[rows])


_ROWS: Final = 2


@dataclass(frozen=True, eq=False)
class Errors:
    """By how much models may be off, and what dust may do.

    Attributes
    ----------
    lines : tuple of str
    floor_dex : ndarray, shape (n_line,)
        Systematic error of the models' log10 ratio, independent between lines.
    reddening : ndarray, shape (n_line,)
        d log10(F / F_Halpha) / d A_V.
    av_mean_mag, av_sigma_mag : float
        Gaussian prior of A_V.
    snr_linear : float
    rounding : float
        Standard deviation of the models' flux over that of H alpha, by the rounding of their table.
    """

    lines: tuple[str, ...]
    floor_dex: FloatArray
    reddening: FloatArray
    av_mean_mag: float
    av_sigma_mag: float
    snr_linear: float
    rounding: float = 0.0


def errors_for(
    lines: Sequence[GridLine],
    assumed: ShockAssumptions,
    floor_dex: float | None = None,
    *,
    rounding: float = 0.0,
) -> Errors:
    """Give the errors of models that are assumed.

    Parameters
    ----------
    lines : sequence of GridLine
    assumed : ShockAssumptions
    floor_dex : float, optional
        One floor for all lines, in place of each line's own.
    rounding : float
        Step to which the models' fluxes over H beta are rounded: `GridSource.rounding`.
    """
    names = tuple(line.name for line in lines)
    waves = [_WAVE_HALPHA_UM, *(line.wave_um for line in lines)]
    law = extinction(waves, assumed.r_v)
    own = [assumed.floor_dex(name) if floor_dex is None else floor_dex for name in names]
    return Errors(names, np.array(own), _PER_MAG * (law[1:] - law[0]), assumed.av_mean_mag,
                  assumed.av_sigma_mag, assumed.snr_linear,
                  rounding / math.sqrt(12.0) / _RECOMBINATION)  # fmt: skip


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Datum:
    """What the likelihood of one spaxel needs. Lines that are not used are left out.

    Attributes
    ----------
    strong, weak : ndarray of int
        Which lines of the model are compared in log10, and which in flux.
    log_ratio : ndarray, shape (n_strong,)
        Observed, with the mean reddening taken off.
    precision : ndarray, shape (n_strong, n_strong)
        Inverse of their covariance.
    log_norm : float
        ln of the height of their Gaussian.
    flux : ndarray, shape (n_weak,)
        Of the weak lines, over the flux of H alpha.
    reddening, reddened, floor_dex : ndarray, shape (n_weak,)
        Of the weak lines: for one magnitude of A_V, by the mean A_V, and their floors.
    gain : ndarray, shape (2 + n_weak, n_strong)
        From residuals of the strong lines to what is expected of log10 of the true flux of
        H alpha over the observed, A_V off its mean, and the errors of the weak lines.
    spread : ndarray, shape (2 + n_weak, 2 + n_weak)
        The covariance of these, given the strong lines.
    """

    strong: Any
    weak: Any
    log_ratio: Any
    precision: Any
    log_norm: Any
    flux: Any
    reddening: Any
    reddened: Any
    floor_dex: Any
    gain: Any
    spread: Any

    @property
    def n_line(self) -> int:
        """How many lines are compared?"""
        return len(self.strong) + len(self.weak)


def prepare(fluxes: LineFluxes, errors: Errors) -> list[Datum | None]:
    """Prepare the likelihood of each spaxel; None where H alpha is too weak to divide by.

    Parameters
    ----------
    fluxes : LineFluxes
    errors : Errors
        Lines without flux are not used.

    Raises
    ------
    ArdError
        If no line of the models was measured, or the errors of strong lines are degenerate.
    """
    columns = [fluxes.names.index(name) for name in errors.lines if name in fluxes.names]
    at = np.array([i for i, name in enumerate(errors.lines) if name in fluxes.names], int)
    if not columns:
        raise ArdError(
            "no line of the models was measured",
            expected=", ".join(errors.lines),
            found=", ".join(fluxes.names),
            action="give lines that the grid has",
        )
    if fluxes.in_dex:
        errors = dataclasses.replace(errors, snr_linear=0.0)
    order = [fluxes.names.index(HALPHA), *columns]
    made: list[Datum | None] = []
    for flux, cov in zip(fluxes.flux[:, order], fluxes.cov[:, order][:, :, order], strict=True):
        enough = flux[0] > 0 and flux[0] ** 2 >= errors.snr_linear**2 * cov[0, 0]
        used = ~np.isnan(flux[1:])
        if not (enough and used.any()):
            made.append(None)
            continue
        keep = np.r_[0, 1 + np.flatnonzero(used)]
        scaled = flux[keep] / flux[0], cov[np.ix_(keep, keep)] / flux[0] ** 2
        made.append(_datum(*scaled, at[used], errors))
    return made


def _datum(flux: FloatArray, cov: FloatArray, at: Any, errors: Errors) -> Datum:
    """Prepare one spaxel; the first flux is that of H alpha, and 1."""
    strong = flux[1:] >= errors.snr_linear * np.sqrt(np.diag(cov)[1:])
    strong &= flux[1:] > 0
    s, w = np.flatnonzero(strong), np.flatnonzero(~strong)
    red, floor, sigma_av = errors.reddening[at], errors.floor_dex[at], errors.av_sigma_mag
    # Errors of the fluxes, of A_V and of the models, and how each enters: residuals of strong
    # lines first, then log10 H alpha (true over observed), A_V, and the fluxes of weak lines.
    n, n_s, n_w = len(flux), len(s), len(w)
    inputs = np.zeros((n + 1 + n_s,) * 2)
    inputs[:n, :n] = cov
    inputs[n, n] = sigma_av**2
    # Models that come near to a strong line are rounded as that line would be.
    rounded = errors.rounding / (LN10 * flux[1 + s])
    inputs[n + 1 :, n + 1 :] = np.diag(floor[s] ** 2 + rounded**2)
    enters = np.zeros((n_s + 2 + n_w, len(inputs)))
    rows = np.arange(n_s)
    enters[rows, 1 + s] = 1.0 / (LN10 * flux[1 + s])
    enters[rows, 0] = -1.0 / LN10
    enters[rows, n], enters[rows, n + 1 + rows] = red[s], 1.0
    enters[n_s, 0], enters[n_s + 1, n] = -1.0 / LN10, 1.0
    faint = n_s + 2 + np.arange(n_w)
    enters[faint, 1 + w] = 1.0
    joint = enters @ inputs @ enters.T
    joint[faint, faint] += errors.rounding**2
    own, cross = joint[:n_s, :n_s], joint[n_s:, :n_s]
    sign, log_det = np.linalg.slogdet(own)
    if n_s and not (sign > 0 and np.isfinite(log_det)):
        raise ArdError(
            "the errors of the lines are degenerate",
            expected="a positive definite covariance",
            found="a combination of lines without error",
            action="give floors above zero, or errors that are not wholly correlated",
        )
    precision = np.linalg.inv(own)
    gain = cross @ precision
    mean = errors.av_mean_mag * red
    return Datum(
        at[s], at[w], np.log10(flux[1 + s]) - mean[s], precision,
        -0.5 * (log_det + n_s * math.log(2.0 * math.pi)), flux[1 + w], red[w], mean[w], floor[w],
        gain, joint[n_s:, n_s:] - gain @ cross.T,
    )  # fmt: skip


def log_likelihood(datum: Datum, log_ratio: Any) -> tuple[Any, Any]:
    """Hold models against one spaxel, in numpy or JAX.

    Parameters
    ----------
    datum : Datum
    log_ratio : array, shape (..., n_line)
        log10 of flux over H alpha of the models.

    Returns
    -------
    value : array, shape (...,)
        ln of the likelihood.
    chi2 : array, shape (...,)
        Chi-square of all lines that are compared, `Datum.n_line` of them.
    """
    xp = namespace(log_ratio)
    residual = datum.log_ratio - log_ratio[..., datum.strong]
    chi2 = xp.sum((residual @ datum.precision) * residual, axis=-1)
    value = datum.log_norm - 0.5 * chi2
    if len(datum.weak):
        own, off = weak_likelihood(datum, residual, log_ratio[..., datum.weak])
        value, chi2 = value + own, chi2 + off
    return value, chi2


def weak_likelihood(datum: Datum, residual: Any, log_ratio: Any) -> tuple[Any, Any]:
    """Give ln likelihood and chi-square of the weak lines, given the residuals of the strong."""
    xp = namespace(log_ratio)
    count = len(datum.weak)
    # Line by line: what belongs to one is small enough to stay in the cache.
    expected = [xp.sum(residual * row, axis=-1) for row in datum.gain]
    value: Any = -0.5 * count * math.log(2.0 * math.pi)
    off, slopes = [], []
    for i in range(count):
        exponent = log_ratio[..., i] + datum.reddened[i] + expected[0]
        exponent = exponent + datum.reddening[i] * expected[1]
        seen = datum.flux[i] - expected[2 + i]
        model, moved, bend = tangent(datum, i, exponent, seen)
        slopes.append(LN10 * model)
        off.append(seen - model + slopes[i] * moved)
        value = value - 0.5 * bend
    spread, red = datum.spread, datum.reddening

    def covariance(i: int, j: int) -> Any:
        # Amplitude and A_V, these with the lines' own errors, and own errors.
        shared = spread[0, 0] + (red[i] + red[j]) * spread[0, 1] + red[i] * red[j] * spread[1, 1]
        if i == j:
            shared = shared + datum.floor_dex[i] ** 2
        mixed = [spread[0, 2 + b] + red[a] * spread[1, 2 + b] for a, b in ((i, j), (j, i))]
        total = slopes[i] * (slopes[j] * shared + mixed[0]) + slopes[j] * mixed[1]
        return total + spread[2 + i, 2 + j]

    # Cholesky by hand: a few lines, and many thousand models.
    lower: dict[tuple[int, int], Any] = {}
    white: list[Any] = []
    for i in range(count):
        for j in range(i + 1):
            rest = covariance(i, j)
            for k in range(j):
                rest = rest - lower[i, k] * lower[j, k]
            lower[i, j] = xp.sqrt(rest) if i == j else rest / lower[j, j]
        left = off[i]
        for k in range(i):
            left = left - lower[i, k] * white[k]
        white.append(left / lower[i, i])
        value = value - xp.log(lower[i, i])
    chi2 = sum(one**2 for one in white)
    return value - 0.5 * chi2, chi2


def tangent(datum: Datum, i: int, exponent: Any, seen: Any) -> tuple[Any, Any, Any]:
    """Give the flux of a weak line at which it is taken as linear, and the dex moved to there.

    That is the most probable error of the model and A_V for what is seen (Gauss-Newton). At the
    model itself, floors of 0.1 dex would let a flux far above a limit be zero. The third is ln of
    what the bend of the exponential adds to the second derivative there (Laplace).
    """
    xp = namespace(exponent)
    width = datum.floor_dex[i] ** 2 + datum.reddening[i] ** 2 * datum.spread[1, 1]
    noise = datum.spread[2 + i, 2 + i]
    model, moved = xp.exp(LN10 * exponent), xp.zeros_like(exponent)
    for _ in range(_ROUNDS):
        slope = LN10 * model
        gain = width * slope / (slope * slope * width + noise)
        moved = gain * (seen - model + slope * moved)
        model = xp.exp(LN10 * (exponent + moved))
    slope = LN10 * model
    bend = LN10 * slope * (model - seen) * width / (slope * slope * width + noise)
    return model, moved, xp.log1p(xp.maximum(bend, LEAST_BEND))


def _refuse(problem: str, expected: object, found: object) -> None:
    raise FormatError(problem, expected=expected, found=found, action="mend the table of fluxes")
