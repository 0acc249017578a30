"""Does the record for the archive hold what is known, in words that the archive takes?

Oracles: refusals that a real InvenioRDM was recorded with (each is planted here, and has to be
found before anything is sent); the vocabularies of the manifests; the sentences that went in.
"""

import copy
import dataclasses
import re
from html.parser import HTMLParser

import pytest
from astropy.table import Table as AstropyTable
from papers import FIRST, ORCID, SECOND, full_dataset, make_release
from small_run import WAIVER, FakeJudge, result, write_record, write_run

import ard
import schemas
from manifests.catalogue import EVENTS, RELATIONS, ROLES, SCHEMES
from manifests.dataset import load_dataset
from release.plan import make_plan
from release.record import archived_files, record_of
from release.render.zenodo import record_problems, render_description, zenodo_document


@pytest.fixture(scope="module")
def release(run_template):
    return make_release(run_template)


@pytest.fixture(scope="module")
def rich(run_template):
    """A release in whose record no field is empty."""
    judge = FakeJudge([result(), result("physics.map_chi2", "FAILED", waived=WAIVER)])
    return make_release(
        run_template,
        dataset=full_dataset(),
        reservation=SECOND,
        changes=("The cube t001 is new.", "χ² of <b>5</b> & more fell."),
        report=judge.to_dict(),
        sources=("mast:JWST/product/a_s3d.fits", "mast:JWST/product/b_s3d.fits"),
    )


