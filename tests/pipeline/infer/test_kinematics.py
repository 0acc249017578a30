"""The kinematics stage: layers, units, noise, bad input, and the disc of NGC 7469."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load
from scipy.special import ndtr

import ard
import schemas
from ard.errors import ArdError, UnitError
from ard.likelihood import Noise, inverse_cholesky
from ard.maps import Flag
from manifests import load_target
from pipeline.infer import kinematics
from pipeline.infer.kinematics import Config
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.reduce import ingest
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.reduce.noise import stage as noise_stage

lines = load(Path(__file__).parent.parent / "linemaps" / "linefit_cases.py")
cases = load(Path(__file__).with_name("spaxel_cases.py"))
RBH1 = load_target("rbh1")
WAVE = (0.9703180286 + 0.000636 * np.arange(1447))[480:540]  # H alpha and [N II]
NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "TARGNAME": "RBH-1", "FILENAME": "t.fits"}
NY, NX = 3, 4
ERROR = 0.02


@pytest.fixture(scope="module")
def cube():
    """H alpha and [N II] at -200 km/s in the first row, noise alone in the others."""
    from pipeline.lineset import line_set
    from pipeline.reduce.instruments import lsf_for

    edges = np.concatenate([WAVE - 0.000318, [WAVE[-1] + 0.000318]])
    found = line_set(RBH1.group_lines("halpha"), RBH1.redshift, edges, lsf_for(NIRSPEC, WAVE))
    density = lines.slow_lines(edges, found, -200.0, 120.0, np.array([1e-17, 6e-17]))
    rng = np.random.default_rng(21)
    correlation = cases.correlation_of(WAVE.size)
    noise = rng.normal(size=(NY, NX, WAVE.size)) @ np.linalg.cholesky(correlation).T
    flux = 1.2 + 2.0 * ERROR * np.moveaxis(noise, 2, 0)
    flux[:, 0] += (density / flux_density_per_mjy_sr(WAVE))[:, None]
    mask = np.zeros(flux.shape, bool)
    mask[:, 2, 3] = True
    tip = RBH1.anchor
    return ard.Cube(
        flux=flux,
        var=np.full(flux.shape, ERROR**2),
        mask=mask,
        wave=WAVE,
        wcs=lines.tan_wcs(NX, NY, tip.ra_deg, tip.dec_deg),
        meta=NIRSPEC,
    )


@pytest.fixture(scope="module")
def noise(cube):
    """Errors twice ERR, and channels that share noise: what the cube was made with."""
    factor = inverse_cholesky(cases.correlation_of(WAVE.size))
    sigma = np.where(cube.mask, 1.0, np.sqrt(cube.var))
    made = Noise(sigma, cube.mask, (factor, None, None), scale=2.0, masks="approximate")
    return GivenNoise(made, "t_noise.fits", (float(WAVE[0]), float(WAVE[-1])))


@pytest.fixture(scope="module")
def found(cube, noise):
    return kinematics.run(item="t001", cube=cube, noise=noise, target=RBH1, config=Config())


def test_what_was_put_in_comes_back(found):
    # Oracle: inverse construction, within four standard deviations.
    maps = found["kinematics"]
    data = maps["halpha"]
    for name, truth in {
        **{"velocity": -200.0, "sigma": 120.0, "flux_halpha": 6e-17},
        **{"flux_nii6548": 1e-17, "flux_nii6583": 2.942e-17},
    }.items():
        pull = (data[name][0] - truth) / data[f"{name}_err"][0]
        assert np.abs(pull).max() < 4.0, name
    assert (data["log_bayes"][0] > 20).all()
    assert (data["flag"][0] == 0).all()


def test_spaxels_without_a_line_are_flagged_and_stay(found):
    data = found["kinematics"]["halpha"]
    empty = data["flag"][1:].ravel()[:-1]
    assert (empty == Flag.NO_LINE).all()
    assert (data["log_bayes"][1:].ravel()[:-1] < 3).all()
    assert np.isfinite(data["velocity"][1]).all()
    assert data.mask[2, 3]
    assert data.mask.sum() == 1
    assert data["flag"][2, 3] == Flag.TOO_FEW_CHANNELS


def test_the_product_follows_its_schema(found, tmp_path):
    data = found["kinematics"]["halpha"]
    ard.write(tmp_path / "map.fits", data)
    from ard.describe import describe

    assert not schemas.validate(describe(tmp_path / "map.fits"), "kinematics")
    assert not schemas.validate({**found["posteriors"], "provenance": None}, "posteriors")
    assert data.units["flux_halpha_p975"] == kinematics.FLUX_UNIT
    assert "noise product" in data.meta["NOISESRC"]


def test_same_input_gives_the_same_numbers(cube, noise, found):
    again = kinematics.run(item="t001", cube=cube, noise=noise, target=RBH1, config=Config())
    for name, layer in found["kinematics"]["halpha"].layers.items():
        np.testing.assert_array_equal(again["kinematics"]["halpha"][name], layer)


def test_the_noise_of_the_product_counts(cube, noise, found):
    # Closed form: twice the errors, twice the spread (and a little more where channels share).
    alone = kinematics.run(item="t001", cube=cube, noise=None, target=RBH1, config=Config())
    ratio = (
        found["kinematics"]["halpha"]["velocity_err"]
        / alone["kinematics"]["halpha"]["velocity_err"]
    )
    assert 2.0 < np.median(ratio[0]) < 3.0
    assert "ERR alone" in alone["posteriors"]["noise"]


def test_a_wrong_redshift_is_said(cube, noise):
    away = replace(RBH1, redshift=0.9755)
    found = kinematics.run(item="t001", cube=cube, noise=noise, target=away, config=Config())
    assert found["posteriors"]["status"] == "not found"
    assert "redshift" in found["posteriors"]["sentence"]
    assert found["posteriors"]["groups"][0]["with_line"] == 0


def test_a_cube_that_is_masked_altogether_is_said(cube):
    blank = cube.replace(mask=np.ones(cube.shape, bool))
    found = kinematics.run(item="t001", cube=blank, noise=None, target=RBH1, config=Config())
    assert found["kinematics"]["halpha"].mask.all()
    assert "no spaxel has enough channels" in found["posteriors"]["sentence"]
    assert not schemas.validate({**found["posteriors"], "provenance": None}, "posteriors")


def test_no_line_in_range_is_refused(cube):
    with pytest.raises(ArdError, match="covers no line of RBH-1"):
        kinematics.run(
            item="t001", cube=cube, noise=None, target=replace(RBH1, redshift=0.1), config=Config()
        )


def test_noise_given_as_a_filter_is_that_given_as_a_matrix(cube):
    # Oracle: the closed form of x_k = x_(k-1) / 2 + e_k: variance 4/3, correlation 2^-lag. What a
    # filter whitens need not have the variance 1.
    sigma = np.where(cube.mask, 1.0, np.sqrt(cube.var))
    lag = np.abs(np.subtract.outer(*(np.arange(WAVE.size),) * 2))
    factors = (inverse_cholesky(0.5**lag), None, None)
    taps = np.array([1.0, -0.5])[:, None, None]
    maps = []
    for made in (
        Noise(sigma, cube.mask, taps=taps, masks="approximate"),
        Noise(sigma * np.sqrt(4.0 / 3.0), cube.mask, factors, masks="approximate"),
    ):
        noise = GivenNoise(made, "t_noise.fits", (float(WAVE[0]), float(WAVE[-1])))
        found = kinematics.run(item="t001", cube=cube, noise=noise, target=RBH1, config=Config())
        maps.append(found["kinematics"]["halpha"])
    for name in ("velocity_err", "sigma_err", "flux_halpha_err", "log_bayes"):
        np.testing.assert_allclose(maps[0][name], maps[1][name], rtol=1e-6)


def test_another_unit_is_refused(cube):
    with pytest.raises(UnitError, match="surface brightness"):
        kinematics.run(
            item="t001", cube=cube.replace(unit="Jy"), noise=None, target=RBH1, config=Config()
        )


def test_the_noise_of_another_cube_is_refused(cube, noise):
    other = GivenNoise(noise.noise, "other.fits", (1.0, 1.1))
    with pytest.raises(ArdError, match="is not that of the cube"):
        kinematics.run(item="t001", cube=cube, noise=other, target=RBH1, config=Config())


@pytest.mark.parametrize("wrong", [{"window_kms": 900.0}, {"n_draw": 100}, {"lsf_gain": 0.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)


@pytest.fixture(scope="module")
def disc(shared_data):
    """NGC 7469 with its measured noise, and the posterior of its spaxels."""
    target = load_target("ngc7469")
    archive = ard.read_cube(shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz")
    cube = ingest.run(cube=archive, target=target, config=ingest.Config())["cube"]
    made = noise_stage.run(
        item="ngc7469",
        cube=cube,
        target=target,
        exposures=None,
        roles=None,
        config=noise_stage.Config(),
    )
    noise = GivenNoise(made["noise"].noise, "noise.fits")
    config = Config()
    found = kinematics.run(item="ngc7469", cube=cube, noise=noise, target=target, config=config)
    return cube, noise, target, found


def fitted_by_lmfit(cube, noise, target, where):
    """Velocity, sigma and their errors of single spaxels, by lmfit with whitened residuals."""
    lmfit = pytest.importorskip("lmfit")
    line = target.lines[0]
    rest = line.wave_obs_um(target.redshift)
    edges = (cube.wave_edges / rest - 1.0) * 299792.458
    centre = 0.5 * (edges[1:] + edges[:-1])
    used = np.abs(centre) < 1600
    width = cube.lsf.sigma_kms(rest)
    whitener = noise.noise.factors[0]
    inverse = np.eye(used.sum()) if whitener is None else np.linalg.inv(whitener)
    correlation = inverse @ inverse.T if whitener is not None else inverse
    correlation = correlation[np.ix_(used, used)] if whitener is not None else correlation
    scale = np.broadcast_to(noise.noise.scale, cube.wave.shape)[used]
    density = flux_density_per_mjy_sr(cube.wave)[used]
    low, high = edges[:-1][used], edges[1:][used]
    rows = []
    for y, x in where:
        good = ~cube.mask[used, y, x] & ~noise.noise.mask[used, y, x]
        flux = (cube.flux[used, y, x] * density)[good]
        error = (np.sqrt(cube.var[used, y, x]) * scale * density)[good]
        white = np.linalg.inv(np.linalg.cholesky(correlation[np.ix_(good, good)]))
        unit = np.median(error)

        def residual(
            p, low=low, high=high, good=good, flux=flux, error=error, white=white, unit=unit
        ):
            total = np.hypot(width, p["sigma"].value)
            share = ndtr((high - p["v"].value) / total) - ndtr((low - p["v"].value) / total)
            model = (
                p["f"].value * share + p["a"].value + p["b"].value * np.linspace(-1, 1, low.size)
            )
            return white @ ((flux - unit * model[good]) / error)

        best = None
        for start in (-100.0, 0.0, 120.0):
            p = lmfit.Parameters()
            peak = float(np.max(flux) / unit)
            p.add("v", start, min=-1000, max=1000)
            p.add("sigma", 60.0, min=0.0, max=600)
            p.add("f", peak)
            p.add("a", float(np.median(flux) / unit))
            p.add("b", 0.0)
            tried = lmfit.minimize(residual, p, scale_covar=False)
            best = tried if best is None or tried.chisqr < best.chisqr else best
        q = best.params
        rows.append(
            [q["v"].value, q["v"].stderr or np.nan, q["sigma"].value, q["sigma"].stderr or np.nan]
        )
    return np.array(rows)


@pytest.mark.real_data
def test_ngc7469_agrees_with_another_fitter(disc):
    # Oracle: lmfit, least squares of the same whitened spectra from three starts. At S/N > 8 the
    # posterior is nearly Gaussian, so that its mean is the best fit within a small part of its
    # width, and its width the error.
    cube, noise, target, found = disc
    data = found["kinematics"]["siii"]
    snr = data["flux_siii18713"] / data["flux_siii18713_err"]
    bright = ~data.mask & (snr > 8) & (data["flag"] == 0)
    assert bright.sum() > 200
    where = np.argwhere(bright)[::8]
    fitted = fitted_by_lmfit(cube, noise, target, where)
    y, x = where.T
    off = (data["velocity"][y, x] - fitted[:, 0]) / data["velocity_err"][y, x]
    # A continuum of 1e4 errors, or fluxes of 100, move nothing; a skewed posterior does.
    assert np.median(np.abs(off)) < 0.1
    assert np.percentile(np.abs(off), 90) < 0.4
    known = np.isfinite(fitted[:, 1])
    ratio = (data["velocity_err"][y, x] / fitted[:, 1])[known]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)
    resolved = known & (fitted[:, 2] > 3 * fitted[:, 3])
    assert resolved.sum() > 10
    wide = (data["sigma"][y, x] - fitted[:, 2]) / data["sigma_err"][y, x]
    assert np.median(np.abs(wide[resolved])) < 0.25
    assert np.percentile(np.abs(wide[resolved]), 90) < 0.6


@pytest.mark.real_data
def test_ngc7469_has_the_published_numbers(disc):
    # Oracle: a fit by others (data/README.md): 539 spaxels with S/N > 8, -80 to +154 km/s (5-95 %).
    # Theirs is in units of ERR alone, which makes a larger sample than the measured noise.
    cube, _, target, measured = disc
    found = kinematics.run(item="ngc7469", cube=cube, noise=None, target=target, config=Config())
    data = found["kinematics"]["siii"]
    bright = ~data.mask & (data["flux_siii18713"] > 8 * data["flux_siii18713_err"])
    assert 500 < bright.sum() < 600
    low, high = np.percentile(data["velocity"][bright], [5, 95])
    assert low == pytest.approx(-80.0, abs=10.0)
    assert high == pytest.approx(154.0, abs=10.0)
    assert np.median(data["sigma"][bright]) == pytest.approx(51.0, abs=6.0)
    assert measured["posteriors"]["status"] == "found"
    assert measured["posteriors"]["groups"][0]["below_gate"] == 0


def test_two_components_are_layers_of_their_own(cube, noise, found, tmp_path):
    # Oracle: the stage without them, and the schemas; the cube has one component.
    config = Config(two_components=True)
    both = kinematics.run(item="t001", cube=cube, noise=noise, target=RBH1, config=config)
    data = both["kinematics"]["halpha"]
    for name, layer in found["kinematics"]["halpha"].layers.items():
        np.testing.assert_array_equal(data[name], layer)
    tried = data["log_bayes"] >= config.two_from_log_bayes
    tried &= data["flag"].astype(int) & Flag.ONE_CHANNEL == 0
    np.testing.assert_array_equal(np.isfinite(data["two_log_bayes"]), tried)
    assert tried.sum() == NX
    assert (data["two_log_bayes"][0] < 3.0).all()
    row = both["posteriors"]["groups"][0]
    assert (row["two_tried"], row["two_found"]) == (NX, 0)
    assert "lower velocity" in both["posteriors"]["prior"]["second"]
    ard.write(tmp_path / "map.fits", data)
    from ard.describe import describe

    assert not schemas.validate(describe(tmp_path / "map.fits"), "kinematics")
    assert not schemas.validate({**both["posteriors"], "provenance": None}, "posteriors")
    assert data.units["two_flux_halpha_2_err"] == kinematics.FLUX_UNIT
    with pytest.raises(ValueError, match="two_components must be off"):
        Config(two_components=True, offset_kms=5.0)
