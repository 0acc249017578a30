"""Where in the bytes of a FITS file do its extensions and their values lie?

Read with astropy, not with the code that the archive is there to test.
"""

from io import BytesIO
from typing import Final

from astropy.io import fits

from pipeline.acquire.testing.wire import Content

_CHANGED: Final = 16


def _infos(content: Content) -> list[tuple[int, int, int, int]]:
    """Give offset of header and data, length of data and of one value, for each HDU."""
    source = BytesIO(content.read()) if content.path is None else content.path
    with fits.open(source, memmap=False, lazy_load_hdus=False) as hdus:
        found = []
        for hdu in hdus:
            info = hdu.fileinfo()
            value = abs(hdu.header["BITPIX"]) // 8
            found.append((info["hdrLoc"], info["datLoc"], hdu.size, value))
        return found


def last_start(content: Content) -> int:
    """Where does the last extension begin?"""
    return _infos(content)[-1][0]


def value_bytes(content: Content) -> list[int]:
    """Where do the lowest bytes of some values lie, in the largest extension?

    Changing them changes no NaN, no header and no table's layout.
    """
    _, start, size, value = max(_infos(content), key=lambda info: info[2])
    count = min(_CHANGED, size // value)
    step = max(1, size // value // max(1, count))
    return [start + k * step * value + value - 1 for k in range(count)]
