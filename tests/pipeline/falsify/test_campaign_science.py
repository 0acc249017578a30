"""Does a worker compute what the settings of its campaign say?

Oracles: the science asked directly, with the same settings.
"""

import json
import math

import pytest
from toy_campaign import toy_settings

from pipeline.commands import fit_scene
from pipeline.commands.campaign_science import CampaignScience
from pipeline.falsify.campaign.rows import motion_row
from pipeline.falsify.campaign.settings import Chains, Sampling
from pipeline.falsify.physics.dynamics import DynamicsSettings, motion
from pipeline.falsify.physics.hypothesis import propose
from pipeline.falsify.tasks import Model
from pipeline.infer.fit import require_passable


@pytest.fixture
def science_of(small_ledger, tmp_path):
    def make(models=(), **more):
        campaign, _ = small_ledger.create(toy_settings(**more), "code", models)
        return CampaignScience(campaign, small_ledger, tmp_path)

    return make


def test_galaxies_and_dynamics_are_those_of_the_settings(science_of):
    pytest.importorskip("galpy", reason="needs the extra study")
    science = science_of(
        seed=4, kind="random", halo_kind="compact", dynamics={"q_least": 2.5, "redshift": 0.5}
    )
    models = science.propose([7, 3, 11])
    assert models == propose([7, 3, 11], 4, "random")
    chosen = DynamicsSettings("mn3", "compact", redshift=0.5, q_least=2.5)
    expected = [motion_row(motion(model, chosen)) for model in models]
    assert [motion_row(one) for one in science.motions(models)] == expected
    other = [motion_row(motion(model, DynamicsSettings())) for model in models]
    assert other != expected


def test_galaxies_of_a_file_come_in_the_order_that_was_asked_for(science_of):
    models = [Model(n, {"spin": n / 7}) for n in range(4)]
    science = science_of(models, kind="table", n_model=4, table_sha256="1")
    assert science.propose([3, 0, 2]) == [models[3], models[0], models[2]]


def test_a_fit_is_that_of_rbh1_fit(science_of, monkeypatch):
    science = science_of(
        chains=(Chains("bow", 5),), sampling=Sampling(n_chain=4, n_warmup=60, n_first=8, n_most=9)
    )
    science.inputs = "the inputs"
    asked = []

    def fit_item(inputs, model, fit, *, store_url, say):
        del say
        asked.append((inputs, model, fit, store_url))
        facts = {"run": "bow-1", "status": "budget", "rhat": math.inf, "scalars": {"x": {}}}
        return fit_scene.Report(False, "the budget ended", facts, {})

    monkeypatch.setattr(fit_scene, "fit_item", fit_item)
    found = science.fit(Chains("bow", 5))
    ((inputs, model, fit, store_url),) = asked
    assert (inputs, model, store_url) == ("the inputs", "bow", None)
    assert (fit.n_chain, fit.seed, fit.n_warmup, fit.n_first, fit.n_most) == (4, 5, 60, 8, 9)
    require_passable(fit)  # the fewest that a campaign takes are those of `rbh1 fit`
    # As every database's JSON has it.
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "model": "bow", "seed": 5, "passed": False, "sentence": "the budget ended",
        "run": "bow-1", "status": "budget", "rhat": "inf",
    }  # fmt: skip
