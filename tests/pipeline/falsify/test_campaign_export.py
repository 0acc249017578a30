"""Does `rbh1 campaign export` make products of what lies in the ledger?

Oracles: the toy campaign computed one by one; what was compared with, read back; exit codes.
"""

import json
from contextlib import closing
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table
from campaign_runs import ToyRenderer, write_run
from campaigns import CALIBRATION, REFERENCE, REFINED, SATURATED
from click.testing import CliRunner
from precision import x64
from runs import PNG
from toy_campaign import Toy

import ard
from pipeline import cli
from pipeline.commands import campaign_export, campaign_science
from pipeline.commands.campaign_compare import Asked, Kept, compare
from pipeline.falsify.campaign import settings
from pipeline.falsify.campaign.ledger import open_ledger
from pipeline.falsify.campaign.settings import TABLE
from pipeline.falsify.cube import calibrate, reference
from pipeline.falsify.surface import report
from pipeline.falsify.surface.export import Given, label_of
from pipeline.falsify.tasks import Model
from pipeline.figures import campaign as drawing
from pipeline.figures import residuals

GIVEN = Given(REFERENCE, SATURATED, CALIBRATION, REFINED)
N = 60


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A run, and a science whose galaxies are toys; figures are not drawn."""
    for name in ("RBH1_DATABASE_URL", "RBH1_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    real = campaign_science.CampaignScience

    class Science(Toy, real):
        compared = 0
        likelihood = "of the toys"
        wrong_numbers: dict = {}  # noqa: RUF012 (set by tests)

        def __init__(self, *given, **named):
            real.__init__(self, *given, **named)
            Toy.__init__(self, wrong=self.wrong_numbers)

        def render(self, model, curve, evaluation):
            # The very curve that it was evaluated with.
            assert np.array_equal(curve.rotation_kms, self.motion(model).curve.rotation_kms)
            return ToyRenderer()(Model(model.number, {"gas_fraction": 0.5}), evaluation)

    def compare(likelihood, asked, seed, keep, say):
        def ask():
            Science.compared += 1
            return "hours later"

        assert (likelihood, asked.injections, seed) == (Science.likelihood, 7, 1)
        keep("the toys", ask)
        return GIVEN

    monkeypatch.setattr(campaign_science, "CampaignScience", Science)
    monkeypatch.setattr(campaign_export, "compare", compare)
    drawn = {"figure": PNG, "data": ard.Table(Table({"x": [1.0]}), {"SIMULATD": True})}
    for name in ("profiles", "pairs", "filters"):
        monkeypatch.setattr(drawing, name, lambda **_: drawn)
    monkeypatch.setattr(residuals, "run", lambda **_: drawn)
    with x64(True):
        yield SimpleNamespace(root=write_run(tmp_path / "run"), science=Science)


def rbh1(*words, code=0):
    done = CliRunner().invoke(cli.cli, ["campaign", *map(str, words)])
    assert done.exit_code == code, done.stderr + done.stdout
    return done


def test_what_lies_in_the_ledger_ends_among_the_products(run_folder):
    root = run_folder.root
    rbh1("create", root, "--item", "t001", "--models", N)
    rbh1("work", root, "--role", "all")
    words = ("export", root, "--injections", 7, "--best", 2, "--spread", 1)
    told = json.loads(rbh1(*words, "--json").stdout)
    assert told["complete"] is True
    toy = Toy()
    motions = toy.motions(toy.propose(range(N)))
    possible = [one.number for one in motions if one.possible]
    assert told["counts"] == {
        "n": N,
        "n_rejected": N - len(possible),
        "n_evaluated": len(possible),
        "n_unconverged": sum(number % 2 == 1 for number in possible),
    }
    (path,) = (path for name, path in told["paths"].items() if "evaluations" in name)
    table = Table.read(path, hdu=1)
    assert table["number"].tolist() == list(range(N))
    assert table["rejected_by"][35] == "disc,toomre"
    surface = ard.io.read_json(told["paths"][f"validation/t001_surface-{label_of('edge-on')}.json"])
    assert surface["campaign"]["name"] == "edge-on"
    assert surface["reference"] == asdict(REFERENCE)
    kept = [row["number"] for row in surface["kept"]["rows"]]
    found = toy.evaluate(toy.propose(possible), [motions[n].curve for n in possible])
    best = sorted((one for one in found if one.converged), key=lambda one: -one.log_likelihood)
    assert kept == [one.number for one in best[:2]]
    # What was compared with is kept.
    assert "60 of 60 galaxies" in rbh1(*words).stdout
    assert run_folder.science.compared == 1


def test_a_campaign_that_is_not_complete_is_exported_and_ends_with_1(run_folder):
    root = run_folder.root
    rbh1("create", root, "--item", "t001", "--models", N)
    words = ("export", root, "--injections", 7)
    empty = rbh1(*words, code=3)
    assert "these are not the models of the campaign" in empty.stderr
    assert run_folder.science.compared == 0  # that would have taken hours
    run_folder.science.wrong_numbers = {8: ValueError("a bad day")}
    rbh1("work", root, "--role", "all", code=1)
    told = rbh1(*words, code=1)
    assert "not complete" in told.stderr
    assert "NOT EVALUATED" in told.stdout


@pytest.mark.parametrize("what", ["settings", "code", "dynamics", "likelihood"])
def test_another_version_exports_nothing(run_folder, monkeypatch, what):
    """It would draw other galaxies beside the answers that are there; it changes nothing."""
    root = run_folder.root
    rbh1("create", root, "--item", "t001", "--models", N)
    rbh1("work", root, "--role", "all")
    real = settings.present_versions

    def newer(role):
        return {**real(role), "numpy": "99"} if role == what else real(role)

    with monkeypatch.context() as patched:
        if what == "settings":  # another version of the code has another default
            patched.setattr(settings.Settings, "sha256", "other")
        elif what == "code":
            patched.setattr(settings, "present_code", lambda: "other")
        else:
            patched.setattr(settings, "present_versions", newer)
        told = rbh1("export", root, "--injections", 7, code=3).stderr
    named = {"settings": "settings", "code": "lines of code"}.get(what, f"versions for '{what}'")
    assert f"this export's {named}" in told
    assert "not those of the campaign 'edge-on'" in told
    assert run_folder.science.compared == 0
    with closing(open_ledger(folder=root, environment={})) as ledger:
        kept = ledger.versions(ledger.campaign("edge-on"))
    assert kept == {role: settings.present_versions(role) for role in ("dynamics", "likelihood")}


def test_the_kind_of_a_campaign_of_a_table_is_that_of_its_settings():
    """The surface knows no campaign: it holds the word of its own."""
    assert report.TABLE == TABLE
    about = report.Campaign("x", 3, 1, {"kind": TABLE}, "0" * 64)
    assert not about.drawn


def test_what_was_compared_with_is_that_of_the_versions(tmp_path, monkeypatch):
    """Another JAX may find another best disc."""
    campaign = SimpleNamespace(name="a", config_sha256="1", settings=SimpleNamespace(seed=1))
    science = SimpleNamespace(likelihood="of the toys")
    found = []

    def given():
        keep = campaign_export._given(science, campaign, tmp_path, Asked(), found.append)
        return keep("how much", lambda: len(found))

    monkeypatch.setattr(campaign_export, "compare", lambda *given: given[3])
    assert given() == 0
    found.append("more")
    assert given() == 0
    monkeypatch.setattr(campaign_export, "present_versions", lambda role: {role: "99"})
    assert given() == 1


def test_what_is_compared_is_what_was_asked_for(monkeypatch, tmp_path):
    """Oracle: stand-ins for the searches, which note what they are asked."""
    evaluation = SimpleNamespace(log_likelihood=-5.0, chi2=12.0, converged=True)
    disc = SimpleNamespace(parameters={"r": 1.0}, evaluation=evaluation, ends=(-6.0, -6.5))
    asked = []

    class Judge:
        saturated = SimpleNamespace(n_free=30.5)

        def __init__(self, likelihood):
            asked.append(likelihood)

        def statistic(self):
            return SimpleNamespace(disc=disc, chi2_saturated=9.0)

        def strength(self):
            return 4.0

        def calibrate(self, count, seed, strength, first):
            assert (count, seed, strength) == (1, 5, 4.0)
            asked.append(first)
            return calibrate.Calibration(np.array([float(first)]), np.array([first < 56]), 5, 4.0)

        def others(self, shown, count, seed):
            asked.append((shown, count, seed))
            return np.array([59.0, *np.full(count - 1, 59.1)])

    def best_scene(likelihood, n_start, seed):
        asked.append((n_start, seed))
        return SimpleNamespace(scene="bow", log_likelihood=-4.0, n_found=3, shown="a bow")

    monkeypatch.setattr(reference, "best_scene", best_scene)
    monkeypatch.setattr(calibrate, "Judge", Judge)
    likelihood = SimpleNamespace(seen=SimpleNamespace(noise=SimpleNamespace(count=100)))
    said, kept = [], tmp_path / "kept" / "of-a.json"

    def given(*words, seed=5, **more):
        asked.clear()
        return compare(likelihood, Asked(*words, **more), seed, Kept(kept), said.append)

    found = given(8, 60)
    assert asked == [(8, 5), likelihood, *range(60), ("a bow", 6, 5)]
    assert found.reference.kind == "bow shock"
    assert (found.saturated.chi2, found.saturated.dof) == (9.0, 69.5)
    assert (found.calibration.quantile, found.calibration.n_disc) == (59.0, 60)
    # If the four largest, of searches that did not converge, were the smallest instead: of 60
    # the largest bounds the 95 % quantile.
    assert found.calibration.quantile_low == 55.0
    assert (found.calibration.n_bow, found.calibration.n_bow_rejected) == (6, 5)
    assert found.refined.ends == (-6.0, -6.5)
    assert said[-2] == "galaxy 60/60 is injected: T = 59.0"
    # What was found is not asked for again, whatever is asked for besides.
    assert (given(8, 60), asked) == (found, [])
    more = given(8, 62)
    assert asked == [likelihood, 60, 61, (8, 5), ("a bow", 7, 5)]
    assert (more.calibration.quantile, more.calibration.n_bow) == (61.0, 7)
    # Without a bow shock nobody knows whether the test would reject one.
    alone = given(0, 60)
    assert (asked, np.isnan(alone.calibration.power)) == ([], True)
    assert given(0, 0, disc=False) == Given()


def test_an_export_that_is_killed_loses_one_injection(tmp_path, monkeypatch):
    """Oracle: which injections are asked for, before and after."""
    asked = []

    class Judge:
        saturated = SimpleNamespace(n_free=1.0)

        def __init__(self, likelihood):
            pass

        def statistic(self):
            evaluation = SimpleNamespace(log_likelihood=-5.0, chi2=12.0, converged=True)
            disc = SimpleNamespace(parameters={}, evaluation=evaluation, ends=(-6.0,))
            return SimpleNamespace(disc=disc, chi2_saturated=9.0)

        def strength(self):
            return 4.0 + len(asked)  # as another machine would round it

        def calibrate(self, count, seed, strength, first):
            asked.append((first, strength))
            if len(asked) == 8:
                raise KeyboardInterrupt
            return calibrate.Calibration(np.array([1.0 + first]), np.array([True]), seed, strength)

    monkeypatch.setattr(calibrate, "Judge", Judge)
    likelihood = SimpleNamespace(seen=SimpleNamespace(noise=SimpleNamespace(count=10)))

    def given():
        kept = Kept(tmp_path / "kept.json")
        return compare(likelihood, Asked(0, 12), 1, kept, lambda _: None)

    with pytest.raises(KeyboardInterrupt):
        given()
    assert given().calibration.quantile == 12.0
    assert asked == [(number, 4.0) for number in (*range(8), *range(7, 12))]
