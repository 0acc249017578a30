"""What is a FITS product called in a deposit, and to which collection does it belong?

Names follow the rules of MAST for High-Level Science Products: ``hlsp``, project, observatory,
instrument, target, optical element, version and type of product, joined by underscores, and the
extension. Lower-case letters and digits, hyphens inside of a field, at most 90 characters.

The version is the major one alone, ``v1`` for 1.4.2: a file that a new version did not change keeps
its name and its bytes, so that it can be linked on the server instead of being sent again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final

from astropy.io import fits

from ard import layout
from ard.errors import ArdError, FormatError
from manifests.dataset import Dataset
from release.model import MARK

LONGEST: Final = 90
NOT_RESERVED: Final = "not yet reserved"
FIELDS: Final = (
    "project",
    "observatory",
    "instrument",
    "target",
    "optical element",
    "version",
    "product type",
)
# What a header writes where there is no such thing.
_NOTHING: Final = frozenset({"", "N/A", "NONE", "UNDEFINED", "UNKNOWN"})
_WORD: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_RULES: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(FIELDS, _WORD),
    "target": re.compile(r"[a-z0-9](?:[a-z0-9.+-]*[a-z0-9])?"),
    "version": re.compile(r"v[0-9]+(?:\.[0-9]+)*"),
}
_VERSION: Final = re.compile(r"([0-9]+)(?:\..+)?")


@dataclass(frozen=True)
class Collection:
    """Hold what all FITS products of a deposit have in common.

    Attributes
    ----------
    project : str
        Short name of the dataset.
    title, lead : str
        Full name of the dataset, and who leads it.
    target, item : str
        Name of the target, and the word for it in file names.
    version : str
        Major version, ``v1``.
    doi : str
        DOI of the dataset in all versions, or that there is none yet.
    licence, licence_url : str
        Of the data.
    """

    project: str
    title: str
    lead: str
    target: str
    item: str
    version: str
    doi: str
    licence: str
    licence_url: str


def collection_of(
    dataset: Dataset,
    target: Mapping[str, Any],
    version: str,
    *,
    simulated: bool,
    concept_doi: str | None = None,
) -> Collection:
    """Say to which collection the products of a run belong.

    Parameters
    ----------
    dataset : Dataset
        The declaration.
    target : mapping
        As the run declared it; has a name.
    version : str
        Version of the data.
    simulated : bool
        Marks the title.
    concept_doi : str, optional
        DOI of the dataset in all versions.

    Raises
    ------
    FormatError
        If the version does not begin with a number.
    """
    name = str(target["name"])
    item = str(target.get("item") or name)
    title = dataset.title.replace("{target}", name)
    return Collection(
        project=dataset.name,
        title=f"{MARK} {title}" if simulated else title,
        lead=dataset.creators[0].name,
        target=name,
        item=item,
        version=major(version),
        doi=concept_doi or NOT_RESERVED,
        licence=dataset.licence.spdx.replace("-", " "),
        licence_url=dataset.licence.url,
    )


def major(version: str) -> str:
    """Spell the major version as names do: ``v1`` for 1.4.2.

    Raises
    ------
    FormatError
        If the version does not begin with a number.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise FormatError(
            "the version has no major number, which names of FITS files bear",
            expected="a version such as 1.4.2",
            found=version,
            action="give another version",
        )
    return f"v{int(match[1])}"


@dataclass(frozen=True)
class HlspName:
    """The fields of a name, in their order; `str` gives the name of the file."""

    project: str
    observatory: str
    instrument: str
    target: str
    element: str
    version: str
    type: str

    def __str__(self) -> str:
        return "_".join((layout.HLSP, *astuple(self))) + layout.HLSP_SUFFIX

    def problems(self) -> Iterator[str]:
        """Say in which ways this breaks the rules."""
        for field, value in zip(FIELDS, astuple(self), strict=True):
            if not _RULES[field].fullmatch(value):
                yield f"{value!r} cannot be the {field} of a name"
        if len(str(self)) > LONGEST:
            yield f"the name has {len(str(self))} characters, and {LONGEST} are allowed"


def parse_name(name: str) -> HlspName | None:
    """Split the name of a FITS file into its fields; None if it has not as many as it should."""
    fields = name.removesuffix(layout.HLSP_SUFFIX).split("_")
    whole = len(fields) == layout.HLSP_FIELDS and fields[0] == layout.HLSP
    return HlspName(*fields[1:]) if whole and name.endswith(layout.HLSP_SUFFIX) else None


def product_name(header: fits.Header, collection: Collection, layer: str, product: str) -> HlspName:
    """Name a FITS product after what its primary header says.

    Parameters
    ----------
    header : astropy.io.fits.Header
        TELESCOP, INSTRUME, and GRATING, FILTER, CHANNEL or BAND are looked at.
    collection : Collection
        Project, target and version.
    layer, product : str
        Its place in the bundle; the product begins with the item that it is about.

    Raises
    ------
    ArdError
        If a field is not known, or the name would break a rule; says which.
    """
    item, rest = layout.product_parts(product)
    about = [collection.item] if item in (None, collection.item) else [collection.item, str(item)]
    name = HlspName(
        project=layout.hlsp_field(collection.project),
        observatory=layout.hlsp_field(_said(header, "TELESCOP")),
        instrument=layout.hlsp_field(_said(header, "INSTRUME")),
        target=layout.hlsp_field(*about),
        element=layout.hlsp_field(*_elements(header)),
        version=collection.version,
        type=layout.hlsp_field(layer, rest),
    )
    missing = list(_missing(name))
    if missing:
        raise ArdError(
            f"its primary header does not say the {' and the '.join(missing)}",
            action="write the keywords into the cube that the run began with, and run again",
        )
    problems = list(name.problems())
    if problems:
        raise ArdError(
            f"it would be called {name}: {'; '.join(problems)}",
            action="rename the product, or the item in the target's file",
        )
    return name


def _missing(name: HlspName) -> Iterator[str]:
    """Name the fields that the header left empty, with the keywords that would fill them."""
    if not name.observatory:
        yield "observatory (TELESCOP)"
    if not name.instrument:
        yield "instrument (INSTRUME)"
    if not name.element:
        yield "optical element (GRATING, FILTER, or CHANNEL and BAND)"


def _said(header: fits.Header, keyword: str) -> str:
    value = header.get(keyword)
    text = "" if isinstance(value, fits.card.Undefined | None) else str(value).strip()
    return "" if text.upper() in _NOTHING else text


def _elements(header: fits.Header) -> list[str]:
    """Name what disperses and what filters the light, as the archive does."""
    elements = [text for key in ("GRATING", "FILTER") if (text := _said(header, key))]
    if elements:
        return elements
    channel, band = _said(header, "CHANNEL"), _said(header, "BAND")
    return [text for text in (f"ch{channel}" if channel else "", band) if text]
