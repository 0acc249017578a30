"""How do the science exposures of one pointing become a cube on the grid of its Level-3 cube?

Only what the exposures stage calls science, and of this pointing, goes in: imprints never do. The
cube is then held against the archive's own, which is made from the same exposures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.table import QTable

from ard.cube import Cube
from ard.errors import FormatError
from ard.s3d import NON_SCIENCE, OUTLIER
from ard.table import Table
from manifests import Target
from pipeline.reduce.combine import stack
from pipeline.reduce.combine.exposure import ExposureCube
from pipeline.reduce.combine.grid import grid_of
from pipeline.reduce.combine.stack import Combination, combine
from pipeline.reduce.combine.tail import tail
from pipeline.reduce.instruments import lsf_for, psf_for
from pipeline.reduce.noise.channels import free_channels
from pipeline.reduce.outliers import nanmedian, robust_sigma
from pipeline.roles import POINTING_ARCSEC, SCIENCE, separation_arcsec

# Facts of one exposure that are no facts of a combination.
_OF_ONE: Final = ("FILENAME", "PATT_NUM", "EXPOSURE", "EXPCOUNT", "OBS_ID", "XOFFSET", "YOFFSET")
_TIMES: Final = ("EFFEXPTM", "XPOSURE")
_SUBTRACTED: Final = "COMPLETE"
_DIFFERENCES: Final = ("median_err", "scatter_err", "scatter_noise", "agreeing_fraction")
_DIGITS: Final = 9  # of a correlation: what is behind is rounding


@dataclass(frozen=True)
class Config(stack.Config):
    """Settings of the combine stage: those of the combination, and its own.

    Attributes
    ----------
    leave_out : tuple of str
        File names of exposures that are not used, for jackknives.
    pointing_arcsec : float
        Exposures of the pointing have target positions closer than this to that of the cube.
    tail_sigma : float
        Voxels without a line that are farther from their spectrum are counted as hits left in.
    blue_kms, red_kms : float
        Channels this far below and above any line of the target are not counted.
    """

    leave_out: tuple[str, ...] = ()
    pointing_arcsec: float = POINTING_ARCSEC
    tail_sigma: float = 8.0
    blue_kms: float = 1200.0
    red_kms: float = 900.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tail_sigma <= 0 or self.blue_kms <= 0 or self.red_kms <= 0:
            raise ValueError("tail_sigma, blue_kms and red_kms must be above 0")


@dataclass(frozen=True)
class Chosen:
    """Which exposures show a pointing, and which lie beside them for another purpose?

    Attributes
    ----------
    science : tuple of str
        File names.
    aside : tuple of (str, str)
        File name and role of the others of this pointing.
    """

    science: tuple[str, ...]
    aside: tuple[tuple[str, str], ...]


def choose(table: Table, item: str, cube: ExposureCube, within_arcsec: float) -> Chosen:
    """Choose by role, and by the target position of the Level-3 cube.

    Parameters
    ----------
    table : Table
        What the exposures stage made.
    item : str
        Name of the pointing, which decides where the cube has no target position.
    cube : ExposureCube
        The Level-3 cube.
    within_arcsec : float
        Largest distance of the target positions.

    Raises
    ------
    FormatError
        If there is no science exposure among them.
    """
    columns = ("filename", "role", "pointing", "ra_deg", "dec_deg")
    rows = list(zip(*(np.asarray(table.data[name]).tolist() for name in columns), strict=True))
    place = tuple(cube.meta.get(key) for key in ("TARG_RA", "TARG_DEC"))
    if None in place:
        mine = [row for row in rows if row[2] == item]
    else:
        here = (float(place[0]), float(place[1]))  # type: ignore[arg-type]
        mine = [row for row in rows if separation_arcsec(row[3:5], here) < within_arcsec]
    science = tuple(row[0] for row in mine if row[1] == SCIENCE)
    aside = tuple((row[0], row[1]) for row in mine if row[1] != SCIENCE)
    if not science:
        raise FormatError(
            f"no exposure of {item} shows the sky",
            file=cube.filename,
            expected="at least one science exposure of its pointing",
            found=", ".join(f"{name} ({role})" for name, role in aside) or "no exposure of it",
            action="fetch the per-exposure cubes of this pointing: rbh1 acquire run",
        )
    return Chosen(science, aside)


def run(
    *,
    item: str,
    exposures: Mapping[str, ExposureCube],
    roles: Table,
    cube: ExposureCube,
    target: Target,
    config: Config,
) -> dict[str, Any]:
    """Combine the exposures of one pointing.

    Parameters
    ----------
    item : str
        Name of the pointing.
    exposures : mapping of str to ExposureCube
        Every exposure of the observation, by file name.
    roles : Table
        What each of them is, from the exposures stage.
    cube : ExposureCube
        The archive's Level-3 cube: its grid is used, and its data are compared.
    target : Target
        Whose lines are not taken for hits.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``cube``: the Cube; ``combination``: what went into it, as a document; ``resampling``: the
        correlation that the resampling makes, as a Table.

    Raises
    ------
    ArdError
        If no science exposure of the pointing is left, or the exposures do not fit the grid.
    """
    chosen = choose(roles, item, cube, config.pointing_arcsec)
    science = [exposures[name] for name in chosen.science]
    made = combine(science, grid_of(cube), config.leave_out, config=config)
    used = [exposures[part.filename] for part in made.parts]
    meta = _meta(used)
    combined = made.cube(
        lsf=lsf_for(meta, made.grid.wave), psf=psf_for(meta, made.grid.wave), meta=meta
    )
    scatter = _finite(nanmedian(made.scale, axis=0))
    document = {
        "schema": "combination",
        "item": item,
        "simulated": combined.simulated,
        "shape": list(combined.shape),
        "pixfrac": config.pixfrac,
        "reject_sigma": config.reject_sigma,
        "exposures": [_part(part) for part in made.parts],
        "left_out": sorted(config.leave_out),
        "set_aside": [{"filename": name, "role": role} for name, role in chosen.aside],
        "voxels": _voxels(made),
        "masked_fraction": float(made.mask.mean()),
        "scatter_over_err": scatter,
        "archive": against_archive(combined, cube, scatter),
        "tail": _tail(combined, target, config),
    }
    return {
        "cube": combined,
        "combination": document,
        "resampling": _table(made, simulated=combined.simulated),
    }


def _meta(used: Sequence[ExposureCube]) -> dict[str, Any]:
    """Give what is true of all: the keywords of the first, times added up, first and last date."""
    meta = {key: value for key, value in used[0].meta.items() if key not in _OF_ONE}
    meta |= {key: sum(float(e.meta.get(key, 0.0)) for e in used) for key in _TIMES if key in meta}
    for key, pick in (("DATE-BEG", min), ("DATE-END", max)):
        if key in meta:
            meta[key] = pick(str(exposure.meta.get(key, meta[key])) for exposure in used)
    return meta | {"NCOMBINE": len(used), "SIMULATD": any(exposure.simulated for exposure in used)}


def _part(part: stack.Part) -> dict[str, Any]:
    x, y = part.shift
    return {
        "filename": part.filename,
        "shift_x": round(x, 4),
        "shift_y": round(y, 4),
        "whole": part.whole,
        "weight": part.weight,
        "good": part.good,
        "errorless": part.errorless,
        "rejected": part.rejected,
    }


def _voxels(made: Combination) -> dict[str, int]:
    seen = (made.dq & NON_SCIENCE) == 0
    return {
        "total": int(made.mask.size),
        "seen": int(seen.sum()),
        "seen_masked": int((seen & made.mask).sum()),
        "touched_by_rejection": int(((made.dq & OUTLIER) != 0).sum()),
    }


def _tail(combined: Cube, target: Target, config: Config) -> dict[str, Any]:
    """Count the hits that were left in."""
    free = free_channels(combined.wave, target, config.blue_kms, config.red_kms, least=0).free
    found = tail(combined, free, config.tail_sigma)
    return {"n_sigma": config.tail_sigma, "compared": found.compared, "beyond": found.beyond}


def against_archive(
    combined: Cube, cube: ExposureCube, scatter_over_err: float | None
) -> dict[str, Any]:
    """Hold a combined cube against the archive's.

    Parameters
    ----------
    combined : Cube
    cube : ExposureCube
        The archive's, on the same grid.
    scatter_over_err : float or None
        What the dithers scatter over what their errors say; 1 is taken where it is not known.

    Returns
    -------
    dict
        The part ``archive`` of the document: differences in errors of the combined cube, and their
        scatter over the noise as well.
    """
    subtracted = str(cube.meta.get("S_BKDSUB", "")).strip().upper() == _SUBTRACTED
    archive = cube.channels(0, cube.shape[0])
    both = archive.good & ~combined.mask
    if subtracted or not both.any():
        nothing = dict.fromkeys(_DIFFERENCES)
        return {"subtracted": subtracted, "compared": 0, **nothing}
    off = ((combined.flux[both] - archive.flux[both]) / combined.err[both])[:, None]
    scatter = float(robust_sigma(off, 0)[0])
    return {
        "subtracted": subtracted,
        "compared": int(both.sum()),
        "median_err": float(nanmedian(off, 0)[0]),
        "scatter_err": scatter,
        "scatter_noise": scatter / (scatter_over_err or 1.0),
        "agreeing_fraction": float((np.abs(off) < 1.0).mean()),
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _table(made: Combination, *, simulated: bool) -> Table:
    kernel = made.kernel()
    some = kernel.pairs > 0
    data = QTable(
        {
            "dx": kernel.dx[some],
            "dy": kernel.dy[some],
            "correlation": np.round(kernel.mean[some], _DIGITS),
            "correlation_min": np.round(kernel.low[some], _DIGITS),
            "correlation_max": np.round(kernel.high[some], _DIGITS),
            "pairs": kernel.pairs[some],
        }
    )
    return Table(data, {"SIMULATD": simulated})
