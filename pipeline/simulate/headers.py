"""Which header cards, and which table of input headers, does the archive put on an s3d file?

Names, order and formats are those of the real files; values are the measured ones where they
are known (HDRTAB of the Level-3 cubes). Versions of the calibration and its context say that
there was none, because the file is simulated.
"""

from typing import Final

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from pipeline.simulate import geometry
from pipeline.simulate.geometry import Exposure, Window

Value = str | int | float | bool

HISTORY: Final = (
    "SIMULATED data: made by the simulator of rbh1-ard, not observed.",
    "Layout and file names follow JWST program 3149; pixels are synthetic.",
)
ITEM_STEM: Final = "jw03149-o001_{item}_nirspec_g140m-f100lp_s3d.fits"
EXPOSURE_SECONDS: Final = 3501.334
# NRSIRS2: 3 integrations of 16 groups. The imprints are taken to be one integration of 2
# groups: read noise variance goes as 1/(n_int n (n^2 - 1)), and VAR_RNOISE is 1750 times larger.
IMPRINT_SECONDS: Final = 145.889
_GROUPS: Final = {False: (3, 16), True: (1, 2)}
_DURATION_DAYS: Final = {False: 3545.1 / 86400.0, True: 160.5 / 86400.0}

# Cards of a file about one exposure that its HDRTAB row repeats: name, format, comment.
_COMMON: Final[tuple[tuple[str, str, str], ...]] = (
    ("ORIGIN", "8A", "Organization responsible for creating file"),
    ("TIMESYS", "3A", "principal time system for time-related keywords"),
    ("FILENAME", "39A", "Name of the file"),
    ("SDP_VER", "7A", "Data processing (DP) Software Version"),
    ("CAL_VER", "6A", "Calibration Software Version"),
    ("DATAMODL", "13A", "Type of data model"),
    ("TELESCOP", "4A", "Telescope used to acquire the data"),
    ("TITLE", "85A", "Proposal title"),
    ("CATEGORY", "2A", "Program category"),
    ("DATE-OBS", "10A", "[yyyy-mm-dd] UTC date at start of exposure"),
    ("TIME-OBS", "12A", "[hh:mm:ss.sss] UTC time at start of exposure"),
    ("DATE-BEG", "23A", "Date-time start of exposure"),
    ("DATE-END", "23A", "Date-time end of exposure"),
    ("OBS_ID", "26A", "Programmatic observation identifier"),
    ("VISIT_ID", "11A", "Visit identifier"),
    ("PROGRAM", "5A", "Program number"),
    ("OBSERVTN", "3A", "Observation number"),
    ("VISIT", "3A", "Visit number"),
    ("VISITGRP", "2A", "Visit group identifier"),
    ("SEQ_ID", "1A", "Parallel sequence identifier"),
    ("ACT_ID", "2A", "Activity identifier"),
    ("EXPOSURE", "1A", "Exposure request number"),
    ("BKGDTARG", "L", "Background target"),
    ("TEMPLATE", "24A", "Observation template used"),
    ("NEXPOSUR", "K", "Total number of planned exposures in visit"),
    ("TARGPROP", "8A", "Proposer's name for the target"),
    ("TARGNAME", "8A", "Standard astronomical catalog name for target"),
    ("TARGTYPE", "5A", "Type of target (fixed, moving, generic)"),
    ("TARG_RA", "D", "Target RA at mid time of exposure"),
    ("TARG_DEC", "D", "Target Dec at mid time of exposure"),
    ("INSTRUME", "7A", "Instrument used to acquire the data"),
    ("DETECTOR", "4A", "Name of detector used to acquire the data"),
    ("FILTER", "6A", "Name of the filter element used"),
    ("GRATING", "5A", "Name of the grating element used"),
    ("LAMP", "4A", "Internal lamp state"),
    ("GWA_XTIL", "D", "[deg] Grating x tilt angle relative to mirror"),
    ("GWA_YTIL", "D", "[deg] Grating y tilt angle relative to mirror"),
    ("EXPCOUNT", "K", "Running count of exposures in visit"),
    ("EXP_TYPE", "7A", "Type of data in the exposure"),
    ("EXPSTART", "D", "[d] exposure start time in MJD"),
    ("EXPMID", "D", "[d] exposure mid time in MJD"),
    ("EXPEND", "D", "[d] exposure end time in MJD"),
    ("READPATT", "7A", "Readout pattern"),
    ("NINTS", "K", "Number of integrations in exposure"),
    ("NGROUPS", "K", "Number of groups in integration"),
    ("EFFEXPTM", "D", "[s] Effective exposure time"),
    ("XPOSURE", "D", "[s] Effective exposure time"),
    ("IS_IMPRT", "L", "NIRSpec imprint exposure"),
    ("SUBARRAY", "4A", "Subarray used"),
    ("PATTTYPE", "14A", "Primary dither pattern type"),
    ("PATT_NUM", "K", "Position number in primary pattern"),
    ("NUMDTHPT", "K", "Total number of points in pattern"),
    ("XOFFSET", "D", "x offset from pattern starting position"),
    ("YOFFSET", "D", "y offset from pattern starting position"),
    ("APERNAME", "12A", "PRD science aperture used"),
    ("PA_APER", "D", "[deg] Position angle of aperture used"),
    ("PA_V3", "D", "[deg] Position angle of telescope V3 axis"),
    ("CRDS_VER", "6A", "Version of CRDS file selection software used"),
    ("CRDS_CTX", "14A", "CRDS context (.pmap) used to select ref files"),
    ("S_WCS", "8A", "Assign World Coordinate System"),
    ("S_BKDSUB", "8A", "Background subtraction"),
    ("S_CLNFNS", "8A", "Clean flicker noise"),
    ("S_FLAT", "8A", "Flat field correction"),
    ("S_IMPRNT", "8A", "NIRSpec MSA imprint subtraction"),
    ("S_MSAFLG", "8A", "NIRSpec MSA bad shutter flagging"),
    ("S_OUTLIR", "8A", "Outlier detection"),
    ("S_PTHLOS", "8A", "Pathloss correction"),
    ("S_PHOTOM", "8A", "Photometric (absolute flux) calibration"),
    ("S_PXREPL", "8A", "Replace bad pixels with interpolated values"),
)

