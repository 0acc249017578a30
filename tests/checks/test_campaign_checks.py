"""Does the judge see what is wrong with what is said of a campaign?

Oracle: construction; what the export says of a table of evaluations, and one planted fault each.
"""

import copy
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from campaigns import (
    BEST,
    CALIBRATION,
    CHI2,
    LABEL,
    OF_A_TABLE,
    REFINED,
    document_of,
    gaussian,
)

from ard import layout
from checks import campaign as family
from checks import evaluations as table
from checks.result import Status
from manifests import load_acceptance
from pipeline.falsify.surface.exclusion import Field, Saturated
from pipeline.falsify.surface.table import BETWEEN, NUISANCE

ACCEPTANCE = load_acceptance()
LIMITS = {n: ACCEPTANCE.limit(n) for n in ACCEPTANCE.ids if n.startswith("campaign.")}
OF_TABLE = (family.complete, family.values)
OF_SURFACE = (
    *(family.conflicts, family.shares, family.counts, family.cells, family.marginal),
    *(family.best, family.verdict, family.kept),
)
EVERY = (*OF_TABLE, *OF_SURFACE)
N = 420


@dataclass
class Made:
    """A product, and the folder it lies in."""

    content: Any
    product: str
    stem: str
    folder: Any = None
    item: str = "t001"
    facts: dict[str, str] = field(default_factory=dict)


def columns(models):
    rejected = [BETWEEN.join(row) for row in models.reasons]
    nuisances = {f"{NUISANCE}{name}": values for name, values in models.nuisances.items()}
    found = {
        "number": models.number,
        "rejected_by": rejected,
        "log_likelihood": models.log_likelihood,
        "chi2": models.chi2,
        "converged": models.converged,
        **models.parameters,
        **models.facts,
        **nuisances,
    }
    return {name: np.asarray(values).tolist() for name, values in found.items()}


@cache
def made(**how):
    models = gaussian(N, rejected=how.pop("rejected", True))
    if how.pop("table", False):
        how["settings"] = OF_A_TABLE
    if how.pop("alone", False):  # a disc survives, and no galaxy
        how["refined"] = replace(REFINED, log_likelihood=BEST + 50.0, chi2=CHI2 - 100.0)
    return columns(models), document_of(models, **how)


@pytest.fixture
def judge(monkeypatch):
    """Judge the products, which a change is made to."""
    monkeypatch.setattr(family, "document", lambda product: product.content)
    monkeypatch.setattr(table, "table_columns", lambda product: (product.content, {}))

    def judged(check, change=lambda *_: None, without=(), **how):
        models, surface = copy.deepcopy(made(**how))
        kept = {
            name: [Made(None, name, path.partition("_")[2].partition(".")[0])
                   for row in surface["kept"]["rows"]
                   if (path := row["files"][key]) not in without]
            for key, name in (("cube", layout.DISC_CUBE), ("residual", layout.DISC_RESIDUAL),
                              ("map", layout.DISC_MAP))
        }  # fmt: skip
        change(models, surface)
        own = {
            layout.EVALUATIONS: [Made(models, layout.EVALUATIONS, f"t001_evaluations-{LABEL}")],
            layout.SURFACE: [Made(surface, layout.SURFACE, f"t001_surface-{LABEL}")],
        }
        found = {name: rows for name, rows in (own | kept).items() if name not in without}
        folder = SimpleNamespace(siblings=lambda item, name: tuple(found.get(name, ())))
        (mine,) = own[layout.EVALUATIONS if check in OF_TABLE else layout.SURFACE]
        mine.folder = folder
        return check(mine, LIMITS)

    return judged


@pytest.mark.parametrize("check", EVERY)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rejected": False},
        {"reference": None},
        {"saturated": None, "calibration": None, "refined": None},
        {"saturated": Saturated(CHI2 - 5.0, 4900)},
        {"saturated": Saturated(CHI2, 100)},
        {"saturated": Saturated(CHI2, 9000)},
        {
            "saturated": Saturated(CHI2 - 5.0, 4900),
            "calibration": replace(CALIBRATION, quantile_low=4.0),
        },
        {"alone": True},
        {"table": True},
        {"field": None},
        {"field": Field(60.0, 70.0)},
    ],
    ids=lambda how: "-".join(how) or "all",
)
def test_what_is_exported_passes(judge, check, how):
    outcome = judge(check, **how)
    assert outcome.status is Status.PASSED, outcome.detail


