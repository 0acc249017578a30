"""What is remembered of each request?"""

from dataclasses import dataclass


@dataclass
class RequestRecord:
    """A request that came, and what became of it.

    Attributes
    ----------
    method, path : str
        GET, POST, ...; the address with its query, as it came.
    user_agent : str or None
        What the client calls itself.
    key : str or None
        The file that it is about.
    record_id : str or None
        The record that it is about, or has created.
    time, answered : float
        When it came, and when it was answered, by the clock of the archive.
    token_given : bool
        Whether a token came along.
    authorized : bool
        Whether that token was valid.
    status : int
        Of the reply; 0 where none was begun.
    applied : bool
        Whether it changed anything in the archive, whatever the client was told.
    errors : bool
        Whether the archive said success and complained in the same breath.
    digest : str or None
        SHA-256 of what was sent, unless that was the content of a file.
    fault : str or None
        What was made to go wrong.
    retry_after : float or None
        How long the client was told to wait, by a 429 or 503, s.
    received_bytes, sent_bytes : int
        Of the bodies.
    broken_off : bool
        Whether the reply ended before its end, so that the client cannot have read it.
    """

    method: str
    path: str
    user_agent: str | None
    key: str | None
    record_id: str | None
    time: float
    answered: float = 0.0
    token_given: bool = False
    authorized: bool = False
    status: int = 0
    applied: bool = False
    errors: bool = False
    digest: str | None = None
    fault: str | None = None
    retry_after: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    broken_off: bool = False
