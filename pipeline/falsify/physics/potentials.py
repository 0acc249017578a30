"""How strongly does a galaxy pull, at every radius of its middle plane?

galpy computes in its natural units, lengths in 8 kpc and speeds in 220 km/s: of a list in which
some potentials know their units and others do not, its physical answers fail. What comes in and
goes out here is physical.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, ExtraMissingError
from pipeline.falsify.physics.galaxy import G, Galaxy, Layer

DISC_KINDS: Final = ("mn3", "double-exponential", "razor")
HALO_KINDS: Final = ("nfw", "compact")
RO_KPC: Final = 8.0
VO_KMS: Final = 220.0
OVERDENSITY: Final = 200.0
# Core radius of a compact halo over the scale radius of an NFW halo of that concentration: 1.2 to
# 4.8 kpc for 1.5e11 Msun and a concentration of 16 to 4. Superthin galaxies have cores below two
# scale lengths of their discs (Banerjee & Bapat 2017).
CORE: Final = 0.25
_CENTRE_KPC: Final = 0.1  # Plummer radius of the central mass: an eighth of a spaxel
# Nodes of the double exponential's integral. Ten times as many, galpy's own choice, change squares
# of speeds by 3e-8 and kappa^2 by 8e-5 at the most, and overflow.
_ORDER: Final = 1000
# No look for a newer galpy, which would ask the network and pip whenever a worker starts.
_QUIET: Final = "[version-check]\ndo-check = False\ncheck-non-interactive = False\n"
_LOADING: Final = threading.Lock()


@dataclass(frozen=True, eq=False)
class Gravity:
    """What a galaxy's potential Phi says in the middle plane; arrays of one shape (n,).

    Attributes
    ----------
    radius_kpc : array
        Above 0.
    circular2 : array
        R dPhi/dR, the square of the circular speed, km^2/s^2.
    epicyclic2 : array
        kappa^2 = d^2Phi/dR^2 + 3/R dPhi/dR, km^2/s^2/kpc^2.
    sphere2 : array
        The part of `circular2` that halo and central mass give.
    """

    radius_kpc: FloatArray
    circular2: FloatArray
    epicyclic2: FloatArray
    sphere2: FloatArray


def critical_density(redshift: float, h0: float, om0: float) -> float:
    """Give the critical density of a flat universe, Msun/kpc^3; `h0` in km/s/Mpc."""
    hubble2 = (1e-3 * h0) ** 2 * (om0 * (1.0 + redshift) ** 3 + 1.0 - om0)
    return 3.0 * hubble2 / (8.0 * np.pi * G)


def gravity(
    galaxy: Galaxy, radius_kpc: FloatArray, *, disc_kind: str, halo_kind: str, critical: float
) -> Gravity:
    """Compute the pull of a galaxy.

    Parameters
    ----------
    galaxy : Galaxy
    radius_kpc : array, shape (n,)
        Above 0.
    disc_kind : {"mn3", "double-exponential", "razor"}
        Three Miyamoto-Nagai discs (Smith et al. 2015), the exact integral, or no thickness
        (Freeman 1970).
    halo_kind : {"nfw", "compact"}
        Navarro, Frenk & White 1997, or a pseudo-isothermal sphere with a core, see `CORE`; both
        have `galaxy.halo_msun` within 200 critical densities.
    critical : float
        Critical density, Msun/kpc^3.

    Raises
    ------
    ArdError
        If a kind is unknown.
    ExtraMissingError
        Without galpy.
    """
    radius = np.asarray(radius_kpc, np.float64)
    discs = [_disc(disc_kind, layer) for layer in (galaxy.stars, galaxy.gas)]
    spheres = [_halo(halo_kind, galaxy, critical), _centre(galaxy.central_msun)]
    natural = radius / RO_KPC
    each = disc_kind == "double-exponential"  # it answers for one radius at a time
    sphere = _sum([p.Rforce for p in spheres], natural)
    force = sphere + _sum([p.Rforce for p in discs], natural, each=each)
    bend = _sum([p.R2deriv for p in spheres], natural)
    bend += _sum([p.R2deriv for p in discs], natural, each=each)
    return Gravity(
        radius_kpc=radius,
        circular2=-natural * force * VO_KMS**2,
        epicyclic2=(bend - 3.0 / natural * force) * (VO_KMS / RO_KPC) ** 2,
        sphere2=-natural * sphere * VO_KMS**2,
    )


def require_galpy() -> None:
    """Load galpy, which takes seconds.

    Raises
    ------
    ExtraMissingError
        If it is not installed.
    """
    _potential()


def _sum(
    functions: Iterable[Callable[..., Any]], radius: FloatArray, *, each: bool = False
) -> FloatArray:
    """Ask methods of potentials in the middle plane, all radii at once or one after the other."""
    total = np.zeros_like(radius)
    for ask in functions:
        if each:
            total += np.array([ask(place, 0.0, use_physical=False) for place in radius.tolist()])
        else:
            total += ask(radius, 0.0, use_physical=False)
    return total


def _natural_mass(mass_msun: float) -> float:
    return G * mass_msun / (RO_KPC * VO_KMS**2)


def _disc(kind: str, layer: Layer) -> Any:
    potential = _potential()
    mass, scale = _natural_mass(layer.mass_msun), layer.scale_kpc / RO_KPC
    height = layer.height_kpc / RO_KPC
    # The amplitude is a density of mass, for the thin disc one per area: a mass is refused.
    middle = mass / (2.0 * np.pi * scale**2)
    if kind == "razor":
        return potential.RazorThinExponentialDiskPotential(amp=middle, hr=scale)
    dense = middle / (2.0 * height)
    if kind == "mn3":
        return potential.MN3ExponentialDiskPotential(amp=dense, hr=scale, hz=height)
    if kind == "double-exponential":
        return potential.DoubleExponentialDiskPotential(amp=dense, hr=scale, hz=height, de_n=_ORDER)
    raise _unknown("disc", DISC_KINDS, kind)


def _halo(kind: str, galaxy: Galaxy, critical: float) -> Any:
    potential = _potential()
    mean = OVERDENSITY * critical
    virial = (3.0 * galaxy.halo_msun / (4.0 * np.pi * mean)) ** (1.0 / 3.0)
    mass, c = _natural_mass(galaxy.halo_msun), galaxy.concentration
    if kind == "nfw":
        amp = mass / (np.log1p(c) - c / (1.0 + c))
        return potential.NFWPotential(amp=amp, a=virial / c / RO_KPC)
    if kind == "compact":
        cores = c / CORE
        amp = mass / (cores - np.arctan(cores))
        return potential.PseudoIsothermalPotential(amp=amp, a=virial / cores / RO_KPC)
    raise _unknown("halo", HALO_KINDS, kind)


def _centre(mass_msun: float) -> Any:
    return _potential().PlummerPotential(amp=_natural_mass(mass_msun), b=_CENTRE_KPC / RO_KPC)


def _unknown(what: str, kinds: tuple[str, ...], found: str) -> ArdError:
    return ArdError(
        f"there is no such kind of {what}",
        expected=", ".join(kinds),
        found=found,
        action="correct the settings of the campaign",
    )


@cache
def _potential() -> Any:
    """Import galpy's potentials as they are by themselves, whatever its configuration says."""
    with _LOADING:
        try:
            if "galpy" not in sys.modules:
                _import_quietly()
            from galpy import potential
        except ModuleNotFoundError as error:
            purpose = "computing the dynamics of galaxies"
            raise ExtraMissingError.for_module(str(error.name), purpose) from error
        return potential


def _import_quietly() -> None:
    with _home_of_galpy():
        import galpy.util  # noqa: F401  (brings nothing else that has a home)
    from galpy.util import _load_extension_libs as libraries
    from galpy.util import config

    # With units of astropy every call would go through them.
    config.__config__.set("astropy", "astropy-units", "False")
    # The library in C integrates orbits, which nobody does here. To try it galpy would start
    # another Python, which writes settings and asks the network after all.
    libraries._libgalpy_loaded = False


@contextmanager
def _home_of_galpy() -> Iterator[None]:
    """Let galpy find its file of settings in a folder that vanishes.

    On import it reads `~/.galpyrc`, or writes one, and once a day asks the network for a newer
    version.
    """
    names = ("HOME", "USERPROFILE")
    before = {name: os.environ[name] for name in names if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="rbh1-galpy-") as folder:
        (Path(folder) / ".galpyrc").write_text(_QUIET)
        os.environ.update(dict.fromkeys(names, folder))
        try:
            yield
        finally:
            for name in names:
                os.environ.pop(name, None)
            os.environ.update(before)
