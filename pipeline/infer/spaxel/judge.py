"""Are the draws of a spaxel good enough, by the gate that all chains have to pass?

Independent draws count as four chains of a quarter each, the log posterior among the scalars: what
is too few draws for a chain is too few for a spaxel, and draws that repeat one another show. One
limit has no say, that of heavy tails: velocity and width end with their priors, fluxes and
continuum are mixtures of Gaussians, and have all moments; what looks like a heavy tail is another
mode.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from checks.convergence import accepted, diagnose
from checks.registry import Limits

_CHAINS: Final = 4


def judge(draws: FloatArray, limits: Limits) -> tuple[BoolArray, FloatArray]:
    """Say which spaxels pass the gate, and how many draws theirs are worth.

    Parameters
    ----------
    draws : ndarray, shape (n, n_draw, n_scalar)
        Draws of all parameters that are no multiples of another, and of the log posterior.
    limits : mapping of str to Limit
        As `checks.convergence.chain_limits` gives them.

    Returns
    -------
    passed : ndarray of bool, shape (n,)
        Whether every scalar keeps every limit, but for that of tails.
    ess : ndarray, shape (n,)
        Effective number of draws, of bulk or tails, of the worst scalar; NaN where it has none.
    """
    n, n_draw, n_scalar = draws.shape
    length = n_draw // _CHAINS
    chains = draws[:, : _CHAINS * length].transpose(0, 2, 1).reshape(n, n_scalar, _CHAINS, length)
    found = diagnose(chains)
    found = replace(found, tail_shape=np.zeros((n, n_scalar)))
    passed: BoolArray = accepted(found, limits).all(axis=1)
    return passed, np.minimum(found.ess_bulk, found.ess_tail).min(axis=1)
