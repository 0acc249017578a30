"""How are the rows of an ECSV table, which are few, given to the comparison?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.table import Column, MaskedColumn
from astropy.table import Table as AstropyTable
from astropy.table.serialize import represent_mixins_as_columns

from ard.table import read_ecsv
from release.diff.arrays import Array
from release.diff.documents import value_changes
from release.diff.model import Bounds, ColumnSide, TableChange
from release.diff.tables import dtype_name, table_change


def ecsv_change(before: Path, after: Path, bounds: Bounds) -> TableChange | None:
    """Compare two ECSV files; None if they hold the same but for what made them."""
    old, new = read_ecsv(before), read_ecsv(after)
    said = value_changes(old.meta, new.meta)
    return table_change(_EcsvRows(old.data), _EcsvRows(new.data), bounds, said)


class _EcsvRows:
    """A table in memory."""

    def __init__(self, table: AstropyTable) -> None:
        # Times and coordinates are taken apart into the plain columns that the file holds.
        self._table = represent_mixins_as_columns(table) if table.has_mixin_columns else table

    @property
    def columns(self) -> Mapping[str, ColumnSide]:
        return {
            name: ColumnSide(dtype_name(self._table[name]), str(self._table[name].unit or ""))
            for name in self._table.colnames
        }

    @property
    def row_bytes(self) -> int:
        return int(self._table.dtype.itemsize)

    def __len__(self) -> int:
        return len(self._table)

    def take(self, rows: Array) -> Mapping[str, Array]:
        taken = self._table[rows]
        return {name: _array(taken[name]) for name in taken.colnames}


def _array(column: Column) -> Array:
    masked = isinstance(column, MaskedColumn)
    array: Array = np.ma.asarray(column) if masked else np.asarray(column)
    return array
