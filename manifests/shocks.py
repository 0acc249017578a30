"""What is assumed of models of shocks, of dust and of the Sun when line ratios are compared?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from manifests._toml import EVIDENCE, Section, read_toml

SHOCKS_FILE: Final = Path(__file__).parent / "shocks.toml"
OTHER: Final = "other"


@dataclass(frozen=True)
class BowAssumptions:
    """What is believed of a bow shock before its ring is seen.

    Attributes
    ----------
    v_star_kms, curvature_kpc : (float, float)
        Between which speed of the body and radius of curvature are flat in the logarithm.
    compression_min : float
        1 / compression is flat from 0 to that of this.
    rest_kms : float
        How far the speed of the gas ahead may be from the target's redshift, to either side.
    """

    v_star_kms: tuple[float, float]
    curvature_kpc: tuple[float, float]
    compression_min: float
    rest_kms: float


@dataclass(frozen=True)
class StarsAssumptions:
    """When is it said whether a shock, stars or both make lines?

    Attributes
    ----------
    log_bayes_min : float
        Difference of ln of the evidence above which one is said to be more probable.
    pairs_min : float
        Effective pairs of models from which on the evidence of both is known.
    """

    log_bayes_min: float
    pairs_min: float


@dataclass(frozen=True)
class ShockAssumptions:
    """The declared assumptions of a fit of shocks.

    Attributes
    ----------
    snr_linear : float
        Lines below this signal to noise are compared in flux, not in its logarithm.
    floors_dex : tuple of float
        Systematic floors between which the answer is shown, the same for all lines.
    v_min_kms : float
        Models below it are not trusted.
    log_b_min, b_fixed : float
        Where a prior flat in ln b starts, and the field that is assumed where none is inferred,
        uG cm^1.5.
    av_mean_mag, av_sigma_mag : float
        Gaussian prior of A_V.
    r_v : float
        Of the law of extinction.
    solar : str
        Name of the convention of the Sun's O/H.
    half_solar : float
        The Z over solar of the study's criterion.
    gradient_kms : (float, float, float)
        Velocity from the spatial gradient, and its 68 % interval.
    floor_of : mapping of str to float
        Systematic floor for each ion, dex.
    bow : BowAssumptions
    stars : StarsAssumptions
    v_virial_kms : float or None
        The virial velocity of the study's criterion T1; None while none is declared.
    """

    snr_linear: float
    floors_dex: tuple[float, ...]
    v_min_kms: float
    log_b_min: float
    b_fixed: float
    av_mean_mag: float
    av_sigma_mag: float
    r_v: float
    solar: str
    half_solar: float
    gradient_kms: tuple[float, float, float]
    floor_of: Mapping[str, float]
    bow: BowAssumptions
    stars: StarsAssumptions
    v_virial_kms: float | None = None

    def floor_dex(self, line: str) -> float:
        """Give the systematic floor of a line, named as ion and wavelength: ``OIII_5007``."""
        return self.floor_of.get(line.partition("_")[0], self.floor_of[OTHER])


@cache
def load_shocks(path: Path = SHOCKS_FILE) -> ShockAssumptions:
    """Read the declared assumptions.

    Raises
    ------
    ManifestError
        If a field is missing, unknown or impossible, or a value has no source.
    """
    root = Section(read_toml(path), "", path)
    names = ("fit", "prior", "extinction", "solar", "gradient", "floors", "bow", "stars", "virial")
    root.only(*names)
    fit = _table(root, "fit", "snr_linear", "floors_dex")
    prior = _table(root, "prior", "v_min_kms", "log_b_min", "b_fixed")
    dust = _table(root, "extinction", "mean_mag", "sigma_mag", "r_v")
    sun = _table(root, "solar", "convention", "half")
    gradient = _table(root, "gradient", "v_kms", "plus_kms", "minus_kms")
    stars = _table(root, "stars", "log_bayes_min", "pairs_min")
    middle = gradient.number("v_kms")
    sigma = dust.number("sigma_mag")
    if sigma < 0:
        raise dust.error("a width is not negative", "sigma_mag >= 0", sigma)
    return ShockAssumptions(
        snr_linear=_positive(fit, "snr_linear"),
        floors_dex=_several(fit, "floors_dex"),
        v_min_kms=_positive(prior, "v_min_kms"),
        log_b_min=_positive(prior, "log_b_min"),
        b_fixed=_positive(prior, "b_fixed"),
        av_mean_mag=dust.number("mean_mag"),
        av_sigma_mag=sigma,
        r_v=_positive(dust, "r_v"),
        solar=sun.text("convention"),
        half_solar=_positive(sun, "half"),
        gradient_kms=(
            middle,
            middle - _positive(gradient, "minus_kms"),
            middle + _positive(gradient, "plus_kms"),
        ),
        floor_of=_floors(root),
        bow=_bow(root),
        stars=StarsAssumptions(_positive(stars, "log_bayes_min"), _positive(stars, "pairs_min")),
        v_virial_kms=_virial(root),
    )


def _virial(root: Section) -> float | None:
    """Give the virial velocity, if one is declared: no published number is known."""
    if "virial" not in root.data:
        return None
    return _positive(_table(root, "virial", "v_kms"), "v_kms")


def _bow(root: Section) -> BowAssumptions:
    bow = _table(root, "bow", "v_star_kms", "curvature_kpc", "compression_min", "rest_kms")
    least = bow.number("compression_min")
    if not least > 1:
        raise bow.error("a shock compresses", "compression_min > 1", least)
    speed, radius = (_range(bow, name) for name in ("v_star_kms", "curvature_kpc"))
    return BowAssumptions(speed, radius, least, _positive(bow, "rest_kms"))


def _range(section: Section, name: str) -> tuple[float, float]:
    values = _several(section, name)
    if len(values) != len(("low", "high")) or not values[0] < values[-1]:
        raise section.error(f"'{name}' must be a range", "[low, high]", list(values))
    return values[0], values[-1]


def _table(root: Section, name: str, *fields: str) -> Section:
    """Give a table whose values have a source."""
    section = root.table(name)
    section.only(*fields, "source", "evidence")
    section.text("source")
    section.choice("evidence", EVIDENCE)
    return section


def _positive(section: Section, name: str) -> float:
    value = section.number(name)
    if value <= 0:
        raise section.error(f"'{name}' must be positive", "a number above 0", value)
    return value


def _several(section: Section, name: str) -> tuple[float, ...]:
    found: Any = section.data.get(name)
    if not isinstance(found, list) or not found:
        raise section.error(f"'{name}' must be a list of numbers", "[0.1, ...]", repr(found))
    rows = [Section({name: value}, section.where, section.file) for value in found]
    return tuple(_positive(row, name) for row in rows)


def _floors(root: Section) -> dict[str, float]:
    floors: dict[str, float] = {}
    for row in root.tables("floors"):
        row.only("ion", "sigma_dex", "source", "evidence")
        row.text("source")
        row.choice("evidence", EVIDENCE)
        name = row.text("ion")
        if name in floors:
            raise row.error("an ion has one floor", "one entry each", name)
        floors[name] = _positive(row, "sigma_dex")
    if OTHER not in floors:
        raise root.error("ions without a row need a floor", f"ion = '{OTHER}'", sorted(floors))
    return floors
