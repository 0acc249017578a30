"""What can go wrong while a question to the catalogue is answered?"""

from dataclasses import dataclass, replace
from typing import Any

from pipeline.acquire.testing.faults import PAGE
from pipeline.acquire.testing.wire import Reply, json_reply, text_reply, whole

Document = Any


class QueryFault:
    """A fault, which changes the document or the way in which it is sent."""

    @property
    def title(self) -> str:
        """What happens, in a few words for a table."""
        return type(self).__name__

    def document(self, document: Document) -> Document:
        """Change the answer."""
        return document

    def reply(self, document: Document) -> Reply:
        """Plan the reply."""
        return json_reply(self.document(document))


@dataclass(frozen=True)
class QueryStatus(QueryFault):
    """An HTTP status and no answer, perhaps with Retry-After in seconds."""

    code: int = 503
    retry_after_s: float | None = None

    @property
    def title(self) -> str:
        """What happens."""
        return f"status {self.code}"

    def reply(self, document: Document) -> Reply:
        """Send the status."""
        reply = text_reply(self.code, f"status {self.code}\n")
        if self.retry_after_s is None:
            return reply
        return reply.with_headers({"Retry-After": f"{self.retry_after_s:g}"})


@dataclass(frozen=True)
class QueryHtml(QueryFault):
    """Status 200 and a page about maintenance."""

    @property
    def title(self) -> str:
        """What happens."""
        return "200 and an HTML page"

    def reply(self, document: Document) -> Reply:
        """Send the page."""
        return text_reply(200, PAGE, "text/html")


@dataclass(frozen=True)
class QueryError(QueryFault):
    """The portal's own error: HTTP status 200, status ERROR."""

    msg: str = "Internal error"

    @property
    def title(self) -> str:
        """What happens."""
        return "status ERROR"

    def document(self, document: Document) -> Document:
        """Answer with an error."""
        return {"status": "ERROR", "msg": self.msg, "data": [], "fields": []}


@dataclass(frozen=True)
class Executing(QueryFault):
    """The portal still works at it, for so many requests, or for ever."""

    n: int | None = 1

    @property
    def title(self) -> str:
        """What happens."""
        return "status EXECUTING" + (" for ever" if self.n is None else "")

    def document(self, document: Document) -> Document:
        """Answer that there is no answer yet."""
        return {"status": "EXECUTING", "msg": "", "data": [], "fields": []}


@dataclass(frozen=True)
class ZeroRows(QueryFault):
    """A good answer without rows."""

    @property
    def title(self) -> str:
        """What happens."""
        return "no rows"

    def document(self, document: Document) -> Document:
        """Take all rows away."""
        return _with_rows(document, [])


@dataclass(frozen=True)
class DuplicateRows(QueryFault):
    """Every row comes twice."""

    @property
    def title(self) -> str:
        """What happens."""
        return "every row twice"

    def document(self, document: Document) -> Document:
        """Repeat the rows."""
        rows = document.get("data") if isinstance(document, dict) else None
        return _with_rows(document, [*rows, *rows]) if isinstance(rows, list) else document


@dataclass(frozen=True)
class UnknownTypes(QueryFault):
    """A column of a type that no client has heard of."""

    @property
    def title(self) -> str:
        """What happens."""
        return "a column of an unknown type"

    def document(self, document: Document) -> Document:
        """Add the column."""
        if not isinstance(document, dict) or "fields" not in document:
            return document
        fields = [*document["fields"], {"name": "s_shape", "type": "geography"}]
        rows = [{**row, "s_shape": "0xE6100000"} for row in document["data"]]
        return {**document, "fields": fields, "data": rows}


@dataclass(frozen=True)
class BrokenJson(QueryFault):
    """Half a document, with the length of the half."""

    @property
    def title(self) -> str:
        """What happens."""
        return "broken JSON"

    def reply(self, document: Document) -> Reply:
        """Send the first half."""
        data = json_reply(document).content.data
        return whole(200, "application/json", data[: max(1, len(data) // 2)], {})


@dataclass(frozen=True)
class QueryStall(QueryFault):
    """The answer comes after a silence."""

    seconds: float = 60.0

    @property
    def title(self) -> str:
        """What happens."""
        return "silence before the answer"

    def reply(self, document: Document) -> Reply:
        """Wait first."""
        return replace(json_reply(document), delay_s=self.seconds)


def _with_rows(document: Document, rows: list[Any]) -> Document:
    if not isinstance(document, dict) or "data" not in document:
        return document
    count, pages = len(rows), min(1, len(rows))
    if rows:
        pages = document.get("paging", {}).get("pagesFiltered", 1)
    paging = document.get("paging", {}) | {
        "rows": count,
        "rowsFiltered": count,
        "rowsTotal": count,
        "pagesFiltered": pages,
    }
    return {**document, "data": rows, "paging": paging}
