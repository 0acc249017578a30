"""Can somebody else make this very bundle from the run that it is said to come from?"""

import datetime
import functools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ard
import schemas
from ard import layout
from ard.errors import FormatError
from ard.fileio import read_json
from ard.integrity import bundle_digest, read_manifest
from ard.manifest import Manifest
from ard.sums import file_digests
from manifests.waivers import Waiver
from release.build import Options, Progress, build
from release.gate import Judge
from release.reservation import Reservation, reserved


@dataclass(frozen=True)
class Rebuilt:
    """Say whether a second build gave the same bundle.

    Attributes
    ----------
    expected, found : str
        Digest of the bundle, and of the one that was built.
    differing : mapping of str to str
        Each file that is not the same, and in which way.
    made_by, ours : str
        Version of the distribution that made the bundle's products, and of this one.
    """

    expected: str
    found: str
    differing: Mapping[str, str]
    made_by: str
    ours: str

    @property
    def same(self) -> bool:
        """Say whether both have the same bytes."""
        return self.expected == self.found and not self.differing

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "same": self.same,
            "expected": self.expected,
            "found": self.found,
            "differing": dict(self.differing),
            "made_by": self.made_by,
            "ours": self.ours,
        }


def rebuild(
    folder: Path,
    run: Path,
    reservation: Reservation | None = None,
    *,
    previous: str | Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Rebuilt:
    """Build a run again as a bundle was built, and compare the two.

    Version, day and DOIs are read from the bundle's manifest; the new bundle lies in a temporary
    folder, and is gone afterwards.

    Parameters
    ----------
    folder : Path
        The bundle.
    run : Path
        The run that it is said to come from.
    reservation : Reservation, optional
        What the bundle was built with; as its DOIs tell by default.
    previous : str or Path, optional
        Folder or DOI of the version before, which the changelog tells about; the DOI in the
        bundle's manifest by default.
    judge : callable, optional
        Judges run and bundle; the registry of `checks` by default, as of the day of the release and
        with the waivers that its report names.
    progress : callable, optional
        Is told, in a few words, what is being done.

    Raises
    ------
    IntegrityError
        If the bundle has no sound manifest.
    RefusedError
        If the run cannot be released now.
    ArdError
        If there is no such bundle or run.
    """
    manifest = read_manifest(folder)
    options = Options(
        version=manifest.version,
        date=manifest.date,
        reservation=reservation or reserved(manifest),
        previous=previous or manifest.previous_doi,
    )
    with tempfile.TemporaryDirectory() as scratch:
        out, asked = Path(scratch) / "bundle", judge or _judge_of(folder, manifest)
        again = build(run, out, options, judge=asked, progress=progress).folder
        return Rebuilt(
            expected=bundle_digest(folder),
            found=bundle_digest(again),
            differing=dict(sorted(_differing(folder, again).items())),
            made_by=manifest.code_version,
            ours=ard.__version__,
        )


def _judge_of(folder: Path, manifest: Manifest) -> Judge:
    """Judge as the bundle was judged: that a waiver expires makes no release worse."""
    from checks.judging import judge

    found = {json.dumps(row["waived"], sort_keys=True) for row in _results(folder) if row["waived"]}
    waivers = [
        Waiver(**row | {"expires": datetime.date.fromisoformat(row["expires"])})
        for row in map(json.loads, sorted(found))
    ]
    day = None if manifest.date is None else datetime.date.fromisoformat(manifest.date)
    return functools.partial(judge, waivers=waivers, today=day)


def _results(folder: Path) -> list[dict[str, Any]]:
    report = read_json(folder / layout.CHECKS_FILE)
    problems = schemas.validate(report, "check-report")
    if problems:
        raise FormatError(
            "the check report of the bundle cannot be read",
            file=folder / layout.CHECKS_FILE,
            found="; ".join(map(str, problems)),
            action="fetch the bundle again",
        )
    results: list[dict[str, Any]] = report["results"]
    return results


def _differing(folder: Path, again: Path) -> dict[str, str]:
    """Compare what is there, not what the lists say."""
    before, after = _sums(folder), _sums(again)
    return {
        **dict.fromkeys(before.keys() - after.keys(), "is not built"),
        **dict.fromkeys(after.keys() - before.keys(), "is not in the bundle"),
        **{
            name: "has other bytes"
            for name in before.keys() & after.keys()
            if before[name] != after[name]
        },
    }


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: file_digests(path).sha256 for path in folder.iterdir() if path.is_file()}
