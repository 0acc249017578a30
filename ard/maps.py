"""What is a map: named two-dimensional layers on one grid of the sky?"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from astropy.io import fits
from astropy.units import Unit, UnrecognizedUnit
from astropy.wcs import WCS

from ard.cube import BoolArray, FloatArray, frozen, require_sky
from ard.errors import FormatError, NotFoundError
from ard.headers import celestial_cards, celestial_wcs, kept_cards, write_cards
from ard.provenance import EXTENSION, Provenance, from_hdus, to_hdu

MASK: Final = "MASK"
# A layer is an extension of its name in capitals, and these are taken.
_TAKEN: Final = frozenset({"PRIMARY", MASK, EXTENSION})


class Flag(IntFlag):
    """What is odd about the posterior of a spaxel? Bits of the layer `flag`; 0 = nothing."""

    TOO_FEW_CHANNELS = 1  # no posterior: masked, altogether or nearly
    BAD_VARIANCE = 2  # some channels have no variance above zero, and are not used
    AT_EDGE = 4  # the posterior reaches an end of the prior, or light falls off the channels
    BELOW_GATE = 8  # draws that miss the gate, k-hat too large, or a grid that does not fit
    NO_LINE = 16  # ln B against no line is below what counts as a detection
    ONE_CHANNEL = 32  # a line is found, but one channel that is off explains the data better


@dataclass(frozen=True, eq=False)
class Map:
    """What was measured at each place of the sky, and where must it not be used?

    Attributes
    ----------
    layers : mapping of str to ndarray, shape (ny, nx)
        Named layers, float64; NaN where there is no value. Names are printable ASCII, differ in
        more than case, and are none of mask, provenance and primary.
    units : mapping of str to str
        Unit of each layer, as astropy reads it; "" for a pure number.
    mask : ndarray of bool, shape (ny, nx)
        True = do not use.
    wcs : astropy.wcs.WCS
        Right ascension and declination of (x, y), two axes.
    meta : mapping
        FITS keywords of the primary header.
    provenance : Provenance or None
        What made this map.

    Raises
    ------
    FormatError
        If shapes disagree, or a name, a unit or the WCS is one that cannot be read back from a
        file.
    """

    layers: Mapping[str, FloatArray]
    units: Mapping[str, str]
    mask: BoolArray
    wcs: WCS
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        mask = frozen(self.mask, np.bool_)
        layers = {name: frozen(data, np.float64) for name, data in self.layers.items()}
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "layers", MappingProxyType(layers))
        object.__setattr__(self, "units", MappingProxyType(dict(self.units)))
        object.__setattr__(self, "meta", dict(self.meta))
        if not layers or set(layers) != set(self.units):
            raise FormatError(
                "every layer of a map needs a unit, and a map needs a layer",
                expected=sorted(layers),
                found=sorted(self.units),
            )
        _require_names(list(layers))
        for name, unit in self.units.items():
            if not _is_unit(unit):
                raise FormatError(
                    f"layer {name} has a unit that cannot be read",
                    expected="a unit of the FITS standard",
                    found=unit,
                    action='give a unit that astropy.units.Unit reads, or "" for a pure number',
                )
        require_sky(self.wcs, "map")
        for name, data in layers.items():
            if mask.ndim != 2 or data.shape != mask.shape:
                raise FormatError(
                    f"layer {name} does not fit the mask", expected=mask.shape, found=data.shape
                )

    def __reduce__(self) -> tuple[object, ...]:
        parts = (dict(self.layers), dict(self.units), self.mask, self.wcs, self.meta)
        return (Map, (*parts, self.provenance))

    def __getitem__(self, name: str) -> FloatArray:
        if name not in self.layers:
            raise NotFoundError(
                f"the map has no layer {name!r}", expected=", ".join(self.layers), found=name
            )
        return self.layers[name]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        ny, nx = self.mask.shape
        return ny, nx

    @property
    def simulated(self) -> bool:
        """True if the file says that its data are simulated."""
        marked = bool(self.meta.get("SIMULATD", False))
        return marked or (self.provenance is not None and self.provenance.simulated)

    def replace(self, **changes: Any) -> Self:
        """Give a copy with some attributes changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        return (
            f"<Map {self.shape[0]} x {self.shape[1]}: {', '.join(self.layers)}; "
            f"{self.mask.mean():.0%} masked>"
        )


