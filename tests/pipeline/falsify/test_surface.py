"""What does a campaign say of its hypothesis?

Oracles: closed forms of a Gaussian likelihood over the unit cube, scipy's own binomial interval,
and invariance: the order of the parameters, a constant in ln L, models that are told twice over.
"""

from dataclasses import replace
from itertools import pairwise
from math import erf, log, pi, sqrt

import numpy as np
import pytest
from campaigns import AXES, BEST, CENTRE, REFERENCE, SETTINGS, WIDTH, gaussian
from scipy.stats import binomtest

from ard.errors import ArdError, FormatError
from manifests import load_acceptance
from pipeline.falsify.surface.survey import (
    BOW,
    DISC,
    Evaluations,
    Reference,
    Settings,
    share_of,
    survey,
)

ACCEPTANCE = load_acceptance()
N = 20_000


def surveyed(evaluations, reference=REFERENCE, n_model=None, settings=SETTINGS):
    wanted = len(evaluations) if n_model is None else n_model
    return survey(evaluations, wanted, reference, ACCEPTANCE, settings)


@pytest.fixture(scope="module")
def plain():
    """The Gaussian alone, relative to its peak: nothing rejected, all converged."""
    models = gaussian(N, 5, rejected=False, unconverged=0)
    return surveyed(models, Reference(BOW, "peak", BEST, "closed form"))


def mean_in(low, high, centre, width):
    """Mean of a Gaussian of height 1 over an interval."""
    ends = [erf((end - centre) / (width * sqrt(2.0))) for end in (low, high)]
    return width * sqrt(pi / 2.0) * (ends[1] - ends[0]) / (high - low)


def test_prior_mass_within_a_level_is_the_volume_of_the_ellipsoid(plain):
    for level in (4.0, 9.0):
        share = plain.within[level]
        volume = 4.0 / 3.0 * pi * np.prod(WIDTH) * level**1.5  # all of it lies in the cube
        assert share.low < volume < share.high
        assert share.fraction == pytest.approx(volume, rel=4.0 / sqrt(share.n))


def test_the_marginal_likelihood_is_the_integral(plain):
    expected = sum(log(mean_in(0.0, 1.0, c, w)) for c, w in zip(CENTRE, WIDTH, strict=True))
    error = float(plain.whole.log_mean_error)
    assert abs(float(plain.whole.log_mean) - expected) < 4.0 * error
    # Of n draws sum L / sum L^2 count: n (int L)^2 / int L^2, and int L^2 is narrower by sqrt 2.
    axes = zip(CENTRE, WIDTH, strict=True)
    squares = np.prod([mean_in(0.0, 1.0, c, w / sqrt(2.0)) for c, w in axes])
    carried = N * np.exp(2.0 * expected) / squares
    assert float(plain.whole.effective) == pytest.approx(carried, rel=0.05)
    assert error == pytest.approx(sqrt(1.0 / carried - 1.0 / N), rel=0.05)
    assert plain.problems(ACCEPTANCE) == ()


def test_cells_have_the_profile_and_the_mean_of_the_gaussian(plain):
    for axis, cells in enumerate(plain.profiles):
        assert cells.names == (AXES[axis],)
        (edges,) = cells.edges
        assert np.ptp(cells.n) <= 1  # equal prior mass
        nearest = np.clip(CENTRE[axis], edges[:-1], edges[1:])
        expected = -0.5 * np.square((nearest - CENTRE[axis]) / WIDTH[axis])
        assert np.all(cells.best <= expected)
        # Next to the peak no model is much worse; far from it, few are near the edge.
        close = expected > -8.0
        assert np.all(expected[close] - cells.best[close] < 1.0)
        others = sum(log(mean_in(0.0, 1.0, c, w)) for i, (c, w) in
                     enumerate(zip(CENTRE, WIDTH, strict=True)) if i != axis)  # fmt: skip
        mean = [log(mean_in(a, b, CENTRE[axis], WIDTH[axis])) + others
                for a, b in pairwise(edges)]  # fmt: skip
        assert np.all(np.abs(cells.log_mean - mean) < 4.0 * cells.log_mean_error)


