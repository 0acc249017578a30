"""Geometry and photometry of the simulated images against their declared truth.

Oracle: the simulator's scene (positions, magnitudes, direction), which the measurement does not
know. Noise seeds are fixed; the truth of a quantity that depends on an aperture is the same
measurement on images with hardly any noise.
"""

from functools import cache

import numpy as np
import pytest

import ard
import schemas
from ard import io
from ard import table as tabular
from ard.describe import unit_text
from ard.fitsio import write_hdus
from manifests import load_target
from manifests.filters import load_filters
from pipeline.reduce import ingest
from pipeline.reduce.imaging import geometry, photometry, register, view
from pipeline.reduce.imaging.images import Image, read_images
from pipeline.reduce.imaging.sphere import position_angle_deg, separation_arcsec
from pipeline.simulate import headers, hst, scenes, twin
from schemas import tables

RBH1 = load_target("rbh1")
FILTERS = load_filters()
CONFIG = geometry.Config(draws=60)
TRUE_PA = position_angle_deg(scenes.HOST_DEG, scenes.TIP_DEG)
TRUE_LENGTH = separation_arcsec(scenes.HOST_DEG, scenes.TIP_DEG)
# The part of the wake's 7.71 arcsec that lies further than 1 arcsec from the host.
_START, _STOP = (d / scenes.KPC_PER_ARCSEC for d in (scenes.WAKE_ONSET_KPC[0], scenes.WAKE_KPC))
SHARE = (TRUE_LENGTH - 1.0 - _START) / (_STOP - _START)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("twin")


@pytest.fixture(scope="module")
def measured(folder):
    """Give both stages' results for a seed."""

    @cache
    def measure(seed: int):
        images: dict[str, tuple[Image, ...]] = {}
        for k, band in enumerate(hst.BANDS):
            data = hst.image(scenes.scene("bow_ring"), band, np.random.default_rng([seed, 3, k]))
            path = folder / f"{seed}_{band.name}_drc.fits"
            hst.hdus(band, data).writeto(path)
            images[path.name] = read_images(path)
        found = geometry.run(images=images, cubes={}, target=RBH1, filters=FILTERS, config=CONFIG)[
            "geometry"
        ]
        light = photometry.run(
            images=images, geometry=found, target=RBH1, filters=FILTERS, config=photometry.Config()
        )
        return found, light

    return measure


def true_wake(band: hst.Band) -> float:
    """AB magnitude of what the scene puts further than 1 arcsec from the host."""
    colour = band.colour
    wake = 10 ** (-0.4 * (scenes.WAKE_AB + scenes.WAKE_COLOUR * colour)) * SHARE
    tip = 10 ** (-0.4 * (scenes.TIP_AB + scenes.TIP_COLOUR * colour))
    return float(-2.5 * np.log10(wake + tip))


def magnitudes(light, source: str, column: str):
    table = light["magnitudes"].data
    rows = table[table["source"] == source]
    return {row["band"]: float(row[column].value) for row in rows}


def test_direction_length_and_end(measured):
    wake = measured(1)[0]["wake"]
    assert wake["pa_deg"] == pytest.approx(TRUE_PA, abs=4 * wake["pa_err"])
    assert wake["ridge_pa_deg"] == pytest.approx(scenes.WAKE_PA_DEG, abs=4 * wake["ridge_pa_err"])
    # The ring is 0.09 arcsec large along the axis, and half of the peak lies beyond it.
    assert wake["length_arcsec"] == pytest.approx(TRUE_LENGTH + 0.12, abs=0.04)
    assert wake["peak_arcsec"] == pytest.approx(TRUE_LENGTH, abs=0.1)
    assert wake["length_kpc"] == pytest.approx(wake["length_arcsec"] * 7.937, rel=1e-4)
    tip = (wake["tip"]["ra_deg"], wake["tip"]["dec_deg"])
    assert separation_arcsec(tip, scenes.TIP_DEG) < 0.1


def test_the_noise_of_the_images_is_theirs(measured):
    """Oracle: sky, scatter and correlation (1.2 / 0.8 = 1.5) that the simulator puts in."""
    for row in measured(1)[0]["images"]:
        assert row["sky"] == pytest.approx(0.155, abs=5e-4)
        assert row["sigma"] == pytest.approx(0.010, rel=0.03)
        assert row["inflation"] == pytest.approx(1.5, rel=0.06)
        assert row["aperture_ratio"] == pytest.approx(1.0, abs=0.12)
        assert row["weight_kind"] == "exposure"


