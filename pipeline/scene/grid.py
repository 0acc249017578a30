"""On which spaxels, sub-spaxels, velocities and channels is a cube computed?

Everything here is fixed when a model is compiled; nothing of it is fitted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.errors import ArdError

type FloatArray = NDArray[np.float64]

# Trapezoid sum over a Gaussian of standard deviation s sampled every h: the error goes as
# exp(-2 pi^2 s^2 / h^2) (reference/cubes.md 3.2). At 1.1 that is 1e-7.
MOST_STEP: Final = 1.1


@dataclass(frozen=True)
class SkyGrid:
    """Spaxels of a cube, and the finer grid on which a source is evaluated.

    Attributes
    ----------
    ny, nx : int
        Spaxels.
    pixel_arcsec : float
        Side of a spaxel, arcsec.
    oversample : int
        Sub-spaxels along each side of a spaxel.
    pad : int
        Spaxels around the field that are computed too: the optics scatter their light into it.
    """

    ny: int
    nx: int
    pixel_arcsec: float
    oversample: int = 2
    pad: int = 4

    def __post_init__(self) -> None:
        whole = all(number >= least for number, least in
                    ((self.ny, 1), (self.nx, 1), (self.oversample, 1), (self.pad, 0)))  # fmt: skip
        if not whole or not 0 < self.pixel_arcsec < np.inf:
            raise ArdError(
                "a grid on the sky is impossible",
                expected="at least one spaxel, a side above 0 arcsec, oversampling of 1 or more, "
                "a margin of 0 or more",
                found=f"{self.ny} x {self.nx} spaxels of {self.pixel_arcsec} arcsec, "
                f"oversampling {self.oversample}, margin {self.pad}",
                action="correct the numbers",
            )

    def edges(self, count: int) -> FloatArray:
        """Give the edges of spaxels along an axis, arcsec from its middle, shape (count + 1,)."""
        return np.asarray((np.arange(count + 1) - count / 2) * self.pixel_arcsec, np.float64)

    def fine(self, count: int) -> FloatArray:
        """Give the middles of sub-spaxels along an axis, arcsec, margin included."""
        total = (count + 2 * self.pad) * self.oversample
        places = (np.arange(total) + 0.5 - total / 2) * self.pixel_arcsec / self.oversample
        return np.asarray(places, np.float64)

    @property
    def cell_arcsec2(self) -> float:
        """Area of a sub-spaxel, arcsec2."""
        return (self.pixel_arcsec / self.oversample) ** 2


@dataclass(frozen=True)
class VelocityGrid:
    """Velocities at which light is counted: km/s, from -v_max to v_max in equal steps."""

    v_max: float
    step: float

    def __post_init__(self) -> None:
        if not (0 < self.step < self.v_max < SPEED_OF_LIGHT_KMS):
            raise ArdError(
                "a grid of velocities is impossible",
                expected="0 < step < v_max < c, in km/s",
                found=f"step {self.step}, v_max {self.v_max}",
                action="correct the numbers",
            )

    @cached_property
    def half(self) -> int:
        """Number of planes on either side of zero."""
        return int(np.ceil(self.v_max / self.step))

    @cached_property
    def velocities(self) -> FloatArray:
        """Velocities of the planes, km/s, shape (2 half + 1,)."""
        return np.asarray(np.arange(-self.half, self.half + 1) * self.step, np.float64)

    def require_fine(self, width_kms: float) -> None:
        """Make sure that the planes are close enough for a Gaussian of this standard deviation.

        Raises
        ------
        ArdError
            If the sum over planes would not be its integral.
        """
        if self.step > MOST_STEP * width_kms:
            raise ArdError(
                "the planes of velocity are too far apart",
                expected=f"a step of at most {MOST_STEP * width_kms:.1f} km/s",
                found=f"{self.step} km/s",
                action="take a smaller step",
            )
