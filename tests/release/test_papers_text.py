"""Does any title, author or keyword come through every paper unharmed, and does nothing leak?

Oracles: the parsers of other people (json, PyYAML, the standard library's HTML parser), which have
to give back the very text that went in; the bytes of two versions of one run, compared file by
file.
"""

import dataclasses
import json
from html.parser import HTMLParser

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from papers import DEPOSIT, FIRST, ORCID, SECOND, make_release
from small_run import FakeJudge

from manifests.catalogue import Agent, is_line
from release.build import Options, build
from release.model import Release
from release.record import record_of
from release.render.citation import render_citation
from release.render.datacite import datacite_document
from release.render.datapackage import datapackage_document
from release.render.landing import render_landing
from release.render.rocrate import crate_document
from release.render.zenodo import record_problems, render_description, zenodo_document

# Where the version and its DOI may stand, so that a new version changes no other file.
VERSIONED = {
    *("README.md", "CITATION.cff", "ro-crate-metadata.json", "datacite.json", "datapackage.json"),
    *("zenodo.json", "index.html", "manifest.json", "CHANGELOG.md"),
}
# These hold the digests of the others.
LISTS = {"sha256sums.txt"}
NASTY = "'\"|&<>`\\{}[]#*_: -!%@,?~^$ ()=+;/éß中🔭\u200d\u00a0"

lines = st.text(
    st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))),
    min_size=1,
    max_size=60,
).filter(lambda text: is_line(text) and "{target}" not in text)
titles = lines.filter(lambda text: len(text) >= 3)


@st.composite
def datasets(draw):
    """A title, an abstract, authors and keywords of any letters."""
    names = draw(st.lists(lines, min_size=1, max_size=3, unique=True))
    family, given = draw(lines), draw(lines)
    person = Agent(f"{family}, {given}", family, given, ORCID, (draw(lines),))
    return {
        "title": draw(titles),
        "abstract": draw(titles),
        "creators": (*map(Agent, names), person),
        "keywords": tuple(draw(st.lists(lines, min_size=1, max_size=3, unique=True))),
    }


HOSTILE = {
    "title": "</script><script>alert(1)</script><!-- ]]> '\"`",
    "abstract": "a\u200db & <b>c</b> \"d\" 'e' {{ f }} {% g %}",
    "creators": (Agent("- x: [y]"), Agent("N, 'Y", "N", "'Y", ORCID, ("&amp; <i>",))),
    "keywords": ("no", "1e3", "null", "~", "2026-01-01", "# not a comment", "<i>"),
}


@pytest.fixture(scope="module")
def observed(tmp_path_factory, run_template) -> Release:
    """A release whose texts bear no mark, so that they can be compared as they are."""
    release = make_release(run_template)
    return dataclasses.replace(release, plan=dataclasses.replace(release.plan, simulated=False))


def with_texts(release: Release, texts: dict) -> Release:
    return dataclasses.replace(release, dataset=dataclasses.replace(release.dataset, **texts))


