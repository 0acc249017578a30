"""Is an archive asked politely, and is none trusted with anything but its bytes?

Oracles: the request log of a server that answers what each test tells it to, and the lengths of the
waits, which are recorded instead of waited for.
"""

import email.utils
import json
import ssl
import time
import tracemalloc
from hashlib import md5
from urllib.error import URLError

import pytest
from handmade import sha256, write_sums
from odd_archive import CONCEPT, DOI, RECORD, OddArchive, content, describe, endless, reply
from publishing import CUBE, list_parts, manifest_of

import ard
from ard.remote import Cache, Client, Patience, fetch_record, parse_address
from ard.remote.address import ARCHIVES
from ard.source import Progress

BUSY = reply(b"{}", 503, Retry_After="7")


@pytest.fixture
def bundle(odd, tmp_path):
    """A bundle on offer as record 2."""
    return odd.offer(tmp_path / "bundle")


# Politeness


def test_retry_after_is_obeyed_with_503_and_429(odd, bundle, waits):
    odd.queues[RECORD] = [BUSY, reply(b"{}", 429, Retry_After="11")]
    ard.open(DOI)
    assert waits == [7, 11]


def test_retry_after_may_be_a_date(odd, bundle, waits):
    now = time.time()
    moment = email.utils.formatdate(now + 20, usegmt=True)
    odd.queues[RECORD] = [reply(b"", 503, Retry_After=moment), reply(b"", 503, Retry_After="soon")]
    ard.open(DOI)
    assert 15 <= waits[0] <= 21
    assert 1.5 <= waits[1] <= 2.5  # ours, since nobody knows what "soon" means


def test_retry_after_means_nothing_with_success(odd, bundle, waits):
    data = (bundle / CUBE).read_bytes()
    odd.answers[content(CUBE)] = reply(data, Retry_After="60")
    ard.open(DOI).cube()
    assert waits == []


def test_retry_after_means_nothing_with_other_faults(odd, bundle, waits):
    odd.queues[RECORD] = [reply(b"", 502, Retry_After="60")]
    ard.open(DOI)
    assert len(waits) == 1
    assert waits[0] < 2


def test_who_asks_for_too_long_a_wait_is_left_alone(odd, bundle, waits):
    odd.queues[RECORD] = [reply(b"{}", 429, Retry_After="3600")]
    with pytest.raises(ard.RemoteError, match="try again in 60 minutes"):
        ard.open(DOI)
    assert (waits, len(odd.log)) == ([], 1)


def test_waits_grow_and_end(odd, waits):
    odd.answers[RECORD] = reply(b"", 504)
    with pytest.raises(ard.RemoteError, match="HTTP status 504"):
        ard.open(DOI)
    attempts = Patience().attempts
    assert len(odd.log) == attempts == len(waits) + 1
    assert all(0.75 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits))


def test_the_rate_limit_is_kept_before_it_is_enforced(odd, bundle, waits):
    data = (bundle / "manifest.json").read_bytes()
    # The archive's clock is not ours: its own Date is what the end of the window is compared with.
    then = int(time.time()) - 86_400
    limits = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(then + 40)}
    date = email.utils.formatdate(then, usegmt=True)

    def used_up(handler):
        handler.date_time_string = lambda *_: date
        reply(data, **limits)(handler)

    odd.answers[content("manifest.json")] = used_up
    ard.open(DOI).load("lines")
    assert len(waits) == 1
    assert 39 <= waits[0] <= 40


def test_a_limit_by_the_hour_is_not_waited_for(odd, bundle, waits):
    data = (bundle / "manifest.json").read_bytes()
    reset = str(int(time.time()) + 3000)
    odd.answers[content("manifest.json")] = reply(
        data, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset
    )
    ard.open(DOI).load("lines")
    assert waits == []


@pytest.mark.parametrize("number", ["9" * 5000, "\xb2", "-1", "1.5", ""])
def test_numbers_that_are_none_are_passed_over(odd, bundle, waits, number):
    names = ("X_RateLimit_Remaining", "X_RateLimit_Reset", "Retry_After", "Content_Length")
    headers = dict.fromkeys(names, number)
    odd.queues[RECORD] = [reply(b"", 503, **headers | {"Content_Length": "0"})]
    data = (bundle / CUBE).read_bytes()
    odd.answers[content(CUBE)] = reply(data, **headers)
    assert ard.open(DOI)["t001_cube"].read_bytes() == data
    assert len(waits) == 1
    assert waits[0] < 2


