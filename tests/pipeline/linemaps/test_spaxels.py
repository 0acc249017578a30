"""The linemaps stage: units, skipped groups, refusals, and the disc of NGC 7469."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from loading import load
from scipy.optimize import least_squares

import ard
from ard.errors import ArdError, UnitError
from manifests import Position, load_target
from pipeline.linemaps import spaxels
from pipeline.linemaps.linefit import Status
from pipeline.linemaps.spaxels import Config
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.lineset import line_set
from pipeline.reduce import ingest
from pipeline.reduce.instruments import lsf_for

cases = load(Path(__file__).with_name("linefit_cases.py"))
RBH1 = load_target("rbh1")
WAVE = 0.9703180286 + 0.000636 * np.arange(1447)
NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "TARGNAME": "RBH-1", "FILENAME": "t.fits"}
NY, NX = 3, 4
VELOCITY, SIGMA = -210.0, 130.0
# Amplitudes of each group in erg s-1 cm-2 arcsec-2; the wake is about this bright.
FLUX = {"oiii": 3e-17, "oi": 1e-17, "halpha": 5e-17, "sii": 2e-17, "siii": 1e-17}


def per_mjy_sr(wave):
    """Erg s-1 cm-2 arcsec-2 um-1 of 1 MJy/sr, by astropy's units."""
    from astropy import units as u

    one = (1 * u.MJy / u.sr).to(
        u.erg / u.s / u.cm**2 / u.um / u.arcsec**2, u.spectral_density(wave * u.um)
    )
    return one.value


@pytest.fixture(scope="module")
def cube():
    """Every line of RBH-1 at one velocity, on a continuum; noise in one spaxel only."""
    lsf = lsf_for(NIRSPEC, WAVE)
    edges = np.concatenate([WAVE - 0.000318, [WAVE[-1] + 0.000318]])
    density = np.zeros(WAVE.size)
    for group in RBH1.groups:
        lines = line_set(RBH1.group_lines(group.name), RBH1.redshift, edges, lsf)
        amplitudes = np.full(lines.n_free, FLUX[group.name])
        density += cases.slow_lines(edges, lines, VELOCITY, SIGMA, amplitudes)
    spectrum = density / per_mjy_sr(WAVE) + 1.2 - 0.1 * (WAVE - 1.4)
    flux = np.tile(spectrum[:, None, None], (1, NY, NX))
    flux[:, 1, 1] += np.random.default_rng(4).normal(size=WAVE.size) * 0.05
    mask = np.zeros(flux.shape, bool)
    mask[:, 0, 0] = True
    flux[:, 0, 0] = np.nan
    tip = RBH1.anchor
    return ard.Cube(
        flux=flux,
        var=np.full(flux.shape, 0.05**2),
        mask=mask,
        wave=WAVE,
        wcs=cases.tan_wcs(NX, NY, tip.ra_deg, tip.dec_deg),
        meta=NIRSPEC,
    )


@pytest.mark.parametrize(
    ("rest", "expected"), [(0.5008240, 4.63e-19), (0.6564632, 2.70e-19), (0.90711, 1.41e-19)]
)
def test_one_mjy_sr_in_one_voxel(rest, expected):
    # Oracle: science.md section 5, one voxel of 0.1" x 0.000636 um; and astropy's units.
    wave = rest * 1.964
    density = flux_density_per_mjy_sr(np.array([wave]))[0]
    assert density * 0.01 * 0.000636 == pytest.approx(expected, rel=5e-3)
    assert density == pytest.approx(per_mjy_sr(wave), rel=1e-12)


