"""Is the density of a block of spaxels that of these voxels, given all others?

Oracle: scipy's multivariate normal with the dense covariance of all used voxels, amplitudes in it:
the density of all, less that of all but the block.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ard.likelihood import LinearPrior, Noise, exact_noise
from pipeline.infer.conditional import Conditional, blocks_of
from pipeline.infer.families import Uniform
from pipeline.infer.posterior import Posterior
from pipeline.infer.prior import Parameter, Prior
from pipeline.infer.whitened import Whitened

SHAPE = (3, 3, 5)
PRIOR = Prior((Parameter("x", "1", Uniform(0.0, 4.0)), Parameter("w", "1", Uniform(0.5, 2.0))))
AMPLITUDES = LinearPrior(np.array([1.0, -0.5, 0.2]), np.array([2.0, 30.0, 0.7]))
BACKGROUND = np.ones((1, *SHAPE)) * np.array([0.9, 1.0, 1.1])[:, None, None]
DRAWS = np.array([[1.3, 0.8], [2.9, 1.7]])


def templates(values):
    """Two lines of one profile across the sky, each in channels of its own."""
    along = jnp.exp(-0.5 * ((jnp.arange(5.0) - values["x"]) / values["w"]) ** 2)
    sky = jnp.ones((3, 1)) * along
    return jnp.stack([sky * jnp.array(c)[:, None, None] for c in ((1.0, 0.4, 0.0), (0, 0.2, 1))])


def falling(n, rho):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def noise_and_covariance(mask):
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.5, 1.5, SHAPE)
    parts = [falling(n, rho) for n, rho in zip(SHAPE, (0.2, 0.5, 0.4), strict=True)]
    whole = np.kron(np.kron(*parts[:2]), parts[2]) * np.outer(sigma, sigma)
    return exact_noise(sigma, mask, correlations=parts), whole


def holes():
    """Single voxels, a whole spaxel, and a whole block of two by two."""
    mask = np.zeros(SHAPE, bool)
    mask[1, 0, 2] = mask[0, 1, 1] = True
    mask[:, 0, 4] = True
    mask[:, 2, :2] = True
    return mask


def dense(data, covariance, draw, voxels):
    """ln of the density of some voxels."""
    values = PRIOR.named(draw)
    cubes = np.concatenate([np.asarray(templates(values)), BACKGROUND]).reshape(3, -1)
    scaled = AMPLITUDES.sigma[:, None] * cubes
    whole = covariance + scaled.T @ scaled
    mean = AMPLITUDES.mean @ cubes
    part = np.ix_(voxels, voxels)
    return stats.multivariate_normal(mean[voxels], whole[part]).logpdf(data.ravel()[voxels])


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_density_of_a_block_given_all_others(double, masked):
    mask = holes() if masked else np.zeros(SHAPE, bool)
    noise, covariance = noise_and_covariance(mask)
    data = np.random.default_rng(5).normal(1.0, 1.5, SHAPE)
    posterior = Whitened(Posterior(PRIOR, templates, data, noise, AMPLITUDES, BACKGROUND))
    blocks = blocks_of(noise)
    total, found = Conditional(posterior, blocks)(DRAWS)
    assert found.shape == (2, len(blocks))
    used = np.flatnonzero(~mask)
    for number, draw in enumerate(DRAWS):
        whole = dense(data, covariance, draw, used)
        assert total[number] == pytest.approx(whole, abs=1e-9)
        for block, value in zip(blocks, found[number], strict=True):
            others = np.setdiff1d(used, block.voxels)
            expected = whole - dense(data, covariance, draw, others)
            assert value == pytest.approx(expected, abs=1e-9)


def test_of_independent_voxels_and_known_amplitudes_they_add_up(double):
    """Only there is the likelihood a product over blocks."""
    noise = Noise(np.full(SHAPE, 0.7), np.zeros(SHAPE, bool))
    known = LinearPrior(AMPLITUDES.mean, np.full(3, 1e-9))
    data = np.random.default_rng(6).normal(1.0, 1.5, SHAPE)
    posterior = Whitened(Posterior(PRIOR, templates, data, noise, known, BACKGROUND))
    total, found = Conditional(posterior, blocks_of(noise))(DRAWS)
    np.testing.assert_allclose(found.sum(axis=1), total, atol=1e-9)


def test_blocks_hold_every_used_voxel_once_and_none_that_is_masked():
    mask = holes()
    noise, _ = noise_and_covariance(mask)
    blocks = blocks_of(noise)
    assert len(blocks) == 5  # of 2 x 3, one is masked altogether
    voxels = np.concatenate([block.voxels for block in blocks])
    assert np.array_equal(np.sort(voxels), np.flatnonzero(~mask))
    sky = np.arange(15).reshape(3, 5)
    for block in blocks:
        assert set(block.voxels % 15) <= set(sky[block.rows, block.columns].ravel())


def test_blocks_are_made_smaller_where_memory_would_not_do():
    shape = (400, 60, 60)
    noise = Noise(np.broadcast_to(1.0, shape), np.zeros(shape, bool))
    side = blocks_of(noise, 3)[0].rows.stop
    assert side == 1
    small = dataclasses.replace(noise, sigma=noise.sigma[:20], mask=noise.mask[:20])
    assert blocks_of(small, 3)[0].rows.stop == 3
