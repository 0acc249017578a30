"""What is a grid of shock models, where does it come from, and which part of it is complete?

Fluxes are stored as log10 of the ratio to H alpha. What a grid does not hold (a missing model, a
flux of zero, a line found defective) is masked and stays so: holes are never filled.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import frozen
from ard.errors import ArdError, FormatError
from pipeline.shocks.blocks import complete, largest

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HALPHA: Final = "HI_6563"
HBETA: Final = "HI_4861"

NOT_STATED: Final = "not stated"  # of a convention that a source does not give
# 12 + log O/H of the Sun. The abundance sets of the Allen+2008 models are named by the first.
SOLAR_LOG_OH: Final = {
    "anders-grevesse-1989": 8.93,  # Anders & Grevesse 1989, GCA 53, 197
    "asplund-2009": 8.69,  # Asplund et al. 2009, ARA&A 47, 481
}


class Component(StrEnum):
    """Which gas of the model shines?"""

    SHOCK = "shock"
    PRECURSOR = "precursor"
    SHOCK_PLUS_PRECURSOR = "shock_plus_precursor"
    HII = "hii"


@dataclass(frozen=True)
class Defect:
    """What is wrong with a published grid, and what was done about it?

    Attributes
    ----------
    code : str
        Name of the kind of defect, as the checker of grids reports it.
    subject : str
        What it is in: a line, a model, an axis.
    detail : str
        What was found there.
    handling : str
        "masked", "bounded", "relabelled", "left out", "dropped", "snapped", or "none".
    limit : str
        Row of acceptance.toml that it breaks; empty where no number says it.
    value : float
        The number that was held against it; NaN where there is none.
    """

    code: str
    subject: str
    detail: str
    handling: str
    limit: str = ""
    value: float = float("nan")


@dataclass(frozen=True)
class GridLine:
    """Which emission line, or which blend, is a column of the grid?

    Attributes
    ----------
    name : str
        Ion and air wavelength in Angstrom, as in the 3MdB: "OIII_5007", "SII_6716+6731".
    wave_um : float
        Vacuum wavelength, um; of a blend the flux-weighted nominal one.
    members : tuple of str
        The lines in it; one name for a line that stands alone.
    """

    name: str
    wave_um: float
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a line without a wavelength or without members."""
        if not (np.isfinite(self.wave_um) and self.wave_um > 0 and self.members):
            raise FormatError(
                "a line of the grid has no wavelength or no members",
                expected="a positive wavelength in um and at least one member",
                found=f"{self.name}: {self.wave_um} um, members {self.members}",
                action="mend the list of lines",
            )


@dataclass(frozen=True)
class Abundance:
    """Which chemical composition does a set of models have?

    Attributes
    ----------
    name : str
        As the grid's authors call it.
    log_oh, log_nh, log_sh : float
        12 + log10 of O/H, N/H and S/H by number, gas phase; NaN where unknown.
    """

    name: str
    log_oh: float
    log_nh: float
    log_sh: float


def z_over_solar(abundance: Abundance, convention: str) -> float:
    """Give O/H over the Sun's, under a declared convention.

    Parameters
    ----------
    abundance : Abundance
    convention : str
        A key of `SOLAR_LOG_OH`: half the Sun's is 8.63 under one and 8.39 under the other.

    Raises
    ------
    ArdError
        If nobody knows the convention.
    """
    if convention not in SOLAR_LOG_OH:
        raise ArdError(
            "the solar convention is unknown",
            expected=" or ".join(SOLAR_LOG_OH),
            found=convention,
            action="declare one of these",
        )
    return float(10.0 ** (abundance.log_oh - SOLAR_LOG_OH[convention]))


@dataclass(frozen=True)
class GridSource:
    """Who made the models, with which code, and under which terms?

    Attributes
    ----------
    code, version : str
        Of the program that computed the models.
    project : str
        The set of models, as `ref` of the 3MdB: "Allen08".
    component : Component
        Which gas shines.
    source : str
        DOI or address of the publication or file.
    licence : str
        As stated by the source, or "none stated".
    sha256 : str
        Of the file that was imported, of the digests of two, or of the rows of a database; empty
        for a grid that is computed.
    retrieved : str
        Date, ISO 8601; empty if unknown.
    rounding : float
        Absolute step to which published fluxes over H beta are rounded; 0 if not rounded.
    known_defects : tuple of Defect
    solar : str
        Convention (key of `SOLAR_LOG_OH`) by which the authors call a composition solar, or
        `NOT_STATED`.
    synthetic : bool
        True for a closed form that no code of shocks has computed.
    """

    code: str
    version: str
    project: str
    component: Component
    source: str
    licence: str
    sha256: str
    retrieved: str
    rounding: float
    known_defects: tuple[Defect, ...] = ()
    solar: str = NOT_STATED
    synthetic: bool = False


