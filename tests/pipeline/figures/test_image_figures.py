"""Figures of the images: repeatable bytes, and tables that hold what is shown (oracle: the
products that they are made from)."""

import io

import numpy as np
import pytest
from astropy import units as u
from imagery import colours_table, geometry_document, photometry_table
from matplotlib.image import imread
from run_documents import record
from skyimages import HOST, correlated, gaussian, grid, image

from manifests import load_target
from pipeline.figures import images

RBH1 = load_target("rbh1")


@pytest.fixture(scope="module")
def shown():
    made = {}
    for k, band in enumerate(("F200LP", "F350LP")):
        wcs = grid(40.0 * k, size=401)
        data = gaussian(wcs, 401, HOST, 40.0, 0.3)
        data += 0.155 + correlated(np.random.default_rng(k), 401, 0.01, 0.2)
        one = image(data, wcs)
        made[f"{band.lower()}_drc.fits"] = (
            type(one)(**{**vars(one), "band": band, "file": f"{band.lower()}_drc.fits"}),
        )
    return made


def draw(shown, document=None, colours=None):
    return images.run(
        images=shown,
        geometry=document or geometry_document(RBH1, record("geometry")),
        photometry=photometry_table(None),
        colours=colours or colours_table(None),
        target=RBH1,
        config=images.Config(pixel_arcsec=0.06),
    )


@pytest.fixture(scope="module")
def drawn(shown):
    return draw(shown)


def test_figures_repeat(shown, drawn):
    again = draw(shown)
    for name in ("panel", "wake"):
        assert again[name] == drawn[name]
        picture = imread(io.BytesIO(drawn[name]))[..., :3]
        assert picture.std() > 0.05


def test_the_field_of_the_cube_is_visible(shown, drawn):
    """Oracle: the same figure without the field has no pixel of its colour."""
    document = geometry_document(RBH1, record("geometry"))
    bare = draw(shown, {**document, "fields": []})["panel"]
    blue = np.array([0x00, 0x72, 0xB2]) / 255.0

    def count(png):
        picture = imread(io.BytesIO(png))[..., :3]
        return int((np.abs(picture - blue).max(axis=-1) < 0.02).sum())

    assert count(drawn["panel"]) > 100
    assert count(bare) == 0


def test_tables_hold_what_is_drawn(drawn):
    table = drawn["wake_data"].data
    assert drawn["wake_data"].simulated
    bright = table[table["quantity"] == "brightness"]
    source = photometry_table(None).data
    np.testing.assert_array_equal(bright["value"], source["brightness"].value)
    np.testing.assert_array_equal(bright["err"], source["brightness_err"].value)
    assert set(table["quantity"]) == {"brightness", "difference", "fwhm"}
    (width,) = set(table["value"][table["quantity"] == "fwhm"])
    assert width == 0.25
    outline = drawn["panel_data"].data
    corners = geometry_document(RBH1, record("geometry"))["fields"][0]["corners_deg"]
    field = outline[outline["what"] == "field t001"]
    np.testing.assert_array_equal(
        np.stack([field["ra_deg"].value, field["dec_deg"].value], 1), corners
    )


def test_a_colour_is_drawn_as_one(shown, drawn):
    colours = colours_table(None)
    data = colours.data
    data["kind"] = ["colour"] * 3
    data["colour"][:], data["colour_err"][:] = 0.5 * u.mag, 0.1 * u.mag
    made = draw(shown, colours=colours)
    table = made["wake_data"].data
    assert list(table["value"][table["quantity"] == "colour"]) == [0.5]
    assert made["wake"] != drawn["wake"]
