"""How strong is the ghost that a subtraction leaves, as the wake's own light displaced?

What was taken off a pointing is -strength times the wake's light, displaced by the offset of the
two pointings. The pointing itself saw that light where it belongs, with noise of its own. So each
place of the wake is seen twice, as own light and as what was taken off, wherever wake and ghost
lie on one another; the strength is the ratio of the two, over all places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.wcs import WCS
from scipy import sparse

from ard.cube import BoolArray, FloatArray
from manifests import Target
from pipeline.reduce.combine.overlap import Operator, operator
from pipeline.reduce.difference.apertures import moved_wcs, sky_spaxels
from pipeline.reduce.difference.background import POINTINGS, Background, Filled
from pipeline.reduce.difference.fraction import ENOUGH, Spectrum
from pipeline.reduce.difference.functional import Functional, effective_placements, placements
from pipeline.reduce.difference.pointing import Pointing
from pipeline.reduce.outliers import MAD_TO_SIGMA

_WHOLE: Final = 0.999  # of a place: with less it lies at the edge of what was seen
_CERTAIN: Final = 5.0  # S/N of the power of the wake, below which a ratio means nothing
# Relative: an undersampled point that is moved by a part of a spaxel keeps its light to about that.
_SAMPLING: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Views:
    """The light of a line at the places of the wake, as seen twice by one pointing.

    Attributes
    ----------
    own, taken : ndarray, shape (n_place,)
        Flux of the line where it belongs, and as it was taken off where its ghost lies; equally
        sharp.
    own_noise, taken_noise : ndarray, shape (n_placement, n_place)
        The same sums over channels without lines, scaled to the noise at the line.
    """

    own: FloatArray
    taken: FloatArray
    own_noise: FloatArray
    taken_noise: FloatArray


@dataclass(frozen=True)
class Strength:
    """The strength of a ghost: 1 for the whole of the wake's light, 0 for none.

    Attributes
    ----------
    value, err : float
    misfit, misfit_err : float
        Mean square of what was taken off less the strength times own light, over that of noise,
        and its standard deviation by noise; NaN where rounding is all the noise there is.
    """

    value: float
    err: float
    misfit: float
    misfit_err: float


@dataclass(frozen=True, eq=False)
class Places:
    """Which sums of spaxels of a pointing show the same places of the sky, own and displaced?

    Attributes
    ----------
    own, ghost : scipy.sparse array, shape (n_place, n_spaxel)
    """

    own: Any
    ghost: Any


def places(
    pointing: Pointing,
    taken_seen: BoolArray,
    target: Target,
    clear_arcsec: float,
    offset: tuple[float, float],
) -> Places | None:
    """Put own light and ghost on one grid, halfway between theirs.

    Resampling blurs by the part of a spaxel that it moves. Half of it each, in opposite
    directions, blurs both alike.

    Parameters
    ----------
    pointing : Pointing
    taken_seen : ndarray of bool, shape (ny, nx)
        Spaxels of which it is known what was taken off.
    target : manifests.Target
    clear_arcsec : float
        Places farther from the wake than this are left out.
    offset : (float, float)
        From the wake to its ghost, east and north, arcsec.

    Returns
    -------
    Places or None
        None where no place of the field has its ghost in the field.
    """
    wcs, shape = pointing.cube.wcs, pointing.cube.shape[1:]
    back = moved_wcs(wcs, -offset[0], -offset[1])
    if _outside(wcs, back, shape):
        return None
    moved = _moved(wcs, back, shape)
    half = wcs.deepcopy()
    half.wcs.crpix = np.asarray(wcs.wcs.crpix) - 0.5 * (moved - np.round(moved))
    half.wcs.set()
    own, ghost = (operator(grid, shape, half, shape) for grid in (wcs, back))
    kept = ~sky_spaxels(target, half, shape, clear_arcsec).ravel()
    for found, seen in ((own, pointing.plain.seen), (ghost, taken_seen & pointing.plain.seen)):
        kept &= _covered(found, seen)
    return Places(own.matrix[kept], ghost.matrix[kept])


def displaced(pointing: Pointing, shares: FloatArray) -> Spectrum | None:
    """Sum the light of which the ghost lies in an aperture.

    Own light where the pointing sees it; beyond its field, what the other pointing saw of it.

    Parameters
    ----------
    pointing : Pointing
    shares : ndarray, shape (ny, nx)
        Of the aperture.

    Returns
    -------
    Spectrum or None
        None without another pointing.
    """
    if pointing.offset is None or POINTINGS not in pointing.backgrounds:
        return None
    wcs, shape = pointing.cube.wcs, pointing.cube.shape[1:]
    there = moved_wcs(wcs, *pointing.offset)
    seen = np.zeros(shape)
    own = np.zeros(shape)
    if not _outside(wcs, there, shape):
        matrix = operator(there, shape, wcs, shape).matrix
        seen = (matrix @ pointing.plain.seen.ravel().astype(np.float64)).reshape(shape)
        own = (matrix.T @ np.where(seen > _WHOLE, shares, 0.0).ravel()).reshape(shape)
    rest = np.where(seen > _WHOLE, 0.0, shares)
    parts = [
        pointing.spectrum(source, weights)
        for source, weights in ((pointing.plain, own), (pointing.backgrounds[POINTINGS], rest))
    ]
    return Spectrum(parts[0].density + parts[1].density, np.hypot(parts[0].err, parts[1].err), None)


def _outside(wcs: WCS, other: WCS, shape: tuple[int, int]) -> bool:
    return bool((np.abs(_moved(wcs, other, shape)) >= shape[::-1]).any())


def _moved(wcs: WCS, other: WCS, shape: tuple[int, int]) -> FloatArray:
    """Give by how many spaxels the middle of one grid lies from that of another, x and y."""
    middle = 0.5 * (np.array(shape[::-1]) - 1.0)
    return np.array(wcs.wcs_world2pix(*other.wcs_pix2world(*middle, 0), 0), float) - middle


def _covered(found: Operator, seen: BoolArray) -> BoolArray:
    return np.asarray(found.matrix @ seen.ravel().astype(np.float64) > _WHOLE)


def views(
    pointing: Pointing,
    sources: tuple[Filled, Filled | Background],
    where: Places,
    functional: Functional,
    shifts: np.ndarray,
) -> Views:
    """Sum a line over channels at all places, and the same where no line is.

    Parameters
    ----------
    pointing : Pointing
    sources : (Filled, Filled or Background)
        Own light, and what was taken off.
    where : Places
    functional : Functional
    shifts : ndarray of int, shape (n_placement,)
        Placements of the functional on channels without lines.
    """
    weights = _rows(functional, shifts, pointing.unit)
    at_line = _rows(functional, np.zeros(1, int), pointing.unit)
    found: list[FloatArray] = []
    for source, matrix in zip(sources, (where.own, where.ghost), strict=True):
        columns = np.unique(matrix.indices)
        part = matrix[:, columns]
        flux, var = (
            values.reshape(values.shape[0], -1)[:, columns] for values in (source.flux, source.var)
        )
        here, there = (np.sqrt((rows * rows) @ var) for rows in (at_line, weights))
        scale = here / np.where(there > 0, there, np.inf)
        found += [(part @ (at_line @ flux).T)[:, 0], (part @ ((weights @ flux) * scale).T).T]
    return Views(found[0], found[2], found[1], found[3])


def _rows(functional: Functional, shifts: np.ndarray, unit: FloatArray) -> Any:
    """Give the sums as a matrix, shape (n_shift, n_wave)."""
    column = functional.channels[None, :] + shifts[:, None]
    row = np.repeat(np.arange(shifts.size), functional.channels.size)
    values = (functional.values * unit[column]).ravel()
    shape = (shifts.size, unit.size)
    return sparse.csr_array((values, (row, column.ravel())), shape=shape)


def strength(seen: Sequence[Views]) -> Strength | None:
    """Fit one strength to all views of a line.

    Returns
    -------
    Strength or None
        None where the line is too faint, or no place shows it twice.

    Notes
    -----
    With t what was taken off and o own light, s = sum(t o) / (sum(o^2) - N), where N is what noise
    adds to the sum. Its error is the scatter of what noise does to it,

        sum(W (dt - s do) + do dt - s (do^2 - N)) / (sum(o^2) - N),

    with do and dt sums over channels without lines, and W = (o + s t) / (1 + s^2) the best estimate
    of the light. Of two pointings that are taken off one another, what one adds to the first term
    the other takes away: their common strength is known better than that of each.
    """
    power = np.array([np.sum(v.own_noise**2, axis=1) for v in seen]).sum(axis=0)
    if not power.size:
        return None
    noise = float(np.median(power))
    light = float(sum(np.sum(v.own**2) for v in seen)) - noise
    swing = sum(2.0 * (v.own_noise @ v.own) for v in seen) + power - noise
    if not light > _CERTAIN * _spread(swing):
        return None
    value = float(sum(v.taken @ v.own for v in seen)) / light
    change = np.zeros(power.size)
    for v in seen:
        best = (v.own + value * v.taken) / (1.0 + value**2)
        change += (v.taken_noise - value * v.own_noise) @ best
        change += np.sum(v.taken_noise * v.own_noise, axis=1)
    change -= value * (power - noise)
    left = sum(float(np.sum((v.taken - value * v.own) ** 2)) for v in seen)
    expected = sum(np.sum((v.taken_noise - value * v.own_noise) ** 2, axis=1) for v in seen)
    usual = float(np.median(expected))
    over = usual if usual > light * _SAMPLING**2 else np.nan
    return Strength(
        value,
        float(np.hypot(_spread(change) / light, _SAMPLING)),
        left / over,
        _spread(expected - usual) / over,
    )


def _spread(values: Any) -> float:
    """Give the robust standard deviation about zero."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values)))


def free_placements(functional: Functional, blocked: BoolArray) -> np.ndarray | None:
    """Give the placements on channels without lines; None where they are too few."""
    shifts = placements(functional, blocked)
    return shifts if effective_placements(functional, shifts) >= ENOUGH else None
