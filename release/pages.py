"""Is a page whole in one file, and can search engines read what it is about?"""

import re
from html.parser import HTMLParser
from typing import Final

from ard.fileio import parse_json

_STRUCTURED: Final = "application/ld+json"
# By these a browser fetches of itself; links that a person may follow are no matter.
_FETCHING: Final = ("src", "srcset", "data", "poster", "background")
_CSS_FETCHES: Final = re.compile(r"@import[^;]*|url\([^)]*\)")


def page_problems(text: str) -> tuple[str, ...]:
    """Find what a page would fetch from elsewhere, and what is wrong with its structured data."""
    page = _Page()
    page.feed(text)
    page.close()
    problems = [f"it fetches {address}" for address in page.fetched]
    if not page.title.strip():
        problems.append("it has no title")
    try:
        structured = parse_json(page.structured.encode())
    except ValueError as error:
        return (*problems, f"its structured data are no JSON: {error}")
    if not isinstance(structured, dict) or structured.get("@type") != "Dataset":
        problems.append("its structured data are about no Dataset")
    return tuple(problems)


class _Page(HTMLParser):
    """What a page fetches, its title, and the structured data in it."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.title = ""
        self.structured = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what this element fetches, and where the texts that follow belong."""
        given = dict(attrs)
        names = (*_FETCHING, "href") if tag == "link" else _FETCHING
        self.fetched += [str(given[name]) for name in names if given.get(name)]
        self._inside = _STRUCTURED if given.get("type") == _STRUCTURED else tag

    def handle_endtag(self, tag: str) -> None:
        """Leave the element."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Keep the texts that are asked for, and note what a style sheet fetches."""
        if self._inside == _STRUCTURED:
            self.structured += data
        elif self._inside == "title":
            self.title += data
        elif self._inside == "style":
            self.fetched += _CSS_FETCHES.findall(data)
