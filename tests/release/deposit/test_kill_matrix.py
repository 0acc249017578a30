"""Does a deposit that is killed at any moment at all converge when its commands are typed again?

Oracle: the contract server's own account of what it was asked and of what it holds. Here a process
dies at one moment, and every moment is tried: before each request, after it had its effect and
before its answer was seen, and in the middle of each line of the journal.
"""

import collections

import pytest
from audits import assert_converged
from trials import Trial

VERBS = ("reserve", "plan", "apply", "publish")
# Of six files, all of which are sent: 2N + 10 requests.
FIRST = {"before": 2 * 6 + 10, "after": 2 * 6 + 10, "line": 37}
# Of seven files, of which one is linked and five are taken away first.
SECOND = {"before": 30, "after": 30, "line": 49}
SENT = {"README.md", "manifest.json", "more.txt", "notes.txt", "sha256sums.txt", "zenodo.json"}


def every(moments):
    return [(kind, number) for kind, count in moments.items() for number in range(count)]


def walk(trial):
    """Type all commands; they end with the one that is killed."""
    for verb in VERBS:
        if trial.type(verb) is not None:
            return


@pytest.fixture
def trial(server, clock, tmp_path):
    return Trial(server, clock, tmp_path / "work")


@pytest.fixture
def second(trial):
    """Somebody who has made a version, and wants another."""
    walk(trial)
    trial.next_version({"cube.txt": trial.files["cube.txt"], "notes.txt": b"2", "more.txt": b"m"})
    trial.fuse.seen.clear()
    trial.server.clear_log()
    return trial


def sent(trial):
    """How often the bytes of each file arrived."""
    return collections.Counter(
        row.key for row in trial.server.log if row.path.endswith("/content") and row.applied
    )


@pytest.mark.parametrize("number", [1, 2])
def test_the_matrix_has_every_moment(trial, number, request):
    if number == 2:
        request.getfixturevalue("second")
    walk(trial)
    moments = (FIRST, SECOND)[number - 1]
    assert {kind: trial.fuse.seen[kind] for kind in moments} == moments
    assert_converged(trial)


@pytest.mark.parametrize(("kind", "number"), every(FIRST))
def test_a_first_version_survives(trial, kind, number):
    trial.fuse.light(number, kind, keeps=0.5)
    walk(trial)
    trial.finish()
    assert_converged(trial)
    assert trial.discarded == 0
    assert set(sent(trial).values()) == {1}, "bytes were sent twice"


@pytest.mark.parametrize(("kind", "number"), every(SECOND))
def test_a_second_version_survives(second, kind, number):
    second.fuse.light(number, kind, keeps=0.5)
    walk(second)
    second.finish()
    assert_converged(second)
    assert sent(second) == collections.Counter(SENT), "others were sent, or some twice"
