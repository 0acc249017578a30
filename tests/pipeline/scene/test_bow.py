"""Do bow shocks move, and shine, where the published equations put them?

Oracles: spans in position and velocity that were computed independently (reference/science.md
section 2.4, under its definition of a span), vector algebra on the shell's own surface, closed
forms of Wilkin 1996, invariances.
"""

import itertools
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scipy.optimize import brentq
from scipy.special import ndtr
from slopes import assert_slopes

from ard.errors import ArdError
from pipeline.scene import bow as shocks
from pipeline.scene import optics
from pipeline.scene.bow import Bow, paraboloid, require_valid, ring, thin_shell
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.points import planes, single
from pipeline.scene.psf import Gaussian

# Columns fainter than this part of the brightest are no columns of a span.
FLOOR = 0.01
VELOCITIES = VelocityGrid(2000.0, 60.0)


def published(**changes) -> Bow:
    """v* = 954, i = 29, chi = 3; the motion runs along +x, so that columns lie along the wake."""
    values = {
        "x_arcsec": 0.0,
        "y_arcsec": 0.0,
        "pa_deg": -90.0,
        "inclination_deg": 29.0,
        "v_star_kms": 954.0,
        "compression": 3.0,
        "v_sys_kms": 0.0,
        "dispersion_kms": 0.0,
        "kpc_per_arcsec": 7.937,
    }
    return Bow(**{**values, **changes})


def columns(points, fwhm=0.125, rows=3, floor=FLOOR):
    """Brightness and mean velocity of columns of 0.1 arcsec, |y| < 0.15 arcsec."""
    cube = np.asarray(
        planes(points, SkyGrid(rows, 60, 0.1), VELOCITIES, 60.0, Gaussian.round(fwhm))
    ).sum(axis=1)
    light = cube.sum(axis=0)
    with np.errstate(invalid="ignore"):
        speed = (cube * VELOCITIES.velocities[:, None]).sum(axis=0) / light
    bright = light > floor * light.max()
    return light[bright], speed[bright]


def span(points, **settings):
    _, speed = columns(points, **settings)
    return float(np.ptp(speed))


def depth_of(polar, standoff=1.08):
    distance = standoff / np.sin(polar) * np.sqrt(3.0 * (1.0 - polar / np.tan(polar)))
    return standoff - distance * np.cos(polar)


def test_the_ring_spans_664(double):
    points = ring(published(), 1.35, 1.5, 55.0)
    # Its outermost column has 1.2 % of the light of the brightest: with it the span is 717 km/s,
    # so the table's "small brightness floor" was above that.
    assert span(points) == pytest.approx(717.0, abs=2.0)
    _, speed = columns(points, floor=0.015)
    assert np.ptp(speed) == pytest.approx(664.0, rel=0.05)
    assert np.abs(np.diff(speed)).max() == pytest.approx(394.0, rel=0.05)
    # The leading edge (+x) is red, behind it blue.
    assert speed[-1] > 0.0 > speed[0]
    assert np.all(np.diff(speed) > 0.0)


@pytest.mark.parametrize(
    ("radius", "fwhm", "expected"),
    [(1.5, 0.125, 598.0), (1.0, 0.125, 499.0), (2.5, 0.125, 738.0)],
)
def test_filled_discs_span_what_the_table_says(double, radius, fwhm, expected):
    points = ring(published(), 0.0, radius, 55.0, nodes=(24, 192))
    assert span(points, fwhm=fwhm) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("fwhm", "step"), [(0.125, 269.0), (0.179, 169.0)])
def test_the_step_of_the_disc_depends_on_the_optics(double, fwhm, step):
    points = ring(published(), 0.0, 1.5, 55.0, nodes=(24, 192))
    assert np.abs(np.diff(columns(points, fwhm=fwhm)[1])).max() == pytest.approx(step, rel=0.1)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(0.5, 331.0), (1.0, 361.0), (2.0, 343.0), (3.6, 309.0), (6.0, 250.0), (10.0, 190.0)],
)
def test_the_paraboloid_spans_what_the_table_says(double, depth, expected):
    points = paraboloid(published(), 1.8, depth, nodes=(96, 192))
    assert span(points) == pytest.approx(expected, rel=0.05)


