"""Which files of the archive does a study start from, and what must each of them contain?

A selection names the programmes and, for each, disjoint groups of files with the number that the
archive has to list. It says nothing about single files: that is the lock (`manifests.lock`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final

from manifests._toml import Section, read_toml
from manifests.errors import ManifestError

SELECTIONS_DIR: Final = Path(__file__).parent / "selections"
DEFAULT_SELECTION: Final = "rbh1"
_BITPIX: Final = (8, 16, 32, 64, -32, -64)
_DEEPEST: Final = 999  # FITS 4.0: the largest NAXIS


@dataclass(frozen=True)
class Extension:
    """An extension that must be there: EXTNAME, NAXIS and BITPIX."""

    name: str
    naxis: int
    bitpix: int

    def __str__(self) -> str:
        return f"{self.name} (NAXIS {self.naxis}, BITPIX {self.bitpix})"


@dataclass(frozen=True)
class Programme:
    """An observing programme, as the archive knows it.

    Attributes
    ----------
    collection, program : str
        ``HST`` and ``17301``.
    file_service : str or None
        The archive's service with facts about single files (checksum, calibration version).
    source : str
        What the programme observed.
    """

    collection: str
    program: str
    file_service: str | None
    source: str


@dataclass(frozen=True)
class ProductGroup:
    """Files of one kind: how they are named, how many there are, what they contain.

    Attributes
    ----------
    name, title : str
        Short name, and what they are.
    collection, program : str
        The programme that they belong to.
    pattern : str
        Regular expression for the whole file name.
    count : int or None
        How many files the archive has to list; None: at least one, where nobody knows the number.
    typical_bytes : int
        Size to reckon with where the archive has not told it, bytes.
    extensions : tuple of Extension
        What must be there, in this order; others may stand among them.
    source : str
        Where the numbers come from.
    """

    name: str
    title: str
    collection: str
    program: str
    pattern: str
    count: int | None
    typical_bytes: int
    extensions: tuple[Extension, ...]
    source: str

    def holds(self, name: str) -> bool:
        """Say whether a file of this name belongs to the group."""
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True)
class Selection:
    """What a study takes from the archive.

    Attributes
    ----------
    name, title : str
        Short name, and what it is.
    target : str
        Name of the target whose position the exposures must show.
    programmes : tuple of Programme
    groups : tuple of ProductGroup
    file : path
        Where it is declared.
    """

    name: str
    title: str
    target: str
    programmes: tuple[Programme, ...]
    groups: tuple[ProductGroup, ...]
    file: Path

    def group(self, name: str) -> ProductGroup:
        """Give a group by its name.

        Raises
        ------
        ManifestError
            If there is none.
        """
        for group in self.groups:
            if group.name == name:
                return group
        raise ManifestError(
            "the selection has no such group",
            file=self.file,
            expected=", ".join(group.name for group in self.groups),
            found=name,
            action="name one of them",
        )

    def group_of(self, collection: str, program: str, name: str) -> ProductGroup | None:
        """Give the group that a file belongs to, or None where the study does not want it.

        Raises
        ------
        ManifestError
            If it fits two groups.
        """
        found = [
            group
            for group in self.groups
            if (group.collection, group.program) == (collection, program) and group.holds(name)
        ]
        if len(found) > 1:
            raise ManifestError(
                f"the file {name} belongs to two groups",
                file=self.file,
                expected="patterns that no name fits twice",
                found=" and ".join(group.name for group in found),
                action="make the patterns of these groups disjoint",
            )
        return found[0] if found else None

    def only(self, groups: Iterable[str]) -> "Selection":
        """Give the selection with these groups alone (all of them where none is named)."""
        names = tuple(groups)
        if not names:
            return self
        for name in names:
            self.group(name)
        kept = tuple(group for group in self.groups if group.name in names)
        wanted = {(group.collection, group.program) for group in kept}
        programmes = tuple(p for p in self.programmes if (p.collection, p.program) in wanted)
        return Selection(self.name, self.title, self.target, programmes, kept, self.file)


def load_selection(selection: str | PathLike[str] = DEFAULT_SELECTION) -> Selection:
    """Read a selection.

    Parameters
    ----------
    selection : str or path-like
        The name of one that comes with the study, or a TOML file.

    Raises
    ------
    ManifestError
        If it is missing or incomplete.
    """
    path = Path(selection)
    if path.suffix != ".toml":
        path = SELECTIONS_DIR / f"{selection}.toml"
    root = Section(read_toml(path), "", path)
    root.only("selection", "programs", "groups")
    head = root.table("selection")
    head.only("name", "title", "target")
    programmes = tuple(_programme(row) for row in root.tables("programs"))
    known = {(p.collection, p.program) for p in programmes}
    if not programmes or len(known) != len(programmes):
        raise root.error("every programme once", "[[programs]]", f"{len(programmes)} programmes")
    groups = tuple(_group(row, known) for row in root.tables("groups"))
    names = [group.name for group in groups]
    if not groups or len(set(names)) != len(names):
        raise root.error("every group once, and one at least", "[[groups]]", ", ".join(names))
    name, title, target = (head.text(key) for key in ("name", "title", "target"))
    return Selection(name, title, target, programmes, groups, path)


def _programme(row: Section) -> Programme:
    row.only("collection", "program", "file_service", "source")
    return Programme(
        row.text("collection"),
        row.text("program"),
        row.text_or_none("file_service"),
        row.text("source"),
    )


def _group(row: Section, programmes: set[tuple[str, str]]) -> ProductGroup:
    row.only(
        "name", "title", "collection", "program", "pattern", "count", "typical_bytes",
        "extensions", "source",
    )  # fmt: skip
    pattern = row.text("pattern")
    try:
        re.compile(pattern)
    except re.error as error:
        raise row.error("'pattern' is no regular expression", "a pattern", error) from error
    collection, program = row.text("collection"), row.text("program")
    if (collection, program) not in programmes:
        raise row.error("the programme is not declared", "one of [[programs]]", program)
    return ProductGroup(
        name=row.text("name"),
        title=row.text("title"),
        collection=collection,
        program=program,
        pattern=pattern,
        count=row.count("count") if "count" in row.data else None,
        typical_bytes=row.count("typical_bytes"),
        extensions=_extensions(row),
        source=row.text("source"),
    )


def _extensions(row: Section) -> tuple[Extension, ...]:
    found = row.data.get("extensions")
    if not isinstance(found, list) or not all(map(_is_extension, found)):
        raise row.error(
            "'extensions' must list what the file contains",
            '[["SCI", 2, -32], ...]: EXTNAME, NAXIS, BITPIX',
            repr(found),
        )
    return tuple(Extension(name, naxis, bitpix) for name, naxis, bitpix in found)


def _is_extension(value: object) -> bool:
    match value:
        case [str(), int(naxis), int(bitpix)]:
            return 0 <= naxis <= _DEEPEST and bitpix in _BITPIX
    return False
