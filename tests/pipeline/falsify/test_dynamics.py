"""Does every filter reject what it should, and none the published galaxy?

Oracles: reference/science.md sections 3 and 4, galaxies that are wrong in one way each, the closed
forms of a thin disc in an NFW halo, quadrature along the sight.
"""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from galaxies import PUBLISHED, published
from scipy.special import i0e, i1e, k0e, k1e

from ard.errors import ArdError
from pipeline.falsify.physics.dynamics import FILTERS, NOT_FINITE, DynamicsSettings, motion
from pipeline.falsify.physics.galaxy import G
from pipeline.falsify.physics.hypothesis import propose
from pipeline.falsify.physics.potentials import DISC_KINDS, HALO_KINDS
from pipeline.falsify.tasks import Curve, Model


@pytest.mark.parametrize("halo", HALO_KINDS)
@pytest.mark.parametrize("disc", DISC_KINDS)
def test_no_filter_rejects_the_published_galaxy(disc, halo):
    found = motion(published(4), DynamicsSettings(disc_kind=disc, halo_kind=halo))
    assert (found.number, found.reasons) == (4, ())
    assert found.facts["q_min"] > 1.5
    assert found.facts["vmax_kms"] == pytest.approx(112.9 if halo == "nfw" else 94.0, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {"log_m_baryon": math.log10(6.9e9), "gas_fraction": 0.957},  # 3e8 Msun of stars, McGaugh
        {"r_max_kpc": 22.5, "centre_kpc": 39.5},  # Montes et al. 2024: 45 kpc
        {"r_d_kpc": 11.0, "gas_ratio": 1.0, "h_z_kpc": 0.6, "sigma_star_kms": 16.0},  # IC 5249
        {"sigma_gas_kms": 20.0},
        {"log_m_central": 8.5},
        {"spin": -0.5},
    ],
)
def test_nor_what_was_said_of_it_elsewhere(changes):
    assert motion(published(**changes), DynamicsSettings()).reasons == ()


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"sigma_gas_kms": 80.0}, ("drift",)),
        ({"sigma_star_kms": 60.0, "log_m_halo": 10.4, "h_z_kpc": 4.0}, ("drift",)),
        ({"sigma_gas_kms": 1.0}, ("toomre",)),
        ({"log_m_baryon": 10.6, "h_z_kpc": 0.4}, ("toomre",)),
        ({"h_z_kpc": 0.2}, ("vertical",)),
        ({"sigma_star_kms": 10.0}, ("vertical",)),
        ({"log_m_halo": 9.5, "h_z_kpc": 2.5}, ("vmax",)),
        ({"log_m_halo": 12.6, "h_z_kpc": 0.6}, ("vmax",)),
        (
            {"log_m_halo": 12.6, "h_z_kpc": 3.0, "sigma_gas_kms": 0.5},
            ("toomre", "vertical", "vmax"),
        ),
        ({"r_d_kpc": math.nan}, (NOT_FINITE,)),
        ({"sigma_gas_kms": 1e200}, (NOT_FINITE,)),
        ({"log_m_halo": 400.0}, (NOT_FINITE,)),
    ],
)
def test_each_filter_says_what_it_rejects(changes, reasons):
    found = motion(published(**changes), DynamicsSettings())
    assert found.reasons == reasons
    assert found.curve is None
    assert all(map(math.isfinite, found.facts.values()))
    assert bool(found.facts) == (reasons != (NOT_FINITE,))


def test_limits_are_those_of_the_settings():
    """Each filter, moved beyond the published galaxy's own numbers, rejects it alone."""
    facts = motion(published(), DynamicsSettings()).facts
    for name, changes in {
        "toomre": {"q_least": facts["q_min"] * 1.001},
        "vertical": {"height_factor": facts["height_kpc"] / PUBLISHED["h_z_kpc"] * 0.999},
        "vmax": {"vmax_low_kms": facts["vmax_kms"] * 1.001},
    }.items():
        assert name in FILTERS
        assert motion(published(), replace(DynamicsSettings(), **changes)).reasons == (name,)
    slow = published(sigma_gas_kms=75.0)
    lost = motion(slow, DynamicsSettings()).facts["gas_lost"]
    assert 0.0 < lost < 1.0
    for limit, reasons in ((lost * 0.999, ("drift",)), (lost * 1.001, ())):
        assert motion(slow, DynamicsSettings(lost_most=limit)).reasons == reasons


def test_many_galaxies_of_the_prior_can_exist_and_many_cannot():
    found = [motion(model, DynamicsSettings()) for model in propose(range(128), 5, "sobol")]
    assert 0.1 < np.mean([one.possible for one in found]) < 0.6
    assert {reason for one in found for reason in one.reasons} == set(FILTERS)
    assert all(one.possible == (one.curve is not None) for one in found)


