"""Where is the archive, where is the store, and how patient are we with the network?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ard.errors import ArdError

DATA_DIR: Final = "RBH1_DATA_DIR"
SERVER: Final = "RBH1_MAST_URL"
TOKEN: Final = "MAST_API_TOKEN"
ARCHIVE_URL: Final = "https://mast.stsci.edu"
MOST_WORKERS: Final = 4  # the archive asks its users to keep to four or five
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Network:
    """How the archive is spoken to.

    Attributes
    ----------
    server : str
        Address of the archive.
    token : str or None
        For proprietary data; sent as a header to this server and nowhere else, never shown.
    connect_s, read_s : float
        Longest wait for a connection, and for the next bytes, s.
    slow_bytes_per_s, slow_s : float
        A transfer slower than this, over this time, is given up and taken up again.
    attempts : int
        How often in a row something is tried that does not get any further.
    backoff_s, backoff_limit_s : float
        First and longest wait between two attempts, s; it doubles, and is drawn at random from
        its upper half, so that workers do not return together.
    retry_after_limit_s : float
        The longest wait that the archive can ask for with Retry-After, s.
    query_limit_s : float
        How long a query may be executed, s.
    checkpoint_bytes : int
        A partial file is made safe on disk at least this often, bytes.
    """

    server: str = ARCHIVE_URL
    token: str | None = field(default=None, repr=False)
    connect_s: float = 10.0
    read_s: float = 60.0
    slow_bytes_per_s: float = 1024.0
    slow_s: float = 60.0
    attempts: int = 5
    backoff_s: float = 1.0
    backoff_limit_s: float = 60.0
    retry_after_limit_s: float = 600.0
    query_limit_s: float = 600.0
    checkpoint_bytes: int = 16 * MIB

    def redact(self, text: object) -> str:
        """Give a text as it may be shown: without the token."""
        shown = str(text)
        return shown.replace(self.token, "***") if self.token else shown


@dataclass(frozen=True)
class Policy:
    """What is to be done with the files.

    Attributes
    ----------
    workers : int
        Transfers at a time, 1 to 4.
    take_changed : bool
        Fetch what the archive processed again, beside what the lock names.
    confirm : bool
        Fetch a file twice if neither the lock nor the archive has a checksum of it.
    reserve_bytes : int
        Space that must stay free on the disk, bytes.
    deep : bool
        Compute the sha256 of what the store holds, even where the file looks untouched.
    retry_failed : bool
        Fetch only what failed last time.
    """

    workers: int = 3
    take_changed: bool = False
    confirm: bool = False
    reserve_bytes: int = 1_000_000_000
    deep: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ArdError(
                "the number of workers is out of range",
                expected=f"1 to {MOST_WORKERS}: the archive is shared",
                found=self.workers,
                action="give another number with --workers",
            )


def network_from(environment: Mapping[str, str], server: str | None = None) -> Network:
    """Take the archive's address and the token from the environment.

    Parameters
    ----------
    environment : mapping of str to str
        Usually ``os.environ``.
    server : str, optional
        Wins over the environment.

    Raises
    ------
    ArdError
        If the address is no http address, or the token cannot be sent as a header.
    """
    url = (server or environment.get(SERVER) or ARCHIVE_URL).rstrip("/")
    if not url.startswith(("https://", "http://")) or "@" in url:
        raise ArdError(
            "the address of the archive cannot be used",
            expected="https://host, without user and password",
            found=url if "@" not in url else "an address with a user name",
            action=f"correct --server or {SERVER}",
        )
    token = environment.get(TOKEN, "").strip() or None
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise ArdError(
            f"{TOKEN} cannot be sent",
            expected="one word of printable ASCII characters",
            found="other characters (not shown)",
            action=f"set {TOKEN} to the token alone, or unset it",
        )
    return Network(url, token)


def data_dir(environment: Mapping[str, str], given: Path | None = None) -> Path:
    """Give the folder of the store: as given, RBH1_DATA_DIR, or below the user's data folder."""
    if given is not None:
        return given.resolve()
    if named := environment.get(DATA_DIR):
        return Path(named).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("rbh1", appauthor=False)).resolve() / "archive"
