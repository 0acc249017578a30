"""Which emission lines of nebulae have which wavelength?

Wavelengths are those that lists of lines and tables of models are labelled with: in air between
0.2 and 2 um, in vacuum elsewhere. They tell lines apart; nothing is measured with them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class NebularLine:
    """One emission line, or one blend that every list gives as a whole.

    Attributes
    ----------
    ion : str
        Spectrum without brackets and blanks: "OIII".
    label_um : float
        Wavelength of its label, um.
    name : str
        Ion and Angstrom, as in the 3MdB ("OIII_5007"), or um beyond 2 um ("NeIII_15.56um").
    """

    ion: str
    label_um: float

    @property
    def name(self) -> str:
        """Ion and wavelength."""
        if self.label_um > _FAR_UM:
            return f"{self.ion}_{self.label_um:.2f}um"
        return f"{self.ion}_{self.label_um * 1e4:.0f}"


_FAR_UM: Final = 2.0

# Angstrom. NIST Atomic Spectra Database; several close ultraviolet lines stand under one number
# where tables of models add them up.
_ANGSTROM: Final[dict[str, tuple[float, ...]]] = {
    "HI": (
        *(1215.67, 3797.90, 3835.38, 3889.05, 3970.07, 4101.73, 4340.46, 4861.33, 6562.82),
        *(9014.91, 9229.01, 9545.97, 10049.37, 10938.09, 12818.07, 18751.0, 40522.7),
    ),
    "HeI": (3888.65, 4471.50, 5015.68, 5875.62, 6678.15, 7065.19, 10830.2),
    "HeII": (1640.42, 4685.70),
    "CII": (2326.0,),
    "CIII": (977.02, 1908.73),
    "CIV": (1548.19, 1550.77),
    "NI": (5197.90, 5200.26),
    "NII": (5754.64, 6548.05, 6583.45),
    "NIII": (990.0, 1749.7),
    "NIV": (1486.5,),
    "NV": (1238.82, 1242.80),
    "OI": (6300.30, 6363.78),
    "OII": (3726.03, 3728.82, 7318.92, 7319.99, 7329.67, 7330.73),
    "OIII": (1660.81, 1666.15, 4363.21, 4958.91, 5006.84),
    "OIV": (258903.0,),
    "OVI": (1031.93, 1037.62),
    "NeII": (128135.5,),
    "NeIII": (3868.76, 3967.47, 155551.0),
    "NeV": (3345.8, 3425.87, 143217.0, 243175.0),
    "NeVI": (76524.0,),
    "MgII": (2798.0,),
    "SiIV+OIV": (1400.0,),
    "SII": (4068.60, 4076.35, 6716.44, 6730.82),
    "SIII": (3721.63, 6312.06, 9068.6, 9530.6, 187130.0),
    "SIV": (105105.0,),
    "ArII": (69852.7,),
    "ArIII": (7135.79, 7751.11, 89914.0),
    "ArIV": (4711.33, 4740.20),
    "ArV": (6435.1, 7005.7, 79016.0, 131022.0),
    "ArVI": (45295.0,),
    "FeVII": (6086.97,),
}
NEBULAR_LINES: Final = tuple(
    NebularLine(ion, angstrom * 1e-4) for ion, lines in _ANGSTROM.items() for angstrom in lines
)


def nearest_line(ion: str, label_um: float) -> NebularLine | None:
    """Give the line of an ion whose label is nearest; None for an ion without lines."""
    lines = [line for line in NEBULAR_LINES if line.ion == ion]
    return min(lines, key=lambda line: abs(line.label_um - label_um), default=None)


def nebular_line(name: str) -> NebularLine | None:
    """Give the line of this name; None if there is none."""
    return next((line for line in NEBULAR_LINES if line.name == name), None)
