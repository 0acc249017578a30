import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.config import make_config
from pipeline.graph import Plan, Task, build_tasks

_count = itertools.count()


def _load(name: str) -> ModuleType:
    # The tests are no package, so a helper beside them is loaded by its path.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return _load("toy_stages")


class ToyRun:
    """A toy package on the import path, and a run folder."""

    def __init__(self, toy: ModuleType, folder: Path) -> None:
        self.name = f"toy_package_{next(_count)}"
        self.code = folder / "code"
        self.root = folder / "run"
        toy.write_package(self.code, self.name)
        self.stages = toy.declare(self.name)

    def tasks(self, *settings: str, source: str = "twin", items: str = "ab") -> tuple[Task, ...]:
        config = make_config(assignments=settings, stages=self.stages)
        files = {item: self.root / "archive" / f"{item}.json" for item in items}
        plan = Plan(
            root=self.root,
            source=source,
            items=tuple(items),
            inputs={},
            item_inputs={"number": files},
            parts={},
            context={"items": list(items), "simulated": source == "twin"},
            config=config,
        )
        return build_tasks(plan, self.stages)


@pytest.fixture
def toy_run(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyRun]:
    run = ToyRun(toy, tmp_path)
    monkeypatch.syspath_prepend(run.code)
    yield run
    for name in [n for n in sys.modules if n.partition(".")[0] == run.name]:
        del sys.modules[name]
