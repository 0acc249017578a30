"""Where do the numbers that judge a run stand within what is accepted?

Every number has its own unit and its own bounds, so that each is drawn as its place between them:
0 and 1 are the ends of what is accepted, of a bound on one side 0 is the ideal value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.table import Table
from manifests import Acceptance, Limit, Target
from pipeline.figures import style

_COLOURS: Final = (style.BLUE, style.VERMILION, style.BLACK, style.GREY)
_MARKERS: Final = "osD^"
RUN: Final = "run"  # of a number about the run as a whole

Number = tuple[str, str, str, float, float, float]


@dataclass(frozen=True)
class Config:
    """Settings of the dashboard.

    Attributes
    ----------
    farthest : float
        Numbers beyond the bounds are drawn at most this far outside, in widths of what is accepted.
    """

    farthest: float = 0.25


def run(
    *,
    models: Mapping[str, Mapping[str, Any]],
    combinations: Mapping[str, Mapping[str, Any]] | None,
    subtraction: Mapping[str, Any] | None,
    recoveries: Mapping[str, Mapping[str, Any]] | None,
    fluxes: Mapping[str, Table],
    geometry: Mapping[str, Any] | None,
    target: Target,
    acceptance: Acceptance,
    config: Config,
) -> dict[str, Any]:
    """Draw where the numbers of a run stand within the bounds of the judge.

    Parameters
    ----------
    models : mapping of str to mapping
        The document noise-model of each item.
    combinations, recoveries : mapping of str to mapping, or None
        The documents combination and recovery of each item, where there are exposures or a truth.
    fluxes : mapping of str to Table
        The line fluxes in the apertures of each item.
    subtraction, geometry : mapping or None
        The documents of these names, where there are exposures or images.
    target : Target
        Whose bounds count.
    acceptance : Acceptance
        The bounds.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each number: criterion (its row
        in acceptance.toml), what, item, value, low, high (NaN where there is no bound), place.
    """
    numbers: list[Number] = []
    for criterion, what, item, value in (
        *_noise(models),
        *_combine(combinations or {}),
        *_recovery(recoveries or {}, acceptance),
        *_apertures(fluxes, acceptance),
        *_subtraction(subtraction, acceptance),
        *_imaging(geometry),
    ):
        low, high = _bounds(acceptance.limit(criterion, target.item))
        numbers.append((criterion, what, item, value, low, high))
    columns = ("criterion", "what", "item", "value", "low", "high")
    data = QTable(rows=numbers, names=columns)
    data["place"] = [place(value, low, high) for *_, value, low, high in numbers]
    simulated = any(bool(model["simulated"]) for model in models.values())
    return {
        "figure": _draw(data, target, config, simulated),
        "data": Table(data, {"SIMULATD": simulated}),
    }


def place(value: float, low: float, high: float) -> float:
    """Give where a value stands: 0 at one end of what is accepted, 1 at the other.

    Where only the upper bound is known (low is NaN), the size of the value counts, and 0 is 0.
    """
    if np.isnan(low):
        return abs(value) / high
    return (value - low) / (high - low)


def _bounds(limit: Limit) -> tuple[float, float]:
    if isinstance(limit.value, tuple):
        return limit.value
    return float("nan"), float(limit.value)


def _noise(models: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, float]]:
    for item, model in models.items():
        for form, found in model["whitened"].items():
            row = "noise.whitened_filter" if form == "fir" else "noise.whitened"
            yield row, f"variance when whitened, {form}", item, found["variance"]
            yield "noise.chi2", f"chi-square per voxel, {form}", item, found["chi2"]
        off = max((abs(row["ratio"] - 1.0) for row in model["apertures"]), default=float("nan"))
        yield "noise.aperture", "variance of apertures, worst", item, off
        dithers = model["dithers"]
        if dithers["scale"] is not None:
            ratio = np.divide(dithers["scale"]["value"], model["scale"]["value"])
            middle = float(np.median(ratio))
            yield "noise.dither_scale", "scale from exposures over that of cube", item, middle
            left = max((abs(row["ratio"] - 1.0) for row in dithers["left_out"]), default=np.nan)
            yield "noise.left_out", "variance of exposures left out, worst", item, float(left)


def _combine(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, float]]:
    for item, document in documents.items():
        archive = document["archive"]
        if archive is not None and archive["median_err"] is not None:
            what = "combined cube less the archive's, median"
            yield "combine.archive_bias", what, item, archive["median_err"]


def _recovery(
    documents: Mapping[str, Mapping[str, Any]], acceptance: Acceptance
) -> Iterator[tuple[str, str, str, float]]:
    fields = (
        ("recovery.velocity_bias", "velocity less the true one", "velocity_bias_kms"),
        ("recovery.velocity_pull", "its scatter over its error", "velocity_pull_scatter"),
        ("recovery.flux_ratio", "flux over the true one", "flux_ratio_median"),
    )
    enough = acceptance.limit("recovery.compared")
    for item, document in documents.items():
        for group in document["groups"]:
            for criterion, what, field in fields:
                if enough.accepts(group["n_compared"]) and group[field] is not None:
                    yield criterion, f"{what}, {group['group']}", item, group[field]


def _apertures(
    tables: Mapping[str, Table], acceptance: Acceptance
) -> Iterator[tuple[str, str, str, float]]:
    inside = acceptance.limit("recovery.aperture_inside")
    for item, table in tables.items():
        rows = table.data
        if "flux_true" not in rows.colnames:
            continue
        whole = np.array([inside.accepts(float(value)) for value in rows["inside"]])
        flux, err, true = (
            np.asarray(u.Quantity(rows[name]).value) for name in ("flux", "flux_err", "flux_true")
        )
        pull = (flux - true) / err
        for method in sorted(set(rows["method"])):
            own = pull[whole & np.isfinite(pull) & (np.asarray(rows["method"]) == method)]
            if own.size:
                what = f"fluxes of apertures less the true ones over their error, rms, {method}"
                yield "recovery.aperture_scatter", what, item, float(np.sqrt(np.mean(own**2)))


def _subtraction(
    document: Mapping[str, Any] | None, acceptance: Acceptance
) -> Iterator[tuple[str, str, str, float]]:
    recovery = document and document.get("recovery")
    if not recovery or recovery["pull_largest"] is None:
        return
    what = "ghosts less the true ones over their error"
    yield "recovery.ghost_pull", f"{what}, worst", RUN, recovery["pull_largest"]
    if acceptance.limit("recovery.ghosts_compared").accepts(recovery["compared"]):
        yield "recovery.ghost_scatter", f"{what}, rms", RUN, recovery["pull_scatter"]
        yield "recovery.ghost_bias", f"{what}, mean", RUN, recovery["pull_mean"]


def _imaging(document: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str, float]]:
    for image in document["images"] if document else ():
        if image["aperture_ratio"] is not None:
            what = f"noise of blank apertures, {image['band']}"
            yield "geometry.aperture_ratio", what, RUN, image["aperture_ratio"]


def _draw(data: QTable, target: Target, config: Config, simulated: bool) -> bytes:
    rows = list(dict.fromkeys(data["what"]))
    items = list(dict.fromkeys(data["item"]))
    with style.style():
        figure = style.new(8.4, 0.24 * len(rows) + 1.1)
        axes = figure.subplots()
        axes.axvspan(0.0, 1.0, color="0.9", lw=0)
        for k, item in enumerate(items):
            own = data[data["item"] == item]
            shown = np.clip(own["place"], -config.farthest, 1.0 + config.farthest)
            heights = [rows.index(what) for what in own["what"]]
            axes.plot(
                shown,
                heights,
                _MARKERS[k % len(_MARKERS)],
                ms=5,
                color=_COLOURS[k % len(_COLOURS)],
                label=item,
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_xlim(-1.2 * config.farthest, 1.0 + 1.2 * config.farthest)
        axes.set_xlabel("place within what is accepted (grey)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        note = "  (SIMULATED)" if simulated else ""
        figure.suptitle(f"{target.name}: how the run stands{note}", fontsize=9)
        return style.png(figure)
