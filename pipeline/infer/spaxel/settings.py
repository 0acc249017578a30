"""What is believed of a spaxel before its data, and how finely is the posterior resolved?"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr

from ard.cube import FloatArray

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Prior:
    """The prior of one spaxel: proper, and fixed before its data are looked at.

    Attributes
    ----------
    velocity_max_kms : float
        The velocity is uniform between minus this and this.
    sigma_scale_kms, sigma_max_kms : float
        The intrinsic standard deviation is half-normal with this scale, cut at the maximum.
    flux_snr : float
        A flux is half-normal (normal, where it may be negative) with a scale of this many errors
        of such a flux; the error is that of a line at rest, of a width of `sigma_scale_kms`, in
        the typical noise of the cube. The noise decides, not the flux.
    continuum_snr : float
        Level and slope of each block of the continuum are normal about zero with a scale of this
        many errors of a channel.
    offset_kms : float
        Standard deviation of a shift of the wavelengths of a spaxel (slices of the instrument);
        0: none. The velocity is then that of the gas, the shift apart.
    non_negative : bool
        Whether fluxes cannot be negative.
    """

    velocity_max_kms: float = 1000.0
    sigma_scale_kms: float = 200.0
    sigma_max_kms: float = 600.0
    flux_snr: float = 100.0
    continuum_snr: float = 1e4
    offset_kms: float = 0.0
    non_negative: bool = True

    def __post_init__(self) -> None:
        positive = (self.velocity_max_kms, self.sigma_scale_kms, self.sigma_max_kms)
        if min(*positive, self.flux_snr, self.continuum_snr) <= 0 or self.offset_kms < 0:
            raise ValueError("scales and bounds of a prior must be positive, offset_kms 0 or more")

    @property
    def reach_kms(self) -> float:
        """How far from rest the light of a line can lie, shift included."""
        return self.velocity_max_kms + 6.0 * self.offset_kms

    def log_velocity(self, observed_kms: FloatArray) -> FloatArray:
        """Give the logarithm of the density of velocity plus shift, per km/s."""
        flat = -math.log(2.0 * self.velocity_max_kms)
        if self.offset_kms == 0.0:
            return np.full(np.shape(observed_kms), flat)
        far = np.abs(observed_kms)
        ends = [
            (e - far) / self.offset_kms for e in (self.velocity_max_kms, -self.velocity_max_kms)
        ]
        share = np.exp(log_ndtr(ends[1]) - log_ndtr(ends[0]))
        return np.asarray(flat + log_ndtr(ends[0]) + np.log1p(-share))

    def log_sigma(self, sigma_kms: FloatArray) -> FloatArray:
        """Give the logarithm of the density of the intrinsic width, per km/s."""
        top = self.sigma_max_kms / self.sigma_scale_kms
        norm = 0.5 * _LOG_2PI + math.log(self.sigma_scale_kms) + math.log(ndtr(top) - 0.5)
        return np.asarray(-0.5 * (sigma_kms / self.sigma_scale_kms) ** 2 - norm)

    def describe(self) -> dict[str, Any]:
        """Say the prior in words and numbers, for a document."""
        cut = "half-normal" if self.non_negative else "normal"
        return {
            "velocity": f"uniform, -{self.velocity_max_kms:g} to {self.velocity_max_kms:g} km/s",
            "sigma": f"half-normal, scale {self.sigma_scale_kms:g} km/s, at most "
            f"{self.sigma_max_kms:g} km/s",
            "flux": f"{cut}, scale {self.flux_snr:g} errors of the typical noise",
            "continuum": f"normal, scale {self.continuum_snr:g} errors of a channel",
            "offset": f"normal, {self.offset_kms:g} km/s" if self.offset_kms else "none",
        }


@dataclass(frozen=True)
class Numerics:
    """How finely is a posterior resolved, and how many draws are made of it?

    Attributes
    ----------
    n_draw : int
        Independent draws of each spaxel.
    seed : int
        Of the draws; each spaxel has its own stream.
    depth : float
        What lies this far (in ln) below the maximum is left out: 18 is 1e-8.
    chunk : int
        Spaxels at a time: bounds the memory.
    ess_min, khat_max : float
        Spaxels with fewer effective draws, or a larger k-hat, are flagged.
    log_bayes_min : float
        ln B of a line against none from which a line counts as found.
    """

    n_draw: int = 1000
    seed: int = 9069
    depth: float = 18.0
    chunk: int = 32
    ess_min: float = 400.0
    khat_max: float = 0.7
    log_bayes_min: float = 3.0

    def __post_init__(self) -> None:
        if self.n_draw < 1 or self.chunk < 1 or self.depth <= 0:
            raise ValueError("n_draw and chunk of 1 or more, and depth above 0 needed")
