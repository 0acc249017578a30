"""Which metadata does the archive accept, store, complain of, or refuse?

A mistake makes an `errors` row in a reply that says success; the value is dropped if the field
itself is wrong, and kept if only its parts do not fit together. An id that no vocabulary has is
refused at once. All texts are those of the archive.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from release.testing import vocabularies
from release.testing.model import Refusal
from release.testing.vocabularies import Vocabulary

_REQUIRED: Final = "Missing data for required field."
_UNKNOWN: Final = "Unknown field."
_BAD_DATE: Final = "Please provide a valid date or interval."
_BAD_RIGHTS: Final = (
    "Only an existing id or free text title/description/link is accepted, but not both cases at the"
    " same time"
)
_NO_PUBLISHER: Final = "Missing publisher field required for DOI registration."
_MANDATORY: Final = ("resource_type", "creators", "title", "publication_date")
_PEOPLE: Final = ("personal", "organizational")
_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_DOI: Final = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?10\.\d{4,9}(?:\.\d+)*/\S+", re.I)
_ARXIV: Final = re.compile(r"(?:arxiv:)?(?:\d{4}\.\d{4,5}|[a-z.-]+/\d{7})(?:v\d+)?", re.I)
_ORCID: Final = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_URL: Final = re.compile(r"(?:https?|ftp)://[^\s/]+\S*", re.I)

type Errors = list[tuple[str, str]]
# Takes a value, its path and the list of errors; gives what is stored, or _DROPPED.
type Field = Callable[[Any, str, Errors], Any]

_DROPPED: Final = object()


@dataclass
class Loaded:
    """What a request says of a record, as the archive understands it.

    Attributes
    ----------
    metadata, pids, custom_fields : dict
        What is stored.
    errors : list of (field, message)
        What is wrong.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    pids: dict[str, Any] = field(default_factory=dict)
    custom_fields: dict[str, Any] = field(default_factory=dict)
    errors: Errors = field(default_factory=list)


def load(document: Any) -> Loaded:
    """Read the body of a create or update request.

    Members that the archive does not know are ignored at the top, and errors in `metadata`.

    Raises
    ------
    Refusal
        If an id is in no vocabulary, or the document asks for what is no part of the contract.
    """
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise Refusal(400, "A validation error occurred.", (("_schema", "Invalid input type."),))
    loaded = Loaded(pids=_part(document, "pids"))
    loaded.custom_fields = _part(document, "custom_fields")
    if "metadata" in document:
        loaded.metadata = _metadata(document["metadata"], loaded.errors)
    _check_access(_part(document, "access"))
    doi = loaded.pids.get("doi")
    external = isinstance(doi, dict) and doi.get("provider") == "external"
    if not loaded.metadata.get("publisher") and not external:
        loaded.errors.append(("metadata.publisher", _NO_PUBLISHER))
    if _part(document, "files").get("enabled") is False:
        loaded.errors.append(
            ("files.enabled", "You don't have permissions to manage files options.")
        )
    return loaded


def publication_errors(metadata: Mapping[str, Any]) -> Errors:
    """Say what stored metadata lack for publication."""
    errors: Errors = []
    _metadata(dict(metadata), errors)
    return errors


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name) or {}
    if not isinstance(part, dict):
        raise Refusal(400, "A validation error occurred.", ((name, "Invalid input type."),))
    return part


def _check_access(access: dict[str, Any]) -> None:
    """Only public records are part of the contract; a wrong answer would be worse than none."""
    closed = any(access.get(part, "public") != "public" for part in ("record", "files"))
    embargo = _part(access, "embargo")
    if closed or embargo.get("active"):
        raise Refusal(501, "Restricted and embargoed records are no part of the contract.")


def _metadata(value: Any, errors: Errors) -> dict[str, Any]:
    if not isinstance(value, dict):
        errors.append(("metadata", "Invalid input type."))
        return {}
    stored: dict[str, Any] = {}
    for name, read in _FIELDS.items():
        path = f"metadata.{name}"
        if value.get(name) is None:
            if name in _MANDATORY:
                errors.append((path, _REQUIRED))
            continue
        result = read(value[name], path, errors)
        if result is not _DROPPED:
            stored[name] = result
    errors += [(f"metadata.{name}", _UNKNOWN) for name in value if name not in _FIELDS]
    return stored


