"""Are offences of a client found, and nothing else?

Oracle: clients written to commit one offence, or none.
"""

import pytest
from caller import DOCUMENT, METADATA, Caller

from release.testing import Fault
from release.testing.audit import (
    AuditError,
    beyond_rate,
    check,
    leaked_tokens,
    missing_user_agent,
    orphan_drafts,
    repeated_writes,
)


def test_a_good_client_is_not_blamed(server, owner, guest):
    ident = owner.draft({"a": b"1", "b": b"2"})
    owner("PUT", f"/records/{ident}/draft", DOCUMENT)
    owner("PUT", f"/records/{ident}/draft", DOCUMENT)
    owner("POST", f"/records/{ident}/draft/files/a/commit")
    owner("POST", f"/records/{ident}/draft/actions/publish")
    assert owner("GET", f"/records/{ident}").status == 200
    draft = owner("POST", f"/records/{ident}/versions").json["id"]
    owner("POST", f"/records/{ident}/versions")
    owner("POST", f"/records/{draft}/draft/actions/files-import")
    owner("DELETE", f"/records/{draft}/draft/files/a")
    owner("DELETE", f"/records/{draft}/draft/files/a")
    owner.upload(draft, "a", b"3")
    owner("POST", f"/records/{draft}/draft/actions/publish")
    guest("GET", f"/records/{draft}")
    check(server)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/records", {"metadata": METADATA}),
        ("POST", "/records/2/draft/pids/doi", None),
        ("POST", "/records/2/draft/files", [{"key": "b"}]),
        ("PUT", "/records/2/draft/files/a/content", b"1"),
        ("POST", "/records/2/draft/actions/publish", None),
    ],
)
@pytest.mark.parametrize("status", [None, 502, 504])
def test_a_write_that_took_effect_must_not_be_repeated(server, owner, method, path, body, status):
    owner.draft({"a": b"1"})
    if body == b"1":
        body = b"2"  # over what is complete: once is once too often
    elif status is not None:
        server.inject(Fault(status, method, f"{path}$", when="after"))
        assert owner(method, path, body).status == status
    else:
        owner(method, path, body)
    owner(method, path, body)
    (offence,) = repeated_writes(server)
    assert f"{method} {path}, repeats" in offence
    with pytest.raises(AuditError, match="repeats request"):
        check(server, server.world.drafts())


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_write_without_effect_may_be_repeated(server, owner, status):
    server.inject(Fault(status, "POST", "/records$"))
    assert owner("POST", "/records", DOCUMENT).status == status
    assert owner("POST", "/records", DOCUMENT).status == 201
    assert repeated_writes(server) == []


def test_what_is_undone_may_be_done_again(server, owner):
    ident = owner.draft({"a": b"1"})
    owner("DELETE", f"/records/{ident}/draft/files")
    owner.upload(ident, "a", b"1")
    owner("POST", f"/records/{ident}/draft/pids/doi")
    owner("DELETE", f"/records/{ident}/draft/pids/doi")
    owner("POST", f"/records/{ident}/draft/pids/doi")
    owner("DELETE", f"/records/{ident}/draft")
    again = owner.draft({"a": b"1"})
    owner("POST", f"/records/{again}/draft/actions/publish")
    owner("POST", f"/records/{again}/draft")
    owner("POST", f"/records/{again}/draft/actions/publish")
    assert repeated_writes(server) == []


def test_an_upload_that_was_lost_is_announced_and_sent_again(server, owner):
    ident = owner.draft()
    files = f"/records/{ident}/draft/files"
    owner("POST", files, [{"key": "a"}])
    server.inject(Fault("errors", "PUT", "/content$"))
    assert "errors" in owner("PUT", f"{files}/a/content", b"1").json
    owner.upload(ident, "a", b"1")
    assert repeated_writes(server) == []


def test_content_may_be_sent_again_until_it_is_committed(server, owner):
    ident = owner.draft()
    files = f"/records/{ident}/draft/files"
    owner("POST", files, [{"key": "a"}])
    owner("PUT", f"{files}/a/content", b"1")
    owner("PUT", f"{files}/a/content", b"1")
    assert repeated_writes(server) == []


def test_tokens_in_addresses_are_found(server, owner, guest):
    owner("GET", "/user/records")
    assert leaked_tokens(server) == []
    assert guest("GET", f"/user/records?access_token={server.token}").status == 200
    guest("GET", "/records?access_token=of-somebody-else")
    guest("GET", f"/records?q={server.other_token}")
    assert len(leaked_tokens(server)) == 3
    assert server.token not in " ".join(leaked_tokens(server))


@pytest.mark.parametrize(
    "agent", [None, "", "python-requests/2.32", "Python-urllib/3.12", "python-httpx/0.28"]
)
def test_agents_without_a_name_are_found(server, owner, agent):
    owner("GET", "/records")
    assert missing_user_agent(server) == []
    owner("GET", "/records", User_Agent=agent)
    assert len(missing_user_agent(server)) == 1


def test_impatience_is_found(server, owner, clock):
    server.inject(Fault(429, retry_after=5))
    owner("GET", "/records")
    clock.wait(4.5)
    owner("GET", "/records")
    assert beyond_rate(server) == ["request 2, GET /records, came 0.5 s too early"]
    server.clear_log()
    server.inject(Fault(503, retry_after=5))
    owner("GET", "/records")
    clock.wait(5)
    owner("GET", "/records")
    assert beyond_rate(server) == []


def test_the_pause_is_for_those_who_were_told(server, owner, guest):
    server.inject(Fault(429, retry_after=5))
    owner("GET", "/records")
    guest("GET", "/records")
    assert beyond_rate(server) == []


def test_requests_beyond_the_rate_are_found(server, guest):
    for _ in range(134):
        last = guest("GET", "/records")
    assert last.status == 429
    assert beyond_rate(server) == ["request 134, GET /records, was one too many"]


def test_drafts_that_are_left_are_found(server, owner):
    known, forgotten = owner.draft(), owner("POST", "/records", {"metadata": METADATA}).json["id"]
    assert orphan_drafts(server, [known]) == [f"draft {forgotten} was left behind"]
    assert orphan_drafts(server, [known, forgotten]) == []
    with pytest.raises(AuditError, match="was left behind"):
        check(server, [known])


def test_another_user_has_a_token_too(server):
    with Caller(server.url, server.other_token) as other:
        assert other("GET", "/user/records").status == 200
    assert server.log[-1].authorized
