"""Which exposures show the sky, and which only the light that leaks through the shutters?

Half of the exposures of GO-3149 are imprints (leakcals): taken with the entrance closed, to be
subtracted. The archive makes cubes of them like of any other exposure, and they must not be
analysed as if they were sky. Their headers say so (IS_IMPRT); the exposure time confirms it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.errors import FormatError
from ard.fitsio import open_hdus
from ard.table import Table
from pipeline import roles
from pipeline.reduce.outliers import nanmedian
from pipeline.roles import IMPRINT, SCIENCE


@dataclass(frozen=True)
class Config:
    """Settings of the exposures stage.

    Attributes
    ----------
    short_fraction : float
        An exposure shorter than this fraction of the longest is an imprint where the header does
        not say what it is.
    pointing_arcsec : float
        Exposures of one pointing have target positions closer than this.
    """

    short_fraction: float = roles.SHORT_FRACTION
    pointing_arcsec: float = roles.POINTING_ARCSEC


@dataclass(frozen=True)
class Exposure:
    """What the header of one exposure says, and how large its errors are.

    Attributes
    ----------
    filename : str
        Name of the file.
    is_imprint, is_background : bool or None
        What IS_IMPRT and BKGDTARG say; None where they are missing.
    exptime_s : float
        Effective exposure time, s.
    level : str
        Processing level: "3" if the file lists its members (HDRTAB), else "2b".
    dither : int
        Position in the dither pattern (PATT_NUM).
    ra_deg, dec_deg : float
        Target position, ICRS.
    err_median : float
        Median of ERR over the voxels that have one, in the unit of the file.
    simulated : bool
        True if the file is simulated.
    """

    filename: str
    is_imprint: bool | None
    is_background: bool | None
    exptime_s: float
    level: str
    dither: int
    ra_deg: float
    dec_deg: float
    err_median: float
    simulated: bool


def read_exposure(path: str | os.PathLike[str]) -> Exposure:
    """Read what is needed to judge one exposure: header facts and the median error.

    Raises
    ------
    FormatError
        If a keyword or the ERR extension is missing.
    """
    with open_hdus(path) as hdus:
        header = hdus[0].header
        missing = [
            key for key in ("EFFEXPTM", "PATT_NUM", "TARG_RA", "TARG_DEC") if key not in header
        ]
        if missing or "ERR" not in hdus:
            raise FormatError(
                "the file does not say which exposure it is",
                file=path,
                expected="EFFEXPTM, PATT_NUM, TARG_RA and TARG_DEC, and an ERR extension",
                found=f"no {', no '.join(missing or ['ERR'])}",
                action="give the per-exposure s3d files of the archive",
            )
        err = np.asarray(hdus["ERR"].data, dtype=np.float64).ravel()
        return Exposure(
            filename=Path(path).name,
            is_imprint=roles.flag(header.get("IS_IMPRT")),
            is_background=roles.flag(header.get("BKGDTARG")),
            exptime_s=float(header["EFFEXPTM"]),
            level="3" if "HDRTAB" in hdus else "2b",
            dither=int(header["PATT_NUM"]),
            ra_deg=float(header["TARG_RA"]),
            dec_deg=float(header["TARG_DEC"]),
            err_median=float(nanmedian(np.where(err > 0, err, np.nan), axis=0)),
            simulated=bool(header.get("SIMULATD", False)),
        )


def run(*, exposures: Mapping[str, Exposure], config: Config) -> dict[str, Any]:
    """Give every exposure its role and its pointing.

    Parameters
    ----------
    exposures : mapping of str to Exposure
        One for each file.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``exposures``: a Table with one row for each file, in order of file name.

    Raises
    ------
    FormatError
        If a header calls an exposure science that is as short as an imprint, or the reverse, or
        no exposure is left for science.
    """
    ordered = sorted(exposures.values(), key=lambda e: e.filename)
    longest = max((e.exptime_s for e in ordered), default=0.0)
    found = [_role(e, longest, config) for e in ordered]
    if SCIENCE not in found:
        raise FormatError(
            "no exposure shows the sky",
            expected="at least one science exposure",
            found=f"{len(found)} exposures, all {' or '.join(sorted(set(found))) or 'absent'}",
            action="check which files were given",
        )
    data = QTable(
        {
            "filename": [e.filename for e in ordered],
            "role": found,
            "pointing": roles.pointings(
                [(e.ra_deg, e.dec_deg) for e in ordered], config.pointing_arcsec
            ),
            "dither": [e.dither for e in ordered],
            "level": [e.level for e in ordered],
            "exptime_s": [e.exptime_s for e in ordered] * u.s,
            "is_imprint": [role == IMPRINT for role in found],
            "ra_deg": [e.ra_deg for e in ordered] * u.deg,
            "dec_deg": [e.dec_deg for e in ordered] * u.deg,
            "err_median": [e.err_median for e in ordered] * u.MJy / u.sr,
        }
    )
    meta = {"SIMULATD": any(e.simulated for e in ordered)}
    return {"exposures": Table(data, meta)}


def _role(exposure: Exposure, longest: float, config: Config) -> str:
    judgement = roles.judge(
        is_imprint=exposure.is_imprint,
        is_background=exposure.is_background,
        short=roles.is_short(exposure.exptime_s, longest, config.short_fraction),
    )
    if not judgement.agrees:
        raise FormatError(
            "the header and the exposure time disagree on what this exposure is",
            file=exposure.filename,
            expected=f"an imprint shorter than {config.short_fraction:g} times the longest "
            f"exposure ({longest:g} s), and a science exposure that is not",
            found=f"IS_IMPRT = {exposure.is_imprint}, {exposure.exptime_s:g} s",
            action="look at the file; change exposures.short_fraction if the times are right",
        )
    return judgement.role
