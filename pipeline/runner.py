"""How is one task executed: inputs read, the stage called, outputs and record written?

Stages are pure; what touches the disk is here. A task runs in a worker process, so what comes back
is small and plain.
"""

import importlib
import os
import platform
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

import ard
from ard import io, layout
from ard.errors import ArdError
from ard.fitsio import write_hdus
from ard.provenance import Provenance
from pipeline import stages
from pipeline.code import tool_versions
from pipeline.graph import Files, Task
from pipeline.values import plain

RECORDS_DIR: Final = "records"


@dataclass(frozen=True)
class Failure:
    """Why could a task not be done?  Plain texts, because errors cross process borders badly."""

    problem: str
    file: str | None = None
    expected: str | None = None
    found: str | None = None
    action: str | None = None
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe an exception; the errors of the project say more than others."""
        text = "".join(traceback.format_exception(error))
        if hasattr(error, "problem"):
            names = ("file", "expected", "found", "action")
            file, expected, found, action = (getattr(error, name, None) for name in names)
            return cls(str(error.problem), file, expected, found, action, text)
        if isinstance(error, OSError) and error.filename is not None:
            return cls(
                problem="a file or folder cannot be read or written",
                file=str(error.filename),
                expected="a path that this user may read and write, and room on the disk",
                found=error.strerror or type(error).__name__,
                action="check the path and its permissions, and run again",
                traceback=text,
            )
        return cls(
            problem=f"{type(error).__name__}: {error}",
            action="run again with --debug for the traceback, and report it",
            traceback=text,
        )

    def lines(self) -> list[str]:
        """Give the message for people: the problem, then its details."""
        rows = [
            ("file", self.file),
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.action),
        ]
        return [self.problem, *(f"  {label}: {value}" for label, value in rows if value)]


@dataclass(frozen=True)
class Result:
    """How did a task end, and how long did it take (seconds)?"""

    task: str
    seconds: float
    failure: Failure | None = None


def record_path(root: Path, task: str) -> Path:
    """Say where the record of a task is."""
    return root / layout.STATE_DIR / RECORDS_DIR / f"{task}.json"


def execute(task: Task) -> Result:
    """Run one task and write its outputs and its record; failures are returned, not raised.

    Parameters
    ----------
    task : Task
        What to run.

    Returns
    -------
    Result
        The outcome. After a failure, outputs of an earlier execution are still in place.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    failure = None
    digests: dict[str, dict[str, str]] = {"inputs": {}, "outputs": {}}
    try:
        digests["inputs"] = {name: io.sha256_file(p) for name, p in _input_names(task).items()}
        _run(task, digests["inputs"])
        digests["outputs"] = {task.short(p): io.sha256_file(p) for p in _files(task.outputs)}
    except Exception as error:  # noqa: BLE001 (whatever a stage raises ends this task only)
        failure = _located(Failure.of(error), task)
    seconds = time.perf_counter() - clock
    record = {
        "schema": "record",
        "task": task.name,
        "stage": task.stage.name,
        "status": "failed" if failure else "done",
        "start": started.isoformat(),
        "end": datetime.now(UTC).isoformat(),
        "seconds": round(seconds, 3),
        "host": platform.node(),
        "pid": os.getpid(),
        "config": plain(task.config),
        "config_sha256": task.config_sha256,
        "code_sha256": task.code_sha256,
        "tools": dict(tool_versions()) | {"python": platform.python_version()},
        "failure": None if failure is None else plain(failure),
        **digests,
    }
    io.write_json(record_path(task.root, task.name), record, overwrite=True)
    return Result(task.name, seconds, failure)


def _run(task: Task, digests: Mapping[str, str]) -> None:
    inputs = _inputs(task)
    run = importlib.import_module(task.stage.module).run
    result = run(**inputs, **task.values, config=task.config)
    provenance = _provenance(task, inputs, digests)
    if isinstance(result, Mapping):
        _require_unchanged(task, digests)
        _write_named(task, result, provenance)
    elif isinstance(result, Iterable) and len(task.outputs) == 1:
        (files,) = task.outputs.values()
        _write_stream(task, result, files, provenance)
        _require_unchanged(task, digests)  # an iterator reads while its products are written
    else:
        raise _stage_error(task, "a mapping of output names to products", type(result).__name__)


def _inputs(task: Task) -> dict[str, Any]:
    """Read what `run` is handed; what only the readers are given is read first, and not kept."""
    reads = {read.name: read for read in task.stage.reads}
    aids = {inner.name: inner for read in reads.values() for inner in read.given}
    given = {name: _load(task.inputs[name], aids[name].load) for name in aids}
    found = {}
    for name, files in task.inputs.items():
        if name in reads:
            more = {inner.name: given[inner.name] for inner in reads[name].given}
            found[name] = _load(files, reads[name].load, more)
        elif name not in aids:
            found[name] = _load(files, "path")
    return found


def _input_names(task: Task) -> dict[str, Path]:
    """Give every input file by the name that records know it by; each name stands for one file."""
    labels = {path: label for label, path in task.input_files().items()}
    uses = Counter(task.short(path) for path in labels)
    return {
        # No slash: a name with one is taken for a file of the run folder.
        task.short(path)
        if uses[task.short(path)] == 1 or task.inside(path)
        else f"{label.replace('/', '.')}:{path.name}": path
        for path, label in labels.items()
    }


