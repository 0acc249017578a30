"""What turns the residuals of a cube into independent numbers of unit variance?

The covariance of the noise is D^1/2 R D^1/2, with D the variance of every voxel and R the
correlation of neighbours. With P = R^-1 = W'W, W the whitener, and m the masked voxels, the used
voxels o have, exactly,

    r_o' R_oo^-1 r_o = |W r|^2  with  r_m = -P_mm^-1 P_mo r_o,
    ln det R_oo = ln det R + ln det P_mm:

masked voxels are filled with what their neighbours make most probable. Whole spaxels and channels
need no filling where the factors of R are those of the others alone.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np

from ard.arrays import concrete, namespace, product
from ard.errors import ArdError, FormatError

LOG_2PI: Final = math.log(2.0 * math.pi)
EXACT: Final = "exact"
APPROXIMATE: Final = "approximate"
Masks = Literal["exact", "approximate"]
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
        Standard deviation of every voxel, before `scale`; of masked voxels anything.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use.
    factors : tuple of array or None
        For the axes wave, y, x, or for wave and sky (y and x as one axis, x fastest): the inverse
        of the Cholesky factor of the correlation along it, shape (n, n); None where neighbours
        are independent.
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

    Raises
    ------
    FormatError
        If the parts do not fit one another, or cannot be exact and were not allowed not to be.
    """

    sigma: Any
    mask: Any
    factors: tuple[Any, ...] | None = None
    taps: Any = None
    fill: Any = None
    scale: Any = 1.0
    masks: Masks = "exact"

    def __post_init__(self) -> None:
        self._check_shapes()
        if not self.correlated or self.masks == APPROXIMATE:
            return
        dropped = zip(self.factors or (), self._kept, strict=False)
        lone = all(factor is None or decoupled(factor, ~kept) for factor, kept in dropped)
        count = self.holes.size
        if lone and (0 if self.fill is None else self.fill.shape[0]) == count:
            return
        raise FormatError(
            "voxels among correlated ones are masked, and the noise does not say how to be exact",
            expected=f"a fill of shape ({count}, {count}), and factors that are those of the "
            "unit matrix for wholly masked channels and spaxels",
            found="no fill" if self.fill is None else f"a fill of shape {self.fill.shape}",
            action=_WHERE_TO,
        )

    def _check_shapes(self) -> None:
        shape = self.sigma.shape
        if len(shape) != 3 or self.mask.shape != shape:
            raise misfit(
                "the noise is not that of a cube",
                "errors and mask of one shape (wave, y, x)",
                f"{shape} and {self.mask.shape}",
            )
        if self.factors is not None and self.taps is not None:
            raise misfit("the noise has two correlations", "factors or taps", "both")
        for length, factor in zip(self._lengths, self.factors or (), strict=True):
            if factor is not None and factor.shape != (length, length):
                problem = "a factor of the noise does not fit its axis"
                raise misfit(problem, f"shape ({length}, {length})", factor.shape)
        if self.taps is not None and not (self.taps.ndim == 3 and self.taps[0, 0, 0] > 0.0):
            problem = "the taps are no causal filter of a cube"
            raise misfit(problem, "three axes, and the first tap above 0", f"{self.taps.shape}")
        if self.masks not in (EXACT, APPROXIMATE):
            raise misfit("masks are treated in two ways", f"{EXACT} or {APPROXIMATE}", self.masks)
        numbers = concrete(self.scale)
        found = np.shape(self.scale) if numbers is None else numbers.shape
        positive = numbers is None or bool(np.all(np.isfinite(numbers) & (numbers > 0.0)))
        if found not in ((), tuple(shape[:1])) or not positive:
            expected = f"one number above 0, or {shape[0]}: one for each channel"
            problem = "the scale of the errors does not fit"
            raise misfit(problem, expected, found if positive else numbers)

    @property
    def correlated(self) -> bool:
        """Whether any two voxels are correlated."""
        return self.taps is not None or any(f is not None for f in self.factors or ())

    @property
    def approximate(self) -> bool:
        """Whether masked voxels are treated approximately: only where that was asked for."""
        masked = bool(np.any(np.asarray(self.mask)))
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
        return kept_places(np.asarray(self.mask), self._lengths)

    @cached_property
    def holes(self) -> np.ndarray:
        """Flat numbers of the masked voxels that are not in wholly masked channels or spaxels."""
        mask = np.asarray(self.mask)
        return np.flatnonzero(mask & inside(self._kept, mask.shape))

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
        """
        xp = namespace(residual, self.scale)
        good = xp.asarray(~np.asarray(self.mask))
        sigma = xp.where(good, xp.asarray(self.sigma), 1.0)
        out = xp.where(good, residual / (sigma * self._scales(xp)), 0.0)
        white = self.turn(xp, out)
        if self.fill is None or self.approximate or not self.correlated:
            return white
        return white + self.turn(xp, self._filling(xp, white))

    def _scales(self, xp: Any) -> Any:
        scale = xp.asarray(self.scale)
        return xp.reshape(scale, (-1, 1, 1)) if scale.ndim else scale

    def _filling(self, xp: Any, white: Any) -> Any:
        """Give the most probable residuals in the holes, 0 elsewhere, from what is whitened."""
        shape, lead = white.shape, white.shape[:-3]
        fill = xp.asarray(self.fill)
        flat = xp.reshape(self.turn(xp, white, back=True), (*lead, -1))
        pulled = xp.take(flat, xp.asarray(self.holes), axis=-1)
        last = [pulled.ndim - 1]
        half = product(xp, pulled, fill, (last, [1]))
        values = -product(xp, half, fill, (last, [0]))
        padded = xp.concat([xp.zeros((*lead, 1), dtype=values.dtype), values], axis=-1)
        place = np.zeros(flat.shape[-1], dtype=np.int32)
        place[self.holes] = np.arange(1, self.holes.size + 1)
        return xp.reshape(xp.take(padded, xp.asarray(place), axis=-1), shape)

    def turn(self, xp: Any, values: Any, *, back: bool = False) -> Any:
        """Apply the whitener W of the correlation, or its transpose.

        Parameters
        ----------
        xp : module
            What `ard.arrays.namespace` gives for the values.
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
        return int(np.sum(~np.asarray(self.mask)))

    @cached_property
    def _logdet_unscaled(self) -> float:
        return self._logdet_in(np.float64)

    def _logdet_in(self, dtype: Any) -> float:
        """Give the logarithm of the determinant for a scale of 1, of arrays rounded to a type."""

        def logs(values: Any) -> np.ndarray:
            return np.log(np.asarray(values).astype(dtype).astype(np.float64))

        used = ~np.asarray(self.mask)
        per_voxel = 0.0 if self.taps is None else float(logs(self.taps[0, 0, 0]))
        for factor, kept in zip(self.factors or (), self._kept, strict=False):
            if factor is not None and kept.any():
                per_voxel += float(np.mean(logs(_diagonal(factor)[kept])))
        voxels, filled = self.count, 0.0
        if self.correlated and self.masks == EXACT:
            voxels = self.count + self.holes.size
            filled = 0.0 if self.fill is None else float(np.sum(np.log(_diagonal(self.fill))))
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
        per_channel = np.sum(~np.asarray(self.mask), axis=(1, 2))
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
        return dataclasses.replace(self, scale=self.scale * scale)


