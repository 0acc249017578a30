"""The judge: is what lies in a folder acceptable, check by check and with every failure named?

`judge(folder)` makes every check of the registry on every product and gives a `Report`. It never
raises for bad data, repairs nothing and prints nothing. Thresholds stand in
``manifests/acceptance.toml``. Names are imported when they are first asked for, so that
`checks.entry` works without the libraries of the study.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks.judging import judge
    from checks.registry import Check, all_checks
    from checks.report import Report
    from checks.result import Result, Status

_HOME = {
    "Check": "checks.registry",
    "Report": "checks.report",
    "Result": "checks.result",
    "Status": "checks.result",
    "all_checks": "checks.registry",
    "judge": "checks.judging",
}

__all__ = ["Check", "Report", "Result", "Status", "all_checks", "judge"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'checks' has no attribute '{name}'")
