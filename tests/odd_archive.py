"""An archive on this machine that answers whatever a test tells it to, however odd.

The contract server is honest; this one is not. An answer is a function that gets the handler of
the request, and writes what it likes.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from handmade import write_lists
from publishing import list_parts, write_same_bundle

ID, DOI, CONCEPT = "2", "10.5072/zenodo.2", "10.5072/zenodo.1"
RECORD = f"/api/records/{ID}"

Answer = Callable[[BaseHTTPRequestHandler], None]


def content(name: str) -> str:
    return f"{RECORD}/files/{name}/content"


def reply(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    """An answer of that status, headers (underscores for hyphens) and body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Length": str(len(body))} | named).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body that never ends, of no announced length."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        archive: OddArchive = self.server.archive  # type: ignore[attr-defined]
        archive.log.append((self.path, dict(self.headers)))
        waiting = archive.queues.get(self.path)
        answer = waiting.pop(0) if waiting else archive.answers.get(self.path, reply(status=404))
        try:
            answer(self)
        except ConnectionError:
            self.close_connection = True


class OddArchive:
    """The server; `answers` by path, and `queues` of answers that come before those."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.queues: dict[str, list[Answer]] = {}
        self.log: list[tuple[str, dict[str, str]]] = []

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.archive = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of the requests for a path."""
        return [headers for asked, headers in self.log if asked == path]

    def offer(self, folder: Path, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
        """Offer a bundle as record 2, whose description a test may edit."""
        write_same_bundle(folder)
        write_lists(folder, doi=DOI, concept_doi=CONCEPT)
        list_parts(folder)
        self.offer_folder(folder, edit)
        return folder

    def offer_folder(
        self, folder: Path, edit: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        for name, data in files.items():
            self.answers[content(name)] = reply(data)
        document = describe(files)
        if edit is not None:
            edit(document)
        body = json.dumps(document).encode()
        self.answers[RECORD] = reply(body, Content_Type="application/json")


def describe(files: dict[str, bytes]) -> dict[str, Any]:
    """The archive's description of a record."""
    entries = {
        name: {"key": name, "size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}"}
        for name, data in files.items()
    }
    return {
        "id": ID,
        "pids": {"doi": {"identifier": DOI}},
        "parent": {"id": "1", "pids": {"doi": {"identifier": CONCEPT}}},
        "versions": {"index": 1},
        "access": {"record": "public", "files": "public", "embargo": {"active": False}},
        "files": {"enabled": True, "entries": entries},
    }
