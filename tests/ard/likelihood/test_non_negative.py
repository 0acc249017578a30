"""Is the evidence of amplitudes that cannot be negative the integral over those that are not?

Oracle: that integral by Gauss-Legendre quadrature of the plain likelihood times the truncated,
normalised prior, over one, two and three amplitudes; its moments too.
"""

import itertools

import numpy as np
import pytest
from scipy.special import log_ndtr

from ard import likelihood
from ard.errors import ArdError, FormatError
from ard.likelihood import LinearPrior, Noise, find_blocks, marginal_likelihood

SHAPE = (4, 3, 5)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def lines(overlap=0.0):
    """Templates of three lines on channels of their own; the last two share light as asked for."""
    templates = np.zeros((3, *SHAPE))
    image = np.random.default_rng(8).uniform(0.2, 1.0, SHAPE[1:])
    for number in range(3):
        templates[number, number] = image
    templates[2, 1] = overlap * image
    return templates


def noise_of(rng):
    return Noise(rng.uniform(2.0, 4.0, SHAPE), rng.random(SHAPE) < 0.1)


def brute_force(data, templates, noise, prior, free=()):
    """ln of the integral, and mean and standard deviation of the amplitudes, on a grid."""
    nodes, weights = np.polynomial.legendre.leggauss(90)
    axes = []
    for number, (m, s) in enumerate(zip(prior.mean, prior.sigma, strict=True)):
        low = m - 9.0 * s if number in free else 0.0
        high = max(m, 0.0) + 9.0 * s
        axes.append((low + 0.5 * (high - low) * (nodes + 1.0), 0.5 * (high - low) * weights))
    grid = np.stack(np.meshgrid(*[x for x, _ in axes], indexing="ij"), axis=-1)
    mass = axes[0][1]
    for _, w in axes[1:]:
        mass = mass[..., None] * w
    good = ~noise.mask
    white = data[good] / noise.sigma[good]
    basis = templates[:, good] / noise.sigma[good]
    quadratic = white @ white - 2.0 * grid @ (basis @ white)
    quadratic += np.einsum("...i,ij,...j", grid, basis @ basis.T, grid)
    constant = noise.logdet + noise.count * np.log(2.0 * np.pi)
    height = (grid - prior.mean) / prior.sigma
    log_prior = -0.5 * height**2 - np.log(prior.sigma) - 0.5 * np.log(2.0 * np.pi)
    for number, (m, s) in enumerate(zip(prior.mean, prior.sigma, strict=True)):
        if number not in free:
            log_prior[..., number] -= log_ndtr(m / s)
    exponent = -0.5 * (quadratic + constant) + log_prior.sum(axis=-1)
    level = exponent.max()
    mass = mass * np.exp(exponent - level)
    total = mass.sum()
    share = mass[..., None] / total
    every = tuple(range(grid.ndim - 1))
    mean = (share * grid).sum(axis=every)
    return level + np.log(total), mean, np.sqrt((share * (grid - mean) ** 2).sum(axis=every))


def check(data, templates, noise, prior):
    free = [n for n in range(len(prior.mean)) if not prior.non_negative[n]]
    found = marginal_likelihood(data, templates, noise, prior)
    expected, mean, sigma = brute_force(data, templates, noise, prior, free)
    # 90 nodes over 9 prior widths resolve posteriors down to a tenth of those to 1e-8.
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(found.amplitudes, mean, rtol=1e-7)
    np.testing.assert_allclose(found.amplitude_sigma, sigma, rtol=1e-6)
    best = likelihood.log_likelihood(data, np.tensordot(found.amplitudes, templates, 1), noise)
    assert found.chi2 == pytest.approx(best.chi2, rel=1e-10)


@pytest.mark.parametrize("level", [-3.0, 0.0, 2.0])
def test_one_amplitude(level, rng):
    """Data that ask for a negative one, for none, and for a positive one."""
    noise, templates = noise_of(rng), lines()[:1]
    data = level * templates[0] + rng.normal(size=SHAPE)
    check(data, templates, noise, LinearPrior(np.array([0.3]), np.array([2.0]), np.array([True])))


