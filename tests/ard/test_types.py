"""Product types: invariants, maps and tables through files (oracle: the product itself)."""

import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable
from astropy.table import Table as AstropyTable
from astropy.wcs import WCS
from builders import make_cube, make_map, make_wcs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ard
from ard.fileio import json_bytes
from ard.fitsio import write_hdus


def test_cubes_refuse_what_would_mislead():
    cube = make_cube()
    hole = np.array(cube.flux)
    hole[~cube.mask] = np.nan
    with pytest.raises(ard.FormatError, match="no finite flux"):
        cube.replace(flux=hole)
    with pytest.raises(ard.FormatError, match="no positive finite variance"):
        cube.replace(var=np.zeros(cube.shape))
    with pytest.raises(ard.FormatError, match="mask has another shape"):
        cube.replace(mask=cube.mask[:-1])
    with pytest.raises(ard.FormatError, match="not monotonic"):
        cube.replace(wave=cube.wave[::-1])
    with pytest.raises(ard.FormatError, match="does not fit the flux"):
        cube.replace(wave=cube.wave[:-1])
    with pytest.raises(ard.FormatError, match="three axes"):
        cube.replace(flux=cube.flux[0])
    with pytest.raises(ValueError, match="read-only"):
        cube.flux[0] = 1
    with pytest.raises(ard.UnitError, match="only cubes in MJy/sr"):
        ard.write_cube("never.fits", cube.replace(unit="Jy"))


def test_a_big_endian_array_becomes_native():
    cube = make_cube()
    swapped = cube.replace(flux=cube.flux.astype(">f8"))
    assert swapped.flux.dtype.isnative
    np.testing.assert_array_equal(swapped.flux, cube.flux)


def test_what_was_checked_cannot_be_changed_from_outside():
    """Each array is copied unless nobody can write to it."""
    cube, product = make_cube(), make_map()
    given = {name: np.array(getattr(cube, name)) for name in ("flux", "var", "mask", "wave", "dq")}
    layer, mask, widths = np.array(product["snr"]), np.array(product.mask), np.array([0.1, 0.2])
    made = cube.replace(**given)
    drawn = ard.Map({"snr": layer[:]}, {"snr": ""}, mask, product.wcs)
    lsf = ard.Lsf([1.0, 2.0], widths, "a test")
    window = given["flux"].view()
    window.flags.writeable = False
    seen = cube.replace(flux=window)  # read-only, but not to its owner
    for array in (*given.values(), layer, mask, widths):
        array[...] = 0
    for name in given:
        np.testing.assert_array_equal(getattr(made, name), getattr(cube, name))
    np.testing.assert_array_equal(seen.flux, cube.flux)
    np.testing.assert_array_equal(drawn["snr"], product["snr"])
    np.testing.assert_array_equal(drawn.mask, product.mask)
    assert lsf.fwhm_um.tolist() == [0.1, 0.2]
    assert cube.replace(meta={}).flux is cube.flux, "and not where it is fixed already"


def test_derived_quantities_of_a_cube():
    cube = make_cube()
    edges = cube.wave_edges
    assert edges.shape == (cube.shape[0] + 1,)
    np.testing.assert_allclose(0.5 * (edges[1:] + edges[:-1]), cube.wave, rtol=1e-12)
    assert cube.pixel_area_arcsec2 == pytest.approx(0.01, rel=1e-9)
    assert cube.pixel_area_sr == pytest.approx(0.01 * 2.3504430539e-11, rel=1e-9)
    np.testing.assert_allclose(cube.ivar[~cube.mask] * cube.var[~cube.mask], 1, rtol=1e-15)
    assert "simulated Cube of TEST" in repr(cube)


def test_lsf_widths_in_km_per_s():
    """Oracle: R = 920 at 1.28929 um is 138.4 km/s (c / R / 2.3548)."""
    lsf = ard.Lsf([1.2, 1.4], [1.28929 / 920] * 2, "closed form")
    assert float(lsf.sigma_kms(1.28929)) == pytest.approx(299792.458 / 920 / 2.354820045, rel=1e-9)
    with pytest.raises(ard.FormatError, match="not positive"):
        ard.Lsf([1.0, 2.0], [0.1, -0.1], "bad")
    with pytest.raises(ard.FormatError, match="different shape"):
        ard.Psf([1.0, 2.0], [0.1], "bad")


