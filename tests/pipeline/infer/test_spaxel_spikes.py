"""Are lines of one hot voxel flagged, and faint true lines not?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load
from scipy import integrate, stats

from ard.maps import Flag
from pipeline.infer.spaxel.pair import fit_pairs
from pipeline.infer.spaxel.posterior import fit
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.spectra import condense, continuum
from pipeline.infer.spaxel.spike import log_bayes_spike

cases = load(Path(__file__).with_name("spaxel_cases.py"))
PRIOR = Prior()
NUMERICS = Numerics(n_draw=20, ess_min=10.0)
SETS = {"oiii": cases.lines.OIII, "halpha": cases.lines.HALPHA}
N = 80


def spiked(response, height, seed):
    """Give noise with one voxel too high by so many of its errors."""
    rng = np.random.default_rng(seed)
    nothing = np.zeros((N, response.lines.n_free))
    sample = cases.observe(rng, response, PRIOR, (np.zeros(N), np.full(N, 100.0), nothing))
    spectra, here = sample.spectra, np.arange(N)
    channel = rng.integers(0, spectra.flux.shape[1], N)
    flux, good = np.nan_to_num(spectra.flux), spectra.good.copy()
    flux[here, channel] += height * spectra.sigma[here, channel]
    masked = ~good[here, channel]
    good[here[~masked], channel[~masked]] = True
    return replace(sample, spectra=replace(spectra, flux=flux, good=good))


def flags(sample, response):
    """Give which spaxels have a line, and which of them is of one channel."""
    found = fit(sample.spectra, response, PRIOR, NUMERICS, scales=sample.scales)
    one = found.flag & Flag.ONE_CHANNEL != 0
    line = found.flag & Flag.NO_LINE == 0
    assert not one[~line].any()
    return line, one


@pytest.mark.parametrize("name", list(SETS))
def test_lines_of_one_hot_voxel_are_flagged(name):
    # Oracle: construction; no spaxel has a line.
    response = cases.response_of(SETS[name])
    line, one = map(np.concatenate, zip(
        *(flags(spiked(response, height, 810 + height), response) for height in (6, 10, 20)),
        strict=True,
    ))  # fmt: skip
    assert line.sum() > 40  # that many were taken for lines
    assert one.sum() >= 0.95 * line.sum()


@pytest.mark.parametrize("name", list(SETS))
def test_true_faint_lines_are_not(name):
    # Oracle: construction; S/N 5 to 10, from unresolved to broad. One in fifty may be flagged: of
    # 400 of S/N 4 and 6, 3 % of single narrow lines (H alpha) were, of a doublet none.
    response = cases.response_of(SETS[name])
    rng = np.random.default_rng(820)
    height = rng.uniform(5.0, 10.0, (3 * N, response.lines.n_free))
    height[:, :-1] *= 0.3
    truth = (rng.uniform(-600, 600, 3 * N), rng.uniform(10.0, 200.0, 3 * N), height)
    line, one = flags(cases.observe(rng, response, PRIOR, truth, flux_snr=True), response)
    assert line.sum() > 150
    assert one.sum() <= 0.02 * line.sum()


def test_a_hot_voxel_is_not_taken_apart_into_two_lines():
    # Oracle: construction; ln B of one line is 10 or more in all of these, and there is no line.
    response = cases.response_of(SETS["oiii"])
    sample = spiked(response, 20, 840)
    found = fit(sample.spectra, response, PRIOR, NUMERICS, scales=sample.scales)
    rows = np.flatnonzero((found.flag & Flag.ONE_CHANNEL != 0) & (found.log_bayes >= 10.0))[:2]
    assert rows.size == 2
    some = sample.spectra.take(rows)
    one = fit(some, response, PRIOR, NUMERICS, scales=sample.scales)
    pair = fit_pairs(some, response, PRIOR, NUMERICS, one)
    assert np.isnan(pair.log_bayes).all()


def test_the_evidence_of_one_channel_is_that_of_an_integral():
    # Oracle: the normal density of the spectrum, integrated over the height of every channel.
    response = cases.response_of(cases.lines.OIII)
    prior = Prior(flux_snr=20.0, continuum_snr=50.0)
    rng = np.random.default_rng(830)
    blank = np.zeros((1, response.lines.n_free))
    sample = cases.observe(rng, response, prior, (np.zeros(1), np.full(1, 100.0), blank))
    spectra, terms = sample.spectra, continuum(response.windows)
    found = log_bayes_spike(
        condense(spectra, terms, 1.0, sample.scales.continuum), spectra.good, prior
    )
    good = spectra.good[0]
    cov = spectra.correlation * np.outer(spectra.sigma[0], spectra.sigma[0])
    cov = (cov + sample.scales.continuum**2 * terms @ terms.T)[np.ix_(good, good)]
    inverse, y = np.linalg.inv(cov), spectra.flux[0, good]
    ratios = []
    for k in range(good.sum()):
        error = inverse[k, k] ** -0.5
        prior_of = stats.halfnorm(scale=prior.flux_snr * error)

        def ratio(a, k=k, prior_of=prior_of):
            change = a * (inverse @ y)[k] - 0.5 * a**2 * inverse[k, k]
            return np.exp(change) * prior_of.pdf(a)

        ratios.append(integrate.quad(ratio, 0.0, 15.0 * error, epsabs=1e-12)[0])
    assert found[0] == pytest.approx(np.log(np.mean(ratios)), abs=1e-4)
