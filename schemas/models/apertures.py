"""Which columns have the tables of spectra and line fluxes of apertures?"""

from typing import Any, Final

import pandera.pandas as pa

from schemas.models.column import column

METHODS: Final = ("box", "optimal")
STATES: Final = ("detected", "limit", "not covered", "outside the field", "masked")
MEASURED: Final = ("detected", "limit")
_FLUX: Final = "erg/(cm2 s)"
_DENSITY: Final = "erg/(cm2 s um)"


class Spectra(pa.DataFrameModel):
    """What is the spectrum of each aperture, channel by channel?"""

    aperture: str = column("aperture", "Name in the manifest of the target.")
    method: str = column("method", "How it was added up.", isin=METHODS)
    wave: float = column("wavelength", "Vacuum, observed frame, channel centre.", "um", gt=0)
    flux: float = column(
        "flux density",
        "Continuum, sky included: of the whole aperture. Above it, box: sum of share times flux "
        "over usable spaxels; optimal: of the whole aperture. NaN where no data.",
        _DENSITY,
        nullable=True,
    )
    err: float = column(
        "error", "Standard deviation of flux, with the correlation of spaxels.", _DENSITY,
        nullable=True, gt=0,
    )  # fmt: skip
    continuum: float = column("continuum", "Of flux, from line-free channels.", _DENSITY,
                              nullable=True)  # fmt: skip
    model: float = column("model", "Continuum and fitted lines, as flux should show them.",
                          _DENSITY, nullable=True)  # fmt: skip
    coverage: float = column(
        "coverage",
        "Part of the light of lines of the aperture in usable spaxels.",
        ge=0,
        le=1.0 + 1e-6,
    )
    corr1: float = column(
        "correlation", "With the error of the next channel.", nullable=True, ge=-1, le=1
    )
    corr2: float = column(
        "correlation", "With the error of the second next channel.", nullable=True, ge=-1, le=1
    )
    corr3: float = column(
        "correlation", "With the error of the third next channel.", nullable=True, ge=-1, le=1
    )
    mask: bool = column("mask", "True = do not use.")

    @pa.dataframe_check(error="a channel that may be used needs a flux and an error")
    def used_is_complete(cls, table: Any) -> Any:
        """Say for each row whether it is masked, or has flux and error."""
        return table["mask"] | (table["flux"].notna() & table["err"].notna())


class Fluxes(pa.DataFrameModel):
    """How bright is each line of the target in each aperture?"""

    aperture: str = column("aperture", "Name in the manifest of the target.")
    method: str = column("method", "How its spectrum was added up.", isin=METHODS)
    line: str = column("line", "Name in the list of lines.")
    group: str = column("group", "Lines of a group share velocity and intrinsic width.")
    wave_obs: float = column("wavelength", "Vacuum, at the target's redshift.", "um", gt=0)
    state: str = column(
        "state",
        "detected (flux of 3 errors or more), limit, not covered (line beside the band), "
        "outside the field (aperture), masked.",
        isin=STATES,
    )
    flux: float = column("flux", "Of the whole aperture; may be negative.", _FLUX, nullable=True)
    flux_err: float = column(
        "error",
        "Standard deviation, with that of velocity and width, and the misfit.",
        _FLUX,
        nullable=True,
        gt=0,
    )
    snr: float = column("signal to noise", "flux over flux_err.", nullable=True)
    upper_limit: float = column(
        "upper limit",
        "max(flux, 0) + 3 flux_err where the flux is below 3.",
        _FLUX,
        nullable=True,
        gt=0,
    )
    velocity: float = column(
        "velocity", "Relative to the redshift; where the group has its own.", "km/s", nullable=True
    )
    velocity_err: float = column(
        "velocity error", "Standard deviation.", "km/s", nullable=True, gt=0
    )
    sigma: float = column(
        "width", "Intrinsic standard deviation, where measured.", "km/s", nullable=True, gt=0
    )
    sigma_err: float = column("width error", "Standard deviation.", "km/s", nullable=True, gt=0)
    sigma_limit: float = column(
        "width limit", "Upper limit of the width, 3 sigma, where it is not measured.", "km/s",
        nullable=True, gt=0,
    )  # fmt: skip
    kinematics: str = column(
        "kinematics",
        "Of whom velocity and width are: free (own), reference:<group>, expected; empty without a "
        "flux.",
        str_matches=r"^(|free|expected|reference:.+)$",
    )
    continuum: float = column(
        "continuum", "At the line, of the whole aperture, sky included.", _DENSITY, nullable=True
    )
    chi2: float = column("chi square", "Of the fit of the group.", nullable=True, ge=0)
    dof: int = column("degrees of freedom", "Of the fit; 0 without one.", ge=0)
    coverage: float = column(
        "coverage", "Part of the light in usable spaxels, median over the channels.",
        nullable=True, ge=0, le=1.0 + 1e-6,
    )  # fmt: skip
    err_scale: float = column(
        "error scale", "What errors of the spectrum were multiplied with.", nullable=True, ge=1
    )
    misfit: float = column(
        "misfit",
        "sqrt(chi2 / dof), 1 at least; errors of flux, velocity and width hold it.",
        nullable=True,
        ge=1,
    )
    profile_err: float = column(
        "profile error",
        "Part of the flux by which the sum is off as its light has another profile; in flux_err.",
        nullable=True,
        ge=0,
    )
    suspect: bool = column(
        "suspect", "True = chi2 is far beyond chance: neither noise nor one Gaussian explain it."
    )
    area: float = column("area", "Of the aperture.", "arcsec2", gt=0)
    inside: float = column("inside", "Part of its area that saw the sky.", ge=0, le=1)
    flux_true: float = column(
        "true flux",
        "What a simulation put into the part of the aperture on the grid, over that part; takes no "
        "part in any measurement. NaN for the sky.",
        _FLUX,
        nullable=True,
    )

    @pa.dataframe_check(error="a measured line needs flux and error, another has none")
    def measured_is_complete(cls, table: Any) -> Any:
        """Say for each row whether its state and its numbers agree."""
        measured = table["state"].isin(MEASURED)
        return (measured == table["flux"].notna()) & (measured == table["flux_err"].notna())

    @pa.dataframe_check(error="a limit, and nothing else, has an upper limit")
    def limits_are_limits(cls, table: Any) -> Any:
        """Say for each row whether it has an upper limit if and only if it is one."""
        return (table["state"] == "limit") == table["upper_limit"].notna()
