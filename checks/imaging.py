"""Can the numbers measured on images be right, and do they say what they are?"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from astropy.coordinates import Angle, SkyCoord

from ard import layout
from checks.folder import Product
from checks.load import document, number, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, passed, skipped
from manifests import ManifestError
from manifests.filters import COLOUR, load_filters

GEOMETRY: Final = of_kind("document", layout.GEOMETRY)
PHOTOMETRY: Final = of_kind("table", layout.PHOTOMETRY)
MAGNITUDES: Final = of_kind("table", layout.MAGNITUDES)
COLOURS: Final = of_kind("table", layout.COLOURS)
LOOK: Final = "look at the figure of the images, and at the masks and the noise of each"
_UNAPPLIED: Final = (
    "extract moves its apertures by a shift that is significant (REGISTRATION in its tables); for "
    "line maps and ghosts correct the cube's WCS"
)
_ERRORS: Final = ("_err", "_err_arcsec")


@check("imaging.geometry_errors", GEOMETRY, ("geometry.bad_errors",))
def geometry_errors(product: Product, limits: Limits) -> Outcome:
    """Has every measured length and angle a positive error?"""
    values = list(_errors(document(product)))
    bad = [where for where, value in values if not (np.isfinite(value) and value > 0)]
    detail = f"{len(bad)} of {len(values)} errors are not positive: {', '.join(bad) or 'none'}"
    measured = len(bad) if values else float("nan")
    return compare(limits["geometry.bad_errors"], measured, detail, LOOK)


def _errors(node: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Give every error of a document with its place; those of what was not measured are null."""
    if isinstance(node, list):
        for k, inner in enumerate(node):
            yield from _errors(inner, f"{where}[{k}]")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key.endswith(_ERRORS) and value is not None:
            yield f"{where}.{key}".lstrip("."), number(node, key)
        yield from _errors(value, f"{where}.{key}")


@check("imaging.tip_place", GEOMETRY, ("geometry.tip_distance",))
def tip_place(product: Product, limits: Limits) -> Outcome:
    """Does the wake end where the target's tip is declared to be?"""
    declared = product.folder.target.get("tip")
    found = _part(_part(document(product), "wake"), "tip")
    if not isinstance(declared, dict):
        return skipped("the target declares no tip", "declare it in the target's manifest")
    here, there = ((number(p, "ra_deg"), number(p, "dec_deg")) for p in (found, declared))
    apart = float("nan")
    if np.isfinite([*here, *there]).all():
        apart = float(SkyCoord(*here, unit="deg").separation(SkyCoord(*there, unit="deg")).arcsec)
    detail = f"{apart:.3f} arcsec from the declared tip"
    return compare(limits["geometry.tip_distance"], apart, detail, LOOK)


@check("imaging.direction", GEOMETRY, ("geometry.pa_off",))
def direction(product: Product, limits: Limits) -> Outcome:
    """Does the wake run as it is declared to?"""
    declared = number(product.folder.target, "position_angle_deg")
    found = number(_part(document(product), "wake"), "pa_deg")
    off = abs(float(Angle(found - declared, "deg").wrap_at("180d").deg))
    detail = f"PA {found:.2f} deg, declared {declared:.2f}"
    return compare(limits["geometry.pa_off"], off, detail, LOOK)


@check("imaging.noise", GEOMETRY, ("geometry.aperture_ratio",))
def noise(product: Product, limits: Limits) -> Outcome:
    """Do blank apertures of every image scatter as the noise says?"""
    images = _rows(document(product), "images")
    ratios = {str(row.get("file")): number(row, "aperture_ratio") for row in images}
    limit = limits["geometry.aperture_ratio"]
    worst = next((v for v in ratios.values() if not limit.accepts(v)), None)
    worst = next(iter(ratios.values()), float("nan")) if worst is None else worst
    detail = ", ".join(f"{name} {value:.2f}" for name, value in ratios.items())
    return compare(limit, worst, detail, "look at the sources that were not masked")


@check("imaging.registration", GEOMETRY, ("registration.shift",))
def registration(product: Product, limits: Limits) -> Outcome:
    """Do the coordinates of cubes and images agree, in white light and in that of a line?"""
    rows = [r for r in _rows(document(product), "registration") if r.get("status") == "measured"]
    shifts = [
        float(np.hypot(number(row, "east_arcsec"), number(row, "north_arcsec"))) for row in rows
    ]
    # One cube has a row for each light, so that its name alone tells no row.
    each = ", ".join(
        f"{row.get('item')} {row.get('light')} {shift:.3f}"
        for row, shift in zip(rows, shifts, strict=True)
    )
    if not shifts:
        # Shifts are reported and gate nothing, so neither does their absence.
        return passed("no shift was measured (which is only reported)")
    detail = f"shifts in arcsec: {each}"
    return compare(limits["registration.shift"], max(shifts), detail, _UNAPPLIED)


