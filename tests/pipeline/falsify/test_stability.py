"""Do the closed forms of stability, drift and thickness hold?

Oracles: the numbers of reference/science.md section 4; Jeans' equations by differences and
quadrature; the dispersion relation of two fluids; limits in which only one component is left.
"""

import numpy as np
import pytest
from galaxies import published
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from pipeline.falsify.physics import stability
from pipeline.falsify.physics.galaxy import G, galaxy_from
from pipeline.falsify.physics.potentials import critical_density, gravity

POSITIVE = st.floats(0.05, 50.0)


def test_the_published_galaxy_is_as_stable_as_was_computed():
    """Thin discs: Q of both 3.4, 2.7, 2.9, 3.7, 6.0, and 112.9 km/s at 18.5 kpc."""
    galaxy, critical = galaxy_from(published().parameters), critical_density(0.964, 70.0, 0.3)
    kinds = {"disc_kind": "razor", "halo_kind": "nfw", "critical": critical}
    radius = np.array([2.0, 5.0, 10.0, 15.0, 22.0])
    kappa = np.sqrt(gravity(galaxy, radius, **kinds).epicyclic2)
    q_star = stability.toomre(kappa, 25.0, galaxy.stars.surface(radius), constant=stability.STARS)
    q_gas = stability.toomre(kappa, 8.0, galaxy.gas.surface(radius))
    found = stability.combined(q_star, q_gas, 25.0, 8.0)
    assert found == pytest.approx([3.4, 2.7, 2.9, 3.7, 6.0], abs=0.055)
    fine = np.linspace(10.0, 25.0, 1501)
    circular2 = gravity(galaxy, fine, **kinds).circular2
    assert np.sqrt(circular2.max()) == pytest.approx(112.9, abs=0.05)
    assert fine[circular2.argmax()] == pytest.approx(18.5, abs=0.05)


def test_toomres_q_of_round_numbers():
    """kappa 36.8 km/s/kpc, 10 km/s and 1e7 Msun/kpc^2: 368 / (pi 43.009)."""
    found = stability.toomre(np.array([36.8]), 10.0, np.array([1e7]))
    assert found == pytest.approx([368.0 / (np.pi * 43.00917)])
    assert np.isinf(stability.toomre(np.array([36.8]), 10.0, np.array([0.0])))
    assert stability.thickness(1.0) == pytest.approx(1.5)
    assert stability.thickness(0.5) == pytest.approx(1.15)


@given(q_star=POSITIVE, q_gas=POSITIVE, star=POSITIVE, gas=POSITIVE)
def test_the_component_nearer_to_breaking_up_counts_whole(q_star, q_gas, star, gas):
    weight = 2.0 * star * gas / (star**2 + gas**2)
    parts = (weight / q_star, 1.0 / q_gas) if q_star >= q_gas else (1.0 / q_star, weight / q_gas)
    found = stability.combined(np.array([q_star]), np.array([q_gas]), star, gas)
    assert found == pytest.approx([1.0 / sum(parts)], rel=1e-12)
    alone = stability.combined(np.array([q_star]), np.array([np.inf]), star, gas)
    assert alone == pytest.approx([q_star])


def test_nothing_holds_what_has_no_q():
    nothing = np.zeros(1)
    assert stability.combined(nothing, np.ones(1), 3.0, 5.0) == 0.0
    assert stability.combined(nothing, nothing, 3.0, 5.0) == 0.0


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6, 1.0])
def test_two_fluids_break_up_where_q_is_one(ratio):
    """Unstable where 2 pi G k sum of Sigma / (kappa^2 + k^2 s^2) exceeds 1 at some k.

    Romeo & Wiegert state errors of 9 % at most for ratios of the dispersions up to 1.
    """
    wave = np.geomspace(1e-3, 1e3, 20001)  # k s_* / kappa
    for gas_over_star in (0.2, 0.5, 1.0, 2.0, 5.0):
        q_star, q_gas = np.array([1.0]), np.array([gas_over_star])
        forces = 2.0 * wave / (1.0 + wave**2) / q_star
        forces += 2.0 * wave * ratio / (1.0 + (wave * ratio) ** 2) / q_gas
        found = stability.combined(q_star, q_gas, 1.0, ratio)
        assert found[0] == pytest.approx(1.0 / forces.max(), rel=0.09)


def test_gas_is_held_by_its_pressure_too():
    """V^2 = V_c^2 + R / rho dP/dR, P = rho sigma^2, by central differences."""
    radius, sigma, scale = np.array([0.5, 4.0, 17.0]), 30.0, 8.0
    step = 1e-4
    rise = sigma**2 * (np.exp(-(radius + step) / scale) - np.exp(-(radius - step) / scale))
    expected = 110.0**2 + radius * rise / (2.0 * step) / np.exp(-radius / scale)
    found = stability.gas_speed2(np.full(3, 110.0**2), radius, sigma, scale)
    assert found == pytest.approx(expected, rel=1e-7)


def test_stars_lag_behind_on_a_flat_curve():
    """kappa^2 = 2 Omega^2: sigma_phi^2 is half of sigma_R^2."""
    radius = np.array([2.0, 6.0, 15.0])
    speed2 = np.full(3, 110.0**2)
    found = stability.star_speed2(speed2, 2.0 * speed2 / radius**2, radius, 25.0, 6.0)
    assert found == pytest.approx(110.0**2 - 25.0**2 * (radius / 6.0 - 0.5))


@pytest.mark.parametrize(("surface", "sphere2"), [(1e7, 140.0), (1e7, 0.0), (0.0, 140.0)])
def test_gravity_holds_the_layer_at_its_height(surface, sphere2):
    """Jeans in the middle plane by quadrature; alone a sheet has sigma^2 = pi G Sigma z_0."""
    height = stability.balanced_height(15.0, surface, sphere2)

    def weight(z):
        pull = 2.0 * np.pi * G * surface * np.tanh(z / height) + sphere2 * z
        return pull / np.cosh(z / height) ** 2

    assert quad(weight, 0.0, 30.0 * height)[0] == pytest.approx(15.0**2, rel=1e-8)
    if not sphere2:
        assert height == pytest.approx(15.0**2 / (np.pi * G * surface), rel=1e-12)
