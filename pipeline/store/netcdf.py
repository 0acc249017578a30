"""How do chains become a file that a stranger can open, check and reweight without us?

netCDF4 in the groups that ArviZ reads. It is written in pieces of a fixed number of draws, so that
memory does not grow with the chains, and the bytes depend on the chains alone. Pieces are
compressed beside one another: that is nearly all the work.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, FormatError
from ard.fileio import atomic_path
from ard.provenance import Provenance
from pipeline.doctor import cores
from pipeline.store.blocks import SAMPLE, Block, BlockStore, Run
from pipeline.store.troubles import room_for

# Draws in a piece of a variable, which is what is compressed, and read back, as one.
PIECE: Final = 10_000
# log_likelihood is kept of so many draws at most; it may have many numbers for each.
N_LIKELIHOOD: Final = 100_000
LIKELIHOOD_PIECE: Final = 1_000
LEVEL: Final = 1  # of zlib
STATS: Final = "sample_stats"
LIKELIHOOD: Final = "log_likelihood"
# Where ArviZ does not take it for data that could be left out.
TOTAL: Final = "log_likelihood_total"
LP: Final = "lp"
LP_COMMENT: Final = (
    "ln of the density that was sampled, up to a constant: ln of the likelihood of all data, and "
    "for each parameter log_prior and, where prior_spec gives a transform, ln |d value / d z|"
)

Array = np.ndarray[Any, Any]
Density = Callable[[FloatArray], Mapping[str, Array]]


@dataclass(frozen=True)
class Content:
    """What a file holds beside the draws.

    Attributes
    ----------
    log_prior : callable
        Takes draws (n_draw, n_parameter); gives ln of the prior for each parameter, (n_draw,).
    log_likelihood : callable
        Takes draws; gives ln of the likelihood for each block of the data, (n_draw,), or
        (n_draw, n_group) where a block has groups. Where noise is correlated, groups are of
        conditional densities, each given all other data, and add up to nothing.
    total : tuple of str
        Which of those are of the data as a whole: they stand in a group of their own.
    groups : mapping of str to sequence
        What each group of a block is of, as JSON has it.
    observed, constant : mapping
        Where the data are, and what else the likelihood used (mask, LSF, PSF): for each name what
        finds it, as ``{"file": ..., "sha256": ...}``.
    provenance : Provenance or None
        What made the chains.
    n_likelihood : int
        Of how many draws log_likelihood is kept at most.
    derived : callable, optional
        Takes draws; gives what follows from the parameters, (n_draw,) for each name: it stands
        beside them in the group of the posterior.
    derived_units : mapping of str to str
        Units of those.
    """

    log_prior: Density
    log_likelihood: Density
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    constant: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    provenance: Provenance | None = None
    n_likelihood: int = N_LIKELIHOOD
    derived: Density | None = None
    derived_units: Mapping[str, str] = field(default_factory=dict)
    total: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Variable:
    """A variable of the file: (chain, draw), or (chain, draw, group) where there are groups."""

    group: str
    name: str
    dtype: np.dtype[Any]
    n_draw: int
    piece: int
    n_group: int = 0
    is_flag: bool = False

    @property
    def path(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ("chain", "draw", *([f"{self.name}_group"] if self.n_group else []))

    @property
    def chunk(self) -> tuple[int, ...]:
        return (1, self.piece, *([self.n_group] if self.n_group else []))


def export_netcdf(
    store: BlockStore, run: str, path: str | Path, content: Content, *, overwrite: bool = False
) -> None:
    """Write the sampled draws of a run as netCDF4 in ArviZ's groups.

    Parameters to float32, densities to float64. Equal chains give equal bytes, however they were
    cut into blocks. Where chains differ in length, the shortest decides; the file says so.

    Parameters
    ----------
    store : BlockStore
        Where the chains are.
    run : str
        Name of the run.
    path : path-like
        The file; it appears when it is whole.
    content : Content
        Densities, references and provenance.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ArdError
        If a chain has no draws, or names of variables cannot be such.
    FormatError
        If a density does not fit the draws, or blocks have different statistics.
    DiskFullError
        If there is no room; no file appears.
    """
    import h5netcdf
    import h5py

    of = store.run(run)
    stored = [store.n_draw(run, chain) for chain in range(of.n_chain)]
    first = next(store.blocks(run, 0), None)
    if first is None or not min(stored):
        raise ArdError(
            f"the run '{run}' has a chain without draws",
            expected="draws of every chain, after warm-up",
            found=f"{stored} draws",
            action="let it sample",
        )
    plan = _plan(of, first, min(stored), content)
    with room_for(path), atomic_path(path, overwrite=overwrite) as temporary:
        with h5netcdf.File(temporary, "w") as file:
            _declare(file, plan, _attributes(store, of, stored, content), content)
        with h5py.File(temporary, "r+") as file, ThreadPoolExecutor(cores()) as pool:
            _Filling(file, pool, plan, of, content).run(store)


@dataclass(frozen=True)
class _Plan:
    n_chain: int
    n_draw: int
    thin: int
    n_thinned: int
    draws: tuple[_Variable, ...]
    stats: tuple[_Variable, ...]
    priors: tuple[_Variable, ...]
    likelihoods: tuple[_Variable, ...]
    derived: tuple[_Variable, ...] = ()

    @property
    def variables(self) -> tuple[_Variable, ...]:
        return (*self.draws, *self.derived, *self.stats, *self.priors, *self.likelihoods)


def _plan(run: Run, first: Block, n_draw: int, content: Content) -> _Plan:
    sample = first.draws[:1]
    thin = math.ceil(n_draw / max(content.n_likelihood // run.n_chain, 1))
    n_thinned = math.ceil(n_draw / thin)
    piece, small = min(PIECE, n_draw), min(LIKELIHOOD_PIECE, n_thinned)
    f32, f64 = np.dtype("<f4"), np.dtype("<f8")
    priors = _evaluated(content.log_prior, sample, "log_prior")
    likelihoods = _evaluated(content.log_likelihood, sample, "log_likelihood")
    if set(priors) != set(run.parameters):
        raise _unfit("log_prior", f"one for each of {', '.join(run.parameters)}", sorted(priors))
    for name, what in content.groups.items():
        if name not in likelihoods or likelihoods[name].shape != (1, len(what)):
            raise _unfit("what groups are of", "a word for each group", name)
    derived = _derived(content, sample)
    if both := sorted(set(derived) & set(run.parameters)):
        raise _unfit("a derived quantity", "other names than those of the parameters", both)
    plan = _Plan(
        run.n_chain,
        n_draw,
        thin,
        n_thinned,
        tuple(_Variable("posterior", name, f32, n_draw, piece) for name in run.parameters),
        tuple(_statistic(name, first, n_draw, piece) for name in sorted(first.stats)),
        tuple(_Variable("log_prior", name, f64, n_draw, piece) for name in run.parameters),
        tuple(
            _Variable(
                TOTAL if name in content.total else LIKELIHOOD,
                name,
                f64,
                n_thinned,
                small,
                value.shape[1] if value.ndim > 1 else 0,
            )
            for name, value in sorted(likelihoods.items())
        ),
        tuple(_Variable("posterior", name, f32, n_draw, piece) for name in sorted(derived)),
    )
    names = [variable.name for variable in plan.variables]
    taken = ("chain", "draw")
    if wrong := [n for n in names if "/" in n or n.strip() != n or not n or n in taken]:
        raise _unfit("the name of a variable", "names without '/', other than chain, draw", wrong)
    return plan


def _statistic(name: str, first: Block, n_draw: int, piece: int) -> _Variable:
    dtype = first.stats[name].dtype
    # netCDF has no truth values; this is how xarray marks them.
    stored = np.dtype("i1") if dtype.kind == "b" else dtype.newbyteorder("<")
    return _Variable(STATS, name, stored, n_draw, piece, is_flag=dtype.kind == "b")


def _evaluated(density: Density, draws: FloatArray, what: str) -> dict[str, Array]:
    values = {name: np.asarray(value, "<f8") for name, value in density(draws).items()}
    wrong = sorted(n for n, v in values.items() if v.ndim not in (1, 2) or len(v) != len(draws))
    if wrong:
        raise _unfit(what, f"({len(draws)},) or ({len(draws)}, n_group)", wrong)
    return values


def _derived(content: Content, draws: FloatArray) -> dict[str, Array]:
    found = {} if content.derived is None else _evaluated(content.derived, draws, "a derived")
    if wrong := sorted(name for name, value in found.items() if value.ndim != 1):
        raise _unfit("a derived quantity", f"({len(draws)},)", wrong)
    return found


def _unfit(what: str, expected: str, found: object) -> FormatError:
    action = "mend the functions that are handed to export_netcdf, or the sampler"
    return FormatError(
        f"{what} does not fit the draws", expected=expected, found=found, action=action
    )


def _attributes(
    store: BlockStore, run: Run, stored: list[int], content: Content
) -> dict[str, str | int | list[int]]:
    summaries = {
        name: {key: value if math.isfinite(value) else None for key, value in values.items()}
        for name, values in store.summaries(run.name).items()
    }
    provenance = content.provenance
    return {
        "title": f"Posterior draws of the run {run.name}",
        "inference_library": "rbh1-ard",
        "run": run.name,
        "seed": str(run.seed),
        "simulated": int(provenance is not None and provenance.simulated),
        "n_draw_stored": stored,
        "parameters": _json(list(run.parameters)),
        "derived": _json(dict(content.derived_units)),
        "prior_spec": _json(run.prior),
        "sampler_config": _json(run.config),
        "digests": _json(run.digests),
        "tools": _json(run.provenance),
        "summaries": _json(summaries),
        "provenance": _json(None if provenance is None else provenance.to_dict()),
    }


def _json(document: object) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=True)


def _declare(file: Any, plan: _Plan, attributes: Mapping[str, Any], content: Content) -> None:
    """Make groups, dimensions, variables and attributes; no numbers yet."""
    for key, value in attributes.items():
        file.attrs[key] = value
    grouped: dict[str, list[_Variable]] = {}
    for variable in plan.variables:
        grouped.setdefault(variable.group, []).append(variable)
    for name, variables in grouped.items():
        group = file.create_group(name)
        group.dimensions = {"chain": plan.n_chain, "draw": variables[0].n_draw}
        _create(group, "chain", ("chain",), np.dtype("<i8"), (plan.n_chain,))
        _create(group, "draw", ("draw",), np.dtype("<i8"), (variables[0].piece,))
        for variable in variables:
            if variable.n_group:
                group.dimensions[variable.dimensions[-1]] = variable.n_group
            made = _create(
                group, variable.name, variable.dimensions, variable.dtype, variable.chunk
            )
            if variable.is_flag:
                made.attrs["dtype"] = "bool"
            if (name, variable.name) == (STATS, LP):
                made.attrs["comment"] = LP_COMMENT
            if variable.n_group and variable.name in content.groups:
                made.attrs["groups"] = _json(list(content.groups[variable.name]))
    for name in (LIKELIHOOD, TOTAL):
        if name in grouped:
            file[name].attrs["thin"] = plan.thin
            file[name].attrs["comment"] = f"of every draw whose number is a multiple of {plan.thin}"
    for name, references in (
        ("observed_data", content.observed),
        ("constant_data", content.constant),
    ):
        group = file.create_group(name)
        for key, reference in sorted(references.items()):
            group.attrs[key] = _json(dict(reference))


def _create(
    group: Any, name: str, dimensions: tuple[str, ...], dtype: np.dtype[Any], chunk: tuple[int, ...]
) -> Any:
    options = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True}
    return group.create_variable(name, dimensions, dtype, chunks=chunk, **options)


class _Filling:
    """Put the numbers into a file, piece by piece."""

    def __init__(
        self, file: Any, pool: ThreadPoolExecutor, plan: _Plan, run: Run, content: Content
    ) -> None:
        self._file = file
        self._pool = pool
        self._plan = plan
        self._run = run
        self._content = content

    def run(self, store: BlockStore) -> None:
        plan = self._plan
        self._coordinates()
        for chain in range(plan.n_chain):
            thinned = []
            for number, block in enumerate(_pieces(store, self._run.name, chain, plan)):
                self._put_piece(chain, number, block)
                thinned.append(block.draws[-block.first_draw % plan.thin :: plan.thin].copy())
            self._put_likelihood(chain, np.concatenate(thinned))

    def _coordinates(self) -> None:
        plan = self._plan
        for group in sorted({variable.group for variable in plan.variables}):
            self._file[group]["chain"][:] = np.arange(plan.n_chain)
            draw = self._file[group]["draw"]
            step = plan.thin if group in (LIKELIHOOD, TOTAL) else 1
            for first in range(0, len(draw), PIECE):
                last = min(first + PIECE, len(draw))
                draw[first:last] = step * np.arange(first, last)

    def _put_piece(self, chain: int, number: int, block: Block) -> None:
        priors = _evaluated(self._content.log_prior, block.draws, "log_prior")
        rows: list[tuple[_Variable, Array]] = [
            (variable, block.draws[:, column]) for column, variable in enumerate(self._plan.draws)
        ]
        derived = _derived(self._content, block.draws)
        rows += [(variable, derived[variable.name]) for variable in self._plan.derived]
        rows += [(variable, block.stats[variable.name]) for variable in self._plan.stats]
        rows += [(variable, priors[variable.name]) for variable in self._plan.priors]
        self._put(chain, number, rows)

    def _put_likelihood(self, chain: int, draws: FloatArray) -> None:
        for number, first in enumerate(range(0, len(draws), LIKELIHOOD_PIECE)):
            part = draws[first : first + LIKELIHOOD_PIECE]
            values = _evaluated(self._content.log_likelihood, part, "log_likelihood")
            likelihoods = self._plan.likelihoods
            if [v.name for v in likelihoods] != sorted(values):
                raise _unfit("log_likelihood", "the same blocks for all draws", sorted(values))
            self._put(chain, number, [(v, values[v.name]) for v in likelihoods])

    def _put(self, chain: int, number: int, rows: list[tuple[_Variable, Array]]) -> None:
        """Compress one piece of each variable, in threads, and write them in order."""
        for (variable, _), data in zip(rows, self._pool.map(_compressed, rows), strict=True):
            place = (chain, number * variable.piece, *([0] if variable.n_group else []))
            self._file[variable.path].id.write_direct_chunk(place, data)


def _compressed(row: tuple[_Variable, Array]) -> bytes:
    """Do what HDF5's filters "shuffle" and "deflate" do, but not under its lock."""
    variable, values = row
    whole = np.zeros(variable.chunk[1:], variable.dtype)
    whole[: len(values)] = values
    size = variable.dtype.itemsize
    shuffled = whole.view(np.uint8).reshape(-1, size).T if size > 1 else whole.view(np.uint8)
    # Bits of a mantissa repeat nowhere but in runs of one byte. To look for those alone takes half
    # the time and makes the file no larger; any reader of deflate reads it.
    squeezed = zlib.compressobj(LEVEL, strategy=zlib.Z_RLE)
    return squeezed.compress(np.ascontiguousarray(shuffled)) + squeezed.flush()


