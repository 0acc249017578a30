"""Which files show the sky, which only leaking light, and which of them show the target?

Headers decide. Whatever is odd about a file becomes a note, so that one odd file hides no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ard.errors import FormatError
from manifests.target import Target
from pipeline import roles
from pipeline.acquire.footprint import contains, parse_region
from pipeline.acquire.headers import LEVEL_3, FileFacts
from pipeline.roles import BACKGROUND, IMPRINT, SCIENCE

_HST: Final = "HST"
_SKY_IMAGE: Final = "EXT"  # IMAGETYP of HST exposures of the sky


@dataclass(frozen=True)
class Config:
    """What decides where headers are silent.

    Attributes
    ----------
    short_fraction : float
        An exposure shorter than this fraction of the longest of its kind is as short as an
        imprint.
    pointing_arcsec : float
        Exposures of one pointing have target positions closer than this.
    """

    short_fraction: float = roles.SHORT_FRACTION
    pointing_arcsec: float = roles.POINTING_ARCSEC


@dataclass(frozen=True)
class Part:
    """The part of one file in the study.

    Attributes
    ----------
    name : str
        Name of the file.
    role : str
        science, imprint or background.
    pointing : str or None
        t001, t002, ... within one instrument, in order of file name; None without a position.
    dither : int or None
        Position in the dither pattern.
    level : str
        "3", "2b" or "2".
    detector : str or None
    covers_target : bool or None
        Whether the footprint holds the target's anchor (the tip of the wake); None where the file
        does not say what it covers.
    note : str
        What is odd about it; empty where nothing is.
    """

    name: str
    role: str
    pointing: str | None
    dither: int | None
    level: str
    detector: str | None
    covers_target: bool | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return vars(self).copy()


def assign(
    facts: Iterable[FileFacts], target: Target, *, config: Config | None = None
) -> tuple[Part, ...]:
    """Give every file its part, in order of file name.

    Parameters
    ----------
    facts : iterable of FileFacts
        One for each file; all of a study, because exposure times are compared within a kind.
    target : Target
        Its anchor is what the exposures must show.
    config : Config, optional
        What decides where headers are silent.
    """
    config = config or Config()
    ordered = sorted(facts, key=lambda file: file.name)
    pointings = _pointings(ordered, config)
    longest = _longest(ordered)
    return tuple(
        _part(file, pointing, longest.get(_kind(file)), target, config)
        for file, pointing in zip(ordered, pointings, strict=True)
    )


def _kind(file: FileFacts) -> tuple[str | None, str | None, str]:
    return file.telescope, file.instrument, file.level


def _longest(files: Sequence[FileFacts]) -> dict[tuple[str | None, str | None, str], float]:
    """Give the longest exposure of each kind; imprints say nothing about how long one is."""
    longest: dict[tuple[str | None, str | None, str], float] = {}
    for file in files:
        if file.exptime_s is not None and file.is_imprint is not True:
            longest[_kind(file)] = max(file.exptime_s, longest.get(_kind(file), 0.0))
    return longest


def _pointings(files: Sequence[FileFacts], config: Config) -> list[str | None]:
    names: dict[str, str] = {}
    for instrument in {(file.telescope, file.instrument) for file in files}:
        placed = [
            (file.name, (file.ra_deg, file.dec_deg))
            for file in files
            if (file.telescope, file.instrument) == instrument
            and file.ra_deg is not None
            and file.dec_deg is not None
        ]
        found = roles.pointings([place for _, place in placed], config.pointing_arcsec)
        names |= zip((name for name, _ in placed), found, strict=True)
    return [names.get(file.name) for file in files]


def _part(
    file: FileFacts, pointing: str | None, longest_s: float | None, target: Target, config: Config
) -> Part:
    role, notes = _role(file, longest_s, config)
    covers, more = _covers(file, target)
    if covers is False and role == SCIENCE:
        more = [*more, f"it does not show {target.name}: the footprint misses the target"]
    return Part(
        name=file.name,
        role=role,
        pointing=pointing,
        dither=file.dither,
        level=file.level,
        detector=file.detector,
        covers_target=covers,
        note="; ".join([*notes, *more]),
    )


def _role(file: FileFacts, longest_s: float | None, config: Config) -> tuple[str, list[str]]:
    if file.level == LEVEL_3:
        # The archive combines science exposures only; a member that is none spoils the product.
        imprints = [member.name for member in file.members if member.is_imprint]
        notes = ["IS_IMPRT is T in a combined product"] if file.is_imprint else []
        return SCIENCE, notes + [f"made of the imprint {name}" for name in imprints]
    if file.telescope == _HST:
        return _hst_role(file)
    short = None
    if file.exptime_s is not None and longest_s is not None:
        short = roles.is_short(file.exptime_s, longest_s, config.short_fraction)
    judgement = roles.judge(
        is_imprint=file.is_imprint, is_background=file.is_background, short=short
    )
    return judgement.role, _doubts(file, judgement, longest_s)


def _hst_role(file: FileFacts) -> tuple[str, list[str]]:
    """HST has no imprints: what is no image of the sky (DARK, FLAT, ...) is kept from science."""
    if file.image_type in (None, _SKY_IMAGE):
        return SCIENCE, []
    return BACKGROUND, [f"IMAGETYP is {file.image_type}: no exposure of the sky"]


def _doubts(file: FileFacts, judgement: roles.Judgement, longest_s: float | None) -> list[str]:
    if not judgement.agrees:
        return [
            f"IS_IMPRT and exposure time disagree: {'T' if file.is_imprint else 'F'}, "
            f"{file.exptime_s:g} s where the longest has {longest_s:g} s"
        ]
    if file.is_imprint is not None:
        return []
    if file.exptime_s is None:
        return ["neither IS_IMPRT nor an exposure time: taken for science"]
    why = "short" if judgement.role == IMPRINT else "long"
    return [f"no IS_IMPRT: {judgement.role} because the exposure is {why}"]


def _covers(file: FileFacts, target: Target) -> tuple[bool | None, list[str]]:
    place, found, notes = target.anchor, [], []
    for text in file.regions:
        try:
            found.append(contains(parse_region(text), place.ra_deg, place.dec_deg))
        except FormatError as error:
            notes.append(f"{error.problem}: {error.found}")
    # A region that cannot be read may be the one that holds the target.
    covers = True if any(found) else None if notes or not found else False
    return covers, notes
