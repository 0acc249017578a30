"""Which archive is meant, and what may be sent there?"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from release.deposit.errors import DepositError

SANDBOX: Final = "https://sandbox.zenodo.org"
PRODUCTION: Final = "https://zenodo.org"
NAMES: Final = {"sandbox": SANDBOX, "zenodo": PRODUCTION}
DEFAULT: Final = "sandbox"


def parse_target(text: str) -> str:
    """Turn ``sandbox``, ``zenodo`` or an address into the address of an archive, without a path.

    Raises
    ------
    DepositError
        If it is no address, holds more than host and port, or is neither https nor this machine.
    """
    url = NAMES.get(text, text).rstrip("/")
    if "\\" in url or any(not "!" <= character <= "~" for character in url):
        raise _no_target(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _no_target(url) from error
    surplus = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or surplus:
        raise _no_target(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    target = f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
    if parts.scheme == "http" and not is_loopback(target):
        raise DepositError(
            "a token is not sent without encryption",
            expected="an address with https; http is for this machine only",
            found=target,
            action="write https",
        )
    return target


def host_of(target: str) -> str:
    """Give the host of an archive, in lower case and without the port."""
    return urlsplit(target).hostname or ""


def is_loopback(target: str) -> bool:
    """Tell whether the archive runs on this machine."""
    host = host_of(target)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_zenodo(target: str) -> bool:
    """Tell whether the archive is Zenodo or its sandbox."""
    return target in NAMES.values()


def is_production(target: str) -> bool:
    """Tell whether this is a name of the real Zenodo, where nothing can be taken back."""
    host = host_of(target)
    return host == "zenodo.org" or (host.endswith(".zenodo.org") and target != SANDBOX)


def is_rehearsal(target: str) -> bool:
    """Tell whether what is published there is published for practice only."""
    return target == SANDBOX or is_loopback(target)


def _no_target(found: str) -> DepositError:
    # What stands before an @ may be a secret.
    shown = found.rpartition("@")[2]
    return DepositError(
        "this is no address of an archive",
        expected="sandbox, zenodo, or https://HOST[:PORT] without user, path or question",
        found=repr(shown),
        action="correct --target",
    )
