"""How is a cube read from, and written to, a FITS file in the JWST s3d layout?

Read are the forms that exist in the wild: plain and gzipped files, the JWST extensions
(SCI, ERR, DQ, WMAP), tile-compressed extensions, rotated WCS, linear and tabular wavelengths,
and a lone image without errors. Written is one form, which jdaviz, specutils, DS9 and astropy
open: the JWST layout with float32 data and a gwcs in the ASDF extension.
"""

import os
from pathlib import Path
from typing import Final, Literal

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from ard import asdfwcs, provenance, spectral
from ard.cube import BoolArray, Cube, FloatArray, Lsf, Psf, sealed
from ard.errors import FormatError, UnitError
from ard.fitsio import open_hdus, write_hdus
from ard.headers import celestial_cards, celestial_wcs, kept_cards, write_cards

Noise = Literal["file", "scatter", "auto"]

# jwst.datamodels dqflags, as listed in the JWST documentation.
DO_NOT_USE: Final = 1
OUTLIER: Final = 16
NON_SCIENCE: Final = 512
_UNUSABLE: Final = DO_NOT_USE | NON_SCIENCE
_MAD_TO_SIGMA: Final = 1.482602218505602  # 1 / Phi^-1(3/4), for a Gaussian
# The second difference a - 2 b + c of independent equal noise has 6 times its variance.
_SECOND_DIFFERENCE: Final = np.sqrt(6.0)
UNIT: Final = "MJy/sr"


def read_cube(path: str | os.PathLike[str], *, noise: Noise = "auto") -> Cube:
    """Read a cube from a FITS file.

    Parameters
    ----------
    path : path-like
        The file: JWST s3d layout, or a lone three-dimensional image.
    noise : {"auto", "file", "scatter"}
        Where the variance comes from: the ERR extension, or the scatter between neighbouring
        channels (for a lone image, which has none). "auto" takes the file's where the file has
        the JWST layout, and the scatter for a lone image; `meta["ERRFROM"]` says which, or what
        the file says of its ERR extension.

    Returns
    -------
    Cube
        Flux in MJy/sr, float64 in native byte order. Masked are voxels flagged DO_NOT_USE or
        NON_SCIENCE, without finite flux, without positive finite error, or of zero weight.

    Raises
    ------
    ArdError
        With file, expectation, finding and remedy, if the file is damaged, lacks an extension,
        or has axes or units that cannot be understood.
    """
    name = Path(path).name
    with open_hdus(path) as hdus:
        image = _science(hdus, name)
        sky = celestial_wcs(image.header, name)
        wave = spectral.read_wave(hdus, image.header, name)
        factor = _to_mjy_sr(str(image.header.get("BUNIT", "")), name)
        flux = _array(image, factor)
        layout = image.name == "SCI"
        from_file = noise == "file" or (noise == "auto" and layout)
        error = (
            _errors(_extension(hdus, "ERR", flux.shape, name), factor, name)
            if from_file
            else scatter(flux)
        )
        dq = _optional(hdus, "DQ", flux.shape, name)
        weight = _optional(hdus, "WMAP", flux.shape, name)
        meta = kept_cards(hdus[0].header)
        meta.pop("WCSAXES", None)
        meta["ERRFROM"] = meta.get("ERRFROM", "file") if from_file else "scatter"
        return Cube(
            flux=sealed(flux),  # made here, as are the others: no copy is needed
            var=sealed(_square(error)),
            mask=sealed(_mask(flux, error, dq, weight)),
            wave=wave,
            wcs=sky,
            unit=UNIT,
            dq=dq,
            weight=weight,
            lsf=_read_lsf(hdus),
            psf=_read_psf(hdus),
            meta=_without_layout(meta),
            provenance=provenance.from_hdus(hdus),
            specsys=str(image.header.get("SPECSYS", "")).strip(),
        )


