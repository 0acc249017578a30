"""What happens after the stages: are the products good, and is there a bundle and a page?

The bundle is made by ``rbh1-release``, started as a process by its public command line: the
pipeline and the release know nothing of one another.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ard
from ard import io, layout
from ard.errors import ArdError
from pipeline.folder import clear_results

type Say = Callable[[str], None]
PROGRAM: Final = "rbh1-release"
PASSED: Final = "PASSED"


@dataclass(frozen=True)
class TailReport:
    """What the tail made, and whether the judge is content.

    Attributes
    ----------
    verdict : str
        PASSED or FAILED.
    counts : mapping of str to int
        How many checks ended in which way.
    failures : tuple of str
        One line for each check that did not pass.
    paths : mapping of str to path
        What was made: checks, bundle, report.
    """

    verdict: str
    counts: Mapping[str, int]
    failures: tuple[str, ...] = ()
    paths: Mapping[str, Path] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if every check passed."""
        return self.verdict == PASSED


def finish(root: Path, say: Say) -> TailReport:
    """Judge the products of a run, build and verify the bundle, open it, write the page.

    Parameters
    ----------
    root : path
        The run folder.
    say : callable
        Told what is being done.

    Returns
    -------
    TailReport
        If the judge is not content, no bundle is built, and the page says so.

    Raises
    ------
    ArdError
        If a step could not be done, or the folder of the bundle is not one of ours. The page is
        written even if no good bundle could be built.
    """
    # What an earlier run left would be taken for the result of this one.
    clear_results(root)
    say("judging the products")
    document = judge(root)
    paths = {"products": root / layout.PRODUCTS_DIR, "checks": root / layout.CHECKS_FILE}
    failure: ArdError | None = None
    if document["verdict"] == PASSED:
        try:
            paths["bundle"] = _make_bundle(root, say)
        except ArdError as error:
            failure = error
    say("writing the report")
    paths["report"] = write_report(root, "" if failure is None else _short(failure))
    if failure is not None:
        raise failure
    return TailReport(document["verdict"], document["counts"], _failures(document), paths)


def _make_bundle(root: Path, say: Say) -> Path:
    bundle = root / layout.BUNDLE_DIR
    say("building the bundle")
    build_bundle(root, bundle)
    say("opening the bundle")
    ard.open(bundle, verify="full")
    return bundle


def _short(error: ArdError) -> str:
    return f"{error.problem}: {error.found}" if error.found else error.problem


def judge(root: Path) -> dict[str, Any]:
    """Run all checks on the products of a run and keep the report as ``checks.json``."""
    import checks

    document: dict[str, Any] = checks.judge(root).to_dict()
    io.write_json(root / layout.CHECKS_FILE, document, overwrite=True)
    return document


def _failures(document: Mapping[str, Any]) -> tuple[str, ...]:
    bad = [r for r in document["results"] if r["status"] != PASSED and not r.get("waived")]
    return tuple(f"{r['status']} {r['check']} {r['product']}: {r['detail']}" for r in bad)


def build_bundle(root: Path, bundle: Path) -> None:
    """Have ``rbh1-release`` build the bundle and verify it.

    Raises
    ------
    ArdError
        If either step ends badly.
    """
    release("build", "--run", str(root), "--out", str(bundle), "--json")
    release("verify", str(bundle), "--json")


def release(*arguments: str) -> dict[str, Any]:
    """Call ``rbh1-release`` and give the JSON document that it prints.

    Raises
    ------
    ArdError
        If it ends with another code than 0.
    """
    done = subprocess.run([*command(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ArdError(
            f"'{PROGRAM} {arguments[0]}' ended with code {done.returncode}",
            expected="code 0",
            found="; ".join(line.strip() for line in said) or "no message",
            action=f"run it by hand: {PROGRAM} {' '.join(arguments)}",
        )
    return _json(done.stdout)


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {"result": document}


def command() -> Sequence[str]:
    """Find ``rbh1-release``: beside this Python, on the path, or as a module."""
    beside = Path(sys.executable).with_name(PROGRAM)
    if beside.is_file():
        return [str(beside)]
    found = shutil.which(PROGRAM)
    return [found] if found else [sys.executable, "-m", "release"]


def write_report(root: Path, problem: str = "") -> Path:
    """Write the page about a run, with its figures inside, and give its path.

    Parameters
    ----------
    root : path
        The run folder.
    problem : str
        Why there is no good bundle although the checks passed.

    Raises
    ------
    ExtraMissingError
        If the library for templates is not installed.
    """
    from pipeline.report import page

    path = root / layout.REPORT_FILE
    io.atomic_write_bytes(path, page(root, problem).encode(), overwrite=True)
    return path
