"""The noise of an image. Oracles: the correlation of an autoregression (closed form), the dense
matrix product, and draws."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from skyimages import correlated, gaussian, grid, image

from ard.errors import FormatError
from pipeline.reduce.imaging import noise, sources

SIZE, LAG, SIGMA = 301, 0.3, 0.02
WCS = grid(20.0, size=SIZE)
REACH = 4
NONE = np.zeros((SIZE, SIZE), bool)


@pytest.fixture(scope="module")
def blank():
    return image(0.1 + correlated(np.random.default_rng(5), SIZE, SIGMA, LAG), WCS)


@pytest.fixture(scope="module")
def found(blank):
    return noise.measure(blank, NONE, REACH, 20.0)


def test_sky_scatter_and_correlation_are_found(found):
    """Known to 1 / sqrt(90601 pixels), less for correlated ones: 1 % of sigma, 0.006 of lags."""
    assert found.sky == pytest.approx(0.1, abs=4 * SIGMA * 1.86 / SIZE)
    assert found.typical == pytest.approx(SIGMA, rel=0.02)
    lag = np.abs(np.arange(-REACH, REACH + 1))
    np.testing.assert_allclose(found.kernel, LAG ** (lag[:, None] + lag), atol=0.02)
    truth = (1 + LAG) / (1 - LAG)
    assert found.inflation == pytest.approx(truth, rel=0.06)


def test_apertures_scatter_as_predicted(blank, found):
    for side in (3, 8, 12):
        assert noise.aperture_ratio(blank, found, side, 20.0) == pytest.approx(1.0, abs=0.1)


def test_apertures_tell_of_noise_that_is_taken_to_be_independent(blank, found):
    alone = np.zeros_like(found.kernel)
    alone[REACH, REACH] = 1.0
    wrong = noise.Noise(found.sky, found.sigma, alone, found.blank, found.typical, np.nan)
    assert noise.aperture_ratio(blank, wrong, 8, 20.0) > 1.5


def test_covariance_is_the_dense_product(found):
    """Oracle: sums over a small image, with the correlation of every pair of pixels written out."""
    rng = np.random.default_rng(7)
    ny, nx = 9, 11
    sigma = rng.uniform(0.5, 1.5, (ny, nx))
    small = noise.Noise(0.0, sigma, found.kernel, sigma > 0, 1.0, np.nan)
    weights = rng.normal(size=(3, ny * nx)) * (rng.random((3, ny * nx)) < 0.4)
    y, x = (c.ravel() for c in np.indices((ny, nx)))
    dy, dx = y[:, None] - y, x[:, None] - x
    near = (np.abs(dy) <= REACH) & (np.abs(dx) <= REACH)
    pairs = np.where(near, found.kernel[np.clip(dy, -REACH, REACH) + REACH,
                                        np.clip(dx, -REACH, REACH) + REACH], 0.0)  # fmt: skip
    dense = pairs * np.outer(sigma, sigma)
    np.testing.assert_allclose(
        small.covariance(csr_matrix(weights)), weights @ dense @ weights.T, rtol=1e-9, atol=1e-12
    )


def test_sums_over_few_pixels_of_a_mosaic_need_no_planes_of_it(found):
    """Sixty sums over 20 pixels each: a plane each would be sixty, a few are allowed. Oracle of
    the numbers: the same sums on an image that is no larger than they need."""
    side, n, per_plane = 800, 60, 800 * 800 * 8
    rng = np.random.default_rng(17)
    y, x = 400 + rng.integers(0, 30, (n, 20)), 300 + rng.integers(0, 30, (n, 20))
    sums = np.repeat(np.arange(n), 20)
    value = rng.normal(size=sums.size)
    places = [(sums, (y * side + x).ravel()), (sums, ((y - 390) * 50 + x - 290).ravel())]
    large, small = (
        csr_matrix((value, where), shape=(n, size**2))
        for where, size in zip(places, (side, 50), strict=True)
    )
    images = [
        noise.Noise(0.0, np.full((s, s), 0.5), found.kernel, NONE, 0.5, np.nan) for s in (side, 50)
    ]
    tracemalloc.start()
    covariance = images[0].covariance(large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * per_plane
    np.testing.assert_allclose(covariance, images[1].covariance(small), rtol=1e-12, atol=1e-14)


def test_draws_have_the_covariance(found):
    """2,000 draws of three sums: standard deviations to 1/sqrt(4000) = 1.6 %."""
    rng = np.random.default_rng(11)
    shape = (40, 40)
    sigma = np.full(shape, 0.5)
    small = noise.Noise(0.0, sigma, found.kernel, sigma > 0, 0.5, np.nan)
    weights = np.zeros((3, 1600))
    weights[0, 820] = 1.0
    weights[1].reshape(shape)[10:15, 10:15] = 1.0
    weights[2].reshape(shape)[20:22, 5:35] = 1.0
    sums = np.array([weights @ small.draw(rng).ravel() for _ in range(2000)])
    predicted = np.sqrt(np.diag(small.covariance(csr_matrix(weights))))
    np.testing.assert_allclose(sums.std(axis=0), predicted, rtol=0.06)


def test_no_sum_has_a_negative_variance():
    """A correlation measured on few pixels has negative power somewhere; it is taken off."""
    rng = np.random.default_rng(2)
    kernel = noise.correlation(rng.normal(size=(30, 30)), 4)
    power = np.fft.fft2(np.fft.ifftshift(np.pad(kernel, 20))).real
    assert power.min() > -0.05
    assert kernel[4, 4] == 1.0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])


def test_background_that_varies_slowly_is_no_noise(blank, found):
    y, x = np.indices(blank.shape)
    tilted = image(blank.flux + 0.03 * np.sin(x / 80.0) * np.cos(y / 90.0), WCS)
    again = noise.measure(tilted, NONE, REACH, 20.0)
    assert again.inflation == pytest.approx(found.inflation, rel=0.06)


def test_photons_of_a_source_add_the_poisson_variance_of_its_light():
    """Oracle: an aperture over a bright source has the variance of its electrons."""
    seconds, flux = 500.0, 2000.0
    data = correlated(np.random.default_rng(3), SIZE, SIGMA, LAG)
    bright = image(
        data + gaussian(WCS, SIZE, tuple(WCS.wcs.crval), flux, 0.3), WCS, seconds=seconds
    )
    y, x = np.indices(bright.shape)
    around = np.hypot(y - 150, x - 150) < 30
    measured = noise.measure(bright, around, REACH, 20.0)
    variance = measured.covariance(csr_matrix(around.ravel()[None].astype(float)))[0, 0]
    sky = around.sum() * SIGMA**2 * ((1 + LAG) / (1 - LAG)) ** 2
    assert variance - sky == pytest.approx(flux / seconds, rel=0.15)


def test_errors_that_hold_the_photons_get_them_once():
    """Oracle: the variance of the draw, sky and Poisson, which ERR of an exposure gives; of a
    weight that is the variance of the sky alone, the photons are added. There the sum of 81 lags,
    each known to 1/sqrt(79000 pixels), takes part: 6 % of a variance, one sigma of 3 %."""
    seconds = 500.0
    light = gaussian(WCS, SIZE, tuple(WCS.wcs.crval), 2000.0, 1.0)
    truth = np.sqrt(SIGMA**2 + light / seconds)
    data = light + truth * np.random.default_rng(13).normal(size=light.shape)
    y, x = np.indices(light.shape)
    radius = np.hypot(y - 150, x - 150)
    for kind, err in (("total inverse variance", truth), ("inverse variance", SIGMA)):
        shot = image(data, WCS, seconds=seconds)
        weight = np.broadcast_to(err, light.shape) ** -2.0
        shot = type(shot)(**{**vars(shot), "weight": weight, "weight_kind": kind})
        found = noise.measure(shot, radius < 60, REACH, 20.0)
        ratio = found.sigma[radius < 10] / truth[radius < 10]
        assert ratio.mean() == pytest.approx(1.0, abs=0.09), kind


def test_weights_of_less_exposed_parts_make_larger_errors(blank):
    weight = np.where(np.arange(SIZE) < 150, 500.0, 2000.0) * np.ones((SIZE, 1))
    rng = np.random.default_rng(9)
    data = correlated(rng, SIZE, SIGMA, LAG) * np.sqrt(2000.0 / weight)
    uneven = image(data, WCS)
    uneven = type(uneven)(**{**vars(uneven), "weight": weight})
    found = noise.measure(uneven, NONE, REACH, 20.0)
    assert found.sigma[0, 0] / found.sigma[0, -1] == pytest.approx(2.0, rel=1e-6)
    assert found.sigma[0, -1] == pytest.approx(SIGMA, rel=0.02)


def test_an_image_without_sky_or_noise_is_refused(blank):
    with pytest.raises(FormatError, match="too little blank sky"):
        noise.measure(blank, ~NONE, REACH, 20.0)
    with pytest.raises(FormatError, match="do not scatter"):
        noise.measure(image(np.ones((SIZE, SIZE)), WCS), NONE, REACH, 20.0)


def test_sources_are_found_and_told_apart(blank):
    places = [WCS.all_pix2world(x, y, 0) for x, y in ((80, 90), (95, 90), (200, 220))]
    light = sum(gaussian(WCS, SIZE, tuple(map(float, p)), 3.0, 0.15) for p in places)
    found = sources.find(
        image(blank.flux + light, WCS), peak_sigma=5.0, edge_sigma=2.5, smoothing_pixels=1.5
    )
    assert sorted(map(tuple, found.peaks.astype(int))) == [(80, 90), (95, 90), (200, 220)]
    near = found.chosen(np.hypot(found.peaks[:, 0] - 80, found.peaks[:, 1] - 90) < 3)
    assert near[90, 80]
    assert not near[90, 95]
    assert found.any[220, 200]
    assert found.any.mean() < 0.01


def test_nothing_shines_in_a_blank_image(blank):
    found = sources.find(blank, peak_sigma=6.0, edge_sigma=2.5, smoothing_pixels=1.5)
    assert not found.any.any()
    assert found.peaks.shape == (0, 2)


def test_the_centre_of_a_source_scatters_as_its_error_says():
    """60 noises: the width of the pulls is known to 1/sqrt(120) = 9 %, their mean to 0.13."""
    rng = np.random.default_rng(21)
    place = tuple(float(v) for v in WCS.all_pix2world(150.3, 149.6, 0))
    source = gaussian(WCS, SIZE, place, 4.0, 0.25)
    pulls = []
    for _ in range(60):
        data = image(source + correlated(rng, SIZE, SIGMA, LAG), WCS)
        kernel = LAG ** np.add.outer(*[np.abs(np.arange(-4, 5))] * 2)
        known = noise.Noise(0.0, np.full((SIZE, SIZE), SIGMA), kernel, NONE, SIGMA, np.nan)
        centre = sources.centroid(data, known, (150.0, 150.0), 2.5)
        err = np.sqrt(np.diag(centre.covariance))
        pulls.append((np.array([centre.x, centre.y]) - [150.3, 149.6]) / err)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.45
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)


def test_a_place_without_source_is_refused(blank):
    measured = noise.measure(blank, NONE, REACH, 20.0)
    bright = gaussian(WCS, SIZE, tuple(float(v) for v in WCS.all_pix2world(170, 150, 0)), 50.0, 0.4)
    with pytest.raises(FormatError, match="no source has its centre"):
        sources.centroid(image(blank.flux + bright, WCS), measured, (155.0, 150.0), 4.0)
