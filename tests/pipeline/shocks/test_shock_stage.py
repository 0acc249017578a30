"""Does the stage say of every aperture what the fit says, with the grid that the settings name?

Oracle: the toy grid, whose velocity is known; the same grid in files; digests of these files.
"""

import dataclasses
import json

import numpy as np
import pytest
from shock_runs import FAINT, OTHER, SHOCK, SPEED, draws, fluxes, made

import schemas
from ard.describe import unit_text
from ard.errors import ArdError, NotFoundError
from ard.table import ecsv_bytes
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline import plans, shockgrids
from pipeline.figures import shockfit
from pipeline.graph import build_tasks
from pipeline.runner import _input_names
from pipeline.shocks import stage
from pipeline.shocks.gridfile import read_part, save_grid
from pipeline.shocks.importers import select
from pipeline.shocks.toy import toy_loglinear
from schemas import tables

GIVEN = {"assumed": load_shocks(), "acceptance": load_acceptance(), "config": stage.Config()}


def verdicts(document):
    return {(row["spectrum"], row["criterion"]): row for row in document["verdicts"]}


def test_products_follow_their_schemas():
    made_now = made()
    document, table = made_now["verdicts"]["t001"], made_now["table"]["t001"].data
    assert schemas.validate({**document, "provenance": None}, "shock-verdicts") == ()
    columns = {
        n: np.ma.filled(np.ma.asarray(table[n]).astype(object), np.nan).tolist()
        for n in table.colnames
    }
    units = {n: unit_text(table[n].unit) for n in table.colnames}
    assert not tables.validate(columns, units, "shocks")
    assert made_now["grid"]["synthetic"] is True


def test_the_shock_is_found_and_what_is_none_is_said():
    document = made()["verdicts"]["t001"]
    found = verdicts(document)
    tip = found[SHOCK, "C1"]
    assert tip["measured"]["v_low_kms"] < SPEED < tip["measured"]["v_high_kms"]
    assert tip["verdict"] == "UNINFORMATIVE"  # four lines with floors of 0.1 dex
    assert found[OTHER, "C1"]["verdict"] == "MODEL-INADEQUATE"
    assert found[FAINT, "C1"]["verdict"] == "NOT EVALUATED"
    sets = {row["spectrum"]: row["sets"] for row in document["spectra"]}
    assert sum(row["probability"] for row in sets[SHOCK]) == pytest.approx(1.0, abs=1e-12)
    assert sets[FAINT] == []
    assert "C1: 1 MODEL-INADEQUATE, 1 NOT EVALUATED, 1 UNINFORMATIVE" in document["sentence"]


def test_without_the_geometry_the_criterion_is_not_evaluated():
    document = made(None)["verdicts"]["t001"]
    assert document["geometry_kms"] == []
    assert {v["verdict"] for k, v in verdicts(document).items() if k[1] == "C1"} == {
        "NOT EVALUATED"
    }


def test_a_geometry_that_repeats_its_prior_decides_nothing():
    """Not even that lines and geometry disagree: at 20 to 160 km/s they would."""
    for low, known, expected in (
        *((430.0, False, "UNINFORMATIVE"), (20.0, False, "UNINFORMATIVE")),
        *((20.0, True, "IN TENSION"), (20.0, None, "IN TENSION")),
    ):
        row = verdicts(made(low, known=known)["verdicts"]["t001"])[SHOCK, "C1"]
        assert row["verdict"] == expected
        told = row["measured"].get("geometry_information_nat")
        assert (told is None) is (known is None)
        if known is False:
            assert told < 0.1
            assert "the geometry says too little" in row["sentence"]
            other = verdicts(made(low, known=known)["verdicts"]["t001"])[OTHER, "C1"]
            assert other["verdict"] == "MODEL-INADEQUATE"


