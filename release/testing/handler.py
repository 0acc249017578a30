"""How does one connection become requests and replies, with whatever is to go wrong?"""

import socket
import struct
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final

from release.testing.body import BLOCK, RequestBody
from release.testing.record import RequestRecord
from release.testing.routes import answer
from release.testing.spoil import ConnectionCut, spoiled
from release.testing.wire import Delivery, FileSpan, Reply, Request, json_reply

if TYPE_CHECKING:
    from release.testing.server import HttpServer

_PIECES: Final = 10
_BODILESS: Final = (204, 304)
# Close with a reset: nothing lingers.
_LINGER: Final = struct.pack("ii", 1, 0)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    # Header and body go out at once; nobody waits for the next packet.
    disable_nagle_algorithm = True
    server: "HttpServer"

    def log_message(self, *_: Any) -> None:
        """Say nothing: the log of the archive has it all."""

    def do_GET(self) -> None:
        """Answer any method."""
        archive = self.server.archive
        body = RequestBody(self.rfile, self.headers)
        record = archive.begin(self.command, self.path, self.headers)
        request = Request(self.command, self.path, self.headers, archive.url, body)
        record.token_given = request.token is not None
        try:
            self._serve(request, record)
        except ConnectionCut:
            self._reset()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            record.received_bytes = body.received
            self.close_connection = self.close_connection or not body.whole

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET

    def _serve(self, request: Request, record: RequestRecord) -> None:
        archive = self.server.archive
        fault = archive.fault_of(record)
        record.fault = None if fault is None else fault.name

        def serve(asked: Request) -> Reply:
            user = archive.user_of(asked)
            record.authorized = user is not None
            within, headers = archive.count(user)
            if within:
                reply = answer(archive.rooms, asked.by(user))
            else:
                text = f"{headers['X-RateLimit-Limit']} per 1 minute"
                reply = json_reply(429, {"message": text, "status": 429})
            record.applied, record.digest = reply.applied, asked.body.digest()
            record.errors = reply.complains
            record.record_id = record.record_id or reply.made
            return reply.with_headers(headers)

        reply = serve(request) if fault is None else spoiled(archive, request, fault, serve)
        if not reply.at_once:
            request.body.drain()
        # Before the client can know of it, and so ask for the log.
        record.status, record.received_bytes = reply.status, request.body.received
        record.answered, record.retry_after = archive.clock(), reply.retry_after
        self._send(request, record, reply)

    def _send(self, request: Request, record: RequestRecord, reply: Reply) -> None:
        body = reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if isinstance(body, Iterator) or not request.body.whole:
            self.send_header("Connection", "close")  # which ends the keep-alive
        if not isinstance(body, Iterator) and reply.status not in _BODILESS:
            self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        if request.method == "HEAD" or reply.status in _BODILESS:
            return
        delivery = reply.delivery
        cut = delivery.cut_after
        record.broken_off = cut is not None and cut < reply.length
        if isinstance(body, FileSpan) and delivery == Delivery():
            self._send_file(record, body)
        else:
            self._send_blocks(record, reply)
        if cut is not None:
            self.close_connection = True
        if delivery.reset:
            raise ConnectionCut

    def _send_file(self, record: RequestRecord, span: FileSpan) -> None:
        """Let the kernel copy a file into the connection."""
        with span.path.open("rb") as file:
            file.seek(span.start)
            record.sent_bytes = span.length  # before the client can know of it, as above
            try:
                self.connection.sendfile(file, span.start, span.length)
            finally:
                record.sent_bytes = file.tell() - span.start

    def _send_blocks(self, record: RequestRecord, reply: Reply) -> None:
        """Send a body slowly, in part, or with a wrong byte."""
        delivery = reply.delivery
        step = _step(reply) if delivery.seconds else BLOCK
        pause_s = delivery.seconds / -(-reply.length // step) if reply.length else 0.0
        for block in _blocks(reply, step):
            time.sleep(pause_s)
            start = record.sent_bytes
            if delivery.flip_at is not None and start <= delivery.flip_at < start + len(block):
                place = delivery.flip_at - start
                block = block[:place] + bytes([block[place] ^ 0xFF]) + block[place + 1 :]
            if delivery.cut_after is not None:
                block = block[: max(0, delivery.cut_after - start)]
            if not block:
                return
            record.sent_bytes += len(block)
            self.wfile.write(block)

    def _reset(self) -> None:
        """Cut the connection, so that the client sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        # Not shutdown(), which would end the conversation in good order.
        self.server.forget(self.connection)


def _step(reply: Reply) -> int:
    """How many bytes are one piece of a slow body?"""
    return min(BLOCK, max(1, -(-reply.length // _PIECES)))


def _blocks(reply: Reply, step: int) -> Iterator[bytes]:
    body = reply.body
    if isinstance(body, FileSpan):
        with body.path.open("rb") as file:
            file.seek(body.start)
            left = body.length
            while left and (block := file.read(min(step, left))):
                left -= len(block)
                yield block
    elif isinstance(body, bytes):
        for start in range(0, len(body), step):
            yield body[start : start + step]
    else:
        yield from body
