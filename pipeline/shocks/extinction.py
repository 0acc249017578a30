"""How much does dust weaken each line, for one magnitude in V?"""

from typing import Any, Final

import numpy as np
from numpy.polynomial.polynomial import polyval

from ard.cube import FloatArray
from ard.errors import ArdError

# Cardelli, Clayton & Mathis 1989, ApJ 345, 245, equations 2 and 3; x is 1 / um.
_OPTICAL_A: Final = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
_OPTICAL_B: Final = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
_X_MIN, _X_SPLIT, _X_MAX = 0.3, 1.1, 3.3


def extinction(wave_um: Any, r_v: float) -> FloatArray:
    """Give A(wave) / A_V by Cardelli, Clayton & Mathis (1989), 0.303 to 3.33 um.

    Parameters
    ----------
    wave_um : array
        Rest wavelengths.
    r_v : float
        A_V / E(B - V).

    Raises
    ------
    ArdError
        If a wavelength is outside of the formulae.
    """
    x = 1.0 / np.asarray(wave_um, np.float64)
    if not bool(np.all((x >= _X_MIN) & (x <= _X_MAX))):
        raise ArdError(
            "a line is outside of the law of extinction",
            expected=f"{1 / _X_MAX:.3f} to {1 / _X_MIN:.2f} um",
            found=f"{np.min(1 / x):.4f} to {np.max(1 / x):.4f} um",
            action="leave the line out",
        )
    y = x - 1.82
    a = np.where(x < _X_SPLIT, 0.574 * x**1.61, polyval(y, _OPTICAL_A))
    b = np.where(x < _X_SPLIT, -0.527 * x**1.61, polyval(y, _OPTICAL_B))
    return np.asarray(a + b / r_v)
