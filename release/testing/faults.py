"""What can go wrong on the way to the archive, and in the archive?

A `Fault` waits for a request that it fits, and then spoils it once, or `count` times.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ard.errors import ArdError

STATUSES: Final = (429, 500, 502, 503, 504)
# Each kind with its parameters and their defaults.
KINDS: Final[dict[str, dict[str, Any]]] = {
    "status": {"status": 503, "retry_after": 1},
    "reset": {"after_bytes": 0, "side": "request"},
    "slow": {"seconds": 1.0, "side": "response"},
    "errors": {"field": "metadata.title", "message": "Shorter than minimum length 3."},
    "corrupt": {"at": 0},
    "html413": {"drain": True},
    "expire_token": {},
    "stale_index": {"seconds": 60.0},
    "truncate_download": {"after_bytes": 0},
    "ignore_range": {},
    "bump_revision": {"by": 2},
}
_TIMES: Final = ("before", "after")
_SIDES: Final = ("request", "response")


@dataclass(frozen=True, init=False, eq=False)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    kind : str or int
        A status (429, 500, 502, 503, 504), or a name of `KINDS`.
    method : str, optional
        Of the requests that it waits for; any if None.
    path : str, optional
        A regular expression that their path and query must contain; any if None.
    nth : int
        Spoil the nth of them, counted from 1.
    count : int
        And so many in all, one after the other.
    when : str
        ``"before"`` the effect of the request, which then does not take place, or ``"after"``.
    **parameters
        Of the kind; see `KINDS` for their names and defaults.
    """

    kind: str
    method: str | None
    path: str | None
    nth: int
    count: int
    when: str
    parameters: dict[str, Any]

    def __init__(
        self,
        kind: str | int,
        method: str | None = None,
        path: str | None = None,
        nth: int = 1,
        count: int = 1,
        when: str = "before",
        **parameters: Any,
    ) -> None:
        if str(kind) in map(str, STATUSES):
            kind, parameters = "status", {"status": int(kind), **parameters}
        kind = str(kind)
        _check(kind, when, parameters)
        if nth < 1 or count < 1:
            raise ArdError("requests are counted from 1", found=f"nth={nth}, count={count}")
        values = (kind, method, path, nth, count, when, {**KINDS[kind], **parameters})
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return str(self["status"]) if self.kind == "status" else self.kind

    def fits(self, method: str, target: str) -> bool:
        """Say whether it waits for such a request."""
        if self.method is not None and self.method != method:
            return False
        return self.path is None or re.search(self.path, target) is not None


def _check(kind: str, when: str, parameters: dict[str, Any]) -> None:
    if kind not in KINDS:
        kinds = ", ".join([*map(str, STATUSES), *KINDS])
        raise ArdError("there is no such fault", expected=f"one of {kinds}", found=kind)
    if when not in _TIMES:
        raise ArdError("a fault strikes before or after the effect", found=when)
    unknown = sorted(parameters.keys() - KINDS[kind].keys())
    if unknown:
        expected = ", ".join(KINDS[kind]) or "no parameters"
        raise ArdError(f"the fault {kind} has other parameters", expected=expected, found=unknown)
    side = parameters.get("side", _SIDES[0])
    if side not in _SIDES:
        raise ArdError("the side of a fault is unknown", expected=" or ".join(_SIDES), found=side)


class Waiting:
    """The faults that wait for their requests."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Let a fault wait."""
        self._faults.append((fault, 0))

    def clear(self) -> None:
        """Let none wait."""
        self._faults.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """Find the fault that strikes this request; every one that fits counts it."""
        struck: Fault | None = None
        left: list[tuple[Fault, int]] = []
        for fault, seen in self._faults:
            if not fault.fits(method, target):
                left.append((fault, seen))
                continue
            if seen + 1 < fault.nth:
                left.append((fault, seen + 1))
            elif struck is None:
                struck = fault
                if seen + 1 < fault.nth + fault.count - 1:
                    left.append((fault, seen + 1))
            else:
                # Another fault struck first; this one gets the next request.
                left.append((fault, seen))
        self._faults = left
        return struck


type Chooser = Callable[[Any], Fault | None]
