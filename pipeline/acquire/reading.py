"""How is a file read that may be damaged, while other files are read in other threads?"""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyWarning

from ard.errors import ArdError

# What readers of FITS raise when bytes make no sense. I/O errors are among them (OSError),
# because astropy says so of missing END cards and short data.
DAMAGE: Final = (
    ArdError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    VerifyError,
    struct.error,
    zlib.error,
)
_LONGEST: Final = 300
_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Read FITS without warnings: headers have cards that astropy dislikes, damaged ones overflow.

    One thread at a time, because filters of warnings belong to the whole process.
    """
    with _lock, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def sentence(error: BaseException) -> str:
    """Say in one line what a reader found wrong."""
    if isinstance(error, ArdError):
        wanted = f", expected {error.expected}" if error.expected else ""
        found = f", found {error.found}" if error.found else ""
        text = f"{error.problem}{wanted}{found}"
    else:
        text = f"it cannot be read as FITS: {error or type(error).__name__}"
    return " ".join(text.split())[:_LONGEST]
