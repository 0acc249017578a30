"""How probable are the data of a cube, if this were the model?

One definition for the study and for everybody: the same functions run on numpy arrays, on those of
jax.numpy, or of any other library that follows the array-API standard. The noise is data: what is
needed of it is products and sums.
"""

from ard.likelihood.factors import inverse_cholesky
from ard.likelihood.linear import LinearPrior
from ard.likelihood.masking import exact_noise, mask_more
from ard.likelihood.model import noise_from_model
from ard.likelihood.noise import Noise
from ard.likelihood.noisefile import NoiseProduct, read_noise, write_noise
from ard.likelihood.precision import precision_block
from ard.likelihood.probability import (
    Result,
    evaluate,
    find_blocks,
    log_likelihood,
    marginal_likelihood,
)

__all__ = [
    "LinearPrior",
    "Noise",
    "NoiseProduct",
    "Result",
    "evaluate",
    "exact_noise",
    "find_blocks",
    "inverse_cholesky",
    "log_likelihood",
    "marginal_likelihood",
    "mask_more",
    "noise_from_model",
    "precision_block",
    "read_noise",
    "write_noise",
]
