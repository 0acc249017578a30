"""Does a deposit that is killed around any request converge when it is typed again?

Oracle: the archive's own account; a process that dies is an exception that nothing may catch, after
which no request of that process leaves.
"""

import collections

import pytest
from depositors import Depositor, Killed, bundled, held

from release.deposit.plan import read_plan, write_plan
from release.testing import audit

# Two files, README.md, zenodo.json and the two lists: 2N + 10.
REQUESTS = 22


def revive(depositor: Depositor) -> None:
    """The next process starts; no more kills."""
    depositor.dead, depositor.kill_at = False, 0


def walk(depositor: Depositor) -> None:
    """All verbs; one that is killed is typed again."""
    reservation = typed_again(depositor, depositor.reserve)
    depositor.build(reservation)
    path = depositor.root / "plan.json"
    write_plan(path, typed_again(depositor, depositor.plan))
    plan = read_plan(path)
    typed_again(depositor, lambda: depositor.apply(plan))
    typed_again(depositor, lambda: depositor.publish(plan.doi))
    # Once more, for whoever does not believe it.
    assert depositor.reserve() == reservation
    assert depositor.publish(plan.doi).already


def typed_again(depositor, verb):
    try:
        return verb()
    except Killed:
        revive(depositor)
        return verb()


def assert_converged(depositor: Depositor) -> None:
    server = depositor.server
    (record_id,) = server.world.published()
    assert server.world.drafts() == []
    assert held(server, record_id) == bundled(depositor.bundle)
    assert all(row.record_id in (None, record_id) for row in server.log), "a second draft"
    assert depositor.server.token not in depositor.journal.read_text()
    audit.check(server)


def applied(server, method, path):
    """How often each request had its effect."""
    return collections.Counter(
        row.path for row in server.log if row.method == method and path in row.path and row.applied
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
def test_killed_at_any_request(depositor, number, when):
    depositor.kill_at, depositor.kill_when = number, when
    walk(depositor)
    assert_converged(depositor)
    assert max(applied(depositor.server, "PUT", "/content").values()) == 1, "bytes sent twice"
    assert sum(applied(depositor.server, "POST", "actions/publish").values()) == 1
    publishes = [row for row in depositor.server.log if "actions/publish" in row.path]
    assert len(publishes) == 1
