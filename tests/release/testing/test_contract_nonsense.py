"""Does the server have an answer to whatever is sent?

Oracle: every answer is a success that can be shown in both shapes, or a refusal; hypothesis puts
nonsense into a good document, and sends nonsense of its own.
"""

import copy
import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release.testing import legacy, shapes
from release.testing.files import _checked
from release.testing.index import Index
from release.testing.model import Refusal
from release.testing.shapes import View
from release.testing.state import State
from release.testing.validation import load, publication_errors

FULL: dict[str, Any] = {
    "access": {"record": "public", "files": "public"},
    "files": {"enabled": True},
    "pids": {"doi": {"identifier": "10.1234/x", "provider": "external"}},
    "custom_fields": {},
    "metadata": {
        "title": "A wake",
        "publication_date": "2026-01-01",
        "publisher": "Zenodo",
        "resource_type": {"id": "dataset"},
        "creators": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "Doe",
                    "identifiers": [{"scheme": "orcid", "identifier": "0000-0002-1825-0097"}],
                },
                "affiliations": [{"name": "Lab"}],
            }
        ],
        "contributors": [
            {
                "person_or_org": {"type": "organizational", "name": "STScI"},
                "role": {"id": "datacollector"},
            }
        ],
        "subjects": [{"subject": "black holes"}],
        "dates": [{"date": "2023/2024", "type": {"id": "collected"}}],
        "languages": [{"id": "eng"}],
        "rights": [{"id": "cc-by-4.0"}],
        "related_identifiers": [
            {
                "identifier": "10.1234/y",
                "scheme": "doi",
                "relation_type": {"id": "cites"},
                "resource_type": {"id": "publication-preprint"},
            }
        ],
        "additional_titles": [{"title": "Sub", "type": {"id": "subtitle"}}],
        "description": "<p>Text</p>",
        "additional_descriptions": [{"description": "Text", "type": {"id": "methods"}}],
        "funding": [{"funder": {"name": "NASA"}}],
        "references": [{"reference": "Doe"}],
        "version": "1.0",
    },
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.just("eng"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "title", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be replaced in a document."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    found = [(*at, name) for name, _ in inner]
    for name, item in inner:
        found += places(item, (*at, name))
    return found


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """A good document with nonsense in a few places, or without what was there."""
    document = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(document)))
        inner = document
        for name in path:
            inner = inner[name]
        if draw(st.booleans()):
            inner[last] = draw(JUNK)
        else:
            del inner[last]
    return document


def state_of_nothing() -> State:
    index = Index(lambda version, draft: {}, time.time)
    return State(doi_prefix="10.5072", clock=time.time, index=index)


def refused(refusal: Refusal, *statuses: int) -> None:
    assert refusal.status in statuses
    assert refusal.message


@given(st.one_of(spoiled(), JUNK))
def test_every_document_is_shown_or_refused(document):
    state = state_of_nothing()
    try:
        version, errors = state.create("1", load(document))
    except Refusal as refusal:
        refused(refusal, 400, 501)
        return
    for view in (View("http://x", draft=True), View("http://x", draft=True, titles=False)):
        for shape in (shapes.record, legacy.record):
            assert json.loads(json.dumps(shape(version, view, errors)))["links"]
    assert isinstance(publication_errors(shapes.body_of(version, draft=True).metadata), list)


@given(spoiled())
def test_what_was_accepted_is_accepted_again(document):
    try:
        first = load(document)
    except Refusal:
        return
    if first.errors or not first.metadata:
        return  # what is dropped may make good what it was in the way of
    again = load({**document, "metadata": first.metadata})
    assert (again.metadata, again.errors) == (first.metadata, [])


def test_the_good_document_is_good():
    assert load(FULL).errors == []


@given(JUNK | st.lists(st.dictionaries(st.sampled_from(["key", "size", "transfer"]), JUNK)))
def test_every_announcement_is_taken_or_refused(items):
    try:
        taken = _checked(items)
    except Refusal as refusal:
        refused(refusal, 400)
        return
    assert all(isinstance(item["key"], str) for item in taken)


@given(st.dictionaries(st.sampled_from(["@context", "@graph"]), JUNK | st.lists(JUNK)))
def test_every_crate_is_read(crate):
    metadata = legacy.from_crate({"@graph": [], **crate})["metadata"]
    assert load({"metadata": metadata}).metadata["resource_type"] == {"id": "dataset"}
