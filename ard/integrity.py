"""Is this folder the bundle it says it is?

A bundle lists its files twice, in `manifest.json` (size, sha256, md5, what it is) and in
`sha256sums.txt` (for ``sha256sum -c``). The two must agree with each other and with the folder.

The two lists guard each other against accident, not against a forger who rewrites both: that
is found only by comparing the digest of `sha256sums.txt` with the one that was published, which
`verify` does where it is told the digest.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

from ard import layout
from ard.archive import verify_archive
from ard.errors import ArdError, IntegrityError, NotFoundError
from ard.fileio import sha256_file
from ard.fitsio import open_hdus
from ard.manifest import Entry, Manifest, parse_manifest_bytes
from ard.sums import Finding, case_twins, file_digests, is_safe_name, parse_sums, quote, unsafe_name

Level = Literal["none", "fast", "full"]
LEVELS: Final = ("none", "fast", "full")
_LISTS: Final = (layout.MANIFEST_FILE, layout.SUMS_FILE)


def bundle_digest(folder: str | os.PathLike[str]) -> str:
    """Give the one number that stands for a whole bundle: the sha256 of its list of sums.

    Compared with the published digest, it tells whether this is the published bundle, provided
    that `verify` finds nothing.
    """
    return sha256_file(_bundle_folder(folder) / layout.SUMS_FILE)


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read what a bundle says about itself, without looking at its other files.

    Raises
    ------
    IntegrityError
        If the manifest is missing, damaged, or names a file outside of the bundle.
    """
    root = _bundle_folder(folder)
    present, _ = _scan(root)
    manifest, findings = _load_manifest(root, present)
    if manifest is None or findings:
        raise not_intact(root, findings)
    return manifest


