"""Does an archive client cope with whatever the archive does? A local archive to find out.

It speaks the protocol of MAST as far as astroquery uses it, on the loopback address, with faults
on demand:

>>> with ArchiveServer(make_archive(folder, selection, lock)) as server:  # doctest: +SKIP
...     server.fault("if3x01010_drc.fits", Truncate(at=10_000))
...     fetch_from(server.url)

``python -m pipeline.acquire.testing --folder DIR`` starts it by hand.
"""

from pipeline.acquire.testing.client import configure_astroquery, point_astroquery
from pipeline.acquire.testing.faults import (
    ALL_FAULTS,
    BitFlip,
    ChangedETag,
    Drip,
    Drop,
    Fault,
    Gzipped,
    HtmlPage,
    LostExtension,
    NoETag,
    NoLength,
    NoRanges,
    OtherContent,
    RetryAfter,
    ShortBody,
    Stall,
    Status,
    Truncate,
    Unauthorized,
    WeakETag,
    WrongRange,
)
from pipeline.acquire.testing.files import ArchiveFile, archive_of
from pipeline.acquire.testing.make import make_archive
from pipeline.acquire.testing.queries import (
    BrokenJson,
    DuplicateRows,
    Executing,
    QueryError,
    QueryFault,
    QueryHtml,
    QueryStall,
    QueryStatus,
    UnknownTypes,
    ZeroRows,
)
from pipeline.acquire.testing.server import ArchiveServer, Request

__all__ = [
    "ALL_FAULTS", "ArchiveFile", "ArchiveServer", "BitFlip", "BrokenJson", "ChangedETag", "Drip",
    "Drop", "DuplicateRows", "Executing", "Fault", "Gzipped", "HtmlPage", "LostExtension",
    "NoETag", "NoLength", "NoRanges", "OtherContent", "QueryError", "QueryFault", "QueryHtml",
    "QueryStall", "QueryStatus", "Request", "RetryAfter", "ShortBody", "Stall", "Status",
    "Truncate", "Unauthorized", "UnknownTypes", "WeakETag", "WrongRange", "ZeroRows",
    "archive_of", "configure_astroquery", "make_archive", "point_astroquery",
]  # fmt: skip
