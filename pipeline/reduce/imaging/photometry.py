"""How bright are host and wake, how does the wake's light run along it, and which colour has it?

Magnitudes are AB, in a stated aperture; what the aperture misses is measured on the image itself
(curve of growth) and stands beside it. Two filters make a colour only where their passbands are
apart; of overlapping ones the difference is taken, which is the light that the wider one alone
passes.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import FloatArray
from ard.errors import ArdError
from ard.table import Table
from manifests import Target
from manifests.filters import COLOUR, Filters
from pipeline.reduce.imaging import systematics, view
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.lights import HOST, WAKE, Config, Light, measure_light
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Measured
from pipeline.reduce.imaging.view import AB_UJY, ab_magnitude

__all__ = ["HOST", "WAKE", "Config", "run"]

PROFILE: Final = "profile"
_SYSTEMATIC: Final = (
    *("zero_point_err", "overlap_err", "choice_err", "total_overlap_err", "total_choice_err"),
)
_MAG: Final = 2.5 / np.log(10.0)  # error of a magnitude for a relative error of the flux


def run(
    *,
    images: Mapping[str, Sequence[Image]],
    geometry: Mapping[str, Any],
    target: Target,
    filters: Filters,
    config: Config,
) -> dict[str, Any]:
    """Measure host and wake on the images.

    Parameters
    ----------
    images : mapping of str to sequence of Image
        The chips of each file.
    geometry : mapping
        The document of the geometry stage: where the wake runs and ends.
    target : Target
        Where host and tip are declared to be.
    filters : Filters
        The declared filters.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``photometry``: the profile along the wake, ``magnitudes`` of host and wake, ``colours``;
        each a Table.

    Raises
    ------
    FormatError
        If an image does not cover the target.
    """
    declared, length = view.declared_axis(target)
    chosen = view.covering(images, declared, length)
    views = tuple(view.look(image, declared, length, config, filters) for image in chosen)
    place, wake = geometry["host"], geometry["wake"]
    axis = Axis(place["ra_deg"], place["dec_deg"], wake["pa_deg"])
    edge = float(wake["length_arcsec"])
    lights = [
        measure_light([views[k] for k in numbers], axis, edge, config)
        for numbers in view.by_band(views).values()
    ]
    meta = {"SIMULATD": any(image.simulated for image in chosen)}
    return {
        "photometry": Table(_profile_table(lights, config), meta),
        "magnitudes": Table(_magnitude_table(lights, config), meta),
        "colours": Table(_colour_table(lights, filters, config), meta),
    }


def _profile_table(lights: Sequence[Light], config: Config) -> QTable:
    """One row for each filter and interval along the wake."""
    rows: dict[str, list[Any]] = {
        name: []
        for name in ("band", "from", "to", "width", "value", "err", "mag", "mag_err", "coverage")
    }
    for light in lights:
        n = light.edges.size - 1
        value, err = light.wake.value[:n], light.wake.err[:n]
        mag, mag_err = _magnitudes(value, err, config.snr_min)
        width = np.full(n, 2.0 * config.half_width_arcsec)
        ends = (light.edges[:-1], light.edges[1:])
        columns = (*ends, width, value, err, mag, mag_err, light.coverage[:n])
        rows["band"] += [light.band] * n
        for name, column in zip(list(rows)[1:], columns, strict=True):
            rows[name] += [float(v) for v in column]
    surface = u.uJy / u.arcsec**2
    return QTable(
        {
            "band": rows["band"],
            "from_arcsec": rows["from"] * u.arcsec,
            "to_arcsec": rows["to"] * u.arcsec,
            "width_arcsec": rows["width"] * u.arcsec,
            "brightness": rows["value"] * surface,
            "brightness_err": rows["err"] * surface,
            "mu_ab": rows["mag"] * u.mag / u.arcsec**2,
            "mu_ab_err": rows["mag_err"] * u.mag / u.arcsec**2,
            "coverage": rows["coverage"],
        }
    )


def _magnitudes(
    value: FloatArray, err: FloatArray, snr_min: float
) -> tuple[FloatArray, FloatArray]:
    """Give magnitudes and their errors; NaN where the flux is too faint for one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = value > snr_min * err
        safe = np.where(seen, value, 1.0)
        return (
            np.where(seen, -2.5 * np.log10(safe / AB_UJY), np.nan),
            np.where(seen, _MAG * err / safe, np.nan),
        )


