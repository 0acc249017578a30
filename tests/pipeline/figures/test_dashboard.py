"""The dashboard: numbers of products against the judge's own bounds, and what is beyond them."""

import io

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from imagery import geometry_document
from matplotlib.image import imread
from run_documents import (
    combination_document,
    noise_document,
    record,
    recovery_document,
    subtraction_document,
)

import ard
from manifests import load_acceptance, load_target
from pipeline.figures import dashboard
from pipeline.figures.dashboard import Config, place

RBH1 = load_target("rbh1")


def fluxes(pull):
    """Two lines by each method, off the truth by so many errors; one aperture lies half outside."""
    flux = u.erg / u.s / u.cm**2
    data = QTable(
        {
            "method": ["box", "box", "optimal", "optimal", "box"],
            "inside": [1.0, 1.0, 1.0, 1.0, 0.5],
            "flux": np.array([1 + pull, 1 - pull, 1 + pull, 1 - pull, 900.0]) * flux,
            "flux_err": np.ones(5) * flux,
            "flux_true": np.ones(5) * flux,
        }
    )
    return ard.Table(data, {"SIMULATD": True})


def draw(**changes):
    given = {
        "models": {"t001": noise_document({})},
        "combinations": {"t001": combination_document(0.1, {})},
        "subtraction": subtraction_document(),
        "recoveries": {"t001": recovery_document({})},
        "fluxes": {"t001": fluxes(1.0)},
        "geometry": geometry_document(RBH1, record("geometry")),
    }
    given["acceptance"] = load_acceptance()
    return dashboard.run(**(given | changes), target=RBH1, config=Config())


def rows_of(result, criterion):
    data = result["data"].data
    return data[data["criterion"] == criterion]


@pytest.mark.parametrize(
    ("value", "low", "high", "where"),
    [(0.9, 0.9, 1.1, 0.0), (1.1, 0.9, 1.1, 1.0), (1.05, 0.9, 1.1, 0.75), (-3.0, np.nan, 6.0, 0.5)],
)
def test_the_place_of_a_number(value, low, high, where):
    """Oracle: the definition, by hand."""
    assert place(value, low, high) == pytest.approx(where)


def test_it_shows_what_the_products_say_within_the_bounds_of_the_judge():
    """Oracle: the products, and the rows of acceptance.toml."""
    result = draw()
    acceptance = load_acceptance()
    data = result["data"].data
    assert set(data["criterion"]) <= acceptance.ids
    white = rows_of(result, "noise.whitened")
    assert white["value"].tolist() == [1.01]
    assert rows_of(result, "noise.whitened_filter")["value"].tolist() == [1.01]
    assert (white["low"][0], white["high"][0]) == acceptance.limit("noise.whitened").value
    ghosts = rows_of(result, "recovery.ghost_pull")
    assert (ghosts["item"][0], ghosts["value"][0]) == ("run", 2.0)
    assert np.isnan(ghosts["low"][0])
    assert ghosts["place"][0] == pytest.approx(2.0 / acceptance.limit("recovery.ghost_pull").value)
    for name, value, where in (
        ("scatter", 0.9, (0.9 - 0.5) / (1.5 - 0.5)),
        ("bias", 0.1, 0.1 / 0.7),
    ):
        (row,) = rows_of(result, f"recovery.ghost_{name}")
        assert (row["item"], row["value"]) == ("run", value)
        assert row["place"] == pytest.approx(where)
    assert np.all((data["place"] >= 0) & (data["place"] <= 1))
    assert result["data"].simulated


def test_fluxes_of_apertures_are_compared_as_the_judge_does():
    """Oracle: by hand; apertures that lie outside in part have no say."""
    rows = rows_of(draw(fluxes={"t001": fluxes(1.3)}), "recovery.aperture_scatter")
    assert rows["value"].tolist() == pytest.approx([1.3, 1.3])
    without = ard.Table(fluxes(1.3).data["method", "inside", "flux", "flux_err"], {})
    assert len(rows_of(draw(fluxes={"t001": without}), "recovery.aperture_scatter")) == 0


def test_equal_products_give_equal_bytes_and_a_bad_number_another_picture():
    good, again = draw()["figure"], draw()["figure"]
    assert good == again
    assert imread(io.BytesIO(good))[..., :3].std() > 0.05
    model = noise_document({})
    model["whitened"]["kronecker"]["variance"] = 5.0
    bad = draw(models={"t001": model})
    assert bad["figure"] != good
    assert max(rows_of(bad, "noise.whitened")["place"]) > 1


def test_a_lone_cube_has_a_dashboard_of_its_noise():
    model = noise_document({})
    model["dithers"] |= {"scale": None, "left_out": []}
    nothing = dict.fromkeys(("combinations", "subtraction", "recoveries", "geometry"))
    result = draw(models={"t001": model}, fluxes={}, **nothing)
    expected = {"noise.whitened", "noise.whitened_filter", "noise.chi2", "noise.aperture"}
    assert set(result["data"].data["criterion"]) == expected


def test_a_negative_mean_of_ghosts_counts_by_its_size():
    document = subtraction_document()
    document["recovery"]["pull_mean"] = -0.7
    (row,) = rows_of(draw(subtraction=document), "recovery.ghost_bias")
    assert (row["value"], row["place"]) == (-0.7, pytest.approx(1.0))


def test_ghosts_too_few_to_judge_are_left_out_as_the_judge_does():
    document = subtraction_document()
    document["recovery"]["compared"] = 19
    result = draw(subtraction=document)
    for name in ("scatter", "bias"):
        assert len(rows_of(result, f"recovery.ghost_{name}")) == 0
    assert len(rows_of(result, "recovery.ghost_pull")) == 1


def test_groups_with_too_few_spaxels_are_left_out_as_the_judge_does():
    document = recovery_document({})
    for group in document["groups"]:
        group["n_compared"] = 1
    assert len(rows_of(draw(recoveries={"t001": document}), "recovery.flux_ratio")) == 0