@pytest.mark.parametrize("levels", [(-2.0, -1.0), (2.0, -2.0), (1.0, 3.0)])
@pytest.mark.parametrize("overlap", [0.0, 0.8, -0.8])
def test_two_amplitudes(levels, overlap, rng):
    noise, templates = noise_of(rng), lines(overlap)[1:]
    data = np.tensordot(levels, templates, 1) + rng.normal(size=SHAPE)
    prior = LinearPrior(np.array([0.5, -1.0]), np.array([1.5, 2.0]), np.array([True, True]))
    check(data, templates, noise, prior)
    blocks = find_blocks(templates, noise, prior)
    assert blocks == (((0,), (1,)) if overlap == 0.0 else ((0, 1),))


@pytest.mark.parametrize("levels", [(-1.0, -2.0, 1.0), (2.0, 1.0, 2.0)])
def test_three_amplitudes_one_alone_and_a_pair(levels, rng):
    noise, templates = noise_of(rng), lines(0.7)
    data = np.tensordot(levels, templates, 1) + rng.normal(size=SHAPE)
    prior = LinearPrior(np.full(3, 0.5), np.full(3, 1.5), np.ones(3, bool))
    check(data, templates, noise, prior)
    assert find_blocks(templates, noise, prior) == ((0,), (1, 2))


def test_an_amplitude_of_either_sign_follows_those_that_it_is_correlated_with(rng):
    """A continuum below two lines: its mean moves when they are kept from being negative."""
    noise, templates = noise_of(rng), lines()
    templates[0] = 0.3
    data = np.tensordot((1.0, -2.0, 0.5), templates, 1) + rng.normal(size=SHAPE)
    prior = LinearPrior(np.zeros(3), np.full(3, 1.5), np.array([False, True, True]))
    check(data, templates, noise, prior)
    assert find_blocks(templates, noise, prior) == ((1, 2),)


def test_far_from_the_border_nothing_changes_but_the_prior(rng):
    noise, templates = Noise(np.full(SHAPE, 1e-3), np.zeros(SHAPE, bool)), lines(0.5)
    data = np.tensordot((1.0, 2.0, 3.0), templates, 1)
    mean, sigma = np.zeros(3), np.full(3, 5.0)
    both = [
        marginal_likelihood(data, templates, noise, LinearPrior(mean, sigma, cut))
        for cut in (None, np.ones(3, bool))
    ]
    # Half of each prior is cut off: a factor of 2 each.
    gain = both[1].log_likelihood - both[0].log_likelihood
    assert gain == pytest.approx(3.0 * np.log(2.0), rel=1e-9)
    np.testing.assert_allclose(both[1].amplitudes, both[0].amplitudes, rtol=1e-12)


def test_more_than_two_correlated_amplitudes_are_refused(rng):
    templates = rng.uniform(size=(3, *SHAPE))
    prior = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool))
    with pytest.raises(ArdError, match=r"(?s)more than two.*amplitudes 0, 1, 2"):
        marginal_likelihood(np.zeros(SHAPE), templates, noise_of(rng), prior)


def test_a_chain_of_overlaps_is_one_block(rng):
    """0 with 1 and 1 with 2, though 0 and 2 share no light."""
    templates = lines(0.5)
    templates[0, 1] = 0.2
    templates[0, 2] = 0.0
    prior = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool))
    with pytest.raises(ArdError, match="more than two"):
        find_blocks(templates, noise_of(rng), prior)


