"""Spaxels simulated from the prior, and a dense grid that shares no code with what is tested."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from loading import load
from scipy import stats
from scipy.linalg import toeplitz

from pipeline.infer.spaxel.spectra import Scales, Spectra
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import Response

lines = load(Path(__file__).parent.parent / "linemaps" / "linefit_cases.py")
LAGS = (1.0, 0.22, 0.04)


def response_of(line_set, window=1600.0):
    windows = cut(lines.G140M_EDGES, line_set, lines.REDSHIFT, window)
    return Response.of(lines.G140M_EDGES, line_set, windows, lines.REDSHIFT)


def correlation_of(size):
    return toeplitz(np.r_[LAGS, np.zeros(size - len(LAGS))])


def slow_templates(response, velocity, sigma):
    """Light of unit amplitudes, shape (m, n_used, n_free), by the distribution function."""
    out = np.zeros((velocity.size, response.windows.channels.size, response.lines.n_free))
    for row, number in enumerate(response.windows.line_block):
        part = response.windows.blocks[number]
        edges = response.edges_kms[row]
        width = np.hypot(sigma, response.lines.sigma_lsf_kms[row])
        share = np.diff(stats.norm.cdf(edges[None], velocity[:, None], width[:, None]), axis=1)
        density = share / response.widths_um[part]
        out[:, part] += density[:, :, None] * response.lines.ratio[row]
    return out


def slow_continuum(response):
    columns = []
    for block in response.windows.blocks:
        for values in (
            np.ones(block.stop - block.start),
            np.linspace(-1, 1, block.stop - block.start),
        ):
            column = np.zeros(response.windows.channels.size)
            column[block] = values
            columns.append(column)
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Spaxels with their truth: velocity, sigma, amplitudes (n, n_free), continuum (n, n_terms)."""

    spectra: Spectra
    scales: Scales
    velocity: np.ndarray
    sigma: np.ndarray
    amplitude: np.ndarray
    continuum: np.ndarray

    def parameters(self, response):
        flux = self.amplitude @ response.lines.ratio.T
        return np.column_stack([self.velocity, self.sigma, flux, self.continuum])


def noise_of(rng, n, size):
    """Errors of 0.7 to 1.4 that differ between spaxels and channels; 3 % of channels are masked."""
    sigma = rng.uniform(0.8, 1.2, (n, 1)) * rng.uniform(0.9, 1.15, (n, size))
    return sigma, rng.random((n, size)) > 0.03


def observe(rng, response, prior, truth, *, flux_snr=None):
    """Observe spaxels; truth: velocity and sigma; amplitudes in prior scales, or from the prior."""
    velocity, sigma, height = truth
    n, size = velocity.size, response.windows.channels.size
    error, good = noise_of(rng, n, size)
    correlation = correlation_of(size)
    empty = Spectra(np.zeros((n, size)), error, good, correlation)
    scales = Scales.of(empty, response, prior)
    amplitude = height * scales.flux / (prior.flux_snr if flux_snr else 1.0)
    terms = slow_continuum(response)
    level = rng.normal(size=(n, terms.shape[1])) * scales.continuum
    light = np.concatenate(
        [
            slow_templates(response, velocity[k : k + 1], sigma[k : k + 1]) @ amplitude[k]
            for k in range(n)
        ]
    )
    noise = rng.normal(size=(n, size)) @ np.linalg.cholesky(correlation).T * error
    flux = np.where(good, light + level @ terms.T + noise, np.nan)
    return Sample(
        Spectra(flux, error, good, correlation), scales, velocity, sigma, amplitude, level
    )


def from_prior(rng, response, prior, n):
    """Draw truths from the prior, and observe them."""
    top = stats.halfnorm.cdf(prior.sigma_max_kms, scale=prior.sigma_scale_kms)
    sigma = stats.halfnorm.ppf(rng.random(n) * top, scale=prior.sigma_scale_kms)
    velocity = rng.uniform(-prior.velocity_max_kms, prior.velocity_max_kms, n)
    height = rng.normal(size=(n, response.lines.n_free))
    height = np.abs(height) if prior.non_negative else height
    shift = prior.offset_kms * rng.normal(size=n)
    sample = observe(rng, response, prior, (velocity + shift, sigma, height))
    return replace(sample, velocity=velocity)


@dataclass(frozen=True)
class Dense:
    """What the dense grid says of one spaxel: ln B, ln Z of no line, means and deviations."""

    log_bayes: float
    log_evidence_none: float
    mean: np.ndarray
    sd: np.ndarray


