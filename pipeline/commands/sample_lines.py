"""How do chains of the shocks of each spectrum come into files, to be archived?"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError
from ard.provenance import Provenance
from checks.convergence import chain_limits, gate
from manifests.shocks import ShockAssumptions
from pipeline import runtime
from pipeline.infer.chain import Settings
from pipeline.infer.sampler import Budget, Outcome, Starts, sample
from pipeline.shocks.chains import ShockChains, density, run_of, starts_from
from pipeline.shocks.likelihood import Datum, errors_for, prepare
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.report import Compared
from pipeline.store.blocks import MemoryStore
from pipeline.store.netcdf import export_netcdf

_N_CHAIN: Final = 8  # started from the sum, so that none of two peaks is missed
_SETTINGS: Final = Settings(n_warmup=300)


@dataclass(frozen=True)
class Sampled:
    """How did the chains of a spectrum end?

    Attributes
    ----------
    spectrum : str
    path : path or None
        None where there is no posterior.
    passed : bool
        Whether the gate is passed.
    sentence : str
    """

    spectrum: str
    path: Path | None
    passed: bool
    sentence: str


def sample_spectra(
    found: Compared,
    assumed: ShockAssumptions,
    place: Path,
    made: Provenance,
    names: Sequence[str],
    *,
    most: int,
    overwrite: bool = False,
) -> list[Sampled]:
    """Sample the posterior of each spectrum, under the first prior with each line's own floor.

    Parameters
    ----------
    found : Compared
    assumed : ShockAssumptions
    place : path
        The folder of the files.
    made : Provenance
        Of the fit, whose seed is that of the first spectrum.
    names : sequence of str
        Of the files, without suffix: one for each spectrum.
    most : int
        Draws of each chain at which sampling ends whatever the gate says.
    overwrite : bool

    Raises
    ------
    ArdError
        If a file is there.
    """
    runtime.start("float64")
    errors = errors_for(found.lattice.lines, assumed, rounding=found.lattice.source.rounding)
    choice = priors_for(found.lattice, assumed)[0]
    quadrature = Quadrature(found.lattice, errors, [choice])
    chains = density(found.lattice, choice)
    budget = Budget(n_first=min(1000, most), n_most=most)
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{name}.nc" for name in names]
    _require_absent([] if overwrite else paths)
    rows = []
    data = zip(found.spectra, paths, prepare(found.fluxes, errors), strict=True)
    for row, (name, path, datum) in enumerate(data):
        if datum is None:
            rows.append(Sampled(name, None, False, "H alpha is too weak: there is no posterior"))
            continue
        own = dataclasses.replace(made, seed=(made.seed or 0) + row)
        starts = starts_from(chains, quadrature, 0, datum, _N_CHAIN, own.seed or 0)
        store, content = MemoryStore(), chains.content(datum, provenance=own)
        outcome = _sampled(chains, datum, starts, store, own, name=name, budget=budget)
        export_netcdf(store, name, path, content, overwrite=overwrite)
        rows.append(Sampled(name, path, outcome.passed, outcome.sentence))
    return rows


def _require_absent(paths: Sequence[Path]) -> None:
    """Refuse before minutes are spent on the first spectrum, not when the last is written."""
    there = [path for path in paths if path.exists()]
    if there:
        raise ArdError(
            "the file of chains is there",
            file=there[0],
            expected="no such file",
            found=there[0].name,
            action="give --overwrite, or another folder",
        )


def _sampled(
    chains: ShockChains,
    datum: Datum,
    starts: Starts,
    store: MemoryStore,
    made: Provenance,
    *,
    name: str,
    budget: Budget,
) -> Outcome:
    digests = {"config": made.config_sha256, "code": made.code_sha256}
    run = run_of(chains, starts, _SETTINGS, name=name, seed=made.seed or 0, digests=digests)
    judge: Any = partial(gate, limits=chain_limits())
    return sample(chains.target(datum), starts, run, store, settings=_SETTINGS, budget=budget,
                  gate=judge)  # fmt: skip
