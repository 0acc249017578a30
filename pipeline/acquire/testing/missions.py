"""How does the newer search service answer (the one that astroquery's MastMissions asks)?"""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.acquire.testing.catalogue import Catalogue, Row

# Mission: columns of the search with their types, and how they are called in the catalogue.
_SEARCH: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "jwst": {
        "fileSetName": ("varchar", "dataset"),
        "program": ("integer", "proposal_id"),
        "targprop": ("varchar", "target_name"),
        "instrume": ("varchar", "instrument_name"),
        "targ_ra": ("float", "s_ra"),
        "targ_dec": ("float", "s_dec"),
        "access": ("varchar", "dataRights"),
    },
    "hst": {
        "sci_data_set_name": ("varchar", "dataset"),
        "sci_pep_id": ("integer", "proposal_id"),
        "sci_targname": ("varchar", "target_name"),
        "sci_instrume": ("varchar", "instrument_name"),
        "sci_ra": ("float", "s_ra"),
        "sci_dec": ("float", "s_dec"),
    },
}


def dataset_of(obs_id: str) -> str:
    """Which data set does an observation belong to? Detectors of one exposure share it."""
    return re.sub(r"_nrs[12]$", "", obs_id)


def column_list(mission: str) -> list[dict[str, str]]:
    """Which columns does the search of a mission have?"""
    return [
        {"column_name": name, "qual_type": kind, "description": source}
        for name, (kind, source) in _SEARCH.get(mission, {}).items()
    ]


def search(catalogue: Catalogue, mission: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Which data sets of a mission fulfil the conditions?

    Parameters
    ----------
    catalogue : Catalogue
    mission : str
        ``hst`` or ``jwst``.
    request : mapping
        conditions ([{column: value or values with commas}]), limit, offset, select_cols.
    """
    columns = _SEARCH.get(mission, {})
    rows: dict[str, Row] = {}
    for observation in catalogue.observations:
        if observation["obs_collection"].lower() == mission:
            source = observation | {"dataset": dataset_of(observation["obs_id"])}
            row = {name: source[key] for name, (_, key) in columns.items()}
            rows.setdefault(source["dataset"], row)
    conditions = [pair for one in request.get("conditions") or [] for pair in one.items()]
    found = [row for row in rows.values() if all(_meets(row, *pair) for pair in conditions)]
    start = int(request.get("offset") or 0)
    names = [n for n in request.get("select_cols") or columns if n in columns]
    part = found[start : start + int(request.get("limit") or 5000)]
    return {
        "info": [{"name": name, "type": columns[name][0]} for name in names],
        "results": [{name: row[name] for name in names} for row in part],
        "totalResults": len(found),
    }


def _meets(row: Row, column: str, value: Any) -> bool:
    accepted = {text.strip().casefold() for text in str(value).split(",")}
    return str(row.get(column)).casefold() in accepted


def list_products(catalogue: Catalogue, mission: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Which products do these data sets have? As in the portal, some are listed repeatedly."""
    asked = set(request.get("dataset_ids") or [])
    rows = [
        {
            "product_key": f"{dataset}_{row['productFilename']}",
            "access": row["dataRights"],
            "dataset": dataset,
            "instrument_name": "",
            "filters": "",
            "uri": f"{dataset}/{row['productFilename']}",
            "file_suffix": "_" + row["productSubGroupDescription"].lower(),
            "category": str(row["calib_level"]),
            "size": row["size"],
            "type": row["productType"].lower(),
            "filename": row["productFilename"],
        }
        for row in catalogue.products
        for dataset in [dataset_of(row["obs_id"])]
        if row["obs_collection"].lower() == mission and dataset in asked
    ]
    return {"products": rows}
