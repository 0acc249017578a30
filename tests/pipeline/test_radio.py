"""Is a radio cube read for what it is?

Oracles: astropy's own conversions of velocity and unit, and a real cube of CARMA.
"""

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from click.testing import CliRunner

from ard.errors import ArdError, FormatError, UnitError
from ard.fileio import sha256_file
from ard.s3d import read_cube, write_cube
from pipeline.cli import cli
from pipeline.commands.radio import beam_of, read_radio_cube

REST_HZ = 115.271202e9
SHAPE = (1, 6, 40, 30)


def written(tmp_path, data=None, drop=(), **cards):
    rng = np.random.default_rng(11)
    values = rng.normal(0.0, 0.003, SHAPE) if data is None else data
    hdu = fits.PrimaryHDU(values.astype(">f4"))
    given = {
        **{"CTYPE1": "RA---SIN", "CRVAL1": 185.77, "CDELT1": -1 / 3600, "CRPIX1": 15.0},
        **{"CTYPE2": "DEC--SIN", "CRVAL2": 5.25, "CDELT2": 1 / 3600, "CRPIX2": 20.0},
        **{"CTYPE3": "VRAD", "CRVAL3": 1.45e6, "CDELT3": 2e4, "CRPIX3": 1.0, "CUNIT3": "m/s"},
        **{"CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0},
        **{"RESTFRQ": REST_HZ, "BMAJ": 4.7 / 3600, "BMIN": 3.9 / 3600, "BPA": 15.5},
        **{"BUNIT": "Jy/beam", "OBJECT": "NGC4324", "TELESCOP": "OVRO"},
    }
    for key, value in (given | cards).items():
        if key not in drop:
            hdu.header[key] = value
    path = tmp_path / "co.fits"
    hdu.writeto(path)
    return path


@pytest.mark.parametrize(
    ("cards", "equivalency"),
    [
        ({}, u.doppler_radio),
        ({"CTYPE3": "VOPT"}, u.doppler_optical),
        ({"CTYPE3": "VELO-LSR", "VELREF": 257}, u.doppler_radio),
        ({"CTYPE3": "VELO-HEL", "VELREF": 2}, u.doppler_optical),
        ({"CTYPE3": "VELO-LSR", "ORIGIN": "Miriad fits: 7"}, u.doppler_radio),
        ({"CTYPE3": "FELO-LSR", "ORIGIN": "Miriad fits: 7"}, u.doppler_optical),
        ({"CUNIT3": "km/s", "CRVAL3": 1450.0, "CDELT3": 20.0}, u.doppler_radio),
    ],
)
def test_velocities_become_vacuum_wavelengths(cards, equivalency, tmp_path):
    cube = read_radio_cube(written(tmp_path, **cards))
    velocities = (1450.0 + 20.0 * np.arange(6)) * u.km / u.s
    expected = velocities.to(u.um, equivalency(REST_HZ * u.Hz)).value
    np.testing.assert_allclose(cube.wave, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("cards", "frame"),
    [
        ({"SPECSYS": "LSRK"}, "LSRK"),
        ({"CTYPE3": "VELO-LSR", "VELREF": 257}, "LSRK"),
        ({"CTYPE3": "VELO-HEL", "VELREF": 2}, "BARYCENT"),
        ({}, ""),
    ],
)
def test_the_frame_of_the_velocities_goes_along(cards, frame, tmp_path):
    cube = read_radio_cube(written(tmp_path, **cards))
    write_cube(tmp_path / "co_s3d.fits", cube)
    assert cube.specsys == read_cube(tmp_path / "co_s3d.fits").specsys == frame


def test_frequencies_are_turned_round_with_their_channels(tmp_path):
    data = np.random.default_rng(3).normal(0.0, 0.003, SHAPE)
    data[0, 0] += 1.0  # the lowest frequency, which is the longest wavelength
    cards = {"CTYPE3": "FREQ", "CRVAL3": 114.6, "CDELT3": 0.01, "CUNIT3": "GHz"}
    cube = read_radio_cube(written(tmp_path, data, **cards))
    expected = (114.6e9 * u.Hz).to(u.um, u.spectral()).value
    assert cube.wave[-1] == pytest.approx(expected, rel=1e-12)
    assert cube.flux[-1].mean() > 10 * abs(cube.flux[0].mean())


def test_janskys_per_beam_become_a_surface_brightness(tmp_path):
    data = np.random.default_rng(4).normal(0.0, 0.003, SHAPE)
    cube = read_radio_cube(written(tmp_path, data, BUNIT="mJy/beam"))
    beam = beam_of(cube.meta)
    area = beam.area_arcsec2 * u.arcsec**2
    expected = (data.astype(np.float32).astype(np.float64)[0] * u.mJy / u.beam).to(
        u.MJy / u.sr, u.beam_angular_area(area)
    )
    np.testing.assert_allclose(cube.flux, expected.value, rtol=1e-12)
    assert (beam.major_arcsec, beam.minor_arcsec, beam.pa_deg) == pytest.approx((4.7, 3.9, 15.5))


def test_the_noise_is_that_of_most_voxels(tmp_path):
    data = np.random.default_rng(5).normal(0.0, 0.003, SHAPE)
    data[0, 2:4, 15:25, 10:20] += 0.05
    data[0, 1, 3, 3] = np.nan
    cube = read_radio_cube(written(tmp_path, data))
    factor = 1e-6 / (beam_of(cube.meta).area_arcsec2 * np.deg2rad(1 / 3600) ** 2)
    assert cube.err[0, 0, 0] == pytest.approx(0.003 * factor, rel=0.05)  # 1,200 voxels: 3 sigma
    assert cube.mask.sum() == 1
    assert cube.mask[1, 3, 3]


def test_a_radio_cube_becomes_a_cube_file_with_its_beam(tmp_path):
    source, out = written(tmp_path), tmp_path / "co_s3d.fits"
    cube = read_radio_cube(source)
    typed = CliRunner().invoke(cli, ["import", str(source), "--out", str(out), "--json"])
    assert json.loads(typed.stdout) == {"paths": {"cube": str(out)}}
    again = read_cube(out)
    assert dict(again.provenance.inputs) == {"co.fits": sha256_file(source)}
    refused = CliRunner().invoke(cli, ["import", str(source), "--out", str(out)])
    assert refused.exit_code == 3
    np.testing.assert_allclose(again.wave, cube.wave, rtol=1e-12)
    np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-6)
    assert beam_of(again.meta) == beam_of(cube.meta)
    assert again.meta["TARGNAME"] == "NGC4324"


