"""Does the fit of a table say all that was asked, and what it cannot say?

Oracle: models of the toy grid, whose velocity is known.
"""

import dataclasses

import numpy as np
import pytest
from astropy.table import MaskedColumn
from astropy.table import Table as AstropyTable
from shock_cases import LINES

from ard import io
from ard.errors import ArdError, FormatError
from ard.table import Table, ecsv_bytes
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline.shocks.combine import shared
from pipeline.shocks.grid import HALPHA, Component, Defect
from pipeline.shocks.importers.mdb import import_long
from pipeline.shocks.likelihood import LineFluxes
from pipeline.shocks.measured import Measured
from pipeline.shocks.nodes import B_PRIORS, FIXED
from pipeline.shocks.report import (
    OWN,
    Geometry,
    document_of,
    fit,
    geometry_draws,
    geometry_information,
    table_of,
)
from pipeline.shocks.toy import TOY_LINES, toy_loglinear
from pipeline.shocks.verdict import Gate, metal_poor, shock_velocity

NAMES = tuple(toy.line.name for toy in TOY_LINES)
ASSUMED, ACCEPTANCE = load_shocks(), load_acceptance()


@pytest.fixture(scope="module")
def measured():
    grid = toy_loglinear()
    ratio = grid.log_ratio[0, 0, 4, [16, 16]]
    flux = np.column_stack([np.full(2, 100.0), 100.0 * 10.0**ratio])
    flux[1, 0] = 1.0
    return Measured(("tip", "faint"), LineFluxes.of_errors((HALPHA, *NAMES), flux, 0.5 + 0 * flux))


@pytest.fixture(scope="module")
def found(measured):
    speeds = np.linspace(450.0, 550.0, 50)
    return fit(toy_loglinear(), measured, ASSUMED, ACCEPTANCE, geometry=Geometry(speeds))


def test_every_prior_and_floor_has_a_row(found):
    table = table_of(found).data
    assert len(table) == 2 * 4 * 5
    assert set(table["prior"]) == {"log_shifted", "flat", "log", "fixed"}
    assert set(table["floor"]) == {"per line", "0.03", "0.1", "0.15", "0.2"}
    tip = table[table["spectrum"] == "tip"]
    assert ((tip["v_p025"] < 500) & (tip["v_p975"] > 500)).all()
    assert str(table["v_p500"].unit) == "km / s"
    assert all(table[name].description for name in table.colnames)
    # Equal fits are equal bytes.
    assert ecsv_bytes(table_of(found)) == ecsv_bytes(table_of(found))


def test_what_a_spectrum_does_not_say_is_nan_for_numpy(found, tmp_path):
    """Under a mask would stand 0: numpy counts it, and a mean comes out too low."""
    path = tmp_path / "t001_shocks.ecsv"
    io.write(path, table_of(found))
    for table in (table_of(found).data, AstropyTable.read(path, format="ascii.ecsv")):
        assert not table.has_masked_columns
        faint = table["spectrum"] == "faint"
        for name in (name for name in table.colnames if table[name].dtype.kind == "f"):
            assert np.isnan(np.asarray(table[name])[faint]).all(), name
            assert np.isfinite(np.asarray(table[name])[~faint]).all(), name


def test_three_criteria_are_judged(found):
    document = document_of(found)
    rows = document["verdicts"]
    assert document["simulated"] is True
    assert [(r["spectrum"], r["criterion"]) for r in rows[:3]] == [
        ("tip", "C1"), ("tip", "C3"), ("tip", "T1"),
    ]  # fmt: skip
    by = {(r["spectrum"], r["criterion"]): r for r in rows}
    assert by["tip", "C1"]["verdict"] == "UNINFORMATIVE"  # 0.1 dex floors, as the design says
    assert by["tip", "C1"]["measured"]["geometry_low_kms"] > 450
    assert by["faint", "C1"]["verdict"] == "NOT EVALUATED"
    assert by["faint", "C1"]["measured"]["v_low_kms"] is None
    assert by["tip", "T1"]["verdict"] == "NOT EVALUATED"


