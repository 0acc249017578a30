"""What is the posterior of every spaxel: moments, quantiles, draws, evidence, and its quality?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from ard.cube import BoolArray, FloatArray
from ard.errors import misfit
from ard.maps import Flag
from checks.convergence import chain_limits
from checks.registry import Limits
from pipeline.infer.spaxel.amplitudes import EXACT_UP_TO, pairs
from pipeline.infer.spaxel.draws import Draws, Nodes, Sampler
from pipeline.infer.spaxel.judge import judge
from pipeline.infer.spaxel.patches import Glance, Patch, largest_step, make_patches
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.shift import shift_moments, split_shift
from pipeline.infer.spaxel.spectra import Condensed, Scales, Spectra, condense, continuum
from pipeline.infer.spaxel.spike import log_bayes_spike
from pipeline.infer.spaxel.tables import Tables, density, tabulate
from pipeline.infer.spaxel.templates import Cells, Library
from pipeline.lineprofile import IntArray, Response

LEVELS: Final = (0.025, 0.16, 0.5, 0.84, 0.975)

# Nodes a side of a cell: few tell whether it matters, and are enough where ln L varies little.
_COARSE: Final = 5
# From these ln gains on more are needed: polynomials are off by a share of it (nine nodes: 1e-7).
_FINER: Final = ((12.0, 9), (1e5, 13))
# Between coarse nodes the gain may be larger than at them by this share.
_MISSED: Final = 0.1


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of n spaxels; NaN where there is none.

    Attributes
    ----------
    names : tuple of str
        Of the n_par parameters: velocity, sigma, flux of each line, continuum terms, and shift
        if there is one.
    mean, sd : ndarray, shape (n, n_par)
        km/s; fluxes in flux density times um. By quadrature, but for the continuum.
    quantiles : ndarray, shape (n, n_par, 5)
        At `LEVELS`, from the draws: `n_draw` of them, or twice as many.
    log_evidence_none : ndarray, shape (n,)
        ln Z of no line (flux density in units of `unit`).
    log_bayes : ndarray, shape (n,)
        ln of the evidence of one component over that of none.
    log_spike : ndarray, shape (n,)
        ln of the evidence of one channel that is off over that of none (`spike`).
    khat : ndarray, shape (n,)
        Of the weights of the candidates among which the draws were chosen.
    ess : ndarray, shape (n,)
        Effective number of draws, of bulk or tails, of the worst parameter or the log posterior.
    flag : ndarray of int, shape (n,)
        `Flag`.
    draws : ndarray, shape (n, n_draw, n_par), or None
        If they were to be kept.
    unit : float
        Flux density that counted as 1.
    scales : Scales
        Of the priors.
    """

    names: tuple[str, ...]
    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray
    log_evidence_none: FloatArray
    log_bayes: FloatArray
    log_spike: FloatArray
    khat: FloatArray
    ess: FloatArray
    flag: IntArray
    draws: FloatArray | None
    unit: float
    scales: Scales

    @property
    def log_evidence(self) -> FloatArray:
        """Give ln Z of one component, shape (n,)."""
        return self.log_evidence_none + self.log_bayes


