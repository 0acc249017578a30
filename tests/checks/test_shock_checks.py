"""Does the judge see what is wrong with posteriors of shocks and with verdicts?

Oracle: construction; what the stage makes of a table of fluxes, and one planted fault each.
"""

import copy
import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shock_runs import FAINT, OTHER, SHOCK, fluxes, made

from ard import layout
from checks import shocks as family
from checks.result import Status
from manifests import load_acceptance
from manifests.shocks import load_shocks

ACCEPTANCE = load_acceptance()
LIMITS = {n: ACCEPTANCE.limit(n) for n in ACCEPTANCE.ids if n.startswith(("shocks.", "shock."))}
TABLE = (family.complete, family.values, family.inside, family.edges)
DOCUMENT = (family.sets, family.measured, family.verdicts, family.grid)


@dataclass
class Made:
    """A product, and the folder it lies in."""

    content: Any
    folder: Any = None
    item: str = "t001"
    facts: dict[str, str] = field(default_factory=dict)


def columns(table):
    data = table.data
    return {
        n: list(np.ma.filled(np.ma.asarray(data[n]).astype(object), np.nan)) for n in data.colnames
    }


@pytest.fixture
def judge(monkeypatch):
    """Judge the products, which a change is made to."""
    monkeypatch.setattr(family, "document", lambda product: product.content)
    monkeypatch.setattr(family, "table_columns", lambda product: (product.content, {}))

    def judged(check, change=lambda products: None, *, low=430.0, **more):
        simulated = more.get("simulated", True)
        run = made(low, **more)
        products = copy.deepcopy(
            {
                layout.FLUXES: columns(fluxes()),
                layout.SHOCKS: columns(run["table"]["t001"]),
                layout.SHOCK_VERDICTS: run["verdicts"]["t001"],
                layout.SHOCK_GRID: run["grid"],
            }
        )
        change(products)
        folder = SimpleNamespace(
            document={"simulated": simulated},
            siblings=lambda item, name: (Made(products[name]),) if name in products else (),
        )
        mine = layout.SHOCKS if check in TABLE else layout.SHOCK_VERDICTS
        return check(Made(products[mine], folder), LIMITS)

    return judged


@pytest.mark.parametrize("check", [*TABLE, *DOCUMENT])
@pytest.mark.parametrize("low", [None, 430.0, 20.0])
def test_what_the_stage_makes_passes(judge, check, low):
    outcome = judge(check, low=low)
    assert outcome.status is Status.PASSED, outcome.detail


@pytest.mark.parametrize("low", [430.0, 20.0])
@pytest.mark.parametrize("known", [True, False])
def test_what_the_geometry_tells_decides_too(judge, low, known):
    assert judge(family.verdicts, low=low, known=known).status is Status.PASSED
    wrong = measured(SHOCK, "C1", "geometry_information_nat", 0.2 if known else 3.0)
    expected = Status.PASSED if low == 430.0 else Status.FAILED  # lines say too little as well
    assert judge(family.verdicts, wrong, low=low, known=known).status is expected


@pytest.mark.parametrize(("mine", "claimed"), [("tip", "wake1"), ("wake1", "tip")])
def test_the_geometry_of_an_aperture_is_compared_with_no_other(judge, mine, claimed):
    def claim(products):
        products[layout.SHOCK_VERDICTS]["geometry_apertures"] = [claimed]

    assert judge(family.verdicts, apertures=(mine,)).status is Status.PASSED
    assert judge(family.verdicts, claim, apertures=(mine,)).status is Status.FAILED


def cell(name, value, row=0):
    def change(products):
        products[layout.SHOCKS][name][row] = value

    return change


def lose_row(products):
    for column in products[layout.SHOCKS].values():
        del column[3]


def lose_spectrum(products):
    table = products[layout.SHOCKS]
    kept = [k for k, name in enumerate(table["spectrum"]) if name != OTHER]
    for name, column in table.items():
        table[name] = [column[k] for k in kept]


def flip(products):
    table = products[layout.SHOCKS]
    table["edge_limited"][0] = not table["edge_limited"][0]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (family.complete, lose_row),
        (family.complete, lose_spectrum),
        (family.complete, cell("floor", "0.3")),
        (family.complete, cell("prior", "flat")),
        (family.values, cell("edge_low", 1.1)),
        (family.values, cell("p_predictive", -0.1)),
        (family.values, cell("v_p160", 9000.0)),
        (family.values, cell("chi2_min", -1.0)),
        (family.values, cell("information_nat", np.nan)),
        (family.inside, cell("v_p975", 1001.0)),
        (family.inside, cell("v_p025", 99.0)),
        (family.edges, flip),
        (family.edges, cell("edge_high", 0.9)),
    ],
)
def test_a_fault_in_the_table_is_seen(judge, check, change):
    outcome = judge(check, change)
    assert outcome.status is Status.FAILED
    assert outcome.detail
    assert outcome.remedy


