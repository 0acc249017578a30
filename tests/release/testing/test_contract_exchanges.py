"""Does the server answer as the real archive did?

Oracle: 284 exchanges recorded from InvenioRDM 14.0.5 with Zenodo's own permissions and shapes,
replayed in their order. Compared are the status, the media type, headers (among them the ETag,
which counts revisions), the members of the document, and all that was said in words;
`exchanges.jsonl` holds what is compared, condense.py says how it was made.
"""

import copy
import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from caller import Answer, Caller
from loading import load

from release.testing import ContractServer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
condense = load(HERE / "condense.py")
TABLE = condense.read(HERE / "exchanges.jsonl")
SHAPES = [row["members"] for row in TABLE if "members" in row]
DOCUMENTS = [row["document"] for row in TABLE if "document" in row]
ROWS = [row for row in TABLE if "label" in row]

_EXPORT = "an export of published metadata, which no deposit needs"
_LEGACY = "the legacy API, which the contract leaves out"
# Answered with 501 and a sentence, so that nobody takes them for the archive's word.
LEFT_OUT = {
    "record/export application/vnd.datacite.datacite+json": _EXPORT,
    "record/export application/vnd.datacite.datacite+xml": _EXPORT,
    "record/export application/x-bibtex": _EXPORT,
    "record/export application/ld+json": _EXPORT,
    "record/export application/linkset+json": _EXPORT,
    "record/export text/x-bibliography": _EXPORT,
    "lim/legacy": _LEGACY,
    "quota/legacy-bucket-put": _LEGACY,
}
# With the quota of the recording.
QUOTA = 1000
# Where an id can stand: in addresses, DOIs, queries, messages and names of archives.
_ID = re.compile(
    r"(?<=/records/)\d+|(?<=zenodo\.)\d+|(?<=parent\.id:[\"])\d+|(?<=Record ')\d+"
    r"|(?<=filename=)\d+(?=\.zip)"
)


