"""Which shocks make the lines of a table: read, fit, judge, write?"""

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import vstack

import ard
from ard import io
from ard.errors import ArdError
from ard.fileio import atomic_write_bytes, sha256_file
from ard.provenance import Provenance
from ard.table import Table, read_ecsv
from manifests import load_acceptance
from manifests.shocks import SHOCKS_FILE, ShockAssumptions, load_shocks
from pipeline.code import code_sha256, tool_versions
from pipeline.guard import say
from pipeline.shocks import report
from pipeline.shocks.gridfile import content_sha256
from pipeline.shocks.importers.nebulabayes import import_hii
from pipeline.shocks.importers.select import open_grid
from pipeline.shocks.measured import read_measured
from pipeline.shocks.nodes import B_PRIORS
from pipeline.shocks.stars import Alternatives, Rivals

_CODE: Final = ("pipeline/shocks", "pipeline/commands/fit_lines.py", "pipeline/figures")
_SEED: Final = 1  # of the draws that are shown
_ODD: Final = re.compile(r"[^\w.+-]+")


def stem_of(name: str, row: int, taken: set[str]) -> str:
    """Name the file of a spectrum, and keep the name: "a b" and "a/b" are two spectra."""
    stem = _ODD.sub("_", name)
    stem = f"{stem}_{row}" if stem in taken else stem
    taken.add(stem)
    return stem


@dataclass(frozen=True)
class Asked:
    """What is to be fitted, to what.

    Attributes
    ----------
    table : Path
        Lines of spectra.
    grid : str
        As `pipeline.shocks.importers.select.open_grid` takes it.
    log_n : float
        log10 of the density of the models, cm^-3.
    geometry : Path or None
        Draws of the velocity of the geometry.
    precursor : str
        The grid of the precursors of these shocks; empty for none.
    """

    table: Path
    grid: str
    log_n: float = 0.0
    geometry: Path | None = None
    precursor: str = ""


@dataclass(frozen=True)
class Wanted:
    """What is to be written besides the verdicts.

    Attributes
    ----------
    out : Path or None
        The ECSV file of all numbers.
    figures : Path or None
        The folder in which a figure of each spectrum, and what it shows as a table, are put.
    chains : Path or None
        The folder of the chains of each spectrum.
    most : int
        Draws of each chain at most.
    overwrite : bool
    """

    out: Path | None = None
    figures: Path | None = None
    chains: Path | None = None
    most: int = 4000
    overwrite: bool = False

    def below(self, name: str) -> "Wanted":
        """Give the same in folders of their own; the numbers stay together."""
        figures, chains = (
            None if place is None else place / name for place in (self.figures, self.chains)
        )
        return dataclasses.replace(self, figures=figures, chains=chains)


def fit_file(asked: Asked, wanted: Wanted | None = None, workers: int = 1) -> report.Fit:
    """Fit a table, and write what is wanted; equal inputs give equal bytes.

    Parameters
    ----------
    asked : Asked
    wanted : Wanted, optional
    workers : int
        Threads.

    Raises
    ------
    ArdError
        If a file is missing or not what it should be, or the grid has none of the lines.
    """
    wanted = wanted or Wanted()
    found, table = _fitted(asked, workers)
    if wanted.out is not None:
        io.write(wanted.out, table, overwrite=wanted.overwrite)
    _put(found, table, wanted)
    return found


def rivals(found: report.Fit, stars: Path) -> dict[str, Alternatives]:
    """Ask of the spectra that no shock makes whether stars do, alone or with a shock.

    Parameters
    ----------
    found : Fit
    stars : Path
        NB_HII_grid.fits.gz of NebulaBayes.

    Raises
    ------
    ArdError
        If it is no such file, or has none of the lines.
    """
    fit = found.summaries[B_PRIORS[0], report.OWN].p_predictive
    acceptance = load_acceptance()
    limit = acceptance.limit("shock.p_predictive")
    bad = [row for row, p in enumerate(fit) if np.isfinite(p) and not limit.accepts(float(p))]
    if not bad:
        return {}
    models, answers = Rivals(found.lattice, import_hii(stars), load_shocks(), _SEED), {}
    for row in bad:
        one = models.judge(found.fluxes.take(slice(row, row + 1)), acceptance)
        if one is not None:
            answers[found.spectra[row]] = one
    return answers


