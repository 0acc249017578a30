"""The extract stage: tables, states, refusals, and truths of simulated and real cubes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load

import ard
import schemas.tables
from ard.errors import ArdError, FormatError, UnitError
from checks.load import table_columns
from manifests import load_target
from pipeline.linemaps import spaxels
from pipeline.lineprofile import Response
from pipeline.reduce import ingest
from pipeline.reduce.apertures import stage
from pipeline.reduce.apertures.continuum import WindowRule, plan_windows
from pipeline.reduce.apertures.covariance import read_given_noise
from pipeline.reduce.apertures.place import place
from pipeline.reduce.apertures.stage import Config
from pipeline.reduce.noise import stage as noise_stage

cases = load(Path(__file__).with_name("aperture_cases.py"))
twins = load(Path(__file__).with_name("twin_cases.py"))
rows, read_twin, against_truth = twins.rows, twins.read_twin, twins.against_truth
RBH1 = cases.RBH1
SHAPE = (600, 9, 9)
FLUX = {"OIII4959": 3e-17, "OI6300": 0.0, "NII6548": 1e-17, "Halpha": 8e-17, "SII6716": 2e-17,
        "SII6731": 2e-17}  # fmt: skip
VELOCITY, SIGMA = -250.0, 60.0


def light(wave):
    """Every line of the wake in a spaxel, erg s-1 cm-2 um-1, with the fixed ratios."""
    edges = cases.edges_of(wave)
    total = np.zeros(wave.size)
    for group in RBH1.groups:
        lines = cases.lines_of(group.name, edges)
        if not lines.names:
            continue
        plan = plan_windows(edges, lines, RBH1, WindowRule(1200.0, 20, 40))
        response = Response.of(edges, lines, plan.windows, RBH1.redshift)
        template = response.templates(np.array([VELOCITY]), np.array([SIGMA**2]))[0][0]
        free = [n for n, row in zip(lines.names, lines.ratio, strict=True) if row.max() == 1.0]
        total[plan.windows.channels] += template @ np.array([FLUX[name] for name in free])
    return total


@pytest.fixture(scope="module")
def cube():
    """Light that is spread evenly over the field, on a continuum of 2 MJy/sr."""
    wave = cases.WAVE[: SHAPE[0]]
    flux = light(wave)[:, None, None] / 100.0
    empty = cases.cube(SHAPE, sigma=0.03)
    return empty.replace(
        flux=empty.flux + 2.0 + flux / cases.unit(empty)[:, None, None],
    )


def run(cube, **changes):
    wanted = {"item": "t001", "linemaps": {}, "target": target(), "noise": None,
              "archive": None, "truth": None, "geometry": None, "config": Config()}  # fmt: skip
    return stage.run(cube=cube, **(wanted | changes))


def target(*apertures):
    own = apertures or (cases.aperture(),)
    return replace(RBH1, apertures=own)


def test_both_methods_find_what_was_put_in(cube):
    """Oracle: flux per spaxel times the area; the noise here is independent, as ERR says."""
    result = run(cube)
    area = 0.5 * 0.6 / cube.pixel_area_arcsec2
    for method in ("box", "optimal"):
        for name, flux in FLUX.items():
            (row,) = rows(result, method=method, line=name)
            pull = (row["flux"].value - flux / 100 * area) / row["flux_err"].value
            assert abs(pull) < 4.0, (method, name)
        (halpha,) = rows(result, method=method, line="Halpha")
        assert halpha["state"] == "detected"
        assert halpha["kinematics"] == "free"
        assert halpha["velocity"].value == pytest.approx(VELOCITY, abs=5 * 5)
        (oi,) = rows(result, method=method, line="OI6300")
        assert oi["state"] == "limit"
        limit = max(oi["flux"].value, 0.0) + 3 * oi["flux_err"].value
        assert oi["upper_limit"].value == pytest.approx(limit, rel=1e-5)
        assert oi["kinematics"].startswith("reference:")
        assert np.isnan(oi["velocity"].value)
        (third,) = rows(result, method=method, line="OIII5007")
        (first,) = rows(result, method=method, line="OIII4959")
        assert third["flux"].value == pytest.approx(2.984 * first["flux"].value, rel=1e-5)
        level = 2.0 * cases.unit(cube)[501] * area
        assert halpha["continuum"].value == pytest.approx(level, rel=0.01)


def test_holes_in_a_flat_sky_make_no_lines(cube):
    """Oracle: a sky without lines, seen through holes in the middle of a wake's profile.

    The continuum of the aperture is known: sky times area, by both methods.
    """
    wake = cases.aperture(profile="wake")
    placed = place(wake, RBH1, cube.wcs, SHAPE[1:])
    near = placed.spaxels[np.argsort(np.hypot(placed.across, placed.along))[:2]]
    mask = np.zeros((SHAPE[0], 81), bool)
    for channel in (491, 501, 505):
        mask[channel, near] = True
    dark = cases.cube(SHAPE, sigma=0.02, flux=np.full(SHAPE, 3.0), mask=mask.reshape(SHAPE))
    result = run(dark, target=target(wake))
    expected = 3.0 * cases.unit(dark)[501] * 0.5 * 0.6 / dark.pixel_area_arcsec2
    for method in ("box", "optimal"):
        for name in ("Halpha", "NII6583"):
            (row,) = rows(result, method=method, line=name)
            assert abs(row["snr"]) < 4.0, (method, name)
            assert row["continuum"].value == pytest.approx(expected, rel=0.01)


def test_limits_hold_what_is_there(cube):
    """Oracle: what was put in, 3.5 errors: a third is not detected, and is below its limit.

    Nine apertures of one cube; a limit of three errors would be below the truth in each.
    """
    noise = cases.cube(SHAPE, sigma=0.03, seed=31)
    boxes = [
        cases.aperture(name=f"b{i}{j}", along_arcsec=0.2 * i, across_arcsec=0.2 * j,
                       length_arcsec=0.1, width_arcsec=0.1)
        for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]  # fmt: skip
    plain = rows(run(noise, target=target(*boxes)), method="box", line="OI6300")
    err = float(np.median(plain["flux_err"].value))
    extra = light_of_oi(3.5 * err)[:, None, None] / cases.unit(noise)[:, None, None]
    faint = noise.replace(flux=noise.flux + extra * noise.pixel_area_arcsec2 / 0.01)
    found = rows(run(faint, target=target(*boxes)), method="box", line="OI6300")
    limits = found[np.asarray(found["state"]) == "limit"]
    assert len(limits) >= 1
    assert (limits["upper_limit"].value > 3.5 * err).all()


def light_of_oi(flux):
    edges = cases.edges_of(cases.WAVE[: SHAPE[0]])
    lines = cases.lines_of("oi", edges)
    plan = plan_windows(edges, lines, RBH1, WindowRule(1200.0, 20, 40))
    response = Response.of(edges, lines, plan.windows, RBH1.redshift)
    total = np.zeros(SHAPE[0])
    template = response.templates(np.array([-300.0]), np.array([50.0**2]))[0][0]
    total[plan.windows.channels] = template[:, 0] * flux
    return total


def test_what_one_gaussian_does_not_explain_is_in_the_errors(cube):
    """Oracle: a line of two parts, 900 km/s apart, against the same flux in one."""
    shift = round(900.0 / 299792.458 * 1.289 / 0.000636)
    both = cube.flux - 2.0
    double = cube.replace(flux=2.0 + 0.5 * (both + np.roll(both, shift, axis=0)))
    (one,) = rows(run(cube), method="box", line="SII6716")
    (two,) = rows(run(double), method="box", line="SII6716")
    (oi,) = rows(run(cube), method="box", line="OI6300")
    assert not one["suspect"]
    assert not oi["suspect"]
    assert two["suspect"]
    expected = np.sqrt(two["chi2"] / two["dof"])
    assert two["misfit"] == pytest.approx(expected, rel=1e-5)
    assert two["flux_err"].value > 0.5 * expected * one["flux_err"].value


def test_lines_outside_the_band_are_listed(cube):
    """Oracle: the table of science.md 5 - [S III] lies beyond channel 600."""
    result = run(cube)
    for name in ("SIII9069", "SIII9531"):
        for row in rows(result, line=name):
            assert row["state"] == "not covered"
            assert np.isnan(row["flux"].value)
            assert row["kinematics"] == ""
    assert len(result["fluxes"].data) == 2 * len(RBH1.lines)


def test_the_tables_follow_their_schemas(cube, tmp_path):
    far = cases.aperture(name="far", along_arcsec=20.0)
    result = run(cube, target=target(cases.aperture(), far))
    for name in ("spectra", "fluxes"):
        path = tmp_path / f"t001_{name}.ecsv"
        ard.write(path, result[name])
        product = type("Stub", (), {"path": path})()
        assert schemas.tables.validate(*table_columns(product), name) == ()
    again = run(cube, target=target(cases.aperture(), far))
    for name in ("spectra", "fluxes"):
        assert ard.table.ecsv_bytes(again[name]) == ard.table.ecsv_bytes(result[name])


def test_an_aperture_outside_the_field_is_reported(cube):
    far = cases.aperture(name="far", along_arcsec=20.0)
    edge = cases.aperture(name="edge", along_arcsec=0.55)
    result = run(cube, target=target(cases.aperture(), far, edge))
    states = set(rows(result, aperture="far")["state"])
    assert states == {"outside the field", "not covered"}
    assert (rows(result, aperture="far")["inside"] == 0.0).all()
    assert "far" not in set(result["spectra"].data["aperture"])
    (part,) = rows(result, aperture="edge", method="box", line="Halpha")
    assert 0.0 < part["inside"] < 1.0
    alone = run(cube, target=target(far))
    assert np.asarray(alone["spectra"].data["mask"]).all()


def test_a_field_without_light_is_outside_even_on_the_grid(cube):
    """Level-3 grids hold corners that no exposure saw."""
    mask = np.zeros(SHAPE, bool)
    mask[:, :, 5:] = True
    mask[:, 4:, :] = True
    dark = cube.replace(mask=mask)
    result = run(dark, target=target(cases.aperture(length_arcsec=0.2, width_arcsec=0.2)))
    assert set(result["fluxes"].data["state"]) == {"outside the field", "not covered"}


def test_a_line_on_masked_channels_is_masked_and_its_neighbours_are_not(cube):
    mask = np.zeros(SHAPE, bool)
    mask[490:515] = True
    result = run(cube.replace(mask=mask))
    for name in ("NII6548", "Halpha", "NII6583"):
        assert {row["state"] for row in rows(result, line=name)} == {"masked"}
    assert {row["state"] for row in rows(result, line="SII6716")} == {"detected"}


def test_all_channels_masked_is_an_aperture_without_lines(cube):
    mask = np.ones(SHAPE, bool)
    mask[:, 0, 0] = False  # a cube has to have one voxel
    result = run(cube.replace(mask=mask))
    assert set(result["fluxes"].data["state"]) == {"outside the field", "not covered"}


def test_coverage_below_the_limit_masks_channels_and_lines_say_so(cube):
    mask = np.zeros(SHAPE, bool)
    mask[300:, 2:7, 2:7] = True
    result = run(cube.replace(mask=mask))
    box = result["spectra"].data[np.asarray(result["spectra"].data["method"]) == "box"]
    assert np.asarray(box["mask"])[300:].all()
    assert np.isnan(box["flux"].value[300:]).all()
    # A few voxels are wild by chance: 6 MAD are 4 sigma.
    assert np.asarray(box["coverage"])[:300].min() > 0.9
    assert {row["state"] for row in rows(result, line="Halpha")} == {"masked"}
    assert {row["state"] for row in rows(result, line="OIII5007")} == {"detected"}


def test_the_tables_say_which_noise_they_have(cube):
    alone = run(cube)
    assert alone["fluxes"].meta["NOISE"].startswith("ERR alone")
    noise = cases.kronecker(np.full(SHAPE, 0.06), np.zeros(SHAPE, bool))
    given = run(cube, noise=cases.given(noise))
    assert given["fluxes"].meta["NOISE"] == "noise product small_noise.fits"
    assert (np.asarray(rows(given, line="Halpha")["err_scale"]) == 1.0).all()
    one, other = (rows(r, line="Halpha", method="box")["flux_err"].value[0] for r in (alone, given))
    assert other > 3 * one
    box = given["spectra"].data[np.asarray(given["spectra"].data["method"]) == "box"]
    assert np.nanmedian(box["corr1"]) == pytest.approx(0.2, abs=1e-3)


def test_the_noise_of_another_cube_is_refused(cube):
    noise = cases.kronecker(np.full((600, 9, 8), 0.06), np.zeros((600, 9, 8), bool))
    with pytest.raises(ArdError, match=r"small_noise.fits is not that of the cube small_s3d.fits"):
        run(cube, noise=cases.given(noise))


def test_imprint_exposures_never_enter(cube):
    imprint = cube.replace(meta=dict(cube.meta) | {"IS_IMPRT": True})
    with pytest.raises(FormatError, match="an imprint exposure shows leaked light"):
        run(imprint)
    science = cube.replace(meta=dict(cube.meta) | {"IS_IMPRT": False, "BKGDTARG": "F"})
    assert len(run(science)["fluxes"].data)


def test_another_unit_is_refused(cube):
    with pytest.raises(UnitError, match="surface brightness"):
        run(cube.replace(unit="Jy"))


def test_the_resolving_power_is_that_of_the_line_maps(cube):
    """A cube of an unknown instrument: what was set for the line maps holds here as well."""
    meta = {"TELESCOP": "GEMINI", "INSTRUME": "GMOS"}
    unknown = cube.replace(lsf=None, psf=None, meta=meta)
    with pytest.raises(ArdError, match="line-spread function of this cube is not known"):
        run(unknown)
    config = spaxels.Config(resolving_power=900.0)
    maps = spaxels.run(cube=unknown, target=RBH1, config=config)["linemaps"]
    result = run(unknown, linemaps=maps)
    assert {row["state"] for row in rows(result, line="Halpha")} == {"detected"}
    assert set(result["fluxes"].meta["PROFILES"].values()) == {"flat"}


def test_a_target_without_apertures_has_a_circle_about_it(cube):
    result = run(cube, target=replace(RBH1, apertures=()), config=Config(default_radius_arcsec=0.3))
    assert set(result["fluxes"].data["aperture"]) == {"target"}
    assert np.asarray(result["fluxes"].data["area"])[0] == pytest.approx(np.pi * 0.09, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_coverage": 0.0}, {"zone_kms": 500.0}, {"continuum_channels": 2},
        {"smooth_channels": 24}, {"clip_mad": 0.0}, {"sigma_kms": 900.0}, {"snr_free": 0.0},
        {"profile_error": -1.0}, {"strange_part": -1.0}, {"spread_kms": -1.0}, {"err_excess": 1.0},
        {"strange_sigma": 0.0}, {"error_scale": "some"}, {"min_seen": 2.0},
        {"continuum_order": -1}, {"default_radius_arcsec": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)


def twin_pulls(cubes, truth):
    """Pulls by method of all apertures but the bow, whose lines are no Gaussians.

    With the noise that was simulated: 1.9 times ERR, with its correlations.
    """
    pulls = {"box": [], "optimal": []}
    for item, cube in cubes.items():
        maps = spaxels.run(cube=cube, target=RBH1, config=spaxels.Config())["linemaps"]
        sigma = 1.9 * np.sqrt(np.where(cube.mask, 1.0, cube.var))
        noise = cases.kronecker(sigma, np.asarray(cube.mask))
        result = run(cube, target=RBH1, linemaps=maps, noise=cases.given(noise))
        found, _ = against_truth(result, cube, truth[item], RBH1.apertures[1:])
        for method, values in found.items():
            pulls[method].extend(values)
    return {method: np.array(values) for method, values in pulls.items()}


def test_the_twin_has_its_fluxes_back(tmp_path):
    """Oracle: the true line maps, summed over the same apertures.

    Ten lines of six fits: three standard errors of their median are 1.3.
    """
    pulls = twin_pulls(*read_twin(tmp_path, "tiny"))
    assert pulls["box"].size >= 10
    for pull in pulls.values():
        assert abs(np.median(pull)) < 1.3
        assert np.abs(pull).max() < 4.5


def real_pulls(folder, size):
    """As `twin_pulls`, with hits, the noise stage and the tip; by method, all apertures."""
    cubes, truth = read_twin(folder, size, outliers=True)
    pulls = {"box": [], "optimal": []}
    for item, cube in cubes.items():
        maps = spaxels.run(cube=cube, target=RBH1, config=spaxels.Config())["linemaps"]
        made = noise_stage.run(
            item=item, cube=cube, target=RBH1, exposures=None, roles=None,
            config=noise_stage.Config(),
        )  # fmt: skip
        path = folder / f"{item}_noise.fits"
        ard.write(path, made["noise"])
        result = run(cube, target=RBH1, linemaps=maps, noise=read_given_noise(path))
        found, _ = against_truth(result, cube, truth[item], RBH1.apertures)
        for method, values in found.items():
            pulls[method].extend(values)
    return {method: np.array(values) for method, values in pulls.items()}


def test_fluxes_are_right_through_hits_ingestion_and_the_noise_stage(tmp_path):
    """Oracle: the true line maps, in the same apertures, the tip too.

    Twelve fits or so: five errors happen to none, and the scatter is known to 20 %.
    """
    pulls = real_pulls(tmp_path, "tiny")
    for method, pull in pulls.items():
        assert pull.size >= 15, method
        assert abs(np.median(pull)) < 1.0, method
        assert np.abs(pull).max() < 5.0, method
        assert pull.std() < 1.6, method


@pytest.mark.slow
def test_fluxes_of_the_whole_field_are_right_through_the_pipeline(tmp_path):
    """As above, with 90 lines of 48 fits."""
    pulls = real_pulls(tmp_path, "demo")
    for method, pull in pulls.items():
        assert pull.size >= 80, method
        assert abs(np.median(pull)) < 0.6, method
        assert np.abs(pull).max() < 5.0, method
        assert 0.65 < pull.std() < 1.35, method


@pytest.mark.slow
def test_the_whole_field_of_the_twin_has_its_fluxes_back(tmp_path):
    """As above: 72 lines of 36 fits, so that three standard errors of the median are 0.6, and
    those of the scatter 0.35; the profile of the optimal extraction may be off besides."""
    pulls = twin_pulls(*read_twin(tmp_path, "demo"))
    assert pulls["box"].size >= 70
    for method, widest in (("box", 1.35), ("optimal", 1.5)):
        pull = pulls[method]
        assert abs(np.median(pull)) < 0.6, method
        assert 0.65 < pull.std() < widest, method


@pytest.mark.real_data
def test_bright_lines_of_ngc7469_lose_no_voxel(shared_data, monkeypatch):
    """Oracle: real data without hits on [S III], whose photon noise raises ERR up to 4.4 times."""
    file = shared_data / "jwst/ngc7469_Level3_ch4-short_s3d.fits.gz"
    own = load_target("ngc7469")
    cube = ingest.run(cube=ard.read_cube(file), target=own, config=ingest.Config())["cube"]
    line = own.line("SIII18713")
    away = 299792.458 * (cube.wave / line.wave_obs_um(own.redshift) - 1.0)
    zone = np.abs(away) < 600.0
    seen = {}

    def spy(scene, placed, config):
        scene, count = masking(scene, placed, config)
        seen["mask"] = scene.noise.mask
        return scene, count

    masking = stage._without_strange
    monkeypatch.setattr(stage, "_without_strange", spy)
    maps = spaxels.run(cube=cube, target=own, config=spaxels.Config())["linemaps"]
    run(cube, target=own, linemaps=maps)
    lost = seen["mask"][zone] & ~np.asarray(cube.mask)[zone]
    assert lost.sum() == 0


@pytest.mark.real_data
def test_ngc7469_is_the_sum_of_its_spaxels(shared_data):
    """Oracle: the line map, spaxel by spaxel, summed over the same circle: within 6 %."""
    file = shared_data / "jwst/ngc7469_Level3_ch4-short_s3d.fits.gz"
    own = load_target("ngc7469")
    cube = ingest.run(cube=ard.read_cube(file), target=own, config=ingest.Config())["cube"]
    maps = spaxels.run(cube=cube, target=own, config=spaxels.Config())["linemaps"]
    result = run(cube, target=own, linemaps=maps)
    flux = np.where(maps["siii"].mask, 0.0, maps["siii"]["flux_siii18713"]).ravel()
    for aperture in own.apertures:
        placed = place(aperture, own, cube.wcs, cube.shape[1:])
        total = (flux[placed.spaxels] * placed.share).sum() * cube.pixel_area_arcsec2
        (row,) = rows(result, aperture=aperture.name, method="box")
        assert row["state"] == "detected"
        assert row["flux"].value == pytest.approx(total, rel=0.06)
        if aperture.profile == "compact":
            (best,) = rows(result, aperture=aperture.name, method="optimal")
            assert best["flux"].value == pytest.approx(total, rel=0.06)