class Text(HTMLParser):
    """The text of a piece of HTML, and the names of its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


# ---- what is accepted


@pytest.mark.parametrize("name", ["release", "rich"])
def test_the_body_is_one_that_the_archive_takes(request, name):
    document = zenodo_document(record_of(request.getfixturevalue(name)))
    assert record_problems(document) == ()
    assert document["files"] == {"enabled": True}
    assert "pids" not in document  # the server reserved the DOI, and keeps it


def test_identifiers_are_those_of_the_archives_vocabularies(rich):
    metadata = zenodo_document(record_of(rich))["metadata"]
    assert metadata["rights"] == [{"id": "cc-by-4.0"}]
    assert metadata["resource_type"] == {"id": "dataset"}
    assert metadata["languages"] == [{"id": "eng"}]
    assert metadata["contributors"][0] == {
        "person_or_org": {"type": "organizational", "name": "Space Telescope Science Institute"},
        "role": {"id": "datacollector"},
    }
    relations = {
        (row["relation_type"]["id"], row["scheme"], row["identifier"])
        for row in metadata["related_identifiers"]
    }
    assert ("references", "arxiv", "arXiv:2512.04166") in relations
    assert ("references", "doi", "10.3847/2041-8213/acba86") in relations
    assert ("iscompiledby", "doi", "10.5072/zenodo.1") in relations
    assert metadata["funding"] == [
        {"funder": {"id": "01ggx4157"}, "award": {"number": "7-1", "title": {"en": "An award"}}},
        {"funder": {"name": "A patron"}},
    ]
    assert {"date": "2025-07-01/2025-08", "type": {"id": "collected"}} in metadata["dates"]


def test_people_have_what_the_archive_asks_of_them(rich):
    person, group, mono = zenodo_document(record_of(rich))["metadata"]["creators"]
    assert person == {
        "person_or_org": {
            "type": "personal",
            "family_name": "Doe",
            "given_name": "Jane",
            "identifiers": [{"scheme": "orcid", "identifier": ORCID}],
        },
        "affiliations": [{"name": "Institute of Tests"}, {"name": "Second Institute"}],
    }
    assert group == {"person_or_org": {"type": "organizational", "name": "A group"}}
    assert mono == {"person_or_org": {"type": "personal", "family_name": "Mono"}}


def test_schema_and_manifests_speak_of_the_same_vocabularies():
    properties = schemas.load("deposit-record")["properties"]["metadata"]["properties"]
    related = properties["related_identifiers"]["items"]["properties"]
    allowed = {
        "relation": related["relation_type"],
        "role": properties["contributors"]["items"]["properties"]["role"],
        "event": properties["dates"]["items"]["properties"]["type"],
    }
    found = {key: set(node["properties"]["id"]["enum"]) for key, node in allowed.items()}
    assert found["relation"] == {name.lower() for name in RELATIONS}
    assert found["role"] == {name.lower() for name in ROLES}
    assert found["event"] == {name.lower() for name in EVENTS}
    assert set(related["scheme"]["enum"]) == {name.lower() for name in SCHEMES}


# ---- what is refused before it is sent


def put(path, value):
    def change(document):
        *way, last = path
        for key in way:
            document = document[key]
        document[last] = value

    return change


def drop(name):
    return lambda document: document["metadata"].pop(name)


PERSON = ("metadata", "creators", 0, "person_or_org")
RELATED = ("metadata", "related_identifiers", 0)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        # Faults that the recorded server answered with `errors` in a 2xx, or with 400.
        (put(("metadata", "title"), "x"), "metadata.title"),
        (put(("metadata", "publication_date"), "2026-13-45"), "metadata.publication_date"),
        (put(("metadata", "publication_date"), "yesterday"), "metadata.publication_date"),
        (put(("metadata", "foo"), 1), "metadata"),
        (put(("foo",), 1), "."),
        (put(("metadata", "rights"), [{"id": "no-such"}]), "metadata.rights[0].id"),
        (put(("metadata", "rights"), [{"id": "CC-BY-4.0"}]), "metadata.rights[0].id"),
        (put((*RELATED, "relation_type", "id"), "nope"), "metadata.related_identifiers[0]"),
        (put((*RELATED, "scheme"), "zzz"), "metadata.related_identifiers[0].scheme"),
        (put((*RELATED, "identifier"), "zzz"), "metadata.related_identifiers[0].identifier"),
        (put(("metadata", "resource_type", "id"), "nope"), "metadata.resource_type.id"),
        (put((*PERSON, "identifiers", 0, "identifier"), "0000-0002-1825-0098"), "metadata.creat"),
        (put((*PERSON, "identifiers", 0, "identifier"), "1825"), "metadata.creators[0].person_or"),
        (lambda document: document["metadata"]["creators"][0]["person_or_org"].pop("family_name"),
         "metadata.creators[0].person_or_org"),
        (lambda document: document["metadata"]["contributors"][0].pop("role"),
         "metadata.contributors[0]"),
        (put(("files", "enabled"), False), "files.enabled"),
        (put(("pids",), {"doi": {"identifier": FIRST.doi, "provider": "datacite"}}), "."),
        (put(("metadata", "creators"), []), "metadata.creators"),
        # Days and periods that a pattern lets through and no calendar has.
        (put(("metadata", "publication_date"), "2026-02-30"), "metadata.publication_date"),
        (put(("metadata", "dates", 0, "date"), "2026-01/2025-01"), "metadata.dates[0].date"),
        # Our own strictness.
        (put(("metadata", "description"), "x"), "metadata.description"),
        (put(("metadata", "title"), " blank before"), "metadata.title"),
        (drop("publication_date"), "metadata"),
        (drop("publisher"), "metadata"),
        (drop("rights"), "metadata"),
        (drop("version"), "metadata"),
    ],
)  # fmt: skip
def test_a_body_with_a_fault_is_never_sent(rich, change, where):
    document = copy.deepcopy(zenodo_document(record_of(rich)))
    change(document)
    problems = record_problems(document)
    assert problems
    assert all(problem.where.startswith(where) for problem in problems)


def test_without_a_day_of_release_there_is_no_deposit(release):
    document = zenodo_document(record_of(dataclasses.replace(release, date=None)))
    (problem,) = record_problems(document)
    assert "'publication_date' is a required property" in str(problem)


# ---- what it says


def test_the_description_lists_the_changes(rich):
    html = render_description(record_of(rich))
    assert html.count("<li>") == 3  # two changes, one waived check
    assert "<strong>Changes since 10.5072/zenodo.144</strong>" in html
    assert "<li>χ² of &lt;b&gt;5&lt;/b&gt; &amp; more fell.</li>" in html


def test_the_description_prints_each_waiver_in_full(rich):
    text = Text(render_description(record_of(rich))).text
    for part in ("physics.map_chi2", "FAILED", WAIVER["reason"], WAIVER["author"], "2999-12-31"):
        assert part in text


def test_a_first_version_without_waivers_has_neither_list(release):
    html = render_description(record_of(release))
    assert "Changes since" not in html
    assert "accepted" not in html
    assert not html.endswith("\n")  # the server strips it, and would differ from what was sent


def test_the_description_holds_only_elements_that_the_archive_keeps(rich):
    assert set(Text(render_description(record_of(rich))).tags) <= {"p", "strong", "ul", "li"}


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_marked_and_observed_ones_are_not(tmp_path, simulated):
    record = record_of(make_release(write_run(tmp_path / "run", simulated=simulated)))
    metadata = zenodo_document(record)["metadata"]
    assert metadata["title"].startswith("[SIMULATED] ") is simulated
    assert metadata["description"].startswith("<p><strong>SIMULATED DATA.</strong>") is simulated
    assert ({"subject": "simulated"} in metadata["subjects"]) is simulated
    methods = metadata["additional_descriptions"][0]["description"]
    assert methods.startswith("Not collected") is simulated


def test_a_toy_grid_is_named(tmp_path):
    record = record_of(make_release(write_run(tmp_path / "run", toy_grid=True)))
    assert "<strong>TOY GRID.</strong>" in render_description(record)


def test_the_study_names_who_collected_the_observations_of_its_targets(run_template, tmp_path):
    observed = record_of(make_release(write_run(tmp_path / "run", simulated=False)))
    assert [row.agent.name for row in observed.contributors] == [
        "Space Telescope Science Institute"
    ]
    assert record_of(make_release(run_template)).contributors == ()
    release = make_release(tmp_path / "run")
    other = {**release.plan.target, "item": "ngc1"}
    plan = dataclasses.replace(release.plan, target=other)
    elsewhere = record_of(dataclasses.replace(release, plan=plan))
    assert (elsewhere.contributors, elsewhere.related, elsewhere.references) == ((), (), ())


# ---- the files of the archive


def test_the_archives_files_are_what_the_data_are_derived_from(tmp_path):
    run = write_run(tmp_path / "run", simulated=False)
    uris = ["mast:JWST/product/b_s3d.fits", "mast:JWST/product/a_s3d.fits"]
    table = ard.Table(AstropyTable({"filename": ["b", "a"], "uri": uris}), {}, None)
    ard.write(run / "products/likelihood/archive.ecsv", table)
    write_record(run, simulated=False)
    names = archived_files(make_plan(run))
    assert names == tuple(sorted(uris))
    related = record_of(make_release(run, sources=names)).related
    prefix = load_dataset().archive.download
    assert [row.url for row in related if row.relation == "IsDerivedFrom"] == [
        prefix + uri for uri in sorted(uris)
    ]
    write_record(run, simulated=True)
    assert archived_files(make_plan(run)) == ()  # a simulation is derived from no file there


# ---- the line to cite


def test_the_citation_has_the_parts_that_datacite_recommends(release, rich):
    assert record_of(release).citation == (
        "The rbh1-ard authors (2026). [SIMULATED] Analysis-ready dataset of Test object "
        "(rbh1-ard) (version 1.2.3) [Data set]. Zenodo. https://doi.org/10.5072/zenodo.144"
    )
    assert record_of(rich).citation.startswith("Doe, Jane; A group; Mono (2026). ")
    bare = record_of(dataclasses.replace(release, reservation=None, date=None))
    assert " (n.d.). " in bare.citation
    assert bare.citation.endswith("DOI: not yet reserved")
    assert re.search(r"10\.\d{4}", bare.citation) is None
