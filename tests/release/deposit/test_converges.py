"""Does a deposit come to the same good end whatever goes wrong on the way, and in whatever order?

Oracle: the contract server's own account of what it was asked and of what it holds. A machine types
commands at random, while the archive answers with every fault that it knows and processes die at
any moment; then nothing disturbs any more, and what is public has to be the bundles.
"""

import contextlib
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from audits import assert_converged
from depositors import FakeClock
from hypothesis import Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trials import Trial

from release.deposit import apply, compare, publish, reserve, transport, upload
from release.deposit.errors import UnknownOutcomeError
from release.deposit.governor import Governor
from release.deposit.journal import Journal
from release.deposit.records import Archive
from release.deposit.transport import Transport
from release.testing import ContractServer, Fault

# Which requests a fault waits for: method, and what their path contains.
READS = {
    "draft": ("GET", r"/draft$"),
    "files": ("GET", r"/files"),
    "record": ("GET", r"/records/\d+$"),
    "search": ("GET", r"/user/records"),
}
WRITES = {
    "create": ("POST", r"/records$"),
    "new version": ("POST", r"/versions$"),
    "reserve": ("POST", r"/pids/doi$"),
    "metadata": ("PUT", r"/draft$"),
    "import": ("POST", r"/files-import$"),
    "init": ("POST", r"/draft/files$"),
    "content": ("PUT", r"/content$"),
    "commit": ("POST", r"/commit$"),
    "delete": ("DELETE", r"/files/"),
    "discard": ("DELETE", r"/draft$"),
    "publish": ("POST", r"/publish$"),
}
REQUESTS = {"any": (None, None), **READS, **WRITES}
# A search lags behind for less than the time after which a client no longer waits for it.
LONGEST_LAG_S = 100.0
# Less than the time in which somebody types the next command.
LONGEST_PAUSE_S = 40
VERBS = ("reserve", "plan", "apply", "publish", "status", "clean")

_when = st.sampled_from(["before", "after"])
_bytes = st.integers(0, 3000)
_nth = st.integers(1, 3)
_pause = st.integers(1, LONGEST_PAUSE_S)
_lag = st.floats(1.0, LONGEST_LAG_S)


def _kind(name, **parameters):
    return st.tuples(st.just(name), st.fixed_dictionaries(parameters))


_lost = st.one_of(
    *(_kind(status, when=_when) for status in (500, 502, 504)),
    _kind(503, when=_when, retry_after=_pause),
    _kind("reset", when=_when, side=st.just("request"), after_bytes=_bytes),
    _kind("reset", when=_when, side=st.just("response"), after_bytes=_bytes),
)
_kinds = st.one_of(
    _lost,
    _kind(429, retry_after=_pause),
    _kind("errors"),
    _kind("html413", drain=st.booleans()),
    _kind("expire_token", when=_when),
    _kind("bump_revision"),
)


@st.composite
def faults(draw, kinds=_kinds, requests=tuple(REQUESTS), nths=_nth):
    kind, parameters = draw(kinds)
    method, path = REQUESTS[draw(st.sampled_from(requests))]
    nth, count = draw(nths), draw(st.sampled_from([1, 1, 2, 7]))
    return Fault(kind, method, path, nth, count, **parameters)


def finish_well(trial):
    """Let the versions become public, and require that they are what they were to be."""
    trial.finish()
    assert_converged(trial)


