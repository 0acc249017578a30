"""Which emission lines does the simulated target have, and how bright against H alpha?

The simulator keeps its own list, so that a wrong wavelength in the fitter's list shows up as
a wrong velocity instead of cancelling.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Line:
    """An emission line at rest.

    Attributes
    ----------
    name : str
        Element, ion and wavelength, as in the target's line list.
    rest_um : float
        Vacuum wavelength at rest, um.
    """

    name: str
    rest_um: float


REDSHIFT: Final = 0.964  # van Dokkum et al. 2023, ApJL 946 L50

# Vacuum wavelengths: the table of science.md section 5.
LINES: Final = (
    Line("OIII4959", 0.4960295),
    Line("OIII5007", 0.5008240),
    Line("OI6300", 0.6302046),
    Line("NII6548", 0.654986),
    Line("Halpha", 0.6564632),
    Line("NII6583", 0.658527),
    Line("SII6716", 0.6718294),
    Line("SII6731", 0.6732674),
    Line("SIII9069", 0.90711),
    Line("SIII9531", 0.95332),
)

# Fixed by atomic physics (PyNeb; science.md section 7); the [S II] ratio is that of 100 cm-3.
_OIII: Final = 2.984
_NII: Final = 2.942
_SIII: Final = 2.469
_SII: Final = 1.351


def _ratios(oiii: float, oi: float, nii: float, sii: float, siii: float) -> dict[str, float]:
    """Give every line over H alpha from [O III]5007, [O I]6300, [N II]6583 and two sums."""
    return {
        "OIII4959": oiii / _OIII,
        "OIII5007": oiii,
        "OI6300": oi,
        "NII6548": nii / _NII,
        "Halpha": 1.0,
        "NII6583": nii,
        "SII6716": sii * _SII / (1.0 + _SII),
        "SII6731": sii / (1.0 + _SII),
        "SIII9069": siii / (1.0 + _SIII),
        "SIII9531": siii * _SIII / (1.0 + _SIII),
    }


# Allen et al. 2008, table 8 (shock + precursor, solar, n = 1, B = 3.23), over their H alpha:
# the column of 300 km/s for the tip (the published log v_s is 2.42), 200 km/s for the wake.
SHOCK: Final = _ratios(2.667 / 2.948, 0.543 / 2.948, 2.593 / 2.948, 1.754 / 2.948, 1.946 / 2.948)
WAKE: Final = _ratios(0.978 / 3.010, 0.151 / 3.010, 1.476 / 3.010, 1.284 / 3.010, 0.926 / 3.010)
# RNAAS 2602.10682: log [O III]/Hb 0.76 (Ha/Hb 2.863), log [N II]/Ha -1.7, log [S II]/Ha -1.1;
# [O I] and [S III] are choices typical of a metal-poor H II region.
HII: Final = _ratios(10**0.76 / 2.863, 0.01, 10**-1.7, 10**-1.1, 0.25)
