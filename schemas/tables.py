"""Does a table have the columns, types, units and ranges that it should?

The models stand in `schemas.models`; pandera is imported when one of them is asked for.
"""

from collections.abc import Mapping
from typing import Any, Final

from schemas import Field, Problem, SchemaError

_TABLE_WIDE: Final = "."
_MISSING: Final = "NaN"


def names() -> tuple[str, ...]:
    """Name the table models, sorted."""
    return (
        *("archive", "colours", "evaluations", "exposures", "fluxes", "ghosts", "lines"),
        *("magnitudes", "photometry", "resampling", "sharing", "shockgeometry", "shockmodels"),
        *("shocks", "spectra", "strengths"),
    )


def model(name: str) -> Any:
    """Give the pandera model of a table.

    Raises
    ------
    SchemaError
        If there is no such model.
    """
    if name not in names():
        raise SchemaError(f"there is no table model '{name}'; there are {', '.join(names())}")
    from schemas.models import MODELS

    return MODELS[name]


def fields(name: str) -> tuple[Field, ...]:
    """Give the columns of a table as rows of the data dictionary.

    Of numbers that a row may lack it is said that they are NaN there.

    Raises
    ------
    SchemaError
        If there is no such model.
    """
    columns = model(name).to_schema().columns
    return tuple(
        Field(
            name=str(key),
            type=str(column.dtype),
            unit=(column.metadata or {}).get("unit", ""),
            title=column.title or "",
            description=_description(column),
            required=column.required,
        )
        for key, column in columns.items()
    )


def _description(column: Any) -> str:
    text = column.description or ""
    if not column.nullable or _MISSING in text:
        return text
    return f"{text} {_MISSING} where there is none.".strip()


def validate(
    columns: Mapping[str, Any], units: Mapping[str, str], name: str
) -> tuple[Problem, ...]:
    """Find every way in which a table does not follow its model.

    Parameters
    ----------
    columns : mapping of str to sequence, shape (n_rows,)
        The columns as plain values.
    units : mapping of str to str
        Unit of each column; empty where it has none.
    name : str
        The model, one of `names()`.

    Returns
    -------
    tuple of Problem
        Empty if it follows; ordered by place.

    Raises
    ------
    SchemaError
        If there is no such model.
    """
    import pandas as pd
    from pandera.errors import SchemaErrors

    wanted = {field.name: field.unit for field in fields(name)}
    problems = {
        Problem(column, f"the unit is {units.get(column, '')!r}, not {unit!r}")
        for column, unit in wanted.items()
        if column in columns and units.get(column, "") != unit
    }
    table = pd.DataFrame({key: pd.Series(list(value)) for key, value in columns.items()})
    try:
        model(name).validate(table, lazy=True)
    except SchemaErrors as failure:
        problems |= {_problem(row) for row in failure.failure_cases.to_dict("records")}
    return tuple(sorted(problems, key=lambda problem: (problem.where, problem.problem)))


def _problem(row: Mapping[Any, Any]) -> Problem:
    if row["check"] == "column_in_dataframe":
        return Problem(str(row["failure_case"]), "the column is missing")
    where = _TABLE_WIDE if row["schema_context"] == "DataFrameSchema" else str(row["column"])
    case = "" if where == _TABLE_WIDE else f": {row['failure_case']}"
    return Problem(where, f"{row['check']}{case}")