def _science(hdus: fits.HDUList, name: str) -> fits.ImageHDU:
    if "SCI" in hdus:
        image = hdus["SCI"]
    else:
        images = [hdu for hdu in hdus if hdu.header.get("ZNAXIS", hdu.header["NAXIS"]) > 0]
        images = [hdu for hdu in images if hdu.is_image]
        if len(images) != 1 or images[0].header["NAXIS"] != 3:
            raise FormatError(
                "the file has no SCI extension and is not a lone cube",
                file=name,
                expected="the JWST s3d extensions SCI and ERR, or one image with three axes",
                found=", ".join(f"{hdu.name or 'unnamed'} {hdu.shape}" for hdu in images)
                or "no image at all",
                action="give an s3d file; a 2-D product must first be built into a cube",
            )
        image = images[0]
    if image.header["NAXIS"] != 3:
        raise FormatError(
            "the science image is not a cube",
            file=name,
            expected="three axes: wavelength, y, x",
            found=f"shape {image.shape}",
            action="give an s3d file; rate, cal, phot and x1d files are not cubes",
        )
    return image


def _to_mjy_sr(unit: str, name: str) -> float:
    try:
        return float(u.Unit(unit, parse_strict="raise").to(u.MJy / u.sr))
    except (ValueError, u.UnitConversionError, TypeError) as error:
        raise UnitError(
            "the flux has a unit that is not a surface brightness per frequency",
            file=name,
            expected="BUNIT of MJy/sr, or a unit that converts to it",
            found=unit or "no BUNIT",
            action="calibrate the cube, or mend BUNIT",
        ) from error


def _array(hdu: fits.ImageHDU, factor: float) -> FloatArray:
    data = np.array(hdu.data, dtype=np.float64)
    if factor != 1.0:
        data *= factor
    return data


def _errors(hdu: fits.ImageHDU, factor: float, name: str) -> FloatArray:
    """Read errors in their own unit, which some writers leave out: then it is that of SCI."""
    unit = str(hdu.header.get("BUNIT", "")).strip()
    return _array(hdu, _to_mjy_sr(unit, name) if unit else factor)


def _extension(
    hdus: fits.HDUList, extension: str, shape: tuple[int, ...], name: str
) -> fits.ImageHDU:
    if extension not in hdus:
        raise FormatError(
            f"the extension {extension} is missing",
            file=name,
            expected=f"an image {extension} of shape {shape}",
            found=", ".join(hdu.name for hdu in hdus),
            action=_whole(hdus[0].header)
            or "fetch the file again; for a cube without errors give a lone image",
        )
    if hdus[extension].shape != shape:
        raise FormatError(
            f"the extension {extension} has another shape than SCI",
            file=name,
            expected=shape,
            found=hdus[extension].shape,
            action="fetch the file again",
        )
    return hdus[extension]


def _whole(header: fits.Header) -> str | None:
    """Say where the rest of a file is that `ard.fetch_hdu` made of one HDU."""
    if "PARTNAME" not in header:
        return None
    return (
        f"this file holds one HDU of {header.get('FILENAME')}: fetch the whole product, or read it "
        "without errors: ard.read_cube(path, noise='scatter')"
    )


def _optional(
    hdus: fits.HDUList, extension: str, shape: tuple[int, ...], name: str
) -> np.ndarray | None:
    if extension not in hdus:
        return None
    return np.asarray(_extension(hdus, extension, shape, name).data)


def _square(error: FloatArray) -> FloatArray:
    # An absurd error (5.6e27 occurs) must not overflow: float64 holds its square.
    with np.errstate(over="ignore"):
        return error**2


def _mask(
    flux: FloatArray, error: FloatArray, dq: np.ndarray | None, weight: np.ndarray | None
) -> BoolArray:
    with np.errstate(over="ignore", invalid="ignore"):
        usable = np.isfinite(flux) & np.isfinite(error**2) & (error > 0)
    if dq is not None:
        usable &= (dq & _UNUSABLE) == 0
    if weight is not None:
        usable &= weight > 0
    return ~usable


