"""Does the rehearsal server serve what it has, and does every fault do on the wire what it says?

Oracles: the bytes of the folder, RFC 9110 (ranges, If-Range), and raw sockets that see how a
connection ends.
"""

import gzip
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from astropy.io import fits

from ard.errors import NotFoundError
from manifests import load_lock, load_selection, lock_path
from manifests.lock import Lock
from pipeline.acquire.testing import (
    ALL_FAULTS,
    ArchiveFile,
    ArchiveServer,
    BitFlip,
    BrokenJson,
    ChangedETag,
    Drip,
    Drop,
    DuplicateRows,
    Executing,
    Fault,
    Gzipped,
    HtmlPage,
    LostExtension,
    NoETag,
    NoLength,
    NoRanges,
    OtherContent,
    QueryError,
    QueryFault,
    QueryHtml,
    QueryStall,
    QueryStatus,
    RetryAfter,
    ShortBody,
    Stall,
    Status,
    Truncate,
    Unauthorized,
    UnknownTypes,
    WeakETag,
    WrongRange,
    ZeroRows,
    make_archive,
)

CUBE = "jw03149-o001_t001_nirspec_g140m-f100lp_s3d.fits"
IMAGE = "if3x01010_drc.fits"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[ArchiveFile, ...]:
    selection = load_selection()
    lock = load_lock(lock_path(), selection)
    chosen = Lock("rbh1", tuple(file for file in lock.files if file.name in (CUBE, IMAGE)))
    return make_archive(tmp_path_factory.mktemp("archive"), selection, chosen, scale=1e-3)


@pytest.fixture
def archive(files) -> Iterator[ArchiveServer]:
    with ArchiveServer(files) as server:
        yield server


@pytest.fixture(scope="module")
def truth(files) -> bytes:
    return next(file for file in files if file.name == IMAGE).path.read_bytes()


