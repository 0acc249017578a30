"""Does the judge read what a file of chains says of itself, and does it miss what a run declared?

Oracle: construction; a good run, with one thing changed.
"""

import json
import sys

import pytest
from chains import iid, nuts_stats, write_chains
from run_documents import record
from runs import make_run, write_run_document

from ard import io, layout
from checks import all_checks, judge
from checks.result import Status

h5netcdf = pytest.importorskip("h5netcdf", reason="needs the extra study")

NAME = "inference/t001_chains-jump.nc"
CUBE = "work/t001_cube.fits"


def checks(*names):
    return tuple(one for one in all_checks() if one.name in names)


def run_with_chains(root, **changed):
    """A run with chains that were sampled from its cube."""
    make_run(root)
    cube = root / layout.PRODUCTS_DIR / "likelihood/t001_cube.fits"
    (root / "work").mkdir(exist_ok=True)
    (root / CUBE).write_bytes(cube.read_bytes())
    path = root / layout.PRODUCTS_DIR / NAME
    write_chains(path, {"v": iid(1)}, nuts_stats())
    made = record("fit", {CUBE: io.sha256_file(root / CUBE)}).to_dict()
    with h5netcdf.File(path, "a") as file:
        for key, value in {"provenance": json.dumps(made), "simulated": 1, **changed}.items():
            if value is not None:
                file.attrs[key] = value
    return root


def judged(root, *names):
    rows = judge(root, checks=checks(*names), waivers=()).results
    return [row for row in rows if row.product == NAME]


def test_chains_of_the_cube_that_is_there_pass(tmp_path):
    rows = judged(run_with_chains(tmp_path), "structure.provenance", "structure.simulated")
    assert [row.status for row in rows] == [Status.PASSED] * 2
    assert rows[0].detail == "stage fit, 1 inputs"


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("provenance", json.dumps(record("fit", {CUBE: "e" * 64}).to_dict()), "not the file that"),
        ("provenance", json.dumps(record("fit", {"work/x.fits": "e" * 64}).to_dict()), "is gone"),
        ("provenance", "null", "no provenance record"),
        ("provenance", "{", "no provenance record"),
        ("provenance", None, "no provenance record"),
        ("simulated", 0, "simulated is False here"),
        ("simulated", None, "simulated is None here"),
    ],
)
def test_chains_of_another_origin_fail(attribute, value, words, tmp_path):
    root = run_with_chains(tmp_path, **{attribute: value})
    (row,) = judged(root, f"structure.{attribute}")
    assert row.status is Status.FAILED
    assert words in row.detail


def test_without_the_library_the_record_is_not_passed(tmp_path, monkeypatch):
    root = run_with_chains(tmp_path)
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    (row,) = judged(root, "structure.provenance")
    assert row.status is Status.SKIPPED
    assert "rbh1-ard[study]" in row.remedy


POSTERIORS = ("inference/t001_kinematics.fits", "validation/t001_posteriors.json")


@pytest.mark.parametrize("lost", [None, *POSTERIORS])
@pytest.mark.parametrize("declared", ["stages", "rows", "not at all"])
def test_posteriors_are_missed_where_the_run_was_to_have_them(lost, declared, tmp_path):
    make_run(tmp_path)
    products = tmp_path / layout.PRODUCTS_DIR
    kept = [name for name in POSTERIORS if name != lost] if lost else list(POSTERIORS)
    for name in kept:
        (products / name).write_bytes(b"what is inside is for other checks")
    write_run_document(tmp_path, **({"stages": ["kinematics"]} if declared == "stages" else {}))
    if declared == "rows":
        file = products / layout.RUN_FILE
        document = io.read_json(file)
        for row in document["products"]:
            if row["path"] in POSTERIORS:
                row["stage"] = "kinematics"
        io.write_json(file, document, overwrite=True)
    (row,) = judge(tmp_path, checks=checks("structure.inventory"), waivers=()).results
    good = lost is None or declared == "not at all"
    assert row.status is (Status.PASSED if good else Status.FAILED)
    if not good:
        assert f"{lost.partition('/')[2].partition('.')[0]} is missing from" in row.detail


def test_a_run_that_never_had_posteriors_is_not_asked_for_them(tmp_path):
    make_run(tmp_path)
    (row,) = judge(tmp_path, checks=checks("structure.inventory"), waivers=()).results
    assert row.status is Status.PASSED
