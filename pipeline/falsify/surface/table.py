"""How does a stranger get at every galaxy of a campaign with numpy and astropy alone?

One FITS table with a row for each model: its parameters, what the dynamics say, which filters
reject it, and what the cube says. Everything else that is said of the campaign follows from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.errors import FormatError
from ard.fitsio import write_hdus
from ard.headers import write_cards
from ard.provenance import Provenance, to_hdu
from pipeline.falsify.surface.survey import Evaluations

KIND: Final = "evaluations"
# Before the names of nuisances, which may be those of parameters.
NUISANCE: Final = "nuisance_"
BETWEEN: Final = ","
_OWN: Final = ("number", "rejected_by", "log_likelihood", "chi2", "converged")
_UNITS: Final = {
    **{"kms": "km/s", "kpc": "kpc", "deg": "deg", "arcsec": "arcsec", "um": "um", "myr": "Myr"},
}


def unit_of(name: str) -> str:
    """Read the unit of a number from its name: that of its last word, if it is one."""
    return _UNITS.get(name.rpartition("_")[2], "")


def write_evaluations(
    path: Path,
    evaluations: Evaluations,
    *,
    campaign: str,
    n_model: int,
    units: Mapping[str, str],
    meta: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write the table of a campaign.

    Parameters
    ----------
    path : path
    evaluations : Evaluations
    campaign : str
        Its name.
    n_model : int
        How many models it was to have.
    units : mapping of str to str
        Of parameters, facts and nuisances whose name does not say it.
    meta : mapping
        Keywords of the primary header: what was observed, with what.
    provenance : Provenance

    Raises
    ------
    FormatError
        If two columns would have one name.
    """
    primary = fits.PrimaryHDU()
    mark = {"SIMULATD": True} if provenance.simulated else {}
    write_cards(primary.header, {**meta, **mark})
    primary.header["ARDKIND"] = (KIND, "product type of rbh1-ard")
    columns = _columns(evaluations, units)
    _require_apart([column.name for column in columns])
    table = fits.BinTableHDU.from_columns(columns, name="EVALUATIONS")
    table.header["CAMPAIGN"] = (campaign, "name of the campaign")
    table.header["NMODEL"] = (n_model, "models it was to have")
    hdus = fits.HDUList([primary, table, to_hdu(provenance)])
    write_hdus(path, hdus, overwrite=True)


def _columns(evaluations: Evaluations, units: Mapping[str, str]) -> list[fits.Column]:
    reasons = np.array([BETWEEN.join(row) for row in evaluations.reasons])
    width = max(1, reasons.dtype.itemsize // 4)
    columns = [
        fits.Column(name="number", format="K", array=evaluations.number),
        fits.Column(name="rejected_by", format=f"{width}A", array=reasons),
        fits.Column(name="log_likelihood", format="D", array=evaluations.log_likelihood),
        fits.Column(name="chi2", format="D", array=evaluations.chi2),
        fits.Column(name="converged", format="L", array=evaluations.converged),
    ]
    for prefix, group in (
        ("", evaluations.parameters),
        ("", evaluations.facts),
        (NUISANCE, evaluations.nuisances),
    ):
        for name, values in group.items():
            unit = units.get(name, unit_of(name)) or None
            columns.append(fits.Column(name=prefix + name, format="D", unit=unit, array=values))
    return columns


def _require_apart(names: list[str]) -> None:
    low = [name.lower() for name in names]
    if twice := sorted({name for name in low if low.count(name) > 1}):
        raise FormatError(
            "columns of the table of a campaign would have one name",
            expected="parameters and facts with names of their own, other than " + ", ".join(_OWN),
            found=", ".join(twice),
            action="rename the fact in pipeline.falsify.physics.dynamics",
        )