def test_pairs_sum_up_to_the_whole(plain):
    for cells in plain.pairs:
        assert cells.n.shape == (3, 3)
        assert cells.n.sum() == N
        assert np.nanmax(cells.best) == plain.whole.best
        total = np.sum(np.exp(cells.log_mean) * cells.n) / N
        assert log(total) == pytest.approx(float(plain.whole.log_mean), abs=1e-9)


def test_errors_of_the_marginal_are_those_of_campaigns():
    """200 campaigns, two halves each: 3 sd of a standard deviation are 0.15."""
    bare = replace(SETTINGS, axes=())
    apart = []
    for seed in range(200):
        one, two = surveyed(gaussian(600, seed), settings=bare).halves
        error = np.hypot(one.log_mean_error, two.log_mean_error)
        apart.append(float((one.log_mean - two.log_mean) / error))
    assert np.std(apart) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(apart)) < 3.0 / sqrt(200)


def test_a_constant_in_ln_l_and_the_order_of_parameters_change_nothing():
    models = gaussian(800)
    first = surveyed(models)
    moved = replace(models, log_likelihood=models.log_likelihood + 64.0,
                    parameters=dict(reversed(models.parameters.items())))  # fmt: skip
    other = replace(REFERENCE, log_likelihood=REFERENCE.log_likelihood + 64.0)
    second = surveyed(moved, other)
    assert second.within == first.within
    for one, two in zip(first.profiles + first.pairs, second.profiles + second.pairs, strict=True):
        assert np.array_equal(one.n, two.n)
        assert np.allclose(one.best, two.best, atol=1e-9, equal_nan=True)
        assert np.allclose(one.log_mean, two.log_mean, atol=1e-9, equal_nan=True)


def test_models_that_somebody_chose_are_counted_and_weigh_nothing():
    """Oracle: the same models as draws; copies of one galaxy are no prior mass."""
    models = gaussian(800)
    drawn = surveyed(models)
    chosen = survey(models, 800, REFERENCE, ACCEPTANCE, SETTINGS, drawn=False)
    assert {level: share.n for level, share in chosen.within.items()} == {
        level: share.n for level, share in drawn.within.items()
    }
    shares = [*chosen.within.values(), chosen.rejected, chosen.several]
    shares += [share for share, _ in chosen.filters.values()]
    for share in shares:
        assert np.isnan([share.fraction, share.low, share.high]).all()
    for one, other in zip(
        (chosen.whole, *chosen.halves, *chosen.profiles, *chosen.pairs),
        (drawn.whole, *drawn.halves, *drawn.profiles, *drawn.pairs),
        strict=True,
    ):
        assert np.array_equal(one.best, other.best, equal_nan=True)
        assert np.array_equal(one.n, other.n)
        assert np.isnan(one.log_mean).all()
        assert np.isnan(one.log_mean_error).all()
        assert not one.effective.any()
    assert np.isnan(chosen.halves_sigma)
    assert "rows of a table" in chosen.problems(ACCEPTANCE)[0]


def test_a_model_rejected_by_dynamics_has_no_likelihood_and_counts():
    models = gaussian(800)
    told = surveyed(models)
    rejected = ~models.possible
    assert told.rejected.n == rejected.sum()
    assert told.whole.n == 800
    assert told.whole.n_evaluated == 800 - rejected.sum()
    likelihood = np.exp(np.where(rejected, -np.inf, models.log_likelihood - BEST - 3.0))
    assert float(told.whole.log_mean) == pytest.approx(log(likelihood.mean()), abs=1e-12)
    fast, thick = (np.array([name in row for row in models.reasons]) for name in ("fast", "thick"))
    assert {name: (share.n, alone) for name, (share, alone) in told.filters.items()} == {
        "fast": (fast.sum(), (fast & ~thick).sum()),
        "thick": (thick.sum(), (thick & ~fast).sum()),
    }
    assert told.several.n == (fast & thick).sum()
    assert told.unplaced == {"r_d_kpc": 0, "gas_fraction": 0, "vmax_kms": fast.sum()}


def test_a_search_that_did_not_converge_excludes_nothing():
    models = gaussian(800)
    told = surveyed(models)
    assert told.unconverged == tuple(np.flatnonzero(models.possible & ~models.converged))
    assert len(told.unconverged) == 2
    share = told.within[9.0]
    sure = binomtest(share.n, 800).proportion_ci(0.95)
    most = binomtest(share.n + 2, 800).proportion_ci(0.95)
    assert (share.low, share.high) == pytest.approx((sure.low, most.high), rel=1e-9)


