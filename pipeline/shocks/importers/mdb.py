"""What is in the shock part of the Mexican Million Models database: as a table, or by SQL?

The database (3MdBs, Alarie & Morisset 2019, RMxAA 55, 377) holds several projects, and of each
model the shock, its precursor and their sum, so each query names one project and one component.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.errors import ArdError, ExtraMissingError, FormatError
from ard.fileio import sha256_file
from checks.shockgrid import GridFacts, LineFacts, model_name
from pipeline.shocks.abundances import ALLEN_SOLAR, solar_of
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import (
    HBETA,
    NOT_STATED,
    Component,
    Defect,
    FloatArray,
    GridSource,
    ShockGrid,
)
from pipeline.shocks.importers.cells import number, parameter, table_rows
from pipeline.shocks.lines import known_line, line_named, read_label

KEYS: Final = ("abundance", "preshck_dens", "mag_fld", "shck_vel")
PAPER: Final = "doi:10.22201/ia.01851101p.2019.55.02.21"
DATABASE: Final = "3MdBs"
CREDENTIALS: Final = ("MdB_HOST", "MdB_USER", "MdB_PASSWD", "MdB_PORT")
# Labels of the public web table that name other lines than the row holds, and the row that is a
# copy of another: known by comparison with the library of Allen et al. 2008.
RELABELLED: Final = {
    "[S III] λλ9069+9031": "SIII_9069+9531",
    "[Ne V] λ15.5 μm": "NeIII_15.56um",
}
COPIES: Final = ("[O II] λλ3727+3729",)
WEB_ROUNDING: Final = 1e-3
# Columns of each table of emissivities; the names are those of `manifests.nebular`.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "emis_VI": (
        *("HI_4861", "HI_6563", "OIII_4959", "OIII_5007", "OI_6300", "NII_6548", "NII_6583"),
        *("SII_6716", "SII_6731", "HeI_5876"),
    ),
    "emis_IR": ("SIII_9069", "SIII_9531"),
}
LINES: Final = tuple(line for lines in TABLES.values() for line in lines)
SUMS: Final = (("SII_6716", "SII_6731"), ("SIII_9069", "SIII_9531"))
MODEL_TYPES: Final = (Component.SHOCK, Component.PRECURSOR, Component.SHOCK_PLUS_PRECURSOR)


def web_column(label: str) -> LineFacts:
    """Say how a label of the web table is understood.

    Raises
    ------
    FormatError
        If it is no label of a line.
    """
    ion, waves = read_label(label)
    name = RELABELLED.get(label)
    line = known_line(ion, waves) if name is None else line_named(name)
    return LineFacts(label, line.name, line.members, ion, waves)


def is_hbeta_flux(label: str) -> bool:
    """Say whether a column or row holds the logarithm of the H beta flux."""
    return label.startswith(("log Hβ", "log(Hb)", "Hb_log10"))


def read_long(path: Path) -> GridFacts:
    """Read a long table: a row for each model, a column for each line over H beta.

    Raises
    ------
    FormatError
        If a column is missing, a row is not whole, or a cell is no number.
    """
    rows = table_rows(path)
    head = rows[0] if rows else []
    flux = next((label for label in head if is_hbeta_flux(label)), None)
    missing = [key for key in KEYS if key not in head]
    labels = [label for label in head if label not in (*KEYS, flux)]
    if missing or flux is None or not labels or len(rows) < 2:
        raise FormatError(
            "the file is no long table of shock models",
            file=path,
            expected=f"columns {', '.join(KEYS)}, lines, and log Hβ",
            found=f"no {', '.join(missing) or 'log Hβ, no lines, or no rows'}",
            action="give the file of another importer, or mend its first line",
        )
    table = {
        label: np.array([read(row[k], path) for row in rows[1:]])
        for k, label in enumerate(head)
        for read in (parameter if label in KEYS else number,)
        if label != "abundance"
    }
    return GridFacts(
        abundance=np.array([row[head.index("abundance")] for row in rows[1:]]),
        density_cm3=table["preshck_dens"],
        field_ug=table["mag_fld"],
        velocity_kms=table["shck_vel"],
        log_hbeta=table[flux],
        lines=tuple(web_column(label) for label in labels),
        ratio=np.stack([table[label] for label in labels], axis=1),
    )


def set_names(facts: GridFacts) -> tuple[str, ...]:
    """Name the abundance sets of a table of models, each once."""
    return tuple(str(name) for name in np.unique(facts.abundance))


def web_source(
    sha256: str,
    sets: Iterable[str] = (),
    *,
    retrieved: str = "",
    component: Component = Component.SHOCK,
) -> GridSource:
    """Say where a table of the database's web form comes from, and which gas shines in it.

    The table does not name its project; that of Allen et al. 2008 is told by its abundance sets.
    """
    solar = solar_of(sets)
    return GridSource(
        code="MAPPINGS V",
        version="5.1.13",
        project="Allen08" if solar == ALLEN_SOLAR else NOT_STATED,
        component=component,
        source=PAPER,
        licence="none stated",
        sha256=sha256,
        retrieved=retrieved,
        rounding=WEB_ROUNDING,
        solar=solar,
    )


def import_long(
    path: Path, component: Component = Component.SHOCK, *, retrieved: str = ""
) -> ShockGrid:
    """Make the grid of a long table of the web form's models.

    Parameters
    ----------
    path : Path
    component : Component
        Which gas shines: the table does not say it. Those that are public are of shocks.
    retrieved : str
        Date on which it was fetched, ISO 8601.
    """
    facts = read_long(path)
    source = web_source(
        sha256_file(path), set_names(facts), retrieved=retrieved, component=component
    )
    return assemble(facts, source, relabelled=tuple(RELABELLED), copies=COPIES)


# ---- SQL


@dataclass(frozen=True)
class Query:
    """Which models are asked for?

    Attributes
    ----------
    ref : str
        `ref` of shock_params: "Allen08", "Gutkin16". Without it, projects would mix.
    component : Component
        `model_type` of every table of emissivities. Without it, each model would come three times.
    """

    ref: str
    component: Component


def statement(query: Query, mark: str = "%s") -> tuple[str, tuple[str, ...]]:
    """Write the query, with its parameters apart.

    Parameters
    ----------
    query : Query
    mark : str
        How the driver marks a parameter: "%s" for MySQL, "?" for SQLite.

    Returns
    -------
    tuple of str and tuple of str
        SQL and its parameters.
    """
    columns = ["a.name", "sp.preshck_dens", "sp.mag_fld", "sp.shck_vel"]
    columns += [f"{table}.{line}" for table, lines in TABLES.items() for line in lines]
    joins = " ".join(
        f"JOIN {table} ON {table}.ModelID = sp.ModelID AND {table}.model_type = {mark}"
        for table in TABLES
    )
    sql = (
        f"SELECT {', '.join(columns)} FROM shock_params sp "
        f"JOIN abundances a ON a.AbundID = sp.AbundID {joins} "
        f"WHERE sp.ref = {mark} ORDER BY 1, 2, 3, 4"
    )
    return sql, (*(str(query.component) for _ in TABLES), query.ref)


def facts_from_rows(
    rows: Sequence[Sequence[Any]], names: Sequence[str] = LINES, file: Path | None = None
) -> GridFacts:
    """Make a table of models of what a query gives: fluxes in erg cm^-2 s^-1 become ratios.

    Parameters
    ----------
    rows : sequence
        Of each model the name of its abundance set, density, field, velocity, and fluxes.
    names : sequence of str
        The lines of the fluxes, H beta among them.
    file : Path, optional
        Where they come from, for errors.

    Returns
    -------
    GridFacts
        NaN for all of a model without an H beta flux.

    Raises
    ------
    FormatError
        If the query gave nothing, or no model has an H beta flux.
    """
    if not rows:
        raise FormatError(
            "the database has no such models",
            file=file,
            expected="a project and a component that it holds",
            found="no rows",
            action="ask it for SELECT DISTINCT ref FROM shock_params",
        )
    values = np.array([[_float(cell) for cell in row[1:]] for row in rows])
    density, field, velocity = values[:, :3].T
    flux = dict(zip(names, values[:, 3:].T, strict=True))
    hbeta = np.where(flux[HBETA] > 0, flux[HBETA], np.nan)
    if np.isnan(hbeta).all():
        raise FormatError(
            "no model has an H beta flux",
            file=file,
            expected="positive fluxes",
            found=f"{len(rows)} rows without",
            action="choose another project",
        )
    columns: dict[str, FloatArray] = {name: flux[name] / hbeta for name in names}
    lines = [LineFacts(name, name, (name,)) for name in names]
    for members in SUMS:
        if not set(members) <= set(names):
            continue
        line = line_named(f"{members[0]}+{members[1].rpartition('_')[2]}")
        columns[line.name] = columns[members[0]] + columns[members[1]]
        lines.append(LineFacts(line.name, line.name, members))
    return GridFacts(
        abundance=np.array([str(row[0]) for row in rows]),
        density_cm3=density,
        field_ug=field,
        velocity_kms=velocity,
        log_hbeta=np.log10(hbeta),
        lines=tuple(lines),
        ratio=np.stack([columns[line.name] for line in lines], axis=1),
    )


def _float(cell: Any) -> float:
    return float("nan") if cell is None else float(cell)


def without_hbeta(facts: GridFacts) -> tuple[Defect, ...]:
    """Name the models whose lines are all masked, for there is no H beta flux to compare with."""
    detail = "it has no H beta flux, over which fluxes are taken"
    columns = (facts.abundance, facts.density_cm3, facts.field_ug, facts.velocity_kms)
    return tuple(
        Defect("MISSING_HBETA", model_name(str(z), n, b, v), detail, "masked")
        for z, n, b, v, known in zip(*columns, np.isfinite(facts.log_hbeta), strict=True)
        if not known
    )


def rows_sha256(rows: Sequence[Sequence[Any]]) -> str:
    """Give the digest of what a query gave; the order of its rows has no effect."""
    canonical = sorted(repr((str(row[0]), *map(_float, row[1:]))) for row in rows)
    return hashlib.sha256("\n".join((*LINES, *canonical)).encode()).hexdigest()


def credentials(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give host, user, password and port of the database from the environment.

    Raises
    ------
    ArdError
        If one of the four variables is not set; values are never shown.
    """
    given = os.environ if environment is None else environment
    missing = [name for name in CREDENTIALS if not given.get(name, "").strip()]
    if missing:
        raise ArdError(
            "the shock database cannot be asked without credentials",
            expected=f"the variables {', '.join(CREDENTIALS)}",
            found=f"not set: {', '.join(missing)}",
            action="get them from the pages of the 3MdB and set them; or give a file",
        )
    return {name: given[name].strip() for name in CREDENTIALS}


