"""Does every fault strike where it should, once, and with the effect that it says?

Oracle: the state of the archive behind the server's back, and what a plain HTTP client sees.
"""

import hashlib
import http.client
import threading
import time

import pytest
from caller import DOCUMENT, Caller

from ard.errors import ArdError
from release.testing import Fault
from release.testing.faults import KINDS

HELLO = b"hello world"
BROKEN_OFF = (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine)


@pytest.fixture
def announced(owner):
    """The address of an announced file."""
    files = f"/records/{owner.draft()}/draft/files"
    owner("POST", files, [{"key": "a"}])
    return f"{files}/a"


@pytest.fixture
def fresh(server):
    """A caller with a connection of its own for each request."""

    def call(*words, token=server.token, **headers):
        with Caller(server.url, token) as caller:
            return caller(*words, **headers)

    return call


# Answers instead of the archive's


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_comes_before_or_after_the_effect(server, owner, status, when):
    server.inject(Fault(status, "POST", "/records$", when=when))
    failed = owner("POST", "/records", DOCUMENT)
    assert failed.status == status
    assert len(server.world.drafts()) == (when == "after")
    record = server.log[-1]
    assert (record.fault, record.applied) == (str(status), when == "after")
    assert owner("POST", "/records", DOCUMENT).status == 201


def test_too_many_requests_come_with_the_headers_of_the_archive(server, owner, clock):
    server.inject(Fault(429, retry_after=7))
    failed = owner("GET", "/records")
    assert failed.json == {"message": "1000 per 1 minute", "status": 429}
    assert failed.headers["Retry-After"] == "7"
    assert failed.headers["X-RateLimit-Remaining"] == "0"
    assert int(failed.headers["X-RateLimit-Reset"]) == int(clock.now) + 7


def test_gateways_speak_html(server, owner):
    server.inject(Fault(502))
    failed = owner("GET", "/records")
    assert failed.headers["Content-Type"] == "text/html"
    assert b"502 Bad Gateway" in failed.body


@pytest.mark.parametrize("drain", [True, False])
def test_the_edge_refuses_a_body_in_html(server, announced, fresh, drain):
    server.inject(Fault("html413", "PUT", drain=drain))
    refused = fresh("PUT", f"{announced}/content", HELLO)
    assert (refused.status, refused.headers["Content-Type"]) == (413, "text/html")
    assert not server.log[-1].applied
    assert server.log[-1].received_bytes == (len(HELLO) if drain else 0)


# Connections


def test_a_reset_before_the_archive_leaves_the_entry(server, announced, fresh):
    server.inject(Fault("reset", "PUT", after_bytes=1000))
    with pytest.raises(BROKEN_OFF):
        fresh("PUT", f"{announced}/content", bytes(10_000_000))
    assert server.log[-1].received_bytes == 1000
    assert fresh("GET", announced).json["status"] == "pending"


def test_a_reset_that_the_archive_sees_takes_the_entry_away(server, announced, fresh):
    server.inject(Fault("reset", "PUT", after_bytes=1000, when="after"))
    with pytest.raises(BROKEN_OFF):
        fresh("PUT", f"{announced}/content", bytes(10_000_000))
    assert fresh("GET", announced).status == 404
    assert server.log[-2].errors


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", ["request", "response"])
def test_a_reset_hides_whether_a_publication_took_place(server, owner, fresh, side, when):
    ident = owner.draft({"a": HELLO})
    server.inject(Fault("reset", path="publish", side=side, when=when))
    with pytest.raises(BROKEN_OFF):
        fresh("POST", f"/records/{ident}/draft/actions/publish")
    assert server.world.published() == ([ident] if when == "after" else [])
    assert server.log[-1].applied == (when == "after")


def test_a_reset_in_the_reply_leaves_a_part_of_it(server, owner, fresh):
    ident = owner.published({"a": bytes(5_000_000)})
    server.inject(Fault("reset", "GET", side="response", when="after", after_bytes=1000))
    with pytest.raises((*BROKEN_OFF, http.client.IncompleteRead)):
        fresh("GET", f"/records/{ident}/files/a/content")
    assert server.log[-1].sent_bytes == 1000


def test_a_download_ends_early(server, owner, fresh):
    ident = owner.published({"a": HELLO})
    server.inject(Fault("truncate_download", "GET", after_bytes=5))
    with pytest.raises(http.client.IncompleteRead) as caught:
        fresh("GET", f"/records/{ident}/files/a/content")
    assert caught.value.partial == b"hello"
    assert fresh("GET", f"/records/{ident}/files/a/content").body == HELLO


@pytest.mark.parametrize("side", ["request", "response"])
def test_a_slow_body_takes_its_time(server, announced, fresh, side):
    server.inject(Fault("slow", "PUT", seconds=0.2, side=side))
    start = time.monotonic()
    sent = fresh("PUT", f"{announced}/content", bytes(5000))
    assert sent.status == 200
    assert time.monotonic() - start >= 0.2


def test_others_do_not_wait_for_a_slow_sender(server, announced, owner, fresh):
    server.inject(Fault("slow", "POST", "/records$", seconds=1.0, side="request"))
    slow = threading.Thread(target=fresh, args=("POST", "/records", DOCUMENT))
    slow.start()
    while len(server.log) < 3:
        time.sleep(0.01)
    start = time.monotonic()
    assert owner("GET", announced).status == 200
    assert time.monotonic() - start < 0.5
    slow.join()


# Bytes and metadata


