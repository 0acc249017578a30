"""Ingest: what it masks, what it measures, what it refuses (oracle: what was planted)."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

import ard
from manifests import Position, load_target
from pipeline.reduce import ingest, quality
from pipeline.reduce.ingest import Config

RBH1 = load_target("rbh1")


def sky(nx: int, ny: int) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [RBH1.anchor.ra_deg, RBH1.anchor.dec_deg]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    wcs.wcs.set()
    return wcs


def noise_cube(seed: int = 0, scale: float = 1.9, shape=(120, 14, 12), rho: float = 0.0):
    """Noise that scatters `scale` times more than ERR says; AR(1) in wavelength with `rho`."""
    rng = np.random.default_rng(seed)
    flux = rng.normal(0, 1, shape)
    for k in range(1, shape[0]):
        flux[k] = rho * flux[k - 1] + np.sqrt(1 - rho**2) * flux[k]
    err = 0.08 * np.ones(shape)
    mask = np.zeros(shape, bool)
    mask[:, :2] = True
    flux = np.where(mask, np.nan, flux * scale * err)
    return ard.Cube(
        flux, err**2, mask, 1.20 + 0.000636 * np.arange(shape[0]), sky(shape[2], shape[1]),
        dq=np.where(mask, 513, 0).astype(np.uint32),
        weight=np.where(mask, 0.0, 8.0),
        meta={"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP", "FILENAME": "x.fits"},
    )  # fmt: skip


def run(cube, **settings):
    return ingest.run(cube=cube, target=RBH1, config=Config(**settings))


def test_the_noise_is_measured():
    result = run(noise_cube(scale=1.9, rho=0.2))
    noise = result["seen"]["noise"]
    # 144 spaxels: one channel is good to 10 %, the median of 120 channels to about 1 %; the
    # running median over 25 correlated channels takes away some 4 %
    assert noise["scatter_over_err"] == pytest.approx(1.9, rel=0.07)
    assert noise["correlation"]["wave_lag1"] == pytest.approx(0.2, abs=0.05)
    assert abs(noise["correlation"]["x_lag1"]) < 0.05
    assert len(noise["scale"]) == 120
    assert result["seen"]["target_pixel"] == {"x": 5.5, "y": 6.5}


def test_flux_and_errors_stay_as_they_were_and_outliers_are_masked():
    cube = noise_cube()
    flux = np.array(cube.flux)
    flux[50, 6, 6] = -5e4
    flux[70, 8, 3] = 90.0
    spoilt = cube.replace(flux=flux)
    result = run(spoilt)
    clean = result["cube"]
    np.testing.assert_array_equal(clean.flux, spoilt.flux)
    np.testing.assert_array_equal(clean.var, spoilt.var)
    assert np.argwhere(clean.mask & ~cube.mask).tolist() == [[50, 6, 6], [70, 8, 3]]
    assert clean.dq[50, 6, 6] == 17
    assert clean.lsf is not None
    voxels = result["seen"]["voxels"]
    assert (voxels["outliers_negative"], voxels["outliers_positive"]) == (1, 1)
    assert voxels["masked_fraction"] == pytest.approx(clean.mask.mean())


def test_disagreeing_signs_are_counted():
    """Oracle: real MIRI cubes, in which 98 voxels have a flux and no error."""
    cube = noise_cube()
    var, mask, dq, weight = (np.array(v) for v in (cube.var, cube.mask, cube.dq, cube.weight))
    var[3, 5, :3], mask[3, 5, :3] = np.nan, True
    weight[4, 5, :2], mask[4, 5, :2] = 0.0, True
    dq[5, 5, 0], mask[5, 5, 0] = 1, True
    dq[6, 0, 0] = 0
    seen = run(cube.replace(var=var, mask=mask, dq=dq, weight=weight))["seen"]["consistency"]
    assert seen["flux_without_error"] == 3
    assert seen["weightless_without_nan"] == 2
    assert seen["flag_without_nan"] == 1
    assert seen["nan_without_flag"] == 1
    assert seen["nan_with_weight"] == 0


def test_a_few_absurd_errors_are_masked():
    cube = noise_cube()
    var = np.array(cube.var)
    var[20, 7, 7] = 5.6e27**2
    result = run(cube.replace(var=var))
    assert result["cube"].mask[20, 7, 7]
    assert result["seen"]["voxels"]["absurd_errors"] == 1
    assert result["seen"]["err"]["max"] == pytest.approx(0.08)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_many_absurd_errors_are_refused(share):
    cube = noise_cube()
    var = np.array(cube.var)
    var[np.random.default_rng(1).random(cube.shape) < share] = 5.6e27**2
    with pytest.raises(ard.FormatError, match="errors of this cube are absurd") as caught:
        run(cube.replace(var=var))
    assert "x.fits" in str(caught.value)
    assert "5.6e+27" in str(caught.value)


def test_a_cube_without_a_valid_spaxel_is_refused():
    cube = noise_cube()
    with pytest.raises(ard.FormatError, match="no valid spaxel"):
        run(cube.replace(mask=np.ones(cube.shape, bool)))


def test_wavelengths_that_move_with_the_earth_are_refused():
    with pytest.raises(ard.FormatError, match="another frame"):
        run(noise_cube().replace(specsys="TOPOCENT"))


def test_a_target_outside_the_field_is_refused():
    far = replace(RBH1, tip=Position(RBH1.anchor.ra_deg + 0.01, RBH1.anchor.dec_deg))
    with pytest.raises(ard.FormatError, match="outside the field") as caught:
        ingest.run(cube=noise_cube(), target=far, config=Config())
    assert "what to do" in str(caught.value)
    # on the other side of the sky the projection has no pixel at all
    antipode = replace(RBH1, tip=Position(220.0, 8.0))
    with pytest.raises(ard.FormatError, match="outside the field"):
        ingest.run(cube=noise_cube(), target=antipode, config=Config())


def test_the_quality_document_counts_what_the_maps_show():
    velocity = np.array([[10.0, 20.0, 30.0], [np.nan, 50.0, 60.0]])
    layers = {
        "velocity": velocity,
        "sigma": np.full((2, 3), 40.0),
        "snr": np.array([[9.0, 10.0, 2.0], [np.nan, 20.0, 30.0]]),
        "chi2_dof": np.ones((2, 3)),
        "n_used": np.array([[20.0, 20, 20], [0, 20, 20]]),
    }
    units = {"velocity": "km/s", "sigma": "km/s", "snr": "", "chi2_dof": "", "n_used": ""}
    mask = np.array([[False, False, False], [True, False, True]])
    linemap = ard.Map(layers, units, mask, sky(3, 2))
    seen = run(noise_cube())["seen"]
    document = quality.run(
        item="x", seen=seen, linemaps={"halpha": linemap}, config=quality.Config()
    )["quality"]
    row = document["maps"][0]
    assert (row["n_spaxels"], row["n_fitted"], row["n_detected"]) == (5, 4, 3)
    assert row["velocity_median_kms"] == 20.0  # of 10, 20 and 50
    assert document["cube"]["noise_ratio"] == seen["noise"]["scatter_over_err"]


@pytest.mark.real_data
def test_ngc7469_is_ingested(shared_data):
    """Oracle: measured on the same file by others: scatter 1.7-2.1, lag-1 0.17-0.24, 0.40-0.60."""
    cube = ard.read_cube(shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz")
    result = ingest.run(cube=cube, target=load_target("ngc7469"), config=Config())
    noise, seen = result["seen"]["noise"], result["seen"]
    assert 1.6 < noise["scatter_over_err"] < 2.1
    assert 0.15 < noise["correlation"]["wave_lag1"] < 0.26
    assert 0.38 < noise["correlation"]["x_lag1"] < 0.62
    assert set(seen["consistency"].values()) == {0, 46963}
    # a nearby bright galaxy: hits of single voxels, and no line or fringe, are taken out
    assert seen["voxels"]["outliers_positive"] < 30
    assert seen["voxels"]["outliers_negative"] == 0
