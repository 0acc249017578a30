"""What does every method leave of every line in every aperture?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from ard.errors import ArdError
from ard.likelihood.noise import Noise
from manifests import Target
from pipeline.linemaps.spaxels import covered_groups
from pipeline.lineset import LineSet
from pipeline.reduce.difference.apertures import Aperture
from pipeline.reduce.difference.background import (
    COMBINED,
    METHODS,
    STANDARD,
    SUBTRACTING,
)
from pipeline.reduce.difference.fraction import (
    LIMIT_SIGMA,
    Measured,
    Ratio,
    Spectrum,
    measure,
    propagated_error,
    ratio,
)
from pipeline.reduce.difference.functional import (
    Functional,
    Profile,
    functionals,
    group_lines,
    others_of,
    profile_of,
)
from pipeline.reduce.difference.ghost import displaced
from pipeline.reduce.difference.pointing import Pointing

MEASURED: Final = "measured"
UNDETECTED: Final = "undetected"
OUTSIDE: Final = "outside field"
NO_INPUT: Final = "not evaluated"
# Files hold float32, and the sky is far above a faint line: 6e-8 of the one is 1e-5 of the other.
_ROUNDING: Final = 1e-5
NOTHING: Final = Ratio(float("nan"), float("nan"))


@dataclass(frozen=True)
class Rules:
    """What counts as seen and as detected, and what is taken for lines that are too faint.

    Attributes
    ----------
    detected_snr : float
        A line with a smaller signal-to-noise ratio has no fraction, only a limit on its flux.
    min_coverage : float
        Part of an aperture that has to lie in the field.
    velocity_kms, sigma_kms : float
        Of lines of an aperture in which no line is bright enough to be fitted.
    """

    detected_snr: float
    min_coverage: float
    velocity_kms: float
    sigma_kms: float


@dataclass(frozen=True, eq=False)
class Sums:
    """The spectra of an aperture: what is there, and what each method takes off.

    Attributes
    ----------
    plain, standard, common : Spectrum
        As of `Pointing`.
    taken : mapping of str to Spectrum
        By subtracting method.
    displaced : Spectrum or None
        Light of which the ghost lies in the aperture; None without another pointing.
    """

    plain: Spectrum
    standard: Spectrum
    common: Spectrum
    taken: Mapping[str, Spectrum]
    displaced: Spectrum | None


@dataclass(frozen=True, eq=False)
class Given:
    """What is known beforehand.

    Attributes
    ----------
    noise : Noise or None
        Of the combined cube.
    strengths : mapping of str to Ratio
        Fitted strength of the ghost by method.
    """

    noise: Noise | None
    strengths: Mapping[str, Ratio]


def sums(pointing: Pointing, shares: FloatArray) -> Sums:
    """Sum everything over an aperture."""
    return Sums(
        pointing.spectrum(pointing.plain, shares),
        pointing.spectrum(pointing.standard, shares),
        pointing.spectrum(pointing.common, shares),
        {name: pointing.spectrum(found, shares) for name, found in pointing.backgrounds.items()},
        displaced(pointing, shares),
    )


def _minus(one: Spectrum, other: Spectrum) -> Spectrum:
    model = None if other.model is None else -other.model
    return Spectrum(one.density - other.density, np.hypot(one.err, other.err), model)


def aperture_rows(
    pointing: Pointing,
    aperture: Aperture,
    target: Target,
    blocked: BoolArray,
    rules: Rules,
    given: Given,
) -> Iterator[dict[str, Any]]:
    """Give one row for each line and method of an aperture.

    Parameters
    ----------
    pointing : Pointing
    aperture : Aperture
    target : manifests.Target
    blocked : ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    rules : Rules
    given : Given
    """
    shares, coverage = pointing.share(aperture, target)
    facts = {"item": pointing.item, "aperture": aperture.name, "coverage": coverage}
    inside = coverage >= rules.min_coverage
    here = sums(pointing, shares) if inside else None
    noise = given.noise
    ghost = None
    if here is not None and pointing.offset is not None:
        moved, part = pointing.share(aperture.moved(*pointing.offset), target)
        ghost = sums(pointing, moved) if part >= rules.min_coverage else None
    live = pointing.live(shares) if inside else np.ones(blocked.size, dtype=bool)
    if ghost is not None:
        live &= pointing.live(moved)
    closed = blocked | ~live
    found = {f.line: f for f in _functionals(pointing, target, here, rules, live)}
    for line in line_names(pointing, target):
        common = facts | {"line": line, "filled": float("nan")}
        functional = found.get(line)
        if here is None or functional is None:
            for method in METHODS:
                yield _empty(common, method, OUTSIDE if here is None else NO_INPUT)
            continue
        common["filled"] = _filled(pointing, functional, shares)
        err = None
        if noise is not None:
            weight = (functional.values * pointing.unit[functional.channels])[:, None, None]
            err = propagated_error(noise, weight * shares, functional.channels)
        yield from _line_rows(
            common, functional, here, ghost, (closed, rules, err, given.strengths)
        )


def _filled(pointing: Pointing, functional: Functional, shares: FloatArray) -> float:
    """Give which part of a sum over an aperture was filled from neighbours."""
    weight = np.abs(functional.values)
    empty = np.tensordot(~pointing.plain.measured[functional.channels], shares, axes=2)
    return float(weight @ empty / (weight.sum() * shares.sum()))


def aperture_functionals(
    pointing: Pointing, aperture: Aperture, target: Target, rules: Rules
) -> tuple[Functional, ...]:
    """Give the flux of every line as a sum over channels, for the profile of an aperture."""
    shares, coverage = pointing.share(aperture, target)
    here = sums(pointing, shares) if coverage >= rules.min_coverage else None
    return tuple(_functionals(pointing, target, here, rules, pointing.plain.live))


def line_names(pointing: Pointing, target: Target) -> tuple[str, ...]:
    """Give the brightest line of every free amplitude of the groups that a cube covers."""
    return tuple(
        lines.names[int(np.argmax(lines.ratio[:, k]))]
        for lines in _line_sets(pointing, target).values()
        for k in range(lines.n_free)
    )


def _line_sets(pointing: Pointing, target: Target) -> dict[str, LineSet]:
    cube = pointing.cube
    if cube.lsf is None:
        raise ArdError(
            f"the line-spread function of {pointing.item} is not known",
            expected="an extension LSF, or an instrument that the study declares",
            found="none",
            action="combine cubes of a known instrument",
        )
    groups = covered_groups(cube.wave_edges, target)
    return {name: group_lines(target, name, cube.wave_edges, cube.lsf) for name in groups}


def _functionals(
    pointing: Pointing, target: Target, here: Sums | None, rules: Rules, live: BoolArray
) -> Iterator[Functional]:
    cube = pointing.cube
    lines = _line_sets(pointing, target)
    err = np.ones(cube.wave.size) if here is None else here.plain.err
    profiles: dict[str, tuple[Profile, float]] = {}
    if here is not None:
        for name in lines:
            found = profile_of(
                here.plain.density, err, cube.wave_edges, lines[name], target.redshift,
                others_of(target, name), live=live,
            )  # fmt: skip
            if found is not None:
                profiles[name] = found
    best = max(profiles.values(), key=lambda pair: pair[1], default=None)
    spare = Profile(rules.velocity_kms, rules.sigma_kms) if best is None else best[0]
    for name in lines:
        profile = profiles[name][0] if name in profiles else spare
        yield from functionals(
            cube.wave_edges, lines[name], target.redshift, profile, err, others_of(target, name),
            live=live,
        )  # fmt: skip


def _line_rows(
    common: dict[str, Any],
    functional: Functional,
    here: Sums,
    ghost: Sums | None,
    how: tuple[BoolArray, Rules, float | None, Mapping[str, Ratio]],
) -> Iterator[dict[str, Any]]:
    blocked, rules, propagated, strengths = how

    def flux(spectrum: Spectrum, err: float | None = None) -> Measured:
        return measure(functional, spectrum, blocked, err)

    plain, standard = flux(here.plain, propagated), flux(here.standard)
    taken = {name: flux(spectrum) for name, spectrum in here.taken.items()}
    alike = flux(here.common)
    same, lost = (_rounded(ratio(*pair)) for pair in ((alike, standard), (standard, alike)))
    fractions = {name: ratio(found, plain) for name, found in taken.items()} | {
        COMBINED: Ratio(0.0, 0.0),
        STANDARD: Ratio(1.0 - lost.value, lost.err),
    }
    seen = plain.value > rules.detected_snr * plain.err
    shifted = NOTHING if here.displaced is None else ratio(flux(here.displaced), plain)
    for method in METHODS:
        if method in SUBTRACTING and method not in taken:
            yield _empty(common, method, NO_INPUT)
            continue
        if method in SUBTRACTING:
            # Not the propagated error: that knows nothing of the noise of the background.
            left = flux(_minus(here.plain, here.taken[method]))
        else:
            left = standard if method == STANDARD else plain
        strength = NOTHING if ghost is None else _strength(ghost, method, flux, plain)
        fraction = fractions[method]
        relative = _relative(method, same, fraction if method in taken else Ratio(0.0, 0.0))
        certain = standard.value > rules.detected_snr * standard.err
        yield _row(
            common | {"method": method, "status": MEASURED if seen else UNDETECTED},
            left,
            fraction if seen else NOTHING,
            relative if seen and certain else NOTHING,
            strength if seen else NOTHING,
            _product(strengths.get(method, NOTHING), shifted) if seen else NOTHING,
        )


def _product(one: Ratio, other: Ratio) -> Ratio:
    """Multiply two numbers with independent errors."""
    err = np.hypot(one.err * other.value, one.value * other.err)
    return Ratio(one.value * other.value, float(err))


def _rounded(found: Ratio) -> Ratio:
    """Add the rounding of the files to the error of a ratio of nearly equal cubes."""
    return Ratio(found.value, float(np.hypot(found.err, _ROUNDING)))


def _strength(ghost: Sums, method: str, flux: Any, plain: Measured) -> Ratio:
    """Give the flux where a ghost would be, over that of the wake: -1 with one, 0 without.

    Wings of the wake itself that reach there count as well.
    """
    if method == STANDARD:
        there = ghost.standard
    elif method == COMBINED:
        there = ghost.plain
    else:
        there = _minus(ghost.plain, ghost.taken[method])
    return ratio(flux(there), plain)


def _relative(method: str, same: Ratio, fraction: Ratio) -> Ratio:
    """Give what a method leaves over what the standard extraction leaves, on the same voxels."""
    if method == STANDARD:
        return Ratio(1.0, 0.0)
    value = same.value * (1.0 - fraction.value)
    return Ratio(
        value, float(np.hypot(same.err * (1.0 - fraction.value), same.value * fraction.err))
    )


def _row(
    common: dict[str, Any],
    left: Measured,
    fraction: Ratio,
    relative: Ratio,
    strength: Ratio,
    model: Ratio,
) -> dict[str, Any]:
    return common | {
        "flux": left.value,
        "flux_err": left.err,
        "flux_limit": max(left.value, 0.0) + LIMIT_SIGMA * left.err,
        "ghost_fraction": fraction.value,
        "ghost_fraction_err": fraction.err,
        "ghost_fraction_limit": fraction.upper,
        "relative_flux": relative.value,
        "relative_flux_err": relative.err,
        "ghost_strength": strength.value,
        "ghost_strength_err": strength.err,
        "model_fraction": model.value,
        "model_fraction_err": model.err,
        "error_from": left.source,
    }


def _empty(common: dict[str, Any], method: str, status: str) -> dict[str, Any]:
    nothing = Measured(float("nan"), float("nan"), np.zeros(0), "")
    known = common | {"method": method, "status": status}
    row = _row(known, nothing, NOTHING, NOTHING, NOTHING, NOTHING)
    return row | {"flux_limit": float("nan")}