def test_a_map_survives_its_file(tmp_path):
    product = make_map()
    ard.write(tmp_path / "m.fits", product)
    back = ard.read(tmp_path / "m.fits")
    assert isinstance(back, ard.Map)
    assert list(back.layers) == ["velocity", "snr"]
    assert dict(back.units) == dict(product.units)
    np.testing.assert_array_equal(back["velocity"], product["velocity"])
    np.testing.assert_array_equal(back.mask, product.mask)
    assert back.provenance == product.provenance
    assert back.meta["TARGNAME"] == "TEST"
    ard.write(tmp_path / "n.fits", back)
    assert (tmp_path / "m.fits").read_bytes() == (tmp_path / "n.fits").read_bytes()
    with pytest.raises(ard.NotFoundError, match="no layer 'sigma'"):
        back["sigma"]


def test_maps_refuse_layers_that_do_not_fit():
    product = make_map()
    with pytest.raises(ard.FormatError, match="needs a unit"):
        product.replace(units={"velocity": "km/s"})
    with pytest.raises(ard.FormatError, match="does not fit the mask"):
        product.replace(mask=product.mask[:-1])


@pytest.mark.parametrize(
    "name", ["mask", "Mask", "provenance", "primary", "SNR", "", " v", "v ", "v\n", "größe"]
)
def test_maps_refuse_names_that_their_files_would_mistake(name):
    product = make_map()
    layers = {**product.layers, name: product["snr"]}
    with pytest.raises(ard.FormatError, match="a layer of a map cannot be named"):
        product.replace(layers=layers, units={**product.units, name: ""})


@pytest.mark.parametrize("unit", ["kms-1 foo", "µm", None, 3])
def test_maps_refuse_units_that_cannot_be_read_back(unit):
    with pytest.raises(ard.FormatError, match="layer snr has a unit that cannot be read"):
        make_map().replace(units={"velocity": "km/s", "snr": unit})


@pytest.mark.parametrize("make", [make_map, make_cube])
@pytest.mark.parametrize("ctype", [("GLON-TAN", "GLAT-TAN"), ("DEC--TAN", "RA---TAN"), ("X", "Y")])
def test_a_sky_that_cannot_be_read_back_is_refused(make, ctype):
    wcs = make_wcs()
    wcs.wcs.ctype = ctype
    with pytest.raises(ard.FormatError, match=r"the WCS of a (map|cube) is celestial"):
        make().replace(wcs=wcs)
    wide = WCS(naxis=3)
    wide.wcs.ctype = ["RA---TAN", "DEC--TAN", "WAVE"]
    with pytest.raises(ard.FormatError, match="has two axes"):
        make().replace(wcs=wide)


def test_a_file_with_a_layer_that_is_its_mask_is_refused(tmp_path):
    path = tmp_path / "m.fits"
    ard.write(path, make_map())
    with fits.open(path) as hdus:
        hdus["SNR"].header["LAYER"] = "mask"
        write_hdus(path, hdus, overwrite=True)
    with pytest.raises(ard.FormatError, match="cannot be named 'mask'") as caught:
        ard.read(path)
    assert caught.value.file == "m.fits"


@pytest.mark.parametrize("name", ["x" * 80, "it's", "flux [O III] 5007"])
def test_odd_names_and_units_that_are_taken_come_back(name, tmp_path):
    product = make_map()
    unit = "1e-18 erg / (s cm2 arcsec2)"
    product = product.replace(layers={name: product["snr"]}, units={name: unit})
    ard.write(tmp_path / "m.fits", product)
    back = ard.read(tmp_path / "m.fits")
    assert dict(back.units) == {name: unit}
    np.testing.assert_array_equal(back[name], product[name])


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(allow_nan=False, width=64)),
    st.sampled_from(["km/s", "um", "", "erg / (s cm2 arcsec2)"]),
)
def test_a_table_survives_its_file(tmp_path_factory, values, unit):
    path = tmp_path_factory.mktemp("table") / "t.ecsv"
    data = QTable({"v": values * u.Unit(unit), "name": [f"row {i}" for i in range(values.size)]})
    table = ard.Table(data, {"note": "a test"}, ard.Provenance("s", "0", "a", "b", 1))
    ard.write(path, table)
    back = ard.read(path)
    assert isinstance(back, ard.Table)
    assert len(back) == values.size
    np.testing.assert_array_equal(np.asarray(back.data["v"], float), values)
    assert u.Unit(str(back.data["v"].unit or "")) == u.Unit(unit)
    assert back.provenance == table.provenance
    assert dict(back.meta) == {"note": "a test"}


def texts():
    data = AstropyTable({"name": ["", "a", "b"], "none": ["", "", ""], "x": [1.0, np.nan, 3.0]})
    data["name"].description = "Some are empty."
    data["masked"] = MaskedColumn(["", "hidden", "b"], mask=[False, True, False])
    data["counts"] = MaskedColumn([1, 2, 3], mask=[False, True, False])
    data["bytes"] = [b"", b"a", b"b"]
    data["full"] = ["x", "y", "z"]
    return data