class Replay:
    """Sends the recorded requests, with our ids in the place of theirs."""

    def __init__(self, server: ContractServer) -> None:
        self.server = server
        tokens = {"owner": server.token, "other": server.other_token, "nobody": "x" * 60}
        self.callers = {who: Caller(server.url, token) for who, token in tokens.items()}
        self.callers["guest"] = Caller(server.url, None)
        self.ids: dict[str, str] = {}
        self.answers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self.callers.values():
            caller.close()

    def ours(self, text: str) -> str:
        """Put our ids into what was recorded."""
        text = _ID.sub(lambda found: self.ids.get(found.group(), found.group()), text)
        return text.replace("{token}", self.server.token).replace("{base}", self.server.url)

    def send(self, row: dict[str, Any]) -> Answer | None:
        if "send" in row:
            return getattr(self, f"_{row['send']}")(row)
        headers = {name.replace("-", "_"): value for name, value in row.get("headers", {}).items()}
        answer = self.callers[row["as"]](
            row["method"],
            self.ours(row["path"]).removeprefix("/api"),
            self._body(row),
            **headers,
        )
        self.answers[row["label"]] = answer
        if "made" in row and answer.status == row["status"]:
            document = answer.json
            concept = document.get("conceptrecid") or document["parent"]["id"]
            self.ids |= dict(zip(row["made"], (str(document["id"]), concept), strict=True))
        return answer

    def _body(self, row: dict[str, Any]) -> Any:
        if "bytes" in row:
            return row["bytes"].encode()
        if "json" in row:
            return json.loads(self.ours(json.dumps(DOCUMENTS[row["json"]])))
        if "echo" in row:
            document = copy.deepcopy(self.answers[row["echo"]].json)
            document["metadata"] |= row["changes"]
            return document
        return None

    def _draft(self, row: dict[str, Any]) -> None:
        """A draft that was there before."""
        owner = self.callers["owner"]
        assert owner("POST", f"/records/{owner.draft()}/draft/pids/doi").status == 201

    def _record(self, row: dict[str, Any]) -> None:
        """A record with a person among its contributors."""
        owner = self.callers["owner"]
        full = next(DOCUMENTS[row["json"]] for row in ROWS if row["label"] == "create/ok")
        full = copy.deepcopy(full)
        full["metadata"]["contributors"][0]["person_or_org"] = {
            "type": "personal",
            "family_name": "Roe",
        }
        ident = owner("POST", "/records", full).json["id"]
        owner.upload(ident, "a.fits", b"hello")
        assert owner("POST", f"/records/{ident}/draft/actions/publish").status == 202

    def _truncated(self, row: dict[str, Any]) -> Answer:
        """A body that is said to have 100 bytes, and ends after 10."""
        address = urlsplit(self.server.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as line:
            head = f"PUT {self.ours(row['path'])} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            head += f"Authorization: Bearer {self.server.token}\r\nContent-Length: 100\r\n"
            head += f"Accept: {condense.ACCEPT}\r\nContent-Type: application/octet-stream\r\n\r\n"
            line.sendall(head.encode() + b"0123456789")
            line.shutdown(socket.SHUT_WR)
            reply = http.client.HTTPResponse(line)
            reply.begin()
            return Answer(reply.status, reply.headers, reply.read())

    def _chunks(self, row: dict[str, Any]) -> Answer:
        data = row["bytes"].encode()
        path = self.ours(row["path"]).removeprefix("/api")
        return self.callers["owner"]("PUT", path, iter([data[:2], data[2:]]))


def differences(row: dict[str, Any], answer: Answer, replay: Replay) -> Iterator[str]:
    """How does our answer differ from the recorded one?"""
    if row["label"] in LEFT_OUT:
        if answer.status != 501 or "no part of the contract" not in answer.json["message"]:
            yield f"left out, and yet answered {answer.status}"
        return
    if answer.status != row["status"]:
        yield f"status {answer.status}, not {row['status']}: {answer.body[:300]!r}"
        return
    if "type" in row and answer.headers["Content-Type"] != row["type"]:
        yield f"media type {answer.headers['Content-Type']}, not {row['type']}"
    for name, value in row.get("named", {}).items():
        if answer.headers[name] != replay.ours(value):
            yield f"{name} {answer.headers[name]}, not {value}"
    if "text" in row and answer.body.decode() != row["text"]:
        yield f"text {answer.body!r}"
    if "shape" in row:
        ours = set(condense.members(condense.shape(answer.json)))
        theirs = set(condense.members(SHAPES[row["shape"]]))
        yield from (f"not recorded: {name}" for name in sorted(ours - theirs))
        yield from (f"missing: {name}" for name in sorted(theirs - ours))
    for name in ("message", "errors", "checksum"):
        if name in row and answer.json.get(name) != _ours(replay, row[name]):
            yield f"{name} {answer.json.get(name)}, not {row[name]}"


def _ours(replay: Replay, said: Any) -> Any:
    return json.loads(replay.ours(json.dumps(said)))


def test_the_recorded_exchanges_are_repeated(tmp_path):
    options: dict[str, Any] = {"doi_prefix": "10.5281", "quota": QUOTA, "honour_range": False}
    found = []
    with ContractServer(tmp_path, **options) as server, Replay(server) as replay:
        for row in ROWS:
            answer = replay.send(row)
            if answer is not None:
                found += [f"{row['label']}: {text}" for text in differences(row, answer, replay)]
    assert not found, "\n".join(found)


def test_the_table_is_large_and_leaves_little_out():
    recorded = [row for row in ROWS if "send" not in row]
    assert len(recorded) == 284
    assert set(LEFT_OUT) <= {row["label"] for row in recorded}
    assert len(LEFT_OUT) <= 8


@pytest.fixture
def replayed(tmp_path):
    """A function that replays the exchanges up to a label, and gives the differences of the last.

    With what the row of the label is to be changed into.
    """

    def replay_to(label: str, **changes: Any) -> list[str]:
        with ContractServer(tmp_path, doi_prefix="10.5281") as server, Replay(server) as replay:
            for row in ROWS:
                answer = replay.send(row)
                if row["label"] == label:
                    assert answer is not None
                    return list(differences(row | changes, answer, replay))
        raise AssertionError(label)

    return replay_to


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"status": 200}, "status 201, not 200"),
        ({"type": "text/html"}, "media type"),
        ({"named": {"etag": '"4"'}}, 'etag "5", not "4"'),
        ({"shape": 0}, "not recorded: metadata.title"),
        ({"errors": [{"field": "a", "messages": ["b"]}]}, "errors None"),
        ({"message": "no"}, "message None, not no"),
    ],
)
def test_every_kind_of_difference_is_found(replayed, changes, found):
    assert any(found in text for text in replayed("create/ok", **changes))


def test_a_member_that_is_missing_is_found(replayed):
    (row,) = [row for row in ROWS if row["label"] == "create/ok"]
    missing = replayed("create/broken-json", status=400, shape=row["shape"])
    assert "missing: metadata.title" in missing


def test_the_table_says_what_was_recorded():
    data = os.environ.get("RBH1_SHARED_DATA") or ROOT.parent / "shared" / "data"
    recording = Path(data).parent / "reference" / "zenodo_exchanges.jsonl"
    if not recording.is_file():
        pytest.skip("no recording here; set RBH1_SHARED_DATA to the folder beside reference/")
    made = condense.dump(condense.condense(condense.read(recording)))
    assert made == (HERE / "exchanges.jsonl").read_text(encoding="utf-8")
