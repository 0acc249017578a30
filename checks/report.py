"""What is the verdict on a folder, and on which results does it rest?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from checks.result import Result, Status

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA: Final = "check-report"
_STYLES: Final = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.ERROR: "bold magenta",
    Status.SKIPPED: "yellow",
}


@dataclass(frozen=True)
class Report:
    """Every result of one judgement.

    Attributes
    ----------
    folder_kind : str
        run, bundle or unknown.
    results : tuple of Result
        In order of product, then check.
    n_products : int
        Number of products that were checked.
    code_version : str
        Version of the judge.
    acceptance_sha256 : str
        Digest of the thresholds.
    """

    folder_kind: str
    results: tuple[Result, ...]
    n_products: int
    code_version: str
    acceptance_sha256: str

    @property
    def counts(self) -> dict[str, int]:
        """Number of results of each status, of waived results, and of products."""
        found = [result.status for result in self.results]
        counts = {status.value: found.count(status) for status in Status}
        counts["waived"] = sum(result.waived is not None for result in self.results)
        counts["products"] = self.n_products
        return counts

    @property
    def passed(self) -> bool:
        """Whether a product was checked and every result passed or is waived."""
        return self.n_products > 0 and all(result.good for result in self.results)

    @property
    def verdict(self) -> str:
        """PASSED or FAILED."""
        return Status.PASSED.value if self.passed else Status.FAILED.value

    @property
    def bad(self) -> tuple[Result, ...]:
        """Every result that stands against passing."""
        return tuple(result for result in self.results if not result.good)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as a document of the schema check-report."""
        return {
            "schema": SCHEMA,
            "folder_kind": self.folder_kind,
            "results": [result.to_dict() for result in self.results],
            "counts": self.counts,
            "verdict": self.verdict,
            "code_version": self.code_version,
            "acceptance_sha256": self.acceptance_sha256,
        }

    def sentence(self) -> str:
        """Give the verdict in one line."""
        counts = self.counts
        parts = [f"{counts[status.value]} {status.value.lower()}" for status in Status]
        waived = f", {counts['waived']} waived" if counts["waived"] else ""
        return (
            f"{self.verdict}: {counts['products']} products, {len(self.results)} results "
            f"({', '.join(parts)}{waived})"
        )

    def table(self, *, everything: bool = False) -> "Table":
        """Give a table for the terminal: what did not pass, or everything.

        Parameters
        ----------
        everything : bool
            Show what passed as well.
        """
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for heading in ("status", "product", "check", "found", "allowed", "what to do"):
            table.add_column(heading, overflow="fold")
        for row in self.results:
            if everything or row.status is not Status.PASSED:
                status = Text(row.status.value, style=_STYLES[row.status])
                remedy = row.remedy
                if row.waived is not None:
                    status.append(" (waived)")
                    remedy = f"waived by {row.waived.author}: {row.waived.reason}"
                # Text, not markup: names and findings may hold square brackets.
                allowed = f"{row.limit or ''} {row.unit}".strip()
                cells = (row.product, row.check, row.detail, allowed, remedy)
                table.add_row(status, *map(Text, cells))
        return table
