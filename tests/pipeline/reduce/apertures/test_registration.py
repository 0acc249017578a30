"""Are apertures moved by how far a cube lies off the images, and only then?"""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from imagery import geometry_document
from loading import load
from run_documents import record

from manifests import load_target
from manifests.filters import load_filters
from pipeline.linemaps import spaxels
from pipeline.reduce.apertures import stage
from pipeline.reduce.apertures.registration import Offset, Rule, offset_of, registered
from pipeline.reduce.imaging import geometry
from pipeline.reduce.imaging.images import read_images
from pipeline.simulate import hst, scenes

cases = load(Path(__file__).with_name("aperture_cases.py"))
twins = load(Path(__file__).with_name("twin_cases.py"))
RBH1 = load_target("rbh1")
FILTERS = load_filters()
RULE = Rule("measured", 3.0, 0.02)
EAST, NORTH = 0.12, 0.09  # together 0.15 arcsec


def document(**changes):
    found = geometry_document(RBH1, record("geometry"))
    found["registration"] = [found["registration"][0] | changes]
    return found


def moved(cube, east, north):
    """The same cube with coordinates that are off: sources appear further east and north."""
    wcs = cube.wcs.deepcopy()
    ra, dec = wcs.wcs.crval
    wcs.wcs.crval = [ra + east / 3600 / np.cos(np.deg2rad(dec)), dec + north / 3600]
    wcs.wcs.set()
    return cube.replace(wcs=wcs)


def test_significance_is_the_distance_in_errors():
    """Oracle: the errors' ellipse, by hand; a chi-square above 1 widens it."""
    plain = document(east_arcsec=0.03, north_arcsec=0.04, east_err=0.01, north_err=0.02,
                     correlation=0.0, chi2_dof=0.7)  # fmt: skip
    found = offset_of(plain, "t001", RULE)
    assert found.significance == pytest.approx(np.hypot(3.0, 2.0), abs=1e-4)
    assert found.applied
    assert (found.east_err, found.north_err) == (0.01, 0.02)
    plain["registration"][0]["chi2_dof"] = 4.0
    found = offset_of(plain, "t001", RULE)
    assert found.significance == pytest.approx(np.hypot(3.0, 2.0) / 2, abs=1e-4)
    assert not found.applied
    assert "1.8 of its errors, 3 needed" in found.reason
    tilted = document(east_arcsec=0.03, north_arcsec=0.03, east_err=0.01, north_err=0.01,
                      correlation=0.5, chi2_dof=1.0)  # fmt: skip
    expected = np.sqrt(2 * 9 / 1.5)  # along the long axis of the ellipse
    assert offset_of(tilted, "t001", RULE).significance == pytest.approx(expected, abs=1e-4)


def test_the_light_of_the_image_counts_first():
    both = document(light="Halpha", east_arcsec=0.1, north_arcsec=0.0, chi2_dof=1.0,
                    east_err=0.015, north_err=0.015, correlation=0.0)  # fmt: skip
    line = offset_of(both, "t001", RULE)
    assert (line.light, line.applied) == ("Halpha", True)
    assert line.significance == pytest.approx(0.1 / np.hypot(0.015, 0.02), abs=1e-3)
    white = both["registration"][0] | {"light": "white", "east_arcsec": 0.01}
    both["registration"].append(white)
    found = offset_of(both, "t001", RULE)
    assert (found.light, found.applied, found.east_arcsec) == ("white", False, 0.01)


def test_what_is_not_known_or_not_wanted_is_not_applied():
    assert offset_of(None, "t001", RULE) == Offset(
        applied=False, reason="there are no images to register the cube to"
    )
    silent = document(status="not measured", reason="seen at only 2.0 sigma")
    assert offset_of(silent, "t001", RULE).reason == "white: seen at only 2.0 sigma"
    assert not offset_of(document(), "t002", RULE).applied
    far = document(east_arcsec=0.3)
    assert offset_of(far, "t001", RULE).applied
    left = offset_of(far, "t001", Rule("none", 3.0, 0.02))
    assert (left.applied, left.reason, left.east_arcsec) == (False, "registration = none", 0.3)


def test_the_grid_moves_by_the_offset():
    """Oracle: astropy's offset of a place on the sphere; what is not applied moves nothing."""
    wcs = cases.sky(30, 30)
    off = Offset(applied=True, reason="", east_arcsec=0.7, north_arcsec=-0.4)
    x, y = np.array([0.0, 14.0, 29.0]), np.array([29.0, 3.0, 10.0])
    there = SkyCoord(*wcs.all_pix2world(x, y, 0), unit="deg")
    found = SkyCoord(*registered(wcs, off).all_pix2world(x, y, 0), unit="deg")
    east, north = there.spherical_offsets_to(found)
    np.testing.assert_allclose(east.to_value(u.arcsec), -0.7, atol=1e-5)
    np.testing.assert_allclose(north.to_value(u.arcsec), 0.4, atol=1e-5)
    left = Offset(applied=False, reason="", east_arcsec=0.7, north_arcsec=-0.4)
    assert registered(wcs, left) is wcs


