"""Does what is said of a campaign follow from the table of its evaluations, and is it all there?

The judge counts, sums and compares again, from the table and the thresholds of acceptance.toml; it
computes no galaxy.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from ard import layout
from checks.evaluations import (
    Again,
    Bools,
    Models,
    Row,
    beside,
    delta_chi2,
    drawn,
    each_tail,
    is_bound,
    misplaced,
    models_of,
    part,
    rows_of,
    same,
    uncovered,
)
from checks.folder import Product
from checks.load import document, number
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, skipped

TABLE: Final = of_kind("table", layout.EVALUATIONS)
SURFACE: Final = of_kind("document", layout.SURFACE)
DISAGREE: Final = "campaign.disagreements"
SLACK: Final = "campaign.rounding"
CONFIDENCE: Final = "campaign.confidence"
FEW: Final = "campaign.effective"
RULES: Final = (
    *("campaign.missing", "campaign.injections", "campaign.saturated_chi2"),
    *("campaign.power", "campaign.unconverged", "campaign.evaluated"),
)
AGAIN: Final = "export the campaign again: rbh1 campaign export"
NO_TABLE: Final = skipped("the table of evaluations is not there", "see structure.inventory")
DISC: Final = "best disc"
NOT_EVALUATED: Final = "NOT EVALUATED"
INADEQUATE: Final = "MODEL-INADEQUATE"
TENSION: Final = "IN TENSION"
UNINFORMATIVE: Final = "UNINFORMATIVE"
CONFIRMED: Final = "CONFIRMED"
KEPT: Final = (layout.DISC_CUBE, layout.DISC_RESIDUAL, layout.DISC_MAP)


def _slack(limits: Limits) -> float:
    return _bound(limits, SLACK)


def _bound(limits: Limits, name: str) -> float:
    value = limits[name].value
    return value[-1] if isinstance(value, tuple) else value


def _disagree(limits: Limits, wrong: Sequence[str], what: str) -> Outcome:
    detail = f"{len(wrong)} {what}" + (f", first {wrong[0]}" if wrong else "")
    return compare(limits[DISAGREE], len(wrong), detail, AGAIN)


# ---- is it all there


@check("campaign.complete", TABLE, ("campaign.missing",))
def complete(product: Product, limits: Limits) -> Outcome:
    """Has every model of the campaign been rejected or evaluated, once?"""
    models, said = models_of(product), beside(product, layout.SURFACE)
    if models is None or said is None or said.facts is None:
        return skipped("the surface is not there", "see structure.inventory")
    wanted = number(part(document(said), "campaign"), "n_model")
    if not math.isfinite(wanted):
        return skipped("the surface does not say how many there should be", "see structure.schema")
    settled = Counter(models.number[models.rejected | models.evaluated].tolist())
    every = Counter(range(int(wanted)))
    off = (every - settled).total() + (settled - every).total()
    detail = f"{off} of {wanted:.0f} models are missing or too many"
    remedy = "let workers run to the end: rbh1 campaign status"
    return compare(limits["campaign.missing"], off, detail, remedy)


@check("campaign.values", TABLE, ("campaign.bad_values",))
def values(product: Product, limits: Limits) -> Outcome:
    """Has a rejected model no likelihood, and any other one that can be, or none yet?"""
    models = models_of(product)
    if models is None:
        return NO_TABLE
    chi2, found = models.column("chi2"), models.log_likelihood
    # Whether all that the dynamics allow have one is asked by `complete`.
    fine = np.isnan(chi2) & np.isnan(found)
    fine |= ~models.rejected & np.isfinite(found) & np.isfinite(chi2) & (chi2 > 0)
    bad = int(np.count_nonzero(~fine))
    return compare(limits["campaign.bad_values"], bad, f"{bad} rows cannot be", AGAIN)


@check("campaign.conflicts", SURFACE, ("campaign.conflicts",))
def conflicts(product: Product, limits: Limits) -> Outcome:
    """Did all workers find the same of the same model?"""
    found = number(part(document(product), "campaign"), "conflicts")
    detail = f"{found:.0f} results came twice, and differed"
    remedy = "see which workers differ, and let the campaign run again"
    return compare(limits["campaign.conflicts"], found, detail, remedy)


# ---- shares


@check("campaign.shares", SURFACE, (DISAGREE, SLACK, CONFIDENCE))
def shares(product: Product, limits: Limits) -> Outcome:
    """Are the shares of the prior mass, and their intervals, those of the table?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    relative = models.relative(number(part(facts, "reference"), "log_likelihood"))
    unsettled = models.unsettled
    wrong = []
    is_share = _is_share if drawn(facts) else _is_count
    for row in rows_of(facts, "within"):
        inside = delta_chi2(relative) <= number(row, "delta_chi2")
        more = int(np.count_nonzero(unsettled & ~inside))
        if not is_share(row, int(np.count_nonzero(inside)), relative.size, more, limits):
            wrong.append(f"within {row.get('delta_chi2')}")
    levels = [number(row, "delta_chi2") for row in rows_of(facts, "within")]
    wrong += [] if levels and levels == sorted(set(levels)) else ["the levels"]
    reasons = models.reasons
    for name, rows in (("all", [row for row in reasons if row]),
                       ("several", [row for row in reasons if len(row) > 1])):  # fmt: skip
        if not is_share(part(facts, "rejected", name), len(rows), len(reasons), 0, limits):
            wrong.append(f"rejected by {name}")
    said = {str(row.get("name")): row for row in rows_of(facts, "rejected", "filters")}
    for name in sorted({one for row in reasons for one in row} | set(said)):
        n, alone = sum(name in row for row in reasons), sum(row == (name,) for row in reasons)
        row = said.get(name, {})
        if row.get("n_only") != alone or not is_share(row, n, len(reasons), 0, limits):
            wrong.append(f"rejected by {name}")
    return _disagree(limits, wrong, "shares are not those of the table")