# Fields


def _text(value: Any, path: str, errors: Errors, *, shortest: int = 0) -> Any:
    if not isinstance(value, str):
        errors.append((path, "Not a valid string."))
        return _DROPPED
    if len(value.strip()) < shortest:
        errors.append((path, f"Shorter than minimum length {shortest}."))
        return _DROPPED
    return value


def _title(value: Any, path: str, errors: Errors) -> Any:
    return _text(value, path, errors, shortest=3)


def _texts(value: Any, path: str, errors: Errors) -> Any:
    return _list(_text)(value, path, errors)


def _edtf(value: Any, path: str, errors: Errors) -> Any:
    parts = value.split("/") if isinstance(value, str) else []
    if not 1 <= len(parts) <= 2 or not all(map(_is_date, parts)):
        errors.append((path, _BAD_DATE))
        return _DROPPED
    return value


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _term(vocabulary: Vocabulary) -> Field:
    def read(value: Any, path: str, errors: Errors) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str):
            errors.append((path, _REQUIRED if isinstance(value, dict) else "Invalid input type."))
            return _DROPPED
        vocabulary.check(value["id"])
        return {"id": value["id"]}

    return read


def _list(read: Field, shortest: int = 0) -> Field:
    def read_list(value: Any, path: str, errors: Errors) -> Any:
        if not isinstance(value, list):
            errors.append((path, "Not a valid list."))
            return _DROPPED
        if len(value) < shortest:
            errors.append((path, f"Shorter than minimum length {shortest}."))
            return _DROPPED
        found = [read(item, f"{path}.{number}", errors) for number, item in enumerate(value)]
        return [item for item in found if item is not _DROPPED]

    return read_list


def _object(fields: Mapping[str, Field], required: tuple[str, ...] = ()) -> Field:
    def read(value: Any, path: str, errors: Errors) -> Any:
        if not isinstance(value, dict):
            errors.append((path, "Invalid input type."))
            return _DROPPED
        stored = {}
        for name, read_one in fields.items():
            if value.get(name) is not None:
                result = read_one(value[name], f"{path}.{name}", errors)
                if result is not _DROPPED:
                    stored[name] = result
            elif name in required:
                errors.append((f"{path}.{name}", _REQUIRED))
        errors += [(f"{path}.{name}", _UNKNOWN) for name in value if name not in fields]
        return stored

    return read


def _identifier(value: Any, path: str, errors: Errors, *, more: Mapping[str, Field]) -> Any:
    """Read an identifier with its scheme; parts that do not fit together are kept."""
    required = ("identifier", *(("relation_type",) if "relation_type" in more else ()))
    fields: Mapping[str, Field] = {"identifier": _text, "scheme": _text, **more}
    stored = _object(fields, required)(value, path, errors)
    if stored is _DROPPED or "identifier" not in stored:
        return stored
    text, scheme = stored["identifier"], stored.get("scheme")
    if scheme is None:
        stored["scheme"] = next((one for one, fits in _FITS.items() if fits(text)), None)
        if stored["scheme"] is None:
            del stored["scheme"]
            errors.append((f"{path}.scheme", "Missing data for required field."))
    elif scheme not in vocabularies.SCHEMES:
        errors.append((f"{path}.scheme", "Invalid scheme."))
    elif scheme in _FITS and not _FITS[scheme](text):
        errors.append((f"{path}.identifier", f"Invalid {_NAMES[scheme]} identifier."))
    return stored


def _is_orcid(text: str) -> bool:
    """Check the form and the check digit (ISO 7064 MOD 11-2)."""
    found = _ORCID.fullmatch(text)
    if found is None:
        return False
    digits, last = found[1].replace("-", "")[:-1], found[1][-1]
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2
    return last == "0123456789X"[(12 - total % 11) % 11]


_FITS: Final[Mapping[str, Callable[[str], bool]]] = {
    "orcid": _is_orcid,
    "arxiv": lambda text: _ARXIV.fullmatch(text) is not None,
    "doi": lambda text: _DOI.fullmatch(text) is not None,
    "url": lambda text: _URL.fullmatch(text) is not None,
}
_NAMES: Final = {"orcid": "ORCID", "arxiv": "arXiv", "doi": "DOI", "url": "URL"}