@pytest.mark.parametrize(
    "wrong", [{"registration": "some"}, {"shift_sigma": 0.0}, {"shift_line_arcsec": -1.0}], ids=str
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        stage.Config(**wrong)


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """The cubes of the simulated observation, their truth and line maps, and one image."""
    folder = tmp_path_factory.mktemp("twin")
    cubes, truth = twins.read_twin(folder, "tiny")
    path = folder / "a_drc.fits"
    light = hst.image(scenes.scene("bow_ring"), hst.BANDS[1], np.random.default_rng(5))
    hst.hdus(hst.BANDS[1], light).writeto(path)
    maps = {
        item: spaxels.run(cube=cube, target=RBH1, config=spaxels.Config())["linemaps"]
        for item, cube in cubes.items()
    }
    return cubes, truth, maps, {path.name: read_images(path)}


def extract(cubes, maps, found, **settings):
    """Fluxes with the noise that was simulated: 1.9 times ERR, with its correlations."""
    results = {}
    for item, cube in cubes.items():
        sigma = 1.9 * np.sqrt(np.where(cube.mask, 1.0, cube.var))
        noise = cases.given(cases.kronecker(sigma, np.asarray(cube.mask)))
        results[item] = stage.run(
            item=item, cube=cube, linemaps=maps[item], target=RBH1, noise=noise, archive=None,
            truth=None, geometry=found, config=stage.Config(**settings),
        )  # fmt: skip
    return results


def pulls_of(results, cubes, truth):
    """Fluxes less the true ones where the apertures are declared, over their errors."""
    pulls = {"box": [], "optimal": []}
    for item, result in results.items():
        found, _ = twins.against_truth(result, cubes[item], truth[item], RBH1.apertures)
        for method, values in found.items():
            pulls[method].extend(values)
    return pulls


def bright(results):
    """Box fluxes of H alpha where the wake is seen best."""
    return np.array([
        row["flux"].value
        for result in results.values()
        for aperture in ("tip", "wake1")
        for row in twins.rows(result, aperture=aperture, method="box", line="Halpha")
    ])  # fmt: skip


def test_coordinates_that_are_off_leave_fluxes_right(observed):
    """Oracles: the true line maps in the declared apertures, and the cubes as they were.

    A cube whose coordinates are off by 0.15 arcsec loses light of the wake where nobody moves the
    apertures; where the image tells, its fluxes are those of the cube whose coordinates are right.
    """
    cubes, truth, maps, images = observed
    off = {item: moved(cube, EAST, NORTH) for item, cube in cubes.items()}
    found = geometry.run(
        images=images, cubes=off, target=RBH1, filters=FILTERS, config=geometry.Config(draws=30)
    )["geometry"]  # fmt: skip
    right = bright(extract(cubes, maps, None))
    with_it, without = extract(off, maps, found), extract(off, maps, found, registration="none")
    np.testing.assert_allclose(bright(with_it), right, rtol=0.02)
    assert (bright(without) / right < 0.97).all()
    for method, pull in pulls_of(with_it, cubes, truth).items():
        assert len(pull) >= 20
        assert abs(np.median(pull)) < 1.0, method
        assert np.abs(pull).max() < 4.5, method
    for method, pull in pulls_of(without, cubes, truth).items():
        assert np.median(pull) < -1.0, method
    for tables in with_it.values():
        for table in tables.values():
            said = table.meta["REGISTRATION"]
            assert said["applied"]
            for side, planted in (("east", EAST), ("north", NORTH)):
                away = said[f"{side}_arcsec"] - planted
                assert abs(away) < 3 * said[f"{side}_err"] < 0.08
    assert not without["t001"]["fluxes"].meta["REGISTRATION"]["applied"]


def test_coordinates_that_are_right_are_left_alone(observed):
    """Oracle: the simulator puts cubes and images on one sky."""
    cubes, _, maps, images = observed
    found = geometry.run(
        images=images, cubes=cubes, target=RBH1, filters=FILTERS, config=geometry.Config(draws=30)
    )["geometry"]  # fmt: skip
    np.testing.assert_array_equal(
        bright(extract(cubes, maps, found)), bright(extract(cubes, maps, None))
    )
