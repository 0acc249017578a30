"""How is the dataset cited: CITATION.cff, version 1.2.0 of the Citation File Format."""

from typing import Any, Final

import yaml

from release.model import Release

_CFF_VERSION: Final = "1.2.0"
_MESSAGE: Final = "If you use this dataset, please cite it, and the papers it is about."
_LINE_WIDTH: Final = 100
SIMULATED: Final = "simulated"


def render_citation(release: Release) -> str:
    """Write the CITATION.cff of a bundle."""
    document: dict[str, Any] = {
        "cff-version": _CFF_VERSION,
        "message": _MESSAGE,
        "type": "dataset",
        "title": release.title,
        "abstract": release.abstract,
        "authors": [{"name": name} for name in release.dataset.authors],
        "version": release.version,
        "license": release.dataset.licence.spdx,
        "keywords": [*release.dataset.keywords, *([SIMULATED] if release.plan.simulated else [])],
    }
    if release.date is not None:
        document["date-released"] = release.date
    references = [
        {
            "type": reference.kind,
            "authors": [{"name": reference.authors}],
            "title": reference.title,
            "notes": reference.journal,
            "doi": reference.doi,
        }
        for reference in release.dataset.references
        if release.plan.target.get("item") in reference.targets
    ]
    if references:
        document["references"] = references
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)
    return text