def test_no_wait_at_all_is_not_taken_at_its_word(odd, bundle, waits):
    odd.queues[RECORD] = [reply(b"{}", 429, Retry_After="0")]
    ard.open(DOI)
    assert waits == [1]


def test_an_archive_that_cannot_prove_who_it_is_is_asked_once(monkeypatch, waits):
    asked = []

    def forged(request, timeout):
        asked.append(request.full_url)
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise URLError(error)

    client = Client()
    monkeypatch.setattr(client._opener, "open", forged)
    address = parse_address("10.5281/zenodo.2", {})
    with pytest.raises(ard.RemoteError, match=r"prove who it is[\s\S]*self-signed"):
        fetch_record(client, address)
    assert asked == ["https://zenodo.org/api/records/2"]
    assert waits == []


def test_waits_are_told(odd, bundle, waits):
    odd.queues[RECORD] = [BUSY]
    events: list[Progress] = []
    ard.open(DOI, progress=events.append)
    assert [event.note for event in events] == ["the archive is busy; waiting 7 s"]


def test_every_request_says_who_asks_and_wants_plain_bytes(odd, bundle, monkeypatch):
    for name in ("ZENODO_TOKEN", "MAST_API_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    ard.open(DOI).download()
    for path, headers in odd.log:
        assert headers["User-Agent"].startswith("rbh1-ard/")
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Authorization", "Cookie"} & set(headers)
        assert "a-secret" not in path + json.dumps(headers)
    assert odd.asked(RECORD)[0]["Accept"].startswith("application/vnd.inveniordm.v1+json")


def test_a_proxy_is_not_used_for_this_machine(odd, bundle, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    ard.open(DOI).cube()


def test_a_dead_connection_is_given_up(odd):
    def trickle(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)

    odd.answers["/slow"] = trickle
    client = Client(Patience(attempts=1, timeout_s=0.2))

    def attempt() -> bytes:
        with client.get(f"{odd.url}/slow") as answer:
            return answer.all(100_000)

    with pytest.raises(ard.RemoteError, match="stalled"):
        client.persist("slow", attempt)


def test_a_silent_connection_is_given_up(odd):
    odd.answers["/silent"] = lambda _: time.sleep(0.5)
    client = Client(Patience(attempts=1, timeout_s=0.1))

    def attempt() -> int:
        with client.get(f"{odd.url}/silent") as answer:
            return answer.status

    with pytest.raises(ard.RemoteError, match=r"cannot be reached[\s\S]*timed out"):
        client.persist("silent", attempt)


# Redirects


def test_bytes_may_come_from_elsewhere(odd, bundle, tmp_path):
    with OddArchive() as other:
        other.answers["/store/1"] = reply((bundle / CUBE).read_bytes())
        odd.answers[content(CUBE)] = reply(b"", 302, Location=f"{other.url}/store/1")
        assert ard.open(DOI)["t001_cube"].read_bytes() == (bundle / CUBE).read_bytes()
        ((path, headers),) = other.log
    assert path == "/store/1"
    # Nothing of ours but the name.
    assert set(headers) == {"Host", "User-Agent", "Accept-Encoding", "Connection"}


def test_a_record_must_come_from_the_archive_itself(odd, bundle):
    with OddArchive() as other:
        other.offer_folder(bundle)
        odd.answers[RECORD] = reply(b"", 302, Location=other.url + RECORD)
        with pytest.raises(ard.RemoteError, match=r"where we do not go[\s\S]*the same host"):
            ard.open(DOI)
        assert other.log == []


def test_a_concept_is_redirected_on_the_same_host(odd, bundle):
    odd.answers["/api/records/1"] = reply(b"<html>", 302, Location="/api/records/2")
    assert ard.open(CONCEPT).doi == DOI
    assert odd.asked(RECORD)[0]["Accept"].startswith("application/vnd.inveniordm.v1+json")


@pytest.mark.parametrize(
    "location",
    [
        "http://zenodo.example/file",
        "file:///etc/passwd",
        "ftp://zenodo.example/file",
        "https://user:word@zenodo.example/",
        "https://[broken/",
        "//zenodo.example/file",
    ],
)
def test_redirects_to_where_nothing_may_be_asked_are_refused(odd, bundle, location):
    odd.answers[content(CUBE)] = reply(b"", 302, Location=location)
    with pytest.raises(ard.RemoteError, match="where we do not go"):
        ard.open(DOI).cube()


def test_from_an_encrypted_address_none_leads_to_a_plain_one():
    from ard.remote.client import _target

    assert _target("https://zenodo.org/a", "/b", True) == "https://zenodo.org/b"
    assert _target("https://zenodo.org/a", "https://cdn.example/b", False)
    for location in ("http://zenodo.org/a", "http://127.0.0.1:8080/a"):
        with pytest.raises(ard.RemoteError, match="begins with https"):
            _target("https://zenodo.org/a", location, False)


def test_circles_end(odd, bundle):
    odd.answers[content(CUBE)] = reply(b"", 302, Location=content(CUBE))
    with pytest.raises(ard.RemoteError, match="in circles"):
        ard.open(DOI).cube()
    assert len(odd.asked(content(CUBE))) == 6


# Hostile answers


def absurd_size(document):
    document["files"]["entries"]["manifest.json"]["size"] = 10**15


def test_a_list_of_absurd_size_is_not_fetched(odd, tmp_path):
    odd.offer(tmp_path / "bundle", absurd_size)
    with pytest.raises(ard.RemoteError, match="larger than any can be"):
        ard.open(DOI)
    assert odd.asked(content("manifest.json")) == []


def huge_cube(document):
    document["files"]["entries"][CUBE]["size"] = 10**15


def test_a_file_without_room_is_not_begun(odd, tmp_path):
    folder = odd.offer(tmp_path / "bundle")
    listed = manifest_of(folder)
    (row,) = [row for row in listed["files"] if row["name"] == CUBE]
    row["size"] = 10**15
    (folder / "manifest.json").write_text(json.dumps(listed))
    write_sums(folder)
    odd.offer_folder(folder, huge_cube)
    bundle = ard.open(DOI)
    with pytest.raises(ard.ArdError, match="no room"):
        bundle.cube()
    assert odd.asked(content(CUBE)) == []


def test_an_endless_file_is_read_as_far_as_it_is_listed(odd, bundle, waits):
    odd.answers[content(CUBE)] = endless
    size = (bundle / CUBE).stat().st_size
    events: list[Progress] = []
    with pytest.raises(ard.IntegrityError, match="other bytes than were listed"):
        ard.open(DOI, progress=events.append).cube()
    assert max(event.done for event in events) == size
    assert len(odd.asked(content(CUBE))) == 1


def test_an_endless_record_takes_no_memory(odd):
    odd.answers[RECORD] = endless
    tracemalloc.start()
    with pytest.raises(ard.RemoteError, match=r"more than an answer of this kind[\s\S]*no end"):
        ard.open(DOI)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6


def test_an_encoding_nobody_asked_for_is_not_unpacked(odd, bundle, waits):
    data = (bundle / CUBE).read_bytes()
    # The header is ignored: the digests tell that these are the right bytes,
    odd.answers[content(CUBE)] = reply(data, Content_Encoding="gzip")
    assert ard.open(DOI)["t001_cube"].read_bytes() == data
    # and that those are not.
    odd.answers[content("README.md")] = reply(b"\x1f\x8b" + bytes(10), Content_Encoding="gzip")
    with pytest.raises(ard.RemoteError, match="another number of bytes"):
        ard.open(DOI).documents["README.md"].load()


@pytest.mark.parametrize("record_id", ["../../../evil", "..", "/evil", "a/b", "", "2\n", "C:evil"])
def test_a_record_whose_number_leads_out_of_the_cache_is_refused(odd, tmp_path, cache, record_id):
    beside = tmp_path / "evil"
    beside.mkdir()
    (beside / "thesis.tex").write_text("years of work")
    odd.offer(tmp_path / "bundle", lambda document: document.update(id=record_id))
    odd.answers["/api/records/1"] = odd.answers[RECORD]
    with pytest.raises(ard.RemoteError, match="a form that is not understood"):
        ard.open(CONCEPT)
    assert (beside / "thesis.tex").read_text() == "years of work"
    assert not (tmp_path / "evil.json").exists()


@pytest.mark.parametrize("name", ["../evil", "..", "/etc/evil", "a/b", "C:evil", "Evil.txt", ""])
def test_a_name_that_leads_out_of_the_folder_is_a_finding(odd, tmp_path, cache, name):
    def lure(document):
        document["files"]["entries"][name] = {"size": 4, "checksum": "md5:" + "0" * 32}

    odd.offer(tmp_path / "bundle", lure)
    with pytest.raises(ard.IntegrityError, match="unsafe file name"):
        ard.open(DOI)
    bundle = ard.open(DOI, verify="none")
    bundle.download()
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name.lower()]
    assert all(cache in path.resolve().parents for path in cache.rglob("*"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.pop("pids"), r"not understood[\s\S]*pids"),
        (lambda record: record.update(id=7), "not understood"),
        (lambda record: record["pids"]["doi"].update(identifier="x"), "not understood"),
        (lambda record: record.update(files=[]), r"not understood[\s\S]*files.entries"),
        (lambda record: record["files"].pop("entries"), "not understood"),
        (
            lambda record: record["files"]["entries"]["README.md"].update(size="1"),
            "size and md5",
        ),
        (
            lambda record: record["files"]["entries"]["README.md"].update(checksum="sha1:0"),
            "size and md5",
        ),
        (lambda record: record["access"].update(files="restricted"), "not open to everybody"),
        (
            lambda record: record["access"].update(
                files="restricted", embargo={"active": True, "until": "2031-01-01"}
            ),
            "until 2031-01-01",
        ),
        (lambda record: record.update(id="9"), "another record"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(odd, tmp_path, change, problem):
    if "another" in problem:
        odd.offer(tmp_path / "bundle", lambda record: (change(record), record.pop("parent")))
    else:
        odd.offer(tmp_path / "bundle", change)
    with pytest.raises(ard.RemoteError, match=problem):
        ard.open(DOI)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            reply(b"<html>log in", Content_Type="text/html"),
            r"a page, not with a record[\s\S]*log in",
        ),
        (reply(b"[]"), "a page, not with a record"),
        (reply(b'{"id": 1, "id": 2}'), "a page, not with a record"),
        (reply(b'{"message": "Permission denied."}', 403), "not open to everybody"),
        (reply(b"teapot", 418), "unexpected answer"),
        (reply(b'{"id": "2"', Content_Length="200"), "broke off"),
    ],
)
def test_an_answer_that_is_no_record_is_refused(odd, waits, answer, problem):
    odd.answers[RECORD] = answer
    with pytest.raises(ard.RemoteError, match=problem):
        ard.open(DOI)


