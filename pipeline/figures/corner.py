"""How do the draws of two parameters go together?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ard.cube import FloatArray
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


def draw_corner(
    figure: "SubFigure", draws: Mapping[str, FloatArray], labels: Mapping[str, str]
) -> None:
    """Draw the histogram of every parameter, and of every pair of them.

    Parameters
    ----------
    figure : SubFigure
        Into which panels are put.
    draws : mapping of str to ndarray
        Of each parameter, all of one size; what is not finite is left out.
    labels : mapping of str to str
        Name and unit of each.
    """
    names = list(draws)
    axes = figure.subplots(len(names), len(names), squeeze=False)
    for i, down in enumerate(names):
        for j, across in enumerate(names):
            panel = axes[i, j]
            if j > i:
                panel.set_axis_off()
                continue
            x, y = draws[across].ravel(), draws[down].ravel()
            good = np.isfinite(x) & np.isfinite(y)
            if i == j:
                panel.hist(x[good], bins=40, histtype="step", color=style.BLACK)
                panel.set_yticks([])
            else:
                panel.hist2d(x[good], y[good], bins=40, cmap="Greys")
            panel.tick_params(labelsize=6, labelbottom=i == len(names) - 1,
                              labelleft=j == 0 and i > 0)  # fmt: skip
        axes[-1, i].set_xlabel(labels[down], fontsize=6)
        if i:
            axes[i, 0].set_ylabel(labels[down], fontsize=6)
