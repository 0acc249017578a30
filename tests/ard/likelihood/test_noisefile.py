"""Does a noise come back from its file as it was, and is a file that contradicts itself refused?

Oracles: the noise that was written; astropy as the other reader; files in which one part was
changed and the checksums made right again.
"""

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube, make_map

import ard
from ard import fitsio, likelihood
from ard.errors import FormatError, IntegrityError
from ard.likelihood import Noise, exact_noise, mask_more, read_noise, write_noise

SHAPE = (4, 3, 5)


def falling(n: int, rho: float):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def masked():
    mask = np.random.default_rng(11).random(SHAPE) < 0.2
    mask[:, 1, 2] = mask[2] = True
    return mask


def taps():
    values = np.zeros((1, 2, 2))
    values[0] = [[1.2, -0.4], [-0.3, 0.1]]
    return values


SIGMA = np.where(masked(), np.nan, np.random.default_rng(2).uniform(0.5, 2.0, SHAPE))
MATRICES = (falling(4, 0.3), falling(3, 0.5), falling(5, 0.4))
SKY = (None, np.kron(*MATRICES[1:]))
NOISES = {
    "independent": Noise(SIGMA, masked()),
    "separate": exact_noise(SIGMA, masked(), correlations=MATRICES),
    "joint": exact_noise(SIGMA, masked(), correlations=SKY).scaled(np.array([1.0, 2.0, 0.5, 1.5])),
    "filter": exact_noise(SIGMA, masked(), taps=taps()).scaled(1.3),
    "unmasked": exact_noise(np.nan_to_num(SIGMA, nan=1.0), masked() & False, correlations=MATRICES),
    "approximate": Noise(SIGMA, masked(), taps=taps(), masks="approximate"),
}


@pytest.fixture(params=NOISES)
def noise(request):
    return NOISES[request.param]


def test_a_noise_comes_back(noise, tmp_path):
    path = tmp_path / "t001_noise.fits"
    write_noise(path, noise, unit="MJy/sr")
    again = read_noise(path)
    np.testing.assert_array_equal(again.sigma, noise.sigma)
    np.testing.assert_array_equal(again.mask, noise.mask)
    np.testing.assert_array_equal(again.scale, noise.scale)
    assert again.masks == noise.masks
    assert len(again.factors or ()) == len(noise.factors or ())
    pairs = zip(again.factors or (), noise.factors or (), strict=True)
    for one, two in [*pairs, (again.taps, noise.taps), (again.fill, noise.fill)]:
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one, two)
    data = np.random.default_rng(4).normal(size=SHAPE)
    results = [likelihood.log_likelihood(data, 0.0 * data, n) for n in (again, noise)]
    assert results[0].log_likelihood == results[1].log_likelihood
    assert results[0].approximate == results[1].approximate


def test_equal_noises_give_equal_bytes_and_say_what_they_are(noise, tmp_path):
    provenance = make_cube().provenance
    meta = {"TARGNAME": "TEST", "SIMULATD": True}
    paths = [tmp_path / f"{n}.fits" for n in range(2)]
    for path in paths:
        write_noise(path, noise, unit="MJy/sr", meta=meta, provenance=provenance)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with fits.open(paths[0], checksum=True) as hdus:
        assert hdus[0].header["ARDKIND"] == "noise"
        assert hdus[0].header["LOGDET"] == pytest.approx(float(noise.logdet), rel=1e-15)
        assert hdus[0].header["NUSED"] == noise.count
        assert hdus["SIGMA"].header["BUNIT"] == "MJy/sr"
        assert "SIMULATED" in str(hdus[0].header["HISTORY"])
    facts = ard.describe(paths[0])
    assert facts["provenance"] == provenance.to_dict()
    assert facts["simulated"]


def test_ard_reads_and_writes_it_like_any_product(noise, tmp_path):
    ard.write(tmp_path / "noise.fits", noise)
    again = ard.read(tmp_path / "noise.fits")
    assert isinstance(again, Noise)
    assert again.count == noise.count
    with pytest.raises(FormatError, match="name does not fit"):
        ard.write(tmp_path / "noise.txt", noise)