@check("imaging.brightness", PHOTOMETRY, ("photometry.bad_values",))
def brightness(product: Product, limits: Limits) -> Outcome:
    """Has every interval that was seen a brightness, with a positive error?"""
    columns, _ = table_columns(product)
    value, err = (_numbers(columns, name) for name in ("brightness", "brightness_err"))
    bad = int(np.count_nonzero(~(np.isfinite(err) & (err > 0))))
    none = int(np.count_nonzero(~np.isfinite(value)))
    detail = f"{bad} errors are not positive; {none} of {value.size} intervals were not seen"
    measured = float("nan") if not value.size or none == value.size else bad
    return compare(limits["photometry.bad_values"], measured, detail, LOOK)


@check("imaging.magnitudes", MAGNITUDES, ("photometry.bad_values",))
def magnitudes(product: Product, limits: Limits) -> Outcome:
    """Have host and wake a magnitude with a positive error in every filter?"""
    columns, _ = table_columns(product)
    names = ("mag_ab", "mag_err", "correction", "correction_err", "total_ab", "total_err")
    values = {name: _numbers(columns, name) for name in names}
    known = np.isfinite(np.stack(list(values.values()))).all(axis=0)
    errors = np.stack([value for name, value in values.items() if name.endswith("_err")])
    bad = ~(known & (errors > 0).all(axis=0))
    sources = [f"{s} {b}" for s, b in zip(columns["source"], columns["band"], strict=True)]
    which = [name for name, is_bad in zip(sources, bad, strict=True) if is_bad]
    detail = f"without a magnitude: {', '.join(which) or 'none'}"
    measured = len(which) if sources else float("nan")
    return compare(limits["photometry.bad_values"], measured, detail, LOOK)


@check("imaging.sum", MAGNITUDES, ("photometry.disagreement",))
def profile_sum(product: Product, limits: Limits) -> Outcome:
    """Is the light of the wake the sum of its profile?"""
    profiles = [p for p in product.folder.siblings(None, layout.PHOTOMETRY) if p.facts]
    if not profiles:
        return skipped("there is no readable profile", "see structure.inventory")
    profile, _ = table_columns(profiles[0])
    columns, _ = table_columns(product)
    length = _numbers(profile, "to_arcsec") - _numbers(profile, "from_arcsec")
    light = _numbers(profile, "brightness") * length * _numbers(profile, "width_arcsec")
    flux, bands = _numbers(columns, "flux"), np.array(columns["band"])
    wake = np.array(columns["source"]) == "wake"
    offs = {
        str(band): abs(float(np.nansum(light[np.array(profile["band"]) == band])) / total - 1.0)
        for band, total in zip(bands[wake], flux[wake], strict=True)
    }
    detail = ", ".join(f"{band} off by {off:.2g}" for band, off in offs.items())
    worst = max(offs.values(), default=float("nan"))
    remedy = "make both tables again from one set of images"
    return compare(limits["photometry.disagreement"], worst, detail, remedy)


@check("imaging.colours", COLOURS, ("colours.overlap",))
def colours(product: Product, limits: Limits) -> Outcome:
    """Is a colour made only of filters whose passbands are apart?"""
    columns, _ = table_columns(product)
    filters = load_filters()
    rows = zip(columns["first"], columns["second"], columns["kind"], strict=True)
    pairs = {(first, second) for first, second, kind in rows if kind == COLOUR}
    try:
        shared = {pair: filters.overlap(*pair) for pair in sorted(pairs)}
    except ManifestError as error:
        return compare(limits["colours.overlap"], float("nan"), error.problem, "declare the filter")
    each = ", ".join(f"{a} - {b} share {part:.0%}" for (a, b), part in shared.items())
    worst = max(shared.values(), default=0.0)
    remedy = "give the difference image of overlapping filters, never a colour"
    return compare(limits["colours.overlap"], worst, each or "no colour is given", remedy)


def _numbers(columns: dict[str, list[Any]], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(columns.get(name, []), dtype=float)


def _rows(values: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    rows = values.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _part(values: dict[str, Any], name: str) -> dict[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}
