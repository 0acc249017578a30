"""If the wavelengths of a spaxel may be shifted, which part of a velocity is the gas?

The data know the sum of velocity and shift alone. Given the sum w, the shift is its normal prior
cut to where the velocity, w less the shift, is inside its own prior.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from ard.cube import FloatArray
from pipeline.infer.spaxel.settings import Prior


def _ends(observed: FloatArray, prior: Prior) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the ends of the shift in standard deviations on the side where they are small, and
    the sign that brings it there."""
    sign = np.where(observed > 0, -1.0, 1.0)
    far = np.abs(observed)
    low = (-far - prior.velocity_max_kms) / prior.offset_kms
    high = (prior.velocity_max_kms - far) / prior.offset_kms
    return low, high, sign


def shift_moments(observed: FloatArray, prior: Prior) -> tuple[FloatArray, FloatArray]:
    """Give the means of the shift and of its square, given the sum (km/s)."""
    if prior.offset_kms == 0.0:
        return np.zeros(observed.shape), np.zeros(observed.shape)
    low, high, sign = _ends(observed, prior)
    share = ndtr(high) - ndtr(low)
    at = [np.exp(-0.5 * end**2) / np.sqrt(2.0 * np.pi) for end in (low, high)]
    mean = (at[0] - at[1]) / share
    square = 1.0 + (low * at[0] - high * at[1]) / share
    return sign * mean * prior.offset_kms, square * prior.offset_kms**2


def split_shift(observed: FloatArray, uniform: FloatArray, prior: Prior) -> FloatArray:
    """Draw the shift given the sum, km/s."""
    low, high, sign = _ends(observed, prior)
    first, last = ndtr(low), ndtr(high)
    return np.asarray(sign * prior.offset_kms * ndtri(first + uniform * (last - first)))