def row_of(products, spectrum, criterion):
    rows = products[layout.SHOCK_VERDICTS]["verdicts"]
    return next(r for r in rows if (r["spectrum"], r["criterion"]) == (spectrum, criterion))


def verdict(spectrum, criterion, value):
    return lambda products: row_of(products, spectrum, criterion).update(verdict=value)


def measured(spectrum, criterion, name, value):
    return lambda products: row_of(products, spectrum, criterion)["measured"].update({name: value})


def share(products):
    products[layout.SHOCK_VERDICTS]["spectra"][0]["sets"][0]["probability"] += 0.1


def poor(products):
    for one in products[layout.SHOCK_VERDICTS]["spectra"][0]["sets"]:
        one["metal_poor"] = not one["metal_poor"]


def all_poor(products):
    """Sets that are all poor, and lines that are said to have shown it."""
    for one in products[layout.SHOCK_VERDICTS]["spectra"][0]["sets"]:
        one["metal_poor"] = True
    row_of(products, SHOCK, "C3")["measured"]["p_metal_poor"] = 1.0


def no_sets(products):
    products[layout.SHOCK_VERDICTS]["spectra"][0]["sets"] = []


def lose_verdict(products):
    del products[layout.SHOCK_VERDICTS]["verdicts"][0]


def twice(products):
    rows = products[layout.SHOCK_VERDICTS]["verdicts"]
    rows.append(rows[0])


def literal(products):
    row = row_of(products, SHOCK, "C1")
    row["literal"] = not row["literal"]


def forgotten(products):
    products[layout.SHOCK_VERDICTS]["geometry_kms"] = []


def other_grid(products):
    products[layout.SHOCK_GRID]["content_sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (family.sets, share),
        (family.sets, poor),
        (family.sets, no_sets),
        (family.sets, lambda products: products[layout.SHOCK_VERDICTS]["spectra"].pop()),
        (family.measured, lose_verdict),
        (family.measured, twice),
        (family.measured, measured(SHOCK, "C1", "v_low_kms", 450.0)),
        (family.measured, measured(SHOCK, "C1", "p_predictive", None)),
        (family.measured, measured(OTHER, "C3", "p_metal_poor", 0.5)),
        (family.measured, measured(SHOCK, "T1", "v_low_fixed_kms", 1.0)),
        (family.measured, measured(FAINT, "C1", "v_low_kms", 450.0)),
        (family.measured, measured(SHOCK, "C1", "rows_otherwise", 19.0)),
        (family.measured, measured(OTHER, "C3", "rows_otherwise", None)),
        (family.measured, measured(SHOCK, "C3", "p_metal_poor_prior", 0.6)),
        (family.measured, measured(SHOCK, "T1", "v_allowed_low_kms", 100.0)),
        (family.measured, measured(SHOCK, "T1", "edge_low_fixed", 0.9)),
        (family.sets, all_poor),
        (family.sets, measured(SHOCK, "C3", "p_metal_poor_prior", None)),
        (family.verdicts, verdict(SHOCK, "C1", "CONFIRMED")),
        (family.verdicts, verdict(OTHER, "C1", "UNINFORMATIVE")),
        (family.verdicts, verdict(OTHER, "C3", "CONFIRMED")),
        (family.verdicts, verdict(FAINT, "C1", "CONFIRMED")),
        (family.verdicts, verdict(SHOCK, "T1", "CONFIRMED")),
        (family.verdicts, literal),
        (family.verdicts, forgotten),
        (family.grid, other_grid),
    ],
)
def test_a_fault_in_the_verdicts_is_seen(judge, check, change):
    outcome = judge(check, change)
    assert outcome.status is Status.FAILED
    assert outcome.detail
    assert outcome.remedy


def empty(products):
    for name in (layout.SHOCKS, layout.FLUXES):
        products[name] = {column: [] for column in products[name]}
    products[layout.SHOCK_VERDICTS].update(spectra=[], verdicts=[])


@pytest.mark.parametrize("check", [*TABLE[1:], *DOCUMENT[:-1]])
def test_what_holds_nothing_is_not_passed(judge, check):
    assert judge(check, empty).status is Status.SKIPPED


