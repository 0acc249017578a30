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
        The record that it is about.
    time : float
        When it came, by the clock of the archive.
    status : int
        Of the reply; 0 where none was begun.
    applied : bool
        Whether it changed anything in the archive.
    fault : str or None
        What was made to go wrong.
    authorized : bool
        Whether a valid token came along.
    received_bytes, sent_bytes : int
        Of the bodies.
    """

    method: str
    path: str
    user_agent: str | None
    key: str | None
    record_id: str | None
    time: float
    status: int = 0
    applied: bool = False
    fault: str | None = None
    authorized: bool = False
    received_bytes: int = 0
    sent_bytes: int = 0