def test_every_group_comes_back(cube):
    # Oracle: inverse construction; fluxes were converted with astropy's units.
    maps = spaxels.run(cube=cube, target=RBH1, config=Config(tolerance=1e-6))["linemaps"]
    assert list(maps) == ["oiii", "oi", "halpha", "sii", "siii"]
    for group, found in maps.items():
        good = ~found.mask
        assert good.sum() == NY * NX - 1
        assert good[1, 1]
        good[1, 1] = False
        np.testing.assert_allclose(found["velocity"][good], VELOCITY, atol=0.1)
        # A continuum straight in f_nu is not quite straight in f_lambda: 1e-4 of it over a
        # window, 1e-3 of a faint line. And f_nu is taken as constant inside a channel.
        np.testing.assert_allclose(found["sigma"][good], SIGMA, rtol=2e-3)
        for line in RBH1.group_lines(group):
            expected = FLUX[group] * (line.ratio or 1.0)
            flux = found[f"flux_{line.name.lower()}"][good]
            np.testing.assert_allclose(flux, expected, rtol=2e-3)
        assert (found["velocity_err"][good] > 0).all()
        assert found.units["flux_" + RBH1.group(group).lines[0].lower()] == spaxels.FLUX_UNIT


def test_an_empty_spaxel_is_masked_and_nan(cube):
    found = spaxels.run(cube=cube, target=RBH1, config=Config())["linemaps"]["oiii"]
    assert found.mask[0, 0]
    assert found["status"][0, 0] == Status.TOO_FEW_CHANNELS
    assert found["n_used"][0, 0] == 0
    for name in ("velocity", "sigma", "snr", "chi2_dof", "flux_oiii5007", "flux_oiii5007_err"):
        assert np.isnan(found[name][0, 0])


def test_layers_and_meta_follow_the_format(cube, tmp_path):
    found = spaxels.run(cube=cube, target=RBH1, config=Config())["linemaps"]["halpha"]
    assert set(found.layers) == {
        *("velocity", "velocity_err", "sigma", "sigma_err", "snr", "chi2_dof", "n_used"),
        "chi2_continuum",
        *("status", "flux_nii6548", "flux_nii6548_err", "flux_halpha", "flux_halpha_err"),
        *("flux_nii6583", "flux_nii6583_err"),
    }
    assert found.meta["LINES"] == "NII6548, Halpha, NII6583"
    assert found.meta["ITEM"] == "rbh1"
    assert found.meta["SIMULATD"] is False
    assert "jwst_nirspec_g140m_disp" in found.meta["LSFSRC"]
    ard.write(tmp_path / "map.fits", found)
    again = ard.read(tmp_path / "map.fits")
    assert again.meta["LSFSRC"] == found.meta["LSFSRC"]
    np.testing.assert_allclose(again["velocity"], found["velocity"], rtol=1e-6)


def test_a_map_keeps_what_looked_and_when(cube, tmp_path):
    # What names and headers of released products are made of has to survive from cube to map.
    facts = {
        **{"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"},
        **{"TIMESYS": "UTC", "DATE-BEG": "2024-07-24T01:02:03", "DATE-END": "2024-07-24T09:08:07"},
        **{"XPOSURE": 14005.336, "PROGRAM": "03149"},
    }
    observed = cube.replace(meta={**facts, "FILENAME": "x_s3d.fits"})
    found = spaxels.run(cube=observed, target=RBH1, config=Config())["linemaps"]["oi"]
    ard.write(tmp_path / "map.fits", found)
    header = fits.getheader(tmp_path / "map.fits")
    assert {key: header[key] for key in facts} == facts
    assert "FILENAME" not in header


def test_errors_too_small_are_scaled_by_the_residuals(cube):
    # Oracle: construction. ERR is declared half of the noise that is there.
    rng = np.random.default_rng(12)
    flux = np.where(cube.mask, np.nan, np.nanmedian(cube.flux, axis=(1, 2))[:, None, None])
    noisy = cube.replace(
        flux=flux + rng.normal(size=cube.shape) * 0.10, var=np.full(cube.shape, 0.05**2)
    )
    maps = {
        scale: spaxels.run(cube=noisy, target=RBH1, config=Config(error_scale=scale))["linemaps"]
        for scale in ("none", "residual")
    }
    plain, scaled = (maps[scale]["oiii"] for scale in ("none", "residual"))
    good = ~plain.mask
    ratio = (scaled["velocity_err"] / plain["velocity_err"])[good]
    np.testing.assert_allclose(ratio, np.sqrt(np.maximum(plain["chi2_dof"][good], 1.0)))
    assert 1.6 < np.median(ratio) < 2.4
    np.testing.assert_array_equal(plain["velocity"], scaled["velocity"])
    assert np.nanmedian(plain["chi2_continuum"]) == pytest.approx(4.0, rel=0.3)
    assert scaled.meta["ERRSCALE"] == "residual"