def _pieces(store: BlockStore, run: str, chain: int, plan: _Plan) -> Iterator[Block]:
    """Give a chain's draws in pieces of the size that the file has, whatever its blocks are."""
    size, given, held = plan.draws[0].piece, 0, _Held(plan.stats)
    for block in store.blocks(run, chain, SAMPLE):
        held.add(block)
        while held.n_draw >= size and given < plan.n_draw:
            piece = held.take(chain, given, min(size, plan.n_draw - given))
            given += len(piece.draws)
            yield piece
        if given == plan.n_draw:
            return
    if given < plan.n_draw:
        yield held.take(chain, given, plan.n_draw - given)


class _Held:
    """Draws that were read and not yet given."""

    def __init__(self, stats: tuple[_Variable, ...]) -> None:
        self._names = [variable.name for variable in stats]
        self._draws: list[FloatArray] = []
        self._stats: dict[str, list[Array]] = {name: [] for name in self._names}
        self.n_draw = 0

    def add(self, block: Block) -> None:
        if sorted(block.stats) != self._names:
            raise _unfit("a block's statistics", ", ".join(self._names), sorted(block.stats))
        self._draws.append(block.draws)
        for name in self._names:
            self._stats[name].append(block.stats[name])
        self.n_draw += len(block.draws)

    def take(self, chain: int, first: int, count: int) -> Block:
        draws = np.concatenate(self._draws)
        stats = {name: np.concatenate(parts) for name, parts in self._stats.items()}
        self._draws = [draws[count:]]
        self._stats = {name: [values[count:]] for name, values in stats.items()}
        self.n_draw -= count
        taken = {name: values[:count] for name, values in stats.items()}
        return Block(chain, 0, SAMPLE, first, draws[:count], taken, b"")
