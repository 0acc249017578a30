"""When is the galaxy excluded, and when has it only not been found?

Oracle: the rule itself, met or missed by one number at a time.
"""

from dataclasses import replace

import numpy as np
import pytest
from campaigns import (
    BEST,
    CALIBRATION,
    CHI2,
    FIELD,
    REFERENCE,
    REFINED,
    SATURATED,
    SETTINGS,
    gaussian,
)

from ard.errors import ArdError
from manifests import load_acceptance
from pipeline.falsify.surface.exclusion import Calibration, Saturated, judge
from pipeline.falsify.surface.survey import survey
from pipeline.shocks.verdict import Gate

ACCEPTANCE = load_acceptance()
MODELS = gaussian(800)
# T of the best is then about 100; with this one, about 5, which injected galaxies have too.
LIKE_A_GALAXY = Saturated(CHI2 - 5.0, 4900)
GIVEN = {
    "saturated": SATURATED,
    "calibration": CALIBRATION,
    "refined": REFINED,
    "field": FIELD,
}


def verdict(models=MODELS, reference=REFERENCE, n_model=800, drawn=True, **given):
    surface = survey(models, n_model, reference, ACCEPTANCE, SETTINGS, drawn=drawn)
    return judge(surface, models, ACCEPTANCE, **given)


def refined(log_likelihood, **more):
    chi2 = CHI2 - 2.0 * (log_likelihood - BEST)
    return replace(REFINED, log_likelihood=log_likelihood, chi2=chi2, **more)


def test_a_galaxy_far_above_the_quantile_is_excluded():
    found = verdict(**GIVEN)
    assert found.gate is Gate.CONFIRMED
    assert found.measured["t"] == pytest.approx(100.0)  # of the best refined galaxy
    assert found.measured["surviving"] == 0
    assert found.literal is False  # the best is within 25 of the bow shock
    assert found.measured["power"] == 0.9


@pytest.mark.parametrize(
    ("change", "gate", "says"),
    [
        ({"calibration": None}, Gate.NOT_EVALUATED, "is not calibrated"),
        ({"calibration": replace(CALIBRATION, n_disc=58)}, Gate.NOT_EVALUATED, ">= 59"),
        ({"saturated": None}, Gate.NOT_EVALUATED, "no saturated scene"),
        ({"n_model": 801}, Gate.NOT_EVALUATED, "1 models of the campaign are missing"),
        ({"saturated": Saturated(CHI2 - 100.0, 3000)}, Gate.MODEL_INADEQUATE, "1.63"),
        ({"saturated": LIKE_A_GALAXY}, Gate.IN_TENSION, "a galaxy survives"),
        (
            {"saturated": LIKE_A_GALAXY, "calibration": replace(CALIBRATION, n_bow_rejected=24)},
            Gate.UNINFORMATIVE,
            "rejects 48% of bow shocks",
        ),
        (
            {
                "saturated": LIKE_A_GALAXY,
                "calibration": Calibration(12.0, 11.0, 0.95, 200, 0, 0, "x"),
            },
            Gate.UNINFORMATIVE,
            "rejects an unknown share",
        ),
        (
            {
                "saturated": LIKE_A_GALAXY,
                "calibration": replace(CALIBRATION, quantile_low=4.0),
            },
            Gate.UNINFORMATIVE,
            "but only those whose search did not converge",
        ),
        ({"calibration": replace(CALIBRATION, quantile_low=-50.0)}, Gate.CONFIRMED, "T = 100"),
        ({"saturated": Saturated(CHI2 - 5.0, 8000)}, Gate.MODEL_INADEQUATE, "0.62"),
        ({"models": gaussian(800, unconverged=10)}, Gate.UNINFORMATIVE, "did not converge"),
        ({"calibration": replace(CALIBRATION, quantile=99.99)}, Gate.UNINFORMATIVE, "may be left"),
        ({"refined": refined(BEST, ends=(BEST - 9.0,))}, Gate.UNINFORMATIVE, "no two searches"),
        ({"refined": None}, Gate.UNINFORMATIVE, "no two searches"),
    ],
)
def test_one_number_decides(change, gate, says):
    found = verdict(**{**GIVEN, **change})
    assert found.gate is gate, found.sentence
    assert says in found.sentence


def test_searches_that_did_not_converge_never_exclude():
    """However many fail, and however badly: CONFIRMED is not said for that."""
    worse = {"log_likelihood": MODELS.log_likelihood - 1e4, "chi2": MODELS.chi2 + 2e4}
    models = replace(MODELS, converged=np.zeros(800, bool), **worse)
    assert verdict(models, **GIVEN).gate is Gate.UNINFORMATIVE
    lost = replace(REFINED, converged=False)
    assert verdict(**GIVEN | {"refined": lost}).gate is Gate.UNINFORMATIVE


def test_no_galaxy_that_dynamics_allow_is_no_answer_of_the_cube():
    nothing = np.full(800, np.nan)
    none = replace(MODELS, reasons=(("fast",),) * 800, log_likelihood=nothing, chi2=nothing)
    found = verdict(none, **GIVEN | {"refined": None})
    assert found.gate is Gate.NOT_EVALUATED
    assert "never asked" in found.sentence
    assert found.literal is None


