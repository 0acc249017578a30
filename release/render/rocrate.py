"""What is in the bundle and what made it, for machines: RO-Crate 1.1 with Process Run Crate 0.5.

The document is plain JSON-LD: one flat list of entities, in a fixed order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from ard import layout
from release.model import MARK, FileRecord, Release
from release.render.citation import SIMULATED
from release.render.readme import DOCUMENTS, summary

_CRATE: Final = "https://w3id.org/ro/crate/1.1"
_PROCESS_RUN: Final = "https://w3id.org/ro/wfrun/process/0.5"
# A property of schema.org that is younger than the context of RO-Crate 1.1.
_TERMS: Final = {"sha256": "https://schema.org/sha256"}
_PUBLISHER: Final = "#publisher"
_SHORT: Final = 12
_README_TEXT: Final = "what the bundle is and how to read it"

Entity = dict[str, Any]


def crate_document(release: Release, rendered: Iterable[FileRecord]) -> dict[str, Any]:
    """Give the RO-Crate of a bundle.

    Parameters
    ----------
    release : Release
        What the bundle is about.
    rendered : iterable of FileRecord
        The files about the whole bundle that are written already; the manifest and the list of
        sums come later and are named without their bytes.
    """
    files = [_file(release, record) for record in (*release.products, *rendered)]
    files += [
        _late(release, layout.MANIFEST_FILE, "application/json"),
        _late(release, layout.SUMS_FILE, "text/plain"),
    ]
    actions = _actions(release)
    graph = [
        _descriptor(),
        _root(release, files, actions),
        *files,
        _licence(release),
        *_authors(release),
        _publisher(release),
        _profile(),
        *_references(release),
        *actions,
        *_software(release),
        *_inputs(release),
    ]
    return {"@context": [f"{_CRATE}/context", _TERMS], "@graph": graph}


def _descriptor() -> Entity:
    return {
        "@id": layout.CRATE_FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": _CRATE},
    }


def _root(release: Release, files: list[Entity], actions: list[Entity]) -> Entity:
    dataset, plan = release.dataset, release.plan
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": release.title,
        "description": release.abstract,
        "version": release.version,
        "license": {"@id": dataset.licence.url},
        "author": _links(_authors(release)),
        "publisher": {"@id": _PUBLISHER},
        "keywords": list(dataset.keywords) + ([SIMULATED] if plan.simulated else []),
        "conformsTo": {"@id": _PROCESS_RUN},
        "hasPart": _links(files),
        "mentions": _links(actions),
        "citation": _links(_references(release)),
    }
    if release.date is not None:
        root["datePublished"] = release.date
    return {key: value for key, value in root.items() if value not in ([], {})}


def _file(release: Release, record: FileRecord) -> Entity:
    text = _text(record)
    return {
        "@id": record.name,
        "@type": "File",
        "name": record.name,
        "description": f"{MARK} {text}" if release.plan.simulated else text,
        "encodingFormat": record.media_type,
        "contentSize": str(record.size),
        "sha256": record.sha256,
    }


def _text(record: FileRecord) -> str:
    if record.layer is not None:
        return f"{record.kind} of the {record.layer} layer: {summary(record)}"
    return DOCUMENTS.get(record.name, _README_TEXT)


def _late(release: Release, name: str, media_type: str) -> Entity:
    text = DOCUMENTS[name]
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": f"{MARK} {text}" if release.plan.simulated else text,
        "encodingFormat": media_type,
    }


def _licence(release: Release) -> Entity:
    licence = release.dataset.licence
    return {
        "@id": licence.url,
        "@type": "CreativeWork",
        "name": licence.name,
        "identifier": licence.spdx,
        "description": f"The licence of the data ({licence.spdx}).",
    }


def _profile() -> Entity:
    return {
        "@id": _PROCESS_RUN,
        "@type": "CreativeWork",
        "name": "Process Run Crate",
        "version": "0.5",
    }


def _publisher(release: Release) -> Entity:
    return {
        "@id": _PUBLISHER,
        "@type": "Organization",
        "name": release.dataset.publisher,
        "url": release.dataset.publisher_url,
    }


def _authors(release: Release) -> list[Entity]:
    return [
        {"@id": f"#author-{number}", "@type": "Organization", "name": name}
        for number, name in enumerate(release.dataset.authors, start=1)
    ]


def _references(release: Release) -> list[Entity]:
    return [
        {
            "@id": f"https://doi.org/{reference.doi}",
            "@type": "ScholarlyArticle",
            "name": reference.title,
            "author": reference.authors,
        }
        for reference in release.dataset.references
        if release.plan.target.get("item") in reference.targets
    ]


def _made(release: Release) -> list[tuple[FileRecord, Mapping[str, Any]]]:
    """Give the products that say what made them, with what they say."""
    return [(row, row.provenance) for row in release.products if row.provenance is not None]


def _actions(release: Release) -> list[Entity]:
    """Give one action for each stage, code and configuration, in a fixed order."""
    groups: dict[tuple[str, str, str], list[FileRecord]] = {}
    for product, made_by in _made(release):
        key = (made_by["stage"], made_by["code_sha256"], made_by["config_sha256"])
        groups.setdefault(key, []).append(product)
    return [_action(release, key, groups[key]) for key in sorted(groups)]


def _action(release: Release, key: tuple[str, str, str], records: list[FileRecord]) -> Entity:
    stage, code, config = key
    made_by = [record.provenance or {} for record in records]
    own = {product.sha256: product.name for product in release.products}
    used = sorted({digest for record in made_by for digest in record["inputs"].values()})
    objects = [{"@id": own.get(digest) or _input_id(digest)} for digest in used]
    action: Entity = {
        "@id": f"#{quote(stage, safe='')}-{code[:_SHORT]}-{config[:_SHORT]}",
        "@type": "CreateAction",
        "name": f"stage {stage}",
        "description": f"Code sha256 {code}, configuration sha256 {config}.",
        "agent": _links(_authors(release)),
        "instrument": {"@id": _software_id(release, made_by[0]["code_version"])},
        "result": _one_or_all([{"@id": record.name} for record in records]),
    }
    return {**action, "object": _one_or_all(objects)} if objects else action


def _inputs(release: Release) -> list[Entity]:
    """Give what went in and is not part of the bundle."""
    own = {product.sha256 for product in release.products}
    names = {
        digest: name
        for _, made_by in _made(release)
        for name, digest in made_by["inputs"].items()
        if digest not in own
    }
    return [_input(names[digest], digest) for digest in sorted(names)]


def _software(release: Release) -> list[Entity]:
    """Give our distribution, and the libraries that it used."""
    tools: dict[str, set[tuple[str, str]]] = {}
    for _, made_by in _made(release):
        tools.setdefault(made_by["code_version"], set()).update(made_by["tools"].items())
    entities: dict[str, Entity] = {}
    for version in sorted(tools):
        libraries = [_application(name, of) for name, of in sorted(tools[version])]
        own = _application(release.dataset.software, version)
        if libraries:
            own["softwareRequirements"] = _links(libraries)
        entities |= {entity["@id"]: entity for entity in (own, *libraries)}
    return [entities[key] for key in sorted(entities)]


def _software_id(release: Release, version: str) -> str:
    return str(_application(release.dataset.software, version)["@id"])


def _application(name: str, version: str) -> Entity:
    return {
        "@id": f"#{quote(f'{name}-{version}', safe='')}",
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
    }


def _input_id(digest: str) -> str:
    return f"#input-{digest}"


def _input(name: str, digest: str) -> Entity:
    return {
        "@id": _input_id(digest),
        "@type": "CreativeWork",
        "name": name,
        "identifier": f"sha256:{digest}",
    }


def _links(entities: Iterable[Entity]) -> Entity | list[Entity]:
    return _one_or_all([{"@id": entity["@id"]} for entity in entities])


def _one_or_all(links: list[Entity]) -> Entity | list[Entity]:
    """Write one value as such: RO-Crate 1.1 asks for it."""
    return links[0] if len(links) == 1 else links