def test_motion_is_a_function_of_the_model():
    models = [Model(n, {**PUBLISHED, "log_m_halo": 11.0 + 0.1 * n}) for n in range(4)]
    first = [motion(model, DynamicsSettings()) for model in models]
    for before, again in zip(first[::-1], [motion(m, DynamicsSettings()) for m in models[::-1]],
                             strict=True):  # fmt: skip
        assert before.curve.to_bytes() == again.curve.to_bytes()
        assert before.facts == again.facts


@pytest.fixture(scope="module")
def thin() -> Curve:
    return motion(published(sigma_gas_kms=20.0), DynamicsSettings(disc_kind="razor")).curve


def exact_speed(radius):
    """Freeman's discs and an NFW halo in closed form, less sigma^2 R / R_g."""
    square = -(20.0**2) * radius / 8.0
    for mass, scale in ((3e9, 6.0), (4e9, 8.0)):
        y = radius / (2.0 * scale)
        bessel = i0e(y) * k0e(y) - i1e(y) * k1e(y)
        square += 2.0 * G * mass / scale * y**2 * bessel
    x = radius * 8.0 / 76.2256
    inside = (np.log1p(x) - x / (1.0 + x)) / (np.log(9.0) - 8.0 / 9.0)
    return np.sqrt(square + G * (1.5e11 * inside + 1e5) / radius)


def test_the_curve_is_that_of_the_closed_forms(thin):
    assert thin.radius_kpc == pytest.approx(np.linspace(0.0, 20.0, 64))
    assert thin.rotation_kms[0] == 0.0
    assert thin.rotation_kms[1:] == pytest.approx(exact_speed(thin.radius_kpc[1:]), rel=2e-4)
    assert np.all(thin.dispersion_kms == 20.0)
    # Kennicutt: light as the gas to the power of 1.4.
    assert np.log(thin.brightness) == pytest.approx(-1.4 * thin.radius_kpc / 8.0)


@pytest.mark.parametrize("across", [1.0, 2.0, 5.0, 10.0, 15.0, 19.0])
def test_64_radii_say_how_fast_an_edge_on_galaxy_seems(thin, across):
    """<v>(x), the table's by interpolation, against the closed forms; along z, R^2 = x^2 + z^2."""

    depth = np.linspace(0.0, math.sqrt(20.0**2 - across**2), 20001)
    radius = np.hypot(across, depth)

    def seen(speed, light):
        return np.trapezoid(light * speed * across / radius, depth) / np.trapezoid(light, depth)

    table = seen(*(np.interp(radius, thin.radius_kpc, values)
                   for values in (thin.rotation_kms, thin.brightness)))  # fmt: skip
    exact = seen(exact_speed(radius), np.exp(-1.4 * radius / 8.0))
    assert table == pytest.approx(exact, abs=0.05)


def test_facts_have_the_units_that_they_say():
    facts = motion(published(), DynamicsSettings(disc_kind="razor")).facts
    # Sphere alone: 1.5e11 Msun within 76.2 kpc, of which 20 kpc hold (ln(1+x) - x/(1+x)) / ...
    x = 20.0 * 8.0 / 76.2256
    halo = 1.5e11 * (np.log1p(x) - x / (1.0 + x)) / (np.log(9.0) - 8.0 / 9.0)
    discs = sum(m * (1.0 - (1.0 + 20.0 / s) * np.exp(-20.0 / s)) for m, s in ((3e9, 6), (4e9, 8)))
    assert facts["mass_msun"] == pytest.approx(halo + discs + 1e5, rel=1e-5)
    assert facts["v_gas_max_kms"] < facts["vmax_kms"]
    assert facts["r_vmax_kpc"] == pytest.approx(18.5, abs=20.0 / 63.0)
    assert facts["r_q_min_kpc"] == pytest.approx(6.0, abs=1.0)
    assert facts["height_kpc"] == pytest.approx(1.36, abs=0.01)  # 15 km/s; 1.2 is published


def test_settings_are_plain_values():
    plain = asdict(DynamicsSettings())
    assert DynamicsSettings(**plain) == DynamicsSettings()
    assert all(isinstance(value, (str, float)) for value in plain.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disc_kind", "thick"),
        ("halo_kind", "burkert"),
        ("redshift", -0.1),
        ("h0", 0.0),
        ("om0", 1.2),
        ("q_least", math.nan),
        ("vmax_low_kms", -1.0),
        ("vmax_high_kms", 60.0),
        ("height_factor", 1.0),
        ("flattening", 0.3),
        ("lost_most", 1.5),
        ("light_power", math.inf),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, value):
    with pytest.raises(ArdError, match=f"'{name}' of the dynamics is outside of its range"):
        DynamicsSettings(**{name: value})
