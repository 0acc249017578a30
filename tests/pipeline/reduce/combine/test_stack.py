"""Is a combination right in flux, variance, weight, mask and covariance?

Oracles: the simulated Level-3 cube, a dense reference in plain loops, closed forms, conservation of
flux, Monte Carlo, and invariances.
"""

import numpy as np
import pytest

import ard
from pipeline.reduce.combine.exposure import in_memory, open_exposure
from pipeline.reduce.combine.grid import Grid, GridMismatchError, common_grid, grid_of
from pipeline.reduce.combine.stack import Config, combine
from pipeline.simulate import TwinConfig, geometry, noise
from pipeline.simulate.twin import _HOT

AS_IS = Config(reject_sigma=0.0, min_exposures=1)
OFFSETS = ((0.0, 0.0, 0.0), (1.3, 0.6, 0.0), (0.45, 1.2, 0.02), (1.0, 2.0, 0.0))


def dithers(expose, moved, fluxes, **more):
    return [expose(f"e{k}", flux, moved(*OFFSETS[k]), **more) for k, flux in enumerate(fluxes)]


def hot_flagged(exposures, size: str):
    """The exposures with the voxels flagged on which the simulated detector has hot pixels."""
    config = TwinConfig(size=size)
    shape = geometry.window(size).exposure_shape
    hot = noise.hot_pixels(shape, config.rng(_HOT)) != 0
    flagged = []
    for exposure in exposures:
        part = exposure.channels(0, shape[0])
        used = part.good & ~hot
        cube = ard.Cube(
            part.flux, part.err**2, ~used, exposure.wave, exposure.wcs, weight=part.weight
        )
        flagged.append(in_memory(cube, exposure.filename))
    return flagged


@pytest.mark.parametrize("item", ["t001", "t002"])
@pytest.mark.parametrize("outliers", [False, True])
def test_the_simulated_level3_cube_is_given_back(item, outliers, twin, clean_twin, science, level3):
    """Oracle: its maker averages the dithers at whole spaxels, hot pixels left out."""
    folder = twin if outliers else clean_twin
    archive = level3(folder, item)
    exposures = science(folder, item)
    found = combine(
        hot_flagged(exposures, "tiny") if outliers else exposures, grid_of(archive), config=AS_IS
    )
    cube = ard.read_cube(next((folder / "archive").glob(f"*_{item}_*_s3d.fits")))
    np.testing.assert_array_equal(np.isfinite(found.flux), np.isfinite(cube.flux))
    # The maker adds in float32: rounding of the largest term, here an outlier.
    size = np.nanmax(np.abs([e.channels(0, 10**6).flux for e in exposures]), axis=(0, 2, 3))
    off = np.nanmax(np.abs(found.flux - cube.flux), axis=(1, 2))
    assert (off <= 4e-7 * size).all()
    known = np.isfinite(cube.var)
    assert (~known & np.isfinite(cube.flux)).sum() == 6  # the simulator takes six errors away
    np.testing.assert_allclose(np.sqrt(found.var[known]), cube.err[known], rtol=1e-6)
    np.testing.assert_array_equal(found.weight, cube.weight)
    np.testing.assert_array_equal((found.dq & 1) != 0, (cube.dq & 1) != 0)
    assert all(part.whole for part in found.parts)


def slow_combination(exposures, grid, operators):
    """Voxel by voxel, spaxel by spaxel, with dense matrices."""
    shape = (grid.wave.size, *grid.shape)
    flux, var = np.full(shape, np.nan), np.full(shape, np.nan)
    parts = [e.channels(0, grid.wave.size) for e in exposures]
    dense = [o.matrix.toarray() for o in operators]
    for k in range(shape[0]):
        for place in range(grid.shape[0] * grid.shape[1]):
            total = area = square = 0.0
            for part, matrix in zip(parts, dense, strict=True):
                for i in np.flatnonzero(matrix[place]):
                    if part.good[k].flat[i]:
                        total += matrix[place, i] * part.flux[k].flat[i]
                        square += (matrix[place, i] * part.err[k].flat[i]) ** 2
                        area += matrix[place, i]
            if area >= 0.1:
                flux[k].flat[place], var[k].flat[place] = total / area, square / area**2
    return flux, var


