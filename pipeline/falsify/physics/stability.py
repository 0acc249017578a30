"""Would a disc break up, still rotate, and be as thick as it is said to be?

Closed forms of thin discs; see docs/galaxy.md for what they leave out.
"""

from typing import Final

import numpy as np

from ard.cube import FloatArray
from pipeline.falsify.physics.galaxy import G

STARS: Final = 3.36  # Toomre 1964, for a disc of stars; pi for one of gas
THICKNESS: Final = (0.5, 1.0)  # of sigma_z / sigma_R: where `thickness` was fitted


def toomre(
    kappa: FloatArray, sigma_kms: float, surface: FloatArray, *, constant: float = np.pi
) -> FloatArray:
    """Give Toomre's Q = kappa sigma / (constant G Sigma): a thin disc breaks into rings below 1.

    Parameters
    ----------
    kappa : array, shape (n,)
        Epicyclic frequency, km/s/kpc.
    sigma_kms : float
        Radial dispersion.
    surface : array, shape (n,)
        Msun/kpc^2; infinite Q where it is 0.
    constant : float
        pi for gas, `STARS` for stars.
    """
    heavy = surface > 0.0
    weight = np.where(heavy, constant * G * surface, 1.0)
    return np.where(heavy, kappa * sigma_kms / weight, np.inf)


def thickness(flattening: float) -> float:
    """Give the factor by which thickness raises Q, for sigma_z / sigma_R of 0.5 to 1.

    Romeo & Wiegert 2011 (MNRAS 416, 1191): T = 0.8 + 0.7 sigma_z / sigma_R.
    """
    return 0.8 + 0.7 * flattening


def combined(
    q_star: FloatArray, q_gas: FloatArray, sigma_star_kms: float, sigma_gas_kms: float
) -> FloatArray:
    """Give the Q of stars and gas together.

    The component that is closer to breaking up counts whole, the other with
    W = 2 s_* s_g / (s_*^2 + s_g^2): Romeo & Wiegert 2011 (MNRAS 416, 1191).

    Parameters
    ----------
    q_star, q_gas : array, shape (n,)
        Each times its `thickness`; without it discs are thin.
    sigma_star_kms, sigma_gas_kms : float
        Radial dispersions.
    """
    weight = 2.0 * sigma_star_kms * sigma_gas_kms / (sigma_star_kms**2 + sigma_gas_kms**2)
    low, high = np.minimum(q_star, q_gas), np.maximum(q_star, q_gas)
    # Over the larger one: there may be none of one component, whose Q is infinite.
    return low / (1.0 + weight * np.divide(low, high, out=np.zeros_like(low), where=high > 0.0))


def gas_speed2(
    circular2: FloatArray, radius_kpc: FloatArray, sigma_kms: float, scale_kpc: float
) -> FloatArray:
    """Give the square of the gas' mean speed, km^2/s^2: negative where pressure alone holds it.

    V^2 = V_c^2 - sigma^2 R / R_g: of an exponential layer of constant height and dispersion,
    isotropic (Burkert et al. 2010, ApJ 725, 2324, where height grows with radius and the last term
    is twice as large).

    Parameters
    ----------
    circular2 : array, shape (n,)
        Square of the circular speed, km^2/s^2.
    radius_kpc : array, shape (n,)
    sigma_kms : float
        One-dimensional dispersion, turbulence included.
    scale_kpc : float
        Scale length R_g of the gas.
    """
    return circular2 - sigma_kms**2 * radius_kpc / scale_kpc


def star_speed2(
    circular2: FloatArray,
    epicyclic2: FloatArray,
    radius_kpc: FloatArray,
    sigma_kms: float,
    scale_kpc: float,
) -> FloatArray:
    """Give the square of the stars' mean speed, km^2/s^2: negative where none is left.

    V^2 = V_c^2 - sigma_R^2 [sigma_phi^2 / sigma_R^2 - 1 + R / R_d], the first term
    kappa^2 R^2 / (4 V_c^2) by epicycles: Jeans' equation of an exponential disc of constant
    dispersion whose ellipsoid keeps its axes along R and z (Binney & Tremaine 2008, 4.228).

    Parameters
    ----------
    circular2, epicyclic2 : array, shape (n,)
        km^2/s^2, km^2/s^2/kpc^2.
    radius_kpc : array, shape (n,)
    sigma_kms : float
        Radial dispersion.
    scale_kpc : float
        Scale length R_d of the stars.
    """
    shape = epicyclic2 * radius_kpc**2 / (4.0 * circular2)
    return circular2 - sigma_kms**2 * (shape - 1.0 + radius_kpc / scale_kpc)


def balanced_height(sigma_z_kms: float, surface: float, sphere_frequency2: float) -> float:
    """Give the z_0 of sech^2(z / z_0) at which gravity holds a layer, kpc.

    Jeans' equation in the middle plane, sigma_z^2 rho_0 = integral of rho K_z dz, with the pull
    2 pi G Sigma tanh(z / z_0) of all layers and nu^2 z of halo and central mass:
    sigma_z^2 = pi G Sigma z_0 + ln(2) nu^2 z_0^2.

    Parameters
    ----------
    sigma_z_kms : float
        Vertical dispersion.
    surface : float
        Of all layers, Msun/kpc^2.
    sphere_frequency2 : float
        nu^2, km^2/s^2/kpc^2.
    """
    pull = np.pi * G * surface
    # The root without the difference of two like numbers.
    root = np.sqrt(pull**2 + 4.0 * np.log(2.0) * sphere_frequency2 * sigma_z_kms**2)
    return float(2.0 * sigma_z_kms**2 / (pull + root))
