"""Do records pass through their states as the archive lets them, and are they found?

Oracle: the state machine of the reference on Zenodo's API.
"""

import pytest
from caller import DOCUMENT, METADATA, Caller

from ard.errors import NotFoundError
from release.testing import ContractServer

HELLO = b"hello world"


def total(caller: Caller, path: str) -> int:
    return int(caller("GET", path).json["hits"]["total"])


def found(caller: Caller, path: str) -> list[str]:
    return [hit["id"] for hit in caller("GET", path).json["hits"]["hits"]]


def test_a_record_is_made_filled_and_read(server, owner, guest):
    ident = owner.draft({"a.fits": HELLO, "README.md": b"read"})
    reserved = owner("POST", f"/records/{ident}/draft/pids/doi").json["pids"]["doi"]
    assert reserved["identifier"] == f"10.5072/zenodo.{ident}"

    published = owner("POST", f"/records/{ident}/draft/actions/publish")
    entries = published.json["files"]["entries"]
    assert published.status == 202
    assert entries["a.fits"]["checksum"] == "md5:5eb63bbbe01eeed093cb22bb8f5acdc3"
    assert published.json["parent"]["pids"]["doi"]["identifier"] == "10.5072/zenodo.1"

    seen = guest("GET", f"/records/{ident}").json
    assert seen["pids"]["doi"] == reserved
    assert guest("GET", f"/records/{ident}/files/a.fits/content").body == HELLO
    assert server.world.published() == [ident]
    assert server.world.drafts() == []


def test_a_doi_is_given_where_none_was_promised(server, owner):
    ident = owner.published({"a": HELLO})
    assert server.world.doi(ident) == f"10.5072/zenodo.{ident}"


def test_both_dois_are_known_before_publication(server, owner):
    made = owner("POST", "/records", DOCUMENT).json
    assert server.world.concept_id(made["id"]) == made["parent"]["id"]
    assert int(made["parent"]["id"]) == int(made["id"]) - 1


def test_a_new_version_links_the_files_of_the_old_one(server, owner):
    first = owner.published({"a.fits": HELLO})
    draft = owner("POST", f"/records/{first}/versions").json
    assert owner("POST", f"/records/{first}/versions").json["id"] == draft["id"]
    assert draft["pids"] == {}
    assert "version" not in draft["metadata"]

    files = f"/records/{draft['id']}/draft/actions/files-import"
    assert owner("POST", files).status == 201
    assert owner("POST", files).errors == {"files.enabled": ["Please remove all files first."]}
    assert server.world.files(draft["id"]) == server.world.files(first)


def test_the_concept_leads_to_the_latest_version(owner, guest):
    first = owner.published({"a": HELLO})
    draft = owner("POST", f"/records/{first}/versions").json["id"]
    concept = str(int(first) - 1)
    for latest in (first, draft):
        asked = guest("GET", f"/records/{concept}")
        assert (asked.status, asked.headers["Location"]) == (302, f"/api/records/{latest}")
        asked = guest("GET", f"/records/{first}/versions/latest")
        assert (asked.status, asked.json["location"][-2:]) == (301, f"/{latest}")
        if latest is first:
            owner("POST", f"/records/{draft}/draft/actions/files-import")
            owner("POST", f"/records/{draft}/draft/actions/publish")
    assert found(guest, f"/records/{first}/versions") == [draft, first]


def test_publication_asks_for_everything_in_turn(owner):
    ident = owner("POST", "/records", {"metadata": {**METADATA, "publisher": ""}}).json["id"]
    publish = f"/records/{ident}/draft/actions/publish"
    assert list(owner("POST", publish).errors) == ["files.enabled"]
    files = f"/records/{ident}/draft/files"
    owner("POST", files, [{"key": "a"}])
    assert list(owner("POST", publish).errors) == ["files"]
    owner("PUT", f"{files}/a/content", HELLO)
    assert list(owner("POST", publish).errors) == ["files"]
    owner("POST", f"{files}/a/commit")
    assert list(owner("POST", publish).errors) == ["metadata.publisher"]
    owner("PUT", f"/records/{ident}/draft", {"metadata": {**METADATA, "title": "ab"}})
    assert list(owner("POST", publish).errors) == ["metadata.title"]
    assert owner("PUT", f"/records/{ident}/draft", DOCUMENT).errors == {}
    assert owner("POST", publish).status == 202
    assert owner("POST", publish).status == 404


def test_an_edit_changes_what_is_read_once_it_is_published(owner, guest, server):
    ident = owner.published({"a": HELLO})
    doi = server.world.doi(ident)
    owner("POST", f"/records/{ident}/draft")
    owner("PUT", f"/records/{ident}/draft", {"metadata": {**METADATA, "title": "Another"}})
    assert guest("GET", f"/records/{ident}").json["metadata"]["title"] == METADATA["title"]
    owner("POST", f"/records/{ident}/draft/actions/publish")
    seen = guest("GET", f"/records/{ident}").json
    assert (seen["metadata"]["title"], seen["pids"]["doi"]["identifier"]) == ("Another", doi)
    assert seen["files"]["count"] == 1


