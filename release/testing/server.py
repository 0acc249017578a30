"""Where can a client of Zenodo be tried without Zenodo, and with every fault at will?

A server on this machine that keeps the contract of InvenioRDM's records API as recorded from a real
one: its state machine, its refusals, and its odd successes. It is reached on the loopback address
only, and keeps the bytes of files on disk.
"""

import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from ard.errors import NotFoundError
from release.testing import shapes
from release.testing.call import Archive
from release.testing.faults import Fault, Waiting
from release.testing.files import Files, Limits
from release.testing.handler import Handler
from release.testing.index import Index
from release.testing.limits import Governor
from release.testing.model import Version
from release.testing.record import RequestRecord
from release.testing.shapes import View
from release.testing.state import State
from release.testing.wire import Request
from release.testing.world import World

HOST: Final = "127.0.0.1"
GUESTS_PER_MINUTE: Final = 133  # of a real archive, as recorded
_POLL_S: Final = 0.02
_JOIN_S: Final = 2.0
_ABOUT: Final = re.compile(
    r"/api/records/(?P<id>[^/]+)(?:(?:/draft)?/files/(?P<key>.+?)(?:/content|/commit)?)?(?:/.*)?"
)


class HttpServer(ThreadingHTTPServer):
    """The listening socket and its connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, archive: "ContractServer") -> None:
        self.archive = archive
        self._open: dict[threading.Thread, socket.socket] = {}
        self._cut: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((HOST, 0), Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Remember a connection as long as it lasts."""
        with self._lock:
            self._open[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(threading.current_thread(), None)

    def forget(self, connection: socket.socket) -> None:
        """Let a connection end without good-bye."""
        with self._lock:
            self._cut.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """End a connection: in good order, or with a reset."""
        with self._lock:
            cut = request in self._cut
            self._cut.discard(request)
        if cut:
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away, nor of connections that were closed here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        """Close what is still open, and wait for the threads."""
        with self._lock:
            threads, sockets = list(self._open), list(self._open.values())
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
        for thread in threads:
            thread.join(_JOIN_S)


class ContractServer:
    """A local archive that keeps the contract of the records API; a context manager.

    Parameters
    ----------
    folder : path-like
        Where the bytes of files are kept, below this folder.
    doi_prefix : str
        Of the DOIs that it gives; that of DataCite's tests by default.
    quota : int
        Bytes that one record may hold.
    max_files : int
        Files that one record may hold.
    rate_limit : int
        Requests per minute with a token.
    guest_rate_limit : int
        Requests per minute without one.
    honour_range : bool
        Whether a part of a file can be had, as in production; else all of it is sent.
    index_delay_s : float
        How long searches do not see a change, s.
    clock : callable
        Seconds since 1970.

    Attributes
    ----------
    token, other_token : str
        Of the user, and of another one.
    world : World
        What is in the archive.
    fault_for : callable or None
        Asked for a fault at every request, before those that were injected.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        doi_prefix: str = "10.5072",
        quota: int = 50_000_000_000,
        max_files: int = 100,
        rate_limit: int = 1000,
        guest_rate_limit: int = GUESTS_PER_MINUTE,
        honour_range: bool = True,
        index_delay_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token, self.other_token = secrets.token_urlsafe(45), secrets.token_urlsafe(45)
        self.fault_for: Callable[[RequestRecord], Fault | None] | None = None
        self._users = {self.token: "1", self.other_token: "2"}
        self.clock = clock
        self._governor = Governor(clock, rate_limit, guest_rate_limit)
        index = Index(self._document, clock, index_delay_s)
        state = State(doi_prefix=doi_prefix, clock=clock, index=index)
        files = Files(state, Path(folder) / "files", Limits(quota, max_files))
        self.rooms = Archive(state, files, honour_range)
        self.world = World(state)
        self._waiting = Waiting()
        self._records: list[RequestRecord] = []
        self._lock = threading.Lock()
        self._url: str | None = None
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = HttpServer(self)
        self._url = f"http://{HOST}:{self._server.server_address[1]}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(_POLL_S,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, and stop listening."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end; nobody is there once it is closed."""
        if self._url is None:
            raise NotFoundError("the server does not run", action="use it in a with statement")
        return self._url

    @property
    def log(self) -> list[RequestRecord]:
        """The requests so far, in the order in which they came."""
        with self._lock:
            return list(self._records)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._records.clear()

    # Faults

    def inject(self, fault: Fault) -> None:
        """Let a fault wait for a request that it fits."""
        with self._lock:
            self._waiting.add(fault)

    def clear_faults(self) -> None:
        """Let none of the injected faults wait any longer."""
        with self._lock:
            self._waiting.clear()

    def fault_of(self, record: RequestRecord) -> Fault | None:
        """Find what strikes a request."""
        chosen = None if self.fault_for is None else self.fault_for(record)
        if chosen is not None:
            return chosen
        with self._lock:
            return self._waiting.take(record.method, record.path)

    def expire_token(self, request: Request | None = None) -> None:
        """Let a token be valid no more: that of a request, or the user's."""
        self._users.pop(self.token if request is None else request.token or "", None)

    def restore_tokens(self) -> None:
        """Let both tokens be valid again."""
        self._users.update({self.token: "1", self.other_token: "2"})

    def hold_index(self, seconds: float) -> None:
        """Let searches see no change for a while."""
        self.rooms.state.index.hold(seconds)

    def bump(self, request: Request, by: int) -> None:
        """Let somebody else change the draft that a request is about."""
        state = self.rooms.state
        with state.lock:
            version = state.versions.get(_about(request.target)[0] or "")
            if version is not None and version.draft is not None:
                state.changed(version, by=by)

    def corrupt(self, request: Request, at: int) -> None:
        """Flip a byte of what a request has just uploaded."""
        ident, key = _about(request.target)
        with self.rooms.state.lock:
            self.rooms.files.corrupt(ident or "", key or "", at)

    # For the connections

    def begin(self, method: str, target: str, headers: Message) -> RequestRecord:
        """Put a request on record."""
        ident, key = _about(target)
        agent = headers.get("User-Agent")
        record = RequestRecord(method, target, agent, key, ident, self.clock())
        with self._lock:
            self._records.append(record)
        return record

    def user_of(self, request: Request) -> str | None:
        """Whose token came along with a request?"""
        return self._users.get(request.token or "")

    def count(self, user: str | None) -> tuple[bool, dict[str, str]]:
        """Count a request of a user; give whether it is within the limits, and the headers."""
        with self._lock:
            return self._governor.count(user)

    def exhausted(self, retry_after: int) -> dict[str, str]:
        """Give the headers of one who has asked too much."""
        reset = str(int(self.clock()) + retry_after)
        limit = str(self._governor.limit("1"))
        return {
            "X-RateLimit-Limit": limit,
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": reset,
            "Retry-After": str(retry_after),
        }

    def _document(self, version: Version, draft: bool) -> dict[str, Any]:
        return shapes.record(version, View(self.url, draft=draft, storage=False))


def _about(target: str) -> tuple[str | None, str | None]:
    """Which record and which file is an address about?"""
    found = _ABOUT.fullmatch(unquote(urlsplit(target).path))
    return (None, None) if found is None else (found["id"], found["key"])
