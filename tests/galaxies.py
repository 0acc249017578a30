"""The published galaxy, as reference/science.md section 4 models it."""

import math

from pipeline.falsify.physics.galaxy import Galaxy, Layer
from pipeline.falsify.tasks import Model

# Stars 3e9 Msun with 6 kpc, gas 4e9 Msun with 8 kpc, z_0 = 1.2 kpc, a halo of 1.5e11 Msun, edge-on,
# 40 kpc long, ending at the tip.
PUBLISHED = {
    "log_m_baryon": math.log10(7e9),
    "gas_fraction": 4.0 / 7.0,
    "r_d_kpc": 6.0,
    "gas_ratio": 8.0 / 6.0,
    "h_z_kpc": 1.2,
    "log_m_halo": math.log10(1.5e11),
    "concentration": 8.0,
    "log_m_central": 5.0,
    "sigma_gas_kms": 8.0,
    "sigma_star_kms": 25.0,
    "r_max_kpc": 20.0,
    "centre_kpc": 42.0,
    "offset_kpc": 0.0,
    "inclination_deg": 88.0,
    "spin": 0.5,
}


def published(number: int = 0, **changes: float) -> Model:
    return Model(number, {**PUBLISHED, **changes})


def lone_disc(mass: float, scale: float, height: float = 0.4) -> Galaxy:
    """A disc of stars without gas; and next to no halo."""
    return Galaxy(Layer(mass, scale, height), Layer(0.0, scale, height), 1e-6, 8.0, 0.0)
