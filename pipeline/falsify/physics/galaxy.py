"""What is a proposed galaxy made of?

Two exponential discs of one thickness, stars and gas, in a halo, with or without a mass in the
middle. Everything here is physical: kpc, km/s, Msun.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray

G: Final = 4.300917e-6  # kpc (km/s)^2 / Msun, CODATA 2018 with the IAU's solar mass
HALF_MASS: Final = 1.6783469900166605  # scale lengths: (1 + x) exp(-x) = 1/2


@dataclass(frozen=True)
class Layer:
    """A disc whose mass falls exponentially with radius.

    Attributes
    ----------
    mass_msun : float
    scale_kpc : float
        Scale length.
    height_kpc : float
        Surface density over twice the density in the middle plane: z_0 of sech^2(z / z_0), the
        scale height of an exponential.
    """

    mass_msun: float
    scale_kpc: float
    height_kpc: float

    def surface(self, radius_kpc: FloatArray | float) -> FloatArray:
        """Give the mass per area, Msun/kpc^2."""
        middle = self.mass_msun / (2.0 * np.pi * self.scale_kpc**2)
        return np.asarray(middle * np.exp(-np.asarray(radius_kpc) / self.scale_kpc))

    def within(self, radius_kpc: float) -> float:
        """Give the mass within a radius, Msun."""
        x = radius_kpc / self.scale_kpc
        return float(self.mass_msun * (1.0 - (1.0 + x) * np.exp(-x)))


@dataclass(frozen=True)
class Galaxy:
    """A galaxy without a bulge.

    Attributes
    ----------
    stars, gas : Layer
    halo_msun : float
        Mass of the halo within the radius where the mean density is 200 times the critical one.
    concentration : float
        That radius over the scale radius.
    central_msun : float
        A small mass in the middle.
    """

    stars: Layer
    gas: Layer
    halo_msun: float
    concentration: float
    central_msun: float


def galaxy_from(parameters: Mapping[str, float]) -> Galaxy:
    """Give the galaxy that the parameters of `pipeline.falsify.physics.hypothesis` describe."""
    baryons = 10.0 ** parameters["log_m_baryon"]
    gas = baryons * parameters["gas_fraction"]
    scale, height = parameters["r_d_kpc"], parameters["h_z_kpc"]
    return Galaxy(
        stars=Layer(baryons - gas, scale, height),
        gas=Layer(gas, scale * parameters["gas_ratio"], height),
        halo_msun=10.0 ** parameters["log_m_halo"],
        concentration=parameters["concentration"],
        central_msun=10.0 ** parameters["log_m_central"],
    )