def _is_count(row: Row, n: int, n_all: int, _more: int, _limits: Limits) -> bool:
    """Say whether models that nobody drew are counted, and no share of the prior is made of it."""
    counted = (row.get("n"), row.get("n_all")) == (n, n_all)
    return counted and all(row.get(name, 0.0) is None for name in ("fraction", "low", "high"))


def _is_share(row: Row, n: int, n_all: int, more: int, limits: Limits) -> bool:
    rest = each_tail(_bound(limits, CONFIDENCE))
    low, high = number(row, "low"), number(row, "high")
    counted = (row.get("n"), row.get("n_all")) == (n, n_all)
    slack = _slack(limits)
    ends = is_bound(low, n, n_all, rest, slack) and is_bound(
        1.0 - high, n_all - n - more, n_all, rest, slack
    )
    return counted and ends and same(row.get("fraction"), n / n_all, slack)


# ---- cells


@check("campaign.counts", SURFACE, (DISAGREE,))
def counts(product: Product, limits: Limits) -> Outcome:
    """Are the models that are counted and named, those not converged too, those of the table?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    open_ = models.open
    found = {
        "n": models.number.size,
        "n_rejected": int(models.rejected.sum()),
        "n_evaluated": int(models.evaluated.sum()),
        "n_unconverged": int(open_.sum()),
    }
    wrong = [name for name, n in found.items() if part(facts, "counts").get(name) != n]
    settled = models.number[models.rejected | models.evaluated]
    n_model = number(part(facts, "campaign"), "n_model")
    every = np.arange(int(n_model)) if math.isfinite(n_model) else np.zeros(0, np.int64)
    absent = np.setdiff1d(every, settled)
    for name, numbers in (("unconverged", np.sort(models.number[open_])), ("missing", absent)):
        said = part(facts, name)
        named = said.get("numbers")
        listed = isinstance(named, list) and numbers[: len(named)].tolist() == named
        enough = isinstance(named, list) and (len(named) > 0) is (numbers.size > 0)
        if said.get("n") != numbers.size or not (listed and enough):
            wrong.append(name)
    if facts.get("complete") is not (absent.size == 0):
        wrong.append("complete")
    return _disagree(limits, wrong, "counts are not those of the table")


@check("campaign.cells", SURFACE, (DISAGREE, SLACK, FEW))
def cells(product: Product, limits: Limits) -> Outcome:
    """Are profiles and marginals those of the table, and those of few models flagged?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    again, slack = Again(models, facts), _slack(limits)
    wrong = [*uncovered(facts), *misplaced(facts, models)]
    for row in rows_of(facts, "profiles"):
        edges = (row.get("edges"),)
        if not again.agrees(row, (str(row.get("name")),), edges, limits[FEW], slack):
            wrong.append(str(row.get("name")))
    for row in rows_of(facts, "pairs"):
        names = (str(row.get("first")), str(row.get("second")))
        edges_ = (row.get("edges_first"), row.get("edges_second"))
        if not again.agrees(row, names, edges_, limits[FEW], slack):
            wrong.append(" and ".join(names))
    return _disagree(limits, wrong, "profiles are not those of the table")


