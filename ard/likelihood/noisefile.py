"""How is the noise of a cube kept in a file, with everything that a likelihood needs?

All arrays are float64, unlike those of cubes and maps: the determinant of a large factor feels
single precision. ``LOGDET`` and ``NUSED`` say what a reader has to find; `read_noise` computes
both anew, and `Noise` tries the fill on a vector.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.errors import FormatError
from ard.fitsio import FETCH_AGAIN, native, open_hdus, write_hdus
from ard.headers import kept_cards, write_cards
from ard.likelihood.noise import Noise
from ard.provenance import Provenance, from_hdus, to_hdu

KIND: Final = "noise"
_AXES: Final = {2: ("WAVE", "SKY"), 3: ("WAVE", "Y", "X")}
# What is said of the numbers, and follows from them; the other cards are kept.
_OF_NUMBERS: Final = frozenset({"MASKS", "LOGDET", "NUSED", "NFACTOR"})
# Sums of a million terms in another order differ by less, for each voxel; a wrong error of one
# voxel in a million shows from 0.1 per mille.
_LOGDET_ATOL_PER_VOXEL: Final = 1e-10


@dataclass(frozen=True, eq=False)
class NoiseProduct:
    """A noise with everything that its file is to say.

    Attributes
    ----------
    noise : Noise
    unit : str
        Of its `sigma`; "" for what the noise itself says.
    meta : mapping
        FITS keywords of the primary header, besides those of the noise itself.
    provenance : Provenance or None
        What made it; None for what the noise itself says.
    """

    noise: Noise
    unit: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None


def noise_hdus(
    noise: Noise,
    *,
    unit: str = "",
    meta: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
) -> fits.HDUList:
    """Lay a noise out as FITS.

    Parameters
    ----------
    noise : Noise
        Its scale has to have numbers.
    unit : str
        Of `sigma`; without, that of the noise.
    meta : mapping, optional
        FITS keywords of the primary header, before those of the noise itself.
    provenance : Provenance, optional
        What made it; without, that of the noise.
    """
    unit, provenance = unit or noise.unit, provenance or noise.provenance
    primary = fits.PrimaryHDU()
    header = primary.header
    write_cards(header, {**noise.meta, **(meta or {})})
    header["ARDKIND"] = (KIND, "product type of rbh1-ard")
    header["MASKS"] = (noise.masks, "treatment of masked voxels among correlated")
    header["LOGDET"] = (float(noise.logdet), "ln det of the covariance of used voxels")
    header["NUSED"] = (noise.count, "number of used voxels")
    header["NFACTOR"] = (len(noise.factors or ()), "axes that can have a factor")
    sigma = _image("SIGMA", noise.sigma, "standard deviation before SCALE")
    if unit:
        sigma.header["BUNIT"] = (unit, "unit of the standard deviation")
    mask = fits.ImageHDU(np.asarray(noise.mask).astype(np.uint8), name="MASK")
    mask.header.comments["EXTNAME"] = "1 = do not use"
    hdus = [primary, sigma, mask]
    scale = np.atleast_1d(np.asarray(noise.scale, dtype=np.float64))
    if np.any(scale != 1.0):
        hdus.append(_image("SCALE", scale, "multiplies SIGMA; one, or one a channel"))
    for axis, factor in zip(
        _AXES.get(len(noise.factors or ()), ()), noise.factors or (), strict=True
    ):
        if factor is not None:
            hdus.append(_image(f"FACTOR_{axis}", factor, "inverse Cholesky of the correlation"))
    if noise.taps is not None:
        hdus.append(_image("TAPS", noise.taps, "causal whitening filter"))
    if noise.fill is not None:
        hdus.append(_image("FILL", noise.fill, "inverse Cholesky of P of masked voxels"))
    if provenance is not None:
        hdus.append(to_hdu(provenance))
    return fits.HDUList(hdus)


def noise_from_hdus(hdus: fits.HDUList, file: str) -> Noise:
    """Read a noise from an open FITS file, with its unit, keywords and provenance.

    Raises
    ------
    FormatError
        If it is none, or contradicts itself.
    """
    header = hdus[0].header
    if header.get("ARDKIND") != KIND or "SIGMA" not in hdus or "MASK" not in hdus:
        raise _wrong(
            "the file is not a noise",
            file,
            f"ARDKIND {KIND}, and images SIGMA and MASK",
            ", ".join(hdu.name for hdu in hdus),
        )
    axes = _AXES.get(header.get("NFACTOR"), ())
    scale = _optional(hdus, "SCALE")
    made_by = from_hdus(hdus)
    try:
        noise = Noise(
            native(hdus["SIGMA"].data),
            hdus["MASK"].data != 0,
            tuple(_optional(hdus, f"FACTOR_{axis}") for axis in axes) if axes else None,
            _optional(hdus, "TAPS"),
            fill=_optional(hdus, "FILL"),
            scale=1.0 if scale is None else (scale if scale.size > 1 else float(scale[0])),
            masks=header.get("MASKS", ""),
            unit=str(hdus["SIGMA"].header.get("BUNIT", "")),
            meta={k: v for k, v in kept_cards(header).items() if k not in _OF_NUMBERS},
            provenance=made_by,
        )
    except FormatError as error:
        raise _wrong(error.problem, file, error.expected, error.found) from error
    _require_sums(noise, header, file)
    return noise


def _require_sums(noise: Noise, header: fits.Header, file: str) -> None:
    """Refuse a noise whose parts do not give the numbers that its writer found."""
    logdet, stated = float(noise.logdet), header.get("LOGDET")
    if noise.count != header.get("NUSED"):
        problem = "the mask of the noise is not that of its number of used voxels"
        raise _wrong(problem, file, header.get("NUSED"), noise.count)
    tolerance = _LOGDET_ATOL_PER_VOXEL * max(1, noise.count)
    if not isinstance(stated, float) or not abs(logdet - stated) <= tolerance:
        problem = "the determinant of the noise is not the one that is stated"
        raise _wrong(problem, file, stated, logdet)


def write_noise(
    path: str | os.PathLike[str],
    noise: Noise,
    *,
    unit: str = "",
    meta: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
    overwrite: bool = False,
) -> None:
    """Write a noise atomically; equal noises give equal bytes.

    Parameters
    ----------
    path : path-like
        Where to.
    noise : Noise
    unit, meta, provenance
        As for `noise_hdus`.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ArdError
        If the file exists and `overwrite` is false.
    """
    hdus = noise_hdus(noise, unit=unit, meta=meta, provenance=provenance)
    write_hdus(path, hdus, overwrite=overwrite)


def read_noise(path: str | os.PathLike[str]) -> Noise:
    """Read a noise from a file, with all that the file says, and hold it against that.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ArdError
        If the file is missing or damaged; FormatError if it is no noise, or if the determinant,
        the number of used voxels or the fill are not those of its arrays.
    """
    with open_hdus(path) as hdus:
        return noise_from_hdus(hdus, Path(path).name)


def _image(name: str, data: Any, comment: str) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.asarray(data, dtype=np.float64), name=name)
    hdu.header.comments["EXTNAME"] = comment
    return hdu


def _optional(hdus: fits.HDUList, name: str) -> np.ndarray | None:
    return native(hdus[name].data) if name in hdus else None


def _wrong(problem: str, file: str, expected: object, found: object) -> FormatError:
    return FormatError(problem, file=file, expected=expected, found=found, action=FETCH_AGAIN)
