"""Are files announced, sent, completed and deleted as the archive lets them, and bytes given away?

Oracle: the rules of the reference on Zenodo's API; RFC 9110 for ranges and conditions.
"""

import http.client
import io
import socket
import threading
import time
import tracemalloc
import zipfile
from urllib.parse import quote, urlsplit

import pytest
from caller import DOCUMENT, Caller

from release.testing import ContractServer, Fault

HELLO = b"hello world"


@pytest.fixture
def files(owner):
    """The address of the files of a new draft."""
    return f"/records/{owner.draft()}/draft/files"


@pytest.fixture
def content(owner):
    """The address of the content of a published file."""
    return f"/records/{owner.published({'a.fits': HELLO})}/files/a.fits/content"


# Drafts


def test_what_is_announced_is_not_compared(owner, files):
    announced = {"key": "a", "size": 100, "checksum": "md5:5eb63bbbe01eeed093cb22bb8f5acdc3"}
    owner("POST", files, [announced])
    assert owner("PUT", f"{files}/a/content", b"short").json["size"] == 100
    committed = owner("POST", f"{files}/a/commit").json
    assert (committed["size"], committed["status"]) == (5, "completed")
    assert committed["checksum"] == "md5:4f09daa9d95bcb166a302407a0e0babe"


@pytest.mark.parametrize(
    ("items", "errors"),
    [
        (["a"], {"0._schema": ["Invalid input type."]}),
        ([{"key": 1}], {"0.key": ["Not a valid string."]}),
        ([{"key": "a"}, {}], {"1.key": ["Missing data for required field."]}),
        ([{"key": "a", "transfer": "L"}], {"0.transfer": ["Invalid input type."]}),
    ],
)
def test_announcements_are_refused_as_a_whole(owner, files, items, errors):
    refused = owner("POST", files, items)
    assert (refused.status, refused.errors) == (400, errors)
    assert owner("GET", files).json["entries"] == []


def test_one_name_cannot_be_announced_twice(owner, files):
    refused = owner("POST", files, [{"key": "a"}, {"key": "a"}])
    assert refused.json["message"] == "File with key a already exists."
    assert owner("GET", files).json["entries"] == []


@pytest.mark.parametrize("key", ["a/b c.txt", "naïve.txt", "50%.txt", "a?b#c", "..", "x" * 255])
def test_any_name_that_is_quoted_will_do(owner, server, files, key):
    owner("POST", files, [{"key": key}])
    address = f"{files}/{quote(key, safe='')}"
    assert owner("PUT", f"{address}/content", HELLO).status == 200
    assert owner("POST", f"{address}/commit").json["key"] == key
    assert list(server.world.files(files.split("/")[2])) == [key]


def test_content_over_a_complete_file_deletes_it(owner, server, files):
    ident = files.split("/")[2]
    owner.upload(ident, "a", HELLO)
    (stored,) = [path for _, _, path in server.world.files(ident).values()]
    lost = owner("PUT", f"{files}/a/content", HELLO)
    assert (lost.status, lost.json["errors"]) == (200, "File upload transfer failed.")
    assert owner("GET", f"{files}/a").status == 404
    assert not stored.exists()


def test_a_client_that_dies_takes_the_entry_with_it(owner, server, files):
    owner("POST", files, [{"key": "a"}])
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as line:
        head = f"PUT /api{files}/a/content HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        line.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n0123".encode())
    while server.log[-1].method != "PUT" or not server.log[-1].status:
        time.sleep(0.01)
    assert owner("GET", f"{files}/a").status == 404
    assert server.log[-2].errors


@pytest.mark.parametrize(
    "length", ["Content-Length: 100", "Transfer-Encoding: chunked", "Content-Length: many"]
)
def test_a_document_that_breaks_off_does_nothing(server, length):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as line:
        head = f"POST /api/records HTTP/1.1\r\nHost: x\r\n{length}\r\n"
        line.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        reply = http.client.HTTPResponse(line)
        reply.begin()
        assert reply.status == 400
    assert server.world.drafts() == []


def test_the_quota_is_of_the_whole_record(tmp_path):
    with (
        ContractServer(tmp_path, quota=1000) as server,
        Caller(server.url, server.token) as owner,
    ):
        ident = owner.draft({"a": bytes(600)})
        address = f"/records/{ident}/draft/files/b"
        owner("POST", f"/records/{ident}/draft/files", [{"key": "b"}])
        for body in (bytes(401), iter([bytes(300), bytes(101)])):
            refused = owner("PUT", f"{address}/content", body)
            assert (refused.status, refused.json["message"]) == (400, "Bucket quota exceeded.")
        assert owner("GET", address).json["status"] == "pending"
        assert owner("PUT", f"{address}/content", bytes(400)).status == 200
        # What is replaced does not count.
        assert owner("PUT", f"{address}/content", bytes(399)).status == 200
        assert len(list((tmp_path / "files").iterdir())) == 2


