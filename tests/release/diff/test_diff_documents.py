"""Does the list of changed values say everything in which two JSON documents differ, and no more?

Oracles: inverse construction (changes that are planted are the ones that are found), and a
replay: applying the listed changes to the old document gives the new one.
"""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from versions import mirrored

from release.diff.documents import value_changes
from release.diff.model import ValueChange, _plain

KEYS = st.sampled_from(["a", "b_c", "d.e", "@id", "x y"])
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, DOCUMENTS, max_size=4)
STEP = re.compile(r'\["(?P<quoted>[^"]*)"\]|\[(?P<number>\d+)\]|\.?(?P<plain>[\w@-]+)')


def steps(path: str):
    for found in STEP.finditer(path):
        yield int(found["number"]) if found["number"] else found["quoted"] or found["plain"]


def apply(document, changes):
    """Carry out changes whose lists are told by position."""
    document = copy.deepcopy(document)
    # Taken away from behind, and added from the front, so that positions stay right.
    removed = [change for change in changes if change.state == "removed"]
    others = [change for change in changes if change.state != "removed"]
    for change in [*removed[::-1], *others]:
        *way, last = steps(change.path)
        place = document
        for step in way:
            place = place[step]
        if change.state == "removed":
            del place[last]
        elif isinstance(place, list) and change.state == "added":
            place.insert(last, change.after)
        else:
            place[last] = change.after
    return document


def has_named_rows(value) -> bool:
    """Whether a list in it is matched by names, whose paths the replay does not read."""
    if isinstance(value, list):
        return any(isinstance(row, dict) and "@id" in row for row in value) or any(
            map(has_named_rows, value)
        )
    return isinstance(value, dict) and any(map(has_named_rows, value.values()))


@given(OBJECTS, OBJECTS)
def test_the_changes_lead_from_the_old_to_the_new(before, after):
    changes = value_changes(before, after)
    assert (changes == []) == (repr_of(before) == repr_of(after))
    if not has_named_rows(before) and not has_named_rows(after):
        assert repr_of(apply(before, changes)) == repr_of(after)


def repr_of(document):
    """A text that tells true from 1, but not 1 from 1.0, and no order of fields."""
    if isinstance(document, dict):
        return {key: repr_of(value) for key, value in document.items()}
    if isinstance(document, list):
        return [repr_of(value) for value in document]
    return (isinstance(document, bool), document)


@given(OBJECTS)
def test_a_document_does_not_differ_from_itself(document):
    assert value_changes(document, copy.deepcopy(document)) == []


@given(OBJECTS, OBJECTS)
def test_backwards_is_the_mirror_image(before, after):
    there, back = value_changes(before, after), value_changes(after, before)
    assert mirrored(_plain(there)) == mirrored(mirrored(_plain(back)))


def test_a_value_is_named_by_its_path():
    before = {"cube": {"shape": [1, 2]}, "inputs": {"work/a.fits": "x"}, "gone": None}
    after = {"cube": {"shape": [1, 3]}, "inputs": {"work/a.fits": "y"}, "come": [1]}
    assert value_changes(before, after) == [
        ValueChange("come", "added", None, [1]),
        ValueChange("cube.shape[1]", "changed", 2, 3),
        ValueChange("gone", "removed", None, None),
        ValueChange('inputs["work/a.fits"]', "changed", "x", "y"),
    ]


def test_rows_with_names_are_matched_by_them():
    before = {"maps": [{"group": "oiii", "n": 1}, {"group": "halpha", "n": 2}]}
    after = {"maps": [{"group": "nii", "n": 3}, *before["maps"][:1], {"group": "halpha", "n": 4}]}
    assert value_changes(before, after) == [
        ValueChange("maps[group=halpha].n", "changed", 2, 4),
        ValueChange("maps[group=nii]", "added", None, {"group": "nii", "n": 3}),
    ]


def test_another_order_of_rows_with_names_is_told_once():
    rows = [{"@id": name} for name in "abc"]
    changes = value_changes({"graph": rows}, {"graph": rows[::-1]})
    expected = ValueChange("graph[order]", "changed", ["a", "b", "c"], ["c", "b", "a"])
    assert changes == [expected]


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (None, 0), ("1", 1)])
def test_kinds_of_values_are_told_apart(before, after):
    assert len(value_changes({"a": before}, {"a": after})) == 1


def test_a_whole_number_equals_its_float():
    assert value_changes({"a": 1}, {"a": 1.0}) == []
