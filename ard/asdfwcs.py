"""How is the WCS of a cube written as the gwcs that JWST files carry in their ASDF extension?

gwcs and asdf are needed to write, never to read; they are imported inside the functions.
"""

import io
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from ard.errors import ExtraMissingError, FormatError
from ard.headers import celestial_cards, celestial_wcs

# Zenithal and without parameters: `RotateNative2Celestial` takes the reference point as it is.
_PROJECTIONS: Final = ("TAN", "SIN", "ARC", "STG", "ZEA")
_FRAMES: Final = ("icrs", "fk5", "fk4")


def _pipeline(wcs: WCS, wave: NDArray[np.float64], *, linear: bool) -> Any:
    try:
        import gwcs
        from astropy import units
        from astropy.modeling import models
        from gwcs import coordinate_frames
    except ImportError as error:
        raise ExtraMissingError.for_module(str(error.name), "writing cubes") from error

    # As a reader of the FITS cards has it, so that the two say the same.
    wcs = celestial_wcs(celestial_cards(wcs), "the WCS of the product")
    code, frame = str(wcs.wcs.ctype[0])[-3:], wcs_to_celestial_frame(wcs)
    if code not in _PROJECTIONS or frame.name not in _FRAMES:
        raise FormatError(
            "the celestial WCS cannot be written as a gwcs",
            expected=f"a projection of {', '.join(_PROJECTIONS)}, in ICRS, FK5 or FK4",
            found=f"{code} in {wcs.wcs.radesys}",
            action="resample the cube to a TAN projection in ICRS",
        )
    x0, y0 = (float(value) - 1.0 for value in wcs.wcs.crpix)
    matrix = np.asarray(wcs.wcs.get_pc()) * np.asarray(wcs.wcs.cdelt)[:, None]
    ra, dec = (float(value) for value in wcs.wcs.crval)
    pole = float(wcs.wcs.lonpole)
    sky = (
        models.Shift(-x0) & models.Shift(-y0)
        | models.AffineTransformation2D(matrix=matrix)
        | getattr(models, f"Pix2Sky_{code}")()
        | models.RotateNative2Celestial(ra, dec, pole)
    )
    spectrum: Any
    if linear:
        step = float((wave[-1] - wave[0]) / (wave.size - 1))
        spectrum = models.Scale(step) | models.Shift(float(wave[0]))
    else:
        spectrum = models.Tabular1D(
            points=np.arange(wave.size, dtype=float),
            lookup_table=np.array(wave),
            bounds_error=False,
            fill_value=None,
        )
    pixels = coordinate_frames.CoordinateFrame(
        naxes=3,
        axes_type=("SPATIAL",) * 3,
        axes_order=(0, 1, 2),
        unit=(units.pix,) * 3,
        axes_names=("x", "y", "z"),
        name="detector",
    )
    world = coordinate_frames.CompositeFrame(
        [
            coordinate_frames.CelestialFrame(axes_order=(0, 1), reference_frame=frame, name="sky"),
            coordinate_frames.SpectralFrame(
                axes_order=(2,), unit=(units.um,), axes_names=("wavelength",), name="spectral"
            ),
        ],
        name="world",
    )
    return gwcs.WCS([(pixels, sky & spectrum), (world, None)])


def hdu(wcs: WCS, wave: NDArray[np.float64], *, linear: bool) -> fits.BinTableHDU:
    """Give the ASDF extension: a table with one row of bytes that holds ``meta.wcs``.

    Raises
    ------
    FormatError
        If the projection or the frame is none that is written: the gwcs would say another sky than
        the FITS cards.
    ExtraMissingError
        If gwcs or asdf is not installed.
    """
    pipeline = _pipeline(wcs, wave, linear=linear)
    try:
        import asdf
    except ImportError as error:
        raise ExtraMissingError.for_module("asdf", "writing cubes") from error
    blob = np.frombuffer(_asdf_bytes(asdf, {"meta": {"wcs": pipeline}}), dtype=np.uint8)
    data = np.zeros(1, dtype=[("ASDF_METADATA", np.uint8, (blob.size,))])
    data["ASDF_METADATA"][0] = blob
    return fits.BinTableHDU(data, name="ASDF")


def _asdf_bytes(asdf: Any, tree: dict[str, Any]) -> bytes:
    """Write a tree so that equal trees give equal bytes.

    asdf lists the extensions it used in the order of a set, which is another one in every
    process; but it keeps the order of a list that is there. So the list is made by a first
    writing, and given, sorted, to a second.
    """
    first, second = io.BytesIO(), io.BytesIO()
    asdf.AsdfFile(tree).write_to(first)
    first.seek(0)
    with asdf.open(first) as file:
        used = sorted(map(dict, file["history"]["extensions"]), key=repr)
    listed = [asdf.tags.core.ExtensionMetadata(entry) for entry in used]
    asdf.AsdfFile({**tree, "history": {"extensions": listed}}).write_to(second)
    return second.getvalue()
