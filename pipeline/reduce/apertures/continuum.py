"""Which channels hold the continuum of a line, and what is it?

Every line of the target is masked before anything is clipped or fitted: a clip at six median
deviations has removed the bright lines of RBH-1 from a public re-reduction. The channels beside
a line are taken from both sides as far as the band and other lines allow, and what one side lacks
the other gives: [O III] 4959 lies six channels from the blue edge, so that most of its continuum
is red of 5007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ard.cube import BoolArray, FloatArray
from manifests import Target
from pipeline.lineprofile import IntArray, Windows, velocity_kms
from pipeline.lineset import LineSet

_MAD_TO_SIGMA = 1.482602218505602  # 1 / Phi^-1(3/4), for a Gaussian


@dataclass(frozen=True)
class WindowRule:
    """How are the windows of lines laid?

    Attributes
    ----------
    zone_kms : float
        Channels nearer to a line than this are the line's.
    channels : int
        Continuum channels wanted for each block of lines, half of them on either side.
    reach : int
        No window reaches further than this many channels from the lines.
    """

    zone_kms: float
    channels: int
    reach: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The channels with which a group of lines is fitted.

    Attributes
    ----------
    windows : Windows
        Spans of adjacent channels, one a block, and the block of each line.
    use : ndarray of bool, shape (n_span,)
        Which of the channels of the spans take part: the others belong to other lines.
    line_free : ndarray of bool, shape (n_span,)
        Which hold continuum only.
    """

    windows: Windows
    use: BoolArray
    line_free: BoolArray


def line_zones(wave_edges: FloatArray, target: Target, zone_kms: float) -> BoolArray:
    """Say which channels belong to any line of the target, inside or outside the band.

    Returns
    -------
    ndarray of bool, shape (n_wave,)
    """
    distance = _distances(wave_edges, [line.wave_vac_um for line in target.lines], target.redshift)
    return np.asarray((distance < zone_kms).any(axis=0))


def _distances(wave_edges: FloatArray, rest_um: Sequence[float], redshift: float) -> FloatArray:
    centre = 0.5 * (wave_edges[1:] + wave_edges[:-1])
    return np.stack([np.abs(velocity_kms(centre, rest, redshift)) for rest in rest_um])


def plan_windows(wave_edges: FloatArray, lines: LineSet, target: Target, rule: WindowRule) -> Plan:
    """Lay the windows of a group of lines.

    Parameters
    ----------
    wave_edges : ndarray, shape (n_wave + 1,)
    lines : LineSet
        The lines of the group inside the band.
    target : Target
        All its lines are masked.
    rule : WindowRule

    Returns
    -------
    Plan
    """
    own = _distances(wave_edges, list(lines.wave_rest_um), target.redshift)
    names = set(lines.names)
    strangers = [line.wave_vac_um for line in target.lines if line.name not in names]
    ours = own.min(axis=0) < rule.zone_kms
    theirs = np.zeros_like(ours)
    if strangers:
        away = _distances(wave_edges, strangers, target.redshift).min(axis=0)
        theirs = (away < rule.zone_kms) & ~(ours & (own.min(axis=0) <= away))
        ours &= ~theirs
    free = ~ours & ~theirs
    # A line whose own channels all belong to nearer strangers still has its nearest one.
    ours[own.argmin(axis=1)] = True
    spans = _merged([_grown(part, free, rule) for part in _runs(ours)])
    channels = np.concatenate([np.arange(a, b) for a, b in spans])
    starts = np.cumsum([0, *(b - a for a, b in spans)])
    blocks = tuple(slice(int(a), int(b)) for a, b in pairwise(starts))
    nearest = own.argmin(axis=1)
    line_block = tuple(next(i for i, (a, b) in enumerate(spans) if a <= k < b) for k in nearest)
    windows = Windows(channels, blocks, line_block)
    return Plan(windows, ~theirs[channels] | ours[channels], free[channels])


