"""What does an action need to know of the request that it answers?"""

from dataclasses import dataclass
from typing import Any, Final

from release.testing.files import Files
from release.testing.model import Refusal, Version
from release.testing.shapes import View
from release.testing.state import State
from release.testing.wire import JSON, RDM, Reply, Request

# In the archive's own order, which its message repeats.
_ACCEPTED: Final = (
    "application/json",
    "application/ld+json",
    "application/vnd.inveniordm.v1.full+csv",
    "application/vnd.inveniordm.v1.simple+csv",
    "application/marcxml+xml",
    "application/vnd.inveniordm.v1+json",
    "application/vnd.citationstyles.csl+json",
    "application/vnd.datacite.datacite+json",
    "application/vnd.geo+json",
    "application/vnd.datacite.datacite+xml",
    'application/ld+json;profile="https://datapackage.org/profiles/2.0/datapackage.json"',
    "application/x-dc+xml",
    "text/x-bibliography",
    "application/x-bibtex",
    "application/dcat+xml",
    "application/linkset+json",
    "application/vnd.zenodo.v1+json",
    "application/x-datacite+xml",
)
# Types with a profile are listed, and yet asked for in vain, as recorded.
_EXPORTS: Final = frozenset(kind for kind in _ACCEPTED if ";" not in kind) - {JSON, RDM}


@dataclass(frozen=True)
class Archive:
    """What actions work on.

    Attributes
    ----------
    state : State
        Records and drafts.
    files : Files
        Their files.
    honour_range : bool
        Whether a part of a file can be had.
    """

    state: State
    files: Files
    honour_range: bool


@dataclass(frozen=True)
class Call:
    """A request with what its address says.

    Attributes
    ----------
    archive : Archive
        What it is put to.
    request : Request
        What was asked.
    named : dict
        The variable parts of the address.
    """

    archive: Archive
    request: Request
    named: dict[str, str]

    @property
    def state(self) -> State:
        """Records and drafts."""
        return self.archive.state

    @property
    def files(self) -> Files:
        """Their files."""
        return self.archive.files

    @property
    def id(self) -> str:
        """The record that it is about."""
        return self.named["id"]

    @property
    def user(self) -> str | None:
        """Whose token came along."""
        return self.request.user

    @property
    def kind(self) -> str:
        """The media type in which draft files are shown."""
        return RDM if wants_rdm(self.request) else JSON

    def owns(self, version: Version) -> bool:
        """Say whether the user may manage a record."""
        return self.user == version.family.owner

    def draft_view(self, **options: Any) -> View:
        """Show a draft."""
        return View(self.request.base, draft=True, **options)

    def record_view(self, **options: Any) -> View:
        """Show a published record."""
        return View(self.request.base, draft=False, **options)


def wants_rdm(request: Request) -> bool:
    """Say whether the reader asked for the records API's own shape; the legacy one is the default.

    Raises
    ------
    Refusal
        If nothing that the archive has is asked for.
    """
    ranked = []
    for place, part in enumerate(request.headers.get("Accept", "*/*").split(",")):
        kind, *options = (option.strip() for option in part.split(";"))
        plain = all(option.startswith("q=") for option in options)
        ranked.append((-_weight(options), place, kind if plain else part.strip()))
    for _, _, kind in sorted(ranked):
        if kind == RDM:
            return True
        if kind in (JSON, "*/*", "application/*"):
            return False
        if kind in _EXPORTS:
            raise Refusal(501, f"Exports as {kind} are no part of the contract.")
    raise Refusal(406, f"Invalid 'Accept' header. Expected one of: {', '.join(_ACCEPTED)}")


def _weight(options: list[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def redirect(status: int, to: str) -> Reply:
    """Send the client elsewhere."""
    title = "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n"
    headers = {"Location": to, "Content-Type": "text/html; charset=utf-8"}
    return Reply(status, f'{title}<a href="{to}">{to}</a>\n'.encode(), headers)
