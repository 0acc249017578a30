"""What went wrong, with which file, and what to do about it?

Every error of the project is an `ArdError`: a sentence, the file it is about, what was
expected, what was found, and the next action.
"""

import re
from os import PathLike
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ArdError(Exception):
    """Say what could not be done, and what the reader of the message can do about it.

    Parameters
    ----------
    problem : str
        One sentence that names the problem.
    file : path-like, optional
        The file the problem is in.
    expected, found : optional
        What should have been there, and what was; anything with a readable `str`.
    action : str, optional
        The next thing to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | PathLike[str] | None = None,
        expected: object = None,
        found: object = None,
        action: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.action = action
        super().__init__(self._text())

    def _text(self) -> str:
        rows = [
            ("file", self.file),
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.action),
        ]
        details = "".join(f"\n  {label}: {value}" for label, value in rows if value is not None)
        # File names and contents may come from anywhere, and terminals obey control characters.
        return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], self.problem + details)

    def __reduce__(self) -> tuple[object, ...]:
        # Workers hand errors back by pickle, which would otherwise lose the keywords.
        return (_rebuild, (type(self), self.problem, self.__dict__.copy()))


def _rebuild(kind: type[ArdError], problem: str, state: dict[str, str | None]) -> ArdError:
    error = kind(
        problem,
        file=state["file"],
        expected=state["expected"],
        found=state["found"],
        action=state["action"],
    )
    return error


class FormatError(ArdError):
    """The file is not what its reader understands (structure, extensions, axes)."""


def misfit(problem: str, expected: str, found: object) -> FormatError:
    """Make the error for arrays that do not belong to one another."""
    action = "give both for the same voxels"
    return FormatError(problem, expected=expected, found=found, action=action)


class UnitError(ArdError):
    """A quantity has a unit that cannot be converted into the one needed."""


class IntegrityError(ArdError):
    """The bytes are not the bytes that were written."""


class NotFoundError(ArdError):
    """Something that was asked for by name does not exist."""


class RemoteError(ArdError):
    """An archive cannot be reached, or its answer cannot be used."""


class ExtraMissingError(ArdError):
    """An optional library is needed; the message carries the install line."""

    @classmethod
    def for_module(cls, module: str, purpose: str, extra: str = "study") -> "ExtraMissingError":
        """Name the missing module, what it is for, and the line that installs it.

        Parameters
        ----------
        module : str
            The import name that failed.
        purpose : str
            What needs it, as a verb phrase ("writing s3d files").
        extra : str
            The extra of `rbh1-ard` that brings it.
        """
        return cls(
            f"{purpose} needs the library '{module}', which is not installed",
            expected=f"the extra '{extra}' of rbh1-ard",
            found=f"no module named '{module}'",
            action=f"pip install 'rbh1-ard[{extra}]'",
        )
