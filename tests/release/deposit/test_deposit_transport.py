"""Is a request repeated exactly where it may be, and is every odd answer understood?

Oracles: a carrier that answers from a list and remembers what it was given; the contract server.
"""

import contextlib
import dataclasses
import gzip
import io
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections import deque

import pytest
import requests
from depositors import POLICY, FakeClock
from odd_archive import OddArchive, endless, reply
from requests.adapters import BaseAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError
from urllib3.response import HTTPResponse

from release.deposit.errors import (
    DepositError,
    NotReachedError,
    RefusedByArchiveError,
    StoppedError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.line import LONGEST
from release.deposit.messages import messages
from release.deposit.token import Token
from release.deposit.transport import ACCEPT, Policy, Transport

SECRET = "s3cret-token-of-somebody"
TARGET = "http://127.0.0.1:1"


class Scripted(BaseAdapter):
    """Answers from a list; an exception in it is raised."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = deque(answers)
        self.requests = []

    def send(self, request, **kwargs):
        self.requests.append(request)
        self.kwargs = kwargs
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = (*answer, {})[:3]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.raw = HTTPResponse(
            body=io.BytesIO(data), headers=headers, status=status, preload_content=False
        )
        response.request, response.url = request, request.url
        return response

    def close(self):
        pass


def talk(*answers, target=TARGET):
    carrier, clock = Scripted(*answers), FakeClock()
    return Transport(target, Token(SECRET), POLICY, clock=clock, adapter=lambda: carrier), carrier


def refused():
    reason = NewConnectionError(None, "refused")
    return requests.ConnectionError(MaxRetryError(None, "/", reason))


def cut():
    return requests.ConnectionError(ProtocolError("Connection aborted."))


def test_what_goes_out(monkeypatch):
    transport, carrier = talk((200, {}))
    transport.read("/api/records/1/draft")
    (request,) = carrier.requests
    assert request.url == f"{TARGET}/api/records/1/draft"
    assert request.headers["Accept"] == ACCEPT
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["User-Agent"].startswith("rbh1-ard/")
    assert SECRET not in request.url
    assert carrier.kwargs["timeout"] == (POLICY.connect_s, POLICY.read_s)


def test_anybody_has_no_token_and_asks_no_netrc(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\nmachine archive.example login x\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for target in (TARGET, "https://archive.example"):
        transport, carrier = talk((200, {}), (200, {}), target=target)
        transport.anonymous().read("/api/records/1")
        transport.read("/api/records/1")
        nobody, somebody = carrier.requests
        assert "Authorization" not in nobody.headers
        assert somebody.headers["Authorization"] == f"Bearer {SECRET}"


def test_this_machine_is_not_reached_through_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    transport, carrier = talk((200, {}))
    transport.read("/api")
    assert not carrier.kwargs["proxies"]
    transport, carrier = talk((200, {}), target="https://archive.example")
    transport.read("/api")
    assert carrier.kwargs["proxies"]["https"] == "http://proxy.example:3128"


def test_no_session_of_the_website_is_kept():
    transport, carrier = talk((200, {}, {"Set-Cookie": "session=1"}), (200, {}))
    transport.read("/api")
    transport.read("/api")
    assert "Cookie" not in carrier.requests[1].headers


@pytest.mark.parametrize("failure", [(503, b"busy"), (502, b"<html>"), (500, {}), cut(), refused()])
def test_what_reads_is_repeated(failure):
    transport, carrier = talk(failure, failure, (200, {"id": "1"}))
    assert transport.read("/api").document == {"id": "1"}
    assert len(carrier.requests) == 3
    first, second = transport.clock.waits
    assert 1 / 3 <= first <= 2 / 3
    assert 2 / 3 <= second <= 4 / 3


def test_what_reads_is_not_repeated_for_ever():
    transport, carrier = talk(*[(502, b"<html>")] * POLICY.attempts)
    with pytest.raises(NotReachedError, match="does not answer GET /api") as caught:
        transport.read("/api")
    assert "502" in caught.value.found
    assert len(carrier.requests) == POLICY.attempts


@pytest.mark.parametrize("failure", [(500, {}), (502, b"<html>"), (503, b""), (504, b""), cut()])
def test_what_writes_is_not_repeated(failure):
    transport, carrier = talk(failure)
    with pytest.raises(UnknownOutcomeError, match="nobody knows whether POST /api had its effect"):
        transport.write("POST", "/api")
    assert len(carrier.requests) == 1


def test_a_timeout_of_what_writes_is_an_unknown_outcome():
    transport, _ = talk(requests.ReadTimeout("read timed out"))
    with pytest.raises(UnknownOutcomeError, match="ReadTimeout"):
        transport.write("PUT", "/api")


@pytest.mark.parametrize("failure", [refused(), requests.ConnectTimeout("slow"), (429, {})])
def test_what_certainly_had_no_effect_is_repeated(failure):
    transport, carrier = talk(failure, (201, {"id": "1"}))
    assert transport.write("POST", "/api", document={}).status == 201
    assert len(carrier.requests) == 2
    transport, _ = talk(*[failure] * POLICY.attempts)
    with pytest.raises(NotReachedError, match="could not be delivered"):
        transport.write("POST", "/api")


def test_retry_after_counts_with_429_and_503_only():
    headers = {"Retry-After": "40"}
    transport, _ = talk((200, {}, headers), (200, {}))
    transport.read("/api")
    transport.read("/api")
    assert transport.clock.waits == []
    for status in (429, 503):
        transport, _ = talk((status, {}, headers), (200, {}))
        transport.read("/api")
        assert sum(transport.clock.waits) == pytest.approx(40, abs=1e-3)
    transport, _ = talk((502, {}, headers), (200, {}))
    transport.read("/api")
    assert sum(transport.clock.waits) < 1
    transport, _ = talk((503, {}, headers), (200, {}))
    with pytest.raises(UnknownOutcomeError, match="503"):
        transport.write("POST", "/api")
    transport.read("/api")
    assert transport.clock.waits == [pytest.approx(40, abs=1e-3)], "whoever comes next waits"


def test_retry_after_may_be_a_date():
    headers = {
        "Retry-After": "Wed, 01 Jul 2026 10:00:30 GMT",
        "Date": "Wed, 01 Jul 2026 10:00:00 GMT",
    }
    transport, _ = talk((429, {}, headers), (200, {}))
    transport.read("/api")
    assert sum(transport.clock.waits) == pytest.approx(30, abs=1e-3)


def test_a_wait_without_end_is_refused():
    transport, _ = talk((429, {}, {"Retry-After": "86400"}), (201, {}))
    with pytest.raises(DepositError, match="a wait that is too long"):
        transport.write("POST", "/api")


def test_requests_wait_for_the_next_window():
    full = {
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1782900050",
        "Date": "Wed, 01 Jul 2026 10:00:00 GMT",  # 1782900000
    }
    transport, carrier = talk((200, {}, full), (200, {}), (200, {}))
    transport.read("/api")
    transport.read("/api")
    assert transport.clock.waits == []
    transport.read("/api")
    assert sum(transport.clock.waits) == pytest.approx(50, abs=1e-3)
    assert len(carrier.requests) == 3


@pytest.mark.parametrize("hours", [-6, 6])
def test_a_clock_that_is_set_meanwhile_changes_no_limit(hours):
    full = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1782900050",
        "Date": "Wed, 01 Jul 2026 10:00:00 GMT",  # 1782900000
    }
    for headers, status in ((full, 200), ({"Retry-After": "50"}, 503)):
        transport, _ = talk((status, {}, headers), (200, {}))
        with contextlib.suppress(UnknownOutcomeError):
            transport.write("POST", "/api")
        transport.clock.now += 3600 * hours
        transport.read("/api")
        assert sum(transport.clock.waits) == pytest.approx(50, abs=1e-3)


def test_nonsense_about_limits_is_ignored():
    nonsense = {"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "soon"}
    transport, _ = talk((200, {}, nonsense), (429, {}, {"Retry-After": "soon"}), (200, {}))
    transport.read("/api")
    transport.read("/api")
    assert max(transport.clock.waits) < 1


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 99:00:00 +99999999999999999999",
        "Mon, 01 Jan 0001 00:00:00 -0000",
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "Date"])
def test_an_absurd_date_is_ignored(name, date):
    limits = {"X-RateLimit-Remaining": "100", "X-RateLimit-Reset": "1782900050"}
    transport, carrier = talk((503, {}, limits | {name: date}), (200, {}))
    transport.read("/api")
    assert len(carrier.requests) == 2
    assert max(transport.clock.waits) < 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status):
    elsewhere = {"Location": f"https://evil.example/?t={SECRET}"}
    transport, carrier = talk((status, b"", elsewhere), (status, b"", elsewhere))
    for ask in (lambda: transport.read("/api"), lambda: transport.write("POST", "/api")):
        with pytest.raises(UnexpectedAnswerError, match=r"evil\.example") as caught:
            ask()
        assert SECRET not in str(caught.value)
    assert len(carrier.requests) == 2


def test_no_other_host_can_be_asked():
    transport, carrier = talk()
    transport.target = "https://evil.example"
    with pytest.raises(NotReachedError, match="No connection adapters"):
        transport.read("/api")
    assert carrier.requests == []


@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b"", b"\xff\xfe", b'{"a":1,"a":2}'])
def test_what_is_not_json_is_said_to_be(body):
    transport, _ = talk((200, body), (200, body))
    with pytest.raises(UnexpectedAnswerError, match="is not JSON"):
        transport.read("/api")
    with pytest.raises(UnknownOutcomeError, match="no JSON"):
        transport.write("POST", "/api")


def test_a_page_in_place_of_a_message_is_said_to_be():
    transport, _ = talk((413, b"<html>Request Entity Too Large</html>"))
    with pytest.raises(RefusedByArchiveError, match=r"a page, no message: .*Too Large") as caught:
        transport.write("PUT", "/api")
    assert caught.value.status == 413
    assert "not be that large" in caught.value.action


@pytest.mark.parametrize("page", [b"<html>Not here</html>", b"", b"[]", b'{"status": 403}'])
def test_a_404_that_is_not_the_archives_is_no_answer(page):
    transport, carrier = talk((404, page), (404, {"status": 404}))
    assert transport.read("/api").status == 404
    assert len(carrier.requests) == 2
    transport, carrier = talk(*[(404, page)] * POLICY.attempts)
    with pytest.raises(NotReachedError, match="404, and not from the archive"):
        transport.read("/api", missing=())
    assert len(carrier.requests) == POLICY.attempts
    transport, carrier = talk((404, page), (404, {"status": 404, "message": "gone"}))
    with pytest.raises(UnknownOutcomeError, match="404, and not from the archive") as caught:
        transport.write("DELETE", "/api")
    assert caught.value.status == 404
    with pytest.raises(RefusedByArchiveError, match="404 gone"):
        transport.write("DELETE", "/api")


def test_the_messages_of_the_archive_are_passed_on():
    errors = [{"field": "files", "messages": ["One", "Two"]}, "odd", {"field": "x", "message": "y"}]
    transport, _ = talk((400, {"message": "A validation error occurred.", "errors": errors}))
    with pytest.raises(RefusedByArchiveError, match="files: One; files: Two; odd; x: y"):
        transport.write("POST", "/api")
    transport, _ = talk((400, [1]))
    with pytest.raises(RefusedByArchiveError, match=r"400 \[1\]"):
        transport.write("POST", "/api")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([{"field": "x", "messages": 5}], ("x: 5",)),
        ([{"field": "x", "messages": "bad"}], ("x: bad",)),
        ([{"field": ["x"], "messages": [None, {"a": 1}]}], ("['x']: None", "['x']: {'a': 1}")),
        ([None, 5, ["a"]], ("None", "5", "['a']")),
        ({"a": 1}, ("{'a': 1}",)),
        (7, ("7",)),
    ],
)
def test_messages_of_any_kind_are_passed_on(errors, said):
    assert messages({"errors": errors}) == said
    transport, _ = talk((400, {"message": {"odd": True}, "errors": errors}))
    with pytest.raises(RefusedByArchiveError) as caught:
        transport.write("POST", "/api")
    assert caught.value.found == "; ".join(["400 {'odd': True}", *said])


def test_endless_messages_are_shortened():
    errors = [{"field": "f" * 10_000, "messages": ["m" * 1000] * 3000}]
    transport, _ = talk((400, {"message": "A" * 3_000_000, "errors": errors}))
    with pytest.raises(RefusedByArchiveError, match=r"AAA\.\.\. \(3000000 characters\)") as caught:
        transport.write("POST", "/api")
    assert caught.value.found.endswith("; and 2970 more")
    assert len(str(caught.value)) < 50_000


# Answers without bounds


def at(archive, **changes):
    policy = dataclasses.replace(POLICY, attempts=1, **changes)
    return Transport(archive.url, None, policy, clock=FakeClock())


def test_an_answer_that_does_not_end_is_broken_off():
    with OddArchive() as archive:
        archive.answers["/api"] = endless
        with pytest.raises(NotReachedError, match=f"the answer is longer than {LONGEST} bytes"):
            at(archive).read("/api")
    transport, _ = talk((200, b" " * (LONGEST + 1)))
    with pytest.raises(UnknownOutcomeError, match="the answer is longer than"):
        transport.write("POST", "/api")


def test_an_answer_that_unfolds_is_broken_off():
    """Of 200 MB that are 0.2 MB on the wire; measured is all memory that Python gives out."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(200)) + packer.flush()
    assert len(bomb) < 300_000
    with OddArchive() as archive:
        archive.answers["/api"] = reply(bomb, Content_Encoding="gzip")
        tracemalloc.start()
        try:
            with pytest.raises(NotReachedError, match="the answer is longer than"):
                at(archive).read("/api")
            assert tracemalloc.get_traced_memory()[1] < 4 * LONGEST
        finally:
            tracemalloc.stop()


def test_an_answer_that_comes_drop_by_drop_is_broken_off():
    """No silence is longer than is put up with, but together they are."""

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    with OddArchive() as archive:
        archive.answers["/api"] = drip
        start = time.monotonic()
        with pytest.raises(NotReachedError, match=r"the answer did not end within 0\.5 s"):
            at(archive, read_s=0.5).read("/api")
        assert 0.5 <= time.monotonic() - start < 3.0


@pytest.mark.parametrize("headers", [{"Content_Length": "100"}, {"Content_Encoding": "gzip"}])
def test_an_answer_that_is_no_whole_one_is_lost(headers):
    with OddArchive() as archive:
        archive.answers["/api"] = reply(b'{"id": "1"}', **headers)
        with pytest.raises(NotReachedError, match=r"IncompleteRead|DecodeError"):
            at(archive).read("/api")


def test_a_packed_answer_is_unpacked_and_its_connection_kept():
    with OddArchive() as archive:
        body = gzip.compress(json.dumps({"id": "1" * 100_000}).encode())
        archive.answers["/api"] = reply(body, Content_Encoding="gzip")
        transport = at(archive)
        for _ in range(3):
            assert transport.read("/api").document == {"id": "1" * 100_000}


def test_a_refused_token_is_explained():
    transport, _ = talk((403, {"message": "Permission denied."}))
    with pytest.raises(RefusedByArchiveError, match="deposit:write") as caught:
        transport.read("/api")
    assert "ZENODO_TOKEN" in caught.value.action


def test_an_echo_of_the_token_leads_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    transport, _ = talk(
        (200, {"title": SECRET, "errors": SECRET}),
        (400, {"message": f"bad {SECRET}"}),
        (200, f"<html>{SECRET}".encode()),
        requests.ConnectionError(f"while sending Bearer {SECRET}"),
    )
    assert transport.read("/api").document == {"title": "[token]", "errors": "[token]"}
    shown = []
    for kind in (RefusedByArchiveError, UnknownOutcomeError, UnknownOutcomeError):
        with pytest.raises(kind) as caught:
            transport.write("POST", "/api")
        shown.append(str(caught.value))
    assert SECRET not in "".join(shown) + caplog.text
    assert "[token]" in "".join(shown)


def test_a_stop_ends_what_waits():
    transport, _ = talk((502, b""), (200, {}))
    transport.stop.set()
    with pytest.raises(StoppedError, match="the work was stopped"):
        transport.read("/api")


# What never left


def quick() -> Policy:
    return Policy(attempts=2, backoff_s=0.01, connect_s=2.0)


def test_what_a_dead_proxy_never_took_had_no_effect(monkeypatch):
    """Nothing leaves this machine: the port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:secret@127.0.0.1:{port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with (
        contextlib.closing(
            Transport("https://archive.example", Token("abc12345"), quick())
        ) as line,
        pytest.raises(NotReachedError, match="could not be delivered") as caught,
    ):
        line.write("POST", "/api/records/1/draft/actions/publish")
    assert "the proxy cannot be reached" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def untrusted(tmp_path):
    """The port of a server whose certificate nobody has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here, which makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        [openssl, *made, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with contextlib.suppress(OSError), connection:
                        context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_what_ended_at_a_certificate_had_no_effect(untrusted):
    line = Transport(f"https://127.0.0.1:{untrusted}", Token("abc12345"), quick())
    with (
        contextlib.closing(line),
        pytest.raises(NotReachedError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        line.write("POST", "/api/records/1/draft/actions/publish")
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.action)
