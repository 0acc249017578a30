"""Do the bytes of a transfer belong to one version of the file, whatever the headers say?

Oracle: the bytes of the two versions that the archive had; what comes is one of them, whole.
"""

from dataclasses import dataclass, replace

import pytest
from archives import HST, JWST, reprocessed

from pipeline.acquire.http import ArchiveSession, Stopped, TransferError, Waiter, arriving
from pipeline.acquire.partial import Partial, note_of
from pipeline.acquire.settings import Network
from pipeline.acquire.testing import (
    Drip,
    Drop,
    Fault,
    NoLength,
    QueryFault,
    Status,
)
from pipeline.acquire.transfer import Wanted, fetch


@dataclass(frozen=True)
class RestWithoutVersion(Fault):
    """A proxy that does not know If-Range: it sends the rest of whatever it has, unmarked."""

    def etag(self, etag):
        return None

    def reply(self, reply):
        content, asked = reply.content, 100_000
        part = replace(reply, status=206).with_part(asked, content.size)
        return part.with_headers({"ETag": None, "Last-Modified": None})


@pytest.fixture
def bring(tmp_path, waits):
    """Fetch a file from a server into one and the same partial file."""

    def run(server, file, *, size=None, **network):
        settings = Network(server.url, **{"attempts": 3, "read_s": 2.0, **network})
        wanted = Wanted(file.uri, file.name, size)
        part = tmp_path / "x.part"
        with ArchiveSession(settings) as session:
            received = fetch(session, wanted, part, waiter=Waiter(), on_bytes=run.seen.append)
        return part.read_bytes(), received

    run.seen = []
    return run


@pytest.fixture
def half(mini, server, bring):
    """100,000 bytes of the first version are there."""
    server.fault(HST, Drop(100_000))
    server.fault(HST, Status(404))
    with pytest.raises(TransferError):
        bring(server, mini.files[HST])
    server.clear_faults()


def test_a_rest_without_a_version_is_not_appended(mini, server, bring, tmp_path, half):
    """First use without a checksum: nothing later would tell the splice."""
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    server.fault(HST, RestWithoutVersion())
    content, received = bring(server, new)
    assert content == new.path.read_bytes()
    assert received.attempts == 2


def test_another_version_begins_anew(mini, server, bring, tmp_path, half):
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    content, received = bring(server, new)
    assert content == new.path.read_bytes()
    assert (received.attempts, received.resumed_bytes) == (1, 0)


def test_the_same_version_is_continued(mini, server, bring, half):
    content, received = bring(server, mini.files[HST])
    assert content == mini.truth(HST)
    assert received.resumed_bytes == 100_000
    assert received.received_bytes == len(content) - 100_000


def test_a_note_does_not_outlive_its_bytes(mini, server, bring, tmp_path, half, monkeypatch):
    """Its disk is full when the new version begins: the old note must not vouch for new bytes."""
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.acquire.partial.write_json", full)
        with pytest.raises(TransferError, match="the disk is full"):
            bring(server, new)
    assert not note_of(tmp_path / "x.part").exists()
    server.replace(mini.files[HST])
    content, received = bring(server, mini.files[HST])
    assert content == mini.truth(HST)
    assert received.resumed_bytes == 0


def test_a_whole_partial_file_is_not_believed_without_asking(mini, server, bring, tmp_path):
    """Killed while it was looked at; meanwhile the archive has another version."""
    bring(server, mini.files[HST])
    assert note_of(tmp_path / "x.part").exists()
    again, received = bring(server, mini.files[HST])
    assert again == mini.truth(HST)
    assert received.received_bytes == 1
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    content, received = bring(server, new)
    assert content == new.path.read_bytes()
    assert received.resumed_bytes == 0


def test_a_page_instead_of_the_rest_costs_nothing(mini, server, bring, half):
    """It comes with status 200 and no type: what is there must not be thrown away for it."""

    class Page(Fault):
        def reply(self, reply):
            from pipeline.acquire.testing.wire import whole

            return whole(200, "application/octet-stream", b"<html>down</html>", {})

    server.fault(HST, Page())
    content, received = bring(server, mini.files[HST])
    assert content == mini.truth(HST)
    assert received.resumed_bytes == 100_000


@pytest.mark.parametrize("length", [True, False])
def test_a_body_that_is_too_long_is_not_swallowed(mini, server, bring, length):
    if not length:
        server.fault(HST, NoLength(), times=None)
    with pytest.raises(TransferError, match="another number of bytes than it lists"):
        bring(server, mini.files[HST], size=50_000)
    assert max(bring.seen) <= 50_000


def test_a_trickle_is_given_up_and_taken_up(mini, server, bring):
    server.fault(HST, Drip(2000))
    content, received = bring(server, mini.files[HST], slow_s=0.3, slow_bytes_per_s=1e5)
    assert content == mini.truth(HST)
    assert received.attempts == 2


def test_notes_that_say_nonsense_are_not_believed(tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"12345")
    uri = "mast:x"
    good = '{"uri": "mast:x", "etag": "\\"a\\"", "last_modified": null, "total": 9, "have": 5}'
    for text, have in (
        (good, 5),
        (good.replace("mast:x", "mast:y"), 0),
        (good.replace('\\"a\\"', "W/a"), 0),
        (good.replace('"have": 5', '"have": 6'), 0),
        (good.replace('"have": 5', '"have": -1'), 0),
        (good.replace('"total": 9', '"total": 4'), 0),
        (good.replace('"have": 5', '"have": "x"'), 0),
        ("{", 0),
        ("[]", 0),
    ):
        note_of(part).write_text(text)
        assert Partial.found(part, uri).have == have, text


@dataclass(frozen=True)
class TricklingAnswer(QueryFault):
    """An answer that comes, a few bytes at a time."""

    def reply(self, document):
        from pipeline.acquire.testing.wire import json_reply

        return replace(json_reply(document), rate=20.0)


def test_an_answer_that_trickles_ends(mini, acquire, server):
    server.query_fault("Mast.Caom.Products", TricklingAnswer(), times=None)
    result = acquire("run")
    assert result.code == 3
    assert "sends too slowly" in result.text


def test_the_uri_is_quoted_as_the_archive_reads_it():
    assert Wanted(f"mast:JWST/product/{JWST}", JWST).url("https://a") == (
        f"https://a/api/v0.1/Download/file?uri=mast:JWST/product/{JWST}"
    )
    assert "&" not in Wanted("mast:x&uri=y", "x").url("https://a").partition("uri=")[2]


def test_what_comes_after_a_stop_is_no_content():
    """Shut down, a TLS connection can give its ciphertext as if it were the file."""

    class Raw:
        def read1(self, _, decode_content):
            waiter.stop.set()
            return b"ciphertext"

    class Reply:
        raw = Raw()

    waiter = Waiter()
    with pytest.raises(Stopped):
        next(arriving(Reply(), waiter, Network()))


@dataclass(frozen=True)
class WeakAndDropped(Fault):
    """A version that is marked weakly, and a connection that breaks."""

    def etag(self, etag):
        return f"W/{etag}"

    def reply(self, reply):
        return replace(reply, cut=100_000, then="close")


def test_a_weak_mark_is_not_resumed_on(mini, server, bring):
    server.fault(HST, WeakAndDropped())
    content, received = bring(server, mini.files[HST])
    assert content == mini.truth(HST)
    assert received.attempts == 2
    assert [request.if_range for request in server.requests] == [None, None]
