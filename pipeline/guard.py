"""How does a verb end that could not do what it was asked: in words, and with which exit code?

Exit codes: 0 good, 1 a check failed, 2 wrong usage, 3 could not run.
"""

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import click

from pipeline.doctor import SECRETS

FAILED: Final = 1
USAGE: Final = 2
COULD_NOT_RUN: Final = 3

JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def debug() -> bool:
    """Say whether tracebacks were asked for."""
    context = click.get_current_context(silent=True)
    return bool(context and context.find_root().params.get("debug"))


def say(text: str) -> None:
    """Write a line to the log; a secret that got into it is left out."""
    for name in SECRETS:
        secret = os.environ.get(name, "").strip()
        text = text.replace(secret, "***") if secret else text
    click.echo(text, err=True)


def stop(error: BaseException, code: int) -> NoReturn:
    """Explain an error, and end."""
    from pipeline.runner import Failure

    if debug():
        say("".join(traceback.format_exception(error)))
    for line in Failure.of(error).lines():
        say(line)
    sys.exit(code)


def guarded[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into a message and an exit code."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _terminable():
                return function(*args, **kwargs)
        except KeyboardInterrupt:
            say("interrupted; the same command continues where this one stopped")
            sys.exit(COULD_NOT_RUN)
        except ModuleNotFoundError as error:
            _missing(error)
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 (the last place where an error can be explained)
            stop(error, COULD_NOT_RUN)

    return wrapper


def _missing(error: ModuleNotFoundError) -> NoReturn:
    from ard.errors import ExtraMissingError

    name = (error.name or "").partition(".")[0]
    ours = {"ard", "checks", "manifests", "pipeline", "release", "schemas"}
    explained = error if name in ours else ExtraMissingError.for_module(name, "rbh1")
    stop(explained, COULD_NOT_RUN)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a request to end stop a run as an interrupt does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