def test_infinite_compression(double):
    points = paraboloid(published(compression=1e9), 1.8, 6.0, nodes=(96, 192))
    assert span(points) == pytest.approx(375.0, rel=0.05)


def test_the_thin_shell_spans_386(double):
    """Set-up: alpha = 0, R_0 = 1.08 kpc, cut 3.6 kpc = 2 R_c behind the apex, light as v_n^2."""
    end = np.rad2deg(brentq(lambda polar: depth_of(polar) - 3.6, 0.05, 3.1))
    points = thin_shell(published(), 1.08, 0.0, end, nodes=(96, 192))
    assert span(points) == pytest.approx(386.0, rel=0.10)


def test_the_shell_is_wilkins():
    """R = R_0 (1 + theta^2 / 5) near the apex, sqrt(3) R_0 abreast of the body."""
    for polar, expected in ((0.05, 1.0 + 0.05**2 / 5.0), (np.pi / 2.0, np.sqrt(3.0))):
        swept, _ = shocks._wilkin(jnp.asarray(polar))
        assert float(jnp.sqrt(swept)) / np.sin(polar) == pytest.approx(expected, rel=2e-6)
    narrow = jnp.asarray([1e-3, 0.1, 0.29, 0.31, 1.0])
    with x64(True):
        theta = np.array([1e-3, 0.1, 0.29, 0.31, 1.0])
        for single, double in zip(shocks._wilkin(narrow), shocks._wilkin(jnp.asarray(theta)),
                                  strict=True):  # fmt: skip
            np.testing.assert_allclose(single, double, rtol=3e-5)
        swept, turned = shocks._wilkin(jnp.asarray(theta[1:]))
        np.testing.assert_allclose(swept, 3 * (1 - theta[1:] / np.tan(theta[1:])), rtol=1e-8)
        np.testing.assert_allclose(turned, theta[1:] - np.sin(2 * theta[1:]) / 2, rtol=1e-8)
    edge_on = published(inclination_deg=0.0, v_star_kms=1.0)
    points = thin_shell(edge_on, 1.0, 0.0, 100.0, nodes=(400, 4))
    # Nodes at phi = 45 deg and its like: the line of sight sees u_R / sqrt(2).
    outward = np.abs(np.asarray(points.speed_kms)) * np.sqrt(2.0)
    assert outward.max() == pytest.approx(0.5437, abs=1e-3)


@pytest.mark.parametrize("inclination", [0.0, 29.0, 90.0])
def test_gas_leaves_the_paraboloid_along_its_normal(double, inclination):
    """Rankine and Hugoniot: in the frame of the surroundings, nothing moves along the shock."""
    count = (12, 8)
    nodes = (12, 4, 2)  # along the shell, in half of the azimuths, and both mirror images
    points = paraboloid(published(inclination_deg=inclination), 1.8, 6.0, nodes=count)
    tilt = np.deg2rad(inclination)
    n = np.array([np.cos(tilt), 0.0, np.sin(tilt)])  # s, across, towards the observer
    e_o = np.array([-np.sin(tilt), 0.0, np.cos(tilt)])
    e_y = np.array([0.0, 1.0, 0.0])
    places, _ = np.polynomial.legendre.leggauss(count[0])
    radius = np.sqrt(2 * 1.8 * 6.0) * 0.5 * (places + 1.0)
    speeds, along, across = (
        np.broadcast_to(np.asarray(values).reshape((*nodes[:2], -1)), nodes)
        for values in (points.speed_kms, points.x_arcsec, points.y_arcsec)
    )
    for j, r in enumerate(radius):
        for k, side in itertools.product(range(nodes[1]), (0, 1)):
            phi = (k + 0.5) * 2.0 * np.pi / count[1] * (1 - 2 * side)
            outward = np.cos(phi) * e_o + np.sin(phi) * e_y
            place = -(r**2 / 3.6) * n + r * outward
            normal = n + r / 1.8 * outward  # gradient of d - R^2 / 2 R_c, pointing ahead
            normal = normal / np.linalg.norm(normal)
            gas = (1.0 - 1.0 / 3.0) * 954.0 * (normal @ n) * normal
            assert speeds[j, k, side] == pytest.approx(-gas[2], abs=1e-9)
            # With pa = -90 deg s runs along +x, and what lies across along -y.
            assert along[j, k, side] * 7.937 == pytest.approx(place[0], abs=1e-9)
            assert across[j, k, side] * 7.937 == pytest.approx(-place[1], abs=1e-9)


