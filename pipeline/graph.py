"""Which tasks make a run, and which files does each of them read and write?

`build_tasks` applies the declarations of `pipeline.stages` to a `Plan` (a folder, a source, the
items, the settings). Nothing is read or computed here.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ard import layout
from ard.errors import ArdError
from pipeline import fitted
from pipeline.code import code_sha256, state_sha256
from pipeline.config import RunConfig
from pipeline.stages import Read, Stage, Write
from pipeline.values import sha256_of

# A file, or a mapping of item, part or name to files.
type Files = Path | Mapping[str, Files]


@dataclass(frozen=True)
class Plan:
    """What a run is about: its folder, its source, its items and its settings.

    Attributes
    ----------
    root : path
        The run folder.
    source : str
        ``twin`` (simulated), ``cube`` (a file of the user) or ``archive`` (a store of archive
        files).
    items : tuple of str
        The cubes, by the short name that begins their files.
    inputs : mapping
        Files that the plan brings (``target``), by name.
    item_inputs : mapping
        For each name (``cube``), the file of each item.
    parts : mapping
        Lists over which outputs run, such as ``groups``.
    context : mapping
        Plain facts about the run that stages may read as ``plan.context``.
    config : RunConfig
        The settings of every stage.
    """

    root: Path
    source: str
    items: tuple[str, ...]
    inputs: Mapping[str, Files]
    item_inputs: Mapping[str, Mapping[str, Path]]
    parts: Mapping[str, tuple[str, ...]]
    context: Mapping[str, Any]
    config: RunConfig


@dataclass(frozen=True)
class Task:
    """One execution of a stage: its files, its settings and the digests that make it current.

    Attributes
    ----------
    name : str
        ``linemaps[t001]``, or the name of a stage that runs once.
    stage : Stage
        The declaration.
    root : path
        The run folder.
    inputs, outputs : mapping
        Files by the names of the reads and writes.
    values : mapping
        Plain inputs, which count as settings.
    config : dataclass
        The settings of the stage.
    simulated : bool
        Whether the plan says that its data are simulated.
    code_sha256, state_sha256 : str
        Digest of the sources, and of sources with library versions.
    """

    name: str
    stage: Stage
    root: Path
    inputs: Mapping[str, Files]
    outputs: Mapping[str, Files]
    values: Mapping[str, Any]
    config: Any
    simulated: bool
    code_sha256: str
    state_sha256: str

    @property
    def config_sha256(self) -> str:
        """Digest of settings and plain inputs."""
        return sha256_of({"config": self.config, "values": self.values})

    def input_files(self) -> dict[str, Path]:
        """Give every input file by a flat name."""
        return dict(flatten(self.inputs))

    def output_files(self) -> dict[str, Path]:
        """Give every output file by a flat name."""
        return dict(flatten(self.outputs))

    def short(self, path: Path) -> str:
        """Name a file relative to the run folder, or by its file name outside of it."""
        return path.relative_to(self.root).as_posix() if self.inside(path) else path.name

    def inside(self, path: Path) -> bool:
        """Say if a file belongs to the run folder."""
        return path.is_relative_to(self.root)

    def outside_files(self) -> dict[str, Path]:
        """Give the input files that are not in the run folder, by a flat name."""
        return {n: path for n, path in self.input_files().items() if not self.inside(path)}


def flatten(files: Files, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Walk a tree of files; names are joined with slashes."""
    if isinstance(files, Path):
        yield prefix, files
        return
    for key, value in files.items():
        yield from flatten(value, f"{prefix}/{key}" if prefix else key)


def build_tasks(plan: Plan, stages: Iterable[Stage]) -> tuple[Task, ...]:
    """Make the tasks of a plan, in the order of the stages.

    Raises
    ------
    ArdError
        If a stage reads what no earlier stage writes and the plan does not bring.
    """
    active = [
        stage
        for stage in stages
        if plan.source in stage.sources
        and set(stage.needs) <= set(plan.inputs)
        and len(plan.items) >= stage.least_items
    ]
    tasks: list[Task] = []
    made: dict[str, tuple[Stage, Files]] = {}
    for stage in active:
        items: tuple[str | None, ...] = plan.items if stage.per_item else (None,)
        written: dict[str, dict[str, Files]] = {}
        for item in items:
            task = _task(plan, stage, item, made, tasks)
            tasks.append(task)
            for name, files in task.outputs.items():
                written.setdefault(name, {})[item or ""] = files
        for name, by_item in written.items():
            made[f"{stage.name}.{name}"] = (stage, by_item if stage.per_item else by_item[""])
    return tuple(tasks)


