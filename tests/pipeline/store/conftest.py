import itertools
import os
from collections.abc import Iterator

import numpy as np
import pgserver
import psycopg2
import pytest
from sqlalchemy import make_url

from pipeline.store.blocks import SAMPLE, Block, Run
from pipeline.store.durable import DurableStore, open_store

_count = itertools.count()


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


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request, tmp_path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chains.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(address, tmp_path) -> Iterator[DurableStore]:
    with open_store(address, folder=tmp_path) as opened:
        yield opened


RUN = Run(
    "fit",
    ("v", "sigma"),
    4,
    2**100,
    {"data": "d", "model": "m"},
    prior={"v": {"family": "normal", "bounds": [None, 1e300]}, "sigma": {"scale": 0.1}},
    config={"steps": 3},
    provenance={"numpy": "2"},
)


@pytest.fixture
def run() -> Run:
    return RUN


@pytest.fixture
def make_block():
    def make(index: int, phase: str = SAMPLE, seed: int = 0, first: int | None = None) -> Block:
        rng = np.random.default_rng([seed, index])
        first = 3 * index if first is None else first
        stats = {"lp": rng.normal(size=3), "diverging": np.zeros(3, bool)}
        return Block(1, index, phase, first, rng.normal(size=(3, 2)), stats, b"state%d" % index)

    return make
