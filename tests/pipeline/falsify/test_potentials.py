"""Does galpy's gravity come out in km/s and kpc, for every kind of disc and halo?

Oracles: Freeman's disc and spheres in closed form, the numbers of reference/science.md section 4,
derivatives by differences, laws of scale.
"""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from galaxies import lone_disc, published
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import i0e, i1e, k0e, k1e

from ard.errors import ArdError, ExtraMissingError
from pipeline.falsify.physics import potentials
from pipeline.falsify.physics.galaxy import HALF_MASS, G, Layer, galaxy_from
from pipeline.falsify.physics.potentials import DISC_KINDS, HALO_KINDS, critical_density, gravity

CRITICAL = critical_density(0.964, 70.0, 0.3)
RADIUS = np.linspace(0.3, 26.0, 40)


def pull(galaxy, radius=RADIUS, disc="mn3", halo="nfw", critical=CRITICAL):
    return gravity(galaxy, radius, disc_kind=disc, halo_kind=halo, critical=critical)


def test_the_thin_disc_is_freemans():
    """V^2 = 4 pi G Sigma_0 R_d y^2 (I0 K0 - I1 K1), y = R / 2 R_d; its peak at 2.1508 R_d."""
    y = RADIUS / 12.0
    middle = 3e9 / (2.0 * np.pi * 36.0)
    square = 4.0 * np.pi * G * middle * 6.0 * y**2 * (i0e(y) * k0e(y) - i1e(y) * k1e(y))
    found = pull(lone_disc(3e9, 6.0), disc="razor")
    assert found.circular2 - found.sphere2 == pytest.approx(square, rel=1e-8)
    peak = pull(lone_disc(3e9, 6.0), np.array([2.1508 * 6.0]), "razor")
    fastest = 0.8798 * np.sqrt(np.pi * G * middle * 6.0)
    assert np.sqrt(peak.circular2[0]) == pytest.approx(fastest, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "speeds"),
    [
        ("mn3", [11.76, 21.66, 27.60, 28.40, 26.88]),
        ("double-exponential", [12.10, 21.53, 27.50, 28.24, 26.70]),
        ("razor", [13.19, 22.60, 28.27, 28.85, 27.02]),
    ],
)
def test_discs_turn_as_fast_as_galpy_says(kind, speeds):
    """reference/science.md section 4: 3e9 Msun, 6 kpc, 0.4 kpc; two digits are given."""
    found = pull(lone_disc(3e9, 6.0), np.array([2.0, 5.0, 10.0, 12.9, 20.0]), kind)
    assert np.sqrt(found.circular2) == pytest.approx(speeds, abs=0.0051)


@pytest.mark.parametrize("halo", HALO_KINDS)
def test_a_halo_holds_its_mass_within_200_critical_densities(halo):
    galaxy = replace(lone_disc(0.0, 6.0), halo_msun=1.5e11)
    edge = (3.0 * 1.5e11 / (800.0 * np.pi * CRITICAL)) ** (1.0 / 3.0)
    found = pull(galaxy, np.array([edge]), halo=halo)
    assert found.circular2[0] * edge / G == pytest.approx(1.5e11, rel=1e-9)
    assert edge == pytest.approx(76.226, abs=1e-3)


def test_haloes_rise_as_their_laws_say():
    """M(r): ln(1 + x) - x / (1 + x); x - arctan(x) with a core a quarter as large."""
    galaxy = replace(lone_disc(0.0, 6.0), halo_msun=1.5e11)
    scale = (3.0 * 1.5e11 / (800.0 * np.pi * CRITICAL)) ** (1.0 / 3.0) / 8.0
    for halo, law, size in (
        ("nfw", lambda x: np.log1p(x) - x / (1.0 + x), 1.0),
        ("compact", lambda x: x - np.arctan(x), 4.0),
    ):
        mass = 1.5e11 * law(size * RADIUS / scale) / law(size * 8.0)
        found = pull(galaxy, halo=halo)
        assert found.circular2 == pytest.approx(G * mass / RADIUS, rel=1e-8)


def test_the_mass_in_the_middle_is_a_point_from_afar():
    galaxy = replace(lone_disc(0.0, 6.0), central_msun=1e8)
    found = pull(galaxy, np.array([10.0]))
    assert found.sphere2[0] == pytest.approx(G * 1e7, rel=2e-4)


