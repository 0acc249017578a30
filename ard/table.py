"""What is a table product, and how is one kept as ECSV with its units and its provenance?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Column, MaskedColumn
from astropy.table import Table as AstropyTable

from ard.errors import FormatError
from ard.provenance import Provenance

_PROVENANCE: Final = "provenance"
_TEXT_KINDS: Final = "US"


@dataclass(frozen=True, eq=False)
class Table:
    """Which rows were measured, in which units, and where do they come from?

    Attributes
    ----------
    data : astropy.table.Table
        The columns with their units and descriptions.
    meta : mapping
        Plain values that belong to the table as a whole; what `data.meta` says is among them.
    provenance : Provenance or None
        What made this table.

    Raises
    ------
    FormatError
        If `meta` and `data.meta` contradict one another, or have a value named provenance.
    """

    data: AstropyTable
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "meta", _joined(self.data.meta, self.meta))

    @property
    def simulated(self) -> bool:
        """True if the table says that its data are simulated."""
        marked = bool(self.meta.get("SIMULATD", False))
        return marked or (self.provenance is not None and self.provenance.simulated)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Table {len(self.data)} rows: {', '.join(self.data.colnames)}>"


def _joined(inner: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Put what an astropy table says of itself, and what its product says, into one mapping."""
    for name in inner:
        if name in meta and not bool(np.all(inner[name] == meta[name])):
            raise FormatError(
                f"two values of {name} are given for one table",
                expected=f"one, or the same in data.meta and meta: {inner[name]!r}",
                found=repr(meta[name]),
                action="take one of them away",
            )
    joined = {**inner, **meta}
    if _PROVENANCE in joined:
        raise FormatError(
            f"a value of a table cannot be named {_PROVENANCE}",
            expected="another name: the file keeps the record of what made it under this one",
            found=repr(joined[_PROVENANCE]),
            action="give the record as Table(..., provenance=...), or choose another name",
        )
    return joined


def ecsv_bytes(product: Table) -> bytes:
    """Give the ECSV text of a table (ASCII, Unix line ends).

    A text that is empty is marked as one that is there, so that astropy does not mask it.

    Raises
    ------
    FormatError
        If `data.meta` was changed, and now contradicts `meta`.
    """
    plain = product.data.copy()
    plain.meta = _joined(product.data.meta, product.meta)
    if product.provenance is not None:
        plain.meta[_PROVENANCE] = product.provenance.to_dict()
    for name in plain.colnames:
        if _is_text(plain[name]):
            _keep_empty(plain, name)
    text = StringIO()
    plain.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _is_text(column: Any) -> bool:
    return isinstance(column, Column) and column.dtype.kind in _TEXT_KINDS and column.ndim == 1


def _keep_empty(table: AstropyTable, name: str) -> None:
    """Have a column of texts written so that what is empty and what is masked stay apart.

    ECSV knows one sign for both, and readers take it for a value that is missing. Columns that
    astropy writes by "data_mask" say themselves what is masked.
    """
    column, blank = table[name], table[name].dtype.type()
    mask = _hidden(column)
    values = np.ma.filled(np.ma.asarray(column), blank)  # what a mask hides is not written
    if not np.any(values == blank):
        return
    table.replace_column(name, MaskedColumn(column, mask=mask))
    table[name][mask] = blank
    table[name].mask = mask
    table[name].info.serialize_method["ecsv"] = "data_mask"


def read_ecsv(path: Path) -> Table:
    """Read an ECSV file.

    Texts that are empty in the file are empty texts, and masked only where the file has a mask of
    its own for them.

    Raises
    ------
    FormatError
        If the file is not ECSV.
    """
    try:
        data = AstropyTable.read(path, format="ascii.ecsv")
        blank = [n for n in data.colnames if _is_text(data[n]) and np.any(_hidden(data[n]))]
        if blank:  # of other writers
            data = AstropyTable.read(path, format="ascii.ecsv", fill_exclude_names=blank)
    except (ValueError, OSError, TypeError) as error:
        raise FormatError(
            "the file is not an ECSV table",
            file=path,
            expected="a text that begins with '# %ECSV'",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            action="make or fetch the file again",
        ) from error
    meta = dict(data.meta)
    record = meta.pop(_PROVENANCE, None)
    data.meta = {}
    for name in data.colnames:
        column = data[name]
        if isinstance(column, MaskedColumn) and _is_text(column) and not np.any(_hidden(column)):
            data.replace_column(name, Column(column))
    return Table(data, meta, None if record is None else Provenance.from_dict(record))


def _hidden(column: Column) -> Any:
    return np.ma.getmaskarray(np.ma.asarray(column))
