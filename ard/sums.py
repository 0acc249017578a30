"""Which bytes should each file of a bundle have?

A bundle says it twice: in `sha256sums.txt`, which `sha256sum -c` understands, and in its
manifest. This module holds what both have in common: safe names, digests, and the findings
that a comparison yields. A zip of the bundle carries a list of the same form.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ard import layout

# Flat lower-case names survive every archive, file system and URL that a deposit passes.
NAME_RULE: Final = re.compile(r"[a-z0-9][a-z0-9._+-]{0,89}")
# Names that readers and robots expect in exactly this spelling.
WELL_KNOWN: Final = frozenset(
    {layout.README_FILE, layout.DATASHEET_FILE, layout.CITATION_FILE, layout.CHANGELOG_FILE}
)

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_LINE: Final = re.compile(r"([0-9a-f]{64})  (.*)")
_BLOCK: Final = 1 << 20
_TEXT_LIMIT: Final = 200


@dataclass(frozen=True, order=True)
class Finding:
    """Say what is wrong with which file.

    Attributes
    ----------
    file : str
        Name of the file in the bundle; ``archive.zip!member`` for a member of a zip.
    problem : str
        What is wrong, in a few words.
    expected, found : str
        What should have been there, and what was; empty where the problem says it all.
    """

    file: str
    problem: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        details = [f"expected {self.expected}"] if self.expected else []
        details += [f"found {self.found}"] if self.found else []
        return f"{self.file}: {self.problem}" + (f" ({', '.join(details)})" if details else "")

    def to_dict(self) -> dict[str, str]:
        """Give the plain JSON form."""
        return {
            "file": self.file,
            "problem": self.problem,
            "expected": self.expected,
            "found": self.found,
        }


@dataclass(frozen=True)
class Digests:
    """Hold what identifies the bytes of one file: size in bytes, sha256 and md5 as hex."""

    size: int
    sha256: str
    md5: str


def is_safe_name(name: object) -> bool:
    """Tell whether a name can be joined to a folder without leaving it.

    Separators, ``..``, drive letters, blanks and control characters all fall outside the rule.
    """
    return isinstance(name, str) and (name in WELL_KNOWN or NAME_RULE.fullmatch(name) is not None)


def is_sha256(text: object) -> bool:
    """Tell whether this is a sha256 as 64 lower-case hex digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def is_md5(text: object) -> bool:
    """Tell whether this is an md5 as 32 lower-case hex digits."""
    return isinstance(text, str) and _MD5.fullmatch(text) is not None


def quote(value: object) -> str:
    """Show an untrusted value on one short line, control characters escaped."""
    text = ascii(value)
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 3] + "..."


def file_digests(path: Path) -> Digests:
    """Give size, sha256 and md5 of a file, reading it once."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
            size += len(block)
    return Digests(size, sha256.hexdigest(), md5.hexdigest())


def format_sums(sums: Mapping[str, str]) -> str:
    """Write a list that ``sha256sum -c`` reads, sorted by name.

    Parameters
    ----------
    sums : mapping of str to str
        File name to sha256.
    """
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def parse_sums(data: bytes, file: str) -> tuple[dict[str, str], list[Finding]]:
    """Read a list of sha256 sums; every line that cannot be trusted becomes a finding.

    Parameters
    ----------
    data : bytes
        The content of the list.
    file : str
        The name of the list, for the findings.

    Returns
    -------
    sums : dict of str to str
        Safe file name to sha256.
    findings : list of Finding
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        return {}, [Finding(file, "not a list of sha256 sums", "ASCII text", str(error.reason))]
    sums, findings = _parse_lines(text.removesuffix("\n").split("\n"), file)
    if not text.endswith("\n"):
        findings.append(Finding(file, "the list ends within a line", "a final newline"))
    if not findings and list(sums) != sorted(sums):
        # One content has one form, so that no change of the list can go unseen.
        findings.append(Finding(file, "the list is not in order", "names in ascending order"))
    return sums, findings


def _parse_lines(lines: list[str], file: str) -> tuple[dict[str, str], list[Finding]]:
    sums: dict[str, str] = {}
    findings: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            found = f"line {number}: {quote(line)}"
            findings.append(Finding(file, "a line is not a sum", "'<sha256>  <name>'", found))
            continue
        digest, name = match.groups()
        if not is_safe_name(name):
            findings.append(unsafe_name(file, name))
        elif name in sums:
            findings.append(Finding(file, "a file is listed twice", "each file once", name))
        else:
            sums[name] = digest
    return sums, findings


def unsafe_name(file: str, name: object) -> Finding:
    """Report a name that could lead out of the folder or that no deposit would keep."""
    rule = f"a flat name matching {NAME_RULE.pattern}"
    return Finding(file, "unsafe file name", rule, quote(name))


def case_twins(names: Iterable[str]) -> list[Finding]:
    """Report names that are one file on a file system that ignores case."""
    seen: dict[str, str] = {}
    findings: list[Finding] = []
    for name in sorted(names):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            problem = "differs from another name in case only"
            findings.append(Finding(name, problem, found=quote(other)))
    return findings
