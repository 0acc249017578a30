"""How do all figures look, and how does a figure become the same bytes every time?"""

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.wcs import WCS

from ard.cube import FloatArray

if TYPE_CHECKING:  # a plan knows the settings of all figures, and draws none
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Perceptually uniform (cividis, viridis), or diverging with light middle and blue-red ends that
# colour-blind readers tell apart.
SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "RdBu_r"
# Okabe & Ito (2008): distinct under the common forms of colour blindness.
BLACK: Final = "#000000"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREY: Final = "#8A8A8A"
PALE: Final = "#DDDDDD"  # places of which there is nothing to show
ORANGE: Final = "#E69F00"
COMPASS: Final = ORANGE  # seen on both ends of the colour scales

Extent = tuple[float, float, float, float]
_DPI: Final = 110
_STYLE: Final[Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "savefig.dpi": _DPI,
    "svg.hashsalt": "rbh1",
}


def new(width: float, height: float) -> "Figure":
    """Make an empty figure of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure


def style() -> Any:
    """Give the context in which the parts of a figure are drawn."""
    from matplotlib import rc_context

    return rc_context(_STYLE)


def png(figure: "Figure") -> bytes:
    """Render a figure as PNG; equal figures give equal bytes (no date, no program name)."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def extent(wcs: WCS, shape: tuple[int, int], x0: float, y0: float) -> Extent:
    """Give the edges of an image in arcsec from the pixel (x0, y0), for `imshow`."""
    ny, nx = shape
    scale = pixel_arcsec(wcs)
    return (
        (-0.5 - x0) * scale,
        (nx - 0.5 - x0) * scale,
        (-0.5 - y0) * scale,
        (ny - 0.5 - y0) * scale,
    )


def pixel_arcsec(wcs: WCS) -> float:
    """Give the side of a square pixel of the same area, arcsec."""
    matrix = wcs.pixel_scale_matrix
    return float(np.sqrt(np.abs(np.linalg.det(matrix))) * 3600.0)


def compass(axes: "Axes", wcs: WCS) -> None:
    """Draw north and east as arrows in the lower left corner."""
    inverse = np.linalg.inv(wcs.pixel_scale_matrix)
    for label, sky in (("N", (0.0, 1.0)), ("E", (1.0, 0.0))):
        step: FloatArray = inverse @ np.asarray(sky)
        # In points, because a fraction of the axes is not the same length in x and y.
        step = 24.0 * step / np.hypot(*step)
        axes.annotate(
            label,
            xy=(0.2, 0.2),
            xytext=tuple(step),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=COMPASS,
            arrowprops={"arrowstyle": "<|-", "lw": 1.0, "color": COMPASS, "shrinkB": 0},
        )


def limits(values: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Give two percentiles of the finite values, kept apart; (0, 1) where there is none."""
    good = values[np.isfinite(values)]
    if good.size == 0:
        return 0.0, 1.0
    first, last = (float(v) for v in np.percentile(good, [low, high]))
    return (first, last) if last > first else (first - 0.5, first + 0.5)
