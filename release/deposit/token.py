"""Where does the token come from, and how is it kept out of everything that is shown?

From the variable ZENODO_TOKEN or from the keyring; never from an option or a file, which end up
in histories and repositories.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

from release.deposit.errors import TokenError
from release.deposit.target import host_of, is_loopback, is_zenodo

VARIABLE: Final = "ZENODO_TOKEN"
SERVICE: Final = "rbh1-ard"
REDACTED: Final = "[token]"

# As RFC 6750 has it. Anything else might be shown by the error of the HTTP library, or stand in a
# JSON text in a form in which it is not found again.
_FORM: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")


class Token:
    """A secret that shows itself only to who asks for it by name."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        stripped = secret.strip()
        if _FORM.fullmatch(stripped) is None:
            raise TokenError(
                "the token cannot be one",
                expected="8 to 512 letters, digits and characters out of . _ ~ + / = -",
                found=f"{len(stripped)} characters, which are not shown",
                action=f"set {VARIABLE} anew",
            )
        self._secret = stripped

    def reveal(self) -> str:
        """Give the secret, for the one header that carries it."""
        return self._secret

    def scrub(self, text: str) -> str:
        """Take the secret out of a text, which may be JSON."""
        # Of the characters that a token may have, JSON may write the slash in two ways.
        for form in (self._secret, self._secret.replace("/", r"\/")):
            text = text.replace(form, REDACTED)
        return text

    def __repr__(self) -> str:
        return f"Token({REDACTED})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled")


def find_token(
    target: str, *, typed: bool, environment: Mapping[str, str] = os.environ
) -> Token | None:
    """Find the token for an archive.

    Parameters
    ----------
    target : str
        The archive.
    typed : bool
        The address was typed by the user. The variable is not sent to an address that only a file
        names, unless it is Zenodo or this machine.
    environment : mapping, optional
        Where the variable is looked up.

    Returns
    -------
    Token or None
    """
    host = host_of(target)
    secret = environment.get(VARIABLE, "")
    if secret.strip() and (typed or is_zenodo(target) or is_loopback(target)):
        return Token(secret)
    stored = _from_keyring(host)
    return Token(stored) if stored else None


def require_token(target: str, *, typed: bool) -> Token:
    """Find the token for an archive, or say how to give one.

    Raises
    ------
    TokenError
        If there is none.
    """
    token = find_token(target, typed=typed)
    if token is None:
        host = host_of(target)
        raise TokenError(
            f"there is no token for {host}",
            expected=f"the variable {VARIABLE}, or a password of service {SERVICE!r} in the"
            f" keyring with {host} as its user",
            action=f"make a token with deposit:write and deposit:actions at {host}, and set"
            f" {VARIABLE}; for an archive other than Zenodo type its --target too",
        )
    return token


def _from_keyring(host: str) -> str | None:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    try:
        stored: str | None = keyring.get_password(SERVICE, host)
    except keyring.errors.KeyringError:
        # A machine without a session of its own has a keyring library, but no keyring.
        return None
    return stored
