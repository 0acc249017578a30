"""Do `rbh1 shocks grid import` and `check` say what they found, with the right exit code?

Oracle: the table that the file was written from, and one defect planted in it.
"""

import json

import pytest
from click.testing import CliRunner
from shock_tables import (
    good_facts,
    rows_taken,
    with_line,
    write_library,
    write_long,
    write_wide,
    write_zenodo,
)

from pipeline.cli import cli
from pipeline.shocks.grid import Component
from pipeline.shocks.gridfile import load_grid


def run(*words):
    return CliRunner().invoke(cli, ["shocks", "grid", *map(str, words)])


@pytest.fixture
def bad(tmp_path):
    """[O III] and [N II] are the same row."""
    facts = good_facts()
    copied = with_line(facts, "NII_6583", lambda _: facts.column("OIII_5007"))
    return write_long(tmp_path / "bad.csv", copied)


def test_a_table_becomes_a_grid(tmp_path):
    file = write_long(tmp_path / "long.csv", good_facts())
    out = tmp_path / "grid.fits"
    done = run("import", "long", file, "--out", out, "--retrieved", "2026-01-31", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["paths"]["record"].endswith("grid.json")
    assert load_grid(out).source.retrieved == "2026-01-31"
    assert run("check", "grid", out).exit_code == 0


def test_a_wide_table_needs_its_setting(tmp_path):
    facts = good_facts()
    rows = (facts.abundance == "Allen2008_Solar") & (facts.density_cm3 == 1.0)
    rows &= facts.field_ug == 0.5
    file = write_wide(tmp_path / "wide.csv", rows_taken(facts, rows.nonzero()[0]))
    without = run("import", "wide", file, "--out", tmp_path / "grid.fits")
    assert without.exit_code == 3
    assert "give all three" in without.stderr
    setting = ("--abundance", "Allen2008_Solar", "--density", 1, "--field", 0.5)
    assert run("import", "wide", file, "--out", tmp_path / "g.fits", *setting).exit_code == 0


@pytest.fixture
def files(tmp_path):
    """A table of each form; of one setting where the form holds one."""
    facts = good_facts()
    rows = (facts.abundance == "Allen2008_Solar") & (facts.density_cm3 == 1.0)
    one = rows_taken(facts, (rows & (facts.field_ug == 0.5)).nonzero()[0])
    return {
        "long": write_long(tmp_path / "long.csv", facts),
        "wide": write_wide(tmp_path / "wide.csv", one),
        "printed": write_wide(tmp_path / "printed.csv", one),
        "library": write_library(tmp_path / "lib.txt", one),
        "zenodo": write_zenodo(tmp_path, facts),
    }


SETTING = ("--abundance", "Allen2008_Solar", "--density", 1, "--field", 0.5)


@pytest.mark.parametrize("form", ["long", "wide", "printed"])
def test_what_is_said_of_a_table_is_recorded(files, tmp_path, form):
    out = tmp_path / "grid.fits"
    words = ("--component", "precursor", "--retrieved", "2026-01-31")
    words += () if form == "long" else SETTING
    done = run("import", form, files[form], "--out", out, *words)
    assert done.exit_code == 0, done.output
    source = load_grid(out).source
    assert (source.component, source.retrieved) == (Component.PRECURSOR, "2026-01-31")
    assert source.solar == "anders-grevesse-1989"


@pytest.mark.parametrize("form", ["library", "zenodo"])
def test_a_component_that_the_file_says_itself_is_not_given_another(files, tmp_path, form):
    out = ("--out", tmp_path / "grid.fits")
    done = run("import", form, files[form], *out, "--component", "precursor")
    assert done.exit_code == 3
    assert "the file is of another component" in done.stderr
    assert "shock" in done.stderr
    words = ("--component", "shock", "--retrieved", "2026-01-31")
    done = run("import", form, files[form], *out, *words)
    assert done.exit_code == 0, done.output
    assert load_grid(out[1]).source.retrieved == "2026-01-31"


@pytest.mark.parametrize("form", ["long", "library", "zenodo"])
@pytest.mark.parametrize("verb", ["import", "check"])
def test_a_setting_that_the_file_says_itself_is_not_given(files, tmp_path, form, verb):
    words = ("--out", tmp_path / "grid.fits") if verb == "import" else ()
    done = run(verb, form, files[form], *words, "--field", 3.23)
    assert done.exit_code == 3
    assert "says itself which models it holds" in done.stderr
    assert "leave out --field" in done.stderr


def test_a_date_that_is_none_is_wrong_usage(files, tmp_path):
    out = ("--out", tmp_path / "grid.fits")
    for date in ("yesterday", "2026-31-01"):
        assert run("import", "long", files["long"], *out, "--retrieved", date).exit_code == 2


def test_defects_are_named_and_fail(bad, tmp_path):
    done = run("check", "long", bad)
    assert done.exit_code == 1
    assert "DUPLICATE_LINE: [O III] λ5007 = [N II] λ6583" in done.stdout
    rows = json.loads(run("check", "long", bad, "--json").stdout)
    assert [row["code"] for row in rows] == ["DUPLICATE_LINE"]
    out = tmp_path / "grid.fits"
    imported = run("import", "long", bad, "--out", out)
    assert imported.exit_code == 0
    assert "DUPLICATE_LINE" in imported.stderr
    assert run("check", "grid", out).exit_code == 0  # both lines are masked


def test_a_table_that_breaks_its_model_is_refused(tmp_path):
    file = write_long(tmp_path / "long.csv", good_facts())
    file.write_text(file.read_text().replace("Allen2008_LMC,1,", "Allen2008_LMC,-1,"))
    done = run("import", "long", file, "--out", tmp_path / "grid.fits")
    assert done.exit_code == 3
    assert "density_cm3: greater_than(0)" in done.stderr


def test_a_form_that_nobody_knows_is_wrong_usage(tmp_path):
    assert run("import", "parquet", "x", "--out", tmp_path / "x.fits").exit_code == 2
