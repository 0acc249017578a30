"""What is in a file of chains?

Chains are netCDF in the groups of ArviZ: ``posterior`` holds parameters and derived quantities,
``sample_stats`` what the sampler says, both with the dimensions ``chain`` and ``draw`` first. The
attribute ``sampler_kind`` of the file is ``hamiltonian``, or ``plain`` for a sampler without an
energy; a file that does not say it is held to the stricter. ``provenance`` is the record in JSON,
``simulated`` 0 or 1. Variables are read when asked for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard.errors import ArdError, ExtraMissingError, FormatError
from checks.convergence.measurement import ENERGY, Measured, measure
from checks.folder import Product

CHAINS: Final = "chains"
POSTERIOR: Final = "posterior"
STATS: Final = "sample_stats"
AXES: Final = ("chain", "draw")
SAMPLER_KIND: Final = "sampler_kind"
HAMILTONIAN: Final = "hamiltonian"
PLAIN: Final = "plain"


class _Variables(Mapping[str, NDArray[Any]]):
    """The variables of a group that have draws, each read when it is asked for."""

    def __init__(self, group: Any, path: Path) -> None:
        self._group, self._path = group, path
        self._names = [
            name for name, found in group.variables.items() if set(AXES) <= set(found.dimensions)
        ]

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        variable = self._group.variables[name]
        if variable.dimensions[: len(AXES)] != AXES:
            found = ", ".join(variable.dimensions)
            raise _bad(self._path, f"'{name}' with dimensions chain, draw, ...", found)
        values: NDArray[Any] = np.asarray(variable[...])
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def measure_file(path: Path) -> Measured:
    """Measure the chains of a file, from the draws themselves.

    Parameters
    ----------
    path : Path
        A netCDF file.

    Raises
    ------
    ExtraMissingError
        If the library that reads netCDF is not installed.
    ArdError
        If the file is no such file, or its variables do not belong together.
    """
    with _opened(path) as file:
        missing = [name for name in (POSTERIOR, STATS) if name not in file.groups]
        if missing:
            raise _bad(path, f"the groups {POSTERIOR} and {STATS}", f"no {', '.join(missing)}")
        draws, stats = (_Variables(file.groups[name], path) for name in (POSTERIOR, STATS))
        kind = file.attrs.get(SAMPLER_KIND, HAMILTONIAN)
        # A sampler that has an energy is judged by it, whatever the file calls it.
        return measure(draws, stats, hamiltonian=kind != PLAIN or ENERGY in stats)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of chains; whatever is wrong with its content is a FormatError."""
    try:
        import h5netcdf
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("h5netcdf", "reading chains") from error
    try:
        with h5netcdf.File(path, "r") as file:
            yield file
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise _bad(path, "a netCDF file of numbers", f"{type(error).__name__}: {error}") from error


def measured_chains(path: Path) -> Measured | ArdError:
    """Measure the chains of a file once, for as long as it does not change; or say why not."""
    stat = path.stat()
    return _measured_version(path, stat.st_mtime_ns, stat.st_size)


@cache  # they are small: numbers for each scalar, not draws
def _measured_version(path: Path, _mtime_ns: int, _size: int) -> Measured | ArdError:
    try:
        return measure_file(path)
    except ArdError as error:
        return error


def record_facts(product: Product) -> Mapping[str, Any] | ArdError:
    """Give what a product says of itself: of a file of chains its attributes, else its facts.

    Returns
    -------
    mapping
        ``provenance`` and ``simulated``, as `ard.describe` gives them of products of other kinds.
    ArdError
        Why they cannot be read.
    """
    if product.kind != CHAINS:
        return product.facts or {}
    try:
        with _opened(product.path) as file:
            said = {name: file.attrs.get(name) for name in ("provenance", "simulated")}
    except ArdError as error:
        return error
    try:
        record = json.loads(str(said["provenance"]))
    except ValueError:
        record = None
    mark = said["simulated"]
    return {"provenance": record, "simulated": None if mark is None else bool(mark)}


def _bad(path: Path, expected: str, found: str) -> FormatError:
    return FormatError(
        "the file holds no chains",
        file=path.name,
        expected=expected,
        found=found,
        action="export the chains again",
    )
