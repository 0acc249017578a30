"""Which part of the line of light does a cut-out show?

Oracles: plane geometry, and a slow walk along the line.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.falsify.cube.placing import field_kpc
from pipeline.infer.frame import Frame
from pipeline.scene.grid import SkyGrid


def seen(angle_deg, x=0.0, y=0.0, ny=13, nx=11):
    frame = Frame(x, y, angle_deg, 8.0, (0.2,))
    model = SimpleNamespace(sky=SkyGrid(ny, nx, 0.1))
    return SimpleNamespace(frame=frame, observed=SimpleNamespace(model=model))


def test_a_line_along_an_axis_leaves_by_the_ends():
    # The tip is 0.25 arcsec above the middle of a field of 1.3: 0.9 behind it, and 0.4 ahead.
    assert field_kpc(seen(0.0, y=0.25), 7.8) == pytest.approx((6.9 * 8.0, 8.2 * 8.0))
    assert field_kpc(seen(90.0, x=-0.25), 7.8) == pytest.approx((7.0 * 8.0, 8.1 * 8.0))


@pytest.mark.parametrize("angle_deg", [30.0, 147.4, 250.0, 359.0])
def test_a_line_is_shown_where_it_is_within_the_field(angle_deg):
    one = seen(angle_deg, x=0.1, y=-0.2)
    along = np.arange(-2.0, 2.0, 1e-4)
    x, y = one.frame.place(along, 0.0)
    inside = along[(abs(x) < 0.55) & (abs(y) < 0.65)]
    expected = (7.8 + inside[0]) * 8.0, (7.8 + inside[-1]) * 8.0
    assert field_kpc(one, 7.8) == pytest.approx(expected, abs=2e-3)
