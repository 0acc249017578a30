"""Does `ard.open` show a bundle as layers of products, and refuse one that is not whole?

The bundle is written here by hand, not by `release`, so that reader and writer are two witnesses.
"""

import dataclasses
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from builders import make_cube, make_map
from handmade import KINDS, PROVENANCE, write_bundle, write_lists, write_sums, write_zip
from stranger import ROOT, run_python

import ard
from ard.bundle import Bundle, human_size
from ard.errors import NotFoundError
from ard.manifest import parse_manifest


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("template") / "bundle")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "bundle"))


def test_an_item_means_its_observed_cube_and_its_line_map(folder, monkeypatch):
    for name, layer, product, kind in (
        ("likelihood_t001_combined.fits", "likelihood", "t001_combined", "cube"),
        ("validation_t001_ghostmap.fits", "validation", "t001_ghostmap", "map"),
    ):
        ard.write(folder / name, make_cube(9) if kind == "cube" else make_map(9))
        monkeypatch.setitem(KINDS, name, (layer, product, kind, "application/fits"))
    write_lists(folder)
    bundle = ard.open(folder)
    for name in (None, "t001", "t001_cube"):
        np.testing.assert_array_equal(bundle.cube(name).mask, make_cube(5).mask)
    np.testing.assert_array_equal(bundle.cube("t001_combined").mask, make_cube(9).mask)
    np.testing.assert_array_equal(bundle.map("t001").mask, make_map(6).mask)
    np.testing.assert_array_equal(bundle.map("t001_ghostmap").mask, make_map(9).mask)


def test_products_are_reached_by_layer_and_name(template):
    bundle = ard.open(template)
    assert list(bundle) == [
        "likelihood/lines",
        "likelihood/t001_cube",
        "inference/t001_linemap",
        "validation/figures",
        "validation/t001_quality",
    ]
    assert len(bundle) == 5
    assert list(bundle.layers) == ["likelihood", "inference", "validation"]
    assert bundle.layers["inference"]["t001_linemap"] is bundle["inference/t001_linemap"]
    assert bundle["t001_linemap"] is bundle["inference/t001_linemap"]
    assert bundle["inference_t001_linemap.fits"] is bundle["inference/t001_linemap"]
    assert bundle.absent_layers == {"representative": "none were made"}
    assert bundle.simulated
    assert bundle.version == "1.2.3"
    assert "likelihood/t001_cube" in bundle
    assert "t001_cube" in bundle, "by each name that gives it"
    assert "likelihood/t002_cube" not in bundle
    assert 1 not in bundle
    assert bundle.get("likelihood/t002_cube") is None
    assert bundle.get("likelihood/t001_cube") is bundle["t001_cube"]


def test_contents_are_what_was_written(template):
    # Oracle: the same product, made again from its seed.
    bundle = ard.open(template, verify="full")
    assert np.array_equal(bundle.cube("t001").flux, make_cube(5).flux, equal_nan=True)
    assert np.array_equal(bundle.cube().mask, make_cube(5).mask)
    assert np.array_equal(
        bundle.map("t001_linemap").layers["velocity"], make_map(6).layers["velocity"], True
    )
    assert bundle.table("lines").data["name"][0] == "OIII5007"
    assert bundle.load("validation/t001_quality") == {"schema": "quality", "answer": 42}
    assert bundle.documents["README.md"].load() == "# Read me: ω\n"


def test_products_say_where_they_are_and_what_made_them(template):
    product = ard.open(template)["likelihood/t001_cube"]
    assert product.path == template / "likelihood_t001_cube.fits"
    assert product.size == product.path.stat().st_size
    assert product.kind == "cube"
    assert product.provenance == PROVENANCE
    assert product.read_bytes() == product.path.read_bytes()
    assert product.members == ()
    assert ard.open(template)["lines"].provenance is None


