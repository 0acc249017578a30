"""Which files of a run go into a bundle, and under which names?

Nothing is written here, and only names, sizes and the first headers of FITS files are looked at.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ard import layout
from ard.errors import ArdError, FormatError
from ard.fileio import read_json
from ard.fitsio import primary_header
from ard.sums import NAME_RULE, is_safe_name, quote
from manifests.dataset import load_dataset
from release.arrange import Found, arrange
from release.hlsp import Collection, collection_of, product_name
from release.model import Plan, PlannedFile, RefusedError
from release.pack import archive_comment

FIRST_VERSION: Final = "0.1.0"

# Written by the build itself, in this order; each may tell about those before it.
RENDERED: Final = (
    layout.CHECKS_FILE,
    layout.CHANGELOG_FILE,
    layout.DICTIONARY_FILE,
    layout.DATASHEET_FILE,
    layout.CITATION_FILE,
    layout.README_FILE,
    layout.RECORD_FILE,
    layout.DATACITE_FILE,
    layout.DATAPACKAGE_FILE,
    layout.LANDING_FILE,
    layout.CRATE_FILE,
    layout.MANIFEST_FILE,
    layout.SUMS_FILE,
)
_RUN_FIELDS: Final[Mapping[str, type]] = {
    "target": dict,
    "simulated": bool,
    "toy_grid": bool,
    "code_version": str,
    "products": list,
    "absent_layers": dict,
}
_ACTION: Final = "finish or mend the run, then build again"
_PAPER: Final = "Every bundle has it: the build writes it about the other files."


def make_plan(run: Path, version: str = FIRST_VERSION) -> Plan:
    """Say what a bundle of this run would hold.

    Parameters
    ----------
    run : Path
        The run folder.
    version : str
        Version of the data; the names of FITS files bear its first number.

    Returns
    -------
    Plan

    Raises
    ------
    NotFoundError, FormatError
        If there is no finished run, or the version has no number.
    RefusedError
        If a product is missing, not declared, no regular file, empty or cannot be named, or if the
        products do not fit into a deposit.
    """
    document = _read_run(run)
    simulated = document["simulated"]
    collection = collection_of(load_dataset(), document["target"], version, simulated=simulated)
    there, problems = _scan(run / layout.PRODUCTS_DIR)
    problems += _declared(document, there) + _layers(document["absent_layers"], there)
    found = [_found(layer, name, there[layer, name]) for layer, name in sorted(there)]
    titled, untitled = _titled(found, collection)
    problems += untitled
    papers = [PlannedFile(name, None, None, why=_PAPER) for name in RENDERED]
    files, excess = arrange(titled, papers, comment=archive_comment(simulated))
    problems += [*_naming(files), *excess]
    if problems:
        raise RefusedError("the bundle is not built", tuple(problems), _ACTION)
    return Plan(
        run=run,
        files=files,
        simulated=simulated,
        toy_grid=document["toy_grid"],
        target=document["target"],
        code_version=document["code_version"],
        absent_layers=document["absent_layers"],
    )


def declared_schemas(run: Path) -> dict[str, str | None]:
    """Give the schema that the run declared for each product, by path below the products."""
    return {row["path"]: row.get("schema") for row in _read_run(run)["products"]}


def _read_run(run: Path) -> dict[str, Any]:
    file = run / layout.PRODUCTS_DIR / layout.RUN_FILE
    document = read_json(file)
    wrong = [name for name, kind in _RUN_FIELDS.items() if not isinstance(document.get(name), kind)]
    if document.get("schema") != "run" or wrong or not document["target"].get("name"):
        raise FormatError(
            "this is not the record of a run",
            file=file,
            expected="schema 'run' with " + ", ".join(_RUN_FIELDS),
            found="wrong or missing: " + (", ".join(wrong) or "schema, or the target's name"),
            action="run the pipeline to its end first",
        )
    rows = document["products"]
    if not all(isinstance(row, dict) and isinstance(row.get("path"), str) for row in rows):
        raise FormatError(
            "the record of the run lists a product without a path", file=file, action=_ACTION
        )
    return document


_There = dict[tuple[str, str], dict[str, Path]]


def _scan(products: Path) -> tuple[_There, list[str]]:
    """Find what is there: (layer, file or folder) to the files it consists of."""
    found: _There = {}
    problems: list[str] = []
    for path in sorted(products.iterdir()):
        if path.name == layout.RUN_FILE:
            continue
        if path.name not in layout.LAYERS or path.is_symlink() or not path.is_dir():
            problems.append(f"products/{path.name} is neither a layer nor {layout.RUN_FILE}")
            continue
        for product in sorted(path.iterdir()):
            members = dict(_files_of(product, problems))
            if members:
                found[path.name, product.name] = members
    return found, problems


def _files_of(product: Path, problems: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield the regular files of a product (itself, or those of its folder) by name."""
    mode = product.lstat().st_mode
    children = sorted(product.iterdir()) if stat.S_ISDIR(mode) else [product]
    for path in children:
        label = path.relative_to(product.parent.parent).as_posix()
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            problems.append(f"{label} is not a regular file")
        elif status.st_size == 0:
            problems.append(f"{label} is empty, which no deposit takes")
        elif not is_safe_name(path.name):
            problems.append(f"{label}: the name {quote(path.name)} is not safe in a deposit")
        else:
            yield path.name, path


