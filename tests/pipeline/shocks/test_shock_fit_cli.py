"""Does `rbh1 shocks fit` answer, in words and as JSON, and write its table?

Oracle: ratios of a model of the toy grid; on real data, published ratios that no shock makes.
"""

import dataclasses
import json

import numpy as np
import pytest
from astropy.table import Table as AstropyTable
from click.testing import CliRunner
from precision import x64
from shock_cases import LINES

from ard.describe import unit_text
from ard.table import read_ecsv
from pipeline.cli import cli
from pipeline.shocks.combine import combine
from pipeline.shocks.grid import HBETA, Component, GridLine
from pipeline.shocks.gridfile import load_grid, save_grid
from pipeline.shocks.importers.mdb import import_long
from pipeline.shocks.toy import TOY_LINES, toy_loglinear
from schemas import tables


def run(*words):
    return CliRunner().invoke(cli, ["shocks", "fit", *map(str, words)])


def ratios(path, values, sigma=0.02):
    table = AstropyTable({"line": list(LINES[: len(values)]), "log_ratio": values,
                          "log_ratio_err": [sigma] * len(values)})  # fmt: skip
    table.write(path, format="ascii.ecsv")
    return path


@pytest.fixture
def some(tmp_path):
    return ratios(tmp_path / "ratios.ecsv", toy_loglinear().log_ratio[0, 0, 4, 16])


