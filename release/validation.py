"""Which papers has a bundle, and does each follow what it claims to follow?"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import schemas
from ard import layout
from ard.errors import ArdError, IntegrityError, NotFoundError
from ard.fileio import read_json, sha256_file
from ard.integrity import read_manifest
from ard.manifest import Manifest
from release.forms import FORM, form_problems
from release.pages import page_problems
from release.render.zenodo import SCHEMA, record_problems
from release.validators import TOOLS, ask_outside

# What a paper is asked for by.
FORMATS: Final[Mapping[str, str]] = {
    "zenodo": layout.RECORD_FILE,
    "datacite": layout.DATACITE_FILE,
    "cff": layout.CITATION_FILE,
    "rocrate": layout.CRATE_FILE,
    "datapackage": layout.DATAPACKAGE_FILE,
    "html": layout.LANDING_FILE,
    "readme": layout.README_FILE,
    "datasheet": layout.DATASHEET_FILE,
    "dictionary": layout.DICTIONARY_FILE,
    "changelog": layout.CHANGELOG_FILE,
    "manifest": layout.MANIFEST_FILE,
    "checks": layout.CHECKS_FILE,
}
_SCHEMAS: Final = {"manifest": "manifest", "checks": "check-report"}


@dataclass(frozen=True)
class Verdict:
    """Say what was found about one paper.

    Attributes
    ----------
    format, file : str
        What it is asked for by, and its name.
    asked : tuple of str
        Who looked at it.
    missing : tuple of str
        Who could have, but is not installed.
    problems : tuple of str
        Whatever is wrong, one sentence each.
    """

    format: str
    file: str
    asked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True where nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "format": self.format,
            "file": self.file,
            "valid": self.valid,
            "asked": list(self.asked),
            "missing": list(self.missing),
            "problems": list(self.problems),
        }

    def heard(self, who: str, problems: tuple[str, ...] | None) -> "Verdict":
        """Add what somebody says; None where they are not there to be asked."""
        if problems is None:
            return dataclasses.replace(self, missing=(*self.missing, who))
        return dataclasses.replace(
            self, asked=(*self.asked, who), problems=(*self.problems, *problems)
        )


def read_paper(bundle: Path, format: str) -> str:
    """Give the text of one paper.

    Parameters
    ----------
    bundle : Path
        The folder of the bundle.
    format : str
        One of `FORMATS`.

    Raises
    ------
    IntegrityError
        If the manifest of the bundle is not sound, or the paper not the one that it lists.
    NotFoundError
        If the bundle has no such paper.
    """
    listed, present = _listed(bundle), _present(bundle)
    if format not in present:
        raise NotFoundError(
            "the bundle has no such paper",
            file=bundle / FORMATS[format],
            expected=", ".join(present),
            found=format,
            action="build the bundle again, with this version of the software",
        )
    path = present[format]
    if path.name in listed and sha256_file(path) != listed[path.name]:
        raise IntegrityError(
            "the paper was changed after the bundle was built",
            file=path,
            expected=listed[path.name],
            found=sha256_file(path),
            action="fetch or build the bundle again",
        )
    return path.read_text(encoding="utf-8")


def examine(bundle: Path, environment: Path | None = None) -> tuple[Verdict, ...]:
    """Hold every paper of a bundle against what it claims to follow.

    Parameters
    ----------
    bundle : Path
        The folder of the bundle.
    environment : Path, optional
        Where other people's validators are, as in `release.validators.ask_outside`.

    Returns
    -------
    tuple of Verdict
        One for each paper that is there.

    Raises
    ------
    IntegrityError
        If the manifest of the bundle is not sound.
    ArdError
        If a validator could not be asked.
    """
    present = _present(bundle)
    answers = ask_outside([(name, bundle) for name in TOOLS if name in present], environment)
    return tuple(
        verdict.heard(TOOLS[verdict.format], answers[verdict.format, bundle])
        if verdict.format in TOOLS
        else verdict
        for verdict in own_verdicts(bundle)
    )


def own_verdicts(bundle: Path) -> tuple[Verdict, ...]:
    """Hold every paper of a bundle against our schemas, and ask nobody else's program.

    Raises
    ------
    IntegrityError
        If the manifest of the bundle is not sound.
    """
    manifest = read_manifest(bundle)
    return tuple(_own_verdict(name, path, manifest) for name, path in _present(bundle).items())


def _present(bundle: Path) -> dict[str, Path]:
    paths = {name: bundle / file for name, file in FORMATS.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _listed(bundle: Path) -> dict[str, str]:
    """Give the sha256 of each file, by a manifest that is sound."""
    return _sums(read_manifest(bundle))


def _sums(manifest: Manifest) -> dict[str, str]:
    return {entry.name: entry.sha256 for entry in manifest.entries}


def _own_verdict(format: str, path: Path, manifest: Manifest) -> Verdict:
    """Say what we can tell ourselves: the bytes, our schemas, and DataCite's where installed."""
    verdict = Verdict(format, path.name)
    if format != "manifest":
        changed = _sums(manifest).get(path.name) != sha256_file(path)
        problems = ("it is not the file that the manifest lists",) if changed else ()
        verdict = verdict.heard(layout.MANIFEST_FILE, problems)
    try:
        if format == "zenodo":
            return verdict.heard(f"schema {SCHEMA}", _texts(record_problems(read_json(path))))
        if format in _SCHEMAS:
            schema = _SCHEMAS[format]
            found = schemas.validate(read_json(path), schema)
            return verdict.heard(f"schema {schema}", _texts(found))
        if format == "datacite":
            return verdict.heard("DataCite 4.5", _datacite_problems(read_json(path)))
        form = form_problems(format, path, manifest)
        if form is not None:
            return verdict.heard(FORM, form)
    except ArdError as error:
        return verdict.heard("JSON", (f"{error.problem}: {error.found}",))
    if format == "html":
        text = path.read_text(encoding="utf-8", errors="replace")
        return verdict.heard("one page", page_problems(text))
    return verdict


def _texts(problems: tuple[schemas.Problem, ...]) -> tuple[str, ...]:
    return tuple(map(str, problems))


def _datacite_problems(document: dict[str, Any]) -> tuple[str, ...] | None:
    """Ask the validator of the distribution datacite, which takes half a second to import.

    None where it is not installed.
    """
    try:
        from datacite.schema45 import validator
    except ModuleNotFoundError:
        return None

    found = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
    return tuple(f"{error.json_path.removeprefix('$.')}: {error.message}" for error in found)
