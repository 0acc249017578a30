"""Is the cube of a rotating disc the integral that it stands for?

Oracles: a slow sum without any of the tricks (exact.py), closed forms of reference/cubes.md
section 4 (A0 to A9), invariances, central differences.
"""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scenes import FLUX, cube_of, make_model, tanh_disc
from scipy.integrate import quad
from scipy.special import j0, k1, ndtr

from ard.errors import ArdError
from pipeline.scene import losvd, optics
from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Sampler, coarseness, require_valid
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel, windows

# Of the peak: rounding of float32 through some hundred sums, and of float64 with the split's 1e-9.
TOLERANCE = {"float32": 3e-6, "float64": 1e-8}


@pytest.mark.parametrize("inclination", [0.0, 30.0, 60.0, 85.0, 90.0])
@pytest.mark.parametrize("law", ["sech2", "exponential", "gaussian"])
def test_the_cube_is_the_slow_sum(exact, double, inclination, law):
    """Split widths, planes of velocity and dense depths together change nothing."""
    model = make_model(10, pad=1)
    disc = tanh_disc(inclination_deg=inclination, scale_arcsec=0.2)
    ours = cube_of(model, disc, depths=512, law=law)
    slow = exact.disc_cube(model, disc, FLUX, 0.13, law=law, depths=4000, reach=3.6)
    # The kink of the exponential law, between two nodes, is what limits both sums.
    limit = 3e-4 if law == "exponential" else 3e-5
    assert np.abs(ours - slow).max() < limit * slow.max()
    assert ours.min() >= 0.0


def test_splitting_the_width_is_exact(exact, double):
    """At steps of 60 km/s; the depths are the same, so that only the velocities differ."""
    fine = make_model(8, pad=1, step=15.0)
    coarse = make_model(8, pad=1, step=60.0)
    one, other = (cube_of(model, tanh_disc(), depths=32) for model in (fine, coarse))
    assert np.abs(one - other).max() < 1e-9 * one.max()


@pytest.mark.parametrize("inclination", [0.0, 0.01, 5.0, 60.0, 88.0, 90.0])
def test_both_precisions_agree(inclination):
    """Face-on the minor axis is crossed far away: depths counted from there lost four digits."""
    model, disc = make_model(16), tanh_disc(inclination_deg=inclination, height_arcsec=0.02)
    with x64(True):
        double = cube_of(model, disc)
    with x64(False):
        single = cube_of(model, disc)
    assert np.abs(single - double).max() < 1e-6 * double.max()
    assert single.min() >= 0.0


@pytest.mark.parametrize("inclination", [0.0, 30.0, 60.0, 75.0, 88.0, 90.0])
@pytest.mark.parametrize(("law", "error"), [("sech2", 5e-5), ("exponential", 1.5e-4)])
@pytest.mark.parametrize("height", [0.02, 0.08])
def test_32_depths_are_enough(double, inclination, law, error, height):
    """The exponential law has a corner, where equal steps would be wrong by 3 %."""
    model, disc = make_model(16), tanh_disc(inclination_deg=inclination, height_arcsec=height)
    few, many = (cube_of(model, disc, depths=depths, law=law) for depths in (32, 1024))
    assert np.abs(few - many).max() < error * many.max()


@pytest.mark.parametrize("law", ["sech2", "exponential", "gaussian"])
@pytest.mark.parametrize(
    ("inclination", "pa", "height", "scale"),
    [
        (90.0, 90.0, 0.08, 0.25),
        (90.0, 90.0, 0.025, 0.25),
        (90.0, 34.0, 0.005, 0.25),
        (80.0, 90.0, 0.025, 0.25),
        (60.0, 34.0, 0.025, 0.25),
        (0.0, 34.0, 0.02, 0.1),
    ],
)
def test_light_is_as_wrong_as_sub_spaxels_are_coarse(double, law, inclination, pa, height, scale):
    """Whatever the disc's place between the cells, and nearly as wrong for the worst of them."""
    model = make_model(60, pad=0)
    errors = []
    for shift in (0.0, 0.0125, 0.025):
        disc = tanh_disc(inclination_deg=inclination, pa_deg=pa, height_arcsec=height,
                         scale_arcsec=scale, x_arcsec=shift, y_arcsec=shift + 0.003)  # fmt: skip
        errors.append(abs(cube_of(model, disc, law=law).sum() - 1.0))
    bound = coarseness(disc, 0.05, law)
    # 2e-5: depths, and what lies outside of the field.
    assert max(errors) < 1.02 * bound + 2e-5
    assert max(errors) > 0.4 * bound - 2e-5


