"""Which ids does the archive know, and what are they called?

Those that a deposit of data or software needs, not all of the archive's; `Vocabulary` refuses the
rest in the words of the archive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from release.testing.model import Refusal


@dataclass(frozen=True)
class Vocabulary:
    """A list of ids with their titles.

    Attributes
    ----------
    titles : mapping
        English title by id.
    more : mapping
        Further members of the terms that have some.
    """

    titles: Mapping[str, str]
    more: Mapping[str, Mapping[str, Any]]

    def check(self, ident: str) -> None:
        """Refuse an id that the archive does not know: the one mistake that makes no draft."""
        if ident not in self.titles:
            raise Refusal(400, f"Invalid value {ident}.")

    def term(self, ident: str) -> dict[str, Any]:
        """Give an id as the archive shows it."""
        return {"id": ident, "title": {"en": self.titles[ident]}, **self.more.get(ident, {})}


def _named(text: str) -> Vocabulary:
    """Read lines of an id and its title."""
    lines = (line.split(maxsplit=1) for line in text.strip().splitlines())
    return Vocabulary({words[0]: words[1] for words in lines}, {})


RESOURCE_TYPES: Final = _named("""
dataset Dataset
software Software
software-computationalnotebook Computational notebook
image Image
image-figure Figure
image-plot Plot
video Video/Audio
model Model
workflow Workflow
publication Publication
publication-article Journal article
publication-conferencepaper Conference paper
publication-datamanagementplan Data management plan
publication-datapaper Data paper
publication-preprint Preprint
publication-report Report
publication-softwaredocumentation Software documentation
publication-technicalnote Technical note
publication-thesis Thesis
publication-workingpaper Working paper
publication-other Other
other Other
""")
RELATIONS: Final = _named("""
iscitedby Is cited by
cites Cites
issupplementto Is supplement to
issupplementedby Is supplemented by
iscontinuedby Is continued by
continues Continues
isdescribedby Is described by
describes Describes
hasmetadata Has metadata
ismetadatafor Is metadata for
hasversion Has version
isversionof Is version of
isnewversionof Is new version of
ispreviousversionof Is previous version of
ispartof Is part of
haspart Has part
ispublishedin Is published in
isreferencedby Is referenced by
references References
isdocumentedby Is documented by
documents Documents
iscompiledby Is compiled by
compiles Compiles
isvariantformof Is variant form of
isoriginalformof Is original form of
isidenticalto Is identical to
isreviewedby Is reviewed by
reviews Reviews
isderivedfrom Is derived from
issourceof Is source of
isrequiredby Is required by
requires Requires
isobsoletedby Is obsoleted by
obsoletes Obsoletes
istranslationof Is translation of
hastranslation Has translation
iscollectedby Is collected by
collects Collects
other Other
""")
DATE_TYPES: Final = _named("""
accepted Accepted
available Available
collected Collected
copyrighted Copyrighted
coverage Coverage
created Created
issued Issued
other Other
submitted Submitted
updated Updated
valid Valid
withdrawn Withdrawn
""")
ROLES: Final = _named("""
contactperson Contact person
datacollector Data collector
datacurator Data curator
datamanager Data manager
distributor Distributor
editor Editor
hostinginstitution Hosting institution
producer Producer
projectleader Project leader
projectmanager Project manager
projectmember Project member
relatedperson Related person
researcher Researcher
researchgroup Research group
rightsholder Rights holder
sponsor Sponsor
supervisor Supervisor
workpackageleader Work package leader
other Other
""")
DESCRIPTION_TYPES: Final = _named("""
abstract Abstract
methods Methods
notes Notes
series-information Series information
table-of-contents Table of contents
technical-info Technical info
other Other
""")
TITLE_TYPES: Final = _named("""
alternative-title Alternative title
subtitle Subtitle
translated-title Translated title
other Other
""")
LANGUAGES: Final = _named("""
ara Arabic
cat Catalan
deu German
eng English
fra French
ita Italian
jpn Japanese
nld Dutch
por Portuguese
rus Russian
spa Spanish
zho Chinese
""")
REMOVAL_REASONS: Final = _named("""
copyright Copyright infringement
duplicate Duplicate
other Other
out-of-scope Out of scope
personal-data Personal data issue
replaced Replaced by a new record
retracted Retracted
spam Spam
test-record Test record of no importance
""")

_CC: Final = "https://creativecommons.org"


def _licence(title: str, url: str, says: str) -> tuple[str, dict[str, Any]]:
    return title, {"description": {"en": says}, "props": {"url": url, "scheme": "spdx"}}


_LICENCES: Final = {
    "cc-by-4.0": _licence(
        "Creative Commons Attribution 4.0 International",
        f"{_CC}/licenses/by/4.0/",
        "Use it as you like, and name the authors.",
    ),
    "cc-by-sa-4.0": _licence(
        "Creative Commons Attribution Share Alike 4.0 International",
        f"{_CC}/licenses/by-sa/4.0/",
        "Use it as you like, name the authors, and share alike.",
    ),
    "cc-by-nc-4.0": _licence(
        "Creative Commons Attribution Non Commercial 4.0 International",
        f"{_CC}/licenses/by-nc/4.0/",
        "Use it for what is no trade, and name the authors.",
    ),
    "cc0-1.0": _licence(
        "Creative Commons Zero v1.0 Universal",
        f"{_CC}/publicdomain/zero/1.0/",
        "Use it as you like.",
    ),
    "mit": _licence("MIT License", "https://opensource.org/license/mit", "Keep the notice."),
    "bsd-2-clause": _licence(
        'BSD 2-Clause "Simplified" License',
        "https://opensource.org/license/bsd-2-clause",
        "Keep the notice.",
    ),
    "bsd-3-clause": _licence(
        'BSD 3-Clause "New" or "Revised" License',
        "https://opensource.org/license/bsd-3-clause",
        "Keep the notice, and claim no endorsement.",
    ),
    "apache-2.0": _licence(
        "Apache License 2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
        "Keep the notice, and tell of changes.",
    ),
    "gpl-3.0-or-later": _licence(
        "GNU General Public License v3.0 or later",
        "https://www.gnu.org/licenses/gpl-3.0-standalone.html",
        "Share the source alike.",
    ),
    "lgpl-3.0-or-later": _licence(
        "GNU Lesser General Public License v3.0 or later",
        "https://www.gnu.org/licenses/lgpl-3.0-standalone.html",
        "Share the source of the library alike.",
    ),
}
LICENCES: Final = Vocabulary(
    {ident: title for ident, (title, _) in _LICENCES.items()},
    {ident: more for ident, (_, more) in _LICENCES.items()},
)

SCHEMES: Final = frozenset(
    """
    ads ark arxiv crossreffunderid doi ean13 eissn gnd grid handle igsn isbn isni issn istc lissn
    lsid orcid other pmcid pmid purl ror swh upc url urn w3id
    """.split()  # noqa: SIM905
)
