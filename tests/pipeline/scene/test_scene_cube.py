"""Is the cube of a scene the sum of its parts, each line seen as the instrument sees it?

Oracles: linearity; the same model with other numbers built in (widths, edges, point-spread
functions), where a parameter should do the same; error functions.
"""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scenes import tanh_disc
from scipy.special import ndtr

from ard.errors import ArdError
from pipeline.scene import points
from pipeline.scene.cube import (
    Component,
    Fine,
    Optics,
    count_disc,
    disc_cube,
    line_templates,
    scene_cube,
)
from pipeline.scene.disc import Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel
from pipeline.scene.psf import Gaussian, Ghosts, Image
from pipeline.scene.valid import require_computable

WIDTH = 0.000636
LINES = np.array([1.2860, 1.2893, 1.2934])
TIES = np.array([[1.0, 0.0], [0.0, 1.0], [2.942, 0.0]])
STARTS = 1.2893 + WIDTH * (np.arange(30) - 15)
EDGES = np.stack([STARTS, STARTS + WIDTH], axis=1)
ROUND = Gaussian.round(0.18)


def model(**changes):
    values = {
        "sky": SkyGrid(11, 12, 0.1, 2, 3),
        "velocities": VelocityGrid(900.0, 45.0),
        "wave_edges": EDGES,
        "wave_obs_um": LINES,
        "sigma_lsf_kms": np.array([138.0, 137.0, 136.0]),
        "ties": TIES,
        "groups": ((0, 2), (1,)),
        "gain_max": 1.25,
    }
    return LineModel(**{**values, **changes})


def knot(x=0.03, y=-0.07, speed=60.0, width=25.0, light=1.0):
    made = points.single(x, y, speed, width)
    return replace(made, light=light * made.light)


def cube(scene_model, components, optics=None):
    chosen = Optics((ROUND,) * len(scene_model.groups)) if optics is None else optics
    return np.asarray(scene_cube(scene_model, chosen, components))


def test_one_point_is_products_of_error_functions(precision):
    """A0, with three lines of which two are tied."""
    component = Component((knot(),), jnp.array([1.0, 5.0]))
    made = cube(model(), [component])
    grid, sigma = model().sky, 0.18 / 2.3548200450309493
    up = np.diff(ndtr((grid.edges(11) + 0.07) / sigma))
    side = np.diff(ndtr((grid.edges(12) - 0.03) / sigma))
    line = np.zeros(len(EDGES))
    for wave, lsf, flux in zip(LINES, model().sigma_lsf_kms, (1.0, 5.0, 2.942), strict=True):
        speed = (EDGES / wave - 1.0) * 299792.458 - 60.0
        line += flux * np.diff(ndtr(speed / np.hypot(lsf, 25.0)), axis=1)[:, 0]
    expected = line[:, None, None] * up[:, None] * side
    # 1e-7: planes of velocity 45 km/s apart, at the gain of 1.25 that the model allows.
    limit = {"float32": 3e-6, "float64": 2e-7}[precision]
    np.testing.assert_allclose(made, expected, atol=limit * expected.max())


def test_a_scene_is_the_sum_of_its_components(double):
    disc = count_disc(model(), Sampler(model().sky, 16), tanh_disc())
    one = Component((knot(), disc), jnp.array([1.0, 3.0]))
    two = Component((knot(0.2, 0.2, -100.0, light=0.3),), jnp.array([0.2, 0.1]), 0.3)
    parts = [
        Component((knot(),), one.amplitudes),
        Component((disc,), one.amplitudes),
        two,
    ]
    whole = cube(model(), [one, two])
    assert np.abs(whole - sum(cube(model(), [part]) for part in parts)).max() < 1e-14 * whole.max()
    assert cube(model(), []).shape == whole.shape
    assert not cube(model(), []).any()


def test_templates_times_amplitudes_are_the_cube(double):
    component = Component((knot(),), jnp.array([1.7, 0.4]), 0.2)
    optics = Optics((ROUND, Gaussian(0.2, 0.16, 30.0)), 1.1)
    each = np.asarray(line_templates(model(), optics, component))
    assert each.shape == (2, 30, 11, 12)
    made = np.einsum("f,fcyx->cyx", [1.7, 0.4], each)
    np.testing.assert_allclose(made, cube(model(), [component], optics), atol=1e-14)


def test_each_group_has_its_own_optics(double):
    wide = Gaussian.round(0.3)
    component = Component((knot(),), jnp.array([1.0, 1.0]))
    made = cube(model(), [component], Optics((ROUND, wide)))
    alone = []
    for number, psf in ((0, ROUND), (1, wide), (2, ROUND)):
        single = model(
            wave_obs_um=LINES[number : number + 1],
            sigma_lsf_kms=model().sigma_lsf_kms[number : number + 1],
            ties=TIES[number : number + 1],
            groups=(),
        )
        # The same split for all, so that only the optics differ.
        single = replace(single, gain_max=1.25 * single.sigma_lsf_kms[0] / 136.0)
        alone.append(cube(single, [component], Optics((psf,))))
    np.testing.assert_allclose(made, sum(alone), atol=2e-7 * made.max())