def ask_database(
    query: Query, environment: Mapping[str, str] | None = None
) -> Sequence[Sequence[Any]]:
    """Ask the public server for the models of a project.

    Returns
    -------
    sequence
        Rows, as `facts_from_rows` takes them.

    Raises
    ------
    ArdError
        If credentials or pymysql are missing, or the server does not answer.
    """
    values = credentials(environment)
    try:
        import pymysql
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("pymysql", "asking the shock database", "mdb") from error
    sql, parameters = statement(query)
    try:
        connection = pymysql.connect(
            host=values["MdB_HOST"],
            user=values["MdB_USER"],
            password=values["MdB_PASSWD"],
            port=int(values["MdB_PORT"]),
            database=DATABASE,
            connect_timeout=30,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
    except (pymysql.MySQLError, OSError, ValueError) as error:
        raise ArdError(
            "the shock database does not answer",
            expected=f"the database {DATABASE} on the server that MdB_HOST names",
            found=type(error).__name__,
            action="check the four variables and the network, or give a file",
        ) from error
    return rows


def database_source(
    ref: str, component: Component, facts: GridFacts, *, sha256: str, retrieved: str
) -> GridSource:
    """Say where models that were drawn from the database's tables come from."""
    return GridSource(
        code="MAPPINGS V",
        version="5.1.13",
        project=ref,
        component=component,
        source=PAPER,
        licence="none stated",
        sha256=sha256,
        retrieved=retrieved,
        rounding=0.0,
        known_defects=without_hbeta(facts),
        solar=solar_of(set_names(facts)),
    )


def import_database(query: Query) -> ShockGrid:
    """Make the grid of a project of the database, as it is today."""
    rows = ask_database(query)
    facts = facts_from_rows(rows)
    source = database_source(
        query.ref,
        query.component,
        facts,
        sha256=rows_sha256(rows),
        retrieved=f"{datetime.now(UTC):%Y-%m-%d}",
    )
    return assemble(facts, source)