def test_flux_and_variance_are_those_of_plain_loops(expose, moved):
    rng = np.random.default_rng(11)
    fluxes = rng.normal(size=(4, 2, 6, 5))
    fluxes[rng.random(fluxes.shape) < 0.1] = np.nan
    exposures = dithers(expose, moved, fluxes, err=rng.uniform(0.1, 0.3, (2, 6, 5)))
    grid = common_grid(exposures)
    found = combine(exposures, grid, config=AS_IS)
    flux, var = slow_combination(exposures, grid, found.operators)
    np.testing.assert_allclose(found.flux, flux, atol=1e-12)
    np.testing.assert_allclose(found.var, var, atol=1e-12)
    assert [part.whole for part in found.parts] == [True, False, False, True]
    assert [part.good for part in found.parts] == [np.isfinite(f).sum() for f in fluxes]


def test_the_flux_of_a_source_is_kept(expose, moved):
    """Conservation: sources inside the field, offsets and turns of any size, drops of a spaxel."""
    image = np.zeros((1, 24, 22))
    image[0, 9:13, 8:12] = np.random.default_rng(4).uniform(0, 50, (4, 4))
    exposures = dithers(expose, moved, [image] * 4)
    found = combine(exposures, common_grid(exposures), config=AS_IS)
    # Turned by 0.02, the edge of the field is not covered evenly; the source is not there.
    assert np.nansum(found.flux) == pytest.approx(image.sum(), rel=1e-8)


def test_variance_and_covariance_are_those_of_many_draws(expose, moved):
    """Monte Carlo, 4000 channels are 4000 draws; the tolerances are 5 sigma of their scatter."""
    rng, n = np.random.default_rng(5), 4000
    err = rng.uniform(0.5, 2.0, (9, 8))
    exposures = [
        expose(
            f"e{k}",
            rng.normal(size=(n, 9, 8)) * err,
            moved(*OFFSETS[k]),
            err=np.broadcast_to(err, (n, 9, 8)),
            wave=1.0 + 1e-5 * np.arange(n),
        )
        for k in (1, 2)
    ]
    found = combine(exposures, common_grid(exposures), config=AS_IS)
    seen = ~found.mask[0]
    drawn, told = found.flux[:, seen].var(axis=0), found.var[0][seen]
    assert np.abs(drawn / told - 1).max() < 5 * np.sqrt(2 / n)
    # The covariance is for equal errors: compare it with draws of these.
    even = [
        expose(e.filename, rng.normal(size=(n, 9, 8)), e.wcs, err=1.0, wave=e.wave)
        for e in exposures
    ]
    again = combine(even, found.grid, config=AS_IS)
    inside = np.flatnonzero(seen.ravel())
    covariance = again.covariance()[inside][:, inside].toarray()
    sample = np.cov(again.flux.reshape(n, -1)[:, inside].T)
    assert np.abs(sample - covariance).max() < 5 * np.sqrt(2 / n) * covariance.max()
    np.testing.assert_allclose(covariance.diagonal(), again.var[0][seen], rtol=1e-9)


def test_the_correlation_of_half_a_spaxel_is_one_half(expose, moved):
    """Closed form: a mean of two neighbours shares one of them with the next."""
    exposures = [expose("a", np.zeros((1, 12, 12)), moved(0.5, 0.0))]
    found = combine(exposures, Grid(moved(), (12, 12), exposures[0].wave), config=AS_IS)
    kernel = found.kernel(2)
    by = {(x, y): r for x, y, r in zip(kernel.dx, kernel.dy, kernel.mean, strict=True)}
    assert by[0, 0] == pytest.approx(1)
    assert by[1, 0] == pytest.approx(0.5, abs=1e-7)
    assert max(abs(r) for place, r in by.items() if place not in ((0, 0), (1, 0))) < 1e-7


def test_whole_spaxels_of_exposure_and_grid_change_nothing(expose, moved):
    rng = np.random.default_rng(6)
    fluxes = rng.normal(size=(3, 2, 7, 6))
    here = [expose(f"e{k}", f, moved(k, 2 * k)) for k, f in enumerate(fluxes)]
    found = combine(here, common_grid(here))
    assert set(found.kernel(1).mean.tolist()) == {1.0, 0.0}
    there = [expose(f"e{k}", f, moved(k + 5, 2 * k - 3)) for k, f in enumerate(fluxes)]
    for others in (there, here[::-1]):
        again = combine(others, common_grid(others))
        np.testing.assert_allclose(again.flux, found.flux, rtol=1e-14)
        np.testing.assert_allclose(again.var, found.var, rtol=1e-14)
        np.testing.assert_array_equal(again.dq, found.dq)


