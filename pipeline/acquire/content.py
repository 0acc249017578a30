"""Does a product hold what products of its kind hold?

Invariants of JWST cubes were measured on real ones, and a few voxels of real ones break them.
So breaches are counted and reported; only what makes a cube useless is a failure.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from astropy.io import fits

from ard import spectral
from ard.errors import ArdError
from ard.headers import celestial_wcs
from ard.s3d import DO_NOT_USE, NON_SCIENCE, UNIT
from manifests.selection import ProductGroup
from pipeline.acquire.reading import sentence

_NO_DATA: Final = DO_NOT_USE | NON_SCIENCE
_SLAB_VOXELS: Final = 1 << 19  # a few MB of each extension at a time
_AXES: Final = 3
_CUBE: Final = ("SCI", "ERR", "DQ", "WMAP")
_PLACE: Final = tuple(f"{key}{i}" for i in (1, 2, 3) for key in ("CTYPE", "CRPIX", "CRVAL"))
_EXPECTED: Final = (
    f"{', '.join(_CUBE)} of one shape, in {UNIT}, with a celestial and a wavelength axis; "
    f"NaN where and only where DQ has {_NO_DATA} and WMAP is 0; ERR above 0 elsewhere"
)


@dataclass(frozen=True)
class Findings:
    """What was expected, what makes the file useless, and what is merely odd."""

    expected: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Breaches:
    """How many voxels break which invariant, and how many hold any signal."""

    signal: int = 0
    nan_not_flagged: int = 0
    flagged_not_nan: int = 0
    nan_with_weight: int = 0
    weightless_not_nan: int = 0
    finite_without_error: int = 0

    def __add__(self, other: "Breaches") -> "Breaches":
        return Breaches(**{key: n + getattr(other, key) for key, n in vars(self).items()})

    def sentences(self) -> list[str]:
        """Say what was counted, where it is not zero."""
        counts = vars(replace(self, signal=0))
        return [f"{n} voxels {key.replace('_', ' ')}" for key, n in counts.items() if n]


def check(
    path: Path, name: str, group: ProductGroup, stop: Callable[[], bool], *, vouched: bool
) -> Findings:
    """Look at the content of a file whose structure is right, in bounded memory.

    Parameters
    ----------
    path : path
    name : str
        The name that the archive gives the file.
    group : ProductGroup
        A group with a three-dimensional SCI holds cubes; of others only FILENAME is looked at.
    stop : callable
        Asked between slabs; where it says True, KeyboardInterrupt is raised.
    vouched : bool
        Whether a checksum says that these are the bytes of this file. Otherwise a header with the
        name of another file of the group is a reason to refuse it.
    """
    with path.open("rb") as stream, fits.open(stream, memmap=False) as hdus:
        named = hdus[0].header.get("FILENAME")
        notes = [] if named in (None, name) else [f"FILENAME says {named}"]
        if notes and not vouched and group.holds(str(named)):
            return Findings(f"FILENAME {name}", tuple(notes), ())
        if not any(e.name == "SCI" and e.naxis == _AXES for e in group.extensions):
            return Findings("" if named is None else f"FILENAME {name}", (), tuple(notes))
        problems = _unusable(hdus, path.name)
        if not problems:
            seen = _count(hdus, stop)
            notes += seen.sentences()
            problems = [] if seen.signal else ["SCI is NaN or zero in every voxel"]
    return Findings(_EXPECTED, tuple(problems), tuple(notes))


def _unusable(hdus: fits.HDUList, name: str) -> list[str]:
    """Say what keeps a cube from being used at all."""
    lacking = [key for key in _CUBE if key not in hdus]
    if lacking:
        return [f"no {key}" for key in lacking]
    header, shape = hdus["SCI"].header, hdus["SCI"].shape
    problems = [
        f"{key} has shape {hdus[key].shape}, SCI {shape}"
        for key in _CUBE
        if hdus[key].shape != shape
    ]
    unit = str(header.get("BUNIT", "")).strip()
    if unit != UNIT:
        problems.append(f"BUNIT is {unit or 'missing'}")
    problems += [f"no {key}" for key in _PLACE if key not in header]
    for read in (
        lambda: celestial_wcs(header, name),
        lambda: spectral.read_wave(hdus, header, name),
    ):
        try:
            read()
        except ArdError as error:
            problems.append(sentence(error))
    return problems


def _count(hdus: fits.HDUList, stop: Callable[[], bool]) -> Breaches:
    depth, *plane = hdus["SCI"].shape
    step = max(1, _SLAB_VOXELS // max(1, int(np.prod(plane))))
    total = Breaches()
    for start in range(0, depth, step):
        if stop():
            raise KeyboardInterrupt
        slab = {key: hdus[key].section[start : start + step] for key in _CUBE}
        total += _breaches(slab)
    return total


def _breaches(slab: dict[str, np.ndarray]) -> Breaches:
    sci = slab["SCI"]
    nan, finite = np.isnan(sci), np.isfinite(sci)
    flagged = (slab["DQ"] & np.uint32(_NO_DATA)) == _NO_DATA
    weightless = slab["WMAP"] == 0
    found = {
        "signal": finite & (sci != 0),
        "nan_not_flagged": nan & ~flagged,
        "flagged_not_nan": flagged & ~nan,
        "nan_with_weight": nan & ~weightless,
        "weightless_not_nan": weightless & ~nan,
        "finite_without_error": finite & ~(slab["ERR"] > 0),
    }
    return Breaches(**{key: int(voxels.sum()) for key, voxels in found.items()})