def test_the_factor_of_the_published_model_is_a_switch(double):
    """392 against 261 km/s: science.md section 2.3."""
    tall = published(inclination_deg=29.0)
    for conserving, amplitude in ((False, 392.0), (True, 261.0)):
        speed = np.asarray(ring(tall, 1.4, 1.5, 55.0, conserving=conserving).speed_kms)
        assert np.ptp(speed) / 2.0 == pytest.approx(amplitude, rel=2e-3)
        assert speed.mean() == pytest.approx(-308.0, abs=0.5)


@pytest.mark.parametrize("make", [
    lambda bow: ring(bow, 1.35, 1.5, 55.0),
    lambda bow: paraboloid(bow, 1.8, 2.0),
    lambda bow: thin_shell(bow, 1.08, 0.3, 110.0),
])  # fmt: skip
def test_light_is_one_and_both_sides_are_alike(precision, make):
    dtype = jnp.result_type(float)
    bow = published()
    bow = replace(bow, **{f.name: jnp.asarray(getattr(bow, f.name), dtype) for f in fields(bow)})
    points = make(bow)
    assert np.asarray(points.light, np.float64).sum() == pytest.approx(1.0, rel=1e-6)
    assert np.asarray(points.light).min() > 0.0
    cube = np.asarray(planes(points, SkyGrid(40, 40, 0.1), VELOCITIES, 60.0, Gaussian.round(0.13)))
    assert cube.dtype == dtype
    assert cube.sum() == pytest.approx(1.0, rel=1e-5)
    assert cube.min() >= 0.0
    np.testing.assert_allclose(cube, cube[:, ::-1], atol=2e-6 * cube.max())


def test_a_point_is_products_of_error_functions(precision):
    """A0, now in velocity too; float32 rounds on a ladder of 33 planes."""
    points = single(0.03, -0.07, 123.0, 20.0)
    points = replace(points, light=5.0 * points.light)
    sky = SkyGrid(9, 11, 0.1)
    cube = np.asarray(planes(points, sky, VELOCITIES, 80.0, Gaussian.round(0.15)))
    sigma = 0.15 / optics.FWHM_PER_SIGMA
    up = np.diff(ndtr((sky.edges(9) + 0.07) / sigma))
    side = np.diff(ndtr((sky.edges(11) - 0.03) / sigma))
    width = np.hypot(20.0, 80.0)
    moving = np.exp(-0.5 * ((VELOCITIES.velocities - 123.0) / width) ** 2)
    moving = 60.0 * moving / (np.sqrt(2.0 * np.pi) * width)
    expected = 5.0 * moving[:, None, None] * up[:, None] * side
    limit = {"float32": 3e-6, "float64": 1e-12}[precision]
    np.testing.assert_allclose(cube, expected, rtol=0.0, atol=limit * expected.max())