@check("campaign.marginal", SURFACE, (DISAGREE, SLACK, FEW, "campaign.halves"))
def marginal(product: Product, limits: Limits) -> Outcome:
    """Is the marginal likelihood that of the table, and is it called known where it is?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    again = Again(models, facts)
    every = np.ones(models.number.size, np.bool_)
    parts = (every, again.half(first=True), again.half(first=False))
    whole, one, two = (again.summed(some, limits[FEW]) for some in parts)
    said = part(facts, "marginal")
    names, slack = ("n", "best", "log_mean", "log_mean_error", "effective"), _slack(limits)
    halves = rows_of(facts, "marginal", "halves")
    wrong = [name for name in names if not same(said.get(name), whole[name], slack)]
    pairs = zip(halves, (one, two), strict=False)
    alike = all(same(row.get(name), found[name], slack) for row, found in pairs for name in names)
    if len(halves) != len((one, two)) or not alike:
        wrong.append("the halves")
    error = math.hypot(one["log_mean_error"], two["log_mean_error"])
    apart = abs(one["log_mean"] - two["log_mean"])
    sigma = apart / error if error > 0 else (0.0 if apart == 0 else math.nan)
    if not same(said.get("halves_sigma"), sigma, math.sqrt(slack)):
        wrong.append("the distance of the halves")
    carried = min(found["effective"] for found in (whole, one, two))
    known = limits[FEW].accepts(carried) and limits["campaign.halves"].accepts(sigma)
    known = known and not part(facts, "missing").get("n")
    if said.get("converged") is not known or bool(said.get("reasons")) is known:
        wrong.append("whether it is known")
    return _disagree(limits, wrong, "numbers of the marginal are not those of the table")


# ---- the verdict


@check("campaign.best", SURFACE, (DISAGREE, SLACK))
def best(product: Product, limits: Limits) -> Outcome:
    """Is the best galaxy that of the table, and the reference it, where there is no other?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    said, slack = part(facts, "best"), _slack(limits)
    if not models.evaluated.any():
        return _disagree(limits, ["best"] if said else [], "numbers of the best galaxy are wrong")
    top = np.where(models.evaluated, models.log_likelihood, -np.inf)
    row = _first_of(models, top == top.max())
    reference = number(part(facts, "reference"), "log_likelihood")
    found = {
        "number": models.number[row],
        "log_likelihood": top[row],
        "chi2": models.column("chi2")[row],
        "delta_chi2": delta_chi2(top[row] - reference),
        "converged": models.converged[row],
    }
    wrong = [name for name, value in found.items() if not same(said.get(name), value, slack)]
    wrong += list(_unlike(models, row, rows_of(facts, "best", "parameters"), "", slack))
    wrong += list(_unlike(models, row, rows_of(facts, "best", "nuisances"), "nuisance_", slack))
    own = part(facts, "reference").get("kind") == DISC
    if own and not same(reference, top[row], slack):
        wrong.append("the reference")
    return _disagree(limits, wrong, "numbers of the best galaxy are wrong")