def test_verdicts_are_printed_and_the_table_is_written(some, tmp_path):
    out, bow = tmp_path / "shocks.ecsv", tmp_path / "bow.ecsv"
    AstropyTable({"v_shock": np.linspace(400.0, 600.0, 50)}).write(bow, format="ascii.ecsv")
    done = run(some, "--geometry", bow, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert "synthetic" in done.stderr
    document = json.loads(done.stdout)
    assert document["simulated"] is True
    assert document["verdicts"][0]["verdict"] == "UNINFORMATIVE"
    table = read_ecsv(out)
    columns = {n: np.ma.filled(table.data[n], np.nan) if table.data[n].dtype.kind == "f"
               else table.data[n].tolist() for n in table.data.colnames}  # fmt: skip
    units = {n: unit_text(table.data[n].unit) for n in table.data.colnames}
    assert not tables.validate(columns, units, "shocks")
    assert sorted(table.provenance.inputs) == ["bow.ecsv", "grid", "ratios.ecsv"]
    assert table.provenance.simulated
    assert run(some, "--geometry", bow, "--out", tmp_path / "again.ecsv").exit_code == 0
    assert (tmp_path / "again.ecsv").read_bytes() == out.read_bytes()
    plain = run(some, "--figures", tmp_path / "figures")
    assert (tmp_path / "figures" / "spectrum.png").read_bytes().startswith(b"\x89PNG")
    assert read_ecsv(tmp_path / "figures" / "spectrum.ecsv").simulated
    assert plain.stdout.startswith("spectrum C1: NOT EVALUATED: there is no posterior of the geo")
    again = run(some, "--out", out)
    assert again.exit_code == 3


def test_inputs_of_one_name_are_both_recorded(some, tmp_path):
    other = tmp_path / "bow" / some.name
    other.parent.mkdir()
    AstropyTable({"v_shock": np.linspace(400.0, 600.0, 50)}).write(other, format="ascii.ecsv")
    out = tmp_path / "shocks.ecsv"
    assert run(some, "--geometry", other, "--out", out).exit_code == 0
    assert sorted(read_ecsv(out).provenance.inputs) == [
        "geometry:ratios.ecsv", "grid", "ratios.ecsv",
    ]  # fmt: skip


def test_what_cannot_be_done_is_explained(some, tmp_path):
    assert run(some, "--grid", tmp_path / "none.fits").exit_code == 3
    density = run(some, "--log-n", 2)
    assert density.exit_code == 3
    assert "no models of this density" in density.stderr


def test_grids_are_compared_side_by_side(some, tmp_path):
    """The same grid under two names gives the same numbers; without a line, others."""
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    save_grid(first, toy_loglinear())
    save_grid(second, toy_loglinear(lines=TOY_LINES[:3]))
    out = tmp_path / "both.ecsv"
    figures = tmp_path / "figures"
    both = run(
        some, "--grid", first, "--grid", second, "--out", out, "--figures", figures, "--json"
    )
    assert both.exit_code == 0, both.output
    assert "evidences are not of the same data" in both.stderr
    said = {one["grid"]: one for one in json.loads(both.stdout)["grids"]}
    alone = json.loads(run(some, "--grid", second, "--json").stdout)
    assert said[str(second)]["verdicts"] == alone["verdicts"]
    assert len(said[str(first)]["lines"]) == 4
    table = read_ecsv(out)
    assert set(table.data["grid"]) == {str(first), str(second)}
    assert len(table.data) == 2 * 20
    assert sorted(table.provenance.inputs) == ["grid 1", "grid 2", "ratios.ecsv"]
    assert {path.name for path in figures.iterdir()} == {"1_first.fits", "2_second.fits"}
    words = run(some, "--grid", first, "--grid", second).stdout.splitlines()
    assert words[0].startswith(f"{first}: spectrum C1: ")
    assert run(some, "--grid", first, "--grid", first).exit_code == 3


def test_a_precursor_is_one_more_parameter(some, tmp_path):
    """Ratios half way between those of shock and precursor: only the mixture makes them."""
    few = {"b": (1.0, 3.0), "v_kms": np.arange(200.0, 601.0, 50.0)}
    shock = with_hbeta(toy_loglinear(**few))
    bright = [dataclasses.replace(one, at_unit=one.at_unit + 2.0) for one in TOY_LINES[:1]]
    other = with_hbeta(toy_loglinear(lines=(*bright, *TOY_LINES[1:]), **few))
    source = dataclasses.replace(other.source, component=Component.PRECURSOR)
    precursor = dataclasses.replace(other, source=source)
    paths = tmp_path / "shock.fits", tmp_path / "precursor.fits"
    for path, grid in zip(paths, (shock, precursor), strict=True):
        save_grid(path, grid)
    ratio = np.log10(0.5 * sum(10.0 ** g.log_ratio[0, 0, 1, 4] for g in (shock, precursor)))
    mixed = ratios(tmp_path / "mixed.ecsv", ratio[:4])
    out = tmp_path / "out.ecsv"
    alone = run(mixed, "--grid", paths[0], "--json")
    done = run(mixed, "--grid", paths[0], "--precursor", paths[1], "--json", "--out", out)
    assert done.exit_code == 0, done.output
    p = [json.loads(one.stdout)["verdicts"][0]["measured"]["p_predictive"] for one in (alone, done)]
    assert p[0] < 0.05 < p[1]
    assert "a part of the precursor's light is added" in done.stderr
    assert "precursor" in read_ecsv(out).provenance.inputs
    swapped = run(mixed, "--grid", paths[1], "--precursor", paths[0])
    assert swapped.exit_code == 3
    assert "only a shock and a part of its precursor" in swapped.stderr


def with_hbeta(grid):
    line = GridLine(HBETA, 0.486269, (HBETA,))
    hbeta = np.full((*grid.log_hbeta.shape, 1), -0.47)
    ratio = np.concatenate([grid.log_ratio, hbeta], axis=-1)
    return dataclasses.replace(grid, lines=(*grid.lines, line), log_ratio=ratio,
                               mask=np.isnan(ratio))  # fmt: skip


def test_chains_are_written_and_are_those_of_the_sum(some, tmp_path):
    h5netcdf = pytest.importorskip("h5netcdf")
    out, chains = tmp_path / "out.ecsv", tmp_path / "chains"
    with x64(True):
        done = run(some, "--chains", chains, "--draws", 200, "--out", out)
    assert done.exit_code == 0, done.output
    assert "spectrum: " in done.stderr
    table = read_ecsv(out)
    rows = (table.data["prior"] == "log_shifted") & (table.data["floor"] == "per line")
    with h5netcdf.File(chains / "spectrum.nc", "r") as file:
        v = np.asarray(file.groups["posterior"].variables["v_kms"][...])
        record = json.loads(file.attrs["provenance"])
    assert v.shape[0] == 8
    sigma = 0.5 * np.log(table.data["v_p840"][rows][0] / table.data["v_p160"][rows][0])
    off = np.median(np.log(v)) - np.log(table.data["v_p500"][rows][0])
    assert abs(off) < 0.2 * sigma  # of some hundred effective draws
    assert record["inputs"] == table.provenance.inputs
    again = run(some, "--chains", chains, "--draws", 200)
    assert again.exit_code == 3
    assert "the file of chains is there" in again.stderr


def test_a_file_of_chains_that_is_there_is_seen_before_any_is_drawn(tmp_path):
    values = toy_loglinear().log_ratio[0, 0, 4, 16]
    n = len(values)
    two = AstropyTable({"spectrum": ["a"] * n + ["b"] * n, "line": list(LINES[:n]) * 2,
                        "log_ratio": [*values, *values],
                        "log_ratio_err": [0.02] * 2 * n})  # fmt: skip
    two.write(tmp_path / "two.ecsv", format="ascii.ecsv")
    place = tmp_path / "chains"
    place.mkdir()
    (place / "b.nc").write_bytes(b"mine")
    with x64(True):
        done = run(tmp_path / "two.ecsv", "--chains", place, "--draws", 8)
    assert done.exit_code == 3
    assert "the file of chains is there" in done.stderr
    assert [path.name for path in place.iterdir()] == ["b.nc"]


@pytest.mark.real_data
def test_the_printed_precursor_is_added_to_the_printed_shock(shared_data, tmp_path):
    """Allen et al. 2008, tables 6 and 7: what both together shine like is found as such."""
    paths = []
    for number, component in ((6, "shock"), (7, "precursor")):
        source = shared_data / f"shocks/allen2008_table{number}_{component}_solar_n1_B3.23.csv"
        paths.append(tmp_path / f"{component}.fits")
        asked = ["shocks", "grid", "import", "printed", str(source), "--out", str(paths[-1]),
                 "--abundance", "Allen2008_Solar", "--density", "1", "--field", "3.23",
                 "--component", component]  # fmt: skip
        done = CliRunner().invoke(cli, asked)
        assert done.exit_code == 0, done.output
    grids = [load_grid(path) for path in paths]
    both = combine(*grids)
    names = ["OIII_5007", "NII_6583", "SII_6716+6731", "SIII_9069+9531"]
    at = int(np.argmin(np.abs(both.v_kms - 500.0)))
    ratio = both.log_ratio[0, 0, 0, at][both.line_index(names)]
    table = AstropyTable({"line": names, "log_ratio": ratio, "log_ratio_err": [0.02] * 4})
    table.write(tmp_path / "sum.ecsv", format="ascii.ecsv")
    done = run(tmp_path / "sum.ecsv", "--grid", paths[0], "--precursor", paths[1], "--json")
    assert done.exit_code == 0, done.output
    c1 = json.loads(done.stdout)["verdicts"][0]["measured"]
    assert c1["chi2_min"] < 0.1
    assert c1["v_low_kms"] < 500.0 < c1["v_high_kms"]


@pytest.mark.real_data
def test_no_shock_makes_the_ratios_of_the_tip(shared_data, tmp_path):
    grid = import_long(shared_data / "shocks" / "allen08_mappingsV_shockonly_long.csv")
    save_grid(tmp_path / "grid.fits", grid)
    # RNAAS 2602.10682; H beta from H alpha.
    tip = ratios(tmp_path / "tip.ecsv", [0.76 - np.log10(2.86), -1.7, -1.1], 0.05)
    bow = tmp_path / "bow.ecsv"
    AstropyTable({"v_shock": np.linspace(250.0, 270.0, 50)}).write(bow, format="ascii.ecsv")
    done = run(tip, "--grid", tmp_path / "grid.fits", "--geometry", bow)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("spectrum C1: MODEL-INADEQUATE: no model of the grid makes")
    assert "precursor not modelled" in done.stderr
