"""What is to be fetched of a published bundle, what does it cost, and where does it go?"""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ard import layout
from ard.bundle import Bundle, BundleFile
from ard.errors import ArdError
from ard.extract import extract, extract_path, find_part
from ard.parts import Part
from ard.remote.cache import save


@dataclass(frozen=True)
class Item:
    """Say what is to be written, and what has to be fetched for it.

    Attributes
    ----------
    name : str
        The file in the bundle; ``file!part`` for a part of it.
    file : BundleFile
        The file.
    part : Part or None
        The part; None for the whole file.
    out : Path
        Where it goes.
    """

    name: str
    file: BundleFile
    part: Part | None
    out: Path

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self.file.size if self.part is None else self.part.size

    @property
    def cost(self) -> int:
        """Bytes to be fetched; none if they are in the cache."""
        return 0 if self.file.source.has(self.file.entry, self.part) else self.size

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        return self.file.entry.sha256 if self.part is None else self.part.sha256


@dataclass(frozen=True)
class Order:
    """Hold what is to be fetched.

    Attributes
    ----------
    bundle : Bundle
        Of which bundle.
    items : tuple of Item
        The files and parts.
    folder : Path or None
        The folder that is going to be a copy of the bundle; None where only some files are wanted.
    """

    bundle: Bundle
    items: tuple[Item, ...]
    folder: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of everything."""
        return sum(item.size for item in self.items)

    @property
    def cost(self) -> int:
        """Bytes to be fetched."""
        return sum(item.cost for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "doi": self.bundle.doi,
            "version": self.bundle.version,
            "bytes": self.size,
            "bytes_to_fetch": self.cost,
            "files": [
                {
                    "name": item.name,
                    "path": str(item.out),
                    "bytes": item.size,
                    "bytes_to_fetch": item.cost,
                    "sha256": item.sha256,
                }
                for item in self.items
            ],
        }


@dataclass(frozen=True)
class Fetched:
    """Say what was written: the paths, and why more had to be fetched than was ordered."""

    paths: tuple[Path, ...]
    detours: tuple[str, ...]


def order_files(bundle: Bundle, names: tuple[str, ...], out: Path) -> Order:
    """Plan to fetch whole files.

    Raises
    ------
    NotFoundError
        If there is no file of such a name.
    ArdError
        If something is in the way.
    """
    # A file may have been given under several of its names.
    files = {file.entry.name: file for file in map(bundle.file, names)}
    items = tuple(Item(name, file, None, out / name) for name, file in files.items())
    for item in items:
        _require_free(item.out)
    return Order(bundle, items)


def order_part(bundle: Bundle, name: str, part_name: str, out: Path) -> Order:
    """Plan to fetch an HDU of a FITS file, or a member of a zip; errors as `order_files`."""
    file = bundle.file(name)
    part = find_part(file, part_name)
    path = extract_path(file, part, out)
    _require_free(path)
    return Order(bundle, (Item(f"{file.entry.name}!{part.name}", file, part, path),))


def order_all(bundle: Bundle, out: Path | None) -> Order:
    """Plan to fetch the whole bundle into a new folder, named after its DOI if not told."""
    folder = out or Path(bundle.source.name.rpartition("/")[2])
    _require_free(folder)
    files = [*bundle.documents.values(), *bundle.values()]
    items = (Item(file.entry.name, file, None, folder / file.entry.name) for file in files)
    return Order(bundle, tuple(items), folder)


def _require_free(path: Path) -> None:
    if path.exists():
        raise ArdError(
            "there is something in the way already",
            file=path,
            expected="a name that is free",
            found="a folder" if path.is_dir() else "a file",
            action="choose another place with --out, or remove it",
        )


def carry_out(order: Order) -> Fetched:
    """Fetch and write what was ordered.

    A whole bundle appears at once, when it is complete. What was fetched is kept in the cache, so
    that an interrupted order goes on where it stood.
    """
    if order.folder is not None:
        return _write_bundle(order, order.folder)
    detours = [_write(order.bundle, item) for item in order.items]
    return Fetched(tuple(item.out for item in order.items), tuple(filter(None, detours)))


def _write(bundle: Bundle, item: Item) -> str:
    if item.part is not None:
        return extract(bundle, item.file, item.part, item.out.parent).detour
    save(item.file.path, item.out)
    return ""


def _write_bundle(order: Order, folder: Path) -> Fetched:
    names = [item.file.path.name for item in order.items]
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        for name in (layout.MANIFEST_FILE, layout.SUMS_FILE, *names):
            save(order.bundle.folder / name, temporary / name)
        _require_free(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Fetched((folder,), ())
