"""Do the cubes lie where GO-3149 pointed?"""

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from ard import ArdError
from pipeline.simulate import geometry, headers, scenes


def _coordinates(wcs: WCS, x: float, y: float) -> SkyCoord:
    return SkyCoord(*wcs.wcs_pix2world(x, y, 0), unit="deg")


def test_pointings_are_offset_as_observed() -> None:
    """Oracle: science.md section 2.2: 1.063 arcsec at PA 236.3, by astropy from the WCS."""
    cut = geometry.window("tiny")
    first, second = (_coordinates(geometry.sky(cut, p), 8.0, 8.0) for p in (0, 1))
    assert first.separation(second).arcsec == pytest.approx(1.063, abs=0.002)
    assert first.position_angle(second).deg == pytest.approx(236.3, abs=0.2)


@pytest.mark.parametrize("size", sorted(geometry.SIZES))
def test_cuts_keep_every_voxel_in_place(size: str) -> None:
    """Oracle: the full grid, from which a size is cut."""
    cut, full = geometry.window(size), geometry.window("full")
    (c0, _), (y0, _), (x0, _) = cut.channels, cut.rows, cut.columns
    assert cut.wave[3] == full.wave[c0 + 3]
    for pointing in (0, 1):
        here = _coordinates(geometry.sky(cut, pointing), 2.0, 3.0)
        there = _coordinates(geometry.sky(full, pointing), x0 + 2.0, y0 + 3.0)
        assert here.separation(there).arcsec < 1e-6


def test_dithers_lie_on_the_common_grid() -> None:
    """Oracle: whole spaxels between an exposure and the combined cube."""
    cut = geometry.window("demo")
    for exposure in geometry.EXPOSURES:
        place = geometry.sky(cut, exposure.pointing, exposure.shift).wcs_pix2world(0, 0, 0)
        x, y = geometry.sky(cut, exposure.pointing).wcs_world2pix(*place, 0)
        assert (x, y) == pytest.approx(exposure.shift, abs=1e-6)


def test_real_dithers_are_those_of_the_telescope() -> None:
    """Oracle: offsets and PA_APER of the headers, by astropy on the sphere."""
    cut = geometry.window("full")
    own = [e for e in geometry.EXPOSURES if e.pointing == 0 and not e.imprint]
    places = [_coordinates(geometry.sky(cut, 0, e.placed(geometry.REAL)), 23.0, 24.0) for e in own]
    for exposure, place in zip(own, places, strict=True):
        one, first = (np.array(geometry.OFFSETS_ARCSEC[k]) for k in (exposure.dither, 0))
        across, along = one - first
        angle = np.rad2deg(np.arctan2(across, along))  # of x, to the right of y
        expected = (geometry.PA_APER_DEG - angle) % 360.0
        assert places[0].separation(place).arcsec == pytest.approx(
            np.hypot(across, along), abs=2e-4
        )
        if exposure.dither:
            assert places[0].position_angle(place).deg == pytest.approx(expected, abs=0.05)


def test_real_dithers_are_parts_of_spaxels_and_fill_the_grid() -> None:
    """Oracle: the real grids: 53 x 49 of 49 x 47. No exposure sees anything beyond it."""
    cut = geometry.window("full")
    seen = np.argwhere(geometry.footprint(cut))
    shifts = np.array(geometry.SHIFTS[geometry.REAL])
    assert (np.abs(shifts - np.rint(shifts)).max(axis=1) > 0.03).all()
    for x, y in shifts:
        assert (np.add(seen.min(axis=0), (y, x)) > -0.5).all()
        assert (np.add(seen.max(axis=0), (y, x)) < (52.5, 48.5)).all()
    for exposure in geometry.EXPOSURES:
        x, y = exposure.nearest(geometry.REAL)
        assert 0 <= x <= 2
        assert 0 <= y <= 4


