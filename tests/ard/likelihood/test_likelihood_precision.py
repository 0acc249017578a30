"""Is the likelihood right in single precision, or not a number where it cannot be?

Oracle: the same in double precision, which tests of the dense covariance hold.
"""

import numpy as np
import pytest

from ard import likelihood
from ard.errors import ArdError
from ard.likelihood import LinearPrior, Noise


def correlation(n: int, rho: float):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    ("quality", "scale"), [(1.0, 1.0), (1.2, 1.0), (1.05, 1.05), (1.2, 1.2), (1.3, 1.15)]
)
def test_single_precision_is_safe(rng, quality, scale):
    """A window of a real cube, 228 536 voxels; oracle: the same in float64.

    `log_ratio` has to be right to 0.01. `log_likelihood` itself, a number of 4e5 here, is kept to
    a multiple of 1/32 in single precision, so that 1/64 more is lost however well it is summed.
    One error and one factor for all voxels is the worst case: all are rounded the same way.
    """
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    shape = (88, 53, 49)
    factors = tuple(
        likelihood.inverse_cholesky(correlation(n, rho))
        for n, rho in zip(shape, (0.2, 0.5, 0.4), strict=True)
    )
    noise = Noise(np.full(shape, 0.05), np.zeros(shape, bool), factors)
    white = rng.normal(size=shape)
    for axis, factor in enumerate(factors):
        white = np.moveaxis(np.tensordot(np.linalg.inv(factor), white, ([1], [axis])), 0, axis)
    line = np.exp(-0.5 * ((np.arange(88) - 40.0) / 3.0) ** 2)[:, None, None] * np.ones(shape)
    templates = np.stack([line, np.ones(shape)])
    data = 0.05 * quality * white + 2.0 * line + 1.0
    prior = LinearPrior(np.zeros(2), np.full(2, 10.0), np.ones(2, bool), ((0, 1),))
    model = 2.0 * line + 1.0
    scale = float(np.float32(scale))
    ours = likelihood.log_likelihood(data, model, noise.scaled(scale))
    marginal = likelihood.marginal_likelihood(data, templates, noise.scaled(scale), prior)
    with x64(False):

        def numbers(found):
            return found.log_ratio, found.log_likelihood

        def plain(cube, scale):
            return numbers(likelihood.log_likelihood(data, cube, noise.scaled(scale)))

        def summed(cubes, scale):
            scaled = noise.scaled(scale)
            return numbers(likelihood.marginal_likelihood(data, cubes, scaled, prior))

        factor = jax.numpy.asarray(scale)
        single = (
            jax.jit(plain)(jax.numpy.asarray(model), factor),
            jax.jit(summed)(jax.numpy.asarray(templates), factor),
        )
    for (ratio, value), reference in zip(single, (ours, marginal), strict=True):
        assert ratio.dtype == np.float32
        assert abs(float(ratio) - float(reference.log_ratio)) < 0.01
        assert abs(float(reference.log_likelihood)) > 2.0**17
        assert abs(float(value) - float(reference.log_likelihood)) < 0.01 + 1.0 / 64.0


# Templates besides a line and a constant, and how bright both are: 20 standard deviations, or more.
CONTINUA = {
    "centred": (lambda wave: [(wave - 1.83) / 0.03, ((wave - 1.83) / 0.03) ** 2], 1.0),
    "a parabola of the wavelength": (lambda wave: [wave, wave**2], 1.0),
    "nearly constant": (lambda wave: [1.0 + 0.03 * (wave - 1.83)], 1.0),
    "bright": (lambda wave: [wave], 100.0),
}


@pytest.mark.parametrize("name", CONTINUA)
def test_templates_that_are_nearly_one_are_refused_or_nan(name, rng):
    """What is left is right to 0.01 in single precision; oracle: double precision."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    make, level = CONTINUA[name]
    wave = np.linspace(1.80, 1.86, 20)[:, None, None] * np.ones((20, 20, 20))
    line = np.exp(-0.5 * ((wave - 1.83) / 0.004) ** 2)
    data = level * (line + 1.0) + rng.normal(0.0, 0.05, wave.shape)
    noise = Noise(np.full(wave.shape, 0.05), np.zeros(wave.shape, bool))
    templates = np.stack([line, np.ones_like(wave), *make(wave)]).astype(np.float32)
    prior = LinearPrior(np.zeros(len(templates)), np.full(len(templates), 1e3))

    def parts(cubes):
        found = likelihood.marginal_likelihood(data, cubes, noise, prior)
        return found.log_ratio, found.amplitudes

    fine, _ = parts(templates.astype(float))
    with x64(False):
        cubes = jax.numpy.asarray(templates)
        ratio, amplitudes = jax.jit(parts)(cubes)
        if name == "centred":
            assert float(ratio) == pytest.approx(float(fine), abs=0.01)
            return
        assert np.isnan(ratio)
        assert np.all(np.isnan(amplitudes))
        with pytest.raises(ArdError, match=r"(?s)cannot be told.*centre the polynomials"):
            parts(cubes)


def test_equal_templates_with_a_wide_prior_are_refused(rng):
    """Nor can double precision, where their sum is 10^12 times better known than each."""
    line = rng.normal(size=(4, 3, 5))
    noise = Noise(np.ones(line.shape), np.zeros(line.shape, bool))
    twins = np.stack([line, line])
    wide = LinearPrior(np.zeros(2), np.full(2, 1e12))
    with pytest.raises(ArdError, match="cannot be told"):
        likelihood.marginal_likelihood(line, twins, noise, wide)
