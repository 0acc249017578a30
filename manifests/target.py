"""Which object is looked at: where is it, how fast does it recede, which lines does it emit?"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from manifests._toml import EVIDENCE, Section, read_toml
from manifests.aperture import Aperture, apertures_of
from manifests.errors import ManifestError

TARGETS_DIR: Final = Path(__file__).parent / "targets"
FULL_CIRCLE_DEG: Final = 360.0
POLE_DEG: Final = 90.0
# The values of a target that must say where they come from, where they are given.
SOURCED: Final = ("redshift", "host", "tip", "position_angle_deg", "cosmology")


@dataclass(frozen=True)
class Position:
    """A place on the sky, ICRS, in degrees."""

    ra_deg: float
    dec_deg: float


@dataclass(frozen=True)
class Cosmology:
    """The flat cosmology that turns angles into lengths: H0 in km/s/Mpc, matter density."""

    h0: float
    om0: float


@dataclass(frozen=True)
class Source:
    """Where a value comes from, and how well it is known (primary, data, computed, secondary)."""

    source: str
    evidence: str


@dataclass(frozen=True)
class Line:
    """One emission line.

    Attributes
    ----------
    name : str
        The name used in layers and columns, such as ``OIII5007``.
    label : str
        The name for figures and tables.
    wave_vac_um : float
        Vacuum wavelength at rest, um.
    group : str
        The kinematic group: its lines share velocity and intrinsic width.
    ratio_to : str or None
        Another line of the group to which this line's flux is tied.
    ratio : float or None
        Flux of this line over the flux of `ratio_to`.
    source : str
        Where wavelength and ratio come from.
    """

    name: str
    label: str
    wave_vac_um: float
    group: str
    ratio_to: str | None
    ratio: float | None
    source: str

    def wave_obs_um(self, redshift: float) -> float:
        """Give the observed vacuum wavelength in um at a redshift."""
        return self.wave_vac_um * (1.0 + redshift)


@dataclass(frozen=True)
class Group:
    """Lines that share one velocity and one intrinsic width, by name, in order of wavelength."""

    name: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """One object with its declared values.

    Attributes
    ----------
    name, item : str
        Full name, and the short name that file names begin with.
    redshift : float
        The systemic redshift to which velocities are relative.
    host : Position
        Centre of the host galaxy (or of the object itself).
    tip : Position or None
        Far end of the wake.
    position_angle_deg : float or None
        Direction from host to tip, degrees east of north.
    cosmology : Cosmology
        Turns angles into lengths.
    groups, lines : tuple
        The kinematic groups and all lines, in file order.
    sources : mapping of str to Source
        Where each declared value comes from.
    apertures : tuple
        Where spectra are added up, in file order; may be empty.
    """

    name: str
    item: str
    redshift: float
    host: Position
    tip: Position | None
    position_angle_deg: float | None
    cosmology: Cosmology
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    sources: Mapping[str, Source]
    apertures: tuple[Aperture, ...] = ()

    @property
    def anchor(self) -> Position:
        """Give the position that the cubes must contain: the tip, or the host where none is."""
        return self.host if self.tip is None else self.tip

    def line(self, name: str) -> Line:
        """Give a line by name.

        Raises
        ------
        ManifestError
            If the target has no such line.
        """
        for line in self.lines:
            if line.name == name:
                return line
        raise ManifestError(
            f"{self.name} has no line of this name",
            expected=", ".join(line.name for line in self.lines),
            found=name,
            action="use one of the names of the target's manifest",
        )

    def group(self, name: str) -> Group:
        """Give a group by name.

        Raises
        ------
        ManifestError
            If the target has no such group.
        """
        for group in self.groups:
            if group.name == name:
                return group
        raise ManifestError(
            f"{self.name} has no group of this name",
            expected=", ".join(group.name for group in self.groups),
            found=name,
            action="use one of the names of the target's manifest",
        )

    def group_lines(self, name: str) -> tuple[Line, ...]:
        """Give the lines of a group, in file order."""
        return tuple(self.line(line) for line in self.group(name).lines)

    def tied(self, name: str = "all") -> Group:
        """Give one group that ties every line of the target to one velocity and width."""
        return Group(name, "all lines", tuple(line.name for line in self.lines))

    def to_dict(self) -> dict[str, Any]:
        """Give what the run and release documents say about the target (plain JSON)."""
        return {
            "name": self.name,
            "item": self.item,
            "redshift": self.redshift,
            "host": vars(self.host).copy(),
            "tip": None if self.tip is None else vars(self.tip).copy(),
            "position_angle_deg": self.position_angle_deg,
            "cosmology": vars(self.cosmology).copy(),
        }


def target_names() -> tuple[str, ...]:
    """Name the targets that come with the study, sorted."""
    return tuple(sorted(path.stem for path in TARGETS_DIR.glob("*.toml")))


def load_target(path_or_name: str | PathLike[str]) -> Target:
    """Read the declaration of a target.

    Parameters
    ----------
    path_or_name : str or path-like
        The short name of a target that comes with the study (``rbh1``), or a TOML file.

    Raises
    ------
    ManifestError
        If there is no such target, or a field is missing, unknown or impossible.
    """
    path = Path(path_or_name)
    if path.suffix != ".toml":
        if str(path_or_name) not in target_names():
            raise ManifestError(
                "no target has this name",
                expected=", ".join(target_names()) + ", or the path of a .toml file",
                found=path_or_name,
                action="use one of the names, or give a file",
            )
        path = TARGETS_DIR / f"{path_or_name}.toml"
    root = Section(read_toml(path), "", path)
    root.only("target", "sources", "groups", "lines", "apertures")
    return _target(root)


def _target(root: Section) -> Target:
    section = root.table("target")
    section.only("name", "item", "redshift", "position_angle_deg", "host", "tip", "cosmology")
    lines = tuple(_line(row) for row in root.tables("lines"))
    _check_lines(root, lines)
    target = Target(
        name=section.text("name"),
        item=_item(section),
        redshift=section.number("redshift"),
        host=_position(section.table("host")),
        tip=_position(section.table("tip")) if "tip" in section.data else None,
        position_angle_deg=_angle(section),
        cosmology=_cosmology(section.table("cosmology")),
        groups=_groups(root, lines),
        lines=lines,
        sources=_sources(root, section),
        apertures=apertures_of(root, with_axis={"tip", "position_angle_deg"} <= set(section.data)),
    )
    if target.redshift <= -1.0:
        raise section.error("'redshift' must be above -1", "> -1", target.redshift)
    return target


def _item(section: Section) -> str:
    item = section.text("item")
    if not (item.isascii() and item.isalnum() and item == item.lower()):
        raise section.error("'item' begins file names", "lower-case letters and digits", item)
    return item


def _position(section: Section) -> Position:
    section.only("ra_deg", "dec_deg")
    position = Position(section.number("ra_deg"), section.number("dec_deg"))
    if not 0.0 <= position.ra_deg < FULL_CIRCLE_DEG or abs(position.dec_deg) > POLE_DEG:
        raise section.error("this is no place on the sky", "0 <= ra < 360, |dec| <= 90", position)
    return position


def _angle(section: Section) -> float | None:
    angle = section.number_or_none("position_angle_deg")
    if angle is not None and not 0.0 <= angle < FULL_CIRCLE_DEG:
        raise section.error("'position_angle_deg' is no angle", "0 <= angle < 360", angle)
    return angle


def _cosmology(section: Section) -> Cosmology:
    section.only("h0", "om0")
    cosmology = Cosmology(section.number("h0"), section.number("om0"))
    if cosmology.h0 <= 0.0 or not 0.0 <= cosmology.om0 <= 1.0:
        raise section.error("impossible cosmology", "h0 > 0 and 0 <= om0 <= 1", cosmology)
    return cosmology


def _line(row: Section) -> Line:
    row.only("name", "label", "wave_vac_um", "group", "ratio_to", "ratio", "source")
    line = Line(
        name=row.text("name"),
        label=row.text("label"),
        wave_vac_um=row.number("wave_vac_um"),
        group=row.text("group"),
        ratio_to=row.text_or_none("ratio_to"),
        ratio=row.number_or_none("ratio"),
        source=row.text("source"),
    )
    if line.wave_vac_um <= 0.0:
        raise row.error("'wave_vac_um' must be positive", "> 0 um", line.wave_vac_um)
    if (line.ratio is None) != (line.ratio_to is None):
        raise row.error("'ratio' and 'ratio_to' belong together", "both or none", line.name)
    if line.ratio is not None and line.ratio <= 0.0:
        raise row.error("'ratio' must be positive", "> 0", line.ratio)
    return line


def _check_lines(root: Section, lines: tuple[Line, ...]) -> None:
    by_name = {line.name: line for line in lines}
    if not lines or len(by_name) != len(lines):
        names = ", ".join(line.name for line in lines)
        raise root.error("lines need names of their own", "at least one [[lines]]", names)
    for line in lines:
        if line.ratio_to is None:
            continue
        other = by_name.get(line.ratio_to)
        if other is None or other.group != line.group or other.ratio_to is not None:
            raise root.error(
                f"the ratio of {line.name} has no free line to be relative to",
                "a line of the same group whose own flux is free",
                line.ratio_to,
            )


def _groups(root: Section, lines: tuple[Line, ...]) -> tuple[Group, ...]:
    groups: list[Group] = []
    for row in root.tables("groups"):
        row.only("name", "title")
        name = row.text("name")
        members = tuple(line.name for line in lines if line.group == name)
        if not members or name in {group.name for group in groups}:
            raise row.error("a group needs lines and a name of its own", "[[lines]] of it", name)
        groups.append(Group(name, row.text("title"), members))
    orphans = {line.group for line in lines} - {group.name for group in groups}
    if orphans:
        raise root.error("lines belong to groups that do not exist", "[[groups]]", sorted(orphans))
    return tuple(groups)


def _sources(root: Section, section: Section) -> dict[str, Source]:
    given = [name for name in SOURCED if name in section.data]
    table = root.table("sources")
    table.only(*given)
    sources = {}
    for name in given:
        row = table.table(name)
        row.only("source", "evidence")
        sources[name] = Source(row.text("source"), row.choice("evidence", EVIDENCE))
    return sources
