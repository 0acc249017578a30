"""How probable is what a block of spaxels shows, when all others and the parameters are known?

The noise is correlated, and amplitudes are shared, so that the likelihood is no product over
spaxels. With Q the inverse covariance of the data, amplitudes integrated out, and r the data less
their mean, the voxels g of a block have, given all the others,

    ln p = (ln det Q_gg - (Q r)_g' Q_gg^-1 (Q r)_g - n_g ln 2 pi) / 2,
    Q_gg = P_gg - U_g U_g',

with P the inverse covariance of the noise and U one column for each amplitude. P_gg depends on no
parameter and is factorised once; of a draw, what is left are products with the few columns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ard.cube import FloatArray
from ard.likelihood import Noise, precision_block
from ard.likelihood.factors import inverse_lower
from pipeline.infer.whitened import Whitened

# Spaxels along a side of a block: 0.2 arcsec in NIRSpec's cubes, a point-spread function's width.
SIDE: Final = 2
_LOG_2PI: Final = math.log(2.0 * math.pi)
_BATCH: Final = 64
# The factors of all blocks together; blocks are made smaller where they would need more.
_MOST_BYTES: Final = 256 << 20


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring spaxels.

    Attributes
    ----------
    rows, columns : slice
        Of the sky of the noise.
    voxels : array of int, shape (n,)
        Flat numbers of the used voxels there.
    """

    rows: slice
    columns: slice
    voxels: np.ndarray


def blocks_of(noise: Noise, side: int = SIDE) -> tuple[Block, ...]:
    """Cut the sky into squares of `side` spaxels, or fewer at the edge; none without used voxels.

    Parameters
    ----------
    noise : Noise
    side : int
        At most; less where the factors of all blocks would not fit in 256 MB.
    """
    n_wave, ny, nx = noise.sigma.shape
    while side > 1 and 8 * ny * nx * (side * n_wave) ** 2 > _MOST_BYTES:
        side -= 1
    number = np.arange(noise.sigma.size).reshape(noise.sigma.shape)
    found = []
    for y in range(0, ny, side):
        for x in range(0, nx, side):
            rows, columns = slice(y, min(y + side, ny)), slice(x, min(x + side, nx))
            used = number[:, rows, columns][~noise.mask[:, rows, columns]]
            if used.size:
                found.append(Block(rows, columns, used))
    return tuple(found)


class _Tables(NamedTuple):
    """What depends on no parameter; shorter blocks are filled with zeros.

    `index` (n_block, n) points behind the last voxel where there is none; `roots` (n_block, n, n)
    are the inverse Cholesky factors A^-1 of P_gg = AA'; `fixed` (n_block, n, n_fixed) are the
    backgrounds A^-1 (P T)_g; `constant` (n_block,) is ln det P_gg - n_g ln 2 pi.
    """

    index: Any
    roots: Any
    fixed: Any
    constant: Any


class Conditional:
    """The densities of blocks of spaxels, each given all the others.

    Parameters
    ----------
    posterior : Whitened
    blocks : sequence of Block
        They may overlap, and need not be all.
    """

    def __init__(self, posterior: Whitened, blocks: Sequence[Block]) -> None:
        self._posterior = posterior
        self._noise = posterior.posterior.noise
        self._tables = self._tabulated(blocks)
        self._many = jax.jit(
            lambda rows, tables: jax.lax.map(lambda row: self._one(row, tables), rows)
        )

    def __call__(self, draws: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give ln of the likelihood as a whole, and of each block given the others.

        Parameters
        ----------
        draws : array, shape (n_draw, n_parameter)

        Returns
        -------
        total : ndarray, shape (n_draw,)
        densities : ndarray, shape (n_draw, n_block)
            They do not add up to the total.
        """
        total, densities = [], []
        for first in range(0, len(draws), _BATCH):
            part = draws[first : first + _BATCH]
            # One shape for all, so that nothing is compiled again for the last.
            filled = np.concatenate([part, np.repeat(part[-1:], _BATCH - len(part), axis=0)])
            whole, blocks = self._many(filled, self._tables)
            total.append(np.asarray(whole, np.float64)[: len(part)])
            densities.append(np.asarray(blocks, np.float64)[: len(part)])
        return np.concatenate(total), np.concatenate(densities)

    def _tabulated(self, blocks: Sequence[Block]) -> _Tables:
        most = max(block.voxels.size for block in blocks)
        index = np.full((len(blocks), most), self._noise.sigma.size)
        roots = np.zeros((len(blocks), most, most))
        constant = np.zeros(len(blocks))
        for number, block in enumerate(blocks):
            size = block.voxels.size
            lower = np.linalg.cholesky(precision_block(self._noise, block.voxels))
            index[number, :size] = block.voxels
            roots[number, :size, :size] = inverse_lower(lower)
            constant[number] = 2.0 * np.log(np.diagonal(lower)).sum() - size * _LOG_2PI
        back = np.asarray(self._back(self._posterior.fixed), np.float64)
        fixed = np.einsum("bij,cbj->bic", roots, _gathered(np, back, index), optimize=True)
        return _Tables(*map(jnp.asarray, (index, roots, fixed, constant)))

    def _back(self, white: Any) -> Any:
        """Apply the transpose of the whitener: P x of what is W x, shape (n, n_voxel)."""
        shape = self._noise.sigma.shape
        turn = jax.linear_transpose(self._noise.whiten, jnp.zeros(shape, jnp.result_type(float)))
        found = jax.vmap(lambda one: turn(one)[0])(jnp.asarray(white).reshape(-1, *shape))
        return found.reshape(found.shape[0], -1)

    def _one(self, row: Any, tables: _Tables) -> tuple[Any, Any]:
        found = self._posterior.solve(self._posterior.prior.named(row))
        back = self._back(jnp.concatenate([found.lines, found.data[None]]))
        pulled = _gathered(jnp, back, tables.index)
        turned = jnp.einsum("bij,cbj->bic", tables.roots, pulled)
        columns = jnp.concatenate([turned[..., :-1], tables.fixed], axis=-1)
        # V with Q_gg = A (1 - VV') A', one row for each amplitude.
        spread = jax.vmap(lambda t: solve_triangular(found.factor, t.T, lower=True))(columns)
        left = turned[..., -1] - jnp.einsum("bci,c->bi", spread, found.half)
        inner = jnp.eye(found.half.size) - jnp.einsum("bci,bdi->bcd", spread, spread)
        lower = jnp.linalg.cholesky(inner)
        along = jnp.einsum("bci,bi->bc", spread, left)
        more = jax.vmap(lambda a, b: solve_triangular(a, b, lower=True))(lower, along)
        logdet = 2.0 * jnp.log(jnp.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)
        squares = jnp.square(left).sum(axis=-1) + jnp.square(more).sum(axis=-1)
        total = found.log_ratio + self._noise.reference
        return total, 0.5 * (tables.constant + logdet - squares)


def _gathered(xp: Any, rows: Any, index: Any) -> Any:
    """Give the voxels of each block, (n_row, n_block, n), zero where there is none."""
    padded = xp.concatenate([rows, xp.zeros((rows.shape[0], 1), rows.dtype)], axis=1)
    return padded[:, index]
