"""How is a measured noise said in a document: the scale, the correlations, and how good they are?

Numbers have six significant digits, far more than are known.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from pipeline.reduce.noise.apertures import Aperture
from pipeline.reduce.noise.correlation import Covariance
from pipeline.reduce.noise.goodness import Whiteness, worst_lag
from pipeline.reduce.noise.kernel import Kronecker
from pipeline.reduce.noise.leaveout import DitherNoise, LeftOut
from pipeline.reduce.noise.model import Measured

AXES: Final = ("wave", "y", "x")
_DIGITS: Final = 6


def number(value: Any) -> float | None:
    """Give a number with six significant digits; None for what is not finite."""
    return float(f"{float(value):.{_DIGITS}g}") if np.isfinite(value) else None


def numbers(values: Any) -> list[Any]:
    """Give an array of any depth as lists of numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    return [number(value) for value in array]


def describe_model(measured: Measured, wave: FloatArray, index: Any) -> dict[str, Any]:
    """Give the fields of the document that a likelihood needs, with their errors."""
    single: FloatArray = np.full(wave.size, np.nan)
    single[index] = measured.curve.measured
    return {
        "scale": {
            "wave_um": [round(float(value), 8) for value in wave],
            "value": numbers(measured.curve.value),
            "error": numbers(measured.curve.error),
            "measured": numbers(single),
            "chi2_dof": number(measured.curve.chi2_dof),
        },
        "correlation": {
            **{name: _along(measured.correlation, axis) for axis, name in enumerate(AXES)},
            "observed_lag1": _lag1(measured.observed),
            "sky": numbers(measured.correlation.value[measured.correlation.lags[0]]),
            "retained_variance": number(measured.retained.mean()),
        },
        "kronecker": describe_kronecker(measured.kronecker),
        "taps": numbers(measured.taps),
    }


def describe_kronecker(found: Kronecker) -> dict[str, Any]:
    """Give one sequence of correlations for each axis."""
    return {name: numbers(s) for name, s in zip(AXES, found.sequences, strict=True)}


def _along(found: Covariance, axis: int) -> dict[str, Any]:
    value, error = found.along(axis)
    return {"value": numbers(value), "error": numbers(error)}


def _lag1(found: Covariance) -> dict[str, Any]:
    return {name: number(found.along(axis)[0][1]) for axis, name in enumerate(AXES)}


def describe_whiteness(found: Whiteness, chi2_drawn: float) -> dict[str, Any]:
    """Say how white the whitened residuals are, and chi2 per voxel of noise of the model itself."""
    worst, sigmas, lag = found.worst
    return {
        "variance": number(found.variance),
        "variance_error": number(found.variance_error),
        "chi2": number(found.chi2),
        "chi2_drawn": number(chi2_drawn),
        "left_max": number(worst),
        "left_sigma": number(sigmas),
        "left_lag": list(lag),
        "left": numbers(found.left),
        "left_error": numbers(found.left_error),
        "edges": numbers(found.edges),
        "density": numbers(found.counts),
        "expected": numbers(found.expected),
        "beyond_3": number(found.beyond[0]),
        "beyond_5": number(found.beyond[-1]),
        "expected_beyond_3": number(found.beyond_expected[0]),
    }


def describe_apertures(
    kronecker: Sequence[Aperture], fir: Sequence[Aperture]
) -> list[dict[str, Any]]:
    """Give a row for each size of aperture."""
    return [
        {
            "side": one.side,
            "count": one.count,
            "ratio": number(one.ratio),
            "error": number(one.error),
            "ratio_fir": number(other.ratio),
            "beyond_err": number(one.beyond_err),
        }
        for one, other in zip(kronecker, fir, strict=True)
    ]


def describe_dithers(found: DitherNoise | str, names: Sequence[str], given: int) -> dict[str, Any]:
    """Say what the differences of exposures show, or why there are none of those given."""
    if isinstance(found, str):
        empty: dict[str, Any] = {"scale": None, "lag1": None, "left_out": []}
        return {"reason": found, "given": given, "files": [], **empty}
    return {
        "reason": "",
        "given": given,
        "files": list(names),
        "scale": {"value": numbers(found.curve.value), "error": numbers(found.curve.error)},
        "lag1": _lag1(found.model.correlation),
        "left_out": [_left_out(one) for one in found.left_out],
    }


def _left_out(found: LeftOut) -> dict[str, Any]:
    white, sums = found.whitened, (found.aperture_ratio, found.aperture_error)
    worst, sigmas, lag = worst_lag(white.left, white.left_error)
    return {
        "file": found.filename,
        "count": found.count,
        "set_aside": number(found.set_aside),
        "ratio": number(found.ratio),
        "error": number(found.error),
        "aperture_ratio": None if sums[0] is None else number(sums[0]),
        "aperture_error": None if sums[1] is None else number(sums[1]),
        "whitened": {
            "count": white.count,
            "variance": number(white.variance),
            "variance_error": number(white.variance_error),
            "left_max": number(worst),
            "left_sigma": number(sigmas),
            "left_lag": list(lag),
            "left": numbers(white.left),
            "left_error": numbers(white.left_error),
        },
    }
