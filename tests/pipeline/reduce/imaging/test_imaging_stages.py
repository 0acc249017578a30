"""What the stages refuse, and what they do with several images and filters."""

from dataclasses import replace

import numpy as np
import pytest
from skyimages import HOST, correlated, gaussian, grid, image

from ard.errors import ArdError, FormatError
from manifests import Position, load_target
from manifests.filters import load_filters
from pipeline.reduce.imaging import bands, geometry, photometry, view
from pipeline.reduce.imaging.sphere import Axis

LENGTH, PA = 4.0, 147.4
AXIS = Axis(*HOST, PA)
SIZE = 301
FILTERS = load_filters()
CONFIG = geometry.Config(draws=20, whole_sections_arcsec=(1.0, 3.5), shift_search_arcsec=0.2)


def target():
    return replace(load_target("rbh1"), tip=Position(*AXIS.place(LENGTH)))


def scene(wcs, size, seed):
    beads = np.arange(0.5, LENGTH, 0.05)
    line = sum(gaussian(wcs, size, AXIS.place(float(s)), 30.0 / beads.size, 0.2) for s in beads)
    sky = correlated(np.random.default_rng(seed), size, 0.01, 0.2)
    return gaussian(wcs, size, HOST, 60.0, 0.3) + line + sky


def shot(seed, band="F606W", pa=0.0, pixel=0.05, zero_point=26.5, size=SIZE):
    wcs = grid(pa, size=size, pixel=pixel)
    made = image(scene(wcs, size, seed), wcs, zero_point=zero_point)
    pivot = {"F606W": 5921.9, "F814W": 8045.0, "F200LP": 4971.9, "F350LP": 5873.9}[band]
    return replace(made, band=band, pivot_angstrom=pivot, file=f"{band}_{seed}_drc.fits")


def named(*images):
    return {each.file: (each,) for each in images}


@pytest.fixture(scope="module")
def two_grids():
    """Two filters on grids of another angle and pixel; the second is 0.5 mag brighter."""
    return named(shot(1), shot(2, "F814W", pa=40.0, pixel=0.04, zero_point=26.0, size=381))


def test_filters_on_different_grids_are_brought_together_on_the_sky(two_grids):
    """Equal rates with zero points 0.5 mag apart: a colour of 0.5 mag everywhere."""
    found = geometry.run(
        images=two_grids, cubes={}, target=target(), filters=FILTERS, config=CONFIG
    )["geometry"]
    assert found["wake"]["pa_deg"] == pytest.approx(PA, abs=4 * found["wake"]["pa_err"])
    first, second = (row["pixel_arcsec"] for row in found["images"])
    assert (first, second) == (pytest.approx(0.05, rel=1e-6), pytest.approx(0.04, rel=1e-6))
    light = photometry.run(
        images=two_grids,
        geometry=found,
        target=target(),
        filters=FILTERS,
        config=photometry.Config(),
    )
    table = light["colours"].data
    assert set(table["kind"]) == {"colour"}
    for source in ("host", "wake"):
        (row,) = table[table["source"] == source]
        assert row["colour"].value == pytest.approx(0.5, abs=4 * row["colour_err"].value)
    profile = table[table["source"] == "profile"]
    seen = np.isfinite(profile["colour"].value)
    assert seen.sum() >= 8
    pulls = (profile["colour"].value - 0.5)[seen] / profile["colour_err"].value[seen]
    assert abs(pulls.mean()) < 1.3
    assert np.isnan(table["difference"].value).all()


def test_images_of_one_filter_are_averaged():
    """Three visits: one row for the filter, with an error smaller by the root of three."""
    one, three = (named(*(shot(seed, pa=17.0 * seed) for seed in range(1, n + 1))) for n in (1, 3))
    config = photometry.Config()
    found = geometry.run(images=three, cubes={}, target=target(), filters=FILTERS, config=CONFIG)[
        "geometry"
    ]
    assert [(b["band"], b["images"]) for b in found["bands"]] == [("F606W", 3)]
    errors = []
    for images in (one, three):
        pairs = images | named(shot(9, "F814W"))
        light = photometry.run(
            images=pairs, geometry=found, target=target(), filters=FILTERS, config=config
        )
        table = light["photometry"].data
        errors.append(np.median(table["brightness_err"].value[table["band"] == "F606W"]))
    assert errors[0] / errors[1] == pytest.approx(np.sqrt(3.0), rel=0.1)


def test_an_image_of_another_field_is_refused_by_name(two_grids):
    away = shot(3)
    moved = replace(away, wcs=grid(0.0, size=SIZE, centre=(40.5, -8.35)), file="away_drc.fits")
    for run, extra in ((geometry.run, {"cubes": {}}), (photometry.run, {"geometry": {}})):
        config = CONFIG if run is geometry.run else photometry.Config()
        with pytest.raises(FormatError, match="does not cover the target") as raised:
            run(
                images=two_grids | named(moved),
                target=target(),
                filters=FILTERS,
                config=config,
                **extra,
            )
        assert raised.value.file == "away_drc.fits"


