"""Which columns must each table have, of which type, unit and range?

These are pandera models, and importing this module imports pandera: ask `schemas.tables`, which
does so when it is needed. Title, description and unit of each column feed the data dictionary.
"""

from typing import Any, Final

import pandera.pandas as pa

ROLES: Final = ("science", "imprint", "background")
FULL_CIRCLE_DEG: Final = 360.0
POLE_DEG: Final = 90.0
# Rounding of either column to float32; far below any calibration error.
REDSHIFT_RTOL: Final = 1e-6


def _field(title: str, description: str, unit: str = "", **checks: Any) -> Any:
    return pa.Field(title=title, description=description, metadata={"unit": unit}, **checks)


class Lines(pa.DataFrameModel):
    """Which emission lines did a run look for?"""

    name: str = _field("line", "Name used in layers and columns.", unique=True)
    label: str = _field("label", "Name for figures.")
    wave_vac_um: float = _field("rest wavelength", "Vacuum wavelength at rest.", "um", gt=0)
    wave_obs_um: float = _field(
        "observed wavelength", "Vacuum wavelength at the target's redshift.", "um", gt=0
    )
    group: str = _field("group", "Lines of a group share velocity and intrinsic width.")
    ratio_to: str = _field("ratio to", "Line whose flux fixes this one's; empty where free.")
    ratio: float = _field(
        "ratio", "Flux of this line over that of ratio_to; NaN where free.", nullable=True, gt=0
    )

    @pa.dataframe_check(error="a ratio needs a line to be relative to, and the reverse")
    def ratio_is_complete(cls, table: Any) -> Any:
        """Say for each row whether both or neither of ratio and ratio_to are given."""
        return (table["ratio_to"] != "") == table["ratio"].notna()

    @pa.dataframe_check(error="ratio_to must name a line of the table")
    def ratio_is_known(cls, table: Any) -> Any:
        """Say for each row whether the line in ratio_to exists."""
        return (table["ratio_to"] == "") | table["ratio_to"].isin(table["name"])

    @pa.dataframe_check(error="one redshift must join the rest and observed wavelengths")
    def one_redshift(cls, table: Any) -> Any:
        """Say for each row whether its wavelength is stretched by the common factor."""
        stretch = table["wave_obs_um"] / table["wave_vac_um"]
        return (stretch / stretch.median() - 1.0).abs() < REDSHIFT_RTOL


class Exposures(pa.DataFrameModel):
    """Which exposures went into a run, and which part did each play?"""

    filename: str = _field("file", "Name of the exposure's file.", unique=True)
    role: str = _field("role", "science, imprint (leakage calibration) or background.", isin=ROLES)
    pointing: str = _field("pointing", "Pointing that it belongs to.")
    dither: int = _field("dither", "Number within the dither pattern.", ge=1)
    level: str = _field("level", "Processing level of the file.")
    exptime_s: float = _field("exposure time", "Effective exposure time.", "s", gt=0)
    is_imprint: bool = _field("imprint", "IS_IMPRT of the header.")
    ra_deg: float = _field(
        "right ascension", "ICRS, of the pointing.", "deg", ge=0.0, lt=FULL_CIRCLE_DEG
    )
    dec_deg: float = _field(
        "declination", "ICRS, of the pointing.", "deg", ge=-POLE_DEG, le=POLE_DEG
    )
    err_median: float = _field("median error", "Median of ERR over finite voxels.", "MJy/sr", gt=0)

    @pa.dataframe_check(error="what the header calls an imprint has the role imprint, no other")
    def role_follows_header(cls, table: Any) -> Any:
        """Say for each row whether its role agrees with the header."""
        return table["is_imprint"] == (table["role"] == "imprint")


