"""What do the workers of a campaign hand to one another?

A model of a galaxy is proposed, its dynamics are computed, and what is physically possible is held
against the observed cube. Cubes never travel: a table of 64 radii says all of a galaxy's motion.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, misfit

N_RADIUS: Final = 64
_DTYPE: Final = "<f8"


@dataclass(frozen=True)
class Model:
    """A galaxy that is proposed.

    Attributes
    ----------
    number : int
        Its place in the campaign, from 0; the key of its task.
    parameters : mapping of str to float
        As `pipeline.falsify.physics.hypothesis` names them.
    """

    number: int
    parameters: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Curve:
    """How the gas of a galaxy moves, and where it shines; all arrays have shape (64,).

    Attributes
    ----------
    radius_kpc : array
        From 0, in even steps.
    rotation_kms : array
        Mean azimuthal speed of the gas, asymmetric drift taken off.
    dispersion_kms : array
        Standard deviation of the gas along any direction.
    brightness : array
        Line light per area of the disc's plane, in any unit.
    """

    radius_kpc: FloatArray
    rotation_kms: FloatArray
    dispersion_kms: FloatArray
    brightness: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.array(getattr(self, field.name), np.float64)
            if values.shape != (N_RADIUS,):
                raise misfit(f"{field.name} of a galaxy has another length", f"({N_RADIUS},)",
                             values.shape)  # fmt: skip
            values.setflags(write=False)
            object.__setattr__(self, field.name, values)

    def to_bytes(self) -> bytes:
        """Give the tables as 4 x 64 float64, little-endian, in the order of the attributes."""
        return np.array([getattr(self, f.name) for f in fields(self)], _DTYPE).tobytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Curve":
        """Read what `to_bytes` gave, to the last bit.

        Raises
        ------
        ArdError
            If it has another length.
        """
        expected = len(fields(cls)) * N_RADIUS * np.dtype(_DTYPE).itemsize
        if len(content) != expected:
            raise ArdError(
                "the tables of a galaxy are damaged",
                expected=f"{expected} bytes",
                found=f"{len(content)} bytes",
                action="requeue the task: rbh1 campaign requeue",
            )
        return cls(*np.frombuffer(content, _DTYPE).reshape(len(fields(cls)), N_RADIUS))


@dataclass(frozen=True, eq=False)
class Motion:
    """What the dynamics of a model say.

    Attributes
    ----------
    number : int
    reasons : tuple of str
        Names of the filters that reject it, in alphabetical order; none if it is possible.
    facts : mapping of str to float
        Numbers worth keeping: `vmax_kms`, `r_vmax_kpc`, `q_min` and others.
    curve : Curve, optional
        Absent where the model is rejected.
    """

    number: int
    reasons: tuple[str, ...]
    facts: Mapping[str, float]
    curve: Curve | None

    @property
    def possible(self) -> bool:
        """Whether the likelihood is asked of it."""
        return not self.reasons


@dataclass(frozen=True)
class Evaluation:
    """What the observed cube says of a model.

    Attributes
    ----------
    number : int
    log_likelihood : float
        ln of the likelihood at the best nuisances, fluxes and backgrounds integrated out.
    chi2 : float
        Squares of the whitened residuals there.
    nuisances : mapping of str to float
        Their best values.
    converged : bool
        Whether the search for them ended at a maximum.
    """

    number: int
    log_likelihood: float
    chi2: float
    nuisances: Mapping[str, float]
    converged: bool
