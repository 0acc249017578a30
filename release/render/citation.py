"""How is the dataset cited: CITATION.cff, version 1.2.0 of the Citation File Format."""

from typing import Any, Final

import yaml

from manifests.catalogue import Agent
from release.record import Record

_CFF_VERSION: Final = "1.2.0"
_MESSAGE: Final = "If you use this dataset, please cite it, and the papers it is about."
_LINE_WIDTH: Final = 100
_THIS_VERSION: Final = "This version."
_ALL_VERSIONS: Final = "All versions; it leads to the latest."


def render_citation(record: Record) -> str:
    """Write the CITATION.cff of a bundle."""
    dois = ((record.doi, _THIS_VERSION), (record.concept_doi, _ALL_VERSIONS))
    document: dict[str, Any] = {
        "cff-version": _CFF_VERSION,
        "message": _MESSAGE,
        "type": "dataset",
        "title": record.title,
        "abstract": record.abstract,
        "authors": [_agent(agent) for agent in record.creators],
        "version": record.version,
        "license": record.licence.spdx,
        "keywords": list(record.keywords),
        "doi": record.doi,
        "identifiers": [
            {"type": "doi", "value": doi, "description": text} for doi, text in dois if doi
        ],
        "url": record.url,
        "date-released": record.date,
        "references": [
            {
                "type": reference.kind,
                "authors": [{"name": reference.authors}],
                "title": reference.title,
                "notes": reference.journal,
                "doi": reference.doi,
            }
            for reference in record.references
        ],
    }
    filled = {key: value for key, value in document.items() if value not in (None, [])}
    text: str = yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)
    return text


def _agent(agent: Agent) -> dict[str, str]:
    if not agent.is_person:
        return {"name": agent.name}
    person = {"family-names": agent.family_name or ""}
    if agent.given_name is not None:
        person["given-names"] = agent.given_name
    if agent.orcid is not None:
        person["orcid"] = f"https://orcid.org/{agent.orcid}"
    if agent.affiliations:
        person["affiliation"] = "; ".join(agent.affiliations)
    return person
