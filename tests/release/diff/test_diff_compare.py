"""Are the files named in which two bundles differ, and are only those opened?

Oracles: planted differences; the mirror image (what is before in one direction is after in the
other); and a record of every file that was asked for.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from small_run import FakeJudge, provenance, result, write_record
from versions import EVERYTHING, Versions, file_of, make_versions, mirrored, undirected

import ard
import schemas
from ard.integrity import read_manifest
from ard.source import LocalSource
from release.build import Options, build
from release.diff.compare import compare
from release.diff.model import Bounds

DOCUMENTS = {
    "CHANGELOG.md",
    "CITATION.cff",
    "DATASHEET.md",
    "README.md",
    "checks.json",
    "data-dictionary.md",
    "datacite.json",
    "datapackage.json",
    "index.html",
    "ro-crate-metadata.json",
    "zenodo.json",
}


def plant(products: Path) -> None:
    """Change something on every level."""
    cube = ard.read(products / "likelihood/t001_cube.fits")
    flux = cube.flux.copy()
    flux[np.nonzero(~cube.mask)[0][0]] += np.where(np.isfinite(flux[0]), 1.0, 0.0)
    ard.write(products / "likelihood/t001_cube.fits", cube.replace(flux=flux), overwrite=True)
    table = ard.read(products / "likelihood/lines.ecsv")
    data = Table({"name": ["OIII5007", "HA"], "wave_vac_um": [0.5, 0.6564]})
    data["wave_vac_um"].unit = "um"
    ard.write(
        products / "likelihood/lines.ecsv", ard.Table(data, {}, table.provenance), overwrite=True
    )
    quality = ard.read(products / "validation/t001_quality.json")
    quality["provenance"]["seed"] = 8
    ard.write(products / "validation/t001_quality.json", {**quality, "answer": 42}, overwrite=True)
    figures = products / "validation/figures"
    (figures / "velocity.png").rename(figures / "speed.png")
    ard.write(products / "validation/t002_quality.json", quality)
    (products / "inference/t001_linemap.fits").rename(products / "inference/t009_linemap.fits")


@pytest.fixture(scope="module")
def planted(run_template, tmp_path_factory):
    return make_versions(run_template, tmp_path_factory.mktemp("planted"), plant)


# ---- what differs


def test_a_bundle_does_not_differ_from_itself(built_bundle):
    bundle = ard.open(built_bundle)
    difference = compare(bundle, bundle)
    assert difference.empty
    assert difference.same_files == len(bundle.manifest.entries)
    assert difference.to_dict()["files"] == difference.to_dict()["checks"] == []


def test_the_same_run_built_again_differs_in_its_documents_only(run_template, tmp_path):
    versions = make_versions(run_template, tmp_path)
    difference = versions.compare()
    assert difference.products == ()
    assert {row.side.name for row in difference.documents} < DOCUMENTS
    assert (difference.old.version, difference.new.version) == ("1.0.0", "1.1.0")


def test_every_file_has_a_state(planted):
    states = {row.side.name: row.state for row in planted.compare().products}
    assert states == {
        "likelihood/t001_cube": "changed",
        "likelihood/lines": "changed",
        "validation/t001_quality": "changed",
        "validation/t002_quality": "added",
        "validation/figures": "changed",
        "inference/t009_linemap": "renamed",
    }
    back = {row.side.name: row.state for row in planted.backwards().products}
    assert back["validation/t002_quality"] == "removed"
    assert back["inference/t001_linemap"] == "renamed"


def test_sizes_and_digests_are_those_of_the_files(planted):
    for row in planted.compare().files:
        for folder, side in ((planted.old, row.before), (planted.new, row.after)):
            if side is not None:
                path = folder / side.file
                assert side.size == path.stat().st_size
                assert side.sha256 == ard.io.sha256_file(path)


def test_what_changed_inside_is_found(planted):
    difference = planted.compare()
    (sci,) = [hdu for hdu in file_of(difference, "likelihood/t001_cube").hdus if hdu.name == "SCI"]
    assert sci.image.spread.differing > 0
    lines = file_of(difference, "likelihood/lines").table
    assert (lines.key, lines.rows_added.rows, lines.rows_changed) == ("name", ("HA",), 1)
    quality = file_of(difference, "validation/t001_quality")
    assert [row.path for row in quality.values.rows] == ["answer"]
    (member,) = file_of(difference, "validation/figures").members.rows
    assert (member.state, member.before.name, member.after.name) == (
        "renamed",
        "velocity.png",
        "speed.png",
    )


def test_what_made_a_product_differently_is_told_once(planted):
    quality = file_of(planted.compare(), "validation/t001_quality")
    assert [(row.path, row.before, row.after) for row in quality.provenance.rows] == [
        ("seed", 7, 8)
    ]


def test_backwards_is_the_mirror_image(planted):
    there = undirected(planted.compare(bounds=EVERYTHING))
    back = undirected(planted.backwards(bounds=EVERYTHING))
    assert mirrored(there) == mirrored(mirrored(back))
    assert there["files"]


def test_it_follows_its_schema(planted, built_bundle):
    for bounds in (EVERYTHING, Bounds(1, 1 << 20)):
        for difference in (planted.compare(bounds=bounds), planted.backwards(bounds=bounds)):
            document = json.loads(json.dumps(difference.to_dict(), allow_nan=False))
            assert schemas.validate(document, "bundle-diff") == ()


def test_the_report_of_the_checks_is_no_document_to_be_compared_by_paths(run_template, tmp_path):
    rows = [result(), result("physics.other", measured=2.0)]
    versions = make_versions(run_template, tmp_path, rows=rows, new_rows=rows[::-1])
    difference = versions.compare()
    report = file_of(difference, "checks.json")
    assert (report.state, report.values.total) == ("changed", 0)
    assert difference.checks == ()


def test_what_the_manifest_says_about_the_whole_is_compared(observed_run, run_template, tmp_path):
    observed = build(observed_run, tmp_path / "a", Options(), judge=FakeJudge()).folder
    simulated = build(run_template, tmp_path / "b", Options(), judge=FakeJudge()).folder
    about = compare(ard.open(observed), ard.open(simulated)).about
    assert [(row.path, row.before, row.after) for row in about.rows] == [("simulated", False, True)]


# ---- products are known by the manifest


def test_another_file_name_of_a_product_is_a_new_name_and_nothing_else(run_template, tmp_path):
    versions = make_versions(run_template, tmp_path)
    manifest = versions.new / "manifest.json"
    was = ard.open(versions.new)["likelihood/t001_cube"].entry.name
    now = "likelihood_t001_cube.v2.fits"
    manifest.write_text(manifest.read_text().replace(was, now))
    new = ard.bundle.Bundle(LocalSource(versions.new), read_manifest(versions.new))
    (change,) = compare(ard.open(versions.old), new).products
    assert (change.state, change.before.name) == ("renamed", change.after.name)
    assert (change.before.file, change.after.file) == (was, now)


def pack(products: Path) -> None:
    (products / "likelihood/tables").mkdir()
    for name in ("lines.ecsv", "extra.ecsv"):
        source = products / "likelihood" / name
        if source.exists():
            shutil.move(source, products / "likelihood/tables")


def test_a_product_that_moved_into_an_archive_is_not_removed(run_template, tmp_path):
    versions = make_versions(run_template, tmp_path, pack)
    lines = file_of(versions.compare(), "likelihood/lines")
    assert (lines.state, lines.before.file, lines.after.file) == (
        "renamed",
        "likelihood_lines.ecsv",
        "likelihood_tables.zip!lines.ecsv",
    )
    back = file_of(versions.backwards(), "likelihood/lines")
    assert (back.before.file, back.after.file) == (lines.after.file, lines.before.file)
    for difference in (versions.compare(), versions.backwards()):
        assert schemas.validate(difference.to_dict(), "bundle-diff") == ()


def test_a_product_that_changed_on_its_way_into_an_archive_has_changed(run_template, tmp_path):
    def change(products: Path) -> None:
        pack(products)
        table = Table({"name": ["HA"]})
        ard.write(
            products / "likelihood/tables/lines.ecsv",
            ard.Table(table, {}, provenance("ingest", True)),
            overwrite=True,
        )

    versions = make_versions(run_template, tmp_path, change)
    lines = file_of(versions.compare(), "likelihood/lines")
    assert (lines.state, lines.before.sha256 != lines.after.sha256) == ("changed", True)


def test_a_figure_of_the_same_name_is_no_hiding_place(run_template, tmp_path):
    """A member that an archive had all along is not the product that was removed."""

    def remove(products: Path) -> None:
        (products / "validation/velocity.json").unlink()

    run = Path(shutil.copytree(run_template, tmp_path / "run"))
    ard.write(run / "products/validation/velocity.json", {"schema": "x"})
    write_record(run)
    versions = make_versions(run, tmp_path / "v", remove)
    assert file_of(versions.compare(), "validation/velocity").state == "removed"


# ---- what is read


def test_only_changed_files_are_opened(planted, tmp_path):
    """Whatever did not change, or is listed in the manifest, need not be there any more."""
    expected = planted.compare().to_dict()
    copy = Versions(*(Path(shutil.copytree(side, tmp_path / side.name)) for side in planted.sides))
    old, new = map(ard.open, copy.sides)
    changed = [row for row in planted.compare().files if row.state == "changed"]
    needed = {"application/fits", "text/x-ecsv", "application/json", "application/ld+json"}
    for folder, kept in (
        (copy.old, {row.before.file for row in changed if row.before.media_type in needed}),
        (copy.new, {row.after.file for row in changed if row.after.media_type in needed}),
    ):
        for path in folder.iterdir():
            if path.name not in kept:
                path.unlink()
        assert len(kept) < len(planted.compare().files)
    assert compare(old, new).to_dict() == expected


def test_of_equal_bundles_nothing_is_opened(built_bundle, tmp_path):
    copy = Path(shutil.copytree(built_bundle, tmp_path / "copy"))
    old, new = ard.open(built_bundle), ard.open(copy)
    for path in copy.iterdir():
        path.unlink()
    assert compare(old, new).empty
    assert compare(new, old).empty


def test_progress_tells_which_file_is_compared(planted):
    told: list[str] = []
    planted.compare(progress=told.append)
    assert "comparing likelihood/t001_cube" in told
    assert not any("linemap" in text for text in told)


# ---- a choice of products


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["likelihood/lines"], {"likelihood/lines"}),
        (["lines"], {"likelihood/lines"}),
        (["likelihood_lines.ecsv"], {"likelihood/lines"}),
        (["likelihood/*"], {"likelihood/lines", "likelihood/t001_cube"}),
        (["*_linemap", "figures"], {"inference/t009_linemap", "validation/figures"}),
        (["t001_linemap"], {"inference/t009_linemap"}),
    ],
)
def test_products_can_be_chosen(planted, only, names):
    difference = planted.compare(only=only)
    assert {row.side.name for row in difference.files} == names
    assert difference.same_files == 0


def test_checks_are_chosen_with_their_products(run_template, tmp_path):
    rows = [
        result(product=name)
        for name in ("likelihood/t001_cube.fits", "validation/figures/velocity.png", ".")
    ]
    new = [{**row, "measured": 2.0} for row in rows]
    versions = make_versions(run_template, tmp_path, rows=rows, new_rows=new)

    def about(*only: str) -> list[str]:
        return [row.product for row in versions.compare(only=only).checks]

    assert about() == [".", "likelihood/t001_cube", "validation/figures/velocity.png"]
    assert about("t001_cube") == ["likelihood/t001_cube"]
    assert about("figures") == ["validation/figures/velocity.png"]


def test_a_name_that_means_nothing_is_told(planted):
    with pytest.raises(
        ard.NotFoundError, match=r"neither bundle has a file 't007_cube'[\s\S]*lines"
    ):
        planted.compare(only=["t007_cube"])


def test_another_format_is_a_change_without_a_look_inside(run_template, tmp_path):
    def replace(products: Path) -> None:
        (products / "likelihood/lines.ecsv").unlink()
        ard.write(products / "likelihood/lines.json", {"schema": "x"})

    change = file_of(make_versions(run_template, tmp_path, replace).compare(), "likelihood/lines")
    assert (change.before.media_type, change.after.media_type) == (
        "text/x-ecsv",
        "application/json",
    )
    assert (change.table, change.values.total) == (None, 0)