def test_a_file_has_many_names(template):
    bundle = ard.open(template)
    cube = bundle["likelihood/t001_cube"]
    for name in ("cube", "t001_cube", "likelihood/t001_cube", "likelihood_t001_cube.fits"):
        assert bundle.file(name) is cube
    assert bundle.file("README.md") is bundle.documents["README.md"]
    assert bundle.download(["cube", "README.md"]) == (cube.path, template / "README.md")
    assert sorted(path.name for path in bundle.download()) == sorted(KINDS)
    with pytest.raises(NotFoundError, match="no product 'image'"):
        bundle.file("image")


def test_the_kind_of_several_products_is_no_name(template):
    bundle = ard.open(template)
    both = [
        dataclasses.replace(entry, kind="cube") if entry.kind == "map" else entry
        for entry in bundle.manifest.entries
    ]
    twins = Bundle(bundle.source, dataclasses.replace(bundle.manifest, entries=tuple(both)))
    with pytest.raises(NotFoundError, match=r"several[\s\S]*t001_cube, inference/t001_linemap"):
        twins.file("cube")


def test_figures_are_reached_inside_their_archive(template):
    figures = ard.open(template)["validation/figures"]
    assert figures.members == ("a.ecsv", "a.png")
    assert figures.member("a.png") == b"picture"
    assert figures.load() == {"a.ecsv": b"numbers", "a.png": b"picture"}
    with pytest.raises(ard.NotFoundError, match=r"no such member[\s\S]*a\.ecsv, a\.png"):
        figures.member("b.png")
    with pytest.raises(ard.FormatError, match="has no members"):
        ard.open(template)["likelihood/lines"].member("a.png")


def test_a_damaged_member_is_not_handed_out(folder):
    path = folder / "validation_figures.zip"
    path.write_bytes(path.read_bytes().replace(b"picture", b"forgery"))
    write_lists(folder)
    figures = ard.open(folder)["validation/figures"]
    with pytest.raises(ard.IntegrityError, match=r"a\.png"):
        figures.member("a.png")
    assert figures.member("a.ecsv") == b"numbers"


def test_an_archive_without_a_list_hands_out_nothing(folder):
    with zipfile.ZipFile(folder / "validation_figures.zip", "w") as archive:
        archive.writestr("a.png", b"picture")
    write_lists(folder)
    with pytest.raises(ard.IntegrityError, match="no list of its own"):
        ard.open(folder)["figures"].member("a.png")


def test_a_file_that_is_no_archive_says_so(folder):
    (folder / "validation_figures.zip").write_bytes(b"no zip")
    write_lists(folder)
    with pytest.raises(ard.IntegrityError, match="not a readable zip"):
        _ = ard.open(folder)["figures"].members


def test_reading_is_lazy(folder):
    # What was not asked for is not read: a damaged product does not hinder the others.
    bundle = ard.open(folder)
    (folder / "inference_t001_linemap.fits").write_bytes(b"gone")
    assert bundle.cube().shape == make_cube(5).shape
    with pytest.raises(ard.ArdError):
        bundle.map()


def test_a_link_put_in_place_after_opening_is_not_followed(folder, tmp_path):
    bundle = ard.open(folder)
    (tmp_path / "other").write_text("{}")
    (folder / "validation_t001_quality.json").unlink()
    (folder / "validation_t001_quality.json").symlink_to(tmp_path / "other")
    with pytest.raises(ard.IntegrityError, match="no longer the regular file"):
        bundle.load("t001_quality")


def test_an_unknown_name_gets_near_matches(template):
    bundle = ard.open(template)
    with pytest.raises(ard.NotFoundError, match=r"perhaps likelihood/t001_cube"):
        bundle["likelihood/t01_cube"]
    with pytest.raises(ard.NotFoundError, match=r"perhaps .*inference/t001_linemap"):
        bundle.load("t001_linemaps")
    with pytest.raises(ard.NotFoundError, match=r"nothing in representative: none were made"):
        bundle["representative/x"]
    with pytest.raises(ard.NotFoundError, match=r"one of likelihood/lines, "):
        bundle["zzz"]
    with pytest.raises(ard.NotFoundError, match=r"no product 't009'"):
        bundle.cube("t009")


