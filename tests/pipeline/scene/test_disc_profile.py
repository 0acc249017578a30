"""Does a disc shine as its table of brightness says?

Oracles: the exponential law, of which a table is made; the same sum with many more depths and
sub-spaxels; quadrature of the table; central differences; the numbers of reference/science.md
section 4.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import FLUX, cube_of, make_model, tabulated, tanh_disc
from scipy.integrate import quad

from ard.errors import ArdError
from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Sampler, _surface, require_valid

KPC_PER_ARCSEC = 7.937


def cut(scale=0.22, end=0.7, **changes):
    """An exponential disc that ends at 3.2 scale lengths, as R_max of the galaxy does."""
    disc = tanh_disc(scale_arcsec=scale, **changes)
    return tabulated(disc, lambda radius: np.exp(-radius / scale), end)


def slab(end=0.7, **changes):
    return tabulated(tanh_disc(**changes), np.ones_like, end)


def test_the_light_of_a_table_is_one(precision):
    """Trapezoid sum of 2 pi R Sigma over many more radii than the table has."""
    rng = np.random.default_rng(5)
    dtype = jnp.result_type(float)
    disc = tabulated(tanh_disc(), lambda radius: rng.uniform(size=radius.size), 0.7, count=9)
    disc = jax.tree.map(lambda value: jnp.asarray(value, dtype), disc)
    radius = np.linspace(0.0, 0.7, 80001)
    surface = _surface(disc, jnp.asarray(radius, dtype))
    assert surface.dtype == dtype
    total = np.trapezoid(2.0 * np.pi * radius * np.asarray(surface, np.float64), radius)
    assert total == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("inclination", [0.0, 30.0, 60.0, 75.0, 85.0, 90.0])
def test_a_table_of_the_law_is_the_law(double, inclination):
    """Steps of 0.05 scale lengths: the line between two radii is what differs."""
    law = tanh_disc(inclination_deg=inclination)
    table = tabulated(law, lambda radius: np.exp(-radius / 0.25), 6.0)
    model = make_model(12)
    one, other = cube_of(model, law, depths=512), cube_of(model, table, depths=512)
    assert np.abs(one - other).max() < 1e-4 * one.max()
    few = cube_of(model, table, depths=32)
    assert np.abs(few - other).max() < 2e-4 * other.max()


@pytest.mark.parametrize("inclination", [30.0, 60.0, 85.0, 90.0])
@pytest.mark.parametrize("make", [cut, slab])
def test_32_depths_are_enough_for_a_table_that_ends_bright(double, make, inclination):
    model, disc = make_model(16), make(inclination_deg=inclination)
    few, many = (cube_of(model, disc, depths=depths) for depths in (32, 512))
    assert np.abs(few - many).max() < 2e-4 * many.max()


@pytest.mark.parametrize(
    ("make", "inclination", "error"),
    [(cut, 90.0, 5e-4), (cut, 60.0, 1e-3), (cut, 0.0, 6e-3),
     (slab, 90.0, 4e-3), (slab, 60.0, 2e-2), (slab, 0.0, 1e-1)],
)  # fmt: skip
def test_how_well_sub_spaxels_show_the_end_of_a_table(double, make, inclination, error):
    """The numbers that the docstring of `Sampler` states, which any may check against its needs."""
    disc = make(inclination_deg=inclination)
    two, six, many = (cube_of(make_model(18, oversample=n), disc) for n in (2, 6, 16))
    assert np.abs(two - many).max() < error * many.max()
    assert np.abs(six - many).max() < error / 5.0 * many.max()


def test_the_scale_only_places_the_nodes_of_a_table(double):
    model = make_model(12)
    one, other = (
        cube_of(model, replace(cut(inclination_deg=80.0), scale_arcsec=scale), depths=256)
        for scale in (0.1, 0.5)
    )
    assert np.abs(one - other).max() < 1e-6 * one.max()


def test_the_unit_of_the_table_is_free(precision):
    model, disc = make_model(8), cut()
    one = cube_of(model, disc)
    other = cube_of(model, replace(disc, brightness=1e6 * disc.brightness))
    assert np.abs(one - other).max() < 2e-6 * one.max()


def test_beyond_the_table_is_no_light(precision):
    """Spaxels farther from the end than six widths of the point-spread function."""
    cube = cube_of(make_model(30), slab(inclination_deg=0.0, x_arcsec=0.0, y_arcsec=0.0))
    x = make_model(30).sky.edges(30)[:-1] + 0.05
    far = np.hypot(*np.meshgrid(x, x)) > 0.7 + 0.1 + 6.0 * 0.0552
    assert far.sum() > 100
    assert cube[:, far].max() < 1e-9 * cube.max()
    assert cube.sum() == pytest.approx(1.0, abs=5e-3)  # steps of the edge face-on


@pytest.mark.parametrize(
    ("place", "expected"),
    [(1.0, 34.8), (2.0, 50.1), (5.0, 72.6), (10.0, 88.8), (15.0, 98.2), (20.0, 106.0)],
)
def test_the_edge_on_galaxy_has_the_mean_speeds_of_the_reference(precision, place, expected):
    """V = 110 km/s flat, Rd = 7 kpc, R_max = 22.5 kpc; 20 to 26 kpc is the range of R_max.

    One spaxel of 0.005 arcsec at each place: across its 0.04 kpc the mean is straight to 0.003
    km/s. The thickness has no part edge-on: light at every height moves alike.
    """
    scale, end = 7.0 / KPC_PER_ARCSEC, 22.5 / KPC_PER_ARCSEC
    disc = tanh_disc(
        x_arcsec=-place / KPC_PER_ARCSEC, y_arcsec=0.0, pa_deg=-90.0, inclination_deg=90.0,
        scale_arcsec=scale, v_sys_kms=0.0, rotation_kms=np.full(121, 110.0),
    )  # fmt: skip
    disc = tabulated(disc, lambda radius: np.exp(-radius / scale), end)
    model = make_model(1, pad=0, oversample=4, v_max=1200.0, channels=60)
    model = replace(model, sky=replace(model.sky, pixel_arcsec=0.005))
    cube = cube_of(model, disc, fwhm=1e-3, depths=32)[:, 0, 0]
    speed = (model.wave_edges.mean(axis=1) / model.wave_obs_um[0] - 1.0) * 299792.458
    found = (cube * speed).sum() / cube.sum()
    assert found == pytest.approx(expected, abs=0.055)  # rounded to 0.1 km/s

    def moment(power):
        deep = np.sqrt(22.5**2 - place**2)
        return quad(lambda z: np.exp(-np.hypot(place, z) / 7.0) * np.hypot(place, z) ** -power,
                    0.0, deep)[0]  # fmt: skip

    assert found == pytest.approx(110.0 * place * moment(1) / moment(0), abs=3e-3)


def test_gradients_are_those_of_central_differences(double):
    """The field crosses the end of the table, where the depth of a sight has a root of zero."""
    model, disc = make_model(10, pad=2), cut(end=0.4, inclination_deg=85.0)
    sampler = Sampler(model.sky, 32)
    weights = np.random.default_rng(6).normal(size=(24, 10, 10))
    fixed = jax.tree.map(jnp.asarray, disc)

    @jax.jit
    def value(brightness, place):
        turned = replace(fixed, brightness=brightness, y_arcsec=place[0], pa_deg=place[1],
                         v_sys_kms=place[2])  # fmt: skip
        return jnp.vdot(disc_cube(model, sampler, turned, jnp.asarray(FLUX), 0.13), weights)

    start = fixed.brightness, jnp.array([float(fixed.y_arcsec), 34.0, 20.0])
    by_table, by_place = jax.grad(value, argnums=(0, 1))(*start)
    assert np.isfinite(by_table).all()
    for number in (0, 40, 200, 480):
        step = jnp.zeros_like(by_table).at[number].set(1e-5)
        slope = float(value(start[0] + step, start[1]) - value(start[0] - step, start[1])) / 2e-5
        assert float(by_table[number]) == pytest.approx(slope, rel=2e-5, abs=1e-9)
    for number, size in enumerate((1e-7, 1e-5, 1e-3)):
        step = jnp.zeros(3).at[number].set(size)
        slope = float(value(start[0], start[1] + step) - value(start[0], start[1] - step))
        assert float(by_place[number]) == pytest.approx(slope / (2 * size), rel=2e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("brightness", "message"),
    [
        (np.ones(120), "a table of shape"),
        (np.full(121, np.nan), "finite numbers"),
        (np.r_[-1.0, np.ones(120)], "0 or more"),
        (np.zeros(121), "light at one radius"),
    ],
)
def test_an_impossible_table_is_refused(brightness, message):
    with pytest.raises(ArdError, match="brightness") as error:
        require_valid(tanh_disc(brightness=brightness))
    assert message in (error.value.expected or "")
    require_valid(tanh_disc(brightness=np.r_[np.zeros(120), 1.0]))