@pytest.mark.parametrize("check", EVERY)
def test_the_order_of_rows_is_of_no_matter(judge, check):
    """Invariance."""
    order = np.random.default_rng(4).permutation(N)

    def shuffle(models, _):
        for name, values in models.items():
            models[name] = [values[i] for i in order]

    assert judge(check, shuffle).status is Status.PASSED


def cell(name, value, row):
    def change(models, _):
        models[name][row] = value

    return change


def said(*keys, value):
    """Change one value of the surface; a function is given the one that was there."""

    def change(_, surface):
        node = surface
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value(node[keys[-1]]) if callable(value) else value

    return change


def more(by):
    return lambda value: value + by


def best_row():
    return made()[1]["best"]["number"]


def open_row():
    return made()[1]["unconverged"]["numbers"][0]


def rejected_row():
    return next(i for i, text in enumerate(made()[0]["rejected_by"]) if text)


def twice(models, _):
    models["number"][5] = 4


def lost(models, _):
    for values in models.values():
        values.pop(7)


def other_filter(models, _):
    """One that two filters reject is said to be rejected by one of them."""
    row = next(i for i, text in enumerate(models["rejected_by"]) if "," in text)
    models["rejected_by"][row] = "fast"


def survivor(models, surface):
    """A galaxy that is as good as the reference is hidden from the surface."""
    row = surface["kept"]["rows"][-1]["number"]
    models["log_likelihood"][row] = surface["best"]["log_likelihood"] + 1.0


def flags(_, surface):
    """A marginal of few models is passed off as a fact."""
    row = surface["profiles"][0]["marginal_flagged"]
    row[row.index(True)] = False


def moved_edge(_, surface):
    surface["profiles"][1]["edges"][2] += 0.05


def narrower(_, surface):
    """Models are left out of all cells."""
    surface["profiles"][0]["edges"][-1] -= 0.01


def swapped(_, surface):
    rows = surface["kept"]["rows"]
    rows[0], rows[1] = rows[1], rows[0]


def another(_, surface):
    """A galaxy far from the reference is kept as if it survived."""
    worst = np.nanargmin(made()[0]["log_likelihood"])
    row = surface["kept"]["rows"][-1]
    row["number"] = int(worst)


def waiting(models, _):
    """A search that did not converge is hidden as one that was not made."""
    for name in ("log_likelihood", "chi2"):
        models[name][open_row()] = np.nan