class Archive(pa.DataFrameModel):
    """On which files of the archive does a run stand, and what is each of them?"""

    filename: str = _field("file", "Name in the archive.", unique=True)
    uri: str = _field("address", "The archive's name of the file.", unique=True)
    group: str = _field("group", "Group of the selection that it belongs to.")
    # A column with a unit is a Quantity, which is a float: exact for any file below 9 PB.
    size: float = _field("size", "Size of the file.", "byte", gt=0)
    sha256: str = _field("sha256", "Of its bytes.", str_matches=r"^[0-9a-f]{64}$")
    verified: str = _field(
        "verified",
        "How the sha256 of the lock was verified: none (the lock has none yet), size (trust on "
        "first use), twice (two equal transfers), archive (the archive's own checksum).",
        isin=("none", "size", "twice", "archive"),
    )
    cal_ver: str = _field("calibration", "Version of the calibration software; empty if unsaid.")
    crds_ctx: str = _field("context", "Context of the reference files; empty if unsaid.")
    sdp_ver: str = _field("processing", "Version of the data processing; empty if unsaid.")
    role: str = _field("role", "science, imprint (leakage calibration) or background.", isin=ROLES)
    pointing: str = _field("pointing", "Pointing that it belongs to; empty if unsaid.")
    dither: int = _field("dither", "Number within the dither pattern; 0 if unsaid.", ge=0)
    level: str = _field("level", "Processing level.")
    shows_target: str = _field(
        "shows target",
        "Whether the footprint (S_REGION) holds the target's position.",
        isin=("yes", "no", "unknown"),
    )
    note: str = _field("note", "What is odd about the file; empty if nothing.")


METHODS: Final = ("box", "optimal")
STATES: Final = ("detected", "limit", "not covered", "outside the field", "masked")
MEASURED: Final = ("detected", "limit")
_FLUX: Final = "erg/(cm2 s)"
_DENSITY: Final = "erg/(cm2 s um)"


class Spectra(pa.DataFrameModel):
    """What is the spectrum of each aperture, channel by channel?"""

    aperture: str = _field("aperture", "Name in the manifest of the target.")
    method: str = _field("method", "How it was added up.", isin=METHODS)
    wave: float = _field("wavelength", "Vacuum, observed frame, channel centre.", "um", gt=0)
    flux: float = _field(
        "flux density",
        "Box: sum of share times flux over usable spaxels, as it is. Optimal: of the whole "
        "aperture. NaN where no data.",
        _DENSITY,
        nullable=True,
    )
    err: float = _field(
        "error", "Standard deviation of flux, with the correlation of spaxels.", _DENSITY,
        nullable=True, gt=0,
    )  # fmt: skip
    continuum: float = _field("continuum", "Of flux, from line-free channels.", _DENSITY,
                              nullable=True)  # fmt: skip
    model: float = _field("model", "Continuum and fitted lines, as flux should show them.",
                          _DENSITY, nullable=True)  # fmt: skip
    coverage: float = _field(
        "coverage", "Part of the light of the aperture in usable spaxels.", ge=0, le=1.0 + 1e-6
    )
    corr1: float = _field(
        "correlation", "With the error of the next channel.", nullable=True, ge=-1, le=1
    )
    corr2: float = _field(
        "correlation", "With the error of the second next channel.", nullable=True, ge=-1, le=1
    )
    corr3: float = _field(
        "correlation", "With the error of the third next channel.", nullable=True, ge=-1, le=1
    )
    mask: bool = _field("mask", "True = do not use.")

    @pa.dataframe_check(error="a channel that may be used needs a flux and an error")
    def used_is_complete(cls, table: Any) -> Any:
        """Say for each row whether it is masked, or has flux and error."""
        return table["mask"] | (table["flux"].notna() & table["err"].notna())


