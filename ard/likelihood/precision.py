"""How do used voxels depend on one another, given all the others: the inverse of their covariance.

With P = R^-1 the precision of all voxels, o the used ones and m the masked ones,

    (R_oo)^-1 = P_oo - P_om P_mm^-1 P_mo,

and a block of it is that of the density of these voxels when all other used ones are known.
"""

from typing import Any

import numpy as np

from ard.errors import ArdError
from ard.likelihood.factors import axis_lengths, inside, kept_places
from ard.likelihood.noise import Noise


def precision_block(noise: Noise, voxels: Any) -> np.ndarray:
    """Give a block of the inverse covariance of the used voxels.

    Parameters
    ----------
    noise : Noise
        Of a known scale. Where it is approximate, so is the block.
    voxels : array of int, shape (n,)
        Flat numbers of used voxels, x fastest.

    Returns
    -------
    ndarray, shape (n, n)
        In 1 / unit^2. Its inverse is the covariance of these voxels when all others are known.

    Raises
    ------
    ArdError
        If a voxel is masked, or there is none of that number, or twice the same.
    """
    chosen = _used(noise, np.asarray(voxels))
    if noise.taps is not None:
        return _of_whitened(noise, chosen)
    shape = noise.sigma.shape
    scale = np.broadcast_to(np.asarray(noise.scale, np.float64), (shape[0],))
    sigma = (np.asarray(noise.sigma, np.float64) * scale[:, None, None]).ravel()[chosen]
    if noise.factors is None:
        return np.diag(sigma**-2)
    lengths = axis_lengths(shape, len(noise.factors))
    places = np.unravel_index(chosen, lengths)
    block = _among(noise.factors, places, places)
    if noise.fill is not None and not noise.approximate:
        inner = inside(kept_places(noise.mask, lengths), shape)
        holes = np.unravel_index(np.flatnonzero(noise.mask & inner), lengths)
        pulled = np.asarray(noise.fill, np.float64) @ _among(noise.factors, holes, places)
        block -= pulled.T @ pulled
    return np.asarray(block / sigma[:, None] / sigma)


def _used(noise: Noise, voxels: np.ndarray) -> np.ndarray:
    whole = voxels.ndim == 1 and voxels.dtype.kind in "iu" and voxels.size > 0
    there = whole and bool(np.all((voxels >= 0) & (voxels < noise.mask.size)))
    apart = there and np.unique(voxels).size == voxels.size
    if not apart or np.any(noise.mask.ravel()[voxels]):
        raise ArdError(
            "these are no voxels that are used",
            expected="flat numbers of voxels that are not masked, each once",
            found=f"{voxels.dtype} {voxels.shape}" if not apart else "masked ones among them",
            action="take numbers of np.flatnonzero(~noise.mask)",
        )
    return voxels


def _among(factors: tuple[Any, ...], rows: Any, columns: Any) -> np.ndarray:
    """Give P between places: the product of the precisions along the axes."""
    block = np.ones((len(rows[0]), len(columns[0])))
    for factor, one, other in zip(factors, rows, columns, strict=True):
        if factor is None:
            block *= one[:, None] == other
        else:
            root = np.asarray(factor, np.float64)
            block *= (root.T @ root)[one[:, None], other]
    return block


def _of_whitened(noise: Noise, voxels: np.ndarray) -> np.ndarray:
    """Give the same of any noise, as products of whitened cubes of one voxel: n times as slow."""
    units = np.zeros((voxels.size, noise.sigma.size))
    units[np.arange(voxels.size), voxels] = 1.0
    white = np.asarray(noise.whiten(units.reshape(-1, *noise.sigma.shape)), np.float64)
    flat = white.reshape(voxels.size, -1)
    return np.asarray(flat @ flat.T)
