"""What turns the residuals of a cube into independent numbers of unit variance?

The covariance of the noise is D^1/2 R D^1/2, with D the variance of every voxel and R the
correlation of neighbours. With P = R^-1 = W'W, W the whitener, and m the masked voxels, the used
voxels o have, exactly,

    r_o' R_oo^-1 r_o = |W r|^2  with  r_m = -P_mm^-1 P_mo r_o,
    ln det R_oo = ln det R + ln det P_mm:

masked voxels are filled with what their neighbours make most probable. Whole spaxels and channels
need no filling where the factors of R are those of the others alone.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np

from ard.cube import frozen
from ard.errors import FormatError, misfit
from ard.likelihood.arrays import concrete, namespace, numbers, plain, product
from ard.likelihood.factors import (
    axis_lengths,
    decoupled,
    diagonal,
    inside,
    kept_places,
    require_triangle,
)
from ard.provenance import Provenance

LOG_2PI: Final = math.log(2.0 * math.pi)
EXACT: Final = "exact"
APPROXIMATE: Final = "approximate"
Masks = Literal["exact", "approximate"]
# Rounding of the fill of thousands of voxels is below; a fill of another mask is off by 0.1.
_FILL_ATOL: Final = 1e-8
_WHERE_TO: Final = (
    "use ard.likelihood.exact_noise, which fills them from their neighbours, or ask for the "
    "approximation: masks='approximate'"
)


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a cube, in the form that a likelihood needs.

    Attributes
    ----------
    sigma : array, shape (n_wave, ny, nx)
        Standard deviation of every voxel, before `scale`: finite and above 0; of masked voxels
        anything.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use.
    factors : tuple of array or None
        For the axes wave, y, x, or for wave and sky (y and x as one axis, x fastest): the inverse
        of the Cholesky factor of the correlation along it, shape (n, n), or another triangle W
        of positive diagonal with W'W = R^-1; None where neighbours are independent.
    taps : array, shape (a, b, c), or None
        Instead of factors: a causal filter that whitens. ``taps[i, j, k]`` multiplies the voxel
        i channels, j rows and k columns before; later voxels, in the order of the cube, have no
        part, so that the determinant is that of the diagonal.
    fill : array, shape (m, m), or None
        Inverse of the Cholesky factor of P_mm, of the m masked voxels that are not in wholly
        masked channels or spaxels: what `exact_noise` computes.
    scale : number, or array of shape (n_wave,)
        What the errors are to be multiplied with; a value that JAX traces may stand here. It is
        best changed with `scaled`.
    masks : {"exact", "approximate"}
        Whether masked voxels among correlated ones have to be treated exactly. "approximate"
        takes their residual to be known to be zero, and lets correlations count in the
        determinant by the share of voxels that are used: differences of ln L between models are
        then wrong near masked voxels, always as if there were more data than there are.
    unit : str
        Unit of `sigma`; "" where nobody said.
    meta : mapping
        FITS keywords of the file that it was read from, such as SIMULATD. Like unit and
        provenance, it has no part in any number.
    provenance : Provenance or None
        What made it.

    Raises
    ------
    ArdError
        If JAX traces anything but the scale; FormatError if the parts do not fit one another,
        hold no proper numbers, or cannot be exact and were not allowed not to be.
    """

    sigma: Any
    mask: Any
    factors: tuple[Any, ...] | None = None
    taps: Any = None
    fill: Any = None
    scale: Any = 1.0
    masks: Masks = "exact"
    unit: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        for name in ("sigma", "mask", "taps", "fill"):
            if getattr(self, name) is not None:
                values = numbers(getattr(self, name), f"the {name} of the noise")
                self._set(name, frozen(values))
        if self.factors is not None:
            name = "a factor of the noise"
            factors = (None if f is None else frozen(numbers(f, name)) for f in self.factors)
            self._set("factors", tuple(factors))
        self._set_scale(self.scale)
        self._check_shapes()
        self._check_values()
        self._check_scale()
        if self.correlated and self.masks == EXACT:
            self._check_exact()
        self._set("meta", dict(self.meta))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _set_scale(self, scale: Any) -> None:
        values = plain(scale, "the scale of the errors")
        self._set("scale", frozen(values) if isinstance(values, np.ndarray) else values)

    def _check_shapes(self) -> None:
        shape = self.sigma.shape
        if len(shape) != 3 or self.mask.shape != shape or self.mask.dtype != bool:
            raise misfit(
                "the noise is not that of a cube",
                "errors, and a mask of true and false, of one shape (wave, y, x)",
                f"{shape}, and {self.mask.dtype} {self.mask.shape}",
            )
        if self.factors is not None and self.taps is not None:
            raise misfit("the noise has two correlations", "factors or taps", "both")
        for length, factor in zip(self._lengths, self.factors or (), strict=True):
            if factor is not None and factor.shape != (length, length):
                problem = "a factor of the noise does not fit its axis"
                raise misfit(problem, f"shape ({length}, {length})", factor.shape)
        if self.masks not in (EXACT, APPROXIMATE):
            raise misfit("masks are treated in two ways", f"{EXACT} or {APPROXIMATE}", self.masks)

    def _check_values(self) -> None:
        proper = np.isfinite(self.sigma) & (self.sigma > 0.0)
        wrong = int(np.sum(~(proper | self.mask)))
        if wrong or self.count == 0:
            raise FormatError(
                "errors of voxels that are used are none",
                expected="finite numbers above 0 in one voxel or more",
                found=f"{wrong} others, of {self.count} voxels",
                action="mask voxels that have no error",
            )
        for factor in self.factors or ():
            if factor is not None:
                require_triangle(factor, "a factor of the noise")
        taps = self.taps
        if taps is None:
            return
        if taps.ndim != 3 or not np.isfinite(taps).all() or not taps[0, 0, 0] > 0.0:
            problem = "the taps are no causal filter of a cube"
            expected = "three axes of finite numbers, and the first tap above 0"
            raise misfit(problem, expected, f"shape {taps.shape}")

    def _check_scale(self) -> None:
        values = concrete(self.scale)
        found = np.shape(self.scale)
        positive = values is None or bool(np.all(np.isfinite(values) & (values > 0.0)))
        length = self.sigma.shape[0]
        if found not in ((), (length,)) or not positive:
            expected = f"one number above 0, or {length}: one for each channel"
            problem = "the scale of the errors does not fit"
            raise misfit(problem, expected, found if positive else values)

    def _check_exact(self) -> None:
        """Refuse masks among correlated voxels that the factors and the fill do not know of."""
        dropped = zip(self.factors or (), self._kept, strict=False)
        lone = all(factor is None or decoupled(factor, ~kept) for factor, kept in dropped)
        count = self._holes.size
        shape = (0, 0) if self.fill is None else self.fill.shape
        if not lone or shape != (count, count):
            raise FormatError(
                "voxels among correlated ones are masked, and the noise does not say how to be "
                "exact",
                expected=f"a fill of shape ({count}, {count}), and factors that are those of the "
                "unit matrix for wholly masked channels and spaxels",
                found="no fill" if self.fill is None else f"a fill of shape {shape}",
                action=_WHERE_TO,
            )
        if self.fill is not None:
            require_triangle(self.fill, "the fill of the noise")
            self._check_fill()

    def _check_fill(self) -> None:
        """With K the fill, K P_mm K' is the unit matrix: tried on one vector, by products only."""
        fill = np.asarray(self.fill, dtype=np.float64)
        probe = np.cos(np.arange(1.0, fill.shape[0] + 1.0))
        whole = np.zeros(self.sigma.size)
        whole[self._holes] = fill.T @ probe
        white = self._turn(np, whole.reshape(self.sigma.shape))
        found = fill @ self._turn(np, white, back=True).ravel()[self._holes]
        if not np.max(np.abs(found - probe), initial=0.0) <= _FILL_ATOL:
            raise FormatError(
                "the fill of the noise does not belong to its correlation and mask",
                expected="the fill of these factors or taps, in double precision",
                found="another",
                action="make the noise with ard.likelihood.exact_noise",
            )

    @property
    def simulated(self) -> bool:
        """True if the file that it was read from says that its data are simulated."""
        marked = bool(self.meta.get("SIMULATD", False))
        return marked or (self.provenance is not None and self.provenance.simulated)

    @property
    def correlated(self) -> bool:
        """Whether any two voxels are correlated."""
        return self.taps is not None or any(f is not None for f in self.factors or ())

    @property
    def approximate(self) -> bool:
        """Whether masked voxels are treated approximately: only where that was asked for."""
        masked = bool(np.any(self.mask))
        return self.masks == APPROXIMATE and self.correlated and masked

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        """Number of places along each axis that has a factor."""
        if self.factors is None:
            return ()
        return axis_lengths(self.sigma.shape, len(self.factors))

    @cached_property
    def _kept(self) -> tuple[np.ndarray, ...]:
        """For each axis that has a factor: which places are not masked altogether."""
        return kept_places(self.mask, self._lengths)

    @cached_property
    def _holes(self) -> np.ndarray:
        """Flat numbers of the masked voxels that are not in wholly masked channels or spaxels."""
        mask = self.mask
        return np.flatnonzero(mask & inside(self._kept, mask.shape))

    @cached_property
    def _place(self) -> np.ndarray:
        """For each voxel its number among the holes, from 1; 0 elsewhere."""
        place = np.zeros(self.sigma.size, dtype=np.int32)
        place[self._holes] = np.arange(1, self._holes.size + 1)
        return place

    def whiten(self, residual: Any) -> Any:
        """Turn residuals into numbers that are independent and of unit variance.

        Parameters
        ----------
        residual : array, shape (..., n_wave, ny, nx)
            Data minus model; what stands in masked voxels has no part.

        Returns
        -------
        array, shape (..., n_wave, ny, nx)
            0 in masked voxels where neighbours are independent, and in wholly masked channels and
            spaxels. Where single voxels are filled, there is one number for each voxel still, of
            which `count` are independent: the sum of squares is that of the used voxels alone.

        Raises
        ------
        FormatError
            If the residuals have the shape of another cube.
        """
        shape = self.sigma.shape
        if np.shape(residual)[-3:] != shape:
            problem = "the residuals are not those of the cube of the noise"
            raise misfit(problem, f"shape (..., {', '.join(map(str, shape))})", np.shape(residual))
        xp = namespace(residual, self.scale)
        good = xp.asarray(~self.mask)
        sigma = xp.where(good, xp.asarray(self.sigma), 1.0)
        # Cleaned before the division: else what is NaN there makes the derivative NaN. Divided
        # twice: a rounded sigma * scale would be wrong alike in all voxels.
        out = xp.where(good, residual, 0.0) / sigma / self._scales(xp)
        white = self._turn(xp, out)
        if self.fill is None or self.approximate or not self.correlated:
            return white
        return white + self._turn(xp, self._filling(xp, white))

    def _scales(self, xp: Any) -> Any:
        scale = xp.asarray(self.scale)
        return xp.reshape(scale, (-1, 1, 1)) if scale.ndim else scale

    def _filling(self, xp: Any, white: Any) -> Any:
        """Give the most probable residuals in the holes, 0 elsewhere, from what is whitened."""
        shape, lead = white.shape, white.shape[:-3]
        fill = xp.asarray(self.fill)
        flat = xp.reshape(self._turn(xp, white, back=True), (*lead, -1))
        pulled = xp.take(flat, xp.asarray(self._holes), axis=-1)
        last = [pulled.ndim - 1]
        half = product(xp, pulled, fill, (last, [1]))
        values = -product(xp, half, fill, (last, [0]))
        padded = xp.concat([xp.zeros((*lead, 1), dtype=values.dtype), values], axis=-1)
        return xp.reshape(xp.take(padded, xp.asarray(self._place), axis=-1), shape)

    def _turn(self, xp: Any, values: Any, *, back: bool = False) -> Any:
        """Apply the whitener W of the correlation, or its transpose.

        Parameters
        ----------
        xp : module
            What `ard.likelihood.arrays.namespace` gives for the values.
        values : array, shape (..., n_wave, ny, nx)
            Residuals over `sigma` times `scale`.
        back : bool
            Apply the transpose.
        """
        if self.taps is not None:
            return self._filter(xp, values, -1 if back else 1)
        if self.factors is None:
            return values
        shape, rank = values.shape, len(self._lengths)
        out = xp.reshape(values, (*shape[:-3], *self._lengths))
        for number, factor in enumerate(self.factors):
            if factor is not None:
                axis = number - rank
                inner = [0] if back else [1]
                turned = product(xp, xp.asarray(factor), out, (inner, [out.ndim + axis]))
                out = xp.moveaxis(turned, 0, axis)
        return xp.reshape(out, shape)

    def _filter(self, xp: Any, values: Any, sign: int) -> Any:
        """Sum over earlier voxels (later: sign -1), weighted by the taps; outside there is 0."""
        taps = np.asarray(self.taps, dtype=np.float64)
        total = float(taps[0, 0, 0]) * values
        for i, j, k in np.argwhere(taps != 0.0).tolist():
            if (i, j, k) != (0, 0, 0):
                moved = _shifted(xp, values, (sign * i, sign * j, sign * k))
                total = total + float(taps[i, j, k]) * moved
        return total

    @cached_property
    def count(self) -> int:
        """Number of voxels that are used."""
        return int(np.sum(~self.mask))

    @cached_property
    def _logdet_unscaled(self) -> float:
        return self._logdet_in(np.float64)

    def _logdet_in(self, dtype: Any) -> float:
        """Give the logarithm of the determinant for a scale of 1, of arrays rounded to a type."""

        def logs(values: Any) -> np.ndarray:
            return np.log(np.asarray(values).astype(dtype).astype(np.float64))

        used = ~self.mask
        per_voxel = 0.0 if self.taps is None else float(logs(self.taps[0, 0, 0]))
        for factor, kept in zip(self.factors or (), self._kept, strict=False):
            if factor is not None and kept.any():
                per_voxel += float(np.mean(logs(diagonal(factor)[kept])))
        voxels, filled = self.count, 0.0
        if self.correlated and self.masks == EXACT:
            voxels = self.count + self._holes.size
            filled = 0.0 if self.fill is None else float(np.sum(np.log(diagonal(self.fill))))
        total = float(np.sum(logs(np.asarray(self.sigma)[used])))
        return 2.0 * (total - voxels * per_voxel - filled)

    def rounding(self, dtype: Any) -> float:
        """Say by how much `logdet` changes when errors and factors are rounded to a type.

        Rounded alike in every voxel, they change chi2 as well, by just as much less where the
        model is good: ln L keeps its digits if both are counted.
        """
        if np.dtype(dtype).itemsize >= np.dtype(np.float64).itemsize:
            return 0.0
        return self._logdet_in(np.dtype(dtype)) - self._logdet_unscaled

    @property
    def log_scale(self) -> Any:
        """What `scale` adds to `logdet`: twice the sum of its logarithms over the used voxels."""
        xp = namespace(self.scale)
        scale = 1.0 * xp.asarray(self.scale)
        per_channel = np.sum(~self.mask, axis=(1, 2))
        counts = xp.asarray(per_channel if scale.ndim else self.count, dtype=scale.dtype)
        return 2.0 * xp.sum(counts * xp.log(scale))

    @property
    def logdet(self) -> Any:
        """Logarithm of the determinant of the covariance of the voxels that are used."""
        return self._logdet_unscaled + self.log_scale

    @property
    def reference(self) -> float:
        """Give ln L of residuals whose chi2 is `count`, for a scale of 1, in double precision."""
        return -0.5 * (self.count + self._logdet_unscaled + self.count * LOG_2PI)

    def scaled(self, scale: Any) -> Self:
        """Give the noise with its errors multiplied, correlations as they are.

        Parameters
        ----------
        scale : number, or array of shape (n_wave,)
            Above 0; may be a value that JAX traces, so that it can be inferred.
        """
        # A copy keeps what was computed and checked of the rest: nothing else of it has a scale.
        _ = self._logdet_unscaled
        scaled = copy.copy(self)
        scaled._set_scale(self.scale * plain(scale, "the scale of the errors"))
        scaled._check_scale()
        return scaled

    def labelled(
        self,
        *,
        unit: str = "",
        meta: Mapping[str, Any] | None = None,
        provenance: Provenance | None = None,
    ) -> Self:
        """Give the noise with other words about it, and the same numbers.

        Parameters
        ----------
        unit : str
            Unit of `sigma`.
        meta : mapping, optional
            FITS keywords.
        provenance : Provenance, optional
            What made it.
        """
        other = copy.copy(self)
        other._set("unit", unit)
        other._set("meta", dict(meta or {}))
        other._set("provenance", provenance)
        return other


def _shifted(xp: Any, values: Any, by: tuple[int, int, int]) -> Any:
    """Move values towards higher (or lower) numbers along the last axes, zeros coming in."""
    for axis, count in zip((-3, -2, -1), by, strict=True):
        if count == 0:
            continue
        length, place = values.shape[axis], values.ndim + axis
        step = min(abs(count), length)
        kept = [slice(None)] * values.ndim
        kept[place] = slice(0, length - step) if count > 0 else slice(step, length)
        size = list(values.shape)
        size[place] = step
        zeros = xp.zeros(tuple(size), dtype=values.dtype)
        parts = [zeros, values[tuple(kept)]]
        values = xp.concat(parts if count > 0 else parts[::-1], axis=place)
    return values