def _plain_identifier(value: Any, path: str, errors: Errors) -> Any:
    return _identifier(value, path, errors, more={})


def _related(value: Any, path: str, errors: Errors) -> Any:
    more = {
        "relation_type": _term(vocabularies.RELATIONS),
        "resource_type": _term(vocabularies.RESOURCE_TYPES),
    }
    return _identifier(value, path, errors, more=more)


def _person(value: Any, path: str, errors: Errors) -> Any:
    fields: Mapping[str, Field] = {
        "type": _text,
        "name": _text,
        "given_name": _text,
        "family_name": _text,
        "identifiers": _list(_plain_identifier),
    }
    found: Errors = []
    stored = _object(fields)(value, path, found)
    if stored is _DROPPED:
        errors += found
        return stored
    kind = stored.get("type")
    if kind not in _PEOPLE:
        found.append((f"{path}.type", f"Invalid value. Choose one of {sorted(_PEOPLE)}."))
    elif kind == "personal" and not stored.get("family_name"):
        found.append((f"{path}.family_name", "Family name cannot be blank."))
    elif kind == "organizational" and not stored.get("name"):
        found.append((f"{path}.name", "Name cannot be blank."))
    elif kind == "personal" and not found:
        # The archive makes the name, and only of a person without mistakes.
        names = (stored["family_name"], stored.get("given_name"))
        stored = {"type": kind, "name": ", ".join(filter(None, names)), **_without_name(stored)}
    errors += found
    return stored


def _without_name(person: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in person.items() if key not in ("type", "name")}


def _people(*, role_required: bool) -> Field:
    fields: Mapping[str, Field] = {
        "person_or_org": _person,
        "role": _term(vocabularies.ROLES),
        "affiliations": _list(_object({"id": _text, "name": _text})),
    }
    required = ("person_or_org", *(("role",) if role_required else ()))
    return _list(_object(fields, required), shortest=0 if role_required else 1)


def _right(value: Any, path: str, errors: Errors) -> Any:
    fields: Mapping[str, Field] = {
        "id": _text,
        "title": _any,
        "description": _any,
        "link": _text,
        "props": _any,
        "icon": _text,
    }
    stored = _object(fields)(value, path, errors)
    if stored is _DROPPED or "id" not in stored:
        return stored
    vocabularies.LICENCES.check(stored["id"])
    if stored.keys() & {"title", "description", "link"}:
        errors.append((f"{path}.rights", _BAD_RIGHTS))
    return {"id": stored["id"]}


def _any(value: Any, path: str, errors: Errors) -> Any:
    return value


_TYPED_TEXT: Final = {"lang": _term(vocabularies.LANGUAGES)}

# In the order in which the archive lists metadata.
_FIELDS: Final[Mapping[str, Field]] = {
    "resource_type": _term(vocabularies.RESOURCE_TYPES),
    "creators": _people(role_required=False),
    "title": _title,
    "additional_titles": _list(
        _object({"title": _title, "type": _term(vocabularies.TITLE_TYPES), **_TYPED_TEXT})
    ),
    "publisher": _text,
    "publication_date": _edtf,
    "subjects": _list(_object({"subject": _text, "id": _text})),
    "contributors": _people(role_required=True),
    "dates": _list(
        _object(
            {"date": _edtf, "type": _term(vocabularies.DATE_TYPES), "description": _text},
            ("date", "type"),
        )
    ),
    "languages": _list(_term(vocabularies.LANGUAGES)),
    "identifiers": _list(_plain_identifier),
    "related_identifiers": _list(_related),
    "sizes": _texts,
    "formats": _texts,
    "version": _text,
    "rights": _list(_right),
    "copyright": _text,
    "description": _title,
    "additional_descriptions": _list(
        _object(
            {
                "description": _title,
                "type": _term(vocabularies.DESCRIPTION_TYPES),
                **_TYPED_TEXT,
            },
            ("description", "type"),
        )
    ),
    "funding": _list(_object({"funder": _any, "award": _any}, ("funder",))),
    "references": _list(
        _object({"reference": _text, "identifier": _text, "scheme": _text}, ("reference",))
    ),
    "locations": _any,
}
