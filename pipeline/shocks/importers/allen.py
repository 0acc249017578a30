"""What is in a file of the MAPPINGS III shock library (Allen et al. 2008)?

A file holds one abundance set, density and field, and one component: a row for each of 1771
transitions, a column for each velocity, fluxes over H beta, wavelengths in Angstrom (air in the
optical). Lines between 0.3 and 2 um are taken; ultraviolet multiplets stand there transition by
transition, and no other grid has them so.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ard.errors import FormatError
from ard.fileio import sha256_file
from checks.shockgrid import GridFacts, LineFacts
from manifests.nebular import NEBULAR_LINES
from pipeline.shocks.abundances import ALLEN_SOLAR
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import Component, FloatArray, GridSource, ShockGrid
from pipeline.shocks.importers.cells import number, parameter, text_of
from pipeline.shocks.importers.webtable import ALLEN_PAPER
from pipeline.shocks.lines import blend

# Letters of the files: abundance set and density (cm^-3) in one.
SETS: Final = {
    "M": "Allen2008_Solar",
    "R": "Allen2008_TwiceSolar",
    "J": "Allen2008_Dopita2005",
    "P": "Allen2008_SMC",
    "Q": "Allen2008_LMC",
    **dict.fromkeys("TUVLS", "Allen2008_Solar"),
}
# What "be" in a name stands for, over sqrt(n): the public table has 10.2 uG at n = 10 cm^-3.
EQUIPARTITION: Final = 3.23
HBETA_ROW: Final = "log(Hb)"  # log10 of the H beta flux: the last row
RANGE_UM: Final = (0.3, 2.0)
_SAME_LINE: Final = 1e-3  # relative; wavelengths of the library are up to 7e-4 off (H delta)
SUMS: Final = (
    ("OII_3726", "OII_3729"),
    ("SII_6716", "SII_6731"),
    ("SIII_9069", "SIII_9531"),
)
_MODEL: Final = re.compile(r"([A-Z])_n([\d.]+)_b(e|[\d.]+) (SHOCK\+|SHOCK|PRECURSOR)")
_COMPONENTS: Final = {
    "SHOCK": Component.SHOCK,
    "PRECURSOR": Component.PRECURSOR,
    "SHOCK+": Component.SHOCK_PLUS_PRECURSOR,
}


@dataclass(frozen=True, eq=False)
class Library:
    """One file of the library, with what its header says.

    Attributes
    ----------
    facts : GridFacts
    component : Component
    """

    facts: GridFacts
    component: Component


def read_library(path: Path) -> Library:
    """Read one file of the library.

    Raises
    ------
    FormatError
        If its header names no model that is known, rows and velocities do not fit, or a value is
        no number.
    """
    text = text_of(path).splitlines()
    head = [line for line in text if line.startswith("#")]
    model = next((found for line in head if (found := _MODEL.search(line))), None)
    title = next((line for line in head if "Wavelength " in line and "Atom" in line), "")
    rows = [line.split() for line in text if line.strip() and not line.startswith("#")]
    velocity = np.array([parameter(word, path) for word in title.split()[5:]])
    widths = {len(row) for row in rows}
    flux = [row for row in rows if row[0] == HBETA_ROW]
    if model is None or not velocity.size or widths != {velocity.size + 4} or len(flux) != 1:
        raise FormatError(
            "the file is not one of the MAPPINGS III shock library",
            file=path,
            expected="a model name and velocities in the header, a value for each of them in "
            f"every row, and a row {HBETA_ROW}",
            found=f"rows of {sorted(widths)} words, {velocity.size} velocities, {len(flux)} "
            f"rows {HBETA_ROW}",
            action="give the file of another importer, or fetch it again",
        )
    if model[1] not in SETS:
        raise FormatError(
            "the model has a set of abundances that is not known",
            file=path,
            expected=f"a name that begins with one of {', '.join(SETS)}",
            found=model[0],
            action="give a file of the library of Allen et al. 2008",
        )
    columns = _columns(rows, path)
    names = list(columns)
    lines = [LineFacts(name, name, tuple(blend_members(name))) for name in names]
    density = float(model[2])
    field = EQUIPARTITION * density**0.5 if model[3] == "e" else float(model[3])
    size = velocity.size
    facts = GridFacts(
        abundance=np.full(size, SETS[model[1]]),
        density_cm3=np.full(size, density),
        field_ug=np.full(size, field),
        velocity_kms=velocity,
        log_hbeta=_values(flux[0], path),
        lines=tuple(lines),
        ratio=np.stack([columns[name] for name in names], axis=1),
    )
    return Library(facts, _COMPONENTS[model[4]])


def _values(row: list[str], path: Path) -> FloatArray:
    return np.array([number(word, path) for word in row[4:]])


def _columns(rows: list[list[str]], path: Path) -> dict[str, FloatArray]:
    """Find the lines of the catalogue among the transitions, and add up the usual doublets."""
    ions: dict[str, list[tuple[float, list[str]]]] = {}
    for row in rows:
        if row[0] != HBETA_ROW:
            ions.setdefault(row[1] + row[2], []).append((number(row[3], path) * 1e-4, row))
    found: dict[str, FloatArray] = {}
    for line in NEBULAR_LINES:
        near = [
            (abs(wave / line.label_um - 1.0), row)
            for wave, row in ions.get(line.ion, ())
            if RANGE_UM[0] < line.label_um < RANGE_UM[1]
        ]
        off, row = min(near, key=lambda pair: pair[0], default=(np.inf, []))
        if off < _SAME_LINE:
            found[line.name] = _values(row, path)
    for members in SUMS:
        if all(name in found for name in members):
            found[blend(members).name] = np.sum([found[name] for name in members], axis=0)
    return found


def blend_members(name: str) -> tuple[str, ...]:
    """Name the members of a sum of `SUMS`; a line that stands alone is its own."""
    return next((members for members in SUMS if blend(members).name == name), (name,))


def import_library(path: Path, *, retrieved: str = "") -> ShockGrid:
    """Make the grid of one file of the library."""
    library = read_library(path)
    source = GridSource(
        code="MAPPINGS III",
        version="IIIq",
        project="Allen08 (library)",
        component=library.component,
        source=ALLEN_PAPER,
        licence="none stated",
        sha256=sha256_file(path),
        retrieved=retrieved,
        rounding=0.0,
        solar=ALLEN_SOLAR,
    )
    return assemble(library.facts, source)
