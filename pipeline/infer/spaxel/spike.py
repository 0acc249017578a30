"""Would one bad channel explain a spaxel as well as lines do?

A hot voxel or a hit that was missed is one channel too high. A line is at least as wide as the
line-spread function, and has the companions it is tied to, so the data can tell: the rival of a
line is an excess in any one channel, every channel being as likely, with a prior of its height as
wide as that of a flux. For the channel k, with M what is left of the noise once the continuum is
integrated out and f the width in errors of such an excess,

    ln B_k = h^2 / 2 - ln(1 + f^2) / 2 + ln(2 Phi(h)),   h = (M y)_k / sqrt(M_kk (1 + 1 / f^2)),

in closed form; the evidence of the rival is the mean of B_k.
"""

from typing import Final

import numpy as np
from scipy.special import log_ndtr, logsumexp

from ard.cube import BoolArray, FloatArray
from pipeline.infer.spaxel.settings import Prior
from pipeline.infer.spaxel.spectra import Condensed

_LOG_2: Final = float(np.log(2.0))


def log_bayes_spike(condensed: Condensed, good: BoolArray, prior: Prior) -> FloatArray:
    """Give ln of the evidence of one channel that is off over that of none, shape (n,).

    Parameters
    ----------
    condensed : Condensed
        Of n spaxels.
    good : ndarray of bool, shape (n, n_used)
        Channels that are used; a spaxel must have one.
    prior : Prior
        Whose width of a flux counts, in errors; excesses are positive where fluxes are.
    """
    precision = np.diagonal(condensed.precision, axis1=1, axis2=2)
    used = good & (precision > 0)
    safe = np.where(used, precision, 1.0)
    width = prior.flux_snr**2
    height = condensed.pulled / np.sqrt(safe * (1.0 + 1.0 / width))
    gain = 0.5 * height**2 - 0.5 * np.log1p(width)
    if prior.non_negative:
        gain = gain + log_ndtr(height) + _LOG_2
    total = logsumexp(np.where(used, gain, -np.inf), axis=1)
    return np.asarray(total - np.log(np.maximum(used.sum(axis=1), 1)))