def _require_unchanged(task: Task, digests: Mapping[str, str]) -> None:
    for name, path in _input_names(task).items():
        if task.inside(path) or (path.is_file() and io.sha256_file(path) == digests[name]):
            continue
        raise ArdError(
            f"an input of '{task.name}' changed while it was being used",
            file=path,
            expected=f"the content it had at the start, sha256 {digests[name]}",
            found="other content" if path.is_file() else "no such file",
            action="wait until nothing writes the file, and run again",
        )


def _located(failure: Failure, task: Task) -> Failure:
    """Name the file that the user gave where a stage knows only what a header calls it."""
    named = Path(failure.file) if failure.file else None
    if named is not None and named.is_absolute() and named.exists():
        return failure
    # The study's own, unless the target is the user's.
    declared = {"target", "filters", "acceptance", "assumed"}
    given = [p for label, p in task.outside_files().items() if label not in declared]
    if len(given) != 1:
        return failure
    found = failure.found
    if named is not None and named.name != given[0].name:
        found = "; ".join(text for text in (found, f"the header calls it {named.name}") if text)
    return replace(failure, file=str(given[0]), found=found)


def _load(files: Files, load: str, given: Mapping[str, Any] | None = None) -> Any:
    if not isinstance(files, Path):
        return {name: _load(inner, load, given) for name, inner in files.items()}
    return _loader(load)(files, **(given or {}))


def _loader(load: str) -> Callable[..., Any]:
    simple: dict[str, Callable[..., Any]] = {
        "product": io.read,
        "path": lambda path: path,
        "headers": read_headers,
        "bytes": Path.read_bytes,
    }
    if load == "target":
        load = "manifests.target:load_target"
    if load in simple:
        return simple[load]
    module, _, function = load.partition(":")
    reader: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return reader


def read_headers(path: Path) -> dict[str, fits.Header]:
    """Read the headers of a FITS file by extension name (``PRIMARY``, ``SCI``, ...)."""
    with fits.open(path) as hdus:
        return {hdu.name or str(i): hdu.header.copy() for i, hdu in enumerate(hdus)}


def _provenance(task: Task, inputs: Mapping[str, Any], digests: Mapping[str, str]) -> Provenance:
    simulated = task.simulated or any(_is_simulated(value) for value in inputs.values())
    return Provenance(
        stage=task.stage.name,
        code_version=ard.__version__,
        code_sha256=task.code_sha256,
        config_sha256=task.config_sha256,
        seed=getattr(task.config, "seed", None),
        simulated=simulated,
        inputs=dict(digests),
        tools=dict(tool_versions()),
    )


def _is_simulated(value: Any) -> bool:
    if isinstance(value, Mapping):
        recorded = value.get("provenance")
        if isinstance(recorded, Mapping) and "simulated" in recorded:
            return bool(recorded["simulated"])
        return any(_is_simulated(inner) for inner in value.values())
    return bool(getattr(value, "simulated", False))


def _write_named(task: Task, result: Mapping[str, Any], provenance: Provenance) -> None:
    if set(result) != set(task.outputs):
        expected = ", ".join(sorted(task.outputs))
        raise _stage_error(task, f"the outputs {expected}", ", ".join(map(str, result)))
    # Everything is checked before the first file is replaced.
    pairs = [
        pair
        for name, product in result.items()
        for pair in _pair(task, name, product, task.outputs[name])
    ]
    for path, product in pairs:
        _write(path, product, provenance)


def _pair(task: Task, name: str, product: Any, files: Files) -> list[tuple[Path, Any]]:
    if isinstance(files, Path):
        return [(files, product)]
    if not isinstance(product, Mapping) or set(product) != set(files):
        expected = f"'{name}' as a mapping with the keys {', '.join(sorted(files))}"
        found = ", ".join(map(str, product)) if isinstance(product, Mapping) else type(product)
        raise _stage_error(task, expected, found)
    return [
        pair for key in files for pair in _pair(task, f"{name}/{key}", product[key], files[key])
    ]


def _write_stream(
    task: Task, result: Iterable[tuple[str, Any]], files: Files, provenance: Provenance
) -> None:
    if isinstance(files, Path):
        raise _stage_error(task, "one product", "an iterator of products")
    written = set()
    for name, product in result:
        place = files.get(name)
        if not isinstance(place, Path):
            raise _stage_error(task, f"the files {', '.join(files)}", name)
        _write(place, product, provenance)
        written.add(name)
    if missing := set(files) - written:
        raise _stage_error(task, f"also {', '.join(sorted(missing))}", "they were not made")


def _write(path: Path, product: Any, provenance: Provenance) -> None:
    if isinstance(product, Path):
        # A file that is copied keeps the provenance of its maker.
        io.atomic_write_bytes(path, product.read_bytes(), overwrite=True)
    elif isinstance(product, fits.HDUList):
        write_hdus(path, product, overwrite=True)
    elif isinstance(product, str):
        io.atomic_write_bytes(path, product.encode(), overwrite=True)
    else:
        io.write(path, _signed(product, provenance), overwrite=True)


def _signed(product: Any, provenance: Provenance) -> Any:
    if isinstance(product, Mapping):
        return dict(product) | {"provenance": provenance.to_dict()}
    if is_dataclass(product) and not isinstance(product, type) and hasattr(product, "provenance"):
        return replace(product, provenance=provenance)
    return product


def _files(files: Files) -> list[Path]:
    if isinstance(files, Path):
        return [files]
    return [path for inner in files.values() for path in _files(inner)]


def _stage_error(task: Task, expected: object, found: object) -> ArdError:
    return ArdError(
        f"the stage '{task.stage.name}' does not give what pipeline/stages declares",
        expected=expected,
        found=found,
        file=stages.__file__,
        action=f"make {task.stage.module}.run and its declaration agree",
    )