def test_the_number_of_channels_at_a_time_changes_nothing(twin, science, level3):
    exposures, grid = science(twin, "t001"), grid_of(level3(twin, "t001"))
    one, other = (combine(exposures, grid, config=Config(chunk=n)) for n in (7, 80))
    for name in ("flux", "var", "weight", "dq", "scale"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_leaving_out_is_not_having(twin, science, level3):
    exposures, grid = science(twin, "t001"), grid_of(level3(twin, "t001"))
    left = exposures[1].filename
    found = combine(exposures, grid, leave_out=[left])
    expected = combine([e for e in exposures if e.filename != left], grid)
    np.testing.assert_array_equal(found.flux, expected.flux)
    assert left not in [part.filename for part in found.parts]
    with pytest.raises(ard.NotFoundError, match="left out is not there") as caught:
        combine(exposures, grid, leave_out=["nobody.fits"])
    assert left in caught.value.expected
    with pytest.raises(ard.FormatError, match="no exposure to combine"):
        combine(exposures, grid, leave_out=[e.filename for e in exposures])


def test_exposure_time_counts_where_asked_for(expose, moved):
    """Closed form: the weighted mean of two constants."""
    pair = [
        expose(f"e{t}", np.full((1, 8, 8), value), moved(), meta={"EFFEXPTM": t})
        for t, value in ((100.0, 1.0), (300.0, 5.0))
    ]
    grid = grid_of(pair[0])
    found = combine(pair, grid, config=Config(reject_sigma=0, weighting="exptime"))
    np.testing.assert_allclose(found.flux, 4.0)
    np.testing.assert_allclose(found.var, 0.01 * (0.25**2 + 0.75**2))


@pytest.mark.parametrize("wrong", [{}, {"EFFEXPTM": 0.0}, {"EFFEXPTM": "long"}])
def test_an_exposure_without_a_time_is_not_weighted_by_one(wrong, expose, moved):
    pair = [
        expose(f"{name}.fits", np.ones((1, 8, 8)), moved(), meta=meta)
        for name, meta in (("timed", {"EFFEXPTM": 3501.0}), ("timeless", wrong))
    ]
    grid = grid_of(pair[0])
    with pytest.raises(ard.FormatError, match="without a time") as caught:
        combine(pair, grid, config=Config(weighting="exptime"))
    assert caught.value.file == "timeless.fits"
    assert [part.weight for part in combine(pair, grid).parts] == [1.0, 1.0]


def test_small_drops_leave_holes_and_correlate_less(expose, moved):
    flux = np.ones((1, 10, 10))
    exposures = [expose("a", flux, moved(0.5, 0.5))]
    grid = Grid(moved(), (10, 10), exposures[0].wave)
    wide, small = (
        combine(exposures, grid, config=Config(pixfrac=p, reject_sigma=0)) for p in (1.0, 0.6)
    )
    np.testing.assert_allclose(small.flux[~small.mask], 1.0)
    shifted = [expose("a", flux, moved(0.4, 0.0))]
    wide, small = (
        combine(shifted, grid, config=Config(pixfrac=p, reject_sigma=0)).kernel(1).mean[1]
        for p in (1.0, 0.4)
    )
    # Closed form: shares 0.6 and 0.4 of a spaxel; of a drop of 0.4, 3/4 and 1/4.
    assert wide == pytest.approx(0.24 / 0.52, abs=1e-7)
    assert small == pytest.approx((0.75 * 0.25) / (0.75**2 + 0.25**2), abs=1e-6)


@pytest.mark.parametrize("pixfrac", [1.0, 0.8, 0.54, 0.4])
def test_exposures_count_alike_whatever_the_size_of_drops(pixfrac, expose, moved):
    """Closed form: the mean of 0, 1, 1 and 1, the first of them offset by whole spaxels."""
    offsets = [(0, 0), (0.5, 0.3), (0.3, 0.5), (0.5, 0.5)]
    made = [
        expose(f"e{k}", np.full((1, 12, 12), float(k > 0)), moved(*offset))
        for k, offset in enumerate(offsets)
    ]
    grid = grid_of(made[0])
    found = combine(made, grid, config=Config(pixfrac=pixfrac, reject_sigma=0))
    inner = np.s_[0, 2:-2, 2:-2]
    assert not found.mask[inner].any()
    np.testing.assert_allclose(found.flux[inner], 0.75, atol=1e-6)
    np.testing.assert_allclose(found.weight[inner], 4.0, atol=1e-6)


def test_cubes_of_other_wavelengths_are_refused_by_both_names(expose, moved):
    first = expose("first.fits", np.zeros((4, 6, 6)), moved())
    for wave in (first.wave + 1e-5, 1.1 * first.wave):
        other = expose("other.fits", np.zeros((4, 6, 6)), moved(), wave=wave)
        with pytest.raises(GridMismatchError, match="different wavelengths") as caught:
            combine([first, other], grid_of(first))
        assert "first.fits" in str(caught.value)
        assert "other.fits" in str(caught.value)
        with pytest.raises(GridMismatchError):
            common_grid([first, other])
    short = expose("short.fits", np.zeros((3, 6, 6)), moved())
    with pytest.raises(GridMismatchError, match=r"short.fits and first.fits"):
        combine([first, short], grid_of(first))


def test_an_exposure_without_a_good_voxel_is_reported_and_all_such_are_refused(expose, moved):
    empty = expose("empty.fits", np.full((2, 6, 6), np.nan), moved(1, 0))
    full = expose("full.fits", np.ones((2, 6, 6)), moved())
    found = combine([empty, full], grid_of(full), config=AS_IS)
    assert [part.good for part in found.parts] == [0, 72]
    np.testing.assert_allclose(found.flux, 1.0)
    with pytest.raises(ard.FormatError, match="no exposure has a voxel") as caught:
        combine([empty, empty], grid_of(full))
    assert "empty.fits" in str(caught.value)


def test_an_exposure_of_another_field_is_named(expose, moved):
    near, far = (expose(f"{n}.fits", np.ones((1, 6, 6)), moved(d)) for n, d in (("a", 0), ("b", 9)))
    with pytest.raises(ard.FormatError, match="does not fall on the grid") as caught:
        combine([near, far], grid_of(near))
    assert caught.value.file == "b.fits"


def test_flags_say_what_is_masked_and_why(expose, moved):
    flux = np.ones((1, 6, 6))
    flux[0, 2, 3] = np.nan
    exposures = [expose(f"e{k}", flux, moved()) for k in range(3)]
    found = combine(exposures, Grid(moved(), (6, 7), exposures[0].wave))
    dq = found.dq[0]
    assert dq[2, 3] == 1  # looked at, and not one can be used
    assert (dq[:, 6] == 513).all()  # nobody looked
    assert (np.delete(dq[:, :6].ravel(), 15) == 0).all()
    cube = found.cube()
    np.testing.assert_array_equal(cube.mask, np.isnan(found.flux))


@pytest.mark.real_data
def test_a_real_cube_twice_is_itself(shared_data):
    """A rotated grid, a gzipped file, and voxels without an error: the mean of two is the one."""
    path = shared_data / "jwst/ngc7469_Level3_ch4-short_s3d.fits.gz"
    cube, exposure = ard.read_cube(path), open_exposure(path)
    found = combine([exposure, exposure], common_grid([exposure, exposure]), config=AS_IS)
    assert found.grid.shape == cube.shape[1:]
    assert all(part.whole for part in found.parts)
    np.testing.assert_array_equal(found.mask, cube.mask)
    np.testing.assert_allclose(found.flux[~cube.mask], cube.flux[~cube.mask], rtol=1e-12)
    np.testing.assert_allclose(found.var[~cube.mask], cube.var[~cube.mask] / 2, rtol=1e-12)
    lacking = np.isfinite(cube.flux) & ~(np.isfinite(cube.var) & (cube.var > 0))
    assert found.parts[0].errorless == (lacking & ((cube.dq & 513) == 0)).sum()


def test_what_one_exposure_alone_shows_is_masked(expose, moved):
    flux = np.ones((1, 6, 6))
    pair = [expose("a", flux, moved()), expose("b", flux, moved(2, 0))]
    grid = common_grid(pair)
    found = combine(pair, grid)
    assert (~found.mask[0]).sum() == 24
    assert (found.dq[0, :, :2] == 1).all()
    alone = combine(pair, grid, leave_out=["b"])
    assert (~alone.mask[0]).sum() == 36
    assert not combine(pair, grid, config=AS_IS).mask.any()


@pytest.mark.parametrize(
    "wrong",
    [{"pixfrac": 0.0}, {"pixfrac": 1.1}, {"min_coverage": 0.0}, {"reject_sigma": -1.0},
     {"reject_samples": 1}, {"chunk": 0}, {"min_exposures": 0}, {"reject_slope": -0.1}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"needed|must be|or more"):
        Config(**wrong)
