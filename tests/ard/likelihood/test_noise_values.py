"""Is a noise refused that would give a wrong number, and are the right ones taken as they are?

Oracle: scipy's multivariate normal with the dense covariance; for what is refused, the rule itself.
"""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ard import likelihood
from ard.errors import ArdError, FormatError
from ard.likelihood import Noise, exact_noise, inverse_cholesky, mask_more

SHAPE = (4, 3, 5)
UNMASKED = np.zeros(SHAPE, bool)


def falling(n: int, rho: float):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


MATRICES = tuple(falling(n, rho) for n, rho in zip(SHAPE, (0.3, 0.6, 0.4), strict=True))
DENSE = np.kron(np.kron(*MATRICES[:2]), MATRICES[2])


def upper(matrix):
    """Another whitener: P = U'U too, with zeros below the diagonal."""
    return np.linalg.cholesky(np.linalg.inv(matrix)).T


def symmetric_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors / np.sqrt(values)) @ vectors.T


def one_hole():
    mask = np.zeros(SHAPE, bool)
    mask[1, 1, 1] = mask[2, 0, 3] = True
    return mask


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_both_triangles_whiten(rng):
    sigma, data = rng.uniform(0.5, 2.0, SHAPE), rng.normal(size=SHAPE)
    dense = sigma.ravel()[:, None] * DENSE * sigma.ravel()
    expected = multivariate_normal(np.zeros(60), dense).logpdf(data.ravel())
    for factors in (
        tuple(map(inverse_cholesky, MATRICES)),
        tuple(map(upper, MATRICES)),
    ):
        noise = Noise(sigma, UNMASKED, factors)
        found = likelihood.log_likelihood(data, 0.0 * data, noise).log_likelihood
        assert found == pytest.approx(expected, rel=1e-10)
        used = ~one_hole().ravel()
        marginal = multivariate_normal(np.zeros(58), dense[np.ix_(used, used)])
        masked = mask_more(noise, one_hole())
        found = likelihood.log_likelihood(data, 0.0 * data, masked).log_likelihood
        assert found == pytest.approx(marginal.logpdf(data.ravel()[used]), rel=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        symmetric_root,
        lambda m: m,
        lambda m: -inverse_cholesky(m),
        lambda m: np.full_like(m, np.nan),
    ],
    ids=["symmetric root", "the correlation itself", "negated", "nan"],
)
def test_a_factor_whose_determinant_is_not_its_diagonal_is_refused(change):
    with pytest.raises(FormatError, match="no triangle"):
        Noise(np.ones(SHAPE), UNMASKED, (None, None, change(MATRICES[2])))


def test_so_is_a_fill_that_is_not_a_triangle_or_another(rng):
    """A root of P_mm that is symmetric gives the right chi2, and a wrong determinant."""
    noise = exact_noise(np.ones(SHAPE), one_hole(), correlations=MATRICES)
    block = np.linalg.inv(noise.fill) @ np.linalg.inv(noise.fill).T
    turned = symmetric_root(block + 0.1 * np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(FormatError, match="no triangle"):
        Noise(noise.sigma, noise.mask, noise.factors, fill=turned)
    for other in (np.eye(2), noise.fill * (1.0 + 1e-6)):
        with pytest.raises(FormatError, match="fill of the noise does not belong"):
            Noise(noise.sigma, noise.mask, noise.factors, fill=other)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64])
def test_flags_are_no_mask(kind):
    """The complement of a whole number is another number, never false."""
    flags = one_hole().astype(kind)
    with pytest.raises(FormatError, match="true and false"):
        Noise(np.ones(SHAPE), flags)
    for make in (
        lambda: exact_noise(np.ones(SHAPE), flags, correlations=MATRICES),
        lambda: mask_more(Noise(np.ones(SHAPE), UNMASKED), flags),
    ):
        with pytest.raises(FormatError, match="not one of the cube"):
            make()


def test_a_further_mask_has_the_shape_of_the_cube():
    with pytest.raises(FormatError, match="not one of the cube"):
        mask_more(Noise(np.ones(SHAPE), UNMASKED), np.arange(5) > 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_an_error_that_is_none_has_to_be_masked(value, tmp_path):
    sigma = np.where(one_hole(), value, 1.0)
    with pytest.raises(FormatError, match="errors of voxels that are used"):
        Noise(sigma, UNMASKED)
    assert Noise(sigma, one_hole()).logdet == 0.0
    with pytest.raises(FormatError, match="errors of voxels that are used"):
        Noise(sigma, np.ones(SHAPE, bool))


@pytest.mark.parametrize(
    "matrix",
    [4.0 * MATRICES[2], np.tril(MATRICES[2]), np.where(MATRICES[2] < 0.1, np.nan, MATRICES[2])],
    ids=["covariance", "half of it", "nan"],
)
def test_what_is_no_correlation_is_refused(matrix):
    with pytest.raises(ArdError, match="a correlation is not one"):
        exact_noise(np.ones(SHAPE), UNMASKED, correlations=(None, None, matrix))
    if matrix[0, 0] == 1.0:
        with pytest.raises(ArdError, match="a correlation is not one"):
            inverse_cholesky(matrix)


def test_a_correlation_of_single_precision_is_one(rng):
    """Its eigenvalues above 0.4 are moved by 1e-7 at most."""
    rough = tuple(matrix.astype(np.float32) for matrix in MATRICES)
    fine, found = (
        exact_noise(np.ones(SHAPE), one_hole(), correlations=m).logdet for m in (MATRICES, rough)
    )
    assert found == pytest.approx(fine, abs=60 * 3 * 1e-6)


def test_a_scaled_noise_does_not_repeat_what_has_no_scale():
    noise = exact_noise(np.ones(SHAPE), one_hole(), correlations=MATRICES)
    scaled = noise.scaled(2.0)
    assert {"_logdet_unscaled", "_holes", "_kept", "count"} <= set(vars(scaled))
    logdet = noise.logdet
    assert scaled.logdet == pytest.approx(logdet + 2.0 * 58 * np.log(2.0), rel=1e-14)
    assert scaled.scaled(0.5).logdet == pytest.approx(logdet, rel=1e-12)


def test_what_has_a_unit_or_a_mask_of_its_own_is_refused():
    """Their numbers alone would be those of another unit, or of bad voxels."""
    units = pytest.importorskip("astropy.units")
    with pytest.raises(FormatError, match="more than numbers"):
        Noise(np.ones(SHAPE) * units.Jy, UNMASKED)
    with pytest.raises(FormatError, match="more than numbers"):
        Noise(np.ma.array(np.ones(SHAPE), mask=one_hole()), UNMASKED)


def test_lists_and_the_byte_order_of_files_are_taken(rng):
    sigma = rng.uniform(0.5, 2.0, SHAPE).astype(np.float32)
    plain = Noise(sigma, one_hole()).scaled(np.array([1.0, 2.0, 1.0, 3.0]))
    for noise in (
        Noise(sigma.tolist(), one_hole().tolist(), scale=[1.0, 2.0, 1.0, 3.0]),
        Noise(sigma.astype(">f4"), one_hole()).scaled([1.0, 2.0, 1.0, 3.0]),
    ):
        assert noise.sigma.dtype.isnative
        assert noise.logdet == pytest.approx(plain.logdet, rel=1e-14)


def test_a_noise_that_is_traced_says_what_may_be():
    jax = pytest.importorskip("jax")
    with pytest.raises(ArdError, match=r"(?s)sigma of the noise has no numbers.*noise\.scaled"):
        jax.jit(lambda s: Noise(s * np.ones(SHAPE), UNMASKED).scale)(1.0)
