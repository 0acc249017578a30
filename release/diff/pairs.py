"""Which thing of the old bundle is which of the new one: by name, else by the same bytes?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from release.diff.model import State


@dataclass(frozen=True)
class Pair[T]:
    """One thing before and after; `state` is None where it has the same name and bytes."""

    state: State | None
    before: T | None
    after: T | None


def pair_up[T](
    old: Mapping[str, T], new: Mapping[str, T], *, digest: Callable[[T], str]
) -> list[Pair[T]]:
    """Pair what has one name; of the rest, what has the same bytes; ordered by name.

    Parameters
    ----------
    old, new : mapping of str to T
        Things by name.
    digest : callable
        Gives what is equal for equal bytes.
    """
    pairs: dict[str, Pair[T]] = {}
    for name in old.keys() & new.keys():
        same = digest(old[name]) == digest(new[name])
        pairs[name] = Pair(None if same else "changed", old[name], new[name])
    gone = [name for name in sorted(old) if name not in new]
    come = [name for name in sorted(new) if name not in old]
    for was in gone:
        now = next((name for name in come if digest(new[name]) == digest(old[was])), None)
        if now is None:
            pairs[was] = Pair("removed", old[was], None)
        else:
            come.remove(now)
            pairs[now] = Pair("renamed", old[was], new[now])
    pairs |= {name: Pair("added", None, new[name]) for name in come}
    return [pairs[name] for name in sorted(pairs)]