def _require(condition: bool, problem: str, expected: object, found: object) -> None:
    if not condition:
        raise FormatError(
            problem, expected=expected, found=found, action="import the grid again, or mend it"
        )


def require_axis(name: str, values: FloatArray) -> None:
    """Refuse an axis that is not one-dimensional, finite and strictly increasing.

    Raises
    ------
    FormatError
    """
    good = values.ndim == 1 and values.size > 0 and bool(np.isfinite(values).all())
    good = good and bool((np.diff(values) > 0).all())
    _require(good, f"the axis {name} is not in order", "finite, strictly increasing", values)


def require_cells(log_ratio: FloatArray, mask: BoolArray) -> None:
    """Refuse values that are not finite exactly where they are not masked.

    Raises
    ------
    FormatError
    """
    _require(mask.shape == log_ratio.shape, "the mask has another shape", log_ratio.shape, mask)
    _require(not np.isinf(log_ratio).any(), "a log ratio is infinite", "masked zeros", "inf")
    odd = np.isnan(log_ratio) != mask
    _require(not odd.any(), "NaN and mask disagree", "NaN exactly where masked", int(odd.sum()))


def _seal(owner: object, arrays: dict[str, NDArray[Any]]) -> None:
    for name, values in arrays.items():
        object.__setattr__(owner, name, frozen(values))


