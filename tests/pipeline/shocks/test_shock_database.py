"""Does the query of the shock database give the models of one project and one component?

Oracle: a replica of the database's tables in SQLite, where a query without its filters gives other
numbers; the closed form that the replica was filled from.
"""

import csv
import dataclasses
import sqlite3
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from shock_tables import VELOCITIES, good_facts, law, over_hbeta

from ard.errors import ArdError, ExtraMissingError, FormatError
from pipeline.shocks.assemble import assemble
from pipeline.shocks.combine import combine
from pipeline.shocks.grid import Component, GridSource, ShockGrid
from pipeline.shocks.gridfile import content_sha256
from pipeline.shocks.importers import mdb, select

SOURCE = GridSource("code", "1", "test", Component.SHOCK, "here", "none", "", "", 0.0)
# Solar, n = 1, B = 0.5, as `good_facts` has it.
EXPECTED = law("NII_6583", np.array(0.5), np.array(VELOCITIES)) * 10.0**0.3


def replica() -> sqlite3.Connection:
    """The tables of the database, with three components and two projects of every model.

    A query without its filters mixes them: precursors are 2 times and sums 3 times as bright in
    metal lines, and the models of the other project 5 times.
    """
    facts = good_facts()
    base = sqlite3.connect(":memory:")
    base.execute(
        "CREATE TABLE shock_params (ModelID, ProjectID, AbundID, ref,"
        " preshck_dens, mag_fld, shck_vel)"
    )
    base.execute("CREATE TABLE abundances (AbundID, name)")
    for table, lines in mdb.TABLES.items():
        base.execute(f"CREATE TABLE {table} (ModelID, model_type, {', '.join(lines)})")
    names = sorted(set(facts.abundance))
    base.executemany("INSERT INTO abundances VALUES (?, ?)", list(enumerate(names)))
    values = {row.name: facts.ratio[:, k] for k, row in enumerate(facts.lines)}
    values["HeI_5876"] = 0.1 * values["OI_6300"]
    for project, (ref, brighter) in enumerate((("Allen08", 1.0), ("Allen08-cut", 5.0))):
        for k in range(len(facts.abundance)):
            model = 1000 * project + k
            keys = (facts.density_cm3[k], facts.field_ug[k], facts.velocity_kms[k])
            base.execute(
                "INSERT INTO shock_params VALUES (?, ?, ?, ?, ?, ?, ?)",
                (model, project, names.index(facts.abundance[k]), ref, *map(float, keys)),
            )
            for factor, kind in ((1.0, "shock"), (2.0, "precursor"), (3.0, "shock_plus_precursor")):
                for table, lines in mdb.TABLES.items():
                    flux = [
                        10.0 ** facts.log_hbeta[k]
                        * float(values[line][k])
                        * (1.0 if line.startswith("HI") else factor * brighter)
                        for line in lines
                    ]
                    marks = ", ".join("?" for _ in (1, 2, *lines))
                    base.execute(f"INSERT INTO {table} VALUES ({marks})", (model, kind, *flux))
    return base


def asked_of(base: sqlite3.Connection, query: mdb.Query) -> ShockGrid:
    sql, parameters = mdb.statement(query, mark="?")
    return assemble(mdb.facts_from_rows(base.execute(sql, parameters).fetchall()), SOURCE)


@pytest.mark.parametrize(
    ("component", "factor"),
    [
        (Component.SHOCK, 1.0),
        (Component.PRECURSOR, 2.0),
        (Component.SHOCK_PLUS_PRECURSOR, 3.0),
    ],
)
def test_query_gives_one_component_of_one_project(component, factor):
    grid = asked_of(replica(), mdb.Query("Allen08", component))
    assert grid.log_hbeta.shape == (2, 2, 4, 4)
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(factor * EXPECTED, rel=1e-9)
    sii = over_hbeta(grid, "SII_6716") + over_hbeta(grid, "SII_6731")
    assert over_hbeta(grid, "SII_6716+6731") == pytest.approx(sii, rel=1e-12)
    assert grid.log_hbeta[1, 1, 0, 0] == pytest.approx(-5.2 + 2.3 * np.log10(2.0))


