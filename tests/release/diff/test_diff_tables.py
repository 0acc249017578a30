"""Are rows matched by what names them, and are changed cells, columns and units found?

Oracles: dictionaries of Python values compared key by key, on random tables; and planted changes.
"""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from versions import EVERYTHING, mirrored

import ard
from release.diff.ecsv import ecsv_change
from release.diff.model import Bounds, CellChange, ColumnSide, ValueChange, _plain


def compare(folder, old: Table, new: Table, bounds: Bounds = EVERYTHING, meta=None):
    said_of = meta or ({}, {})
    for name, table, said in zip(("old", "new"), (old, new), said_of, strict=True):
        ard.write(folder / f"{name}.ecsv", ard.Table(table, said), overwrite=True)
    return ecsv_change(folder / "old.ecsv", folder / "new.ecsv", bounds)


NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


@st.composite
def tables(draw):
    names = draw(NAMES)
    n = len(names)
    numbers = draw(st.lists(st.sampled_from([0.0, 1.5, np.nan]), min_size=n, max_size=n))
    texts = draw(st.lists(st.sampled_from(["x", "y"]), min_size=n, max_size=n))
    hidden = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    counts = MaskedColumn(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), mask=hidden)
    return Table({"name": names, "value": numbers, "text": texts, "count": counts})


def cells(table: Table) -> dict[str, dict[str, object]]:
    rows = {}
    for row in table:
        values = {name: row[name] for name in table.colnames if name != "name"}
        rows[str(row["name"])] = {
            name: None if v is np.ma.masked else "nan" if v != v else v
            for name, v in values.items()
        }
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(tables(), tables(), st.sampled_from([1, 10**6]))
def test_random_tables_differ_as_dictionaries_do(tmp_path, old, new, block):
    change = compare(tmp_path, old, new, Bounds(10**6, block))
    was, now = cells(old), cells(new)
    both = [name for name in was if name in now]
    if not both:
        assert change.key is None or change.key == "text"
        return
    order = [name for name in now if name in was]
    expected = {
        (name, column)
        for name in both
        for column in was[name]
        if was[name][column] != now[name][column]
    }
    if was == now and both == order:
        assert change is None
        return
    if change.key == "text":
        return  # it happens to name more rows
    assert change.key == "name"
    assert {(cell.row, cell.column) for cell in change.cells.rows} == expected
    assert change.cells.total == len(expected)
    assert set(change.rows_added.rows) == now.keys() - was.keys()
    assert set(change.rows_removed.rows) == was.keys() - now.keys()
    assert change.rows_changed == len({name for name, _ in expected})
    assert change.reordered == (both != order)
    for cell in change.cells.rows:
        assert cell.before == was[cell.row][cell.column]
        assert cell.after == now[cell.row][cell.column]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(tables(), tables())
def test_backwards_is_the_mirror_image(tmp_path, old, new):
    there, back = compare(tmp_path, old, new), compare(tmp_path, new, old)
    assert mirrored(_plain(there)) == mirrored(mirrored(_plain(back)))


def test_without_a_name_rows_are_matched_by_position(tmp_path):
    old, new = Table({"x": [1.0, 2.0, 3.0]}), Table({"x": [1.0, 2.5]})
    change = compare(tmp_path, old, new)
    assert (change.key, change.before, change.after) == (None, 3, 2)
    assert change.rows_removed.rows == (2,)
    assert change.cells.rows == (CellChange(1, "x", 2.0, 2.5),)
    (column,) = change.columns
    assert (column.cells, column.spread.max_abs, column.spread.max_rel) == (1, 0.5, 0.2)


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ({"name": ["a", "a"], "filename": ["f", "g"]}, "filename"),  # not unique
        ({"label": ["p", "q"], "item": ["i", "j"]}, "item"),  # the usual name first
        ({"label": ["p", "q"]}, "label"),
        ({"number": [1, 2]}, None),  # numbers name nothing
    ],
)
def test_the_column_that_names_rows_is_found(tmp_path, column, key):
    old, new = Table({**column, "x": [1.0, 2.0]}), Table({**column, "x": [1.0, 3.0]})
    assert compare(tmp_path, old, new).key == key


def test_the_names_that_most_rows_share_are_taken(tmp_path):
    old = Table({"name": ["a", "b"], "label": ["p", "q"]})
    new = Table({"name": ["a", "z"], "label": ["p", "q"]})
    change = compare(tmp_path, old, new)
    assert change.key == "label"
    assert change.cells.rows == (CellChange("q", "name", "b", "z"),)


def test_columns_come_go_and_change_unit_and_type(tmp_path):
    old = Table({"name": ["a"], "wave": [1.0], "n": [1], "old": ["x"]})
    new = Table({"name": ["a"], "wave": [1000.0], "n": [1.0], "new": [2.0]})
    old["wave"].unit, new["wave"].unit = "um", "nm"
    change = compare(tmp_path, old, new)
    columns = {column.name: column for column in change.columns}
    assert columns["wave"].before == ColumnSide("float64", "um")
    assert columns["wave"].after == ColumnSide("float64", "nm")
    assert columns["wave"].cells == 1
    assert (columns["n"].before.dtype, columns["n"].after.dtype) == ("int64", "float64")
    assert columns["n"].cells == 0
    assert (columns["old"].state, columns["new"].state) == ("removed", "added")


def test_a_column_of_another_kind_differs_in_every_row(tmp_path):
    change = compare(tmp_path, Table({"x": [1, 2]}), Table({"x": ["1", "2"]}))
    assert (change.cells.total, change.columns[0].spread) == (2, None)


def test_a_long_text_is_no_change_of_the_type(tmp_path):
    old, new = Table({"name": ["a"], "t": ["x"]}), Table({"name": ["a"], "t": ["longer"]})
    (column,) = compare(tmp_path, old, new).columns
    assert column.before == column.after == ColumnSide("str", "")


def test_what_is_said_about_a_table_is_compared(tmp_path):
    table = Table({"x": [1.0]})
    change = compare(tmp_path, table, table, meta=({"a": 1}, {"a": 2}))
    assert change.values.rows == (ValueChange("a", "changed", 1, 2),)
    assert compare(tmp_path, table, table, meta=({"a": 1}, {"a": 1})) is None


def test_arrays_and_times_in_cells_are_compared(tmp_path):
    def table(value, day):
        rows = np.empty(2, dtype=object)
        rows[:] = [[1.0], [2.0, value]]
        times = Time(["2023-01-01", day])
        return Table({"pair": [[1, 2], [3, 4]], "series": rows, "when": times})

    old, new = table(3.0, "2024-01-01"), table(4.0, "2024-01-02")
    change = compare(tmp_path, old, new)
    found = {(cell.row, cell.column) for cell in change.cells.rows}
    # A time is kept in two columns.
    assert found == {(1, "series"), (1, "when.jd1"), (1, "when.jd2")}


def test_only_the_first_cells_are_listed_and_all_are_counted(tmp_path):
    old, new = (
        Table({"x": np.zeros(9), "y": np.zeros(9)}),
        Table({"x": np.ones(9), "y": np.ones(9)}),
    )
    change = compare(tmp_path, old, new, Bounds(4, 1 << 20))
    assert (len(change.cells.rows), change.cells.total, change.rows_changed) == (4, 18, 9)
