"""What does a search find, when the index lags behind the records?"""

import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from release.testing.model import Refusal, Version

type Hit = dict[str, Any]


class Index:
    """The documents that searches see, each from a moment after it changed.

    Parameters
    ----------
    render : callable
        Makes the document of the draft or of the published state of a version.
    clock : callable
        Seconds since 1970.
    delay_s : float
        How long a change stays unseen, s.
    """

    def __init__(
        self,
        render: Callable[[Version, bool], Hit],
        clock: Callable[[], float],
        delay_s: float = 0.0,
    ) -> None:
        self._render, self._clock, self.delay_s = render, clock, delay_s
        self._held_until = float("-inf")
        self._seen: dict[tuple[str, bool], Hit] = {}
        self._coming: list[tuple[float, tuple[str, bool], Hit | None]] = []
        self._lock = threading.Lock()

    def hold(self, seconds: float) -> None:
        """Let no change be seen for a while."""
        with self._lock:
            self._held_until = self._clock() + seconds

    def put(self, versions: Mapping[str, Version], gone: Version | None = None) -> None:
        """Take the state of all versions of a family, and of one that may be gone."""
        changed = [*versions.values(), *([gone] if gone else [])]
        with self._lock:
            moment = max(self._clock() + self.delay_s, self._held_until)
            for version in changed:
                there = version.id in versions
                for draft, body in ((True, version.draft), (False, version.published)):
                    readable = there and body is not None and (draft or not version.tombstone)
                    document = self._render(version, draft) if readable else None
                    self._coming.append((moment, (version.id, draft), document))

    def drafts(self, owner: str) -> list[Hit]:
        """Give what a user has: the last state of each family, drafts before records."""
        seen = self._now()
        ids = {ident for ident, _ in seen}
        newest = [seen.get((ident, True)) or seen[ident, False] for ident in ids]
        return [
            hit
            for hit in newest
            if hit["parent"]["access"]["owned_by"]["user"] == owner
            and hit["versions"]["is_latest_draft"]
        ]

    def records(self, *, all_versions: bool) -> list[Hit]:
        """Give what is public."""
        found = [hit for (_, draft), hit in self._now().items() if not draft]
        return [hit for hit in found if all_versions or hit["versions"]["is_latest"]]

    def _now(self) -> dict[tuple[str, bool], Hit]:
        with self._lock:
            now = self._clock()
            due = [change for change in self._coming if change[0] <= now]
            self._coming = [change for change in self._coming if change[0] > now]
            for _, key, document in due:
                if document is None:
                    self._seen.pop(key, None)
                else:
                    self._seen[key] = document
            return dict(self._seen)


def select(hits: list[Hit], query: str) -> list[Hit]:
    """Keep the documents that a query matches: words, and `field:value`, all of which must fit."""
    beyond = any(sign in query for sign in "()[]*?~^\\") or query.count('"') % 2
    if beyond or " OR " in query or " NOT " in query:
        raise Refusal(501, f"This query is no part of the contract: {query}")
    terms = [term for term in shlex.split(query, posix=False) if term != "AND"]
    return [hit for hit in hits if all(_matches(hit, term) for term in terms)]


def _matches(hit: Hit, term: str) -> bool:
    field, colon, value = term.partition(":")
    if not colon or field.startswith('"'):
        text = f"{hit['metadata'].get('title', '')} {hit['metadata'].get('description', '')}"
        return term.strip('"').lower() in text.lower()
    wanted = value.strip('"').lower()
    path = {"doi": "pids.doi.identifier", "conceptrecid": "parent.id"}.get(field, field)
    return any(str(leaf).lower() == wanted for leaf in _leaves(hit, path.split(".")))


def _leaves(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif path and isinstance(value, dict):
        yield from _leaves(value.get(path[0]), path[1:])
    elif not path:
        yield value
