"""Are galaxies drawn from the prior, each by its number alone, and tables read as they stand?

Oracles: scipy's Sobol sequence in one piece, the prior's distribution functions in closed form,
the published galaxy, tables written by astropy.
"""

import math

import numpy as np
import pytest
from astropy.table import Table
from galaxies import PUBLISHED
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

from ard.errors import ArdError, FormatError, UnitError
from pipeline.falsify.physics import hypothesis as proposals
from pipeline.falsify.physics.hypothesis import KINDS, PRIOR, from_table, propose
from pipeline.infer.families import HalfNormal, Isotropic, LogUniform


def numbers_of(models):
    return np.array([list(model.parameters.values()) for model in models])


def parts_below(values):
    """Each parameter's distribution function at its values, in closed form."""
    found = []
    for parameter, column in zip(PRIOR.parameters, values.T, strict=True):
        low, high = parameter.family.support
        if isinstance(parameter.family, LogUniform):
            low, high, column = math.log(low), math.log(high), np.log(column)
        if isinstance(parameter.family, Isotropic):
            low, high = -math.cos(math.radians(low)), -math.cos(math.radians(high))
            column = -np.cos(np.radians(column))
        found.append((column - low) / (high - low))
    return np.array(found).T


@pytest.fixture(scope="module", params=KINDS)
def campaign(request):
    return request.param, propose(range(256), 11, request.param)


@given(wanted=st.lists(st.integers(0, 255), max_size=6))
def test_a_model_is_a_function_of_its_number(campaign, wanted):
    kind, models = campaign
    assert propose(wanted, 11, kind) == [models[number] for number in wanted]


def test_seeds_and_kinds_differ(campaign):
    kind, models = campaign
    for other in (propose([3], 12, kind), *(propose([3], 11, k) for k in KINDS if k != kind)):
        assert not set(other[0].parameters.values()) & set(models[3].parameters.values())


def test_far_numbers_are_reached(campaign):
    kind, models = campaign
    far, near = propose([10**6, 3], 11, kind)
    assert (far.number, near) == (10**6, models[3])
    assert np.isfinite(PRIOR.log_prior(numbers_of([far]))).all()


def test_models_lie_where_scipy_puts_them():
    whole = qmc.Sobol(len(PRIOR.names), scramble=True, seed=np.random.default_rng(7)).random(64)
    assert parts_below(numbers_of(propose(range(64), 7, "sobol"))) == pytest.approx(
        whole, abs=1e-12
    )


def test_models_follow_the_prior(campaign):
    """Kolmogorov and Smirnov; Sobol points are closer to the prior than that test asks."""
    kind, models = campaign
    values = numbers_of(models)
    assert list(models[0].parameters) == list(PRIOR.names)
    assert np.isfinite(PRIOR.log_prior(values)).all()
    for column in parts_below(values).T:
        distance, chance = stats.kstest(column, "uniform")
        assert chance > 1e-3
        assert kind == "random" or distance < 1.5 / 256


def test_the_prior_holds_the_published_galaxy_and_discs_that_reach_the_tip():
    low, high = (dict(zip(PRIOR.names, column, strict=True)) for column in zip(
        *(p.family.support for p in PRIOR.parameters), strict=True))  # fmt: skip
    assert set(PUBLISHED) == set(PRIOR.names)
    assert all(low[name] < value < high[name] for name, value in PUBLISHED.items())
    models = propose(range(256), 11, "sobol")
    ends = [m.parameters["centre_kpc"] + m.parameters["r_max_kpc"] for m in models]
    assert 0.2 < np.mean(np.array(ends) > 62.0) < 0.8  # neither is left out
    assert all(parameter.source for parameter in PRIOR.parameters)


@pytest.mark.parametrize(
    ("numbers", "seed", "kind", "problem"),
    [
        ([0], 1, "grid", "no such kind of draws"),
        ([0], -1, "sobol", "seed cannot be used"),
        ([0, -1], 1, "random", "no such model"),
        ([2**30], 1, "sobol", "no such model"),
    ],
)
def test_what_cannot_be_drawn_is_refused(numbers, seed, kind, problem):
    with pytest.raises(ArdError, match=problem):
        propose(numbers, seed, kind)


