"""What is a table product, and how is one kept as ECSV with its units and its provenance?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from astropy.table import Table as AstropyTable

from ard.errors import FormatError
from ard.provenance import Provenance

_PROVENANCE: Final = "provenance"


@dataclass(frozen=True, eq=False)
class Table:
    """Which rows were measured, in which units, and where do they come from?

    Attributes
    ----------
    data : astropy.table.Table
        The columns with their units and descriptions.
    meta : mapping
        Plain values that belong to the table as a whole.
    provenance : Provenance or None
        What made this table.
    """

    data: AstropyTable
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    @property
    def simulated(self) -> bool:
        """True if the table says that its data are simulated."""
        marked = bool(self.meta.get("SIMULATD", False))
        return marked or (self.provenance is not None and self.provenance.simulated)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Table {len(self.data)} rows: {', '.join(self.data.colnames)}>"


def ecsv_bytes(product: Table) -> bytes:
    """Give the ECSV text of a table (ASCII, Unix line ends)."""
    plain = product.data.copy()
    plain.meta = dict(product.meta)
    if product.provenance is not None:
        plain.meta[_PROVENANCE] = product.provenance.to_dict()
    text = StringIO()
    plain.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def read_ecsv(path: Path) -> Table:
    """Read an ECSV file.

    Raises
    ------
    FormatError
        If the file is not ECSV.
    """
    try:
        data = AstropyTable.read(path, format="ascii.ecsv")
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
    return Table(data, meta, None if record is None else Provenance.from_dict(record))