def test_oversampling_of_2_is_enough(double):
    disc = tanh_disc(height_arcsec=0.08)
    cubes = [cube_of(make_model(16, oversample=n), disc) for n in (2, 12)]
    assert np.abs(cubes[0] - cubes[1]).max() < 1e-3 * cubes[1].max()


def test_a_point_is_put_where_optics_and_channels_put_it(precision):
    """A0: products of error functions, and columns that sum to one."""
    grid = SkyGrid(21, 17, 0.1, 1, 0)
    sigma = 0.13 / optics.FWHM_PER_SIGMA
    matrix = optics.pixel_matrix(grid.edges(21), np.array([0.0, 0.031]), jnp.asarray(sigma))
    np.testing.assert_allclose(np.asarray(matrix).sum(axis=0), 1.0, rtol=2e-7)
    from scipy.stats import norm

    edges = grid.edges(21)
    expected = np.diff(norm.cdf(edges, 0.031, sigma))
    np.testing.assert_allclose(matrix[:, 1], expected, atol=TOLERANCE[precision])


def test_the_light_of_an_edge_on_disc_is_a_bessel_function(precision):
    """A1 (van der Kruit & Searle): summed over height and velocity, 2 a K1(a / rd) per pixel."""
    scale, n = 0.4, 40
    disc = tanh_disc(inclination_deg=90.0, pa_deg=-90.0, x_arcsec=0.0, y_arcsec=0.0,
                     scale_arcsec=scale, height_arcsec=0.05)  # fmt: skip
    errors = {}
    for oversample in (2, 6):
        model = make_model(n, oversample=oversample, v_max=1200.0, channels=60)
        profile = cube_of(model, disc, fwhm=1e-3, depths=128).sum(axis=(0, 1))
        edges = model.sky.edges(n)
        expected = np.array([
            quad(lambda a: abs(a) * k1(abs(a) / scale) / (np.pi * scale**2), low, high,
                 points=[0.0] if low < 0 < high else None)[0]
            for low, high in pairwise(edges)
        ])  # fmt: skip
        near = np.abs(edges[:-1] + 0.05) < 1.2
        errors[oversample] = np.abs(profile / expected - 1.0)[near].max()
    assert errors[2] < 5e-3
    # Midpoints: the error falls with the square of their number.
    assert errors[6] < errors[2] / 4.5


def test_solid_rotation_shows_neither_depth_nor_thickness(precision):
    """A2: v = Omega a at every depth, so each column has the mean of its pixel."""
    omega, n = 60.0, 24
    radii = np.linspace(0, 20, 201)
    disc = tanh_disc(inclination_deg=90.0, pa_deg=-90.0, x_arcsec=0.0, y_arcsec=0.0, v_sys_kms=0.0,
                     rotation_kms=omega * radii, dispersion_kms=np.full(201, 30.0),
                     radius_step_arcsec=radii[1], scale_arcsec=0.3)  # fmt: skip
    model = make_model(n, oversample=8, v_max=1500.0, channels=60)
    cube = cube_of(model, disc, fwhm=1e-3, depths=128).sum(axis=1)
    speed = (model.wave_edges.mean(axis=1) / model.wave_obs_um[0] - 1.0) * 299792.458
    mean = (cube * speed[:, None]).sum(axis=0) / cube.sum(axis=0)
    edges = model.sky.edges(n)

    def moment(power, low, high):
        return quad(lambda a: a**power * abs(a) * k1(abs(a) / 0.3), low, high)[0]

    pairs = list(pairwise(edges))
    expected = np.array([omega * moment(1, *p) / moment(0, *p) for p in pairs])
    # x grows to the right, and the receding side lies at position angle -90, which is +x.
    np.testing.assert_allclose(mean, expected, atol=0.01)
    # The second moment: what is spread within the pixel, the gas, the spectrograph, the channel.
    width = np.diff(model.wave_edges, axis=1).mean() / model.wave_obs_um[0] * 299792.458
    spread = np.array([omega**2 * moment(2, *p) / moment(0, *p) for p in pairs]) - expected**2
    found = (cube * speed[:, None] ** 2).sum(axis=0) / cube.sum(axis=0) - mean**2
    total = spread + 30.0**2 + 127.0**2 + width**2 / 12.0
    near = np.abs(edges[:-1] + 0.05) < 0.9
    np.testing.assert_allclose(found[near], total[near], rtol=2e-4)


