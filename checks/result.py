"""What does a check say: what was measured, what was allowed, and what is to be done?"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, SupportsFloat

from manifests import Limit, Waiver

Measured = float | int | str | bool | None


class Status(StrEnum):
    """How did a check end? Only PASSED is good; SKIPPED means that it could not be made."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Outcome:
    """What a check found, before it is said which check and which product it was.

    Attributes
    ----------
    status : Status
        How it ended.
    measured : number, str, bool or None
        What was found.
    limit : str or None
        What was allowed.
    unit : str
        Unit of both; empty where there is none.
    detail : str
        One sentence on what was found.
    remedy : str
        What to do about a failure.
    """

    status: Status
    measured: Measured = None
    limit: str | None = None
    unit: str = ""
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Result:
    """One row of a report: an outcome with its check, its product and the waiver that covers it.

    Attributes
    ----------
    check, product : str
        The check's name, and the product's (``.`` for the folder as a whole).
    status, measured, limit, unit, detail, remedy
        As in `Outcome`.
    waived : Waiver or None
        The waiver that counts for it.
    """

    check: str
    product: str
    status: Status
    measured: Measured = None
    limit: str | None = None
    unit: str = ""
    detail: str = ""
    remedy: str = ""
    waived: Waiver | None = None

    @property
    def good(self) -> bool:
        """Say whether this result lets the folder pass."""
        return self.status is Status.PASSED or self.waived is not None

    def with_waiver(self, waiver: Waiver | None) -> "Result":
        """Give the same result, covered by a waiver."""
        return replace(self, waived=waiver)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            **vars(self),
            "status": self.status.value,
            "waived": None if self.waived is None else self.waived.to_dict(),
        }


def passed(detail: str, measured: Measured = None) -> Outcome:
    """Say that a requirement without a number is kept."""
    return Outcome(Status.PASSED, measured, detail=detail)


def failed(detail: str, remedy: str, *, measured: Measured = None, limit: str = "") -> Outcome:
    """Say that a requirement without a number is broken."""
    return Outcome(Status.FAILED, measured, limit or None, "", detail, remedy)


def skipped(detail: str, remedy: str) -> Outcome:
    """Say why a check could not be made."""
    return Outcome(Status.SKIPPED, detail=detail, remedy=remedy)


def compare(limit: Limit, measured: SupportsFloat, detail: str, remedy: str) -> Outcome:
    """Hold a measured number against a threshold.

    Parameters
    ----------
    limit : Limit
        The threshold. One that does not gate is reported and passes.
    measured : number
        The number, in the unit of the threshold; one that is not finite never passes a gate.
    detail, remedy : str
        What was found, and what to do where the threshold is missed.
    """
    number = float(measured)
    good = limit.accepts(number)
    status = Status.PASSED if good or not limit.gate else Status.FAILED
    if not good and not limit.gate:
        detail += " (outside the limit, which is only reported)"
    return Outcome(
        status=status,
        measured=number if math.isfinite(number) else None,
        limit=limit.bound,
        unit="" if limit.unit == "1" else limit.unit,
        detail=detail,
        remedy="" if status is Status.PASSED else remedy,
    )