@dataclass(frozen=True)
class Got:
    """A reply as it came; `broken` names what ended it early."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: str = ""


def ask(server: ArchiveServer, path: str, method: str = "GET", body: str | None = None, **headers):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, body, named)
        with connection.getresponse() as reply:
            found, end = bytearray(), ""
            try:
                while piece := reply.read1(1 << 16):
                    found += piece
            except (http.client.IncompleteRead, OSError) as error:
                end = type(error).__name__
            length = reply.headers["Content-Length"]
            if not end and method == "GET" and length and len(found) < int(length):
                end = "closed"
            return Got(reply.status, reply.headers, bytes(found), end)
    finally:
        connection.close()


def get(server: ArchiveServer, name: str = IMAGE, method: str = "GET", **headers) -> Got:
    mission = "JWST" if name.startswith("jw") else "HST"
    uri = quote(f"mast:{mission}/product/{name}", safe=":/")
    return ask(server, f"/api/v0.1/Download/file?uri={uri}", method, **headers)


def faulty(server: ArchiveServer, fault: Fault, name: str = IMAGE, **headers) -> Got:
    server.fault(name, fault)
    return get(server, name, **headers)


def invoke(server: ArchiveServer, service: str, params: object, **paging: int) -> Got:
    request = json.dumps({"service": service, "params": params, "format": "json", **paging})
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    return ask(server, "/api/v0/invoke", "POST", urlencode({"request": request}), **form)


def observations(server: ArchiveServer, **paging: int) -> Got:
    filters = [{"paramName": "proposal_id", "values": ["3149", "17301"]}]
    return invoke(server, "Mast.Caom.Filtered", {"columns": "*", "filters": filters}, **paging)


# The server without faults.


def test_a_file_is_served_whole_and_described(archive, truth):
    got = get(archive)
    assert (got.status, got.body) == (200, truth)
    assert got.headers["Content-Length"] == str(len(truth))
    assert got.headers["Content-Type"] == "application/fits"
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["ETag"].startswith('"')
    assert got.headers["Last-Modified"].endswith("GMT")


def test_head_sends_no_body_and_takes_no_fault(archive, truth):
    archive.fault(IMAGE, Status(503))
    got = get(archive, method="HEAD")
    assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"", str(len(truth)))
    assert get(archive).status == 503


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=100-", 100, None), ("bytes=5-9", 5, 10), ("bytes=-7", -7, None),
     ("bytes=10-99999999", 10, None), ("bytes=-99999999", 0, None)],
)  # fmt: skip
def test_a_range_is_served(archive, truth, asked, start, stop):
    got = get(archive, Range=asked)
    first = start % len(truth)
    part = truth[start:stop]
    assert (got.status, got.body) == (206, part)
    assert got.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(truth)}"
    assert got.headers["Content-Length"] == str(len(part))


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=-", "bytes=0-1,4-5", "lines=1-2"])
def test_a_range_that_is_none_is_ignored(archive, truth, asked):
    assert get(archive, Range=asked).body == truth


def test_a_range_beyond_the_end_cannot_be_satisfied(archive, truth):
    got = get(archive, Range=f"bytes={len(truth)}-")
    assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{len(truth)}")


def test_if_range_decides_between_rest_and_whole(archive, truth):
    whole = get(archive)
    tag, date = whole.headers["ETag"], whole.headers["Last-Modified"]
    for same in (tag, date):
        assert get(archive, Range="bytes=100-", If_Range=same).status == 206
    for other in ('"other"', f"W/{tag}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        got = get(archive, Range="bytes=100-", If_Range=other)
        assert (got.status, got.body) == (200, truth)


def test_a_server_without_etags_or_ranges(files, truth):
    with ArchiveServer(files, etags=False, ranges=False) as server:
        got = get(server, Range="bytes=100-")
        assert (got.status, got.body) == (200, truth)
        assert "ETag" not in got.headers
        assert "Accept-Ranges" not in got.headers


def test_a_file_that_was_processed_again(archive, files, tmp_path):
    old = next(file for file in files if file.name == CUBE)
    tag = get(archive, CUBE).headers["ETag"]
    path = tmp_path / CUBE
    path.write_bytes(old.path.read_bytes()[::-1])
    archive.replace(replace(old, path=path, cal_ver="1.18.0", checksum="0" * 32))
    got = get(archive, CUBE, Range="bytes=100-", If_Range=tag)
    assert (got.status, got.body) == (200, path.read_bytes())
    assert got.headers["ETag"] != tag
    rows = json.loads(facts(archive).body)["data"]
    assert [(r["cal_ver"], r["checksum"]) for r in rows] == [("1.18.0", "0" * 32)]


def facts(server: ArchiveServer) -> Got:
    filters = [{"paramName": "program", "values": ["3149"]}]
    return invoke(server, "Mast.Jwst.Filtered.Nirspec", {"columns": "*", "filters": filters})


def test_requests_are_on_record(archive, truth):
    get(archive, Range="bytes=100-", If_Range='"x"', Authorization="token t")
    get(archive, method="HEAD")
    observations(archive)
    whole, head, query = archive.requests
    assert (whole.method, whole.name, whole.range, whole.if_range) == (
        "GET", IMAGE, "bytes=100-", '"x"',
    )  # fmt: skip
    assert (whole.status, whole.sent, whole.authorization_present) == (200, len(truth), True)
    assert (head.method, head.sent, head.authorization_present) == ("HEAD", 0, False)
    assert (query.method, query.name) == ("POST", "Mast.Caom.Filtered")
    archive.reset_log()
    assert archive.requests == []


def test_files_that_are_not_public_need_the_token(files):
    held = [replace(file, rights="EXCLUSIVE_ACCESS") for file in files if file.name == IMAGE]
    with ArchiveServer([*held, *(f for f in files if f.name == CUBE)], token="s3cret") as server:
        assert get(server).status == 401
        assert get(server, Authorization="token wrong").status == 401
        assert get(server, Authorization="token s3cret").status == 200
        assert get(server, Cookie="a=b; mast_token=s3cret").status == 200
        assert get(server, CUBE).status == 200
        known = json.loads(ask(server, "/whoami", Cookie="mast_token=s3cret").body)
        assert known == {"anon": False, "attrib": {"display_name": "An Analyst"}}
        assert json.loads(ask(server, "/whoami").body)["anon"] is True
        rows = json.loads(observations(server).body)["data"]
        assert {row["dataRights"] for row in rows} == {"PUBLIC", "EXCLUSIVE_ACCESS"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api/v0/invoke"), ("POST", "/whoami"), ("GET", "/search/a/b"),
     ("GET", "/api/v0.1/Download/file?uri=mast:HST/product/none.fits"),
     ("GET", "/api/v0.1/Download/file?uri=../../etc/passwd")],
)  # fmt: skip
def test_what_is_not_there_is_404(archive, method, path):
    assert ask(archive, path, method).status == 404


def test_every_product_of_the_catalogue_can_be_fetched(archive):
    for row in archive.catalogue.products:
        got = get(archive, row["productFilename"])
        assert (got.status, len(got.body)) == (200, row["size"])


def test_products_come_once_where_repetition_is_not_wanted(files):
    with ArchiveServer(files, duplicates=False) as server:
        names = [row["productFilename"] for row in server.catalogue.products]
        assert sorted(names) == sorted([CUBE, IMAGE])


def test_a_rate_holds_for_each_connection(files, truth):
    rate = 4 * len(truth)
    with ArchiveServer(files, rate=rate) as server:
        began = time.monotonic()
        threads = [threading.Thread(target=get, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    assert len(truth) / rate * 0.9 < took < 3 * len(truth) / rate + 1


def test_latency_comes_before_each_reply(files):
    with ArchiveServer(files, latency_s=0.1) as server:
        began = time.monotonic()
        get(server, method="HEAD")
        assert time.monotonic() - began >= 0.1


# Faults of files.


def test_faults_are_taken_in_order_and_then_end(archive, truth):
    archive.fault(IMAGE, Status(503), times=2)
    archive.fault(IMAGE, Status(404))
    assert [get(archive).status for _ in range(4)] == [503, 503, 404, 200]
    archive.fault(IMAGE, Status(500), times=None)
    assert [get(archive).status for _ in range(3)] == [500] * 3
    assert get(archive, CUBE).status == 200
    archive.clear_faults()
    assert get(archive).body == truth


def test_a_fault_of_a_file_that_is_not_there_is_an_error(archive):
    with pytest.raises(NotFoundError, match="no such file"):
        archive.fault("typo.fits", Status(503))


@pytest.mark.parametrize(("at", "sent"), [(10_000, 10_000), (0, 0), (0.5, None), (10**9, None)])
def test_truncate(archive, truth, at, sent):
    got = faulty(archive, Truncate(at))
    sent = sent if sent is not None else {0.5: len(truth) // 2}.get(at, len(truth) - 1)
    assert (got.status, got.body) == (200, truth[:sent])
    assert got.headers["Content-Length"] == str(len(truth))
    assert got.broken


def test_faults_of_the_connection_count_the_bytes_of_the_reply(archive, truth):
    got = faulty(archive, Truncate(50), Range="bytes=1000-")
    assert (got.status, got.body) == (206, truth[1000:1050])


def test_short_body(archive, truth):
    got = faulty(archive, ShortBody(10_000))
    assert (got.body, got.headers["Content-Length"], got.broken) == (truth[:10_000], "10000", "")


def test_bit_flip(archive, truth):
    got = faulty(archive, BitFlip(12_345, bit=3))
    assert got.body[12_345] == truth[12_345] ^ 8
    assert got.body[:12_345] + got.body[12_346:] == truth[:12_345] + truth[12_346:]
    part = faulty(archive, BitFlip(12_345), Range="bytes=12345-12345")
    assert part.body == bytes([truth[12_345] ^ 1])
    assert faulty(archive, BitFlip(12_345), Range="bytes=0-99").body == truth[:100]


def test_stall_is_silent_and_goes_on(archive, truth):
    began = time.monotonic()
    got = faulty(archive, Stall(10_000, 0.3))
    assert got.body == truth
    assert 0.3 <= time.monotonic() - began < 5


def test_a_client_sees_what_came_before_a_stall(archive, truth):
    archive.fault(IMAGE, Stall(10_000, 60))
    with socket.create_connection(("127.0.0.1", int(archive.url.rpartition(":")[2]))) as raw:
        raw.settimeout(0.3)
        raw.sendall(
            f"GET /api/v0.1/Download/file?uri=mast:HST/product/{IMAGE} HTTP/1.1\r\n"
            "Host: localhost\r\n\r\n".encode()
        )
        found = bytearray()
        while b"\r\n\r\n" not in found or len(found.partition(b"\r\n\r\n")[2]) < 10_000:
            found += raw.recv(1 << 16)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        assert found.endswith(truth[:10_000])
        assert archive.requests[0].sent == 10_000


def test_closing_ends_what_hangs(files):
    """It may end before the first byte of the answer, on a busy machine."""

    def fetch(server, ended):
        try:
            ended.append(bool(get(server).broken))
        except (ConnectionError, http.client.HTTPException):
            ended.append(True)

    servers = []
    for fault in (Stall(100, 600), Drip(1)):
        server = ArchiveServer(files).__enter__()
        server.fault(IMAGE, fault)
        ended: list[bool] = []
        thread = threading.Thread(target=fetch, args=(server, ended))
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        servers.append((server, thread, ended))
    began = time.monotonic()
    for server, thread, ended in servers:
        server.close()
        thread.join(5)
        assert ended == [True]
        server.close()  # a second time does no harm
        with pytest.raises(NotFoundError, match="does not run"):
            server.url  # noqa: B018
    assert time.monotonic() - began < 3


def test_drop_is_a_reset(archive, truth):
    got = faulty(archive, Drop(10_000))
    assert (got.body, got.broken) == (truth[:10_000], "ConnectionResetError")
    assert get(archive).body == truth


def test_drip(archive, truth):
    began = time.monotonic()
    assert faulty(archive, Drip(1000), Range="bytes=0-299").body == truth[:300]
    assert time.monotonic() - began >= 0.3


def test_html_page(archive):
    got = faulty(archive, HtmlPage())
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"maintenance" in got.body


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Status(500), 500), (Status(404), 404), (Unauthorized(), 401), (RetryAfter(429, 7), 429)],
)
def test_statuses(archive, fault, status):
    got = faulty(archive, fault)
    assert got.status == status
    assert got.headers["Retry-After"] == ("7" if status == 429 else None)


def test_no_length(archive, truth):
    got = faulty(archive, NoLength())
    assert (got.body, got.headers["Content-Length"]) == (truth, None)
    assert got.headers["Connection"] == "close"
    assert faulty(archive, NoLength(cut=500)).body == truth[:500]


def test_no_ranges(archive, truth):
    got = faulty(archive, NoRanges(), Range="bytes=100-")
    assert (got.status, got.body, got.headers["Accept-Ranges"]) == (200, truth, None)


def test_changed_etag_stays_changed(archive, truth):
    before = get(archive).headers["ETag"]
    got = faulty(archive, ChangedETag(), Range="bytes=100-", If_Range=before)
    after = got.headers["ETag"]
    assert (got.status, got.body) == (200, truth)
    assert after != before
    assert get(archive).headers["ETag"] == after
    assert faulty(archive, ChangedETag()).headers["ETag"] not in (before, after)


def test_weak_and_missing_etags(archive):
    tag = get(archive).headers["ETag"]
    weak = faulty(archive, WeakETag(), Range="bytes=100-", If_Range=f"W/{tag}")
    assert (weak.status, weak.headers["ETag"]) == (200, f"W/{tag}")
    assert "ETag" not in faulty(archive, NoETag()).headers


def test_wrong_range(archive, truth):
    got = faulty(archive, WrongRange(), Range="bytes=1000-")
    assert (got.status, got.body) == (206, truth[488:])
    assert got.headers["Content-Range"].startswith("bytes 488-")
    assert faulty(archive, WrongRange(), Range="bytes=0-9").body == truth[1:10]
    assert faulty(archive, WrongRange()).body == truth


@pytest.mark.parametrize("name", [CUBE, IMAGE])
def test_other_content_is_valid_and_other(archive, files, name):
    good = next(file for file in files if file.name == name).path.read_bytes()
    tag = get(archive, name).headers["ETag"]
    got = faulty(archive, OtherContent(), name)
    assert got.body != good
    assert (len(got.body), got.headers["ETag"]) == (len(good), tag)
    with fits.open(io.BytesIO(good)) as old, fits.open(io.BytesIO(got.body)) as new:
        assert [hdu.header for hdu in new] == [hdu.header for hdu in old]
        old_sci, new_sci = old["SCI"].data, new["SCI"].data
        assert np.array_equal(np.isnan(old_sci), np.isnan(new_sci))
        np.testing.assert_allclose(new_sci, old_sci, rtol=1e-6, atol=1e-9)


def test_lost_extension(archive, truth):
    got = faulty(archive, LostExtension())
    assert (got.headers["Content-Length"], got.broken) == (str(len(got.body)), "")
    assert truth.startswith(got.body)
    with fits.open(io.BytesIO(truth)) as whole, fits.open(io.BytesIO(got.body)) as less:
        assert [hdu.name for hdu in less] == [hdu.name for hdu in whole][:-1]


def test_gzipped(archive, truth):
    got = faulty(archive, Gzipped(), Accept_Encoding="identity")
    assert got.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(got.body) == truth


def test_every_fault_has_a_title_of_its_own():
    titles = [fault.title for fault in ALL_FAULTS]
    assert len(set(titles)) == len(titles)
    assert {type(fault) for fault in ALL_FAULTS} == {
        kind for kind in Fault.__subclasses__() if kind.__module__.startswith("pipeline.")
    }
    queries = [kind().title for kind in QueryFault.__subclasses__()]
    assert len(set(queries)) == len(queries)


# Questions and their faults.


def test_pages(archive):
    whole = json.loads(observations(archive).body)
    assert whole["status"] == "COMPLETE"
    assert whole["paging"]["rowsTotal"] == len(whole["data"]) == 2
    first, second = (json.loads(observations(archive, pagesize=1, page=n).body) for n in (1, 2))
    assert first["data"] + second["data"] == whole["data"]
    assert first["paging"]["pagesFiltered"] == 2


@pytest.mark.parametrize(
    ("filters", "count"),
    [([{"paramName": "proposal_id", "values": ["3149"]}], 1),
     ([{"paramName": "PROPOSAL_ID", "values": []}], 0),
     ([{"paramName": "proposal_id", "values": [], "freeText": "%3%"}], 2),
     ([{"paramName": "obs_id", "values": [], "freeText": "if3x%"}], 1),
     ([{"paramName": "calib_level", "values": ["3"]}], 2),
     ([{"paramName": "s_ra", "values": [{"min": 40.44, "max": 40.45}]}], 1)],
)  # fmt: skip
def test_filters(archive, filters, count):
    params = {"columns": "COUNT_BIG(*)", "filters": filters}
    reply = json.loads(invoke(archive, "Mast.Caom.Filtered", params).body)
    assert reply["data"] == [{"Column1": count}]


@pytest.mark.parametrize(
    ("service", "params", "message"),
    [("Mast.Caom.Filtered", {"filters": [{"paramName": "colour", "values": []}]}, "colour"),
     ("Mast.Caom.Filtered", {"filters": [{"paramName": "obsid", "values": "1"}]}, "a list"),
     ("Mast.Caom.Filtered", {"filters": []}, "filter"),
     ("Mast.Caom.Filtered", {"columns": "a,b", "filters": [{"paramName": "obsid", "values": []}]},
      "'a'"),
     ("Mast.Nothing", {}, "Unrecognized service")],
)  # fmt: skip
def test_questions_that_make_no_sense_are_answered_with_an_error(archive, service, params, message):
    reply = json.loads(invoke(archive, service, params).body)
    assert reply["status"] == "ERROR"
    assert message in reply["msg"]


def question(server: ArchiveServer, fault: QueryFault) -> Got:
    server.query_fault("Mast.Caom.Filtered", fault)
    return observations(server)


def test_faults_of_questions(archive):
    good = json.loads(observations(archive).body)
    busy = question(archive, QueryStatus(429, retry_after_s=3))
    assert (busy.status, busy.headers["Retry-After"]) == (429, "3")
    page = question(archive, QueryHtml())
    assert (page.status, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert json.loads(question(archive, QueryError("no")).body)["msg"] == "no"
    empty = json.loads(question(archive, ZeroRows()).body)
    assert (empty["status"], empty["data"], empty["paging"]["rowsTotal"]) == ("COMPLETE", [], 0)
    twice = json.loads(question(archive, DuplicateRows()).body)
    assert twice["data"] == good["data"] * 2
    assert twice["paging"]["rowsFiltered"] == 4
    types = {
        field["type"] for field in json.loads(question(archive, UnknownTypes()).body)["fields"]
    }
    assert "geography" in types
    with pytest.raises(json.JSONDecodeError):
        json.loads(question(archive, BrokenJson()).body)
    began = time.monotonic()
    assert json.loads(question(archive, QueryStall(0.2)).body) == good
    assert time.monotonic() - began >= 0.2
    assert json.loads(observations(archive).body) == good


def test_executing_ends_or_does_not(archive):
    def status() -> str:
        return json.loads(observations(archive).body)["status"]

    archive.query_fault("Mast.Caom.Filtered", Executing(2))
    assert [status() for _ in range(3)] == ["EXECUTING", "EXECUTING", "COMPLETE"]
    archive.query_fault("Mast.Caom.Filtered", Executing(None))
    assert {status() for _ in range(5)} == {"EXECUTING"}


def test_other_services_have_faults_as_well(archive):
    archive.query_fault("whoami", QueryStatus(503))
    archive.query_fault("columnsconfig", QueryHtml())
    assert ask(archive, "/whoami").status == 503
    form = "colConfigId=Mast.Caom.Cone"
    path = "/portal/Mashup/Mashup.asmx/columnsconfig"
    assert b"<html>" in ask(archive, path, "POST", form).body
    config = json.loads(ask(archive, path, "POST", form).body)
    assert config["t_min"]["vot.datatype"] == "double"
    assert json.loads(ask(archive, path, "POST", "colConfigId=Mast.Nothing").body) == {}


def test_the_bundle_is_a_script(archive):
    body = urlencode([("uri", f"mast:HST/product/{IMAGE}")])
    got = ask(archive, "/api/v0.1/Download/bundle.sh", "POST", body)
    assert got.body.startswith(b"#!/bin/bash\n")
    assert f"{archive.url}/api/v0.1/Download/file?uri=mast:HST/product/{IMAGE}".encode() in got.body


def test_only_this_machine_is_served(archive):
    assert urlsplit(archive.url).hostname == "127.0.0.1"
    assert Path(archive.files[0].path).is_file()