def test_a_name_of_several_products_is_refused(folder, monkeypatch):
    second = "inference_t001_cube.fits"
    shutil.copy(folder / "likelihood_t001_cube.fits", folder / second)
    row = ("inference", "t001_cube", "cube", "application/fits")
    monkeypatch.setitem(KINDS, second, row)
    write_lists(folder)
    bundle = ard.open(folder)
    names = r"one of likelihood/t001_cube, inference/t001_cube"
    for ask in (lambda: bundle["t001_cube"], bundle.cube, lambda: bundle.cube("t001")):
        with pytest.raises(ard.NotFoundError, match=names):
            ask()
    assert bundle.cube("inference/t001_cube").shape == (7, 4, 3)


HLSP = "hlsp_rbh1-ard_jwst_nirspec_rbh1-t001_g140m-f100lp_v0_{type}.fits"


def renamed(folder, monkeypatch, old: str, new: str, place: tuple[str, str]) -> None:
    """Give a file of the bundle another name and place."""
    (folder / old).rename(folder / new)
    monkeypatch.setitem(KINDS, new, (*place, *KINDS[old][2:]))
    monkeypatch.delitem(KINDS, old)
    write_lists(folder)


def test_a_name_of_the_space_telescopes_archive_is_shown_by_layer(folder, monkeypatch):
    cube, linemap = HLSP.format(type="likelihood-cube"), HLSP.format(type="inference-linemap")
    before = list(ard.open(folder))
    place = ("likelihood", "t001_cube")
    renamed(folder, monkeypatch, "likelihood_t001_cube.fits", cube, place)
    place = ("inference", "t001_linemap")
    renamed(folder, monkeypatch, "inference_t001_linemap.fits", linemap, place)
    bundle = ard.open(folder, verify="full")
    assert list(bundle) == before
    assert bundle["likelihood/t001_cube"].path == folder / cube
    assert bundle.cube("t001").shape == (7, 4, 3)
    assert bundle[cube] is bundle["t001_cube"]


@pytest.mark.parametrize(
    ("name", "layer", "product", "told"),
    [
        ("likelihood_t001_cube.fits", "likelihood", "t001_cube", True),
        ("likelihood_t001_cube.fits", "inference", "t001_cube", False),
        ("likelihood_t001_cubes.fits", "likelihood", "t001_cube", False),
        (HLSP.format(type="likelihood-cube"), "likelihood", "t001_cube", True),
        (HLSP.format(type="likelihood-cube"), "likelihood", "cube", True),
        (HLSP.format(type="likelihood-cube"), "inference", "t001_cube", False),
        (HLSP.format(type="likelihood-cube"), "likelihood", "t001_linemap", False),
        (HLSP.format(type="inference-linemap-o-iii"), "inference", "t001_linemap-o_iii", True),
        (HLSP.format(type="likelihood-cube").replace(".fits", ".txt"), "likelihood", "cube", False),
        (HLSP.format(type="more_likelihood-cube"), "likelihood", "cube", False),
        ("hlsp_likelihood-cube.fits", "likelihood", "cube", False),
    ],
)
def test_a_name_has_to_tell_layer_and_product(name, layer, product, told):
    assert ard.layout.may_hold(name, layer, product) is told


def test_a_manifest_that_contradicts_the_name_is_found(folder, monkeypatch):
    wrong = HLSP.format(type="inference-cube")
    place = ("likelihood", "t001_cube")
    renamed(folder, monkeypatch, "likelihood_t001_cube.fits", wrong, place)
    with pytest.raises(ard.IntegrityError, match="name and layer differ"):
        ard.open(folder)


