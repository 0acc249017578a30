"""How is one request read, answered, and put on record?"""

import json
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from pipeline.acquire.testing import missions, portal
from pipeline.acquire.testing.wire import RESET, STALL, Reply, json_reply, text_reply

if TYPE_CHECKING:
    from pipeline.acquire.testing.server import HttpServer, Record

INVOKE: Final = "/api/v0/invoke"
COLUMNS: Final = "/portal/Mashup/Mashup.asmx/columnsconfig"
DOWNLOAD: Final = "/api/v0.1/Download/file"
BUNDLE: Final = "/api/v0.1/Download/bundle.sh"
WHOAMI: Final = "/whoami"
MISSION_COLUMNS: Final = "/search/util/api/v0.1/column_list"

_PIECE: Final = 1 << 16
_TICKS_PER_S: Final = 20  # how often a slow connection gets its share
_RESET_AFTER_S: Final = 0.05  # lets the bytes before a reset arrive


class Handler(BaseHTTPRequestHandler):
    """One connection of one client."""

    protocol_version = "HTTP/1.1"
    server_version = "rbh1-archive"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "HttpServer"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(b"")

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        archive = self.server.archive
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        name, plan = self._route(address.path, query, body)
        record = archive.begin_record(
            method=self.command,
            path=self.path,
            name=name,
            range=self.headers.get("Range"),
            if_range=self.headers.get("If-Range"),
            authorization_present="Authorization" in self.headers or self._cookie() is not None,
        )
        if not archive.closing.wait(archive.latency_s):
            reply = plan()
            record.status = reply.status
            self._send(reply, record)

    def _route(
        self, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[str, Callable[[], Reply]]:
        """Say what a request is about, and how the reply to it is made."""
        archive, post = self.server.archive, self.command == "POST"
        if path == DOWNLOAD and not post:
            uri = query.get("uri", [""])[0]
            return uri.rpartition("/")[2], lambda: self._file(uri)
        if path == WHOAMI and not post:
            return "whoami", lambda: archive.ask("whoami", self._whoami())
        if path == INVOKE and post:
            return self._invoke(body)
        if path == COLUMNS and post:
            service = parse_qs(body.decode()).get("colConfigId", [""])[0]
            config = portal.columns_config(service)
            return "columnsconfig", lambda: archive.ask("columnsconfig", config)
        if path == BUNDLE and post:
            return "bundle.sh", lambda: self._bundle(body)
        return self._missions(path, query, body)

    def _missions(
        self, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[str, Callable[[], Reply]]:
        archive, post = self.server.archive, self.command == "POST"
        if path == MISSION_COLUMNS and not post:
            columns = missions.column_list(query.get("mission", [""])[0])
            return "column_list", lambda: archive.ask("column_list", columns)
        match path.split("/"):
            case ["", "search", mission, "api", "v0.1", "retrieve_product"] if not post:
                product = query.get("product_name", [""])[0].rpartition("/")[2]
                return product, lambda: self._file(f"mast:{mission.upper()}/product/{product}")
            case [
                "",
                "search",
                mission,
                "api",
                "v0.1",
                "search" | "post_list_products" as verb,
            ] if post:
                made = missions.search if verb == "search" else missions.list_products
                document = made(archive.catalogue, mission, json.loads(body or b"{}"))
                return verb, lambda: archive.ask(verb, document)
        return "", lambda: json_reply({"error": f"no such address: {path}"}, 404)

    def _invoke(self, body: bytes) -> tuple[str, Callable[[], Reply]]:
        archive = self.server.archive
        try:
            request = json.loads(parse_qs(body.decode())["request"][0])
            service = str(request["service"])
        except (KeyError, TypeError, ValueError):
            return "invoke", lambda: text_reply(400, "no request\n")
        document = portal.answer(archive.catalogue, request)
        return service, lambda: archive.ask(service, document)

    def _file(self, uri: str) -> Reply:
        return self.server.archive.serve(
            uri,
            head=self.command == "HEAD",
            authorized=self._authorized(),
            asked=self.headers.get("Range"),
            if_range=self.headers.get("If-Range"),
        )

    def _bundle(self, body: bytes) -> Reply:
        archive = self.server.archive
        lines = ["#!/bin/bash"]
        for uri in parse_qs(body.decode()).get("uri", []):
            name = uri.rpartition("/")[2]
            lines.append(f"curl -L --create-dirs -o '{name}' '{archive.url}{DOWNLOAD}?uri={uri}'")
        return text_reply(200, "\n".join(lines) + "\n", "application/x-sh")

    def _whoami(self) -> dict[str, Any]:
        if not self._authorized():
            return {"anon": True, "attrib": {}}
        return {"anon": False, "attrib": {"display_name": "An Analyst"}}

    def _cookie(self) -> str | None:
        pairs = (pair.strip().partition("=") for pair in self.headers.get("Cookie", "").split(";"))
        return next((value for key, _, value in pairs if key == "mast_token"), None)

    def _authorized(self) -> bool:
        token = self.server.archive.token
        given = self.headers.get("Authorization", "").removeprefix("token ")
        return token is not None and token in (given, self._cookie())

    def _send(self, reply: Reply, record: "Record") -> None:
        """Carry a plan out."""
        archive = self.server.archive
        if reply.delay_s and archive.closing.wait(reply.delay_s):
            self.close_connection = True
            return
        self.send_response(reply.status)
        for key, text in reply.headers.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = reply.stop if reply.cut is None else reply.start + reply.cut
        self._body(reply, reply.start, stop, record)
        if reply.cut is None:
            return
        self.wfile.flush()
        if reply.then == STALL and not archive.closing.wait(reply.stall_s):
            self._body(reply, stop, reply.stop, record)
            return
        self.close_connection = True
        if reply.then == RESET:
            self._reset()

    def _body(self, reply: Reply, start: int, stop: int, record: "Record") -> None:
        archive = self.server.archive
        rate = reply.rate or archive.rate
        step = _PIECE if rate is None else max(1, min(_PIECE, int(rate / _TICKS_PER_S)))
        began, done = time.monotonic(), 0
        for piece in reply.content.pieces(start, stop, step):
            done += len(piece)
            # Against the clock from the start, so that pauses that last too long do not add up.
            pause = 0.0 if rate is None else began + done / rate - time.monotonic()
            if archive.closing.wait(max(0.0, pause)):
                self.close_connection = True
                return
            # Before writing: whoever has the last byte finds it on record.
            record.sent += len(piece)
            try:
                self.wfile.write(piece)
                if rate is not None:
                    self.wfile.flush()
            except OSError:
                record.sent -= len(piece)
                raise

    def _reset(self) -> None:
        """Close the connection with RST instead of FIN."""
        self.server.archive.closing.wait(_RESET_AFTER_S)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        raise ConnectionResetError("reset as the fault wants it")
