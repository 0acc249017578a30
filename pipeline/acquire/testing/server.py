"""Where can an archive client be tried without the archive, and with every fault at will?

A server on this machine that speaks the protocol of MAST as far as astroquery 0.4.11 uses it. It
is reached on the loopback address only.
"""

import hashlib
import socket
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from ard.errors import NotFoundError
from ard.fileio import sha256_file
from pipeline.acquire.testing.catalogue import Catalogue, build
from pipeline.acquire.testing.faults import ChangedETag, Fault
from pipeline.acquire.testing.files import PUBLIC, ArchiveFile
from pipeline.acquire.testing.handler import Handler
from pipeline.acquire.testing.queries import Executing, QueryFault
from pipeline.acquire.testing.wire import (
    Content,
    Reply,
    Version,
    file_reply,
    json_reply,
    text_reply,
)

HOST: Final = "127.0.0.1"
_POLL_S: Final = 0.02
_JOIN_S: Final = 2.0
_FITS_START: Final = b"SIMPLE  ="


@dataclass(frozen=True)
class Request:
    """A request that the server got.

    Attributes
    ----------
    method, path : str
        GET, and the address with its query.
    name : str
        The file, or the service, that it is about.
    range, if_range : str or None
        Headers.
    authorization_present : bool
        Whether a token came along.
    status : int
        Of the reply; 0 where there is none yet.
    sent : int
        Bytes of the body that have been sent.
    """

    method: str
    path: str
    name: str
    range: str | None
    if_range: str | None
    authorization_present: bool
    status: int
    sent: int


