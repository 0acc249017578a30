"""What is a cube, and what must always hold for one?

Axes are wave, y, x. Flux is a surface brightness; wavelengths are vacuum, observed frame, um,
and mark channel centres. A true mask means: do not use.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray

from ard.errors import FormatError
from ard.provenance import Provenance

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SPEED_OF_LIGHT_KMS: Final = 299792.458  # exact, SI definition of the metre
_FWHM_PER_SIGMA: Final[float] = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
_ARCSEC2_TO_SR: Final = (np.pi / 180.0 / 3600.0) ** 2


def frozen(array: Any, dtype: type | None = None) -> NDArray[Any]:
    """Give an array that nobody can change, in native byte order.

    Copied unless it is read-only to its base, or has just been converted: what was checked of it
    has to hold when the array that it was made from is written to. An array that nobody else
    holds is spared the copy by `sealed`.
    """
    given = np.asarray(array)
    wanted = given.dtype if dtype is None else np.dtype(dtype)
    native = given.astype(wanted.newbyteorder("="), copy=False)
    if native is not given:
        return sealed(native)
    return given if _is_fixed(given) else sealed(given.copy(order="K"))


def sealed[A: NDArray[Any]](array: A) -> A:
    """Make an array read-only in place, and give it: for one that nobody else holds."""
    array.flags.writeable = False
    return array


def _is_fixed(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


def _require(condition: bool, problem: str, expected: object, found: object) -> None:
    if not condition:
        raise FormatError(problem, expected=expected, found=found)


def require_sky(wcs: WCS, what: str) -> None:
    """Refuse a WCS that a file of ours cannot hold: two axes, right ascension and declination.

    Raises
    ------
    FormatError
        If it has others, such as galactic coordinates, or has them in another order.
    """
    axes = [str(name) for name in wcs.wcs.ctype]
    radec = len(axes) == 2 and axes[0].startswith("RA--") and axes[1].startswith("DEC-")
    if not (wcs.naxis == 2 and wcs.has_celestial and radec):
        raise FormatError(
            f"the WCS of a {what} is celestial and has two axes",
            expected="right ascension and declination: RA---TAN and DEC--TAN",
            found=f"{wcs.naxis} axes, {axes}",
            action="give a WCS in right ascension and declination",
        )


def require_increasing(wave: FloatArray, file: object = None) -> None:
    """Refuse a wavelength axis that is not finite, positive and strictly increasing.

    Raises
    ------
    FormatError
        With the first channel that breaks the order.
    """
    bad = np.flatnonzero(~np.isfinite(wave) | (wave <= 0))
    steps = np.flatnonzero(~(np.diff(wave) > 0))
    if bad.size == 0 and steps.size == 0:
        return
    if bad.size:
        found = f"{wave[bad[0]]} um in channel {bad[0]}"
    else:
        k = int(steps[0])
        found = f"{wave[k]:.6f} um in channel {k}, then {wave[k + 1]:.6f} um"
    raise FormatError(
        "the wavelength axis is not monotonic",
        file=None if file is None else str(file),
        expected="finite, positive, strictly increasing wavelengths",
        found=found,
        action="check CDELT3 or the WCS-TABLE extension; the file may be damaged",
    )


@dataclass(frozen=True, eq=False)
class Lsf:
    """How wide is the line-spread function at each wavelength?

    Attributes
    ----------
    wave : ndarray, shape (n,)
        Nodes, um, strictly increasing.
    fwhm_um : ndarray, shape (n,)
        Full width at half maximum of the (Gaussian) line-spread function, um.
    source : str
        Where the numbers come from.
    """

    wave: FloatArray
    fwhm_um: FloatArray
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "wave", frozen(self.wave, np.float64))
        object.__setattr__(self, "fwhm_um", frozen(self.fwhm_um, np.float64))
        _check_nodes("LSF", self.wave, self.fwhm_um)

    def fwhm_at(self, wave: FloatArray | float) -> FloatArray:
        """Give the FWHM in um at wavelengths in um, linear between the nodes, flat outside."""
        return np.asarray(np.interp(wave, self.wave, self.fwhm_um))

    def sigma_kms(self, wave: FloatArray | float) -> FloatArray:
        """Give the standard deviation in km/s at wavelengths in um."""
        widths = self.fwhm_at(wave) / _FWHM_PER_SIGMA
        return np.asarray(widths / wave * SPEED_OF_LIGHT_KMS)


@dataclass(frozen=True, eq=False)
class Psf:
    """How wide is the point-spread function at each wavelength?

    Attributes
    ----------
    wave : ndarray, shape (n,)
        Nodes, um, strictly increasing.
    fwhm_arcsec : ndarray, shape (n,)
        Full width at half maximum, arcsec.
    source : str
        Where the numbers come from.
    """

    wave: FloatArray
    fwhm_arcsec: FloatArray
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "wave", frozen(self.wave, np.float64))
        object.__setattr__(self, "fwhm_arcsec", frozen(self.fwhm_arcsec, np.float64))
        _check_nodes("PSF", self.wave, self.fwhm_arcsec)

    def fwhm_at(self, wave: FloatArray | float) -> FloatArray:
        """Give the FWHM in arcsec at wavelengths in um, linear between the nodes."""
        return np.asarray(np.interp(wave, self.wave, self.fwhm_arcsec))


def _check_nodes(what: str, wave: FloatArray, width: FloatArray) -> None:
    _require(
        wave.ndim == 1 and wave.size > 0 and wave.shape == width.shape,
        f"the {what} table has nodes and widths of different shape",
        "two one-dimensional arrays of one length",
        f"{wave.shape} and {width.shape}",
    )
    if wave.size > 1:
        require_increasing(wave)
    _require(
        bool(np.all(np.isfinite(width) & (width > 0))),
        f"the {what} table has a width that is not positive",
        "finite widths above zero",
        width.tolist(),
    )


@dataclass(frozen=True, eq=False)
class Cube:
    """What was observed at each wavelength and place, how well, and what must not be used?

    Attributes
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        Surface brightness in `unit`; NaN where there are no data.
    var : ndarray, shape (n_wave, ny, nx)
        Variance of `flux`, in `unit` squared.
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.
    wave : ndarray, shape (n_wave,)
        Channel centres: vacuum wavelength, observed frame, um.
    wcs : astropy.wcs.WCS
        Celestial coordinates of (x, y), two axes, 0-based pixels.
    unit : str
        Unit of `flux`.
    dq : ndarray of uint32 or None, shape (n_wave, ny, nx)
        JWST data-quality bits.
    weight : ndarray or None, shape (n_wave, ny, nx)
        Number of detector pixels that contributed (WMAP).
    lsf, psf : Lsf, Psf or None
        Instrumental widths.
    meta : mapping
        FITS keywords worth keeping (TELESCOP, TARGNAME, ...).
    provenance : Provenance or None
        What made this cube; None for an archive file.
    specsys : str
        In which frame the wavelengths are (FITS SPECSYS: BARYCENT, TOPOCENT, ...); "" where that
        is not known.

    Raises
    ------
    FormatError
        If shapes disagree, the wavelength axis is not strictly increasing, the WCS is not in right
        ascension and declination, or a voxel that may be used has no finite flux or no positive
        finite variance.
    """

    flux: FloatArray
    var: FloatArray
    mask: BoolArray
    wave: FloatArray
    wcs: WCS
    unit: str = "MJy/sr"
    dq: NDArray[np.uint32] | None = None
    weight: FloatArray | None = None
    lsf: Lsf | None = None
    psf: Psf | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None
    specsys: str = "BARYCENT"

    def __post_init__(self) -> None:
        for name, dtype in (
            ("flux", np.float64),
            ("var", np.float64),
            ("mask", np.bool_),
            ("wave", np.float64),
            ("dq", np.uint32),
            ("weight", np.float64),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen(value, dtype))
        object.__setattr__(self, "meta", dict(self.meta))
        self._check_shapes()
        require_increasing(self.wave)
        used = ~self.mask
        _require(
            bool(np.isfinite(self.flux[used]).all()),
            "a voxel that may be used has no finite flux",
            "every voxel without finite flux masked",
            f"{int((~np.isfinite(self.flux[used])).sum())} voxels that are not",
        )
        var = self.var[used]
        _require(
            bool((np.isfinite(var) & (var > 0)).all()),
            "a voxel that may be used has no positive finite variance",
            "every voxel without a variance masked",
            f"{int((~(np.isfinite(var) & (var > 0))).sum())} voxels that are not",
        )

    def _check_shapes(self) -> None:
        _require(self.flux.ndim == 3, "a cube has three axes", "wave, y, x", self.flux.shape)
        for name in ("var", "mask", "dq", "weight"):
            value = getattr(self, name)
            _require(
                value is None or value.shape == self.flux.shape,
                f"{name} has another shape than flux",
                self.flux.shape,
                None if value is None else value.shape,
            )
        _require(
            self.wave.shape == self.flux.shape[:1],
            "the wavelength axis does not fit the flux",
            f"{self.flux.shape[0]} channels",
            self.wave.shape,
        )
        require_sky(self.wcs, "cube")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of channels, rows and columns."""
        n_wave, ny, nx = self.flux.shape
        return n_wave, ny, nx

    @property
    def err(self) -> FloatArray:
        """Standard deviation of the flux, shape (n_wave, ny, nx), in `unit`."""
        return np.sqrt(self.var)

    @property
    def ivar(self) -> FloatArray:
        """Inverse variance, 0 where masked, shape (n_wave, ny, nx), in 1 / `unit`^2."""
        return np.divide(1.0, self.var, out=np.zeros(self.shape), where=~self.mask)

    @property
    def wave_edges(self) -> FloatArray:
        """Channel edges in um, shape (n_wave + 1,): midway between the centres."""
        if self.wave.size == 1:
            raise FormatError(
                "a single channel has no edges", expected="two channels or more", found=1
            )
        middle = 0.5 * (self.wave[1:] + self.wave[:-1])
        first = 2.0 * self.wave[0] - middle[0]
        last = 2.0 * self.wave[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]])

    @property
    def pixel_area_sr(self) -> float:
        """Solid angle of a spaxel, sr."""
        return self.pixel_area_arcsec2 * _ARCSEC2_TO_SR

    @property
    def pixel_area_arcsec2(self) -> float:
        """Solid angle of a spaxel, arcsec^2."""
        return float(proj_plane_pixel_area(self.wcs)) * 3600.0**2

    @property
    def simulated(self) -> bool:
        """True if the file says that its data are simulated."""
        marked = bool(self.meta.get("SIMULATD", False))
        return marked or (self.provenance is not None and self.provenance.simulated)

    def replace(self, **changes: Any) -> Self:
        """Give a copy with some attributes changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        n_wave, ny, nx = self.shape
        name = self.meta.get("TARGNAME", "unnamed target")
        kind = "simulated " if self.simulated else ""
        return (
            f"<{kind}Cube of {name}: {n_wave} channels {self.wave[0]:.4f}-{self.wave[-1]:.4f} um, "
            f"{ny} x {nx} spaxels, {self.unit}, {self.mask.mean():.0%} masked>"
        )
