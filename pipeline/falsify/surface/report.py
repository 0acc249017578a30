"""How is what a campaign says of its hypothesis written down?

One document: numbers, on what each rests, and the verdict. A number that is not known is null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from manifests.acceptance import Acceptance
from pipeline.falsify.surface.cells import Cells
from pipeline.falsify.surface.exclusion import Calibration, Exclusion, Field, Refined, Saturated
from pipeline.falsify.surface.survey import Evaluations, Share, Surface
from pipeline.falsify.surface.survivors import RULE, Kept, Rule, row_of
from pipeline.falsify.surface.table import unit_of

_NAMED: Final = 100  # numbers of models that are listed one by one
TABLE: Final = "table"  # the kind of a campaign whose models somebody chose


@dataclass(frozen=True)
class Campaign:
    """What is known of a campaign besides what it found.

    Attributes
    ----------
    name : str
    n_model : int
        How many models it was to have.
    seed : int
    settings : mapping
        All that decides a number, in plain JSON values.
    settings_sha256 : str
        Their digest, which every worker compared.
    conflicts : int
        Results that came twice, and differed.
    """

    name: str
    n_model: int
    seed: int
    settings: Mapping[str, Any]
    settings_sha256: str
    conflicts: int = 0

    @property
    def drawn(self) -> bool:
        """Whether its models are draws of the prior, and no rows of a table."""
        return self.settings.get("kind") != TABLE


@dataclass(frozen=True)
class Judged:
    """What the verdict rests on, and the verdict.

    Attributes
    ----------
    exclusion : Exclusion
    saturated : Saturated or None
    calibration : Calibration or None
    refined : Refined or None
    field : Field or None
    """

    exclusion: Exclusion
    saturated: Saturated | None
    calibration: Calibration | None
    refined: Refined | None
    field: Field | None


def document_of(
    evaluations: Evaluations,
    surface: Surface,
    judged: Judged,
    acceptance: Acceptance,
    units: Mapping[str, str],
) -> dict[str, Any]:
    """Give what the surface says, in plain JSON values.

    Parameters
    ----------
    evaluations : Evaluations
    surface : Surface
    judged : Judged
    acceptance : Acceptance
        With the rows "campaign.*".
    units : mapping of str to str
        Where a name does not say its unit.
    """
    reasons = surface.problems(acceptance)
    one, two = surface.halves
    return {
        "sentence": _sentence(evaluations, surface, judged.exclusion),
        "complete": not surface.missing,
        "missing": _listed(surface.missing),
        "columns": {
            name: _columns(getattr(evaluations, name), units)
            for name in ("parameters", "facts", "nuisances")
        },
        "reference": asdict(surface.reference),
        "counts": {
            "n": len(evaluations),
            "n_rejected": surface.rejected.n,
            "n_evaluated": int(surface.whole.n_evaluated),
            "n_unconverged": len(surface.unconverged),
        },
        "unconverged": _listed(surface.unconverged),
        "within": [{"delta_chi2": d, **_share(s)} for d, s in surface.within.items()],
        "rejected": {
            "all": _share(surface.rejected),
            "several": _share(surface.several),
            "filters": [
                {"name": name, **_share(share), "n_only": alone}
                for name, (share, alone) in surface.filters.items()
            ],
        },
        "best": _best(evaluations, surface),
        "refined": _refined(judged.refined),
        "marginal": {
            **_total(surface.whole),
            "halves": [_total(one), _total(two)],
            "halves_sigma": _plain(surface.halves_sigma),
            "converged": not reasons,
            "reasons": list(reasons),
        },
        "profiles": [_profile(cells, units, acceptance) for cells in surface.profiles],
        "pairs": [_pair(cells, acceptance) for cells in surface.pairs],
        "unplaced": [{"name": name, "n": n} for name, n in surface.unplaced.items()],
        "skipped": [{"name": name, "reason": why} for name, why in surface.skipped.items()],
        "exclusion": _exclusion(judged, drawn=surface.drawn),
    }


def kept_of(
    evaluations: Evaluations,
    surface: Surface,
    rule: Rule,
    kept: Sequence[tuple[Kept, Mapping[str, str]]],
) -> dict[str, Any]:
    """Say which galaxies are kept, by which rule, in which files, and whether they survive."""
    level = max(surface.settings.delta_chi2)
    rows = []
    for rank, (one, files) in enumerate(kept, 1):
        model, found = row_of(evaluations, one.number)
        delta = -2.0 * (found.log_likelihood - surface.reference.log_likelihood)
        rows.append(
            {
                "rank": rank,
                "number": one.number,
                "why": one.why,
                "log_likelihood": found.log_likelihood,
                "delta_chi2": delta,
                "survives": delta <= level,
                "parameters": _values(model.parameters),
                "files": dict(files),
            }
        )
    said = RULE.format(n_best=rule.n_best, n_spread=rule.n_spread, level=level)
    return {"rule": said, **asdict(rule), "level": level, "rows": rows}


def _sentence(evaluations: Evaluations, surface: Surface, exclusion: Exclusion) -> str:
    n = len(evaluations)
    return (
        f"{n} of {surface.n_model} galaxies: {surface.rejected.n} rejected by dynamics, "
        f"{int(surface.whole.n_evaluated)} held against the cube, {len(surface.unconverged)} "
        f"searches not converged. No galaxy makes this cube: {exclusion.gate} "
        f"({exclusion.sentence})."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _list(values: Any) -> Any:
    """Give an array as lists, null where it has no number."""
    array = np.asarray(values)
    if array.ndim:
        return [_list(inner) for inner in array]
    return _plain(array.item())


def _listed(numbers: Sequence[int]) -> dict[str, Any]:
    return {"n": len(numbers), "numbers": list(numbers[:_NAMED])}


def _columns(columns: Mapping[str, Any], units: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "unit": units.get(name, unit_of(name))} for name in columns]


def _values(values: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "value": _plain(value)} for name, value in values.items()]


def _share(share: Share) -> dict[str, Any]:
    found: dict[str, Any] = _plain(
        {
            "n": share.n,
            "n_all": share.n_all,
            "fraction": share.fraction,
            "low": share.low,
            "high": share.high,
        }
    )
    return found


def _best(evaluations: Evaluations, surface: Surface) -> dict[str, Any] | None:
    if surface.best < 0:
        return None
    model, found = row_of(evaluations, surface.best)
    return {
        "number": found.number,
        "log_likelihood": found.log_likelihood,
        "chi2": found.chi2,
        "delta_chi2": -2.0 * (found.log_likelihood - surface.reference.log_likelihood),
        "converged": found.converged,
        "parameters": _values(model.parameters),
        "nuisances": _values(found.nuisances),
    }


def _refined(refined: Refined | None) -> dict[str, Any] | None:
    if refined is None:
        return None
    found = {**asdict(refined), "parameters": _values(refined.parameters)}
    plain: dict[str, Any] = _plain({**found, "ends": list(refined.ends)})
    return plain


def _total(cells: Cells) -> dict[str, Any]:
    return {
        "n": int(cells.n),
        "best": _plain(float(cells.best)),
        "log_mean": _plain(float(cells.log_mean)),
        "log_mean_error": _plain(float(cells.log_mean_error)),
        "effective": float(cells.effective),
    }


def _flags(cells: Cells, acceptance: Acceptance) -> dict[str, Any]:
    """Say which cells rest on too few models for their profile, or for their marginal."""
    limit = acceptance.limit("campaign.effective")
    few = [[not limit.accepts(float(v)) for v in np.ravel(a)] for a in
           (cells.n_evaluated, cells.effective)]  # fmt: skip
    return {
        "profile_flagged": _list(np.reshape(few[0], cells.n.shape)),
        "marginal_flagged": _list(np.reshape(few[1], cells.n.shape)),
    }


def _numbers(cells: Cells) -> dict[str, Any]:
    names = ("n", "n_evaluated", "n_unconverged", "best", "log_mean", "log_mean_error", "effective")
    return {name: _list(getattr(cells, name)) for name in names}


def _profile(cells: Cells, units: Mapping[str, str], acceptance: Acceptance) -> dict[str, Any]:
    (name,), (edges,) = cells.names, cells.edges
    number = [int(n) if n >= 0 else None for n in cells.best_number]
    return {
        "name": name,
        "unit": units.get(name, unit_of(name)),
        "edges": _list(edges),
        **_numbers(cells),
        "best_number": number,
        "best_first": _list(cells.best_halves[0]),
        "best_second": _list(cells.best_halves[1]),
        **_flags(cells, acceptance),
    }


def _pair(cells: Cells, acceptance: Acceptance) -> dict[str, Any]:
    (one, two), (edges_one, edges_two) = cells.names, cells.edges
    return {
        "first": one,
        "second": two,
        "edges_first": _list(edges_one),
        "edges_second": _list(edges_two),
        **_numbers(cells),
        **_flags(cells, acceptance),
    }


def _exclusion(judged: Judged, *, drawn: bool) -> dict[str, Any]:
    found = judged.exclusion
    return {
        "statement": f"no galaxy of this {'prior' if drawn else 'table'} makes the cube",
        "verdict": found.gate.value,
        "sentence": found.sentence,
        "literal": found.literal,
        "measured": _plain(dict(found.measured)),
        "saturated": None if judged.saturated is None else asdict(judged.saturated),
        "calibration": None if judged.calibration is None else asdict(judged.calibration),
        "field": None if judged.field is None else asdict(judged.field),
    }
