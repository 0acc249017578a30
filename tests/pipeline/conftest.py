import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pgserver
import psycopg2
import pytest
from loading import load
from sqlalchemy import make_url

from pipeline.config import make_config
from pipeline.graph import Plan, Task, build_tasks
from pipeline.stages import Stage

_count = itertools.count()


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return load(Path(__file__).with_name("toy_stages.py"))


class ToyRun:
    """A toy package on the import path, and a run folder."""

    def __init__(self, toy: ModuleType, folder: Path) -> None:
        self.name = f"toy_package_{next(_count)}"
        self.code = folder / "code"
        self.root = folder / "run"
        toy.write_package(self.code, self.name)
        self.stages = toy.declare(self.name)

    def tasks(
        self,
        *settings: str,
        source: str = "twin",
        items: str = "ab",
        stages: tuple[Stage, ...] | None = None,
    ) -> tuple[Task, ...]:
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
        return build_tasks(plan, stages or self.stages)


@pytest.fixture
def toy_run(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyRun]:
    run = ToyRun(toy, tmp_path)
    monkeypatch.syspath_prepend(run.code)
    yield run
    for name in [n for n in sys.modules if n.partition(".")[0] == run.name]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def own_server() -> Iterator[pgserver.PostgresServer]:
    """A server that tests may stop and start; nothing it holds need outlive the machine."""
    server = pgserver.PostgresServer("fsync=off")
    yield server
    server.remove()


@pytest.fixture
def postgres_url(request) -> Iterator[str]:
    """The address of an empty schema."""
    given = os.environ.get(pgserver.VARIABLE)
    base = given or request.getfixturevalue("own_server").url
    schema = f"rbh1_test_{os.getpid()}_{next(_count)}"
    _execute(base, f"CREATE SCHEMA {schema}")
    url = make_url(base).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    _execute(base, f"DROP SCHEMA {schema} CASCADE")


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


@pytest.fixture(autouse=True, scope="module")
def precision_as_before():
    """Commands set JAX to float64 for as long as they live; the tests after these are others."""
    jax = sys.modules.get("jax")
    before = jax is not None and jax.config.jax_enable_x64
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", before)