def test_words_of_the_archive_cannot_drive_a_terminal(odd):
    stone = {"removal_reason": {"id": "\x1b[2Jspam"}, "note": "\x07" + "x" * 5000}
    odd.answers[RECORD] = reply(json.dumps({"tombstone": stone}).encode(), 410)
    with pytest.raises(ard.NotFoundError, match="withdrawn") as caught:
        ard.open(DOI)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_says_so(odd, bundle, status):
    odd.answers[content(CUBE)] = reply(b"{}", status)
    with pytest.raises(ard.NotFoundError, match="no longer has the file"):
        ard.open(DOI).cube()


def test_a_list_with_other_bytes_is_refused(odd, bundle):
    data = (bundle / "manifest.json").read_bytes()
    odd.answers[content("manifest.json")] = reply(data.replace(b"1.2.3", b"6.6.6"))
    with pytest.raises(ard.IntegrityError, match="other bytes than its record lists"):
        ard.open(DOI)


def test_files_that_were_exchanged_under_the_same_doi_are_exchanged_here(odd, bundle):
    # Owners may do so for some weeks after publication.
    ard.open(DOI).download()
    (bundle / "README.md").write_text("# Mended\n")
    document = manifest_of(bundle)
    gone = [row for row in document["files"] if row["kind"] == "archive"]
    (bundle / gone[0]["name"]).unlink()
    document["files"] = [row for row in document["files"] if row not in gone]
    document["layers"]["validation"].remove(gone[0]["name"])
    for row in document["files"]:
        data = (bundle / row["name"]).read_bytes()
        row |= {"size": len(data), "sha256": sha256(data), "md5": md5(data).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(document))
    write_sums(bundle)
    odd.offer_folder(bundle)
    changed = ard.open(DOI)
    assert changed.documents["README.md"].load() == "# Mended\n"
    assert changed.verify("full") == ()
    assert gone[0]["name"] not in {path.name for path in changed.folder.iterdir()}


