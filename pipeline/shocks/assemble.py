"""How does a published table of models become a grid, and what is done about its defects?

Nothing is filled: what is missing or wrong is masked or left out, and said. A flux of zero in a
table that is rounded is none: it is between 0 and half a step, and is taken as the middle of that.
Its error is part of the rounding, which every fit of the grid adds to the errors of its models.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from ard.errors import ArdError, FormatError
from checks.shockgrid import Code, Finding, GridFacts, LineFacts, defects, grid_limits
from pipeline.shocks.abundances import abundance_named
from pipeline.shocks.grid import (
    HALPHA,
    HBETA,
    Abundance,
    BoolArray,
    Defect,
    FloatArray,
    GridLine,
    GridSource,
    ShockGrid,
)
from pipeline.shocks.lines import line_named

# Published fields have two or three digits (B = 0.32 for 0.316, 1.58 for 1.581): values of b that
# are nearer to one another than this are one.
B_ROUNDING: Final = 0.015
_BOUND: Final = 0.5  # of the step of a table: what is below it is printed as 0
_LINES: Final = frozenset({Code.CONSTANT_LINE, Code.DOUBLET_RATIO, Code.BLEND_SUM})
_FATAL: Final = frozenset(
    {Code.BALMER_RATIO, Code.NORMALISATION, Code.FIELD_NOT_SCALED, Code.UNITS}
)


def join(tables: Sequence[GridFacts]) -> GridFacts:
    """Put tables of models with the same columns one below the other.

    Raises
    ------
    FormatError
        If there is none, or their columns differ.
    """
    if not tables or any(table.lines != tables[0].lines for table in tables):
        raise FormatError(
            "the tables have different columns, or there is none",
            expected="the same lines in each",
            found=f"{len(tables)} tables",
            action="import them one by one",
        )
    names = ("abundance", "density_cm3", "field_ug", "velocity_kms", "log_hbeta", "ratio")
    arrays = {name: np.concatenate([getattr(t, name) for t in tables]) for name in names}
    return GridFacts(lines=tables[0].lines, **arrays)


def snapped(b: FloatArray) -> FloatArray:
    """Give each b the value that stands for all that rounding made different.

    Parameters
    ----------
    b : ndarray, shape (n_model,)
        B / sqrt(n) as computed from published values, uG cm^1.5.

    Returns
    -------
    ndarray, shape (n_model,)
        Of the values within `B_ROUNDING` of the next, the one with the fewest digits.
    """
    values = np.unique(b)
    gaps = np.flatnonzero(np.diff(values) > B_ROUNDING * values[:-1]) + 1
    out = np.array(b, dtype=np.float64)
    for group in np.split(values, gaps):
        rounded = [float(f"{value:.4g}") for value in group]
        best = min(rounded, key=lambda value: (len(f"{value:.4g}".replace(".", "")), value))
        out[(b >= group[0]) & (b <= group[-1])] = best
    return out


def assemble(
    facts: GridFacts,
    source: GridSource,
    *,
    relabelled: Sequence[str] = (),
    copies: Sequence[str] = (),
    naming: Callable[[str], Abundance] = abundance_named,
) -> ShockGrid:
    """Make the grid of a table of models.

    Parameters
    ----------
    facts : GridFacts
        The table as published; the order of its rows has no effect.
    source : GridSource
        Its known defects are added to.
    relabelled : sequence of str
        Labels that are known to be wrong, and whose lines have the right name in `facts`.
    copies : sequence of str
        Labels of lines known to be the copy, where two are equal; without, both are masked.
    naming : callable
        Gives the composition of an abundance set by its name.

    Returns
    -------
    ShockGrid
        Abundances by O/H, lines by wavelength; every defect is in its source.

    Raises
    ------
    ArdError
        If the table has defects that masking does not cure (units, B for B / sqrt(n)), one model
        with two predictions, or no H alpha.
    """
    findings = defects(facts, grid_limits())
    fatal = [finding for finding in findings if finding.code in _FATAL]
    if fatal:
        raise ArdError(
            "the table of models has defects that masking does not cure",
            expected="units, fields and normalisation as declared",
            found="; ".join(f"{f.code}: {f.subject}: {f.detail}" for f in fatal),
            action="look at the columns of the table, and import it again",
        )
    hidden = _hidden(facts.lines, findings, frozenset(relabelled), frozenset(copies))
    known = [
        _defect(finding, hidden, frozenset(relabelled), source.rounding) for finding in findings
    ]
    raw_b = facts.field_ug / np.sqrt(facts.density_cm3)
    b = snapped(raw_b)
    moved = float(np.abs(b / np.where(raw_b > 0, raw_b, 1.0) - 1.0)[raw_b > 0].max(initial=0.0))
    if moved > 1e-3:
        detail = f"B has two or three digits: b was moved by up to {moved:.2%}"
        known.append(Defect("B_ROUNDED", "B / sqrt(n)", detail, "snapped"))
    source = dataclasses.replace(source, known_defects=(*source.known_defects, *known))
    return _grid(facts, b, source, hidden, naming)


def _hidden(
    lines: Sequence[LineFacts],
    findings: Iterable[Finding],
    relabelled: frozenset[str],
    copies: frozenset[str],
) -> dict[str, str]:
    """Say which labels are masked, and which are left out for nobody knows what they are."""
    hidden: dict[str, str] = {}
    for finding in findings:
        if finding.code is Code.MISLABELLED_LINE and finding.subject not in relabelled:
            hidden[finding.subject] = "left out"
        elif finding.code is Code.DUPLICATE_LINE:
            pair = finding.subject.split(" = ")
            guilty = [label for label in pair if label in copies] or pair
            hidden |= dict.fromkeys(guilty, "masked")
        elif finding.code in _LINES or finding.code is Code.BLEND_DOUBLED:
            names = finding.subject.split(" / ")
            labels = [row.label for row in lines if row.label in names or row.name in names]
            hidden |= dict.fromkeys(labels, "masked")
    return hidden


def _defect(
    finding: Finding, hidden: dict[str, str], relabelled: frozenset[str], rounding: float
) -> Defect:
    """Say what is done about a finding."""
    if finding.code is Code.MISLABELLED_LINE:
        handling = "relabelled" if finding.subject in relabelled else "left out"
    elif finding.code is Code.DUPLICATE_MODEL:
        handling = "dropped"
    elif finding.code is Code.DUPLICATE_LINE:
        masked = [label for label in finding.subject.split(" = ") if label in hidden]
        handling = "masked" if len(masked) > 1 else f"masked: {masked[0]}"
    elif finding.code is Code.ROUNDED_ZERO and rounding > 0 and finding.subject not in hidden:
        handling = f"bounded: below {_BOUND * rounding:g}"
    else:
        handling = "masked"
    return Defect(
        str(finding.code), finding.subject, finding.detail, handling, finding.limit, finding.value
    )


def _grid(
    facts: GridFacts,
    b: FloatArray,
    source: GridSource,
    hidden: dict[str, str],
    naming: Callable[[str], Abundance],
) -> ShockGrid:
    halpha = facts.column(HALPHA)
    if halpha is None:
        raise FormatError(
            "the table has no H alpha, to which ratios are taken",
            expected=HALPHA,
            found=", ".join(line.name for line in facts.lines),
            action="import a table with H alpha",
        )
    kept = [
        k
        for k, line in enumerate(facts.lines)
        if line.name != HALPHA and hidden.get(line.label) != "left out"
    ]
    columns = [line_named(facts.lines[k].name) for k in kept]
    order = sorted(range(len(kept)), key=lambda k: columns[k].wave_um)
    lines: tuple[GridLine, ...] = tuple(columns[k] for k in order)
    abundances = tuple(
        sorted(
            (naming(str(name)) for name in np.unique(facts.abundance)),
            key=lambda a: (np.isnan(a.log_oh), a.log_oh, a.name),
        )
    )
    chosen = [kept[k] for k in order]
    masked = np.array([hidden.get(facts.lines[k].label) == "masked" for k in chosen])
    log_ratio = _log_ratios(facts, halpha, masked, chosen, source.rounding)
    return _placed(facts, b, source, (abundances, lines), log_ratio)


def _log_ratios(
    facts: GridFacts, halpha: FloatArray, masked: BoolArray, chosen: list[int], rounding: float
) -> FloatArray:
    """Give log10 of the flux over H alpha of the chosen columns, NaN where it must not be used."""
    ratio = facts.ratio[:, chosen]
    ratio = np.where(ratio == 0.0, 0.5 * _BOUND * rounding, ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log10(ratio) - np.log10(halpha)[:, None]
    return np.where(np.isfinite(log_ratio) & ~masked, log_ratio, np.nan)


def _placed(
    facts: GridFacts,
    b: FloatArray,
    source: GridSource,
    names: tuple[tuple[Abundance, ...], tuple[GridLine, ...]],
    log_ratio: FloatArray,
) -> ShockGrid:
    """Put each model where its parameters say; what no model fills stays masked."""
    abundances, lines = names
    order = [a.name for a in abundances]
    z = np.array([order.index(str(name)) for name in facts.abundance])
    log_n, n_at = np.unique(np.round(np.log10(facts.density_cm3), 6), return_inverse=True)
    axis_b, b_at = np.unique(b, return_inverse=True)
    v, v_at = np.unique(facts.velocity_kms, return_inverse=True)
    shape = (len(abundances), log_n.size, axis_b.size, v.size)
    place = np.ravel_multi_index((z, n_at, b_at, v_at), shape)
    _require_one(facts, place, log_ratio)
    ratio = np.full((int(np.prod(shape)), len(lines)), np.nan)
    hbeta = np.full(int(np.prod(shape)), np.nan)
    ratio[place], hbeta[place] = log_ratio, facts.log_hbeta
    full = ratio.reshape(*shape, len(lines))
    return ShockGrid(
        source=source,
        abundances=abundances,
        log_n=log_n,
        b=axis_b,
        v_kms=v,
        lines=lines,
        log_ratio=full,
        mask=np.isnan(full),
        log_hbeta=hbeta.reshape(shape),
    )


def _require_one(facts: GridFacts, place: np.ndarray, log_ratio: FloatArray) -> None:
    """Refuse two predictions for one model; the same one twice is no harm.

    They have to be equal to the last digit: else the order of rows would decide which is kept.
    """
    order = np.argsort(place, kind="stable")
    twice = np.flatnonzero(np.diff(place[order]) == 0)
    first, second = order[twice], order[twice + 1]
    all_of = np.column_stack([log_ratio, facts.log_hbeta])
    one, other = all_of[first], all_of[second]
    same: BoolArray = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    if not same.all():
        k = int(first[~same][0])
        raise FormatError(
            "the table has one model with two predictions",
            expected="one row for each abundance, density, field and velocity",
            found=f"{facts.abundance[k]} n={facts.density_cm3[k]:g} B={facts.field_ug[k]:g} "
            f"v={facts.velocity_kms[k]:g}, and {int((~same).sum()) - 1} more",
            action="filter by component and by reference: the database holds several of each",
        )


def facts_of(grid: ShockGrid) -> GridFacts:
    """Give the models of a grid as a table, to be examined anew.

    Cells without any unmasked line are no models; H alpha and H beta are put back where H beta is
    among the lines.
    """
    cells = np.argwhere(~grid.mask.all(axis=-1))
    z, n, b, v = cells.T
    log_ratio = grid.log_ratio[z, n, b, v]
    names = [line.name for line in grid.lines]
    if HBETA in names:
        log_ratio = log_ratio - log_ratio[:, [names.index(HBETA)]]
    facts = [LineFacts(line.name, line.name, line.members) for line in grid.lines]
    ratio = 10.0**log_ratio
    if HBETA in names:
        halpha = 10.0 ** -grid.log_ratio[z, n, b, v][:, [names.index(HBETA)]]
        ratio = np.hstack([ratio, halpha])
        facts.append(LineFacts(HALPHA, HALPHA, (HALPHA,)))
    # What stands for less than the step of the table was printed as 0.
    ratio = np.where(ratio < _BOUND * grid.source.rounding, 0.0, ratio)
    density = 10.0 ** grid.log_n[n]
    return GridFacts(
        abundance=np.array([grid.abundances[k].name for k in z]),
        density_cm3=density,
        field_ug=grid.b[b] * np.sqrt(density),
        velocity_kms=grid.v_kms[v],
        log_hbeta=grid.log_hbeta[z, n, b, v],
        lines=tuple(facts),
        ratio=ratio,
    )


def examine(grid: ShockGrid) -> tuple[Finding, ...]:
    """Name the defects that are still in a grid.

    Missing models are in its mask, and zeros of a rounded table are bounds: neither is a defect.
    """
    found = defects(facts_of(grid), grid_limits())
    dealt_with = {Code.MISSING_MODEL}
    if grid.source.rounding > 0:
        dealt_with.add(Code.ROUNDED_ZERO)
    return tuple(one for one in found if one.code not in dealt_with)