def _declared(document: Mapping[str, Any], found: _There) -> list[str]:
    """Compare what the run says it made with what is there, in both directions."""
    there = set()
    for (layer, name), members in found.items():
        folder = _is_folder(name, members)
        there |= {f"{layer}/{name}/{member}" if folder else f"{layer}/{name}" for member in members}
    listed = {row["path"] for row in document["products"]}
    # A folder may be declared as a whole.
    whole = {path for path in listed if tuple(PurePosixPath(path).parts) in found}
    missing = sorted(listed - there - whole)
    strange = [
        path
        for path in sorted(there - listed)
        if PurePosixPath(path).parent.as_posix() not in whole
    ]
    return [f"{path} was declared by the run, but is missing" for path in missing] + [
        f"{path} was not declared by the run" for path in strange
    ]


def _is_folder(name: str, members: Mapping[str, Path]) -> bool:
    return next(iter(members.values())).parent.name == name


def _found(layer: str, name: str, members: Mapping[str, Path]) -> Found:
    sizes = {key: path.stat().st_size for key, path in members.items()}
    return Found(layer, name, members, sizes, _is_folder(name, members))


def _titled(products: Iterable[Found], collection: Collection) -> tuple[list[Found], list[str]]:
    """Give FITS products their names; a product that cannot have one is a problem."""
    titled, problems = [], []
    for product in products:
        if product.is_folder or not product.name.endswith(layout.HLSP_SUFFIX):
            titled.append(product)
            continue
        stem = Path(product.name).stem
        try:
            header = primary_header(product.members[product.name])
            title = str(product_name(header, collection, product.layer, stem))
        except ArdError as error:
            remedy = f" (what to do: {error.action})" if error.action else ""
            problems.append(f"{product.layer}/{product.name}: {error.problem}{remedy}")
            continue
        titled.append(replace(product, title=title))
    return titled, problems


def _naming(files: Sequence[PlannedFile]) -> list[str]:
    problems = [
        f"{file.name} is no name for a deposit (rule: {NAME_RULE.pattern})"
        for file in files
        if not is_safe_name(file.name)
    ]
    names: dict[str, PlannedFile] = {}
    products: dict[tuple[str, str], PlannedFile] = {}
    for file in files:
        other = names.setdefault(file.name, file)
        if other is not file:
            problems.append(f"{file.product} and {other.product} would both be called {file.name}")
        if file.layer is not None:
            same = products.setdefault((file.layer, str(file.product)), file)
            if same is not file:
                problems.append(f"{file.name} and {same.name} would be one product, {file.product}")
    return problems


def _layers(absent: Mapping[str, str], there: _There) -> list[str]:
    present = {layer for layer, _ in there}
    problems = [] if there else ["the run has no product at all"]
    for layer in layout.LAYERS:
        if layer in present and layer in absent:
            problems.append(f"layer {layer} has products, but is declared absent")
        if layer not in present and not absent.get(layer):
            problems.append(f"layer {layer} has no product and no reason for it")
    return problems
