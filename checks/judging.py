"""Is a folder acceptable: what does every check say about every product in it?"""

import datetime
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import ard
from checks.folder import Folder, Product, look
from checks.registry import Check, Limits, all_checks
from checks.report import Report
from checks.result import Result, Status
from manifests import Acceptance, Waiver, load_acceptance, load_waivers

# A check that broke has shown nothing, so there is nothing to waive.
_WAIVABLE = frozenset({Status.FAILED, Status.SKIPPED})


def judge(
    folder: str | os.PathLike[str],
    acceptance: Acceptance | None = None,
    *,
    waivers: Iterable[Waiver] | None = None,
    today: datetime.date | None = None,
    checks: Iterable[Check] | None = None,
) -> Report:
    """Make every check on every product of a folder, and report every failure.

    Parameters
    ----------
    folder : path-like
        A run folder, or a bundle.
    acceptance : Acceptance, optional
        The thresholds; those of the study by default.
    waivers : iterable of Waiver, optional
        Accepted failures; those of the study by default.
    today : datetime.date, optional
        The day on which waivers have to be valid.
    checks : iterable of Check, optional
        The checks to make; the whole registry by default.

    Returns
    -------
    Report
        Nothing found in the folder raises: it is a row of the report.

    Raises
    ------
    ManifestError
        If the study's own thresholds or waivers cannot be read.
    """
    rows = load_acceptance() if acceptance is None else acceptance
    accepted = tuple(load_waivers() if waivers is None else waivers)
    day = datetime.date.today() if today is None else today
    made = tuple(all_checks() if checks is None else checks)
    with tempfile.TemporaryDirectory() as scratch:
        here = look(folder, Path(scratch))
        limits = _limits(rows, here)
        results = [
            _covered(result, product, accepted, day)
            for product in (here.itself, *here.files)
            for check in made
            if (result := _result(check, product, limits)) is not None
        ]
    return Report(
        folder_kind=here.kind,
        results=tuple(results),
        n_products=len(here.products),
        code_version=ard.__version__,
        acceptance_sha256=rows.sha256,
    )


def _limits(rows: Acceptance, here: Folder) -> Limits:
    item = here.target.get("item")
    target = item if isinstance(item, str) else None
    return {name: rows.limit(name, target) for name in rows.ids}


def _result(check: Check, product: Product, limits: Limits) -> Result | None:
    try:
        return check(product, limits) if check.applies(product) else None
    except Exception as error:  # noqa: BLE001  whatever a check does, the others still run
        return check.broken(product, error)


def _covered(
    result: Result, product: Product, waivers: tuple[Waiver, ...], today: datetime.date
) -> Result:
    if result.status not in _WAIVABLE:
        return result
    # What was accepted in a run is accepted in its bundle, where the product has another name.
    for waiver in waivers:
        if any(waiver.covers(result.check, name, today) for name in (product.name, product.place)):
            return result.with_waiver(waiver)
    return result
