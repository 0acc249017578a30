"""Sums over apertures: w'Cw by dense matrices, coverage as stated, optimal weights."""

from pathlib import Path

import numpy as np
import pytest
from loading import load

from ard.errors import ArdError
from ard.likelihood import Noise, inverse_cholesky, write_noise
from pipeline.reduce.apertures.covariance import ERR_ALONE, noise_of, read_given_noise
from pipeline.reduce.apertures.light import Gaussian, light_of
from pipeline.reduce.apertures.place import place
from pipeline.reduce.apertures.spectrum import extract, optimal_weights

cases = load(Path(__file__).with_name("aperture_cases.py"))
RBH1 = cases.RBH1
SHAPE = (6, 9, 8)


def small(seed=3, hole=True):
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, bool)
    if hole:
        mask[2, 4, 4] = mask[3, 4, 3] = mask[3, 5, 3] = True
    cube = cases.cube(SHAPE, seed=seed, mask=mask)
    sigma = rng.uniform(0.1, 0.3, SHAPE)
    return cube, sigma, mask


def noises():
    """One noise of every kind, unmasked; (name, noise, mask)."""
    _cube, sigma, mask = small()
    taps = np.zeros((2, 2, 2))
    taps[0, 0, 0], taps[1, 0, 0], taps[0, 1, 0], taps[0, 0, 1] = 1.2, -0.2, -0.3, -0.25
    _wave, y, x = cases.correlations(SHAPE)
    sky = np.kron(y, x)
    return {
        "independent": Noise(sigma, mask),
        "kronecker": cases.kronecker(sigma, mask),
        "sky": Noise(sigma, mask, (None, inverse_cholesky(sky)), masks="approximate"),
        "scaled": cases.kronecker(sigma, mask).scaled(np.linspace(1.0, 2.0, SHAPE[0])),
        "taps": Noise(sigma, mask, taps=taps, masks="approximate"),
    }


@pytest.mark.parametrize("kind", ["independent", "kronecker", "sky", "scaled"])
@pytest.mark.parametrize("method", ["box", "optimal"])
def test_the_covariance_is_that_of_the_weights(kind, method):
    """Oracle: w' C w with the dense covariance of all voxels, for every pair of channels."""
    cube, _, _ = small()
    noise = noises()[kind]
    voxels = noise_of(cube, cases.given(noise))
    placed = place(cases.aperture(), RBH1, cube.wcs, SHAPE[1:])
    light = light_of(placed, cube, None)
    found = extract(cube, voxels, placed, light, method=method, min_coverage=0.5)
    unit = cases.unit(cube)
    used = ~cube.mask.reshape(SHAPE[0], -1)[:, placed.spaxels]
    matrix = cases.dense(noise).reshape(SHAPE[0], 72, SHAPE[0], 72)
    inner = matrix[:, placed.spaxels][:, :, :, placed.spaxels]
    if method == "box":
        weights = placed.share * used
    else:
        weights = np.zeros(used.shape)
        for k in range(SHAPE[0]):
            o = used[k]
            solved = np.linalg.solve(inner[k][o][:, k][:, o], light[k, o])
            weights[k, o] = solved / (light[k, o] @ solved)
    expected = np.einsum("ks,kslt,lt->kl", weights, inner, weights) * np.outer(unit, unit)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-7, atol=1e-12 * expected.max())
    flux = np.where(used, cube.flux.reshape(SHAPE[0], -1)[:, placed.spaxels], 0.0)
    np.testing.assert_allclose(found.flux, (weights * flux).sum(axis=1) * unit, rtol=1e-9)


def test_taps_give_the_covariance_of_the_interior():
    """Oracle: the dense covariance of a cube so large that its edges are far away."""
    shape = (7, 15, 15)
    taps = np.zeros((2, 2, 2))
    taps[0, 0, 0], taps[1, 0, 0], taps[0, 1, 0], taps[0, 0, 1] = 1.2, -0.2, -0.3, -0.25
    noise = Noise(np.full(shape, 0.2), np.zeros(shape, bool), taps=taps)
    cube = cases.cube(shape)
    voxels = noise_of(cube, cases.given(noise))
    placed = place(cases.aperture(length_arcsec=0.3, width_arcsec=0.3), RBH1, cube.wcs, shape[1:])
    found = extract(
        cube, voxels, placed, light_of(placed, cube, None), method="box", min_coverage=0.5
    )
    matrix = cases.dense(noise).reshape(7, 225, 7, 225)[:, placed.spaxels][:, :, :, placed.spaxels]
    unit = cases.unit(cube)
    expected = np.einsum("s,kslt,t->kl", placed.share, matrix, placed.share) * np.outer(unit, unit)
    # The filter starts from nothing at the first channel and row; further in it has settled.
    np.testing.assert_allclose(found.covariance[4:, 4:], expected[4:, 4:], rtol=0.02)


def test_without_a_noise_product_err_alone_is_used_and_said():
    """Oracle: the closed form of independent voxels."""
    cube, _, _ = small(hole=False)
    voxels = noise_of(cube, None)
    assert (voxels.source, voxels.measured) == (ERR_ALONE, False)
    placed = place(cases.aperture(), RBH1, cube.wcs, SHAPE[1:])
    found = extract(
        cube, voxels, placed, light_of(placed, cube, None), method="box", min_coverage=0.5
    )
    expected = 0.1 * np.sqrt((placed.share**2).sum()) * cases.unit(cube)
    np.testing.assert_allclose(found.err, expected, rtol=1e-12)
    np.testing.assert_array_equal(found.correlation(1)[:-1], 0.0)