def test_a_product_in_a_shared_archive_is_pointed_to(folder, monkeypatch):
    (folder / "validation_t001_quality.json").unlink()
    monkeypatch.delitem(KINDS, "validation_t001_quality.json")
    name = "validation_packed.zip"
    monkeypatch.setitem(KINDS, name, ("validation", "packed", "archive", "application/zip"))
    write_zip(folder / name, {"t001_quality.json": b'{"answer": 42}'})
    write_lists(folder)
    document = json.loads((folder / "manifest.json").read_text())
    row = next(row for row in document["files"] if row["name"] == name)
    row["parts"] = [
        {"name": "t001_quality.json", "offset": 47, "size": 14, "sha256": "0" * 64},
        {"name": "sha256sums.txt", "offset": 200, "size": 84, "sha256": "0" * 64},
    ]
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)
    bundle = ard.open(folder)
    for asked in ("validation/t001_quality", "t001_quality"):
        with pytest.raises(ard.NotFoundError, match="no file of its own") as told:
            bundle[asked]
        assert told.value.action == (
            "read it with bundle['validation/packed'].member('t001_quality.json')"
        )
    assert bundle["validation/packed"].member("t001_quality.json") == b'{"answer": 42}'
    with pytest.raises(ard.NotFoundError, match="has no product 'validation/t002_quality'"):
        bundle["validation/t002_quality"]


def test_a_manifest_that_lies_about_the_kind_is_found(folder, monkeypatch):
    row = ("inference", "t001_linemap", "cube", "application/fits")
    monkeypatch.setitem(KINDS, "inference_t001_linemap.fits", row)
    write_lists(folder)
    with pytest.raises(ard.FormatError, match=r"the manifest says[\s\S]*expected: Cube"):
        ard.open(folder).cube("t001_linemap")


def test_the_overview_names_what_matters(template):
    text = repr(ard.open(template))
    assert text.startswith("<Bundle bundle: Test object, version 1.2.3, 5 products, ")
    assert "SIMULATED DATA" in text
    assert "TOY GRID" not in text
    assert "representative: absent, none were made" in text
    assert all(name in text for name in ard.open(template))


def test_the_toy_grid_is_named(folder):
    write_lists(folder, toy_grid=True)
    assert "TOY GRID" in repr(ard.open(folder))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000_000, "2.5 GB")]
)
def test_sizes_are_written_for_people(size, text):
    assert human_size(size) == text


def test_a_damaged_bundle_is_refused_with_every_finding(folder):
    (folder / "README.md").unlink()
    (folder / "surplus.txt").write_text("x")
    with pytest.raises(ard.IntegrityError) as refused:
        ard.open(folder)
    assert "(2 findings)" in str(refused.value)
    assert "README.md: missing file" in str(refused.value)
    assert "surplus.txt: unlisted file" in str(refused.value)


def test_the_level_decides_what_is_looked_at(folder):
    path = folder / "likelihood_lines.ecsv"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert len(ard.open(folder, verify="fast")) == 5
    with pytest.raises(ard.IntegrityError, match=r"likelihood_lines\.ecsv: sha256 differs"):
        ard.open(folder, verify="full")
    path.unlink()
    assert len(ard.open(folder, verify="none")) == 5
    assert ard.open(folder, verify="none").verify("fast")[0].file == path.name


def test_a_place_without_a_bundle_is_told(tmp_path):
    with pytest.raises(ard.NotFoundError, match="no such bundle"):
        ard.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ard.NotFoundError, match="found: a file"):
        ard.open(tmp_path / "file")
    with pytest.raises(ard.IntegrityError, match=r"manifest\.json: missing file"):
        ard.open(tmp_path, verify="none")


def test_an_unknown_level_is_told(template):
    with pytest.raises(ard.ArdError, match="fast or full"):
        ard.verify(template, "half")


def wrong(**changes):
    return lambda row: {**row, **changes}


