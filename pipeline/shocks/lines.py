"""Which emission lines does the label of a published table mean, and where are they in vacuum?"""

import re
from collections.abc import Sequence
from typing import Final

from ard.errors import FormatError
from manifests.nebular import nearest_line, nebular_line
from pipeline.shocks.grid import GridLine

AIR_UM: Final = (0.2, 2.0)  # where tables of nebular lines give wavelengths in air
# Strength within a doublet (PyNeb; [S II] at 100 cm-3): weights of the nominal wavelength of a sum.
_STRENGTH: Final = {"OIII_5007": 2.984, "NII_6583": 2.942, "SII_6716": 1.351, "SIII_9531": 2.469}
_SERIES: Final = re.compile(r"^(Ly|H|Pa|Br)[αβγδ]$")
# Numbers of the row above, which stand before a label where a table was read from a page.
_DEBRIS: Final = re.compile(r"^[-\d.e\s]+")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


def air_to_vacuum(wave_air_um: float) -> float:
    """Give the vacuum wavelength of one in air.

    The refractive index is that of Morton 2000, ApJS 130, 403, eq. 8 (15 C, 1 atm); it is a
    function of the vacuum wavelength, so three rounds of substitution are made, the first with
    that in air. They err by 5e-8, 7e-12 and then by what rounding in double precision leaves.

    Parameters
    ----------
    wave_air_um : float
        Between 0.2 and 2 um.
    """
    wave = wave_air_um
    for _ in range(3):
        s2 = wave**-2
        index = 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - s2) + 1.5998e-4 / (38.9 - s2)
        wave = wave_air_um * index
    return wave


def vacuum_um(label_um: float) -> float:
    """Give the vacuum wavelength of a labelled one: air between 0.2 and 2 um, vacuum elsewhere."""
    return air_to_vacuum(label_um) if AIR_UM[0] < label_um < AIR_UM[1] else label_um


def read_label(label: str) -> tuple[str, tuple[float, ...]]:
    """Read ion and wavelengths from a label: "[S II] λλ6716+6731" is ("SII", (0.6716, 0.6731)).

    Parameters
    ----------
    label : str
        As tables print it: an ion, a lambda, wavelengths in Angstrom or um.

    Returns
    -------
    tuple of str and tuple of float
        Ion without brackets and blanks, and wavelengths in um.

    Raises
    ------
    FormatError
        If it is no label of a line.
    """
    ion, separator, rest = label.partition("λ")
    ion = _DEBRIS.sub("", ion)
    ion = re.sub(r"\s[ivx]+", lambda found: found[0].upper(), ion)  # "O iii", as papers print it
    ion = re.sub(r"[\[\]\s]", "", ion)
    numbers = [float(text) for text in _NUMBER.findall(rest)]
    if not separator or not ion or not numbers:
        raise FormatError(
            "the label of a column is not that of a line",
            expected="an ion, a lambda and wavelengths: [O III] λ5007",
            found=label,
            action="mend the table, or leave the column out",
        )
    scale = 1.0 if re.search("[μµ]m", rest) else 1e-4
    return ("HI" if _SERIES.match(ion) else ion), tuple(number * scale for number in numbers)


def known_line(ion: str, waves_um: Sequence[float]) -> GridLine:
    """Give the line or blend that ion and labelled wavelengths mean.

    Raises
    ------
    FormatError
        If the ion has no known lines.
    """
    found = [nearest_line(ion, wave) for wave in waves_um]
    members = [line.name for line in found if line is not None]
    if len(members) < len(found):
        raise FormatError(
            "no lines of this ion are known",
            expected="an ion of manifests/nebular.py",
            found=ion,
            action="add its lines there",
        )
    return blend(members)


def blend(members: Sequence[str]) -> GridLine:
    """Give a line, or the sum of several of an ion: ("SII_6716", "SII_6731") is SII_6716+6731.

    Raises
    ------
    FormatError
        If a member is no known line.
    """
    lines = [nebular_line(name) for name in members]
    known = [line for line in lines if line is not None]
    if len(known) < len(lines) or not known:
        raise FormatError(
            "a line has a name that is not known",
            expected="names such as OIII_5007, of manifests/nebular.py",
            found=", ".join(members),
            action="mend the name, or add the line there",
        )
    name = known[0].name
    for line in known[1:]:
        name += "+" + line.name.partition("_")[2]
    weights = [_STRENGTH.get(line.name, 1.0) for line in known]
    waves = [vacuum_um(line.label_um) for line in known]
    mean = sum(w * wave for w, wave in zip(weights, waves, strict=True)) / sum(weights)
    return GridLine(name, mean, tuple(line.name for line in known))


def line_named(name: str) -> GridLine:
    """Give the line or blend of a name such as OIII_5007 or SII_6716+6731."""
    ion, _, waves = name.rpartition("_")
    if name == "SiIV+OIV_1400":
        return blend([name])
    return blend([f"{ion}_{wave}" for wave in waves.split("+")])
