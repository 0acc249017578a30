"""Which columns has the table of all models of a campaign?"""

from typing import Any

import pandera.pandas as pa

from schemas.models.column import column


class Evaluations(pa.DataFrameModel):
    """What was found of each model that a campaign proposed?

    Besides these it has a column for each parameter, each fact of the dynamics and each nuisance
    (`nuisance_...`), with its unit; the surface document lists them.
    """

    number: int = column("number", "Of the model in the campaign, from 0.", unique=True, ge=0)
    rejected_by: str = column(
        "rejected by", "Filters that reject it, joined by commas; empty where it was evaluated.",
        str_matches=r"^([a-z][a-z0-9_-]*(,[a-z][a-z0-9_-]*)*)?$",
    )  # fmt: skip
    log_likelihood: float = column(
        "log likelihood", "ln of it at the best nuisances; NaN where rejected.", nullable=True
    )
    chi2: float = column(
        "chi-square", "Squares of the whitened residuals there; NaN where rejected.",
        nullable=True, gt=0,
    )  # fmt: skip
    converged: bool = column(
        "converged", "Whether the search for the best nuisances ended at a maximum."
    )

    @pa.dataframe_check(error="a model that is rejected has no likelihood")
    def rejected_or_evaluated(cls, table: Any) -> Any:
        """Say for each row that no likelihood was asked of a model that is rejected."""
        return (table["rejected_by"] == "") | table["log_likelihood"].isna()