class Fluxes(pa.DataFrameModel):
    """How bright is each line of the target in each aperture?"""

    aperture: str = _field("aperture", "Name in the manifest of the target.")
    method: str = _field("method", "How its spectrum was added up.", isin=METHODS)
    line: str = _field("line", "Name in the list of lines.")
    group: str = _field("group", "Lines of a group share velocity and intrinsic width.")
    wave_obs: float = _field("wavelength", "Vacuum, at the target's redshift.", "um", gt=0)
    state: str = _field(
        "state",
        "detected (flux of 3 errors or more), limit, not covered (line beside the band), "
        "outside the field (aperture), masked.",
        isin=STATES,
    )
    flux: float = _field("flux", "Of the whole aperture; may be negative.", _FLUX, nullable=True)
    flux_err: float = _field(
        "error", "Standard deviation, with that of velocity and width.", _FLUX, nullable=True, gt=0
    )
    snr: float = _field("signal to noise", "flux over flux_err.", nullable=True)
    upper_limit: float = _field(
        "upper limit", "3 flux_err where the flux is below it.", _FLUX, nullable=True, gt=0
    )
    velocity: float = _field(
        "velocity", "Relative to the redshift; where the group has its own.", "km/s", nullable=True
    )
    velocity_err: float = _field(
        "velocity error", "Standard deviation.", "km/s", nullable=True, gt=0
    )
    sigma: float = _field(
        "width", "Intrinsic standard deviation, where measured.", "km/s", nullable=True, gt=0
    )
    sigma_err: float = _field("width error", "Standard deviation.", "km/s", nullable=True, gt=0)
    sigma_limit: float = _field(
        "width limit", "Upper limit of the width, 3 sigma, where it is not measured.", "km/s",
        nullable=True, gt=0,
    )  # fmt: skip
    kinematics: str = _field(
        "kinematics",
        "Of whom velocity and width are: free (own), reference:<group>, expected; empty without a "
        "flux.",
        str_matches=r"^(|free|expected|reference:.+)$",
    )
    continuum: float = _field("continuum", "At the line, of the whole aperture.", _DENSITY,
                              nullable=True)  # fmt: skip
    chi2: float = _field("chi square", "Of the fit of the group.", nullable=True, ge=0)
    dof: int = _field("degrees of freedom", "Of the fit; 0 without one.", ge=0)
    coverage: float = _field(
        "coverage", "Part of the light in usable spaxels, median over the channels.",
        nullable=True, ge=0, le=1.0 + 1e-6,
    )  # fmt: skip
    err_scale: float = _field(
        "error scale", "What errors of the spectrum were multiplied with.", nullable=True, ge=1
    )
    area: float = _field("area", "Of the aperture.", "arcsec2", gt=0)
    inside: float = _field("inside", "Part of its area that saw the sky.", ge=0, le=1)

    @pa.dataframe_check(error="a measured line needs flux and error, another has none")
    def measured_is_complete(cls, table: Any) -> Any:
        """Say for each row whether its state and its numbers agree."""
        measured = table["state"].isin(MEASURED)
        return (measured == table["flux"].notna()) & (measured == table["flux_err"].notna())

    @pa.dataframe_check(error="a limit, and nothing else, has an upper limit")
    def limits_are_limits(cls, table: Any) -> Any:
        """Say for each row whether it has an upper limit if and only if it is one."""
        return (table["state"] == "limit") == table["upper_limit"].notna()


class Photometry(pa.DataFrameModel):
    """How bright is the wake along its axis, filter by filter?"""

    band: str = _field("filter", "Name of the filter.")
    from_arcsec: float = _field("from", "Start of the interval, from the host.", "arcsec", ge=0)
    to_arcsec: float = _field("to", "End of the interval.", "arcsec", gt=0)
    width_arcsec: float = _field("width", "Width of the strip across the axis.", "arcsec", gt=0)
    brightness: float = _field(
        "surface brightness",
        "Mean over the interval, local sky taken off; NaN where too little of it could be used.",
        "uJy/arcsec2",
        nullable=True,
    )
    brightness_err: float = _field(
        "error of the brightness",
        "One sigma; correlated noise and the error of the sky included.",
        "uJy/arcsec2",
        gt=0,
    )
    mu_ab: float = _field(
        "surface brightness", "AB; NaN where not detected.", "mag/arcsec2", nullable=True
    )
    mu_ab_err: float = _field(
        "error of that", "One sigma; NaN where not detected.", "mag/arcsec2", nullable=True, gt=0
    )
    coverage: float = _field("coverage", "Part of the area on usable pixels.", ge=0, le=1.1)

    @pa.dataframe_check(error="an interval ends after it begins")
    def intervals_are_ordered(cls, table: Any) -> Any:
        """Say for each row whether its ends are in order."""
        return table["from_arcsec"] < table["to_arcsec"]


