"""Offsets along and across a great circle. Oracle: astropy's SkyCoord and its offset frame."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, SkyOffsetFrame

from pipeline.reduce.imaging.sphere import Axis, position_angle_deg, separation_arcsec

PLACES = [(40.4393, -8.3487), (0.0001, 0.0), (359.9999, 40.0), (120.0, 89.99)]


@pytest.mark.parametrize("place", PLACES)
def test_separation_and_position_angle(place):
    for pa, distance in ((147.4, 7.8), (12.0, 0.05), (300.0, 900.0)):
        other = Axis(*place, pa).place(distance)
        here, there = (SkyCoord(*p, unit="deg") for p in (place, other))
        assert separation_arcsec(place, other) == pytest.approx(
            here.separation(there).arcsec, rel=1e-7
        )
        assert separation_arcsec(place, other) == pytest.approx(distance, rel=1e-8)
        turn = position_angle_deg(place, other) - here.position_angle(there).deg
        assert (turn + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("pa", [0.0, 147.4, 236.3])
def test_offsets_are_those_of_astropys_offset_frame(pa):
    """Its latitude is along the circle; longitude along a parallel, so only near the circle."""
    rng = np.random.default_rng(3)
    host = SkyCoord(40.4393, -8.3487, unit="deg")
    ra = host.ra.deg + rng.uniform(-0.003, 0.003, 50)
    dec = host.dec.deg + rng.uniform(-0.003, 0.003, 50)
    frame = SkyCoord(ra, dec, unit="deg").transform_to(
        SkyOffsetFrame(origin=host, rotation=pa * u.deg)
    )
    along, across = Axis(40.4393, -8.3487, pa).offsets(ra, dec)
    np.testing.assert_allclose(along, frame.lat.arcsec, atol=2e-6)
    np.testing.assert_allclose(across, frame.lon.wrap_at(180 * u.deg).arcsec, atol=2e-6)


@pytest.mark.parametrize("place", PLACES)
def test_place_is_the_inverse_of_offsets(place):
    axis = Axis(*place, 147.4)
    for along, across in ((7.8, 0.0), (-3.0, 1.5), (0.0, -0.2), (500.0, 300.0)):
        found = axis.offsets(*axis.place(along, across))
        assert [float(v) for v in found] == pytest.approx([along, across], abs=1e-6)


def test_turning_keeps_the_origin():
    turned = Axis(10.0, 20.0, 350.0).turned(20.0)
    assert (turned.ra_deg, turned.dec_deg, turned.pa_deg) == (10.0, 20.0, pytest.approx(10.0))
