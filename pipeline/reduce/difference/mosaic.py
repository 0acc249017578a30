"""What do the pointings show together, with and without each taken off the other?

Three cubes on one grid that holds all pointings: nothing taken off; each pointing minus the other
at the same place of the detector, with the ghosts that this leaves; and the same with the wake's
light put back where it was taken off. What was taken off is known, place by place, so all of it is
put back, however strong the ghosts were found to be. The last minus the one before is the model of
the ghosts, with its sign turned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.table import QTable
from scipy import sparse

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import FormatError
from ard.table import Table
from manifests import Target
from pipeline.reduce.combine import stack
from pipeline.reduce.combine.covariance import coverage, kernel
from pipeline.reduce.combine.exposure import in_memory
from pipeline.reduce.combine.grid import common_grid
from pipeline.reduce.combine.overlap import operator
from pipeline.reduce.combine.stack import Combination, combine
from pipeline.reduce.difference.apertures import moved_wcs, offset_arcsec, sky_spaxels
from pipeline.reduce.difference.background import (
    POINTINGS,
    Background,
    filled,
    other_pointing,
)
from pipeline.reduce.difference.functional import line_channels
from pipeline.reduce.difference.grids import require_pairs
from pipeline.reduce.difference.pointing import less, partner_of
from pipeline.reduce.difference.strengths import common_strengths
from pipeline.reduce.instruments import lsf_for, psf_for

MOSAIC: Final = "mosaic"
DIFFERENCED: Final = "differenced"
DEGHOSTED: Final = "deghosted"
_REACH: Final = 2  # spaxels beyond the offset over which correlations are given
_NOTHING: Final = 1e-3  # smaller correlations are not listed
_DIGITS: Final = 9  # of a correlation: what is behind is rounding
_ADDED: Final = ("EFFEXPTM", "XPOSURE", "NCOMBINE")
# Facts of one pointing that are no facts of a mosaic.
_OF_ONE: Final = ("FILENAME", "TARG_RA", "TARG_DEC", "OBS_ID", "S_BKDSUB")


@dataclass(frozen=True)
class Config:
    """Settings of the mosaics.

    Attributes
    ----------
    clear_arcsec : float
        Light of lines is put back where the wake is nearer than this.
    line_low_kms, line_high_kms : float
        Velocities that a line can reach, instrument included, as in the difference stage.
    continuum : int
        Channels without lines, at each end of a line, whose mean is the continuum under it.
    """

    clear_arcsec: float = 0.6
    line_low_kms: float = -1200.0
    line_high_kms: float = 600.0
    continuum: int = 9

    def __post_init__(self) -> None:
        if self.clear_arcsec <= 0 or self.continuum < 1:
            raise ValueError("clear_arcsec above 0, continuum of 1 channel or more")
        if self.line_low_kms >= self.line_high_kms:
            raise ValueError("line_low below line_high")


@dataclass(frozen=True, eq=False)
class Pair:
    """A pointing and what the other has at the same places of the detector.

    Attributes
    ----------
    cube, other : Cube
    taken : Background
    offset : (float, float)
        From the wake to its ghost, east and north, arcsec.
    """

    cube: Cube
    other: Cube
    taken: Background
    offset: tuple[float, float]


def run(
    *, combined: Mapping[str, Cube], strengths: Table, target: Target, config: Config
) -> dict[str, Any]:
    """Make the mosaics of an observation.

    Parameters
    ----------
    combined : mapping of str to Cube
        Cubes of the combine stage, by item: nothing is subtracted.
    strengths : Table
        What the difference stage fitted: told in the header of ``deghosted``, where there is one.
    target : manifests.Target
    config : Config

    Returns
    -------
    dict
        ``mosaic``, ``differenced`` and ``deghosted``: the Cubes; ``sharing``: the correlations
        that resampling and subtraction make in the first two, as a Table.

    Raises
    ------
    FormatError
        If there are not two pointings that say where they look, and look at fields that overlap;
        GridMismatchError if they cannot be taken off one another.
    """
    pairs = pairs_of(combined)
    cubes = {
        MOSAIC: dict(combined),
        DIFFERENCED: {item: _differenced(pair) for item, pair in pairs.items()},
        DEGHOSTED: {item: deghosted(pair, target, config) for item, pair in pairs.items()},
    }
    made = {name: _combined(members) for name, members in cubes.items()}
    meta = _meta(list(combined.values()))
    taken = {"S_BKDSUB": "COMPLETE"}
    facts: dict[str, dict[str, Any]] = {
        MOSAIC: {"S_BKDSUB": "SKIPPED"},
        DIFFERENCED: taken,
        DEGHOSTED: taken | strength_facts(strengths),
    }
    wave = made[MOSAIC].grid.wave
    optics = {"lsf": lsf_for(meta, wave), "psf": psf_for(meta, wave)}
    simulated = any(cube.simulated for cube in combined.values())
    return {
        **{name: one.cube(meta=meta | facts[name], **optics) for name, one in made.items()},
        "sharing": _sharing(made[MOSAIC], pairs, simulated=simulated),
    }


def pairs_of(combined: Mapping[str, Cube]) -> dict[str, Pair]:
    """Give every pointing with the one that is taken off it.

    Raises
    ------
    FormatError
        If one has no other; GridMismatchError if they do not fit one another.
    """
    partners = {item: partner_of(item, combined) for item in combined}
    lone = [item for item, other in partners.items() if other is None]
    if lone or not partners:
        raise FormatError(
            "a mosaic with and without subtraction needs two pointings",
            expected="two cubes with TARG_RA and TARG_DEC, of fields that overlap",
            found=f"no other pointing for {', '.join(lone) or 'anything'}",
            action="fetch both pointings, or leave the stage out",
        )
    require_pairs(partners, combined)
    found = {}
    for item, other in partners.items():
        own, off = combined[item], combined[str(other)]
        offset = offset_arcsec(own.meta, off.meta)
        found[item] = Pair(own, off, other_pointing(own, off, filled(off), offset), offset)
    return found


def strength_facts(strengths: Table) -> dict[str, float]:
    """Give the strength of all pointings and lines as keywords; none where it was not measured."""
    names = ("method", "item", "line", "status", "strength", "strength_err")
    columns = [np.asarray(strengths.data[name]).tolist() for name in names]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    found = common_strengths(rows).get(POINTINGS)
    return {} if found is None else {"GHOSTSTR": found.value, "GHOSTERR": found.err}


def _differenced(pair: Pair) -> Cube:
    return less(pair.cube, pair.taken.flux, pair.taken.var, ~pair.taken.measured)


def deghosted(pair: Pair, target: Target, config: Config) -> Cube:
    """Take the other pointing off, but not the light of lines of the wake.

    Parameters
    ----------
    pair : Pair
    target : manifests.Target
    config : Config

    Returns
    -------
    Cube
        Where light is put back, its variance has that of the continuum under the line instead of
        that of the voxel that was taken off.
    """
    cube, taken = pair.cube, pair.taken
    reach = (config.line_low_kms, config.line_high_kms)
    blocked = line_channels(cube.wave, target.lines, target.redshift, reach)
    there = moved_wcs(cube.wcs, -pair.offset[0], -pair.offset[1])
    wake = ~sky_spaxels(target, there, cube.shape[1:], config.clear_arcsec) & taken.seen
    under = continuum_rows(blocked, taken.live, config.continuum)
    left, noise = taken.flux.copy(), taken.var.copy()
    for values, rows in ((left, under), (noise, under * under)):
        part = values[:, wake]
        part[blocked] = rows @ part
        values[:, wake] = part
    return less(cube, left, noise, ~taken.measured)


def continuum_rows(blocked: BoolArray, live: BoolArray, width: int) -> FloatArray:
    """Give the continuum in each blocked channel as a sum over channels.

    A straight line between the means of the channels beside a line.

    Parameters
    ----------
    blocked : ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    live : ndarray of bool, shape (n_wave,)
        Channels that were measured.
    width : int
        Number of channels of a mean.

    Returns
    -------
    ndarray, shape (n_blocked, n_wave)
    """
    clear, channels = np.flatnonzero(~blocked & live), np.flatnonzero(blocked)
    rows = np.zeros((channels.size, blocked.size))
    for row, channel in zip(rows, channels, strict=True):
        before, after = clear[clear < channel][-width:], clear[clear > channel][:width]
        share = float(after.size > 0)
        if before.size and after.size:
            share = float((channel - before.mean()) / (after.mean() - before.mean()))
        row[before] = (1.0 - share) / max(before.size, 1)
        row[after] = share / max(after.size, 1)
    return rows


def _combined(cubes: Mapping[str, Cube]) -> Combination:
    """Average the pointings where they overlap; nothing is rejected, as dithers were before."""
    exposures = [in_memory(cube, item) for item, cube in cubes.items()]
    settings = stack.Config(reject_sigma=0.0, min_exposures=1)
    return combine(exposures, common_grid(exposures), config=settings)


def _meta(cubes: list[Cube]) -> dict[str, Any]:
    """Give what is true of all: the keywords of the first, times and exposures added up."""
    meta = {key: value for key, value in cubes[0].meta.items() if key not in _OF_ONE}
    for key in _ADDED:
        if key in meta:
            meta[key] = sum(float(str(cube.meta.get(key, 0.0))) for cube in cubes)
    for key, pick in (("DATE-BEG", min), ("DATE-END", max)):
        if key in meta:
            meta[key] = pick(str(cube.meta.get(key, meta[key])) for cube in cubes)
    return meta | {"NPOINTS": len(cubes), "SIMULATD": any(cube.simulated for cube in cubes)}


def covariances(made: Combination, pairs: Mapping[str, Pair]) -> dict[str, Any]:
    """Give the covariance of the voxels of a channel, for voxels of unit variance in the pointings.

    Parameters
    ----------
    made : Combination
        The mosaic without subtraction.
    pairs : mapping of str to Pair
        In the order of its parts.

    Returns
    -------
    dict of str to scipy.sparse array, shape (n, n)
        Of ``mosaic`` and ``differenced``. A voxel of the latter has a part of each pointing twice:
        where it shows the sky, and where that pointing was taken off another.
    """
    items = list(pairs)
    total = coverage(made.operators, [1.0] * len(items))
    inverse = sparse.diags_array(np.divide(1.0, total, out=np.zeros(total.size), where=total > 0))
    plain = {item: o.matrix for item, o in zip(items, made.operators, strict=True)}
    less_other = dict(plain)
    for item, pair in pairs.items():
        other = next(name for name in items if pairs[name].cube is pair.other)
        own = pair.cube
        there = moved_wcs(pair.other.wcs, *pair.offset)
        onto = operator(there, pair.other.shape[1:], own.wcs, own.shape[1:]).matrix
        less_other[other] = less_other[other] - plain[item] @ onto
    found = {}
    for name, parts in ((MOSAIC, plain), (DIFFERENCED, less_other)):
        squares = [part @ part.T for part in parts.values()]
        found[name] = sparse.csr_array(inverse @ sum(squares[1:], squares[0]) @ inverse)
    return found


def _sharing(made: Combination, pairs: Mapping[str, Pair], *, simulated: bool) -> Table:
    """List the correlations by separation, where all pointings look."""
    step = np.sqrt(next(iter(pairs.values())).cube.pixel_area_arcsec2)
    far = max(float(np.abs(pair.offset).max()) for pair in pairs.values()) / step
    total = coverage(made.operators, [1.0] * len(pairs))
    columns: dict[str, list[Any]] = {}
    for name, matrix in covariances(made, pairs).items():
        found = kernel(matrix, total, made.grid.shape, int(np.ceil(far)) + _REACH)
        some = (found.pairs > 0) & (np.abs(np.nan_to_num(found.mean)) > _NOTHING)
        values = {
            "product": np.full(int(some.sum()), name),
            "dx": found.dx[some],
            "dy": found.dy[some],
            "correlation": np.round(found.mean[some], _DIGITS),
            "correlation_min": np.round(found.low[some], _DIGITS),
            "correlation_max": np.round(found.high[some], _DIGITS),
            "pairs": found.pairs[some],
        }
        for key, column in values.items():
            columns.setdefault(key, []).append(column)
    data = QTable({key: np.concatenate(parts) for key, parts in columns.items()})
    return Table(data, {"SIMULATD": simulated})
