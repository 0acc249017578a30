"""Have chains converged? The gate of samplers and judge, and the checks of chain products."""

from checks.convergence import family
from checks.convergence.files import measure_file
from checks.convergence.measurement import Finding, Measured, measure, measured_from
from checks.convergence.statistics import Diagnostics, diagnose
from checks.convergence.verdict import (
    Convergence,
    accepted,
    chain_limits,
    gate,
)

__all__ = [
    "Convergence",
    "Diagnostics",
    "Finding",
    "Measured",
    "accepted",
    "chain_limits",
    "diagnose",
    "family",
    "gate",
    "measure",
    "measure_file",
    "measured_from",
]
