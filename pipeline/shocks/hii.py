"""What would the ratios be if young stars made the lines, and no shock?"""

from dataclasses import dataclass

import numpy as np

from ard.cube import frozen
from ard.errors import FormatError
from pipeline.shocks.grid import (
    BoolArray,
    FloatArray,
    GridLine,
    GridSource,
    require_axis,
    require_cells,
)


@dataclass(frozen=True, eq=False)
class HiiGrid:
    """Which line ratios does each model of an H II region predict?

    Attributes
    ----------
    source : GridSource
    log_oh : ndarray, shape (n_z,)
        12 + log O/H.
    log_pk : ndarray, shape (n_p,)
        log10 of pressure over Boltzmann's constant, K cm^-3.
    log_u : ndarray, shape (n_u,)
        log10 of the ionisation parameter.
    lines : tuple of GridLine, length n_line
        Without H alpha.
    log_ratio : ndarray, shape (n_z, n_p, n_u, n_line)
        log10 of flux over H alpha; NaN where masked.
    mask : ndarray of bool, same shape
        True = do not use.
    """

    source: GridSource
    log_oh: FloatArray
    log_pk: FloatArray
    log_u: FloatArray
    lines: tuple[GridLine, ...]
    log_ratio: FloatArray
    mask: BoolArray

    def __post_init__(self) -> None:
        """Check axes, shapes and masks, and seal the arrays."""
        names = ("log_oh", "log_pk", "log_u")
        arrays = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in names}
        for name, axis in arrays.items():
            require_axis(name, axis)
        ratio, mask = np.asarray(self.log_ratio, np.float64), np.asarray(self.mask, np.bool_)
        shape = (*(axis.size for axis in arrays.values()), len(self.lines))
        if ratio.shape != shape or len({line.name for line in self.lines}) != len(self.lines):
            raise FormatError(
                "log_ratio does not fit the axes, or a line is there twice",
                expected=shape,
                found=ratio.shape,
                action="import the grid again",
            )
        require_cells(ratio, mask)
        for name, values in {**arrays, "log_ratio": ratio, "mask": mask}.items():
            object.__setattr__(self, name, frozen(values))