def _aperture(light: Light, source: str, config: Config) -> tuple[Measured, dict[str, Any]]:
    """Give the flux in the aperture and all of it, uJy, with their covariance, and what they are.

    The covariance is what makes the error of the correction right: both share most pixels.
    """
    if source == HOST:
        k = int(np.argmin(np.abs(light.radii - config.host_radius_arcsec)))
        matrix = np.zeros((2, light.radii.size))
        matrix[0, k] = matrix[1, -1] = 1.0
        return light.host.combined(matrix), {
            "aperture": f"circle, radius {light.radii[k]:g} arcsec",
            "total": f"curve of growth to {light.radii[-1]:g} arcsec",
            "from_arcsec": 0.0,
            "to_arcsec": float(light.radii[k]),
            "coverage": 1.0,
        }
    n = light.edges.size - 1
    length = np.diff(light.edges)
    value = light.wake.value.reshape(2, n)
    good = np.isfinite(value).all(axis=0)
    widths = 2.0 * np.array([config.half_width_arcsec, config.total_half_width_arcsec])
    matrix = np.zeros((2, 2 * n))
    for k, width in enumerate(widths):
        matrix[k, k * n : (k + 1) * n] = np.where(good, length * width, 0.0)
    filled = Measured(np.nan_to_num(light.wake.value), light.wake.covariance)
    return filled.combined(matrix), {
        "aperture": f"strip, {widths[0]:g} arcsec wide",
        "total": f"curve of growth across, to {widths[1]:g} arcsec",
        "from_arcsec": float(light.edges[0]),
        "to_arcsec": float(light.edges[-1]),
        "coverage": float((light.coverage[:n] * length)[good].sum() / length.sum()),
    }


def _errors(flux: Measured, light: Light, source: str) -> dict[str, float]:
    """Give the errors of both magnitudes, term by term and combined; NaN without a magnitude."""
    calibration = light.declared.zero_point_err_mag
    found = {"zero_point_err": calibration}
    for k, (name, prefix) in enumerate((("mag", ""), ("total", "total_"))):
        value = float(flux.value[k])
        terms = (flux.err[k], light.overlap[source][k], light.choice[source][k])
        noise, overlap, choice = (
            _MAG * float(term) / value if value > 0 else float("nan") for term in terms
        )
        found |= {
            f"{name}_err": noise,
            f"{prefix}overlap_err": overlap,
            f"{prefix}choice_err": choice,
            f"{name}_combined_err": systematics.combined(calibration, noise, overlap, choice),
        }
    return found


def _magnitude_table(lights: Sequence[Light], config: Config) -> QTable:
    """One row for each source and filter."""
    rows = []
    for source in (HOST, WAKE):
        for light in lights:
            flux, what = _aperture(light, source, config)
            small, whole = flux.value
            ratio = whole / small
            # Of the ratio, with the pixels that both share.
            slope = np.array([-ratio / small, 1.0 / small])
            ratio_err = float(np.sqrt(slope @ flux.covariance @ slope))
            bright = small > 0 and whole > 0
            rows.append(
                {
                    "source": source,
                    "band": light.band,
                    **what,
                    "flux": small,
                    "flux_err": flux.err[0],
                    "mag_ab": ab_magnitude(small),
                    **_errors(flux, light, source),
                    "correction": -2.5 * np.log10(ratio) if bright else np.nan,
                    "correction_err": _MAG * ratio_err / ratio if bright else np.nan,
                    "total_ab": ab_magnitude(whole),
                }
            )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    units = {"from_arcsec": u.arcsec, "to_arcsec": u.arcsec, "flux": u.uJy, "flux_err": u.uJy}
    units |= dict.fromkeys(
        ("mag_ab", "mag_err", "correction", "correction_err", "total_ab", "total_err"), u.mag
    )
    units |= dict.fromkeys((*_SYSTEMATIC, "mag_combined_err", "total_combined_err"), u.mag)
    return QTable({n: c * units[n] if n in units else c for n, c in columns.items()})


