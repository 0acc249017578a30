"""Is ln L of a galaxy that of its disc, at the best nuisances, alone and with others?

Oracles: the posterior of `pipeline.infer`, where the whole disc is counted anew; the disc that the
cube was drawn from; closed forms of places on the sky.
"""

import dataclasses

import jax
import numpy as np
import pytest
from falsify_discs import SETTINGS, curve_of, galaxy_at, true_disc
from precision import x64
from small_fit import DISC_TRUTH, ITEM, write_fit_run

from ard.errors import ArdError
from pipeline.falsify.cube import placing
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.falsify.cube.render import render
from pipeline.falsify.tasks import Curve
from pipeline.infer import bow
from pipeline.infer.fit import problem_for
from pipeline.infer.scenes import scene
from pipeline.scene.cube import Fine, count_disc
from pipeline.scene.disc import Sampler


@pytest.fixture(autouse=True)
def double():
    with x64(True):
        yield


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    with x64(True):
        return write_fit_run(tmp_path_factory.mktemp("run") / "run", "disc")


@pytest.fixture(scope="module")
def likelihood(run_folder):
    """Compiled once."""
    with x64(True):
        yield DiscLikelihood.from_item(run_folder, ITEM, SETTINGS)


@pytest.fixture(scope="module")
def some(likelihood):
    """The truth, and galaxies that are wrong in different ways, with their evaluations."""
    with x64(True):
        model, curve = true_disc(likelihood)
        models = [
            model,
            dataclasses.replace(model, number=1, parameters={**model.parameters, "spin": 0.3}),
            galaxy_at(likelihood, number=2, ahead_kpc=-2.0, inclination_deg=80.0, h_z_kpc=0.5),
            galaxy_at(likelihood, number=3, ahead_kpc=-30.0),
        ]
        curves = [curve, curve, curve_of(170.0, 1.5), curve_of()]
        yield models, curves, likelihood.evaluate(models, curves)


def slow_problem(likelihood, model, curve):
    """Hold the same disc as a scene: place, velocity and turn go into the disc that is counted."""
    place, tables = placing.place_of(model), placing.tables_of(curve)

    def parts(values, frame, line_model):
        still = placing.disc_of(place, tables, values["turn_deg"], frame, likelihood.away_arcsec)
        tip = frame.place(0.0, 0.0)
        x, y = frame.place(values["along_arcsec"], values["across_arcsec"])
        disc = dataclasses.replace(
            still,
            x_arcsec=still.x_arcsec + x - tip[0],
            y_arcsec=still.y_arcsec + y - tip[1],
            v_sys_kms=values["v_sys_kms"],
        )
        sampler = Sampler(line_model.sky, 24)
        # Fluxes are those in the cut-out, had the telescope pointed where it says.
        whole = count_disc(line_model, sampler, still).light.sum()
        return (Fine(count_disc(line_model, sampler, disc).light / whole),)

    one = dataclasses.replace(scene("disc"), prior=likelihood.prior, parts=parts, psfs=bow.psfs)
    parts_of = (likelihood.cube, likelihood.noise, likelihood.target)
    return problem_for(*parts_of, one, SETTINGS.cut)


def test_it_is_the_posterior_of_the_disc_at_its_highest(likelihood, some):
    model, curve, found = (one[2] for one in some)
    problem = slow_problem(likelihood, model, curve)

    @jax.jit
    def slow(values):
        result = problem.posterior.posterior.evaluate(values)
        prior = likelihood.prior.log_prior(np.array(0.0) + _stacked(likelihood, values)).sum()
        return result.log_likelihood, result.chi2, result.log_likelihood + prior

    log_likelihood, chi2, best = (float(one) for one in slow(found.nuisances))
    # Numbers of 1e3 to 1e4, from another grid of velocities, thrice the depths, and the disc moved
    # over its sub-spaxels: what those are off by is below 5e-4 of the light.
    misfit = abs(found.chi2 - likelihood.seen.noise.count)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.2 + 1e-3 * misfit)
    assert found.chi2 == pytest.approx(chi2, abs=0.4 + 2e-3 * misfit)
    # It is the best: a step of a tenth of the prior either way is worse.
    for parameter in likelihood.prior.parameters:
        low, high = parameter.family.support
        for step in (-0.1, 0.1):
            moved = found.nuisances[parameter.name] + step * (high - low)
            if low < moved < high:
                other = float(slow({**found.nuisances, parameter.name: moved})[2])
                assert other < best + 0.2, parameter.name


