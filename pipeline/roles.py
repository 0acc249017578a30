"""Which exposures show the sky, which the light that leaks through the shutters, and from where?

Header flags decide, and the exposure time confirms them. Acquisition and reduction ask the same
functions; what they do about a contradiction is their own affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

SCIENCE: Final = "science"
IMPRINT: Final = "imprint"
BACKGROUND: Final = "background"
# An imprint is exposed for much less time than the exposures that it corrects.
SHORT_FRACTION: Final = 0.5
# The two pointings of GO-3149 are 1.06 arcsec apart; dithers do not move the target position.
POINTING_ARCSEC: Final = 0.3
_ARCSEC: Final = 3600.0


@dataclass(frozen=True)
class Judgement:
    """What an exposure is, and whether its header and its exposure time agree on that."""

    role: str
    agrees: bool


def flag(value: object) -> bool | None:
    """Read a FITS logical that some writers store as text; None where it says neither."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    return {"T": True, "TRUE": True, "F": False, "FALSE": False}.get(str(value).strip().upper())


def is_short(exptime_s: float, longest_s: float, short_fraction: float = SHORT_FRACTION) -> bool:
    """Say whether an exposure is as short as an imprint, next to the longest of its kind."""
    return exptime_s < short_fraction * longest_s


def judge(*, is_imprint: bool | None, is_background: bool | None, short: bool | None) -> Judgement:
    """Decide what an exposure is for.

    Parameters
    ----------
    is_imprint, is_background : bool or None
        What IS_IMPRT and BKGDTARG say; None where they are missing.
    short : bool or None
        Whether it is as short as an imprint; None where there is nothing to compare it with.

    Returns
    -------
    Judgement
        The header decides; where it is silent, the time does; where both are, it is science.
    """
    imprint = is_imprint if is_imprint is not None else bool(short)
    agrees = short is None or imprint == short
    if imprint:
        return Judgement(IMPRINT, agrees)
    return Judgement(BACKGROUND if is_background else SCIENCE, agrees)


def pointings(
    positions: Sequence[tuple[float, float]], within_arcsec: float = POINTING_ARCSEC
) -> list[str]:
    """Name pointings t001, t002, ... in order of first appearance, by target position.

    Parameters
    ----------
    positions : sequence of (float, float)
        Right ascension and declination, deg.
    within_arcsec : float
        Exposures of one pointing are closer than this to its first.
    """
    centres: list[tuple[float, float]] = []
    names = []
    for here in positions:
        near = [k for k, c in enumerate(centres) if separation_arcsec(here, c) < within_arcsec]
        if not near:
            near = [len(centres)]
            centres.append(here)
        names.append(f"t{near[0] + 1:03d}")
    return names


def separation_arcsec(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Give the distance of two near positions (right ascension, declination in deg) in arcsec."""
    east = ((one[0] - other[0] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(one[1]))
    return float(np.hypot(east, one[1] - other[1]) * _ARCSEC)