def test_a_family_without_quantiles_is_refused():
    with pytest.raises(ArdError, match="cannot be drawn"):
        proposals._quantile(HalfNormal(1.0), 0.5)


@pytest.fixture
def write(tmp_path):
    def written(table: Table):
        path = tmp_path / "galaxies.ecsv"
        table.write(path, format="ascii.ecsv", overwrite=True)
        return path

    return written


def rows(*changes, drop=(), **columns):
    """Galaxies like the published one; names in another order than the prior's."""
    table = Table([{**PUBLISHED, **change} for change in changes or [{}]])
    table = table[sorted(set(table.colnames) - set(drop))]
    for name, values in columns.items():
        table[name] = values
    return table


def test_a_table_gives_its_numbers_to_the_last_bit(write):
    models = propose(range(5), 3, "random")
    table = Table([dict(model.parameters) for model in models])
    assert from_table(write(table[table.colnames[::-1]])) == models


def test_units_are_converted(write):
    table = rows()
    table["r_d_kpc"] = [6000.0]
    table["r_d_kpc"].unit = "pc"
    table["log_m_halo"].unit = "dex(solMass)"
    table["inclination_deg"].unit = "deg"
    (model,) = from_table(write(table))
    assert model.parameters == pytest.approx(PUBLISHED, rel=1e-14)
    assert model.parameters["log_m_halo"] == PUBLISHED["log_m_halo"]


@pytest.mark.parametrize(
    ("table", "error", "problem"),
    [
        (rows(drop=["spin"]), FormatError, "without spin"),
        (rows(colour=[1.0]), FormatError, "with colour"),
        (rows()[:0], FormatError, "no row"),
        (rows(spin=["up"]), FormatError, "'spin' does not hold numbers"),
        (rows({}, {"gas_fraction": 1.2}), ArdError, "'gas_fraction' of the galaxy in row 1"),
        (rows({"r_d_kpc": 0.0}), ArdError, "'r_d_kpc' of the galaxy in row 0"),
        (rows({"log_m_halo": math.nan}), ArdError, "'log_m_halo' of the galaxy in row 0"),
        (rows({}, {"spin": 0.5}, {}), FormatError, "two rows of the table are one galaxy"),
        (rows({"h_z_kpc": 7.0}), ArdError, "no more than both scale lengths"),
        (rows({"gas_ratio": 0.1}), ArdError, "no more than both scale lengths"),
    ],
)
def test_a_table_of_something_else_is_refused(write, table, error, problem):
    with pytest.raises(error, match=problem):
        from_table(write(table))


@pytest.mark.parametrize("kind", [float, int])  # of whole numbers, none is NaN
def test_a_missing_number_is_refused(write, kind):
    table = Table(rows({}, {}), masked=True)
    table["r_d_kpc"] = table["r_d_kpc"].astype(kind)
    table["r_d_kpc"].mask = [False, True]
    with pytest.raises(ArdError, match="'r_d_kpc' of the galaxy in row 1 means nothing"):
        from_table(write(table))


@pytest.mark.parametrize(
    ("name", "unit"), [("r_d_kpc", "km / s"), ("spin", "kpc"), ("h_z_kpc", "?")]
)
def test_a_unit_of_something_else_is_refused(write, name, unit):
    table = rows()
    path = write(table)
    text = path.read_text().replace(
        f"{{name: {name}, datatype", f"{{name: {name}, unit: '{unit}', datatype"
    )
    path.write_text(text)
    with pytest.raises(UnitError, match=f"'{name}' has the unit of something else"):
        from_table(path)


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "galaxies.ecsv"
    path.write_text("spin\n1\n")
    with pytest.raises(FormatError, match="not an ECSV table"):
        from_table(path)
