"""Simulated observations that several tests look at, made once."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from astropy.io import fits

from pipeline.simulate import TwinConfig, run

Observation = dict[str, fits.HDUList | dict[str, Any]]


@cache
def _observe(config: TwinConfig) -> Observation:
    return dict(run(config))


@pytest.fixture(scope="session")
def observe() -> Callable[..., Observation]:
    """Give every file of a tiny observation in memory, by relative name."""

    def make(**settings: Any) -> Observation:
        return _observe(TwinConfig(**({"size": "tiny"} | settings)))

    return make


@pytest.fixture(scope="session")
def tiny(observe: Callable[..., Observation]) -> Observation:
    return observe()
