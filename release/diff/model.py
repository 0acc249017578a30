"""What can differ between two versions of a bundle, and what is known about each difference?

Everything has a `before` and an `after`, or is counted as added and removed. The difference of the
same bundles the other way round has the two exchanged; only the outcomes of checks, which say
whether something became worse, have a direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal

SCHEMA: Final = "bundle-diff"

State = Literal["added", "removed", "changed", "renamed"]
Outcome = Literal["regressed", "waived", "mended", "new", "gone", "dropped", "changed"]
# In the order in which they are shown: the worst first.
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "regressed",
    "waived",
    "dropped",
    "gone",
    "mended",
    "new",
    "changed",
)
PASSED: Final = "PASSED"


@dataclass(frozen=True)
class Bounds:
    """Say how much is listed, and how much is held in memory.

    Attributes
    ----------
    listed : int
        Cards, cells, paths and rows that are listed for one file or HDU; all are counted.
    block_bytes : int
        Bytes of pixels or rows that are read at once from each of the two files.
    """

    listed: int = 20
    block_bytes: int = 1 << 24


BOUNDS: Final = Bounds()


@dataclass(frozen=True)
class Listing[T]:
    """Hold the first few of many things, and how many there are in all."""

    total: int = 0
    rows: tuple[T, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[T], bounds: Bounds) -> "Listing[T]":
        """List as many as the bounds allow."""
        return cls(len(rows), tuple(rows[: bounds.listed]))

    def __bool__(self) -> bool:
        return self.total > 0


@dataclass(frozen=True)
class ValueChange:
    """Say how one value of a document changed; `before` or `after` is None where it was not."""

    path: str
    state: State
    before: Any
    after: Any


@dataclass(frozen=True)
class Spread:
    """Say by how much numbers differ.

    Attributes
    ----------
    compared, differing : int
        Numbers that were compared, and those that differ. NaN equals NaN.
    max_abs : float or None
        Largest difference, in the unit of the data, where both numbers are finite; None where no
        such two differ.
    max_rel : float or None
        Largest difference relative to the larger of the two.
    nan_added, nan_removed : int
        Numbers that are NaN in the new file only, and in the old only.
    """

    compared: int
    differing: int
    max_abs: float | None
    max_rel: float | None
    nan_added: int
    nan_removed: int


@dataclass(frozen=True)
class Card:
    """Hold value and comment of a header card."""

    value: Any
    comment: str


@dataclass(frozen=True)
class CardChange:
    """Say how one card of a header changed."""

    keyword: str
    state: State
    before: Card | None
    after: Card | None


@dataclass(frozen=True)
class ImageSide:
    """Say what an image is: axes in numpy's order, type of the values, unit."""

    shape: tuple[int, ...]
    dtype: str
    unit: str


@dataclass(frozen=True)
class ImageChange:
    """Say how the pixels of an image changed; `spread` is None where the shapes differ."""

    before: ImageSide
    after: ImageSide
    spread: Spread | None


@dataclass(frozen=True)
class ColumnSide:
    """Say what a column is: type of the values, unit."""

    dtype: str
    unit: str


@dataclass(frozen=True)
class ColumnChange:
    """Say how a column changed.

    Attributes
    ----------
    cells : int
        Cells that differ in rows that both tables have.
    spread : Spread or None
        By how much, for numbers.
    """

    name: str
    state: State
    before: ColumnSide | None
    after: ColumnSide | None
    cells: int = 0
    spread: Spread | None = None


@dataclass(frozen=True)
class CellChange:
    """Say how one cell changed; `row` is its key, or its number from 0."""

    row: str | int
    column: str
    before: Any
    after: Any


@dataclass(frozen=True)
class TableChange:
    """Say how a table changed.

    Attributes
    ----------
    key : str or None
        Column by which the rows were matched; None where they were matched by position.
    before, after : int
        Number of rows.
    rows_added, rows_removed : Listing
        Rows that only one table has, by key or number.
    rows_changed : int
        Rows of both in which a cell differs.
    reordered : bool
        Whether the rows that both have stand in another order.
    columns : tuple of ColumnChange
        Columns that differ in anything.
    cells : Listing of CellChange
    values : Listing of ValueChange
        What is said about the table as a whole.
    """

    key: str | None
    before: int
    after: int
    rows_added: Listing[str | int]
    rows_removed: Listing[str | int]
    rows_changed: int
    reordered: bool
    columns: tuple[ColumnChange, ...]
    cells: Listing[CellChange]
    values: Listing[ValueChange] = Listing()

    def __bool__(self) -> bool:
        rows = self.rows_added or self.rows_removed or self.reordered
        return bool(rows or self.columns or self.values)