@dataclass(frozen=True, eq=False)
class Model:
    """What the chunks of a fit share."""

    response: Response
    prior: Prior
    numerics: Numerics
    scales: Scales
    unit: float
    terms: FloatArray
    library: Library
    limits: Limits

    @classmethod
    def of(
        cls,
        spectra: Spectra,
        response: Response,
        prior: Prior,
        numerics: Numerics,
        scales: Scales | None = None,
        limits: Limits | None = None,
    ) -> "Model":
        """Prepare templates, scales and the limits of the gate."""
        scales = Scales.of(spectra, response, prior) if scales is None else scales
        unit = scales.continuum / prior.continuum_snr
        library = Library(response, Cells.of(response, prior), scales.flux / unit)
        limits = chain_limits() if limits is None else limits
        terms = continuum(response.windows)
        return cls(response, prior, numerics, scales, unit, terms, library, limits)

    @property
    def count(self) -> int:
        """Number of free fluxes."""
        return int(self.response.lines.n_free)

    @property
    def exact(self) -> bool:
        """Whether the quadrature is exact: few fluxes, or none of them cut."""
        return self.count <= EXACT_UP_TO or not self.prior.non_negative

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        lines = tuple(f"flux_{name.lower()}" for name in self.response.lines.names)
        terms = tuple(f"continuum_{k}" for k in range(self.terms.shape[1]))
        shift = ("shift",) if self.prior.offset_kms else ()
        return ("velocity", "sigma", *lines, *terms, *shift)

    @property
    def judged(self) -> list[int]:
        """Which parameters the gate looks at: of fluxes that are tied one."""
        fluxes = [2 + int(np.flatnonzero(column)[0]) for column in self.response.lines.ratio.T]
        return [0, 1, *fluxes, *range(2 + len(self.response.lines.names), len(self.names))]

    @property
    def least_channels(self) -> int:
        """Fewer channels than this have no posterior."""
        return int(self.terms.shape[1]) + self.count + 3


def fit(
    spectra: Spectra,
    response: Response,
    prior: Prior,
    numerics: Numerics,
    *,
    scales: Scales | None = None,
    streams: Sequence[int] | None = None,
    keep_draws: bool = False,
    limits: Limits | None = None,
) -> Posterior:
    """Find the posterior of one component in every spaxel.

    Parameters
    ----------
    spectra : Spectra
        In the channels of the windows of `response`.
    response : Response
        Lines and channels.
    prior, numerics
    scales : Scales, optional
        Of the priors of what is linear; by default from the noise of these spectra.
    streams : sequence of int, optional
        Number of the stream of random numbers of each spaxel; by default its place.
    keep_draws : bool
        Hand the draws over.
    limits : mapping of str to Limit, optional
        Of the gate for the draws; by default those of the study.

    Raises
    ------
    FormatError
        If spectra and channels do not fit.
    """
    _require_fit(spectra, response)
    bad = spectra.good & ~(np.isfinite(spectra.flux) & (spectra.sigma > 0))
    bad |= spectra.good & ~np.isfinite(spectra.sigma)
    spectra = Spectra(spectra.flux, spectra.sigma, spectra.good & ~bad, spectra.correlation)
    n = spectra.flux.shape[0]
    flag = np.where(bad.any(axis=1), Flag.BAD_VARIANCE, 0).astype(np.int64)
    if not spectra.good.any():
        return _nothing(n, response, prior, flag | Flag.TOO_FEW_CHANNELS)
    model = Model.of(spectra, response, prior, numerics, scales, limits)
    enough = spectra.good.sum(axis=1) >= model.least_channels
    flag[~enough] |= Flag.TOO_FEW_CHANNELS
    result = _empty(n, model, flag, keep_draws)
    numbers = np.arange(n) if streams is None else np.asarray(streams)
    rows = np.flatnonzero(enough)
    for start in range(0, rows.size, numerics.chunk):
        part = rows[start : start + numerics.chunk]
        _fit_chunk(spectra.take(part), model, numbers[part], (result, part))
    return result


def _require_fit(spectra: Spectra, response: Response) -> None:
    used = response.windows.channels.size
    shapes = {np.shape(a)[1:] for a in (spectra.flux, spectra.sigma, spectra.good)}
    if shapes != {(used,)} or spectra.correlation.shape != (used, used):
        problem = "the spectra do not have the channels of the windows"
        raise misfit(problem, f"{used} channels", f"{shapes}, {spectra.correlation.shape}")


def _empty(n: int, model: Model, flag: IntArray, keep_draws: bool) -> Posterior:
    size = len(model.names)
    draws = np.full((n, model.numerics.n_draw, size), np.nan) if keep_draws else None
    one = [np.full(n, np.nan) for _ in range(5)]
    two = [np.full((n, size), np.nan) for _ in range(2)]
    return Posterior(
        names=model.names,
        mean=two[0],
        sd=two[1],
        quantiles=np.full((n, size, len(LEVELS)), np.nan),
        log_evidence_none=one[0],
        log_bayes=one[1],
        log_spike=one[2],
        khat=one[3],
        ess=one[4],
        flag=flag,
        draws=draws,
        unit=model.unit,
        scales=model.scales,
    )