def _task(
    plan: Plan,
    stage: Stage,
    item: str | None,
    made: Mapping[str, tuple[Stage, Files]],
    earlier: Iterable[Task],
) -> Task:
    inputs: dict[str, Files] = {}
    values: dict[str, Any] = {}
    aids = [inner for outer in stage.reads for inner in outer.given]
    for read in (*stage.reads, *aids):
        if read.source == "plan.context":
            values[read.name] = plan.context
            continue
        if read.source == "plan.item":
            values[read.name] = item
            continue
        files = _find(plan, stage, read, item, made)
        if files is None:
            values[read.name] = None
        else:
            inputs[read.name] = files
    outputs = {write.name: _place(plan, stage, write, item) for write in stage.writes}
    if stage.collects:
        collected, rows = _collected(plan, earlier)
        inputs["products"] = {name: source for name, (source, _) in collected.items()}
        outputs["products"] = {name: place for name, (_, place) in collected.items()}
        values["rows"] = rows
    return Task(
        name=stage.name if item is None else f"{stage.name}[{item}]",
        stage=stage,
        root=plan.root,
        inputs=inputs,
        outputs=outputs,
        values=values,
        config=plan.config[stage.name],
        simulated=bool(plan.context.get("simulated", False)),
        code_sha256=code_sha256(stage.code),
        state_sha256=state_sha256(stage.code),
    )


def _find(
    plan: Plan,
    stage: Stage,
    read: Read,
    item: str | None,
    made: Mapping[str, tuple[Stage, Files]],
) -> Files | None:
    origin, _, name = read.source.partition(".")
    if origin == "plan" and name in plan.item_inputs:
        by_item = plan.item_inputs[name]
        if item is None:
            return by_item
        # An optional input: one item may have it and another not.
        return by_item.get(item) if read.optional else by_item[item]
    if origin == "plan" and name in plan.inputs:
        return plan.inputs[name]
    if read.source in made:
        producer, files = made[read.source]
        if item is not None and producer.per_item and isinstance(files, Mapping):
            return files[item]
        return files
    if read.optional:
        return None
    raise ArdError(
        f"the stage '{stage.name}' reads '{read.source}', which nothing provides",
        expected="a file of the plan or an output of an earlier stage",
        found=", ".join([*sorted(made), *(f"plan.{n}" for n in plan.inputs)]) or "nothing",
        action="correct the declaration in pipeline/stages, or mark the read as optional",
    )


def _place(plan: Plan, stage: Stage, write: Write, item: str | None) -> Files:
    template = write.path if item is None else write.path.replace("{item}", item)
    if "{item}" in template:
        return {i: _expand(plan, stage, write, template.replace("{item}", i)) for i in plan.items}
    return _expand(plan, stage, write, template)


def _expand(plan: Plan, stage: Stage, write: Write, template: str) -> Files:
    if write.parts:
        parts = plan.parts[write.parts]
        suffix = {part: "" if len(parts) == 1 else f"-{part}" for part in parts}
        return {part: plan.root / template.replace("{part}", suffix[part]) for part in parts}
    if write.names:
        names = getattr(importlib.import_module(stage.module), write.names)
        listed = names(plan.config[stage.name])
        return {name: plan.root / template.replace("{name}", name) for name in listed}
    return plan.root / template


def _collected(
    plan: Plan, tasks: Iterable[Task]
) -> tuple[dict[str, tuple[Path, Path]], list[dict[str, str]]]:
    """Give each product's source and place by its name in products/, and its description."""
    found: dict[str, tuple[Path, Path]] = {}
    rows = []
    for task in tasks:
        for write in task.stage.writes:
            if not write.layer:
                continue
            for _, source in flatten(task.outputs[write.name]):
                name = f"{write.layer}/{source.name}"
                if name in found:
                    raise ArdError(
                        "two stages make the same product",
                        file=name,
                        expected="one file of that name",
                        found=f"{found[name][0]} and {source}",
                        action="give one of the writes another path in pipeline/stages",
                    )
                found[name] = (source, plan.root / layout.PRODUCTS_DIR / name)
                row = {"path": name, "kind": write.kind, "stage": task.stage.name}
                rows.append(row | ({"schema": write.schema} if write.schema else {}))
    # What was sampled in its own time (`rbh1 fit`) is collected as it lies there.
    for name, source in flatten(plan.inputs.get(fitted.INPUT, {})):
        found[name] = (source, plan.root / layout.PRODUCTS_DIR / name)
        rows.append(fitted.row(name))
    return found, sorted(rows, key=lambda row: row["path"])