def without(field):
    return lambda row: {key: value for key, value in row.items() if key != field}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (wrong(layer="elsewhere"), "layer is wrong"),
        (wrong(product=None), "name and layer differ"),
        (wrong(layer=None), "name and layer differ"),
        (wrong(product="other"), "name and layer differ"),
        (wrong(kind="poem"), "kind is wrong"),
        (wrong(size=-1), "size is wrong"),
        (wrong(size=True), "size is wrong"),
        (wrong(size="12"), "size is wrong"),
        (wrong(sha256="A" * 64), "sha256 is wrong"),
        (wrong(md5="0" * 31), "md5 is wrong"),
        (wrong(media_type=""), "media_type is wrong"),
        (wrong(provenance=[]), "provenance is wrong"),
        (wrong(provenance={"stage": "x"}), "provenance is wrong"),
        (wrong(name="../secret"), "name is wrong"),
        (wrong(name="a/b"), "name is wrong"),
        (wrong(name="a\\b"), "name is wrong"),
        (wrong(name="/etc/passwd"), "name is wrong"),
        (wrong(name="c:x"), "name is wrong"),
        (wrong(name="a\nb"), "name is wrong"),
        (wrong(name="a\n"), "name is wrong"),
        (wrong(name=""), "name is wrong"),
        (wrong(name=".."), "name is wrong"),
        (wrong(name=7), "name is wrong"),
        (wrong(name="x" * 91), "name is wrong"),
        (wrong(name="manifest.json", layer=None, product=None), "lists one of the two lists"),
        (without("md5"), "md5 is missing"),
        (lambda row: "a text", r"files\[0\] is wrong"),
    ],
)
def test_every_field_of_an_entry_is_checked(template, change, problem):
    document = json.loads((template / "manifest.json").read_text())
    document["files"][0] = change(document["files"][1])
    manifest, findings = parse_manifest(document)
    assert any(finding.file == "manifest.json" for finding in findings)
    assert any(re.search(problem, finding.problem) for finding in findings), findings
    # What is wrong is not used; what is right still is.
    assert manifest is not None
    assert len(manifest.entries) == len(document["files"]) - 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": "other"}, "schema is wrong"),
        ({"name": "other"}, "name is wrong"),
        ({"version": 1}, "version is wrong"),
        ({"simulated": "no"}, "simulated is wrong"),
        ({"toy_grid": None}, "toy_grid is wrong"),
        ({"target": []}, "target is wrong"),
        ({"layers": {"likelihood": "x"}}, "layers is wrong"),
        ({"absent_layers": {"representative": ""}}, "absent_layers is wrong"),
        ({"files": {}}, "files is wrong"),
        ({"absent_layers": {}}, "layer representative has to have products or a reason"),
        ({"absent_layers": {"likelihood": "x", "representative": "y"}}, "layer likelihood has to"),
        ({"absent_layers": {"cellar": "x", "representative": "y"}}, "unknown layer"),
        ({"layers": {}}, "the products of layer likelihood differ"),
    ],
)
def test_every_field_of_the_manifest_is_checked(template, changes, problem):
    document = {**json.loads((template / "manifest.json").read_text()), **changes}
    _, findings = parse_manifest(document)
    assert any(finding.problem.startswith(problem) for finding in findings), findings


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff\xfe",
        b'{"schema": NaN}',
        b'{"schema": 1, "schema": "manifest"}',
        b"[" * 100_000,
    ],
    ids=["empty", "list", "half", "no text", "nan", "twice", "deep"],
)
def test_a_manifest_that_is_no_json_object_is_a_finding(folder, text):
    (folder / "manifest.json").write_bytes(text)
    findings = [row for row in ard.verify(folder) if row.problem == "cannot be read"]
    assert [row.file for row in findings] == ["manifest.json"]


def test_a_stranger_reads_every_product(template, base_environment, tmp_path):
    # A copy of ard alone, and an environment that holds numpy, astropy and what they need.
    shutil.copytree(ROOT / "ard", tmp_path / "ard", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import json, sys
import ard
bundle = ard.open(sys.argv[1], verify="full")
print(json.dumps({name: type(product.load()).__name__ for name, product in bundle.items()}))
"""
    result = run_python(code, tmp_path, base_environment, args=(str(template),))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "likelihood/lines": "Table",
        "likelihood/t001_cube": "Cube",
        "inference/t001_linemap": "Map",
        "validation/figures": "dict",
        "validation/t001_quality": "dict",
    }