def _nothing(n: int, response: Response, prior: Prior, flag: IntArray) -> Posterior:
    """Give the result where no channel of any spaxel can be used."""
    scales = Scales(np.full(response.lines.n_free, np.nan), np.nan)
    library = Library(response, Cells.of(response, prior), scales.flux)
    terms = continuum(response.windows)
    model = Model(response, prior, Numerics(n_draw=1), scales, np.nan, terms, library, {})
    return _empty(n, model, flag, False)


def _fit_chunk(
    spectra: Spectra, model: Model, numbers: IntArray, target: tuple[Posterior, IntArray]
) -> None:
    """Fit some spaxels and put what is found into the rows of the result."""
    result, rows = target
    condensed = condense(spectra, model.terms, model.unit, model.scales.continuum)
    patches = find_patches(condensed, model)
    nodes = Nodes.of(patches, rows.size)
    sampler = Sampler(patches, nodes, model.library.cells, condensed, model.prior, model.count)
    streams = [
        np.random.Generator(np.random.Philox(key=[model.numerics.seed, int(k)])) for k in numbers
    ]
    draws, values, below, ess = _drawn(sampler, model, streams)
    moments = _moments(patches, nodes, model)
    first = moments.shape[2]  # what the quadrature does not give, the draws do
    result.mean[rows, :first], result.sd[rows, :first] = moments
    for row, drawn in zip(rows, values, strict=True):
        result.mean[row, first:] = drawn[:, first:].mean(axis=0)
        result.sd[row, first:] = drawn[:, first:].std(axis=0, ddof=1)
        result.quantiles[row] = np.quantile(drawn, LEVELS, axis=0).T
        if result.draws is not None:
            result.draws[row] = drawn[:: len(drawn) // model.numerics.n_draw]
    result.log_evidence_none[rows] = condensed.log_evidence
    corrected = nodes.log_evidence + (0.0 if model.exact else draws.log_mean_weight)
    result.log_bayes[rows] = corrected
    result.log_spike[rows] = log_bayes_spike(condensed, spectra.good, model.prior)
    result.khat[rows], result.ess[rows] = draws.khat, ess
    below |= _cut(patches, rows.size)
    result.flag[rows] |= _flags(draws, corrected, spectra, model, result.mean[rows])
    result.flag[rows] |= np.where(below, Flag.BELOW_GATE, 0)
    result.flag[rows] |= _of_one_channel(corrected, result.log_spike[rows], model.numerics)


def _drawn(
    sampler: Sampler, model: Model, streams: Sequence[np.random.Generator]
) -> tuple[Draws, list[FloatArray], BoolArray, FloatArray]:
    """Draw from every spaxel, and hold the draws against the gate.

    Of 1000 independent draws R-hat misses its limit by chance for one scalar in 500. As for chains,
    more draws tell: such a spaxel is drawn from again, and all its draws are held against the gate.

    Returns
    -------
    draws : Draws
        The first `n_draw` of each.
    values : list of ndarray, shape (n_draw or 2 n_draw, n_par)
        All parameters.
    below : ndarray of bool, shape (n,)
        Whether they do not pass.
    ess : ndarray, shape (n,)
    """
    numerics = model.numerics
    draws = sampler.draw(np.arange(len(streams)), streams, numerics)
    whole = _parameters(draws, model, streams)
    passed, ess = _judged(whole, draws.log_density, model)
    values, kept = list(whole), draws.kept.copy()
    heavy = ~(draws.khat < numerics.khat_max)
    sound = ~heavy & (kept >= max(numerics.n_draw, numerics.ess_min))
    again = np.flatnonzero(sound & ~(passed & (ess >= numerics.ess_min)))
    if again.size:
        own = [streams[int(k)] for k in again]
        more = sampler.draw(again, own, numerics)
        both = np.concatenate([whole[again], _parameters(more, model, own)], axis=1)
        log_density = np.concatenate([draws.log_density[again], more.log_density], axis=1)
        passed[again], ess[again] = _judged(both, log_density, model)
        kept[again] += more.kept
        for row, drawn in zip(again, both, strict=True):
            values[row] = drawn
    ess = np.minimum(ess, kept)
    return draws, values, heavy | ~passed | ~(ess >= numerics.ess_min), ess


def _judged(
    values: FloatArray, log_density: FloatArray, model: Model
) -> tuple[BoolArray, FloatArray]:
    return judge(
        np.concatenate([values[:, :, model.judged], log_density[:, :, None]], axis=2), model.limits
    )


def find_patches(condensed: Condensed, model: Model) -> list[Patch]:
    """Find where the posterior of each spaxel lies.

    All cells of all spaxels are tried at a few nodes; those that may matter are kept, with more
    nodes where the line is bright.
    """
    cells, numerics, count = model.library.cells, model.numerics, model.count
    n = condensed.pulled.shape[0]
    spaxel, cell = (axis.ravel() for axis in np.indices((n, cells.count)))
    coarse = tabulate(condensed, model.library, _COARSE, (spaxel, cell))
    peaks, gains, steps = _at_nodes(coarse, model)
    peak, gain = peaks.reshape(n, -1), gains.reshape(n, -1)
    top, most = peak.max(axis=1), np.maximum(gain.max(axis=1), 0.0)
    kept = peak > (top - numerics.depth - _MISSED * most)[:, None]
    level = np.searchsorted([least for least, _ in _FINER], most)  # how bright, from 0
    some = np.flatnonzero((kept & (level == 0)[:, None]).ravel())
    looks = [(coarse.take(some), Glance(peaks[some], steps[some]))]
    for number, (_, order) in enumerate(_FINER, 1):
        rows, columns = np.nonzero(kept & (level == number)[:, None])
        if rows.size:
            fine = tabulate(condensed, model.library, order, (rows, columns))
            looks.append((fine, Glance.none(len(fine))))
    patches: list[Patch] = []
    for tables, glance in looks:
        if len(tables):
            patches += make_patches(tables, cells, (top, glance), model.prior, numerics, count)
    return patches


def _at_nodes(tables: Tables, model: Model) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the largest ln density, gain and step of each item at the nodes of its own table."""
    velocity, variance = model.library.cells.nodes(tables.order)
    v = velocity[tables.cell][:, :, None]
    s = np.sqrt(np.maximum(variance, 0.0))[tables.cell][:, None, :]
    size = model.count + len(pairs(model.count))
    quantities = np.ascontiguousarray(tables.values[:, :size].swapaxes(0, 1))
    found = density(quantities, (v, s), model.prior, model.count)
    gain = found.log_density - model.prior.log_velocity(v) - model.prior.log_sigma(s)
    step = largest_step(found.log_density)
    return found.log_density.max(axis=(1, 2)), gain.max(axis=(1, 2)), step


def _moments(patches: Sequence[Patch], nodes: Nodes, model: Model) -> FloatArray:
    """Give mean and standard deviation of velocity, width and line fluxes, shape (2, n, n_par).

    Where the quadrature is rough, because many fluxes are cut, moments are left to the draws.
    """
    if not model.exact:
        return np.empty((2, nodes.log_evidence.size, 0))
    grids = [patch.nodes() for patch in patches]
    shape = [(len(p.tables), p.size, p.size) for p in patches]
    velocity = [np.broadcast_to(v[:, :, None], s) for (v, _), s in zip(grids, shape, strict=True)]
    sigma = [np.broadcast_to(s[:, None, :], t) for (_, s), t in zip(grids, shape, strict=True)]
    at, width = nodes.gather(velocity), nodes.gather(sigma)
    mean_shift, square_shift = shift_moments(at, model.prior)
    firsts = [at - mean_shift, width]
    seconds = [at**2 - 2.0 * at * mean_shift + square_shift, width**2]
    columns = [_mean_sd(nodes, *pair) for pair in zip(firsts, seconds, strict=True)]
    ratio, scale = model.response.lines.ratio, model.scales.flux
    amplitudes = []
    for k in range(model.count):
        both = [_flux_moments(patch, k) for patch in patches]
        first, second = (nodes.gather(part) for part in zip(*both, strict=True))
        amplitudes.append(scale[k] * np.stack(_mean_sd(nodes, first, second)))
    for row in ratio:
        # A line's flux has one amplitude behind it: ties are ratios.
        k = int(np.flatnonzero(row)[0])
        columns.append((row[k] * amplitudes[k][0], abs(row[k]) * amplitudes[k][1]))
    return np.stack([np.stack(pair) for pair in columns], axis=2)


def _flux_moments(patch: Patch, number: int) -> tuple[FloatArray, FloatArray]:
    found = patch.found
    if found.fluxes is not None:
        return found.fluxes.mean[number], found.fluxes.square[number]
    mean = found.given.mean[number]
    return mean, mean**2 + found.given.variance()[number]


def _mean_sd(nodes: Nodes, first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give mean and standard deviation of a quantity whose moments at the nodes are given."""
    mean = nodes.mean(first)
    about = mean[nodes.spaxel]
    variance = nodes.mean(second - 2.0 * about * first + about**2)
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _parameters(draws: Draws, model: Model, streams: Sequence[np.random.Generator]) -> FloatArray:
    """Give the draws of all parameters, shape (n, n_draw, n_par)."""
    amplitude = draws.amplitude * model.scales.flux
    parts = [
        draws.velocity[:, :, None],
        draws.sigma[:, :, None],
        amplitude @ model.response.lines.ratio.T,
        draws.continuum * model.unit,
    ]
    if model.prior.offset_kms:
        uniform = np.stack([rng.random(draws.velocity.shape[1]) for rng in streams])
        shift = split_shift(draws.velocity, uniform, model.prior)
        parts[0] = parts[0] - shift[:, :, None]
        parts.append(shift[:, :, None])
    return np.concatenate(parts, axis=2)


def _flags(
    draws: Draws, log_bayes: FloatArray, spectra: Spectra, model: Model, mean: FloatArray
) -> IntArray:
    """Say what is odd about the lines of the spaxels of a chunk."""
    none = ~(log_bayes >= model.numerics.log_bayes_min)
    edge = ~none & _at_edge(draws, spectra, model, mean)
    flag = np.where(none, Flag.NO_LINE, 0) | np.where(edge, Flag.AT_EDGE, 0)
    return np.asarray(flag, dtype=np.int64)


def _cut(patches: Sequence[Patch], n: int) -> BoolArray:
    """Say of which of n spaxels some of the posterior may lie beyond its boxes."""
    cut = np.zeros(n, dtype=bool)
    for patch in patches:
        cut[patch.tables.spaxel[patch.cut]] = True
    return cut


def _of_one_channel(log_bayes: FloatArray, log_spike: FloatArray, numerics: Numerics) -> IntArray:
    """Flag lines that one bad channel explains better."""
    one = (log_bayes >= numerics.log_bayes_min) & (log_spike > log_bayes)
    return np.where(one, Flag.ONE_CHANNEL, 0).astype(np.int64)


_EDGE: Final = 0.02  # of the prior's half width
_EDGE_SHARE: Final = 0.05  # of the posterior
_COVERAGE: Final = 0.5  # of the light of a line that must fall on good channels


def _at_edge(draws: Draws, spectra: Spectra, model: Model, mean: FloatArray) -> np.ndarray:
    """Say whose velocity is at an end of the prior, or has a line on missing channels."""
    prior, lines = model.prior, model.response.lines
    near = np.abs(draws.velocity) > (1.0 - _EDGE) * prior.velocity_max_kms
    edge = near.mean(axis=1) > _EDGE_SHARE
    for row, number in enumerate(model.response.windows.line_block):
        part = model.response.windows.blocks[number]
        width = np.sqrt(mean[:, 1] ** 2 + lines.sigma_lsf_kms[row] ** 2)[:, None]
        place = (model.response.edges_kms[row] - mean[:, :1]) / width
        seen = (np.diff(ndtr(place)) * spectra.good[:, part]).sum(axis=1)
        edge |= seen < _COVERAGE
    return edge