def _runs(flags: BoolArray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _grown(run: tuple[int, int], free: BoolArray, rule: WindowRule) -> tuple[int, int]:
    """Widen a run of line channels until it holds its continuum channels."""
    low, high = run
    before = np.flatnonzero(free[max(low - rule.reach, 0) : low])[::-1]
    after = np.flatnonzero(free[high : high + rule.reach])
    half = rule.channels // 2
    n_before = min(before.size, max(half, rule.channels - after.size))
    n_after = min(after.size, rule.channels - n_before)
    if n_before:
        low = max(low - rule.reach, 0) + int(before[n_before - 1])
    if n_after:
        high = high + int(after[n_after - 1]) + 1
    return low, high


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def clip(flux: FloatArray, free: BoolArray, n_mad: float, width: int) -> BoolArray:
    """Find wild channels of the continuum; channels of lines are never looked at.

    Parameters
    ----------
    flux : ndarray, shape (n_wave,)
        NaN where masked.
    free : ndarray of bool, shape (n_wave,)
        Channels that no line of the target reaches.
    n_mad : float
        Further than this many median absolute deviations from the median around is wild.
    width : int
        Nearest continuum channels over which the median is taken.

    Returns
    -------
    ndarray of bool, shape (n_wave,)
    """
    wild = np.zeros(flux.shape, dtype=bool)
    places = np.flatnonzero(free & np.isfinite(flux))
    if places.size < 3:
        return wild
    middle = np.array([np.median(flux[near]) for near in _nearest(places, places, width)])
    away = np.abs(flux[places] - middle)
    wild[places] = away > n_mad * np.median(away)
    return wild


def _nearest(where: IntArray, places: IntArray, width: int) -> list[IntArray]:
    """Give for each channel the `width` nearest of some increasing channels."""
    count = min(width, places.size)
    out = []
    for k in where:
        here = int(np.searchsorted(places, k))
        low, high = max(here - count, 0), min(here + count, places.size)
        window = places[low:high]
        order = np.argsort(np.abs(window - k), kind="stable")[:count]
        out.append(np.sort(window[order]))
    return out


def continuum(flux: FloatArray, good: BoolArray, width: int) -> FloatArray:
    """Give the continuum of a spectrum: a straight line through the nearest good channels.

    Parameters
    ----------
    flux : ndarray, shape (n_wave,)
    good : ndarray of bool, shape (n_wave,)
        Channels without lines, masked or wild values.
    width : int
        Number of channels for each straight line; at the ends of the band and beside lines they
        lie to one side.

    Returns
    -------
    ndarray, shape (n_wave,)
        NaN where there are fewer than three good channels.
    """
    places = np.flatnonzero(good)
    if places.size < 3:
        return np.full(flux.shape, np.nan)
    level = np.empty(flux.shape)
    for k, near in enumerate(_nearest(np.arange(flux.size), places, width)):
        x = near - near.mean()
        slope = (x * flux[near]).sum() / (x**2).sum()
        level[k] = flux[near].mean() + slope * (k - near.mean())
    return level


def levels(flux: FloatArray, good: BoolArray, width: int) -> FloatArray:
    """Give the continuum of each spaxel: the running mean of its good channels.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, m)
    good : ndarray of bool, shape (n_wave, m)
        Without lines, masked or wild voxels.
    width : int
        Good channels of a mean. Between the means it is straight, beside the outermost constant.

    Returns
    -------
    ndarray, shape (n_wave, m)
        0 in spaxels without a good channel.
    """
    out = np.zeros(flux.shape)
    every = np.arange(flux.shape[0])
    for s in range(flux.shape[1]):
        places = np.flatnonzero(good[:, s])
        if not places.size:
            continue
        count = min(width, places.size)
        middle, mean = (
            np.lib.stride_tricks.sliding_window_view(values, count).mean(axis=1)
            for values in (places.astype(float), flux[places, s])
        )
        out[:, s] = np.interp(every, middle, mean)
    return out


def residual_scale(
    flux: FloatArray,
    covariance: FloatArray,
    free: BoolArray,
    order: int,
) -> float:
    """Say by how much errors are too small: sqrt(chi2 / dof) of the continuum, never below 1.

    Parameters
    ----------
    flux : ndarray, shape (n,)
        Channels of one block.
    covariance : ndarray, shape (n, n)
    free : ndarray of bool, shape (n,)
        Usable channels without a line.
    order : int
        Of the polynomial.

    Returns
    -------
    float
        1 where fewer than three degrees of freedom are left.
    """
    dof = int(free.sum()) - order - 1
    if dof < 3:
        return 1.0
    x = np.linspace(-1.0, 1.0, flux.size)[free]
    white = np.linalg.inv(np.linalg.cholesky(covariance[np.ix_(free, free)]))
    design = white @ np.vander(x, order + 1)
    basis, _ = np.linalg.qr(design)
    data = white @ flux[free]
    left = data - basis @ (basis.T @ data)
    return max(float(np.sqrt((left**2).sum() / dof)), 1.0)
