"""What of the recorded exchanges must a server repeat?

Turns the recording of a real InvenioRDM into the table that is replayed here: requests as they
were, and of the replies the status, the media type, headers, the members of the document, and what
was said in words. Left out are values that differ from run to run: times, random ids, addresses.

    python tests/release/testing/condense.py RECORDING > tests/release/testing/exchanges.jsonl
"""

import json
import sys
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

ACCEPT = "application/vnd.inveniordm.v1+json, application/json;q=0.5"
GROUPS = ("records", "limits")
# Bodies were recorded by their length; these are those whose checksum came back.
CONTENTS = (b"hello world", b"hello WORLD", b"# x\n", b"short", b"x" * 700, b"x" * 20, b"y" * 20)
BY_MD5 = {md5(data).hexdigest(): data.decode() for data in CONTENTS}
# What else was sent that is no JSON and no file.
BROKEN = {"create/broken-json": "{oops", "create/wrong-content-type": "<a/>"}
# These sent what they had just been given, with a change.
ECHOES: dict[str, tuple[str, dict[str, str]]] = {
    "draft/put-roundtrip": ("draft/get2", {}),
    "edit/put": ("edit/get", {"title": "edited"}),
    "edit/put2": ("edit/get", {"title": "edited"}),
}
HEADERS = ("etag", "link", "location", "content-disposition", "content-md5")
ERRORS = "File upload transfer failed."
# Steps of the recording that its table does not hold, from its notes: a draft of an earlier run, a
# record that the legacy API published, a body that broke off, a body in chunks.
INSERTED: dict[str, list[dict[str, Any]]] = {
    "create/no-token": [{"label": "before/reserve", "send": "draft"}],
    "lim/create": [{"label": "between/publish", "send": "record"}],
    "trunc/get-after": [
        {
            "label": "trunc/put",
            "send": "truncated",
            "path": "/api/records/138/draft/files/t.bin/content",
            "status": 200,
            "errors": ERRORS,
        }
    ],
    "chunk/commit": [
        {
            "label": "chunk/put",
            "send": "chunks",
            "path": "/api/records/138/draft/files/c.bin/content",
            "bytes": "hello",
            "status": 200,
        }
    ],
}


def shape(value: Any) -> dict[str, Any]:
    """The members of a document as a tree; items of a list are one, and so are files."""
    tree: dict[str, Any] = {}
    if isinstance(value, list):
        for item in value:
            _merge(tree, {"[]": shape(item)})
    elif isinstance(value, dict):
        for name, item in value.items():
            files = name == "entries" and isinstance(item, dict)
            tree[name] = shape(list(item.values()) if files else item)
    return tree


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    for name, branch in other.items():
        _merge(tree.setdefault(name, {}), branch)


def members(tree: dict[str, Any], at: str = "") -> Iterator[str]:
    """The paths in such a tree, for people to read."""
    for name, branch in tree.items():
        path = f"{at}.{name}".lstrip(".")
        yield path
        yield from members(branch, path)


def condense(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table: shapes and documents, each once, then one row for each exchange."""
    ours = [row for row in recorded if row["api"] in GROUPS]
    shapes: list[dict[str, Any]] = []
    documents: list[Any] = []
    rows = []
    for number, row in enumerate(ours):
        rows += INSERTED.get(row["label"], [])
        short = _request(row, _content(ours, number)) | _reply(row)
        for name, table in (("shape", shapes), ("json", documents)):
            if name in short:
                if short[name] not in table:
                    table.append(short[name])
                short[name] = table.index(short[name])
        rows.append(short)
    head: list[dict[str, Any]] = [{"members": one} for one in shapes]
    return head + [{"document": one} for one in documents] + rows


def _request(row: dict[str, Any], content: str | None) -> dict[str, Any]:
    label = row["label"]
    short = {"label": label, "method": row["method"], "path": row["path"], "as": _who(row)}
    headers = dict(row["request_headers"])
    if headers.get("Accept") == ACCEPT:
        del headers["Accept"]
    usual = "application/octet-stream" if content is not None else "application/json"
    if headers.get("Content-Type") == usual:
        del headers["Content-Type"]
    if headers:
        short["headers"] = headers
    if label in ECHOES:
        short["echo"], short["changes"] = ECHOES[label]
    elif content is not None:
        short["bytes"] = content
    elif row["request_json"] is not None:
        short["json"] = row["request_json"]
    return short


def _who(row: dict[str, Any]) -> str:
    if not row["auth"]:
        return "guest"
    if "other" in row["label"]:
        return "other"
    return "nobody" if "bad-token" in row["label"] else "owner"


def _content(rows: list[dict[str, Any]], number: int) -> str | None:
    """The bytes that were sent, or others of the same length where nothing tells."""
    row = rows[number]
    if "request_bytes" not in row:
        return None
    if row["label"] in BROKEN:
        return BROKEN[row["label"]]
    commit = row["path"].removesuffix("/content") + "/commit"
    later = (one for one in rows[number:] if one["path"] == commit and one["status"] == 200)
    checksum = (next(later, {}).get("response_json") or {}).get("checksum", "")
    return BY_MD5.get(checksum.removeprefix("md5:"), "?" * row["request_bytes"])


def _reply(row: dict[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in row["response_headers"].items()}
    document = row["response_json"]
    short: dict[str, Any] = {"status": row["status"]}
    if "content-type" in headers:
        short["type"] = headers["content-type"]
    named = {name: headers[name] for name in HEADERS if name in headers}
    if named:
        short["named"] = named
    if headers.get("content-type") == "application/octet-stream" and row.get("response_text"):
        short["text"] = row["response_text"]
    if not isinstance(document, dict):
        return short
    short["shape"] = shape(document)
    for name in ("message", "errors"):
        if name in document:
            short[name] = document[name]
    if document.get("checksum", "none")[4:] in BY_MD5:
        short["checksum"] = document["checksum"]
    if row["status"] == 201 and ("parent" in document or "conceptrecid" in document):
        concept = document.get("conceptrecid") or document["parent"]["id"]
        short["made"] = [str(document["id"]), concept]
    return short


def dump(table: list[dict[str, Any]]) -> str:
    """The table as JSON lines."""
    lines = (
        json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")) for row in table
    )
    return "".join(f"{line}\n" for line in lines)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


if __name__ == "__main__":
    sys.stdout.write(dump(condense(read(Path(sys.argv[1])))))
