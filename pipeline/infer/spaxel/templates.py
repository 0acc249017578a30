"""What do lines look like in all places of the prior, so that all spaxels can share it?

The prior is cut into cells, a total line width wide, within which the products of templates and
data are polynomials to many digits: interpolated between Chebyshev nodes in velocity and in
sigma^2, in which a Gaussian, unlike in sigma, is smooth down to 0.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import ndtr

from ard.cube import FloatArray
from pipeline.infer.spaxel.settings import Prior
from pipeline.lineprofile import Response

_WIDTH: Final = 1.0  # of a cell, in total line widths
_RATIO: Final = 2.0  # of the total variances at the ends of a cell


def light(response: Response, velocity: FloatArray, variance: FloatArray) -> FloatArray:
    """Give the flux density in each channel for unit amplitudes.

    Parameters
    ----------
    response : Response
    velocity, variance : ndarray, shape (m,)
        km/s, and intrinsic, (km/s)^2.

    Returns
    -------
    ndarray, shape (m, n_used, n_free)
    """
    lines, windows = response.lines, response.windows
    out = np.zeros((velocity.size, windows.channels.size, lines.n_free))
    for row, number in enumerate(windows.line_block):
        part = windows.blocks[number]
        width = np.sqrt(variance + lines.sigma_lsf_kms[row] ** 2)[:, None]
        share = np.diff(ndtr((response.edges_kms[row] - velocity[:, None]) / width))
        for k in np.flatnonzero(lines.ratio[row]):
            out[:, part, k] += lines.ratio[row, k] * share / response.widths_um[part]
    return out


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a prior.

    Attributes
    ----------
    velocity, variance : ndarray, shape (n_cells, 2)
        Ends, km/s and (km/s)^2.
    """

    velocity: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, response: Response, prior: Prior) -> "Cells":
        """Cut the prior into cells as small as the lines of this response need."""
        channel = max(float(np.diff(edges).min()) for edges in response.edges_kms)
        narrow = float(response.lines.sigma_lsf_kms.min()) ** 2 + channel**2 / 12.0
        span = 1.0 + prior.sigma_max_kms**2 / narrow
        count = max(1, int(np.ceil(np.log(span) / np.log(_RATIO))))
        ends = narrow * (np.geomspace(1.0, span, count + 1) - 1.0)
        ends[0], ends[-1] = 0.0, prior.sigma_max_kms**2
        velocities, variances = [], []
        for low, high in pairwise(ends):
            reach = prior.reach_kms
            number = int(np.ceil(2.0 * reach / (_WIDTH * np.sqrt(narrow + low))))
            edges = np.linspace(-reach, reach, number + 1)
            velocities.append(np.stack([edges[:-1], edges[1:]], axis=1))
            variances.append(np.tile([low, high], (number, 1)))
        return cls(np.concatenate(velocities), np.concatenate(variances))

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self.velocity.shape[0])

    def nodes(self, order: int) -> tuple[FloatArray, FloatArray]:
        """Give the nodes in velocity and in variance, shape (n_cells, order) each."""
        place = chebyshev_nodes(order)
        return _between(self.velocity, place), _between(self.variance, place)

    def places(
        self, cell: np.ndarray, velocity: FloatArray, sigma: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Turn velocity and sigma, shape (m, ...), to -1 .. 1 within the cells, shape (m,)."""
        return _place(self.velocity[cell], velocity), _place(self.variance[cell], sigma**2)


def _between(ends: FloatArray, place: FloatArray) -> FloatArray:
    middle, half = ends.mean(axis=1), 0.5 * (ends[:, 1] - ends[:, 0])
    return np.asarray(middle[:, None] + half[:, None] * place)


def _place(ends: FloatArray, value: FloatArray) -> FloatArray:
    shape = (-1, *([1] * (value.ndim - 1)))
    low, high = ends[:, 0].reshape(shape), ends[:, 1].reshape(shape)
    return np.asarray((2.0 * value - low - high) / (high - low))


def chebyshev_nodes(order: int) -> FloatArray:
    """Give the roots of the Chebyshev polynomial of this order."""
    return np.asarray(np.cos(np.pi * (np.arange(order)[::-1] + 0.5) / order))


def basis(place: FloatArray, order: int) -> FloatArray:
    """Give the weights of the nodes' values in the polynomial through them.

    Parameters
    ----------
    place : ndarray, shape (...)
        Between -1 and 1.

    Returns
    -------
    ndarray, shape (..., order)
    """
    nodes = chebyshev_nodes(order)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, order - 1))
    return np.asarray(chebyshev.chebvander(place, order - 1) @ inverse)


@dataclass(frozen=True, eq=False)
class Library:
    """Templates of all cells, in units of the prior scales: made once, shared by all spaxels.

    Attributes
    ----------
    response : Response
    cells : Cells
    scale : ndarray, shape (n_free,)
        What an amplitude of 1 means, in flux density (of the unit) times um.
    """

    response: Response
    cells: Cells
    scale: FloatArray

    @cached_property
    def _made(self) -> dict[int, FloatArray]:
        return {}

    def templates(self, order: int) -> FloatArray:
        """Give the templates at the nodes, shape (n_cells, n_used, order^2, n_free)."""
        if order not in self._made:
            velocity, variance = self.cells.nodes(order)
            shape = (self.cells.count, order, order)
            v = np.broadcast_to(velocity[:, :, None], shape).ravel()
            s = np.broadcast_to(variance[:, None, :], shape).ravel()
            made = light(self.response, v, s) * self.scale
            made = made.reshape(self.cells.count, order**2, *made.shape[1:])
            self._made[order] = np.ascontiguousarray(made.transpose(0, 2, 1, 3))
        return self._made[order]
