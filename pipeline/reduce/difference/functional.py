"""Which sum over channels is the flux of a line?

The flux of a line of known velocity and width is a linear function of the spectrum: least squares
of line profiles and straight continua. One such function, applied to wake, background and sky
alike, compares them without a fit that could run elsewhere in each; and applied to channels that
hold no line, it says how much it scatters. Where the cube ends, the window ends: at [O III] 4959
there are six channels of continuum on one side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray, Lsf
from manifests import Line, Target
from pipeline.linemaps import linefit
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import Response, velocity_kms
from pipeline.lineset import LineSet, line_set

_MEASURED: Final = 0.5  # of a profile: with less, its flux is more inferred than measured
_CERTAIN: Final = 5.0  # S/N from which a fit may say where a line is and how wide


@dataclass(frozen=True)
class Profile:
    """Velocity and intrinsic standard deviation of the lines of a group, km/s."""

    velocity_kms: float
    sigma_kms: float


@dataclass(frozen=True, eq=False)
class Functional:
    """The flux of a line as a sum over channels.

    Attributes
    ----------
    line : str
        Name of the line.
    channels : ndarray of int, shape (n_used,)
        Increasing.
    values : ndarray, shape (n_used,)
        Flux is ``values @ density[channels]``, with the density per um.
    basis : ndarray, shape (n_used, n)
        The profiles and continua that were fitted.
    free : int
        How many of the columns of `basis` are profiles.
    """

    line: str
    channels: np.ndarray
    values: FloatArray
    basis: FloatArray
    free: int

    def __call__(self, density: FloatArray, shift: int = 0) -> FloatArray:
        """Give the flux of spectra, shape (n_wave, ...), with the channels moved by a shift."""
        return np.asarray(np.tensordot(self.values, density[self.channels + shift], axes=(0, 0)))


def profile_of(
    density: FloatArray,
    err: FloatArray,
    edges: FloatArray,
    lines: LineSet,
    redshift: float,
    others_um: FloatArray,
    *,
    live: BoolArray,
) -> tuple[Profile, float] | None:
    """Fit velocity and width of a group in one spectrum; give them with the S/N of its flux.

    Channels that are not live are not looked at.

    Returns
    -------
    (Profile, float) or None
        None where the fit says nothing certain.
    """
    ivar = np.where(live, 1.0 / np.where(live, err, 1.0) ** 2, 0.0)
    found = linefit.fit(
        density[None], ivar[None], edges, lines, redshift, linefit.Config(),
        others_um=others_um,
    )  # fmt: skip
    if not found.usable[0]:
        return None
    ratio = found.flux[0] / found.flux_err[0] / np.sqrt(max(float(found.chi2_dof[0]), 1.0))
    snr = float(np.nanmax(ratio, initial=0.0))
    if not snr > _CERTAIN:
        return None
    return Profile(float(found.velocity[0]), float(found.sigma[0])), snr


def functionals(
    edges: FloatArray,
    lines: LineSet,
    redshift: float,
    profile: Profile,
    err: FloatArray,
    others_um: FloatArray,
    *,
    live: BoolArray,
) -> tuple[Functional, ...]:
    """Give the flux of the brightest line of each free amplitude of a group.

    A line has none if most of its profile lies in channels that were not measured.

    Parameters
    ----------
    edges : ndarray, shape (n_wave + 1,)
        Channel edges, um.
    lines : LineSet
    redshift : float
    profile : Profile
        Where the lines are, and how wide.
    err : ndarray, shape (n_wave,)
        Errors by which the channels are weighted.
    others_um : ndarray
        Rest wavelengths of the lines of other groups, whose channels are left alone.
    live : ndarray of bool, shape (n_wave,)
        Channels that were measured.
    """
    window = cut(edges, lines, redshift, linefit.Config().window_kms, others_um)
    response = Response.of(edges, lines, window, redshift)
    shapes = response.templates(np.array([profile.velocity_kms]), np.array([profile.sigma_kms**2]))[
        0
    ][0]
    continua = np.zeros((window.channels.size, 2 * len(window.blocks)))
    for k, part in enumerate(window.blocks):
        run = np.linspace(-1.0, 1.0, part.stop - part.start)
        continua[part, 2 * k], continua[part, 2 * k + 1] = 1.0, run
    kept = live[window.channels]
    channels = window.channels[kept]
    basis = np.concatenate([shapes, continua], axis=1)[kept]
    weighted = basis / err[channels][:, None]
    inverse = np.linalg.pinv(weighted) / err[channels]
    part = np.abs(shapes[kept]).sum(axis=0) / np.abs(shapes).sum(axis=0)
    found = []
    for k in range(lines.n_free):
        if part[k] < _MEASURED:
            continue
        brightest = int(np.argmax(lines.ratio[:, k]))
        values = lines.ratio[brightest, k] * inverse[k]
        name = lines.names[brightest]
        found.append(Functional(name, channels, values, basis, lines.n_free))
    return tuple(found)


def group_lines(target: Target, group: str, edges: FloatArray, lsf: Lsf) -> LineSet:
    """Give the lines of a group that a cube covers."""
    return line_set(target.group_lines(group), target.redshift, edges, lsf)


def others_of(target: Target, group: str) -> FloatArray:
    """Give the rest wavelengths of all lines of other groups, um."""
    return np.array([line.wave_vac_um for line in target.lines if line.group != group])


def line_channels(
    wave: FloatArray, lines: Sequence[Line], redshift: float, reach_kms: tuple[float, float]
) -> BoolArray:
    """Say which channels a line can reach, shape (n_wave,).

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        um.
    lines : sequence of manifests.Line
    redshift : float
    reach_kms : (float, float)
        Lowest and highest velocity that counts, instrument included.
    """
    low, high = reach_kms
    reached = np.zeros(wave.size, dtype=bool)
    for line in lines:
        velocity = velocity_kms(wave, line.wave_vac_um, redshift)
        reached |= (velocity > low) & (velocity < high)
    return reached


def placements(functional: Functional, blocked: BoolArray) -> np.ndarray:
    """Give the shifts at which a functional touches no blocked channel, shape (n,)."""
    first, last = int(functional.channels[0]), int(functional.channels[-1])
    shifts = np.arange(-first, blocked.size - last)
    used = np.unique(functional.channels)
    clear = ~blocked[used[None, :] + shifts[:, None]].any(axis=1)
    return shifts[clear]


def effective_placements(functional: Functional, shifts: np.ndarray) -> float:
    """Give the number of independent placements that know a scatter as well as these.

    Notes
    -----
    The mean square of n normal numbers of correlations r has the variance 2 sum(r_ij^2) / n^2 in
    units of its own mean squared; of independent ones it is 2 / n. Channels are taken to be
    independent: two placements correlate as their weights overlap.
    """
    if not shifts.size:
        return 0.0
    channels = functional.channels - functional.channels[0]
    weight = np.zeros(int(channels[-1]) + 1)
    weight[channels] = functional.values
    overlap = np.correlate(weight, weight, "full")[weight.size - 1 :]
    square = (overlap / overlap[0]) ** 2
    # How many pairs lie a given number of channels apart.
    taken = np.bincount(shifts - shifts.min())
    pairs = np.correlate(taken, taken, "full")[taken.size - 1 :]
    n = min(pairs.size, square.size)
    total = float(pairs[0] + 2.0 * (pairs[1:n] @ square[1:n]))
    return float(shifts.size**2 / total)
