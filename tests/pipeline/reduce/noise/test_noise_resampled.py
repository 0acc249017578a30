"""Which variance has the difference of exposures that lie between one another's spaxels?

Oracles: dense linear algebra; closed forms; and noise that is drawn, resampled and counted.
"""

import noises
import numpy as np
import pytest
from scipy.linalg import toeplitz

from ard.errors import FormatError
from pipeline.reduce.combine.overlap import operator
from pipeline.reduce.noise import resampled
from pipeline.reduce.noise.resampled import Exposure, Region, difference

RHO_Y, RHO_X = 0.5, 0.4
FIELD = (7, 6)


def ar1(rho: float, size: int) -> np.ndarray:
    return toeplitz(rho ** np.arange(size))


def sky(size: int = 40) -> np.ndarray:
    """The correlation of AR(1) noise along both axes, negative lags at the end."""
    lag = np.minimum(np.arange(size), size - np.arange(size))
    return RHO_Y ** lag[:, None] * RHO_X**lag


def dense(field: tuple[int, int]) -> np.ndarray:
    return np.kron(ar1(RHO_Y, field[0]), ar1(RHO_X, field[1]))


def exposures(
    offsets: list[tuple[float, float]], draws: int, seed: int, angle: float = 0.0
) -> list[Exposure]:
    """Noise of known errors and correlation; draws stand where channels do, with equal errors."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(dense(FIELD))
    out = []
    for number, (dx, dy) in enumerate(offsets):
        err = rng.uniform(0.5, 1.5, FIELD)
        good = np.ones(FIELD, bool)
        good.ravel()[rng.choice(good.size, 3, replace=False)] = False
        noise = (root @ rng.standard_normal((err.size, draws))).T.reshape(draws, *FIELD)
        wcs = noises.sky(FIELD[1], FIELD[0], dx, dy, angle * number)
        part = np.broadcast_to(good, noise.shape)
        out.append(
            Exposure(f"e{number}", np.where(part, err * noise, 0.0), np.where(part, err, 0.0),
                     part, wcs)
        )  # fmt: skip
    return out


SOME = [(0.0, 0.0), (0.3, -0.4), (1.5, 0.2), (-0.7, 0.9)]


@pytest.mark.parametrize("angle", [0.0, 12.0])
def test_the_variance_is_that_of_the_whole_matrix(angle):
    """Oracle: A S R S A' with dense matrices; also for a turned field, with longer sums."""
    one, other = exposures([(0.0, 0.0), (0.35, 0.6)], 2, 1, angle)
    found = operator(other.wcs, FIELD, one.wcs, FIELD)
    err = other.err.reshape(2, -1).T
    products = resampled.lag_products(found.matrix, FIELD)
    value = resampled.resampled_variance(products, err, FIELD, sky())
    matrix = found.matrix.toarray() * err[:, 0]
    np.testing.assert_allclose(value[:, 0], np.diag(matrix @ dense(FIELD) @ matrix.T), rtol=1e-12)


def test_half_a_spaxel_off_correlation_counts():
    """Oracle: the mean of two neighbours has (1 + rho) / 2 of the variance."""
    one, other = exposures([(0.0, 0.0), (0.5, 0.0)], 1, 2)
    flat = [
        Exposure(e.filename, np.zeros((1, *FIELD)), np.ones((1, *FIELD)),
                 np.ones((1, *FIELD), bool), e.wcs)
        for e in (one, other)
    ]  # fmt: skip
    var = difference(flat[0], flat[1:], sky()).var[0, :, 1:]
    np.testing.assert_allclose(var, 1.0 + 0.5 * (1.0 + RHO_X), rtol=1e-6)


def test_the_diagonal_of_the_covariance_is_the_variance():
    one, *others = exposures(SOME, 2, 3, 5.0)
    found = difference(one, others, sky())
    seen = np.isfinite(found.var[1]).ravel()
    matrix = Region(found, np.arange(seen.size), sky()).covariance(1)
    np.testing.assert_allclose(np.diag(matrix)[seen], found.var[1].ravel()[seen], rtol=1e-12)


def test_drawn_noise_has_the_predicted_covariance():
    """Oracle: 20,000 draws, with masked voxels; no element beyond 5.5 of its standard errors.

    Of 666 elements, chance takes one there in 40,000 seeds.
    """
    draws = 20_000
    one, *others = exposures(SOME, draws, 4)
    found = difference(one, others, sky())
    seen = np.flatnonzero(np.isfinite(found.var[0]))
    assert 20 < seen.size < 39
    values = found.flux.reshape(draws, -1)[:, seen]
    matrix = Region(found, seen, sky()).covariance(0)
    counted = values.T @ values / draws
    variance = np.diag(matrix)
    error = np.sqrt((matrix**2 + np.outer(variance, variance)) / draws)
    assert (np.abs(counted - matrix) < 5.5 * error).all()
    # Without the correlation the prediction would be too small, and the draws would say so.
    alone = difference(one, others, (sky() == 1.0).astype(float)).var[0].ravel()[seen]
    off = [(np.diag(counted) - values) / np.diag(error) for values in (variance, alone)]
    assert abs(off[0].mean()) < 1.0 < 4.0 < off[1].mean()


def test_a_slope_on_the_sky_cancels_at_any_offset():
    """Oracle: areas of overlap keep what is straight."""
    flat = []
    for one in exposures(SOME, 1, 5):
        y, x = np.indices(FIELD)
        ra, dec = one.wcs.wcs_pix2world(x, y, 0)
        x0, y0 = noises.sky(FIELD[1], FIELD[0]).wcs_world2pix(ra, dec, 0)
        good = np.ones((1, *FIELD), bool)
        flat.append(
            Exposure(one.filename, (2.0 * x0 - y0)[None], good.astype(float), good, one.wcs)
        )
    # Two and two, so that no edge moves the middle of what is averaged.
    found = difference(flat[0], flat[1:2], sky()).flux[0, 1:-1, 1:-1]
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_whole_spaxels_are_only_moved():
    one, other = exposures([(0.0, 0.0), (2.0, 1.0)], 1, 6)
    found = difference(one, [other], sky())
    both = one.good[0, 1:, 2:] & other.good[0, :-1, :-2]
    expected = np.where(both, one.flux[0, 1:, 2:] - other.flux[0, :-1, :-2], np.nan)
    np.testing.assert_allclose(found.flux[0, 1:, 2:], expected, atol=1e-6)
    variance = np.where(both, one.err[0, 1:, 2:] ** 2 + other.err[0, :-1, :-2] ** 2, np.nan)
    np.testing.assert_allclose(found.var[0, 1:, 2:], variance, rtol=1e-6)
    assert np.isnan(found.flux[0, 0]).all()


def test_exposures_of_different_places_cannot_be_compared():
    one, other = exposures([(0.0, 0.0), (30.0, 0.0)], 1, 7)
    with pytest.raises(FormatError, match="does not fall on the grid"):
        difference(one, [other], sky())
