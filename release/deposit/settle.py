"""What is done about a request whose answer did not come?

The state is read, and only if it shows that nothing happened is the request sent again. Publishing
is not settled in this way: it is sent once.
"""

from collections.abc import Callable

from release.deposit.errors import UnknownOutcomeError
from release.deposit.governor import LONGEST_S
from release.deposit.journal import Write
from release.deposit.transport import Transport


def settle[T](transport: Transport, send: Callable[[], T], look: Callable[[], T | None]) -> T:
    """Send what changes something until it is certain that it had its effect.

    Parameters
    ----------
    transport : Transport
        Says how often, and waits in between.
    send : callable
        Sends the request.
    look : callable
        Reads the state; gives what the request would have given, or None if it had no effect.

    Raises
    ------
    UnknownOutcomeError
        If every attempt was lost, and the last look still showed nothing.
    """
    attempt = 1
    while True:
        try:
            return send()
        except UnknownOutcomeError:
            # What was lost on the way back may still be under way.
            transport.pause(attempt)
            found = look()
            if found is not None:
                return found
            if attempt == transport.policy.attempts:
                raise
            attempt += 1


def departed_by(transport: Transport, write: Write) -> float:
    """Say until when a lost request can have left for the archive, in seconds since 1970.

    Where no process lived to note its loss, that is now; but it was waiting for leave to be sent
    no longer than any process waits.
    """
    if write.ended is not None:
        return write.ended
    policy = transport.policy
    once_s = LONGEST_S + policy.connect_s + 2 * policy.backoff_limit_s
    return min(transport.clock.time(), write.at + policy.attempts * once_s)


def patience_s(transport: Transport, write: Write, longest_s: float) -> float:
    """Say how much longer the effect of a lost request is to be waited for, in seconds.

    Parameters
    ----------
    transport : Transport
    write : Write
        The request.
    longest_s : float
        How long after it left its effect has to show.

    Returns
    -------
    float
        What is left of `longest_s`; all of it, and no more, if the clock was set back.
    """
    left = departed_by(transport, write) + longest_s - transport.clock.time()
    return min(max(left, 0.0), longest_s)