def test_a_flat_curve_gives_the_arcsine_law(precision):
    """A3: phi(w) = J0(V w sin i) exp(-s^2 w^2 / 2), whatever the disc's size."""
    disc = tanh_disc(
        inclination_deg=60.0, x_arcsec=0.0, y_arcsec=0.0, scale_arcsec=0.15, height_arcsec=0.03,
        v_sys_kms=0.0, rotation_kms=np.full(121, 200.0),
    )  # fmt: skip
    model = make_model(44, oversample=4, v_max=1200.0, channels=40)
    profile = cube_of(model, disc, depths=128).sum(axis=(1, 2))
    sigma = np.hypot(40.0, 127.0)
    speed = 200.0 * np.sin(np.deg2rad(60.0))
    low, high = ((model.wave_edges[:, k] / model.wave_obs_um[0] - 1.0) * 299792.458 for k in (0, 1))
    w = np.linspace(0.0, 10.0 / sigma, 4001)
    phi = j0(speed * w) * np.exp(-0.5 * (sigma * w) ** 2)

    def share(a, b):
        mid, half = 0.5 * (a + b), 0.5 * (b - a)
        return np.trapezoid(phi * np.cos(w * mid) * np.sinc(w * half / np.pi), w) * 2 * half / np.pi

    expected = np.array([share(a, b) for a, b in zip(low, high, strict=True)])
    np.testing.assert_allclose(profile / profile.sum(), expected, atol=3e-4 * expected.max())


def test_a_face_on_disc_has_one_line_everywhere(precision):
    """A4: no motion along the sight, so every spaxel has the same profile."""
    model = make_model(16)
    cube = cube_of(model, tanh_disc(inclination_deg=0.0, v_sys_kms=0.0))
    bright = cube.sum(axis=0) > 1e-3 * cube.sum(axis=0).max()
    shapes = cube[:, bright] / cube[:, bright].sum(axis=0)
    spread = np.ptp(shapes, axis=1).max()
    assert spread < 100 * TOLERANCE[precision]


def test_the_image_of_a_face_on_disc_is_its_exponential_through_the_optics(precision):
    """A4: summed on sub-spaxels of 0.005 arcsec, so that the cusp at the centre is resolved."""
    model = make_model(16, oversample=10)
    disc = tanh_disc(inclination_deg=0.0, height_arcsec=0.02)
    image = cube_of(model, disc).sum(axis=0)
    places = (np.arange(16 * 20 * 2) + 0.5) * 0.005 - 1.6
    radius = np.hypot(places[:, None] - disc.y_arcsec, places[None, :] - disc.x_arcsec)
    light = np.exp(-radius / 0.25) / (2.0 * np.pi * 0.25**2) * 0.005**2
    shares = np.diff(ndtr((model.sky.edges(16)[:, None] - places) / (0.13 / 2.35482)), axis=0)
    expected = shares @ light @ shares.T
    # Our own sub-spaxels, of 0.01 arcsec, blunt the cusp a little.
    np.testing.assert_allclose(image, expected, atol=4e-4 * expected.max())