class Deposits(RuleBasedStateMachine):
    """Somebody who types commands, and whatever may go wrong."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root, clock = Path(self.folder.name), FakeClock()
        self.server = ContractServer(root / "archive", clock=clock.time).__enter__()
        self.trial = Trial(self.server, clock, root / "work")

    @rule(fault=faults())
    def something_will_go_wrong(self, fault):
        self.server.inject(fault)

    @rule(fault=faults(_lost, tuple(WRITES)))
    def an_answer_will_be_lost(self, fault):
        self.server.inject(fault)

    @rule(fault=faults(_lost, ("publish",), st.just(1)))
    def a_publishing_will_be_lost(self, fault):
        """There is one a version, which chance alone would seldom strike."""
        self.server.inject(fault)

    @rule(nth=st.integers(1, 6))
    def a_byte_will_flip(self, nth):
        self.server.inject(Fault("corrupt", "PUT", "/content$", nth))

    @rule(seconds=_lag)
    def the_search_lags_behind(self, seconds):
        self.server.hold_index(seconds)

    @rule(left=st.integers(0, 50), keeps=st.sampled_from([0.0, 0.5]))
    def the_process_will_die(self, left, keeps):
        self.trial.fuse.light(left, keeps=keeps)

    @rule()
    def the_token_is_renewed(self):
        self.server.restore_tokens()

    @rule(seconds=st.sampled_from([1.0, 50.0, 5000.0]))
    def time_passes(self, seconds):
        self.trial.clock.now += seconds

    @precondition(lambda self: not self.trial.is_done)
    @rule(times=st.integers(1, 3))
    def go_on(self, times):
        for _ in range(times):
            if not self.trial.is_done:
                self.trial.go_on()

    @precondition(lambda self: not self.trial.is_done)
    @rule(verb=st.sampled_from(VERBS))
    def type(self, verb):
        self.trial.type(verb)

    @precondition(lambda self: self.trial.made)
    @rule()
    def publish_again(self):
        self.trial.type("publish_again")

    @precondition(lambda self: self.trial.is_done)
    @rule(notes=st.sampled_from([None, b"the first notes", b"others"]), more=st.booleans())
    def another_version(self, notes, more):
        files = {"cube.txt": self.trial.files["cube.txt"]}
        files |= {} if notes is None else {"notes.txt": notes}
        files |= {"more.txt": b"more"} if more else {}
        self.trial.next_version(files)

    def teardown(self):
        try:
            self.server.clear_faults()
            self.server.restore_tokens()
            self.trial.fuse.put_out()
            finish_well(self.trial)
        finally:
            self.server.close()
            self.folder.cleanup()


def run(examples, **options):
    profile = settings(max_examples=examples, stateful_step_count=16, **options)
    run_state_machine_as_test(Deposits, settings=profile)


def test_it_converges(request):
    run(300 if request.config.getoption("--run-slow") else 100)


# Guards of the client that are broken one at a time, and what disturbs it then.


def _fault(*arguments, **parameters):
    return lambda trial: trial.server.inject(Fault(*arguments, **parameters))


def _resend_publish(patch):
    once = Archive.publish

    def insist(archive, record_id):
        try:
            return once(archive, record_id)
        except UnknownOutcomeError:
            return once(archive, record_id)

    patch.setattr(Archive, "publish", insist)


def _forget_the_revision(patch):
    write = Transport.write
    patch.setattr(Transport, "write", lambda *given, headers=None, **more: write(*given, **more))


def _put_the_token_into_the_address(patch):
    def call(bearer, request):
        if bearer._token is not None:
            request.prepare_url(request.url, {"access_token": bearer._token.reveal()})
        return request

    patch.setattr(transport._Bearer, "__call__", call)


def _compare_sizes_only(patch):
    for module in (compare, upload):
        patch.setattr(module, "is_same", lambda file, remote: file.size == remote.size)


def _send_until_answered(patch):
    def insist(transport, send, look):
        while True:
            with contextlib.suppress(UnknownOutcomeError):
                return send()

    for module in (reserve, apply):
        patch.setattr(module, "settle", insist)


def _attempt_without_a_line(journal, op, action, summary=None, **detail):
    return action()


def _publish_half_a_version(trial):
    """Stop after the files of the version before are linked, and publish."""
    trial.finish()
    trial.next_version({"cube.txt": trial.files["cube.txt"]})
    trial.type("reserve")
    trial.type("plan")
    trial.fuse.light(2, "before")
    trial.type("apply")
    trial.type("publish")


def _another_version(trial):
    trial.finish()
    trial.next_version({**trial.files, "notes.txt": b"others"})


def _die_after(number):
    return lambda trial: trial.fuse.light(number, "after")


def _compare_no_draft(patch):
    patch.setattr(publish, "_require_ready", lambda *_: None)
    # No plan was applied, which would be noticed as well.
    patch.setattr(publish, "find_approval", lambda *_: None)


MUTANTS = {
    "publish is sent again": (
        _resend_publish,
        _fault(504, "POST", "/publish$", when="after"),
        "actions/publish, repeats",
    ),
    "md5 is not compared": (_compare_sizes_only, _fault("corrupt", "PUT", "/content$"), "became"),
    "no If-Match": (_forget_the_revision, _fault("bump_revision", "PUT", "/draft$"), "went over"),
    "a lost draft is not looked for": (
        lambda patch: patch.setattr(reserve, "_search", lambda *_: None),
        _fault(502, "POST", "/records$", when="after"),
        "was left behind",
    ),
    "a lost commit is not looked for": (
        lambda patch: patch.setattr(upload.Uploader, "_look", lambda *_: upload.State.EMPTY),
        _fault(502, "POST", "/commit$", when="after"),
        "/content, repeats",
    ),
    "what is lost is sent again": (
        _send_until_answered,
        _fault("reset", "PUT", "/draft$", when="after", after_bytes=1000),
        "was lost; then came",
    ),
    "the intent is not written down": (
        lambda patch: patch.setattr(Journal, "attempt", _attempt_without_a_line),
        _die_after(0),
        "was left behind",
    ),
    "the draft is not compared": (
        _compare_no_draft,
        _publish_half_a_version,
        "is surplus",
    ),
    "the record is not read again": (
        lambda patch: patch.setattr(publish, "_reread", lambda *_: None),
        lambda trial: None,
        "nobody looked",
    ),
    "nothing is linked": (
        lambda patch: patch.setattr(Archive, "published_files", lambda *_: {}),
        _another_version,
        "was sent again",
    ),
    "nobody waits": (
        lambda patch: patch.setattr(Governor, "learn", lambda *_: None),
        _fault(503, "GET", retry_after=20),
        "too early",
    ),
    "the token is in the address": (
        _put_the_token_into_the_address,
        lambda trial: None,
        "token in its address",
    ),
    "nobody says who asks": (
        lambda patch: patch.setattr(transport, "USER_AGENT", "python-requests/2.32"),
        lambda trial: None,
        "comes from",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_guard_is_noticed(name, server, clock, tmp_path, monkeypatch):
    break_it, disturb, complaint = MUTANTS[name]
    trial = Trial(server, clock, tmp_path / "work")
    break_it(monkeypatch)
    disturb(trial)
    with pytest.raises(AssertionError, match=complaint):
        finish_well(trial)


@pytest.mark.parametrize("name", MUTANTS)
def test_what_disturbs_a_broken_guard_disturbs_no_other(name, server, clock, tmp_path):
    trial = Trial(server, clock, tmp_path / "work")
    MUTANTS[name][1](trial)
    finish_well(trial)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["publish is sent again", "md5 is not compared", "nobody waits"])
def test_the_machine_notices_a_broken_guard(name, monkeypatch):
    """That it is noticed is enough; the shortest way to it is of no interest.

    Measured: it takes 160 examples on the average for the rarest of them. Threads make the search
    differ from one run to the next even where it draws the same; 1500 examples miss one in some ten
    thousand runs, and only then take long.
    """
    MUTANTS[name][0](monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run(1500, phases=[Phase.generate])
