"""Declared instrument curves against the archive's own table and the published relations."""

import numpy as np
import pytest
from astropy.io import fits

from manifests import ManifestError
from manifests.instruments import find_instrument, load_instruments
from pipeline.reduce.instruments import lsf_for, psf_for

NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
MIRI = {"INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS", "CHANNEL": "4", "BAND": "SHORT"}


def test_nirspec_sigma_at_the_lines():
    # Oracle: the table of science.md section 5 (pre-launch sigma in km/s, rounded); in flight
    # the resolving power is higher by the declared gain.
    gain = find_instrument(NIRSPEC).gain
    assert gain.range == (1.01, 1.24)  # Shajib et al. 2025, abstract
    wave = np.linspace(0.97, 1.89, 100)
    lsf = lsf_for(NIRSPEC, wave)
    observed = np.array([0.98362, 1.23772, 1.28929, 1.32230, 1.78156, 1.87232])
    before = gain.value * lsf.sigma_kms(observed)
    np.testing.assert_allclose(before, [182, 144, 138, 135, 100, 95], atol=0.8)
    assert "Shajib" in lsf.source


@pytest.mark.real_data
def test_nirspec_curve_is_the_archive_table(shared_data):
    table = fits.getdata(shared_data / "reference" / "jwst_nirspec_g140m_disp.fits")
    inside = (table["WAVELENGTH"] > 0.9) & (table["WAVELENGTH"] < 2.0)
    wave, power = table["WAVELENGTH"][inside], table["R"][inside]
    lsf = lsf_for(NIRSPEC, wave)
    in_flight = power * find_instrument(NIRSPEC).gain.value
    np.testing.assert_allclose(wave / lsf.fwhm_at(wave), in_flight, rtol=2e-4)


def test_miri_follows_its_relation():
    # Oracle: R = 4603 - 128 lambda at wavelengths between the nodes.
    wave = np.linspace(17.7, 20.9, 57)
    np.testing.assert_allclose(
        wave / lsf_for(MIRI, wave).fwhm_at(wave), 4603 - 128 * wave, rtol=2e-3
    )


@pytest.mark.parametrize("meta", [NIRSPEC, MIRI])
def test_only_nodes_around_the_cube_are_kept(meta):
    wave = np.linspace(1.2, 1.3, 5) if meta is NIRSPEC else np.linspace(18.2, 19.4, 5)
    for table in (lsf_for(meta, wave), psf_for(meta, wave)):
        assert table.wave[0] <= wave[0]
        assert table.wave[-1] >= wave[-1]
        assert table.wave.size <= 4
        assert table.source


def test_an_unknown_instrument_has_no_curves():
    wave = np.array([1.0, 1.1])
    assert lsf_for({"INSTRUME": "NIRSPEC", "GRATING": "G395H"}, wave) is None
    assert psf_for({}, wave) is None
    # and a curve says nothing about wavelengths that it does not cover
    assert lsf_for(NIRSPEC, np.array([0.72, 0.85])) is None
    assert psf_for(NIRSPEC, np.array([1.8, 2.2])) is None
    assert find_instrument({"INSTRUME": "MIRI", "EXP_TYPE": "MIR_LRS-FIXEDSLIT"}) is None


def test_every_curve_has_a_source():
    for entry in load_instruments():
        for curve in (entry.resolving_power, entry.psf_fwhm_arcsec):
            assert curve.source
            assert len(curve.wave_um) == len(curve.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("resolving_power = [900", "resolving_power = [-900"), "must be positive"),
        (("wave_um = [1.0, 2.0]", "wave_um = [2.0, 1.0]"), "do not belong together"),
        (('evidence = "data"', 'evidence = "hearsay"'), "not known"),
        (('name = "X"', 'name = "X"\ncolour = "red"'), "unknown field"),
    ],
)
def test_a_wrong_declaration_is_refused(tmp_path, change, match):
    text = """
[[instruments]]
name = "X"
keywords = { INSTRUME = "X" }
lsf = { wave_um = [1.0, 2.0], resolving_power = [900, 1000], source = "s", evidence = "data" }
psf = { wave_um = [1.0, 2.0], fwhm_arcsec = [0.1, 0.2], source = "s", evidence = "data" }
"""
    path = tmp_path / "instruments.toml"
    path.write_text(text)
    assert load_instruments(path)[0].name == "X"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace(*change))
    with pytest.raises(ManifestError, match=match):
        load_instruments(wrong)
