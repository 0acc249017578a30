"""The plainest client of the contract server: it sends what it is told, and trusts nothing."""

import http.client
import json
from dataclasses import dataclass
from email.message import Message
from typing import Any, Self
from urllib.parse import urlsplit

ACCEPT = "application/vnd.inveniordm.v1+json, application/json;q=0.5"
AGENT = "contract-tests/1.0 (https://example.org)"
METADATA: dict[str, Any] = {
    "title": "A wake and its cubes",
    "publication_date": "2026-01-01",
    "publisher": "Zenodo",
    "resource_type": {"id": "dataset"},
    "creators": [{"person_or_org": {"type": "personal", "family_name": "Doe"}}],
}
DOCUMENT: dict[str, Any] = {"files": {"enabled": True}, "metadata": METADATA}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> dict[str, list[str]]:
        """What is complained of, by field."""
        return {row["field"]: row["messages"] for row in self.json.get("errors", [])}


class Caller:
    """One connection with a token, or without."""

    def __init__(self, url: str, token: str | None) -> None:
        address = urlsplit(url)
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self.connection = kind(address.netloc, timeout=20)
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """Send a request under /api; a list or dict goes as JSON, a None header not at all."""
        sent: dict[str, str | None] = {"Accept": ACCEPT, "User-Agent": AGENT}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if isinstance(body, dict | list):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            sent["Content-Type"] = "application/octet-stream"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        named = {name: value for name, value in sent.items() if value is not None}
        self.connection.request(method, f"/api{path}", body, named)
        reply = self.connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())

    def draft(self, files: dict[str, bytes] | None = None) -> str:
        """Make a draft with committed files, and give its id."""
        ident = self("POST", "/records", DOCUMENT).json["id"]
        for key, data in (files or {}).items():
            self.upload(ident, key, data)
        return str(ident)

    def upload(self, ident: str, key: str, data: bytes) -> None:
        """Announce, send and commit a file."""
        files = f"/records/{ident}/draft/files"
        assert self("POST", files, [{"key": key}]).status == 201
        assert "errors" not in self("PUT", f"{files}/{key}/content", data).json
        assert self("POST", f"{files}/{key}/commit").status == 200

    def published(self, files: dict[str, bytes]) -> str:
        """Publish a record, and give its id."""
        ident = self.draft(files)
        assert self("POST", f"/records/{ident}/draft/actions/publish").status == 202
        return ident

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
