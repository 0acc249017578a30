"""What is in a wide table: a row for each line, a column for each velocity?

So the web form of the shock database gives its models, and so Allen et al. 2008 print theirs. The
last row is log10 of the H beta flux. Abundance, density and field stand in the name of the file or
in its caption, so the caller gives them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ard.errors import FormatError
from ard.fileio import sha256_file
from checks.shockgrid import GridFacts
from pipeline.shocks.abundances import ALLEN_SOLAR
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import Component, GridSource, ShockGrid
from pipeline.shocks.importers.cells import number, parameter, table_rows
from pipeline.shocks.importers.mdb import (
    COPIES,
    RELABELLED,
    is_hbeta_flux,
    set_names,
    web_column,
    web_source,
)

ALLEN_PAPER: Final = "doi:10.1086/589652"


@dataclass(frozen=True)
class Setting:
    """Which models does a wide table hold?

    Attributes
    ----------
    abundance : str
        Name of the set, as in the database: "Allen2008_Solar".
    density_cm3, field_ug : float
        Density, and magnetic field B (not over sqrt(n)).
    """

    abundance: str
    density_cm3: float
    field_ug: float


def read_wide(path: Path, setting: Setting) -> GridFacts:
    """Read a wide table.

    Raises
    ------
    FormatError
        If it has no velocities, no H beta flux, a short row, or a cell that is no number.
    """
    rows = table_rows(path)
    flux = [row for row in rows[1:] if is_hbeta_flux(row[0])]
    lines = [row for row in rows[1:] if not is_hbeta_flux(row[0])]
    if len(flux) != 1 or not lines or len(rows[0]) < 2:
        raise FormatError(
            "the file is no wide table of shock models",
            file=path,
            expected="velocities in the first row, a row for each line, one of log Hβ",
            found=f"{len(flux)} rows of log Hβ",
            action="give the file of another importer, or fetch it again",
        )
    velocity = np.array([parameter(text, path) for text in rows[0][1:]])
    size = velocity.size
    return GridFacts(
        abundance=np.full(size, setting.abundance),
        density_cm3=np.full(size, setting.density_cm3),
        field_ug=np.full(size, setting.field_ug),
        velocity_kms=velocity,
        log_hbeta=np.array([number(text, path) for text in flux[0][1:]]),
        lines=tuple(web_column(row[0]) for row in lines),
        ratio=np.array([[number(text, path) for text in row[1:]] for row in lines]).T,
    )


def import_wide(
    path: Path,
    setting: Setting,
    component: Component = Component.SHOCK,
    *,
    retrieved: str = "",
) -> ShockGrid:
    """Make the grid of one wide table of the web form."""
    facts = read_wide(path, setting)
    source = web_source(
        sha256_file(path), set_names(facts), retrieved=retrieved, component=component
    )
    return assemble(facts, source, relabelled=tuple(RELABELLED), copies=COPIES)


def import_printed(
    path: Path, setting: Setting, component: Component, *, retrieved: str = ""
) -> ShockGrid:
    """Make the grid of one printed table of Allen et al. 2008 (tables 6 to 8)."""
    source = GridSource(
        code="MAPPINGS III",
        version="IIIq",
        project="Allen08 (printed)",
        component=component,
        source=ALLEN_PAPER,
        licence="none stated",
        sha256=sha256_file(path),
        retrieved=retrieved,
        rounding=1e-3,
        solar=ALLEN_SOLAR,
    )
    return assemble(read_wide(path, setting), source)
