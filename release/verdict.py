"""Was a bundle found ready to be deposited, and under which rules?

What was found counts as long as the rules are the same: publishing comes days after planning, when
a threshold may be stricter, or a waiver over.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ard.sums import Finding
from manifests import load_acceptance
from manifests.waivers import WAIVERS_FILE


@dataclass(frozen=True)
class Rules:
    """Say under which rules a bundle was judged.

    Attributes
    ----------
    acceptance_sha256, waivers_sha256 : str
        Digests of the thresholds, and of the accepted failures.
    waived_until : str or None
        The day (ISO 8601) on which the first waiver ends that was needed; None if none was.
    """

    acceptance_sha256: str
    waivers_sha256: str
    waived_until: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return asdict(self)

    def outdated(self, today: datetime.date) -> tuple[str, ...]:
        """Say why what was found under these rules does not count any more; empty if it does."""
        now = Rules.now()
        reasons = []
        if self.acceptance_sha256 != now.acceptance_sha256:
            reasons.append("the thresholds are others since")
        if self.waivers_sha256 != now.waivers_sha256:
            reasons.append("the waivers are others since")
        if self.waived_until is not None and self.waived_until < today.isoformat():
            reasons.append(f"a waiver that it needs ended on {self.waived_until}")
        return tuple(reasons)

    @classmethod
    def now(cls) -> "Rules":
        """Give the rules of today, under which no waiver was needed yet."""
        waivers = hashlib.sha256(WAIVERS_FILE.read_bytes()).hexdigest()
        return cls(load_acceptance().sha256, waivers)


@dataclass(frozen=True)
class Verdict:
    """Say what has to change in a bundle before it may be deposited, and by which rules.

    Attributes
    ----------
    findings : tuple of Finding
        Empty if it is ready.
    rules : Rules
    """

    findings: tuple[Finding, ...]
    rules: Rules

    @classmethod
    def of(cls, findings: Iterable[Finding], report: Mapping[str, Any]) -> "Verdict":
        """Make the verdict that goes with a check report.

        Parameters
        ----------
        findings : iterable of Finding
        report : mapping
            The check report in its JSON form.
        """
        ends = [row["waived"]["expires"] for row in report["results"] if row.get("waived")]
        rules = Rules(
            report["acceptance_sha256"], Rules.now().waivers_sha256, min(ends, default=None)
        )
        return cls(tuple(findings), rules)
