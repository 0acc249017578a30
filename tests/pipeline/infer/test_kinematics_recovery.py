"""Posteriors against the truth: the model's error is told from noise, and only where there is one.

One field, columns 0 to 9 of which have one Gaussian each, columns 10 to 19 a blend of two.
"""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from loading import load
from scipy import optimize, stats

import ard
import schemas
from ard.errors import FormatError, NotFoundError
from ard.likelihood import Noise, inverse_cholesky
from manifests import load_target
from pipeline.infer import kinematics, recovery
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.lineset import line_set
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.reduce.instruments import lsf_for

lines = load(Path(__file__).parent.parent / "linemaps" / "linefit_cases.py")
cases = load(Path(__file__).with_name("spaxel_cases.py"))
RBH1 = load_target("rbh1")
WAVE = (0.9703180286 + 0.000636 * np.arange(1447))[:44]  # [O III]
EDGES = np.append(WAVE - 0.000318, WAVE[-1] + 0.000318)
NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "TARGNAME": "RBH-1", "FILENAME": "t.fits"}
SHAPE = (24, 20)
ERROR, FLUX = 0.02, 8e-17
# Share of light, velocity and dispersion of what a spaxel blends.
ONE = ((1.0, -150.0, 110.0),)
TWO = ((0.8, -200.0, 60.0), (0.2, 220.0, 60.0))
BLENDED = np.arange(SHAPE[1]) >= 10


def profile(parts):
    """Give the light of [O III] in MJy/sr."""
    found = line_set(RBH1.group_lines("oiii"), RBH1.redshift, EDGES, lsf_for(NIRSPEC, WAVE))
    light = sum(
        lines.slow_lines(EDGES, found, v, s, np.array([share * FLUX])) for share, v, s in parts
    )
    return light / flux_density_per_mjy_sr(WAVE)


def moments(parts):
    share, v, s = np.array(parts).T
    mean = (share * v).sum()
    return mean, np.sqrt((share * (s**2 + v**2)).sum() - mean**2)


@pytest.fixture(scope="module")
def field():
    """Give what `recovery.run` reads, but for the maps."""
    sky = np.empty((WAVE.size, *SHAPE))
    sky[:, :, ~BLENDED], sky[:, :, BLENDED] = (
        profile(ONE)[:, None, None],
        profile(TWO)[:, None, None],
    )
    sky += 1.2
    correlation = cases.correlation_of(WAVE.size)
    rng = np.random.default_rng(41)
    noise = rng.normal(size=(*SHAPE, WAVE.size)) @ np.linalg.cholesky(correlation).T
    cube = ard.Cube(
        flux=sky + ERROR * np.moveaxis(noise, 2, 0),
        var=np.full(sky.shape, ERROR**2),
        mask=np.zeros(sky.shape, bool),
        wave=WAVE,
        wcs=lines.tan_wcs(*SHAPE[::-1], RBH1.anchor.ra_deg, RBH1.anchor.dec_deg),
        meta=NIRSPEC,
    )
    known = Noise(np.full(sky.shape, ERROR), cube.mask, (inverse_cholesky(correlation), None, None))
    both = np.array([moments(TWO if blended else ONE) for blended in BLENDED]).T
    layers = {
        name: np.broadcast_to(row, SHAPE)
        for name, row in zip(("velocity_oiii5007", "sigma_oiii5007"), both, strict=True)
    }
    whole = {"flux_oiii5007": np.full(SHAPE, FLUX), "flux_oiii4959": np.full(SHAPE, FLUX / 3)}
    return {
        "item": "t001",
        "cube": cube,
        "noise": GivenNoise(known, "t_noise.fits", (float(WAVE[0]), float(WAVE[-1]))),
        "target": RBH1,
        "truth": {"t001": layers | whole},
        "noiseless": {"t001": sky},
    }


@pytest.fixture(scope="module")
def maps(field):
    inputs = {name: field[name] for name in ("item", "cube", "noise", "target")}
    return kinematics.run(**inputs, config=kinematics.Config())["kinematics"]


def rows_of(field, maps, blended):
    """Give the rows of one half of the field, by quantity."""
    found = maps["oiii"]
    part = found.replace(mask=found.mask | (blended != BLENDED))
    config = recovery.Config(snr_edges=(5.0,))
    document = recovery.run(**field, kinematics={"oiii": part}, config=config)["recovery"]
    assert not schemas.validate({**document, "provenance": None}, "kinematics-recovery")
    return {row["quantity"]: row for row in document["rows"]}


@pytest.fixture(scope="module")
def control(field, maps):
    return rows_of(field, maps, blended=False)


@pytest.fixture(scope="module")
def blend(field, maps):
    return rows_of(field, maps, blended=True)


