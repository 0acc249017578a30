"""What does the archive say to those who ask for plain `application/json`, and for RO-Crates?

Zenodo answers them in the shape of its old API, which knows neither `pids` nor `parent`: a trap
for clients of the records API.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from release.testing import vocabularies
from release.testing.model import Version
from release.testing.shapes import View, body_of, error_rows, file_links, record_links
from release.testing.vocabularies import Vocabulary

_NO_STATS: Final = {
    f"{prefix}{name}": 0
    for prefix in ("", "version_")
    for name in ("downloads", "unique_downloads", "views", "unique_views")
}
# Members that are called the same, or nearly.
_PLAIN: Final = ("title", "publication_date", "description", "version")


def record(version: Version, view: View, errors: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Give a draft or a record in the old shape."""
    body = body_of(version, draft=view.draft)
    doi = body.pids.get("doi", {}).get("identifier")
    concept = version.family.pids.get("doi", {}).get("identifier")
    document: dict[str, Any] = {
        "created": body.created,
        "modified": body.updated,
        "updated": body.updated,
        "id": int(version.id),
        "recid": version.id,
        "conceptrecid": version.family.id,
        "metadata": _metadata(version, view, doi),
        "title": body.metadata.get("title", ""),
        "links": record_links(version, view),
        "revision": body.revision,
        "files": _files(version, view),
        "owners": [{"id": version.family.owner}],
        "status": "draft" if view.draft else "published",
        "state": "unsubmitted" if view.draft else "done",
        "submitted": not view.draft,
    }
    if doi:
        document |= {"doi": doi, "doi_url": f"https://handle.test.datacite.org/{doi}"}
    if concept:
        document["conceptdoi"] = concept
    if not view.draft:
        document["stats"] = _NO_STATS
    rows = error_rows(errors)
    return {**document, "errors": rows} if rows else document


def _files(version: Version, view: View) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.blob.id,
            "key": entry.key,
            "size": entry.blob.size,
            "checksum": f"md5:{entry.blob.md5}",
            "links": {"self": file_links(version, entry.key, view)["content"]},
        }
        for entry in body_of(version, draft=view.draft).files.values()
        if entry.blob is not None
    ]


def _metadata(version: Version, view: View, doi: str | None) -> dict[str, Any]:
    metadata = body_of(version, draft=view.draft).metadata
    old: dict[str, Any] = {name: metadata[name] for name in _PLAIN if name in metadata}
    old["access_right"] = "open"
    if doi:
        old["doi"] = doi
    for name, read in _READERS.items():
        if name in metadata:
            old[_RENAMED.get(name, name)] = [read(item) for item in metadata[name]]
    if metadata.get("languages"):
        old["language"] = metadata["languages"][0]["id"]
    if "resource_type" in metadata:
        old["resource_type"] = _resource_type(metadata["resource_type"]["id"])
    if metadata.get("rights"):
        old["license"] = {"id": metadata["rights"][0].get("id", "")}
    for item in metadata.get("additional_descriptions", []):
        if item.get("type", {}).get("id") == "methods":
            old["method"] = item.get("description", "")
    old["relations"] = {"version": [_place(version)]}
    return old


def _person(person: Mapping[str, Any]) -> dict[str, Any]:
    who = person.get("person_or_org", {})
    places = person.get("affiliations", [])
    old = {"name": who.get("name", ""), "affiliation": places[0].get("name") if places else None}
    for pid in who.get("identifiers", []):
        old[pid.get("scheme", "other")] = pid.get("identifier")
    if "role" in person:
        old["type"] = _joined(vocabularies.ROLES, person["role"])
    return old


def _joined(vocabulary: Vocabulary, term: Mapping[str, str]) -> str:
    """Give the name of an id as one word: IsSupplementTo."""
    return vocabulary.titles[term["id"]].title().replace(" ", "")


def _related(item: Mapping[str, Any]) -> dict[str, Any]:
    old = {"identifier": item.get("identifier"), "scheme": item.get("scheme")}
    if "relation_type" in item:
        relation = _joined(vocabularies.RELATIONS, item["relation_type"])
        old["relation"] = relation[0].lower() + relation[1:]
    if "resource_type" in item:
        old["resource_type"] = item["resource_type"]["id"]
    return old


def _date(item: Mapping[str, Any]) -> dict[str, Any]:
    start, _, end = item.get("date", "").partition("/")
    return {"type": item.get("type", {}).get("id"), "start": start, "end": end or start}


def _keyword(item: Mapping[str, Any]) -> str:
    return str(item.get("subject", ""))


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "creators": _person,
    "contributors": _person,
    "subjects": _keyword,
    "related_identifiers": _related,
    "dates": _date,
}
_RENAMED: Final = {"subjects": "keywords"}


def _resource_type(ident: str) -> dict[str, str]:
    kind, _, subtype = ident.partition("-")
    old = {"title": vocabularies.RESOURCE_TYPES.titles[ident], "type": kind}
    return {**old, "subtype": subtype} if subtype else old


def _place(version: Version) -> dict[str, Any]:
    return {
        "index": version.index - 1,
        "is_last": version is version.family.latest,
        "parent": {"pid_type": "recid", "pid_value": version.family.id},
    }


def from_crate(crate: Mapping[str, Any]) -> dict[str, Any]:
    """Read the little that the archive takes from an RO-Crate: no more than it really does."""
    things = {str(thing.get("@id")): thing for thing in _objects(crate["@graph"])}

    def find(reference: Mapping[str, Any]) -> dict[str, Any]:
        return things.get(str(reference.get("@id")), {})

    root = things.get("./", {})
    names = {"title": "name", "description": "description", "publication_date": "datePublished"}
    metadata = {ours: root[theirs] for ours, theirs in names.items() if theirs in root}
    metadata["resource_type"] = {"id": "dataset"}
    metadata["creators"] = [
        {
            "person_or_org": {
                "type": "personal",
                "family_name": author.get("familyName"),
                "given_name": author.get("givenName"),
            }
        }
        for author in map(find, _objects(root.get("author")))
    ]
    licences = _objects([root.get("license")])
    if licences:
        metadata["rights"] = [{"title": {"en": find(one).get("name", "")}} for one in licences]
    if isinstance(root.get("keywords"), list):
        metadata["subjects"] = [{"subject": word} for word in root["keywords"]]
    return {"metadata": metadata}


def _objects(value: Any) -> list[dict[str, Any]]:
    """Give what are objects in a list, which may be none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