def test_the_best_galaxy_is_one_of_the_campaign_or_the_one_that_was_refined():
    better = verdict(**GIVEN | {"refined": refined(BEST + 30.0)})
    assert better.measured["t"] == pytest.approx(40.0)
    assert better.measured["improvement"] == pytest.approx(0.02)  # of -2 ln of the posterior
    best = np.nanargmax(MODELS.log_likelihood)
    worse = verdict(**GIVEN | {"refined": refined(BEST - 50.0)})
    assert worse.measured["t"] == pytest.approx(MODELS.chi2[best] - SATURATED.chi2)
    survives = verdict(**GIVEN | {"saturated": LIKE_A_GALAXY, "refined": None})
    assert survives.gate is Gate.IN_TENSION  # whoever survives, survives


def test_no_galaxy_survives_only_where_none_does():
    """Another than that of the best ln L may be nearest: amplitudes are averaged over there."""
    chi2 = MODELS.chi2.copy()
    other = int(
        np.flatnonzero(MODELS.possible)[np.argsort(-MODELS.log_likelihood[MODELS.possible])][5]
    )
    chi2[other] = SATURATED.chi2 + 3.0
    found = verdict(replace(MODELS, chi2=chi2), **GIVEN)
    assert found.measured["surviving"] == 1
    assert found.measured["t"] == pytest.approx(3.0)
    assert found.gate is Gate.IN_TENSION


def test_a_best_disc_that_a_draw_of_the_prior_beats_was_not_searched_to_the_end():
    """Its best two searches agree, and miss by more than T is above the quantile."""
    worse = verdict(**GIVEN | {"refined": refined(BEST - 50.0)})
    assert worse.gate is Gate.UNINFORMATIVE
    assert worse.measured["improvement"] == pytest.approx(100.0, abs=2.0)
    a_little = verdict(**GIVEN | {"refined": refined(BEST - 5.0)})
    assert a_little.gate is Gate.CONFIRMED


def test_a_campaign_of_a_few_galaxies_excludes_nothing():
    for n in (1, 250):
        models = gaussian(n, 5, rejected=False, unconverged=0)
        found = verdict(models, n_model=n, **GIVEN)
        assert found.gate is Gate.UNINFORMATIVE
        assert f"but {n} galaxies with light in the cut-out were held" in found.sentence


def test_galaxies_without_light_in_the_cut_out_are_no_trials():
    """They end short of the field, or begin beyond it: their T is that of a background."""
    possible = int(np.count_nonzero(MODELS.possible))
    reach = MODELS.parameters["r_max_kpc"]
    for middle, seen in (
        (FIELD.low_kpc - 0.01 - reach, 0),
        (FIELD.high_kpc + 0.01 + reach, 0),
        (FIELD.low_kpc + 0.01 - reach, possible),
        (FIELD.high_kpc - 0.01 + reach, possible),
    ):
        moved = replace(MODELS, parameters={**MODELS.parameters, "centre_kpc": middle})
        found = verdict(moved, **GIVEN)
        assert found.measured["seen"] == seen
        assert found.measured["evaluated"] == possible
        assert found.gate is (Gate.CONFIRMED if seen else Gate.UNINFORMATIVE)


def test_rows_of_a_table_exclude_nothing_but_themselves():
    """300 copies of one galaxy, or any that somebody chose, say nothing of the prior."""
    found = verdict(drawn=False, **GIVEN)
    assert found.gate is Gate.UNINFORMATIVE
    assert "rows of a table" in found.sentence
    survives = verdict(drawn=False, **GIVEN | {"saturated": LIKE_A_GALAXY})
    assert survives.gate is Gate.IN_TENSION  # one that survives is enough, whoever chose it


def test_where_nobody_says_what_the_cut_out_shows_nothing_is_excluded():
    nowhere = {name: MODELS.parameters[name] for name in ("r_d_kpc", "gas_fraction")}
    for change in ({"models": replace(MODELS, parameters=nowhere)}, {"field": None}):
        found = verdict(**{**GIVEN, **change})
        assert found.gate is Gate.UNINFORMATIVE
        assert "galaxies with light in the cut-out were held against it" in found.sentence


def test_a_disc_that_survives_where_no_galaxy_does_says_nothing_of_galaxies():
    """It turns at 375 km/s and ends at 6 kpc: no dynamics were asked of it."""
    fast = {"r_max_kpc": 6.0, "v_max_kms": 250.0, "rise": 0.5}
    alone = verdict(**GIVEN | {"refined": refined(BEST + 50.0, parameters=fast)})
    assert alone.measured["surviving"] == 0
    assert alone.measured["t"] < alone.measured["quantile_low"]
    assert alone.gate is Gate.UNINFORMATIVE
    assert "a disc survives, and none of the galaxies that were tried" in alone.sentence


def test_without_another_reference_there_is_no_literal_answer():
    assert verdict(reference=None, **GIVEN).literal is None
    far = replace(REFERENCE, log_likelihood=BEST + 20.0)
    assert verdict(reference=far, **GIVEN).literal is True


def test_a_calibration_that_cannot_be_is_refused():
    for change in ({"quantile": np.nan}, {"level": 1.0}, {"n_disc": 0}, {"n_bow_rejected": 51},
                   {"quantile_low": 12.5}):  # fmt: skip
        with pytest.raises(ArdError, match="calibration cannot be"):
            replace(CALIBRATION, **change)
