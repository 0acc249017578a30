"""Is a disc taken for a disc, and a bow shock not?

Oracles: scipy's least squares for the saturated scene; the noise's own whitener for what is drawn;
Freeman's disc as reference/science.md section 4 has it; injections of discs for the threshold, and
the scene that a cube was drawn from.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from falsify_discs import SETTINGS, curve_of, galaxy_at
from precision import x64
from scipy import stats
from small_fit import BOW_FLUX, BOW_TRUTH, PA_APER_DEG, drawn_from

from manifests.target import load_target
from pipeline.falsify.cube import calibrate
from pipeline.falsify.cube.calibrate import Judge
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.falsify.cube.reference import best_scene
from pipeline.falsify.cube.saturated import line_profiles
from pipeline.reduce.apertures.covariance import GivenNoise

# How well the light tells where it ends: to a part of the width of the point-spread function within
# the cut-out; and of one that ends beyond only that it does.
ENDS_WITHIN = {-2.0: 1.0, 6.0: 8.0}


@pytest.fixture(autouse=True)
def double():
    with x64(True):
        yield


@pytest.fixture(scope="module")
def likelihood(tmp_path_factory):
    """The cube of a bow shock."""
    place = tmp_path_factory.mktemp("bow") / "test.toml"
    with x64(True):
        cube, noise = drawn_from("bow", BOW_TRUTH, BOW_FLUX, place, PA_APER=PA_APER_DEG)
        given = GivenNoise(noise, "t001_noise.fits")
        yield DiscLikelihood(cube, given, load_target(place), SETTINGS)


@pytest.fixture(scope="module")
def judge(likelihood):
    with x64(True):
        yield Judge(likelihood)


@pytest.mark.parametrize("count", [59, 100, 200])
def test_the_threshold_is_below_the_quantile_in_one_of_twenty_calibrations_at_most(count):
    """Oracle: draws of a known distribution; the false alarm is that of 3 errors of 2,000."""
    values = np.random.default_rng(7).random((2000, count))
    found = [calibrate.Calibration(one, np.ones(count, bool), 1, 1.0).threshold for one in values]
    assert np.mean(np.array(found) >= 0.95) >= 0.95 - 3.0 * np.sqrt(0.95 * 0.05 / 2000)


def test_the_threshold_of_few_injections_is_their_largest():
    values = np.random.default_rng(8).random(58)
    assert calibrate.bound_of(values) == values.max()
    # Of 59 the largest is above the quantile with 1 - 0.95^59 = 0.952; of 58 with 0.949.
    assert calibrate.bound_of(np.arange(59.0)) == 58.0
    assert calibrate.bound_of(np.arange(93.0)) == 91.0


def test_noise_that_is_drawn_is_that_of_the_cut_out(likelihood):
    noise = likelihood.seen.noise
    drawn = [calibrate.drawn_noise(noise, np.random.default_rng(i)) for i in range(50)]
    white = np.asarray(likelihood.data.white(np.stack(drawn)))
    drawn = [one / noise.sigma for one in drawn]
    chi2 = (white**2).sum()
    assert stats.chi2(50 * noise.count).cdf(chi2) == pytest.approx(0.5, abs=0.4999)
    pairs = np.mean([(one[:, :, 1:] * one[:, :, :-1]).mean() for one in drawn])
    assert pairs / np.mean(np.square(drawn)) == pytest.approx(0.3, abs=0.01)


def test_the_saturated_scene_is_the_least_squares_of_its_light(likelihood, judge):
    """Oracle: numpy's lstsq, with the prior as further data, and without."""
    data = likelihood.data
    places = np.eye(data.data.size // 17)[:, None].reshape(81, 1, 9, 9)
    columns = [
        np.asarray(data.white(profile[:, None, None] * places))
        for profile in line_profiles(likelihood, -800.0, 400.0)
    ]
    basis = np.concatenate([data.fixed, *columns]).T
    white = np.asarray(likelihood.white)
    widths = np.r_[data.sigma[data.n_line :], np.full(basis.shape[1] - 6, data.sigma[0])]
    chi2 = judge.saturated.chi2(likelihood)
    # Backgrounds are in widths of their prior already.
    further = np.diag(np.where(np.arange(widths.size) < 6, 1.0, 1.0 / widths))
    whole = np.concatenate([basis, further])
    found, *_ = np.linalg.lstsq(whole, np.r_[white, np.zeros(widths.size)], rcond=None)
    left = white - basis @ found
    assert chi2 == pytest.approx(left @ left, rel=1e-6)
    least, *_ = np.linalg.lstsq(basis, white, rcond=1e-10)
    left = white - basis @ least
    assert left @ left < chi2 < 1.02 * (left @ left)
    size2 = np.linalg.svd(basis * np.where(np.arange(widths.size) < 6, 1.0, widths))[1] ** 2
    assert judge.saturated.n_free == pytest.approx((size2 / (1.0 + size2)).sum(), abs=0.01)
    # Of noise alone it leaves the voxels that it does not use up.
    count = likelihood.seen.noise.count - judge.saturated.n_free
    chi2 = [
        judge.saturated.chi2(
            likelihood.with_data(
                calibrate.drawn_noise(likelihood.seen.noise, np.random.default_rng(i))
            )
        )
        for i in range(40)
    ]
    assert np.mean(chi2) == pytest.approx(count, abs=4.0 * np.sqrt(2.0 * count / 40))


def test_curves_that_are_injected_are_those_of_disc_and_halo(likelihood):
    """Oracle: Freeman's disc of science.md section 4, M = 3e9 Msun, R_d = 6 kpc."""
    radius = np.array([2.0, 5.0, 10.0, 12.9, 20.0])
    highest = 0.8798 * np.sqrt(4.300917e-6 * 3e9 / (2.0 * 6.0))
    speed = highest * np.sqrt(calibrate._freeman(radius / 12.0))
    assert speed == pytest.approx([13.19, 22.60, 28.27, 28.85, 27.02], abs=0.01)
    assert calibrate._halo(np.array([1e-3, 1e3])) == pytest.approx([0.0, 1.0], abs=2e-3)
    for number in range(20):
        model, curve = calibrate.galaxy_of(likelihood, np.random.default_rng(number))
        end = model.parameters["centre_kpc"] + curve.radius_kpc[-1]
        tip = likelihood.away_arcsec * likelihood.seen.frame.kpc_per_arcsec
        assert end == pytest.approx(tip, abs=2.5)
        assert 60.0 <= curve.rotation_kms.max() <= 200.0
        assert curve.rotation_kms[0] < 1.0


def test_an_injection_follows_from_its_number_and_is_as_bright_as_asked(likelihood):
    first, again, other = (calibrate.injected(likelihood, 200.0, 3, number) for number in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    noise, count = likelihood.seen.noise, likelihood.seen.noise.count
    chi2 = calibrate.strength_of(likelihood, np.where(noise.mask, 0.0, first)) ** 2
    assert chi2 == pytest.approx(200.0**2 + count, abs=5.0 * np.sqrt(4.0 * 200.0**2 + 2.0 * count))


def test_a_disc_is_found_and_is_a_galaxy_of_the_campaign(likelihood, judge):
    """Oracles: T of as many amplitudes; the cube of the galaxy that the search says it found."""
    other = likelihood.with_data(calibrate.injected(likelihood, 250.0, 1, 0))
    found = judge.statistic(other)
    free = judge.saturated.n_free
    # Where a disc is the truth, T is chi2 of what the saturated scene has more than a disc of 20.
    assert found.value == pytest.approx(free - 20.0, abs=4.0 * np.sqrt(2.0 * free))
    refined = found.disc
    assert refined.evaluation.converged
    assert refined.ends == tuple(sorted(refined.ends, reverse=True))
    light = other.templates(refined.model, refined.curve, refined.evaluation.nuisances)
    amplitudes = other.data.amplitudes(light, other.white)
    best = np.einsum("n,nkyx->kyx", amplitudes, np.concatenate([light, other.data.smooth]))
    left = np.asarray(other.white) - np.asarray(other.data.white(best))
    assert left @ left == pytest.approx(refined.evaluation.chi2, abs=0.1)


@pytest.mark.parametrize("ahead_kpc", [-2.0, 6.0])
def test_a_disc_that_ends_elsewhere_than_at_the_tip_is_found(likelihood, judge, ahead_kpc):
    """Oracle: construction; it ends within the cut-out, or goes through it to beyond."""
    galaxy, curve = galaxy_at(likelihood, ahead_kpc=ahead_kpc, h_z_kpc=0.5), curve_of()
    prior = likelihood.prior
    middles = prior.named(prior.sample(np.random.default_rng(5), 1)[0])
    light = likelihood.templates(galaxy, curve, middles).sum(axis=0)
    light = light * (250.0 / calibrate.strength_of(likelihood, light))
    data = light + calibrate.drawn_noise(likelihood.seen.noise, np.random.default_rng(6))
    found = judge.statistic(likelihood.with_data(data))
    free = judge.saturated.n_free
    assert found.value == pytest.approx(free - 20.0, abs=4.0 * np.sqrt(2.0 * free))
    assert found.disc.parameters["end_kpc"] == pytest.approx(ahead_kpc, abs=ENDS_WITHIN[ahead_kpc])


def test_what_is_no_disc_is_injected_with_noise_of_its_own(likelihood, judge, monkeypatch):
    """Oracles: the whitener of the noise; the noise of discs of the same seed and numbers."""
    seen = []
    monkeypatch.setattr(
        judge, "statistic", lambda other: seen.append(other.white) or SimpleNamespace(value=3.0)
    )
    light = likelihood.seen.data
    assert judge.others(light, 3, 4).tolist() == [3.0] * 3
    judge.others(light, 1, 4)
    noise = [np.asarray(white - likelihood.data.white(light)) for white in seen]
    assert np.array_equal(noise[0], noise[3])
    count = likelihood.seen.noise.count
    chi2 = sum((one**2).sum() for one in noise[:3])
    assert chi2 == pytest.approx(3 * count, abs=5.0 * np.sqrt(6.0 * count))
    rng = np.random.default_rng([4, 0])
    of_a_disc = np.ravel(likelihood.data.white(calibrate.drawn_noise(likelihood.seen.noise, rng)))
    for other in (noise[1], of_a_disc):
        assert abs(noise[0] @ other) < 5.0 * np.sqrt(count)


@pytest.mark.slow
def test_a_bow_shock_is_no_disc(likelihood, judge):
    """Oracles: the scene the cube was drawn from; T of eight discs is chi2 of known degrees."""
    strength = judge.strength()
    # What the data have of light: all, less noise and background.
    light = calibrate.background_chi2(likelihood) - likelihood.seen.noise.count
    assert strength == pytest.approx(np.sqrt(light), rel=0.05)
    found = judge.calibrate(8, 1, strength)
    free = judge.saturated.n_free - 7
    within = 7.5 + 4.0 * np.sqrt(2.0 * free / 8)
    assert np.mean(found.values) == pytest.approx(free - 7.5, abs=within)
    bow = judge.statistic()
    assert found.rejects(bow.value)
    assert bow.value > 10.0 * found.values.max()
    best = best_scene(likelihood, n_start=3, seed=4)
    count = likelihood.seen.noise.count
    assert best.chi2 == pytest.approx(count - 8, abs=4.0 * np.sqrt(2.0 * count))
    assert best.log_likelihood > bow.disc.evaluation.log_likelihood + 1e4
    left = np.asarray(likelihood.white) - np.ravel(likelihood.data.white(best.shown))
    assert left @ left == pytest.approx(best.chi2, rel=1e-4)
    assert found.rejects(judge.others(best.shown, 1, 1)[0])


@pytest.mark.long
def test_of_fifty_discs_forty_four_survive_and_a_bow_shock_does_not(likelihood, judge):
    """The threshold is that of 200 other discs: 47.5 of 50 are expected, 44 in 96 of 100."""
    strength = judge.strength()
    found = judge.calibrate(200, 2, strength)
    others = judge.calibrate(50, 2, strength, first=200)
    survive = sum(not found.rejects(value) for value in others.values)
    bow = judge.statistic()
    print(f"threshold {found.threshold:.1f}, {survive} of 50 survive, bow {bow.value:.0f}")
    # On the average T is chi2 of as many numbers as the saturated scene has more than a disc, which
    # has 7 amplitudes and what the data tell of 15 parameters.
    free = judge.saturated.n_free - 7
    assert np.mean(found.values) == pytest.approx(free - 7.5, abs=7.5 + 4.0 * np.sqrt(free / 100))
    assert survive >= 44
    assert found.rejects(bow.value)
    # What the family reached, galaxies of a campaign reach at the same place, and no more.
    (again,) = likelihood.evaluate([bow.disc.model], [bow.disc.curve])
    assert again.chi2 > bow.disc.evaluation.chi2 - 1.0
