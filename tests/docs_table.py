"""A table in the documentation whose rows are what tests saw, cell by cell."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


@dataclass(frozen=True)
class DocsTable:
    """A table between two comments of a page; RBH1_WRITE_DOCS=1 lets tests write its rows."""

    page: str
    mark: str
    head: tuple[str, ...]
    order: Sequence[str]

    def rows(self) -> list[str]:
        """The rows as they stand in the page."""
        text = (DOCS / self.page).read_text().partition(self._begin)[2].partition(self._end)[0]
        return text.splitlines(keepends=True)[2:]

    def hold(self, *cells: str) -> None:
        """Make sure that the page has this row; the first cell names it."""
        row = f"| {' | '.join(cells)} |\n"
        if os.environ.get("RBH1_WRITE_DOCS"):
            self._write(row)
        assert row in self.rows(), "make the table anew: RBH1_WRITE_DOCS=1 pytest -n 0 FILE"

    def names(self) -> list[str]:
        """The first cell of every row."""
        return [row.removeprefix("| ").partition(" | ")[0] for row in self.rows()]

    @property
    def _begin(self) -> str:
        return f"<!-- {self.mark} -->\n"

    @property
    def _end(self) -> str:
        return f"<!-- /{self.mark} -->\n"

    def _write(self, row: str) -> None:
        known = {text.removeprefix("| ").partition(" | ")[0]: text for text in [*self.rows(), row]}
        head = f"| {' | '.join(self.head)} |\n{'|---' * len(self.head)}|\n"
        body = "".join(known[name] for name in self.order if name in known)
        before, _, rest = (DOCS / self.page).read_text().partition(self._begin)
        after = rest.partition(self._end)[2]
        (DOCS / self.page).write_text(f"{before}{self._begin}{head}{body}{self._end}{after}")
