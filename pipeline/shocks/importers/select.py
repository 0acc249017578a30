"""Which importer reads a file, and which grid does a name in the configuration mean?"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ard.errors import ArdError, FormatError
from checks.shockgrid import Finding, GridFacts, defects, grid_limits
from pipeline.shocks.assemble import examine
from pipeline.shocks.grid import Component, ShockGrid
from pipeline.shocks.gridfile import load_grid
from pipeline.shocks.importers import allen, dump, mdb, webtable, zenodo
from pipeline.shocks.toy import toy_loglinear

FORMS: Final = ("long", "wide", "printed", "library", "zenodo")
SETTING_NEEDED: Final = ("wide", "printed")
TOY: Final = "toy"
DATABASE: Final = "3mdbs"
ZENODO: Final = "zenodo:"
ALLEN_PROJECT: Final = "Allen08"
_REF: Final = re.compile(r"[A-Za-z0-9.-]*[A-Za-z0-9]")


@dataclass(frozen=True)
class Asked:
    """Which published file is meant, and what does it not say itself?

    Attributes
    ----------
    form : str
        One of `FORMS`.
    file : Path
    setting : Setting or None
        Abundance, density and field of a wide or printed table.
    component : Component or None
        Of a long, wide or printed table, which does not say it (None: shock); of others the one
        that the file has to be of.
    retrieved : str
        Date on which it was fetched, ISO 8601.
    """

    form: str
    file: Path
    setting: webtable.Setting | None = None
    component: Component | None = None
    retrieved: str = ""

    def needed_setting(self) -> webtable.Setting:
        """Give the setting of a table that does not say it.

        Raises
        ------
        FormatError
            If it was not given.
        """
        if self.setting is None:
            raise FormatError(
                "a wide table does not say which models it holds",
                file=self.file,
                expected="abundance, density and field",
                found="not all of them",
                action="give all three",
            )
        return self.setting

    def told_component(self) -> Component:
        """Give the component of a table that does not say it."""
        return self.component or Component.SHOCK


def published(asked: Asked) -> GridFacts:
    """Read a file as it was published, with its defects.

    Raises
    ------
    ArdError
        If nobody reads that form, or the file is not of it.
    """
    if asked.form == "long":
        file = asked.file
        return dump.read_dump(file).facts if dump.is_dump(file) else mdb.read_long(file)
    if asked.form in SETTING_NEEDED:
        return webtable.read_wide(asked.file, asked.needed_setting())
    if asked.form == "library":
        return allen.read_library(asked.file).facts
    if asked.form == "zenodo":
        return zenodo.read_pair(asked.file)[0]
    raise _unknown(asked.form)


def import_grid(asked: Asked) -> ShockGrid:
    """Make the grid of a published file.

    Raises
    ------
    ArdError
        If nobody reads that form, the file is not of it, is of another component, or has defects
        that masking does not cure.
    """
    grid = _imported(asked)
    if asked.component not in (None, grid.component):
        raise FormatError(
            "the file is of another component",
            file=asked.file,
            expected=asked.component,
            found=f"{grid.component}, as the file says itself",
            action="leave the component out, or give another file",
        )
    return grid


def _imported(asked: Asked) -> ShockGrid:
    when = {"retrieved": asked.retrieved}
    if asked.form == "long":
        make = dump.import_dump if dump.is_dump(asked.file) else mdb.import_long
        return make(asked.file, asked.told_component(), **when)
    if asked.form in SETTING_NEEDED:
        read = webtable.import_wide if asked.form == "wide" else webtable.import_printed
        return read(asked.file, asked.needed_setting(), asked.told_component(), **when)
    if asked.form == "library":
        return allen.import_library(asked.file, **when)
    if asked.form == "zenodo":
        return zenodo.import_pair(asked.file, **when)
    raise _unknown(asked.form)


def _unknown(form: str) -> ArdError:
    return ArdError(
        "no importer reads this form", expected=", ".join(FORMS), found=form, action="choose one"
    )


def database_query(name: str) -> mdb.Query | None:
    """Give the query that a name such as "3mdbs:Gutkin16:precursor" stands for.

    Returns
    -------
    Query or None
        None for what is no name of the database.

    Raises
    ------
    ArdError
        If it names no project or component.
    """
    database, *parts = name.split(":")
    if database != DATABASE:
        return None
    ref = parts[0] if parts else ALLEN_PROJECT
    component = parts[1] if parts[1:] else Component.SHOCK
    if parts[2:] or not _REF.fullmatch(ref) or component not in mdb.MODEL_TYPES:
        raise ArdError(
            "this names no models of the shock database",
            expected=f"{DATABASE}, {DATABASE}:REF or {DATABASE}:REF:COMPONENT, where REF is a "
            f"project such as Gutkin16, and COMPONENT one of {', '.join(mdb.MODEL_TYPES)}",
            found=name,
            action="mend the name",
        )
    return mdb.Query(ref, Component(component))


def open_grid(name: str) -> ShockGrid:
    """Give the grid that a configuration names.

    Parameters
    ----------
    name : str
        "toy" (the closed form, synthetic); "3mdbs" (the Allen08 shocks of the public server),
        "3mdbs:Gutkin16" (the shocks of another project) or "3mdbs:Gutkin16:precursor" (another
        component); or the path of a grid that `rbh1 shocks grid import` wrote.

    Raises
    ------
    ArdError
        If there is no such grid; of "zenodo:..." it says how to get one.
    """
    if name == TOY:
        return toy_loglinear()
    query = database_query(name)
    if query is not None:
        return mdb.import_database(query)
    if name.startswith(ZENODO):
        raise ArdError(
            "grids of Zenodo have to be fetched first",
            expected="the path of an imported grid",
            found=name,
            action="download shck_fluxes.csv and shck_propts.csv of the record, and type: "
            "rbh1 shocks grid import zenodo shck_fluxes.csv --out grid.fits",
        )
    return load_grid(Path(name))


def findings(asked: Asked) -> tuple[Finding, ...]:
    """Name the defects of a published file, or of a grid (form "grid") what was left of them."""
    if asked.form == "grid":
        return examine(load_grid(asked.file))
    return defects(published(asked), grid_limits())
