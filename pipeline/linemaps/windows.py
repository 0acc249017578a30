"""Which channels of a cube belong to which emission lines?

Around each line a window in velocity is cut out; windows that touch form one block, and each
block has its own continuum. Where the cube ends, the window ends: windows are never mirrored.
"""

import numpy as np

from pipeline.lineprofile import FloatArray, Windows, velocity_kms
from pipeline.lineset import LineSet


def cut(
    wave_edges: FloatArray,
    lines: LineSet,
    redshift: float,
    half_width_kms: float,
    others_um: FloatArray | None = None,
) -> Windows:
    """Cut the windows of a set of lines out of the channels.

    Parameters
    ----------
    wave_edges : ndarray, shape (n_wave + 1,)
        Channel edges, um.
    lines : LineSet
        Lines that the cube covers.
    redshift : float
        Of velocity zero.
    half_width_kms : float
        A channel belongs to a line if its centre is nearer than this.
    others_um : ndarray, shape (n_others,), optional
        Rest wavelengths of lines of other groups. A channel nearer to one of them than to any
        line of this set, and inside its window, is left out: its light has another owner.

    Returns
    -------
    Windows
    """
    centre = 0.5 * (wave_edges[1:] + wave_edges[:-1])
    own = _distance(centre, lines.wave_rest_um, redshift)
    use = own.min(axis=0) < half_width_kms
    if others_um is not None and np.size(others_um):
        use &= own.min(axis=0) <= _distance(centre, np.asarray(others_um), redshift).min(axis=0)
    channels = np.flatnonzero(use)
    starts = np.flatnonzero(np.diff(channels, prepend=-2) > 1)
    ends = np.append(starts[1:], channels.size)
    blocks = tuple(slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True))
    nearest = own[:, channels].argmin(axis=1)
    line_block = tuple(int(np.searchsorted(starts, k, side="right")) - 1 for k in nearest)
    return Windows(channels, blocks, line_block)


def _distance(wave_um: FloatArray, wave_rest_um: FloatArray, redshift: float) -> FloatArray:
    """Give |velocity| of each wavelength from each line, shape (n_lines, n_wave), km/s."""
    return np.stack([np.abs(velocity_kms(wave_um, rest, redshift)) for rest in wave_rest_um])