def test_a_verdict_says_which_of_its_lines_are_suspect(measured, found):
    """A member of a blend counts, and a line that the grid lacks does not."""
    doubted = dataclasses.replace(measured, suspect={"tip": ("SII_6716", HALPHA, "OI_6300")})
    again = fit(toy_loglinear(), doubted, ASSUMED, ACCEPTANCE,
                geometry=Geometry(np.linspace(450.0, 550.0, 50)))  # fmt: skip
    for (name, which, before), (_, _, after) in zip(found.verdicts, again.verdicts, strict=True):
        assert (after.gate, after.literal) == (before.gate, before.literal)
        if name == "tip":
            assert after.sentence == (
                f"{before.sentence}; suspect: SII_6716, {HALPHA}, whose errors hold the misfit"
            )
            assert after.measured == before.measured | {"suspect_lines": 2.0}, which
        else:
            assert after.sentence == before.sentence


def test_a_suspect_line_that_is_not_used_is_no_reason_for_doubt(measured, found):
    flux = measured.fluxes.flux.copy()
    place = measured.spectra.index("tip"), measured.fluxes.names.index(NAMES[1])
    flux[place] = np.nan
    gone = dataclasses.replace(measured, fluxes=dataclasses.replace(measured.fluxes, flux=flux),
                               suspect={"tip": (NAMES[1],)})  # fmt: skip
    again = fit(toy_loglinear(), gone, ASSUMED, ACCEPTANCE)
    assert not [one for _, _, one in again.verdicts if "suspect" in one.sentence]


def test_what_holds_for_the_geometry_is_said(measured, found):
    """A bow that is simulated; one of an aperture that is not there."""
    speeds = np.linspace(450.0, 550.0, 50)
    table = Table(AstropyTable({"v_shock": speeds}), {"apertures": "wake", "SIMULATD": True})
    bow = Geometry.of(table)
    assert bow.apertures == ("wake",)
    assert bow.simulated
    grid = toy_loglinear()
    real = dataclasses.replace(grid, source=dataclasses.replace(grid.source, synthetic=False))
    assert not fit(real, measured, ASSUMED, ACCEPTANCE, geometry=Geometry(speeds)).simulated
    away = fit(real, measured, ASSUMED, ACCEPTANCE, geometry=bow)
    assert away.simulated
    assert "the geometry is of wake alone, and of no spectrum here" in away.notes
    assert not [note for note in found.notes if "geometry" in note]


def test_what_a_handful_of_draws_tell_is_not_known():
    """Twenty draws of the prior would seem to tell half a nat; of one number, anything."""
    rng = np.random.default_rng(12)
    many = rng.uniform(300.0, 900.0, (2, 4000))
    for after, before in (many[:, :20], (many[0], np.full(4000, 600.0))):
        data = AstropyTable({"v_shock": after, "v_shock_prior": before})
        with pytest.raises(ArdError, match="too few draws of the geometry"):
            geometry_information(Table(data))
    data = AstropyTable({"v_shock": many[0], "v_shock_prior": many[1]})
    assert geometry_information(Table(data)) < 0.02


@pytest.mark.parametrize("only", [0, 1])
def test_a_grid_of_one_abundance_says_nothing_of_metals(measured, only):
    """Whatever the lines are: all its models are on one side of half solar."""
    grid = toy_loglinear()
    every = [range(size) for size in grid.log_ratio.shape[1:]]
    part = grid.take(z=[only], **dict(zip(("n", "b", "v", "lines"), every, strict=True)))
    made = fit(part, measured, ASSUMED, ACCEPTANCE)
    (verdict,) = [one for name, which, one in made.verdicts if (name, which) == ("tip", "C3")]
    assert verdict.gate not in (Gate.CONFIRMED, Gate.IN_TENSION)
    assert verdict.measured["p_metal_poor_prior"] == pytest.approx(1 - only)