@dataclass(frozen=True, eq=False)
class ShockGrid:
    """Which line ratios does each shock model predict?

    Attributes
    ----------
    source : GridSource
    abundances : tuple of Abundance, length n_z
        Categorical: they are no one-parameter family, and nothing is interpolated between them.
    log_n : ndarray, shape (n_n,)
        log10 of the density before the shock, cm^-3.
    b : ndarray, shape (n_b,)
        B / sqrt(n), uG cm^1.5.
    v_kms : ndarray, shape (n_v,)
        Velocity of the shock.
    lines : tuple of GridLine, length n_line
        Without H alpha, whose ratio to itself says nothing.
    log_ratio : ndarray, shape (n_z, n_n, n_b, n_v, n_line)
        log10 of flux over H alpha; NaN where masked.
    mask : ndarray of bool, same shape
        True = do not use.
    log_hbeta : ndarray, shape (n_z, n_n, n_b, n_v)
        log10 of the H beta flux through one face, erg cm^-2 s^-1; NaN where unknown.
    """

    source: GridSource
    abundances: tuple[Abundance, ...]
    log_n: FloatArray
    b: FloatArray
    v_kms: FloatArray
    lines: tuple[GridLine, ...]
    log_ratio: FloatArray
    mask: BoolArray
    log_hbeta: FloatArray

    def __post_init__(self) -> None:
        """Check axes, shapes and masks, and seal the arrays."""
        names = ("log_n", "b", "v_kms", "log_ratio", "log_hbeta")
        arrays = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in names}
        mask = np.asarray(self.mask, dtype=np.bool_)
        for name in ("log_n", "b", "v_kms"):
            require_axis(name, arrays[name])
        _require(bool((arrays["b"] >= 0).all()), "b is negative", "b >= 0", arrays["b"].min())
        _require(bool((arrays["v_kms"] > 0).all()), "v is not positive", "v > 0", self.v_kms)
        for kind, sequence in (("abundance", self.abundances), ("line", self.lines)):
            unique = {item.name for item in sequence}
            problem = f"the grid has no {kind}, or one twice"
            _require(0 < len(unique) == len(sequence), problem, "different names", sequence)
        shape = (len(self.abundances), *(arrays[k].size for k in ("log_n", "b", "v_kms")))
        ratio, hbeta = arrays["log_ratio"], arrays["log_hbeta"]
        _require(hbeta.shape == shape, "log_hbeta does not fit the axes", shape, hbeta.shape)
        full = (*shape, len(self.lines))
        _require(ratio.shape == full, "log_ratio does not fit the axes", full, ratio.shape)
        require_cells(ratio, mask)
        _require(not np.isinf(hbeta).any(), "log_hbeta is infinite", "finite or NaN", "inf")
        _seal(self, {**arrays, "mask": mask})

    @property
    def component(self) -> Component:
        """Which gas shines."""
        return self.source.component

    @property
    def complete(self) -> bool:
        """True if no cell is masked: a regular lattice that may be interpolated."""
        return not bool(self.mask.any())

    def line_index(self, names: Sequence[str]) -> list[int]:
        """Give the places of lines by name.

        Raises
        ------
        ArdError
            If the grid does not hold one of them.
        """
        known = [line.name for line in self.lines]
        return _places("line", known, names)

    def take(
        self,
        *,
        z: Sequence[int],
        n: Sequence[int],
        b: Sequence[int],
        v: Sequence[int],
        lines: Sequence[int],
    ) -> "ShockGrid":
        """Give the grid at these indices of its axes."""
        cells = np.ix_(z, n, b, v)
        full = np.ix_(z, n, b, v, lines)
        return dataclasses.replace(
            self,
            abundances=tuple(self.abundances[k] for k in z),
            log_n=self.log_n[list(n)],
            b=self.b[list(b)],
            v_kms=self.v_kms[list(v)],
            lines=tuple(self.lines[k] for k in lines),
            log_ratio=self.log_ratio[full],
            mask=self.mask[full],
            log_hbeta=self.log_hbeta[cells],
        )

    def block(
        self,
        *,
        abundances: Sequence[str] | None = None,
        log_n: Sequence[float] | None = None,
        b: Sequence[float] | None = None,
        lines: Sequence[str] | None = None,
    ) -> "ShockGrid":
        """Give the largest complete regular part of the grid that is found.

        What is named is kept whole; of the other axes, values are dropped one at a time, always
        the one with the largest share of masked models, until nothing masked is left. That is
        done from the whole grid and from each single abundance and density, and the largest kept.

        Parameters
        ----------
        abundances, log_n, b : sequence, optional
            Values that have to be in the block, and no others of that axis; default: any.
        lines : sequence of str, optional
            In the order that the block will have; default: all lines that some model has.

        Raises
        ------
        ArdError
            If a name is unknown, or no model has all that is asked for.
        """
        picked = {
            0: _named("abundance", [a.name for a in self.abundances], abundances),
            1: _valued("log_n", self.log_n, log_n),
            2: _valued("b", self.b, b),
            3: None,
        }
        n_line = len(self.lines)
        some = [k for k in range(n_line) if not self.mask[..., k].all()]
        chosen = some if lines is None else self.line_index(lines)
        pinned = {axis for axis, places in picked.items() if places is not None}
        shape = self.log_hbeta.shape
        kept = [
            list(range(shape[axis])) if places is None else list(places)
            for axis, places in picked.items()
        ]
        hole = self.mask[..., chosen].any(axis=-1)
        starts = [kept]
        for axis in {0, 1} - pinned:
            starts += [[*kept[:axis], [place], *kept[axis + 1 :]] for place in kept[axis]]
        kept = largest([complete(hole, start, pinned) for start in starts], hole, kept)
        return self.take(z=kept[0], n=kept[1], b=kept[2], v=kept[3], lines=chosen)


def _places(kind: str, known: Sequence[str], names: Sequence[str]) -> list[int]:
    missing = [name for name in names if name not in known]
    if missing:
        raise ArdError(
            f"the grid has no such {kind}",
            expected=", ".join(known),
            found=", ".join(missing),
            action=f"choose among the names of each {kind}",
        )
    return [known.index(name) for name in names]


def _named(kind: str, known: Sequence[str], names: Sequence[str] | None) -> list[int] | None:
    return None if names is None else sorted(_places(kind, known, names))


def _valued(name: str, axis: FloatArray, values: Sequence[float] | None) -> list[int] | None:
    if values is None:
        return None
    asked = np.asarray(values, dtype=np.float64)
    nearest = np.abs(axis[:, None] - asked).argmin(axis=0)
    off = ~np.isclose(axis[nearest], asked, rtol=1e-6, atol=1e-9)
    if off.any():
        raise ArdError(
            f"the grid has no models at this {name}",
            expected=", ".join(f"{value:g}" for value in axis),
            found=", ".join(f"{value:g}" for value in asked[off]),
            action=f"choose among the values of {name}",
        )
    return sorted({int(k) for k in nearest})