def scatter(flux: FloatArray) -> FloatArray:
    """Estimate the noise of a cube without errors from neighbouring channels.

    The second difference along wavelength removes a locally straight spectrum; its median
    absolute deviation over the spaxels of a channel gives one sigma per channel.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
        One value per channel, in the unit of `flux`; NaN where a channel holds no data.

    Raises
    ------
    FormatError
        If there are fewer than three channels.
    """
    if flux.shape[0] < 3:
        raise FormatError(
            "the noise cannot be measured from so few channels",
            expected="three channels or more",
            found=flux.shape[0],
            action="give a file with an ERR extension",
        )
    second = flux[:-2] - 2.0 * flux[1:-1] + flux[2:]
    flat = second.reshape(second.shape[0], -1)
    sigma = np.full(flux.shape[0], np.nan)
    for k, row in enumerate(flat, start=1):
        good = row[np.isfinite(row)]
        if good.size > 1:
            deviation = np.median(np.abs(good - np.median(good)))
            sigma[k] = _MAD_TO_SIGMA * deviation / _SECOND_DIFFERENCE
    sigma[0], sigma[-1] = sigma[1], sigma[-2]
    return np.broadcast_to(sigma[:, None, None], flux.shape).copy()


def _read_lsf(hdus: fits.HDUList) -> Lsf | None:
    if "LSF" not in hdus:
        return None
    data, header = hdus["LSF"].data, hdus["LSF"].header
    return Lsf(data["WAVE"], data["FWHM"], str(header["SOURCE"]))


def _read_psf(hdus: fits.HDUList) -> Psf | None:
    if "PSF" not in hdus:
        return None
    data, header = hdus["PSF"].data, hdus["PSF"].header
    return Psf(data["WAVE"], data["FWHM"], str(header["SOURCE"]))