@pytest.mark.real_data
def test_ratios_of_the_lmc_are_not_made_solar_by_another_density(shared_data):
    """The public table has one set, solar, at densities other than 1 (reference/shocks.md 2.2)."""
    grid = import_long(shared_data / "shocks" / "allen08_mappingsV_shockonly_long.csv")
    place = [list(grid.log_n).index(0.0), list(grid.b).index(2.0), list(grid.v_kms).index(400.0)]
    lmc = [one.name for one in grid.abundances].index("Allen2008_LMC")
    ratio = grid.log_ratio[(lmc, *place)][grid.line_index(LINES)]
    lines = Measured(("s",), LineFluxes.of_ratios(LINES, ratio[None], 0.3))
    for log_n, before in ((0.0, 0.4), (-1.0, 0.0), (2.0, 0.0)):
        made = fit(grid, lines, ASSUMED, ACCEPTANCE, log_n=log_n)
        (found,) = [one for _, which, one in made.verdicts if which == "C3"]
        assert found.gate is Gate.UNINFORMATIVE
        assert found.measured["p_metal_poor_prior"] == pytest.approx(before, abs=0.01)
        assert (found.literal is None) is (before == 0.0)


def test_a_declared_virial_velocity_is_compared(measured):
    assumed = dataclasses.replace(ASSUMED, v_virial_kms=400.0)
    made = fit(toy_loglinear(), measured, assumed, ACCEPTANCE)
    found = {name: one for name, which, one in made.verdicts if which == "T1"}
    assert found["tip"].gate is not Gate.NOT_EVALUATED
    first, fixed = (made.summaries[name, OWN] for name in (B_PRIORS[0], FIXED))
    for key, one in (("p_virial", first), ("p_virial_fixed", fixed)):
        share = found["tip"].measured[key]
        assert share == one.p_virial[0]
        below = np.interp(400.0, one.v_kms[0], (0.025, 0.16, 0.5, 0.84, 0.975))
        assert share == pytest.approx(below, abs=0.05)
    assert found["faint"].gate is Gate.NOT_EVALUATED


def test_how_other_priors_and_floors_end_is_said(measured):
    """Oracle: the verdicts drawn one by one."""
    bow = Geometry(np.linspace(250.0, 300.0, 50))
    made = fit(toy_loglinear(), measured, ASSUMED, ACCEPTANCE, geometry=bow)
    by = {(name, which): one for name, which, one in made.verdicts}
    for which in ("C1", "C3"):
        gates = [
            shock_velocity(one, 0, ACCEPTANCE, ASSUMED, bow.v_kms).gate
            if which == "C1"
            else metal_poor(one, 0, ACCEPTANCE).gate
            for key, one in made.summaries.items()
            if key != (B_PRIORS[0], OWN)
        ]
        assert len(gates) == 4 * 5 - 1
        off = sum(gate != by["tip", which].gate for gate in gates)
        assert by["tip", which].measured["rows_otherwise"] == off
        assert ("otherwise under" in by["tip", which].sentence) is (off > 0)
    assert by["tip", "C1"].measured["rows_otherwise"] > 0
    assert by["faint", "C1"].measured["rows_otherwise"] == 0


def test_what_the_grid_cannot_say_is_said(found):
    assert any("synthetic" in note for note in found.notes)
    assert table_of(found).simulated
    assert any("precursor not modelled" in note for note in found.notes)


