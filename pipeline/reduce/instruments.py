"""Which line- and point-spread functions belong to the cube of a known instrument?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ard.cube import Cube, FloatArray, Lsf, Psf
from ard.errors import ArdError
from manifests.instruments import Curve, find_instrument


def lsf_for(meta: Mapping[str, Any], wave: FloatArray) -> Lsf | None:
    """Give the declared line-spread function for a header; None if the instrument is
    unknown or its curve does not cover the wavelengths.

    Parameters
    ----------
    meta : mapping
        Keywords of the primary header (INSTRUME, GRATING, EXP_TYPE).
    wave : ndarray, shape (n_wave,)
        Channels of the cube, um: only the nodes around them are kept.

    Returns
    -------
    Lsf or None
        FWHM = wavelength / resolving power at the declared nodes, in flight.
    """
    found = find_instrument(meta)
    if found is None:
        return None
    around = _around(found.resolving_power, wave)
    if around is None:
        return None
    nodes, power = around
    source = found.resolving_power.source
    if found.gain is not None:
        power = power * found.gain.value
        source = f"{source}; times {found.gain.value:g}: {found.gain.source}"
    return Lsf(nodes, nodes / power, source)


def required_lsf(cube: Cube, gain: float = 1.0, resolving_power: float | None = None) -> Lsf:
    """Give the line-spread function with which lines of a cube are to be fitted.

    Parameters
    ----------
    cube : Cube
        Its own function comes first, then that of its instrument.
    gain : float
        Factor on its resolving power.
    resolving_power : float, optional
        Lambda / FWHM for a cube that has none.

    Raises
    ------
    ArdError
        If there is none.
    """
    found = cube.lsf or lsf_for(cube.meta, cube.wave)
    if found is not None and gain != 1.0:
        source = f"{found.source}; resolving power times {gain:g}"
        return Lsf(found.wave, found.fwhm_um / gain, source)
    if found is not None:
        return found
    if resolving_power:
        source = f"resolving power {resolving_power:g} from the configuration"
        return Lsf(cube.wave, cube.wave / resolving_power, source)
    keys = ("INSTRUME", "GRATING", "CHANNEL", "BAND")
    raise ArdError(
        "the line-spread function of this cube is not known",
        file=cube.meta.get("FILENAME"),
        expected="an extension LSF, or an instrument that the study declares",
        found=", ".join(f"{key} {cube.meta[key]}" for key in keys if key in cube.meta)
        or "no instrument keywords",
        action="give the resolving power: --set linemaps.resolving_power=1000",
    )


def psf_for(meta: Mapping[str, Any], wave: FloatArray) -> Psf | None:
    """Give the declared point-spread function for a header; None if the instrument is
    unknown or its curve does not cover the wavelengths.

    Parameters
    ----------
    meta, wave
        As for `lsf_for`.
    """
    found = find_instrument(meta)
    if found is None:
        return None
    around = _around(found.psf_fwhm_arcsec, wave)
    if around is None:
        return None
    nodes, fwhm = around
    return Psf(nodes, fwhm, found.psf_fwhm_arcsec.source)


def _around(curve: Curve, wave: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Keep the nodes inside the range of `wave` and the next one on either side.

    None where the curve does not cover the range: a width that nobody measured is no width.
    """
    nodes, values = np.array(curve.wave_um), np.array(curve.value)
    if wave[0] < nodes[0] or wave[-1] > nodes[-1]:
        return None
    first = max(int(np.searchsorted(nodes, wave[0], side="right")) - 1, 0)
    last = min(int(np.searchsorted(nodes, wave[-1])), nodes.size - 1)
    return nodes[first : last + 1], values[first : last + 1]