def test_query_of_another_project_gives_other_numbers():
    grid = asked_of(replica(), mdb.Query("Allen08-cut", Component.SHOCK))
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(5.0 * EXPECTED, rel=1e-9)


@pytest.mark.parametrize(
    "dropped",
    [" AND emis_VI.model_type = ?", " AND emis_IR.model_type = ?", "WHERE sp.ref = ? "],
)
def test_each_filter_is_needed(dropped):
    """Without any one of them the same models come several times, and are refused."""
    sql, parameters = mdb.statement(mdb.Query("Allen08", Component.SHOCK), mark="?")
    assert sql.count(dropped) == 1
    assert parameters == ("shock", "shock", "Allen08")
    rest = parameters[1:] if " AND " in dropped else parameters[:2]
    rows = replica().execute(sql.replace(dropped, ""), rest).fetchall()
    assert len(rows) > 64
    with pytest.raises(FormatError, match="one model with two predictions"):
        assemble(mdb.facts_from_rows(rows), SOURCE)


def test_parameters_are_no_part_of_the_statement():
    query = mdb.Query("x'; DROP TABLE shock_params; --", Component.SHOCK)
    sql, parameters = mdb.statement(query)
    assert "DROP" not in sql
    assert sql.count("%s") == len(parameters) == 3
    assert parameters == ("shock", "shock", query.ref)
    with pytest.raises(FormatError, match="no such models"):
        asked_of(replica(), query)


@pytest.fixture
def faked(monkeypatch):
    """The database that `open_grid` asks, and what it was asked."""
    base, asked = replica(), []

    def ask(query):
        asked.append(query)
        sql, parameters = mdb.statement(query, mark="?")
        return base.execute(sql, parameters).fetchall()

    monkeypatch.setattr(mdb, "ask_database", ask)
    return base, asked


@pytest.mark.parametrize("nothing", ["NULL", "0.0"])
def test_a_model_without_h_beta_is_masked_and_said(faked, nothing):
    whole = select.open_grid("3mdbs")
    faked[0].execute(f"UPDATE emis_VI SET HI_4861 = {nothing} WHERE ModelID = 3")
    grid = select.open_grid("3mdbs")
    assert grid.mask.all(axis=-1).sum() == np.isnan(grid.log_hbeta).sum() == 1
    assert np.array_equal(grid.log_ratio[~grid.mask], whole.log_ratio[~grid.mask])
    rows = {d.code: d for d in grid.source.known_defects}
    assert rows["MISSING_HBETA"].handling == "masked"
    assert rows["MISSING_HBETA"].subject == "Allen2008_LMC n=0.01 B=0.05 v=500"
    faked[0].execute(f"UPDATE emis_VI SET HI_4861 = {nothing}")
    with pytest.raises(FormatError, match="no model has an H beta flux"):
        select.open_grid("3mdbs")


@pytest.mark.parametrize(
    ("name", "ref", "component", "factor"),
    [
        ("3mdbs", "Allen08", Component.SHOCK, 1.0),
        ("3mdbs:Allen08-cut", "Allen08-cut", Component.SHOCK, 5.0),
        ("3mdbs:Allen08:precursor", "Allen08", Component.PRECURSOR, 2.0),
        (
            "3mdbs:Allen08-cut:shock_plus_precursor",
            "Allen08-cut",
            Component.SHOCK_PLUS_PRECURSOR,
            15.0,
        ),
    ],
)
def test_a_name_says_which_models_are_asked_for(faked, name, ref, component, factor):
    grid = select.open_grid(name)
    assert faked[1] == [mdb.Query(ref, component)]
    assert (grid.source.project, grid.component) == (ref, component)
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(factor * EXPECTED, rel=1e-9)


