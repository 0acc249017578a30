"""What do the spectra say before any line is looked at: noise whitened, continuum integrated out?

With N the covariance of the noise of a spaxel, C its continuum templates with a normal prior of
covariance S, the covariance of what is left is N + C S C', and its inverse

    M = N^-1 - N^-1 C K C' N^-1,   K = (C' N^-1 C + S^-1)^-1.

Lines enter as T' M T and T' M y alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from pipeline.infer.spaxel.settings import Prior
from pipeline.infer.spaxel.templates import light
from pipeline.lineprofile import Response, Windows

_ORDER: Final = 1  # of the continuum of a block: level and slope
LOG_2PI: Final = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Spectra:
    """Spectra of many spaxels, in the channels of the windows.

    Attributes
    ----------
    flux, sigma : ndarray, shape (n, n_used)
        Flux densities per um and their standard deviations; where `good` is false, anything.
    good : ndarray of bool, shape (n, n_used)
        True = use it.
    correlation : ndarray, shape (n_used, n_used)
        Of the noise of the channels.
    """

    flux: FloatArray
    sigma: FloatArray
    good: BoolArray
    correlation: FloatArray

    def take(self, rows: slice | np.ndarray) -> "Spectra":
        """Give some of the spaxels."""
        return Spectra(self.flux[rows], self.sigma[rows], self.good[rows], self.correlation)


@dataclass(frozen=True, eq=False)
class Scales:
    """The widths of the priors of what is linear, from the noise alone.

    Attributes
    ----------
    flux : ndarray, shape (n_free,)
        Of the amplitudes, flux density times um.
    continuum : float
        Of level and slope, flux density.
    """

    flux: FloatArray
    continuum: float

    @classmethod
    def of(cls, spectra: Spectra, response: Response, prior: Prior) -> "Scales":
        """Find the scales from the typical noise: the median over spaxels of every channel."""
        known = np.where(spectra.good, spectra.sigma, np.nan)
        some = spectra.good.any(axis=0)
        typical = np.full(known.shape[1], np.nan)
        typical[some] = np.nanmedian(known[:, some], axis=0)
        typical = np.where(some, typical, np.nanmedian(typical))
        line = light(response, np.zeros(1), np.full(1, prior.sigma_scale_kms**2))[0]
        white = line / typical[:, None]
        precision = np.einsum("nk,nk->k", white, np.linalg.solve(spectra.correlation, white))
        return cls(prior.flux_snr / np.sqrt(precision), prior.continuum_snr * np.median(typical))


@dataclass(frozen=True, eq=False)
class Condensed:
    """Spectra with noise and continuum taken care of, flux in units of the typical error.

    Attributes
    ----------
    precision : ndarray, shape (n, n_used, n_used)
        M; rows and columns of channels that are not used are 0.
    pulled : ndarray, shape (n, n_used)
        M y.
    to_continuum : ndarray, shape (n, n_terms, n_used)
        What gives the mean of the continuum from y less the lines.
    spread : ndarray, shape (n, n_terms, n_terms)
        Cholesky factor of the covariance of the continuum given the lines.
    level : ndarray, shape (n, n_terms)
        Mean of the continuum without lines.
    log_evidence : ndarray, shape (n,)
        ln Z of no line, for fluxes in units of the typical error.
    """

    precision: FloatArray
    pulled: FloatArray
    to_continuum: FloatArray
    spread: FloatArray
    level: FloatArray
    log_evidence: FloatArray


def continuum(windows: Windows) -> FloatArray:
    """Give level and slope of each block, from -1 at its first channel to 1 at its last.

    Returns
    -------
    ndarray, shape (n_used, n_terms)
    """
    columns = []
    for block in windows.blocks:
        size = block.stop - block.start
        place = np.linspace(-1.0, 1.0, size) if size > 1 else np.zeros(1)
        for order in range(min(_ORDER + 1, size)):
            column = np.zeros(windows.channels.size)
            column[block] = place**order
            columns.append(column)
    return np.stack(columns, axis=1)


def condense(spectra: Spectra, terms: FloatArray, unit: float, continuum_scale: float) -> Condensed:
    """Whiten the noise and integrate the continuum out.

    Parameters
    ----------
    spectra : Spectra
    terms : ndarray, shape (n_used, n_terms)
    unit : float
        Flux density that counts as 1.
    continuum_scale : float
        Width of the prior of the continuum, flux density.
    """
    good = spectra.good
    y = np.where(good, spectra.flux, 0.0) / unit
    root = unit * np.divide(1.0, spectra.sigma, out=np.zeros(y.shape), where=good)
    patterns, which = np.unique(good, axis=0, return_inverse=True)
    inverse, log_det = _inverses(patterns, spectra.correlation)
    which = which.reshape(-1)
    noise = root[:, :, None] * inverse[which] * root[:, None, :]
    scale = continuum_scale / unit
    pulled = terms.T @ noise
    normal = pulled @ terms + np.eye(terms.shape[1]) / scale**2
    covariance = np.linalg.inv(normal)
    to_continuum = covariance @ pulled
    precision = noise - pulled.swapaxes(1, 2) @ to_continuum
    seen = (precision @ y[:, :, None])[:, :, 0]
    logs = np.log(np.where(good, root, 1.0)).sum(axis=1)
    log_prior = terms.shape[1] * 2.0 * np.log(scale)
    log_evidence = -0.5 * (
        (y * seen).sum(axis=1)
        + log_det[which]
        - 2.0 * logs
        + np.linalg.slogdet(normal)[1]
        + log_prior
        + good.sum(axis=1) * LOG_2PI
    )
    return Condensed(
        precision,
        seen,
        to_continuum,
        np.linalg.cholesky(covariance),
        (to_continuum @ y[:, :, None])[:, :, 0],
        log_evidence,
    )


def _inverses(patterns: BoolArray, correlation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Invert the correlation of the channels that are used, exactly, for each pattern of masks."""
    both = patterns[:, :, None] & patterns[:, None, :]
    matrices = np.where(both, correlation, np.eye(correlation.shape[0]))
    log_det = np.linalg.slogdet(matrices)[1]
    return np.where(both, np.linalg.inv(matrices), 0.0), log_det
