"""Is a grid the same after it was written and read, and is a changed file noticed?

Oracles: the grid itself; one changed value, card or field each; the schema of its document.
"""

import dataclasses
import json

import numpy as np
import pytest
from astropy.io import fits
from shock_tables import good_facts, rows_taken, with_line

import schemas
from ard.errors import ArdError, FormatError, IntegrityError
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import Component, GridSource, ShockGrid
from pipeline.shocks.gridfile import (
    content_sha256,
    joined,
    load_grid,
    long_columns,
    read_part,
    record,
    save_grid,
    sidecar,
)
from pipeline.shocks.toy import toy_loglinear
from schemas import tables

SOURCE = GridSource(
    code="MAPPINGS V",
    version="5.1.13",
    project="test",
    component=Component.PRECURSOR,
    source="doi:10.0/0",
    licence="none stated",
    sha256="ab" * 32,
    retrieved="2026-01-31",
    rounding=1e-3,
    solar="asplund-2009",
)


@pytest.fixture
def grid() -> ShockGrid:
    """With a missing model, zeros that are bounds, and an unknown abundance."""
    facts = rows_taken(good_facts(), np.delete(np.arange(64), 21))
    return assemble(with_line(facts, "OI_6300", lambda x: np.where(x < 0.4, 0.0, x)), SOURCE)


def test_what_is_read_is_what_was_written(grid, tmp_path):
    save_grid(tmp_path / "grid.fits", grid)
    back = load_grid(tmp_path / "grid.fits")
    for name in ("log_n", "b", "v_kms", "log_ratio", "log_hbeta", "mask"):
        assert np.array_equal(getattr(back, name), getattr(grid, name), equal_nan=name != "mask")
    assert back.lines == grid.lines
    assert [a.name for a in back.abundances] == [a.name for a in grid.abundances]
    assert np.isnan(back.abundances[0].log_nh)
    assert back.source == grid.source


def test_equal_grids_give_equal_bytes(grid, tmp_path):
    first = [path.read_bytes() for path in save_grid(tmp_path / "a.fits", grid)]
    second = [path.read_bytes() for path in save_grid(tmp_path / "b.fits", grid)]
    assert first == second


def test_document_follows_its_schema_and_says_what_was_done(grid):
    document = record(grid)
    assert schemas.validate(document, "shock-grid") == ()
    codes = {row["code"]: row["handling"] for row in document["known_defects"]}
    assert codes == {"MISSING_MODEL": "masked", "ROUNDED_ZERO": "bounded: below 0.0005"}
    assert document["n_models"] == 63
    assert document["solar"] == "asplund-2009"
    assert schemas.validate(record(toy_loglinear()), "shock-grid") == ()
    assert record(toy_loglinear())["synthetic"] is True


def test_a_defect_that_is_left_is_said_to_be_left(grid):
    """A grid made by hand, in which nobody looked for defects: one line is that of another."""
    ratio, mask = grid.log_ratio.copy(), grid.mask.copy()
    i, j = grid.line_index(["OIII_5007", "NII_6583"])
    ratio[..., j], mask[..., j] = ratio[..., i], mask[..., i]
    document = record(dataclasses.replace(grid, log_ratio=ratio, mask=mask))
    left = {row["code"] for row in document["known_defects"] if row["handling"] == "none"}
    assert "DUPLICATE_LINE" in left
    assert schemas.validate(document, "shock-grid") == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("component", "wind"),
        ("content_sha256", "short"),
        ("retrieved", "yesterday"),
        ("solar", "mine"),
        ("abundances", []),
        ("n_models", 0),
    ],
)
def test_wrong_documents_are_refused(grid, key, value):
    problems = schemas.validate(record(grid) | {key: value}, "shock-grid")
    assert [problem.where for problem in problems] == [key]


def test_values_that_the_document_is_not_about_are_refused(grid, tmp_path):
    save_grid(tmp_path / "grid.fits", grid)
    other = dataclasses.replace(grid, log_hbeta=grid.log_hbeta + 1e-9)
    save_grid(tmp_path / "other.fits", other)
    (tmp_path / "grid.fits").write_bytes((tmp_path / "other.fits").read_bytes())
    with pytest.raises(IntegrityError, match="not the one that its document is about"):
        load_grid(tmp_path / "grid.fits")


