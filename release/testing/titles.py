"""How are stored ids shown to people?"""

from collections.abc import Mapping
from typing import Any, Final

from release.testing import vocabularies
from release.testing.vocabularies import Vocabulary

_SHOWN: Final[Mapping[str, Vocabulary]] = {
    "resource_type": vocabularies.RESOURCE_TYPES,
    "relation_type": vocabularies.RELATIONS,
    "role": vocabularies.ROLES,
    "languages": vocabularies.LANGUAGES,
    "lang": vocabularies.LANGUAGES,
    "rights": vocabularies.LICENCES,
    "dates.type": vocabularies.DATE_TYPES,
    "additional_descriptions.type": vocabularies.DESCRIPTION_TYPES,
    "additional_titles.type": vocabularies.TITLE_TYPES,
}


def terms(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give stored metadata as the archive shows them: with the titles of ids."""
    return {name: _shown(name, value) for name, value in metadata.items()}


def _shown(name: str, value: Any, within: str = "") -> Any:
    if isinstance(value, list):
        return [_shown(name, item, within) for item in value]
    if not isinstance(value, dict):
        return value
    vocabulary = _SHOWN.get(name) or _SHOWN.get(f"{within}.{name}")
    if vocabulary is not None and value.get("id") in vocabulary.titles:
        return vocabulary.term(value["id"])
    return {key: _shown(key, item, name) for key, item in value.items()}