def test_light_is_conserved(precision):
    """A7: a field that holds the disc holds its flux, of each line."""
    fluxes = np.array([3.0, 1.0])
    model = make_model(64, oversample=4, lines=(1.2860, 1.2930), channels=60, v_max=1000.0)
    disc = tanh_disc(inclination_deg=70.0, scale_arcsec=0.15, height_arcsec=0.05)
    cube = cube_of(model, disc, fluxes=fluxes, depths=128)
    # 3e-7 of the light lies beyond the radius that is summed.
    limit = {"float32": 2e-6, "float64": 1e-6}[precision]
    half = cube.shape[0] // 2
    assert cube.sum() == pytest.approx(4.0, rel=limit)
    assert cube[:half].sum() == pytest.approx(3.0, rel=limit)


@pytest.mark.parametrize("turn", [0, 1])
def test_mirrors(precision, turn):
    """A8: turned by half a turn, or seen from the other side, the disc moves the other way."""
    model = make_model(16, lines=(1.2893,), channels=24)
    edges = model.wave_edges
    middle = 0.5 * (edges[0, 0] + edges[-1, 1])
    # Channels that are mirror images in velocity.
    mirrored = replace(model, wave_edges=np.sort(2 * middle - edges, axis=1)[::-1],
                       wave_obs_um=np.array([middle]))  # fmt: skip
    model = replace(model, wave_obs_um=np.array([middle]))
    disc = tanh_disc(x_arcsec=0.0, y_arcsec=0.0, v_sys_kms=0.0)
    one = cube_of(model, disc)
    limit = {"float32": 3e-6, "float64": 1e-9}[precision] * one.max()
    if turn:
        other = cube_of(mirrored, replace(disc, pa_deg=disc.pa_deg + 180.0))
        assert np.abs(one - other[::-1]).max() < limit
        return
    assert np.abs(one - one[::-1, ::-1, ::-1]).max() < limit


def test_a_shift_by_a_pixel_is_a_shift_by_a_pixel(precision):
    """A8."""
    model = make_model(20)
    one = cube_of(model, tanh_disc(x_arcsec=0.0))
    other = cube_of(model, tanh_disc(x_arcsec=0.1))
    # Away from the edges: the margin holds what the field does not.
    change = np.abs(one[:, :, 2:-3] - other[:, :, 3:-2]).max()
    assert change < {"float32": 3e-6, "float64": 1e-12}[precision] * one.max()


@pytest.mark.parametrize(
    ("rotation", "error"), [(60.0 * np.linspace(0, 6, 121), 1e-6), (None, 6e-5)]
)
def test_gradients_are_those_of_central_differences(double, rotation, error):
    """A9. A table that bends has corners, which differences of any order smear."""
    model, disc = make_model(10, pad=2), tanh_disc()
    disc = disc if rotation is None else replace(disc, rotation_kms=rotation)
    sampler = Sampler(model.sky, 32)
    weights = np.random.default_rng(1).normal(size=(24, 10, 10))
    names = ["x_arcsec", "y_arcsec", "pa_deg", "inclination_deg", "scale_arcsec", "height_arcsec",
             "v_sys_kms"]  # fmt: skip

    @jax.jit
    def value(vector):
        turned = replace(disc, **dict(zip(names, vector, strict=True)))
        turned = replace(turned, rotation_kms=jnp.asarray(disc.rotation_kms),
                         dispersion_kms=jnp.asarray(disc.dispersion_kms))  # fmt: skip
        return jnp.vdot(disc_cube(model, sampler, turned, jnp.asarray(FLUX), 0.13), weights)

    start = jnp.array([float(getattr(disc, name)) for name in names])
    found = jax.grad(value)(start)
    for number, name in enumerate(names):
        step = 4e-4 if name.endswith("arcsec") else 0.1
        two, one, minus_one, minus_two = (
            float(value(start.at[number].add(times * step))) for times in (2, 1, -1, -2)
        )
        slope = (8.0 * (one - minus_one) - (two - minus_two)) / (12.0 * step)
        assert float(found[number]) == pytest.approx(slope, rel=error, abs=1e-9), name


def test_tied_lines_share_one_motion(double):
    """Two lines together are the sum of two cubes."""
    lines = (1.2860, 1.2930)
    model = make_model(10, lines=lines, channels=40)
    both = cube_of(model, tanh_disc(), fluxes=[2.0, 0.5])
    singles = [
        cube_of(replace(model, wave_obs_um=np.array([line]), sigma_lsf_kms=np.array([127.0]),
                        ties=np.eye(1), groups=((0,),)), tanh_disc(), fluxes=[flux])
        for line, flux in zip(lines, (2.0, 0.5), strict=True)
    ]  # fmt: skip
    assert np.abs(both - sum(singles)).max() < 1e-12 * both.max()