def test_a_closed_form_is_no_grid_for_observed_lines(judge):
    outcome = judge(family.grid, simulated=False)
    assert outcome.status is Status.FAILED
    assert "closed form" in outcome.detail


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({}, "CONFIRMED"),
        ({"information_nat": 0.5}, "CONFIRMED"),
        ({"information_nat": 0.5, "interval_width_dex": 0.5}, "UNINFORMATIVE"),
        ({"p_predictive": 0.01}, "MODEL-INADEQUATE"),
        ({"geometry_high_kms": 200.0, "geometry_low_kms": 100.0}, "IN TENSION"),
        ({"geometry_low_kms": 900.0, "geometry_high_kms": 990.0}, "IN TENSION"),
        (
            {"geometry_low_kms": 900.0, "geometry_high_kms": 990.0, "edge_high": 0.2},
            "UNINFORMATIVE",
        ),
        ({"geometry_low_kms": float("nan")}, "NOT EVALUATED"),
        ({"v_low_kms": float("nan")}, "NOT EVALUATED"),
    ],
)
def test_the_judge_draws_the_verdict_of_the_study(changes, gate):
    """Oracle: the order of questions in docs/shock_inference.md."""
    good = {
        "v_low_kms": 400.0, "v_high_kms": 600.0, "geometry_low_kms": 450.0,
        "geometry_high_kms": 550.0, "p_predictive": 0.5, "information_nat": 1.5,
        "interval_width_dex": 0.18, "edge_low": 0.0, "edge_high": 0.0,
    }  # fmt: skip
    assert family._velocity(good | changes, LIMITS)[0] == gate


@pytest.mark.parametrize(
    ("before", "share", "fit", "gate"),
    [
        (0.6, 0.99, 0.5, ("CONFIRMED", True)),
        (0.6, 0.5, 0.5, ("UNINFORMATIVE", True)),
        (0.6, 0.01, 0.5, ("IN TENSION", False)),
        (0.6, 0.99, 0.01, ("MODEL-INADEQUATE", True)),
        # Sure before any line was seen, or not said.
        (1.0, 1.0, 0.5, ("UNINFORMATIVE", None)),
        (0.0, 0.0, 0.5, ("UNINFORMATIVE", None)),
        (0.0, 0.0, 0.01, ("MODEL-INADEQUATE", None)),
        (None, 0.99, 0.5, ("UNINFORMATIVE", None)),
        (0.97, 0.01, 0.5, ("IN TENSION", False)),
    ],
)
def test_the_judge_draws_the_verdict_on_metals(before, share, fit, gate):
    found = {"p_metal_poor": share, "p_metal_poor_prior": before, "p_predictive": fit}
    assert family._metals(found, LIMITS) == gate


@pytest.mark.parametrize(
    ("virial", "changes", "gate"),
    [
        (350.0, {}, "CONFIRMED"),
        (350.0, {"p_predictive": 0.01}, "MODEL-INADEQUATE"),
        (450.0, {}, "UNINFORMATIVE"),
        (160.0, {}, "IN TENSION"),
        (None, {}, "NOT EVALUATED"),
        (100.0, {}, "NOT EVALUATED"),  # no model has it
        (160.0, {"edge_low": 0.06}, "UNINFORMATIVE"),
        (350.0, {"edge_low_fixed": 0.06}, "UNINFORMATIVE"),
        (700.0, {"edge_low": 0.06}, "IN TENSION"),
    ],
)
def test_the_judge_draws_the_verdict_on_the_field(virial, changes, gate):
    good = {
        "v_low_kms": 300.0, "v_high_kms": 600.0, "p_predictive": 0.5,
        "v_low_fixed_kms": 400.0, "v_high_fixed_kms": 500.0, "v_virial_kms": virial,
        "v_allowed_low_kms": 150.0, "v_allowed_high_kms": 1000.0,
        **dict.fromkeys(("edge_low", "edge_high", "edge_low_fixed", "edge_high_fixed"), 0.0),
    }  # fmt: skip
    assert family._field(good | changes, LIMITS)[0] == gate


def test_metals_may_be_unknown_alone(judge):
    """As of a grid that does not say its O/H; but not the one probability without the other."""

    def unknown(*names):
        def change(products):
            table = products[layout.SHOCKS]
            for name in names:
                table[name] = [np.nan] * len(table[name])

        return change

    both = judge(family.values, unknown("p_metal_poor", "p_metal_poor_prior"))
    assert both.status is Status.PASSED
    assert judge(family.values, unknown("p_metal_poor")).status is Status.FAILED


def test_the_judge_holds_the_virial_velocity_against_the_declared_one(judge, monkeypatch):
    virial = measured(SHOCK, "T1", "v_virial_kms", 400.0)
    assert judge(family.measured, virial).status is Status.FAILED
    assumed = dataclasses.replace(load_shocks(), v_virial_kms=400.0)
    monkeypatch.setattr(family, "load_shocks", lambda: assumed)
    assert judge(family.measured).status is Status.FAILED
    for check in DOCUMENT:
        assert judge(check, v_virial_kms=400.0).status is Status.PASSED, check
    assert judge(family.measured, virial, v_virial_kms=300.0).status is Status.FAILED