def test_what_a_file_says_of_a_noise_is_kept(noise, tmp_path):
    """Simulated noise that is read and written again says so still: every byte is the same."""
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    meta = {"TARGNAME": "TEST", "SIMULATD": True, "WAVEMIN": 0.97}
    provenance = make_cube().provenance
    write_noise(first, noise, unit="MJy/sr", meta=meta, provenance=provenance)
    again = ard.read(first)
    assert (again.unit, again.meta, again.provenance) == ("MJy/sr", meta, provenance)
    assert again.simulated
    ard.write(second, again)
    assert second.read_bytes() == first.read_bytes()
    product = likelihood.NoiseProduct(again)
    ard.write(second, product, overwrite=True)
    assert second.read_bytes() == first.read_bytes()
    write_noise(second, again, unit="Jy", meta={"TARGNAME": "OTHER"}, overwrite=True)
    other = read_noise(second)
    assert (other.unit, other.meta["TARGNAME"]) == ("Jy", "OTHER")
    assert other.simulated
    assert other.provenance == provenance


def test_what_is_made_of_a_noise_is_marked_as_it_is(noise):
    assert not noise.simulated
    said = {"unit": "MJy/sr", "meta": {"SIMULATD": True}, "provenance": make_cube().provenance}
    marked, more = noise.labelled(**said), np.zeros(SHAPE, bool)
    more[0, 0, 0] = True
    for one in (marked, marked.scaled(2.0), mask_more(marked, more)):
        assert one.simulated
        assert {name: getattr(one, name) for name in said} == said
    assert noise.meta == {}
    recorded = noise.labelled(provenance=make_cube().provenance)
    assert recorded.simulated


def test_a_noise_of_which_nothing_is_said_has_no_unit(noise, tmp_path):
    write_noise(tmp_path / "noise.fits", noise)
    again = read_noise(tmp_path / "noise.fits")
    assert (again.unit, again.meta, again.provenance) == ("", {}, None)
    assert not again.simulated


@pytest.mark.parametrize(
    ("name", "extension", "change", "match"),
    [
        ("independent", "SIGMA", lambda a: a * 1.001, "determinant"),
        ("independent", "MASK", lambda a: a | (np.indices(SHAPE)[2] == 0), "number of used voxels"),
        ("independent", "MASK", lambda a: a * 0, "errors of voxels that are used"),
        ("unmasked", "FACTOR_Y", lambda a: a * 1.001, "determinant"),
        ("unmasked", "FACTOR_Y", lambda a: a + a.T, "no triangle"),
        ("separate", "FACTOR_Y", lambda a: a * 1.001, "the fill of the noise"),
        ("separate", "FACTOR_X", lambda a: a[:-1], "does not fit its axis"),
        ("separate", "FILL", lambda a: a * 1.001, "the fill of the noise"),
        ("separate", "FILL", lambda a: a + np.tril(0.0 * a + 0.01, -1), "the fill of the noise"),
        ("separate", "FILL", lambda a: a[:-1, :-1], "does not say how to be exact"),
        ("joint", "SCALE", lambda a: a[::-1], "determinant"),
        ("joint", "FACTOR_SKY", lambda a: a + np.tril(0.0 * a + 1e-3, -1), "exact"),
        ("filter", "TAPS", lambda a: a - 0.01 * (a == a.min()), "the fill of the noise"),
        ("filter", "TAPS", lambda a: -a, "causal filter"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(name, extension, change, match, tmp_path):
    path = tmp_path / "t001_noise.fits"
    write_noise(path, NOISES[name])
    with fits.open(path) as hdus:
        hdus[extension].data = change(np.array(hdus[extension].data))
        fitsio.write_hdus(path, hdus, overwrite=True)
    with pytest.raises(FormatError, match=match) as caught:
        read_noise(path)
    assert caught.value.file == path.name


@pytest.mark.parametrize("card", ["LOGDET", "NUSED", "MASKS", "ARDKIND"])
def test_a_file_that_lacks_a_statement_is_refused(card, tmp_path):
    path = tmp_path / "t001_noise.fits"
    write_noise(path, NOISES["separate"])
    with fits.open(path) as hdus:
        del hdus[0].header[card]
        fitsio.write_hdus(path, hdus, overwrite=True)
    with pytest.raises(FormatError):
        read_noise(path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "t001_noise.fits"
    write_noise(path, NOISES["separate"])
    data = bytearray(path.read_bytes())
    data[-4000] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="checksum"):
        read_noise(path)


def test_another_product_is_no_noise(tmp_path):
    ard.write(tmp_path / "map.fits", make_map())
    with pytest.raises(FormatError, match="not a noise"):
        read_noise(tmp_path / "map.fits")
