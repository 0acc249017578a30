"""What is in a bundle, and how do I read it?

A bundle is a flat folder whose manifest says of each file which layer and product it is; here it
looks like what it is: four layers of named products, each read when it is asked for, and one that
was opened by its DOI is fetched then, too. numpy and astropy are enough.
"""

import builtins
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ard import layout
from ard.archive import archive_members, read_member
from ard.errors import FormatError, NotFoundError
from ard.integrity import Level
from ard.manifest import Entry, Manifest
from ard.provenance import Provenance
from ard.source import Source
from ard.sums import Finding, quote

if TYPE_CHECKING:
    from ard.cube import Cube
    from ard.likelihood.noise import Noise
    from ard.maps import Map
    from ard.table import Table

_SIMULATED: Final = "SIMULATED DATA: made by the study's simulator, not observed"
_TOY_GRID: Final = "TOY GRID: rests on a coarse stand-in for the shock models"
_KILO: Final = 1000


@dataclass(frozen=True)
class BundleFile:
    """Give one file of a bundle: what it is, where it is, and its content on demand.

    Attributes
    ----------
    entry : Entry
        What the manifest says: kind, media type, schema, size, digests, provenance.
    source : Source
        Where the file comes from: a folder, or an archive.
    """

    entry: Entry
    source: Source

    @property
    def path(self) -> Path:
        """The file, for tools that open files themselves (jdaviz, DS9); fetched if need be.

        Raises
        ------
        IntegrityError
            If it is not the regular file that the bundle lists.
        RemoteError, NotFoundError
            If it has to be fetched, and cannot.
        """
        return self.source.path(self.entry)

    @property
    def is_here(self) -> bool:
        """True if asking for the file fetches nothing."""
        return self.source.has(self.entry)

    @property
    def name(self) -> str:
        """Full name, ``layer/product``; the file name for a file about the whole bundle."""
        entry = self.entry
        return entry.name if entry.layer is None else f"{entry.layer}/{entry.product}"

    @property
    def kind(self) -> str:
        """Kind of the content: cube, map, table, chains, document, figure, archive, text, page."""
        return self.entry.kind

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.entry.size

    @property
    def provenance(self) -> Provenance | None:
        """What made it, as the manifest says."""
        return self.entry.provenance

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the files inside, for an archive; empty for anything else."""
        return archive_members(self.path) if self.kind == "archive" else ()

    def member(self, name: str) -> bytes:
        """Read one file inside of an archive, held against the archive's own list.

        Raises
        ------
        FormatError
            If this is no archive.
        NotFoundError
            If it has no such member.
        """
        if self.kind != "archive":
            raise FormatError(
                "this product has no members",
                file=self.entry.name,
                expected="an archive",
                found=f"a {self.kind}",
                action="use load()",
            )
        return read_member(self.path, name)

    def read_bytes(self) -> bytes:
        """Read the file as it is."""
        return self.path.read_bytes()

    def load(self) -> Any:
        """Read the content.

        Returns
        -------
        Cube, Map, Table, dict, str or bytes
            By kind. A document gives a dict, a text a str, a figure its bytes, an archive a
            dict from member name to bytes.
        """
        if self.kind == "archive":
            return {name: self.member(name) for name in self.members}
        if self.kind == "text":
            return self._text()
        from ard.io import read

        return read(self.path)

    def _text(self) -> str:
        try:
            return self.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise FormatError(
                "the text cannot be read",
                file=self.path,
                expected="UTF-8",
                found=str(error),
                action="verify the bundle in full; read_bytes() gives the bytes",
            ) from error

    def __repr__(self) -> str:
        return f"<BundleFile {self.name}: {self.kind}, {human_size(self.size)}>"


class Bundle(Mapping[str, BundleFile]):
    """Look at a bundle as layers of products; made by `ard.open`.

    ``bundle["likelihood/ngc7469_cube"]`` is a product, ``bundle.load(...)`` its content; the
    bare name (``"ngc7469_cube"``) does where no other layer uses it. Iteration runs over the
    full names, layer by layer.

    Attributes
    ----------
    source : Source
        Where its files come from.
    manifest : Manifest
        What it says about itself.
    layers : mapping of str to mapping of str to BundleFile
        Each present layer with its products.
    documents : mapping of str to BundleFile
        README, dataset card, data dictionary, check report and so on, by file name.
    """

    def __init__(self, source: Source, manifest: Manifest) -> None:
        self.source = source
        self.manifest = manifest
        files = [BundleFile(entry, source) for entry in manifest.entries]
        self.layers: Mapping[str, Mapping[str, BundleFile]] = MappingProxyType(
            {
                layer: _by_product([file for file in files if file.entry.layer == layer])
                for layer in layout.LAYERS
                if layer not in manifest.absent_layers
            }
        )
        self.documents: Mapping[str, BundleFile] = MappingProxyType(
            {file.name: file for file in files if file.entry.layer is None}
        )
        self._files = {
            file.name: file for products in self.layers.values() for file in products.values()
        }

    @property
    def folder(self) -> Path:
        """Where the bundle is; of one that was opened by DOI, as much as has been fetched."""
        return self.source.folder

    @property
    def version(self) -> str:
        """Version of the data."""
        return self.manifest.version

    @property
    def doi(self) -> str | None:
        """DOI of this version; None where none was reserved for it."""
        return self.manifest.doi

    @property
    def concept_doi(self) -> str | None:
        """DOI of the dataset in all its versions; it leads to the latest."""
        return self.manifest.concept_doi

    @property
    def simulated(self) -> bool:
        """True if the data are a simulation."""
        return self.manifest.simulated

    @property
    def absent_layers(self) -> Mapping[str, str]:
        """Layers that have no product, with the reason."""
        return self.manifest.absent_layers

    def __getitem__(self, name: str) -> BundleFile:
        if name in self._files:
            return self._files[name]
        found = [file for file in self._files.values() if name in _aliases(file)]
        if len(found) == 1:
            return found[0]
        raise self._unknown(name, [file.name for file in found])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def get(self, name: str, default: Any = None) -> Any:
        """Give a product by name, or the default where there is none."""
        try:
            return self[name]
        except NotFoundError:
            return default

    def load(self, name: str) -> Any:
        """Read a product; see `BundleFile.load` for what comes back."""
        return self[name].load()

    def cube(self, name: str | None = None) -> "Cube":
        """Read a cube.

        Parameters
        ----------
        name : str, optional
            Name of the product or of the item it is about (``ngc7469``), which means its observed
            cube where there is another; not needed where the bundle has one item only.

        Raises
        ------
        NotFoundError
            If no cube has this name, or several have.
        """
        from ard.cube import Cube

        product = self._of_kind("cube", name).load()
        return _checked(product, Cube, name)

    def map(self, name: str | None = None) -> "Map":
        """Read a set of maps, named as in `cube`."""
        from ard.maps import Map

        return _checked(self._of_kind("map", name).load(), Map, name)

    def noise(self, name: str | None = None) -> "Noise":
        """Read the noise of a cube, named as in `cube`: what `ard.likelihood` asks for."""
        from ard.likelihood.noise import Noise

        return _checked(self._of_kind("noise", name).load(), Noise, name)

    def table(self, name: str | None = None) -> "Table":
        """Read a table, named as in `cube`."""
        from ard.table import Table

        return _checked(self._of_kind("table", name).load(), Table, name)

    def verify(self, level: Level = "full", *, digest: str | None = None) -> tuple[Finding, ...]:
        """Report every way in which the bundle differs from the one that was written.

        Of one that was opened by DOI, ``full`` fetches every file, and ``fast`` none.
        """
        return self.source.verify(level, digest=digest)

    def file(self, name: str) -> BundleFile:
        """Find a file by any of its names: product, document, or a kind that only it has.

        Raises
        ------
        NotFoundError
            If no file has this name, or several have.
        """
        if name in self.documents:
            return self.documents[name]
        try:
            return self[name]
        except NotFoundError:
            kin = [file for file in self._files.values() if file.kind == name]
            if len(kin) == 1:
                return kin[0]
            if kin:
                raise self._unknown(name, [file.name for file in kin]) from None
            raise

    def download(self, names: Iterable[str] | None = None) -> tuple[Path, ...]:
        """Fetch files of a bundle that was opened by DOI, and say where they are.

        Parameters
        ----------
        names : iterable of str, optional
            As for `file`; without them, everything.
        """
        everything = [*self.documents.values(), *self._files.values()]
        wanted = everything if names is None else [self.file(name) for name in names]
        return tuple(file.path for file in wanted)

    def _of_kind(self, kind: str, name: str | None) -> BundleFile:
        files = [file for file in self._files.values() if file.kind == kind]
        exact = [file for file in files if name == file.name or name in _aliases(file)]
        parts = [layout.product_parts(str(file.entry.product)) for file in files]
        mine = [
            (file, product.partition("-")[0])
            for file, (item, product) in zip(files, parts, strict=True)
            if name is None or item == name
        ]
        main = [file for file, product in mine if product == layout.MAIN_OF.get(kind)]
        files = exact or main or [file for file, _ in mine]
        if len(files) == 1:
            return files[0]
        raise self._unknown(name or f"the {kind}", [file.name for file in files])

    def _unknown(self, name: str, several: list[str]) -> NotFoundError:
        if several:
            return NotFoundError(
                f"the name {name!r} means several products of this bundle",
                file=self.source.place,
                expected="one of " + ", ".join(several),
                found=name,
                action="use the full name",
            )
        for archive, member in self._packed(name):
            return NotFoundError(
                f"the product {name!r} has no file of its own in this bundle",
                file=self.source.place,
                expected=f"the member {member} of {archive.entry.name}",
                found=name,
                action=f"read it with bundle[{archive.name!r}].member({member!r})",
            )
        return NotFoundError(
            f"the bundle has no product {name!r}",
            file=self.source.place,
            expected=self._near(name),
            found=name,
            action="print the bundle for its list of products",
        )

    def _packed(self, name: str) -> Iterator[tuple[BundleFile, str]]:
        """Find a small product in the zip that it shares with others of its layer."""
        for file in self._files.values():
            if layout.is_packed(str(file.entry.product)):
                for part in file.entry.parts:
                    stem = part.name.partition(".")[0]
                    if name in (stem, f"{file.entry.layer}/{stem}"):
                        yield file, part.name

    def _near(self, name: str) -> str:
        layer, _, _ = name.partition("/")
        if layer in self.absent_layers:
            return f"nothing in {layer}: {self.absent_layers[layer]}"
        aliases = {alias: file.name for file in self._files.values() for alias in _aliases(file)}
        candidates = {**aliases, **{full: full for full in self._files}}
        near = difflib.get_close_matches(name, candidates, cutoff=0.5)
        near_names = list(dict.fromkeys(candidates[alias] for alias in near))
        return "perhaps " + ", ".join(near_names) if near else "one of " + ", ".join(self._files)

    def __repr__(self) -> str:
        manifest = self.manifest
        target = manifest.target.get("name", "unknown target")
        total = sum(entry.size for entry in manifest.entries)
        rows = [
            f"<Bundle {self.source.name}: {_shown(target)}, version {_shown(manifest.version)}, "
            f"{len(self)} products, {human_size(total)}>"
        ]
        rows += [f"  {_SIMULATED}"] if manifest.simulated else []
        rows += [f"  {_TOY_GRID}"] if manifest.toy_grid else []
        width = max((len(name) for name in self._files), default=0)
        for layer in layout.LAYERS:
            if layer in self.absent_layers:
                rows.append(f"  {layer}: absent, {self.absent_layers[layer]}")
            for file in self.layers.get(layer, {}).values():
                rows.append(f"  {file.name:<{width}}  {file.kind:<8}  {human_size(file.size):>9}")
        return "\n".join(rows)


def human_size(size: int) -> str:
    """Write a number of bytes for people, in decimal units."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < _KILO:
            break
        value, unit = value / _KILO, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _shown(value: object) -> str:
    """Show an untrusted text without what could drive a terminal."""
    return quote(str(value)).strip("'")


def _by_product(files: list[BundleFile]) -> Mapping[str, BundleFile]:
    named = {str(file.entry.product): file for file in files}
    return MappingProxyType({name: named[name] for name in sorted(named)})


def _aliases(file: BundleFile) -> tuple[str, str]:
    return (str(file.entry.product), file.entry.name)


def _checked[T](product: object, kind: builtins.type[T], name: str | None) -> T:
    if not isinstance(product, kind):
        raise FormatError(
            "the file does not hold the kind of product that the manifest says",
            file=name,
            expected=kind.__name__,
            found=type(product).__name__,
            action="verify the bundle in full",
        )
    return product