def verify(
    folder: str | os.PathLike[str], level: str = "full", *, digest: str | None = None
) -> tuple[Finding, ...]:
    """Report every way in which a folder is not the bundle that was written.

    Parameters
    ----------
    folder : path-like
        The bundle.
    level : {"fast", "full", "none"}
        ``fast``: the lists and their agreement, names, presence and sizes. ``full``: also
        sha256 and md5 of every file, the members of zips, the structure and checksums of FITS.
    digest : str, optional
        The published digest (`bundle_digest`), which shows a bundle that was forged as a whole.

    Returns
    -------
    tuple of Finding
        Empty if the bundle is intact; sorted by file.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    require_level(level)
    root = _bundle_folder(folder)
    if level == "none":
        return ()
    present, findings = _scan(root)
    more, entries, sums = _compare_lists(root, present, digest)
    findings += more + (_contents(root, present, entries, sums) if level == "full" else [])
    return tuple(sorted(set(findings)))


def require_level(level: str) -> None:
    """Refuse a word that names no level of verification."""
    if level not in LEVELS:
        raise ArdError(
            "there is no such level of verification", expected=" or ".join(LEVELS), found=level
        )


def listing_findings(
    folder: str | os.PathLike[str], present: Mapping[str, int], *, digest: str | None = None
) -> tuple[Finding, ...]:
    """Report how a listing of files differs from the lists of a bundle, without the files.

    Parameters
    ----------
    folder : path-like
        Holds the two lists; the other files need not be there.
    present : mapping of str to int
        Safe names and sizes, as an archive lists them.
    digest : str, optional
        The published digest.
    """
    findings, _, _ = _compare_lists(_bundle_folder(folder), present, digest)
    return tuple(sorted(set(findings)))


def _compare_lists(
    root: Path, present: Mapping[str, int], digest: str | None
) -> tuple[list[Finding], dict[str, Entry], dict[str, str]]:
    """Compare the two lists with one another, and with the files that are said to be present."""
    sums, findings = _load_sums(root, present)
    manifest, more = _load_manifest(root, present)
    findings += more
    entries = {entry.name: entry for entry in manifest.entries} if manifest else {}
    if manifest and sums:
        findings += _agreement(entries, sums) + _same_manifest(root, sums)
    findings += _presence(present, {*sums, *entries, *_LISTS})
    findings += _sizes(present, entries)
    if digest is not None and layout.SUMS_FILE in present:
        findings += _published(root, digest)
    return findings, entries, sums


def not_intact(
    bundle: str | os.PathLike[str],
    findings: Iterable[Finding],
    action: str = "fetch the files named above again; do not use them as they are",
) -> IntegrityError:
    """Make the error that lists every finding about a bundle."""
    rows = list(findings)
    return IntegrityError(
        f"the bundle is not intact ({len(rows)} finding{'s' if len(rows) != 1 else ''})",
        file=bundle,
        expected="the files of manifest.json and sha256sums.txt, and no others",
        found="".join(f"\n    {finding}" for finding in rows),
        action=action,
    )


def _bundle_folder(folder: str | os.PathLike[str]) -> Path:
    root = Path(folder)
    if not root.is_dir():
        raise NotFoundError(
            "there is no such bundle",
            file=root,
            expected="the folder of a bundle",
            found="a file" if root.exists() else "nothing",
            action="give the folder that holds manifest.json and sha256sums.txt",
        )
    return root


def _scan(root: Path) -> tuple[dict[str, int], list[Finding]]:
    """List the plain files of the folder with their sizes; everything else is a finding."""
    present: dict[str, int] = {}
    findings: list[Finding] = []
    for path in sorted(root.iterdir()):
        name, status = path.name, path.lstat()
        if stat.S_ISLNK(status.st_mode):
            findings.append(Finding(name, "is a symbolic link", "a regular file"))
        elif stat.S_ISDIR(status.st_mode):
            findings.append(Finding(name, "is a folder", "a regular file"))
        elif not stat.S_ISREG(status.st_mode):
            findings.append(Finding(name, "is a special file", "a regular file"))
        elif not is_safe_name(name):
            findings.append(unsafe_name(quote(name), name))
        else:
            present[name] = status.st_size
    return present, findings + case_twins(present)


def _load_sums(root: Path, present: Mapping[str, int]) -> tuple[dict[str, str], list[Finding]]:
    name = layout.SUMS_FILE
    if name not in present:
        # That it is missing is reported with the presence of all files.
        return {}, []
    sums, findings = parse_sums((root / name).read_bytes(), name)
    if name in sums:
        del sums[name]
        findings.append(Finding(name, "the list lists itself", "every other file"))
    return sums, findings


def _load_manifest(root: Path, present: Mapping[str, int]) -> tuple[Manifest | None, list[Finding]]:
    if layout.MANIFEST_FILE not in present:
        return None, [Finding(layout.MANIFEST_FILE, "missing file")]
    return parse_manifest_bytes((root / layout.MANIFEST_FILE).read_bytes())


def _agreement(entries: Mapping[str, Entry], sums: Mapping[str, str]) -> list[Finding]:
    """Compare the two lists with each other."""
    findings: list[Finding] = []
    for name in sorted({*entries, *sums, layout.MANIFEST_FILE}):
        entry = entries.get(name)
        if name not in sums:
            findings.append(Finding(name, f"not listed in {layout.SUMS_FILE}"))
        elif entry is None and name != layout.MANIFEST_FILE:
            findings.append(Finding(name, f"not listed in {layout.MANIFEST_FILE}"))
        elif entry is not None and entry.sha256 != sums[name]:
            problem = f"{layout.MANIFEST_FILE} and {layout.SUMS_FILE} differ"
            findings.append(Finding(name, problem, entry.sha256, sums[name]))
    return findings


def _same_manifest(root: Path, sums: Mapping[str, str]) -> list[Finding]:
    """Compare the manifest with its sum, which stands in the list only."""
    name = layout.MANIFEST_FILE
    found = sha256_file(root / name)
    if sums.get(name, found) == found:
        return []
    return [Finding(name, "sha256 differs", sums[name], found)]


def _presence(present: Mapping[str, int], expected: set[str]) -> list[Finding]:
    findings = [Finding(name, "missing file") for name in expected - set(present)]
    return findings + [Finding(name, "unlisted file") for name in set(present) - expected]


def _sizes(present: Mapping[str, int], entries: Mapping[str, Entry]) -> list[Finding]:
    return [
        Finding(name, "size differs", f"{entry.size} bytes", f"{present[name]} bytes")
        for name, entry in entries.items()
        if name in present and present[name] != entry.size
    ]


def _published(root: Path, digest: str) -> list[Finding]:
    found, expected = bundle_digest(root), digest.strip().lower()
    if found == expected:
        return []
    return [Finding(layout.SUMS_FILE, "not the published bundle", quote(expected), found)]


def _contents(
    root: Path,
    present: Mapping[str, int],
    entries: Mapping[str, Entry],
    sums: Mapping[str, str],
) -> list[Finding]:
    """Compare the bytes of every listed file with both lists, then look inside."""
    findings: list[Finding] = []
    for name in sorted((set(entries) | set(sums)) & set(present)):
        found, entry = file_digests(root / name), entries.get(name)
        rows = [("sha256", sums.get(name), found.sha256)]
        if entry is not None:
            rows += [("sha256", entry.sha256, found.sha256), ("md5", entry.md5, found.md5)]
        differing = [
            Finding(name, f"{what} differs", expected, value)
            for what, expected, value in rows
            if expected not in (None, value)
        ]
        findings += differing
        # What is inside of a file with the wrong bytes says nothing more.
        if not differing:
            findings += _inside(root / name)
    return findings


def _inside(path: Path) -> list[Finding]:
    """Look into a file whose bytes are the listed ones."""
    try:
        if path.suffix == ".zip":
            return verify_archive(path)
        if path.suffix == ".fits":
            _require_fits(path)
    except ArdError as error:
        return [Finding(path.name, error.problem, error.expected or "", error.found or "")]
    return []


def _require_fits(path: Path) -> None:
    try:
        with open_hdus(path):
            return
    except ArdError:
        raise
    except Exception as error:
        # FITS readers were not written for damaged headers, and raise whatever they meet.
        raise IntegrityError(
            "the file cannot be read as FITS", file=path, found=f"{type(error).__name__}: {error}"
        ) from error
