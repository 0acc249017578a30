"""By how much are magnitudes wrong in the same way, whatever the noise?

Three terms, each stated by itself beside the statistical error: the calibration of the filter, the
light that host and wake take from each other, and the choices with which the host is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ard.cube import FloatArray
from pipeline.reduce.imaging import host, strip, view
from pipeline.reduce.imaging.host import Circles
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Strip
from pipeline.reduce.imaging.view import Looking, View

# Over this length next to where the wake is first measured, its light is taken to go on inward.
_INWARD_ARCSEC: Final = 1.0


@dataclass(frozen=True, eq=False)
class Host:
    """What may be wrong with the curve of growth of a host, in the unit of its rate.

    Attributes
    ----------
    overlap : float
        Light of the wake where nothing stands in for it, if it goes on to the host's centre.
    choice : ndarray, shape (n,)
        Largest change of each circle when the host is looked at in other ways.
    """

    overlap: float
    choice: FloatArray


def of_host(
    seen: View, axis: Axis, circles: Circles, cells: tuple[Strip, strip.Sums], looking: Looking
) -> Host:
    """Give the systematic terms of a host in one image, electrons/s.

    Parameters
    ----------
    seen : View
    axis : Axis
        From the host along the wake.
    circles : Circles
        As the host was measured with.
    cells : (Strip, Sums)
        The strip along the wake, and the sky beside it.
    looking : Looking
        As chosen.
    """
    chosen = host.grow(seen, axis, circles).rate.value
    reach = circles.sky_arcsec[1] + looking.host_arcsec
    others = []
    for other, how in view.varied(seen, axis, looking, reach):
        around = replace(circles, mirror_from_arcsec=how.mirror_from_arcsec)
        others.append(host.grow(other, axis, around).rate.value)
    start = looking.wake_from_arcsec
    inner = np.array([start, start + _INWARD_ARCSEC])
    wide = (-looking.mirror_half_arcsec, looking.mirror_half_arcsec)
    wake = strip.brightness(seen.seen, cells[0].binned(inner, wide), cells[1]).value[0]
    area = looking.mirror_from_arcsec * (wide[1] - wide[0])
    return Host(
        overlap=max(float(wake), 0.0) * area,
        choice=np.abs(np.array(others) - chosen).max(axis=0),
    )


def of_wake(
    seen: View, cells: tuple[Strip, strip.Sums], half_widths: Sequence[float], looking: Looking
) -> FloatArray:
    """Give the light of the host in the wake's apertures, electrons/s, one for each half width.

    It is what lies on the other side of the host, as far from it; a host has two like sides. What
    is negative is noise and counts as none.
    """
    behind = -np.array([looking.sky_arcsec[1], looking.wake_from_arcsec])
    length = float(behind[1] - behind[0])
    light = [
        strip.brightness(seen.seen, cells[0].binned(behind, (-half, half)), cells[1]).value[0]
        * 2.0 * half * length
        for half in half_widths
    ]  # fmt: skip
    return np.asarray(np.maximum(np.nan_to_num(light), 0.0))


def combined(*terms: float) -> float:
    """Give the root of the sum of squares of independent terms."""
    return float(np.sqrt(np.sum(np.square(terms))))
