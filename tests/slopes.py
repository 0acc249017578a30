"""Holds derivatives that JAX gives against central differences."""

import jax
import pytest


def assert_slopes(value, start, names, *, least=1.0, rel=1e-5, tiny=1e-9):
    """Every derivative of a compiled function of a vector; steps of 1e-5 of it, or of `least`."""
    found = jax.grad(value)(start)
    for number, name in enumerate(names):
        step = 1e-5 * max(least, abs(float(start[number])))
        above, below = (value(start.at[number].add(sign * step)) for sign in (1.0, -1.0))
        slope = float((above - below) / (2 * step))
        assert float(found[number]) == pytest.approx(slope, rel=rel, abs=tiny), name