FAULTS = [
    (family.complete, waiting),
    (family.counts, waiting),
    (family.values, lambda m, s: cell("chi2", np.nan, best_row())(m, s)),
    (family.complete, lost),
    (family.complete, twice),
    (family.complete, cell("log_likelihood", np.nan, 0)),
    (family.complete, said("campaign", "n_model", value=more(1))),
    (family.complete, said("campaign", "n_model", value=more(-1))),
    (family.values, lambda m, s: cell("chi2", 3.0, rejected_row())(m, s)),
    (family.values, lambda m, s: cell("chi2", -1.0, best_row())(m, s)),
    (family.values, lambda m, s: cell("log_likelihood", np.inf, best_row())(m, s)),
    (family.conflicts, said("campaign", "conflicts", value=1)),
    (family.shares, said("within", 1, "n", value=more(1))),
    (family.shares, said("within", 2, "high", value=lambda v: 0.99 * v)),
    (family.shares, said("within", 1, "low", value=0.0)),
    (family.shares, said("within", 0, "fraction", value=more(0.01))),
    (family.shares, said("within", 0, "delta_chi2", value=25.0)),
    (family.shares, said("within", value=[])),
    (family.shares, said("rejected", "all", "n", value=more(-1))),
    (family.shares, said("rejected", "filters", 0, "n_only", value=more(1))),
    (family.shares, said("rejected", "filters", value=lambda rows: rows[:1])),
    (family.shares, said("reference", "log_likelihood", value=more(-4.0))),
    (family.shares, other_filter),
    (family.shares, survivor),
    # As if the searches that did not converge excluded what they looked at.
    (family.shares, lambda m, s: cell("converged", False, best_row() - 1)(m, s)),
    (family.counts, said("counts", "n_evaluated", value=more(1))),
    (family.counts, said("unconverged", "n", value=0)),
    (family.counts, said("unconverged", "numbers", value=[])),
    (family.counts, said("complete", value=False)),
    (family.counts, lambda m, s: cell("converged", True, open_row())(m, s)),
    (family.counts, lost),
    (family.cells, said("profiles", 0, "best", 2, value=more(0.1))),
    (family.cells, said("profiles", 1, "best_number", 2, value=more(1))),
    (family.cells, said("profiles", 2, "best_first", 1, value=more(-0.1))),
    (family.cells, said("profiles", 0, "log_mean", 2, value=more(0.1))),
    (family.cells, said("profiles", 0, "log_mean_error", 2, value=lambda v: 0.5 * v)),
    (family.cells, said("profiles", 0, "effective", 0, value=50.0)),
    (family.cells, said("profiles", 0, "n", 0, value=more(1))),
    (family.cells, said("profiles", 0, "name", value="gas_fraction")),
    (family.cells, said("profiles", 0, "name", value="invented")),
    (family.cells, said("pairs", 1, "best", 1, 1, value=more(0.1))),
    (family.cells, said("pairs", 1, "log_mean", value=None)),
    (family.cells, said("profiles", value=lambda rows: rows[1:])),
    (family.cells, said("pairs", value=lambda rows: rows[1:])),
    (family.cells, said("unplaced", 2, "n", value=0)),
    (family.cells, flags),
    (family.cells, moved_edge),
    (family.cells, narrower),
    (family.cells, survivor),
    (family.marginal, said("marginal", "log_mean", value=more(0.1))),
    (family.marginal, said("marginal", "effective", value=more(5.0))),
    (family.marginal, said("marginal", "halves", 1, "log_mean", value=more(0.1))),
    (family.marginal, said("marginal", "halves", value=[])),
    (family.marginal, said("marginal", "halves_sigma", value=0.0)),
    (family.marginal, said("marginal", "converged", value=lambda v: not v)),
    (family.marginal, said("marginal", "reasons", value=[])),
    (family.best, said("best", "number", value=more(1))),
    (family.best, said("best", "chi2", value=more(-9.0))),
    (family.best, said("best", "delta_chi2", value=30.0)),
    (family.best, said("best", "parameters", 0, "value", value=more(0.1))),
    (family.best, said("best", "nuisances", 0, "name", value="v_max_kms")),
    (family.best, said("best", value=None)),
    (family.best, said("reference", "kind", value="best disc")),
    (family.best, survivor),
    (family.verdict, said("exclusion", "verdict", value="IN TENSION")),
    (family.verdict, said("exclusion", "literal", value=True)),
    (family.verdict, said("exclusion", "measured", "t", value=more(1.0))),
    (family.verdict, said("exclusion", "measured", "unconverged", value=0.0)),
    (family.verdict, said("exclusion", "calibration", "quantile", value=200.0)),
    (family.verdict, said("exclusion", "calibration", "n_disc", value=20)),
    (family.verdict, said("exclusion", "calibration", "quantile_low", value=3.0)),
    (family.verdict, said("exclusion", "saturated", value=None)),
    (family.verdict, said("exclusion", "measured", "seen", value=more(1))),
    (family.verdict, said("exclusion", "field", "low_kpc", value=65.0)),
    (family.verdict, said("exclusion", "field", value=None)),
    (family.verdict, said("refined", "ends", value=lambda ends: ends[:1])),
    (family.verdict, said("refined", "chi2", value=more(-90.0))),
    (family.kept, swapped),
    (family.kept, another),
    (family.kept, said("kept", "rows", value=lambda rows: rows[:-1])),
    (family.kept, said("kept", "rows", value=lambda rows: [*rows, rows[0]])),
    (family.kept, said("kept", "rows", 0, "delta_chi2", value=more(-1.0))),
    (family.kept, said("kept", "rows", 1, "parameters", 0, "value", value=more(0.1))),
    (family.kept, said("kept", "level", value=24.0)),
    (family.kept, said("kept", "rows", 0, "survives", value=lambda v: not v)),
    (family.kept, survivor),
]


