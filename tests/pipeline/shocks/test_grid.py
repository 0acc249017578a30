"""Does a grid keep its promises, and is the block that it gives complete and large?

Oracles: the closed form of the toy grid; a search through all blocks of a small grid; the values
of half the Sun's oxygen under both conventions.
"""

import dataclasses
from itertools import chain, combinations

import numpy as np
import pytest

from ard.errors import ArdError, FormatError
from pipeline.shocks.grid import Abundance, GridLine, ShockGrid, z_over_solar
from pipeline.shocks.toy import TOY_LINES, toy_loglinear


def holed(grid: ShockGrid, *cells: tuple[int, ...]) -> ShockGrid:
    ratio, mask = grid.log_ratio.copy(), grid.mask.copy()
    for cell in cells:
        ratio[cell], mask[cell] = np.nan, True
    return dataclasses.replace(grid, log_ratio=ratio, mask=mask)


def small() -> ShockGrid:
    return toy_loglinear(log_n=(0.0, 1.0), b=(0.5, 1.0, 2.0), v_kms=(200.0, 300.0, 400.0))


def test_toy_grid_is_its_closed_form():
    grid = toy_loglinear(b=(0.5, 2.0), v_kms=(150.0, 320.0))
    toy = TOY_LINES[1]
    expected = toy.at_unit + toy.slope_v * np.log(320.0) + toy.slope_b * np.log(2.3)
    expected += toy.slope_oh * (8.93 - 8.03)
    assert grid.log_ratio[1, 0, 1, 1, 1] == pytest.approx(expected, abs=1e-12)
    assert grid.complete
    assert grid.source.synthetic


def test_arrays_are_sealed_and_not_those_of_the_caller():
    grid = small()
    ratio = grid.log_ratio.copy()
    other = dataclasses.replace(grid, log_ratio=ratio)
    ratio[:] = 0.0
    assert np.array_equal(other.log_ratio, grid.log_ratio)
    for name in ("log_n", "b", "v_kms", "log_ratio", "mask", "log_hbeta"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(grid, name)[...] = 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("v_kms", np.array([300.0, 200.0, 400.0]), "the axis v_kms is not in order"),
        ("b", np.array([0.5, 0.5, 2.0]), "the axis b is not in order"),
        ("b", np.array([-0.5, 0.5, 2.0]), "b is negative"),
        ("log_n", np.array([0.0, np.nan]), "the axis log_n is not in order"),
        ("v_kms", np.array([200.0, 300.0]), "log_hbeta does not fit the axes"),
        ("lines", (TOY_LINES[0].line,) * 4, "no line, or one twice"),
        ("abundances", (Abundance("a", 8.0, 7.0, 6.0),), "log_hbeta does not fit"),
    ],
)
def test_broken_axes_are_refused(name, value, says):
    with pytest.raises(FormatError, match=says):
        dataclasses.replace(small(), **{name: value})


def test_nan_and_mask_have_to_agree():
    grid = small()
    ratio = grid.log_ratio.copy()
    ratio[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(FormatError, match="NaN and mask disagree"):
        dataclasses.replace(grid, log_ratio=ratio)
    ratio[0, 0, 0, 0, 0] = -np.inf
    with pytest.raises(FormatError, match="a log ratio is infinite"):
        dataclasses.replace(grid, log_ratio=ratio)


def test_a_line_needs_a_wavelength():
    with pytest.raises(FormatError, match="no wavelength or no members"):
        GridLine("x", float("nan"), ("x",))


def test_one_hole_costs_one_velocity():
    """Of the values that would close the hole, the one that takes fewest models with it."""
    grid = holed(toy_loglinear(), (1, 0, 2, 24, slice(None)))
    block = grid.block()
    assert block.complete
    assert block.log_ratio.shape == (2, 1, 8, 36, 4)
    assert 700.0 not in block.v_kms


def subsets(number: int):
    return chain.from_iterable(combinations(range(number), k + 1) for k in range(number))


@pytest.mark.parametrize("seed", range(4))
def test_block_is_nearly_the_largest_there_is(seed):
    """Oracle: all blocks of a small grid. The search is greedy: 80 % of the largest is promised."""
    grid = small()
    rng = np.random.default_rng(seed)
    cells = [tuple(rng.integers(size) for size in grid.log_hbeta.shape) for _ in range(4)]
    grid = holed(grid, *cells)
    hole = grid.mask.any(axis=-1)
    sizes = [
        len(z) * len(n) * len(b) * len(v)
        for z in subsets(2)
        for n in subsets(2)
        for b in subsets(3)
        for v in subsets(3)
        if not hole[np.ix_(z, n, b, v)].any()
    ]
    block = grid.block()
    assert block.complete
    assert block.log_hbeta.size >= 0.8 * max(sizes)


def test_what_is_named_is_kept_whole():
    grid = holed(small(), (0, 0, 1, 1, 2), (1, 1, 0, 0, 2))
    block = grid.block(b=[0.5, 1.0], log_n=[0.0], abundances=["toy-poor"], lines=["SII_6716+6731"])
    assert (block.b.tolist(), block.log_n.tolist()) == ([0.5, 1.0], [0.0])
    assert block.v_kms.tolist() == [200.0, 400.0]
    assert [line.name for line in block.lines] == ["SII_6716+6731"]
    # The hole is in one line only, so another needs nothing dropped.
    assert grid.block(lines=["OIII_5007"]).log_hbeta.shape == grid.log_hbeta.shape


def test_what_cannot_be_had_is_said():
    every = [(0, 0, 1, k, 0) for k in range(3)]
    with pytest.raises(ArdError, match="no model of the grid has all"):
        holed(small(), *every).block(b=[1.0], abundances=["toy-poor"], log_n=[0.0])
    with pytest.raises(ArdError, match="the grid has no such line"):
        small().block(lines=["OIII_4363"])
    with pytest.raises(ArdError, match="no models at this b"):
        small().block(b=[0.7])


def test_half_solar_depends_on_the_convention():
    """Dopita2005 (8.44) is below half of 8.93 and above half of 8.69 (reference: shocks 5)."""
    dopita = Abundance("Allen2008_Dopita2005", 8.44, np.nan, np.nan)
    assert z_over_solar(dopita, "anders-grevesse-1989") == pytest.approx(10**-0.49)
    assert z_over_solar(dopita, "anders-grevesse-1989") < 0.5 < z_over_solar(dopita, "asplund-2009")
    with pytest.raises(ArdError, match="the solar convention is unknown"):
        z_over_solar(dopita, "solar")