def test_the_chip_that_shows_the_target_is_chosen():
    away = replace(shot(3), wcs=grid(0.0, size=SIZE, centre=(40.5, -8.35)))
    (chosen,) = view.covering({"a_flc.fits": (away, shot(1))}, AXIS, LENGTH)
    assert chosen.file == "F606W_1_drc.fits"


def test_filters_are_in_order_of_their_pivot_whatever_the_headers_lack():
    """Oracle: the declared pivots. A cut-out without PHOTPLAM has a pivot of NaN."""
    nowhere = [
        view.look(
            replace(shot(1, band), pivot_angstrom=pivot), AXIS, LENGTH, view.Looking(), FILTERS
        )
        for band, pivot in (("F814W", np.nan), ("F606W", np.nan), ("F350LP", 5873.9))
    ]
    assert list(view.by_band(nowhere).items()) == [("F350LP", [2]), ("F606W", [1]), ("F814W", [0])]


def test_of_a_mosaic_the_part_around_the_feature_is_taken():
    """A mosaic that no header cut: 5 x 10^6 pixels, the target near a corner of it."""
    rows, columns = 2000, 2500
    wcs = grid(30.0, size=rows, centre=HOST)
    wcs.wcs.crpix = [1800.0, 800.0]
    wcs.wcs.set()
    blank = np.zeros((rows, columns))
    blank[799, 1799] = 1.0
    (chosen,) = view.covering({"mosaic_drc.fits": (image(blank, wcs),)}, AXIS, LENGTH)
    assert chosen.shape == (1201, 1201)
    row, column = np.unravel_index(np.argmax(chosen.flux), chosen.shape)
    place = [float(v) for v in chosen.wcs.all_pix2world(column, row, 0)]
    assert place == pytest.approx(HOST, abs=1e-9)
    assert chosen.weight.shape == chosen.mask.shape == chosen.shape


def test_a_target_without_tip_is_refused(two_grids):
    with pytest.raises(ArdError, match="no feature to measure"):
        geometry.run(
            images=two_grids,
            cubes={},
            target=replace(target(), tip=None),
            filters=FILTERS,
            config=CONFIG,
        )


def test_an_empty_sky_has_no_ridge():
    wcs = grid(0.0, size=SIZE)
    data = gaussian(wcs, SIZE, HOST, 60.0, 0.3)
    data += correlated(np.random.default_rng(4), SIZE, 0.01, 0.2)
    bare = named(replace(image(data, wcs), band="F606W", file="bare_drc.fits"))
    with pytest.raises(FormatError, match="no filter shows a ridge") as raised:
        geometry.run(images=bare, cubes={}, target=target(), filters=FILTERS, config=CONFIG)
    assert "bare_drc.fits" in raised.value.file


def test_one_filter_makes_no_colour(two_grids):
    found = geometry.run(
        images=two_grids, cubes={}, target=target(), filters=FILTERS, config=CONFIG
    )["geometry"]
    with pytest.raises(ArdError, match="one filter makes no colour"):
        photometry.run(
            images=named(shot(1)),
            geometry=found,
            target=target(),
            filters=FILTERS,
            config=photometry.Config(),
        )


def test_a_wider_filter_that_collects_less_is_refused(two_grids):
    found = geometry.run(
        images=two_grids, cubes={}, target=target(), filters=FILTERS, config=CONFIG
    )["geometry"]
    pair = named(shot(1, "F200LP", zero_point=26.0), shot(2, "F350LP", zero_point=26.5))
    with pytest.raises(ArdError, match="collects less light"):
        photometry.run(
            images=pair,
            geometry=found,
            target=target(),
            filters=FILTERS,
            config=photometry.Config(),
        )


def test_averages_grow_their_error_where_filters_disagree():
    """Closed form: equal errors of 1 and values 4 apart have chi-square 8."""
    assert bands.averaged([(1.0, 0.2)]) == (1.0, pytest.approx(0.2), None)
    mean, err, chi2 = bands.averaged([(0.0, 1.0), (4.0, 1.0)])
    assert (mean, chi2) == (pytest.approx(2.0), pytest.approx(8.0))
    assert err == pytest.approx(np.sqrt(8.0 / 2.0))
    assert bands.averaged([(0.0, 1.0), (0.5, 1.0)])[1] == pytest.approx(np.sqrt(0.5))


def test_the_scale_is_that_of_the_declared_cosmology():
    """Oracle: 7.937 kpc/arcsec (published_values.json)."""
    assert geometry.kpc_per_arcsec(load_target("rbh1")) == pytest.approx(7.937, abs=5e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"draws": 3}, "10 draws"),
        ({"ridge_half_arcsec": 1.0}, "ridge_half_arcsec must end"),
    ],
)
def test_geometry_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        geometry.Config(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"host_radius_arcsec": 2.0}, "host_radius"),
        ({"total_half_width_arcsec": 0.1}, "total_half_width"),
        ({"coverage_min": 0.0}, "coverage_min"),
    ],
)
def test_photometry_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        photometry.Config(**settings)