@pytest.mark.parametrize("gain", [1.0, 1.13, 1.25])
def test_the_gain_narrows_every_line(double, gain):
    component = Component((knot(),), jnp.array([1.0, 1.0]))
    made = cube(model(), [component], Optics((ROUND, ROUND), gain))
    built = model(sigma_lsf_kms=model().sigma_lsf_kms / gain, gain_max=1.0)
    np.testing.assert_allclose(made, cube(built, [component]), atol=1e-6 * made.max())


@pytest.mark.parametrize("offset", [-0.5, 0.2])
def test_the_offset_in_the_slice_moves_the_channels(double, offset):
    component = Component((knot(),), jnp.array([1.0, 1.0]), offset)
    built = model(wave_edges=EDGES - offset * WIDTH)
    made = cube(model(), [component])
    plain = cube(built, [replace(component, slice_offset=0.0)])
    np.testing.assert_allclose(made, plain, atol=1e-12 * made.max())


def test_gradients_of_what_is_not_known_of_the_instrument(double):
    weights = np.random.default_rng(6).normal(size=(30, 11, 12))

    @jax.jit
    def value(v):
        psf = Gaussian(v[0], v[1], 28.0)
        optics = Optics((psf, Ghosts.of_pointings(psf, 0.4, 100.0, v[2])), v[3])
        return jnp.vdot(scene_cube(model(), optics, [Component((knot(),), v[5:7], v[4])]), weights)

    start = jnp.array([0.19, 0.15, 0.4, 1.12, 0.2, 1.0, 2.0])
    found = jax.grad(value)(start)
    for number in range(start.size):
        above, below = (value(start.at[number].add(sign * 1e-5)) for sign in (1.0, -1.0))
        slope = float((above - below) / 2e-5)
        assert float(found[number]) == pytest.approx(slope, rel=1e-6, abs=1e-9), number


def test_float32_is_float64_rounded():
    component = Component((knot(),), np.array([1.0, 1.0]), 0.1)
    optics = Optics((Gaussian(0.2, 0.16, 30.0), Ghosts.of_pointings(ROUND, 0.4, 100.0)), 1.1)
    cubes = []
    for enabled in (True, False):
        with x64(enabled):
            again = replace(component, emissions=(knot(),))
            cubes.append(cube(model(), [again], optics))
    assert cubes[1].dtype == np.float32
    assert np.abs(cubes[0] - cubes[1]).max() < 1e-6 * cubes[0].max()


def test_a_disc_alone_is_a_scene_of_one(double):
    sampler = Sampler(model().sky, 16)
    short = disc_cube(model(), sampler, tanh_disc(), jnp.array([1.0, 2.0]), 0.18)
    long = Component((count_disc(model(), sampler, tanh_disc()),), jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(short, cube(model(), [long]), atol=1e-15)


def test_what_can_be_computed_is_let_through():
    optics = Optics((ROUND, Ghosts.of_pointings(Gaussian(0.2, 0.15, 20.0), 0.1, 30.0)), 1.2)
    wide = model(sky=SkyGrid(11, 12, 0.1, 2, 5))
    require_computable(wide, optics, knot(), tanh_disc(), slice_offset=-0.5)
    for offset in (0.6, np.nan):
        with pytest.raises(ArdError, match="slice_offset"):
            require_computable(wide, optics, knot(), slice_offset=offset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lsf_gain": 1.3}, "lsf_gain"),
        ({"lsf_gain": np.nan}, "lsf_gain"),
        ({"psfs": (ROUND,)}, "do not fit the model"),
        ({"psfs": (ROUND, Gaussian.round(-1.0))}, "fwhm_arcsec"),
        ({"psfs": (ROUND, Ghosts.of_pointings(ROUND, 0.1, 0.0, 1.5))}, "ghost's strength"),
        ({"psfs": (ROUND, Ghosts.of_pointings(ROUND, 0.1, 0.0, -0.5))}, "ghost's strength"),
        ({"psfs": (ROUND, Gaussian.round(0.6))}, "cannot hold the source"),
        ({"psfs": (ROUND, Gaussian(0.2, 0.1, 45.0))}, "nodes enough|impossible"),
        ({"psfs": (ROUND, Ghosts.of_pointings(ROUND, np.nan, 0.0))}, "is impossible"),
        ({"psfs": (ROUND, Ghosts.of_pointings(ROUND, 1.063, 0.0))}, "cannot hold the source"),
        ({"psfs": (ROUND, Image(np.full((1, 4), np.nan), np.ones((1, 4)), 0.1))}, "is impossible"),
    ],
)
def test_optics_that_cannot_be_computed_are_refused(change, message):
    optics = replace(Optics((ROUND, ROUND)), **change)
    with pytest.raises(ArdError, match=message):
        require_computable(model(), optics, tanh_disc())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (knot(speed=800.0), "does not hold the source"),
        (knot(speed=np.nan), "speed_kms is impossible"),
        (knot(width=-1.0), "dispersion_kms is impossible"),
        (knot(light=-1.0), "light is impossible"),
        (replace(knot(), speed_kms=np.zeros(2)), "do not belong together"),
        (replace(knot(), light=np.ones(1)), "do not belong together"),
        (Component((knot(),)), "no source whose motion"),
        (tanh_disc(inclination_deg=90.0, pa_deg=90.0, height_arcsec=0.02), "too coarse"),
        (tanh_disc(inclination_deg=0.0, scale_arcsec=0.02), "too coarse"),
        (knot(width=250.0), "does not hold the source"),
        (tanh_disc(inclination_deg=100.0), "inclination_deg"),
        (tanh_disc(rotation_kms=np.full(121, 700.0)), "does not hold the source"),
        (tanh_disc(v_sys_kms=-700.0), "does not hold the source"),
    ],
)
def test_sources_that_cannot_be_computed_are_refused(source, message):
    with pytest.raises(ArdError, match=message):
        require_computable(model(), Optics((ROUND, ROUND)), source)


