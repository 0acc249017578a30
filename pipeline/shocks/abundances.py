"""Which composition do the abundance sets of published grids have?

Given are 12 + log X/H of the gas; what was not read in a source is unknown (NaN), not guessed.
"""

import re
from collections.abc import Iterable
from typing import Final

import numpy as np

from pipeline.shocks.grid import NOT_STATED, Abundance

# O/H: Allen et al. 2008, ApJS 178, 20, table 1. N and S of the solar sets are those of Anders &
# Grevesse 1989, on which they rest; S of the LMC set is the value of that table, read one row up
# (its printed column shifts where silicon to chlorine are blank).
ALLEN_SOLAR: Final = "anders-grevesse-1989"
_ALLEN: Final = {
    "Allen2008_SMC": (8.03, np.nan, np.nan),
    "Allen2008_LMC": (8.35, np.nan, 6.71),
    "Allen2008_Dopita2005": (8.44, np.nan, np.nan),
    "Allen2008_Solar": (8.93, 8.05, 7.21),
    "Allen2008_TwiceSolar": (9.23, 8.35, 7.51),
}
# Gutkin, Charlot & Bruzual 2016: gas-phase O/H of sets by metallicity, as clients of the database
# use it.
_GUTKIN: Final = {
    "0001": 6.61,
    "0002": 6.91,
    "0005": 7.30,
    "001": 7.61,
    "002": 7.91,
    "004": 8.21,
    "010": 8.61,
    "01524": 8.83,
}


def abundance_named(name: str) -> Abundance:
    """Give an abundance set by the name that the grid has for it; unknown ones are all NaN."""
    if name in _ALLEN:
        return Abundance(name, *_ALLEN[name])
    gutkin = re.match(r"Gutkin16_ISM0d(\d+)_C", name)
    oxygen = _GUTKIN.get(gutkin[1], np.nan) if gutkin else np.nan
    return Abundance(name, oxygen, np.nan, np.nan)


def solar_of(names: Iterable[str]) -> str:
    """Give the convention by which the authors of these sets call one solar, if it is known."""
    return ALLEN_SOLAR if all(name in _ALLEN for name in names) else NOT_STATED
