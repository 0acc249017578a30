"""Apertures on a grid: exact shares of spaxels."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from loading import load

from manifests import load_target
from pipeline.reduce.apertures.place import (
    area_in_circle,
    axis_offsets,
    clip_to_box,
    declared_area,
    place,
    polygon_area,
)

cases = load(Path(__file__).with_name("aperture_cases.py"))
RBH1 = cases.RBH1


def by_counting(aperture, wcs, shape, fine=40):
    """Shares by counting a fine grid of points in every spaxel (slow reference)."""
    step = (np.arange(fine) + 0.5) / fine - 0.5
    ny, nx = shape
    y = (np.arange(ny)[:, None] + step).ravel()
    x = (np.arange(nx)[:, None] + step).ravel()
    ra, dec = wcs.all_pix2world(*np.meshgrid(x, y), 0)
    along, across = axis_offsets(aperture, RBH1, ra, dec)
    if aperture.shape == "box":
        inside = np.abs(along) < aperture.length_arcsec / 2
        inside &= np.abs(across) < aperture.width_arcsec / 2
    else:
        inside = np.hypot(along, across) < aperture.radius_arcsec
    return inside.reshape(ny, fine, nx, fine).mean(axis=(1, 3)).ravel()


@pytest.mark.parametrize("aperture", [cases.aperture(), cases.circle(0.33)], ids=["box", "circle"])
def test_shares_are_those_of_a_fine_grid(aperture):
    """Oracle: 1,600 points a spaxel; an edge through one is found to 1 / 40 of its width."""
    wcs, shape = cases.sky(13, 12), (13, 12)
    placed = place(aperture, RBH1, wcs, shape)
    shares = np.zeros(156)
    shares[placed.spaxels] = placed.share
    assert np.abs(shares - by_counting(aperture, wcs, shape)).max() < 0.026
    assert placed.inside == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("aperture", [cases.aperture(), cases.circle(0.33)], ids=["box", "circle"])
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.9])
def test_shares_sum_to_the_area_whatever_the_grid(aperture, angle):
    """Oracle: the closed form of the area, and invariance under rotation."""
    wcs = cases.sky(15, 15, angle=angle)
    placed = place(aperture, RBH1, wcs, (15, 15))
    assert placed.share.sum() * 0.01 == pytest.approx(declared_area(aperture), rel=2e-6)


def test_polygon_and_circle_closed_forms():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert area_in_circle(square, 1.0) == pytest.approx(np.pi / 4)
    assert area_in_circle(square, 9.0) == pytest.approx(1.0)
    assert area_in_circle(square * 9 - 4.5, 1.0) == pytest.approx(np.pi)
    assert area_in_circle(square + 3.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    clipped = clip_to_box(square * 4 - 2, np.array([0.5, 1.0]))
    assert abs(polygon_area(clipped)) == pytest.approx(2.0)
    assert polygon_area(clip_to_box(square + 3.0, np.array([0.5, 0.5]))) == 0.0


def test_the_axis_runs_from_host_to_tip():
    """Oracle: offsets by astropy's spherical geometry."""
    tip, host = RBH1.tip, RBH1.host
    along, across = axis_offsets(cases.aperture(), RBH1, host.ra_deg, host.dec_deg)
    one, other = (SkyCoord(p.ra_deg, p.dec_deg, unit="deg") for p in (tip, host))
    away = one.separation(other).arcsec
    turn = np.radians(one.position_angle(other).deg - RBH1.position_angle_deg)
    assert along == pytest.approx(away * np.cos(turn), abs=1e-3)
    assert across == pytest.approx(away * np.sin(turn), abs=1e-3)
    assert along == pytest.approx(-7.80, abs=0.06)
    ahead = cases.aperture(along_arcsec=0.7, across_arcsec=-0.2)
    back = axis_offsets(ahead, RBH1, tip.ra_deg, tip.dec_deg)
    assert back == pytest.approx((-0.7, 0.2))


def test_an_aperture_beside_the_grid_has_no_spaxel():
    placed = place(cases.aperture(along_arcsec=30.0), RBH1, cases.sky(9, 9), (9, 9))
    assert (placed.spaxels.size, placed.inside) == (0, 0.0)


def test_an_aperture_across_the_edge_knows_how_much_is_inside():
    """Oracle: fine grid of points."""
    wcs, shape = cases.sky(9, 9), (9, 9)
    aperture = cases.aperture(along_arcsec=0.45)
    placed = place(aperture, RBH1, wcs, shape)
    expected = by_counting(aperture, wcs, shape).sum() * 0.01 / declared_area(aperture)
    assert 0.3 < placed.inside < 0.95
    assert placed.inside == pytest.approx(expected, abs=0.01)


def test_the_apertures_of_rbh1_do_not_overlap():
    wcs, shape = cases.sky(61, 61), (61, 61)
    total = np.zeros(61 * 61)
    for aperture in load_target("rbh1").apertures:
        placed = place(aperture, RBH1, wcs, shape)
        total[placed.spaxels] += placed.share
    assert total.max() <= 1.0 + 1e-6
