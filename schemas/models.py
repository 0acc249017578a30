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


class Resampling(pa.DataFrameModel):
    """How correlated are spaxels of a combined cube, by the resampling alone?"""

    dx: int = _field("separation x", "Number of spaxels along x.")
    dy: int = _field("separation y", "Number of spaxels along y.", ge=0)
    correlation: float = _field(
        "correlation", "Mean correlation over places that all exposures cover, for independent "
        "inputs.",
    )  # fmt: skip
    correlation_min: float = _field("smallest", "Smallest correlation of such a pair.")
    correlation_max: float = _field("largest", "Largest correlation of such a pair.")
    pairs: int = _field("pairs", "Number of pairs.", gt=0)

    @pa.dataframe_check(error="the mean lies between the smallest and the largest")
    def ordered(cls, table: Any) -> Any:
        """Say for each row whether smallest, mean and largest are in order, to rounding."""
        low, high = table["correlation_min"] - 1e-9, table["correlation_max"] + 1e-9
        return (low <= table["correlation"]) & (table["correlation"] <= high)


METHODS: Final = ("standard", "combined", "pointings", "annulus", "lowrank")
STATUSES: Final = ("measured", "undetected", "outside field", "not evaluated")
FLUX: Final = "erg/(s cm2)"


class Ghosts(pa.DataFrameModel):
    """What does every background leave of every line in every aperture?"""

    item: str = _field("pointing", "Pointing that was measured.")
    aperture: str = _field("aperture", "tip or wake.", isin=("tip", "wake"))
    line: str = _field("line", "Name of the line; of tied lines the brightest.")
    method: str = _field(
        "method",
        "standard (the archive's cube), combined (of the exposures): nothing taken off; pointings "
        "(the other pointing), annulus (the sky beside the wake), lowrank (few sky spectra without "
        "line channels).",
        isin=METHODS,
    )
    status: str = _field("status", "Whether and why there is no value.", isin=STATUSES)
    error_from: str = _field(
        "origin of errors",
        "line-free (channels without lines), residual (of the fit) or noise (a noise model); "
        "empty without a value.",
        isin=("line-free", "residual", "noise", ""),
    )
    coverage: float = _field("coverage", "Part of the aperture in the field.", ge=0)
    flux: float = _field("flux", "Flux that is left in the aperture.", FLUX, nullable=True)
    flux_err: float = _field("flux error", "Standard error.", FLUX, nullable=True, gt=0)
    flux_limit: float = _field("flux limit", "95 % upper limit.", FLUX, nullable=True)
    ghost_fraction: float = _field(
        "ghost fraction", "Share of the flux of the aperture that is taken off.", nullable=True
    )
    ghost_fraction_err: float = _field("fraction error", "Standard error.", nullable=True, ge=0)
    ghost_fraction_limit: float = _field(
        "fraction limit", "95 % upper limit of the fraction.", nullable=True
    )
    relative_flux: float = _field(
        "relative flux", "Flux over that of the standard extraction.", nullable=True
    )
    relative_flux_err: float = _field("relative error", "Standard error.", nullable=True, ge=0)
    ghost_strength: float = _field(
        "ghost strength",
        "Flux where the other pointing puts a ghost, over that of the aperture: -1 with a ghost, "
        "0 without.",
        nullable=True,
    )
    ghost_strength_err: float = _field("strength error", "Standard error.", nullable=True, ge=0)
    truth_fraction: float = _field(
        "true fraction", "Of a simulated observation; NaN elsewhere.", nullable=True
    )

    @pa.dataframe_check(error="a measured row has a fraction, or no other pointing to have one of")
    def complete(cls, table: Any) -> Any:
        """Say for each row whether what was measured has its numbers."""
        taken = table["method"].isin(METHODS[2:])
        return (table["status"] != "measured") | ~taken | table["ghost_fraction"].notna()


MODELS: Final = {
    "archive": Archive,
    "exposures": Exposures,
    "ghosts": Ghosts,
    "lines": Lines,
    "resampling": Resampling,
}
