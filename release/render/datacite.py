"""What does DataCite learn about a version: the JSON form of DataCite 4.5?"""

from collections.abc import Iterator
from typing import Any, Final

from manifests.catalogue import Agent, Grant, Related
from release.record import Record

_SCHEMA_VERSION: Final = "http://datacite.org/schema/kernel-4"
_KIND: Final = "Analysis-ready dataset"
_ORCID: Final = "https://orcid.org"
_ROR: Final = "https://ror.org"
_SPDX: Final = "https://spdx.org/licenses/"


def datacite_document(record: Record) -> dict[str, Any]:
    """Give the metadata of a version in the JSON form of DataCite 4.5.

    Without a reservation it has no DOI, and without a day of release no `publicationYear`, which
    DataCite asks for.
    """
    document: dict[str, Any] = {
        "schemaVersion": _SCHEMA_VERSION,
        "doi": record.doi,
        "url": record.url,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": _KIND},
        "titles": [{"title": record.title, "lang": record.language.tag}],
        "creators": [_agent(agent) for agent in record.creators],
        "contributors": [
            {**_agent(row.agent), "contributorType": row.role} for row in record.contributors
        ],
        "publisher": {"name": record.publisher},
        "publicationYear": record.year,
        "dates": list(_dates(record)),
        "language": record.language.tag,
        "subjects": [{"subject": keyword} for keyword in record.keywords],
        "relatedIdentifiers": [_related(row) for row in _versions(record)],
        "sizes": list(record.sizes),
        "formats": list(record.formats),
        "version": record.version,
        "rightsList": [
            {
                "rights": record.licence.name,
                "rightsUri": record.licence.url,
                "rightsIdentifier": record.licence.spdx.lower(),
                "rightsIdentifierScheme": "SPDX",
                "schemeUri": _SPDX,
            }
        ],
        "descriptions": list(_descriptions(record)),
        "fundingReferences": [_grant(grant) for grant in record.grants],
    }
    return {key: value for key, value in document.items() if value not in (None, [])}


def _agent(agent: Agent) -> dict[str, Any]:
    if not agent.is_person:
        return {"name": agent.name, "nameType": "Organizational"}
    person: dict[str, Any] = {
        "name": agent.name,
        "nameType": "Personal",
        "familyName": agent.family_name,
    }
    if agent.given_name is not None:
        person["givenName"] = agent.given_name
    if agent.orcid is not None:
        person["nameIdentifiers"] = [
            {
                "nameIdentifier": f"{_ORCID}/{agent.orcid}",
                "nameIdentifierScheme": "ORCID",
                "schemeUri": _ORCID,
            }
        ]
    if agent.affiliations:
        person["affiliation"] = [{"name": name} for name in agent.affiliations]
    return person


def _dates(record: Record) -> Iterator[dict[str, str]]:
    if record.date is not None:
        yield {"date": record.date, "dateType": "Issued"}
    for event in record.events:
        yield {"date": event.date, "dateType": event.kind}


def _versions(record: Record) -> Iterator[Related]:
    """Give what the dataset is related to, its own other versions first."""
    if record.concept_doi is not None:
        yield Related("IsVersionOf", "DOI", record.concept_doi, "Dataset")
    if record.previous_doi is not None:
        yield Related("IsNewVersionOf", "DOI", record.previous_doi, "Dataset")
    yield from record.related


def _related(row: Related) -> dict[str, str]:
    return {
        "relatedIdentifier": row.identifier,
        "relatedIdentifierType": row.scheme,
        "relationType": row.relation,
        "resourceTypeGeneral": row.resource_type,
    }


def _descriptions(record: Record) -> Iterator[dict[str, str]]:
    texts = [
        ("Abstract", record.abstract),
        ("Methods", record.methods),
        ("TechnicalInfo", record.technical),
        *(("Other", f"{notice.head} {notice.text}") for notice in record.notices),
    ]
    if record.changes:
        texts.append(("Other", f"Changes since {record.previous}: {' '.join(record.changes)}"))
    texts += [("Other", row.sentence) for row in record.waived]
    for kind, text in texts:
        yield {"description": text, "descriptionType": kind, "lang": record.language.tag}


def _grant(grant: Grant) -> dict[str, str]:
    row = {"funderName": grant.funder}
    if grant.ror is not None:
        row |= {"funderIdentifier": f"{_ROR}/{grant.ror}", "funderIdentifierType": "ROR"}
    if grant.number is not None and grant.title is not None:
        row |= {"awardNumber": grant.number, "awardTitle": grant.title}
    return row