def test_cross_sections_are_those_of_core_and_envelope(measured):
    """Core of 0.176, envelope of 0.59 arcsec FWHM: one Gaussian lies between, nearer the core."""
    for band in measured(1)[0]["bands"]:
        (whole,) = [row for row in band["sections"] if row["kind"] == "whole"]
        assert 0.19 < whole["fwhm_arcsec"] < 0.30
        assert whole["intrinsic_arcsec"] == pytest.approx(
            np.sqrt(whole["fwhm_arcsec"] ** 2 - band["psf_fwhm_arcsec"] ** 2)
        )


def test_host_and_wake_have_their_magnitudes(measured):
    """A wake that reaches into the host is not wholly told from it: 0.02 mag too bright."""
    light = measured(1)[1]
    for band in hst.BANDS:
        true_host = 21.85 + 0.4 * band.colour
        host = magnitudes(light, "host", "mag_ab")[band.name]
        assert host == pytest.approx(true_host, abs=0.04)
        total, err = (magnitudes(light, "wake", c)[band.name] for c in ("total_ab", "total_err"))
        assert total == pytest.approx(true_wake(band), abs=4 * err)
        aperture = magnitudes(light, "wake", "mag_ab")[band.name]
        correction = magnitudes(light, "wake", "correction")[band.name]
        assert aperture + correction == pytest.approx(total, abs=1e-9)
        assert correction < 0


def test_the_combined_errors_hold_what_noise_does_not(measured):
    """Oracle: the scene. The host is too bright by four statistical errors, for the wake reaches
    into it, and lies as far from its place; the stated terms account for both."""
    found, light = measured(1)
    terms = ("mag_err", "zero_point_err", "overlap_err", "choice_err")
    for band in hst.BANDS:
        host = {name: magnitudes(light, "host", name)[band.name] for name in (*terms, "mag_ab")}
        off = abs(host["mag_ab"] - 21.85 - 0.4 * band.colour)
        every = magnitudes(light, "host", "mag_combined_err")[band.name]
        assert every == pytest.approx(np.sqrt(sum(host[name] ** 2 for name in terms)))
        assert off < 2 * every
        # Without the calibration, which the simulator has exactly.
        assert off < 2 * np.hypot(
            host["overlap_err"], np.hypot(host["choice_err"], host["mag_err"])
        )
        assert 0.005 < host["overlap_err"] < 0.03
        assert magnitudes(light, "wake", "choice_err")[band.name] == 0.0
    host = found["host"]
    for side in ("east", "north"):
        parts = [host[f"{side}_{name}_arcsec"] for name in ("err", "choice")]
        assert host[f"{side}_combined_err_arcsec"] == pytest.approx(np.hypot(*parts))
        assert parts[1] > 0
    combined = np.hypot(host["east_combined_err_arcsec"], host["north_combined_err_arcsec"])
    assert host["from_declared_arcsec"] < 2 * combined
    wake = found["wake"]
    assert wake["pa_combined_err"] == pytest.approx(np.hypot(wake["pa_err"], wake["pa_choice_deg"]))


def test_overlapping_filters_give_a_difference_and_never_a_colour(measured):
    """Oracle: rates that the zero points of the scene make, (R1 - R2) / (S1 - S2)."""
    table = measured(1)[1]["colours"].data
    assert set(table["kind"]) == {"difference"}
    assert set(zip(table["first"], table["second"], strict=True)) == {("F200LP", "F350LP")}
    assert np.isnan(table["colour"].value).all()
    (row,) = table[table["source"] == "host"]
    s1, s2 = (10 ** (0.4 * band.zero_point) / view.AB_UJY for band in hst.BANDS)
    flux = [view.AB_UJY * 10 ** (-0.4 * (21.85 + 0.4 * band.colour)) for band in hst.BANDS]
    expected = (flux[0] * s1 - flux[1] * s2) / (s1 - s2)
    assert row["difference"].value == pytest.approx(expected, abs=4 * row["difference_err"].value)


