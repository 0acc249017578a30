"""Are R-hat, effective sample sizes and the like those of the literature?

Oracles: ArviZ, scalar by scalar; closed forms for autoregressive chains; invariance.
"""

import sys
import warnings

import numpy as np
import pytest
from chains import SHAPE, autoregressive, iid

from ard.errors import ArdError, ExtraMissingError
from ard.pareto import fit_tail, tail_shape
from checks.convergence import diagnose
from checks.convergence.statistics import QUANTILES, bfmi

RNG = np.random.default_rng(20)
KINDS = {
    "iid": iid(1),
    "correlated": autoregressive(0.9, SHAPE, 2),
    "very correlated": autoregressive(0.99, SHAPE, 3),
    "antithetic": autoregressive(-0.6, SHAPE, 4),
    "very antithetic": autoregressive(-0.95, SHAPE, 5),
    "uniform": RNG.uniform(size=SHAPE),
    "heavy tails": RNG.standard_t(3, SHAPE),
    "no mean": RNG.standard_cauchy(SHAPE),
    "random walk": np.cumsum(RNG.normal(size=SHAPE), axis=1),
    "one wide chain": iid(6) * np.array([1, 1, 1, 3])[:, None],
    "odd number of draws": autoregressive(0.7, (3, 333), 7),
    "many short chains": iid(8, (32, 50)),
    "rounded": np.round(autoregressive(0.8, SHAPE, 9), 1),
    "counts": RNG.poisson(2, SHAPE).astype(float),
    "far from zero": 1e6 + autoregressive(0.3, SHAPE, 10),
    "two chains of eight": iid(11, (2, 8)),
    "nine draws": iid(12, (5, 9)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_arviz(kind):
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    draws = KINDS[kind]
    found = diagnose(draws)
    expected = {
        "rhat_bulk": array_stats.rhat(draws, method="z_scale"),
        "rhat_folded": array_stats.rhat(draws, method="folded"),
        "rhat": array_stats.rhat(draws, method="rank"),
        "ess_bulk": array_stats.ess(draws, method="bulk"),
        "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95)),
        "ess_mean": array_stats.ess(draws, method="mean"),
        "mcse": array_stats.mcse(draws, method="mean"),
        "mean": draws.mean(),
        "sd": draws.std(ddof=1),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(found.quantiles, np.quantile(draws, QUANTILES), rtol=1e-12)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("counts", "two chains of eight")])
def test_shape_of_the_tails_is_that_of_arviz(kind):
    """Not of counts, all of whose tail is one value: ArviZ raises, and here it is not a number."""
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a long tail is cut, here as there
        expected = array_stats.pareto_khat(KINDS[kind])
    np.testing.assert_allclose(diagnose(KINDS[kind]).tail_shape, expected, rtol=1e-9)


def test_energy_is_that_of_arviz():
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    energy = autoregressive(0.8, SHAPE, 13)
    np.testing.assert_allclose(bfmi(energy), array_stats.bfmi(energy), rtol=1e-12)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_effective_draws_of_autoregressive_chains(rho):
    """N (1 - rho) / (1 + rho), to three standard errors of 50 sets of chains."""
    found = diagnose(np.stack([autoregressive(rho, SHAPE, 1000 + i) for i in range(50)])).ess_mean
    expected = 4000 * (1 - rho) / (1 + rho)
    assert abs(found.mean() - expected) < 3 * found.std() / np.sqrt(50) + 0.03 * expected


def test_many_scalars_at_once_are_as_one_by_one():
    draws = np.stack([v for v in KINDS.values() if v.shape == SHAPE][:12]).reshape(3, 4, *SHAPE)
    draws[1, 2, 0, 0] = np.nan
    together = diagnose(draws)
    for place in np.ndindex(3, 4):
        alone = diagnose(draws[place])
        for name in ("rhat", "ess_bulk", "ess_tail", "mcse", "tail_shape", "distinct", "bad_draws"):
            np.testing.assert_equal(getattr(together, name)[place], getattr(alone, name))
    assert together.quantiles.shape == (3, 4, len(QUANTILES))


@pytest.mark.parametrize("power", [-300, -17, 17, 300])
def test_units_do_not_matter(power):
    """As they do for ArviZ, to which all draws within 1e-15 are equal, and equal is independent."""
    draws = autoregressive(0.9, SHAPE, 14)
    unit, other = diagnose(draws), diagnose(draws * 10.0**power)
    for name in ("rhat", "ess_bulk", "ess_tail", "ess_mean", "tail_shape"):
        np.testing.assert_allclose(getattr(other, name), getattr(unit, name), rtol=1e-9)
    np.testing.assert_allclose(other.sd, unit.sd * 10.0**power, rtol=1e-9)


def test_arviz_takes_small_fluxes_for_constants():
    """The reason for the test above; if it fails, ArviZ has been mended."""
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    draws = autoregressive(0.9, SHAPE, 14)
    assert array_stats.ess(draws * 1e-17, method="mean") == 4000
    assert array_stats.ess(draws, method="mean") < 400


@pytest.mark.parametrize("shape", [(1, 1000), (4, 7), (4, 0), (0, 10)])
def test_too_little_has_no_diagnostics(shape):
    found = diagnose(np.ones(shape) * np.arange(shape[1]))
    assert np.isnan([found.rhat, found.ess_bulk, found.ess_tail, found.mcse]).all()


def test_a_constant_has_no_effective_draws():
    found = diagnose(np.ones(SHAPE))
    assert np.isnan([found.rhat, found.ess_bulk, found.mcse, found.tail_shape]).all()
    assert found.distinct == 1 / 1000


def test_no_scalars_are_no_error():
    assert diagnose(np.empty((0, *SHAPE))).rhat.shape == (0,)


def test_chains_need_two_axes():
    with pytest.raises(ArdError, match="chains need two axes"):
        diagnose(np.ones(10))


def test_without_scipy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'rbh1-ard\[study\]'"):
        diagnose(iid(1))


# ---- the shape of a tail


@pytest.mark.parametrize(("shape", "seed"), [(-0.3, 1), (0.0, 2), (0.3, 3), (0.7, 4), (1.0, 5)])
def test_shape_of_a_pareto_tail_is_found(shape, seed):
    """Oracle: draws by inversion. The standard error is (1 + k) / sqrt(n), plus the pull to 1/2."""
    n = 4000
    survival = np.random.default_rng(seed).uniform(size=n)
    excess = -np.log(survival) if shape == 0 else (survival**-shape - 1) / shape
    found, scale = fit_tail(np.sort(2.0 * excess))
    assert abs(found - shape) < 3.5 * (1 + shape) / np.sqrt(n) + 0.002
    assert scale == pytest.approx(2.0, rel=0.15)


def test_a_tail_of_millions_is_thinned():
    """Slow chains: the tail of a million normal draws has no shape to speak of."""
    ordered = np.sort(np.random.default_rng(6).normal(size=1_000_000))
    assert tail_shape(ordered, 1e-5) == pytest.approx(-0.2, abs=0.15)