@pytest.mark.parametrize("halo", HALO_KINDS)
@pytest.mark.parametrize("disc", DISC_KINDS)
def test_the_epicyclic_frequency_is_that_of_the_curve(disc, halo):
    """kappa^2 = dV^2/dR / R + 2 V^2 / R^2, the derivative by central differences."""
    galaxy = galaxy_from(published(log_m_central=8.0).parameters)
    middle = np.array([0.4, 1.0, 3.0, 8.0, 15.0, 22.0])
    step = 1e-3
    low, high, found = (pull(galaxy, middle + d, disc, halo) for d in (-step, step, 0.0))
    slope = (high.circular2 - low.circular2) / (2.0 * step)
    assert found.epicyclic2 == pytest.approx(
        slope / middle + 2.0 * found.circular2 / middle**2, rel=1e-4
    )


@settings(max_examples=20)
@given(
    heavier=st.floats(0.01, 100.0),
    larger=st.floats(0.1, 10.0),
    kinds=st.tuples(st.sampled_from(["mn3", "razor"]), st.sampled_from(HALO_KINDS)),
)
def test_speeds_scale_with_mass_and_size(heavier, larger, kinds):
    """V^2 as M / R, kappa^2 as M / R^3: gravity knows no other scale, nor do our units."""
    galaxy = replace(galaxy_from(published().parameters), central_msun=1.0)
    other = replace(
        galaxy,
        stars=_scaled(galaxy.stars, heavier, larger),
        gas=_scaled(galaxy.gas, heavier, larger),
        halo_msun=galaxy.halo_msun * heavier,
    )
    radius = np.array([1.0, 6.0, 20.0])
    one = pull(galaxy, radius, *kinds)
    two = pull(other, radius * larger, *kinds, critical=CRITICAL * heavier / larger**3)
    assert two.circular2 == pytest.approx(one.circular2 * heavier / larger, rel=1e-7)
    assert two.epicyclic2 == pytest.approx(one.epicyclic2 * heavier / larger**3, rel=1e-7)


def _scaled(layer, heavier, larger):
    return Layer(layer.mass_msun * heavier, layer.scale_kpc * larger, layer.height_kpc * larger)


def test_the_critical_density_is_astropys():
    from astropy.cosmology import FlatLambdaCDM

    expected = FlatLambdaCDM(H0=70.0, Om0=0.3).critical_density(0.964).to_value("solMass / kpc3")
    assert expected == pytest.approx(CRITICAL, rel=1e-4)  # G of another year


def test_layers_hold_their_mass():
    layer = Layer(3e9, 6.0, 0.4)
    radius = np.linspace(0.0, 20.0, 20001)
    mass = np.trapezoid(2.0 * np.pi * radius * layer.surface(radius), radius)
    assert layer.within(20.0) == pytest.approx(mass, rel=1e-6)
    assert layer.within(HALF_MASS * 6.0) == pytest.approx(1.5e9, rel=1e-12)


@pytest.mark.parametrize("kinds", [("thick", "nfw"), ("mn3", "burkert")])
def test_an_unknown_kind_is_refused(kinds):
    with pytest.raises(ArdError, match="no such kind of"):
        pull(lone_disc(3e9, 6.0), RADIUS, *kinds)


def test_without_galpy_the_message_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "galpy", None)
    potentials._potential.cache_clear()
    with pytest.raises(ExtraMissingError, match="dynamics of galaxies needs the library 'galpy'"):
        potentials.require_galpy()


SILENT = """
import os, sys
seen = []
def watch(event, arguments):
    again = event == "subprocess.Popen" and sys.executable in str(arguments)
    if again or event in ("socket.connect", "socket.getaddrinfo"):
        seen.append(event)
sys.addaudithook(watch)
import pipeline.falsify.physics.dynamics, pipeline.falsify.physics.hypothesis
slow = sorted({"galpy", "jax", "matplotlib"} & set(sys.modules))
pipeline.falsify.physics.potentials.require_galpy()
from galpy.util.conversion import _APY_UNITS
print(seen, slow, _APY_UNITS, os.environ["HOME"])
"""


def test_loading_galpy_leaves_the_home_and_the_network_alone(tmp_path):
    """Nothing is written to the home, settings there have no effect, and nobody loads it early."""
    (tmp_path / ".galpyrc").write_text("[astropy]\nastropy-units = True\n")
    environment = {**os.environ, "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    shown = subprocess.run(
        [sys.executable, "-c", SILENT], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["[]", "[]", "False", str(tmp_path)]
    assert (tmp_path / ".galpyrc").read_text() == "[astropy]\nastropy-units = True\n"
