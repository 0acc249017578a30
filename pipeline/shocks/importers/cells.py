"""Which rows and numbers are in a published table, and is it whole?

A transfer that broke off, or a table that was edited by hand, ends here with the row it is in.
"""

import csv
from io import StringIO
from pathlib import Path

import numpy as np

from ard.errors import FormatError


def text_of(path: Path) -> str:
    """Read the text of a table.

    Raises
    ------
    FormatError
        If it is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            "the table is not UTF-8",
            file=path,
            expected="text in UTF-8",
            found=f"the byte {error.object[error.start]:#04x} at {error.start}",
            action="unpack it if it is compressed, or fetch it again",
        ) from error


def table_rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV table, all of one length; empty ones are none.

    Raises
    ------
    FormatError
        If a row is shorter or longer than the first.
    """
    read = csv.reader(StringIO(text_of(path), newline=""))
    rows = [row for row in read if any(map(str.strip, row))]
    for place, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise FormatError(
                "a row of the table has another number of cells",
                file=path,
                expected=f"{len(rows[0])}, as in its first row",
                found=f"{len(row)} in row {place}: {','.join(row)[:60]}",
                action="fetch the table again, or mend that row",
            )
    return rows


def number(text: str, file: Path) -> float:
    """Read a cell; an empty one is not known.

    Raises
    ------
    FormatError
        If it is no number.
    """
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError as error:
        raise FormatError(
            "a cell of the table is no number",
            file=file,
            expected="a number, or nothing",
            found=text,
            action="mend the table, or fetch it again",
        ) from error


def parameter(text: str, file: Path) -> float:
    """Read a parameter of a model, which has to be there.

    Raises
    ------
    FormatError
        If it is no number, or not finite.
    """
    value = number(text, file)
    if not np.isfinite(value):
        raise FormatError(
            "a model of the table lacks a parameter",
            file=file,
            expected="a density, a field and a velocity of each model",
            found=text.strip() or "an empty cell",
            action="mend the table, or fetch it again",
        )
    return value