def test_empty_texts_survive_their_file_for_ard_and_for_astropy(tmp_path):
    path = tmp_path / "t.ecsv"
    ard.write(path, ard.Table(texts(), {"SIMULATD": True}))
    back = ard.read(path)
    for data in (back.data, AstropyTable.read(path, format="ascii.ecsv")):
        assert data.colnames == texts().colnames
        assert np.count_nonzero(data["name"] == "") == 1
        assert data["name"].tolist() == data["bytes"].tolist() == ["", "a", "b"]
        assert data["none"].tolist() == ["", "", ""]
        assert data["masked"].tolist() == ["", None, "b"]
        assert data["counts"].tolist() == [1, None, 3]
        assert data["name"].description == "Some are empty."
    plain = [name for name in back.data.colnames if not isinstance(back.data[name], MaskedColumn)]
    assert plain == ["name", "none", "x", "bytes", "full"]
    assert "hidden" not in path.read_text()
    ard.write(tmp_path / "again.ecsv", back)
    assert (tmp_path / "again.ecsv").read_bytes() == path.read_bytes()


def test_a_table_without_empty_texts_is_written_as_by_astropy(tmp_path):
    data = AstropyTable({"name": ["a", "b"], "x": [1.0, np.nan]})
    ard.write(tmp_path / "t.ecsv", ard.Table(data))
    data.write(tmp_path / "plain.ecsv", format="ascii.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == (tmp_path / "plain.ecsv").read_bytes()


def test_empty_texts_of_other_writers_are_empty(tmp_path):
    data = AstropyTable({"name": ["", "a"], "x": MaskedColumn([1.0, 2.0], mask=[True, False])})
    data.write(tmp_path / "t.ecsv", format="ascii.ecsv")
    back = ard.read(tmp_path / "t.ecsv").data
    assert type(back["name"]) is Column
    assert back["name"].tolist() == ["", "a"]
    assert back["x"].tolist() == [None, 2.0]


def test_what_an_astropy_table_says_of_itself_is_kept(tmp_path):
    data = AstropyTable({"x": [1.0]}, meta={"note": "kept", "SIMULATD": True, "both": [1, 2]})
    table = ard.Table(data, {"more": 1, "both": [1, 2]})
    expected = {"note": "kept", "SIMULATD": True, "both": [1, 2], "more": 1}
    ard.write(tmp_path / "t.ecsv", table)
    for one in (table, ard.read(tmp_path / "t.ecsv")):
        assert one.simulated
        assert one.meta == expected
    data.meta["late"] = "too"
    ard.write(tmp_path / "t.ecsv", table, overwrite=True)
    assert ard.read(tmp_path / "t.ecsv").meta == expected | {"late": "too"}
    data.meta["more"] = 2
    with pytest.raises(ard.FormatError, match="two values of more"):
        ard.write(tmp_path / "other.ecsv", table)
    with pytest.raises(ard.FormatError, match="two values of note"):
        ard.Table(data, {"note": "another"})
    with pytest.raises(ard.FormatError, match="cannot be named provenance"):
        ard.Table(AstropyTable({"x": [1.0]}), {"provenance": "mine"})
    assert not (tmp_path / "other.ecsv").exists()


def test_types_survive_pickling():
    """Workers hand products back by pickle."""
    for product in (make_map(), make_cube(), make_map().provenance):
        back = pickle.loads(pickle.dumps(product))
        assert back.__class__ is product.__class__
    error = pickle.loads(pickle.dumps(ard.UnitError("bad", file="f", expected=1, found=2)))
    assert isinstance(error, ard.UnitError)
    assert "expected: 1" in str(error)


def test_documents_are_canonical(tmp_path):
    assert json_bytes({"b": 1, "a": [1, 2.5]}) == json_bytes({"a": [1, 2.5], "b": 1})
    with pytest.raises(ard.FormatError, match="cannot be written as JSON"):
        json_bytes({"a": float("nan")})
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ard.FormatError, match="not an object"):
        ard.read(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ard.FormatError, match="not valid JSON"):
        ard.read(tmp_path / "x.json")
    with pytest.raises(ard.FormatError, match="does not fit the type"):
        ard.write(tmp_path / "x.fits", {"a": 1})
    with pytest.raises(ard.NotFoundError):
        ard.read(tmp_path / "none.json")
    (tmp_path / "bad.ecsv").write_text("a,b\n1,2\n")
    with pytest.raises(ard.FormatError, match="not an ECSV table"):
        ard.read(tmp_path / "bad.ecsv")


def test_provenance_refuses_unknown_fields():
    record = make_map().provenance.to_dict()
    assert ard.Provenance.from_dict(record) == make_map().provenance
    with pytest.raises(ard.FormatError, match="incomplete or has unknown fields"):
        ard.Provenance.from_dict({**record, "host": "x"})