@pytest.mark.parametrize(
    ("cards", "drop", "error", "says"),
    [
        ({}, ("BMAJ",), FormatError, "beam of the cube is not known"),
        ({"BMIN": 5.0 / 3600}, (), FormatError, "beam of the cube is not known"),
        ({}, ("RESTFRQ",), FormatError, "without a rest frequency"),
        ({"BUNIT": "K"}, (), UnitError, "not one per beam"),
        ({"BUNIT": "MJy/beam"}, (), UnitError, "not one per beam"),
        ({}, ("BUNIT",), UnitError, "no BUNIT"),
        ({"CTYPE3": "WAVE"}, (), FormatError, "neither velocity nor frequency"),
        ({"CUNIT3": "Hz"}, (), UnitError, "does not fit its kind"),
        ({"CTYPE3": "VELO-LSR"}, (), FormatError, "how its velocities are counted"),
    ],
)
def test_what_a_radio_cube_lacks_is_said_with_its_file(cards, drop, error, says, tmp_path):
    path = written(tmp_path, drop=drop, **cards)
    with pytest.raises(error, match=says) as caught:
        read_radio_cube(path)
    assert caught.value.file == str(path)


def test_a_convention_that_is_given_stands_in_for_the_header(tmp_path):
    path = written(tmp_path, CTYPE3="VELO-LSR")
    radio, optical = (read_radio_cube(path, convention=c).wave for c in ("radio", "optical"))
    assert np.all(radio > optical)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros(SHAPE), "shows no noise"),
        (np.full(SHAPE, np.nan), "no finite voxel"),
        (np.random.default_rng(1).normal(size=(2, *SHAPE[1:])), "several polarisations"),
        (np.random.default_rng(1).normal(size=(40, 30)), "holds no cube"),
    ],
)
def test_what_is_no_radio_cube_is_refused(data, says, tmp_path):
    with pytest.raises(ArdError, match=says):
        read_radio_cube(written(tmp_path, data))


@pytest.mark.real_data
def test_ngc4324_of_carma(shared_data):
    """Oracles: the beam that CLEAN wrote into the history, and the scatter without the line.

    The header's RMS (3.1 mJy/beam) is the thermal noise of the receivers; the map has 1.3 times it.
    """
    path = shared_data / "ifu" / "KinMS_NGC4324.fits"
    cube = read_radio_cube(path)
    beam = beam_of(cube.meta)
    assert cube.shape == (21, 100, 100)
    assert (beam.major_arcsec, beam.minor_arcsec) == pytest.approx((4.683, 3.851), abs=1e-3)
    # 10,000 voxels of the first channel, which is free of the line: about 500 beams, 3 %.
    assert cube.err[0, 0, 0] == pytest.approx(cube.flux[0].std(), rel=0.05)
    velocities = (cube.wave * u.um).to(u.km / u.s, u.doppler_radio(REST_HZ * u.Hz)).value
    np.testing.assert_allclose(velocities, 1450.0 + 20.0 * np.arange(21), atol=1e-6)
