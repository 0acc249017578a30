"""Does the judge read the table of a campaign once, and in little memory?

Oracles: the columns that were written; bytes that Python holds.
"""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from ard import layout
from checks.evaluations import models_of
from checks.load import table_columns

N, N_NUMBER = 4000, 32
FILTERS = ("", "toomre", "toomre,vertical", "drift,vertical")


@pytest.fixture
def table(tmp_path):
    """A table as long in its rows as that of real galaxies."""
    rng = np.random.default_rng(5)
    numbers = {"log_likelihood": rng.normal(size=N), "chi2": rng.random(N)}
    numbers |= {f"p_{k}": rng.random(N) for k in range(N_NUMBER)}
    columns = [
        fits.Column("number", "K", array=np.arange(N)),
        fits.Column("rejected_by", "30A", array=np.array(FILTERS)[np.arange(N) % len(FILTERS)]),
        fits.Column("converged", "L", array=np.arange(N) % 3 == 0),
        *(fits.Column(name, "D", array=values) for name, values in numbers.items()),
    ]
    path = tmp_path / "t001_evaluations-toy.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return SimpleNamespace(path=path, product=layout.EVALUATIONS, facts={}), numbers


def test_the_columns_are_those_of_the_file(table):
    product, numbers = table
    models = models_of(product)
    assert models.number.tolist() == list(range(N))
    assert models.reasons[:4] == [(), ("toomre",), ("toomre", "vertical"), ("drift", "vertical")]
    assert np.flatnonzero(models.converged).tolist() == list(range(0, N, 3))
    assert np.flatnonzero(models.evaluated).tolist() == list(range(0, N, 4))
    for name, values in numbers.items():
        assert models.column(name).tolist() == values.tolist()


def test_every_check_looks_at_the_same_arrays(table):
    product, _ = table
    one, other = models_of(product), models_of(product)
    for name in ("log_likelihood", "p_3"):
        assert np.shares_memory(one.column(name), other.column(name))


def test_a_galaxy_takes_half_a_kilobyte(table):
    product, _ = table
    tracemalloc.start()
    columns, _ = table_columns(product)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(columns["chi2"]) == N
    assert held / N <= 8 * (N_NUMBER + 4) + 4 * 30 + 50