def test_windows_are_the_channels_that_lines_touch():
    starts = 1.28 + 0.001 * np.arange(20)
    edges = np.stack([starts, starts + 0.001], axis=1)
    found = windows(edges, [1.2855], 0.0005 / 1.2855 * 299792.458 * 0.999)
    assert found.tolist() == [5]
    assert windows(edges, [1.2855, 1.30], 400.0).tolist() == sorted(
        set(windows(edges, [1.2855], 400.0)) | set(windows(edges, [1.30], 400.0))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inclination_deg": 91.0}, "inclination_deg"),
        ({"scale_arcsec": 0.0}, "scale_arcsec"),
        ({"height_arcsec": np.nan}, "height_arcsec"),
        ({"v_sys_kms": np.inf}, "v_sys_kms"),
        ({"rotation_kms": np.array([0.0, np.nan]), "dispersion_kms": np.ones(2)}, "rotation_kms"),
        ({"rotation_kms": np.ones(3)}, "tables of one length"),
        ({"dispersion_kms": np.full(121, -1.0)}, "dispersion_kms"),
        ({"radius_step_arcsec": 0.0}, "radius_step_arcsec"),
    ],
)
def test_a_parameter_outside_of_its_range_is_refused(change, message):
    with pytest.raises(ArdError, match=message):
        require_valid(tanh_disc(**change))
    require_valid(tanh_disc())


def test_impossible_models_are_refused():
    with pytest.raises(ArdError, match="too far apart"):
        make_model(step=100.0)
    with pytest.raises(ArdError, match="grid on the sky"):
        SkyGrid(0, 3, 0.1)
    with pytest.raises(ArdError, match="grid of velocities"):
        VelocityGrid(100.0, 200.0)
    with pytest.raises(ArdError, match="cannot be sampled"):
        Sampler(SkyGrid(3, 3, 0.1), vertical="spherical")
    with pytest.raises(ArdError, match="cannot be sampled"):
        Sampler(SkyGrid(3, 3, 0.1), depths=33)
    with pytest.raises(ArdError, match="do not make a model"):
        LineModel(SkyGrid(3, 3, 0.1), VelocityGrid(900.0, 60.0), np.zeros((3, 2)), np.ones(1),
                  np.ones(1))  # fmt: skip
    with pytest.raises(ArdError, match="line-spread function is impossible"):
        optics.split_width(np.array([100.0, np.nan]))


def test_what_float32_cannot_count_is_refused():
    grid = VelocityGrid(2000.0, 60.0)
    losvd.require_safe(grid, 98.0, 1200.0)
    with pytest.raises(ArdError, match="range that float32 can count"):
        losvd.require_safe(grid, 98.0, 1300.0)
    with pytest.raises(ArdError, match="does not hold the source"):
        losvd.require_safe(VelocityGrid(600.0, 60.0), 98.0, 400.0)
    with pytest.raises(ArdError, match="range that float32 can count"):
        losvd.require_safe(grid, 98.0, np.nan)


@pytest.mark.parametrize("light", [1.0, 1e-7])
def test_within_that_range_no_light_is_lost(light):
    """float32, at the edge of what is called safe; a sub-spaxel has little light."""
    grid = VelocityGrid(2000.0, 60.0)
    with x64(False):
        speed = jnp.linspace(-1200.0, 1200.0, 41)
        samples = losvd.Samples(speed, jnp.zeros(41), jnp.full(41, light))
        planes = np.asarray(losvd.gaussians(samples, grid, 98.0)) / light
    assert np.isfinite(planes).all()
    np.testing.assert_allclose(planes.sum(axis=0), 1.0, rtol=2e-4)
    mean = (planes * grid.velocities[:, None]).sum(axis=0)
    np.testing.assert_allclose(mean, np.linspace(-1200.0, 1200.0, 41), atol=0.3)
