"""What do the validators of other people say about the papers of a bundle?

Run as a script by a Python that has them, which need not have anything of ours: it reads a list of
questions as JSON, and answers each with a list of problems, or with the distribution that is
missing. Whatever asks for the network is refused, but for the one context that RO-Crate names,
which is read from a file.
"""

import contextlib
import importlib
import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

CFF: Final = "cffconvert"
DATAPACKAGE: Final = "frictionless"
CRATE: Final = "roc-validator"
# Each with the module that it is imported as.
MODULES: Final = {CFF: "cffconvert", DATAPACKAGE: "frictionless", CRATE: "rocrate_validator"}

_CONTEXT_URL: Final = "https://w3id.org/ro/crate/1.1/context"
# It inherits the profile ro-crate-1.1, whose requirements are tried with its own.
_PROFILE: Final = "process-run-crate"


def main() -> None:
    """Answer the questions on standard input; nothing but the answers goes to standard output."""
    questions = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        answers = [_answer(question) for question in questions]
    json.dump(answers, sys.stdout)


def _answer(question: dict[str, str]) -> dict[str, Any]:
    tool = question["tool"]
    try:
        importlib.import_module(MODULES[tool])
    except ModuleNotFoundError:
        return {"missing": tool}
    return {"problems": _TOOLS[tool](question)}


def _cff(question: dict[str, str]) -> list[str]:
    citation = importlib.import_module("cffconvert").Citation
    wrong = importlib.import_module("jsonschema.exceptions").ValidationError
    unreadable = importlib.import_module("ruamel.yaml.error").YAMLError
    try:
        citation(Path(question["path"]).read_text(encoding="utf-8")).validate()
    except (wrong, unreadable, ValueError) as error:
        return [str(getattr(error, "message", error)).splitlines()[0]]
    return []


def _datapackage(question: dict[str, str]) -> list[str]:
    frictionless = importlib.import_module("frictionless")
    report = frictionless.validate(question["path"])
    problems = [str(error.message) for error in report.errors]
    for task in report.tasks:
        problems += [f"{task.name}: {error.message}" for error in task.errors]
    return problems


def _crate(question: dict[str, str]) -> list[str]:
    """Hold a crate against RO-Crate 1.1 and Process Run Crate, at the level of what is required."""
    context = Path(question["context"]).read_bytes()
    requests = importlib.import_module("requests")

    def send(_: Any, request: Any, **__: Any) -> Any:
        if request.url != _CONTEXT_URL:
            raise requests.ConnectionError(f"the network is not used: {request.url}")
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/ld+json"
        # requests offers no other way to make a response without a connection.
        response._content = context
        return response

    requests.adapters.HTTPAdapter.send = send
    services = importlib.import_module("rocrate_validator.services")
    models = importlib.import_module("rocrate_validator.models")
    with tempfile.TemporaryDirectory() as folder:
        # The validator makes an address of the folder's name, and stumbles over a blank in it.
        link = Path(folder) / "crate"
        link.symlink_to(question["path"], target_is_directory=True)
        settings = models.ValidationSettings(
            rocrate_uri=str(link),
            profile_identifier=_PROFILE,
            requirement_severity=models.Severity.REQUIRED,
            no_cache=True,
        )
        return [issue.message for issue in services.validate(settings).get_issues()]


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise OSError("the network is not used")


_TOOLS: Final[dict[str, Callable[[dict[str, str]], list[str]]]] = {
    CFF: _cff,
    DATAPACKAGE: _datapackage,
    CRATE: _crate,
}

if __name__ == "__main__":
    urllib.request.urlopen = _refuse
    main()
