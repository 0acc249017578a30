"""Is a grid of shock models what its labels say, and complete?

Published tables of models have rows that were copied or mislabelled, holes, and zeros that are
rounding; a posterior on such rows is wrong without a sign of it. `defects` names what is wrong.
An importer asks it of the table as published, and deals with every answer; the record of the grid
that a run used (`shockgrid`, the schema `shock-grid`) is judged by what was left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard import layout
from ard.cube import FloatArray
from ard.errors import FormatError
from checks.folder import Product
from checks.gridparts import Division, divided, divisions, shares, spreads, steps, strong
from checks.load import document
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, Status, compare, failed, passed
from manifests import Limit, load_acceptance
from manifests.nebular import NEBULAR_LINES

HALPHA: Final = "HI_6563"
HBETA: Final = "HI_4861"
OIII: Final = "OIII_5007"
RECORD: Final = of_kind("document", layout.SHOCK_GRID)
LEFT: Final = "none"
REMEDY: Final = "import the grid again: a defect has to be masked or mended, and recorded"


class Code(StrEnum):
    """What can be wrong with a grid of models?"""

    CONSTANT_LINE = "CONSTANT_LINE"
    DUPLICATE_LINE = "DUPLICATE_LINE"
    MISLABELLED_LINE = "MISLABELLED_LINE"
    MISSING_MODEL = "MISSING_MODEL"
    DUPLICATE_MODEL = "DUPLICATE_MODEL"
    ROUNDED_ZERO = "ROUNDED_ZERO"
    IMPOSSIBLE_FLUX = "IMPOSSIBLE_FLUX"
    DOUBLET_RATIO = "DOUBLET_RATIO"
    BALMER_RATIO = "BALMER_RATIO"
    BLEND_SUM = "BLEND_SUM"
    BLEND_DOUBLED = "BLEND_DOUBLED"
    NORMALISATION = "NORMALISATION"
    FIELD_NOT_SCALED = "FIELD_NOT_SCALED"
    UNITS = "UNITS"


DOUBLETS: Final = {
    "shockgrid.oiii_doublet": ("OIII_5007", "OIII_4959"),
    "shockgrid.nii_doublet": ("NII_6583", "NII_6548"),
    "shockgrid.siii_doublet": ("SIII_9531", "SIII_9069"),
    "shockgrid.oi_doublet": ("OI_6300", "OI_6364"),
    "shockgrid.sii_doublet": ("SII_6716", "SII_6731"),
}
LIMITS: Final = (
    *DOUBLETS,
    *("shockgrid.spread", "shockgrid.spread_hydrogen", "shockgrid.copied", "shockgrid.unchanged"),
    *("shockgrid.strong", "shockgrid.enough", "shockgrid.label", "shockgrid.label_ir"),
    *("shockgrid.missing", "shockgrid.repeated", "shockgrid.zeros", "shockgrid.impossible"),
    *("shockgrid.balmer", "shockgrid.blend_sum", "shockgrid.blend_doubled"),
    *("shockgrid.normalisation", "shockgrid.density_shift", "shockgrid.low_density"),
    *("shockgrid.velocity", "shockgrid.density", "shockgrid.field", "shockgrid.hbeta"),
)


@dataclass(frozen=True)
class LineFacts:
    """How is a column of a table of models called, and how is that understood?

    Attributes
    ----------
    label : str
        As published.
    name : str
        As the grid calls it: OIII_5007, SII_6716+6731.
    members : tuple of str
        The lines in it.
    ion : str
        Of the label.
    waves_um : tuple of float
        The wavelengths of the label; empty where a name is taken as it is.
    """

    label: str
    name: str
    members: tuple[str, ...]
    ion: str = ""
    waves_um: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class GridFacts:
    """Which models are in a table, and what do they predict?

    Attributes
    ----------
    abundance : ndarray of str, shape (n_model,)
    density_cm3, field_ug, velocity_kms, log_hbeta : ndarray, shape (n_model,)
        Density, magnetic field (not over sqrt(n)), velocity, log10 of the H beta flux.
    lines : tuple of LineFacts, length n_line
    ratio : ndarray, shape (n_model, n_line)
        Flux over H beta; NaN where it is not known or not used.
    """

    abundance: NDArray[Any]
    density_cm3: FloatArray
    field_ug: FloatArray
    velocity_kms: FloatArray
    log_hbeta: FloatArray
    lines: tuple[LineFacts, ...]
    ratio: FloatArray

    def column(self, name: str) -> FloatArray | None:
        """Give the fluxes of a line; None where there is no such line."""
        names = [line.name for line in self.lines]
        return self.ratio[:, names.index(name)] if name in names else None


@dataclass(frozen=True)
class Finding:
    """One number that was measured in a table of models, and what it means if it is out of limits.

    Attributes
    ----------
    code : Code
    limit : str
        Row of acceptance.toml.
    subject : str
        The line, model or axis.
    value : float
    detail : str
    """

    code: Code
    limit: str
    subject: str
    value: float
    detail: str


def grid_limits() -> dict[str, Limit]:
    """Give the limits of the study that grids of models have to keep."""
    acceptance = load_acceptance()
    return {name: acceptance.limit(name) for name in LIMITS}


def defects(facts: GridFacts, limits: Limits) -> tuple[Finding, ...]:
    """Name everything that is wrong with a table of models.

    Parameters
    ----------
    facts : GridFacts
    limits : mapping of str to Limit
        As `grid_limits` gives them.

    Returns
    -------
    tuple of Finding
        In the order of `Code`; one for each code and subject.

    Raises
    ------
    FormatError
        If there are no models: nothing can be found in nothing.
    """
    if not facts.ratio.size:
        raise FormatError(
            "the table has no models",
            expected="one model and one line, or more",
            found=f"{facts.ratio.shape[0]} models of {facts.ratio.shape[1]} lines",
            action="import the grid again",
        )
    found: dict[tuple[Code, str], Finding] = {}
    for finding in _measured(facts, limits):
        if not limits[finding.limit].accepts(finding.value):
            found.setdefault((finding.code, finding.subject), finding)
    order = list(Code)
    return tuple(sorted(found.values(), key=lambda one: (order.index(one.code), one.subject)))


def _measured(facts: GridFacts, limits: Limits) -> Iterator[Finding]:
    for line, values in zip(facts.lines, facts.ratio.T, strict=True):
        yield from _one_line(line, values)
    yield from _copies(facts)
    yield from _in_parts(facts, limits["shockgrid.strong"], limits["shockgrid.enough"])
    yield from _labels(facts.lines)
    yield from _holes(facts)
    yield from _ratios(facts)
    yield from _blends(facts)
    yield from _density(facts, limits["shockgrid.low_density"])
    yield from _ranges(facts)


def _one_line(line: LineFacts, values: FloatArray) -> Iterator[Finding]:
    known = values[np.isfinite(values)]
    bad = int(np.count_nonzero((values < 0) | np.isinf(values)))
    if bad:
        detail = f"{bad} fluxes are negative or infinite"
        yield Finding(Code.IMPOSSIBLE_FLUX, "shockgrid.impossible", line.label, bad, detail)
    missing = int(np.count_nonzero(np.isnan(values)))
    if missing:
        detail = f"{missing} of {values.size} models have no flux of it"
        yield Finding(Code.MISSING_MODEL, "shockgrid.missing", line.label, missing, detail)
    zeros = int(np.count_nonzero(known == 0))
    if zeros:
        detail = f"{zeros} of {known.size} fluxes are 0: below the rounding, not absent"
        yield Finding(Code.ROUNDED_ZERO, "shockgrid.zeros", line.label, zeros, detail)
    lit = known[known > 0]
    # Recombination lines of hydrogen are nearly constant by nature: see `_in_parts`.
    if lit.size > 1 and not _of_hydrogen(line):
        spread = float((lit.max() - lit.min()) / np.median(lit))
        detail = f"{lit.min():.4g} to {lit.max():.4g} over H beta in {lit.size} models"
        yield from _constant(line, spread, detail)
    if line.name == HBETA and lit.size:
        off = float(np.abs(lit - 1).max())
        detail = f"H beta over itself is off by {off:.3g}"
        yield Finding(Code.NORMALISATION, "shockgrid.normalisation", line.label, off, detail)


def _of_hydrogen(line: LineFacts) -> bool:
    return line.ion == "HI" or line.name.startswith("HI_")


def _constant(line: LineFacts, spread: float, detail: str) -> Iterator[Finding]:
    """Hold the range of a line, over its median, against the least that lines have."""
    if line.name == HBETA:
        return
    limit = "shockgrid.spread_hydrogen" if _of_hydrogen(line) else "shockgrid.spread"
    yield _same(line, limit, spread, detail)


def _same(line: LineFacts, limit: str, value: float, detail: str) -> Finding:
    """Name a line that is the same where it should not be; all ratios are taken to H alpha."""
    if line.name == HALPHA:
        return Finding(Code.BALMER_RATIO, limit, f"{HALPHA} / {HBETA}", value, detail)
    return Finding(Code.CONSTANT_LINE, limit, line.label, value, detail)


def _in_parts(facts: GridFacts, least: Limit, enough: Limit) -> Iterator[Finding]:
    """Find lines that are constant or copies in a part of the models, or do not change with v."""
    whole = divisions(facts.abundance, facts.density_cm3, facts.field_ug)
    parts = [one for one in whole if len(one.names) > 1]
    bright = strong(facts.ratio, least)
    every = divided(["the table"] * len(facts.abundance))
    for line, values, lit in zip(facts.lines, facts.ratio.T, bright.T, strict=True):
        for part in (every, *parts):
            for spread, number, name in spreads(part, values, lit, enough)[:1]:
                detail = f"the same in {number} models of {name}"
                yield from _constant(line, spread, detail)
    for (i, one), (j, other) in combinations(enumerate(facts.lines), 1 + 1):
        both = bright[:, i] & bright[:, j]
        equal = both & np.isclose(facts.ratio[:, i], facts.ratio[:, j])
        for part in parts if equal.any() else ():
            for same, number, name in shares(part, equal, both, enough)[:1]:
                detail = f"equal in {same:.1%} of {number} models of {name}"
                subject = f"{one.label} = {other.label}"
                yield Finding(Code.DUPLICATE_LINE, "shockgrid.copied", subject, same, detail)
    yield from _unchanged(facts, bright, whole, enough)


def _unchanged(
    facts: GridFacts,
    bright: NDArray[np.bool_],
    whole: tuple[Division, Division],
    enough: Limit,
) -> Iterator[Finding]:
    """Find lines, and models, that are the same at two neighbouring velocities.

    A line in nearly all tracks, and all lines in those of one abundance set: of a single line in a
    few tracks rounding may make it so, where that is at its brightest.
    """
    pairs = steps(whole[1], facts.velocity_kms)
    lower, upper = facts.ratio[pairs.lower], facts.ratio[pairs.upper]
    free = np.array([line.name != HBETA for line in facts.lines])
    both = bright[pairs.lower] & bright[pairs.upper] & free
    equal = both & np.isclose(lower, upper)
    for k, line in enumerate(facts.lines):
        for same, number, name in shares(pairs.division, equal[:, k], both[:, k], enough)[:1]:
            detail = f"the same at {name} in {same:.1%} of {number} models"
            yield _same(line, "shockgrid.unchanged", same, detail)
    names = pairs.division.names
    keys = [
        f"{names[step]} of {whole[0].names[z]}"
        for step, z in zip(pairs.division.of_row, whole[0].of_row[pairs.lower], strict=True)
    ]
    cells = divided(np.repeat(keys, len(facts.lines)).tolist())
    for same, number, name in shares(cells, equal.ravel(), both.ravel(), enough)[:1]:
        detail = f"all lines are the same at {name}: {same:.1%} of {number} fluxes"
        for line in (line for line, on in zip(facts.lines, free, strict=True) if on):
            yield _same(line, "shockgrid.unchanged", same, detail)


def _copies(facts: GridFacts) -> Iterator[Finding]:
    for (i, one), (j, other) in combinations(enumerate(facts.lines), 1 + 1):
        first, second = facts.ratio[:, i], facts.ratio[:, j]
        both = (first > 0) & (second > 0)
        number = int(both.sum())
        if number > 1:
            same = float(np.isclose(first[both], second[both]).mean())
            detail = f"equal in {same:.1%} of {number} models"
            subject = f"{one.label} = {other.label}"
            yield Finding(Code.DUPLICATE_LINE, "shockgrid.copied", subject, same, detail)


def _labels(lines: Sequence[LineFacts]) -> Iterator[Finding]:
    """Hold each wavelength of a label against a line of its ion that no other one has taken."""
    for line in lines:
        free = [known for known in NEBULAR_LINES if known.ion == line.ion]
        for wave in line.waves_um:
            limit = "shockgrid.label_ir" if wave > 1 else "shockgrid.label"
            if not free:
                detail = f"no (other) line of {line.ion} is known for {wave:g} um"
                yield Finding(Code.MISLABELLED_LINE, limit, line.label, float("inf"), detail)
                continue
            best = min(free, key=lambda known: abs(known.label_um - wave))
            free.remove(best)
            off = abs(best.label_um / wave - 1)
            other = min(NEBULAR_LINES, key=lambda known: abs(known.label_um - wave))
            detail = f"{wave:g} um: the nearest such line that is left is {best.name}"
            detail += "" if other is best else f"; {other.name} is there"
            yield Finding(Code.MISLABELLED_LINE, limit, line.label, off, detail)


def model_name(abundance: str, density: float, field: float, velocity: float) -> str:
    """Name one model: "Allen2008_Solar n=1 B=3.23 v=500"."""
    return f"{abundance} n={density:g} B={field:g} v={velocity:g}"


def _holes(facts: GridFacts) -> Iterator[Finding]:
    """Find models that are there twice, and that lack in the table of their abundance and n.

    A velocity that most other such tables have lacks too, within the range of its own.
    """
    keys: dict[tuple[str, float], dict[tuple[float, float], int]] = {}
    columns = (facts.abundance, facts.density_cm3, facts.field_ug, facts.velocity_kms)
    for z, n, b, v in zip(*columns, strict=True):
        group = keys.setdefault((str(z), float(n)), {})
        group[float(b), float(v)] = group.get((float(b), float(v)), 0) + 1
    speeds = {key: {v for _, v in group} for key, group in keys.items()}
    for (z, n), group in keys.items():
        fields, own = sorted({b for b, _ in group}), speeds[z, n]
        others = [one for key, one in speeds.items() if key != (z, n)]
        common = {
            v
            for v in set().union(*others)
            if min(own) < v < max(own)
            and sum(v in one for one in others) > sum(v not in one for one in others)
        }
        for b in fields:
            for v in sorted(own | common):
                number, name = group.get((b, v), 0), model_name(z, n, b, v)
                if number > 1:
                    detail = f"there are {number} of it"
                    yield Finding(
                        Code.DUPLICATE_MODEL, "shockgrid.repeated", name, number - 1, detail
                    )
                elif not number:
                    detail = "its neighbours are there"
                    yield Finding(Code.MISSING_MODEL, "shockgrid.missing", name, 1, detail)


def _ratios(facts: GridFacts) -> Iterator[Finding]:
    wanted = {**DOUBLETS, "shockgrid.balmer": (HALPHA, HBETA)}
    for limit, (upper, lower) in wanted.items():
        first, second = facts.column(upper), facts.column(lower)
        if first is None or second is None:
            continue
        both = (first > 0) & (second > 0)
        ratio = first[both] / second[both]
        code = Code.BALMER_RATIO if limit == "shockgrid.balmer" else Code.DOUBLET_RATIO
        for value in (ratio.min(), ratio.max()) if ratio.size else ():
            detail = f"{ratio.min():.4g} to {ratio.max():.4g} in {ratio.size} models"
            yield Finding(code, limit, f"{upper} / {lower}", float(value), detail)


def _blends(facts: GridFacts) -> Iterator[Finding]:
    """Hold sums against their members; without any of these nothing is known of a sum."""
    for line, total in zip(facts.lines, facts.ratio.T, strict=True):
        parts = [facts.column(name) for name in line.members if name != line.name]
        known = [part for part in parts if part is not None]
        for part in known:
            lit = (part > 0) & (total > 0)
            if lit.any():
                # Of faint models rounding hides it; and some model may have equal members.
                off = float(np.median(np.abs(total[lit] / part[lit] - 1 - 1)))
                detail = "the sum is one of its members twice"
                yield Finding(
                    Code.BLEND_DOUBLED, "shockgrid.blend_doubled", line.label, off, detail
                )
        whole = np.sum(known, axis=0) if known and len(known) == len(line.members) else None
        lit = total > 0 if whole is None else (total > 0) & (whole > 0)
        if whole is not None and lit.any():
            off = float(np.abs(total[lit] / whole[lit] - 1).max())
            detail = f"the sum and its members differ by {off:.2%}"
            yield Finding(Code.BLEND_SUM, "shockgrid.blend_sum", line.label, off, detail)


def _density(facts: GridFacts, low: Limit) -> Iterator[Finding]:
    """Compare models that differ in density alone, at the same B / sqrt(n).

    In the limit of low density ratios depend on B and n by B / sqrt(n) only (Dopita & Sutherland
    1996, ApJS 102, 161); they do not if one was given in the place of the other.
    """
    values = facts.column(OIII)
    if values is None:
        return
    field = facts.field_ug / np.sqrt(facts.density_cm3)
    place: dict[tuple[str, float, str], dict[float, float]] = {}
    usable = (values > 0) & np.array([low.accepts(float(n)) for n in facts.density_cm3])
    for k in np.flatnonzero(usable):
        key = (str(facts.abundance[k]), float(facts.velocity_kms[k]), f"{field[k]:.2g}")
        place.setdefault(key, {})[float(facts.density_cm3[k])] = float(np.log10(values[k]))
    shifts = [max(row.values()) - min(row.values()) for row in place.values() if len(row) > 1]
    if shifts:
        shift = float(np.median(shifts))
        detail = f"[O III] / H beta changes by {shift:.3f} dex (median of {len(shifts)} models)"
        yield Finding(
            Code.FIELD_NOT_SCALED,
            "shockgrid.density_shift",
            "B / sqrt(n)",
            shift,
            f"with density alone, {detail}",
        )


def _ranges(facts: GridFacts) -> Iterator[Finding]:
    per_density = facts.log_hbeta - np.log10(facts.density_cm3)
    axes: Mapping[str, tuple[str, FloatArray]] = {
        "shockgrid.velocity": ("velocity", facts.velocity_kms),
        "shockgrid.density": ("density", facts.density_cm3),
        "shockgrid.hbeta": ("H beta flux over n", per_density[np.isfinite(per_density)]),
    }
    for limit, (name, values) in axes.items():
        for value in (values.min(), values.max()) if values.size else ():
            detail = f"{values.min():.4g} to {values.max():.4g}"
            yield Finding(Code.UNITS, limit, name, float(value), detail)
    # One field is near zero by design; the strongest tells the unit.
    top = float(facts.field_ug.max())
    yield Finding(Code.UNITS, "shockgrid.field", "magnetic field", top, f"up to {top:.4g} uG")


@check("shockgrid.defects", RECORD, LIMITS)
def left_defects(product: Product, limits: Limits) -> Outcome:
    """Was every defect of the grid of models dealt with?"""
    rows = document(product).get("known_defects")
    if not isinstance(rows, list):
        return failed("the record names no defects, not even none", REMEDY)
    for row in rows:
        if row.get("handling") != LEFT:
            continue
        limit, value = limits.get(str(row.get("limit"))), row.get("value")
        what = f"{row.get('code')}: {row.get('subject')}"
        if limit is None:
            return failed(f"{what}: {row.get('detail')}", REMEDY)
        outcome = compare(limit, float("nan") if value is None else float(value), what, REMEDY)
        if outcome.status is not Status.PASSED:
            return outcome
    return passed(f"{len(rows)} known defects, and none was left as it was", len(rows))


@check("shockgrid.models", RECORD)
def models(product: Product, limits: Limits) -> Outcome:
    """Were observations compared with models of shocks, and not with a closed form?"""
    record = document(product)
    if record.get("synthetic") is False:
        return passed(f"{record.get('code')} {record.get('version')}, {record.get('project')}")
    if record.get("simulated") is True:
        return passed("a closed form, for a simulated observation")
    remedy = "name a real grid in the configuration, and fit again"
    return failed("the grid is a closed form that no shock obeys", remedy)
