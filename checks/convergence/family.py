"""Have the chains behind a product converged, and does their summary say what they are?

Chains are measured again, draw by draw, for the judge does not trust a summary. A summary is judged
by its own numbers, and has to be that of the chains beside it.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from ard import layout
from ard.errors import ArdError, ExtraMissingError
from checks.convergence.files import measured_chains
from checks.convergence.measurement import (
    BAD_DRAWS,
    BFMI,
    CHAINS,
    CRITERIA,
    DEPTH_HITS,
    DIVERGENCES,
    HEADLINE_ESS,
    Finding,
    Measured,
    measured_from,
)
from checks.convergence.verdict import Convergence
from checks.folder import Product
from checks.load import document
from checks.registry import Limits, check
from checks.result import Outcome, compare, failed, passed, skipped
from manifests import Limit

type Rows = Sequence[Mapping[str, Any]]

SUFFIX: Final = ".nc"
DISAGREEMENT: Final = "convergence.disagreement"
LONGER: Final = "let the chains run on, from dispersed starts; look at trace and rank plots"
UNREADABLE: Final = "see integrity.readable"
_VERDICT: Final = ("verdict", "reasons")
_CRITERIA: Final = {criterion.limit: criterion for criterion in CRITERIA}
# What is compared of a summary and its chains: counts exactly, lengths in standard deviations, what
# has a scale of its own relatively, the rest as it is.
_LENGTHS: Final = ("mean", "mcse", "p025", "p16", "p50", "p84", "p975")
_RELATIVE: Final = ("sd", "rhat", "ess_bulk", "ess_tail")
_PLAIN: Final = ("distinct", "tail_shape")
_COUNTS: Final = ("n_chain", "n_draw", "divergences", "depth_hits", "hamiltonian")
_ASKED: Final = (*_CRITERIA, CHAINS, BFMI, DIVERGENCES, DEPTH_HITS)


def chains_file(product: Product) -> bool:
    """Mean every file of chains."""
    known = product.layer is not None and product.product == layout.CHAINS
    return known and product.path.suffix == SUFFIX


def summary(product: Product) -> bool:
    """Mean every summary of chains."""
    known = product.layer is not None and product.product == layout.CHAIN_SUMMARY
    return known and not product.of_figure


def chain_product(product: Product) -> bool:
    """Mean chains and summaries of chains."""
    return chains_file(product) or summary(product)


def _measured(product: Product) -> Measured | Outcome:
    """Give the numbers of a product, or what to say where there are none."""
    if summary(product):
        if product.kind != "document":
            return skipped("the summary is no readable document", UNREADABLE)
        return measured_from(document(product))
    found = measured_chains(product.path)
    if isinstance(found, ExtraMissingError):
        return skipped(found.problem, found.action or "")
    if isinstance(found, ArdError):
        return failed(f"{found.problem}: {found.found}", found.action or "export it again")
    return found


def _hold(product: Product, limits: Limits, remedy: str = LONGER) -> Outcome:
    """Hold the worst number of a product against the one limit that is given."""
    measured = _measured(product)
    if isinstance(measured, Outcome):
        return measured
    ((name, limit),) = limits.items()
    worst, where = _worst(measured, name, limit)
    findings = measured.findings(limits)
    return compare(limit, worst, _detail(findings, where), remedy)


def _worst(measured: Measured, name: str, limit: Limit) -> tuple[float, str]:
    """Give the number that comes nearest to missing a limit, or misses it most."""
    criterion = _CRITERIA[name]
    meant = criterion.meant(measured.names)
    names = [name for name, asked in zip(measured.names, meant, strict=True) if asked]
    values = np.asarray(criterion.value(measured.diagnostics), np.float64)[meant]
    unknown = np.flatnonzero(np.isnan(values))
    if unknown.size or not values.size:
        return math.nan, f"of {len(names)} scalars"
    index = int(values.argmin() if limit.comparison.startswith(">") else values.argmax())
    return float(values[index]), f"{names[index]} is the worst of {values.size} scalars"


def _detail(findings: tuple[Finding, ...], otherwise: str) -> str:
    if not findings:
        return otherwise
    first = findings[0].text
    more = len(findings) - 1
    return f"{first} ({more} more such scalars)" if more else first


def _hold_run(product: Product, limits: Limits, remedy: str) -> Outcome:
    """Hold a number of the run as a whole against the one limit that is given."""
    measured = _measured(product)
    if isinstance(measured, Outcome):
        return measured
    ((name, limit),) = limits.items()
    if name != CHAINS and not measured.hamiltonian:
        return passed("the sampler has no energy, and no trajectories")
    number: Mapping[str, Any] = {
        CHAINS: measured.diagnostics.n_chain,
        BFMI: None if measured.bfmi is None else measured.bfmi.min(initial=math.inf),
        DIVERGENCES: measured.divergences,
        DEPTH_HITS: measured.depth_hits,
    }
    found = math.nan if number[name] is None else float(number[name])
    findings = measured.findings(limits)
    return compare(limit, found, _detail(findings, f"{found:g} in all"), remedy)


@check("convergence.chains", chain_product, (CHAINS,), reads=False)
def chains(product: Product, limits: Limits) -> Outcome:
    """Are there enough chains to see whether they agree?"""
    return _hold_run(product, limits, "run more chains, from dispersed starts")


@check("convergence.finite", chain_product, (BAD_DRAWS,), reads=False)
def finite(product: Product, limits: Limits) -> Outcome:
    """Is every draw of every scalar finite, the log posterior too?"""
    return _hold(product, limits, "find where the model is not finite, and mend it there")


@check("convergence.distinct", chain_product, ("convergence.distinct",), reads=False)
def distinct(product: Product, limits: Limits) -> Outcome:
    """Does every chain move, in every scalar?"""
    return _hold(product, limits, "start stuck chains elsewhere; leave out what is constant")


@check("convergence.rhat", chain_product, ("convergence.rhat",), reads=False)
def rhat(product: Product, limits: Limits) -> Outcome:
    """Do the chains of every scalar agree on where it is, and how wide?"""
    return _hold(product, limits)


@check("convergence.ess_bulk", chain_product, ("convergence.ess_bulk",), reads=False)
def ess_bulk(product: Product, limits: Limits) -> Outcome:
    """Are there enough independent draws in the bulk of every scalar?"""
    return _hold(product, limits)


@check("convergence.ess_tail", chain_product, ("convergence.ess_tail",), reads=False)
def ess_tail(product: Product, limits: Limits) -> Outcome:
    """Are there enough independent draws in the tails of every scalar?"""
    return _hold(product, limits)


@check("convergence.headline_ess", chain_product, (HEADLINE_ESS,), reads=False)
def headline_ess(product: Product, limits: Limits) -> Outcome:
    """Are there enough independent draws, in bulk and tails, of every quantity that is quoted?"""
    measured = _measured(product)
    if isinstance(measured, Measured) and not _CRITERIA[HEADLINE_ESS].meant(measured.names).any():
        return passed("no quantity that is quoted")
    return _hold(product, limits)


@check("convergence.mcse", chain_product, ("convergence.mcse",), reads=False)
def mcse(product: Product, limits: Limits) -> Outcome:
    """Is the error of every mean small beside the width of the posterior?"""
    return _hold(product, limits)


@check("convergence.tail_shape", chain_product, ("convergence.tail_shape",), reads=False)
def tail_shape(product: Product, limits: Limits) -> Outcome:
    """Has every scalar a mean that draws can estimate?"""
    return _hold(product, limits, "bound the prior, or give the logarithm or an angle of it")


@check("convergence.bfmi", chain_product, (BFMI,), reads=False)
def bfmi(product: Product, limits: Limits) -> Outcome:
    """Does every chain of a Hamiltonian sampler move quickly enough between energies?"""
    return _hold_run(product, limits, "write the model in other parameters")


@check("convergence.divergences", chain_product, (DIVERGENCES,), reads=False)
def divergences(product: Product, limits: Limits) -> Outcome:
    """Did no trajectory of a Hamiltonian sampler diverge?"""
    return _hold_run(product, limits, "take smaller steps, or write the model in other parameters")


@check("convergence.depth_hits", chain_product, (DEPTH_HITS,), reads=False)
def depth_hits(product: Product, limits: Limits) -> Outcome:
    """Was no tree of a Hamiltonian sampler cut off?"""
    return _hold_run(product, limits, "allow deeper trees, or adapt the metric longer")


@check("convergence.agrees", summary, (DISAGREEMENT, *_ASKED))
def agrees(product: Product, limits: Limits) -> Outcome:
    """Is a summary that of the chains beside it, and its verdict that of its numbers?"""
    stem = product.stem.replace(layout.CHAIN_SUMMARY, layout.CHAINS, 1)
    here = [p for p in product.folder.products if chains_file(p) and p.stem == stem]
    if not here:
        return skipped(f"there are no chains {stem}{SUFFIX} beside it", "keep the chains with it")
    said, found = _measured(product), _measured(here[0])
    if isinstance(said, Outcome) or isinstance(found, Outcome):
        return skipped("summary or chains cannot be read", UNREADABLE)
    remedy = "make the summary again from the chains that are there"
    if said.names != found.names:
        return failed("summary and chains are not of the same scalars", remedy)
    first, second = said.to_dict(), found.to_dict()
    other = [name for name in _COUNTS if first[name] != second[name]]
    other += _differing_counts(first["scalars"], second["scalars"])
    if other:
        return failed(f"summary and chains differ in {', '.join(other)}", remedy)
    asked = {name: limits[name] for name in _ASKED}
    verdict = Convergence(said, said.findings(asked)).to_dict()
    if wrong := [key for key in _VERDICT if document(product).get(key) != verdict[key]]:
        return failed(f"by its own numbers a summary would have other {', '.join(wrong)}", remedy)
    worst = _disagreement(first, second)
    detail = f"numbers of summary and chains differ by up to {worst:.2g}"
    return compare(limits[DISAGREEMENT], worst, detail, remedy)


def _differing_counts(said: Rows, found: Rows) -> list[str]:
    """Name the scalars that have other numbers of bad draws in a summary than in its chains."""
    return [
        f"bad draws of {other['name']}"
        for one, other in zip(said, found, strict=True)
        if one["bad_draws"] != other["bad_draws"]
    ]


def _disagreement(said: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Give the largest difference of a summary to its chains, over all numbers."""
    differences = [0.0]
    for one, other in zip(said["scalars"], found["scalars"], strict=True):
        differences += [_off(one[name], other[name], other["sd"]) for name in _LENGTHS]
        differences += [_off(one[name], other[name], other[name]) for name in _RELATIVE]
        differences += [_off(one[name], other[name], 1.0) for name in _PLAIN]
    energies = zip_longest(said["bfmi"] or [], found["bfmi"] or [])
    differences += [_off(one, other, 1.0) for one, other in energies]
    return float(np.max(differences))


def _off(one: float | None, other: float | None, unit: float | None) -> float:
    """Give a difference in a unit: NaN if only one is known, or the unit is not."""
    if one is None and other is None:
        return 0.0
    return abs(one - other) / unit if one is not None and other is not None and unit else math.nan
