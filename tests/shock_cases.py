"""Real grids for tests of what line ratios say about shocks."""

from pathlib import Path

import numpy as np

from pipeline.shocks.grid import HBETA, ShockGrid
from pipeline.shocks.importers.mdb import import_long

LINES = ("OIII_5007", "NII_6583", "SII_6716+6731", "SIII_9069+9531")


def allen_block(shared: Path) -> ShockGrid:
    """The five abundance sets of the public MAPPINGS V table at a density of 1, with its hole."""
    grid = import_long(shared / "shocks" / "allen08_mappingsV_shockonly_long.csv")
    at = int(np.flatnonzero(grid.log_n == 0.0)[0])
    fields = np.flatnonzero(~grid.mask[:, at, :, :, grid.line_index(["OIII_5007"])[0]].all((0, 2)))
    lines = grid.line_index([*LINES, HBETA])
    return grid.take(z=range(5), n=[at], b=fields.tolist(), v=range(37), lines=lines)