def test_unseen_fractions_are_the_measured_ones() -> None:
    """Oracle: the real cubes: 46.4 % NaN at Level 3, 50.5 % in an exposure."""
    cut = geometry.window("full")
    seen = geometry.footprint(cut)
    assert 1 - seen.mean() == pytest.approx(0.505, abs=0.01)
    union = np.zeros(cut.shape[1:], bool)
    for dx, dy in geometry.DITHERS:
        union[dy : dy + seen.shape[0], dx : dx + seen.shape[1]] |= seen
    assert 1 - union.mean() == pytest.approx(0.464, abs=0.01)


@pytest.mark.parametrize("size", sorted(geometry.SIZES))
def test_tip_is_inside_both_pointings(size: str) -> None:
    cut = geometry.window(size)
    for pointing in (0, 1):
        x, y = geometry.sky(cut, pointing).wcs_world2pix(*scenes.TIP_DEG, 0)
        assert 2 < x < cut.shape[2] - 3
        assert 2 < y < cut.shape[1] - 3
        # For every dither the tip is on the footprint.
        for dx, dy in geometry.DITHERS:
            assert geometry.footprint(cut)[round(float(y)) - dy, round(float(x)) - dx]


def test_tip_is_where_the_pointings_put_it() -> None:
    """Oracle: science.md section 2.2: the midpoint of the pointings + 0.5 arcsec at PA 147.4."""
    first, second = (SkyCoord(p.ra_deg, p.dec_deg, unit="deg") for p in geometry.POINTINGS)
    middle = first.directional_offset_by(first.position_angle(second), first.separation(second) / 2)
    tip = SkyCoord(*scenes.TIP_DEG, unit="deg")
    assert middle.separation(tip).arcsec == pytest.approx(0.5, abs=0.06)
    host = SkyCoord(*scenes.HOST_DEG, unit="deg")
    assert host.position_angle(tip).deg == pytest.approx(scenes.WAKE_PA_DEG, abs=0.6)
    assert host.separation(tip).arcsec == pytest.approx(7.80, abs=0.1)


def test_s_region_holds_the_grid() -> None:
    cut = geometry.window("full")
    words = geometry.s_region(geometry.sky(cut, 0), 53, 49).split()
    assert words[:2] == ["POLYGON", "ICRS"]
    corners = SkyCoord(*np.array(words[2:], float).reshape(4, 2).T, unit="deg")
    assert corners[0].separation(corners[1]).arcsec == pytest.approx(5.3, abs=1e-3)
    assert corners[1].separation(corners[2]).arcsec == pytest.approx(4.9, abs=1e-3)


def test_sequences_follow_one_another_in_time() -> None:
    """Oracle: HDRTAB: t001 starts at MJD 60515.5691265, t002 at 60515.7400056."""
    start = [exposure.start_mjd for exposure in geometry.EXPOSURES]
    assert start == sorted(start)
    assert start[0] == pytest.approx(60515.569126539354)
    assert start[3] == pytest.approx(60515.694921979164, abs=1e-6)
    assert sum(exposure.imprint for exposure in geometry.EXPOSURES) == 8
    assert geometry.EXPOSURES[-1].imprint  # 08101_00004


@pytest.mark.real_data
def test_file_names_are_those_of_the_archive(shared_data: Path) -> None:
    """Oracle: the 18 s3d products of the archive's listing."""
    with (shared_data / "mast" / "products.csv").open() as stream:
        listed = {row["filename"] for row in csv.DictReader(stream) if row["group"] == "jwst_s3d"}
    ours = {f"{exposure.name}_s3d.fits" for exposure in geometry.EXPOSURES}
    ours |= {headers.ITEM_STEM.format(item=pointing.item) for pointing in geometry.POINTINGS}
    assert ours == listed
    assert len(ours) == 18


def test_unknown_size_is_named() -> None:
    with pytest.raises(ArdError, match="tiny, demo, full"):
        geometry.window("huge")
