"""Are the posteriors of shocks numbers that can be, and do the verdicts follow from them?

The judge draws every verdict again, from the numbers in the product and the thresholds of
acceptance.toml; it fits nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from itertools import product as product_of
from typing import Any, Final

from ard import layout
from checks.folder import Product
from checks.load import document, number, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed, passed, skipped
from manifests.shocks import load_shocks

TABLE: Final = of_kind("table", layout.SHOCKS)
VERDICTS: Final = of_kind("document", layout.SHOCK_VERDICTS)
PRIORS: Final = ("log_shifted", "flat", "log")
FIXED: Final = "fixed"
OWN: Final = "per line"
QUANTILES: Final = ("v_p025", "v_p160", "v_p500", "v_p840", "v_p975")
EDGES: Final = ("edge_low", "edge_high")
METALS: Final = ("p_metal_poor", "p_metal_poor_prior")
PROBABILITIES: Final = (*EDGES, *METALS, "p_predictive")
NUMBERS: Final = (*QUANTILES, *PROBABILITIES, "information_nat", "chi2_min", "log_evidence")
RIVAL: Final = ("low", "high")
BOUNDED: Final = ("information_nat", "chi2_min")  # they cannot be negative
GATES: Final = (
    *("p_predictive", "information", "geometry_information", "interval_width"),
    *("edge_mass", "p_metal_poor"),
)
RULES: Final = tuple(f"shock.{name}" for name in GATES)
SLACK: Final = "shocks.rounding"
AGAIN: Final = "correct the stage that writes it"
NOT_EVALUATED: Final = "NOT EVALUATED"
INADEQUATE: Final = "MODEL-INADEQUATE"
TENSION: Final = "IN TENSION"
UNINFORMATIVE: Final = "UNINFORMATIVE"
CONFIRMED: Final = "CONFIRMED"

EMPTY: Final = skipped("there is nothing to judge", "give the stage apertures with line fluxes")

type Row = Mapping[str, Any]


def _rows(product: Product) -> list[dict[str, Any]]:
    columns, _ = table_columns(product)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _listed(facts: Row, name: str) -> list[dict[str, Any]]:
    rows = facts.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _sibling(product: Product, item: str | None, name: str) -> Product | None:
    found = product.folder.siblings(item, name)
    return found[0] if found and found[0].facts is not None else None


def _first(names: list[str]) -> str:
    return f", first {names[0]}" if names else ""


def _slack(limits: Limits) -> float:
    value = limits[SLACK].value
    return value[-1] if isinstance(value, tuple) else value


@check("shocks.complete", TABLE, ("shocks.missing_rows",))
def complete(product: Product, limits: Limits) -> Outcome:
    """Has every spectrum of the item a posterior under each prior and each floor, once?"""
    fluxes = _sibling(product, product.item, layout.FLUXES)
    if fluxes is None:
        return skipped("the fluxes of the apertures are not there", "see structure.inventory")
    columns, _ = table_columns(fluxes)
    pairs = zip(columns["aperture"], columns["method"], strict=True)
    spectra = sorted({f"{aperture}/{method}" for aperture, method in pairs})
    found = Counter((row["spectrum"], row["prior"], row["floor"]) for row in _rows(product))
    priors = (*PRIORS, FIXED) if any(prior == FIXED for _, prior, _ in found) else PRIORS
    wanted = Counter(_keys(spectra, priors))
    off = ["/".join(key) for key in sorted((wanted - found) + (found - wanted))]
    detail = f"{len(off)} rows are missing or too many" + _first(off)
    return compare(limits["shocks.missing_rows"], len(off), detail, AGAIN)


def _keys(spectra: list[str], priors: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    floors = (OWN, *(f"{floor:g}" for floor in load_shocks().floors_dex))
    return product_of(spectra, priors, floors)


@check("shocks.values", TABLE, ("shocks.bad_values", SLACK))
def values(product: Product, limits: Limits) -> Outcome:
    """Are probabilities between 0 and 1, quantiles in order, and numbers missing together?

    Of metals nothing is known either where the O/H of an abundance set is not.
    """
    slack = _slack(limits)
    bad, rows = 0, _rows(product)
    if not rows:
        return EMPTY
    for row in rows:
        numbers = {name: float(row[name]) for name in NUMBERS}
        known = {name: math.isfinite(value) for name, value in numbers.items()}
        others = [known[name] for name in NUMBERS if name not in METALS]
        if not all(others):
            bad += any(known.values())
            continue
        if known[METALS[0]] is not known[METALS[-1]]:
            bad += 1
            continue
        given = [numbers[name] for name in PROBABILITIES if known[name]]
        inside = all(-slack <= value <= 1 + slack for value in given)
        ordered = all(numbers[a] <= numbers[b] for a, b in pairwise(QUANTILES))
        bounded = all(numbers[name] >= -slack for name in BOUNDED)
        bad += not (inside and ordered and bounded)
    return compare(limits["shocks.bad_values"], bad, f"{bad} rows cannot be", AGAIN)


@check("shocks.range", TABLE, ("shocks.outside",))
def inside(product: Product, limits: Limits) -> Outcome:
    """Do all intervals of the velocity lie where the grid has models?"""
    said = _sibling(product, product.item, layout.SHOCK_VERDICTS)
    if said is None:
        return skipped("the verdicts are not there", "see structure.inventory")
    grid = document(said).get("grid")
    ends = [number(grid if isinstance(grid, dict) else {}, n) for n in ("v_low_kms", "v_high_kms")]
    if not all(map(math.isfinite, ends)):
        return failed("the verdicts do not say where the models are", AGAIN)
    rows = _rows(product)
    if not rows:
        return EMPTY
    speeds = [float(row[name]) for row in rows for name in QUANTILES]
    known = [speed for speed in speeds if math.isfinite(speed)]
    off = max((max(ends[0] - v, v - ends[1]) for v in known), default=-math.inf)
    detail = f"{len(known)} quantiles, models from {ends[0]:.0f} to {ends[1]:.0f} km/s"
    if not known:
        return passed(f"{detail}: there is no posterior")
    return compare(limits["shocks.outside"], max(off, 0.0), detail, AGAIN)


@check("shocks.edges", TABLE, ("shocks.disagreements", "shock.edge_mass"))
def edges(product: Product, limits: Limits) -> Outcome:
    """Is an interval called one-sided where, and only where, it is?"""
    wrong, rows = 0, _rows(product)
    if not rows:
        return EMPTY
    for row in rows:
        near = max(float(row[name]) for name in EDGES)
        limited = math.isfinite(near) and not limits["shock.edge_mass"].accepts(near)
        wrong += row["edge_limited"] is not limited
    detail = f"{wrong} flags do not follow from the probabilities at the edges"
    return compare(limits["shocks.disagreements"], wrong, detail, AGAIN)


@check("shocks.sets", VERDICTS, ("shocks.disagreements", SLACK))
def sets(product: Product, limits: Limits) -> Outcome:
    """Do the probabilities of the abundance sets sum to 1, and those poor in metals as said?

    Before the data less than half solar was sure where all sets have that, and impossible where
    none has.
    """
    facts, slack = document(product), _slack(limits)
    if not (_listed(facts, "verdicts") or _listed(facts, "spectra")):
        return EMPTY
    said = {row.get("spectrum"): _measured(row) for row in _of(facts, "C3")}
    wrong = []
    for row in _listed(facts, "spectra"):
        name, shares = row.get("spectrum"), _listed(row, "sets")
        poor = number(said.get(name, {}), "p_metal_poor")
        if not shares and math.isnan(poor) and name in said:
            continue
        each = [number(one, "probability") for one in shares]
        whole = math.fsum(each)
        part = math.fsum(p for p, one in zip(each, shares, strict=True) if one.get("metal_poor"))
        possible = all(-slack <= p <= 1 + slack for p in each)
        flags = {one.get("metal_poor") for one in shares}
        before = number(said.get(name, {}), "p_metal_poor_prior")
        if None in flags:
            follows = math.isnan(poor) and math.isnan(before)
        else:
            least, most = float(flags == {True}), 1.0 - float(flags == {False})
            follows = abs(part - poor) <= slack and least - slack <= before <= most + slack
        if not (possible and abs(whole - 1) <= slack and follows):
            wrong.append(str(name))
    if set(said) != {row.get("spectrum") for row in _listed(facts, "spectra")}:
        wrong.append("the list of spectra")
    detail = f"probabilities of sets are wrong in {len(wrong)}" + "".join(
        f": {n}" for n in wrong[:1]
    )
    return compare(limits["shocks.disagreements"], len(wrong), detail, AGAIN)


def _of(facts: Row, criterion: str) -> list[dict[str, Any]]:
    return [row for row in _listed(facts, "verdicts") if row.get("criterion") == criterion]


def _measured(row: Row) -> dict[str, float]:
    """Give the numbers of a verdict; what is null is not a number."""
    found = row.get("measured")
    given = found if isinstance(found, dict) else {}
    return {name: number(given, name) for name in given}


@check("shocks.measured", VERDICTS, ("shocks.disagreements", SLACK, *RULES))
def measured(product: Product, limits: Limits) -> Outcome:
    """Has every spectrum all verdicts, on the numbers of its rows in the table?"""
    table = _sibling(product, product.item, layout.SHOCKS)
    if table is None:
        return skipped("the table of posteriors is not there", "see structure.inventory")
    rows = {(r["spectrum"], r["prior"], r["floor"]): r for r in _rows(table)}
    facts, slack = document(product), _slack(limits)
    if not (rows or _listed(facts, "verdicts")):
        return EMPTY
    fixed = any(prior == FIXED for _, prior, _ in rows)
    wanted = set(product_of({key[0] for key in rows}, ("C1", "C3", *(["T1"] if fixed else []))))
    said = [(row.get("spectrum"), row.get("criterion")) for row in _listed(facts, "verdicts")]
    wrong = [f"{s} {c}" for s, c in wanted ^ set(said)]
    wrong += ["a verdict twice"] * (len(said) - len(set(said)))
    for row in _listed(facts, "verdicts"):
        name, criterion = row.get("spectrum"), str(row.get("criterion"))
        own = {key[1:]: one for key, one in rows.items() if key[0] == name}
        found = _measured(row)
        known = _expected(criterion, own) | _otherwise(criterion, own, row, limits)
        if criterion == "T1":
            known |= _allowed(facts)
            declared = load_shocks().v_virial_kms
            if (declared is None) is not ("v_virial_kms" not in found):
                wrong.append(f"{name} {criterion}")
            known |= {} if declared is None else {"v_virial_kms": declared}
        if any(not _same(found.get(name, math.inf), v, slack) for name, v in known.items()):
            wrong.append(f"{name} {criterion}")
    detail = f"{len(wrong)} verdicts do not rest on the table" + "".join(
        f": {n}" for n in wrong[:1]
    )
    return compare(limits["shocks.disagreements"], len(wrong), detail, AGAIN)


def _expected(criterion: str, own: Mapping[tuple[str, str], Row]) -> dict[str, float]:
    """Give what a verdict must have measured, by the rows of its spectrum in the table."""
    first, fixed = own.get((PRIORS[0], OWN), {}), own.get((FIXED, OWN), {})
    if criterion == "C3":
        return _of_metals(first)
    if criterion == "C1":
        return _of_speeds(first)
    names = {"v_low": QUANTILES[0], "v_high": QUANTILES[-1]}
    ends = {f"{name}_kms": number(first, column) for name, column in names.items()}
    ends |= {f"{name}_fixed_kms": number(fixed, column) for name, column in names.items()}
    ends |= {name: number(first, name) for name in (*EDGES, "p_predictive")}
    return ends | {f"{name}_fixed": number(fixed, name) for name in EDGES}


def _of_metals(row: Row) -> dict[str, float]:
    return {name: number(row, name) for name in (*METALS, "p_predictive")}


def _of_speeds(row: Row) -> dict[str, float]:
    low, high = (number(row, name) for name in (QUANTILES[0], QUANTILES[-1]))
    own = {name: number(row, name) for name in (*BOUNDED, *EDGES, "p_predictive")}
    width = math.log10(high / low) if low > 0 and high > 0 else math.nan
    return {"v_low_kms": low, "v_high_kms": high, **own, "interval_width_dex": width}


def _allowed(facts: Row) -> dict[str, float]:
    """Give the velocities that the prior allows: those of the models that are trusted."""
    grid = facts.get("grid")
    low, high = (number(grid if isinstance(grid, dict) else {}, f"v_{n}_kms") for n in RIVAL)
    return {"v_allowed_low_kms": max(low, load_shocks().v_min_kms), "v_allowed_high_kms": high}


def _otherwise(
    criterion: str, own: Mapping[tuple[str, str], Row], row: Row, limits: Limits
) -> dict[str, float]:
    """Count under how many other priors and floors the criterion ends otherwise."""
    if criterion == "T1":
        return {}
    given = {name: value for name, value in _measured(row).items() if name.startswith("geometry")}
    others = [one for key, one in own.items() if key != (PRIORS[0], OWN)]
    if criterion == "C3":
        gates = [_metals(_of_metals(one), limits)[0] for one in others]
    else:
        gates = [_velocity(given | _of_speeds(one), limits)[0] for one in others]
    return {"rows_otherwise": float(sum(gate != row.get("verdict") for gate in gates))}


def _same(one: float, other: float, slack: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(
        one, other, rel_tol=slack, abs_tol=slack
    )


@check("shocks.verdicts", VERDICTS, ("shocks.disagreements", *RULES))
def verdicts(product: Product, limits: Limits) -> Outcome:
    """Does every verdict follow from its own numbers and the thresholds of the study?"""
    facts = document(product)
    if not _listed(facts, "verdicts"):
        return EMPTY
    geometry = facts.get("geometry_kms")
    given = bool(geometry) if isinstance(geometry, list) else False
    apertures = facts.get("geometry_apertures")
    only = apertures if isinstance(apertures, list) else []
    judges: dict[str, Callable[[Row, Limits], tuple[str, bool | None]]]
    judges = {"C1": _velocity, "C3": _metals, "T1": _field}
    wrong = []
    for row in _listed(facts, "verdicts"):
        found, name = _measured(row), str(row.get("criterion"))
        compared = name == "C1" and math.isfinite(found.get("v_low_kms", math.nan))
        here = given and (not only or str(row.get("spectrum")).partition("/")[0] in only)
        unlike = compared and here is not math.isfinite(found.get("geometry_low_kms", math.nan))
        expected = judges[name](found, limits) if name in judges else ("", None)
        if unlike or (row.get("verdict"), row.get("literal")) != expected:
            wrong.append(f"{row.get('spectrum')} {name} is {row.get('verdict')}, not {expected[0]}")
    detail = f"{len(wrong)} verdicts do not follow" + _first(wrong)
    return compare(limits["shocks.disagreements"], len(wrong), detail, AGAIN)


def _velocity(found: Row, limits: Limits) -> tuple[str, bool | None]:
    low, high = number(found, "v_low_kms"), number(found, "v_high_kms")
    if not math.isfinite(low):
        return NOT_EVALUATED, None
    _, *gradient = load_shocks().gradient_kms
    literal = low <= gradient[1] and high >= gradient[0]
    return _gate(found, low, high, limits), literal


def _gate(found: Row, low: float, high: float, limits: Limits) -> str:
    rival = [number(found, f"geometry_{end}_kms") for end in RIVAL]
    if not all(map(math.isfinite, rival)):
        return NOT_EVALUATED
    if not limits["shock.p_predictive"].accepts(number(found, "p_predictive")):
        return INADEQUATE
    told = number(found, "geometry_information_nat")
    if math.isfinite(told) and not limits["shock.geometry_information"].accepts(told):
        return UNINFORMATIVE
    closed = [limits["shock.edge_mass"].accepts(number(found, name)) for name in EDGES]
    # Beyond an edge with much of the probability there are no models to say no.
    if (closed[0] and rival[1] < low) or (closed[1] and rival[0] > high):
        return TENSION
    tells = limits["shock.information"].accepts(number(found, "information_nat"))
    narrow = limits["shock.interval_width"].accepts(number(found, "interval_width_dex"))
    return CONFIRMED if all(closed) and (tells or narrow) else UNINFORMATIVE


def _metals(found: Row, limits: Limits) -> tuple[str, bool | None]:
    share, before = (number(found, name) for name in METALS)
    enough = limits["shock.p_metal_poor"]
    if not math.isfinite(share):
        return NOT_EVALUATED, None
    poor, excluded = enough.accepts(share), enough.accepts(1 - share)
    # What was sure before the data is nothing that lines have said; unknown, it may have been.
    sure = not math.isfinite(before) or (
        (poor and enough.accepts(before)) or (excluded and enough.accepts(1 - before))
    )
    literal = None if sure else not excluded
    if not limits["shock.p_predictive"].accepts(number(found, "p_predictive")):
        return INADEQUATE, literal
    gate = CONFIRMED if poor else TENSION if excluded else UNINFORMATIVE
    return UNINFORMATIVE if sure else gate, literal


def _field(found: Row, limits: Limits) -> tuple[str, bool | None]:
    virial, low = number(found, "v_virial_kms"), number(found, "v_low_kms")
    ends = [number(found, f"v_allowed_{end}_kms") for end in RIVAL]
    if not (math.isfinite(virial) and math.isfinite(low) and ends[0] <= virial <= ends[1]):
        return NOT_EVALUATED, None
    within = low <= virial <= number(found, "v_high_kms")
    if not limits["shock.p_predictive"].accepts(number(found, "p_predictive")):
        return INADEQUATE, within
    if _possible(found, "_fixed", limits):
        return UNINFORMATIVE, within
    if within:
        return CONFIRMED, within
    return UNINFORMATIVE if _possible(found, "", limits) else TENSION, within


def _possible(found: Row, which: str, limits: Limits) -> bool:
    """Say whether the virial velocity is in an interval that is open where much is at an edge."""
    low, high = (number(found, f"v_{end}{which}_kms") for end in RIVAL)
    closed = [limits["shock.edge_mass"].accepts(number(found, f"{n}{which}")) for n in EDGES]
    v = number(found, "v_virial_kms")
    return (low <= v or not closed[0]) and (v <= high or not closed[1])


@check("shocks.grid", VERDICTS)
def grid(product: Product, _: Limits) -> Outcome:
    """Were these the models that the run has a record of, and no closed form for observed data?"""
    mine = document(product).get("grid")
    mine = mine if isinstance(mine, dict) else {}
    kept = _sibling(product, None, layout.SHOCK_GRID)
    if kept is None:
        return skipped("the record of the models is not there", "see structure.inventory")
    names = ("code", "version", "project", "component", "synthetic", "content_sha256")
    other = [name for name in names if mine.get(name) != document(kept).get(name)]
    if other:
        return failed(f"{', '.join(other)}: not as in the record of the models", "run again")
    simulated = (product.folder.document or {}).get("simulated")
    if mine.get("synthetic") is not False and simulated is not True:
        remedy = "name a real grid in the configuration (shocks.grid), and run again"
        return failed("observed lines were compared with a closed form", remedy)
    return passed(f"{mine.get('code')} {mine.get('version')}, {mine.get('project')}")