def test_gradients_are_those_of_central_differences(double):
    names = ["x_arcsec", "pa_deg", "inclination_deg", "v_star_kms", "compression", "v_sys_kms"]
    weights = np.random.default_rng(2).normal(size=(69, 12, 12))

    @jax.jit
    def value(vector):
        bow = replace(published(dispersion_kms=30.0), **dict(zip(names, vector, strict=True)))
        points = paraboloid(bow, 1.8, 2.0, nodes=(16, 32))
        return jnp.vdot(
            planes(points, SkyGrid(12, 12, 0.1), VELOCITIES, 90.0, Gaussian.round(0.13)), weights
        )

    start = jnp.array([float(getattr(published(), name)) for name in names])
    assert_slopes(value, start, names)


@pytest.mark.parametrize("row", shocks.PARAMETERS, ids=lambda row: row.name)
def test_a_parameter_outside_of_its_range_is_refused(row):
    require_valid(published())
    for value in (row.low - 1.0, np.nan):
        with pytest.raises(ArdError, match=row.name) as error:
            require_valid(published(**{row.name: value}))
        assert row.unit in (error.value.expected or "")


GOOD = {
    "ring": {"inner_kpc": 1.35, "outer_kpc": 1.5, "angle_deg": 55.0},
    "paraboloid": {"curvature_kpc": 1.8, "depth_kpc": 6.0},
    "thin_shell": {"standoff_kpc": 1.08, "wind_ratio": 0.0, "end_deg": 110.0},
}


@pytest.mark.parametrize("name", shocks.SHAPES)
def test_a_shape_outside_of_its_range_is_refused(name):
    make = {"ring": ring, "paraboloid": paraboloid, "thin_shell": thin_shell}[name]
    shocks.require_shape(name, **GOOD[name])
    assert np.isfinite(np.asarray(make(published(), **GOOD[name]).speed_kms)).all()
    for row in shocks.SHAPES[name]:
        for value in (row.low - 1.0, row.high + 1.0, np.nan):
            with pytest.raises(ArdError, match=row.name):
                shocks.require_shape(name, **{**GOOD[name], row.name: value})


def test_shapes_at_the_ends_of_their_ranges_are_finite(double):
    for name, make in (("ring", ring), ("paraboloid", paraboloid), ("thin_shell", thin_shell)):
        for end in ("low", "high"):
            values = {row.name: getattr(row, end) for row in shocks.SHAPES[name]}
            if name == "ring":
                values["inner_kpc"] = 0.5 * values["outer_kpc"]
            points = make(published(), **values)
            for part in (points.speed_kms, points.x_arcsec, points.light):
                assert np.isfinite(np.asarray(part)).all(), (name, end)
            assert float(points.light.sum()) == pytest.approx(1.0, rel=1e-9)


def test_a_ring_without_width_is_refused():
    with pytest.raises(ArdError, match="no width"):
        shocks.require_shape("ring", inner_kpc=1.5, outer_kpc=1.5, angle_deg=55.0)


@pytest.mark.parametrize("inclination", [0.0, 29.0, 80.0])
@pytest.mark.parametrize(
    ("make", "values", "many"),
    [
        (ring, (0.0, 5.0, 55.0), (48, 256)),
        (paraboloid, (5.0, 10.0), (128, 256)),
        (thin_shell, (2.0, 0.0, 140.0), (160, 256)),
    ],
)
def test_nodes_leave_no_gaps_in_the_largest_shapes(double, make, values, many, inclination):
    bow = published(inclination_deg=inclination, x_arcsec=0.013, pa_deg=-60.0, kpc_per_arcsec=7.0)
    sky, psf = SkyGrid(41, 41, 0.1), Gaussian.round(0.13)
    few, fine = (
        np.asarray(planes(points, sky, VELOCITIES, 90.0, psf))
        for points in (make(bow, *values), make(bow, *values, nodes=many))
    )
    assert np.abs(few - fine).max() < 5e-5 * fine.max()


