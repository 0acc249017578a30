"""Have chains converged, and if not, why not?

One function for the sampler, which goes on until it says yes, and for the judge, who asks it again:
`gate`. It passes only what is finite, measured and within every limit: what cannot be computed
fails. Nothing is averaged over parameters; the log posterior is judged like one, and so are derived
quantities, which are handed in among the draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ard.cube import FloatArray
from checks.convergence.measurement import (
    BFMI,
    CHAINS,
    CRITERIA,
    DEPTH_HITS,
    DIVERGENCES,
    Finding,
    Measured,
    kept,
    measure,
)
from checks.convergence.statistics import Diagnostics
from checks.registry import Limits
from manifests import Limit, load_acceptance


@dataclass(frozen=True, eq=False)
class Convergence:
    """The verdict on a set of chains.

    Attributes
    ----------
    measured : Measured
        The numbers.
    findings : tuple of Finding
        Every reason not to trust the chains; none if they have converged.
    """

    measured: Measured
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether the chains have converged."""
        return not self.findings

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason not to trust the chains, in words."""
        return tuple(finding.text for finding in self.findings)

    @property
    def final(self) -> bool:
        """Whether more draws cannot mend it: a trajectory strayed, or chains are too few."""
        return self.strayed or any(one.limit == CHAINS for one in self.findings)

    @property
    def strayed(self) -> bool:
        """Whether a trajectory diverged or was cut off, which must not happen once."""
        return any(one.limit in (DIVERGENCES, DEPTH_HITS) for one in self.findings)

    def to_dict(self, units: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Give the plain JSON form: what a summary of chains says, with the verdict.

        A document of the schema ``chain-summary`` has schema, item, model, simulated and
        provenance besides.
        """
        verdict = "PASSED" if self.passed else "FAILED"
        said = self.measured.to_dict(units)
        return {**said, "verdict": verdict, "reasons": list(self.reasons)}


def chain_limits(target: str | None = None) -> dict[str, Limit]:
    """Give the limits of the study that chains have to keep.

    Parameters
    ----------
    target : str, optional
        Item name of the target, which may have limits of its own.
    """
    acceptance, names = load_acceptance(), {row.limit for row in CRITERIA}
    names |= {CHAINS, BFMI, DIVERGENCES, DEPTH_HITS}
    return {name: acceptance.limit(name, target) for name in sorted(names)}


def gate(
    draws: Mapping[str, FloatArray],
    stats: Mapping[str, NDArray[Any]],
    limits: Limits,
    *,
    hamiltonian: bool = True,
) -> Convergence:
    """Say whether chains have converged, and every reason if they have not.

    Parameters
    ----------
    draws : mapping of str to array, shape (n_chain, n_draw) or (n_chain, n_draw, ...)
        Draws of the parameters, and of every derived quantity that is published. Each element of a
        larger array is a scalar of its own.
    stats : mapping of str to array, shape (n_chain, n_draw)
        ``lp``, the log posterior, and of a Hamiltonian sampler ``energy``, ``diverging`` and
        ``reached_max_treedepth``. What is missing counts as bad.
    limits : mapping of str to Limit
        As `chain_limits` gives them.
    hamiltonian : bool
        False for draws of a sampler that has no energy, such as independent ones.

    Returns
    -------
    Convergence
        Bad chains are a verdict, not an error.

    Raises
    ------
    ArdError
        If arrays do not belong to the same chains.
    """
    measured = measure(draws, stats, hamiltonian=hamiltonian)
    return Convergence(measured, measured.findings(limits))


def accepted(diagnostics: Diagnostics, limits: Limits) -> NDArray[np.bool_]:
    """Say of each scalar whether it has converged: for maps, where each spaxel is a fit of its own.

    Parameters
    ----------
    diagnostics : Diagnostics
        As `diagnose` gives them, of any shape.
    limits : mapping of str to Limit
        As `chain_limits` gives them; those of single scalars and of the number of chains count, but
        not those of quantities that are quoted: scalars have no names here.

    Returns
    -------
    array of bool
        Shape of the scalars.
    """
    good = np.full(diagnostics.bad_draws.shape, limits[CHAINS].accepts(diagnostics.n_chain))
    for criterion in (one for one in CRITERIA if not one.headline):
        good &= kept(limits[criterion.limit], criterion.value(diagnostics))
    return good
