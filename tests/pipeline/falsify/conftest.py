from collections.abc import Callable, Iterator

import pytest
import redisserver
from nursery import Nursery
from toy_campaign import toy_settings

from pipeline.falsify.campaign.broker import Broker, connect
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.settings import Campaign


@pytest.fixture(scope="session")
def redis_server() -> Iterator[redisserver.RedisServer]:
    """A server that tests may stop, start and flush."""
    server = redisserver.RedisServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that forks workers."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.broker)])
def broker(request) -> Iterator[Broker]:
    """An empty broker, of either kind."""
    if request.param == "embedded":
        address = "memory://"
    else:
        server = request.getfixturevalue("redis_server")
        server.client.flushall()
        address = server.url
    opened = connect(address)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request, tmp_path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/campaigns.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def ledger(database, tmp_path) -> Iterator[Ledger]:
    opened = open_ledger(database, folder=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def small_ledger(tmp_path) -> Iterator[Ledger]:
    """A ledger in a file, where the kind of database says nothing new."""
    opened = open_ledger(f"sqlite:///{tmp_path}/campaigns.db", folder=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def campaign_in() -> Callable[..., Campaign]:
    def make(ledger: Ledger, name: str = "toy", n_model: int = 300, **more: object) -> Campaign:
        return ledger.create(toy_settings(name, n_model, **more), "code")[0]

    return make