def test_a_precursor_of_the_database_is_added_to_its_shock(faked):
    """Oracle: metal lines twice as bright, with the same H beta."""
    both = combine(select.open_grid("3mdbs"), select.open_grid("3mdbs:Allen08:precursor"))
    assert over_hbeta(both, "NII_6583")[1, 1, 0] == pytest.approx(1.5 * EXPECTED, rel=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        *("3mdbs:", "3mdbs:Allen08:", "3mdbs:Allen08:wind", "3mdbs:Allen08:hii"),
        *("3mdbs:../x", "3mdbs:a_b", "3mdbs:a:shock:b"),
    ],
)
def test_a_name_that_asks_for_nothing_is_refused(faked, name):
    with pytest.raises(ArdError, match="names no models of the shock database"):
        select.open_grid(name)
    assert faked[1] == []


def test_what_was_asked_and_when_is_recorded(faked):
    before = datetime.now(UTC).date()
    first = select.open_grid("3mdbs").source
    assert before <= date.fromisoformat(first.retrieved) <= datetime.now(UTC).date()
    assert len(first.sha256) == 64
    assert select.open_grid("3mdbs").source.sha256 == first.sha256
    faked[0].execute("UPDATE emis_IR SET SIII_9069 = NULL WHERE ModelID = 3")
    assert select.open_grid("3mdbs").source.sha256 != first.sha256


def test_the_order_of_rows_is_no_part_of_their_digest():
    sql, parameters = mdb.statement(mdb.Query("Allen08", Component.SHOCK), mark="?")
    rows = replica().execute(sql, parameters).fetchall()
    exact = [(row[0], *map(Decimal, row[1:])) for row in rows[::-1]]
    assert mdb.rows_sha256(exact) == mdb.rows_sha256(rows)


# ---- a table with the database's own names


def dump(path, *, where="sp.ref = 'Allen08' AND v.model_type = 'shock'", more="", null=""):
    """What a client of the database writes of a query: fluxes in erg cm-2 s-1."""
    lines = [f"{letter}.{name}" for letter, t in (("v", "emis_VI"), ("i", "emis_IR"))
             for name in mdb.TABLES[t]]  # fmt: skip
    base = replica()
    base.execute("UPDATE emis_IR SET SIII_9069 = NULL WHERE ModelID = 7")
    found = base.execute(
        f"SELECT a.name, sp.preshck_dens, sp.mag_fld, sp.shck_vel, {more} {', '.join(lines)}"
        " FROM shock_params sp JOIN abundances a ON a.AbundID = sp.AbundID"
        " JOIN emis_VI v ON v.ModelID = sp.ModelID JOIN emis_IR i ON i.ModelID = sp.ModelID"
        f" AND i.model_type = v.model_type WHERE {where}"
    )
    head = [column[0] for column in found.description]
    with path.open("w", newline="") as stream:
        out = csv.writer(stream, quoting=csv.QUOTE_ALL if null == "NULL" else csv.QUOTE_MINIMAL)
        out.writerow(head)
        out.writerows([null if cell is None else cell for cell in row] for row in found)
    return select.Asked("long", path)


@pytest.mark.parametrize("null", ["", "NULL", "\\N"])
def test_a_long_table_may_have_the_names_of_the_database(tmp_path, faked, null):
    faked[0].execute("UPDATE emis_IR SET SIII_9069 = NULL WHERE ModelID = 7")
    asked = dump(tmp_path / "long.csv", more="sp.ModelID, sp.ref, v.model_type,", null=null)
    grid = select.import_grid(asked)
    assert content_sha256(grid) == content_sha256(select.open_grid("3mdbs"))
    assert (grid.source.project, grid.component) == ("Allen08", Component.SHOCK)
    assert grid.mask.sum() == 2  # the line, and the sum with it
    assert select.published(asked).log_hbeta.size == 64


