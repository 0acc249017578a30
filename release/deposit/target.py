"""Which archive is meant, and what may be sent there?"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from release.deposit.errors import DepositError

SANDBOX: Final = "https://sandbox.zenodo.org"
PRODUCTION: Final = "https://zenodo.org"
NAMES: Final = {"sandbox": SANDBOX, "zenodo": PRODUCTION}
DEFAULT: Final = "sandbox"
_PORTS: Final = {"https": 443, "http": 80}
# RFC 1035, 2.3.4; the underscore is no part of it, and is met with.
_LABEL: Final = re.compile(r"[0-9a-z_-]{1,63}")
_LONGEST_NAME: Final = 253


def parse_target(text: str) -> str:
    """Turn ``sandbox``, ``zenodo`` or an address into the address of an archive, without a path.

    One archive has one address: in lower case, without the dot of the root at the end of the name,
    and without the port that goes without saying.

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
    name = host_of(url)
    if parts.scheme not in _PORTS or not _is_host(name) or surplus or port == 0:
        raise _no_target(url)
    host = f"[{name}]" if ":" in name else name
    target = f"{parts.scheme}://{host}"
    target += "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    if parts.scheme == "http" and not is_loopback(target):
        raise DepositError(
            "a token is not sent without encryption",
            expected="an address with https; http is for this machine only",
            found=target,
            action="write https",
        )
    return target


def host_of(target: str) -> str:
    """Give the host of an archive, in lower case, without the port and the dot of the root."""
    return (urlsplit(target).hostname or "").removesuffix(".")


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


def _is_host(name: str) -> bool:
    """Tell whether this can be the name or number of a machine."""
    if ":" in name:
        return True  # in brackets, and then urlsplit has looked at it
    return len(name) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, name.split(".")))


def _no_target(found: str) -> DepositError:
    # What stands before an @ may be a secret.
    shown = found.rpartition("@")[2]
    return DepositError(
        "this is no address of an archive",
        expected="sandbox, zenodo, or https://HOST[:PORT] without user, path or question",
        found=repr(shown),
        action="correct --target",
    )