def test_success_with_errors_takes_the_entry_away(server, announced, owner):
    server.inject(Fault("errors", "PUT", "/content$"))
    lost = owner("PUT", f"{announced}/content", HELLO)
    assert (lost.status, lost.json["errors"]) == (200, "File upload transfer failed.")
    assert owner("GET", announced).status == 404


def test_success_with_errors_complains_of_metadata(server, owner):
    server.inject(Fault("errors", "POST", "/records$", field="metadata.x", message="No."))
    made = owner("POST", "/records", DOCUMENT)
    assert (made.status, made.errors) == (201, {"metadata.x": ["No."]})


def test_a_stored_byte_flips(server, announced, owner):
    server.inject(Fault("corrupt", "PUT", "/content$", at=4))
    owner("PUT", f"{announced}/content", HELLO)
    committed = owner("POST", f"{announced}/commit").json
    assert committed["checksum"] == "md5:" + _md5(b"hell\x90 world")
    assert committed["size"] == len(HELLO)


def test_a_byte_flips_on_the_way_out(server, owner):
    ident = owner.published({"a": HELLO})
    server.inject(Fault("corrupt", "GET", "/content$", at=4))
    address = f"/records/{ident}/files/a/content"
    spoiled = owner("GET", address)
    assert spoiled.body == b"hell\x90 world"
    assert spoiled.headers["Content-MD5"] == _md5(HELLO)
    assert owner("GET", address).body == HELLO


def test_a_range_is_ignored(server, owner):
    ident = owner.published({"a": HELLO})
    address = f"/records/{ident}/files/a/content"
    server.inject(Fault("ignore_range"))
    whole = owner("GET", address, Range="bytes=0-4")
    assert (whole.status, whole.body) == (200, HELLO)
    part = owner("GET", address, Range="bytes=0-4")
    assert (part.status, part.body) == (206, b"hello")


# The archive itself


@pytest.mark.parametrize(("when", "status"), [("before", 403), ("after", 201)])
def test_a_token_expires(server, owner, when, status):
    server.inject(Fault("expire_token", "POST", when=when))
    assert owner("POST", "/records", DOCUMENT).status == status
    assert owner("GET", "/user/records").status == 403
    assert not server.log[-1].authorized
    server.restore_tokens()
    assert owner("GET", "/user/records").json["hits"]["total"] == (when == "after")


def test_a_search_is_stale_for_a_while(server, owner, clock):
    server.inject(Fault("stale_index", "POST", seconds=30.0))
    ident = owner.draft()
    assert owner("GET", "/user/records").json["hits"]["total"] == 0
    assert owner("GET", f"/records/{ident}/draft").status == 200
    clock.wait(30)
    assert owner("GET", "/user/records").json["hits"]["total"] == 1


def test_another_writer_comes_between(server, owner):
    ident = owner.draft()
    draft = f"/records/{ident}/draft"
    tag = owner("GET", draft).headers["ETag"]
    server.inject(Fault("bump_revision", "PUT"))
    refused = owner("PUT", draft, DOCUMENT, If_Match=tag)
    assert refused.status == 412
    assert refused.json["message"] == "Revision id provided(5) doesn't match record's one(7)"


# Which request is struck


def test_the_nth_request_is_struck_and_so_many_after_it(server, owner):
    server.inject(Fault(502, "GET", "/records", nth=2, count=2))
    seen = [owner("GET", path).status for path in ["/records", "/user/records"] * 3]
    assert seen == [200, 502, 502, 200, 200, 200]


def test_faults_that_wait_for_the_same_request_take_turns(server, owner):
    server.inject(Fault(502, "GET"))
    server.inject(Fault(503, "GET"))
    server.inject(Fault(504, "POST"))
    assert [owner("GET", "/records").status for _ in range(3)] == [502, 503, 200]
    server.clear_faults()
    assert owner("POST", "/records", DOCUMENT).status == 201


def test_a_callable_can_choose(server, owner):
    asked = []

    def choose(record):
        asked.append((record.method, record.path, record.key))
        return Fault(502) if record.key == "a" else None

    server.fault_for = choose
    ident = owner("POST", "/records", DOCUMENT).json["id"]
    assert owner("GET", f"/records/{ident}/draft/files/a").status == 502
    assert asked == [
        ("POST", "/api/records", None),
        ("GET", f"/api/records/{ident}/draft/files/a", "a"),
    ]


@pytest.mark.parametrize("kind", [*KINDS, 502])
def test_every_fault_leaves_a_server_that_works(server, owner, fresh, kind):
    ident = owner.published({"a": HELLO})
    parameters = {"seconds": 0.01} if kind in ("slow", "stale_index") else {}
    for when in ("before", "after"):
        server.inject(Fault(kind, path="/content$", when=when, **parameters))
        try:
            fresh("GET", f"/records/{ident}/files/a/content", Range="bytes=0-4")
        except (*BROKEN_OFF, http.client.IncompleteRead):
            pass
        assert server.log[-1].fault == ("503" if kind == "status" else str(kind))
    server.restore_tokens()
    assert owner("GET", f"/records/{ident}/files/a/content").body == HELLO


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault("no-such"), "there is no such fault(.|\n)*expected: one of 429, 500, 502"),
        (lambda: Fault(418), "there is no such fault"),
        (lambda: Fault(502, when="later"), "before or after the effect"),
        (lambda: Fault("slow", minutes=1), "other parameters(.|\n)*expected: seconds, side"),
        (lambda: Fault("reset", side="left"), "side(.|\n)*expected: request or response"),
        (lambda: Fault(502, nth=0), "counted from 1"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ArdError, match=message):
        make()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