def test_correlation_is_passed_on_channel_by_channel():
    """Oracle: the correlation along wavelength that was put in (0.2, then nothing)."""
    cube, _sigma, _ = small(hole=False)
    noise = cases.kronecker(np.full(SHAPE, 0.2), np.zeros(SHAPE, bool))
    voxels = noise_of(cube, cases.given(noise))
    placed = place(cases.aperture(), RBH1, cube.wcs, SHAPE[1:])
    found = extract(
        cube, voxels, placed, light_of(placed, cube, None), method="box", min_coverage=0.5
    )
    np.testing.assert_allclose(found.correlation(1)[:-1], 0.2, rtol=1e-6)
    np.testing.assert_allclose(found.correlation(2)[:-2], 0.0, atol=1e-8)


def test_masked_voxels_are_missing_and_never_made_up_for():
    """Oracle: the sum over what is left, and the share of a known profile."""
    cube, _, mask = small()
    voxels = noise_of(cube, None)
    placed = place(cases.aperture(), RBH1, cube.wcs, SHAPE[1:])
    profile = Gaussian(0.0, 0.0, 0.2, 0.15, 0.0, 1.0, "a test")
    light = light_of(placed, cube, profile)
    found = extract(cube, voxels, placed, light, method="box", min_coverage=0.5)
    used = ~mask.reshape(SHAPE[0], -1)[:, placed.spaxels]
    np.testing.assert_allclose(found.coverage, (light * used) @ placed.share)
    np.testing.assert_allclose(light @ placed.share, 1.0)
    assert found.coverage[0] == pytest.approx(1.0)
    assert found.coverage[3] < found.coverage[2] < 1.0
    np.testing.assert_array_equal(found.response, found.coverage)
    strict = extract(cube, voxels, placed, light, method="box", min_coverage=0.99)
    np.testing.assert_array_equal(strict.mask, found.coverage < 0.99)
    assert np.isnan(strict.flux[strict.mask]).all()
    assert np.isfinite(strict.flux[~strict.mask]).all()


def test_a_source_with_the_profile_has_its_flux_in_both_methods():
    """Oracle: light without noise, put in by the same profile; channel 3 has holes."""
    cube, _, mask = small()
    placed = place(cases.aperture(), RBH1, cube.wcs, SHAPE[1:])
    profile = Gaussian(0.0, 0.0, 0.2, 0.15, 0.3, 1.0, "a test")
    light = light_of(placed, cube, profile)
    flux = np.zeros((SHAPE[0], 72))
    flux[:, placed.spaxels] = 5.0 * light
    flux = np.where(mask, np.nan, flux.reshape(SHAPE))
    bright = cube.replace(flux=flux)
    noise = cases.given(cases.kronecker(np.full(SHAPE, 0.2), mask))
    for method in ("box", "optimal"):
        found = extract(
            bright, noise_of(bright, noise), placed, light, method=method, min_coverage=0.3
        )
        np.testing.assert_allclose(found.flux / found.response, 5.0 * cases.unit(cube))


def test_no_other_unbiased_weights_are_better():
    """Oracle: Gauss-Markov - weights with w'p = 1 that are changed at random are noisier."""
    rng = np.random.default_rng(5)
    m = 7
    root = rng.normal(size=(m, m))
    matrix = root @ root.T + np.eye(m)
    sigma = np.sqrt(np.diag(matrix))
    p = rng.uniform(0.1, 1.0, m)
    used = np.ones((1, m), bool)
    w = optimal_weights(sigma[None], matrix / np.outer(sigma, sigma), p[None], used)[0]
    assert w @ p == pytest.approx(1.0)
    best = w @ matrix @ w
    assert best == pytest.approx(1.0 / (p @ np.linalg.solve(matrix, p)))
    for _ in range(50):
        other = w + 0.1 * (step := rng.normal(size=m)) - 0.1 * (step @ p) * p / (p @ p)
        assert other @ p == pytest.approx(1.0)
        assert other @ matrix @ other > best


def test_the_noise_product_of_another_cube_is_refused():
    cube, sigma, mask = small()
    other = Noise(sigma[:-1], mask[:-1])
    with pytest.raises(ArdError, match=r"small_noise.fits is not that of the cube small_s3d") as e:
        noise_of(cube, cases.given(other))
    assert "(6, 9, 8)" in e.value.expected
    assert "(5, 9, 8)" in e.value.found
    ends = (float(cube.wave[0]) + 0.1, float(cube.wave[-1]) + 0.1)
    with pytest.raises(ArdError, match="is not that of the cube") as e:
        noise_of(cube, cases.given(Noise(sigma, mask), ends_um=ends))
    assert f"{ends[0]:.6f}" in e.value.found
    right = (float(cube.wave[0]), float(cube.wave[-1]))
    assert noise_of(cube, cases.given(Noise(sigma, mask), ends_um=right)).measured


def test_a_noise_product_is_read_with_its_wavelengths(tmp_path):
    _, sigma, mask = small()
    path = tmp_path / "t001_noise.fits"
    write_noise(path, Noise(sigma, mask), meta={"WAVEMIN": 0.97, "WAVEMAX": 1.2})
    assert read_given_noise(path).ends_um == (0.97, 1.2)
    write_noise(path, Noise(sigma, mask), overwrite=True)
    found = read_given_noise(path)
    assert (found.ends_um, found.file) == (None, "t001_noise.fits")
