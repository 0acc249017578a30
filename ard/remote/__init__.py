"""How does a bundle come from the archive that published it?

By DOI: the record is resolved, its two lists are read and held against one another, and each file
comes when it is asked for, into a cache that knows files by their content. Reading what is public
needs no account: nothing here sends a token, a cookie or a password.
"""

from ard.remote.address import Address, is_reference, parse_address
from ard.remote.cache import Cache, cache_folder
from ard.remote.client import Client, Patience
from ard.remote.record import Record, fetch_record
from ard.remote.source import RecordSource, open_record

__all__ = [
    "Address",
    "Cache",
    "Client",
    "Patience",
    "Record",
    "RecordSource",
    "cache_folder",
    "fetch_record",
    "is_reference",
    "open_record",
    "parse_address",
]