@dataclass(frozen=True)
class HduSide:
    """Say what an HDU is (image, table, empty or other), and its size in bytes."""

    kind: str
    size: int


@dataclass(frozen=True)
class HduChange:
    """Say how one HDU changed; if cards and data are the same, other bytes hold them.

    Attributes
    ----------
    name : str
        As in `ard.parts.Part`.
    cards : Listing of CardChange
        CHECKSUM and DATASUM are left out.
    reordered : bool
        Whether the same cards stand in another order.
    image, table : optional
        How the data differ.
    """

    name: str
    state: State
    before: HduSide | None
    after: HduSide | None
    cards: Listing[CardChange] = Listing()
    reordered: bool = False
    image: ImageChange | None = None
    table: TableChange | None = None


@dataclass(frozen=True)
class MemberSide:
    """Say which bytes a member of an archive has."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class MemberChange:
    """Say how one member of an archive changed."""

    state: State
    before: MemberSide | None
    after: MemberSide | None


@dataclass(frozen=True)
class FileSide:
    """Say which file it is in one of the bundles.

    Attributes
    ----------
    name : str
        ``layer/product``, or the file name where it is about the bundle as a whole.
    file : str
        File name.
    """

    name: str
    file: str
    layer: str | None
    kind: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileChange:
    """Say how one file changed; `renamed` means the same bytes under another name.

    A product may have moved into an archive that it shares with others, or out of it: then `file`
    is ``archive.zip!member`` on that side, and what differs inside is not looked at.

    Attributes
    ----------
    before, after : FileSide or None
    provenance : Listing of ValueChange
        What made it, where that differs.
    hdus, table, values, members
        What differs inside, for FITS, ECSV, JSON and archives.
    """

    state: State
    before: FileSide | None
    after: FileSide | None
    provenance: Listing[ValueChange] = Listing()
    hdus: tuple[HduChange, ...] = ()
    table: TableChange | None = None
    values: Listing[ValueChange] = Listing()
    members: Listing[MemberChange] = Listing()

    @property
    def side(self) -> FileSide:
        """The file as it is now; as it was, where it is no more."""
        side = self.after or self.before
        if side is None:
            raise ValueError("a change of a file has a side before or after")
        return side


@dataclass(frozen=True)
class Verdict:
    """Hold what a check said: how it ended, what was measured against which limit, the waiver."""

    status: str
    measured: float | int | str | bool | None
    limit: str | None
    unit: str
    waived: Mapping[str, Any] | None

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.status == PASSED


@dataclass(frozen=True)
class CheckChange:
    """Say how the result of one check on one product changed.

    Attributes
    ----------
    outcome : str
        regressed: good before, not good or not made now. waived: not passed, but set aside.
        mended: passes now. new: not made before. gone: its product is gone. dropped: no longer
        made, and was not passed before. changed: another number, limit or waiver.
    before, after : Verdict or None
    waiver : mapping or None
        The waiver that counts for a check that is no longer made.
    """

    check: str
    product: str
    outcome: Outcome
    before: Verdict | None
    after: Verdict | None
    waiver: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Version:
    """Say which bundle it is."""

    version: str
    date: str | None
    doi: str | None


@dataclass(frozen=True)
class Difference:
    """Hold everything in which two versions of a bundle differ.

    Attributes
    ----------
    old, new : Version
    about : Listing of ValueChange
        What the manifests say about the whole bundle: code version, target, marks.
    files : tuple of FileChange
        By name; files with the same name and bytes are left out.
    same_files : int
        Number of files that were left out.
    checks : tuple of CheckChange
        The worst first; results that say the same are left out.
    """

    old: Version
    new: Version
    about: Listing[ValueChange]
    files: tuple[FileChange, ...]
    same_files: int
    checks: tuple[CheckChange, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing differs but version, date and DOI."""
        return not (self.about or self.files or self.checks)

    @property
    def regressions(self) -> tuple[CheckChange, ...]:
        """The checks that were good and are so no longer."""
        return tuple(row for row in self.checks if row.outcome == "regressed")

    @property
    def products(self) -> tuple[FileChange, ...]:
        """The files of layers."""
        return tuple(row for row in self.files if row.side.layer is not None)

    @property
    def documents(self) -> tuple[FileChange, ...]:
        """The files about the bundle as a whole."""
        return tuple(row for row in self.files if row.side.layer is None)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form, of the schema bundle-diff."""
        document: dict[str, Any] = _plain(self)
        counts = {"regressions": len(self.regressions), "empty": self.empty}
        return {"schema": SCHEMA, **document, **counts}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(row) for key, row in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(row) for row in value]
    return value