class Record:
    """A request while it is being answered."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self.status = 0
        self.sent = 0

    def freeze(self) -> Request:
        """Give what is known by now."""
        return Request(**self._asked, status=self.status, sent=self.sent)


class _Queue[F]:
    """Faults in their order, each for so many requests, or for ever."""

    def __init__(self) -> None:
        self._faults: deque[tuple[F, int | None]] = deque()

    def put(self, fault: F, times: int | None) -> None:
        if times is None or times > 0:
            self._faults.append((fault, times))

    def take(self) -> F | None:
        if not self._faults:
            return None
        fault, times = self._faults[0]
        if times is not None:
            self._faults.popleft()
            if times > 1:
                self._faults.appendleft((fault, times - 1))
        return fault


class HttpServer(ThreadingHTTPServer):
    """The listening socket and its connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, archive: "ArchiveServer", port: int) -> None:
        self.archive = archive
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((HOST, port), Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Remember a connection as long as it lasts."""
        with self._lock:
            self._open[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(threading.current_thread(), None)

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


class ArchiveServer:
    """A local archive, with faults on demand; a context manager.

    Parameters
    ----------
    files : iterable of ArchiveFile
        What the archive has.
    token : str, optional
        Files that are not public need it, as header or cookie.
    rate : float, optional
        Bytes per second that each connection gets.
    etags, ranges : bool
        Whether files have ETags, and whether Range is honoured.
    latency_s : float
        Silence before each reply, s.
    duplicates : bool
        Whether the catalogue lists products repeatedly and among unwanted ones, as the real one.
    port : int
        0 for any that is free.
    """

    def __init__(
        self,
        files: Iterable[ArchiveFile],
        *,
        token: str | None = None,
        rate: float | None = None,
        etags: bool = True,
        ranges: bool = True,
        latency_s: float = 0.0,
        duplicates: bool = True,
        port: int = 0,
    ) -> None:
        self.token, self.rate, self.latency_s = token, rate, latency_s
        self.etags, self.ranges, self.duplicates, self.port = etags, ranges, duplicates, port
        self.closing = threading.Event()
        self._lock = threading.RLock()
        self._files = {file.uri: file for file in files}
        self._catalogue: Catalogue | None = None
        self._faults: defaultdict[str, _Queue[Fault]] = defaultdict(_Queue)
        self._query_faults: defaultdict[str, _Queue[QueryFault]] = defaultdict(_Queue)
        self._records: list[Record] = []
        self._sha256: dict[str, str] = {}
        self._retagged: dict[str, int] = {}
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.closing.clear()
        self._server = HttpServer(self, self.port)
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
        """End all waits and connections, and stop listening."""
        if self._server is None or self._thread is None:
            return
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end."""
        if self._server is None:
            raise NotFoundError("the server does not run", action="use it in a with statement")
        return f"http://{HOST}:{self._server.server_address[1]}"

    @property
    def files(self) -> tuple[ArchiveFile, ...]:
        """The files as they are now."""
        with self._lock:
            return tuple(self._files.values())

    @property
    def catalogue(self) -> Catalogue:
        """What the catalogue lists now."""
        with self._lock:
            if self._catalogue is None:
                self._catalogue = build(self._files.values(), duplicates=self.duplicates)
            return self._catalogue

    def fault(self, name: str, fault: Fault, times: int | None = 1) -> None:
        """Queue a fault for the next GETs of a file; for ever with None."""
        with self._lock:
            if all(file.name != name for file in self._files.values()):
                raise NotFoundError("the archive has no such file", file=name)
            self._faults[name].put(fault, times)

    def query_fault(self, service: str, fault: QueryFault, times: int | None = 1) -> None:
        """Queue a fault for the next questions to a service.

        Services: those of the portal by name (``Mast.Caom.Products``), columnsconfig, whoami,
        column_list, search, post_list_products.
        """
        if isinstance(fault, Executing):
            times = None if fault.n is None or times is None else fault.n * times
        with self._lock:
            self._query_faults[service].put(fault, times)

    def clear_faults(self) -> None:
        """Forget all faults that are queued."""
        with self._lock:
            self._faults.clear()
            self._query_faults.clear()

    def replace(self, file: ArchiveFile) -> None:
        """Have another version of a file, as after re-processing; or a new file."""
        with self._lock:
            self._files[file.uri] = file
            self._sha256.pop(file.uri, None)
            self._catalogue = None

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order of their arrival."""
        with self._lock:
            return [record.freeze() for record in self._records]

    def reset_log(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._records = []

    def begin_record(self, **asked: Any) -> Record:
        """Put a request on record."""
        record = Record(asked)
        with self._lock:
            self._records.append(record)
        return record

    def ask(self, service: str, document: Any) -> Reply:
        """Plan the reply with the answer to a question."""
        with self._lock:
            fault = self._query_faults[service].take()
        return json_reply(document) if fault is None else fault.reply(document)

    def serve(
        self, uri: str, *, head: bool, authorized: bool, asked: str | None, if_range: str | None
    ) -> Reply:
        """Plan the reply to a request for a file."""
        with self._lock:
            file = self._files.get(uri)
            extra = None if file is not None else self.catalogue.extras.get(uri)
        if file is None:
            if extra is None:
                return text_reply(404, "no such product\n")
            modified = format_datetime(datetime(2025, 6, 1, tzinfo=UTC), usegmt=True)
            version = Version("application/octet-stream", None, modified)
            return file_reply(Content.of(extra.data), version, asked, if_range)
        with self._lock:
            fault = (None if head else self._faults[file.name].take()) or Fault()
        if file.rights != PUBLIC and self.token is not None and not authorized:
            return text_reply(401, "not authorized\n")
        if isinstance(fault, ChangedETag):
            self._retagged[uri] = self._retagged.get(uri, 0) + 1
        content = fault.content(Content.of(file.path))
        return fault.reply(file_reply(content, self._version(file, fault), asked, if_range))

    def _version(self, file: ArchiveFile, fault: Fault) -> Version:
        moment = datetime.fromtimestamp(int(file.path.stat().st_mtime), UTC)
        with file.path.open("rb") as stream:
            is_fits = stream.read(len(_FITS_START)) == _FITS_START
        return Version(
            "application/fits" if is_fits else "application/octet-stream",
            fault.etag(self._etag(file) if self.etags else None),
            format_datetime(moment, usegmt=True),
            fault.ranges(self.ranges),
        )

    def _etag(self, file: ArchiveFile) -> str:
        """Give a strong ETag: of the content, and of how often it was changed without reason."""
        if file.uri not in self._sha256:
            self._sha256[file.uri] = sha256_file(file.path)
        text = f"{self._sha256[file.uri]} {self._retagged.get(file.uri, 0)}"
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