_CONSTANT: Final[dict[str, Value]] = {
    "ORIGIN": "rbh1-ard",
    "TIMESYS": "UTC",
    "SDP_VER": "none",
    "CAL_VER": "none",
    "TELESCOP": "JWST",
    "TITLE": "Simulated twin of GO-3149: the line of light RBH-1",
    "CATEGORY": "GO",
    "VISIT_ID": "03149001001",
    "PROGRAM": "03149",
    "OBSERVTN": "001",
    "VISIT": "001",
    "SEQ_ID": "1",
    "ACT_ID": "01",
    "BKGDTARG": False,
    "TEMPLATE": "NIRSpec IFU Spectroscopy",
    "NEXPOSUR": 16,
    "TARGPROP": "RBH-1",
    "TARGNAME": "RBH-1",
    "TARGTYPE": "FIXED",
    "INSTRUME": "NIRSPEC",
    "DETECTOR": "NRS1",
    "FILTER": "F100LP",
    "GRATING": "G140M",
    "LAMP": "NONE",
    "GWA_XTIL": 0.3271445,
    "GWA_YTIL": 0.1243473,
    "EXP_TYPE": "NRS_IFU",
    "READPATT": "NRSIRS2",
    "SUBARRAY": "FULL",
    "PATTTYPE": "4-POINT-DITHER",
    "NUMDTHPT": 4,
    "APERNAME": "NRS_FULL_IFU",
    "PA_APER": geometry.PA_APER_DEG,
    "PA_V3": 249.265,
    "CRDS_VER": "none",
    "CRDS_CTX": "jwst_0000.pmap",
    "S_WCS": "COMPLETE",
    "S_BKDSUB": "SKIPPED",
    "S_CLNFNS": "SKIPPED",
    "S_FLAT": "COMPLETE",
    "S_IMPRNT": "COMPLETE",
    "S_MSAFLG": "COMPLETE",
    "S_OUTLIR": "COMPLETE",
    "S_PTHLOS": "COMPLETE",
    "S_PHOTOM": "COMPLETE",
    "S_PXREPL": "SKIPPED",
}


