"""Is it told which maxima a search found, how much each matters, and where chains start?

Oracle: maxima that are made by hand.
"""

import json

import numpy as np
import pytest
from chains import iid, nuts_stats

import schemas
from ard.errors import ArdError
from checks.convergence import chain_limits, gate
from pipeline.infer import fit as fitting
from pipeline.infer.families import Uniform
from pipeline.infer.fit import Fit, Search
from pipeline.infer.optimum import Mode
from pipeline.infer.prior import Parameter, Prior
from pipeline.infer.sampler import Starts

PRIOR = Prior((Parameter("jump_arcsec", "arcsec", Uniform(0.0, 1.0)),))


def mode(z: float, below: float, n_found: int, width: float = 1.0) -> Mode:
    return Mode(np.array([z]), -7.0 - below, np.array([[width**2]]), n_found, width > 1.0)


def told(*modes: Mode, n_chain: int = 4) -> tuple[dict, ...]:
    return fitting.modes_told(PRIOR, modes, Fit(n_chain=n_chain, n_start=20))


def test_every_maximum_is_told_the_one_of_most_first():
    first, second, third = told(mode(0.0, 0.0, 12), mode(2.0, 1.0, 5, 3.0), mode(-3.0, 9.0, 1))
    assert first == {
        "share": pytest.approx(3.0 / (3.0 + np.e), abs=1e-3),
        **{"log_density": -8.0, "n_found": 5, "n_start": 20, "repaired": True, "n_chain": 2},
        "values": {"jump_arcsec": pytest.approx(1.0 / (1.0 + np.exp(-2.0)))},
    }
    assert (second["n_found"], second["n_chain"], second["repaired"]) == (12, 2, False)
    assert (third["n_found"], third["n_chain"]) == (1, 0)
    assert third["share"] == pytest.approx(np.exp(-9.0) / (1.0 + 3.0 / np.e), rel=1e-3)


def test_rivals_are_named_in_words():
    assert fitting.sentence_on(told(mode(0.0, 0.0, 19))) == ""
    alone = fitting.sentence_on(told(mode(0.0, 0.0, 14), mode(2.0, 9.0, 6)))
    assert alone == (
        "besides the maximum of 14 of 20 climbs there are rivals "
        "(1.2e-04 of the posterior, 6 climbs, no chain)"
    )
    several = told(mode(0.0, 0.0, 14), mode(2.0, 0.5, 3), mode(3.0, 1.0, 3), n_chain=2)
    words = fitting.sentence_on(several)
    assert "3 climbs, chains that start there: 1; " in words
    assert "no chain, because there are too few" in words


def test_a_search_is_kept_to_the_last_bit():
    starts = Starts(np.random.default_rng(1).normal(size=(4, 1)), np.array([[np.pi]]), 0.3)
    search = Search(starts, told(mode(1.0, 0.0, 3), mode(2.0, 1.0, 2)))
    again = fitting.search_from_dict(json.loads(json.dumps(fitting.search_to_dict(search))))
    np.testing.assert_array_equal(again.starts.z, starts.z)
    np.testing.assert_array_equal(again.starts.inverse_mass, starts.inverse_mass)
    assert again.starts.step == 0.3
    assert again.modes == search.modes
    with pytest.raises(ArdError, match="starts of chains cannot be read"):
        fitting.search_from_dict({"starts": {"z": [[1.0]]}, "modes": []})


def test_a_summary_may_hold_the_maxima():
    verdict = gate({"jump_arcsec": iid(1)}, nuts_stats(), chain_limits())
    document = {
        **{"schema": "chain-summary", "item": "t001", "model": "jump", "simulated": True},
        **{"provenance": None, **verdict.to_dict()},
        "modes": list(told(mode(0.0, 0.0, 12), mode(2.0, 9.0, 1))),
    }
    assert schemas.validate(document, "chain-summary") == ()
    del document["modes"][0]["share"]
    assert schemas.validate(document, "chain-summary") != ()