def dense(sample, row, response, prior, shape=(800, 150), box=None):
    """Integrate one spaxel on a regular grid over the whole prior, or a box: ends of v and sigma.

    Amplitudes are integrated by the normal distribution function (one) or, of two, by that and a
    sum over a fine grid of the first.
    """
    spectra, good = sample.spectra, sample.spectra.good[row]
    y, error = spectra.flux[row, good], spectra.sigma[row, good]
    terms = slow_continuum(response)[good]
    cov = spectra.correlation[np.ix_(good, good)] * np.outer(error, error)
    cov = cov + sample.scales.continuum**2 * terms @ terms.T
    # Not scipy's normal, which takes a continuum that may be 1e4 errors high for a singularity.
    none = -0.5 * (y @ np.linalg.solve(cov, y) + np.linalg.slogdet(2 * np.pi * cov)[1])
    top = prior.velocity_max_kms
    ends = ((-top, top), (0.0, prior.sigma_max_kms)) if box is None else box
    v, s = (
        low + (np.arange(number) + 0.5) / number * (high - low)
        for number, (low, high) in zip(shape, ends, strict=True)
    )
    log_prior = stats.halfnorm.logpdf(s, scale=prior.sigma_scale_kms) - np.log(
        stats.halfnorm.cdf(prior.sigma_max_kms, scale=prior.sigma_scale_kms) * 2 * top
    )
    inverse = np.linalg.inv(cov)
    log_density, first, second = [], [], []
    for width, extra in zip(s, log_prior, strict=True):
        light = slow_templates(response, v, np.full(v.size, width))[:, good] * sample.scales.flux
        precision = np.einsum("mnj,np,mpk->mjk", light, inverse, light)
        pull = np.einsum("mnj,n->mj", light, inverse @ y)
        found = (_one if light.shape[2] == 1 else _two)(precision, pull)
        log_density.append(found[0] + extra)
        first.append(found[1])
        second.append(found[2])
    log_density = np.array(log_density)
    area = (v[1] - v[0]) * (s[1] - s[0])
    weight = np.exp(log_density - log_density.max())
    total = weight.sum()
    weight /= total
    scale = sample.scales.flux
    means = [(weight * v).sum(), (weight.T * s).sum()]
    squares = [(weight * v**2).sum(), (weight.T * s**2).sum()]
    for k in range(scale.size):
        means.append((weight * np.array(first)[:, :, k]).sum() * scale[k])
        squares.append((weight * np.array(second)[:, :, k]).sum() * scale[k] ** 2)
    mean = np.array(means)
    return Dense(
        float(np.log(total * area) + log_density.max()),
        float(none),
        mean,
        np.sqrt(np.array(squares) - mean**2),
    )


def dense_near(sample, row, response, prior, reach=(30.0, 60.0), shape=(60, 60)):
    """Integrate one spaxel near its truth, on ever finer grids: lines of hundreds of errors."""
    middle = sample.velocity[row], sample.sigma[row]
    for _ in range(4):
        box = [(at - far, at + far) for at, far in zip(middle, reach, strict=True)]
        box[1] = (max(box[1][0], 0.0), box[1][1])
        found = dense(sample, row, response, prior, shape, box)
        steps = [2.0 * far / number for far, number in zip(reach, shape, strict=True)]
        middle = found.mean[:2]
        reach = [10.0 * max(sd, step / 3.0) for sd, step in zip(found.sd[:2], steps, strict=True)]
    return found


def _one(precision, pull):
    whole = precision[:, 0, 0] + 1.0
    mean, sd = pull[:, 0] / whole, whole**-0.5
    height = mean / sd
    log_share = stats.norm.logcdf(height)
    ratio = np.exp(stats.norm.logpdf(height) - log_share)
    first = mean + sd * ratio
    second = mean * first + sd**2
    gain = 0.5 * height**2 - 0.5 * np.log(whole) + log_share + np.log(2.0)
    return gain, first[:, None], second[:, None]


def _two(precision, pull):
    """Sum over the first amplitude, of which the second is a truncated normal."""
    whole = precision + np.eye(2)
    cov = np.linalg.inv(whole)
    mean = np.einsum("mjk,mk->mj", cov, pull)
    sd = np.sqrt(cov[:, 0, 0])
    low = np.maximum(mean[:, 0] - 9 * sd, 0.0)
    # Far below zero what is left decays as exp(-height * x / sd).
    reach = np.where(
        mean[:, 0] > 0, mean[:, 0] + 9 * sd, 9 * sd / np.hypot(1.0, mean[:, 0] / sd / 4)
    )
    grid = low[:, None] + (reach - low)[:, None] * (np.arange(300) + 0.5) / 300
    given_mean = (pull[:, 1:] - whole[:, 0, 1:] * grid) / whole[:, 1, 1:]
    given_sd = whole[:, 1, 1] ** -0.5
    height = given_mean / given_sd[:, None]
    log_share = stats.norm.logcdf(height)
    ratio = np.exp(stats.norm.logpdf(height) - log_share)
    other = given_mean + given_sd[:, None] * ratio
    other2 = given_mean * other + given_sd[:, None] ** 2
    log_joint = stats.norm.logpdf(grid, mean[:, :1], sd[:, None]) + log_share
    top = log_joint.max(axis=1, keepdims=True)
    weight = np.exp(log_joint - top)
    total = weight.sum(axis=1)
    weight = weight / total[:, None]
    log_inside = top[:, 0] + np.log(total * (reach - low) / 300)
    gain = 0.5 * np.einsum("mj,mj->m", pull, mean) - 0.5 * np.linalg.slogdet(whole)[1]
    first = np.stack([(weight * grid).sum(1), (weight * other).sum(1)], 1)
    second = np.stack([(weight * grid**2).sum(1), (weight * other2).sum(1)], 1)
    return gain + log_inside + 2 * np.log(2.0), first, second
