"""Is a draft thrown away only if it is ours, and is it known afterwards that it is gone?

Oracle: the contract server's drafts, and what the journal says.
"""

import pytest
import requests
from depositors import POLICY, Carrier, Depositor

from release.deposit.clean import discard
from release.deposit.errors import NotReachedError, RefusedByArchiveError, UnexpectedAnswerError
from release.deposit.journal import DONE, REFUSED, UNKNOWN, read_history
from release.deposit.records import Archive
from release.deposit.status import status
from release.deposit.token import Token
from release.deposit.transport import Transport
from release.model import RefusedError
from release.testing import Fault


class Proxy(Carrier):
    """Answers some requests itself, with a page that says 404."""

    def __init__(self, depositor, method, path, page=b"<html>Not here</html>"):
        super().__init__(depositor)
        self.method, self.path, self.page = method, path, page

    def send(self, request, **kwargs):
        if request.method != self.method or not request.url.endswith(self.path):
            return super().send(request, **kwargs)
        response = requests.Response()
        response.status_code, response.url, response.request = 404, request.url, request
        response.headers["Content-Type"] = "text/html"
        response._content = self.page
        return response


def behind(depositor: Depositor, *arguments, **more) -> Archive:
    """The archive, with a proxy before it."""
    transport = Transport(
        depositor.server.url,
        Token(depositor.server.token),
        POLICY,
        clock=depositor.clock,
        adapter=lambda: Proxy(depositor, *arguments, **more),
    )
    depositor.archives.append(Archive(transport))
    return depositor.archives[-1]


def results(depositor: Depositor) -> list[str]:
    return [write.result for write in read_history(depositor.journal).writes("discard")]


def test_what_is_discarded_is_in_the_journal(depositor, server):
    plan = depositor.prepare()
    assert discard(depositor.archive(), plan.record_id, depositor.release).record_id == "2"
    assert (server.world.drafts(), results(depositor)) == ([], [DONE])
    assert status(depositor.release, depositor.archive()).stage == "discarded"


@pytest.mark.parametrize("page", [b"<html>Not here</html>", b"", b'{"error": "no route"}', b"[]"])
def test_a_page_that_says_404_discards_nothing(depositor, server, page):
    plan = depositor.prepare()
    archive = behind(depositor, "DELETE", "/draft", page=page)
    with pytest.raises(RefusedByArchiveError, match="404"):
        discard(archive, plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([plan.record_id], [REFUSED])
    depositor.apply(plan)


@pytest.mark.parametrize("page", [b"<html>Not here</html>", b"", b'{"error": "no route"}', b"[]"])
def test_a_page_that_says_404_takes_nothing_away(depositor, page):
    plan = depositor.prepare()
    for path, ask in (
        ("/draft", lambda archive: archive.draft(plan.record_id)),
        (f"/{plan.record_id}", lambda archive: archive.record(plan.record_id)),
        (f"/{plan.record_id}", lambda archive: archive.latest(plan.record_id)),
        ("/f0.txt", lambda archive: archive.file(plan.record_id, "f0.txt")),
    ):
        assert ask(depositor.archive()) is None or path == "/draft"
        with pytest.raises(UnexpectedAnswerError, match="404, and not from the archive"):
            ask(behind(depositor, "GET", path, page=page))


def test_a_draft_that_went_at_the_same_moment_is_noted_as_gone(depositor, server):
    plan = depositor.prepare()
    other = depositor.archive()

    def fault(record):
        if record.method == "DELETE":
            server.fault_for = None
            other.discard(plan.record_id)
        return None

    server.fault_for = fault
    discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [REFUSED])
    assert status(depositor.release, depositor.archive()).stage == "discarded"
    with pytest.raises(RefusedError, match="was discarded"):
        depositor.plan()


def test_a_lost_answer_is_cleared_up_and_noted(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault(504, "DELETE", "/draft$", when="after"))
    discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [UNKNOWN])
    assert status(depositor.release, depositor.archive()).stage == "discarded"
    with pytest.raises(RefusedError, match="was discarded"):
        depositor.reserve()


def test_a_lost_answer_that_nobody_clears_up_is_no_refusal(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault(504, "DELETE", "/draft$", when="after"))
    server.inject(Fault(503, "GET", "/draft$", nth=2, count=30))
    with pytest.raises(NotReachedError, match="does not answer"):
        discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [UNKNOWN])
    server.clear_faults()
    with pytest.raises(RefusedError, match="there is no draft"):
        discard(depositor.archive(), plan.record_id, depositor.release)
    found = status(depositor.release, depositor.archive())
    assert (found.stage, found.next) == ("discarded", "rbh1-release reserve --out ANOTHER")