def axis_lengths(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Give the number of places along (wave, y, x) or, of two, (wave, sky).

    Raises
    ------
    FormatError
        If there is another number of factors.
    """
    if count not in (2, 3):
        raise misfit("the noise has a wrong number of factors", "(wave, y, x), (wave, sky)", count)
    return tuple(shape) if count == 3 else (shape[0], shape[1] * shape[2])


def kept_places(mask: np.ndarray, lengths: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Say for each axis which places are not masked altogether."""
    used = ~mask.reshape(lengths) if lengths else ~mask
    axes = range(len(lengths))
    return tuple(used.any(axis=tuple(a for a in axes if a != axis)) for axis in axes)


def inside(kept: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Say for each voxel of a cube whether all its places are kept."""
    out = np.ones((), dtype=bool)
    for places in kept:
        out = out[..., None] & places
    return out.reshape(shape) if kept else np.ones(shape, dtype=bool)


def decoupled(factor: Any, places: np.ndarray) -> bool:
    """Say whether rows and columns of a factor are those of the unit matrix at some places."""
    matrix = np.asarray(factor)
    unit = np.eye(matrix.shape[0])[places]
    return bool(np.all(matrix[places] == unit) and np.all(unit == matrix[:, places].T))


def misfit(problem: str, expected: str, found: object) -> FormatError:
    """Make the error for parts that do not belong to one another."""
    action = "give both for the same voxels"
    return FormatError(problem, expected=expected, found=found, action=action)


def inverse_cholesky(correlation: Any) -> np.ndarray:
    """Give what `Noise.factors` asks for, from a matrix of correlation, shape (n, n).

    Raises
    ------
    ArdError
        If it is none.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise ArdError(
            "a correlation is not one",
            expected="a symmetric matrix with positive eigenvalues",
            found=f"shape {matrix.shape}",
            action="regularise the estimate",
        ) from error
    return inverse_lower(lower)


def inverse_lower(lower: np.ndarray) -> np.ndarray:
    """Invert a lower triangular matrix by halves, with zeros above the diagonal exactly."""
    size = lower.shape[0]
    if size <= 64:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    first, last = inverse_lower(lower[:half, :half]), inverse_lower(lower[half:, half:])
    out = np.zeros_like(lower)
    out[:half, :half], out[half:, half:] = first, last
    out[half:, :half] = -last @ (lower[half:, :half] @ first)
    return out


def _diagonal(matrix: Any) -> np.ndarray:
    return np.diagonal(np.asarray(matrix, dtype=np.float64))


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
