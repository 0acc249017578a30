"""Do artefacts of the difference of pointings make up less than a fifth of the wake (criterion C2)?

The answer is the fraction of the difference of the pointings itself, with its error. Rival
backgrounds take off other shares, some nothing by construction: their equal mixture says how much
the choice of a background matters, and cannot say whether the criterion is met. And the standard
extraction, which takes nothing off: how much less of the wake does it leave than another (tension
criterion T2)?
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.reduce.difference.background import COMBINED, POINTINGS, SUBTRACTING
from pipeline.reduce.difference.fraction import Ratio, mixture
from pipeline.reduce.difference.rows import MEASURED

EVALUATED: Final = "EVALUATED"
NOT_EVALUATED: Final = "NOT EVALUATED"
_SHARES: Final = (0.025, 0.16, 0.5, 0.84, 0.975)
_NAMES: Final = ("p025", "p16", "p50", "p84", "p975")
Row = Mapping[str, Any]


def distributions(rows: Sequence[Row], criterion: float) -> list[dict[str, Any]]:
    """Give the distribution over methods, line by line and aperture by aperture.

    Parameters
    ----------
    rows : sequence of mapping
        Of the table of ghosts.
    criterion : float
        Size that the fraction should be below.
    """
    keys = dict.fromkeys((row["item"], row["aperture"], row["line"]) for row in rows)
    found = []
    for item, aperture, line in keys:
        mine = [r for r in rows if (r["item"], r["aperture"], r["line"]) == (item, aperture, line)]
        methods = {str(r["method"]): _ratio(r) for r in mine if _counts(r)}
        if methods:
            facts = {"item": item, "aperture": aperture, "line": line}
            found.append(facts | _distribution(methods, criterion))
    return found


def pooled(rows: Sequence[Row], criterion: float) -> list[dict[str, Any]]:
    """Give the distribution of each aperture: over methods, of the mean over lines and pointings.

    The lines of an aperture share one geometry, so they share one fraction; what differs between
    methods is not noise, and is not averaged.
    """
    found = []
    for aperture in dict.fromkeys(row["aperture"] for row in rows):
        methods = {}
        for method in SUBTRACTING:
            mine = [
                _ratio(r)
                for r in rows
                if _counts(r) and (r["aperture"], r["method"]) == (aperture, method)
            ]
            if mine:
                methods[method] = mean(mine)
        if methods:
            found.append({"aperture": aperture} | _distribution(methods, criterion))
    return found


def mean(ratios: Sequence[Ratio]) -> Ratio:
    """Give the weighted mean; its error is enlarged by the scatter where that is too large."""
    value, err = (np.array([getattr(r, name) for r in ratios]) for name in ("value", "err"))
    weight = 1.0 / err**2
    middle = float(np.sum(weight * value) / weight.sum())
    freedom = max(value.size - 1, 1)
    chi2 = float(np.sum(weight * (value - middle) ** 2)) / freedom
    return Ratio(middle, float(np.sqrt(max(chi2, 1.0) / weight.sum())))


def tension(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say how much less the standard extraction leaves than the combination of the exposures.

    Returns
    -------
    list of dict
        For each item, aperture and line: loss = 1 - standard / combined, its error, and the
        significance loss / error.
    """
    found = []
    for row in rows:
        value, err = row["relative_flux"], row["relative_flux_err"]
        if row["method"] != COMBINED or not (np.isfinite(value) and value > 0 and err > 0):
            continue
        loss, loss_err = 1.0 - 1.0 / value, err / value**2
        facts = {key: row[key] for key in ("item", "aperture", "line")}
        found.append(facts | {"loss": loss, "loss_err": loss_err, "sigma": loss / loss_err})
    return found


def _counts(row: Row) -> bool:
    usable = np.isfinite(row["ghost_fraction"]) and row["ghost_fraction_err"] > 0
    return bool(usable and row["status"] == MEASURED and row["method"] in SUBTRACTING)


def _ratio(row: Row) -> Ratio:
    return Ratio(float(row["ghost_fraction"]), float(row["ghost_fraction_err"]))


def _distribution(methods: Mapping[str, Ratio], criterion: float) -> dict[str, Any]:
    ratios = list(methods.values())
    quantiles = dict(zip(_NAMES, mixture(ratios, _SHARES), strict=True))
    return {
        "methods": [
            {"method": name, "fraction": r.value, "fraction_err": r.err}
            for name, r in methods.items()
        ],
        **quantiles,
        "probability_below": float(np.mean([r.below(criterion) for r in ratios])),
        "artefacts": _artefacts(methods.get(POINTINGS), criterion),
    }


def _artefacts(found: Ratio | None, criterion: float) -> dict[str, float] | None:
    """Give what criterion C2 asks: of the difference of the pointings, and of nothing else."""
    if found is None:
        return None
    low, high = mixture([found], (_SHARES[0], _SHARES[-1]))
    return {
        "fraction": found.value,
        "fraction_err": found.err,
        "p025": low,
        "p975": high,
        "probability_below": found.below(criterion),
    }


def judged(pooled_rows: Sequence[Row]) -> bool:
    """Say whether the difference of the pointings has a fraction in any aperture."""
    return any(row["artefacts"] is not None for row in pooled_rows)


def sentence(missing: Iterable[str], pooled_rows: Sequence[Row], criterion: float) -> str:
    """Say the outcome in words."""
    lacking = sorted(missing)
    if lacking:
        which = ", ".join(lacking)
        return (
            f"The other pointing of {which} is missing or does not overlap it, so nothing could be "
            "taken off it."
        )
    if not judged(pooled_rows):
        return "No line is bright enough in any aperture for a fraction of its flux."
    parts = [
        f"{row['aperture']}: {own['fraction']:.1%} ({own['p025']:.1%} to {own['p975']:.1%}), below "
        f"{criterion:.0%} with a probability of {own['probability_below']:.3f}"
        for row in pooled_rows
        if (own := row["artefacts"]) is not None
    ]
    rivals = [
        f"{row['aperture']} {row['p50']:.1%} ({row['p025']:.1%} to {row['p975']:.1%})"
        for row in pooled_rows
    ]
    return (
        f"Share of the flux that the difference of the pointings takes off: {'; '.join(parts)}. "
        f"Over all backgrounds alike: {'; '.join(rivals)}."
    )
