"""Has a paper the form that other people's validators ask for, as far as can be told without them?

Those validators cannot be installed beside our libraries. That a paper can be parsed, has the
fields without which it says nothing, and lists the files of its bundle, needs none of them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from ard import layout
from ard.fileio import read_json
from ard.manifest import Manifest
from ard.sums import quote

FORM: Final = "required fields"
_CITATION: Final = ("cff-version", "message", "title", "authors")
_ROOT: Final = ("name", "description", "license", "hasPart")
_RESOURCE: Final = ("name", "path")


def form_problems(format: str, path: Path, manifest: Manifest) -> tuple[str, ...] | None:
    """Say what a paper lacks.

    Parameters
    ----------
    format : str
        What the paper is asked for by.
    path : Path
        The paper.
    manifest : Manifest
        Of its bundle.

    Returns
    -------
    tuple of str or None
        Empty where nothing is missing; None for papers that are looked at otherwise.

    Raises
    ------
    ArdError
        If it has to be JSON and is not.
    """
    look = _FORMS.get(format)
    return None if look is None else tuple(look(path, manifest))


def _citation(path: Path, _: Manifest) -> Iterator[str]:
    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        yield f"it is no YAML: {' '.join(str(error).split())}"
        return
    yield from _missing(document, _CITATION, "it")
    if isinstance(document, dict) and document.get("type") != "dataset":
        yield f"type is {quote(document.get('type'))}, and not 'dataset'"


def _crate(path: Path, manifest: Manifest) -> Iterator[str]:
    graph = read_json(path).get("@graph")
    entities = [row for row in graph if isinstance(row, dict)] if isinstance(graph, list) else []
    root = next((row for row in entities if row.get("@id") == "./"), None)
    yield from _missing(root, _ROOT, "the entity './'")
    parts = root.get("hasPart") if root is not None else None
    # One value stands for itself.
    links = parts if isinstance(parts, list) else [parts]
    found = {str(link.get("@id")) for link in links if isinstance(link, dict)}
    listed = {entry.name for entry in manifest.entries} - {path.name}
    yield from _others(found, listed | {layout.MANIFEST_FILE, layout.SUMS_FILE})


def _package(path: Path, manifest: Manifest) -> Iterator[str]:
    resources = read_json(path).get("resources")
    rows = resources if isinstance(resources, list) else []
    if not rows:
        yield "it has no resources"
    for number, row in enumerate(rows):
        yield from _missing(row, _RESOURCE, f"resources[{number}]")
    found = {str(row.get("path")) for row in rows if isinstance(row, dict)}
    yield from _others(found, {row.name for row in manifest.entries if row.layer is not None})


def _missing(document: object, names: tuple[str, ...], what: str) -> Iterator[str]:
    if not isinstance(document, dict):
        yield f"{what} is missing, or has no fields"
        return
    for name in names:
        if not document.get(name):
            yield f"{what} has no {name}"


def _others(found: set[str], listed: set[str]) -> Iterator[str]:
    for name in sorted(listed - found):
        yield f"it does not list {quote(name)}"
    for name in sorted(found - listed):
        yield f"it lists {quote(name)}, which is not in the bundle"


_Look = Callable[[Path, Manifest], Iterator[str]]
_FORMS: Final[Mapping[str, _Look]] = {
    "cff": _citation,
    "rocrate": _crate,
    "datapackage": _package,
}
