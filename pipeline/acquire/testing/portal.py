"""How does the portal answer a question (the services that astroquery's Observations asks)?"""

import re
from collections.abc import Iterable, Mapping
from math import cos, hypot, radians
from typing import Any, Final

from pipeline.acquire.testing.catalogue import FILE, OBSERVATION, PRODUCT, Catalogue, Row

COUNT: Final = "COUNT_BIG(*)"
FILTERED: Final = "Mast.Caom.Filtered"
POSITION: Final = "Mast.Caom.Filtered.Position"
CONE: Final = "Mast.Caom.Cone"
PRODUCTS: Final = "Mast.Caom.Products"
NIRSPEC: Final = "Mast.Jwst.Filtered.Nirspec"
_PAGE_ROWS: Final = 50_000
_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    FILTERED: OBSERVATION,
    POSITION: OBSERVATION,
    CONE: OBSERVATION,
    PRODUCTS: PRODUCT,
    NIRSPEC: FILE,
}


class QuestionError(Exception):
    """The question cannot be answered; the portal says so with status ERROR."""


def columns_config(service: str) -> dict[str, Any]:
    """Which columns can be filtered by, and how? Empty for a service that is unknown."""
    kinds = {"float": "double", "long": "long", "int": "int", "boolean": "boolean"}
    return {
        name: {"text": name, "type": kind, "vot.datatype": kinds.get(kind, "char")}
        for name, kind in _COLUMNS.get(service, {}).items()
    }


def answer(catalogue: Catalogue, request: Mapping[str, Any]) -> dict[str, Any]:
    """What does the portal answer to one request of `/api/v0/invoke`?

    Parameters
    ----------
    catalogue : Catalogue
    request : mapping
        service, params, pagesize, page.
    """
    try:
        service = request.get("service")
        types = _COLUMNS.get(str(service))
        if types is None:
            raise QuestionError(f"Unrecognized service {service!r}")
        params = request.get("params") or {}
        rows = _rows(catalogue, str(service), params, types)
        wanted = str(params.get("columns", "*"))
        if wanted == COUNT:
            rows, types = [{"Column1": len(rows)}], {"Column1": "int"}
        elif wanted != "*":
            rows, types = _project(rows, types, wanted)
        return _page(rows, types, request)
    except QuestionError as error:
        return {"status": "ERROR", "msg": str(error), "data": [], "fields": []}


def _rows(
    catalogue: Catalogue, service: str, params: Mapping[str, Any], types: Mapping[str, str]
) -> list[Row]:
    if service == PRODUCTS:
        asked = set(re.findall(r"[^,\s]+", str(params.get("obsid", ""))))
        return [row for row in catalogue.products if row["parent_obsid"] in asked]
    if service == CONE:
        cone = [float(params[key]) for key in ("ra", "dec", "radius")]
        return [row for row in catalogue.observations if _inside(row, cone)]
    rows: Iterable[Row] = catalogue.files if service == NIRSPEC else catalogue.observations
    filters = params.get("filters") or []
    if service != POSITION and not filters:
        raise QuestionError("At least one filter is needed")
    if service == POSITION:
        cone = [float(text) for text in str(params.get("position", "")).split(",")]
        rows = [row for row in rows if _inside(row, cone)]
    for one in filters:
        rows = [row for row in rows if _passes(row, one, types)]
    return list(rows)


def _inside(row: Row, cone: list[float]) -> bool:
    """Say whether an observation lies in a (small) circle: ra, dec, radius in degrees."""
    if len(cone) != 3 or row["s_ra"] is None:
        return False
    ra, dec, radius = cone
    east = (row["s_ra"] - ra + 180) % 360 - 180
    return hypot(east * cos(radians(dec)), row["s_dec"] - dec) <= radius


def _passes(row: Row, one: Mapping[str, Any], types: Mapping[str, str]) -> bool:
    column = {name.lower(): name for name in types}.get(str(one.get("paramName")).lower())
    values = one.get("values")
    if column is None:
        raise QuestionError(f"Invalid column name '{one.get('paramName')}'")
    if not isinstance(values, list):
        raise QuestionError(f"The values of '{column}' must be a list")
    value, pattern = row[column], one.get("freeText")
    if pattern and _like(str(value), str(pattern)):
        return True
    return any(_equals(value, wanted) for wanted in values)


def _like(value: str, pattern: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("%"))
    return re.fullmatch(expression, value, re.IGNORECASE) is not None


def _equals(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return value is not None and float(wanted["min"]) <= float(value) <= float(wanted["max"])
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(wanted) == float(value)
        except (TypeError, ValueError):
            return False
    return str(value).casefold() == str(wanted).casefold()


def _project(
    rows: list[Row], types: Mapping[str, str], wanted: str
) -> tuple[list[Row], Mapping[str, str]]:
    names = [name.strip() for name in wanted.split(",")]
    unknown = [name for name in names if name not in types]
    if unknown:
        raise QuestionError(f"Invalid column name '{unknown[0]}'")
    kept = {name: types[name] for name in names}
    return [{name: row[name] for name in names} for row in rows], kept


def _page(rows: list[Row], types: Mapping[str, str], request: Mapping[str, Any]) -> dict[str, Any]:
    size = max(1, int(request.get("pagesize") or _PAGE_ROWS))
    page = max(1, int(request.get("page") or 1))
    part = rows[(page - 1) * size : page * size]
    return {
        "status": "COMPLETE",
        "msg": "",
        "data": part,
        "fields": [{"name": name, "type": kind} for name, kind in types.items()],
        "paging": {
            "page": page,
            "pageSize": size,
            "pagesFiltered": -(-len(rows) // size),
            "rows": len(part),
            "rowsFiltered": len(rows),
            "rowsTotal": len(rows),
        },
    }