def test_a_declaration_that_is_wrong_for_the_templates_is_refused(rng):
    prior = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool), ((0,), (1,), (2,)))
    with pytest.raises(ArdError, match="different blocks are correlated"):
        marginal_likelihood(np.zeros(SHAPE), lines(0.5), noise_of(rng), prior)
    # A pair that does not overlap is no error: there is an exact factor for that too.
    pair = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool), ((0,), (1, 2)))
    found = marginal_likelihood(np.ones(SHAPE), lines(), noise_of(rng), pair)
    free = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool))
    plain = marginal_likelihood(np.ones(SHAPE), lines(), noise_of(np.random.default_rng(5)), free)
    again = marginal_likelihood(np.ones(SHAPE), lines(), noise_of(np.random.default_rng(5)), pair)
    assert np.isfinite(found.log_likelihood)
    assert again.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)


@pytest.mark.parametrize(
    ("cut", "blocks"),
    [
        ([True, True, True], ((0,), (1,))),
        ([True, True, True], ((0, 1, 2),)),
        ([True, True, True], ((0, 1), (1, 2))),
        ([True, False, True], ((0, 1), (2,))),
    ],
)
def test_blocks_name_each_amplitude_once(cut, blocks):
    with pytest.raises(ArdError, match="blocks of amplitudes"):
        LinearPrior(np.zeros(3), np.ones(3), np.array(cut), blocks)


def test_what_cannot_be_negative_has_to_be_clear():
    for cut in (np.ones(2, bool), np.ones(3)):
        with pytest.raises(FormatError, match="cannot be negative"):
            LinearPrior(np.zeros(3), np.ones(3), cut)


def test_jax_gives_the_same_and_its_slope(rng):
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    noise, templates = noise_of(rng), lines(0.7)
    data = np.tensordot((-1.0, 0.5, 2.0), templates, 1) + rng.normal(size=SHAPE)
    prior = LinearPrior(np.full(3, 0.5), np.full(3, 1.5), np.ones(3, bool), ((0,), (1, 2)))

    def value(cubes):
        return marginal_likelihood(data, cubes, noise, prior).log_likelihood

    with x64(True):
        theirs, slope = jax.jit(jax.value_and_grad(value))(jax.numpy.asarray(templates))
        batch = jax.vmap(value)(jax.numpy.stack([jax.numpy.asarray(templates)] * 2))
    assert float(theirs) == pytest.approx(float(value(templates)), rel=1e-9)
    np.testing.assert_allclose(np.asarray(batch), float(theirs), rtol=1e-12)
    step = np.zeros_like(templates)
    step[2, 1, 1, 3] = 1e-4
    numeric = (value(templates + step) - value(templates - step)) / 2e-4
    assert float(slope[2, 1, 1, 3]) == pytest.approx(float(numeric), rel=1e-5)


