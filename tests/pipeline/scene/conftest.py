import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from precision import x64


@pytest.fixture(scope="session")
def exact() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exact", Path(__file__).with_name("exact.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """Runs a test in both precisions."""
    with x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def double():
    with x64(True):
        yield