# Resuming from an archive that may not be trusted


@pytest.fixture
def half(odd, bundle, waits):
    """An archive that gives half of the cube, and then what the test has queued."""
    data = (bundle / CUBE).read_bytes()
    length = str(len(data))
    first = reply(data[: len(data) // 2], Content_Length=length, ETag='"one"')
    odd.queues[content(CUBE)] = [first]
    odd.answers[content(CUBE)] = reply(data, ETag='"two"')
    return data


def test_the_version_that_was_begun_is_asked_for(odd, half):
    ard.open(DOI).cube()
    first, second = odd.asked(content(CUBE))
    assert "Range" not in first
    assert second["If-Range"] == '"one"'
    assert second["Range"] == f"bytes={len(half) // 2}-{len(half) - 1}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": "bytes 0-99/1000"},
        {"Content_Range": "bytes */1000"},
        {"Content_Range": "nonsense"},
        {},
        {"Content_Range": "{right}", "ETag": '"two"'},
        {"Content_Range": "{right}0", "ETag": '"one"'},  # of a file ten times as long
    ],
)
def test_an_odd_rest_is_thrown_away(odd, half, headers):
    start, end = len(half) // 2, len(half) - 1
    right = f"bytes {start}-{end}/{len(half)}"
    named = {name: value.format(right=right) for name, value in headers.items()}
    odd.queues[content(CUBE)].append(reply(half[start:], 206, **named))
    assert ard.open(DOI)["t001_cube"].read_bytes() == half
    assert "Range" not in odd.asked(content(CUBE))[2]


