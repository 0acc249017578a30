"""Which part does each file of a store have in the study, by its own headers?"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from ard.errors import ArdError
from manifests.lock import Lock
from manifests.target import load_target
from pipeline.acquire.entry import Held
from pipeline.acquire.headers import FileFacts, Member
from pipeline.acquire.roles import Part, assign
from pipeline.acquire.store import Store
from pipeline.roles import SCIENCE

_FIELDS: Final = tuple(field.name for field in fields(FileFacts))


def facts_of(held: Held, name: str) -> FileFacts | None:
    """Give what the headers of held content say, from its record; None where there is none."""
    row = dict(held.facts)
    if not row:
        return None
    try:
        members = tuple(Member(**member) for member in row.pop("members"))
        regions = tuple(row.pop("regions"))
        known = {key: row[key] for key in _FIELDS if key not in ("members", "regions")}
        return FileFacts(members=members, regions=regions, **known)
    except (KeyError, TypeError) as error:
        raise ArdError(
            "what the store recorded about a file is damaged",
            file=name,
            expected="the facts of its headers",
            found=f"{type(error).__name__}: {error}",
            action=f"remove records/{name}.json from the store, and run rbh1 acquire run",
        ) from error


def parts_of(held: Mapping[str, Held], target: str) -> dict[str, Part]:
    """Give each file its part: role, pointing, dither, and whether it shows the target.

    Parameters
    ----------
    held : mapping of str to Held
        Content by file name.
    target : str
        Name of the target.
    """
    facts = [found for name in held if (found := facts_of(held[name], name)) is not None]
    return {part.name: part for part in assign(facts, load_target(target))}


def held_by(lock: Lock, store: Store) -> dict[str, Held]:
    """Give the content that the store holds for each file of a lock, the right version only."""
    found = {}
    for file in lock.files:
        held = store.entry(file.name).held
        if held is not None and held.is_version_of(file):
            found[file.name] = held
    return found


def concerns(parts: Iterable[Part]) -> list[str]:
    """Say what is odd about the parts: one sentence a file."""
    return [f"{part.name}: {part.note}" for part in parts if part.note]


def sky_counts(parts: Iterable[Part]) -> dict[str, int]:
    """Count the files by role, and of the science files those that show the target."""
    rows = list(parts)
    roles = {role: sum(part.role == role for part in rows) for role in {p.role for p in rows}}
    science = [part for part in rows if part.role == SCIENCE]
    shown: dict[str, Any] = {
        "science showing the target": sum(part.covers_target is True for part in science),
        "science not showing it": sum(part.covers_target is False for part in science),
        "science of unknown footprint": sum(part.covers_target is None for part in science),
    }
    return dict(sorted(roles.items())) | shown