@pytest.mark.parametrize("quantity", ["velocity", "sigma"])
def test_where_the_model_is_right_coverage_is_what_it_says(control, quantity):
    # Oracle: the binomial distribution, 240 spaxels; without noise the truth is fitted.
    row = control[quantity]
    assert row["n_compared"] == 240
    for share in ("68", "95"):
        held = round(row["n_compared"] * row[f"coverage_{share}"])
        assert stats.binomtest(held, 240, float(share) / 100).pvalue > 0.01
    assert row["pull_rms"] == pytest.approx(1.0, abs=0.14)  # three sigma of 240
    assert row["model_pull_rms"] < 0.02


@pytest.mark.parametrize("quantity", ["velocity", "sigma"])
def test_a_blend_is_error_of_the_model_not_of_the_noise(blend, control, quantity):
    # Oracle: construction; noise does as before, the truth is missed.
    row = blend[quantity]
    assert row["n_compared"] == 240
    assert row["model_pull_rms"] > 2.0
    assert row["coverage_95"] < 0.5 < control[quantity]["coverage_95"]
    # A model that is wrong also says too little of its scatter, but not by much.
    assert 0.45 < row["expected_coverage_68"] < 0.8
    assert 0.8 < row["noise_pull_rms"] < 1.4
    both = row["model_pull_rms"] ** 2 + row["noise_pull_rms"] ** 2
    assert row["pull_rms"] == pytest.approx(np.sqrt(both), rel=0.1)


def test_the_fit_without_noise_is_that_of_least_squares(blend):
    # Oracle: scipy's, of the profile itself, with the same weights.
    found = line_set(RBH1.group_lines("oiii"), RBH1.redshift, EDGES, lsf_for(NIRSPEC, WAVE))
    response = kinematics.response_of(
        ard_cube(), RBH1, "oiii", lsf_for(NIRSPEC, WAVE), kinematics.Config().window_kms
    )
    channels = response.windows.channels
    density = flux_density_per_mjy_sr(WAVE)[channels]
    correlation = cases.correlation_of(WAVE.size)[np.ix_(channels, channels)]
    white = np.linalg.inv(np.linalg.cholesky(correlation)) / (ERROR * density)
    data = (profile(TWO)[channels] + 1.2) * density

    def residual(point):
        light = lines.slow_lines(EDGES, found, point[0], point[1], np.ones(1))[channels]
        columns = white @ np.column_stack([light, cases.slow_continuum(response)])
        best = np.linalg.lstsq(columns, white @ data, rcond=None)[0]
        return columns @ best - white @ data

    best = optimize.least_squares(residual, [-200.0, 150.0], x_scale=[100.0, 100.0]).x
    for value, truth, quantity in zip(best, moments(TWO), ("velocity", "sigma"), strict=True):
        assert blend[quantity]["model_bias_kms"] == pytest.approx(value - truth, abs=1.5)


def ard_cube():
    """Give a cube of the wavelengths alone."""
    blank = np.zeros((WAVE.size, 1, 1))
    return ard.Cube(
        flux=blank, var=blank + 1.0, mask=blank > 0, wave=WAVE, meta=NIRSPEC,
        wcs=lines.tan_wcs(1, 1, RBH1.anchor.ra_deg, RBH1.anchor.dec_deg),
    )  # fmt: skip


def test_bins_share_the_spaxels(field, maps, control, blend):
    # Oracle: the counts above; the blend is the broader line, of lower S/N.
    config = recovery.Config(snr_edges=(5.0, 20.0, 400.0))
    document = recovery.run(**field, kinematics=maps, config=config)["recovery"]
    rows = [row for row in document["rows"] if row["quantity"] == "velocity"]
    assert [row["snr_min"] for row in rows] == [5.0, 20.0, 400.0]
    assert [row["snr_max"] for row in rows] == [20.0, 400.0, None]
    assert sum(row["n_compared"] for row in rows) == 480
    empty = rows[-1]
    assert empty["n_compared"] == 0
    assert empty["pull_rms"] is None
    assert not schemas.validate({**document, "provenance": None}, "kinematics-recovery")


def test_another_truth_is_refused(field, maps):
    config = recovery.Config()
    with pytest.raises(NotFoundError, match="no truth for the item"):
        recovery.run(**(field | {"item": "t002"}), kinematics=maps, config=config)
    other = field | {"noiseless": {"t001": np.zeros((2, *SHAPE))}}
    with pytest.raises(FormatError, match="does not have the shape"):
        recovery.run(**other, kinematics=maps, config=config)
    with pytest.raises(ValueError, match="snr_edges must be positive"):
        recovery.Config(snr_edges=(3.0, 3.0))


def test_the_cube_without_noise_is_read_by_item(tmp_path):
    hdu = fits.ImageHDU(np.full((2, 1, 3), 7.0, np.float32))
    hdu.header["ITEM"], hdu.header["LAYER"] = "t001", "noiseless"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    assert recovery.read_noiseless(tmp_path / "a.fits")["t001"].shape == (2, 1, 3)
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "b.fits")
    with pytest.raises(FormatError, match="no cube without noise"):
        recovery.read_noiseless(tmp_path / "b.fits")
