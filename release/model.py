"""Of what does a release consist: the run it comes from, its files, and why it may be refused?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ard.errors import ArdError
from ard.parts import Part
from manifests.dataset import Dataset
from release.diff.model import Difference
from release.reservation import Reservation

MARK: Final = "[SIMULATED]"
# Between the name of an archive and that of a product inside.
INSIDE: Final = "!"


class RefusedError(ArdError):
    """The bundle was not built, because something that goes into it is not good enough.

    Parameters
    ----------
    problem : str
        One sentence.
    reasons : tuple of str
        Every reason, one sentence each.
    action : str, optional
        The next thing to do.
    """

    def __init__(self, problem: str, reasons: tuple[str, ...], action: str | None = None) -> None:
        self.reasons = reasons
        super().__init__(
            f"{problem} ({len(reasons)} reason{'s' if len(reasons) != 1 else ''})",
            found="".join(f"\n    {reason}" for reason in reasons),
            action=action,
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problem, self.reasons, self.action))


@dataclass(frozen=True)
class Limits:
    """What a deposit takes: files, bytes, bytes in one zip, and in a small product (decimal)."""

    files: int = 100
    size: int = 50_000_000_000
    archive: int = 2_000_000_000
    small: int = 16_000_000


DEPOSIT: Final = Limits()


@dataclass(frozen=True)
class PlannedFile:
    """Say which file of the bundle is made from what.

    Attributes
    ----------
    name : str
        File name in the bundle.
    layer, product : str or None
        Where `ard.open` shows it; None for files about the whole bundle.
    sources : mapping of str to Path
        The files it is made from. One for a product that is copied; for a zip, each member
        name with its file; none for what is rendered.
    size : int or None
        Bytes as far as they are known: a FITS file grows by the cards that it is given, a zip is
        exact; None where the file is rendered.
    why : str
        Why the file is as it is, in one sentence.
    """

    name: str
    layer: str | None
    product: str | None
    sources: Mapping[str, Path] = field(default_factory=dict)
    size: int | None = None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "name": self.name,
            "layer": self.layer,
            "product": self.product,
            "sources": len(self.sources),
            "size": self.size,
            "why": self.why,
        }


@dataclass(frozen=True)
class Plan:
    """Say what a build is going to write.

    Attributes
    ----------
    run : Path
        The run folder.
    files : tuple of PlannedFile
        In the order of layers, then the files about the whole bundle.
    simulated, toy_grid : bool
        As the run declared.
    target : mapping
        As the run declared.
    code_version : str
        Version of the distribution that made the products.
    absent_layers : mapping of str to str
        Layers without a product, and why.
    """

    run: Path
    files: tuple[PlannedFile, ...]
    simulated: bool
    toy_grid: bool
    target: Mapping[str, Any]
    code_version: str
    absent_layers: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in ("target", "absent_layers"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def products(self) -> tuple[PlannedFile, ...]:
        """The files that hold products, without what is rendered about them."""
        return tuple(file for file in self.files if file.layer is not None)

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "files": [file.to_dict() for file in self.files],
            "layers": {
                layer: [file.name for file in self.files if file.layer == layer]
                for layer in dict.fromkeys(file.layer for file in self.products)
            },
            "absent_layers": dict(self.absent_layers),
            "simulated": self.simulated,
            "toy_grid": self.toy_grid,
            "totals": {"files": len(self.files), "size": self.size},
            "limits": {"files": DEPOSIT.files, "size": DEPOSIT.size},
        }


@dataclass(frozen=True)
class FileRecord:
    """Say what one written file is; the fields are those of `ard.manifest.Entry`.

    Attributes
    ----------
    description : mapping
        What `ard.describe` says about a product; empty for rendered files.
    source_sha256 : str or None
        Digest of the run's product that it was made from; None for archives and rendered files.
    parts : tuple of Part
        HDUs or members.
    members : tuple of FileRecord
        The products that share this zip, each named ``archive.zip!member``; empty for others.
    """

    name: str
    layer: str | None
    product: str | None
    kind: str
    media_type: str
    schema: str | None
    size: int
    sha256: str
    md5: str
    provenance: Mapping[str, Any] | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    source_sha256: str | None = None
    parts: tuple[Part, ...] = ()
    members: tuple["FileRecord", ...] = ()

    @property
    def file(self) -> str:
        """Name of the file of the bundle in which it lies."""
        return self.name.partition(INSIDE)[0]


@dataclass(frozen=True)
class Release:
    """Hold everything that the documents of a bundle tell about it.

    Attributes
    ----------
    plan : Plan
        What goes in.
    dataset : Dataset
        Title, authors, licence and references, as declared.
    version : str
        Version of the data.
    date : str or None
        Day of release, ISO 8601; None leaves it open, so that the bytes depend on nothing else.
    products : tuple of FileRecord
        The products as written.
    report : mapping
        The check report.
    reservation : Reservation or None
        The DOIs; None where none were reserved.
    changes : tuple of str
        What is new against the version before, one sentence each; empty for the first version.
    sources : tuple of str
        The archive's names of the observations that the run stands on, where it says so.
    difference : Difference or None
        The same in full; None for the first version.
    history : str
        The sections of the changelog that older versions have.
    """

    plan: Plan
    dataset: Dataset
    version: str
    date: str | None
    products: tuple[FileRecord, ...]
    report: Mapping[str, Any]
    reservation: Reservation | None = None
    changes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    difference: Difference | None = None
    history: str = ""

    @property
    def doi(self) -> str | None:
        """DOI of this version, None where none is reserved."""
        return None if self.reservation is None else self.reservation.doi

    @property
    def concept_doi(self) -> str | None:
        """DOI of the dataset in all versions, None where none is reserved."""
        return None if self.reservation is None else self.reservation.concept_doi

    @property
    def described(self) -> tuple[FileRecord, ...]:
        """The products, with those that share a zip in the place of the zip."""
        return tuple(row for product in self.products for row in product.members or (product,))

    @property
    def target_name(self) -> str:
        """Name of the target, as the run declared it."""
        return str(self.plan.target["name"])

    @property
    def title(self) -> str:
        """Title with the target's name, marked where the data are simulated."""
        title = self.dataset.title.replace("{target}", self.target_name)
        return f"{MARK} {title}" if self.plan.simulated else title

    @property
    def abstract(self) -> str:
        """Summary with the target's name, marked where the data are simulated."""
        text = self.dataset.abstract.replace("{target}", self.target_name)
        return f"{MARK} The data are simulated. {text}" if self.plan.simulated else text

    @property
    def waivers(self) -> tuple[Mapping[str, Any], ...]:
        """The results of checks that a waiver set aside."""
        return tuple(row for row in self.report["results"] if row.get("waived"))


@dataclass(frozen=True)
class Built:
    """Say what was written: the folder, its digest, the number of files and their bytes."""

    folder: Path
    digest: str
    files: int
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "bundle": str(self.folder),
            "digest": self.digest,
            "files": self.files,
            "size": self.size,
        }
