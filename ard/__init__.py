"""What did the reanalysis of RBH-1 compute, and how do I open it?

`ard` is the stranger's library: product types, the one reader and writer of product files, and
`ard.open` for a whole bundle. It needs numpy and astropy, nothing else.
"""

from ard.bundle import Bundle
from ard.cube import Cube, Lsf, Psf
from ard.describe import describe
from ard.errors import (
    ArdError,
    ExtraMissingError,
    FormatError,
    IntegrityError,
    NotFoundError,
    RemoteError,
    UnitError,
)
from ard.extract import fetch_hdu, fetch_member
from ard.integrity import verify
from ard.io import read, write
from ard.maps import Map
from ard.opening import open
from ard.provenance import Provenance
from ard.s3d import read_cube, write_cube
from ard.table import Table

__version__ = "0.1.0"

__all__ = [
    "ArdError",
    "Bundle",
    "Cube",
    "ExtraMissingError",
    "FormatError",
    "IntegrityError",
    "Lsf",
    "Map",
    "NotFoundError",
    "Provenance",
    "Psf",
    "RemoteError",
    "Table",
    "UnitError",
    "describe",
    "fetch_hdu",
    "fetch_member",
    "open",
    "read",
    "read_cube",
    "verify",
    "write",
    "write_cube",
]
