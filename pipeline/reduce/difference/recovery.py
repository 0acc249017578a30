"""Which share should each background take off, where the sky is known?

Only a simulated observation has a truth: maps of every line without noise. A subtraction of the
other pointing takes off what that pointing has at the same place of the detector; the sky beside
the wake, what the wings of the point-spread function put there; a low-rank sky without line
channels, nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ard.cube import Cube, FloatArray
from manifests import Target
from pipeline.reduce.combine.overlap import operator
from pipeline.reduce.difference.apertures import Aperture, Shapes, moved_wcs, sky_spaxels
from pipeline.reduce.difference.background import (
    ANNULUS,
    COMBINED,
    LOWRANK,
    POINTINGS,
    STANDARD,
)
from pipeline.reduce.difference.pointing import Pointing, partner_of
from pipeline.reduce.difference.rows import MEASURED

Truth = Mapping[str, Mapping[str, FloatArray]]
SUBTRACTED: Final = "COMPLETE"
# The others have no noise of their own to be judged: the archive's cube is held against the same
# voxels, and a low-rank sky knows the true answer, nothing, by construction.
COMPARED: Final = (POINTINGS, ANNULUS)


def true_fractions(
    pointings: Mapping[str, Pointing],
    standard: Mapping[str, Cube],
    truth: Truth,
    places: Sequence[Aperture],
    target: Target,
    shapes: Shapes,
) -> dict[tuple[str, str, str, str], float]:
    """Give the true fraction for item, aperture, line and method.

    Parameters
    ----------
    pointings : mapping of str to Pointing
    standard : mapping of str to Cube
        The archive's cubes, whose keyword S_BKDSUB says if a pointing has been taken off already.
    truth : mapping
        Item to layer (``flux_<line>``) to map, on the grids of the pointings.
    places : sequence of Aperture
    target : manifests.Target
    shapes : Shapes

    Returns
    -------
    dict
        Where the truth is not known, as for a line that it does not have, there is no entry.
    """
    cubes = {item: pointing.cube for item, pointing in pointings.items()}
    found: dict[tuple[str, str, str, str], float] = {}
    for item, pointing in pointings.items():
        other = partner_of(item, cubes)
        already = str(standard[item].meta.get("S_BKDSUB", "")).strip().upper() == SUBTRACTED
        sky = _sky(pointing, target, shapes)
        for layer, own in truth.get(item, {}).items():
            if not layer.startswith("flux_"):
                continue
            line = layer.removeprefix("flux_")
            theirs = None if other is None else truth.get(other, {}).get(layer)
            copy = None
            if other is not None and theirs is not None:
                copy = _moved(pointing, cubes[other], theirs)
            for place in places:
                shares, _ = pointing.share(place, target)
                total = float((shares * own).sum())
                if total <= 0:
                    continue
                key = (item, place.name, line)
                found |= {(*key, method): 0.0 for method in (COMBINED, LOWRANK)}
                if not already:
                    found[*key, STANDARD] = 0.0
                if sky.any():
                    found[*key, ANNULUS] = float(own[sky].mean() * shares.sum()) / total
                if copy is not None:
                    found[*key, POINTINGS] = float((shares * copy).sum()) / total
                    if already:
                        found[*key, STANDARD] = found[*key, POINTINGS]
    return found


def _sky(pointing: Pointing, target: Target, shapes: Shapes) -> Any:
    cube = pointing.cube
    return pointing.plain.seen & sky_spaxels(target, cube.wcs, cube.shape[1:], shapes.clear_arcsec)


def _moved(pointing: Pointing, other: Cube, image: FloatArray) -> FloatArray:
    """Put a map of the other pointing where it lies on the detector."""
    cube, offset = pointing.cube, pointing.offset or (0.0, 0.0)
    onto = operator(moved_wcs(other.wcs, *offset), image.shape, cube.wcs, cube.shape[1:]).matrix
    return np.asarray(onto @ image.ravel()).reshape(cube.shape[1:])


def recovered(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the measured fractions with the true ones.

    Parameters
    ----------
    rows : sequence of mapping
        Of the table of ghosts, with ``truth_fraction``.

    Returns
    -------
    dict
        How many were compared, of `COMPARED` methods; mean, scatter and largest size of
        (measured - true) / error.
    """
    pulls = np.array(
        [
            (row["ghost_fraction"] - row["truth_fraction"]) / row["ghost_fraction_err"]
            for row in rows
            if row["status"] == MEASURED
            and row["method"] in COMPARED
            and np.isfinite(row["ghost_fraction"])
            and np.isfinite(row["truth_fraction"])
            and row["ghost_fraction_err"] > 0
        ]
    )
    some = pulls.size > 0
    return {
        "compared": int(pulls.size),
        "pull_mean": float(pulls.mean()) if some else None,
        "pull_scatter": float(np.sqrt(np.mean(pulls**2))) if some else None,
        "pull_largest": float(np.abs(pulls).max()) if some else None,
    }
