"""What is in a table that was drawn from the shock database, with the database's own names?

A long table with the columns of the database: fluxes in erg cm^-2 s^-1, H beta among them. Where
it has `ref` and `model_type`, these say which project and component it is of.
"""

import csv
import dataclasses
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from ard.errors import FormatError
from ard.fileio import sha256_file
from checks.shockgrid import GridFacts
from manifests.nebular import nebular_line
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import HBETA, NOT_STATED, Component, Defect, ShockGrid
from pipeline.shocks.importers.cells import number, parameter, table_rows, text_of
from pipeline.shocks.importers.mdb import (
    MODEL_TYPES,
    database_source,
    facts_from_rows,
)

PARAMETERS: Final = ("preshck_dens", "mag_fld", "shck_vel")
SETS: Final = ("name", "abundance")  # what the column of abundance sets may be called
_ABOUT: Final = ("ref", "model_type")
_KEYS: Final = ("ModelID", "ProjectID", "AbundID")  # of no use outside the database
_NULL: Final = ("NULL", r"\N")  # as clients write what is not there


@dataclass(frozen=True, eq=False)
class Dump:
    """A table with the names of the database.

    Attributes
    ----------
    facts : GridFacts
    ref : str
        The project; empty where the table does not say it.
    component : Component or None
        None where the table does not say it.
    unread : tuple of str
        Columns that are of no line that is known.
    """

    facts: GridFacts
    ref: str
    component: Component | None
    unread: tuple[str, ...]


def is_dump(path: Path) -> bool:
    """Say whether the first line of a table has the database's name of H beta."""
    return HBETA in next(csv.reader(StringIO(text_of(path), newline="")), ())


def read_dump(path: Path) -> Dump:
    """Read a table with the names of the database.

    Raises
    ------
    FormatError
        If a column is missing, a row is not whole, a cell is no number, models of several projects
        or components are mixed, or none has an H beta flux.
    """
    head, *rows = table_rows(path)
    rows = [["" if cell.strip() in _NULL else cell for cell in row] for row in rows]
    sets = next((name for name in SETS if name in head), None)
    missing = [name for name in PARAMETERS if name not in head]
    missing += ["abundance"] if sets is None else []
    if sets is None or missing or not rows:
        raise FormatError(
            "the file is no table of the shock database",
            file=path,
            expected=f"columns {', '.join(PARAMETERS)}, name, and lines, {HBETA} among them",
            found=f"no {', '.join(missing) or 'rows'}",
            action="ask the database for them as well",
        )
    ref, kind = (_only(head, rows, name, path) for name in _ABOUT)
    if kind not in ("", *MODEL_TYPES):
        raise FormatError(
            "the table is of a component that is not known",
            file=path,
            expected=", ".join(MODEL_TYPES),
            found=kind,
            action="ask the database for one of these",
        )
    lines = [label for label in head if nebular_line(label) is not None]
    others = (*lines, *PARAMETERS, *_ABOUT, *_KEYS, sets)
    place = {label: k for k, label in enumerate(head)}
    values = [
        (
            row[place[sets]].strip(),
            *(parameter(row[place[name]], path) for name in PARAMETERS),
            *(number(row[place[name]], path) for name in lines),
        )
        for row in rows
    ]
    return Dump(
        facts_from_rows(values, lines, path),
        ref,
        Component(kind) if kind else None,
        tuple(label for label in head if label not in others),
    )


def _only(head: list[str], rows: list[list[str]], name: str, path: Path) -> str:
    """Give the one value of a column; nothing where there is no such column."""
    if name not in head:
        return ""
    found = sorted({row[head.index(name)].strip() for row in rows})
    if len(found) > 1:
        raise FormatError(
            f"the table has several values of {name}",
            file=path,
            expected="models of one project and one component",
            found=", ".join(found[:6]),
            action="filter the query by ref, and by model_type in every table of emissivities",
        )
    return found[0]


def import_dump(path: Path, component: Component, *, retrieved: str = "") -> ShockGrid:
    """Make the grid of a table with the names of the database.

    Parameters
    ----------
    path : Path
    component : Component
        Which gas shines, where the table does not say it.
    retrieved : str
        Date on which it was fetched, ISO 8601.
    """
    dump = read_dump(path)
    detail = f"{len(dump.unread)} columns are of no line that is known: {', '.join(dump.unread)}"
    left = (Defect("UNREAD_COLUMN", "fluxes", detail, "left out"),) if dump.unread else ()
    source = database_source(
        dump.ref or NOT_STATED,
        dump.component or component,
        dump.facts,
        sha256=sha256_file(path),
        retrieved=retrieved,
    )
    known = (*left, *source.known_defects)
    return assemble(dump.facts, dataclasses.replace(source, known_defects=known))
