"""Does `describe` say what is in a file, and survive whatever is in it?"""

import contextlib
import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube, make_map
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_products import lines_table, noise_product
from runs import PNG

import ard
from ard.describe import describe
from ard.errors import ArdError, FormatError, IntegrityError, NotFoundError
from ard.likelihood import Noise
from manifests import load_target


@pytest.fixture(scope="module")
def cube_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cube") / "t001_cube.fits"
    ard.write(path, make_cube())
    return path


@pytest.fixture(scope="module")
def noise_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "t001_noise.fits"
    ard.write(path, noise_product(path))
    return path


def test_noise(noise_file):
    """Oracle: the noise that was written."""
    noise, facts = noise_product(noise_file).noise, describe(noise_file)
    assert facts["kind"] == "noise"
    assert facts["shape"] == list(noise.sigma.shape)
    assert facts["unit"] == "MJy/sr"
    assert facts["used"] == noise.count
    assert facts["masks"] == "approximate"
    assert facts["factors"] == ["FACTOR_WAVE", "FACTOR_Y", "FACTOR_X"]
    assert facts["taps"] is None
    assert facts["scale"] == {"n": noise.sigma.shape[0], "min": 1.9, "max": 1.9}
    assert facts["simulated"] is True
    assert facts["provenance"]["stage"] == "noise"
    assert ard.read(noise_file).logdet == noise.logdet


def test_noise_with_taps_and_one_scale(tmp_path):
    """Oracle: the arguments."""
    path, mask = tmp_path / "noise.fits", np.zeros((3, 2, 2), bool)
    mask[0, 0, 0] = True
    noise = Noise(np.ones(mask.shape), mask, taps=np.array([[[1.0, -0.5]]]), masks="approximate")
    ard.write(path, noise)
    facts = describe(path)
    assert (facts["taps"], facts["factors"]) == ([1, 1, 2], [])
    assert facts["scale"] == {"n": 1, "min": 1.0, "max": 1.0}
    assert facts["masked_fraction"] == pytest.approx(1 / 12)
    assert (facts["unit"], facts["simulated"], facts["provenance"]) == (None, False, None)


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_cube(cube_file):
    """Oracle: the cube that was written."""
    cube, facts = make_cube(), describe(cube_file)
    assert facts["kind"] == "cube"
    assert facts["shape"] == list(cube.shape)
    assert facts["unit"] == "MJy/sr"
    assert facts["masked_fraction"] == pytest.approx(cube.mask.mean())
    assert facts["wave"]["min"] == pytest.approx(cube.wave[0])
    assert facts["wave"]["max"] == pytest.approx(cube.wave[-1])
    assert facts["wave"]["step_median"] == pytest.approx(0.000636)
    assert (facts["wave"]["n"], facts["wave"]["increasing"]) == (7, True)
    assert facts["wcs"]["pixel_scale_arcsec"] == pytest.approx(0.1)
    assert facts["wcs"]["gwcs"]
    assert facts["lsf"]
    assert facts["psf"]
    assert facts["simulated"]
    assert facts["provenance"] == cube.provenance.to_dict()
    assert facts["size"] == cube_file.stat().st_size
    assert facts["format"] == {"name": "FITS", "gzip": False}
    by_name = {hdu["name"]: hdu for hdu in facts["hdus"]}
    assert by_name["SCI"] == {
        "name": "SCI",
        "type": "image",
        "dtype": "float32",
        "shape": [7, 4, 3],
        "unit": "MJy/sr",
        "checksum": True,
        "compression": None,
    }
    assert by_name["DQ"]["dtype"] == "uint32"
    json.dumps(facts, allow_nan=False)


def test_compressed_cube_shows_the_image_not_its_table(tmp_path):
    path = tmp_path / "cube.fits"
    ard.write_cube(path, make_cube(), compress=True)
    science = next(hdu for hdu in describe(path)["hdus"] if hdu["name"] == "SCI")
    assert (science["type"], science["dtype"], science["shape"]) == ("image", "float32", [7, 4, 3])
    assert science["compression"] == "GZIP_2"


def test_gzipped_cube_is_described_too(cube_file, tmp_path):
    path = tmp_path / "cube.fits.gz"
    path.write_bytes(gzip.compress(cube_file.read_bytes()))
    assert describe(path)["format"] == {"name": "FITS", "gzip": True}
    assert describe(path)["shape"] == [7, 4, 3]


