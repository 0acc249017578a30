"""Which products lie in a folder, and what does the folder say about itself?

Looking never fails: what cannot be read is kept as a problem, for the checks to report.
"""

import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ard import layout
from ard.describe import describe
from ard.errors import ArdError
from ard.fileio import read_json, sha256_file

RUN: Final = "run"
BUNDLE: Final = "bundle"
UNKNOWN: Final = "unknown"
FOLDER_NAME: Final = "."


@dataclass(frozen=True)
class Product:
    """One file of a folder, or the folder as a whole.

    Attributes
    ----------
    path : Path
        Where it is.
    name : str
        Its name in reports: relative to the folder of products; ``.`` for the folder.
    layer : str or None
        The layer it belongs to; None for a file about the folder as a whole.
    folder : Folder
        The folder it lies in, for checks that compare products.
    """

    path: Path
    name: str
    layer: str | None
    folder: "Folder"

    @property
    def is_folder(self) -> bool:
        """Say whether this stands for the folder as a whole."""
        return self.name == FOLDER_NAME

    @cached_property
    def _description(self) -> tuple[dict[str, Any] | None, str]:
        if self.is_folder:
            return {"kind": "folder"}, ""
        try:
            return describe(self.path), ""
        except ArdError as error:
            return None, str(error)

    @property
    def facts(self) -> dict[str, Any] | None:
        """What `ard.describe` says about the file; None where it could not be read."""
        return self._description[0]

    @property
    def problem(self) -> str:
        """Why the file could not be read; empty where it could."""
        return self._description[1]

    @property
    def kind(self) -> str:
        """Kind of the content; ``unreadable`` where there is none, ``folder`` for the folder."""
        return "unreadable" if self.facts is None else str(self.facts["kind"])

    @property
    def format(self) -> str:
        """Format of the content, such as FITS; empty where it could not be read."""
        return "" if self.facts is None else str(self.facts.get("format", {}).get("name", ""))

    @property
    def stem(self) -> str:
        """File name without extension and without the prefix of the layer."""
        stem = self.path.name.partition(".")[0]
        if self.folder.kind == BUNDLE and self.layer is not None:
            return stem.removeprefix(f"{self.layer}_")
        return stem

    @property
    def item(self) -> str | None:
        """The item that the product is about; None for a product of the whole run."""
        head, joined, _ = self.stem.partition("_")
        return head if joined else None

    @property
    def product(self) -> str:
        """What the product is (``cube``, ``linemap``, ...), as its name says."""
        head, joined, tail = self.stem.partition("_")
        return (tail if joined else head).partition("-")[0]


@dataclass(frozen=True)
class Folder:
    """A run or bundle as it lies on disk.

    Attributes
    ----------
    root : Path
        The folder.
    kind : str
        run, bundle or unknown.
    document : dict or None
        The run document or manifest; None where it is missing or cannot be read.
    problem : str
        Why there is no document; empty where there is one.
    """

    root: Path
    kind: str
    document: dict[str, Any] | None
    problem: str

    @property
    def base(self) -> Path:
        """The folder in which the products' names begin."""
        return self.root / layout.PRODUCTS_DIR if self.kind == RUN else self.root

    @cached_property
    def files(self) -> tuple[Product, ...]:
        """Every file, sorted by name; products are those with a layer."""
        if self.kind == UNKNOWN:
            return ()
        names = sorted(
            PurePosixPath(Path(parent, name).relative_to(self.base).as_posix())
            for parent, _, names in os.walk(self.base)
            for name in names
        )
        return tuple(
            Product(self.base / name, str(name), self._layer(name), self) for name in names
        )

    @property
    def products(self) -> tuple[Product, ...]:
        """The files that belong to a layer."""
        return tuple(file for file in self.files if file.layer is not None)

    def siblings(self, item: str | None, product: str) -> tuple[Product, ...]:
        """Give the products of one item and name."""
        return tuple(p for p in self.products if p.item == item and p.product == product)

    @property
    def itself(self) -> Product:
        """The folder as a thing to check."""
        return Product(self.root, FOLDER_NAME, None, self)

    @property
    def items(self) -> tuple[str, ...]:
        """The items that the run declares, or those that the names of a bundle's cubes show."""
        declared = (self.document or {}).get("items")
        if isinstance(declared, list):
            return tuple(str(item) for item in declared)
        cubes = (p.item for p in self.products if p.product == layout.CUBE)
        return tuple(sorted({item for item in cubes if item is not None}))

    @property
    def target(self) -> dict[str, Any]:
        """What the document says about the target; empty where it says nothing."""
        target = (self.document or {}).get("target")
        return target if isinstance(target, dict) else {}

    def _layer(self, name: PurePosixPath) -> str | None:
        first = name.parts[0]
        if self.kind == BUNDLE:
            return next((layer for layer in layout.LAYERS if first.startswith(f"{layer}_")), None)
        # A file in a folder that is no layer counts as a product, so that it is found out.
        return first if len(name.parts) > 1 else None


def look(folder: str | os.PathLike[str]) -> Folder:
    """Find out what sort of folder this is and read what it says about itself.

    Parameters
    ----------
    folder : path-like
        A run folder, or a bundle in its deposit form.
    """
    root = Path(folder)
    if (root / layout.PRODUCTS_DIR).is_dir():
        kind, document = RUN, root / layout.PRODUCTS_DIR / layout.RUN_FILE
    elif (root / layout.MANIFEST_FILE).exists() or (root / layout.SUMS_FILE).exists():
        kind, document = BUNDLE, root / layout.MANIFEST_FILE
    else:
        return Folder(root, UNKNOWN, None, "it holds neither products/ nor manifest.json")
    try:
        return Folder(root, kind, read_json(document), "")
    except (ArdError, OSError) as error:
        return Folder(root, kind, None, str(error))


def digest(path: Path) -> str:
    """Give the sha256 of a file, computed once for as long as the file does not change."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@cache
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    return sha256_file(path)
