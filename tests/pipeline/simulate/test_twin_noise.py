"""Is the noise shaped like that of the real cubes?"""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.simulate import geometry, noise

MAD = 1.482602218505602


def _lag(field: NDArray[np.float32], shift: tuple[int, int, int]) -> float:
    """Correlation of a zero-mean, unit-variance field with itself, shifted."""
    near = field[tuple(slice(None, -s or None) for s in shift)]
    far = field[tuple(slice(s, None) for s in shift)]
    return float((near * far).mean())


def test_error_follows_the_measured_curve() -> None:
    """Oracle: archive_and_formats.md 2.3: 0.045-0.06 below 1.5 um, 0.10-0.12 above 1.55 um,
    0.16 at 1.81 and 1.875 um."""
    curve = noise.error_curve(geometry.window("full").wave)
    wave = geometry.window("full").wave
    assert 0.044 < curve[wave < 1.5].min() < curve[wave < 1.5].max() < 0.061
    red = (wave > 1.55) & (wave < 1.78)
    assert 0.099 < curve[red].min() < curve[red].max() < 0.121
    for spike in (1.81, 1.875):
        assert curve[np.argmin(np.abs(wave - spike))] == pytest.approx(0.16, abs=0.01)


def test_noise_has_unit_variance_and_the_measured_correlations() -> None:
    """Oracle: measured on real IFU cubes: 0.17-0.24 along wavelength, 0.4-0.6 between spaxels,
    0.14-0.30 at two, 0.21-0.41 on the diagonal."""
    field = noise.correlated((200, 40, 40), np.random.default_rng(5))
    assert field.dtype == np.float32
    assert field.var() == pytest.approx(1.0, abs=0.03)
    assert field[:, 0].var() == pytest.approx(1.0, abs=0.06)  # no run-in at the border
    assert _lag(field, (1, 0, 0)) == pytest.approx(0.2, abs=0.02)
    assert _lag(field, (2, 0, 0)) == pytest.approx(0.0, abs=0.02)
    for shift in ((0, 1, 0), (0, 0, 1)):
        assert _lag(field, shift) == pytest.approx(0.5, abs=0.02)
    for shift in ((0, 2, 0), (0, 0, 2), (0, 1, 1)):
        assert _lag(field, shift) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("edge", "low", "high"), [(2, 1.45, 1.6), (3, 1.7, 2.0), (5, 2.1, 2.7)])
def test_apertures_are_noisier_than_quadrature(edge: int, low: float, high: float) -> None:
    """Oracle: measured on real cubes: 1.51-1.58, 1.76-1.98 and 2.1-2.7 for 2, 3, 5 spaxels."""
    field = noise.correlated((300, 30, 30), np.random.default_rng(6))
    sums = field.reshape(300, 30 // edge, edge, 30 // edge, edge).sum(axis=(2, 4))
    assert low < sums.std() / edge < high


def test_outliers_have_the_tails_of_the_real_cubes() -> None:
    """Oracle: the Pareto law they are drawn from, and the caps."""
    cube = noise.hits((400, 49, 47), np.random.default_rng(7))
    assert cube.min() < -1e4
    assert cube.min() >= -2 * 4.5e5
    # Share above A of the brightest voxel of a hit: 0.003 (600/A)^1.857; neighbours add to it.
    expected = 0.003 * (600 / 3000) ** 1.857 * (1 + 2 * 0.5**1.857 + 0.25**1.857)
    assert (cube < -3000).mean() == pytest.approx(expected, rel=0.2)
    hot = noise.hot_pixels((400, 49, 47), np.random.default_rng(8))
    assert hot.min() == 0
    assert 60 < np.percentile(hot, 99) < 180  # 117 in the real imprint cube
    assert hot.max() > 5e3


def test_exposure_scatters_more_than_its_error_admits() -> None:
    """Oracle: the ratio asked for, by the median absolute deviation."""
    rng = np.random.default_rng(9)
    shape = (100, 30, 30)
    error = noise.error_cube(geometry.window("full").wave[:100], shape, rng)
    data = noise.expose(np.zeros(shape, np.float32), error, np.zeros(shape, np.float32), 1.9, rng)
    ratio = MAD * np.median(np.abs(data.sci / data.err))
    assert ratio == pytest.approx(1.9, rel=0.02)
    # Four exposures are averaged, so that one is twice as noisy.
    level = 2 * noise.error_curve(geometry.window("full").wave[:100])
    np.testing.assert_allclose(np.median(data.err, axis=(1, 2)), level, rtol=0.05)


def test_leakage_is_positive_and_the_same_in_every_channel() -> None:
    leak = noise.leakage((5, 20, 20), np.random.default_rng(1))
    assert leak.min() >= 0
    assert leak.max() > 0.3
    np.testing.assert_array_equal(leak[0], leak[4])