def test_what_is_too_coarse_says_how_fine_is_enough():
    thin = tanh_disc(inclination_deg=90.0, pa_deg=90.0, height_arcsec=0.02)
    with pytest.raises(ArdError, match="too coarse") as error:
        require_computable(model(), Optics((ROUND, ROUND)), thin)
    assert "oversampling of 5" in (error.value.expected or "")
    fine = model(sky=SkyGrid(11, 12, 0.1, 5, 3))
    require_computable(fine, Optics((ROUND, ROUND)), thin)
    hopeless = tanh_disc(inclination_deg=90.0, pa_deg=90.0, height_arcsec=0.005)
    with pytest.raises(ArdError, match="too coarse"):
        require_computable(model(), Optics((ROUND, ROUND)), hopeless, vertical="exponential")


def test_a_sampler_of_another_grid_is_refused():
    other = Sampler(SkyGrid(11, 12, 0.05, 2, 3))
    with pytest.raises(ArdError, match="another grid"):
        count_disc(model(), other, tanh_disc())


def test_a_component_without_amplitudes_has_templates_only(double):
    optics = Optics((ROUND, ROUND))
    assert line_templates(model(), optics, Component((knot(),))).shape[0] == 2
    with pytest.raises(ArdError, match="no amplitudes"):
        scene_cube(model(), optics, [Component((knot(),))])


def test_a_source_too_fast_for_float32_is_refused():
    fast = model(velocities=VelocityGrid(2500.0, 45.0))
    with pytest.raises(ArdError, match="range that float32 can count"):
        require_computable(fast, Optics((ROUND, ROUND)), knot(speed=1200.0, width=0.0))


@pytest.mark.parametrize(
    "change",
    [
        {"groups": ((0, 1),)},
        {"groups": ((0, 1), (1, 2))},
        {"ties": TIES[:2]},
        {"ties": np.full((3, 2), np.nan)},
        {"gain_max": 0.9},
    ],
)
def test_a_model_whose_lines_do_not_belong_together_is_refused(change):
    with pytest.raises(ArdError, match="ties and groups"):
        model(**change)


def test_a_gain_that_needs_finer_planes_is_refused():
    with pytest.raises(ArdError, match="too far apart"):
        model(gain_max=2.0)


def test_every_part_of_a_scene_is_a_tree_of_arrays():
    """So that a function of it can be compiled, differentiated and mapped."""
    for part in (ROUND, Ghosts.of_pointings(ROUND, 0.1, 0.0), Optics((ROUND,)), knot(),
                 Component((knot(),), jnp.ones(2))):  # fmt: skip
        leaves, tree = jax.tree_util.tree_flatten(part)
        again = jax.tree_util.tree_unflatten(tree, leaves)
        assert [f.name for f in fields(again)] == [f.name for f in fields(part)]
        assert all(isinstance(leaf, (float, int, np.ndarray, jax.Array)) for leaf in leaves)


def test_light_of_the_field_is_1_whatever_is_outside_of_it(double):
    """Oracle: the light of the grid itself, and none where there is none."""
    disc = count_disc(model(), Sampler(model().sky, 16), tanh_disc())
    light = np.asarray(disc.light)
    np.testing.assert_allclose(disc.of_field().light, light / light.sum(), rtol=1e-6)
    away = Fine(np.zeros_like(light))
    assert not np.asarray(away.of_field().light).any()
