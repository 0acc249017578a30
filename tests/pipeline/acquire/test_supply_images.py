"""Which images of a store go into a run. Oracle: the names that the archive gives."""

import pytest

from manifests.lock import Lock, LockedFile
from pipeline.acquire import supply

VISITS = [
    "hst_17301_01_wfc3_uvis_f200lp_if3x01_drc.fits",
    "hst_17301_06_wfc3_uvis_f350lp_if3x06_drc.fits",
]
OTHERS = [
    "hst_17301_01_wfc3_uvis_f200lp_if3x01ab_drc.fits",  # of one exposure
    "hst_17301_01_wfc3_uvis_total_if3x01_drc.fits",  # of all filters
    "hst_17301_01_wfc3_uvis_f200lp_if3x01ab_flc.fits",
    "hst_skycell-p1234x05y06_wfc3_uvis_f200lp_all_drc.fits",
    "if3x01010_drc.fits",
    "jw03149-o001_t001_nirspec_g140m-f100lp_s3d.fits",
]


def lock() -> Lock:
    return Lock("rbh1", tuple(LockedFile(f"mast:HST/{n}", n, "g") for n in VISITS + OTHERS))


@pytest.mark.parametrize("held", [VISITS[:1], VISITS])
def test_the_image_of_each_visit_and_filter_is_wanted_once_one_is_there(held, monkeypatch):
    """So that a store which lacks some of them is said to, instead of being measured by halves."""
    monkeypatch.setattr(supply, "held_by", lambda _, store: dict.fromkeys(store))
    assert [file.name for file in supply._images(lock(), held)] == VISITS


def test_a_store_without_images_has_none(monkeypatch):
    monkeypatch.setattr(supply, "held_by", lambda _, store: {})
    assert supply._images(lock(), []) == ()
