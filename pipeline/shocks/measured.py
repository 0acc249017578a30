"""Which of the measured lines can be held against a grid, and as what?

Tables come from the stage `extract` or from anywhere: one row for each line of each spectrum, with
flux and error, or with log10 of the ratio to H alpha and its error in dex. A blend of the grid is
the sum of its members, if all of them were measured.

A line that its fit left `suspect` is used: its error holds the misfit already, and at the tip,
where one Gaussian is never enough, there would be nothing without it. Whatever rests on it says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import FormatError
from ard.table import Table
from pipeline.shocks.grid import HALPHA, HBETA, GridLine, ShockGrid
from pipeline.shocks.likelihood import LineFluxes
from pipeline.shocks.lines import known_line, line_named, read_label

_BALMER: Final = {"Halpha": HALPHA, "Hbeta": HBETA}
_NAME: Final = re.compile(r"^([A-Z][A-Za-z]*?)_?(\d+)$")
_LABELS: Final = ("spectrum", "aperture", "method")
_SUSPECT: Final = "suspect"
_FLUX: Final = ("flux", "flux_err")
_RATIO: Final = ("log_ratio", "log_ratio_err")


@dataclass(frozen=True, eq=False)
class Measured:
    """Line fluxes of spectra.

    Attributes
    ----------
    spectra : tuple of str
        Their names.
    fluxes : LineFluxes
        One row for each of them.
    simulated : bool
        Whether they are of a simulated observation.
    suspect : mapping of str to tuple of str
        By spectrum, the lines that were fitted badly; none for a spectrum that is not there.
    """

    spectra: tuple[str, ...]
    fluxes: LineFluxes
    simulated: bool = False
    suspect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def grid_name(line: str) -> str:
    """Give the name that grids have for a line: OIII5007 is OIII_5007, Halpha HI_6563."""
    if line in _BALMER:
        return _BALMER[line]
    found = _NAME.match(line)
    return f"{found[1]}_{found[2]}" if found else line


def read_measured(table: Table) -> Measured:
    """Read fluxes, or ratios, from a table.

    Parameters
    ----------
    table : Table
        With the column ``line``; ``flux`` and ``flux_err``, or ``log_ratio`` (log10 of flux over
        H alpha) and ``log_ratio_err`` (dex); and, where there are several spectra, ``spectrum``,
        or ``aperture`` and ``method``. A missing value is a line that is not used; an upper limit
        of k sigma is a flux of 0 with that sigma. With ``suspect``, if there, lines are named whose
        fit left more than chance.

    Raises
    ------
    FormatError
        If columns are missing or in different units, a line is there twice, a value has no
        error, none is H alpha, or ``suspect`` is no column of booleans.
    """
    names = table.data.colnames
    pair = next((p for p in (_FLUX, _RATIO) if set(p) <= set(names)), None)
    if pair is None or "line" not in names:
        raise FormatError(
            "the table has no lines to compare",
            expected="columns line, flux and flux_err, or line, log_ratio and log_ratio_err",
            found=", ".join(names),
            action="name the columns so",
        )
    labels = [name for name in _LABELS if name in names]
    keys = ["/".join(str(row[name]) for name in labels) or "spectrum" for row in table.data]
    lines = [grid_name(str(name)) for name in table.data["line"]]
    spectra, every = tuple(dict.fromkeys(keys)), tuple(dict.fromkeys(lines))
    if len(set(zip(keys, lines, strict=True))) < len(keys):
        raise FormatError(
            "a line of a spectrum is there twice",
            expected="one row for each line of each spectrum",
            found=f"{len(keys)} rows, {len(set(zip(keys, lines, strict=True)))} different",
            action="leave one of them out, or name the spectra",
        )
    row, column = ({name: k for k, name in enumerate(one)} for one in (spectra, every))
    rows, columns = [row[key] for key in keys], [column[line] for line in lines]
    values = np.full((2, len(spectra), len(every)), np.nan)
    for place, numbers in enumerate(_pair(table, pair)):
        values[place, rows, columns] = numbers
    fluxes = _of_ratios(every, *values) if pair is _RATIO else LineFluxes.of_errors(every, *values)
    return Measured(spectra, fluxes, table.simulated, _suspect(table, keys, lines))


def _suspect(table: Table, keys: Sequence[str], lines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    if _SUSPECT in table.data.colnames:
        column: Any = table.data[_SUSPECT]
        if column.dtype.kind not in "biu":
            raise FormatError(
                "the column suspect says neither yes nor no",
                expected="booleans",
                found=column.dtype.name,
                action="write it as true and false, or leave it out",
            )
        flags = np.ma.filled(np.ma.asarray(column, dtype=bool), False)
        for key, line, flag in zip(keys, lines, flags, strict=True):
            if flag:
                found[key] = (*found.get(key, ()), line)
    return found


def for_grid(fluxes: LineFluxes, lines: Sequence[GridLine]) -> LineFluxes:
    """Give H alpha and the fluxes of those lines of a grid that were measured in any spectrum.

    Each measured line is used once: alone where the grid has it so, else in a blend. A line that
    no spectrum has is left out: models that lack it are as good as others.

    Parameters
    ----------
    fluxes : LineFluxes
    lines : sequence of GridLine
    """
    names, rows = [HALPHA], [_unit(fluxes.names, [HALPHA])]
    left = set(fluxes.names) - {HALPHA}
    for line in sorted(lines, key=lambda one: len(one.members)):
        members = [line.name] if line.name in left else list(line.members)
        if set(members) <= left:
            names.append(line.name)
            rows.append(_unit(fluxes.names, members))
            left -= set(members)
    adds = np.array(rows)
    # A sum with a member that is not used is not used.
    absent = (np.isnan(fluxes.flux).astype(float) @ adds.T) > 0
    flux = np.where(absent, np.nan, np.nan_to_num(fluxes.flux) @ adds.T)
    cov = adds @ np.nan_to_num(fluxes.cov) @ adds.T
    kept = np.flatnonzero(~absent.all(axis=0) | (np.arange(len(names)) == 0))
    every = np.ix_(range(len(cov)), kept, kept)
    return LineFluxes(tuple(names[k] for k in kept), flux[:, kept], cov[every], fluxes.in_dex)


def not_compared(
    fluxes: LineFluxes, used: Sequence[str], grids: Sequence[ShockGrid]
) -> dict[str, str]:
    """Say of each line that some spectrum has, and that is not compared, why.

    Parameters
    ----------
    fluxes : LineFluxes
        As they were measured.
    used : sequence of str
        The lines that are compared, as `for_grid` names them.
    grids : sequence of ShockGrid
        The models: of shocks, and of their precursors.

    Returns
    -------
    dict
        The reason by line, in the order of `fluxes`.
    """
    lines = {line.name: line for grid in grids for line in grid.lines}
    taken = {HALPHA}
    for name in used:
        taken |= {name} if name in fluxes.names else set(lines[name].members)
    seen = ~np.isnan(fluxes.flux).all(axis=0)
    measured = [name for name, some in zip(fluxes.names, seen, strict=True) if some]
    return {name: _reason(name, measured, lines, grids) for name in measured if name not in taken}


def _reason(
    name: str, measured: Sequence[str], lines: Mapping[str, GridLine], grids: Sequence[ShockGrid]
) -> str:
    holding = [line for line in lines.values() if name in (line.name, *line.members)]
    for line in holding:
        having = [grid for grid in grids if line in grid.lines]
        if any(bool(one.mask[..., one.line_index([line.name])[0]].all()) for one in having):
            codes = sorted({code for one in having for code in _codes(one, line)})
            return f"masked: {', '.join(codes)}" if codes else "masked"
    for line in holding:
        missing = [one for one in line.members if one not in measured]
        if missing:
            return f"in {line.name}, {', '.join(missing)} is missing"
    try:
        line_named(name)
    except FormatError:
        return "no line is known by that name"
    return "not in the grid"


def _codes(grid: ShockGrid, line: GridLine) -> set[str]:
    """Name the defects for which a line of a grid is masked."""
    return {
        defect.code
        for defect in grid.source.known_defects
        if defect.handling.startswith("masked")
        and any(_means(label, line) for label in re.split(" = | / ", defect.subject))
    }


def _means(label: str, line: GridLine) -> bool:
    """Say whether a subject of a defect is a line, by its name or its published label."""
    if label == line.name:
        return True
    try:
        return known_line(*read_label(label)).name == line.name
    except FormatError:  # a model, or an axis
        return False


def _unit(names: Sequence[str], chosen: Sequence[str]) -> FloatArray:
    return np.array([float(name in chosen) for name in names])


def _pair(table: Table, pair: tuple[str, str]) -> tuple[FloatArray, FloatArray]:
    """Give the values and errors of all rows; refuse what would count as a perfect measurement."""
    units = [table.data[name].unit for name in pair]
    if units[0] != units[1]:
        raise FormatError(
            "values and errors are in different units",
            expected=f"{pair[0]} and {pair[1]} in one unit",
            found=f"{units[0]} and {units[1]}",
            action="convert one of them",
        )
    value, error = (_numbers(table, name) for name in pair)
    # A flux without error would outweigh all others; a ratio has the floor of the models besides.
    least = np.finfo(float).tiny if pair is _FLUX else 0.0
    odd = ~np.isnan(value) & ~(np.isfinite(value) & (error >= least))
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise FormatError(
            "a row is no measurement of a line",
            expected="a finite value, and a positive error",
            found=f"{table.data['line'][row]}: {value[row]:g} +- {error[row]:g}, and "
            f"{int(odd.sum()) - 1} more",
            action="leave its value empty, or give an upper limit as a flux of 0 with its sigma",
        )
    return value, error


def _numbers(table: Table, name: str) -> FloatArray:
    column: Any = table.data[name]
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)


def _of_ratios(lines: tuple[str, ...], ratio: FloatArray, sigma: FloatArray) -> LineFluxes:
    """Give fluxes over H alpha, which has no error: it is in that of the ratios."""
    others = [i for i, name in enumerate(lines) if name != HALPHA]
    return LineFluxes.of_ratios([lines[i] for i in others], ratio[:, others], sigma[:, others])
