"""How does a worker's answer lie in the ledger, to the last bit and with its digest?"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ard.errors import FormatError
from pipeline.falsify.tasks import Curve, Evaluation, Motion


@dataclass(frozen=True)
class Settled:
    """What became of answers.

    Attributes
    ----------
    new : int
        Answers that are kept.
    old : frozenset of int
        Numbers whose answer was there already, and stays.
    conflicts : int
        Of those, where the two differ.
    """

    new: int
    old: frozenset[int]
    conflicts: int

    @property
    def equal(self) -> int:
        """Answers that were there already, and are the same."""
        return len(self.old) - self.conflicts


@dataclass(frozen=True)
class Death:
    """A task that is given up.

    Attributes
    ----------
    task : str
        Its number, or the place of a message that is no task.
    number : int, optional
    reason : str
    deliveries : int
    """

    task: str
    number: int | None
    reason: str
    deliveries: int


def motion_row(motion: Motion) -> dict[str, Any]:
    """Give the row of what the dynamics say.

    Raises
    ------
    FormatError
        If it is possible and has no curve: nothing could be held against the cube.
    """
    if motion.possible and motion.curve is None:
        raise FormatError(
            f"galaxy {motion.number} is possible, and its motion is not told",
            expected="a curve, or the filters that reject it",
            found="neither",
            action="correct the dynamics",
        )
    row = {
        "number": motion.number,
        "possible": motion.possible,
        "reasons": ",".join(motion.reasons),
        "facts": packed(motion.facts),
        "curve": None if motion.curve is None else motion.curve.to_bytes(),
    }
    return {**row, "sha256": digest(row)}


def motion_of(row: Any) -> Motion:
    """Read what `motion_row` gave."""
    curve = None if row.curve is None else Curve.from_bytes(bytes(row.curve))
    return Motion(row.number, reasons_of(row.reasons), unpacked(row.facts), curve)


def reasons_of(text: str) -> tuple[str, ...]:
    """Read the names of filters."""
    return tuple(text.split(",")) if text else ()


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """Give the row of what the observed cube says."""
    row = {
        "number": evaluation.number,
        "log_likelihood": _none_if_nan(evaluation.log_likelihood),
        "chi2": _none_if_nan(evaluation.chi2),
        "nuisances": packed(evaluation.nuisances),
        "converged": bool(evaluation.converged),
    }
    return {**row, "sha256": digest(row)}


def evaluation_of(row: Any) -> Evaluation:
    """Read what `evaluation_row` gave."""
    return Evaluation(
        row.number,
        _nan_if_none(row.log_likelihood),
        _nan_if_none(row.chi2),
        unpacked(row.nuisances),
        row.converged,
    )


def fit_row(number: int, report: Mapping[str, Any]) -> dict[str, Any]:
    """Give the row of what a fit of a scene says."""
    row = {"number": number, "report": dict(report)}
    return {**row, "sha256": digest(row)}


def digest(row: Mapping[str, Any]) -> str:
    """Digest a row; equal bits give equal digests."""
    texts = {
        key: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
        for key, value in row.items()
    }
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def packed(numbers: Mapping[str, float]) -> dict[str, float | str]:
    """Give named numbers as JSON has them: all digits; what is not finite, as text."""
    values = {str(name): float(value) for name, value in numbers.items()}
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}


def unpacked(values: Mapping[str, float | str]) -> dict[str, float]:
    """Read what `packed` gave."""
    return {name: float(value) for name, value in values.items()}


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value
