"""Which columns have the tables of resampling and of what backgrounds take off the wake?"""

from typing import Any, Final

import pandera.pandas as pa

from schemas.models.column import column


class Resampling(pa.DataFrameModel):
    """How correlated are spaxels of a combined cube, by the resampling alone?"""

    dx: int = column("separation x", "Number of spaxels along x.")
    dy: int = column("separation y", "Number of spaxels along y.", ge=0)
    correlation: float = column(
        "correlation", "Mean correlation over places that all exposures cover, for independent "
        "inputs.",
    )  # fmt: skip
    correlation_min: float = column("smallest", "Smallest correlation of such a pair.")
    correlation_max: float = column("largest", "Largest correlation of such a pair.")
    pairs: int = column("pairs", "Number of pairs.", gt=0)

    @pa.dataframe_check(error="the mean lies between the smallest and the largest")
    def ordered(cls, table: Any) -> Any:
        """Say for each row whether smallest, mean and largest are in order, to rounding."""
        low, high = table["correlation_min"] - 1e-9, table["correlation_max"] + 1e-9
        return (low <= table["correlation"]) & (table["correlation"] <= high)


METHODS: Final = ("standard", "combined", "pointings", "annulus", "lowrank")
STATUSES: Final = ("measured", "undetected", "outside field", "not evaluated")
FLUX: Final = "erg/(cm2 s)"


class Ghosts(pa.DataFrameModel):
    """What does every background leave of every line in every aperture?"""

    item: str = column("pointing", "Pointing that was measured.")
    aperture: str = column("aperture", "tip or wake.", isin=("tip", "wake"))
    line: str = column("line", "Name of the line; of tied lines the brightest.")
    method: str = column(
        "method",
        "standard (the archive's cube), combined (of the exposures): nothing taken off; pointings "
        "(the other pointing), annulus (the sky beside the wake), lowrank (few sky spectra without "
        "line channels).",
        isin=METHODS,
    )
    status: str = column("status", "Whether and why there is no value.", isin=STATUSES)
    error_from: str = column(
        "origin of errors",
        "line-free (channels without lines), residual (of the fit) or noise (a noise model); "
        "empty without a value.",
        isin=("line-free", "residual", "noise", ""),
    )
    coverage: float = column("coverage", "Part of the aperture in the field.", ge=0)
    filled: float = column(
        "filled",
        "Part of the sum over the aperture and the channels of the line that was filled from "
        "neighbours, the combined cube being masked there.",
        nullable=True, ge=0, le=1,
    )  # fmt: skip
    flux: float = column("flux", "Flux that is left in the aperture.", FLUX, nullable=True)
    flux_err: float = column("flux error", "Standard error.", FLUX, nullable=True, gt=0)
    flux_limit: float = column("flux limit", "95 % upper limit.", FLUX, nullable=True)
    ghost_fraction: float = column(
        "ghost fraction", "Share of the flux of the aperture that is taken off.", nullable=True
    )
    ghost_fraction_err: float = column("fraction error", "Standard error.", nullable=True, ge=0)
    ghost_fraction_limit: float = column(
        "fraction limit", "95 % upper limit of the fraction.", nullable=True
    )
    relative_flux: float = column(
        "relative flux", "Flux over that of the standard extraction.", nullable=True
    )
    relative_flux_err: float = column("relative error", "Standard error.", nullable=True, ge=0)
    ghost_strength: float = column(
        "ghost strength",
        "Flux where the other pointing puts a ghost, over that of the aperture: -1 with a ghost, "
        "0 without.",
        nullable=True,
    )
    ghost_strength_err: float = column("strength error", "Standard error.", nullable=True, ge=0)
    model_fraction: float = column(
        "model fraction",
        "Share of the flux of the aperture that the fitted ghost takes off: the common strength "
        "times the light displaced into the aperture, over that of the aperture.",
        nullable=True,
    )
    model_fraction_err: float = column("model error", "Standard error.", nullable=True, ge=0)
    truth_fraction: float = column(
        "true fraction",
        "Of a simulated observation; NaN elsewhere, and for lines without a truth.",
        nullable=True,
    )

    @pa.dataframe_check(error="a measured row has a fraction, or no other pointing to have one of")
    def complete(cls, table: Any) -> Any:
        """Say for each row whether what was measured has its numbers."""
        taken = table["method"].isin(METHODS[2:])
        return (table["status"] != "measured") | ~taken | table["ghost_fraction"].notna()


class Strengths(pa.DataFrameModel):
    """How strong is the ghost that a subtraction leaves, in the wake's own light displaced?"""

    method: str = column(
        "difference",
        "pointings (the difference that the study makes) or standard (the archive's cube).",
        isin=("pointings", "standard"),
    )
    item: str = column("pointing", "Pointing; all: one strength of all pointings.")
    line: str = column("line", "Name of the line; all: one strength of all lines.")
    status: str = column(
        "status", "Whether and why there is no value.",
        isin=("measured", "undetected", "not evaluated"),
    )  # fmt: skip
    strength: float = column(
        "strength", "1 where the whole of the wake's light was taken off, 0 where none of it.",
        nullable=True,
    )  # fmt: skip
    strength_err: float = column("strength error", "Standard error.", nullable=True, gt=0)
    misfit: float = column(
        "misfit",
        "Mean square of what was taken off less the strength times own light, over that of noise; "
        "NaN where nothing was taken off.",
        nullable=True, ge=0,
    )  # fmt: skip
    misfit_err: float = column("misfit error", "Its scatter by noise.", nullable=True, ge=0)
    truth_strength: float = column(
        "true strength", "Of a simulated observation; NaN elsewhere.", nullable=True
    )
    places: int = column(
        "places",
        "Places of the sky that are seen twice, once for each pointing, whether a line is seen or "
        "not.",
        ge=0,
    )


class Sharing(pa.DataFrameModel):
    """Which noise do voxels of a mosaic share, by resampling and by subtraction?"""

    product: str = column("product", "The mosaic.", isin=("mosaic", "differenced"))
    dx: int = column("separation x", "Number of spaxels along x.")
    dy: int = column("separation y", "Number of spaxels along y.", ge=0)
    correlation: float = column(
        "correlation", "Mean correlation over places that all pointings cover, for independent "
        "voxels in each pointing.", ge=-1, le=1,
    )  # fmt: skip
    correlation_min: float = column("smallest", "Smallest correlation of such a pair.")
    correlation_max: float = column("largest", "Largest correlation of such a pair.")
    pairs: int = column("pairs", "Number of pairs.", gt=0)
