"""Which metadata are accepted, complained of, dropped, or refused?

Oracle: the rules of the reference on Zenodo's API, where the recorded exchanges show only one case
of each; check digits of ORCID by the published rule (ISO 7064 MOD 11-2).
"""

import copy
from typing import Any

import pytest
from caller import DOCUMENT, METADATA

DATASET = {"id": "dataset"}
PERSON = {"type": "personal", "family_name": "Doe", "given_name": "Jane"}


def with_metadata(**changes: Any) -> dict[str, Any]:
    metadata = {**copy.deepcopy(METADATA), **changes}
    kept = {name: value for name, value in metadata.items() if value is not ...}
    return {"files": {"enabled": True}, "metadata": kept}


@pytest.mark.parametrize(
    ("changes", "field", "message", "kept"),
    [
        ({"title": "ab"}, "title", "Shorter than minimum length 3.", False),
        ({"title": 7}, "title", "Not a valid string.", False),
        ({"title": ...}, "title", "Missing data for required field.", False),
        ({"resource_type": ...}, "resource_type", "Missing data for required field.", False),
        ({"creators": ...}, "creators", "Missing data for required field.", False),
        ({"creators": []}, "creators", "Shorter than minimum length 1.", False),
        ({"creators": "Doe"}, "creators", "Not a valid list.", False),
        ({"creators": ["Doe"]}, "creators.0", "Invalid input type.", True),
        ({"creators": [{}]}, "creators.0.person_or_org", "Missing data for required field.", True),
        (
            {"creators": [{"person_or_org": {"type": "robot", "name": "R"}}]},
            "creators.0.person_or_org.type",
            "Invalid value. Choose one of ['organizational', 'personal'].",
            True,
        ),
        (
            {"creators": [{"person_or_org": {"type": "organizational"}}]},
            "creators.0.person_or_org.name",
            "Name cannot be blank.",
            True,
        ),
        (
            {"publication_date": "January"},
            "publication_date",
            "Please provide a valid date or interval.",
            False,
        ),
        (
            {"dates": [{"date": "2026-02-30", "type": {"id": "collected"}}]},
            "dates.0.date",
            "Please provide a valid date or interval.",
            True,
        ),
        (
            {"dates": [{"date": "2026"}]},
            "dates.0.type",
            "Missing data for required field.",
            True,
        ),
        (
            {"related_identifiers": [{"identifier": "10.1/x", "relation_type": {"id": "cites"}}]},
            "related_identifiers.0.scheme",
            "Missing data for required field.",
            True,
        ),
        (
            {
                "related_identifiers": [
                    {"identifier": "x", "scheme": "doi", "relation_type": {"id": "cites"}}
                ]
            },
            "related_identifiers.0.identifier",
            "Invalid DOI identifier.",
            True,
        ),
        (
            {"additional_descriptions": [{"description": "x", "type": {"id": "methods"}}]},
            "additional_descriptions.0.description",
            "Shorter than minimum length 3.",
            True,
        ),
        ({"keywords": ["x"]}, "keywords", "Unknown field.", False),
        (
            {"publisher": ...},
            "publisher",
            "Missing publisher field required for DOI registration.",
            False,
        ),
    ],
)
def test_what_is_wrong_is_listed_in_a_reply_that_says_success(
    owner, server, changes, field, message, kept
):
    made = owner("POST", "/records", with_metadata(**changes))
    assert made.status == 201
    assert made.errors == {f"metadata.{field}": [message]}
    assert (field.split(".")[0] in server.world.metadata(made.json["id"])) == kept


@pytest.mark.parametrize(
    "changes",
    [
        {"publication_date": "2026"},
        {"publication_date": "2026-02"},
        {"publication_date": "2024-02-29/2026"},
        {"dates": [{"date": "2023-01-01/2024-12-31", "type": {"id": "coverage"}}]},
        {"creators": [{"person_or_org": {"type": "organizational", "name": "STScI"}}]},
        {
            "related_identifiers": [
                {"identifier": "arXiv:2512.04166", "relation_type": {"id": "issupplementto"}},
                {"identifier": "10.17909/t9-abcd", "relation_type": {"id": "isderivedfrom"}},
                {"identifier": "https://example.org/x", "relation_type": {"id": "iscompiledby"}},
                {"identifier": "2023ApJ", "scheme": "ads", "relation_type": {"id": "cites"}},
            ]
        },
        {"funding": [{"funder": {"name": "NASA"}, "award": {"title": "GO-17301"}}]},
        {"rights": [{"title": {"en": "Ask us"}, "link": "https://example.org"}]},
        {"additional_descriptions": [{"description": "Notes", "type": {"id": "notes"}}]},
        {
            "additional_titles": [
                {"title": "Sub", "type": {"id": "subtitle"}, "lang": {"id": "eng"}}
            ]
        },
        {"references": [{"reference": "Doe (2026)"}], "sizes": ["2 GB"], "formats": ["FITS"]},
    ],
)
def test_what_is_right_is_not_complained_of(owner, server, changes):
    made = owner("POST", "/records", with_metadata(**changes))
    assert made.errors == {}
    assert set(changes) <= set(server.world.metadata(made.json["id"]))


