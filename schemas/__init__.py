"""What must every product look like?

JSON Schemas say it for documents, and for cubes, maps, tables and figures through the
description that `ard.describe` gives of them; `schemas.tables` holds the models of the table
columns. Every field carries title, description and unit, so that the data dictionary of a
bundle is made from here. This room imports nothing of ours; jsonschema and pandera are imported
where they are used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
_COMMON: Final = "common.json"
_PARTS: Final = "x-parts"


class SchemaError(ValueError):
    """There is no schema of the name that was asked for."""


@dataclass(frozen=True)
class Problem:
    """One way in which a document or table does not follow its schema.

    Attributes
    ----------
    where : str
        The field, as a dotted path; ``.`` for the document as a whole.
    problem : str
        What is wrong with it, in one sentence.
    """

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass(frozen=True)
class Field:
    """One row of a data dictionary.

    Attributes
    ----------
    name : str
        Field, extension, layer or column; ``a.b`` is field b of object a, ``a[].b`` field b of
        each entry of list a.
    type : str
        Type of the value, as the schema or table model says it.
    unit : str
        Unit; empty where there is none, ``1`` for pure numbers.
    title, description : str
        A short name, and one sentence.
    required : bool
        Whether it is always there.
    """

    name: str
    type: str
    unit: str
    title: str
    description: str
    required: bool


def names() -> tuple[str, ...]:
    """Name the JSON schemas, sorted."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.json") if p.name != _COMMON))


def load(name: str) -> dict[str, Any]:
    """Give a JSON schema with its shared definitions put in place.

    Parameters
    ----------
    name : str
        One of `names()`.

    Raises
    ------
    SchemaError
        If there is no such schema.
    """
    schema = json.loads(_text(name))
    resolved: dict[str, Any] = _resolve(schema)
    return resolved


@cache
def _text(name: str) -> str:
    if name not in names():
        raise SchemaError(f"there is no schema '{name}'; there are {', '.join(names())}")
    return (_FOLDER / f"{name}.json").read_text(encoding="utf-8")


@cache
def _definitions() -> dict[str, Any]:
    document = json.loads((_FOLDER / _COMMON).read_text(encoding="utf-8"))
    definitions: dict[str, Any] = document["$defs"]
    return definitions


def _resolve(node: Any) -> Any:
    """Replace references by what they refer to; what stands beside a reference wins."""
    if isinstance(node, list):
        return [_resolve(child) for child in node]
    if not isinstance(node, dict):
        return node
    own = {key: _resolve(value) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return own
    return {**_resolve(_definitions()[node["$ref"].rpartition("/")[2]]), **own}


def validate(document: Mapping[str, Any], name: str) -> tuple[Problem, ...]:
    """Find every way in which a document does not follow a schema.

    Parameters
    ----------
    document : mapping
        A JSON document, or what `ard.describe` says about a product.
    name : str
        The schema, one of `names()`.

    Returns
    -------
    tuple of Problem
        Empty if it follows; ordered by place.

    Raises
    ------
    SchemaError
        If there is no such schema.
    """
    errors = _validator(name).iter_errors(document)
    problems = {
        Problem(error.json_path.removeprefix("$").lstrip(".") or ".", error.message)
        for error in errors
    }
    return tuple(sorted(problems, key=lambda problem: (problem.where, problem.problem)))


@cache
def _validator(name: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(load(name))


def fields(name: str) -> tuple[Field, ...]:
    """Give the data dictionary of a schema or table model.

    For cubes and maps these are the extensions and layers, for tables the columns, for documents
    the fields.

    Parameters
    ----------
    name : str
        A JSON schema of `names()`, or a table model of `schemas.tables.names()`.

    Raises
    ------
    SchemaError
        If there is neither.
    """
    from schemas import tables

    if name in tables.names():
        return tables.fields(name)
    schema = load(name)
    if _PARTS in schema:
        return tuple(
            Field(row["name"], "", row["unit"], row["title"], row["description"], True)
            for row in schema[_PARTS]
        )
    return tuple(_walk(schema, ""))


def _walk(schema: Mapping[str, Any], prefix: str) -> list[Field]:
    rows = []
    for key, node in schema.get("properties", {}).items():
        name = prefix + key
        title, text = node.get("title", ""), node.get("description", "")
        required = key in schema.get("required", ())
        rows.append(Field(name, _type(node), node.get("unit", ""), title, text, required))
        for option in (node, *node.get("anyOf", ())):
            rows += _walk(option, f"{name}.")
        if isinstance(node.get("items"), dict):
            rows += _walk(node["items"], f"{name}[].")
    return rows


def _type(node: Mapping[str, Any]) -> str:
    if "const" in node:
        return json.dumps(node["const"])
    if "enum" in node:
        return " | ".join(json.dumps(value) for value in node["enum"])
    if "anyOf" in node:
        return " | ".join(_type(option) for option in node["anyOf"])
    kind = node.get("type", "object")
    return kind if isinstance(kind, str) else " | ".join(kind)
