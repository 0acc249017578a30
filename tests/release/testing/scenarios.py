"""What must any archive with InvenioRDM's records API do?

Plain functions of an address and a token, for the contract server and for a real installation. They
publish small records, and discard every other draft that they make.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import Any

from caller import DOCUMENT, METADATA, Caller

type Scenario = Callable[[str, str], None]

HELLO = b"hello world"
CHECKSUM = f"md5:{md5(HELLO, usedforsecurity=False).hexdigest()}"
# How long a real search may lag behind, s.
PATIENCE_S = 60.0


@contextmanager
def drafting(url: str, token: str, document: Any = DOCUMENT) -> Iterator[tuple[Caller, str]]:
    """A draft that is discarded in the end."""
    with Caller(url, token) as owner:
        made = owner("POST", "/records", document)
        assert made.status == 201, made.body
        address = f"/records/{made.json['id']}/draft"
        try:
            yield owner, address
        finally:
            assert owner("DELETE", address).status == 204


def versions_are_deposited_and_read(url: str, token: str) -> None:
    """Reserve, upload, publish, read; link the files into a second version, and publish that."""
    with Caller(url, token) as owner, Caller(url, None) as guest:
        made = owner("POST", "/records", DOCUMENT).json
        first, draft = made["id"], f"/records/{made['id']}/draft"
        reserved = owner("POST", f"{draft}/pids/doi")
        assert reserved.status == 201
        doi = reserved.json["pids"]["doi"]["identifier"]
        assert doi.endswith(first)
        assert owner("POST", f"{draft}/pids/doi").errors == {
            "pids.doi": ["A PID already exists for type doi"]
        }
        assert list(owner("PUT", draft, DOCUMENT).errors) == ["files.enabled"]
        owner.upload(first, "a.fits", HELLO)
        owner.upload(first, "b.txt", b"read me")
        entries = owner("GET", f"{draft}/files").json["entries"]
        assert {entry["key"]: entry["status"] for entry in entries} == dict.fromkeys(
            ("a.fits", "b.txt"), "completed"
        )
        assert owner("PUT", draft, DOCUMENT).errors == {}

        published = owner("POST", f"{draft}/actions/publish")
        assert published.status == 202
        assert published.json["files"]["entries"]["a.fits"]["checksum"] == CHECKSUM
        assert owner("POST", f"{draft}/actions/publish").status == 404
        seen = guest("GET", f"/records/{first}").json
        assert seen["pids"]["doi"]["identifier"] == doi
        assert seen["parent"]["id"] == made["parent"]["id"]
        content = f"/records/{first}/files/a.fits/content"
        assert guest("GET", content).body == HELLO
        part = guest("GET", content, Range="bytes=0-4")
        assert (part.status, part.body) in ((206, b"hello"), (200, HELLO))

        _second_version(owner, guest, first)


def _second_version(owner: Caller, guest: Caller, first: str) -> None:
    draft = owner("POST", f"/records/{first}/versions")
    assert draft.status == 201
    second = draft.json["id"]
    assert owner("POST", f"/records/{first}/versions").json["id"] == second
    address = f"/records/{second}/draft"
    assert owner("POST", f"{address}/actions/files-import").status == 201
    assert owner("POST", f"{address}/actions/files-import").errors == {
        "files.enabled": ["Please remove all files first."]
    }
    assert owner("DELETE", f"{address}/files/b.txt").status == 204
    owner.upload(second, "b.txt", b"read me again")
    assert owner("PUT", address, DOCUMENT).errors == {}
    assert owner("POST", f"{address}/actions/publish").status == 202
    seen = guest("GET", f"/records/{second}").json
    old = guest("GET", f"/records/{first}").json
    assert seen["files"]["entries"]["a.fits"]["checksum"] == CHECKSUM
    assert seen["files"]["entries"]["b.txt"]["size"] == len(b"read me again")
    assert old["files"]["entries"]["b.txt"]["size"] == len(b"read me")
    latest = guest("GET", f"/records/{first}/versions/latest")
    assert latest.headers["Location"].endswith(f"/records/{second}")
    concept = guest("GET", f"/records/{seen['parent']['id']}")
    assert concept.status == 302
    assert concept.headers["Location"].endswith(f"/records/{second}")


def strangers_are_turned_away(url: str, token: str) -> None:
    """With 403, whether there is no token or a wrong one."""
    with drafting(url, token) as (owner, address):
        for wrong in (None, "x" * 60):
            with Caller(url, wrong) as stranger:
                assert stranger("POST", "/records", DOCUMENT).status == 403
                assert stranger("GET", address).status == 403
                assert stranger("POST", f"{address}/actions/publish").status == 403
        assert owner("GET", address).status == 200


def mistakes_are_listed_in_a_success(url: str, token: str) -> None:
    """And what is wrong is not stored."""
    wrong = {**METADATA, "title": "ab", "publication_date": "2026-13-45", "keywords": ["x"]}
    with drafting(url, token, {"metadata": wrong}) as (owner, address):
        errors = owner("PUT", address, {"metadata": wrong}).errors
        assert errors["metadata.title"] == ["Shorter than minimum length 3."]
        assert errors["metadata.publication_date"] == ["Please provide a valid date or interval."]
        assert errors["metadata.keywords"] == ["Unknown field."]
        assert not {"title", "keywords"} & set(owner("GET", address).json["metadata"])


def unknown_ids_are_refused(url: str, token: str) -> None:
    """With 400, and without the name of the field."""
    with Caller(url, token) as owner:
        document = {"metadata": {**METADATA, "resource_type": {"id": "nope"}}}
        refused = owner("POST", "/records", document)
        assert (refused.status, refused.json["message"]) == (400, "Invalid value nope.")


def late_writers_are_refused(url: str, token: str) -> None:
    """With 412, if they say which revision they know."""
    with drafting(url, token) as (owner, address):
        revision = str(owner("GET", address).json["revision_id"])
        assert owner("PUT", address, DOCUMENT, If_Match=revision).status == 200
        assert owner("PUT", address, DOCUMENT, If_Match=revision).status == 412


def content_over_a_complete_file_deletes_it(url: str, token: str) -> None:
    """And says 200."""
    with drafting(url, token) as (owner, address):
        owner.upload(address.split("/")[2], "a", HELLO)
        lost = owner("PUT", f"{address}/files/a/content", HELLO)
        assert (lost.status, lost.json["errors"]) == (200, "File upload transfer failed.")
        assert owner("GET", f"{address}/files/a").status == 404


def checksums_are_not_compared(url: str, token: str) -> None:
    """What is announced is replaced by what came."""
    with drafting(url, token) as (owner, address):
        owner(
            "POST", f"{address}/files", [{"key": "a", "size": 100, "checksum": f"md5:{'0' * 32}"}]
        )
        assert owner("PUT", f"{address}/files/a/content", HELLO).status == 200
        committed = owner("POST", f"{address}/files/a/commit").json
        assert (committed["size"], committed["checksum"]) == (len(HELLO), CHECKSUM)


def unfinished_drafts_are_not_published(url: str, token: str) -> None:
    """Not without files, nor with pending or empty ones."""
    with drafting(url, token) as (owner, address):
        publish = f"{address}/actions/publish"
        assert list(owner("POST", publish).errors) == ["files.enabled"]
        owner("POST", f"{address}/files", [{"key": "empty"}])
        assert list(owner("POST", publish).errors) == ["files"]
        owner("PUT", f"{address}/files/empty/content", b"")
        refused = owner("POST", f"{address}/files/empty/commit")
        assert (refused.status, refused.json["message"]) == (400, "Empty files are not accepted.")


def drafts_are_found_by_their_owner(url: str, token: str) -> None:
    """Sooner or later, and only by their owner."""
    with drafting(url, token) as (owner, address):
        family = owner("GET", address).json["parent"]["id"]
        query = f"/user/records?q=is_published:false%20AND%20parent.id:%22{family}%22"
        deadline = time.monotonic() + PATIENCE_S
        while not owner("GET", query).json["hits"]["total"]:
            assert time.monotonic() < deadline, "the draft was not found"
            time.sleep(1.0)
        with Caller(url, None) as guest:
            assert guest("GET", query).status == 403


SCENARIOS: tuple[Scenario, ...] = (
    versions_are_deposited_and_read,
    strangers_are_turned_away,
    mistakes_are_listed_in_a_success,
    unknown_ids_are_refused,
    late_writers_are_refused,
    content_over_a_complete_file_deletes_it,
    checksums_are_not_compared,
    unfinished_drafts_are_not_published,
    drafts_are_found_by_their_owner,
)
