"""Which columns have tables of shock models, and of what lines say about shocks?"""

from typing import Any

import pandera.pandas as pa

from schemas.models.column import column


class ShockModels(pa.DataFrameModel):
    """What does each model predict for each line?"""

    abundance: str = column("abundance", "Name of the abundance set.", str_length={"min_value": 1})
    density_cm3: float = column("density", "Of hydrogen, before the shock.", "cm-3", gt=0)
    field_ug: float = column("magnetic field", "B, not over sqrt(n).", "uG", ge=0)
    velocity_kms: float = column("velocity", "Of the shock.", "km/s", gt=0)
    line: str = column("line", "Ion and air wavelength in Angstrom.", str_length={"min_value": 1})
    ratio: float = column(
        "flux ratio", "Over H beta; NaN where it is not known.", nullable=True, ge=0
    )
    log_hbeta: float = column(
        "H beta flux", "log10 of erg cm-2 s-1 through one face.", "dex", nullable=True, lt=10
    )

    class Config:
        """A model has one flux in each line."""

        unique: list[str] = [  # noqa: RUF012 (pandera's way to say it)
            *("abundance", "density_cm3", "field_ug", "velocity_kms", "line")
        ]


class GeometryDraws(pa.DataFrameModel):
    """Which velocity does the bow's geometry give its shock? A row for each draw."""

    v_shock: float = column(
        "velocity", "Normal to the bow, weighted with the light of its ring.", "km/s", gt=0
    )
    v_shock_prior: float = column(
        "velocity before", "The same, drawn from what is believed before the data.", "km/s", gt=0
    )
    v_star: float = column("body's speed", "Of the draw of v_shock.", "km/s", gt=0)
    curvature: float = column("curvature", "Radius of curvature of the bow's apex.", "kpc", gt=0)
    compression: float = column("compression", "Of the shock.", gt=1)
    conserving: bool = column(
        "form", "Whether the transverse speed has the factor 1 - 1 / compression."
    )


_QUANTILES = (
    "Quantiles 2.5, 16, 50, 84 and 97.5 % of the velocity of the shock; NaN where H alpha is too "
    "weak to divide by."
)


class ShockVelocities(pa.DataFrameModel):
    """Which shocks make the lines of each spectrum, on which assumptions?

    All numbers are NaN where H alpha is too weak to divide by.
    """

    spectrum: str = column("spectrum", "Its name.", str_length={"min_value": 1})
    prior: str = column(
        "prior of b", "Flat in ln(b + 0.3), flat in b, flat in ln b, or b fixed.",
        isin=("log_shifted", "flat", "log", "fixed"),
    )  # fmt: skip
    floor: str = column(
        "floor", "Systematic error of the models, dex, or of each line its own.",
        str_matches=r"^(per line|[0-9.]+)$",
    )  # fmt: skip
    v_p025: float = column("velocity", _QUANTILES, "km/s", nullable=True, gt=0)
    v_p160: float = column("velocity", _QUANTILES, "km/s", nullable=True, gt=0)
    v_p500: float = column("velocity", _QUANTILES, "km/s", nullable=True, gt=0)
    v_p840: float = column("velocity", _QUANTILES, "km/s", nullable=True, gt=0)
    v_p975: float = column("velocity", _QUANTILES, "km/s", nullable=True, gt=0)
    information_nat: float = column(
        "information", "KL divergence of posterior from prior of the velocity, nat.",
        nullable=True, ge=-1e-9,
    )  # fmt: skip
    edge_low: float = column(
        "low edge", "Probability within a step of the models from the lowest velocity.",
        nullable=True, ge=-1e-9, le=1 + 1e-9,
    )  # fmt: skip
    edge_high: float = column(
        "high edge", "Probability within a step of the models from the highest velocity.",
        nullable=True, ge=-1e-9, le=1 + 1e-9,
    )  # fmt: skip
    p_metal_poor: float = column(
        "metal-poor",
        "Probability of less than the declared part of the Sun's O/H; NaN without a posterior, or "
        "where the O/H of a set is not known.",
        nullable=True, ge=-1e-9, le=1 + 1e-9,
    )  # fmt: skip
    p_metal_poor_prior: float = column(
        "metal-poor before", "The same before the data, of the grid's abundance sets.",
        nullable=True, ge=-1e-9, le=1 + 1e-9,
    )  # fmt: skip
    p_predictive: float = column(
        "goodness of fit", "Posterior predictive probability of the chi-square.",
        nullable=True, ge=-1e-9, le=1 + 1e-9,
    )  # fmt: skip
    chi2_min: float = column("chi square", "Of the best model.", nullable=True, ge=0)
    log_evidence: float = column("evidence", "ln of the probability of the data.", nullable=True)
    edge_limited: bool = column(
        "edge-limited", "Whether the interval is a one-sided limit, at an edge of the velocities."
    )
    n_line: int = column("lines", "That were compared.", ge=0)

    @pa.dataframe_check(error="quantiles of a velocity increase")
    def in_order(cls, table: Any) -> Any:
        """Say for each row whether its quantiles are in order."""
        columns = [name for name in table if name.startswith("v_p")]
        steps = table[sorted(columns)].diff(axis=1).iloc[:, 1:]
        return (steps.ge(0) | steps.isna()).all(axis=1)

    class Config:
        """A spectrum has one row for each prior and floor."""

        unique: list[str] = ["spectrum", "prior", "floor"]  # noqa: RUF012 (pandera's way)
