"""With which settings does each stage run, and where can a user change them?

Defaults stand in the stage's `Config`. A TOML file changes them by table and key
(``[linemaps]`` ``window_kms = 1200``), and ``--set linemaps.window_kms=1200`` changes one value.
"""

import importlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ard.errors import ArdError, NotFoundError
from pipeline.stages import STAGES, Stage
from pipeline.values import build, plain, sha256_of, unknown_name


@dataclass(frozen=True)
class RunConfig:
    """The configuration of every stage of a run, by stage name.

    Attributes
    ----------
    stages : mapping of str to dataclass
        The `Config` of each stage.
    """

    stages: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", MappingProxyType(dict(self.stages)))

    def __getitem__(self, stage: str) -> Any:
        return self.stages[stage]

    @property
    def sha256(self) -> str:
        """Digest of all settings, in their canonical form."""
        return sha256_of(self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        document: dict[str, Any] = plain(self.stages)
        return document


def config_class(stage: Stage) -> type:
    """Give the configuration class of a stage, importing its module.

    Raises
    ------
    ArdError
        If the module has no frozen dataclass of that name.
    """
    module = importlib.import_module(stage.module)
    cls = getattr(module, stage.config, None)
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise ArdError(
            f"the stage '{stage.name}' has no configuration class",
            file=getattr(module, "__file__", None),
            expected=f"a frozen dataclass named {stage.config}",
            found=repr(cls),
            action="add it, empty if there is nothing to configure",
        )
    return cls


def make_config(
    file: Path | None = None,
    assignments: Iterable[str] = (),
    stages: Iterable[Stage] = STAGES,
    base: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunConfig:
    """Combine defaults, a TOML file and single assignments into the settings of a run.

    Parameters
    ----------
    file : path, optional
        A TOML file with one table for each stage to change.
    assignments : iterable of str
        ``stage.key=value``; the value in TOML form, or a bare text. They win over the file.
    stages : iterable of Stage
        The stages to configure.
    base : mapping, optional
        Values that replace the defaults but yield to file and assignments.

    Raises
    ------
    ArdError
        If a stage or key is unknown, or a value has the wrong type.
    """
    stages = tuple(stages)
    tables: dict[str, dict[str, Any]] = {s.name: dict((base or {}).get(s.name, {})) for s in stages}
    for name, table in (_read_toml(file) if file else {}).items():
        if name not in tables:
            raise unknown_name("table", name, tables, file)
        if not isinstance(table, dict):
            raise unknown_name("key outside of a table", name, (), file)
        tables[name].update(table)
    for text in assignments:
        name, keys, value = _parse_assignment(text)
        if name not in tables:
            raise unknown_name("stage", name, tables)
        _assign(tables[name], keys, value)
    return RunConfig({s.name: build(config_class(s), tables[s.name], s.name, file) for s in stages})


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(
            "the configuration file does not exist",
            file=file,
            expected="a TOML file",
            action="check the path given with --config",
        ) from error
    except OSError as error:
        raise ArdError(
            "the configuration file cannot be read",
            file=file,
            expected="a TOML file",
            found="a folder" if isinstance(error, IsADirectoryError) else error.strerror,
            action="check the path given with --config",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArdError(
            "the configuration file is not valid TOML",
            file=file,
            expected="tables such as [linemaps] with key = value lines",
            found=str(error),
            action="correct the file",
        ) from error


def _parse_assignment(text: str) -> tuple[str, list[str], Any]:
    name, equals, value = text.partition("=")
    stage, dot, key = name.strip().partition(".")
    if not (equals and dot and stage and key):
        raise ArdError(
            "a setting cannot be understood",
            expected="stage.key=value, such as linemaps.window_kms=1200",
            found=text,
            action="correct the argument of --set",
        )
    try:
        return stage, key.split("."), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        # A bare word is a text: --set simulate.size=compact needs no quotes.
        return stage, key.split("."), value.strip()


def _assign(table: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = table.get(key, {})
        table[key] = dict(inner) if isinstance(inner, dict) else {}
        table = table[key]
    table[keys[-1]] = value
