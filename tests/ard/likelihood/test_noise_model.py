"""Does a document give the noise that it describes? Oracle: dense covariance of the voxels."""

import numpy as np
import pytest
from scipy.linalg import toeplitz

from ard.errors import ArdError, FormatError
from ard.likelihood import Noise, noise_from_model

SHAPE = (5, 4, 3)
MODEL = {
    "scale": {"value": [1.5, 1.6, 1.7, 1.8, 1.9]},
    "kronecker": {"wave": [1.0, 0.2], "y": [1.0, 0.5, 0.2], "x": [1.0, 0.4]},
    "taps": [[[1.2, -0.4], [-0.5, 0.2]]],
}


def arrays(seed: int = 1):
    rng = np.random.default_rng(seed)
    mask = rng.random(SHAPE) < 0.1
    return np.exp(0.2 * rng.standard_normal(SHAPE)), mask, rng.standard_normal(SHAPE)


def dense_chi2(sigma, mask, residual, scale):
    axes = [
        toeplitz(np.pad(s, (0, 5))[:n])
        for s, n in zip(MODEL["kronecker"].values(), sigma.shape, strict=True)
    ]
    root = (sigma * np.asarray(scale)[:, None, None]).ravel()
    covariance = np.kron(np.kron(axes[0], axes[1]), axes[2]) * np.outer(root, root)
    used = ~mask.ravel()
    part = covariance[np.ix_(used, used)]
    r = residual.ravel()[used]
    return r @ np.linalg.solve(part, r), np.linalg.slogdet(part)[1]


def test_the_kronecker_form_is_the_dense_covariance():
    sigma, mask, residual = arrays()
    noise = noise_from_model(MODEL, sigma, mask)
    chi2, logdet = dense_chi2(sigma, mask, residual, MODEL["scale"]["value"])
    assert np.sum(noise.whiten(residual) ** 2) == pytest.approx(chi2, rel=1e-10)
    assert noise.logdet == pytest.approx(logdet, rel=1e-10)


def test_a_part_has_the_scale_of_its_channels():
    sigma, mask, residual = arrays()
    part = np.s_[1:4]
    noise = noise_from_model(MODEL, sigma[part], mask[part], channels=slice(1, 4))
    chi2, logdet = dense_chi2(sigma[part], mask[part], residual[part], [1.6, 1.7, 1.8])
    assert np.sum(noise.whiten(residual[part]) ** 2) == pytest.approx(chi2, rel=1e-10)
    assert noise.logdet == pytest.approx(logdet, rel=1e-10)


def test_a_part_of_other_channels_is_refused():
    sigma, mask, _ = arrays()
    wave = 1.0 + 0.001 * np.arange(5)
    document = MODEL | {"scale": MODEL["scale"] | {"wave_um": wave.tolist()}}
    part = np.s_[1:4]
    noise = noise_from_model(document, sigma[part], mask[part], channels=part, wave=wave[part])
    same = noise_from_model(document, sigma[part], mask[part], channels=part)
    assert noise.logdet == same.logdet
    for wrong in (wave[2:5], wave[1:3], wave[part] + 2e-5):
        with pytest.raises(FormatError, match="other wavelengths than the channels"):
            noise_from_model(document, sigma[part], mask[part], channels=part, wave=wrong)
    with pytest.raises(FormatError, match="that of adjacent channels"):
        noise_from_model(document, sigma[::2], mask[::2], channels=slice(None, None, 2))


def test_the_filter_is_the_one_of_the_document():
    sigma, _, residual = arrays()
    none = np.zeros(SHAPE, bool)
    noise = noise_from_model(MODEL, sigma, none, form="fir")
    direct = Noise(sigma, none, taps=np.array(MODEL["taps"])).scaled(np.arange(1.5, 2.0, 0.1))
    np.testing.assert_allclose(noise.whiten(residual), direct.whiten(residual))
    assert noise.logdet == pytest.approx(direct.logdet)


@pytest.mark.parametrize("form", ["kronecker", "fir"])
def test_masks_are_exact_unless_that_is_given_up(form):
    sigma, mask, _ = arrays()
    assert not noise_from_model(MODEL, sigma, mask, form=form).approximate
    assert noise_from_model(MODEL, sigma, mask, form=form, masks="approximate").approximate
    with pytest.raises(ArdError, match="too many voxels"):
        noise_from_model(MODEL, sigma, mask, form=form, limit=2)


def test_an_axis_without_correlation_has_no_factor():
    sigma, mask, _ = arrays()
    model = {**MODEL, "kronecker": {**MODEL["kronecker"], "wave": [1.0]}}
    noise = noise_from_model(model, sigma, mask, masks="approximate")
    assert noise.factors is not None
    assert noise.factors[0] is None
    assert noise.factors[1] is not None


def test_what_does_not_fit_is_refused():
    sigma, mask, _ = arrays()
    with pytest.raises(FormatError, match="does not have the channels of the noise model"):
        noise_from_model(MODEL, sigma[:3], mask[:3])
    with pytest.raises(FormatError, match="no such form"):
        noise_from_model(MODEL, sigma, mask, form="diagonal")
