"""How are the validators of other people asked, which cannot be installed beside our libraries?

They run in a process of their own, by `release.outside`, with the Python of an environment that is
named, or with this one where it has them.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ard import layout
from ard.errors import ArdError, NotFoundError
from release import outside

# Which validator each format of paper is for, and what it is shown.
TOOLS: Final = {"cff": outside.CFF, "datapackage": outside.DATAPACKAGE, "rocrate": outside.CRATE}
_SHOWN: Final = {
    "cff": layout.CITATION_FILE,
    "datapackage": layout.DATAPACKAGE_FILE,
    "rocrate": "",
}
_CONTEXT: Final = ("rocrate", "data/ro-crate.jsonld")
_SECONDS: Final = 600

# A format, and the folder of the bundle whose paper is meant.
Paper = tuple[str, Path]


def ask_outside(
    papers: Sequence[Paper], environment: Path | None = None
) -> dict[Paper, tuple[str, ...] | None]:
    """Ask other people's validators about papers of bundles, all in one process.

    Parameters
    ----------
    papers : sequence of (str, Path)
        One of `TOOLS`, with the folder of a bundle.
    environment : Path, optional
        A virtual environment that has the validators; this Python's own packages by default.

    Returns
    -------
    dict
        For each paper the problems, or None where its validator is not installed.

    Raises
    ------
    NotFoundError
        If there is no such environment.
    ArdError
        If a validator broke.
    """
    python = _python(environment)
    context = crate_context()
    asked = [paper for paper in papers if paper[0] != "rocrate" or context is not None]
    if environment is None and not any(map(find_spec, outside.MODULES.values())):
        asked = []
    answers = _run(python, [_question(paper, context) for paper in asked]) if asked else []
    found = {
        paper: tuple(answer["problems"])
        for paper, answer in zip(asked, answers, strict=True)
        if "problems" in answer
    }
    return {paper: found.get(paper) for paper in papers}


def crate_context() -> Path | None:
    """Find the copy of RO-Crate's JSON-LD context that the distribution rocrate brings."""
    distribution, name = _CONTEXT
    spec = find_spec(distribution)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None


def _python(environment: Path | None) -> str:
    if environment is None:
        return sys.executable
    python = environment / "bin" / "python"
    if not python.is_file():
        raise NotFoundError(
            "there is no such environment of validators",
            file=environment,
            expected="a virtual environment, with bin/python",
            found="nothing",
            action="make it: make validators",
        )
    return str(python)


def _question(paper: Paper, context: Path | None) -> dict[str, str]:
    format, bundle = paper
    path = bundle.resolve() / _SHOWN[format]
    return {"tool": TOOLS[format], "path": str(path), "context": str(context)}


def _run(python: str, questions: list[dict[str, str]]) -> list[dict[str, list[str]]]:
    try:
        done = subprocess.run(
            [python, "-I", str(outside.__file__)],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ArdError(
            "the validators of other people do not come to an end",
            file=python,
            expected=f"an answer within {_SECONDS} s",
            action="try again; without --validators they are not asked",
        ) from error
    if done.returncode:
        raise ArdError(
            "a validator of other people broke",
            file=python,
            found="\n".join(done.stderr.splitlines()[-3:]),
            action="install the versions that requirements-validators.lock names",
        )
    answers: list[dict[str, list[str]]] = json.loads(done.stdout)
    return answers