def test_the_geometry_of_an_aperture_is_compared_with_no_other():
    both = made(apertures=("tip",))["verdicts"]["t001"]
    assert verdicts(both)[SHOCK, "C1"] == verdicts(made()["verdicts"]["t001"])[SHOCK, "C1"]
    assert both["geometry_apertures"] == ["tip"]
    other = made(apertures=("wake1",))["verdicts"]["t001"]
    assert verdicts(other)[SHOCK, "C1"]["verdict"] == "NOT EVALUATED"
    assert "geometry_low_kms" not in verdicts(other)[SHOCK, "C1"]["measured"]
    for document in (both, other, made(known=True)["verdicts"]["t001"]):
        assert schemas.validate({**document, "provenance": None}, "shock-verdicts") == ()


def test_a_declared_virial_velocity_is_in_the_products():
    document = made(v_virial_kms=400.0)["verdicts"]["t001"]
    assert schemas.validate({**document, "provenance": None}, "shock-verdicts") == ()
    row = verdicts(document)[SHOCK, "T1"]
    assert row["verdict"] == "UNINFORMATIVE"  # 0.1 dex floors leave it with b fixed too
    assert row["measured"]["v_virial_kms"] == 400.0
    assert row["measured"]["v_allowed_low_kms"] == load_shocks().v_min_kms
    assert 0.0 < row["measured"]["p_virial"] < 1.0


def test_a_simulated_bow_makes_all_simulated():
    bow = draws(430.0, 570.0)
    bow.meta["SIMULATD"] = True
    given = {"fluxes": {"t001": fluxes(simulated=False)}, "grid": {}, **GIVEN}
    for geometry, expected in ((bow, True), (draws(430.0, 570.0), False)):
        made_of = stage.run(**given, geometry=geometry)
        assert made_of["verdicts"]["t001"]["simulated"] is expected


def test_a_grid_in_files_gives_the_same_bytes(tmp_path):
    paths = save_grid(tmp_path / "toy.fits", toy_loglinear())
    grid = dict(zip(("arrays", "record"), map(read_part, paths), strict=True))
    again = stage.run(fluxes={"t001": fluxes()}, grid=grid, geometry=draws(430.0, 570.0), **GIVEN)
    first = made()
    assert ecsv_bytes(again["table"]["t001"]) == ecsv_bytes(first["table"]["t001"])
    assert again["verdicts"] == first["verdicts"]
    grid["arrays"] = grid["arrays"] | {"log_ratio": grid["arrays"]["log_ratio"] + 0.1}
    with pytest.raises(ArdError, match="not the one that its document is about"):
        stage.run(fluxes={"t001": fluxes()}, grid=grid, geometry=None, **GIVEN)


def test_the_figure_is_of_the_spectrum_that_was_asked_for():
    products = made()
    given = {"fluxes": {"t001": fluxes()}, "tables": products["table"], "grid": {}}
    given |= {"verdicts": products["verdicts"], "assumed": load_shocks()}
    drawn = shockfit.run(**given, config=shockfit.Config(spectrum=SHOCK))
    assert drawn["figure"]["t001"].startswith(b"\x89PNG")
    panel = drawn["data"]["t001"].data
    rows = products["table"]["t001"].data
    own = rows[(rows["spectrum"] == SHOCK) & (rows["prior"] == "flat") & (rows["floor"] == "0.1")]
    shown = panel["value"][panel["item"] == "flat, 0.1"]
    assert list(shown) == [own[f"v_p{q}"][0] for q in ("025", "160", "500", "840", "975")]


def test_where_no_spectrum_has_lines_the_figure_says_so():
    table = fluxes()
    faint = dataclasses.replace(table, data=table.data[table.data["aperture"] == "wake1"])
    given = {"grid": {}, "assumed": load_shocks(), "config": shockfit.Config()}
    products = stage.run(fluxes={"t001": faint}, geometry=None, grid={}, **GIVEN)
    drawn = shockfit.run(
        fluxes={"t001": faint},
        tables=products["table"],
        verdicts=products["verdicts"],
        **given,
    )
    assert drawn["figure"]["t001"].startswith(b"\x89PNG")
    assert len(drawn["data"]["t001"].data) == 0


