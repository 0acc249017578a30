"""Is the span of a bow shock what its ring says, and is it found in a cube?

Oracles: closed form; brute force over the ring's own nodes; the simulator's ring, written apart;
the table of reference/science.md section 2.4; the truth that a cube was drawn from.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scipy import stats
from small_fit import (
    BOW_FLUX,
    BOW_TRUTH,
    PA_APER_DEG,
    TRUTH,
    blank_cube,
    drawn_from,
    small_noise,
)

from ard.errors import ArdError
from manifests.target import load_target
from pipeline.infer import bow, optimum
from pipeline.infer.chain import compiled_value
from pipeline.infer.fit import problem_for
from pipeline.infer.frame import Frame
from pipeline.infer.scenes import scene
from pipeline.infer.target import Target, as_place, require_finite
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.simulate import scenes as simulated

FRAME = Frame(0.0, 0.0, 0.0, 7.937, (0.179,))


def published(outer_kpc=1.5, inner_share=0.9, **more):
    """The model of science.md section 2.4: swing 392, v_bow -308 km/s, 29 degrees."""
    radius = outer_kpc * np.sqrt(0.5 * (1.0 + inner_share**2))
    ring = {"inclination_deg": 29.0, "radius_kpc": radius, "inner_share": inner_share}
    return {**BOW_TRUTH, **ring, "swing_kms": 392.0, "v_bow_kms": -308.0, **more}


def ring_of(values):
    """Along the axis, arcsec; speed; light of each place of the ring."""
    values = {name: jnp.asarray(value) for name, value in values.items()}
    ring, *_ = bow.parts({**values, "along_arcsec": 0.0, "turn_deg": 0.0}, FRAME, None)
    speed = np.broadcast_to(np.asarray(ring.speed_kms)[:, None], ring.light.shape)
    return (np.asarray(one).ravel() for one in (ring.y_arcsec, speed, ring.light))


def at(fwhm_arcsec=0.179, mask=None, move=(0.0, 0.0)):
    """Cube, noise and target of the tiny field, with the tip moved off its middle, in degrees."""
    noise, _ = small_noise()
    cube = blank_cube(noise, fwhm_arcsec, PA_APER=PA_APER_DEG)
    if mask is not None:
        cube = cube.replace(mask=np.asarray(cube.mask) | mask)
    wcs = cube.wcs.deepcopy()
    wcs.wcs.crval = np.asarray(wcs.wcs.crval) + np.asarray(move)
    return cube.replace(wcs=wcs), GivenNoise(noise, "t001_noise.fits")


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    place = tmp_path_factory.mktemp("bow") / "test.toml"
    with x64(True):
        cube, noise = drawn_from("bow", BOW_TRUTH, BOW_FLUX, place, PA_APER=PA_APER_DEG)
    return load_target(place), cube, GivenNoise(noise, "t001_noise.fits")


@pytest.fixture(scope="module")
def problem(target):
    """The scene that the cube was drawn from, held against it: compiled once."""
    with x64(True):
        yield problem_for(target[1], target[2], target[0], scene("bow"))


@pytest.mark.parametrize("swing", [300.0, -120.0])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_span_is_that_of_the_rings_own_light_before_the_optics(double, swing, share):
    values = published(swing_kms=swing, inner_share=share)
    along, speed, light = ring_of(values)
    ends = []
    for end in (along.max(), along.min()):
        there = np.abs(along - end) < 1e-3
        ends.append(np.average(speed[there], weights=light[there]))
    found = bow.derived(values, FRAME)
    assert found["span_kms"] == 2.0 * abs(swing)
    # 32 azimuths: the outermost is 1 - cos(pi / 32) short of the end.
    assert abs(ends[0] - ends[1]) == pytest.approx(found["span_kms"], rel=6e-3)
    assert np.sign(ends[0] - ends[1]) == np.sign(swing)  # the leading edge recedes
    # The outermost of the four radii is within 7 % of the edge of a filled disc.
    assert along.max() - along.min() == pytest.approx(found["extent_arcsec"], rel=0.08)


def test_the_ring_is_the_simulators(double):
    own = simulated.bow_ring()
    mean = np.average(own.velocity, weights=own.halpha)
    swing = 0.5 * (own.velocity.max() - own.velocity.min())
    along, speed, light = ring_of(published(v_bow_kms=mean, swing_kms=swing))
    for mine, theirs in (((along, along), (own.along, own.along)),
                         ((speed, speed), (own.velocity, own.velocity)),
                         ((along, speed), (own.along, own.velocity))):  # fmt: skip
        found = np.average(mine[0] * mine[1], weights=light)
        assert found == pytest.approx(
            np.average(theirs[0] * theirs[1], weights=own.halpha), rel=1e-3
        )


@pytest.mark.parametrize(
    ("radius", "share", "span", "step"),
    [(1.5, 0.9, 664.0, 394.0), (1.5, 0.0, 598.0, 269.0), (1.0, 0.0, 499.0, 196.0)],
)
def test_spans_behind_a_point_spread_function_are_those_of_the_table(radius, share, span, step):
    found = bow.derived(published(radius, share), FRAME)
    assert found["span_seen_kms"] == pytest.approx(span, rel=0.01)
    assert found["step_seen_kms"] == pytest.approx(step, rel=0.05)


def test_the_prior_of_the_span_is_what_the_documentation_says():
    """Oracle: the cut Gaussian of the swing, by scipy, folded; docs/chains.md has these numbers."""
    swing = stats.truncnorm(-2.2, 2.2, scale=250.0)
    draws = scene("bow").prior.sample(np.random.default_rng(0), 10_000)
    found = bow.derived(scene("bow").prior.named(draws), FRAME)
    for level, said, seen in ((0.5, 326, 210), (0.975, 971, 790)):
        expected = 2.0 * swing.ppf(0.5 + 0.5 * level)
        assert expected == pytest.approx(said, abs=0.5)
        # Three errors of a median of as many draws are 4 %.
        assert np.quantile(found["span_kms"], level) == pytest.approx(expected, rel=0.04)
        assert np.quantile(found["span_seen_kms"], level) == pytest.approx(seen, rel=0.05)
    assert 2.0 * swing.ppf(0.5125) == pytest.approx(15, abs=0.5)


def test_spans_of_many_draws_are_those_of_each():
    draws = scene("bow").prior.sample(np.random.default_rng(3), 1100)
    values = scene("bow").prior.named(draws.reshape(2, 550, -1))
    found = bow.derived(values, FRAME)
    for place in ((0, 0), (1, 549)):
        one = bow.derived({name: value[place] for name, value in values.items()}, FRAME)
        for name, value in found.items():
            assert value.shape == (2, 550)
            assert value[place] == pytest.approx(float(one[name]), rel=1e-12)
    assert (found["span_seen_kms"] <= found["span_kms"]).all()


def test_the_truth_explains_the_cube_and_another_span_does_not(problem, double):
    """Oracle: chi2 of as many voxels, from whitened residuals; no search."""
    count = problem.cutout.noise.count
    values = {**BOW_TRUTH, "swing_kms": -BOW_TRUTH["swing_kms"]}
    compiled = jax.jit(problem.posterior.chi2)
    chi2, other = (float(compiled(one)) for one in (BOW_TRUTH, values))
    # Amplitudes, 4 lights and 4 backgrounds, are fitted.
    assert chi2 == pytest.approx(count - 8, abs=4.0 * np.sqrt(2.0 * count))
    assert other > 1.5 * count


@pytest.mark.slow
def test_the_truth_is_found_from_draws_of_the_prior(problem, double):
    prior, search = problem.scene.prior, problem.posterior.target
    modes = optimum.find_modes(search, optimum.dispersed(prior, 12, seed=4))
    found = prior.constrain(modes[0].z)
    sd = np.sqrt(np.diag(modes[0].covariance)) * np.exp(prior.log_jacobian(modes[0].z))
    truth = np.array([BOW_TRUTH[name] for name in prior.names])
    # Fourteen numbers of a fixed seed: within 3 of their errors, and the span's within a tenth.
    assert (np.abs(found - truth) < 3.0 * sd).all(), list(zip(prior.names, found, sd, strict=True))
    swing = prior.names.index("swing_kms")
    assert sd[swing] < 30.0
    chi2 = float(problem.posterior.chi2(prior.named(found))) / problem.cutout.noise.count
    assert chi2 == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / problem.cutout.noise.count))


def test_a_cube_that_does_not_say_how_it_lies_has_a_round_point_spread_function(target):
    noise, _ = small_noise()
    cube = blank_cube(noise)
    problem = problem_for(cube, target[2], target[0], scene("bow"))
    assert problem.cutout.frame.aperture_deg is None
    (psf,) = bow.psfs(BOW_TRUTH, problem.cutout.frame)
    assert psf.fwhm_arcsec == psf.fwhm_minor_arcsec == pytest.approx(0.85 * 0.179)


def test_an_unresolved_tip_is_refused_by_the_bow_alone(target):
    cube, noise = at(fwhm_arcsec=0.7)
    with pytest.raises(ArdError, match="does not resolve the tip"):
        problem_for(cube, noise, target[0], scene("bow"))
    assert problem_for(cube, noise, target[0], scene("jump")).cutout.noise.count


@pytest.mark.parametrize(
    ("move", "place"), [((0.0, 0.6 / 3600), "0.0, -0.6"), ((5.0 / 3600, 0.0), "4.9, 0.0")]
)
def test_a_tip_outside_the_field_is_refused(target, move, place):
    cube, noise = at(move=move)
    with pytest.raises(ArdError, match="does not show the tip") as caught:
        problem_for(cube, noise, target[0], scene("bow"))
    # Of the tip itself, not of the middle of the cut-out behind it; 5 arcsec in RA are 4.9.
    assert f"the tip {place} arcsec from their middle" in str(caught.value.found).replace(
        "-0.0", "0.0"
    )


def test_a_masked_tip_is_refused(target):
    mask = np.zeros((26, 9, 9), bool)
    mask[:, 2:7, 2:7] = True
    cube, noise = at(mask=mask)
    with pytest.raises(ArdError, match="hardly any data at the tip"):
        problem_for(cube, noise, target[0], scene("bow"))


def test_hits_are_masked_by_their_errors_and_bright_light_is_not(target, problem):
    """The photons of the brightest voxel make its error three times that of the dark ones."""
    cube = target[1]
    light = np.nan_to_num(np.clip(cube.flux - 0.1, 0.0, None))
    shining = np.array(cube.var) * (1.0 + 8.0 * light / light.max())
    assert problem.cutout.noise.count == problem.cutout.data.size - 2
    for number, var in enumerate((shining, shining.copy())):
        var[10, 4, 4] *= 9.0 if number else 1.0
        found = problem_for(cube.replace(var=var), target[2], target[0], scene("bow"))
        assert found.cutout.noise.count == problem.cutout.noise.count - number


def test_a_start_without_a_value_is_refused_with_its_parameters(double):
    prior = scene("bow").prior
    # Its prior alone has no value there either, and compiles at once.
    search = Target(prior.names, lambda z, _: prior.log_density(z), prior.constrain, ())
    nowhere = np.full((2, len(search.names)), np.nan)
    with pytest.raises(ArdError, match="no value anywhere"):
        optimum.find_modes(search, nowhere)
    value, slope = compiled_value(search.log_density)(as_place(nowhere[0]), search.data)
    with pytest.raises(ArdError, match=r"(?s)cannot start.*swing_kms"):
        require_finite(search, nowhere[0], value, slope)


def test_the_truths_of_the_tests_are_of_their_scenes():
    assert set(BOW_TRUTH) == set(scene("bow").prior.names)
    assert set(TRUTH) == set(scene("jump").prior.names)
    assert len(BOW_FLUX) == scene("bow").n_part
