"""The kinematics stage and what cubes should not be: the rest of the field does not suffer by it.

Oracle, where none is named: the same cube without the fault, of which all other spaxels must keep
their numbers; draws come from a stream of each spaxel's own.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load

import ard
from ard.errors import FormatError
from ard.maps import Flag
from manifests import load_target
from manifests.errors import ManifestError
from pipeline.infer import kinematics
from pipeline.infer.kinematics import Config
from pipeline.infer.spaxel.posterior import fit
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import Response, flux_density_per_mjy_sr
from pipeline.lineset import line_set
from pipeline.reduce.apertures.covariance import noise_of
from pipeline.reduce.instruments import lsf_for

lines = load(Path(__file__).parent.parent / "linemaps" / "linefit_cases.py")
RBH1 = load_target("rbh1")
ALL_WAVE = 0.9703180286 + 0.000636 * np.arange(1447)
NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "TARGNAME": "RBH-1", "FILENAME": "t.fits"}
NY, NX = 2, 3
ERROR = 0.02
FLUX = np.array([1e-17, 6e-17])


def cube_of(channels=slice(480, 540), velocity=None, redshift=None):
    """H alpha and [N II] at velocities (NY, NX), km/s, over noise; NaN: none."""
    velocity = np.full((NY, NX), -200.0) if velocity is None else velocity
    wave = ALL_WAVE[channels]
    edges = np.concatenate([wave - 0.000318, [wave[-1] + 0.000318]])
    rng = np.random.default_rng(31)
    flux = 1.2 + ERROR * rng.normal(size=(ALL_WAVE.size, NY, NX))[channels]
    for y, x in np.argwhere(np.isfinite(velocity)):
        z = RBH1.redshift if redshift is None else redshift[y, x]
        found = line_set(RBH1.group_lines("halpha"), z, edges, lsf_for(NIRSPEC, wave))
        # The slow lines are made about the redshift of the target; a shift stands for another.
        apart = (z - RBH1.redshift) / (1.0 + RBH1.redshift) * 299792.458
        amplitudes = FLUX[: found.n_free]
        light = lines.slow_lines(edges, found, velocity[y, x] + apart, 120.0, amplitudes)
        flux[:, y, x] += light / flux_density_per_mjy_sr(wave)
    tip = RBH1.anchor
    return ard.Cube(
        flux=flux,
        var=np.full(flux.shape, ERROR**2),
        mask=np.zeros(flux.shape, bool),
        wave=wave,
        wcs=lines.tan_wcs(NX, NY, tip.ra_deg, tip.dec_deg),
        meta=NIRSPEC,
    )


def condensed_case():
    """Give spectra, response and settings of the cube, as the stage makes them."""
    cube, config = cube_of(), Config()
    edges = cube.wave_edges
    found = line_set(RBH1.group_lines("halpha"), RBH1.redshift, edges, lsf_for(NIRSPEC, cube.wave))
    windows = cut(edges, found, RBH1.redshift, config.window_kms)
    response = Response.of(edges, found, windows, RBH1.redshift)
    return kinematics.spectra_of(cube, noise_of(cube, None), windows.channels), response, config


def found_in(cube, **changes):
    given = {"item": "t001", "cube": cube, "noise": None, "target": RBH1, "config": Config()}
    return kinematics.run(**given | changes)


def others_keep_their_numbers(found, cube, where):
    whole = found_in(cube)["kinematics"]["halpha"]
    kept = np.ones((NY, NX), bool)
    kept[where] = False
    for name in ("velocity", "sigma", "flux_halpha", "log_bayes", "velocity_p160"):
        np.testing.assert_allclose(found[name][kept], whole[name][kept], rtol=1e-6, err_msg=name)
    return kept


def test_a_spaxel_that_is_masked_altogether():
    cube = cube_of()
    mask = cube.mask.copy()
    mask[:, 1, 2] = True
    found = found_in(cube.replace(mask=mask))
    data = found["kinematics"]["halpha"]
    kept = others_keep_their_numbers(data, cube, (1, 2))
    assert data["flag"][1, 2] == Flag.TOO_FEW_CHANNELS
    assert data.mask[1, 2]
    assert not data.mask[kept].any()
    assert found["posteriors"]["groups"][0]["inferred"] == NY * NX - 1


def test_variances_of_zero():
    # A cube cannot have them where it may be used. Where they are masked, one spaxel has no
    # variance at all, one in a few channels: those cannot have infinite weight.
    cube = cube_of()
    var, mask = cube.var.copy(), cube.mask.copy()
    var[:, 0, 0] = 0.0
    var[5:9, 0, 1] = 0.0
    with pytest.raises(FormatError, match="no positive finite variance"):
        cube.replace(var=var)
    found = found_in(cube.replace(var=var, mask=mask | (var == 0.0)))
    data = found["kinematics"]["halpha"]
    others_keep_their_numbers(data, cube, (0, [0, 1]))
    assert data["flag"][0, 0] == Flag.TOO_FEW_CHANNELS
    assert data.mask[0, 0]
    assert data["flag"][0, 1] == 0
    assert abs(data["velocity"][0, 1] + 200.0) < 4.0 * data["velocity_err"][0, 1]


def test_a_variance_of_zero_that_reaches_the_fit():
    # Noise given for another reason than a cube's: the fit itself leaves such channels out.
    spectra, response, config = condensed_case()
    spectra.sigma[0] = 0.0
    spectra.sigma[1, 5:9] = np.nan
    found = fit(spectra, response, config.prior, config.numerics)
    assert found.flag[0] == Flag.BAD_VARIANCE | Flag.TOO_FEW_CHANNELS
    assert found.flag[1] == Flag.BAD_VARIANCE
    assert (found.flag[2:] == 0).all()
    assert np.isfinite(found.mean[1:]).all()
    assert np.isnan(found.mean[0]).all()


@pytest.mark.parametrize(("velocity", "flag"), [(-200.0, 0), (-500.0, Flag.AT_EDGE)])
def test_a_line_at_the_edge_of_the_band(velocity, flag):
    # The band begins 300 km/s below H alpha at rest: at -500 km/s most of it is off the channels,
    # and what [N II] and the wing still say of the velocity is right, and flagged.
    found = found_in(cube_of(slice(499, 560), np.full((NY, NX), velocity)))
    data = found["kinematics"]["halpha"]
    assert "Halpha" in found["posteriors"]["groups"][0]["lines"]
    assert (data["flag"] == flag).all()
    assert (np.abs(data["velocity"] - velocity) < 4.0 * data["velocity_err"]).all()
    assert found["posteriors"]["groups"][0]["at_edge"] == (NY * NX if flag else 0)


def test_a_wrong_redshift_says_that_nothing_was_found():
    # 0.985: all lines are farther away than the velocities that are tried.
    found = found_in(cube_of(), target=replace(RBH1, redshift=0.985))
    document = found["posteriors"]
    assert document["status"] == "not found"
    assert "no line was found anywhere" in document["sentence"]
    assert "redshift" in document["groups"][0]["sentence"]
    data = found["kinematics"]["halpha"]
    assert (data["flag"].astype(int) & Flag.NO_LINE != 0).all()
    assert not data.mask.any()


def test_two_targets_in_one_cube():
    # One within reach of the other's redshift, and beside it one that is not: each spaxel has an
    # answer of its own, and the stranger is not taken for a line.
    velocity = np.array([[-200.0, -200.0, np.nan], [300.0, 300.0, -200.0]])
    redshift = np.full((NY, NX), RBH1.redshift)
    redshift[1, 2] = RBH1.redshift + 0.03
    found = found_in(cube_of(slice(450, 560), velocity, redshift))
    data = found["kinematics"]["halpha"]
    for where, truth in ((np.s_[0, :2], -200.0), (np.s_[1, :2], 300.0)):
        off = (data["velocity"][where] - truth) / data["velocity_err"][where]
        assert np.abs(off).max() < 4.0
        assert (data["flag"][where] == 0).all()
    for where in ((0, 2), (1, 2)):
        assert int(data["flag"][where]) & Flag.NO_LINE
    assert found["posteriors"]["groups"][0]["with_line"] == 4


def test_two_targets_in_one_target_file(tmp_path):
    text = Path(load_target.__globals__["__file__"]).with_name("targets").joinpath("rbh1.toml")
    twice = text.read_text(encoding="utf-8")
    path = tmp_path / "both.toml"
    path.write_text(twice + '\n[target]\nname = "other"\n', encoding="utf-8")
    with pytest.raises(ManifestError, match="TOML"):
        load_target(path)
