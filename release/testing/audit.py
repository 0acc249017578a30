"""Did a client behave: nothing written twice, no token leaked, a name of its own, patient, tidy?

Each question is put to the log of a `ContractServer` after the client has done its work, and
answered with a list of sentences, one for each offence; none is good.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ard.errors import ArdError
from release.testing.record import RequestRecord
from release.testing.server import ContractServer

# Writes that may be sent again, since the archive does the same or nothing the second time.
REPEATABLE: Final[dict[tuple[str, str], str]] = {
    ("POST", r"/records/[^/]+/versions"): "gives the same draft again",
    ("POST", r"/records/[^/]+/draft"): "gives the draft that is open",
    ("PUT", r"/records/[^/]+/draft"): "replaces all metadata, whatever they were",
    ("POST", r"/records/[^/]+/draft/files/.+/commit"): "completes what is complete",
    ("DELETE", r".*"): "finds nothing to delete, and says 404",
}
_DEFAULT_AGENTS: Final = re.compile(
    r"\s*(?:$|python-urllib/|python-requests/|python-httpx/|python/|urllib3/|aiohttp/)", re.I
)
_CONTENT: Final = re.compile(r"(/records/[^/]+/draft/files/.+)/content")
_DRAFT: Final = re.compile(r"/records/[^/]+/draft")
_FILES: Final = re.compile(r"(/records/[^/]+/draft)/files(?:/.*)?")

type _Sign = tuple[str, ...]


class AuditError(ArdError):
    """A client did what it must not do."""


def check(server: ContractServer, known_ids: Collection[str] = ()) -> None:
    """Put all questions.

    Parameters
    ----------
    server : ContractServer
        After the client has done its work.
    known_ids : collection of str
        Drafts that may be left.

    Raises
    ------
    AuditError
        With all offences.
    """
    offences = [
        *repeated_writes(server),
        *leaked_tokens(server),
        *missing_user_agent(server),
        *beyond_rate(server),
        *orphan_drafts(server, known_ids),
    ]
    if offences:
        raise AuditError(
            "the client did what it must not do",
            expected="no offences",
            found="; ".join(offences),
            action="read the state after a failure, and repeat only what did not take place",
        )


def repeated_writes(server: ContractServer) -> list[str]:
    """Which writes were sent again although the first had taken effect?

    Writes of `REPEATABLE` are none, nor is the content of a file that is not yet committed: there
    is no way to learn whether it arrived.
    """
    standing: dict[_Sign, tuple[int, RequestRecord]] = {}
    offences = []
    for number, record in enumerate(server.log, 1):
        if record.method not in ("POST", "PUT", "DELETE", "PATCH"):
            continue
        path = _path(record)
        sign = _sign(record, path)
        if sign in standing:
            offences.append(
                f"request {number}, {record.method} {path}, repeats request {standing[sign][0]},"
                " which had taken effect"
            )
        if record.applied:
            standing = {
                one: done for one, done in standing.items() if not _undoes(record, path, one, done)
            }
            for effect in _effects(record, path, sign):
                standing.setdefault(effect, (number, record))
    return offences


def _path(record: RequestRecord) -> str:
    return urlsplit(record.path).path.removeprefix("/api")


def _sign(record: RequestRecord, path: str) -> _Sign:
    """What makes two requests the same; the bytes of files are known by their address."""
    if _CONTENT.fullmatch(path):
        return record.method, path
    return record.method, path, record.digest or ""


def _effects(record: RequestRecord, path: str, sign: _Sign) -> Iterator[_Sign]:
    """Which requests would from now on repeat this one?"""
    content = _CONTENT.fullmatch(path)
    if path.endswith("/commit"):
        # Nothing is to be sent over what is complete.
        yield "PUT", f"{path.removesuffix('/commit')}/content"
    elif content is None and not _repeatable(record.method, path):
        yield sign


def _repeatable(method: str, path: str) -> bool:
    return any(method == verb and re.fullmatch(form, path) for verb, form in REPEATABLE)


def _undoes(record: RequestRecord, path: str, sign: _Sign, done: tuple[int, RequestRecord]) -> bool:
    """Has a request undone an earlier one, so that it may be sent anew?"""
    there = sign[1]
    discards = record.method == "DELETE" and _DRAFT.fullmatch(path) is not None
    if discards and there == "/records":
        return done[1].record_id == record.record_id
    opens = record.method == "POST" and _DRAFT.fullmatch(path) is not None
    lost = _CONTENT.fullmatch(path) is not None and record.errors
    if not (opens or lost or record.method == "DELETE"):
        return False
    gone = path.removesuffix("/content")
    files = _FILES.fullmatch(path)
    # An announcement names several files; what is lost of it must be announced anew.
    again = () if files is None else (f"{files[1]}/files", f"{files[1]}/actions/files-import")
    return there == gone or there.startswith(f"{gone}/") or there in again


def leaked_tokens(server: ContractServer) -> list[str]:
    """Which requests bore a token in their address, where logs keep it?"""
    tokens = (server.token, server.other_token)
    return [
        f"request {number}, {record.method} {_path(record)}, has a token in its address"
        for number, record in enumerate(server.log, 1)
        if any(token in record.path for token in tokens)
        or "access_token" in parse_qs(urlsplit(record.path).query, keep_blank_values=True)
    ]


def missing_user_agent(server: ContractServer) -> list[str]:
    """Which requests did not say who asks? Zenodo slows the default agents of libraries down."""
    return [
        f"request {number}, {record.method} {_path(record)}, comes from"
        f" {record.user_agent or 'nobody'}"
        for number, record in enumerate(server.log, 1)
        if _DEFAULT_AGENTS.match(record.user_agent or "")
    ]


def beyond_rate(server: ContractServer) -> list[str]:
    """Which requests were more than the archive allows, or came before it was ready to listen?

    That is all that were refused with 429, except by a fault; and all that came within the time
    that a 429 or 503 asked to wait.
    """
    offences = []
    # From when until when is the archive deaf, to those with a token and to those without?
    pauses: dict[bool, tuple[float, float]] = {}
    for number, record in enumerate(server.log, 1):
        what = f"request {number}, {record.method} {_path(record)},"
        if record.status == 429 and record.fault is None:
            offences.append(f"{what} was one too many")
        told, until = pauses.get(record.token_given, (0.0, 0.0))
        if told <= record.time < until:
            offences.append(f"{what} came {until - record.time:.1f} s too early")
        if record.retry_after is not None:
            until = record.answered + record.retry_after
            pauses[record.token_given] = (record.answered, until)
    return offences


def orphan_drafts(server: ContractServer, known_ids: Collection[str] = ()) -> list[str]:
    """Which drafts were left that nobody knows of?"""
    return [
        f"draft {ident} was left behind"
        for ident in server.world.drafts()
        if ident not in known_ids
    ]