def test_the_number_of_files_is_limited(tmp_path):
    with (
        ContractServer(tmp_path, max_files=3) as server,
        Caller(server.url, server.token) as owner,
    ):
        files = f"/records/{owner.draft({'a': b'1'})}/draft/files"
        refused = owner("POST", files, [{"key": key} for key in "bcd"])
        assert "exceeding the max amount" in refused.json["message"]
        assert owner("POST", files, [{"key": key} for key in "bc"]).status == 201


def test_files_of_a_published_record_are_locked_until_asked_for(owner):
    ident = owner.published({"a": HELLO})
    owner("POST", f"/records/{ident}/draft")
    files = f"/records/{ident}/draft/files"
    assert owner("POST", files, [{"key": "b"}]).status == 201
    for answer in (owner("PUT", f"{files}/b/content", b"2"), owner("DELETE", files)):
        assert answer.status == 403
        assert answer.json["message"] == "Bucket is locked for modifications."
    owner("POST", f"/records/{ident}/file-modification", {"comment": "A wrong file was sent"})
    assert owner("PUT", f"{files}/b/content", b"2").status == 200
    owner("POST", f"{files}/b/commit")
    owner("DELETE", f"{files}/a")
    assert owner("POST", f"/records/{ident}/draft/actions/publish").status == 202
    assert list(owner("GET", f"/records/{ident}").json["files"]["entries"]) == ["b"]


def test_bytes_live_as_long_as_a_version_has_them(owner, server):
    first = owner.published({"a": HELLO, "b": b"2"})
    draft = owner("POST", f"/records/{first}/versions").json["id"]
    owner("POST", f"/records/{draft}/draft/actions/files-import")
    owner("DELETE", f"/records/{draft}/draft/files/a")
    assert owner("GET", f"/records/{first}/files/a/content").body == HELLO
    owner("DELETE", f"/records/{draft}/draft")
    assert owner("GET", f"/records/{first}/files/b/content").body == b"2"
    only = owner.draft({"c": b"3"})
    ((_, _, path),) = server.world.files(only).values()
    owner("DELETE", f"/records/{only}/draft")
    assert not path.exists()


def test_a_wrong_media_type_is_refused_and_the_connection_lives(owner, files):
    owner("POST", files, [{"key": "a"}])
    refused = owner("PUT", f"{files}/a/content", bytes(3_000_000), Content_Type="text/plain")
    assert refused.status == 415
    assert owner("PUT", f"{files}/a/content", HELLO).status == 200
    wrong = owner("POST", files, b'[{"key": "b"}]', Content_Type="text/plain")
    assert (wrong.status, "application/json" in wrong.json["message"]) == (415, True)


def test_what_cannot_be_shown_is_refused_before_it_is_done(owner, server):
    assert owner("POST", "/records", DOCUMENT, Accept="text/nothing").status == 406
    assert owner("POST", "/records", DOCUMENT, Accept="application/x-bibtex").status == 501
    assert server.world.drafts() == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/vnd.inveniordm.v1+json", "application/vnd.inveniordm.v1+json"),
        ("application/vnd.inveniordm.v1+json;q=0.1, */*;q=0.5", "application/json"),
        ("text/nothing, application/json;q=0.2", "application/json"),
    ],
)
def test_the_old_shape_is_the_default(owner, accept, kind):
    shown = owner("GET", f"/records/{owner.draft()}/draft", Accept=accept)
    assert shown.headers["Content-Type"] == kind
    assert ("parent" in shown.json) == (kind != "application/json")


# Downloads


@pytest.mark.parametrize(
    ("asked", "body", "range_"),
    [
        ("bytes=0-4", b"hello", "bytes 0-4/11"),
        ("bytes=6-", b"world", "bytes 6-10/11"),
        ("bytes=6-99", b"world", "bytes 6-10/11"),
        ("bytes=-5", b"world", "bytes 6-10/11"),
        ("bytes=-99", HELLO, "bytes 0-10/11"),
    ],
)
def test_a_part_can_be_had(guest, content, asked, body, range_):
    part = guest("GET", content, Range=asked)
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, body, range_)
    assert part.headers["Content-Length"] == str(len(body))
    # The trap: what can be had is denied.
    assert part.headers["Accept-Ranges"] == "none"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=-", "items=0-4", "bytes=x"])