@pytest.mark.parametrize("wind_ratio", [0.0, 0.5, 2.0])
def test_the_thin_shell_moves_and_shines_as_wilkin_says(double, wind_ratio):
    """Velocities of science.md section 2.3; light as area times v_n^2, by differences of R(theta).

    Seen edge-on, u_R is what the line of sight sees; seen from ahead, u_n and the radius.
    """
    nodes, end, standoff = (60, 8), 120.0, 1.08
    places, weights = np.polynomial.legendre.leggauss(nodes[0])
    theta = np.deg2rad(end) * 0.5 * (places + 1.0)

    def at(t):
        return standoff / np.sin(t) * np.sqrt(3.0 * (1.0 - t / np.tan(t)))

    below = 2.0 * wind_ratio * (1.0 - np.cos(theta)) + 3.0 * (1.0 - theta / np.tan(theta))
    swept = 3.0 * (1.0 - theta / np.tan(theta))
    outward = 954.0 * (theta - np.sin(theta) * np.cos(theta)) / below
    forward = 954.0 * ((np.sin(theta) ** 2 - swept) / below + 1.0)
    values = (standoff, wind_ratio, end)
    ahead = thin_shell(published(inclination_deg=90.0), *values, nodes=nodes)
    aside = thin_shell(published(inclination_deg=0.0), *values, nodes=nodes)
    speed = np.asarray(ahead.speed_kms).reshape(60, 4)
    # 1e-8: the series near the apex.
    np.testing.assert_allclose(speed, -np.tile(forward[:, None], 4), rtol=1e-8, atol=1e-9)
    phi = (np.arange(4) + 0.5) * 2.0 * np.pi / 8
    speed = np.asarray(aside.speed_kms).reshape(60, 4)
    np.testing.assert_allclose(speed, -outward[:, None] * np.cos(phi), rtol=1e-8, atol=1e-9)
    radius = np.hypot(np.asarray(ahead.x_arcsec), np.asarray(ahead.y_arcsec)) * 7.937
    np.testing.assert_allclose(
        radius.reshape(60, 8), np.tile((at(theta) * np.sin(theta))[:, None], 8), rtol=1e-8
    )
    step = 1e-5
    d_radius, d_ahead = (
        (at(theta + step) * part(theta + step) - at(theta - step) * part(theta - step)) / (2 * step)
        for part in (np.sin, np.cos)
    )
    length = np.hypot(d_radius, d_ahead)
    normal = d_radius / length  # cosine between the shell's normal and the motion
    light = weights * at(theta) * np.sin(theta) * length * normal**2
    found = np.asarray(ahead.light).reshape(60, 8).sum(axis=1)
    np.testing.assert_allclose(found, light / light.sum(), rtol=1e-6)


def test_the_paraboloid_shines_as_the_square_of_its_normal_speed(double):
    """Light per area goes as (1 + 2 d / R_c)^-1; areas by the surface of revolution."""
    points = paraboloid(published(inclination_deg=90.0), 1.8, 6.0, nodes=(60, 8))
    radius = (np.hypot(points.x_arcsec, points.y_arcsec) * 7.937).reshape(60, 8)[:, 0]
    _, weights = np.polynomial.legendre.leggauss(60)
    light = weights * radius * np.sqrt(1.0 + (radius / 1.8) ** 2) / (1.0 + (radius / 1.8) ** 2)
    found = np.asarray(points.light).reshape(60, 8).sum(axis=1)
    np.testing.assert_allclose(found, light / light.sum(), rtol=1e-9)


def test_a_body_at_rest_has_a_shell_at_rest(double):
    points = thin_shell(published(v_star_kms=0.0), 1.08, 0.0, 110.0)
    assert float(jnp.abs(points.speed_kms).max()) == 0.0
    assert float(points.light.sum()) == pytest.approx(1.0)


def test_the_light_of_the_thinnest_ring_is_one():
    with x64(False):
        inner, outer = jnp.asarray([1.4999, 1.5], jnp.float32)
        points = jax.jit(lambda a, b: ring(published(), a, b, 55.0).light)(inner, outer)
    assert np.asarray(points, np.float64).sum() == pytest.approx(1.0, rel=1e-5)