def _without_layout(meta: dict[str, object]) -> dict[str, object]:
    """Drop what this module writes itself, and what a lone image keeps in its primary header."""
    stems = ("NAXIS", "CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "PC1_", "PC2_", "PC3_", "CD")
    drop = {"BUNIT", "SPECSYS", "RADESYS", "PCOUNT", "GCOUNT", "BZERO", "BSCALE", "WCSAXES"}
    return {k: v for k, v in meta.items() if k not in drop and not k.startswith(stems)}


def cube_hdus(
    cube: Cube, primary: fits.Header | None = None, *, compress: bool = False
) -> fits.HDUList:
    """Lay a cube out as FITS in the JWST s3d layout.

    Parameters
    ----------
    cube : Cube
        The content. Unit must be MJy/sr.
    primary : astropy.io.fits.Header, optional
        Cards for the primary header, after those of `cube.meta`.
    compress : bool
        Losslessly compress the images (GZIP_2, one tile a channel).

    Returns
    -------
    astropy.io.fits.HDUList
        PRIMARY, SCI, ERR, DQ, WMAP, [WCS-TABLE], [LSF], [PSF], [PROVENANCE], ASDF.

    Raises
    ------
    UnitError
        If the unit is another.
    FormatError
        If a keyword, a number or the WCS cannot be written so that it is read as it is.
    ExtraMissingError
        If gwcs or asdf is not installed.
    """
    if cube.unit != UNIT:
        raise UnitError("only cubes in MJy/sr are written", expected=UNIT, found=cube.unit)
    head = fits.PrimaryHDU()
    head.header["TELESCOP"] = ("JWST", "telescope whose layout this file has")
    write_cards(head.header, {"TELESCOP": "JWST", **cube.meta})
    for key, value in (("FLUXEXT", "SCI"), ("ERREXT", "ERR"), ("MASKEXT", "DQ")):
        head.header[key] = value
    if primary is not None:
        head.header.extend(primary, update=True)
    head.header["ARDKIND"] = ("cube", "product type of rbh1-ard")
    weight = np.where(cube.mask, 0.0, 1.0) if cube.weight is None else cube.weight
    flux = _single(cube, cube.flux, "a flux")
    error = _single(cube, np.where(np.isfinite(cube.var), cube.err, np.nan), "an error")
    hdus = fits.HDUList(
        [
            head,
            _image(cube, flux, "SCI", UNIT, compress=compress),
            _image(cube, error, "ERR", UNIT, compress=compress),
            _image(cube, _dq(cube), "DQ", "", compress=compress),
            _image(cube, weight.astype(np.float32), "WMAP", "", compress=compress),
        ]
    )
    hdus["SCI"].header["PIXAR_SR"] = (cube.pixel_area_sr, "[sr] spaxel area")
    hdus["SCI"].header["PIXAR_A2"] = (cube.pixel_area_arcsec2, "[arcsec2] spaxel area")
    if not spectral.is_linear(cube.wave):
        hdus.append(spectral.wave_table(cube.wave))
    hdus.extend(_instrument_tables(cube))
    if cube.provenance is not None:
        hdus.append(provenance.to_hdu(cube.provenance))
    hdus.append(asdf_hdu(cube.wcs, cube.wave))
    return hdus


def _dq(cube: Cube) -> np.ndarray:
    flags = np.zeros(cube.shape, np.uint32) if cube.dq is None else cube.dq.copy()
    flags[cube.mask] |= np.uint32(DO_NOT_USE)  # the one bit that every reader looks at
    return flags


def _single(cube: Cube, values: FloatArray, what: str) -> np.ndarray:
    """Round to float32, and refuse a number that would be read as a sign of a masked voxel."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32)
    lost = ~cube.mask & ~(np.isfinite(single) & ((single > 0) | (what != "an error")))
    if lost.any():
        raise FormatError(
            f"a voxel that may be used has {what} that float32 cannot hold",
            expected="numbers below 3.4e38, and errors above 1e-45",
            found=f"{values[lost][0]} in one of {int(lost.sum())} such voxels",
            action="mask these voxels, or mend their numbers",
        )
    return single


def _image(
    cube: Cube, data: np.ndarray, name: str, unit: str, *, compress: bool
) -> fits.ImageHDU | fits.CompImageHDU:
    header = celestial_cards(cube.wcs)
    header.extend(spectral.spectral_cards(cube.wave, cube.specsys), update=True)
    if unit:
        header["BUNIT"] = (unit, "physical units of the array values")
    if not compress:
        return fits.ImageHDU(data, header=header, name=name)
    return fits.CompImageHDU(
        data,
        header=header,
        name=name,
        compression_type="GZIP_2",
        tile_shape=(1, *data.shape[1:]),
        quantize_level=0,
    )


def _instrument_tables(cube: Cube) -> list[fits.BinTableHDU]:
    tables = []
    for name, source, width, unit in (
        ("LSF", cube.lsf, None if cube.lsf is None else cube.lsf.fwhm_um, "um"),
        ("PSF", cube.psf, None if cube.psf is None else cube.psf.fwhm_arcsec, "arcsec"),
    ):
        if source is None or width is None:
            continue
        columns = [
            fits.Column("WAVE", "D", unit="um", array=source.wave),
            fits.Column("FWHM", "D", unit=unit, array=width),
        ]
        hdu = fits.BinTableHDU.from_columns(columns, name=name)
        hdu.header["SOURCE"] = source.source
        tables.append(hdu)
    return tables


def asdf_hdu(wcs: WCS, wave: FloatArray) -> fits.BinTableHDU:
    """Write the generalised WCS that specutils and jdaviz read from a JWST file.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS of (x, y); a zenithal projection, such as TAN, in ICRS, FK5 or FK4.
    wave : ndarray, shape (n_wave,)
        Channel centres, um.
    """
    return asdfwcs.hdu(wcs, wave, linear=spectral.is_linear(wave))


def write_cube(
    path: str | os.PathLike[str], cube: Cube, *, overwrite: bool = False, compress: bool = False
) -> None:
    """Write a cube in the JWST s3d layout, atomically; equal cubes give equal bytes.

    Parameters
    ----------
    path : path-like
        Where to.
    cube : Cube
        The content; flux and error are stored as float32.
    overwrite : bool
        Replace a file that is there.
    compress : bool
        Losslessly compress the images (GZIP_2, one tile a channel).
    """
    write_hdus(path, cube_hdus(cube, compress=compress), overwrite=overwrite)
