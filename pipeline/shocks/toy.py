"""Which grid has a posterior in closed form?

The logarithm of each ratio is linear in ln v and in ln(b + 0.3). No shock obeys it: the grid
says that it is synthetic, and a science release refuses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.shocks.grid import (
    Abundance,
    Component,
    FloatArray,
    GridLine,
    GridSource,
    ShockGrid,
)

B_OFFSET: Final = 0.3  # uG cm^1.5; the coordinate ln(b + 0.3) stays finite for b = 0


@dataclass(frozen=True)
class ToyLine:
    """How does the ratio of one line go with velocity and field?

    Attributes
    ----------
    line : GridLine
    at_unit : float
        log10 of flux over H alpha where v = 1 km/s and b = 0.7, for the first abundance.
    slope_v, slope_b : float
        d log10 ratio / d ln v, and / d ln(b + 0.3).
    slope_oh : float
        d log10 ratio / d (12 + log O/H).
    """

    line: GridLine
    at_unit: float
    slope_v: float
    slope_b: float
    slope_oh: float = 0.0


# Slopes of the order of real ones at 600 km/s (MAPPINGS V, LMC), the rest at will.
TOY_LINES: Final = (
    ToyLine(GridLine("OIII_5007", 0.500824, ("OIII_5007",)), -1.1, 0.12, 0.40, 0.95),
    ToyLine(GridLine("NII_6583", 0.658527, ("NII_6583",)), 0.6, -0.20, -0.06, 1.45),
    ToyLine(GridLine("SII_6716+6731", 0.672523, ("SII_6716", "SII_6731")), 1.4, -0.26, -0.15, 0.35),
    ToyLine(
        GridLine("SIII_9069+9531", 0.939982, ("SIII_9069", "SIII_9531")), -1.9, 0.23, 0.05, 0.26
    ),
)
TOY_ABUNDANCES: Final = (
    Abundance("toy-poor", 8.03, np.nan, np.nan),
    Abundance("toy-solar", 8.93, np.nan, np.nan),
)
_B: Final = (0.0001, 0.5, 1.0, 2.0, 3.23, 4.0, 5.0, 10.0)


def toy_loglinear(
    *,
    lines: Sequence[ToyLine] = TOY_LINES,
    abundances: Sequence[Abundance] = TOY_ABUNDANCES,
    log_n: Sequence[float] | FloatArray = (0.0,),
    b: Sequence[float] | FloatArray = _B,
    v_kms: Sequence[float] | FloatArray | None = None,
) -> ShockGrid:
    """Make the grid log10 r = A + s_v ln v + s_b ln(b + 0.3).

    Parameters
    ----------
    lines : sequence of ToyLine
        A and the slopes of each line.
    abundances : sequence of Abundance
        A rises with O/H above that of the first.
    log_n, b, v_kms : sequence of float
        The axes (cm^-3, uG cm^1.5, km/s); default 100, 125 ... 1000 km/s. Density has no effect.

    Returns
    -------
    ShockGrid
        Complete, and marked synthetic.
    """
    v = np.arange(100.0, 1001.0, 25.0) if v_kms is None else np.asarray(v_kms, dtype=np.float64)
    axis_n, axis_b = np.asarray(log_n, dtype=np.float64), np.asarray(b, dtype=np.float64)
    oh = np.array([a.log_oh for a in abundances])
    shape = (oh.size, axis_n.size, axis_b.size, v.size)
    x_b, x_v = np.log(axis_b + B_OFFSET)[:, None], np.log(v)
    columns = [
        toy.at_unit
        + toy.slope_oh * (oh - oh[0])[:, None, None, None]
        + toy.slope_v * x_v
        + toy.slope_b * x_b
        for toy in lines
    ]
    ratio = np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1)
    # log10 H beta of MAPPINGS V, solar, b = 3.23, n = 1 (power law fitted above 200 km/s).
    hbeta = np.log10(6.48e-6) + 2.255 * np.log10(v / 100.0) + axis_n[:, None, None]
    return ShockGrid(
        source=GridSource(
            code="closed form",
            version="1",
            project="toy_loglinear",
            component=Component.SHOCK,
            source="pipeline.shocks.toy",
            licence="MIT",
            sha256="",
            retrieved="",
            rounding=0.0,
            solar="anders-grevesse-1989",
            synthetic=True,
        ),
        abundances=tuple(abundances),
        log_n=axis_n,
        b=axis_b,
        v_kms=v,
        lines=tuple(toy.line for toy in lines),
        log_ratio=ratio,
        mask=np.zeros(ratio.shape, dtype=np.bool_),
        log_hbeta=np.broadcast_to(hbeta, shape),
    )
