import jax
import pytest
from precision import x64


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """Runs a test in both precisions."""
    with x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def double():
    with x64(True):
        yield


@pytest.fixture
def strict():
    """No dtype is changed without being asked."""
    with jax.numpy_dtype_promotion("strict"):
        yield