@pytest.mark.parametrize(("check", "fault"), FAULTS)
def test_a_planted_fault_is_found(judge, check, fault):
    outcome = judge(check, fault)
    assert outcome.status is Status.FAILED
    assert outcome.detail
    assert outcome.remedy


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (family.shares, said("within", 1, "fraction", value=0.1)),
        (family.shares, said("rejected", "all", "high", value=0.3)),
        (family.cells, said("profiles", 0, "log_mean", 2, value=-3.0)),
        (family.marginal, said("marginal", "effective", value=40.0)),
        (family.marginal, said("marginal", "converged", value=True)),
        (family.verdict, said("exclusion", "verdict", value="CONFIRMED")),
    ],
)
def test_what_a_table_cannot_say_is_found(judge, check, fault):
    assert judge(check, fault, table=True).status is Status.FAILED


@pytest.mark.parametrize("check", [family.shares, family.cells, family.marginal, family.verdict])
def test_rows_of_a_table_that_pass_for_draws_are_found(judge, check):
    outcome = judge(check, said("campaign", "settings", "kind", value="table"))
    assert outcome.status is Status.FAILED


def test_every_check_has_a_planted_fault():
    assert {check for check, _ in FAULTS} == set(EVERY)


def test_a_galaxy_whose_products_are_not_there_is_found(judge):
    gone = layout.kept_files("t001", LABEL, 2)
    for key in gone:
        outcome = judge(family.kept, without=(gone[key],))
        assert outcome.status is Status.FAILED
        assert f"-{LABEL}-02" in outcome.detail


@pytest.mark.parametrize("check", OF_SURFACE[1:])
def test_without_the_table_nothing_is_shown(judge, check):
    assert judge(check, without=(layout.EVALUATIONS,)).status is Status.SKIPPED


def test_without_the_surface_nobody_knows_how_many_there_should_be(judge):
    assert judge(family.complete, without=(layout.SURFACE,)).status is Status.SKIPPED
    missing = said("campaign", value={})
    assert judge(family.complete, missing).status is Status.SKIPPED


@pytest.mark.parametrize("check", OF_SURFACE)
def test_a_document_of_nothing_breaks_no_check(judge, check):
    def emptied(_, surface):
        surface.clear()

    assert judge(check, emptied).status in (Status.FAILED, Status.SKIPPED)


@pytest.mark.parametrize("check", [one for one in EVERY if one is not family.complete])
def test_a_campaign_in_which_galaxies_wait_is_only_incomplete(judge, monkeypatch, check):
    models = gaussian(N)
    waits = models.number >= 200
    lost = {name: np.where(waits, np.nan, getattr(models, name))
            for name in ("log_likelihood", "chi2")}  # fmt: skip
    some = replace(models, **lost, converged=models.converged & ~waits)
    monkeypatch.setattr(sys.modules[__name__], "made", lambda: (columns(some), document_of(some)))
    outcome = judge(check)
    assert outcome.status is Status.PASSED, outcome.detail
    assert judge(family.complete).status is Status.FAILED


def test_the_bounds_of_a_share_have_the_tail_that_they_should():
    """Oracle: scipy's interval, which has other sums."""
    from scipy.stats import binomtest

    for n, n_all in ((1, 10), (41, 3000), (9990, 10_000)):
        found = binomtest(n, n_all).proportion_ci(0.95)
        assert table.is_bound(found.low, n, n_all, 0.025, 1e-8)
        assert table.is_bound(1.0 - found.high, n_all - n, n_all, 0.025, 1e-8)
        assert not table.is_bound(1.01 * found.low, n, n_all, 0.025, 1e-8)
