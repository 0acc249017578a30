"""Cubes of a simulated observation, and fluxes of its apertures against the true maps."""

from pathlib import Path

import numpy as np

import ard
from manifests import load_target
from pipeline.linemaps.recovery import read_truth
from pipeline.reduce import ingest
from pipeline.reduce.apertures.place import place
from pipeline.simulate import twin
from pipeline.simulate.geometry import POINTINGS
from pipeline.simulate.headers import ITEM_STEM

RBH1 = load_target("rbh1")


def rows(result, **wanted):
    data = result["fluxes"].data
    keep = np.ones(len(data), bool)
    for name, value in wanted.items():
        keep &= np.asarray(data[name]) == value
    return data[keep]


def read_twin(folder, size, *, outliers=False):
    """The two ingested cubes of a simulated observation, and its true maps."""
    cubes, truth = {}, {}
    for name, content in twin.run(twin.TwinConfig(size=size, seed=11, outliers=outliers)):
        path = folder / Path(name).name
        if name == "truth/truth.fits":
            content.writeto(path)
            truth = read_truth(path)
        for pointing in POINTINGS:
            if path.name == ITEM_STEM.format(item=pointing.item):
                content.writeto(path)
                read = ard.read_cube(path)
                found = ingest.run(cube=read, target=RBH1, config=ingest.Config())
                cubes[pointing.item] = found["cube"]
    return cubes, truth


def against_truth(result, cube, truth, apertures):
    """Flux minus truth over error by method, and the rows.

    The truth of the part of an aperture that is on the grid stands for all of it.
    """
    pulls, kept = {"box": [], "optimal": []}, []
    for aperture in apertures:
        placed = place(aperture, RBH1, cube.wcs, cube.shape[1:])
        for row in rows(result, aperture=aperture.name):
            if not np.isfinite(row["flux"].value) or row["inside"] < 0.9:
                continue
            layer = truth[f"flux_{row['line'].lower()}"].ravel()[placed.spaxels]
            true = (layer * placed.share).sum() * cube.pixel_area_arcsec2 / placed.inside
            pulls[row["method"]].append((row["flux"].value - true) / row["flux_err"].value)
            kept.append(row)
    return pulls, kept
