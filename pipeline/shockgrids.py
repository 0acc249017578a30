"""Which grid of shock models does a run use, and of which files does it consist?

The files are inputs of the run: their digests decide whether its results are current, and stand in
the provenance of what was made with them. What a database holds is asked once for a run folder and
kept there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ard import layout
from ard.errors import ArdError, NotFoundError
from ard.fileio import read_json
from pipeline.shocks.gridfile import save_grid, sidecar
from pipeline.shocks.importers.select import TOY, ZENODO, database_query, open_grid


@dataclass(frozen=True)
class Chosen:
    """The grid of a run.

    Attributes
    ----------
    name : str
        As the settings of the run give it: of a path the last part, for it is the content that
        decides.
    files : mapping of str to Path
        ``arrays`` and ``record``; none for the closed form.
    synthetic : bool
        Whether no code of shocks has computed it.
    """

    name: str
    files: Mapping[str, Path]
    synthetic: bool


CLOSED_FORM: Final = Chosen(TOY, {}, True)


def choose(name: str, root: Path, *, simulated: bool) -> Chosen | None:
    """Give the grid that the settings of a run name.

    Parameters
    ----------
    name : str
        As of `pipeline.shocks.stage.Config`.
    root : Path
        The run folder.
    simulated : bool
        Whether the observation is.

    Returns
    -------
    Chosen or None
        None where none is named, and the observation is not simulated.

    Raises
    ------
    ArdError
        If there is no such grid, or its name would be that of a product.
    """
    if not name:
        return CLOSED_FORM if simulated else None
    if name == TOY:
        return CLOSED_FORM
    if name.startswith(ZENODO):
        open_grid(name)  # says how to get one
    asked = database_query(name) is not None
    kept = f"{name.replace(':', '_')}.fits"
    path = root / layout.WORK_DIR / kept if asked else Path(name).resolve()
    if asked and not (path.is_file() and sidecar(path).is_file()):
        save_grid(path, open_grid(name), overwrite=True)
    for file in (path, sidecar(path)):
        if not file.is_file():
            raise NotFoundError(
                "a file of the grid of shock models does not exist",
                file=file,
                expected="a grid that `rbh1 shocks grid import` wrote: FITS, and JSON beside it",
                found="a folder" if file.is_dir() else "no such file",
                action="check the setting shocks.grid",
            )
    if path.stem == layout.SHOCK_GRID:
        raise ArdError(
            "a grid of shock models cannot be called as a product is",
            file=path,
            expected=f"another name than {layout.SHOCK_GRID}",
            found=path.name,
            action="rename both of its files",
        )
    synthetic = read_json(sidecar(path)).get("synthetic") is not False
    files = {"arrays": path, "record": sidecar(path)}
    return Chosen(name if asked else path.name, files, synthetic)
