"""Which files does a zip of the bundle hold, and are they what its own list says?

A bundle packs folders of many small files as stored (uncompressed) zips with flat, safe member
names and a list `sha256sums.txt` of their own. Nothing is ever unpacked to disk here.
"""

import hashlib
import stat
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO, Final

from ard import layout
from ard.errors import IntegrityError, NotFoundError
from ard.sums import Finding, case_twins, is_safe_name, parse_sums, unsafe_name

_UTF8_NAME: Final = 0x800  # the one flag that a plain stored member may carry
# All that zipfile raises for an archive that it cannot, or does not want to, read.
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    EOFError,
)
_UNIX_MODE_SHIFT: Final = 16
_CHUNK: Final = 1 << 20
_FETCH_AGAIN: Final = "fetch the archive again and compare its sha256 with the manifest"


def archive_members(path: Path) -> tuple[str, ...]:
    """Name the files in a zip of the bundle, its own list left out.

    Raises
    ------
    IntegrityError
        If the file is no zip.
    """
    with _open(path) as archive:
        return tuple(sorted(set(archive.namelist()) - {layout.SUMS_FILE}))


def read_member(path: Path, name: str) -> bytes:
    """Read one member of a zip, held against the zip's own list.

    Raises
    ------
    NotFoundError
        If there is no such member.
    IntegrityError
        If the bytes are not the listed ones.
    """
    with _open(path) as archive:
        good, findings = _plain_members(archive, path.name)
        sums, more = _own_list(archive, good, path.name)
        if name not in sums and not more:
            raise NotFoundError(
                "the archive has no such member",
                file=path,
                expected="one of " + ", ".join(sums),
                found=name,
            )
        label = f"{path.name}!{name}"
        broken = more + [finding for finding in findings if finding.file == label]
        if name not in good:
            broken = broken or [Finding(label, "missing member")]
        elif not broken:
            broken = _compare_member(archive, good[name], sums[name], label)
        if broken:
            raise IntegrityError(
                "a member of the archive is not what the archive's own list says",
                file=path,
                found="; ".join(map(str, broken)),
                action=_FETCH_AGAIN,
            )
        return archive.read(good[name])


def verify_archive(path: Path) -> list[Finding]:
    """Report everything that is wrong inside a zip of the bundle.

    Looked at: that it is a zip; member names (safe, flat, once each); that members are plain
    stored files; that they are exactly those of the zip's own list, with those sha256.
    """
    try:
        with _open(path) as archive:
            return _member_findings(archive, path.name)
    except IntegrityError as error:
        return [Finding(path.name, error.problem, error.expected or "", error.found or "")]


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise IntegrityError(
            "the file is not a readable zip",
            file=path,
            expected="a zip archive",
            found=str(error),
            action=_FETCH_AGAIN,
        ) from error


def _member_findings(archive: zipfile.ZipFile, file: str) -> list[Finding]:
    good, findings = _plain_members(archive, file)
    sums, more = _own_list(archive, good, file)
    findings += more
    if not more:
        present = frozenset(archive.namelist())
        findings += _compare(archive, good, sums, present, file)
    return findings


def _plain_members(
    archive: zipfile.ZipFile, file: str
) -> tuple[dict[str, zipfile.ZipInfo], list[Finding]]:
    """Split the members into those that can be read by name and the reasons against others."""
    infos = archive.infolist()
    findings = [unsafe_name(file, info.orig_filename) for info in infos if not _is_safe(info)]
    counts = Counter(info.filename for info in infos)
    twice = [name for name, count in counts.items() if count > 1]
    findings += [Finding(f"{file}!{name}", "a member occurs twice") for name in twice]
    for twin in case_twins(counts):
        findings.append(Finding(f"{file}!{twin.file}", twin.problem, found=twin.found))
    good: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        problem = _not_plain(info)
        if problem:
            findings.append(Finding(f"{file}!{info.filename}", problem, "a plain stored file"))
        elif _is_safe(info) and counts[info.filename] == 1:
            good[info.filename] = info
    return good, findings


def _is_safe(info: zipfile.ZipInfo) -> bool:
    # `orig_filename` is what the archive says before zipfile tidies it (separators, NUL bytes).
    return is_safe_name(info.filename) and info.filename == info.orig_filename


def _not_plain(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> _UNIX_MODE_SHIFT
    if info.is_dir() or stat.S_ISDIR(mode):
        return "a member is a folder"
    if stat.S_ISLNK(mode):
        return "a member is a symbolic link"
    if info.flag_bits & ~_UTF8_NAME:
        return "a member is encrypted, patched or written as a stream"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "a member is compressed"
    return None


def _own_list(
    archive: zipfile.ZipFile, good: dict[str, zipfile.ZipInfo], file: str
) -> tuple[dict[str, str], list[Finding]]:
    """Read the archive's own list: member name to sha256."""
    own = f"{file}!{layout.SUMS_FILE}"
    if layout.SUMS_FILE not in good:
        return {}, [Finding(own, "the archive has no list of its own", "a stored list of sha256")]
    try:
        return parse_sums(archive.read(good[layout.SUMS_FILE]), own)
    except _UNREADABLE as error:
        return {}, [Finding(own, "the archive's list cannot be read", found=str(error))]


def _compare(
    archive: zipfile.ZipFile,
    good: dict[str, zipfile.ZipInfo],
    sums: dict[str, str],
    present: frozenset[str],
    file: str,
) -> list[Finding]:
    listed, held = set(sums), set(good) - {layout.SUMS_FILE}
    missing, unlisted = sorted(listed - present), sorted(held - listed)
    findings = [Finding(f"{file}!{name}", "missing member") for name in missing]
    findings += [Finding(f"{file}!{name}", "unlisted member") for name in unlisted]
    for name in sorted(held & listed):
        findings += _compare_member(archive, good[name], sums[name], f"{file}!{name}")
    return findings


def _compare_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, expected: str, label: str
) -> list[Finding]:
    try:
        with archive.open(info) as stream:
            found = _digest(stream)
    except _UNREADABLE as error:
        return [Finding(label, "the member cannot be read", expected, str(error))]
    return [] if found == expected else [Finding(label, "sha256 differs", expected, found)]


def _digest(stream: IO[bytes]) -> str:
    # A member may be as large as a shard of chains: it is read in bounded memory.
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
