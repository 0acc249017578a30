"""Under which addresses does the archive keep drafts, records and files?"""

from typing import Final
from urllib.parse import quote

RECORDS: Final = "/api/records"
DRAFTS: Final = "/api/user/records"


def draft_path(record_id: str) -> str:
    """Give the path of a draft."""
    return f"{RECORDS}/{quote(record_id, safe='')}/draft"


def files_path(record_id: str) -> str:
    """Give the path of a draft's files."""
    return f"{draft_path(record_id)}/files"


def file_path(record_id: str, key: str, part: str = "") -> str:
    """Give the path of one file of a draft, of its ``content`` or its ``commit``."""
    tail = f"/{part}" if part else ""
    return f"{files_path(record_id)}/{quote(key, safe='')}{tail}"


def is_addressable(key: str) -> bool:
    """Tell whether a request can name this file.

    Dots alone would climb to the draft itself, and half a character is in no address.
    """
    return key not in ("", ".", "..") and not any("\ud800" <= half <= "\udfff" for half in key)