def test_products_follow_their_schemas(measured):
    found, light = measured(1)
    record = {
        "stage": "geometry", "code_version": "0", "code_sha256": "ab" * 32,
        "config_sha256": "ab" * 32, "seed": 1, "simulated": True, "inputs": {}, "tools": {},
    }  # fmt: skip
    assert schemas.validate({**found, "provenance": record}, "geometry") == ()
    assert found["simulated"]
    for name, table in light.items():
        assert table.simulated
        data = table.data
        columns = {c: list(getattr(data[c], "value", data[c])) for c in data.colnames}
        units = {c: unit_text(data[c].unit) for c in columns if getattr(data[c], "unit", None)}
        assert tables.validate(columns, units, name) == ()


@pytest.mark.long
def test_nothing_is_biased_over_seeds(measured):
    """Twelve noises: means to 4 standard errors, widths of the pulls between 0.6 and 1.5."""
    runs = [measured(seed) for seed in range(1, 13)]
    wakes = [found["wake"] for found, _ in runs]
    true = {"pa_deg": TRUE_PA, "ridge_pa_deg": scenes.WAKE_PA_DEG}
    for name, truth in true.items():
        err = [wake[name.replace("_deg", "_err")] for wake in wakes]
        pulls = (np.array([wake[name] for wake in wakes]) - truth) / err
        assert abs(pulls.mean()) < 4 / np.sqrt(12), name
        assert 0.6 < pulls.std(ddof=1) < 1.5, name
    for band in hst.BANDS:
        values = [
            [magnitudes(light, "wake", c)[band.name] for c in ("total_ab", "total_err")]
            for _, light in runs
        ]
        value, err = np.transpose(values)
        pulls = (value - true_wake(band)) / err
        assert abs(pulls.mean()) < 4 / np.sqrt(12), band.name
        assert 0.6 < pulls.std(ddof=1) < 1.5, band.name
        host = np.array([magnitudes(light, "host", "mag_ab")[band.name] for _, light in runs])
        assert host.mean() == pytest.approx(21.85 + 0.4 * band.colour, abs=0.03)


def test_bytes_are_the_same_for_the_same_images(measured, folder):
    names = [f"1_{band.name}_drc.fits" for band in hst.BANDS]
    images = {name: read_images(folder / name) for name in names}
    found, light = measured(1)
    again = geometry.run(images=images, cubes={}, target=RBH1, filters=FILTERS, config=CONFIG)[
        "geometry"
    ]
    assert io.json_bytes(again) == io.json_bytes(found)
    more = photometry.run(
        images=images, geometry=again, target=RBH1, filters=FILTERS, config=photometry.Config()
    )
    for name in light:
        assert tabular.ecsv_bytes(more[name]) == tabular.ecsv_bytes(light[name])


@pytest.mark.slow
def test_simulated_cubes_lie_where_their_coordinates_say(folder):
    """Oracle: the simulator puts both on one sky, so the shift is 0; a planted one comes back."""
    config = twin.TwinConfig(size="demo")
    name = f"archive/{headers.ITEM_STEM.format(item='t002')}"
    hdus = next(product for key, product in twin.run(config) if key == name)
    write_hdus(folder / "t002_s3d.fits", hdus)
    cube = ingest.run(
        cube=ard.read_cube(folder / "t002_s3d.fits"), target=RBH1, config=ingest.Config()
    )["cube"]
    path = folder / "for_t002_drc.fits"
    band = hst.BANDS[1]
    data = hst.image(scenes.scene("bow_ring"), band, np.random.default_rng(1))
    hst.hdus(band, data).writeto(path)
    (image,) = read_images(path)
    seen = view.look(image, *view.declared_axis(RBH1), view.Looking(), FILTERS).seen
    for planted in (0.0, 0.06):
        moved = cube.wcs.deepcopy()
        moved.wcs.crval = moved.wcs.crval + np.array([0.0, planted / 3600.0])
        plane = register.white_light(cube.replace(wcs=moved), RBH1, 1500.0)
        found = register.register(plane, seen, 0.075, 0.3)
        east, north = np.sqrt(np.diag(found.covariance))
        assert found.snr > 10
        assert found.chi2_dof == pytest.approx(1.0, abs=0.2)
        assert found.east_arcsec == pytest.approx(0.0, abs=4 * east)
        assert found.north_arcsec == pytest.approx(planted, abs=4 * north)
        assert max(east, north) < 0.02
