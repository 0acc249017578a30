"""Small files as the archive has them, a server that has them, and a client that cuts."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits

from ard import spectral
from pipeline.acquire.cutouts.cutout import Cutout, cut_out
from pipeline.acquire.cutouts.plan import CutoutRequest
from pipeline.acquire.http import ArchiveSession, Waiter
from pipeline.acquire.settings import Network
from pipeline.acquire.testing import ArchiveFile, ArchiveServer
from pipeline.acquire.transfer import Wanted

NX, NY = 61, 47
CX, CY, CZ = 17, 13, 23
SKY_DEG = 1e-9  # 4 micro-arcsec: rounding of CRPIX and of the projection, no more
CUBE = ("SCI", "ERR", "DQ", "WMAP")


def placed(header: fits.Header, version: str = "", angle_deg: float = 137.5) -> None:
    """A rotated celestial WCS with a negative CDELT1."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": 20.25, "CRPIX2": 31.5, "CRVAL1": 40.4399, "CRVAL2": -8.3497,
        "CDELT1": -0.04 / 3600, "CDELT2": 0.04 / 3600,
        "PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c,
    }  # fmt: skip
    for key, value in cards.items():
        header[f"{key}{version}"] = value
    header[f"RADESYS{version}"] = "ICRS"


def drizzled(path: Path) -> Path:
    """SCI, WHT and CTX of one shape, and scaled integers, with all kinds of WCS cards."""
    rng = np.random.default_rng(1)
    head = fits.Header({"TELESCOP": "HST", "FILENAME": path.name, "NEXTEND": 4})
    hdus = [fits.PrimaryHDU(header=head)]
    for name in ("SCI", "WHT", "CTX"):
        header = fits.Header()
        placed(header)
        placed(header, "A", 10.0)
        header["CTYPE1B"], header["CTYPE2B"] = "DETX", "DETY"  # with no CRPIX, which is then 0
        header["CRVAL1B"], header["CDELT1B"] = 5.0, 0.015
        header["LTV1"], header["LTV2"], header["S_REGION"] = 3.0, -2.0, "POLYGON ICRS 1 2 3 4 5 6"
        data = rng.normal(size=(NY, NX)).astype(np.float32)
        data[5, 7] = np.nan
        if name == "CTX":
            data = rng.integers(-(2**31), 2**31, (NY, NX)).astype(np.int32)
        hdus.append(fits.ImageHDU(data, header, name=name, ver=1))
    raw = rng.integers(-(2**15), 2**15, (NY, NX)).astype(np.int16)
    scaled = fits.ImageHDU(raw, hdus[1].header, name="INT")
    hdus.append(scaled)
    fits.HDUList(hdus).writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as file:
        file["INT"].header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": -32768})
    return path


def cube(path: Path, *, tabular: bool = False) -> Path:
    """SCI with the WCS, and ERR, DQ, WMAP without, as in s3d files; DQ is unsigned."""
    rng = np.random.default_rng(2)
    header = fits.Header()
    placed(header)
    header["CRVAL1"] = -14.18  # as in real files
    header["CRPIX1"], header["CRPIX2"] = 9.0, 6.5
    spec = {"CTYPE3": "WAVE", "CRVAL3": 0.97031802861602, "CDELT3": 0.000636000011581927}
    if tabular:
        spec = {"CTYPE3": "WAVE-TAB", "CRVAL3": 1.0, "CDELT3": 1.0, "PS3_0": "WCS-TABLE",
                "PS3_1": "wavelength"}  # fmt: skip
    header.update(spec | {"CUNIT3": "um", "CRPIX3": 1.0, "PC3_3": 1.0, "BUNIT": "MJy/sr"})
    shape = (CZ, CY, CX)
    hdus: list[fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU] = [
        fits.PrimaryHDU(header=fits.Header({"TELESCOP": "JWST"})),
        fits.ImageHDU(rng.normal(size=shape).astype(np.float32), header, name="SCI"),
        fits.ImageHDU(rng.random(shape).astype(np.float32) + 0.1, name="ERR"),
        fits.ImageHDU(rng.integers(0, 2**32, shape).astype(np.uint32), name="DQ"),
        fits.ImageHDU(rng.random(shape).astype(np.float32), name="WMAP"),
    ]
    if tabular:
        hdus.append(spectral.wave_table(5.0 + 0.001 * np.arange(CZ) ** 1.1))
    rows = np.array([("a.fits", 1.5), ("b.fits", 2.5)], dtype=[("FILENAME", "S9"), ("T", "f8")])
    blob = np.zeros(1, [("ASDF_METADATA", "u1", (99,))])
    hdus += [fits.BinTableHDU(rows, name="HDRTAB"), fits.BinTableHDU(blob, name="ASDF")]
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path


def archive_file(path: Path) -> ArchiveFile:
    return ArchiveFile(f"mast:HST/product/{path.name}", path, "HST", "17301", path.stem)


@dataclass
class Client:
    """Cuts out of what a server has."""

    server: ArchiveServer
    session: ArchiveSession
    files: dict[str, Path]
    waiter: Waiter = field(default_factory=Waiter)

    def wanted(self, name: str) -> Wanted:
        return Wanted(f"mast:HST/product/{name}", name, self.files[name].stat().st_size)

    def cut(self, name: str, *words, **options) -> Cutout:
        wanted = self.wanted(name)
        return cut_out(self.session, wanted, CutoutRequest(*words, **options), self.waiter)


def serving(paths, **options) -> Iterator[Client]:
    with ArchiveServer([archive_file(path) for path in paths], **options) as server:
        network = Network(server.url, read_s=5.0, attempts=3, backoff_s=0.001)
        with ArchiveSession(network) as session:
            yield Client(server, session, {path.name: path for path in paths})


def opened(cutout: Cutout) -> fits.HDUList:
    """Read a cut-out with every checksum verified: a wrong one is a warning, which is an error."""
    hdus = fits.open(io.BytesIO(cutout.content), checksum=True, memmap=False)
    hdus.verify("exception")
    for hdu in hdus:
        assert hdu.verify_datasum() == 1
        assert hdu.verify_checksum() == 1
    return hdus


def archive_in(folder: Path) -> list[Path]:
    return [
        drizzled(folder / "drc.fits"),
        cube(folder / "s3d.fits"),
        cube(folder / "tab.fits", tabular=True),
    ]


def large(path: Path, nx: int, ny: int, rows: slice) -> Path:
    """Three extensions of ny x nx pixels, zero but for some rows; holes take no disk."""
    with path.open("wb") as stream:
        stream.write(fits.PrimaryHDU().header.tostring().encode())
        for name, bitpix in (("SCI", -32), ("WHT", -32), ("CTX", 32)):
            header = fits.ImageHDU(name=name).header
            header.set("BITPIX", bitpix)
            header.set("NAXIS", 2)
            header.set("NAXIS1", nx, after="NAXIS")
            header.set("NAXIS2", ny, after="NAXIS1")
            stream.write(header.tostring().encode())
            start = stream.tell()
            stream.seek(start + 4 * nx * rows.start)
            values = np.arange((rows.stop - rows.start) * nx, dtype=">i4")
            stream.write(values.astype(">f4").tobytes() if bitpix < 0 else values.tobytes())
            stream.seek(start + -(-4 * nx * ny // 2880) * 2880)
        stream.truncate()
    return path
