"""Which columns have the tables of lines, exposures and archive files?"""

from typing import Any, Final

import pandera.pandas as pa

from schemas.models.column import column

ROLES: Final = ("science", "imprint", "background")
FULL_CIRCLE_DEG: Final = 360.0
POLE_DEG: Final = 90.0
# Rounding of either column to float32; far below any calibration error.
REDSHIFT_RTOL: Final = 1e-6


class Lines(pa.DataFrameModel):
    """Which emission lines did a run look for?"""

    name: str = column("line", "Name used in layers and columns.", unique=True)
    label: str = column("label", "Name for figures.")
    wave_vac_um: float = column("rest wavelength", "Vacuum wavelength at rest.", "um", gt=0)
    wave_obs_um: float = column(
        "observed wavelength", "Vacuum wavelength at the target's redshift.", "um", gt=0
    )
    group: str = column("group", "Lines of a group share velocity and intrinsic width.")
    ratio_to: str = column("ratio to", "Line whose flux fixes this one's; empty where free.")
    ratio: float = column(
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

    filename: str = column("file", "Name of the exposure's file.", unique=True)
    role: str = column("role", "science, imprint (leakage calibration) or background.", isin=ROLES)
    pointing: str = column("pointing", "Pointing that it belongs to.")
    dither: int = column("dither", "Number within the dither pattern.", ge=1)
    level: str = column("level", "Processing level of the file.")
    exptime_s: float = column("exposure time", "Effective exposure time.", "s", gt=0)
    is_imprint: bool = column("imprint", "IS_IMPRT of the header.")
    ra_deg: float = column(
        "right ascension", "ICRS, of the pointing.", "deg", ge=0.0, lt=FULL_CIRCLE_DEG
    )
    dec_deg: float = column(
        "declination", "ICRS, of the pointing.", "deg", ge=-POLE_DEG, le=POLE_DEG
    )
    err_median: float = column("median error", "Median of ERR over finite voxels.", "MJy/sr", gt=0)

    @pa.dataframe_check(error="what the header calls an imprint has the role imprint, no other")
    def role_follows_header(cls, table: Any) -> Any:
        """Say for each row whether its role agrees with the header."""
        return table["is_imprint"] == (table["role"] == "imprint")


class Archive(pa.DataFrameModel):
    """On which files of the archive does a run stand, and what is each of them?"""

    filename: str = column("file", "Name in the archive.", unique=True)
    uri: str = column("address", "The archive's name of the file.", unique=True)
    group: str = column("group", "Group of the selection that it belongs to.")
    # A column with a unit is a Quantity, which is a float: exact for any file below 9 PB.
    size: float = column("size", "Size of the file.", "byte", gt=0)
    sha256: str = column("sha256", "Of its bytes.", str_matches=r"^[0-9a-f]{64}$")
    verified: str = column(
        "verified",
        "How the sha256 of the lock was verified: none (the lock has none yet), size (trust on "
        "first use), twice (two equal transfers), archive (the archive's own checksum).",
        isin=("none", "size", "twice", "archive"),
    )
    cal_ver: str = column("calibration", "Version of the calibration software; empty if unsaid.")
    crds_ctx: str = column("context", "Context of the reference files; empty if unsaid.")
    sdp_ver: str = column("processing", "Version of the data processing; empty if unsaid.")
    role: str = column("role", "science, imprint (leakage calibration) or background.", isin=ROLES)
    pointing: str = column("pointing", "Pointing that it belongs to; empty if unsaid.")
    dither: int = column("dither", "Number within the dither pattern; 0 if unsaid.", ge=0)
    level: str = column("level", "Processing level.")
    shows_target: str = column(
        "shows target",
        "Whether the footprint (S_REGION) holds the target's position.",
        isin=("yes", "no", "unknown"),
    )
    note: str = column("note", "What is odd about the file; empty if nothing.")
