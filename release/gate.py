"""What forbids the release of a run?

The checks are run anew on the run folder; a stored report is never believed.
"""

import datetime
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from ard import layout
from ard.describe import describe
from ard.errors import ArdError
from ard.fitsio import walk
from manifests.waivers import NEVER_WAIVED, may_waive
from release.model import INSIDE, Plan, PlannedFile, RefusedError

_PASSED: Final = "PASSED"
_ERROR: Final = "ERROR"
_SIMULATED: Final = "SIMULATD"


class Report(Protocol):
    """What the judge returns; only its JSON form is used."""

    def to_dict(self) -> dict[str, Any]:
        """Give the check report in its JSON form."""


Judge = Callable[[Path], Report]


def judge_run(
    run: Path, judge: Judge | None = None, day: datetime.date | None = None
) -> dict[str, Any]:
    """Run the checks on a run folder and give their report, if nothing in it forbids a release.

    Parameters
    ----------
    run : Path
        The run folder.
    judge : callable, optional
        Judges a folder; the registry of `checks` by default.
    day : date, optional
        On which waivers have to hold, where the registry judges; today by default.

    Returns
    -------
    dict
        The check report in its JSON form.

    Raises
    ------
    RefusedError
        If a check failed, broke or could not be made, and no waiver covers it; names each.
    """
    report = judged(run, judge, day)
    reasons = [_sentence(row) for row in forbidding(report)]
    reasons += filter(None, [against_all(report)])
    if reasons:
        raise RefusedError(
            "the bundle is not built: the checks do not allow it",
            tuple(reasons),
            "see rbh1-check for remedies; waivers are rows of manifests/waivers.toml, but not for "
            + " or ".join(NEVER_WAIVED),
        )
    return report


def judged(
    folder: Path, judge: Judge | None = None, day: datetime.date | None = None
) -> dict[str, Any]:
    """Run the checks on a run or a bundle and give their report, whatever it says.

    Parameters
    ----------
    folder : Path
        A run folder, or a bundle.
    judge, day
        As for `judge_run`.
    """
    if judge is None:
        from checks.judging import judge as registry

        judge = functools.partial(registry, today=day)
    return judge(folder).to_dict()


def forbidding(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the results of a report that forbid a release."""
    return [
        row
        for row in report["results"]
        if not is_good(row["check"], row["status"], waived=bool(row.get("waived")))
    ]


def is_good(check: str, status: str, *, waived: bool) -> bool:
    """Tell whether a result allows a release: passed, or set aside by a waiver that counts.

    Parameters
    ----------
    check : str
        Name of the check; some can never be waived.
    status : str
        How it ended.
    waived : bool
        Whether a waiver covers it.
    """
    # A check that broke has shown nothing that could be accepted.
    return status == _PASSED or (waived and status != _ERROR and may_waive(check))


def against_all(report: Mapping[str, Any]) -> str:
    """Say what forbids a release although no single result does; empty where nothing."""
    if not report["results"]:
        return "no product was checked"
    if report["verdict"] != _PASSED and not forbidding(report):
        return f"the verdict of the checks is {report['verdict']}"
    return ""


def _sentence(row: Mapping[str, Any]) -> str:
    text = f"{row['check']} on {row['product']}: {row['status']}"
    if row.get("measured") is not None or row.get("limit") is not None:
        unit = f" {row['unit']}" if row.get("unit") else ""
        text += f", measured {row.get('measured')}{unit}, limit {row.get('limit')}{unit}"
    detail = row.get("detail")
    if row.get("waived") and not may_waive(row["check"]):
        text += ", and it cannot be waived"
    return f"{text}. {detail}" if detail else text


def describe_products(plan: Plan) -> dict[str, dict[str, Any]]:
    """Describe every product that is one file, by its name in the bundle.

    One that shares a zip is named ``archive.zip!member``; folders are not described.

    Raises
    ------
    RefusedError
        If a file cannot be understood, or a mark of simulated data is missing or wrong.
    """
    descriptions: dict[str, dict[str, Any]] = {}
    reasons: list[str] = []
    single = {name: path for file in plan.products for name, path in _single(file)}
    for name, path in single.items():
        try:
            descriptions[name] = describe(path)
            reasons += _wrong_mark(plan, name, path, descriptions[name])
        except ArdError as error:
            reasons.append(f"{name}: {error.problem} (found: {error.found})")
    if reasons:
        raise RefusedError(
            "the bundle is not built: a product is not what it has to be",
            tuple(reasons),
            "make the products named above again with this version of rbh1-ard",
        )
    return descriptions


def _single(file: PlannedFile) -> Iterator[tuple[str, Path]]:
    """Give the products of one file each that a file of the bundle holds."""
    if not file.name.endswith(".zip"):
        yield file.name, next(iter(file.sources.values()))
    elif layout.is_packed(str(file.product)):
        for name, path in file.sources.items():
            yield f"{file.name}{INSIDE}{name}", path


def _wrong_mark(plan: Plan, name: str, path: Path, description: Mapping[str, Any]) -> list[str]:
    """Simulated data must never pass for observed, nor the reverse."""
    marked = bool(description.get("simulated", False))
    if not plan.simulated:
        return [f"{name} is marked as simulated, but the run is not"] if marked else []
    if path.suffix == ".fits" and walk(path)[0].header.get(_SIMULATED) is not True:
        return [f"{name} lacks the card {_SIMULATED} = T, though the run is simulated"]
    return []