def test_no_silence_where_jax_traces(rng):
    """Undeclared: an error. Declared wrongly: not a number, of value and of amplitudes."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    noise, data = noise_of(rng), rng.normal(size=SHAPE)

    def parts(cubes, blocks):
        prior = LinearPrior(np.zeros(3), np.ones(3), np.ones(3, bool), blocks)
        found = marginal_likelihood(data, cubes, noise, prior)
        return found.log_likelihood, found.log_ratio, found.amplitudes, found.amplitude_sigma

    alone = ((0,), (1,), (2,))
    with x64(True):
        with pytest.raises(ArdError, match="while the model is traced"):
            jax.jit(lambda cubes: parts(cubes, None))(lines())
        good = jax.jit(lambda cubes: parts(cubes, alone))(jax.numpy.asarray(lines()))
        wrong = jax.jit(lambda cubes: parts(cubes, alone))(jax.numpy.asarray(lines(1e-4)))
        # Not traced, JAX's arrays have numbers, and the answer is an error as for numpy.
        with pytest.raises(ArdError, match="different blocks"):
            parts(jax.numpy.asarray(lines(1e-4)), alone)
    assert all(np.all(np.isfinite(part)) for part in good)
    assert all(np.all(np.isnan(part)) for part in wrong)


@pytest.mark.parametrize("rho", [1e-6, -1e-6])
def test_what_counts_as_uncorrelated_changes_nothing(rho):
    """At the tolerance, five standard deviations out: 3e-5 of ln L, as its comment says."""
    from ard.likelihood import linear

    covariance = np.array([[1.0, rho], [rho, 1.0]])
    mean, both = np.array([-5.0, -5.0]), np.ones(2, bool)
    found = [
        linear.cut_at_zero(np, LinearPrior(np.zeros(2), np.ones(2), both, b), mean, covariance)
        for b in (((0,), (1,)), ((0, 1),))
    ]
    assert abs(found[0].log_factor - found[1].log_factor) < 1e-6 * 30.0


def test_lines_that_hardly_overlap_are_independent(rng):
    """Three wings of 1e-7 change ln L by less than 1e-5; oracle: the same lines, cut off."""
    noise, apart = noise_of(rng), lines()
    near = apart + 1e-7 * apart[::-1]
    prior = LinearPrior(np.full(3, 0.5), np.full(3, 1.5), np.ones(3, bool))
    assert find_blocks(near, noise, prior) == ((0,), (1,), (2,))
    data = rng.normal(size=SHAPE)
    found, expected = (
        marginal_likelihood(data, cubes, noise, prior).log_likelihood for cubes in (near, apart)
    )
    assert found == pytest.approx(expected, abs=1e-5)


def test_one_or_two_need_no_declaration_where_jax_traces(rng):
    """One block is exact whatever they share; oracle: numpy, which looks at the numbers."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    noise, data = noise_of(rng), rng.normal(size=SHAPE)
    for cubes in (lines()[:1], lines()[1:], lines(0.7)[1:]):
        count = len(cubes)
        prior = LinearPrior(np.zeros(count), np.ones(count), np.ones(count, bool))
        expected = marginal_likelihood(data, cubes, noise, prior)
        with x64(True):
            found = jax.jit(
                lambda t, prior=prior: marginal_likelihood(data, t, noise, prior).log_likelihood
            )(jax.numpy.asarray(cubes))
        assert float(found) == pytest.approx(float(expected.log_likelihood), rel=1e-11)


def test_a_prior_nearly_all_below_zero_is_refused(rng):
    """Just above the limit, single precision is right to 1e-3; oracle: double precision."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    cut = np.ones(1, bool)
    with pytest.raises(ArdError, match=r"(?s)nearly all below zero.*-101 widths"):
        LinearPrior(np.array([-202.0]), np.array([2.0]), cut)
    LinearPrior(np.array([-202.0]), np.array([2.0]))
    noise, data = noise_of(rng), rng.normal(size=SHAPE)
    prior = LinearPrior(np.array([-99.0]), np.array([1.0]), cut)
    expected = marginal_likelihood(data, lines()[:1], noise, prior).log_ratio
    with x64(False):
        found = marginal_likelihood(data, jax.numpy.asarray(lines()[:1]), noise, prior).log_ratio
    assert found.dtype == np.float32
    assert float(found) == pytest.approx(float(expected), abs=1e-3)


def test_a_prior_without_numbers_says_so():
    jax = pytest.importorskip("jax")
    with pytest.raises(ArdError, match="sigma of the prior has no numbers"):
        jax.jit(lambda width: LinearPrior(np.zeros(1), width * np.ones(1)).mean)(1.0)
    assert LinearPrior([0.0], [1.0], [True]).constrained == (0,)


def test_every_pair_of_a_larger_set_is_looked_at():
    """Six amplitudes in three blocks; a correlation anywhere between blocks is found."""
    from ard.likelihood import linear

    blocks = ((0, 1), (2,), (3, 4))
    prior = LinearPrior(np.zeros(6), np.ones(6), np.array([1, 1, 1, 1, 1, 0], bool), blocks)
    for i, j in itertools.combinations(range(6), 2):
        covariance = np.eye(6)
        covariance[i, j] = covariance[j, i] = 0.3
        inner = 5 in (i, j) or any({i, j} <= set(block) for block in blocks)
        if inner:
            linear.cut_at_zero(np, prior, np.zeros(6), covariance)
        else:
            with pytest.raises(ArdError, match="different blocks"):
                linear.cut_at_zero(np, prior, np.zeros(6), covariance)
