"""How does the measured noise of a cube, kept as a document, become what a likelihood needs?

The document ``noise-model`` holds the scale of the errors in every channel, one sequence of
correlations for each axis, and the taps of a whitening filter. From it the noise of any part of
the cube can be made, with further masks, and exactly where few single voxels are masked.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np

from ard.errors import misfit
from ard.likelihood.factors import inverse_cholesky
from ard.likelihood.masking import LIMIT, exact_noise
from ard.likelihood.noise import EXACT, Masks, Noise

Form = Literal["kronecker", "fir"]
KRONECKER: Final = "kronecker"
FIR: Final = "fir"
_AXES: Final = ("wave", "y", "x")
# Of a channel: the document holds wavelengths to 1e-8 um.
_SAME_CHANNEL: Final = 0.01


def noise_from_model(
    document: Mapping[str, Any],
    sigma: Any,
    mask: Any,
    *,
    form: Form = "kronecker",
    channels: slice | None = None,
    wave: Any = None,
    masks: Masks = "exact",
    limit: int = LIMIT,
) -> Noise:
    """Make the noise of a cube, or of a part of it, from the measured model.

    Parameters
    ----------
    document : mapping
        The document ``noise-model`` of the cube.
    sigma : array, shape (n_wave, ny, nx)
        ERR of the part; of masked voxels anything. The scale of the document multiplies it.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use.
    form : {"kronecker", "fir"}
        Factors along wave, y and x, or a filter.
    channels : slice, optional
        Which channels of the cube the part has, in order and without gaps; by default all.
    wave : array, shape (n_wave,), optional
        Wavelengths of the part, um. They are held against those of the document, which a part of
        the right length and of other channels would otherwise pass.
    masks : {"exact", "approximate"}
        See `Noise`. Exact noise is for parts with few single masked voxels.
    limit : int
        See `exact_noise`.

    Returns
    -------
    Noise

    Raises
    ------
    ArdError
        If there is no such form, the part has other channels, or another number of them, or too
        many voxels are masked to be exact.
    """
    shape = np.shape(sigma)
    if channels is not None and channels.step not in (None, 1):
        problem = "the correlation of a noise model is that of adjacent channels"
        raise misfit(problem, "channels without a step", channels)
    scale = np.asarray(document["scale"]["value"], dtype=np.float64)[channels or slice(None)]
    if len(shape) != 3 or scale.shape != shape[:1]:
        problem = "the part does not have the channels of the noise model"
        raise misfit(problem, f"{scale.size} channels on the first of three axes", shape)
    if wave is not None:
        _require_wave(document, channels or slice(None), wave)
    if form == FIR:
        taps = np.asarray(document["taps"], dtype=np.float64)
        if masks == EXACT:
            return exact_noise(sigma, mask, taps=taps, limit=limit).scaled(scale)
        return Noise(sigma, mask, taps=taps, scale=scale, masks=masks)
    if form != KRONECKER:
        raise misfit("there is no such form of the noise", f"{KRONECKER} or {FIR}", form)
    sequences = [document[KRONECKER][axis] for axis in _AXES]
    matrices = [_toeplitz(s, n) for s, n in zip(sequences, shape, strict=True)]
    if masks == EXACT:
        return exact_noise(sigma, mask, correlations=matrices, limit=limit).scaled(scale)
    factors = tuple(None if m is None else inverse_cholesky(m) for m in matrices)
    return Noise(sigma, mask, factors, scale=scale, masks=masks)


def _require_wave(document: Mapping[str, Any], channels: slice, wave: Any) -> None:
    given = np.asarray(wave, dtype=np.float64)
    every = np.asarray(document["scale"]["wave_um"], dtype=np.float64)
    known = every[channels]
    off = np.abs(given - known).max() if given.shape == known.shape else np.inf
    if not off <= _SAME_CHANNEL * np.diff(every).min():
        problem = "the part has other wavelengths than the channels of the noise model"
        ends = f"{known[0]:.6f} to {known[-1]:.6f} um in {known.size} channels"
        raise misfit(problem, ends, given)


def _toeplitz(sequence: Any, size: int) -> np.ndarray | None:
    """Give the matrix of correlation of so many places; None where neighbours are independent."""
    values = np.asarray(sequence, dtype=np.float64)[:size]
    if values.size <= 1:
        return None
    padded = np.pad(values, (0, size - values.size))
    return np.asarray(padded[np.abs(np.subtract.outer(np.arange(size), np.arange(size)))])
