"""How does software for tables read the tables of a bundle: a Data Package (version 2)?

Every product is a resource with its size and sha256. A loose ECSV table is described so that it
opens as delimited text: which row holds the names, and type, unit and meaning of each column.
"""

import csv
from pathlib import Path
from typing import Any, Final

from ard.errors import FormatError
from manifests.catalogue import Agent
from release.model import FileRecord, Release
from release.record import Record, record_of
from release.words import summary
from schemas import Field, tables

_PROFILE: Final = "https://datapackage.org/profiles/2.0/datapackage.json"
_ECSV: Final = "text/x-ecsv"
_COMMENT: Final = "#"
_DELIMITER: Final = " "
# By the beginning of the numpy type's name; ECSV says "string" for texts.
_TYPES: Final = {
    "bool": "boolean",
    "int": "integer",
    "uint": "integer",
    "float": "number",
    "str": "string",
    "<U": "string",
}
# As ECSV writes them.
_BOOLEANS: Final = {"trueValues": ["True"], "falseValues": ["False"]}


def datapackage_document(release: Release, folder: Path) -> dict[str, Any]:
    """Give the Data Package of a bundle.

    Parameters
    ----------
    release : Release
        What the bundle is about.
    folder : Path
        Where its tables lie, for the rows that hold their names.
    """
    record = record_of(release)
    document: dict[str, Any] = {
        "$schema": _PROFILE,
        "name": release.dataset.name,
        "id": record.doi_url,
        "title": record.title,
        "description": record.abstract,
        "homepage": record.url,
        "version": record.version,
        "created": None if record.date is None else f"{record.date}T00:00:00Z",
        "licenses": [
            {
                "name": record.licence.spdx,
                "title": record.licence.name,
                "path": record.licence.url,
            }
        ],
        "contributors": _contributors(record),
        "keywords": list(record.keywords),
        "resources": [_resource(product, folder) for product in release.products],
    }
    return {key: value for key, value in document.items() if value is not None}


def _contributors(record: Record) -> list[dict[str, Any]]:
    creators = [_agent(agent, "creator") for agent in record.creators]
    return creators + [_agent(row.agent, row.role) for row in record.contributors]


def _agent(agent: Agent, role: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "title": agent.name,
        "familyName": agent.family_name,
        "givenName": agent.given_name,
        "organization": "; ".join(agent.affiliations) or None,
        "path": None if agent.orcid is None else f"https://orcid.org/{agent.orcid}",
        "roles": [role],
    }
    return {key: value for key, value in row.items() if value is not None}


def _resource(product: FileRecord, folder: Path) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": f"{product.layer}.{product.product}".replace("+", "."),
        "path": product.name,
        "title": f"{product.layer}: {product.product}",
        "description": f"{product.kind}: {summary(product)}",
        "mediatype": product.media_type,
        "bytes": product.size,
        "hash": f"sha256:{product.sha256}",
    }
    if product.media_type != _ECSV:
        return resource
    return resource | {
        "type": "table",
        "format": "csv",
        "encoding": "utf-8",
        "dialect": {
            "delimiter": _DELIMITER,
            "quoteChar": '"',
            "doubleQuote": True,
            "skipInitialSpace": False,
            "lineTerminator": "\n",
            "commentChar": _COMMENT,
            "header": True,
            "headerRows": [_header_row(folder / product.name)],
        },
        "schema": {"fields": _fields(product)},
    }


def _header_row(path: Path) -> int:
    """Count, as a reader of delimited text does, up to the row that holds the names."""
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter=_DELIMITER), start=1):
            if row and not row[0].startswith(_COMMENT):
                return number
    raise FormatError(
        "the table has no row of names",
        file=path,
        expected="ECSV: comments, names, rows",
        action="make the table again",
    )


def _fields(product: FileRecord) -> list[dict[str, Any]]:
    known = tables.fields(str(product.schema)) if product.schema in tables.names() else ()
    meanings = {field.name: field for field in known}
    return [
        _field(column, meanings.get(column["name"])) for column in product.description["columns"]
    ]


def _field(column: dict[str, Any], known: Field | None) -> dict[str, Any]:
    found = (kind for start, kind in _TYPES.items() if column["dtype"].startswith(start))
    dtype = next(found, "any")
    field: dict[str, Any] = {"name": column["name"], "type": dtype}
    if known is not None:
        field |= {"title": known.title, "description": known.description}
    if column["description"]:
        field["description"] = column["description"]
    if column["unit"]:
        field["unit"] = column["unit"]
    return field | (_BOOLEANS if dtype == "boolean" else {})
