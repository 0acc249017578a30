"""Does the status say what is to be typed next, whatever came after a plan that was applied?

Oracle: what the verb that it names does with the draft then.
"""

import shutil

import pytest
from depositors import Killed

from ard.errors import IntegrityError
from release.deposit.status import status
from release.reservation import read_reservation


def look(depositor):
    return status(depositor.release, depositor.archive())


def rebuild(depositor, content):
    """Build the bundle anew with another file."""
    depositor.files["f0.txt"] = content
    shutil.rmtree(depositor.bundle)
    depositor.build(read_reservation(depositor.release))
    return depositor.plan()


def test_a_later_plan_that_is_half_applied_is_not_ready(depositor):
    """The first one was applied to its end, and its bundle is not there any more."""
    depositor.apply(depositor.prepare())
    assert look(depositor).stage == "ready"
    later = rebuild(depositor, b"changed")
    assert look(depositor).stage == "ready", "nothing was sent yet"
    depositor.kill_at = depositor.sent + 4
    with pytest.raises(Killed):
        depositor.apply(later)
    depositor.kill_at, depositor.dead = 0, False
    found = look(depositor)
    assert (found.stage, found.facts[-1]) == ("applying", "a plan was begun, and is not finished")
    assert found.next.startswith("rbh1-release apply PLAN BUNDLE")
    depositor.apply(later)
    found = look(depositor)
    assert found.stage == "ready"
    assert found.next == (
        f"rbh1-release publish BUNDLE --release {depositor.release} --yes {later.doi}"
    )
    assert not depositor.publish(later.doi).already


def test_a_draft_that_was_changed_since_is_not_ready(depositor):
    plan = depositor.prepare()
    depositor.apply(plan)
    archive = depositor.archive()
    document = {"metadata": {"title": "other"}}
    archive.put_draft(plan.record_id, document, archive.draft(plan.record_id).revision)
    found = look(depositor)
    assert (found.stage, found.facts[-1]) == (
        "applying",
        "a plan was applied, and the draft was changed since; apply compares them",
    )
    with pytest.raises(IntegrityError, match="make a new plan"):
        depositor.apply(plan)
    depositor.apply(depositor.plan())
    assert look(depositor).stage == "ready"


def test_a_draft_with_a_pending_file_is_not_ready(depositor):
    plan = depositor.prepare()
    depositor.apply(plan)
    depositor.archive().init(plan.record_id, ["surplus.txt"])
    assert look(depositor).stage == "applying"
    with pytest.raises(IntegrityError, match=r"surplus\.txt.*is surplus"):
        depositor.apply(plan)
    depositor.archive().delete_file(plan.record_id, "surplus.txt")
    assert look(depositor).stage == "applying", "the archive counts the deletion"
    assert depositor.apply(plan).already
    assert look(depositor).stage == "ready"