def test_galaxies_that_wait_are_neither_rejected_nor_excluded():
    """Oracle: the complete campaign. All dynamics are known, and a tenth of the likelihoods."""
    models = gaussian(2000, unconverged=0)
    whole = surveyed(models)
    waits = models.number >= 200
    lost = {name: np.where(waits, np.nan, getattr(models, name))
            for name in ("log_likelihood", "chi2")}  # fmt: skip
    told = surveyed(replace(models, **lost, converged=models.converged & ~waits))
    assert told.rejected == whole.rejected
    assert told.filters == whole.filters
    assert told.unconverged == ()
    assert told.missing == tuple(np.flatnonzero(waits & models.possible))
    for level, share in told.within.items():
        assert share.low <= whole.within[level].fraction < share.high


@pytest.mark.parametrize(("n", "n_all"), [(0, 7), (3, 7), (7, 7), (41, 3000)])
def test_shares_have_the_interval_of_clopper_and_pearson(n, n_all):
    share = share_of(n, n_all, 0.9)
    expected = binomtest(n, n_all).proportion_ci(0.9, method="exact")
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_without_a_reference_the_best_galaxy_is_it():
    models = gaussian(300)
    told = surveyed(models, None)
    assert told.reference.kind == DISC
    assert told.whole.best == 0.0
    assert models.log_likelihood[told.best] == told.reference.log_likelihood


def test_a_narrow_likelihood_is_not_known_and_says_so():
    models = gaussian(400)
    sharp = replace(models, log_likelihood=400.0 * (models.log_likelihood - BEST))
    (few, *_) = surveyed(sharp).problems(ACCEPTANCE)
    assert "rests on 1.0 models" in few


def test_what_is_missing_is_named():
    models = gaussian(60)
    lost = int(np.flatnonzero(models.possible)[0])
    value = models.log_likelihood.copy()
    value[lost] = np.nan
    told = surveyed(replace(models, log_likelihood=value), n_model=62)
    assert told.missing == (lost, 60, 61)
    assert "3 of 62 models are missing" in told.problems(ACCEPTANCE)[0]


def test_a_parameter_that_does_not_vary_or_is_not_known_has_no_cells():
    models = gaussian(60)
    fixed = {**models.parameters, "h_z_kpc": np.full(60, 0.4)}
    told = surveyed(replace(models, parameters=fixed), settings=Settings(axes=("h_z_kpc",)))
    assert told.profiles == ()
    assert "1 values are known of it" in told.skipped["h_z_kpc"]
    told = surveyed(models, settings=Settings(axes=("h_z_kpc",)))
    assert told.unplaced == {"h_z_kpc": 60}
    assert "0 values are known of it" in told.skipped["h_z_kpc"]


def test_a_campaign_in_which_dynamics_reject_all_says_so():
    models = gaussian(60)
    nothing = np.full(60, np.nan)
    none = replace(models, reasons=(("fast",),) * 60, log_likelihood=nothing, chi2=nothing)
    told = surveyed(none)
    assert (told.best, told.within[25.0].n, told.rejected.fraction) == (-1, 0, 1.0)
    assert np.isnan(told.whole.log_mean)
    assert surveyed(none, None).reference.name == "none"


def test_what_cannot_be_a_campaign_is_refused():
    models = gaussian(10)
    with pytest.raises(FormatError, match="out of order"):
        replace(models, number=models.number[::-1])
    with pytest.raises(FormatError, match=r"facts\.vmax_kms of a campaign has another length"):
        replace(models, facts={"vmax_kms": np.zeros(3)})
    with pytest.raises(FormatError, match="reasons of a campaign has another length"):
        replace(models, reasons=())
    with pytest.raises(ArdError, match="not the models of the campaign"):
        surveyed(models, n_model=5)
    empty = Evaluations([], {}, (), {}, [], [], {}, [])
    with pytest.raises(ArdError, match="no model"):
        surveyed(empty, n_model=5)
    with pytest.raises(ArdError, match="cannot be held against"):
        Reference("cloud", "x", 0.0, "a test")