def _first_of(models: Models, some: Bools) -> int:
    rows = np.flatnonzero(some)
    return int(rows[np.argmin(models.number[rows])])


def _unlike(
    models: Models, row: int, said: Sequence[Row], prefix: str, slack: float
) -> Iterable[str]:
    for one in said:
        column = models.columns.get(f"{prefix}{one.get('name')}")
        if column is None or not same(one.get("value"), column[row], slack):
            yield str(one.get("name"))


@check("campaign.verdict", SURFACE, (DISAGREE, SLACK, *RULES))
def verdict(product: Product, limits: Limits) -> Outcome:
    """Does the verdict follow from the table, the calibration and the thresholds of the study?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    said = part(facts, "exclusion")
    found = _measured(facts, models)
    measured = part(facts, "exclusion", "measured")
    wrong = [n for n, v in found.items() if not same(measured.get(n), v, _slack(limits))]
    expected = _verdict(found, limits, prior=drawn(facts))
    if said.get("verdict") != expected:
        wrong.insert(0, f"{said.get('verdict')}, not {expected}")
    levels = [number(row, "delta_chi2") for row in rows_of(facts, "within")]
    own = part(facts, "reference").get("kind") == DISC
    literal = None
    if not own and levels and math.isfinite(found["delta_chi2"]):
        literal = found["delta_chi2"] > max(levels)
    if said.get("literal") is not literal:
        wrong.append("its literal answer")
    return _disagree(limits, wrong, "parts of the verdict do not follow")


def _measured(facts: Row, models: Models) -> dict[str, float]:
    """Give the numbers on which the verdict must rest."""
    refined = part(facts, "refined")
    rows = (refined, part(facts, "best"))
    levels = [number(row, "log_likelihood") for row in rows]
    best_ = max(filter(math.isfinite, levels), default=math.nan)
    own = number(refined, "chi2")
    found = [own, *models.column("chi2")[models.evaluated].tolist()]
    chi2 = min(filter(math.isfinite, found), default=math.nan)
    ends = refined.get("ends") if refined.get("converged") is True else None
    first, second, *_ = *(ends if isinstance(ends, list) else []), math.nan, math.nan
    free, tried = part(facts, "exclusion", "saturated"), part(facts, "exclusion", "calibration")
    base, dof = number(free, "chi2"), number(free, "dof")
    quantile, n_bow = number(tried, "quantile"), number(tried, "n_bow")
    n = int(models.evaluated.sum())
    open_ = int(models.open.sum())
    with np.errstate(invalid="ignore"):
        surviving = int(np.count_nonzero(models.column("chi2") - base <= quantile))
    return {
        "missing": number(part(facts, "missing"), "n"),
        "evaluated": n,
        "seen": _seen(part(facts, "exclusion", "field"), models),
        "delta_chi2": delta_chi2(best_ - number(part(facts, "reference"), "log_likelihood")),
        "chi2_best": chi2,
        "chi2_saturated": base,
        "chi2_saturated_reduced": base / dof,
        "t": chi2 - base,
        "quantile": quantile,
        "quantile_low": number(tried, "quantile_low"),
        "injections": number(tried, "n_disc"),
        "power": number(tried, "n_bow_rejected") / n_bow if n_bow > 0 else math.nan,
        "surviving": surviving,
        # Or a galaxy of the campaign is better than the best disc.
        "improvement": max(abs(delta_chi2(first - second)), own - chi2),
        "unconverged": open_ / n if n else math.nan,
    }


def _seen(field: Row, models: Models) -> float:
    """Count the galaxies with light in the cut-out; NaN where nobody says where that is."""
    low, high = number(field, "low_kpc"), number(field, "high_kpc")
    if not math.isfinite(low + high):
        return math.nan
    if not {"centre_kpc", "r_max_kpc"} <= set(models.columns):
        return 0.0
    near = models.column("centre_kpc") - models.column("r_max_kpc")
    far = models.column("centre_kpc") + models.column("r_max_kpc")
    return float(np.count_nonzero(models.evaluated & (near < high) & (far > low)))


def _verdict(found: Mapping[str, float], limits: Limits, *, prior: bool) -> str:
    if not limits["campaign.missing"].accepts(found["missing"]) or not found["evaluated"]:
        return NOT_EVALUATED
    calibrated = limits["campaign.injections"].accepts(found["injections"])
    if not (math.isfinite(found["t"]) and calibrated):
        return NOT_EVALUATED
    if not limits["campaign.saturated_chi2"].accepts(found["chi2_saturated_reduced"]):
        return INADEQUATE
    margin = found["t"] - found["quantile"]
    if margin <= 0.0:
        told = limits["campaign.power"].accepts(found["power"])
        # The best disc alone is no galaxy of the hypothesis, or by chance.
        told &= found["t"] <= found["quantile_low"] and found["surviving"] > 0
        return TENSION if told else UNINFORMATIVE
    searched = limits["campaign.unconverged"].accepts(found["unconverged"])
    enough = limits["campaign.evaluated"].accepts(found["seen"])
    # What somebody chose says nothing of the galaxies that it leaves out.
    trusted = prior and searched and enough and found["improvement"] < margin
    return CONFIRMED if trusted else UNINFORMATIVE


# ---- what is kept


@check("campaign.kept", SURFACE, (DISAGREE, SLACK))
def kept(product: Product, limits: Limits) -> Outcome:
    """Are the galaxies that are kept the best, and others that survive, with all their products?"""
    facts, models = document(product), models_of(product)
    if models is None:
        return NO_TABLE
    said, slack = part(facts, "kept"), _slack(limits)
    rows = rows_of(facts, "kept", "rows")
    reference = number(part(facts, "reference"), "log_likelihood")
    good = models.evaluated & models.converged
    order = np.lexsort((models.number, np.where(good, -models.log_likelihood, np.inf)))
    n_best, n_spread, level = (number(said, name) for name in ("n_best", "n_spread", "level"))
    if not math.isfinite(n_best + n_spread + level):
        return _disagree(limits, ["the rule"], "galaxies are not kept as they should be")
    top = models.number[order][: min(int(n_best), int(good.sum()))].tolist()
    listed = [row.get("number") for row in rows]
    wrong = [] if listed[: len(top)] == top else ["the best"]
    if len(set(listed)) != len(listed):
        wrong.append("one that is kept twice")
    delta = delta_chi2(models.log_likelihood - reference)
    survive = set(models.number[good & (delta <= level)].tolist())
    others = set(listed[len(top) :])
    wanted = min(int(n_spread), len(survive - set(top)))
    if not others <= survive or len(others) != wanted:
        wrong.append("the others")
    if level != max((number(row, "delta_chi2") for row in rows_of(facts, "within")), default=None):
        wrong.append("the level")
    for row in rows:
        at = np.flatnonzero(models.number == row.get("number"))
        told = at.size == 1 and same(row.get("delta_chi2"), delta[at[0]], slack)
        told = told and row.get("survives") is bool(delta[at[0]] <= level)
        if not told or list(_unlike(models, int(at[0]), rows_of(row, "parameters"), "", slack)):
            wrong.append(f"model {row.get('number')}")
    wrong += _unkept(product, facts, rows)
    return _disagree(limits, wrong, "galaxies are not kept as they should be")


def _unkept(product: Product, facts: Row, rows: Sequence[Row]) -> list[str]:
    """Name the products of kept galaxies that are not there, and those that are and should not."""
    label = str(part(facts, "campaign").get("label"))
    ranks = {f"{label}-{int(number(row, 'rank')):02d}" for row in rows}
    wrong = []
    for name in KEPT:
        found = {one.stem.partition("-")[-1] for one in product.folder.siblings(product.item, name)}
        mine = {part for part in found if part.rpartition("-")[0] == label}
        wrong += [f"{name}-{part}" for part in sorted(ranks ^ mine)]
    return wrong
