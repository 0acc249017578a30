"""Which line- and point-spread functions belong to the cube of a known instrument?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ard.cube import FloatArray, Lsf, Psf
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