class Page(HTMLParser):
    """Elements with their texts: title, headings, keywords, structured data, paragraphs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.parts.append((tag, ""))

    def handle_endtag(self, tag):
        self.parts.append(("", ""))

    def handle_data(self, data):
        if self.parts:
            tag, text = self.parts[-1]
            self.parts[-1] = (tag, text + data)

    def all(self, tag: str) -> list[str]:
        return [text for name, text in self.parts if name == tag]


def families(agents) -> list[str]:
    return [agent.name for agent in agents]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=HOSTILE)
@given(texts=datasets())
def test_any_text_comes_through_every_machine_format(observed, run_template, texts):
    release = with_texts(observed, texts)
    record = record_of(release)
    title, names, keywords = texts["title"], families(texts["creators"]), list(texts["keywords"])

    metadata = json.loads(json.dumps(zenodo_document(record)))["metadata"]
    assert metadata["title"] == title
    assert [row["subject"] for row in metadata["subjects"]] == keywords
    people = [row["person_or_org"] for row in metadata["creators"]]
    person = texts["creators"][-1]
    assert [row["name"] for row in people[:-1]] == names[:-1]
    assert (people[-1]["family_name"], people[-1]["given_name"]) == (
        person.family_name,
        person.given_name,
    )
    assert record_problems(zenodo_document(record)) == ()

    datacite = json.loads(json.dumps(datacite_document(record)))
    assert datacite["titles"][0]["title"] == title
    assert [row["name"] for row in datacite["creators"]] == names
    assert [row["subject"] for row in datacite["subjects"]] == keywords

    cff = yaml.safe_load(render_citation(record))
    assert (cff["title"], cff["abstract"]) == (title, texts["abstract"])
    assert cff["keywords"] == keywords
    assert [row.get("name") for row in cff["authors"][:-1]] == names[:-1]
    assert cff["authors"][-1]["affiliation"] == person.affiliations[0]

    crate = {row["@id"]: row for row in crate_document(release, ())["@graph"]}
    assert crate["./"]["name"] == title
    assert crate["./"]["keywords"] == keywords
    assert [crate[row["@id"]]["name"] for row in crate["./"]["author"]][:-1] == names[:-1]

    package = datapackage_document(release, run_template / "products" / "likelihood")
    assert (package["title"], package["keywords"]) == (title, keywords)
    creators = [row for row in package["contributors"] if row["roles"] == ["creator"]]
    assert [row["title"] for row in creators] == names


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=HOSTILE)
@given(texts=datasets())
def test_any_text_is_text_and_never_markup_in_a_page(observed, texts):
    release = with_texts(observed, texts)
    page = Page(render_landing(release, ()))
    plain = Page(render_landing(observed, ()))
    assert page.all("title") == [texts["title"]]
    assert page.all("h1") == [texts["title"]]
    (structured,) = page.all("script")
    document = json.loads(structured)
    assert (document["name"], document["keywords"]) == (texts["title"], list(texts["keywords"]))
    assert [row["name"] for row in document["creator"]] == families(texts["creators"])
    # The texts have added no element but the links and items that stand for them.
    count = {tag for tag, _ in page.parts} - {tag for tag, _ in plain.parts}
    assert count == set()
    assert len(page.all("li")) - len(plain.all("li")) == len(texts["keywords"]) - len(
        observed.dataset.keywords
    )
    description = Page(render_description(record_of(release)))
    assert description.all("p") == [texts["abstract"]]
    assert {tag for tag, _ in description.parts} == {"p", ""}


def test_changes_and_waivers_are_text_as_well(observed):
    change = "<img src=x onerror=alert(1)> & 'more'"
    waived = {
        "check": "<i>c</i>", "product": "p&q", "status": "FAILED", "detail": "<u>", "measured": 1,
        "limit": "<2", "unit": "", "remedy": "",
        "waived": {"reason": "</p><h1>", "author": "<a href=x>", "expires": "2999-12-31"},
    }  # fmt: skip
    report = {**observed.report, "results": [waived]}
    release = dataclasses.replace(observed, changes=(change,), report=report, reservation=SECOND)
    for html in (render_landing(release, ()), render_description(record_of(release))):
        page = Page(html)
        assert change in "".join(page.all("li"))
        assert not {"img", "i", "u"} & {tag for tag, _ in page.parts}
        assert "<i>c</i> on p&q: FAILED." in "".join(page.all("li"))


# ---- what a new version changes


@pytest.fixture(scope="module")
def versions(run_template, tmp_path_factory):
    """One run, released twice: all that a version can change within a major one, is changed."""
    root = tmp_path_factory.mktemp("versions")
    first = build(run_template, root / "first", DEPOSIT, judge=FakeJudge()).folder
    options = Options("1.8.7", "2031-12-24", reservation=SECOND, previous=first)
    return [first, build(run_template, root / "second", options, judge=FakeJudge()).folder]


def test_a_new_version_changes_only_the_papers_that_bear_it(versions):
    first, second = ({path.name: path.read_bytes() for path in f.iterdir()} for f in versions)
    assert first.keys() == second.keys()
    changed = {name for name in first if first[name] != second[name]}
    assert changed == VERSIONED | LISTS


def test_the_papers_that_may_bear_the_version_do(versions):
    for folder, options in zip(versions, (DEPOSIT, None), strict=True):
        version = "1.8.7" if options is None else options.version
        doi = SECOND.doi if options is None else FIRST.doi
        for name in VERSIONED - {"CHANGELOG.md"}:
            text = (folder / name).read_text()
            assert version in text, name
            assert doi in text, name


@pytest.fixture(scope="module")
def unreserved(run_template, tmp_path_factory):
    out = tmp_path_factory.mktemp("unreserved") / "bundle"
    return build(run_template, out, Options(), judge=FakeJudge()).folder


@pytest.mark.parametrize("name", ["README.md", "index.html", "DATASHEET.md"])
def test_without_a_reservation_people_are_told(unreserved, name):
    text = (unreserved / name).read_text()
    assert "not yet reserved" in text
    assert "zenodo." not in text.replace("zenodo.org", "").replace("zenodo.json", "")


def test_without_a_reservation_machines_find_no_doi(unreserved):
    names = ("CITATION.cff", "datacite.json", "zenodo.json", "datapackage.json",
             "ro-crate-metadata.json")  # fmt: skip
    read = {name: (unreserved / name).read_text() for name in names}
    for name in names:
        assert "10.5072" not in read[name]
    assert "doi" not in json.loads(read["datacite.json"])
    assert not {"doi", "identifiers", "url"} & set(yaml.safe_load(read["CITATION.cff"]))
    assert "id" not in json.loads(read["datapackage.json"])
    graph = {row["@id"]: row for row in json.loads(read["ro-crate-metadata.json"])["@graph"]}
    assert not {"identifier", "isVersionOf", "replaces"} & set(graph["./"])


def test_with_a_reservation_every_paper_names_both_dois(versions):
    _, folder = versions
    for name in ("README.md", "CITATION.cff", "datacite.json", "index.html",
                 "ro-crate-metadata.json"):  # fmt: skip
        text = (folder / name).read_text()
        assert SECOND.doi in text, name
        assert SECOND.concept_doi in text, name
    cff = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert cff["doi"] == SECOND.doi
    assert [row["value"] for row in cff["identifiers"]] == [SECOND.doi, SECOND.concept_doi]
    assert cff["url"] == "https://archive.example.org/records/188"
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    graph = {row["@id"]: row for row in document["@graph"]}
    root = graph["./"]
    assert root["identifier"] == f"https://doi.org/{SECOND.doi}"
    assert graph[root["isVersionOf"]["@id"]]["identifier"] == SECOND.concept_doi
    assert graph[root["replaces"]["@id"]]["identifier"] == SECOND.previous_doi
    readme = (folder / "README.md").read_text()
    assert f'`ard.open("{SECOND.doi}")`' in readme
    assert f'`ard.open("{SECOND.concept_doi}")`' in readme