def exposure_values(exposure: Exposure, *, subtracted: bool = False) -> dict[str, Value]:
    """What does every card say for one exposure?

    Parameters
    ----------
    exposure : geometry.Exposure
    subtracted : bool
        Whether the other pointing has been taken off as background.

    Returns
    -------
    dict
        Without FILENAME and DATAMODL, which are the file's own.
    """
    pointing = geometry.POINTINGS[exposure.pointing]
    group = exposure.name.split("_")[1]
    x_offset, y_offset = geometry.OFFSETS_ARCSEC[exposure.dither]
    return (
        _CONSTANT
        | _timing(exposure)
        | {
            "OBS_ID": f"V03149001001P00000000{group}",
            "VISITGRP": group[:2],
            "EXPOSURE": str(exposure.dither + 1),
            "TARG_RA": pointing.ra_deg,
            "TARG_DEC": pointing.dec_deg,
            "EXPCOUNT": 1 + geometry.EXPOSURES.index(exposure),
            "IS_IMPRT": exposure.imprint,
            "PATT_NUM": exposure.dither + 1,
            "XOFFSET": x_offset,
            "YOFFSET": y_offset,
            # An imprint is not corrected by another imprint.
            "S_IMPRNT": "SKIPPED" if exposure.imprint else "COMPLETE",
            "S_BKDSUB": "COMPLETE" if subtracted else "SKIPPED",
        }
    )


def _timing(exposure: Exposure) -> dict[str, Value]:
    start, length = exposure.start_mjd, _DURATION_DAYS[exposure.imprint]
    begin, end = (Time(mjd, format="mjd").isot for mjd in (start, start + length))
    nints, ngroups = _GROUPS[exposure.imprint]
    seconds = IMPRINT_SECONDS if exposure.imprint else EXPOSURE_SECONDS
    return {
        "DATE-OBS": begin[:10],
        "TIME-OBS": begin[11:],
        "DATE-BEG": begin,
        "DATE-END": end,
        "EXPSTART": start,
        "EXPMID": start + length / 2,
        "EXPEND": start + length,
        "NINTS": nints,
        "NGROUPS": ngroups,
        "EFFEXPTM": seconds,
        "XPOSURE": seconds,
    }


def primary(values: dict[str, Value], filename: str) -> fits.PrimaryHDU:
    """Which primary HDU does an s3d file start with?"""
    hdu = fits.PrimaryHDU()
    own: dict[str, Value] = {"FILENAME": filename, "DATAMODL": "IFUCubeModel"}
    for name, _, comment in _COMMON:
        hdu.header[name] = ((values | own)[name], comment)
    hdu.header["SIMULATD"] = (True, "simulated, not observed")
    for key, value in (("FLUXEXT", "SCI"), ("ERREXT", "ERR"), ("MASKEXT", "DQ")):
        hdu.header[key] = value
    for text in HISTORY:
        hdu.header["HISTORY"] = text
    return hdu


def science(cut: Window, wcs: WCS, shape: tuple[int, int, int]) -> fits.Header:
    """Which cards describe the axes and units of the SCI extension?"""
    area = geometry.SPAXEL_ARCSEC**2
    header = fits.Header()
    header["BUNIT"] = ("MJy/sr", "physical units of the array values")
    header["PIXAR_SR"] = (area * np.deg2rad(1 / 3600.0) ** 2, "Nominal pixel area in steradians")
    header["PIXAR_A2"] = (area, "Nominal pixel area in arcsec^2")
    header["RADESYS"] = ("ICRS", "Name of the coordinate reference frame")
    header["WCSAXES"] = (3, "number of World Coordinate System axes")
    for i in (1, 2):
        header[f"CRPIX{i}"] = (float(wcs.wcs.crpix[i - 1]), f"axis {i} reference pixel")
        header[f"CRVAL{i}"] = (float(wcs.wcs.crval[i - 1]), f"axis {i} value there")
        header[f"CTYPE{i}"] = (wcs.wcs.ctype[i - 1], f"Axis {i} type")
        header[f"CUNIT{i}"] = ("deg", f"Axis {i} units")
        header[f"CDELT{i}"] = (float(wcs.wcs.cdelt[i - 1]), f"Axis {i} increment")
        for j in (1, 2):
            header[f"PC{i}_{j}"] = (float(wcs.wcs.pc[i - 1][j - 1]), "linear transformation")
    header.extend(geometry.spectral_cards(cut), update=True)
    header["S_REGION"] = (geometry.s_region(wcs, *shape[1:]), "spatial extent")
    return header


def header_table(exposures: list[Exposure], *, subtracted: bool) -> fits.BinTableHDU:
    """What does HDRTAB say about the exposures that went into a Level-3 cube?

    Like the real one, it names the `_cal.fits` files, not the per-exposure cubes.
    """
    rows = [
        exposure_values(exposure, subtracted=subtracted)
        | {"FILENAME": f"{exposure.name}_cal.fits", "DATAMODL": "IFUImageModel"}
        for exposure in exposures
    ]
    columns = [
        fits.Column(name, form, array=np.array([row[name] for row in rows]))
        for name, form, _ in _COMMON
    ]
    return fits.BinTableHDU.from_columns(columns, name="HDRTAB")
