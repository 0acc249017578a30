"""What is in the H II grid that NebulaBayes ships (MAPPINGS 5.1, MIT licence)?"""

import re
from pathlib import Path
from typing import Final

import numpy as np

from ard.errors import FormatError
from ard.fileio import sha256_file
from ard.fitsio import open_hdus
from manifests.nebular import nearest_line
from pipeline.shocks.grid import HALPHA, HBETA, Component, Defect, FloatArray, GridLine, GridSource
from pipeline.shocks.hii import HiiGrid
from pipeline.shocks.lines import blend

AXES: Final = ("12 + log O/H", "log P/k", "log U")
SUMS: Final = (("SII_6716", "SII_6731"), ("SIII_9069", "SIII_9531"), ("OII_3726", "OII_3729"))
_BALMER: Final = {
    "Halpha": HALPHA,
    "Hbeta": HBETA,
    "Hgamma": "HI_4340",
    "Hdelta": "HI_4102",
    "Padelta": "HI_10049",
}
_LABEL: Final = re.compile(r"^([A-Z][a-z]?)([IVX]+)(\d+(?:\.\d+)?)$")
_SAME_LINE: Final = 2e-4


def line_of(column: str) -> str | None:
    """Give the name of the line of a column ("OIII5007"), or None: blends, sizes, unknown lines."""
    if column in _BALMER:
        return _BALMER[column]
    found = _LABEL.match(column)
    if found is None:
        return None
    wave = float(found[3]) * 1e-4
    line = nearest_line(found[1] + found[2], wave)
    near = line is not None and abs(line.label_um / wave - 1.0) < _SAME_LINE
    return line.name if near and line is not None else None


def import_hii(path: Path, *, retrieved: str = "") -> HiiGrid:
    """Make the grid of NB_HII_grid.fits.gz; fluxes there are over H beta.

    Raises
    ------
    FormatError
        If an axis or H alpha is missing, or a model is missing or there twice.
    """
    with open_hdus(path) as hdus:
        table = hdus[1].data
        columns = {
            str(name): np.asarray(table[name], dtype=np.float64) for name in hdus[1].columns.names
        }
    named = {line_of(name): values for name, values in columns.items() if line_of(name) is not None}
    fluxes = {name: values for name, values in named.items() if name is not None}
    if any(axis not in columns for axis in AXES) or HALPHA not in fluxes:
        raise FormatError(
            "the file is no H II grid of NebulaBayes",
            file=path,
            expected=f"columns {', '.join(AXES)} and Halpha",
            found=", ".join(list(columns)[:6]),
            action="give NB_HII_grid.fits.gz",
        )
    for members in SUMS:
        if all(name in fluxes for name in members):
            fluxes[blend(members).name] = np.sum([fluxes[name] for name in members], axis=0)
    found = [np.unique(np.round(columns[name], 4), return_inverse=True) for name in AXES]
    shape = tuple(axis.size for axis, _ in found)
    place = np.ravel_multi_index(tuple(at for _, at in found), shape)
    if np.unique(place).size != place.size or place.size != int(np.prod(shape)):
        raise FormatError(
            "models are missing, or there twice",
            file=path,
            expected=f"{int(np.prod(shape))} models",
            found=f"{np.unique(place).size} different ones in {place.size} rows",
            action="fetch the file again",
        )
    lines = sorted(
        (_line(name) for name in fluxes if name != HALPHA), key=lambda line: line.wave_um
    )
    ratio = np.full((place.size, len(lines)), np.nan)
    ratio[place] = _log_ratios(fluxes, lines)
    full = ratio.reshape(*shape, len(lines))
    source = _source(path, full, retrieved)
    (log_oh, _), (log_pk, _), (log_u, _) = found
    return HiiGrid(source, log_oh, log_pk, log_u, tuple(lines), full, np.isnan(full))


def _source(path: Path, full: FloatArray, retrieved: str) -> GridSource:
    missing = int(np.isnan(full).sum())
    detail = f"{missing} of {full.size} fluxes are not given"
    return GridSource(
        code="MAPPINGS",
        version="5.1",
        project="NebulaBayes H II grid",
        component=Component.HII,
        source="doi:10.3847/1538-4357/aab3db",
        licence="MIT",
        sha256=sha256_file(path),
        retrieved=retrieved,
        rounding=0.0,
        known_defects=(Defect("MISSING_FLUX", "weak lines", detail, "masked"),) if missing else (),
    )


def _line(name: str) -> GridLine:
    members = next((members for members in SUMS if blend(members).name == name), (name,))
    return blend(members)


def _log_ratios(fluxes: dict[str, FloatArray], lines: list[GridLine]) -> FloatArray:
    values = np.stack([fluxes[line.name] for line in lines], axis=1)
    good = np.isfinite(values) & (values > 0)
    return np.where(good, np.log10(np.where(good, values, 1.0)), np.nan) - np.log10(
        fluxes[HALPHA][:, None]
    )