def test_lines_that_are_not_compared_are_named(measured, found):
    """Oracle: a line of vacuum naming, one that is masked, half of a blend, one of other grids."""
    grid = toy_loglinear()
    ratio = grid.log_ratio.copy()
    k = grid.line_index([NAMES[1]])[0]
    ratio[..., k] = np.nan
    defect = Defect("CONSTANT_LINE", "[N II] λ6583", "one value", "masked")
    source = dataclasses.replace(grid.source, known_defects=(defect,))
    part = dataclasses.replace(grid, source=source, log_ratio=ratio, mask=np.isnan(ratio))
    names = (HALPHA, "OIII_5007", "SIII_9069+9531", "OIII_5008", "NII_6583", "SII_6716", "HeI_5876")
    flux = np.column_stack([[100.0, 100.0], 30.0 * np.ones((2, 6))])
    fluxes = LineFluxes.of_errors(names, flux, 0.5 + 0 * flux)
    made = fit(part, Measured(("a", "b"), fluxes), ASSUMED, ACCEPTANCE)
    assert made.lines == ("OIII_5007", "SIII_9069+9531")
    assert (
        "measured and not compared: OIII_5008 (no line is known by that name), "
        "NII_6583 (masked: CONSTANT_LINE), SII_6716 (in SII_6716+6731, SII_6731 is missing), "
        "HeI_5876 (not in the grid)"
    ) in made.notes
    assert not any("not compared" in note for note in found.notes)
    # A line that no spectrum has was not measured.
    flux[:, 1:][:, 2] = np.nan
    again = Measured(("a", "b"), LineFluxes.of_errors(names, flux, 0.5 + 0 * flux))
    assert not any("OIII_5008" in n for n in fit(part, again, ASSUMED, ACCEPTANCE).notes)


@pytest.mark.parametrize(
    "other",
    [{"code": "MAPPINGS III"}, {"version": "3"}, {"project": "Gutkin16"}, {"project": "toy-cut"}],
)
def test_a_precursor_of_other_models_is_refused(measured, other):
    """H beta fluxes of two codes differ by 0.14 to 0.36 dex (reference/shocks.md 2.5)."""
    shock = toy_loglinear()
    own = {"component": Component.PRECURSOR, **other}
    precursor = dataclasses.replace(shock, source=dataclasses.replace(shock.source, **own))
    with pytest.raises(FormatError, match="not of the same models"):
        fit(shock, measured, ASSUMED, ACCEPTANCE, precursor=precursor)


def test_components_of_one_project_are_told_by_a_word_behind_it():
    """As the tables of Zenodo: "zenodo-14140949 shck" and "zenodo-14140949 prec"."""
    grid = toy_loglinear()
    parts = [
        dataclasses.replace(
            grid, source=dataclasses.replace(grid.source, component=kind, project=f"mine {word}")
        )
        for kind, word in ((Component.SHOCK, "shck"), (Component.PRECURSOR, "prec"))
    ]
    assert shared(*parts)[0].log_ratio.shape == grid.log_ratio.shape


@pytest.mark.parametrize(("off", "more"), [(5e-6, {"fixed"}), (5e-3, set())])
def test_a_field_is_fixed_where_models_have_it(measured, off, more):
    assumed = dataclasses.replace(ASSUMED, b_fixed=3.23 * (1 + off))
    made = fit(toy_loglinear(), measured, assumed, ACCEPTANCE)
    assert {prior for prior, _ in made.summaries} == {*B_PRIORS} | more


def test_a_grid_without_the_lines_is_refused():
    other = Measured(("a",), LineFluxes.of_errors((HALPHA, "OI_6300"), [[9.0, 3.0]], [[0.1, 0.1]]))
    with pytest.raises(ArdError, match="none of the measured lines"):
        fit(toy_loglinear(), other, ASSUMED, ACCEPTANCE)


def test_draws_of_the_geometry():
    good = Table(AstropyTable({"v_shock": [300.0, 310.0]}))
    assert geometry_draws(good).tolist() == [300.0, 310.0]
    metres = AstropyTable({"v_shock": [3e5, 3.1e5]})
    metres["v_shock"].unit = "m / s"
    assert geometry_draws(Table(metres)) == pytest.approx([300.0, 310.0])
    hidden = MaskedColumn([300.0, 310.0], mask=[False, True])
    for bad in ({"v": [300.0]}, {"v_shock": [300.0, -1.0]}, {"v_shock": hidden}):
        with pytest.raises(ArdError, match="no draws of a velocity"):
            geometry_draws(Table(AstropyTable(bad)))
    metres["v_shock"].unit = "kg"
    with pytest.raises(ArdError, match="no draws of a velocity"):
        geometry_draws(Table(metres))
