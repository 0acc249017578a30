"""Residuals: what is masked, in which order, and what cannot be measured.

Oracle: the noise, the outliers and the lines that were put in.
"""

import dataclasses

import noises as cases
import numpy as np
import pytest

from ard.errors import ArdError
from pipeline.reduce.noise.channels import free_channels
from pipeline.reduce.noise.residuals import Limits, find_residuals, refit

LIMITS = Limits(spacing=25.0, n_sigma=5.0, min_used=0.5, odd_factor=1.5, min_spaxels=30)
SHAPE = (150, 10, 9)


def free(cube):
    return free_channels(cube.wave, cases.RBH1, 1200.0, 900.0, 24)


def test_noise_is_left_over_and_the_continuum_is_not():
    values = cases.draw(SHAPE, (0.0, 0.5, 0.5), 1)
    found = find_residuals(cases.make_cube(values), free(cases.make_cube(values)), LIMITS)
    assert not found.outliers.any()
    assert found.spaxels.all()
    # Of 150 channels, the splines take their share of the variance.
    share = 1 - found.basis.count / 150
    assert np.mean(found.pull**2) == pytest.approx(2.25 * share, rel=0.05)
    assert np.corrcoef(found.pull.ravel(), values.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_outliers_on_one_side_are_masked_and_leave_the_scale_alone(sign):
    """8 % of the voxels, from 20 to 1e5 times the noise, all of one sign."""
    values = cases.draw(SHAPE, (0.0, 0.5, 0.5), 2)
    rng = np.random.default_rng(3)
    hit = rng.random(SHAPE) < 0.08
    size = 20.0 * (1 - rng.random(SHAPE)) ** -1.2
    spoiled = np.where(hit, values + sign * np.minimum(size, 1e5), values)
    one, other = (cases.make_cube(v) for v in (values, spoiled))
    clean, found = (find_residuals(cube, free(cube), LIMITS) for cube in (one, other))
    assert found.outliers[hit].all()
    assert found.outliers[~hit].mean() < 1e-4
    used = found.used
    assert np.mean(found.pull[used] ** 2) == pytest.approx(np.mean(clean.pull[used] ** 2), rel=0.02)
    assert abs(np.mean(found.pull[used])) < 0.02


def test_a_bright_line_is_left_out_before_anything_is_clipped():
    """A line of 1000 sigma: neither an outlier, nor a dent in the continuum beside it."""
    values = cases.draw((120, 10, 9), (0.0, 0.3, 0.3), 4)
    centre = 0.6564632 * 1.964
    cube = cases.make_cube(values, first=centre - 60 * 0.000636)
    profile = 100.0 * np.exp(-0.5 * ((cube.wave - centre) / 0.0009) ** 2)
    bright = cube.replace(flux=cube.flux + profile[:, None, None])
    with_line, without = (find_residuals(c, free(c), LIMITS) for c in (bright, cube))
    np.testing.assert_array_equal(with_line.outliers, without.outliers)
    assert with_line.outliers.mean() < 1e-4
    np.testing.assert_allclose(with_line.pull, without.pull, atol=1e-5)


def test_a_spaxel_with_more_than_noise_is_left_out_not_its_voxels():
    values = cases.draw(SHAPE, (0.0, 0.5, 0.5), 5)
    values[:, 4, 4] += 6.0 * np.sin(np.arange(150) / 1.3)
    cube = cases.make_cube(values)
    found = find_residuals(cube, free(cube), LIMITS)
    assert np.argwhere(found.odd).tolist() == [[4, 4]]
    assert np.isnan(found.pull[:, 4, 4]).all()
    assert found.outliers[:, 4, 4].sum() <= 1


def test_spaxels_with_few_channels_are_not_measured():
    mask = np.zeros(SHAPE, bool)
    mask[20:, :, 0] = True
    mask[::3, 2, 2] = True
    cube = cases.make_cube(cases.draw(SHAPE, (0.0, 0.3, 0.3), 6), mask=mask)
    found = find_residuals(cube, free(cube), LIMITS)
    assert not found.spaxels[:, 0].any()
    assert found.spaxels[:, 1:].all()
    assert not (found.used & mask[found.index]).any()


def test_refitting_the_residuals_changes_nothing():
    cube = cases.make_cube(cases.draw(SHAPE, (0.2, 0.4, 0.4), 7))
    found = find_residuals(cube, free(cube), LIMITS)
    np.testing.assert_allclose(refit(found, found.pull), found.pull, atol=1e-4)


def test_too_few_spaxels_are_an_error():
    cube = cases.make_cube(cases.draw((150, 5, 4), (0.0, 0.3, 0.3), 8))
    with pytest.raises(ArdError, match="too few spaxels to measure the noise") as error:
        find_residuals(cube, free(cube), LIMITS)
    assert error.value.found == "20"


def test_all_masked_is_an_error():
    values = cases.draw(SHAPE, (0.0, 0.3, 0.3), 9)
    cube = cases.make_cube(values, mask=np.ones(SHAPE, bool))
    with pytest.raises(ArdError, match="too few spaxels"):
        find_residuals(cube, free(cube), LIMITS)


def test_constant_flux_is_an_error():
    cube = cases.make_cube(np.zeros(SHAPE))
    flat = cube.replace(flux=np.ones(SHAPE), var=np.full(SHAPE, 0.01))
    with pytest.raises(ArdError, match="do not scatter at all"):
        find_residuals(flat, free(flat), LIMITS)


def test_limits_are_as_strict_as_asked():
    cube = cases.make_cube(cases.draw(SHAPE, (0.0, 0.3, 0.3), 10))
    strict = dataclasses.replace(LIMITS, n_sigma=3.0)
    share = find_residuals(cube, free(cube), strict).outliers.mean()
    assert 0.001 < share < 0.006  # 0.0027 of a normal distribution