def test_a_deleted_record_leaves_a_tombstone(owner, guest, server):
    first = owner.published({"a": HELLO})
    second = owner("POST", f"/records/{first}/versions").json["id"]
    owner.upload(second, "a", b"2")
    owner("POST", f"/records/{second}/draft/actions/publish")
    assert owner("POST", f"/records/{second}/request-deletion", {"reason": "none"}).status == 400
    owner("POST", f"/records/{second}/request-deletion", {"reason": "test-record"})
    gone = guest("GET", f"/records/{second}")
    assert (gone.status, gone.json["tombstone"]["removal_reason"]) == (410, {"id": "test-record"})
    assert guest("GET", f"/records/{second}/files/a/content").status == 410
    assert guest("GET", f"/records/{int(first) - 1}").headers["Location"].endswith(f"/{first}")
    assert found(guest, "/records") == [first]
    assert server.world.published() == [first]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/draft", DOCUMENT),
        ("DELETE", "/draft", None),
        ("POST", "/draft/pids/doi", None),
        ("POST", "/draft/files", [{"key": "b"}]),
        ("PUT", "/draft/files/a/content", b"1"),
        ("POST", "/draft/files/a/commit", None),
        ("DELETE", "/draft/files/a", None),
        ("DELETE", "/draft/files", None),
        ("POST", "/draft/actions/publish", None),
        ("POST", "/draft/actions/files-import", None),
    ],
)
def test_only_the_owner_may_write(server, owner, other, guest, method, path, body):
    ident = owner.draft({"a": HELLO})
    before = server.world.files(ident), server.world.metadata(ident)
    for stranger in (other, guest):
        refused = stranger(method, f"/records/{ident}{path}", body)
        assert refused.json == {"status": 403, "message": "Permission denied."}
    assert (server.world.files(ident), server.world.metadata(ident)) == before


def test_a_deleted_version_is_no_draft_of_the_next_one(server, owner):
    """Oracle: InvenioRDM's rule, the draft of the next version if there is one, or the latest."""
    first = owner.published({"a": HELLO})

    def versions(ident=first, what=""):
        return owner("GET", f"/records/{ident}{what}").json["versions"]

    second = owner("POST", f"/records/{first}/versions").json["id"]
    assert not versions()["is_latest_draft"]
    assert versions(second, "/draft")["is_latest_draft"]
    owner("POST", f"/records/{second}/draft/actions/files-import")
    owner("POST", f"/records/{second}/draft/actions/publish")
    assert (versions()["is_latest"], versions()["is_latest_draft"]) == (False, False)
    owner("POST", f"/records/{second}/request-deletion", {"reason": "test-record"})
    assert (versions()["is_latest"], versions()["is_latest_draft"]) == (True, True)
    third = owner("POST", f"/records/{first}/versions").json["id"]
    assert (versions()["is_latest"], versions()["is_latest_draft"]) == (True, False)
    assert versions(third, "/draft")["is_latest_draft"]


@pytest.mark.parametrize("path", ["/draft", "/versions", "/request-deletion", "/file-modification"])
def test_only_the_owner_may_go_on_with_a_record(owner, other, path):
    ident = owner.published({"a": HELLO})
    owner("POST", f"/records/{ident}/draft")
    body = {"reason": "test-record"} if path == "/request-deletion" else None
    assert other("POST", f"/records/{ident}{path}", body).status == 403


def test_an_edit_by_many_hands_is_noticed(owner):
    ident = owner.draft()
    tag = owner("GET", f"/records/{ident}/draft").headers["ETag"]
    assert owner("PUT", f"/records/{ident}/draft", DOCUMENT, If_Match=tag).status == 200
    assert owner("PUT", f"/records/{ident}/draft", DOCUMENT, If_Match=tag).status == 412


@pytest.mark.parametrize("path", ["/api/deposit/depositions", "/api/files/x/y"])
def test_the_old_api_says_that_it_is_not_here(owner, path):
    refused = owner("GET", path.removeprefix("/api"))
    assert refused.status == 501
    assert "use /api/records" in refused.json["message"]


# Searches


def test_drafts_are_found_by_their_owner(owner, other, guest):
    draft, published = owner.draft(), owner.published({"a": HELLO})
    assert found(owner, "/user/records?q=is_published:false") == [draft]
    assert set(found(owner, "/user/records")) == {draft, published}
    assert found(other, "/user/records") == []
    assert guest("GET", "/user/records").status == 403
    assert found(guest, "/records") == [published]


def test_a_draft_is_found_by_its_family(owner):
    first = owner.published({"a": HELLO})
    owner.published({"a": HELLO})
    draft = owner("POST", f"/records/{first}/versions").json["id"]
    family = int(first) - 1
    query = f"is_published:false%20AND%20parent.id:%22{family}%22"
    assert found(owner, f"/user/records?q={query}") == [draft]
    assert found(owner, f"/records?q=conceptrecid:{family}&allversions=true") == [first]