ALTERED = {
    "oxygen": ("abundances", lambda rows: [{**rows[0], "log_oh": 7.0}, *rows[1:]]),
    "nitrogen": ("abundances", lambda rows: [{**rows[0], "log_nh": 7.0}, *rows[1:]]),
    "sulphur": ("abundances", lambda rows: [*rows[:-1], {**rows[-1], "log_sh": None}]),
    "set": ("abundances", lambda rows: [{**rows[0], "name": "mine"}, *rows[1:]]),
    "wavelength": ("lines", lambda rows: [{**rows[0], "wave_vac_um": 0.4}, *rows[1:]]),
    "members": ("lines", lambda rows: [{**rows[0], "members": ["OI_6300"]}, *rows[1:]]),
    "line": ("lines", lambda rows: [{**rows[0], "name": "XI_1"}, *rows[1:]]),
    "component": ("component", lambda _: "shock"),
    "rounding": ("rounding", lambda _: 0.0),
    "solar": ("solar", lambda _: "anders-grevesse-1989"),
    "closed form": ("synthetic", lambda _: True),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_document_that_was_altered_is_refused(grid, tmp_path, what):
    """Whatever a fit or a verdict takes from it: O/H decides who is metal-poor."""
    key, alter = ALTERED[what]
    path, document = save_grid(tmp_path / "grid.fits", grid)
    fields = json.loads(document.read_text())
    other = fields | {key: alter(fields[key])}
    assert other != fields
    document.write_text(json.dumps(other))
    with pytest.raises(IntegrityError, match="not the one that its document is about") as caught:
        load_grid(path)
    assert caught.value.file == str(path)
    assert "import the grid again" in str(caught.value.action)
    with pytest.raises(IntegrityError, match="not the one that its document is about") as caught:
        read_part(path)
    assert caught.value.file == str(path)
    document.write_text(json.dumps(fields))
    assert content_sha256(joined(read_part(path), read_part(document))) == fields["content_sha256"]


def test_the_document_of_a_run_is_refused_by_its_name(grid, tmp_path):
    _, document = save_grid(tmp_path / "grid.fits", grid)
    fields = json.loads(document.read_text())
    document.write_text(json.dumps(fields | {"licence": ""}))
    with pytest.raises(FormatError, match="does not follow its schema") as caught:
        read_part(document)
    assert caught.value.file == str(document)


def test_damage_is_noticed(grid, tmp_path):
    path, document = save_grid(tmp_path / "grid.fits", grid)
    data = bytearray(path.read_bytes())
    data[-3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="checksum"):
        load_grid(path)
    fields = json.loads(document.read_text())
    document.write_text(json.dumps(fields | {"licence": ""}))
    with pytest.raises(FormatError, match="does not follow its schema"):
        load_grid(path)
    document.unlink()
    with pytest.raises(ArdError, match="does not exist"):
        load_grid(path)


def test_another_fits_file_is_refused(grid, tmp_path):
    path, _ = save_grid(tmp_path / "grid.fits", grid)
    fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    with pytest.raises(FormatError, match="no grid of shock models"):
        load_grid(path)
    with pytest.raises(FormatError, match="kept as FITS"):
        save_grid(tmp_path / "grid.npz", grid)
    with pytest.raises(ArdError, match="exists already"):
        save_grid(path, grid)
    assert sidecar(path).name == "grid.json"


def test_component_and_names_are_part_of_the_content(grid):
    source = dataclasses.replace(grid.source, component=Component.SHOCK)
    assert content_sha256(dataclasses.replace(grid, source=source)) != content_sha256(grid)
    dated = dataclasses.replace(grid.source, retrieved="2026-02-01")
    assert content_sha256(dataclasses.replace(grid, source=dated)) == content_sha256(grid)


def test_long_form_follows_its_table_model():
    facts = good_facts()
    columns, units = long_columns(facts)
    assert len(columns["ratio"]) == facts.ratio.size
    assert tables.validate(columns, units, "shockmodels") == ()
    k = int(np.flatnonzero(columns["line"] == "NII_6583")[5])
    assert columns["ratio"][k] == facts.column("NII_6583")[5]
    twice = {key: np.append(values, values[0]) for key, values in columns.items()}
    problems = tables.validate(twice, units, "shockmodels")
    assert [problem.where for problem in problems] == ["."]
