"""Oracles: numpy's own bytes, to the last bit, and lengths that are wrong."""

import numpy as np
import pytest

from ard.errors import ArdError
from pipeline.falsify.tasks import N_RADIUS, Curve


def _tables() -> list[np.ndarray]:
    return list(np.random.default_rng(2).normal(size=(4, N_RADIUS)))


def test_the_tables_of_a_galaxy_travel_to_the_last_bit():
    curve = Curve(*_tables())
    assert curve.to_bytes() == np.array(_tables()).astype("<f8").tobytes()
    again = Curve.from_bytes(curve.to_bytes())
    for name in ("radius_kpc", "rotation_kms", "dispersion_kms", "brightness"):
        assert np.array_equal(getattr(again, name), getattr(curve, name))
        assert not getattr(again, name).flags.writeable


def test_tables_of_another_length_are_refused():
    with pytest.raises(ArdError, match="rotation_kms of a galaxy has another length"):
        Curve(_tables()[0], np.zeros(3), *_tables()[2:])
    with pytest.raises(ArdError, match="damaged"):
        Curve.from_bytes(Curve(*_tables()).to_bytes()[:-8])
