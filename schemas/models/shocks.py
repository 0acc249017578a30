"""Which columns has a table of shock models?"""

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
