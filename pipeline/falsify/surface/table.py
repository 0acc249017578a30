"""How does a stranger get at every galaxy of a campaign with numpy and astropy alone?

One FITS table with a row for each model: its parameters, what the dynamics say, which filters
reject it, and what the cube says. Everything else that is said of the campaign follows from it. The
header says what each column is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.units import Unit

from ard.errors import FormatError
from ard.fitsio import write_hdus
from ard.headers import write_cards
from ard.provenance import Provenance, to_hdu
from pipeline.falsify.surface.survey import Evaluations

KIND: Final = "evaluations"
# Before the names of nuisances, which may be those of parameters.
NUISANCE: Final = "nuisance_"
BETWEEN: Final = ","
_UNITS: Final = {
    **{"kms": "km/s", "kpc": "kpc", "deg": "deg", "arcsec": "arcsec", "um": "um", "myr": "Myr"},
    "msun": "solMass",
}
_OWN: Final = {
    "number": "of the model in the campaign, from 0",
    "rejected_by": "filters of the dynamics, joined by commas",
    "log_likelihood": "ln L at the best nuisances: see COMMENT",
    "chi2": "squares of the whitened residuals there",
    "converged": "whether that search ended at a maximum",
}
# What fits on the card of a column; FITS knows no unit of a logarithm.
_PARAMETERS: Final = {
    "log_m_baryon": "log10 of stars and gas in solMass",
    "gas_fraction": "gas over stars and gas",
    "r_d_kpc": "scale length of the stars",
    "gas_ratio": "scale length of the gas over it",
    "h_z_kpc": "z_0 of sech^2(z / z_0), stars and gas",
    "log_m_halo": "log10 of M_200 in solMass",
    "concentration": "of the halo",
    "log_m_central": "log10 of the mass in the middle in solMass",
    "sigma_gas_kms": "dispersion of the gas, one-dimensional",
    "sigma_star_kms": "dispersion of the stars, radial",
    "r_max_kpc": "where the light ends",
    "centre_kpc": "from the host along the line, projected",
    "offset_kpc": "of the centre, across the line",
    "inclination_deg": "90 is edge-on",
    "spin": "its sign says which side recedes",
}
_FACTS: Final = {
    "vmax_kms": "highest circular speed within the light",
    "r_vmax_kpc": "where that is",
    "v_gas_max_kms": "highest mean speed of the gas",
    "q_min": "lowest Q of stars and gas, thick",
    "r_q_min_kpc": "where that is",
    "q_star_min": "lowest Q of the stars",
    "q_gas_min": "lowest Q of the gas",
    "height_kpc": "z_0 of stars in vertical balance",
    "gas_lost": "part of the light that does not rotate",
    "star_lost": "part of the stars that do not rotate",
    "mass_msun": "of everything within r_max_kpc",
}
_NUISANCES: Final = {
    "v_sys_kms": "systemic velocity",
    "along_arcsec": "pointing, along the line",
    "across_arcsec": "pointing, across the line",
    "turn_deg": "of the line, about the tip",
    "psf_scale": "width of the PSF over the declared",
    "psf_ratio": "minor over major axis of the PSF",
    "lsf_gain": "resolving power over that before launch",
}
_COMMENT: Final = (
    "log_likelihood is ln of the likelihood of the cut-out, every constant included, at the best "
    "nuisances (nuisance_...): fluxes and backgrounds are integrated out, the prior of nuisances "
    "is left out. It and chi2 are NaN where rejected_by names a filter."
)


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
    told = {**_OWN, **_meanings(evaluations)}
    for place, name in enumerate(table.columns.names, 1):
        table.header.comments[f"TTYPE{place}"] = told[name]
    table.header["COMMENT"] = _COMMENT
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
            unit = _of_fits(units.get(name, unit_of(name)))
            columns.append(fits.Column(name=prefix + name, format="D", unit=unit, array=values))
    return columns


def _of_fits(unit: str) -> str | None:
    """Give a unit as FITS has it; none where it has none, as of a logarithm."""
    try:
        Unit(unit, format="fits")
    except ValueError:
        return None
    return unit or None


def _meanings(evaluations: Evaluations) -> dict[str, str]:
    """Say what the columns of a campaign are, as far as their names are known."""
    return {
        **{
            name: _PARAMETERS.get(name, "parameter of the galaxy")
            for name in evaluations.parameters
        },
        **{name: _FACTS.get(name, "fact of the dynamics") for name in evaluations.facts},
        **{
            f"{NUISANCE}{name}": _NUISANCES.get(name, "best nuisance")
            for name in evaluations.nuisances
        },
    }


def _require_apart(names: list[str]) -> None:
    low = [name.lower() for name in names]
    if twice := sorted({name for name in low if low.count(name) > 1}):
        raise FormatError(
            "columns of the table of a campaign would have one name",
            expected="parameters and facts with names of their own, other than " + ", ".join(_OWN),
            found=", ".join(twice),
            action="rename the fact in pipeline.falsify.physics.dynamics",
        )
