"""Which emission lines are looked at together, and how are their fluxes tied?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import Lsf
from manifests import Line

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MIN_CHANNELS: Final = 3  # a line and a constant: fewer channels on one side hold no line at all


@dataclass(frozen=True, eq=False)
class LineSet:
    """Which lines are fitted together, and how are their fluxes tied?

    Attributes
    ----------
    names : tuple of str
        The lines, length n_lines.
    wave_rest_um : ndarray, shape (n_lines,)
        Vacuum wavelengths at rest.
    ratio : ndarray, shape (n_lines, n_free)
        Flux of each line = `ratio` @ amplitudes; one column for each free amplitude.
    sigma_lsf_kms : ndarray, shape (n_lines,)
        Standard deviation of the line-spread function at each line.
    """

    names: tuple[str, ...]
    wave_rest_um: FloatArray
    ratio: FloatArray
    sigma_lsf_kms: FloatArray

    @property
    def n_free(self) -> int:
        """Number of free amplitudes."""
        return int(self.ratio.shape[1])

    def select(self, keep: BoolArray) -> "LineSet":
        """Give the lines where `keep` (shape (n_lines,)) is true, and the amplitudes they need."""
        ratio = self.ratio[keep]
        return LineSet(
            tuple(name for name, kept in zip(self.names, keep, strict=True) if kept),
            self.wave_rest_um[keep],
            ratio[:, (ratio != 0).any(axis=0)],
            self.sigma_lsf_kms[keep],
        )


def covered(wave_edges: FloatArray, wave_rest_um: FloatArray, redshift: float) -> BoolArray:
    """Say which lines fall into the wavelength range of a cube.

    Parameters
    ----------
    wave_edges : ndarray, shape (n_wave + 1,)
        Channel edges, um.
    wave_rest_um : ndarray, shape (n_lines,)
        Vacuum wavelengths at rest, um.
    redshift : float
        Of velocity zero.

    Returns
    -------
    ndarray of bool, shape (n_lines,)
        True where a line has `MIN_CHANNELS` channels on either side, its own counted.
    """
    observed = np.asarray(wave_rest_um) * (1.0 + redshift)
    position = np.searchsorted(wave_edges, observed)
    return (position >= MIN_CHANNELS) & (position <= wave_edges.size - MIN_CHANNELS)


def inside(lines: Sequence[Line], redshift: float, wave_edges: FloatArray) -> BoolArray:
    """Say which lines of a manifest fall into a range of wavelengths, shape (n_lines,)."""
    return covered(wave_edges, np.array([line.wave_vac_um for line in lines]), redshift)


def line_set(lines: Sequence[Line], redshift: float, wave_edges: FloatArray, lsf: Lsf) -> LineSet:
    """Give the lines that are inside a range, with their ties and instrument widths.

    A line whose reference lies outside the range keeps its share of the common amplitude.

    Parameters
    ----------
    lines : sequence of manifests.Line
        With a line that is tied, the one that it is tied to.
    redshift : float
        Of velocity zero.
    wave_edges : ndarray, shape (n_wave + 1,)
        Channel edges, um.
    lsf : Lsf
    """
    rest = np.array([line.wave_vac_um for line in lines])
    names = tuple(line.name for line in lines)
    every = LineSet(names, rest, _ratios(lines), lsf.sigma_kms(rest * (1.0 + redshift)))
    return every.select(inside(lines, redshift, wave_edges))


def _ratios(lines: Sequence[Line]) -> FloatArray:
    """Give flux of each line / amplitude: one column for each line whose flux is free."""
    free = [line.name for line in lines if line.ratio_to is None]
    ratio = np.zeros((len(lines), len(free)))
    for row, line in enumerate(lines):
        ratio[row, free.index(line.ratio_to or line.name)] = line.ratio or 1.0
    return ratio
