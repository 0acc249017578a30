"""Which products lie in a folder, and what does the folder say about itself?

In a run, the place of a file says what it is; in a bundle, its row in the manifest. Looking never
fails: what cannot be read is kept as a problem, for the checks to report.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ard import layout
from ard.archive import archive_members, read_member
from ard.describe import describe
from ard.errors import ArdError
from ard.fileio import read_json, sha256_file

RUN: Final = "run"
BUNDLE: Final = "bundle"
UNKNOWN: Final = "unknown"
FOLDER_NAME: Final = "."
# Between the name of an archive and that of a product inside.
INSIDE: Final = "!"


@dataclass(frozen=True)
class Product:
    """One file of a folder, or the folder as a whole.

    Attributes
    ----------
    path : Path
        Where it is.
    name : str
        Its name in reports: relative to the folder of products; ``.`` for the folder, and
        ``archive.zip!member`` for one that shares an archive with others.
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
    def in_archive(self) -> bool:
        """Say whether this is one of the products that share an archive of a bundle."""
        scratch = self.folder.scratch
        return scratch is not None and self.path.is_relative_to(scratch)

    @property
    def _told(self) -> str | None:
        """The name of the product in the manifest of its bundle."""
        told = self.folder.row(self).get("product") if self.folder.kind == BUNDLE else None
        return told if isinstance(told, str) else None

    @property
    def stem(self) -> str:
        """Its name without the layer and the extension: ``t001_linemap-halpha``."""
        return (self._told or self.path.name).partition(".")[0]

    @property
    def item(self) -> str | None:
        """The item that the product is about; None for a product of the whole run."""
        return layout.product_parts(self.stem)[0]

    @property
    def product(self) -> str:
        """What the product is (``cube``, ``linemap``, ...), as its name says."""
        return layout.product_parts(self.stem)[1].partition("-")[0]

    @property
    def of_figure(self) -> bool:
        """Whether it is a figure or the data behind one, whose name may be that of a product."""
        places = (*PurePosixPath(self.name).parts[1:-1], self.product)
        return self.layer == layout.LAYER_OF[layout.QUALITY] and layout.FIGURES_DIR in places

    @property
    def run_name(self) -> str:
        """The file name that it has in the run, by which provenance knows it."""
        return self.path.name if self._told is None else f"{self._told}{self.path.suffix}"

    @property
    def place(self) -> str:
        """Its name in reports on the run: where waivers look for it, also in a bundle."""
        bundled = self.folder.kind == BUNDLE and self.layer is not None
        return f"{self.layer}/{self.run_name}" if bundled else self.name

    @property
    def digests(self) -> frozenset[str]:
        """The sha256 under which provenance may name it: its own, and that of the run's file.

        Of a bundle's products only FITS files are not the run's very bytes: their header says more.
        """
        known = {digest(self.path)}
        source = self.folder.row(self).get("source_sha256")
        if isinstance(source, str) and self.path.suffix == layout.HLSP_SUFFIX:
            known.add(source)
        return frozenset(known)


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
    scratch : Path or None
        Where products that share an archive may be laid out, to be judged like any other; None
        leaves them in it, unjudged.
    """

    root: Path
    kind: str
    document: dict[str, Any] | None
    problem: str
    scratch: Path | None = None

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
        found = [Product(self.base / name, str(name), self._layer(name), self) for name in names]
        return (*found, *(member for file in found for member in self._inside(file)))

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What the run document or the manifest says about each file, by its name in reports."""
        rows = (self.document or {}).get("files" if self.kind == BUNDLE else "products")
        key = "name" if self.kind == BUNDLE else "path"
        listed = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return {str(row.get(key)): row for row in reversed(listed)}

    def row(self, product: Product) -> dict[str, Any]:
        """Give what the document says about a file; empty where it says nothing."""
        return self.rows.get(product.name, {})

    @property
    def products(self) -> tuple[Product, ...]:
        """The files that belong to a layer."""
        return tuple(file for file in self.files if file.layer is not None)

    def siblings(self, item: str | None, product: str) -> tuple[Product, ...]:
        """Give the products of one item and name."""
        mine = (p for p in self.products if p.item == item and p.product == product)
        return tuple(p for p in mine if not p.of_figure)

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
        if self.kind == BUNDLE:
            layer = self.rows.get(str(name), {}).get("layer")
            return layer if isinstance(layer, str) else None
        # A file in a folder that is no layer counts as a product, so that it is found out.
        return name.parts[0] if len(name.parts) > 1 else None

    def _inside(self, file: Product) -> Iterator[Product]:
        """Lay out the products that share an archive. What cannot be read is found elsewhere."""
        if self.scratch is None or self.kind != BUNDLE or not layout.is_packed(file.product):
            return
        place = self.scratch / file.path.stem
        try:
            names = archive_members(file.path)
            place.mkdir()
            for name in names:
                # One at a time: they are small, together they may not be.
                (place / name).write_bytes(read_member(file.path, name))
        except ArdError:
            return
        for name in names:
            yield Product(place / name, f"{file.name}{INSIDE}{name}", file.layer, self)


def look(folder: str | os.PathLike[str], scratch: Path | None = None) -> Folder:
    """Find out what sort of folder this is and read what it says about itself.

    Parameters
    ----------
    folder : path-like
        A run folder, or a bundle in its deposit form.
    scratch : Path, optional
        An empty folder, for products that share an archive.
    """
    root = Path(folder)
    if (root / layout.PRODUCTS_DIR).is_dir():
        kind, document = RUN, root / layout.PRODUCTS_DIR / layout.RUN_FILE
    elif (root / layout.MANIFEST_FILE).exists() or (root / layout.SUMS_FILE).exists():
        kind, document = BUNDLE, root / layout.MANIFEST_FILE
    else:
        return Folder(root, UNKNOWN, None, "it holds neither products/ nor manifest.json")
    try:
        return Folder(root, kind, read_json(document), "", scratch)
    except (ArdError, OSError) as error:
        return Folder(root, kind, None, str(error), scratch)


def digest(path: Path) -> str:
    """Give the sha256 of a file, computed once for as long as the file does not change."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@cache
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    return sha256_file(path)