def side_by_side(
    asked: Sequence[Asked], wanted: Wanted | None = None, workers: int = 1
) -> list[report.Fit]:
    """Fit a table to several grids; the table of all numbers has a column that names them.

    Raises
    ------
    ArdError
        As `fit_file`; and if two grids have one name.
    """
    names, wanted = [one.grid for one in asked], wanted or Wanted()
    if len(set(names)) < len(names):
        raise ArdError(
            "a grid is named twice",
            expected="different grids",
            found=", ".join(names),
            action="name each once",
        )
    fits, tables = [], []
    for number, one in enumerate(asked):
        found, table = _fitted(one, workers)
        _put(found, table, wanted.below(f"{number + 1}_{_ODD.sub('_', Path(one.grid).name)}"))
        data = table.data.copy()
        data.add_column([one.grid] * len(data), index=0, name="grid")
        data["grid"].description = "The models that were compared."
        fits.append(found)
        tables.append(dataclasses.replace(table, data=data))
    if wanted.out is not None:
        io.write(wanted.out, _stacked(tables), overwrite=wanted.overwrite)
    return fits


def _stacked(tables: Sequence[Table]) -> Table:
    """Put tables one below the other, with the provenance of all."""
    records = [table.provenance for table in tables if table.provenance is not None]
    inputs: dict[str, str] = {}
    for number, one in enumerate(records):
        own = {"grid": f"grid {number + 1}", "precursor": f"precursor {number + 1}"}
        inputs |= {own.get(name, name): digest for name, digest in one.inputs.items()}
    simulated = any(one.simulated for one in records)
    made = dataclasses.replace(records[0], inputs=inputs, simulated=simulated)
    notes = list(dict.fromkeys(note for table in tables for note in table.meta["notes"]))
    lines = list(dict.fromkeys(line for table in tables for line in table.meta["lines"]))
    meta = {**tables[0].meta, "notes": notes, "lines": lines, "SIMULATD": simulated}
    data = vstack([table.data for table in tables], metadata_conflicts="silent")
    return Table(data, meta, made)


def _fitted(asked: Asked, workers: int) -> tuple[report.Fit, Table]:
    measured = read_measured(read_ecsv(asked.table))
    assumed, acceptance = load_shocks(), load_acceptance()
    bow, inputs = None, {asked.table.name: sha256_file(asked.table)}
    if asked.geometry is not None:
        bow = report.Geometry.of(read_ecsv(asked.geometry))
        name = asked.geometry.name
        inputs[f"geometry:{name}" if name in inputs else name] = sha256_file(asked.geometry)
    grid = open_grid(asked.grid)
    inputs["grid"] = content_sha256(grid)
    precursor = open_grid(asked.precursor) if asked.precursor else None
    if precursor is not None:
        inputs["precursor"] = content_sha256(precursor)
    found = report.fit(
        *(grid, measured, assumed, acceptance),
        log_n=asked.log_n,
        precursor=precursor,
        geometry=bow,
        workers=workers,
    )
    config = f"{asked.log_n!r} {sha256_file(SHOCKS_FILE)} {acceptance.sha256}"
    made = Provenance(
        stage="shocks",
        code_version=ard.__version__,
        code_sha256=code_sha256(_CODE),
        config_sha256=hashlib.sha256(config.encode()).hexdigest(),
        seed=_SEED,
        simulated=found.simulated,
        inputs=inputs,
        tools=dict(tool_versions()),
    )
    return found, dataclasses.replace(report.table_of(found), provenance=made)


def _put(found: report.Fit, table: Table, wanted: Wanted) -> None:
    """Write figures and chains, if they are wanted."""
    assumed, made = load_shocks(), table.provenance
    if wanted.figures is not None:
        _draw(found, table, wanted.figures, assumed, wanted.overwrite)
    if wanted.chains is not None and made is not None:
        from pipeline.commands.sample_lines import sample_spectra

        taken: set[str] = set()
        names = [stem_of(name, row, taken) for row, name in enumerate(found.spectra)]
        given = (found, assumed, wanted.chains, made, names)
        for one in sample_spectra(*given, most=wanted.most, overwrite=wanted.overwrite):
            say(f"{one.spectrum}: {one.sentence}")


def _draw(
    found: report.Fit, table: Table, place: Path, assumed: ShockAssumptions, overwrite: bool
) -> None:
    from pipeline.figures import shocks

    place.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for row, name in enumerate(found.spectra):
        shown = shocks.shown_of(found, row, assumed, _SEED)
        if shown is None:
            continue
        drawn = shocks.run(shown=shown, table=table)
        stem = stem_of(name, row, taken)
        atomic_write_bytes(place / f"{stem}.png", drawn["figure"], overwrite=overwrite)
        data = dataclasses.replace(drawn["data"], provenance=table.provenance)
        io.write(place / f"{stem}.ecsv", data, overwrite=overwrite)
