"""Are there two components in a spaxel rather than one, and what are they?

Both components have the prior of one, independently; the first is the one of lower velocity. Given
velocities and widths the fluxes are Gaussian, cut at zero, as for one component; the four others
are integrated by importance sampling (`pipeline.infer.spaxel.proposal`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ard.cube import FloatArray
from ard.maps import Flag
from pipeline.infer.spaxel.pairmodel import Drawn, PairModel
from pipeline.infer.spaxel.pareto import effective, khat
from pipeline.infer.spaxel.posterior import LEVELS, Posterior
from pipeline.infer.spaxel.proposal import Grid, Kernels, Proposal
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.spectra import Spectra, condense, continuum
from pipeline.lineprofile import IntArray, Response


@dataclass(frozen=True, eq=False)
class Pairs:
    """The posterior of two components in n spaxels; NaN where they were not tried.

    Attributes
    ----------
    names : tuple of str
        Of the n_par parameters: velocity, sigma and flux of each line of the first component,
        ending in _1, then of the second, ending in _2.
    mean, sd : ndarray, shape (n, n_par)
    quantiles : ndarray, shape (n, n_par, 5)
        At `LEVELS`.
    log_bayes : ndarray, shape (n,)
        ln of the evidence of two components over that of one.
    khat, ess : ndarray, shape (n,)
        Of the importance weights.
    flag : ndarray of int, shape (n,)
        `Flag.BELOW_GATE` where they cannot be trusted.
    """

    names: tuple[str, ...]
    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray
    log_bayes: FloatArray
    khat: FloatArray
    ess: FloatArray
    flag: IntArray


def fit_pairs(
    spectra: Spectra,
    response: Response,
    prior: Prior,
    numerics: Numerics,
    one: Posterior,
    *,
    log_bayes_min: float = 10.0,
    candidates: Sequence[int] = (3000, 3000, 4000, 6000, 8000),
) -> Pairs:
    """Find the posterior of two components where one is there without doubt.

    Parameters
    ----------
    spectra : Spectra
        As `fit` was given.
    response : Response
    prior : Prior
        Of either component, without a shift.
    numerics : Numerics
        Seed and gate.
    one : Posterior
        Of one component.
    log_bayes_min : float
        Spaxels in which one component has at least this ln B against none are tried, but for those
        that one channel explains better.
    candidates : sequence of int
        Number of importance samples; the next where those before are below the gate.

    Raises
    ------
    ValueError
        If the prior has a shift of the wavelengths.
    """
    if prior.offset_kms:
        raise ValueError("two components are not fitted together with a shift of the wavelengths")
    lines = tuple(f"flux_{name.lower()}" for name in response.lines.names)
    names = tuple(f"{n}_{k}" for k in (1, 2) for n in ("velocity", "sigma", *lines))
    n, size = one.log_bayes.size, len(names)
    blank = np.full((n, size, len(LEVELS) + 2), np.nan)
    result = Pairs(
        names=names,
        mean=blank[:, :, 0].copy(),
        sd=blank[:, :, 1].copy(),
        quantiles=blank[:, :, 2:].copy(),
        log_bayes=np.full(n, np.nan),
        khat=np.full(n, np.nan),
        ess=np.full(n, np.nan),
        flag=np.zeros(n, dtype=np.int64),
    )
    grid, terms = Grid.of(prior), continuum(response.windows)
    sure = (one.log_bayes >= log_bayes_min) & (one.flag & Flag.ONE_CHANNEL == 0)
    for k in np.flatnonzero(sure):
        seen = condense(spectra.take(np.array([k])), terms, one.unit, one.scales.continuum)
        scale = one.scales.flux / one.unit
        model = PairModel(response, prior, scale, seen.precision[0], seen.pulled[0])
        first = (one.mean[k, :2], np.maximum(1.2 * one.sd[k, :2], 1.0))
        proposal = Proposal.of(model, grid, first)
        rng = np.random.Generator(np.random.Philox(key=[numerics.seed, int(k) + 2**32]))
        _sample(model, proposal, rng, (candidates, numerics), (result, int(k), one))
    return result


def _sample(
    model: PairModel,
    proposal: Proposal,
    rng: np.random.Generator,
    how: tuple[Sequence[int], Numerics],
    target: tuple[Pairs, int, Posterior],
) -> None:
    """Draw pairs until the gate is passed, and put what they say into a row of the result.

    All draws count, against the mixture of all proposals that were used (Cornuet et al. 2012,
    Scand. J. Stat. 39, 798).
    """
    (candidates, numerics), (result, row, one) = how, target
    proposals: list[Proposal | Kernels] = [proposal]
    drawn = Drawn.none(model.count)
    for number in candidates:
        drawn = drawn.joined(Drawn.of(model, proposals[-1].draw(rng, number), rng))
        shares = np.log(np.array(candidates[: len(proposals)]) / drawn.log_density.size)
        logs = [p.log_density(drawn.point) + s for p, s in zip(proposals, shares, strict=True)]
        log_weight = drawn.log_density - logsumexp(logs, axis=0)
        weight = np.exp(log_weight - logsumexp(log_weight))
        shape, kish = float(khat(log_weight[None])[0]), float(effective(log_weight[None])[0])
        below = not (kish >= numerics.ess_min and shape < numerics.khat_max)
        if not below:
            break
        proposals.append(Kernels.of(drawn, weight, rng))
    total = logsumexp(log_weight) - np.log(log_weight.size)
    values = _parameters(model, drawn, one.scales.flux)
    mean = weight @ values
    result.mean[row] = mean
    result.sd[row] = np.sqrt(weight @ (values - mean) ** 2)
    result.quantiles[row] = _quantiles(values, weight)
    result.log_bayes[row] = total - one.log_bayes[row]
    result.khat[row], result.ess[row] = shape, kish
    result.flag[row] = Flag.BELOW_GATE if below else 0


def _parameters(model: PairModel, drawn: Drawn, scale: FloatArray) -> FloatArray:
    """Give all parameters of draws, the component of lower velocity first, (m, n_par)."""
    number = drawn.point.shape[0]
    flux = drawn.amplitude.reshape(number, 2, -1) * scale @ model.response.lines.ratio.T
    values = np.concatenate([drawn.point.reshape(number, 2, 2), flux], axis=2)
    swapped = values[:, 0, 0] > values[:, 1, 0]
    return np.where(swapped[:, None, None], values[:, ::-1], values).reshape(number, -1)


def _quantiles(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Give quantiles of weighted draws, shape (n_par, 5)."""
    order = np.argsort(values, axis=0)
    rows = []
    for column, rank in zip(values.T, order.T, strict=True):
        share = np.cumsum(weight[rank])
        rows.append(np.interp(LEVELS, share - 0.5 * weight[rank], column[rank]))
    return np.array(rows)