def planned(root, *settings):
    plan = plans.twin_plan(root, settings=("simulate.size=tiny", *settings))
    tasks = {task.name: task for task in build_tasks(plan, plans.stages_for("twin"))}
    return plan, tasks["shocks"]


def test_the_files_of_the_grid_are_inputs_and_their_place_is_not(tmp_path):
    plan, task = planned(tmp_path / "run")
    assert plan.context["toy_grid"] is True
    assert task.inputs["grid"] == {}
    digests = []
    for folder in ("one", "two"):
        save_grid(tmp_path / folder / "mine.fits", toy_loglinear())
        plan, task = planned(tmp_path / "run", f"shocks.grid={tmp_path / folder / 'mine.fits'}")
        assert {"mine.fits", "mine.json"} <= set(_input_names(task))
        digests.append((task.config_sha256, plan.config.sha256))
    assert digests[0] == digests[1]
    assert plan.config["shocks"].grid == "mine.fits"
    assert plan.context["toy_grid"] is True  # its document says so


def test_a_geometry_is_an_input(tmp_path):
    bow = tmp_path / "bow.ecsv"
    bow.write_bytes(ecsv_bytes(draws(300.0, 310.0)))
    _, task = planned(tmp_path / "run", f"shocks.geometry={bow}")
    assert task.inputs["geometry"] == bow
    with pytest.raises(NotFoundError, match="table of the geometry does not exist"):
        planned(tmp_path / "run", "shocks.geometry=none.ecsv")


def test_observed_data_have_no_default(tmp_path):
    assert shockgrids.choose("", tmp_path, simulated=False) is None
    assert shockgrids.choose("toy", tmp_path, simulated=False) == shockgrids.CLOSED_FORM


def test_the_database_is_asked_once(tmp_path, monkeypatch):
    """Oracle: a stand-in for the server, which counts."""
    asked = []
    monkeypatch.setattr(shockgrids, "open_grid", lambda name: asked.append(name) or toy_loglinear())
    first = shockgrids.choose(select.DATABASE, tmp_path, simulated=True)
    assert shockgrids.choose(select.DATABASE, tmp_path, simulated=True) == first
    assert asked == ["3mdbs"]
    assert json.loads(first.files["record"].read_text())["project"] == "toy_loglinear"


def test_other_models_of_the_database_have_files_of_their_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(shockgrids, "open_grid", lambda name: asked.append(name) or toy_loglinear())
    names = ("3mdbs", "3mdbs:Gutkin16", "3mdbs:Gutkin16:precursor")
    chosen = [shockgrids.choose(name, tmp_path, simulated=True) for name in (*names, *names)]
    assert asked == list(names)
    assert [one.name for one in chosen[:3]] == list(names)
    assert [one.files["arrays"].name for one in chosen[:3]] == [
        *("3mdbs.fits", "3mdbs_Gutkin16.fits", "3mdbs_Gutkin16_precursor.fits"),
    ]
    with pytest.raises(ArdError, match="names no models of the shock database"):
        shockgrids.choose("3mdbs:Gutkin16:wind", tmp_path, simulated=True)


def test_a_grid_that_cannot_be_used_is_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(NotFoundError, match="a file of the grid of shock models does not exist"):
        shockgrids.choose(str(tmp_path / "none.fits"), tmp_path, simulated=True)
    save_grid(tmp_path / "shockgrid.fits", toy_loglinear())
    with pytest.raises(ArdError, match="cannot be called as a product is"):
        shockgrids.choose(str(tmp_path / "shockgrid.fits"), tmp_path, simulated=True)
    with pytest.raises(ArdError, match="grids of Zenodo have to be fetched first"):
        shockgrids.choose("zenodo:14140949", tmp_path, simulated=True)
