"""Does the selection declare exactly the files that the archive lists, and does the lock name them?

Oracles: the public listing of the 194 files (real_data), jsonschema, and damaged copies.
"""

import csv
import json
import re

import pytest

import schemas
from manifests import ManifestError, load_lock, load_selection, lock_path
from manifests.lock import Lock, LockedFile, read_lock
from manifests.selection import SELECTIONS_DIR

COUNTS = {
    "hst_original_flc": 36,
    "hst_hap_flc": 36,
    "hst_original_drc": 12,
    "hst_hap_drc": 54,
    "hst_skycell": 4,
    "jwst_cal": 16,
    "jwst_s3d": 18,
    "jwst_x1d": 18,
}


@pytest.fixture(scope="module")
def selection():
    return load_selection()


@pytest.fixture
def toml(tmp_path):
    """Write a changed copy of the selection."""

    def write(*changes: tuple[str, str]):
        text = (SELECTIONS_DIR / "rbh1.toml").read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def damaged(tmp_path):
    """Write a lock with a change in its document."""

    def write(change):
        document = json.loads(lock_path().read_text())
        change(document)
        path = tmp_path / "lock.json"
        path.write_text(json.dumps(document))
        return path

    return write


def test_the_counts_are_those_of_the_programmes(selection):
    assert {group.name: group.count for group in selection.groups} == COUNTS
    assert sum(COUNTS.values()) == 194


@pytest.mark.real_data
def test_every_file_of_the_public_listing_has_its_group(selection, shared_data):
    with (shared_data / "mast" / "products.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lock = load_lock(lock_path(), selection).by_name()
    assert len(rows) == len(lock) == 194
    for row in rows:
        group = selection.group_of(row["collection"], row["program"], row["filename"])
        assert group is not None
        assert group.name == row["group"] == lock[row["filename"]].group
        assert lock[row["filename"]].uri == row["data_uri"]
        assert str(lock[row["filename"]].size or "") == row["size_bytes"]


def test_the_lock_holds_every_group_in_full(selection):
    files = load_lock(lock_path(), selection).files
    assert {g: sum(f.group == g for f in files) for g in COUNTS} == COUNTS
    assert schemas.validate(json.loads(lock_path().read_text()), "archive-lock") == ()


def test_other_files_of_the_programmes_are_not_wanted(selection):
    for name in ("jw03149001001_02101_00001_nrs1_rate.fits", "if3x01izq_flt.fits", "x_asn.json"):
        assert selection.group_of("JWST", "3149", name) is None
        assert selection.group_of("HST", "17301", name) is None
    assert selection.group_of("HST", "3149", "if3x01izq_flc.fits") is None


def test_a_file_in_two_groups_is_an_error(toml):
    path = toml((r"if3x\w{5}_drc\.fits", r".*_drc\.fits"))
    with pytest.raises(ManifestError, match="belongs to two groups") as error:
        load_selection(path).group_of("HST", "17301", "hst_17301_01_x_drc.fits")
    assert "hst_original_drc and hst_hap_drc" in str(error.value)


def test_count_rates_are_offered_without_a_number():
    (group,) = load_selection("rbh1-rate").groups
    assert group.count is None
    assert group.holds("jw03149001001_02101_00001_nrs1_rate.fits")
    assert not group.holds("jw03149001001_02101_00001_nrs1_rateints.fits")


def test_some_groups_bring_their_programme_only(selection):
    some = selection.only(["jwst_x1d"])
    assert [p.program for p in some.programmes] == ["3149"]
    assert [g.name for g in some.groups] == ["jwst_x1d"]
    assert selection.only([]) == selection
    with pytest.raises(ManifestError, match="no such group"):
        selection.only(["jwst_rate"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = 36", "count = 0", "positive whole number"),
        ("count = 36", "count = 36.5", "positive whole number"),
        (r"pattern = 'if3x\w{5}_flc\.fits'", "pattern = '('", "no regular expression"),
        ('["SCI", 2, -32]', '["SCI", 2, -31]', "what the file contains"),
        ('["SCI", 2, -32]', '["SCI", 2]', "what the file contains"),
        ('name = "hst_hap_flc"', 'name = "hst_original_flc"', "every group once"),
        ('program = "3149"\nfile', 'program = "3150"\nfile', "not declared"),
        ('title = "RBH-1', 'titel = "RBH-1', "unknown field"),
    ],
)
def test_a_wrong_selection_is_refused(toml, old, new, message):
    with pytest.raises(ManifestError, match=message):
        load_selection(toml((old, new)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "this is no lock"),
        (lambda d: d.update(selection="other"), "another selection"),
        (lambda d: d.update(extra=1), "other fields"),
        (lambda d: d["files"].append(d["files"][0]), "listed twice"),
        (lambda d: d["files"][0].update(group="jwst_s3d"), "does not fit its group"),
        (lambda d: d["files"][0].update(sha256="ab"), "is wrong"),
        (lambda d: d["files"][0].update(verified="archive"), "is wrong"),
        (lambda d: d["files"][0].update(sha256="ab" * 32), "is wrong"),
        (lambda d: d["files"][0].update(size=True), "is wrong"),
        (lambda d: d["files"][0].update(name="../x.fits"), "is wrong"),
        (lambda d: d["files"][0].update(uri="mast:JWST/product/y.fits"), "is wrong"),
        (lambda d: d["files"][0].pop("role"), "other fields"),
    ],
)
def test_a_wrong_lock_is_refused(damaged, selection, change, message):
    with pytest.raises(ManifestError, match=message):
        load_lock(damaged(change), selection)


def test_a_lock_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(ManifestError, match=re.escape("rbh1 acquire lock --update")):
        read_lock(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ManifestError, match="this is no lock"):
        read_lock(tmp_path / "list.json")
    (tmp_path / "torn.json").write_text('{"schema": ')
    with pytest.raises(ManifestError, match="cannot be read"):
        read_lock(tmp_path / "torn.json")


def test_order_does_not_depend_on_where_files_came_from():
    one = LockedFile("mast:b.fits", "b.fits", "g")
    two = LockedFile("mast:a.fits", "a.fits", "g")
    assert Lock("s", (one, two)).to_dict() == Lock("s", (two, one)).to_dict()