def _stacked(likelihood, values):
    return jax.numpy.stack([values[name] for name in likelihood.prior.names])


def test_the_truth_is_found_and_what_is_wrong_is_worse(likelihood, some):
    """Oracle: the disc that the cube was drawn from; chi2 of as many voxels."""
    _, _, (true, mirrored, other, away) = some
    count = likelihood.seen.noise.count
    assert true.converged
    assert true.chi2 == pytest.approx(count - 12, abs=4.0 * np.sqrt(2.0 * count))
    for name, within in (("v_sys_kms", 15.0), ("along_arcsec", 0.05), ("across_arcsec", 0.03)):
        assert true.nuisances[name] == pytest.approx(DISC_TRUTH[name], abs=within)
    # What recedes and what approaches, a cut-out about one end cannot tell from the velocity of the
    # whole: that of a disc that turns the other way is 2 x 110 tanh(R / turnover) x/R off.
    assert mirrored.log_likelihood == pytest.approx(true.log_likelihood, abs=5.0)
    assert mirrored.nuisances["v_sys_kms"] == pytest.approx(-180.0 - 200.0, abs=20.0)
    # A galaxy that ends 4 arcsec before the tip has no light in the field.
    assert away.log_likelihood < other.log_likelihood - 20.0
    assert other.log_likelihood < true.log_likelihood - 5.0
    assert away.converged


def test_a_galaxy_is_the_same_to_the_last_bit_whatever_it_is_computed_with(likelihood, some):
    models, curves, together = some
    for number in (2, 0):
        (alone,) = likelihood.evaluate(models[number : number + 1], curves[number : number + 1])
        assert alone == together[number]
    backwards = likelihood.evaluate(models[2:0:-1], curves[2:0:-1])
    assert backwards == [together[2], together[1]]
    data = np.where(likelihood.seen.noise.mask, 7.0, likelihood.seen.data)
    (again,) = likelihood.with_data(data).evaluate(models[:1], curves[:1])
    assert again == together[0]


@pytest.mark.slow
def test_many_at_a_time_are_what_each_is_alone(likelihood, some):
    """As on an accelerator; three galaxies in batches of two."""
    models, curves, apart = some
    asked = [likelihood._extra(*one) for one in zip(models[:3], curves[:3], strict=True)]
    tops = list(likelihood._together(asked))
    for number, top in enumerate(tops):
        found = likelihood._evaluation(number, top)
        assert found.converged == apart[number].converged
        assert found.log_likelihood == pytest.approx(apart[number].log_likelihood, abs=0.05)
    assert len(tops) == 3


def test_what_is_rendered_is_what_was_held_against_the_data(likelihood, some):
    models, curves, found = some
    shown = render(likelihood, models[0], curves[0], found[0])
    seen = likelihood.seen
    assert (shown.residual**2).sum() == pytest.approx(found[0].chi2, rel=1e-4)
    assert shown.cube.shape[1:] == seen.data.shape[1:]
    assert not shown.cube.mask[shown.channels].any()
    assert np.delete(shown.cube.mask, shown.channels, axis=0).all()
    # The cube again, from what it was drawn: a background of 0.1 MJy/sr.
    background = (shown.cube.flux - shown.light)[shown.channels]
    assert background == pytest.approx(0.1, abs=0.02)
    data = likelihood.cube.flux[shown.channels][:, shown.rows, shown.columns]
    left = (data - shown.cube.flux[shown.channels])[~np.asarray(seen.noise.mask)]
    assert left.std() == pytest.approx(0.02, rel=0.1)
    # At the end of a disc whose tip approaches: v_sys - 110 km/s, smeared over the disc's depth.
    tip = np.unravel_index(np.nanargmax(shown.motion["light"]), shown.motion.shape)
    velocity = shown.motion["velocity"]
    assert -300.0 < np.nanmin(velocity) < velocity[tip] < -180.0
    assert np.nanmedian(shown.motion["dispersion"]) == pytest.approx(45.0, abs=15.0)


