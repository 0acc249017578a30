"""Which columns have the tables of brightness, magnitudes and colours?"""

from typing import Any

import pandera.pandas as pa

from schemas.models.column import column


class Photometry(pa.DataFrameModel):
    """How bright is the wake along its axis, filter by filter?"""

    band: str = column("filter", "Name of the filter.")
    from_arcsec: float = column("from", "Start of the interval, from the host.", "arcsec", ge=0)
    to_arcsec: float = column("to", "End of the interval.", "arcsec", gt=0)
    width_arcsec: float = column("width", "Width of the strip across the axis.", "arcsec", gt=0)
    brightness: float = column(
        "surface brightness",
        "Mean over the interval, local sky taken off; NaN where too little of it could be used.",
        "uJy/arcsec2",
        nullable=True,
    )
    brightness_err: float = column(
        "error of the brightness",
        "One sigma; correlated noise and the error of the sky included.",
        "uJy/arcsec2",
        gt=0,
    )
    mu_ab: float = column(
        "surface brightness", "AB; NaN where not detected.", "mag/arcsec2", nullable=True
    )
    mu_ab_err: float = column(
        "error of that", "One sigma; NaN where not detected.", "mag/arcsec2", nullable=True, gt=0
    )
    coverage: float = column("coverage", "Part of the area on usable pixels.", ge=0, le=1.1)

    @pa.dataframe_check(error="an interval ends after it begins")
    def intervals_are_ordered(cls, table: Any) -> Any:
        """Say for each row whether its ends are in order."""
        return table["from_arcsec"] < table["to_arcsec"]


class Magnitudes(pa.DataFrameModel):
    """How bright are host and wake, and what does the aperture miss?"""

    source: str = column("source", "host or wake.", isin=("host", "wake"))
    band: str = column("filter", "Name of the filter.")
    aperture: str = column("aperture", "In words: shape and size.")
    total: str = column("total", "In words: what stands for all of the light.")
    from_arcsec: float = column("from", "Start along the axis, from the host.", "arcsec", ge=0)
    to_arcsec: float = column("to", "End along the axis, or radius.", "arcsec", gt=0)
    coverage: float = column("coverage", "Part of the aperture on usable pixels.", ge=0, le=1.1)
    flux: float = column("flux density", "In the aperture.", "uJy")
    flux_err: float = column("error of the flux density", "One sigma.", "uJy", gt=0)
    mag_ab: float = column(
        "magnitude",
        "AB, in the aperture; NaN where the flux is not positive.",
        "mag",
        nullable=True,
    )
    mag_err: float = column("error of the magnitude", "One sigma.", "mag", nullable=True, gt=0)
    zero_point_err: float = column(
        "calibration", "Error of the zero point of the filter, as declared.", "mag", gt=0
    )
    overlap_err: float = column(
        "overlap",
        "Systematic: light of the wake in the magnitude of the host, if it goes on to its "
        "centre; of the host in that of the wake, as seen on the other side.",
        "mag",
        nullable=True,
        ge=0,
    )
    choice_err: float = column(
        "choice",
        "Systematic: largest change of the magnitude when the host is looked at in other "
        "ways; 0 for the wake.",
        "mag",
        nullable=True,
        ge=0,
    )
    mag_combined_err: float = column(
        "combined error of the magnitude",
        "Statistical error, calibration, overlap and choice in quadrature.",
        "mag",
        nullable=True,
        gt=0,
    )
    correction: float = column(
        "aperture correction", "Magnitude of all the light less that in the aperture.", "mag",
        nullable=True,
    )  # fmt: skip
    correction_err: float = column(
        "error of the correction",
        "One sigma; shared pixels considered.",
        "mag",
        nullable=True,
        gt=0,
    )
    total_ab: float = column("total magnitude", "AB, corrected.", "mag", nullable=True)
    total_err: float = column("error of that", "One sigma.", "mag", nullable=True, gt=0)
    total_overlap_err: float = column(
        "overlap",
        "Systematic: light of the wake in the total magnitude of the host, if it goes on to its "
        "centre; of the host in that of the wake, as seen on the other side.",
        "mag",
        nullable=True,
        ge=0,
    )
    total_choice_err: float = column(
        "choice",
        "Systematic: largest change of the total magnitude when the host is looked at in other "
        "ways; 0 for the wake.",
        "mag",
        nullable=True,
        ge=0,
    )
    total_combined_err: float = column(
        "combined error of the total",
        "Statistical error, calibration, overlap and choice in quadrature.",
        "mag",
        nullable=True,
        gt=0,
    )


class Colours(pa.DataFrameModel):
    """Which colour has the light, or how much of it does the wider filter alone pass?"""

    source: str = column(
        "source",
        "host, wake (both in their apertures) or profile (an interval of the wake).",
        isin=("host", "wake", "profile"),
    )
    first: str = column("first filter", "The bluer one, or the wider one of overlapping two.")
    second: str = column("second filter", "The other one.")
    kind: str = column(
        "kind",
        "colour where the passbands are apart, difference where they overlap.",
        isin=("colour", "difference"),
    )
    from_arcsec: float = column("from", "Start along the axis, from the host.", "arcsec", ge=0)
    to_arcsec: float = column("to", "End along the axis, or radius.", "arcsec", gt=0)
    colour: float = column(
        "colour", "First less second, AB; NaN for a difference, or too faint.", "mag", nullable=True
    )
    colour_err: float = column("error of the colour", "One sigma.", "mag", nullable=True, gt=0)
    zero_point_err: float = column(
        "calibration",
        "Systematic: the zero points of both filters in quadrature; NaN without a colour.",
        "mag",
        nullable=True,
        gt=0,
    )
    colour_combined_err: float = column(
        "combined error of the colour", "Both in quadrature.", "mag", nullable=True, gt=0
    )
    difference: float = column(
        "difference",
        "Mean flux density over what only the first filter passes, as for a spectrum that is flat "
        "in frequency; NaN for a colour.",
        "uJy",
        nullable=True,
    )
    difference_err: float = column(
        "error of the difference", "One sigma.", "uJy", nullable=True, gt=0
    )

    @pa.dataframe_check(error="a colour has no difference, and a difference is no colour")
    def one_kind(cls, table: Any) -> Any:
        """Say for each row whether it holds nothing of the other kind."""
        other = table["difference"].where(table["kind"] == "colour", table["colour"])
        return other.isna()
