"""Are thresholds complete, with sources, and never decided by hearsay? Do waivers expire?"""

import datetime
import hashlib
from pathlib import Path

import pytest

from manifests import Limit, ManifestError, Waiver, load_acceptance, load_waivers, may_waive
from manifests.acceptance import ACCEPTANCE_FILE

ROW = """
[[rows]]
id = "a.b"
value = 1.5
unit = "km/s"
comparison = "<="
gate = true
source = "a paper"
evidence = "primary"
"""
WAIVER = """
[[waivers]]
check = "physics.map_chi2"
product = "inference/*_linemap.fits"
reason = "known"
author = "a person"
expires = 2026-12-31
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.toml"
    path.write_text(text)
    return path


def test_the_studys_rows_are_complete():
    acceptance = load_acceptance()
    assert acceptance.sha256 == hashlib.sha256(ACCEPTANCE_FILE.read_bytes()).hexdigest()
    assert all(row.source and row.unit for row in acceptance)
    assert not [row.id for row in acceptance if row.gate and row.evidence == "secondary"]
    # At least one row rests on hearsay, or the rule above would not be exercised.
    assert [row.id for row in acceptance if row.evidence == "secondary"]


def test_a_gate_on_secondary_evidence_is_refused(tmp_path):
    text = ROW.replace("primary", "secondary")
    with pytest.raises(ManifestError, match="would gate on a value that only a third party"):
        load_acceptance(write(tmp_path, text))
    informing = load_acceptance(write(tmp_path, text.replace("gate = true", "gate = false")))
    assert informing.limit("a.b").gate is False


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('unit = "km/s"', "", "'unit' must be a text"),
        ('source = "a paper"', "", "'source' must be a text"),
        ("gate = true", 'gate = "yes"', "must be true or false"),
        ('"<="', '"about"', "'comparison' is not known"),
        ("value = 1.5", "value = [0, 1]", "'value' must be a number"),
        ("value = 1.5", "value = inf", "must be finite"),
        ('"<="', '"between"', "needs two numbers"),
        ("value = 1.5", "valeu = 1.5", "unknown field"),
        ("[[rows]]", "[[lines]]", "unknown field"),
        ("[[rows]]", ROW + "[[rows]]", "every threshold needs one row"),
        (ROW, "", "every threshold needs one row"),
        ('id = "a.b"', 'id = "a.b"\ntarget = "x"', "replaces a general one"),
    ],
)
def test_incomplete_rows_are_refused(old, new, says, tmp_path):
    with pytest.raises(ManifestError, match=says):
        load_acceptance(write(tmp_path, ROW.replace(old, new, 1)))


def test_ends_of_a_pair_are_in_order(tmp_path):
    text = ROW.replace('"<="', '"between"').replace("1.5", "[2, 1]")
    with pytest.raises(ManifestError, match="in order"):
        load_acceptance(write(tmp_path, text))


def test_a_targets_own_row_replaces_the_general_one(tmp_path):
    own = ROW.replace('id = "a.b"', 'id = "a.b"\ntarget = "ngc7469"').replace("1.5", "9")
    acceptance = load_acceptance(write(tmp_path, ROW + own))
    assert acceptance.limit("a.b").value == 1.5
    assert acceptance.limit("a.b", "rbh1").value == 1.5
    assert acceptance.limit("a.b", "ngc7469").value == 9
    assert acceptance.ids == {"a.b"}
    with pytest.raises(KeyError, match=r"no row 'c\.d'"):
        acceptance.limit("c.d")


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        ("<=", True, True, False),
        ("<", True, False, False),
        (">=", False, True, True),
        (">", False, False, True),
        ("==", False, True, False),
    ],
)
def test_comparisons(comparison, below, at, above):
    limit = Limit("x", 2.0, "1", comparison, True, "a test", "computed")
    assert [limit.accepts(v) for v in (1.0, 2.0, 3.0)] == [below, at, above]
    assert not limit.accepts(float("nan"))
    assert not limit.accepts(float("inf"))
    assert str(limit) == f"{comparison} 2"


def test_pair_includes_its_ends():
    limit = Limit("x", (1.0, 2.0), "km/s", "between", True, "a test", "computed")
    assert [limit.accepts(v) for v in (0.9, 1.0, 2.0, 2.1)] == [False, True, True, False]
    assert str(limit) == "1 to 2 km/s"


# ---- waivers


def test_the_study_waives_nothing_that_cannot_be_waived():
    assert all(may_waive(waiver.check) for waiver in load_waivers())


def test_waiver_is_read(tmp_path):
    (waiver,) = load_waivers(write(tmp_path, WAIVER))
    assert waiver.expires == datetime.date(2026, 12, 31)
    assert waiver.covers("physics.map_chi2", "inference/t001_linemap.fits", waiver.expires)
    assert waiver.to_dict()["expires"] == "2026-12-31"


def test_waiver_expires_the_day_after(tmp_path):
    (waiver,) = load_waivers(write(tmp_path, WAIVER))
    late = waiver.expires + datetime.timedelta(days=1)
    assert not waiver.covers("physics.map_chi2", "inference/t001_linemap.fits", late)


@pytest.mark.parametrize("check", ["integrity.checksum", "convergence.rhat"])
def test_integrity_and_convergence_cannot_be_waived(check, tmp_path):
    with pytest.raises(ManifestError, match="cannot be waived"):
        load_waivers(write(tmp_path, WAIVER.replace("physics.map_chi2", check)))
    today = datetime.date(2026, 1, 1)
    made_by_hand = Waiver(check, "*", "a reason", "a person", today)
    assert not made_by_hand.covers(check, "x", today)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("expires = 2026-12-31", "", "must be a date"),
        ("expires = 2026-12-31", "expires = 2026-12-31T00:00:00", "must be a date"),
        ('reason = "known"', 'reason = " "', "'reason' must be a text"),
        ('author = "a person"', "", "'author' must be a text"),
        ('author = "a person"', 'author = "x"\nboss = "y"', "unknown field"),
    ],
)
def test_incomplete_waivers_are_refused(old, new, says, tmp_path):
    with pytest.raises(ManifestError, match=says):
        load_waivers(write(tmp_path, WAIVER.replace(old, new)))
