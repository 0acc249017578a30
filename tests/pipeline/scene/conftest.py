from pathlib import Path
from types import ModuleType

import pytest
from loading import load
from precision import x64


@pytest.fixture(scope="session")
def exact() -> ModuleType:
    return load(Path(__file__).with_name("exact.py"))


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """Runs a test in both precisions."""
    with x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def double():
    with x64(True):
        yield
