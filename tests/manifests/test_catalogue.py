"""Are the words for catalogues known words, and identifiers and days what they claim to be?

Oracles: the lists of DataCite's own schema; the example that ORCID documents its checksum with.
"""

import importlib.resources
import json

import pytest

from manifests.catalogue import (
    EVENTS,
    RELATIONS,
    RESOURCE_TYPES,
    ROLES,
    SCHEMES,
    Agent,
    Related,
    Scope,
    is_line,
    is_orcid,
    is_period,
    is_ror,
)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (RELATIONS, "relationType"),
        (ROLES, "contributorType"),
        (RESOURCE_TYPES, "resourceTypeGeneral"),
        (tuple(SCHEMES), "relatedIdentifierType"),
        (EVENTS, "dateType"),
    ],
)
def test_every_word_is_one_of_datacites(words, name):
    path = importlib.resources.files("datacite") / "schemas/datacite-v4.5.json"
    known = json.loads(path.read_text())["definitions"][name]["enum"]
    assert set(words) <= set(known)


@pytest.mark.parametrize(
    "text", ["0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X"]
)
def test_an_orcid_is_known_by_its_checksum(text):
    assert is_orcid(text)
    digit = "1" if text[-1] != "1" else "2"
    assert not is_orcid(text[:-1] + digit)
    assert not is_orcid(f"https://orcid.org/{text}")
    assert not is_orcid(text.replace("-", ""))


DAYS = ("2026", "2026-02", "2026-02-28", "2024-02-29", "2023-01-01/2024-12-31", "2025/2025-03")
NO_DAYS = (
    *("", "26", "2026-13", "2026-02-29", "2026-2-3", "2026-01-01T00:00", "2026-02-30", "0000"),
    *("2026/2025", "2024/2025/2026", "/2026"),
)


@pytest.mark.parametrize("text", DAYS)
def test_days_and_periods(text):
    assert is_period(text)


@pytest.mark.parametrize("text", NO_DAYS)
def test_what_is_no_day_or_period(text):
    assert not is_period(text)


def test_one_line_holds_nothing_that_cannot_be_seen():
    assert is_line("Müller & Söhne | “x” 中 🔭")
    for text in ("", " a", "a ", "a\nb", "a\tb", "a\u2028b", "a\x00b", "\ud800"):
        assert not is_line(text)


def test_a_ror_is_given_without_its_address():
    assert is_ror("01ggx4157")
    assert not is_ror("https://ror.org/01ggx4157")


@pytest.mark.parametrize(
    ("scope", "item", "simulated", "covered"),
    [
        (Scope(), None, True, True),
        (Scope(("rbh1",)), "rbh1", True, True),
        (Scope(("rbh1",)), "ngc1", False, False),
        (Scope(("rbh1",)), None, False, False),
        (Scope((), "observed"), "rbh1", False, True),
        (Scope((), "observed"), "rbh1", True, False),
        (Scope((), "simulated"), "rbh1", True, True),
    ],
)
def test_a_row_holds_for_the_runs_that_it_names(scope, item, simulated, covered):
    assert scope.covers(item, simulated) is covered


@pytest.mark.parametrize(
    ("scheme", "identifier", "url"),
    [
        ("DOI", "10.1/x", "https://doi.org/10.1/x"),
        ("arXiv", "arXiv:2512.04166", "https://arxiv.org/abs/2512.04166"),
        ("URL", "https://x.org/a", "https://x.org/a"),
    ],
)
def test_what_is_related_can_be_found(scheme, identifier, url):
    assert Related("Cites", scheme, identifier, "Dataset").url == url


def test_a_person_has_a_family_name():
    assert Agent("Doe, J.", "Doe", "J.").is_person
    assert not Agent("A group").is_person
