"""Real grids, and truths drawn from a prior, for tests of what line ratios say about shocks."""

import csv
from pathlib import Path

import numpy as np

from pipeline.shocks.grid import HBETA, Abundance, Component, GridLine, GridSource, ShockGrid

SETS = {"SMC": 8.03, "LMC": 8.35, "Dopita2005": 8.44, "Solar": 8.93, "TwiceSolar": 9.23}
COLUMNS = {
    "OIII_5007": ("[O III] λ5007", 0.500824),
    "NII_6583": ("[N II] λ6583", 0.658527),
    "SII_6716+6731": ("[S II] λλ6716+6731", 0.672523),
    "SIII_9069+9531": ("[S III] λλ9069+9031", 0.939982),
    HBETA: ("Hβ λ4861", 0.486269),
}
LINES = tuple(COLUMNS)[:4]
FIELDS = (1e-4, 0.5, 1.0, 2.0, 3.23, 4.0, 5.0, 10.0)


def allen_block(shared: Path) -> ShockGrid:
    """The five abundance sets of the public MAPPINGS V table at a density of 1, with its hole."""
    velocity = np.arange(100.0, 1001.0, 25.0)
    ratio = np.full((len(SETS), 1, len(FIELDS), velocity.size, len(COLUMNS)), np.nan)
    hbeta = np.full(ratio.shape[:-1], np.nan)
    path = shared / "shocks" / "allen08_mappingsV_shockonly_long.csv"
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["abundance"].removeprefix("Allen2008_")
            if float(row["preshck_dens"]) != 1.0 or float(row["mag_fld"]) not in FIELDS:
                continue
            cell = (list(SETS).index(name), 0, FIELDS.index(float(row["mag_fld"])),
                    round((float(row["shck_vel"]) - 100.0) / 25.0))  # fmt: skip
            fluxes = [float(row[column]) for column, _ in COLUMNS.values()]
            ratio[cell] = np.log10(fluxes) - np.log10(float(row["Hα λ6563"]))
            hbeta[cell] = float(row["log Hβ ergs/cm2/s"])
    source = GridSource("MAPPINGS", "V", "Allen08", Component.SHOCK, "ptero", "none stated",
                        "", "", 0.001)  # fmt: skip
    return ShockGrid(
        source,
        tuple(Abundance(name, oh, np.nan, np.nan) for name, oh in SETS.items()),
        np.zeros(1),
        np.array(FIELDS),
        velocity,
        tuple(GridLine(name, wave, (name,)) for name, (_, wave) in COLUMNS.items()),
        ratio,
        np.isnan(ratio),
        hbeta,
    )
