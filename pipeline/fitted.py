"""Which products of fits and campaigns lie in a run folder, and how do they come among the others?

A fit or a campaign takes as long as it takes, and is no stage: `rbh1 fit` and `rbh1 campaign` write
their files below work/, with their provenance, and put them into products/ at once. The next
`rbh1 run` finds them there and collects them like the outputs of stages.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ard import io, layout
from ard.errors import ArdError
from ard.fileio import atomic_write_bytes

# Their name among the inputs of a plan, and the stages that they are said to come from.
INPUT: Final = "fits"
STAGE: Final = "fit"
CAMPAIGN_STAGE: Final = "falsify"
STAGES: Final = frozenset({STAGE, CAMPAIGN_STAGE})
_FIGURES: Final = f"{layout.LAYER_OF[layout.QUALITY]}/{layout.FIGURES_DIR}"
# By product: kind, schema. What is none of these is a figure, or the data behind one.
_OF_FIT: Final = {
    layout.CHAINS: ("chains", ""),
    layout.CHAIN_TABLE: ("table", ""),
    layout.CHAIN_SUMMARY: ("document", "chain-summary"),
    layout.SHOCK_GEOMETRY: ("table", "shockgeometry"),
}
_OF_CAMPAIGN: Final = {
    layout.EVALUATIONS: ("table", "evaluations"),
    layout.SURFACE: ("document", "surface"),
    layout.DISC_CUBE: ("cube", "cube"),
    layout.DISC_RESIDUAL: ("cube", "cube"),
    layout.DISC_MAP: ("map", "map"),
}
_KINDS: Final = _OF_FIT | _OF_CAMPAIGN
_DRAWN: Final = {".png": "figure", ".ecsv": "table"}
_CAMPAIGN_FIGURES: Final = (layout.PROFILES, layout.PAIRS, layout.FILTERS, layout.BEST_DISC)
_GONE: Final = "the campaigns that were exported keep no galaxy"
_SUFFIXES: Final = {".nc", ".fits", ".json", *_DRAWN}


def products_of(root: Path, items: Sequence[str]) -> dict[str, Path]:
    """Give the files of the fits and campaigns of these items, by their names below products/."""
    return {
        f"{_folder(path)}/{path.name}": path
        for path in _files(root)
        if path.suffix in _SUFFIXES and layout.product_parts(path.stem)[0] in items
    }


def _files(root: Path) -> Iterator[Path]:
    for folder in (root / layout.FITS_DIR, root / layout.CAMPAIGNS_DIR):
        yield from sorted(folder.iterdir()) if folder.is_dir() else ()


def _product(path: Path) -> str:
    return layout.product_parts(path.stem)[1].partition("-")[0]


def _drawn(path: Path) -> bool:
    return path.suffix in _DRAWN and _product(path) != layout.SHOCK_GEOMETRY


def _folder(path: Path) -> str:
    return _FIGURES if _drawn(path) else layout.LAYER_OF[_product(path)]


def row(name: str) -> dict[str, str]:
    """Describe a product of a fit or a campaign, as the run document does."""
    path = Path(name)
    product = _product(path)
    campaign = product in (*_OF_CAMPAIGN, *_CAMPAIGN_FIGURES)
    kind, schema = (_DRAWN[path.suffix], "") if _drawn(path) else _KINDS[product]
    found = {"path": name, "kind": kind, "stage": CAMPAIGN_STAGE if campaign else STAGE}
    return found | ({"schema": schema} if schema else {})


def collect(root: Path, files: Mapping[str, Path], plan_file: Path) -> None:
    """Put products of a fit among those of a finished run.

    Parameters
    ----------
    root : path
        The run folder; whoever calls holds its lock.
    files : mapping of str to path
        By their names below products/, as `products_of` gives them.
    plan_file : path
        What the run is said to make, by which it knows its own files.

    Raises
    ------
    ArdError
        If a file cannot be read or written.
    """
    products = root / layout.PRODUCTS_DIR
    document = io.read_json(products / layout.RUN_FILE)
    rows = {str(one["path"]): one for one in document["products"]}
    inputs = dict(document["provenance"]["inputs"])
    for name, source in files.items():
        data = source.read_bytes()
        (products / name).parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(products / name, data, overwrite=True)
        rows[name] = {"schema": None, **row(name)}
        inputs[source.relative_to(root).as_posix()] = io.sha256_file(source)
    filled = {name.partition("/")[0] for name in rows}
    absent = {k: v for k, v in document["absent_layers"].items() if k not in filled}
    listed = [rows[name] for name in sorted(rows)]
    record = {**document["provenance"], "inputs": inputs}
    changed = {"products": listed, "absent_layers": absent, "provenance": record}
    _note(plan_file, [f"{layout.PRODUCTS_DIR}/{name}" for name in files])
    io.write_json(products / layout.RUN_FILE, {**document, **changed}, overwrite=True)


def forget(root: Path, plan_file: Path) -> None:
    """Take products of campaigns away whose files are no longer below work/.

    Parameters
    ----------
    root : path
        The run folder; whoever calls holds its lock.
    plan_file : path
        As for `collect`.
    """
    products = root / layout.PRODUCTS_DIR
    document = io.read_json(products / layout.RUN_FILE)
    gone = {
        str(one["path"])
        for one in document["products"]
        if one["stage"] == CAMPAIGN_STAGE
        and not (root / layout.CAMPAIGNS_DIR / Path(one["path"]).name).is_file()
    }
    if not gone:
        return
    for name in gone:
        (products / name).unlink(missing_ok=True)
    sources = {f"{layout.CAMPAIGNS_DIR}/{Path(name).name}" for name in gone}
    record = document["provenance"]
    inputs = {name: sha for name, sha in record["inputs"].items() if name not in sources}
    listed = [one for one in document["products"] if one["path"] not in gone]
    left = {str(one["path"]).partition("/")[0] for one in listed}
    empty = {name.partition("/")[0] for name in gone} - left
    absent = {**document["absent_layers"], **dict.fromkeys(empty, _GONE)}
    record = {**record, "inputs": inputs}
    changed = {"products": listed, "absent_layers": absent, "provenance": record}
    io.write_json(products / layout.RUN_FILE, {**document, **changed}, overwrite=True)
    plan: dict[str, Any] = io.read_json(plan_file)
    named = {f"{layout.PRODUCTS_DIR}/{name}" for name in gone}
    tasks = [
        {**task, "outputs": [name for name in task["outputs"] if name not in named]}
        for task in plan["tasks"]
    ]
    io.write_json(plan_file, {**plan, "tasks": tasks}, overwrite=True)


def _note(plan_file: Path, names: Sequence[str]) -> None:
    """Say in the plan that these files are the run's own."""
    plan: dict[str, Any] = io.read_json(plan_file)
    tasks = [dict(task) for task in plan["tasks"]]
    if not tasks:
        raise ArdError(
            "the plan of the run holds no task",
            file=plan_file,
            expected="the tasks of a finished run",
            found="none",
            action="run again: rbh1 run",
        )
    tasks[-1]["outputs"] = sorted({*tasks[-1]["outputs"], *names})
    io.write_json(plan_file, {**plan, "tasks": tasks}, overwrite=True)
