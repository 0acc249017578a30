"""In which ways can a talk with the archive go wrong?

What matters to the caller is the effect: none (`RefusedByArchiveError`, `NotReachedError`), unknown
(`UnknownOutcomeError`), or one that is not the documented one (`UnexpectedAnswerError`).
"""

from ard.errors import ArdError


class DepositError(ArdError):
    """The deposit could not go on."""


class TokenError(DepositError):
    """There is no token, or it is none."""


class NotReachedError(DepositError):
    """The archive was not reached, so that nothing happened there."""


class WaitTooLongError(NotReachedError):
    """The archive asks for a longer wait than anybody waits; so nothing was sent."""


class UnexpectedAnswerError(DepositError):
    """The archive answered what it is not documented to answer."""


class StoppedError(DepositError):
    """Another part of the work stopped, and this one with it."""


class JournalError(DepositError):
    """The journal is damaged, in use, or belongs to something else."""


class RefusedByArchiveError(DepositError):
    """The archive refused a request, which had no effect.

    Attributes
    ----------
    status : int
        The HTTP status.
    """

    status: int = 0

    @classmethod
    def of(cls, status: int, request: str, message: str) -> "RefusedByArchiveError":
        """Say which request was refused, and in the archive's own words why."""
        error = cls(
            f"the archive refused {request}",
            found=f"{status} {message}".strip(),
            action=_ACTIONS.get(status),
        )
        error.status = status
        return error


_ACTIONS = {
    401: "set ZENODO_TOKEN to a token of this archive with deposit:write and deposit:actions",
    403: (
        "a token that is missing, expired, of another archive (sandbox and zenodo have each their"
        " own) or without deposit:write and deposit:actions is answered so; set ZENODO_TOKEN"
    ),
    412: "somebody else changed the draft: make a new plan",
    413: "a single request may not be that large here; ask the archive for more room",
}


class SpoiledUploadError(DepositError):
    """The archive answered an upload with success and ``errors``: it has deleted the entry."""


class UnknownOutcomeError(DepositError):
    """A request that writes was sent, and nobody knows whether it had its effect.

    Attributes
    ----------
    status : int or None
        The HTTP status, where there was an answer.
    """

    status: int | None = None

    @classmethod
    def of(cls, request: str, cause: str, status: int | None = None) -> "UnknownOutcomeError":
        """Say which request was lost, and how."""
        error = cls(
            f"nobody knows whether {request} had its effect",
            found=cause,
            action="type the same command again: it reads the state before it goes on",
        )
        error.status = status
        return error
