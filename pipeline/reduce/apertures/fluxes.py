"""What are flux, limit, velocity and width of every line of the target in an aperture?

Every line gets a row, also where it is not measured, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from ard.cube import Cube, FloatArray, Lsf
from manifests import Line, Target
from pipeline.lineprofile import sigma_error
from pipeline.lineset import inside
from pipeline.reduce.apertures.groups import Ready, Rules, model_spectrum, ready_groups
from pipeline.reduce.apertures.kinematics import Kinematics, Measured, measure
from pipeline.reduce.apertures.spectrum import Spectrum

NAN: Final = float("nan")
LIMIT_SIGMA: Final = 3.0
SUSPECT_SIGMA: Final = 5.0  # of chi-square: one fit in millions by chance
_MEASURED_WIDTH: Final = 2.0  # errors of the variance: below, a width is a limit


class State(StrEnum):
    """What became of a line in an aperture."""

    DETECTED = "detected"
    LIMIT = "limit"
    NOT_COVERED = "not covered"
    OUTSIDE = "outside the field"
    MASKED = "masked"


@dataclass(frozen=True)
class LineFlux:
    """One line in one aperture, NaN where there is no value.

    Attributes
    ----------
    line : Line
    state : State
    flux, err : float
        erg s-1 cm-2, of the whole aperture. The error includes that of velocity and width, and is
        that of the noise times `misfit`, and `profile_err` of the flux, in quadrature.
    upper_limit : float
        Where the flux is below three times `err`: three times `err` above the flux, or above zero
        where the flux is negative. The light is less with a probability of 99.87 % or more.
    velocity_kms, velocity_err_kms : float
        Relative to the redshift of the target, where the group has its own.
    sigma_kms, sigma_err_kms, sigma_limit_kms : float
        Intrinsic standard deviation of the group's own; where the variance is less than two
        errors above zero, a limit instead: root of the variance (or zero) plus three errors.
    kinematics : str
        ``free``; ``reference:<group>``, whose velocity and width were taken; ``expected``.
    continuum : float
        At the line, of the whole aperture with the sky in it, erg s-1 cm-2 um-1.
    chi2 : float
        Of the group's fit.
    dof : int
    coverage : float
        Part of the light of the aperture that is in usable spaxels, median over the channels.
    err_scale : float
        What the errors of the spectrum were multiplied with.
    misfit : float
        sqrt(chi2 / dof) of the group where that is above 1, else 1: errors of flux, velocity and
        width are multiplied with it, for what noise and one Gaussian do not explain.
    profile_err : float
        Part of the flux by which the sum may be off because the light has another profile.
    suspect : bool
        Chi-square is more than five of its standard deviations above the degrees of freedom.
    """

    line: Line
    state: State
    flux: float = NAN
    err: float = NAN
    upper_limit: float = NAN
    velocity_kms: float = NAN
    velocity_err_kms: float = NAN
    sigma_kms: float = NAN
    sigma_err_kms: float = NAN
    sigma_limit_kms: float = NAN
    kinematics: str = ""
    continuum: float = NAN
    chi2: float = NAN
    dof: int = 0
    coverage: float = NAN
    err_scale: float = NAN
    misfit: float = NAN
    profile_err: float = NAN
    suspect: bool = False

    @property
    def snr(self) -> float:
        """Flux over its error."""
        return self.flux / self.err


@dataclass(frozen=True, eq=False)
class Fitted:
    """All lines of an aperture, and the model of its spectrum.

    Attributes
    ----------
    rows : tuple of LineFlux
        In the order of the target.
    model : ndarray, shape (n_wave,)
        What the spectrum should show.
    """

    rows: tuple[LineFlux, ...]
    model: FloatArray = field(repr=False)


def unmeasured(target: Target, cube: Cube, state: State) -> tuple[LineFlux, ...]:
    """Give a row for every line of an aperture that has no spectrum."""
    covered = inside(target.lines, target.redshift, cube.wave_edges)
    return tuple(
        LineFlux(line, state if seen else State.NOT_COVERED)
        for line, seen in zip(target.lines, covered, strict=True)
    )


def fit_lines(
    spectrum: Spectrum,
    level: FloatArray,
    cube: Cube,
    target: Target,
    lsf: Lsf,
    *,
    velocity_kms: float,
    rules: Rules,
    part: float = 1.0,
    profile_err: float = 0.0,
) -> Fitted:
    """Measure every line of the target in a spectrum.

    Parameters
    ----------
    spectrum : Spectrum
    level : ndarray, shape (n_wave,)
        Its continuum, as it is in the spectrum.
    cube : Cube
        Wavelengths.
    target : Target
    lsf : Lsf
    velocity_kms : float
        Expected where no line is seen.
    rules : Rules
    part : float
        Of the area of the aperture that saw the sky: what is left of the continuum, which is
        taken to be flat beyond.
    profile_err : float
        By which part the light may be off because it has another profile.

    Returns
    -------
    Fitted
    """
    ready = ready_groups(spectrum, cube, target, lsf, velocity_kms=velocity_kms, rules=rules)
    models = {name: group.model for name, group in ready.items()}
    found = measure(models, velocity_kms, rules.search) if models else {}
    rows = list(unmeasured(target, cube, State.MASKED))
    for number, line in enumerate(target.lines):
        if line.group in ready and line.name in ready[line.group].lines.names:
            row = _measured(line, ready[line.group], found[line.group], list(models), profile_err)
            place = int(np.argmin(np.abs(cube.wave - line.wave_obs_um(target.redshift))))
            below = level[place] / part if part else NAN
            coverage = float(np.median(spectrum.coverage[ready[line.group].channels]))
            rows[number] = LineFlux(line, **row, continuum=float(below), coverage=coverage)
    return Fitted(tuple(rows), model_spectrum(ready, found, level, spectrum))


def _measured(
    line: Line, ready: Ready, found: Measured, names: Sequence[str], profile_err: float
) -> dict[str, Any]:
    ratio = ready.lines.ratio[ready.lines.names.index(line.name)]
    own = bool(found.free[0])
    chi2, dof = float(found.chi2[0]), ready.model.dof - ready.model.n_free - 2 * int(own)
    misfit = float(np.sqrt(max(chi2 / dof, 1.0)))
    flux = float(found.amplitudes[0] @ ratio)
    noise = misfit * float(np.sqrt(ratio @ found.covariance[0, 2:, 2:] @ ratio))
    err = float(np.hypot(noise, profile_err * flux))
    detected = flux >= LIMIT_SIGMA * err
    row: dict[str, Any] = {
        "state": State.DETECTED if detected else State.LIMIT,
        "flux": flux,
        "err": err,
        "upper_limit": NAN if detected else max(flux, 0.0) + LIMIT_SIGMA * err,
        "kinematics": _source(found, names),
        "chi2": chi2,
        "dof": dof,
        "err_scale": ready.scale,
        "misfit": misfit,
        "profile_err": profile_err,
        "suspect": chi2 - dof > SUSPECT_SIGMA * np.sqrt(2.0 * dof),
    }
    return row | (_kinematics(found, misfit) if own else {})


def _source(found: Measured, names: Sequence[str]) -> str:
    if found.free[0]:
        return str(Kinematics.FREE)
    if found.reference[0]:
        return f"{Kinematics.REFERENCE}:{names[int(found.lender[0])]}"
    return str(Kinematics.EXPECTED)


def _kinematics(found: Measured, misfit: float) -> dict[str, Any]:
    velocity, variance = (float(v) for v in found.point[0])
    error, spread = (misfit * float(np.sqrt(found.covariance[0, k, k])) for k in (0, 1))
    row: dict[str, Any] = {"velocity_kms": velocity, "velocity_err_kms": error}
    if variance >= _MEASURED_WIDTH * spread:
        sigma = sigma_error(np.array([variance]), np.array([spread]))
        return row | {"sigma_kms": float(np.sqrt(variance)), "sigma_err_kms": float(sigma[0])}
    limit = float(np.sqrt(max(variance, 0.0) + LIMIT_SIGMA * spread))
    return row | {"sigma_limit_kms": limit}
