"""Does `rbh1 campaign export` make products of what lies in the ledger?

Oracles: the toy campaign computed one by one; what was compared with, read back; exit codes.
"""

import json
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

    def compare(likelihood, asked, seed, say):
        Science.compared += 1
        assert (likelihood, asked.injections, seed) == (Science.likelihood, 7, 1)
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


def test_the_kind_of_a_campaign_of_a_table_is_that_of_its_settings():
    """The surface knows no campaign: it holds the word of its own."""
    assert report.TABLE == TABLE
    about = report.Campaign("x", 3, 1, {"kind": TABLE}, "0" * 64)
    assert not about.drawn


def test_what_was_compared_with_is_read_back():
    for given in (GIVEN, Given()):
        assert campaign_export.given_from(json.loads(json.dumps(asdict(given)))) == given


def test_what_is_compared_is_what_was_asked_for(monkeypatch):
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

        def calibrate(self, count, seed, strength):
            asked.append((count, seed, strength))
            return SimpleNamespace(
                threshold=56.05,
                level=0.95,
                values=np.arange(float(count)),
                converged=np.arange(count) < count - 4,
            )

        def others(self, shown, count, seed):
            asked.append((shown, count, seed))
            return np.array([56.0, *np.full(count - 1, 56.1)])

    def best_scene(likelihood, n_start, seed):
        asked.append((n_start, seed))
        return SimpleNamespace(scene="bow", log_likelihood=-4.0, n_found=3, shown="a bow")

    monkeypatch.setattr(reference, "best_scene", best_scene)
    monkeypatch.setattr(calibrate, "Judge", Judge)
    likelihood = SimpleNamespace(seen=SimpleNamespace(noise=SimpleNamespace(count=100)))
    said = []
    whole = campaign_export.Asked(8, 60)
    given = campaign_export.compare(likelihood, whole, 5, said.append)
    assert asked == [(8, 5), likelihood, (60, 5, 4.0), ("a bow", 6, 5)]
    assert given.reference.kind == "bow shock"
    assert (given.saturated.chi2, given.saturated.dof) == (9.0, 69.5)
    assert (given.calibration.quantile, given.calibration.n_disc) == (56.05, 60)
    # If the four largest, of searches that did not converge, were the smallest instead: of 60
    # the largest bounds the 95 % quantile.
    assert given.calibration.quantile_low == 55.0
    assert (given.calibration.n_bow, given.calibration.n_bow_rejected) == (6, 5)
    assert given.refined.ends == (-6.0, -6.5)
    assert len(said) == 4
    # Without a bow shock nobody knows whether the test would reject one.
    alone = campaign_export.compare(likelihood, campaign_export.Asked(0, 60), 5, said.append)
    assert np.isnan(alone.calibration.power)
    nothing = campaign_export.Asked(0, 0, disc=False)
    assert campaign_export.compare(likelihood, nothing, 5, said.append) == Given()