def test_a_dump_that_does_not_say_what_it_holds_is_told(tmp_path):
    asked = dump(tmp_path / "long.csv", more="sp.ModelID AS made_by,")
    grid = select.import_grid(dataclasses.replace(asked, component=Component.PRECURSOR))
    assert grid.component is Component.PRECURSOR
    assert "not stated" in grid.source.project
    (left,) = [d for d in grid.source.known_defects if d.code == "UNREAD_COLUMN"]
    assert "made_by" in left.detail


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("sp.ref = 'Allen08'", "several values of model_type"),
        ("v.model_type = 'shock'", "several values of ref"),
    ],
)
def test_a_dump_that_mixes_models_is_refused(tmp_path, where, says):
    asked = dump(tmp_path / "long.csv", where=where, more="sp.ref, v.model_type,")
    with pytest.raises(FormatError, match=says) as caught:
        select.import_grid(asked)
    assert caught.value.file == str(asked.file)
    # What does not say it is found by its models.
    with pytest.raises(FormatError, match="one model with two predictions"):
        select.import_grid(dump(tmp_path / "mute.csv", where=where))


def test_a_dump_of_another_component_is_refused(tmp_path):
    asked = dump(tmp_path / "long.csv", more="v.model_type,")
    with pytest.raises(FormatError, match="of another component"):
        select.import_grid(dataclasses.replace(asked, component=Component.PRECURSOR))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name,", "who,", "no abundance"),
        ("shck_vel,", "speed,", "no shck_vel"),
        ("shock", "wind", "a component that is not known"),
    ],
)
def test_a_dump_that_lacks_something_is_refused(tmp_path, old, new, says):
    asked = dump(tmp_path / "long.csv", more="v.model_type,")
    asked.file.write_text(asked.file.read_text().replace(old, new))
    with pytest.raises(FormatError, match=says) as caught:
        select.import_grid(asked)
    assert caught.value.file == str(asked.file)


def test_credentials_are_asked_for_by_name_and_never_shown():
    given = {"MdB_HOST": "h", "MdB_USER": "u", "MdB_PASSWD": "s3cret"}
    with pytest.raises(ArdError, match="cannot be asked without credentials") as caught:
        mdb.ask_database(mdb.Query("Allen08", Component.SHOCK), given)
    assert "MdB_PORT" in str(caught.value.found)
    assert "s3cret" not in str(caught.value)


def test_without_the_driver_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    given = dict.fromkeys(mdb.CREDENTIALS, "1")
    with pytest.raises(ExtraMissingError, match=r"pymysql") as caught:
        mdb.ask_database(mdb.Query("Allen08", Component.SHOCK), given)
    assert "rbh1-ard[mdb]" in str(caught.value.action)


class Driver:
    """A pymysql that answers from the replica: `%s` becomes `?`."""

    MySQLError = sqlite3.Error

    def __init__(self, fail: bool = False) -> None:
        self.fail = fail
        self.asked: dict[str, object] = {}

    def connect(self, **settings):
        self.asked = settings
        if self.fail:
            raise OSError("secret host refused")
        return Connection()


class Connection:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def cursor(self):
        return Cursor()


class Cursor(Connection):
    def execute(self, sql, parameters):
        self.rows = replica().execute(sql.replace("%s", "?"), parameters).fetchall()

    def fetchall(self):
        return self.rows


def test_database_is_asked_with_the_credentials(monkeypatch):
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pymysql", driver)
    for name, value in zip(mdb.CREDENTIALS, ("h", "u", "p", "3306"), strict=True):
        monkeypatch.setenv(name, value)
    grid = select.open_grid("3mdbs")
    assert (driver.asked["host"], driver.asked["port"]) == ("h", 3306)
    assert driver.asked["database"] == "3MdBs"
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(EXPECTED, rel=1e-9)
    assert grid.source.project == "Allen08"


def test_a_server_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", Driver(fail=True))
    given = dict.fromkeys(mdb.CREDENTIALS, "1")
    with pytest.raises(ArdError, match="does not answer") as caught:
        mdb.ask_database(mdb.Query("Allen08", Component.SHOCK), given)
    assert "secret" not in str(caught.value)