def test_lone_cube_without_errors(tmp_path):
    header = fits.Header()
    for i, name in enumerate(["RA---TAN", "DEC--TAN", "WAVE"], start=1):
        header[f"CTYPE{i}"], header[f"CDELT{i}"], header[f"CRVAL{i}"] = name, 1e-5, 1.0
    header["CUNIT3"] = "um"
    path = tmp_path / "x.fits"
    fits.PrimaryHDU(np.zeros((5, 3, 2), ">f8"), header).writeto(path)
    facts = describe(path)
    assert (facts["kind"], facts["shape"], facts["provenance"]) == ("cube", [5, 3, 2], None)
    assert (facts["simulated"], facts["unit"], facts["target"]) == (False, None, None)
    assert facts["hdus"][0]["dtype"] == "float64"


def test_cube_with_a_broken_wavelength_axis_is_described_with_its_problem(cube_file, tmp_path):
    path = tmp_path / "bent.fits"
    with fits.open(cube_file) as hdus:
        hdus["SCI"].header["CDELT3"] = -1e-4
        hdus.writeto(path)
    wave = describe(path)["wave"]
    assert wave["increasing"] is False
    assert (wave["min"], wave["max"], wave["step_median"]) == (None, None, None)
    assert "not monotonic" in wave["problem"]


def test_map(tmp_path):
    path = tmp_path / "t001_linemap.fits"
    ard.write(path, make_map())
    facts = describe(path)
    assert (facts["kind"], facts["shape"]) == ("map", [4, 3])
    assert facts["layers"] == [{"name": "velocity", "unit": "km/s"}, {"name": "snr", "unit": ""}]
    assert facts["masked_fraction"] == pytest.approx(make_map().mask.mean())
    assert facts["provenance"]["stage"] == "linemaps"


def test_ecsv_table(tmp_path):
    path = tmp_path / "lines.ecsv"
    ard.write(path, lines_table(load_target("rbh1")))
    facts = describe(path)
    assert (facts["kind"], facts["rows"]) == ("table", 10)
    assert facts["columns"][2]["name"] == "wave_vac_um"
    assert facts["columns"][2]["unit"] == "um"
    assert facts["simulated"]


def test_fits_table(tmp_path):
    path = tmp_path / "draws.fits"
    columns = [fits.Column("v", "D", unit="km/s", array=np.arange(3.0))]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    facts = describe(path)
    assert (facts["kind"], facts["rows"]) == ("table", 3)
    assert facts["columns"] == [{"name": "v", "dtype": "D", "unit": "km/s", "description": ""}]


def test_image(tmp_path):
    path = tmp_path / "drc.fits"
    fits.PrimaryHDU(np.zeros((3, 2), "u2")).writeto(path)
    assert describe(path)["kind"] == "image"
    assert describe(path)["hdus"][0]["dtype"] == "uint16"


def test_documents_figures_archives_and_text(tmp_path):
    ard.io.write_json(tmp_path / "a.json", {"schema": "quality", "simulated": True})
    assert describe(tmp_path / "a.json")["schema"] == "quality"
    assert describe(tmp_path / "a.json")["simulated"]
    (tmp_path / "a.png").write_bytes(PNG)
    assert describe(tmp_path / "a.png")["shape"] == [1, 1]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "hello")
    facts = describe(tmp_path / "a.zip")
    assert (facts["kind"], facts["stored"]) == ("archive", True)
    assert facts["members"] == [{"name": "x.txt", "size": 5}]
    page = write_text(tmp_path / "a.html", "<!DOCTYPE html><html></html>")
    assert describe(page)["kind"] == "page"
    for name in ("README.md", "CITATION.cff", "sums.txt"):
        assert describe(write_text(tmp_path / name, "some text\n"))["kind"] == "text"


# ---- bad files: always an ArdError with file, expected, found and action