def test_a_group_outside_the_range_is_skipped_and_named(cube):
    part = slice(380, 560)  # 1.21 to 1.33 um: [O I] to [S II]
    short = cube.replace(
        flux=cube.flux[part], var=cube.var[part], mask=cube.mask[part], wave=cube.wave[part]
    )
    maps = spaxels.run(cube=short, target=RBH1, config=Config())["linemaps"]
    assert list(maps) == ["oi", "halpha", "sii"]
    assert maps["oi"].meta["GRPSKIP"] == "oiii, siii"
    assert spaxels.covered_groups(short.wave_edges, RBH1) == ("oi", "halpha", "sii")


def test_a_line_outside_the_range_leaves_its_tie_intact(cube):
    # [S III] 9531 alone, its reference 9069 outside: the flux must be that of 9531 itself.
    part = slice(1340, 1447)
    red = cube.replace(
        flux=cube.flux[part], var=cube.var[part], mask=cube.mask[part], wave=cube.wave[part]
    )
    found = spaxels.run(cube=red, target=RBH1, config=Config())["linemaps"]["siii"]
    assert found.meta["LINES"] == "SIII9531"
    assert found.meta["LINEMISS"] == "SIII9069"
    assert found["flux_siii9531"][2, 2] == pytest.approx(FLUX["siii"] * 2.469, rel=2e-3)


def test_no_line_in_range_is_refused_with_range_and_lines(cube):
    nearby = replace(RBH1, redshift=0.0163)
    part = slice(0, 40)
    blue = cube.replace(
        flux=cube.flux[part], var=cube.var[part], mask=cube.mask[part], wave=cube.wave[part]
    )
    with pytest.raises(ArdError, match="covers no line of RBH-1") as caught:
        spaxels.run(cube=blue, target=nearby, config=Config())
    assert caught.value.found == "0.9703 to 0.9951 um"
    assert "H alpha at 0.6672 um" in caught.value.expected
    assert caught.value.file == "t.fits"


def test_a_target_outside_the_field_is_refused(cube):
    away = replace(RBH1, tip=Position(40.5, -8.35))
    with pytest.raises(ArdError, match="outside the field") as caught:
        spaxels.run(cube=cube, target=away, config=Config())
    assert caught.value.file == "t.fits"
    assert "pixel x" in caught.value.found
    assert caught.value.action


def test_the_antipode_is_outside_the_field_too(cube):
    away = replace(RBH1, tip=Position((RBH1.anchor.ra_deg + 180) % 360, -RBH1.anchor.dec_deg))
    with pytest.raises(ArdError, match="outside the field"):
        spaxels.run(cube=cube, target=away, config=Config())


def test_another_unit_is_refused(cube):
    with pytest.raises(UnitError, match="surface brightness"):
        spaxels.run(cube=cube.replace(unit="Jy"), target=RBH1, config=Config())


def test_an_unknown_instrument_needs_a_resolving_power(cube):
    stranger = cube.replace(meta={"INSTRUME": "MUSE", "FILENAME": "m.fits"})
    with pytest.raises(ArdError, match="line-spread function") as caught:
        spaxels.run(cube=stranger, target=RBH1, config=Config())
    assert "resolving_power" in caught.value.action
    found = spaxels.run(cube=stranger, target=RBH1, config=Config(resolving_power=900.0))
    assert "900" in found["linemaps"]["halpha"].meta["LSFSRC"]