def test_a_rest_that_comes_in_pieces_is_put_together(odd, half):
    start, middle, end = len(half) // 2, 3 * len(half) // 4, len(half)
    for first, last in ((start, middle), (middle, end)):
        span = f"bytes {first}-{last - 1}/{end}"
        odd.queues[content(CUBE)].append(
            reply(half[first:last], 206, Content_Range=span, ETag='"one"')
        )
    assert ard.open(DOI)["t001_cube"].read_bytes() == half
    assert len(odd.asked(content(CUBE))) == 3


def test_a_rest_of_another_version_is_noticed_without_a_tag(odd, half):
    start, end = len(half) // 2, len(half) - 1
    span = f"bytes {start}-{end}/{len(half)}"
    wrong = bytes(len(half) - start)
    odd.queues[content(CUBE)].append(reply(wrong, 206, Content_Range=span))
    assert ard.open(DOI)["t001_cube"].read_bytes() == half
    assert "Range" not in odd.asked(content(CUBE))[2]


def test_pieces_that_never_fit_end(odd, half):
    start, end = len(half) // 2, len(half) - 1
    first = odd.queues[content(CUBE)][0]
    wrong = reply(bytes(len(half) - start), 206, Content_Range=f"bytes {start}-{end}/{len(half)}")
    odd.queues[content(CUBE)] = [first, wrong] * 5
    with pytest.raises(ard.IntegrityError, match="other bytes"):
        ard.open(DOI).cube()
    assert len(odd.asked(content(CUBE))) == 4


def test_a_partial_file_that_is_too_long_is_thrown_away(odd, bundle, cache):
    data = (bundle / CUBE).read_bytes()
    part = Cache(cache).content(sha256(data)).with_name(f"{sha256(data)}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(data + b"more")
    assert ard.open(DOI)["t001_cube"].read_bytes() == data
    (headers,) = odd.asked(content(CUBE))
    assert "Range" not in headers


def test_a_file_larger_than_listed_is_not_taken(odd, bundle, waits):
    data = (bundle / CUBE).read_bytes()
    odd.answers[content(CUBE)] = reply(data + b"x")
    with pytest.raises(ard.RemoteError, match="another number of bytes"):
        ard.open(DOI).cube()


def test_production_and_sandbox_are_asked_by_tls():
    assert all(base.startswith("https://") for base in ARCHIVES.values())


def test_the_bundle_of_these_tests_is_whole(bundle):
    # What is refused above is refused for the reason given there.
    list_parts(bundle)
    assert ard.verify(bundle) == ()
    assert sha256((bundle / CUBE).read_bytes()) == next(
        row["sha256"] for row in manifest_of(bundle)["files"] if row["name"] == CUBE
    )
    assert set(describe({"a": b""})) >= {"id", "pids", "files"}
