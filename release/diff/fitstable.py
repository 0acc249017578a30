"""How are the rows of a FITS table read a few at a time?

astropy reads a table as a whole. Here the stored bytes of the wanted rows, with the header they
belong to, are handed to it as a small table of their own, so that scaling, truth values and texts
are its business and memory is not.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.fitsio import BLOCK
from release.diff.arrays import Array
from release.diff.model import ColumnSide
from release.diff.tables import dtype_name

# What would say something about bytes that are not there.
_LEFT_OUT: Final = ("CHECKSUM", "DATASUM", "THEAP")


class FitsRows:
    """The rows of a table in a file.

    Columns of arrays with lengths of their own keep their values behind the last row; where there
    are such columns, these values are in memory as a whole.

    Parameters
    ----------
    path : Path
        The file.
    hdu : astropy.io.fits.BinTableHDU or TableHDU
        Gives header and kind; its data are not touched.
    data_start : int
        Where the first row begins in the file.
    """

    def __init__(self, path: Path, hdu: Any, data_start: int) -> None:
        self._kind = type(hdu)
        self._header = hdu.header.copy()
        for keyword in _LEFT_OUT:
            self._header.remove(keyword, ignore_missing=True)
        self.row_bytes = int(hdu.header["NAXIS1"])
        self._n_rows = int(hdu.header["NAXIS2"])
        rows_bytes = self.row_bytes * self._n_rows
        self._stored = _mapped(path, data_start, rows_bytes).reshape(self._n_rows, self.row_bytes)
        heap = int(hdu.header.get("THEAP", rows_bytes))
        heap_bytes = max(0, rows_bytes + int(hdu.header["PCOUNT"]) - heap)
        self._heap = _mapped(path, data_start + heap, heap_bytes)

    def __len__(self) -> int:
        return self._n_rows

    @cached_property
    def columns(self) -> Mapping[str, ColumnSide]:
        """Each column's type and unit."""
        table = self._table(np.arange(min(1, self._n_rows)))
        return {
            column.name: ColumnSide(dtype_name(table.data.field(number)), str(column.unit or ""))
            for number, column in enumerate(table.columns)
        }

    def take(self, rows: Array) -> Mapping[str, Array]:
        """Read some rows: every column."""
        data = self._table(rows).data
        return {name: _plain(data.field(n)) for n, name in enumerate(data.columns.names)}

    def _table(self, rows: Array) -> Any:
        header = self._header
        header["NAXIS2"], header["PCOUNT"] = len(rows), len(self._heap)
        stored = self._stored[rows].tobytes() + self._heap.tobytes()
        stored += bytes(-len(stored) % BLOCK)
        text = header.tostring().encode("ascii")
        return self._kind.fromstring(text + stored, uint=True)


def _mapped(path: Path, start: int, size: int) -> Array:
    """Lend bytes of a file; they are read when they are looked at."""
    if size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=(size,))


def _plain(column: Array) -> Array:
    array = np.asarray(column)
    # In FITS, trailing blanks of a text say nothing.
    return np.char.rstrip(array) if array.dtype.kind in "US" else array