def test_a_better_resolution_in_flight_widens_the_intrinsic_line(cube):
    # Oracle: closed form; the total width is what was observed, so sigma^2 grows by what the
    # line-spread function loses (H alpha: sigma 138 km/s).
    found = spaxels.run(cube=cube, target=RBH1, config=Config(lsf_gain=1.1))["linemaps"]["halpha"]
    lsf = lsf_for(NIRSPEC, WAVE).sigma_kms(0.6564632 * 1.964)
    expected = np.sqrt(SIGMA**2 + lsf**2 * (1 - 1.1**-2))
    assert found["sigma"][2, 2] == pytest.approx(expected, abs=1.0)
    assert "times 1.1" in found.meta["LSFSRC"]


def test_the_cube_own_lsf_wins(cube):
    own = ard.Lsf(np.array([0.9, 2.0]), np.array([0.001, 0.001]), "measured")
    found = spaxels.run(cube=cube.replace(lsf=own), target=RBH1, config=Config())
    assert found["linemaps"]["oi"].meta["LSFSRC"] == "measured"


@pytest.fixture(scope="module")
def disc(shared_data):
    target = load_target("ngc7469")
    archive = ard.read_cube(shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz")
    clean = ingest.run(cube=archive, target=target, config=ingest.Config())["cube"]
    return clean, spaxels.run(cube=clean, target=target, config=Config())["linemaps"]["siii"]


@pytest.mark.real_data
def test_ngc7469_has_the_published_numbers(disc):
    # Oracle: a fit by others (data/README.md): 539 spaxels with S/N > 8, -80 to +154 km/s
    # (5-95 %), sigma 83 km/s. That sigma still contains the instrument: ours, with line-spread
    # function (59 km/s) and channel width (95 km/s / sqrt(12)) put back, equals it to 1 km/s.
    clean, found = disc
    bright = ~found.mask & (found["snr"] > 8)
    assert 500 < bright.sum() < 600
    low, high = np.percentile(found["velocity"][bright], [5, 95])
    assert low == pytest.approx(-80.0, abs=10.0)
    assert high == pytest.approx(154.0, abs=10.0)
    observed = 18.713 * 1.0163
    channel = 0.006 / observed * 299792.458
    seen = np.sqrt(
        found["sigma"][bright] ** 2 + clean.lsf.sigma_kms(observed) ** 2 + channel**2 / 12
    )
    assert np.median(seen) == pytest.approx(83.0, abs=10.0)
    assert np.median(found["sigma"][bright]) == pytest.approx(51.0, abs=6.0)


@pytest.mark.real_data
def test_ngc7469_is_a_rotating_disc(disc):
    # Oracle: a rotating disc, v = v0 + V (2/pi) atan(R/R0) cos(angle to the axis), about the
    # galaxy's declared position: four parameters for some 550 velocities. Near the centre, where
    # the rotation curve rises, the velocity is also plainly proportional to the place on the axis.
    clean, found = disc
    bright = ~found.mask & (found["snr"] > 8)
    host = load_target("ngc7469").host
    x0, y0 = clean.wcs.all_world2pix(host.ra_deg, host.dec_deg, 0)
    y, x = np.nonzero(bright)
    x, y, velocity = x - x0, y - y0, found["velocity"][bright]

    def model(p):
        axis = x * np.cos(p[0]) + y * np.sin(p[0])
        radius = np.hypot(x, y)
        return p[1] + p[2] * 2 / np.pi * np.arctan(radius / p[3]) * axis / radius

    best = least_squares(lambda p: model(p) - velocity, [-0.5, 20.0, 150.0, 3.0]).x
    assert np.corrcoef(model(best), velocity)[0, 1] > 0.95
    assert np.std(velocity - model(best)) < 25.0
    assert 90.0 < best[2] < 150.0
    inner = np.hypot(x, y) < 8
    axis = (x * np.cos(best[0]) + y * np.sin(best[0]))[inner]
    assert np.corrcoef(axis, velocity[inner])[0, 1] > 0.9