def _require_names(names: list[str]) -> None:
    """Refuse names of layers that are none of an extension, or another's."""
    for number, name in enumerate(names):
        proper = name.isascii() and name.isprintable() and name == name.strip() != ""
        twin = next((one for one in names[:number] if one.upper() == name.upper()), None)
        if not proper or twin is not None or name.upper() in _TAKEN:
            taken = ", ".join(sorted(word.lower() for word in _TAKEN))
            raise FormatError(
                f"a layer of a map cannot be named {name!r}",
                expected=f"printable ASCII, differing in more than case, and none of {taken}",
                found=repr(name) if twin is None else f"{twin!r} and {name!r}",
                action="choose another name",
            )


def _is_unit(unit: Any) -> bool:
    if not isinstance(unit, str) or not unit.isascii():
        return False
    return not isinstance(Unit(unit, parse_strict="silent"), UnrecognizedUnit)


def map_hdus(product: Map) -> fits.HDUList:
    """Lay a map out as FITS: one float32 image for each layer, a MASK image, PROVENANCE."""
    primary = fits.PrimaryHDU()
    write_cards(primary.header, product.meta)
    primary.header["ARDKIND"] = ("map", "product type of rbh1-ard")
    hdus = fits.HDUList([primary])
    sky = celestial_cards(product.wcs)
    for name, data in product.layers.items():
        hdu = fits.ImageHDU(data.astype(np.float32), header=sky, name=name.upper())
        hdu.header["BUNIT"] = (product.units[name], "unit of the layer")
        hdu.header["LAYER"] = (name, "name of the layer")
        hdus.append(hdu)
    mask = fits.ImageHDU(product.mask.astype(np.uint8), header=sky, name=MASK)
    mask.header.comments["EXTNAME"] = "1 = do not use"
    hdus.append(mask)
    if product.provenance is not None:
        hdus.append(to_hdu(product.provenance))
    return hdus


def map_from_hdus(hdus: fits.HDUList, file: str) -> Map:
    """Read a map from an open FITS file.

    Raises
    ------
    FormatError
        If it has no MASK or no layer, or a unit or a name of a layer that nobody can read.
    """
    images = [hdu for hdu in hdus if isinstance(hdu, fits.ImageHDU) and "LAYER" in hdu.header]
    if not images or MASK not in hdus:
        raise FormatError(
            "the file is not a map",
            file=file,
            expected="images with a LAYER keyword, and a MASK image",
            found=", ".join(hdu.name for hdu in hdus),
            action="open it with astropy.io.fits, or read the right file",
        )
    units = {str(hdu.header["LAYER"]): str(hdu.header.get("BUNIT", "")) for hdu in images}
    for name, unit in units.items():
        if not _is_unit(unit):
            raise FormatError(
                f"layer {name} has a unit that cannot be read",
                file=file,
                expected="a unit of the FITS standard",
                found=unit,
            )
    wcs = celestial_wcs(images[0].header, file)
    try:
        return Map(
            layers={str(hdu.header["LAYER"]): hdu.data for hdu in images},
            units=units,
            mask=hdus[MASK].data != 0,
            wcs=wcs,
            meta=kept_cards(hdus[0].header),
            provenance=from_hdus(hdus),
        )
    except FormatError as error:
        raise FormatError(
            error.problem,
            file=file,
            expected=error.expected,
            found=error.found,
            action=error.action or "make or fetch the file again",
        ) from error