def test_places_on_the_sky_are_those_of_host_and_tip(likelihood):
    """Oracle: spherical trigonometry of the declared positions; 7.937 kpc to the arcsec."""
    target = likelihood.target
    ra, dec = (np.deg2rad([getattr(p, name) for p in (target.host, target.tip)])
               for name in ("ra_deg", "dec_deg"))  # fmt: skip
    chord = np.sin(dec).prod() + np.cos(dec).prod() * np.cos(ra[1] - ra[0])
    assert likelihood.away_arcsec == pytest.approx(np.rad2deg(np.arccos(chord)) * 3600, rel=1e-4)
    model = galaxy_at(likelihood, radius_kpc=7.937, offset_kpc=0.7937, spin=0.0)
    frame, tables = likelihood.seen.frame, placing.tables_of(curve_of())
    place = placing.place_of(model)
    assert place[-1] == 1.0
    angle = np.deg2rad(frame.angle_deg)
    for turn in (0.0, 5.0):
        disc = placing.disc_of(place, tables, turn, frame, likelihood.away_arcsec)
        # From the tip: 1 arcsec back along the line and 0.1 to the left of it, turned about it.
        back = np.array([np.sin(angle), -np.cos(angle)])
        left = np.array([-np.cos(angle), -np.sin(angle)])
        away = 1.0 * back + 0.1 * left
        cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        turned = np.array([cos * away[0] - sin * away[1], sin * away[0] + cos * away[1]])
        found = [float(disc.x_arcsec) - frame.x_arcsec, float(disc.y_arcsec) - frame.y_arcsec]
        assert found == pytest.approx(turned, abs=1e-4)
        assert float(disc.pa_deg) == pytest.approx(frame.angle_deg + turn)


def test_galaxies_that_cannot_be_held_are_refused(likelihood, some, run_folder):
    models, curves, found = some
    lost = dataclasses.replace(models[0], parameters={"spin": 1.0, "centre_kpc": np.nan})
    with pytest.raises(ArdError, match="has no place") as caught:
        likelihood.evaluate([lost], curves[:1])
    assert "centre_kpc, offset_kpc, inclination_deg, h_z_kpc" in str(caught.value.found)
    fast = curve_of(v_max_kms=900.0)
    with pytest.raises(ArdError, match="grid of velocities does not hold"):
        likelihood.evaluate(models[:1], [fast])
    for name, values in (("rotation_kms", np.nan), ("brightness", 0.0), ("radius_kpc", 3.0)):
        wrong = {f.name: getattr(curves[0], f.name) for f in dataclasses.fields(Curve)}
        wrong[name] = np.full(64, values)
        with pytest.raises(ArdError, match="motion of galaxy 0 is none"):
            likelihood.evaluate(models[:1], [Curve(**wrong)])
    bare = dataclasses.replace(found[0], nuisances={"v_sys_kms": 0.0})
    with pytest.raises(ArdError, match="one of another likelihood"):
        render(likelihood, models[0], curves[0], bare)
    with pytest.raises(ArdError, match="no tip"):
        placing.host_arcsec(dataclasses.replace(likelihood.target, tip=None))
    with pytest.raises(ArdError, match="item"):
        DiscLikelihood.from_item(run_folder, "t009")


def test_it_is_refused_in_single_precision(run_folder):
    with x64(False), pytest.raises(ArdError, match="no digits left"):
        DiscLikelihood.from_item(run_folder, ITEM)
