"""What is in the bundle and what made it, for machines: RO-Crate 1.1 with Process Run Crate 0.5.

The document is plain JSON-LD: one flat list of entities, in a fixed order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from ard import layout
from manifests.catalogue import Agent
from release.model import MARK, FileRecord, Release
from release.record import RESOLVER, Record, record_of
from release.render.readme import DOCUMENTS
from release.words import summary

_CRATE: Final = "https://w3id.org/ro/crate/1.1"
_PROCESS_RUN: Final = "https://w3id.org/ro/wfrun/process/0.5"
# A property of schema.org that is younger than the context of RO-Crate 1.1, and two for which
# schema.org has no word.
_TERMS: Final = {
    "sha256": "https://schema.org/sha256",
    "isVersionOf": "http://purl.org/dc/terms/isVersionOf",
    "replaces": "http://purl.org/dc/terms/replaces",
}
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
    record = record_of(release)
    files = [_file(release, file) for file in (*release.products, *rendered)]
    files += [
        _late(release, layout.MANIFEST_FILE, "application/json"),
        _late(release, layout.SUMS_FILE, "text/plain"),
    ]
    actions = _actions(release, record)
    graph = [
        _descriptor(),
        _root(record, files, actions),
        *files,
        _licence(record),
        *_people(record),
        _publisher(record),
        _profile(),
        *_versions(record),
        *_references(record),
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


def _root(record: Record, files: list[Entity], actions: list[Entity]) -> Entity:
    creators, contributors = _roles(record)
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": record.title,
        "description": record.abstract,
        "identifier": record.doi_url,
        "isVersionOf": record.concept_url and {"@id": record.concept_url},
        "replaces": record.previous_doi and {"@id": RESOLVER + record.previous_doi},
        "url": record.url,
        "version": record.version,
        "datePublished": record.date,
        "inLanguage": record.language.tag,
        "license": {"@id": record.licence.url},
        "author": _links(creators),
        "contributor": _links(contributors),
        "publisher": {"@id": _PUBLISHER},
        "keywords": list(record.keywords),
        "conformsTo": {"@id": _PROCESS_RUN},
        "hasPart": _links(files),
        "mentions": _links(actions),
        "citation": _links(_references(record)),
    }
    return {key: value for key, value in root.items() if value not in (None, [], {})}


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


def _licence(record: Record) -> Entity:
    licence = record.licence
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


def _publisher(record: Record) -> Entity:
    return {
        "@id": _PUBLISHER,
        "@type": "Organization",
        "name": record.publisher,
        "url": record.publisher_url,
    }


def _roles(record: Record) -> tuple[list[Entity], list[Entity]]:
    """Give those who are cited, and those who took part."""
    creators = [_agent(row, f"#author-{n}") for n, row in enumerate(record.creators, start=1)]
    contributors = [
        _agent(row.agent, f"#contributor-{n}") for n, row in enumerate(record.contributors, start=1)
    ]
    return creators, contributors


def _agent(agent: Agent, place: str) -> Entity:
    if not agent.is_person:
        return {"@id": place, "@type": "Organization", "name": agent.name}
    person: Entity = {
        "@id": place if agent.orcid is None else f"https://orcid.org/{agent.orcid}",
        "@type": "Person",
        "name": " ".join(filter(None, (agent.given_name, agent.family_name))),
        "familyName": agent.family_name,
        "givenName": agent.given_name,
        "affiliation": _links(map(_institution, agent.affiliations)),
    }
    return {key: value for key, value in person.items() if value not in (None, [])}


def _institution(name: str) -> Entity:
    return {"@id": f"#{quote(name, safe='')}", "@type": "Organization", "name": name}


def _people(record: Record) -> list[Entity]:
    """Give everybody once, with the institutions they belong to."""
    creators, contributors = _roles(record)
    agents = (*record.creators, *(row.agent for row in record.contributors))
    institutions = [_institution(name) for agent in agents for name in agent.affiliations]
    people = {row["@id"]: row for row in (*creators, *contributors, *institutions)}
    return list(people.values())


def _versions(record: Record) -> list[Entity]:
    """Give the dataset as such, and its version before this one."""
    rows = [
        (record.concept_doi, "The dataset in all its versions"),
        (record.previous_doi, "The version before this one"),
    ]
    return [
        {"@id": RESOLVER + doi, "@type": "CreativeWork", "name": name, "identifier": doi}
        for doi, name in rows
        if doi is not None
    ]


def _references(record: Record) -> list[Entity]:
    return [
        {
            "@id": RESOLVER + reference.doi,
            "@type": "ScholarlyArticle",
            "name": reference.title,
            "author": reference.authors,
        }
        for reference in record.references
    ]


def _made(release: Release) -> list[tuple[FileRecord, Mapping[str, Any]]]:
    """Give the products that say what made them, with what they say."""
    return [(row, row.provenance) for row in release.described if row.provenance is not None]


def _names(release: Release) -> dict[str, str]:
    """Give the products by the digest under which others name them as their input: the run's."""
    return {product.source_sha256 or product.sha256: product.file for product in release.described}


def _actions(release: Release, record: Record) -> list[Entity]:
    """Give one action for each stage, code and configuration, in a fixed order."""
    groups: dict[tuple[str, str, str], list[FileRecord]] = {}
    for product, made_by in _made(release):
        key = (made_by["stage"], made_by["code_sha256"], made_by["config_sha256"])
        groups.setdefault(key, []).append(product)
    agents = _links(_roles(record)[0])
    return [{**_action(release, key, groups[key]), "agent": agents} for key in sorted(groups)]


def _action(release: Release, key: tuple[str, str, str], files: list[FileRecord]) -> Entity:
    stage, code, config = key
    made_by = [file.provenance or {} for file in files]
    own = _names(release)
    used = sorted({digest for row in made_by for digest in row["inputs"].values()})
    objects = [{"@id": own.get(digest) or _input_id(digest)} for digest in used]
    action: Entity = {
        "@id": f"#{quote(stage, safe='')}-{code[:_SHORT]}-{config[:_SHORT]}",
        "@type": "CreateAction",
        "name": f"stage {stage}",
        "description": f"Code sha256 {code}, configuration sha256 {config}.",
        "instrument": {"@id": _software_id(release, made_by[0]["code_version"])},
        "result": _one_or_all([{"@id": name} for name in dict.fromkeys(f.file for f in files)]),
    }
    return {**action, "object": _one_or_all(objects)} if objects else action


def _inputs(release: Release) -> list[Entity]:
    """Give what went in and is not part of the bundle."""
    own = _names(release)
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
        own = _application(release.dataset.software.name, version)
        if libraries:
            own["softwareRequirements"] = _links(libraries)
        entities |= {entity["@id"]: entity for entity in (own, *libraries)}
    return [entities[key] for key in sorted(entities)]


def _software_id(release: Release, version: str) -> str:
    return str(_application(release.dataset.software.name, version)["@id"])


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
