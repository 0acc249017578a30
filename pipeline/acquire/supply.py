"""Which cubes, exposures, images and spectra does a store supply to a run?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ard.errors import ArdError
from manifests.lock import Lock, LockedFile, load_lock, lock_path, read_lock
from manifests.selection import ProductGroup, Selection, load_selection
from pipeline.acquire.entry import Held
from pipeline.acquire.headers import LEVEL_3
from pipeline.acquire.roles import Part
from pipeline.acquire.store import Store
from pipeline.acquire.survey import facts_of, held_by, parts_of
from pipeline.roles import POINTING_ARCSEC, separation_arcsec

_CUBE_AXES: Final = 3
_CUBE_END: Final = "_s3d.fits"
_SPECTRUM_END: Final = "_x1d.fits"
# What the HAP pipeline makes of all exposures of a visit through one filter: neither of single
# exposures (two more letters in the root) nor of all filters together ("total").
_VISIT_IMAGE: Final = re.compile(r"hst_\d+_\w+_f\d{3}\w*_\w{6}_dr[cz]\.fits")


@dataclass(frozen=True)
class Supply:
    """What a run is given.

    Attributes
    ----------
    target : str
        Name of the target.
    lock : path
        The lock that names the files.
    cubes : mapping of str to path
        The Level-3 cube of each pointing (``t001``).
    exposures : mapping of str to path
        The cube of each exposure, by file name.
    images : mapping of str to path
        The drizzled image of each visit and filter, by file name; empty where the store holds none
        of them.
    spectra : mapping of str to path
        The archive's own spectrum (x1d) of each pointing, of those that the store holds.
    simulated : bool
        Whether any of them is simulated.
    """

    target: str
    lock: Path
    cubes: Mapping[str, Path]
    exposures: Mapping[str, Path]
    images: Mapping[str, Path]
    spectra: Mapping[str, Path]
    simulated: bool

    @property
    def files(self) -> dict[str, Path]:
        """Every file, by its name."""
        kinds = (self.cubes, self.exposures, self.images, self.spectra)
        return {path.name: path for kind in kinds for path in kind.values()}


def cubes_of(
    folder: Path, lock_file: Path | None = None, declared: str | Path | None = None
) -> Supply:
    """Find the cubes of a store.

    Parameters
    ----------
    folder : path
        The store.
    lock_file : path, optional
        The lock; the study's own by default.
    declared : str or path, optional
        The selection; by default the one of the name that the lock gives.

    Raises
    ------
    ArdError
        If the store lacks a cube of the lock, holds a damaged one, has no Level-3 cube, or a
        spectrum is not of the cube whose name it bears.
    """
    store = Store(folder)
    store.require()
    path = (lock_file or lock_path()).resolve()
    selection = load_selection(declared or read_lock(path).selection)
    groups = [group.name for group in selection.groups if _holds_cubes(group)]
    whole = load_lock(path, selection)
    images = _images(whole, store)
    lock = replace(whole.only(groups), files=(*whole.only(groups).files, *images))
    held = held_by(lock, store)
    _require_all(lock, held, store)
    shown = {file.name for file in images}
    cubes_held = {name: content for name, content in held.items() if name not in shown}
    parts = parts_of(cubes_held, selection.target)
    places = {file.name: store.link_path(file.group, file.name) for file in lock.files}
    cubes = _cubes([part for part in parts.values() if part.level == LEVEL_3], places, store)
    exposures = {name: places[name] for name, part in parts.items() if part.level != LEVEL_3}
    if not cubes or not exposures:
        raise _nothing(store, selection, len(cubes), len(exposures))
    facts = (facts_of(content, name) for name, content in held.items())
    simulated = any(found.simulated for found in facts if found is not None)
    return Supply(
        selection.target,
        path,
        dict(sorted(cubes.items())),
        exposures,
        {name: places[name] for name in sorted(shown)},
        _spectra(whole, store, cubes, held),
        simulated,
    )


def _images(lock: Lock, store: Store) -> tuple[LockedFile, ...]:
    """Give the images of visits and filters; none where the store holds not one of them."""
    named = tuple(file for file in lock.files if _VISIT_IMAGE.fullmatch(file.name))
    listed = replace(lock, files=named)
    return named if held_by(listed, store) else ()


def _spectra(
    lock: Lock, store: Store, cubes: Mapping[str, Path], held: Mapping[str, Held]
) -> dict[str, Path]:
    """Give the spectrum of each cube that the store holds: none is needed, they are compared."""
    wanted = {
        path.name.removesuffix(_CUBE_END) + _SPECTRUM_END: (item, path.name)
        for item, path in sorted(cubes.items())
    }
    listed = replace(lock, files=tuple(file for file in lock.files if file.name in wanted))
    found = held_by(listed, store)
    listed = replace(lock, files=tuple(file for file in listed.files if file.name in found))
    _require_all(listed, found, store)
    spectra = {}
    for file in listed.files:
        item, cube = wanted[file.name]
        _require_same_place(file.name, found[file.name], cube, held[cube])
        spectra[item] = store.link_path(file.group, file.name)
    return spectra


def _require_same_place(name: str, spectrum: Held, cube_name: str, cube: Held) -> None:
    here, there = _place(spectrum, name), _place(cube, cube_name)
    if here and there and separation_arcsec(here, there) < POINTING_ARCSEC:
        return
    raise ArdError(
        "the spectrum is not of the cube whose name it bears",
        file=name,
        expected=f"the target position of {cube_name}, {_words(there)}",
        found=_words(here),
        action="fetch both again: rbh1 acquire run; or leave the spectrum out of the store",
    )


def _place(held: Held, name: str) -> tuple[float, float] | None:
    facts = facts_of(held, name)
    if facts is None or facts.ra_deg is None or facts.dec_deg is None:
        return None
    return facts.ra_deg, facts.dec_deg


def _words(place: tuple[float, float] | None) -> str:
    return "no position" if place is None else f"RA {place[0]:.6f}, Dec {place[1]:.6f} deg"


def _cubes(parts: list[Part], places: Mapping[str, Path], store: Store) -> dict[str, Path]:
    """Give the Level-3 cube of each pointing; each must have one that is its own."""
    names = [part.pointing for part in parts]
    if None in names or len(set(names)) != len(names):
        raise ArdError(
            "the Level-3 cubes cannot be told apart by their pointing",
            file=store.root,
            expected="one cube of each target position",
            found=", ".join(f"{part.name}: {part.pointing or 'no position'}" for part in parts),
            action="give a lock with one cube of each pointing: --lock",
        )
    return {str(part.pointing): places[part.name] for part in parts}


def _holds_cubes(group: ProductGroup) -> bool:
    return any(e.name == "SCI" and e.naxis == _CUBE_AXES for e in group.extensions)


def _require_all(lock: Lock, held: Mapping[str, Held], store: Store) -> None:
    lack = [file.name for file in lock.files if file.name not in held]
    groups = {file.name: file.group for file in lock.files}
    bad = [
        f"{name} is {state}"
        for name, content in held.items()
        if (state := store.state(content)) != "intact"
    ]
    bad += [
        f"the name {name} leads elsewhere"
        for name, content in held.items()
        if not store.leads_to(store.link_path(groups[name], name), content.sha256)
    ]
    if not lack and not bad:
        return
    first = f"{len(lack)} lack, first {lack[0]}" if lack else "; ".join(bad[:3])
    raise ArdError(
        "the store does not hold the cubes of the lock",
        file=store.root,
        expected=f"{len(lock.files)} files",
        found=first,
        action="make it equal the lock: rbh1 acquire run",
    )


def _nothing(store: Store, selection: Selection, cubes: int, exposures: int) -> ArdError:
    return ArdError(
        "the store has no cubes to begin with",
        file=store.root,
        expected=f"Level-3 cubes and exposures of the selection {selection.name}",
        found=f"{cubes} Level-3 cubes, {exposures} exposures",
        action="fetch the groups that hold them: rbh1 acquire run",
    )
