"""Which emission lines did this run look for, and where?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.table import Table
from manifests import Target


@dataclass(frozen=True)
class Config:
    """The line list has no settings: the target declares it."""


def run(*, target: Target, config: Config) -> dict[str, Any]:
    """Write the target's line list as a table.

    Returns
    -------
    dict
        ``lines``: a Table with name, label, rest and observed vacuum wavelength (um), group, and
        the fixed flux ratio to another line (NaN where the flux is free).
    """
    lines = target.lines
    data = QTable(
        {
            "name": [line.name for line in lines],
            "label": [line.label for line in lines],
            "wave_vac_um": [line.wave_vac_um for line in lines] * u.um,
            "wave_obs_um": [line.wave_obs_um(target.redshift) for line in lines] * u.um,
            "group": [line.group for line in lines],
            "ratio_to": [line.ratio_to or "" for line in lines],
            "ratio": [np.nan if line.ratio is None else line.ratio for line in lines],
        }
    )
    return {"lines": Table(data, {"target": target.name, "redshift": target.redshift})}