def test_what_is_no_single_range_gives_the_whole(guest, content, asked):
    whole = guest("GET", content, Range=asked)
    assert (whole.status, whole.body) == (200, HELLO)


def test_a_part_beyond_the_end_is_refused(guest, content):
    refused = guest("GET", content, Range="bytes=11-")
    assert (refused.status, refused.headers["Content-Range"]) == (416, "bytes */11")


def test_the_etag_guards_parts(guest, content):
    tag = guest("HEAD", content).headers["ETag"]
    assert guest("GET", content, Range="bytes=0-4", If_Range=tag).status == 206
    assert guest("GET", content, Range="bytes=0-4", If_Range='"md5:0"').body == HELLO
    assert guest("GET", content, If_None_Match=f'"x", {tag}').status == 304


def test_an_archive_that_knows_no_ranges_sends_everything(tmp_path):
    with (
        ContractServer(tmp_path, honour_range=False) as server,
        Caller(server.url, server.token) as owner,
    ):
        ident = owner.published({"a": HELLO})
        whole = owner("GET", f"/records/{ident}/files/a/content", Range="bytes=0-4")
        assert (whole.status, whole.body) == (200, HELLO)


def test_head_gives_no_body_and_the_connection_lives(guest, server, content):
    asked = guest("HEAD", content)
    assert (asked.body, asked.headers["Content-Length"]) == (b"", "11")
    assert guest("GET", content).body == HELLO
    assert [record.sent_bytes for record in server.log[-2:]] == [0, 11]


def test_all_files_come_in_one_zip(owner, guest):
    ident = owner.published({"a": HELLO, "dir/b": b"2"})
    with zipfile.ZipFile(io.BytesIO(guest("GET", f"/records/{ident}/files-archive").body)) as all_:
        assert all_.testzip() is None
        assert {name: all_.read(name) for name in all_.namelist()} == {"a": HELLO, "dir/b": b"2"}


def test_large_bodies_come_and_go_whole(owner, guest, server):
    data = bytes(range(256)) * 20_000  # several blocks, and a rest
    ident = owner.published({"a": data + b"rest"})
    assert guest("GET", f"/records/{ident}/files/a/content").body == data + b"rest"
    server.inject(Fault("corrupt", "GET", at=3_000_000))
    spoiled = guest("GET", f"/records/{ident}/files/a/content").body
    assert [n for n, byte in enumerate(data) if spoiled[n] != byte] == [3_000_000]


@pytest.mark.parametrize("path", ["/files", "/files/a", "/files/a/content", "/files-archive"])
def test_drafts_are_for_their_owner(owner, other, guest, path):
    ident = owner.draft({"a": HELLO})
    assert owner("GET", f"/records/{ident}/draft{path}").status == 200
    for stranger in (other, guest):
        assert stranger("GET", f"/records/{ident}/draft{path}").status == 403


def test_bytes_for_a_file_that_is_gone_are_not_kept(owner, server, files, tmp_path):
    owner("POST", files, [{"key": "a"}])
    server.inject(Fault("slow", "PUT", seconds=1.0, side="request"))
    answers = []

    def send() -> None:
        with Caller(server.url, server.token) as caller:
            answers.append(caller("PUT", f"{files}/a/content", bytes(1000)).status)

    sender = threading.Thread(target=send)
    sender.start()
    while not list((tmp_path / "files").iterdir()):
        time.sleep(0.01)
    assert owner("DELETE", f"{files}/a").status == 204
    sender.join()
    assert answers == [404]
    assert list((tmp_path / "files").iterdir()) == []


def test_large_files_need_no_memory(owner, server, files, tmp_path):
    size = 64 << 20
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)
    owner("POST", files, [{"key": "a"}])
    tracemalloc.start()
    try:
        with source.open("rb") as file:
            sent = owner("PUT", f"{files}/a/content", file, Content_Length=str(size))
        owner("POST", f"{files}/a/commit")
        address = urlsplit(server.url).netloc
        headers = {"Authorization": f"Bearer {server.token}"}
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("GET", f"/api{files}/a/content", headers=headers)
        reply, received = connection.getresponse(), 0
        while block := reply.read(1 << 20):
            received += len(block)
        connection.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (sent.status, received) == (200, size)
    # A few blocks of 1 MiB on either side of the wire.
    assert peak < 8 << 20
