"""Which shocks make the lines of a table: read, fit, judge, write?"""

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ard
from ard import io
from ard.fileio import atomic_write_bytes, sha256_file
from ard.provenance import Provenance
from ard.table import Table, read_ecsv
from manifests import load_acceptance
from manifests.shocks import SHOCKS_FILE, ShockAssumptions, load_shocks
from pipeline.code import code_sha256, tool_versions
from pipeline.shocks import report
from pipeline.shocks.gridfile import content_sha256
from pipeline.shocks.importers.select import open_grid
from pipeline.shocks.measured import read_measured

_CODE: Final = ("pipeline/shocks", "pipeline/commands/fit_lines.py", "pipeline/figures")
_SEED: Final = 1  # of the draws that are shown
_ODD: Final = re.compile(r"[^\w.+-]+")


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
    """

    table: Path
    grid: str
    log_n: float = 0.0
    geometry: Path | None = None


def fit_file(
    asked: Asked,
    *,
    out: Path | None = None,
    figures: Path | None = None,
    overwrite: bool = False,
    workers: int = 1,
) -> report.Fit:
    """Fit a table, write the numbers and draw them if asked to; equal inputs give equal bytes.

    Parameters
    ----------
    asked : Asked
    out : Path, optional
        The ECSV file to write.
    figures : Path, optional
        The folder in which a figure of each spectrum, and what it shows as a table, are put.
    overwrite : bool
    workers : int
        Threads.

    Raises
    ------
    ArdError
        If a file is missing or not what it should be, or the grid has none of the lines.
    """
    measured = read_measured(read_ecsv(asked.table))
    assumed, acceptance = load_shocks(), load_acceptance()
    draws, told, inputs = None, None, {asked.table.name: sha256_file(asked.table)}
    if asked.geometry is not None:
        geometry = read_ecsv(asked.geometry)
        draws, told = report.geometry_draws(geometry), report.geometry_information(geometry)
        name = asked.geometry.name
        inputs[f"geometry:{name}" if name in inputs else name] = sha256_file(asked.geometry)
    grid = open_grid(asked.grid)
    inputs["grid"] = content_sha256(grid)
    found = report.fit(
        *(grid, measured, assumed, acceptance),
        log_n=asked.log_n,
        geometry_kms=draws,
        geometry_nat=told,
        workers=workers,
    )
    if out is None and figures is None:
        return found
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
    table = dataclasses.replace(report.table_of(found), provenance=made)
    if out is not None:
        io.write(out, table, overwrite=overwrite)
    if figures is not None:
        _draw(found, table, figures, assumed, overwrite)
    return found


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
        stem = _ODD.sub("_", name)
        # "a b" and "a/b" are two spectra.
        stem = f"{stem}_{row}" if stem in taken else stem
        taken.add(stem)
        atomic_write_bytes(place / f"{stem}.png", drawn["figure"], overwrite=overwrite)
        data = dataclasses.replace(drawn["data"], provenance=table.provenance)
        io.write(place / f"{stem}.ecsv", data, overwrite=overwrite)
