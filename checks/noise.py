"""Does the noise model explain the residuals that it was measured on, and is its file the same?

What is known badly does not count as wrong: what is held against a threshold is by how much a ratio
or a correlation is off beyond the number of standard errors that ``noise.errors`` and
``noise.lag_errors`` allow.
"""

from typing import Any, Final

import numpy as np

from ard import layout
from checks.folder import Product
from checks.load import FloatArray, cube_arrays, document, number, opened
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed, skipped
from manifests import Limit

MODEL: Final = of_kind("document", layout.NOISE_MODEL)
NOISE: Final = of_kind("noise", layout.NOISE)
KRONECKER: Final = "kronecker"
FIR: Final = "fir"
FORMS: Final = (KRONECKER, FIR)
ERRORS: Final = "noise.errors"
LOOK: Final = "look at the figure of the noise model, and at lines that the target does not declare"
EXPOSURE: Final = "look whether one exposure differs from the others: its ERR, stray light, guiding"
AGAIN: Final = "make the noise again from the cube that is there"


def _part(values: Any, *names: str) -> dict[str, Any]:
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _rows(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = values.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _series(values: dict[str, Any], name: str) -> FloatArray:
    found = values.get(name)
    known = found if isinstance(found, list) else []
    return np.array([number({"v": value}, "v") for value in known], dtype=np.float64)


def _busy(model: dict[str, Any]) -> list[int]:
    """Give the numbers of busy channels that there are."""
    size = _series(_part(model, "scale"), "value").size
    listed = model.get("busy")
    known = listed if isinstance(listed, list) else []
    return sorted({k for k in known if isinstance(k, int) and 0 <= k < size})


def _number(limit: Limit) -> float:
    return limit.value[-1] if isinstance(limit.value, tuple) else limit.value


def _off(row: dict[str, Any], ratio: str, error: str, allowed: Limit) -> float:
    """Say by how much a ratio differs from 1 beyond its error; NaN where it is missing."""
    off = abs(number(row, ratio) - 1.0) - _number(allowed) * number(row, error)
    return float(np.maximum(off, 0.0))  # NaN stays NaN


def _left_over(white: dict[str, Any], errors: float) -> float:
    """Give the largest correlation left beyond its error; NaN where there are none."""
    try:
        value, error = (np.array(white[key], np.float64) for key in ("left", "left_error"))
        excess = np.abs(value) - errors * error
    except (KeyError, TypeError, ValueError):
        return float("nan")
    return float(np.maximum(excess, 0.0).max()) if excess.size else float("nan")


def _worst(values: list[float]) -> float:
    """Give the largest; NaN, which never passes, where one is NaN or there is none."""
    return float(np.max(values)) if values else float("nan")


@check("noise.measured", MODEL, ("noise.residuals",))
def measured(product: Product, limits: Limits) -> Outcome:
    """Was the noise measured on enough line-free voxels?"""
    count = number(_part(document(product), "counts"), "residuals")
    remedy = "give a cube with a larger field or a longer range"
    return compare(limits["noise.residuals"], count, f"{count:g} line-free voxels", remedy)


@check("noise.scale", MODEL, ("noise.scale",))
def scale(product: Product, limits: Limits) -> Outcome:
    """Is the noise between a fraction and a few times of ERR in every channel but busy ones?"""
    model, limit = document(product), limits["noise.scale"]
    value = np.delete(_series(_part(model, "scale"), "value"), _busy(model))
    if not value.size:
        return failed("there is no scale", "correct the stage that writes it")
    outside = [float(v) for v in value if not limit.accepts(float(v))]
    worst = outside[0] if outside else float(np.median(value))
    detail = f"noise over ERR {value.min():.2f} to {value.max():.2f}, {len(outside)} outside"
    return compare(limit, worst, detail, "rescale the errors of the cube, or mask its channels")


@check("noise.busy", MODEL, ("noise.busy",))
def busy(product: Product, limits: Limits) -> Outcome:
    """Are there few channels that scatter far more than those around them?"""
    model = document(product)
    number_of, every = len(_busy(model)), _series(_part(model, "scale"), "value").size
    share = number_of / every if every else float("nan")
    return compare(limits["noise.busy"], share, f"{number_of} of {every} channels are busy", LOOK)


@check("noise.odd", MODEL, ("noise.odd",))
def odd(product: Product, limits: Limits) -> Outcome:
    """Are there few spaxels that scatter unlike the others?"""
    counts = _part(document(product), "counts")
    unlike, alike = (number(counts, name) for name in ("spaxels_odd", "spaxels_measured"))
    share = unlike / (unlike + alike) if unlike + alike > 0 else float("nan")
    detail = f"{unlike:g} of {unlike + alike:g} spaxels scatter unlike the others"
    remedy = "mask that part of the field, or measure it as a cube of its own"
    return compare(limits["noise.odd"], share, detail, remedy)


def _whitened(product: Product, form: str, limit: Limit) -> Outcome:
    white = _part(document(product), "whitened", form)
    variance = number(white, "variance")
    return compare(limit, variance, f"variance {variance:.3f} of the {form} form", LOOK)


@check("noise.whitened", MODEL, ("noise.whitened",))
def whitened(product: Product, limits: Limits) -> Outcome:
    """Have the residuals that the Kronecker form whitens the variance of such noise?"""
    return _whitened(product, KRONECKER, limits["noise.whitened"])


@check("noise.whitened_filter", MODEL, ("noise.whitened_filter",))
def whitened_filter(product: Product, limits: Limits) -> Outcome:
    """Have the residuals that the filter whitens the variance of such noise?"""
    return _whitened(product, FIR, limits["noise.whitened_filter"])


@check("noise.chi2", MODEL, ("noise.chi2",))
def chi2(product: Product, limits: Limits) -> Outcome:
    """Is chi2 about the number of voxels, for the residuals and for noise of the model itself?"""
    parts, limit = _part(document(product), "whitened"), limits["noise.chi2"]
    values = {
        f"{form} {name}": number(_part(parts, form), name)
        for form in FORMS
        for name in ("chi2", "chi2_drawn")
    }
    misses = [value for value in values.values() if not limit.accepts(value)]
    each = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    shown = next(iter([*misses, *values.values()]))
    remedy = "use parts of the cube, whose masked voxels are treated exactly"
    return compare(limit, shown, f"per voxel: {each}", remedy)


def _left(product: Product, form: str, limit: Limit, errors: Limit) -> Outcome:
    left = _left_over(_part(document(product), "whitened", form), _number(errors))
    detail = f"{left:.3f} beyond {_number(errors):g} errors in the {form} form"
    return compare(limit, left, detail, LOOK)


@check("noise.left", MODEL, ("noise.left", "noise.lag_errors"))
def left(product: Product, limits: Limits) -> Outcome:
    """Is little correlation left in the residuals that the Kronecker form whitens?"""
    return _left(product, KRONECKER, limits["noise.left"], limits["noise.lag_errors"])


@check("noise.left_filter", MODEL, ("noise.left_filter", "noise.lag_errors"))
def left_filter(product: Product, limits: Limits) -> Outcome:
    """Is little correlation left in the residuals that the filter whitens?"""
    return _left(product, FIR, limits["noise.left_filter"], limits["noise.lag_errors"])


@check("noise.apertures", MODEL, ("noise.aperture", ERRORS))
def apertures(product: Product, limits: Limits) -> Outcome:
    """Have sums over apertures the variance that the Kronecker form predicts?"""
    rows = _rows(document(product), "apertures")
    off = [_off(row, "ratio", "error", limits[ERRORS]) for row in rows]
    each = ", ".join(f"{number(r, 'side'):g}: {number(r, 'ratio'):.3f}" for r in rows)
    detail = f"variance over prediction by side: {each or 'no aperture'}"
    return compare(limits["noise.aperture"], _worst(off), detail, LOOK)


def _was_given_exposures(product: Product) -> bool:
    if not MODEL(product) or product.facts is None:
        return False
    return number(_part(document(product), "dithers"), "given") > 0


@check("noise.exposures", _was_given_exposures, ("noise.exposures",))
def exposures(product: Product, limits: Limits) -> Outcome:
    """Could the noise be held against the differences of the exposures that were given?"""
    found = _part(document(product), "dithers")
    files = found.get("files")
    known = isinstance(files, list) and _has_dithers(product)
    used = len(files) if known and isinstance(files, list) else 0
    detail = f"{used} of {number(found, 'given'):g} exposures could be used"
    if not used:
        reason = found.get("reason") or "no reason is given"
        detail = f"scale and left-out exposures were not evaluated: {reason}"
    remedy = "give two or more exposures in the unit and with the channels of the cube"
    return compare(limits["noise.exposures"], used, detail, remedy)


def _has_dithers(product: Product) -> bool:
    if not MODEL(product) or product.facts is None:
        return False
    return bool(_part(document(product), "dithers", "scale"))


@check("noise.dithers", _has_dithers, ("noise.dither_scale",))
def dithers(product: Product, limits: Limits) -> Outcome:
    """Is the noise of the cube that which the differences of exposures show?"""
    model = document(product)
    one = _series(_part(model, "scale"), "value")
    other = _series(_part(model, "dithers", "scale"), "value")
    both = bool(one.size) and one.size == other.size
    ratio = float(np.median(other / one)) if both else float("nan")
    detail = f"scale from differences over scale from residuals: {ratio:.3f}"
    return compare(limits["noise.dither_scale"], ratio, detail, LOOK)


@check("noise.left_out", _has_dithers, ("noise.left_out", ERRORS))
def left_out(product: Product, limits: Limits) -> Outcome:
    """Does a model made without an exposure predict how that exposure scatters?"""
    rows = _rows(_part(document(product), "dithers"), "left_out")
    off = [_off(row, "ratio", "error", limits[ERRORS]) for row in rows]
    sums = [row for row in rows if row.get("aperture_ratio") is not None]
    off += [_off(row, "aperture_ratio", "aperture_error", limits[ERRORS]) for row in sums]
    each = ", ".join(f"{number(row, 'ratio'):.3f}" for row in rows)
    detail = f"variance over prediction: {each or 'no exposure was left out'}"
    return compare(limits["noise.left_out"], _worst(off), detail, LOOK)


@check("noise.left_out_odd", _has_dithers, ("noise.odd",))
def left_out_odd(product: Product, limits: Limits) -> Outcome:
    """Was nearly all of each exposure compared, and not set aside for scattering otherwise?"""
    rows = _rows(_part(document(product), "dithers"), "left_out")
    shares = [number(row, "set_aside") for row in rows]
    each = ", ".join(f"{share:.3f}" for share in shares)
    detail = f"part of the spaxels set aside: {each or 'no exposure was left out'}"
    return compare(limits["noise.odd"], _worst(shares), detail, EXPOSURE)


def _left_out_white(product: Product) -> list[dict[str, Any]]:
    rows = _rows(_part(document(product), "dithers"), "left_out")
    return [_part(row, "whitened") for row in rows]


@check("noise.left_out_white", _has_dithers, ("noise.left_out_white", ERRORS))
def left_out_white(product: Product, limits: Limits) -> Outcome:
    """Have exposures unit variance when a model made without them whitens them?"""
    rows = _left_out_white(product)
    off = [_off(row, "variance", "variance_error", limits[ERRORS]) for row in rows]
    each = ", ".join(
        f"{number(row, 'variance'):.3f} +- {number(row, 'variance_error'):.3f}" for row in rows
    )
    detail = f"variance of whitened differences: {each or 'no exposure was left out'}"
    return compare(limits["noise.left_out_white"], _worst(off), detail, EXPOSURE)


@check("noise.left_out_errors", _has_dithers, ("noise.left_out_errors",))
def left_out_errors(product: Product, limits: Limits) -> Outcome:
    """Is that variance 1 as precisely as so many voxels can tell?"""
    rows = _left_out_white(product)
    value, error = (
        np.array([number(row, name) for row in rows]) for name in ("variance", "variance_error")
    )
    error[error <= 0] = np.nan
    worst = _worst((np.abs(value - 1.0) / error).tolist())
    voxels = sum(number(row, "count") for row in rows)
    detail = f"off by {worst:.1f} standard errors at most, of {voxels:g} voxels in all"
    return compare(limits["noise.left_out_errors"], worst, detail, EXPOSURE)


@check("noise.left_out_lags", _has_dithers, ("noise.left_out_lags", "noise.lag_errors"))
def left_out_lags(product: Product, limits: Limits) -> Outcome:
    """Is little correlation left in exposures that a model made without them whitens?"""
    errors = _number(limits["noise.lag_errors"])
    left = _worst([_left_over(row, errors) for row in _left_out_white(product)])
    detail = f"{left:.3f} beyond {errors:g} errors in the worst exposure"
    return compare(limits["noise.left_out_lags"], left, detail, EXPOSURE)


@check("noise.mask", NOISE, ("noise.unusable",))
def mask(product: Product, limits: Limits) -> Outcome:
    """Does the noise use no voxel that its cube masks, and none without an error?"""
    cubes = product.folder.siblings(product.item, layout.CUBE)
    if not cubes or cubes[0].facts is None:
        return skipped("there is no readable cube of its item", "see the cube")
    cube = cube_arrays(cubes[0])
    with opened(product.path) as hdus:
        used = np.asarray(hdus["MASK"].data) == 0
        sigma = np.asarray(hdus["SIGMA"].data, dtype=np.float64)
    if used.shape != cube.flux.shape:
        detail = f"the noise is {used.shape} and the cube {cube.flux.shape}"
        return failed(detail, AGAIN, measured=str(used.shape))
    bad = used & (cube.masked | ~(np.isfinite(sigma) & (sigma > 0)))
    count = int(np.count_nonzero(bad))
    return compare(limits["noise.unusable"], count, f"{count} voxels used in vain", AGAIN)


@check("noise.same", NOISE, ("noise.disagreement",))
def same(product: Product, limits: Limits) -> Outcome:
    """Is the scale of the noise the one that its model was judged with?"""
    models = product.folder.siblings(product.item, layout.NOISE_MODEL)
    if not models or models[0].facts is None:
        return skipped("there is no readable noise model of its item", "see the model")
    said = _series(_part(document(models[0]), "scale"), "value")
    with opened(product.path) as hdus:
        found = np.asarray(hdus["SCALE"].data, np.float64) if "SCALE" in hdus else np.ones(1)
    fits = found.size in (1, said.size) and said.size > 0
    off = float(np.max(np.abs(found / said - 1.0))) if fits else float("nan")
    detail = f"scales differ by up to {off:.2g}"
    return compare(limits["noise.disagreement"], off, detail, AGAIN)