def _colour_table(lights: Sequence[Light], filters: Filters, config: Config) -> QTable:
    """One row for each pair of filters and place: host, wake, and the intervals along it."""
    by_name = {light.band: light for light in lights}
    rows: list[dict[str, Any]] = []
    for pair in combinations(by_name, 2):
        first, second = filters.ordered(*pair)
        kind = filters.relation(first, second)
        one, other = by_name[first], by_name[second]
        for source in (HOST, WAKE):
            a, what = _aperture(one, source, config)
            b, _ = _aperture(other, source, config)
            ends = (what["from_arcsec"], what["to_arcsec"])
            a_k, b_k = ((each.value[0], each.err[0]) for each in (a, b))
            found = _compared(kind, (one, other), a_k, b_k, config)
            rows.append(_row(source, (one, other), kind, ends, found))
        for k in range(one.edges.size - 1):
            area = 2.0 * config.half_width_arcsec * float(one.edges[k + 1] - one.edges[k])
            a_k, b_k = (
                (each.wake.value[k] * area, each.wake.err[k] * area) for each in (one, other)
            )
            ends = (float(one.edges[k]), float(one.edges[k + 1]))
            found = _compared(kind, (one, other), a_k, b_k, config)
            rows.append(_row(PROFILE, (one, other), kind, ends, found))
    if not rows:
        raise ArdError(
            "one filter makes no colour",
            expected="images through two filters or more",
            found=", ".join(by_name),
            action="give images through another filter as well",
        )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    units = {"from_arcsec": u.arcsec, "to_arcsec": u.arcsec, "colour": u.mag, "colour_err": u.mag}
    units |= {"zero_point_err": u.mag, "colour_combined_err": u.mag}
    units |= {"difference": u.uJy, "difference_err": u.uJy}
    return QTable({n: c * units[n] if n in units else c for n, c in columns.items()})


def _row(
    source: str,
    pair: tuple[Light, Light],
    kind: str,
    ends: tuple[float, float],
    found: tuple[float, float],
) -> dict[str, Any]:
    value, err = found
    is_colour = kind == COLOUR
    calibration = systematics.combined(*(one.declared.zero_point_err_mag for one in pair))
    known = is_colour and np.isfinite(value)
    return {
        "source": source,
        "first": pair[0].band,
        "second": pair[1].band,
        "kind": kind,
        "from_arcsec": ends[0],
        "to_arcsec": ends[1],
        "colour": value if is_colour else np.nan,
        "colour_err": err if is_colour else np.nan,
        "zero_point_err": calibration if known else np.nan,
        "colour_combined_err": systematics.combined(err, calibration) if known else np.nan,
        "difference": np.nan if is_colour else value,
        "difference_err": np.nan if is_colour else err,
    }


def _compared(
    kind: str,
    lights: tuple[Light, Light],
    one: tuple[float, float],
    other: tuple[float, float],
    config: Config,
) -> tuple[float, float]:
    """Compare two fluxes (value and error): their colour, or the light that only the first passes.

    Their noises are independent: other exposures. The difference of the rates is turned into a
    flux density as for a spectrum that is flat in f_nu: (f1 S1 - f2 S2) / (S1 - S2), S the
    electrons/s of 1 uJy. It is the mean of f_nu over the wavelengths that only the first passes,
    if both pass the others equally well.
    """
    (a, a_err), (b, b_err) = one, other
    if kind == COLOUR:
        good = a > config.snr_min * a_err and b > config.snr_min * b_err
        if not good:
            return float("nan"), float("nan")
        return -2.5 * float(np.log10(a / b)), _MAG * float(np.hypot(a_err / a, b_err / b))
    s1, s2 = (light.rate_of_ujy for light in lights)
    if not s1 > s2:
        raise ArdError(
            "the wider filter collects less light than the narrower one",
            expected="a fainter zero point for the filter with the wider passband",
            found=f"{lights[0].band}: {s1:.4g}, {lights[1].band}: {s2:.4g} electrons/s per uJy",
            action="check PHOTFLAM and PHOTPLAM of both images",
        )
    value = (a * s1 - b * s2) / (s1 - s2)
    return float(value), float(np.hypot(a_err * s1, b_err * s2) / (s1 - s2))