class Magnitudes(pa.DataFrameModel):
    """How bright are host and wake, and what does the aperture miss?"""

    source: str = _field("source", "host or wake.", isin=("host", "wake"))
    band: str = _field("filter", "Name of the filter.")
    aperture: str = _field("aperture", "In words: shape and size.")
    total: str = _field("total", "In words: what stands for all of the light.")
    from_arcsec: float = _field("from", "Start along the axis, from the host.", "arcsec", ge=0)
    to_arcsec: float = _field("to", "End along the axis, or radius.", "arcsec", gt=0)
    coverage: float = _field("coverage", "Part of the aperture on usable pixels.", ge=0, le=1.1)
    flux: float = _field("flux density", "In the aperture.", "uJy")
    flux_err: float = _field("error of the flux density", "One sigma.", "uJy", gt=0)
    mag_ab: float = _field(
        "magnitude",
        "AB, in the aperture; NaN where the flux is not positive.",
        "mag",
        nullable=True,
    )
    mag_err: float = _field("error of the magnitude", "One sigma.", "mag", nullable=True, gt=0)
    correction: float = _field(
        "aperture correction", "Magnitude of all the light less that in the aperture.", "mag",
        nullable=True,
    )  # fmt: skip
    correction_err: float = _field(
        "error of the correction",
        "One sigma; shared pixels considered.",
        "mag",
        nullable=True,
        gt=0,
    )
    total_ab: float = _field("total magnitude", "AB, corrected.", "mag", nullable=True)
    total_err: float = _field("error of that", "One sigma.", "mag", nullable=True, gt=0)


class Colours(pa.DataFrameModel):
    """Which colour has the light, or how much of it does the wider filter alone pass?"""

    source: str = _field(
        "source",
        "host, wake (both in their apertures) or profile (an interval of the wake).",
        isin=("host", "wake", "profile"),
    )
    first: str = _field("first filter", "The bluer one, or the wider one of overlapping two.")
    second: str = _field("second filter", "The other one.")
    kind: str = _field(
        "kind",
        "colour where the passbands are apart, difference where they overlap.",
        isin=("colour", "difference"),
    )
    from_arcsec: float = _field("from", "Start along the axis, from the host.", "arcsec", ge=0)
    to_arcsec: float = _field("to", "End along the axis, or radius.", "arcsec", gt=0)
    colour: float = _field(
        "colour", "First less second, AB; NaN for a difference, or too faint.", "mag", nullable=True
    )
    colour_err: float = _field("error of the colour", "One sigma.", "mag", nullable=True, gt=0)
    difference: float = _field(
        "difference",
        "Mean flux density over what only the first filter passes, as for a spectrum that is flat "
        "in frequency; NaN for a colour.",
        "uJy",
        nullable=True,
    )
    difference_err: float = _field(
        "error of the difference", "One sigma.", "uJy", nullable=True, gt=0
    )

    @pa.dataframe_check(error="a colour has no difference, and a difference is no colour")
    def one_kind(cls, table: Any) -> Any:
        """Say for each row whether it holds nothing of the other kind."""
        other = table["difference"].where(table["kind"] == "colour", table["colour"])
        return other.isna()


MODELS: Final = {
    "archive": Archive,
    "colours": Colours,
    "exposures": Exposures,
    "fluxes": Fluxes,
    "lines": Lines,
    "magnitudes": Magnitudes,
    "photometry": Photometry,
    "spectra": Spectra,
}
