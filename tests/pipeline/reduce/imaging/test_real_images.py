"""The real images. Oracle: reference/science.md 1 (measured on the same ACS cut-out by others'
means: PA, tip, magnitudes, widths), and the read noise and weight of the WFC3 image."""

import numpy as np
import pytest
from astropy.io import fits

from manifests import load_target
from manifests.filters import load_filters
from pipeline.reduce.imaging import geometry, noise, photometry, sources
from pipeline.reduce.imaging.images import Known, read_image

pytestmark = pytest.mark.real_data
# From data/README.md: the cut-out itself states no PHOTFLAM and no unit.
ZERO_POINTS = {"F606W": 26.4847, "F814W": 25.9332}
RBH1 = load_target("rbh1")
FILTERS = load_filters()


@pytest.fixture(scope="module")
def acs(shared_data):
    path = shared_data / "hst" / "rbh1_acs_f606w_f814w.fits"
    return {
        band: (read_image(path, Known(band, zero, weight_kind="exposure", unit="ELECTRONS/S")),)
        for band, zero in ZERO_POINTS.items()
    }


@pytest.fixture(scope="module")
def found(acs):
    return geometry.run(
        images=acs, cubes={}, target=RBH1, filters=FILTERS, config=geometry.Config()
    )["geometry"]


@pytest.fixture(scope="module")
def light(acs, found):
    return photometry.run(
        images=acs, geometry=found, target=RBH1, filters=FILTERS, config=photometry.Config()
    )


def test_direction_and_tip_of_rbh1(found):
    wake = found["wake"]
    assert wake["pa_deg"] == pytest.approx(147.4, abs=0.5)
    assert wake["peak_arcsec"] == pytest.approx(7.80, abs=0.1)
    assert 0 < wake["pa_err"] < 0.2
    # The light of the bluer image is gone by 8.1 arcsec.
    assert 7.75 < wake["length_arcsec"] < 8.1
    assert wake["length_kpc"] == pytest.approx(62.0, abs=1.5)
    for band in found["bands"]:
        assert band["tip"]["drop"] > 5


def test_width_of_rbh1(found):
    """0.21 (F606W) and 0.28 arcsec (F814W) at 4 to 7.5 arcsec, PSF included."""
    widths = {
        band["band"]: next(row for row in band["sections"] if row["kind"] == "whole")
        for band in found["bands"]
    }
    for name, published in (("F606W", 0.21), ("F814W", 0.28)):
        row = widths[name]
        assert (row["from_arcsec"], row["to_arcsec"]) == (4.0, 7.5)
        assert row["fwhm_arcsec"] == pytest.approx(published, abs=0.02)
        assert row["intrinsic_arcsec"] < row["fwhm_arcsec"]


def test_host_and_strip_of_rbh1(light):
    table = light["magnitudes"].data
    rows = {(row["source"], row["band"]): row for row in table}
    assert rows["host", "F814W"]["mag_ab"].value == pytest.approx(21.85, abs=0.05)
    assert rows["wake", "F814W"]["mag_ab"].value == pytest.approx(23.13, abs=0.05)
    colours = light["colours"].data
    assert set(colours["kind"]) == {"colour"}
    (host,) = colours[colours["source"] == "host"]
    assert (host["first"], host["second"]) == ("F606W", "F814W")
    assert host["colour"].value == pytest.approx(0.83, abs=0.05)


def test_colour_along_the_wake_of_rbh1(light):
    """0.65 to 1.0 along it and 0.42 to 0.52 at the tip."""
    table = light["colours"].data
    rows = table[table["source"] == "profile"]
    seen = np.isfinite(rows["colour"].value)
    along = rows["from_arcsec"].value >= 4.0
    inner = rows[seen & along & (rows["to_arcsec"].value <= 6.0)]
    weight = inner["colour_err"].value ** -2.0
    assert np.average(inner["colour"].value, weights=weight) == pytest.approx(0.75, abs=0.2)


def test_noise_of_rbh1_is_confirmed_by_blank_apertures(found):
    for row in found["images"]:
        assert row["aperture_ratio"] == pytest.approx(1.0, abs=0.12)
        assert 1.5 < row["inflation"] < 2.1
        assert row["neighbours_masked"] >= 1


@pytest.fixture(scope="module")
def f502n(shared_data):
    return read_image(shared_data / "hst" / "ibde04010_drc_F502N.fits")


def test_the_wfc3_image_reads(f502n):
    assert (f502n.band, f502n.shape, f502n.exposures) == ("F502N", (548, 521), 4)
    assert f502n.weight_kind == "exposure"
    # PHOTFLAM 5.09930e-18, PHOTPLAM 5009.6357 of the header, by the formula of the handbook.
    assert f502n.zero_point_ab == pytest.approx(
        -2.5 * np.log10(5.099299975e-18) - 5 * np.log10(5009.6357) - 2.408, abs=1e-3
    )
    assert f502n.mask.mean() == pytest.approx(0.058, abs=0.002)


def test_the_declared_passband_is_that_of_the_header(f502n, shared_data):
    """PHOTPLAM, and PHOTBW, the root mean square width of throughput about its mean.

    Of no throughput inside of two edges is it more than half of their distance (Popoviciu). Of one
    that is nowhere between them below a tenth of its maximum, it is not less than a sixth: the
    least is that of a tenth with a step to the maximum over the middle third.
    """
    header = fits.getheader(shared_data / "hst" / "ibde04010_drc_F502N.fits", "SCI")
    declared = load_filters().named(f502n.band)
    assert declared.pivot_angstrom == pytest.approx(header["PHOTPLAM"], abs=0.1)
    assert 2.0 * header["PHOTBW"] < declared.width_angstrom < 6.0 * header["PHOTBW"]
    middle = 0.5 * (declared.blue_angstrom + declared.red_angstrom)
    assert middle == pytest.approx(header["PHOTPLAM"], abs=0.2 * header["PHOTBW"])


def test_its_noise_follows_its_weight(f502n):
    """The image is exposed four times, three times or less at its edges: blank pixels there scatter
    more, as weight^-1/2; and in no place less than the read noise of 3.08 electrons allows."""
    compact = sources.find(f502n, peak_sigma=5.0, edge_sigma=2.5, smoothing_pixels=1.5)
    wide = sources.find(f502n, peak_sigma=4.0, edge_sigma=2.5, smoothing_pixels=5.0)
    measured = noise.measure(f502n, compact.any | wide.any, 4, 20.0)
    pulls = (f502n.flux - measured.sky) / np.where(measured.sigma > 0, measured.sigma, 1.0)
    weight = f502n.weight / f502n.exptime_s
    widths = {}
    for name, part in (("low", (weight > 0.2) & (weight < 0.85)), ("high", weight > 0.95)):
        values = pulls[measured.blank & part]
        assert values.size > 2000, name
        quartiles = np.percentile(values, [25, 75])
        widths[name] = (quartiles[1] - quartiles[0]) / 1.349
    assert widths["low"] / widths["high"] == pytest.approx(1.0, abs=0.15)
    floor = np.sqrt(4 * 3.08**2) / 2600.0
    assert measured.typical * measured.inflation > floor
    assert noise.aperture_ratio(f502n, measured, 8, 20.0) == pytest.approx(1.0, abs=0.2)
