"""Does `rbh1 shocks fit` answer, in words and as JSON, and write its table?

Oracle: ratios of a model of the toy grid; on real data, published ratios that no shock makes.
"""

import json

import numpy as np
import pytest
from astropy.table import Table as AstropyTable
from click.testing import CliRunner
from shock_cases import LINES

from ard.describe import unit_text
from ard.table import read_ecsv
from pipeline.cli import cli
from pipeline.shocks.gridfile import save_grid
from pipeline.shocks.importers.mdb import import_long
from pipeline.shocks.toy import toy_loglinear
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
