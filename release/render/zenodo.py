"""What is the archive told about a version: the body of PUT /api/records/{id}/draft of InvenioRDM?

The server answers 200 to a body with faults, drops what it does not understand, and says so in
`errors`; so the body is held against a stricter schema before anything is sent. Identifiers of
vocabularies are those that Zenodo knows. The DOI is left out: the server reserved it and keeps it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import schemas
from manifests.catalogue import Agent, Grant, Related, is_orcid, is_period
from release.record import Record
from release.render import render_template

SCHEMA: Final = "deposit-record"
_RESOURCE_TYPES: Final = {
    "Dataset": "dataset",
    "JournalArticle": "publication-article",
    "Preprint": "publication-preprint",
    "Software": "software",
}


def zenodo_document(record: Record) -> dict[str, Any]:
    """Give the body that describes a version to InvenioRDM.

    Without a day of release it lacks `publication_date`, which a deposit needs and
    `record_problems` asks for.
    """
    metadata: dict[str, Any] = {
        "title": record.title,
        "resource_type": {"id": "dataset"},
        "creators": [_agent(agent) for agent in record.creators],
        "publication_date": record.date,
        "publisher": record.publisher,
        "version": record.version,
        "description": render_description(record),
        "additional_descriptions": [
            {"description": record.methods, "type": {"id": "methods"}},
            {"description": record.technical, "type": {"id": "technical-info"}},
        ],
        "contributors": [
            {**_agent(row.agent), "role": {"id": row.role.lower()}} for row in record.contributors
        ],
        "subjects": [{"subject": keyword} for keyword in record.keywords],
        "dates": [
            {"date": event.date, "type": {"id": event.kind.lower()}} for event in record.events
        ],
        "languages": [{"id": record.language.iso639_3}],
        "related_identifiers": [_related(row) for row in record.related],
        "rights": [{"id": record.licence.spdx.lower()}],
        "funding": [_grant(grant) for grant in record.grants],
        "sizes": list(record.sizes),
        "formats": list(record.formats),
    }
    return {
        "access": {"record": "public", "files": "public"},
        "files": {"enabled": True},
        "metadata": {key: value for key, value in metadata.items() if value not in (None, [])},
    }


def render_description(record: Record) -> str:
    """Write the description of a version in the HTML that InvenioRDM keeps as it is."""
    return render_template("deposit-description.html.j2", record=record).rstrip("\n")


def record_problems(document: Mapping[str, Any]) -> tuple[schemas.Problem, ...]:
    """Find whatever would keep the archive from accepting a body without `errors`.

    Parameters
    ----------
    document : mapping
        What `zenodo_document` gives.

    Returns
    -------
    tuple of Problem
        Empty if a deposit may begin with it.
    """
    problems = schemas.validate(document, SCHEMA)
    return problems or tuple(_finer_problems(document["metadata"]))


def _finer_problems(metadata: Mapping[str, Any]) -> Iterator[schemas.Problem]:
    """Find what no pattern can: days that no calendar has, and ORCIDs with a wrong checksum."""
    dates = {"metadata.publication_date": metadata["publication_date"]}
    for number, row in enumerate(metadata.get("dates", ())):
        dates[f"metadata.dates[{number}].date"] = row["date"]
    for where, date in dates.items():
        if not is_period(date):
            yield schemas.Problem(where, f"{date!r} is no day or period of the calendar")
    for field in ("creators", "contributors"):
        for number, row in enumerate(metadata.get(field, ())):
            for identifier in row["person_or_org"].get("identifiers", ()):
                if not is_orcid(identifier["identifier"]):
                    problem = f"{identifier['identifier']!r} is no ORCID"
                    yield schemas.Problem(f"metadata.{field}[{number}].person_or_org", problem)


def _agent(agent: Agent) -> dict[str, Any]:
    if not agent.is_person:
        return {"person_or_org": {"type": "organizational", "name": agent.name}}
    person: dict[str, Any] = {"type": "personal", "family_name": agent.family_name}
    if agent.given_name is not None:
        person["given_name"] = agent.given_name
    if agent.orcid is not None:
        person["identifiers"] = [{"scheme": "orcid", "identifier": agent.orcid}]
    affiliations = [{"name": name} for name in agent.affiliations]
    return {"person_or_org": person, **({"affiliations": affiliations} if affiliations else {})}


def _related(row: Related) -> dict[str, Any]:
    return {
        "identifier": row.identifier,
        "scheme": row.scheme.lower(),
        "relation_type": {"id": row.relation.lower()},
        "resource_type": {"id": _RESOURCE_TYPES[row.resource_type]},
    }


def _grant(grant: Grant) -> dict[str, Any]:
    funder = {"name": grant.funder} if grant.ror is None else {"id": grant.ror}
    if grant.number is None:
        return {"funder": funder}
    return {"funder": funder, "award": {"number": grant.number, "title": {"en": grant.title}}}