def bad_files(folder: Path, cube: bytes) -> dict[str, bytes]:
    head = cube[:2880]
    return {
        "empty.fits": b"",
        "page.fits": b"<!DOCTYPE html><title>503</title>",
        "text.fits": b"not found",
        "half.fits": cube[: len(cube) // 2],
        "tail.fits": cube + b"x" * 100,
        "lost.fits": head,
        "header.fits": cube[:1000],
        "bitpix.fits": cube.replace(
            b"BITPIX  =                    8", b"BITPIX  =                    7"
        ),
        "gz.fits.gz": gzip.compress(cube)[:500],
        "notgz.fits.gz": b"\x1f\x8b garbage",
        "zip.fits": b"PK\x03\x04 garbage",
        "a.zip": b"PK\x03\x04 garbage",
        "list.json": b"[1, 2]",
        "half.json": b'{"a": ',
        "latin.json": b'{"a": "\xff"}',
        "a.ecsv": b"# %ECSV 1.0\n# ---\n# nonsense\nx\n",
        "csv.ecsv": b"a,b\n1,2\n",
        "a.png": b"\x89PNG\r\n\x1a\n",
        "half.png": PNG[:-10],
        "empty.md": b"",
        "nul.txt": b"a\0b",
        "binary.txt": b"\xff\xfe\xfa",
        "binary.dat": bytes(range(128, 256)),
    }


BAD = sorted(bad_files(Path(), b"SIMPLE" + b" " * 3000))


@pytest.mark.parametrize("name", BAD)
def test_bad_file_gives_a_full_error(name, cube_file, tmp_path):
    path = tmp_path / name
    path.write_bytes(bad_files(tmp_path, cube_file.read_bytes())[name])
    with pytest.raises(ArdError) as caught:
        describe(path)
    error = caught.value
    assert error.problem
    assert error.expected
    assert error.found is not None
    assert error.action
    assert Path(str(error.file)).name == name


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(NotFoundError, match="nothing"):
        describe(tmp_path / "nowhere.fits")
    with pytest.raises(NotFoundError, match="a folder"):
        describe(tmp_path)


def test_damaged_provenance_is_a_format_error(cube_file, tmp_path):
    path = tmp_path / "x.fits"
    with fits.open(cube_file) as hdus:
        hdus["PROVENANCE"].data["VALUE"][0] = "{"
        hdus.writeto(path)
    with pytest.raises(FormatError, match="PROVENANCE"):
        describe(path)


def test_truncation_is_an_integrity_error(cube_file, tmp_path):
    path = tmp_path / "x.fits"
    path.write_bytes(cube_file.read_bytes()[:-2880])
    with pytest.raises(IntegrityError, match="truncated"):
        describe(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_fits_file_escapes_as_another_error(data, cube_file, tmp_path):
    """Invariant: whatever bytes change, the answer is a description or an ArdError."""
    blob = bytearray(cube_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        where = data.draw(st.integers(0, min(len(blob), 30000) - 1))
        blob[where] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.fits"
    path.write_bytes(bytes(blob[: data.draw(st.integers(0, len(blob)))]))
    with contextlib.suppress(ArdError):  # any other error fails the test
        json.dumps(describe(path), allow_nan=False)


@pytest.mark.parametrize("suffix", [".json", ".ecsv", ".png", ".zip", ".txt", ".fits"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blob=st.binary(max_size=200))
def test_random_bytes_never_escape_as_another_error(suffix, blob, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(blob)
    with contextlib.suppress(ArdError):  # any other error fails the test
        describe(path)


# ---- real files


@pytest.mark.real_data
def test_real_miri_cube(shared_data):
    """Oracle: facts measured on this cube (data/README.md, reference/archive_and_formats.md)."""
    facts = describe(shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz")
    assert (facts["kind"], facts["shape"]) == ("cube", [542, 27, 25])
    assert (facts["unit"], facts["target"], facts["telescope"]) == ("MJy/sr", "NGC 7469", "JWST")
    assert facts["wave"]["min"] == pytest.approx(17.703, abs=1e-3)
    assert facts["wave"]["max"] == pytest.approx(20.949, abs=1e-3)
    assert facts["wcs"]["gwcs"]
    assert facts["provenance"] is None
    assert not any(hdu["checksum"] for hdu in facts["hdus"])


@pytest.mark.real_data
def test_every_real_file_is_described_or_refused(shared_data):
    kinds = {}
    for path in sorted(shared_data.rglob("*.fits*")):
        kinds[path.name] = describe(path)["kind"]
    assert kinds["cubeviz_det_image_seq1_MIRIFUSHORT_12SHORTexp1_s3d.fits"] == "cube"
    assert kinds["ibde04010_drc_F502N.fits"] == "image"
    assert kinds["jwst_nirspec_g140m_disp.fits"] == "table"
    assert "document" not in kinds.values()