@pytest.mark.parametrize(
    ("query", "hits"),
    [("wake", 1), ("wake%20cubes", 1), ("wake%20nothing", 0), ("doi:%2210.5072/zenodo.2%22", 1),
     ("metadata.title:nothing", 0), ("no_such_field:1", 0),
     ("metadata.creators.person_or_org.family_name:Doe", 1)],
)  # fmt: skip
def test_queries_are_words_and_fields(owner, query, hits):
    owner.published({"a": HELLO})
    assert total(owner, f"/records?q={query}") == hits


@pytest.mark.parametrize("query", ["a%20OR%20b", "tit*", "(a)", "x%20NOT%20y", "doi:%22x"])
def test_other_queries_are_refused_rather_than_misread(owner, query):
    assert owner("GET", f"/records?q={query}").status == 501


def test_results_come_in_pages(owner, guest):
    idents = [owner.draft() for _ in range(5)]
    first = owner("GET", "/user/records?size=2&sort=newest").json
    assert [hit["id"] for hit in first["hits"]["hits"]] == idents[:2:-1]
    assert first["hits"]["total"] == 5
    path = first["links"]["next"].partition("/api")[2]
    second = owner("GET", path).json
    assert [hit["id"] for hit in second["hits"]["hits"]] == idents[2:0:-1]
    assert set(second["links"]) == {"self", "prev", "next"}
    assert guest("GET", "/records?size=x").errors == {"size": ["Not a valid integer."]}
    assert guest("GET", "/records?sort=none").status == 501


def test_a_page_has_a_largest_size(owner, guest, clock):
    for number in range(30):
        if number % 20 == 0:
            clock.wait(60)
        owner.published({"a": HELLO})
    assert len(found(guest, "/records?size=1000")) == 25
    assert len(found(owner, "/records?size=1000")) == 30


def test_searches_lag_behind(tmp_path, clock):
    with (
        ContractServer(tmp_path, clock=clock, index_delay_s=5.0) as server,
        Caller(server.url, server.token) as owner,
    ):
        ident = owner.draft({"a": HELLO})
        assert total(owner, "/user/records") == 0
        clock.wait(4.9)
        assert total(owner, "/user/records") == 0
        clock.wait(0.1)
        assert total(owner, "/user/records") == 1
        owner("POST", f"/records/{ident}/draft/actions/publish")
        assert (total(owner, "/records"), total(owner, "/user/records")) == (0, 1)
        assert found(owner, "/user/records?q=is_published:false") == [ident]
        clock.wait(5)
        assert found(owner, "/user/records?q=is_published:false") == []
        assert found(owner, "/records") == [ident]


# The look from behind


def test_the_world_shows_what_is_there(server, owner):
    ident = owner.draft({"a": HELLO})
    owner("POST", f"/records/{ident}/draft/files", [{"key": "b"}])
    ((md5, size, path),) = server.world.files(ident).values()
    assert (md5, size) == ("5eb63bbbe01eeed093cb22bb8f5acdc3", 11)
    assert path.read_bytes() == HELLO
    assert server.world.pending(ident) == ["b"]
    assert server.world.doi(ident) is None
    server.world.metadata(ident)["title"] = "changed"
    assert server.world.metadata(ident)["title"] == METADATA["title"]
    with pytest.raises(NotFoundError, match="no such record"):
        server.world.files("77")


def test_an_archive_has_an_address_once_it_runs(tmp_path):
    server = ContractServer(tmp_path)
    with pytest.raises(NotFoundError, match="the server does not run"):
        _ = server.url
    with server, Caller(server.url, server.token) as owner:
        owner.draft()
    server.close()
    with Caller(server.url, server.token) as owner, pytest.raises(ConnectionRefusedError):
        owner("GET", "/records")


# Limits


def test_every_reply_tells_what_is_left(owner, guest, clock):
    for caller, limit in ((owner, "1000"), (guest, "133")):
        for left in (1, 2):
            headers = caller("GET", "/records").headers
            assert headers["X-RateLimit-Limit"] == limit
            assert headers["X-RateLimit-Remaining"] == str(int(limit) - left)
            # The trap: it is said although nobody needs to wait.
            assert headers["Retry-After"] == "60"
            assert headers["X-RateLimit-Reset"] == str(int(clock.now) + 60)


def test_who_asks_too_much_must_wait(tmp_path, clock):
    with (
        ContractServer(tmp_path, clock=clock, rate_limit=3, guest_rate_limit=2) as server,
        Caller(server.url, server.token) as owner,
        Caller(server.url, None) as guest,
    ):
        assert [owner("GET", "/records").status for _ in range(4)] == [200, 200, 200, 429]
        clock.wait(20)
        refused = owner("POST", "/records", DOCUMENT)
        assert refused.json == {"message": "3 per 1 minute", "status": 429}
        assert refused.headers["Retry-After"] == "40"
        assert server.world.drafts() == []
        assert guest("GET", "/records").status == 200
        clock.wait(40)
        assert owner("POST", "/records", DOCUMENT).status == 201