@pytest.mark.parametrize(
    ("orcid", "valid"),
    [
        ("0000-0002-1825-0097", True),
        ("0000-0001-5109-3700", True),
        ("0000-0002-1694-233X", True),
        ("0000-0002-1825-0098", False),
        ("0000-0002-1694-2330", False),
        ("0000-0002-1825", False),
    ],
)
def test_orcids_have_a_check_digit(owner, orcid, valid):
    person = {**PERSON, "identifiers": [{"scheme": "orcid", "identifier": orcid}]}
    made = owner("POST", "/records", with_metadata(creators=[{"person_or_org": person}]))
    field = "metadata.creators.0.person_or_org.identifiers.0.identifier"
    assert made.errors == ({} if valid else {field: ["Invalid ORCID identifier."]})


@pytest.mark.parametrize(
    "changes",
    [
        {"resource_type": {"id": "nope"}},
        {"rights": [{"id": "CC-BY-4.0"}]},
        {"languages": [{"id": "en"}]},
        {"dates": [{"date": "2026", "type": {"id": "nope"}}]},
        {"contributors": [{"person_or_org": PERSON, "role": {"id": "nope"}}]},
        {"additional_descriptions": [{"description": "Text", "type": {"id": "nope"}}]},
        {
            "related_identifiers": [
                {"identifier": "10.1234/x", "scheme": "doi", "relation_type": {"id": "IsCitedBy"}}
            ]
        },
    ],
)
def test_an_unknown_id_makes_no_draft(owner, server, changes):
    refused = owner("POST", "/records", with_metadata(**changes))
    assert refused.status == 400
    assert refused.json["message"].startswith("Invalid value ")
    assert "errors" not in refused.json
    assert server.world.drafts() == []


def test_names_of_people_are_made_by_the_archive(owner):
    creators = [{"person_or_org": PERSON}, {"person_or_org": {**PERSON, "given_name": None}}]
    shown = owner("POST", "/records", with_metadata(creators=creators)).json["metadata"]
    names = [creator["person_or_org"]["name"] for creator in shown["creators"]]
    assert names == ["Doe, Jane", "Doe"]


def test_what_the_archive_shows_cannot_be_sent_back(owner):
    document = with_metadata(rights=[{"id": "cc-by-4.0"}])
    made = owner("POST", "/records", document).json
    ident = made["id"]
    owner.upload(ident, "a", b"1")
    sent_back = owner("PUT", f"/records/{ident}/draft", made)
    assert list(sent_back.errors) == ["metadata.rights.0.rights"]
    assert owner("PUT", f"/records/{ident}/draft", document).errors == {}


def test_a_draft_is_replaced_as_a_whole(owner, server):
    ident = owner("POST", "/records", with_metadata(version="1.0", description="Text")).json["id"]
    owner("PUT", f"/records/{ident}/draft", DOCUMENT)
    assert set(server.world.metadata(ident)) == set(METADATA)


def test_a_promised_doi_survives_what_does_not_mention_it(owner, server):
    ident = owner.draft()
    owner("POST", f"/records/{ident}/draft/pids/doi")
    owner("PUT", f"/records/{ident}/draft", DOCUMENT)
    assert server.world.doi(ident) == f"10.5072/zenodo.{ident}"


@pytest.mark.parametrize(
    ("doi", "said"),
    [
        (
            {"identifier": "10.5281/zenodo.2", "provider": "datacite", "client": "datacite"},
            "Wrong DOI 10.5281 prefix provided, it should be 10.5072",
        ),
        (
            {"identifier": "10.5072/zenodo.2", "provider": "external"},
            "The prefix '10.5072' is managed by InvenioRDM. Please supply an external DOI or"
            " select 'No' to have a DOI generated for you.",
        ),
    ],
)
def test_a_doi_is_not_for_choosing(owner, doi, said):
    made = owner("POST", "/records", {**DOCUMENT, "pids": {"doi": doi}})
    assert made.errors == {"pids.doi": [said]}


def test_a_doi_of_somebody_else_needs_no_publisher(owner):
    doi = {"identifier": "10.1234/abc", "provider": "external"}
    made = owner("POST", "/records", {**with_metadata(publisher=...), "pids": {"doi": doi}})
    assert made.errors == {}
    assert made.json["pids"]["doi"] == doi


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "_schema"),
        ({"pids": "x"}, "pids"),
        ({"files": []}, None),
        ({"files": "x"}, "files"),
        ({"metadata": "x"}, None),
    ],
)
def test_documents_of_another_form_do_no_harm(owner, document, field):
    answered = owner("POST", "/records", document)
    assert answered.status == (400 if field else 201)
    if field:
        assert field in answered.errors


@pytest.mark.parametrize(
    "access",
    [
        {"record": "restricted", "files": "restricted"},
        {"record": "public", "files": "restricted"},
        {"record": "public", "files": "public", "embargo": {"active": True, "until": "2030"}},
    ],
)
def test_what_was_not_recorded_is_not_made_up(owner, server, access):
    refused = owner("POST", "/records", {**DOCUMENT, "access": access})
    assert refused.status == 501
    assert "no part of the contract" in refused.json["message"]
    assert server.world.drafts() == []
