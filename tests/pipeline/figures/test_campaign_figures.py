"""Do figures of a campaign show what its surface says?

Oracles: the document itself, in the data behind the figure; equal bytes; and the colour of a value
that rests on too few models, which is none.
"""

import copy

import numpy as np
import pytest
from campaigns import OF_A_TABLE, document_of, gaussian
from matplotlib.figure import Figure

from pipeline.figures import campaign as drawing
from pipeline.figures import style

DRAWN = {"profiles": drawing.profiles, "pairs": drawing.pairs, "filters": drawing.filters}
BLACK_PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def surface():
    return document_of(gaussian(300))


@pytest.fixture
def panels(monkeypatch):
    """Keep the figure instead of its bytes."""
    kept: list[Figure] = []
    monkeypatch.setattr(style, "png", lambda figure: kept.append(figure) or b"")
    return kept


def test_equal_surfaces_give_equal_bytes(surface):
    first, second = (drawing.profiles(surface=copy.deepcopy(surface)) for _ in range(2))
    assert first["figure"].startswith(BLACK_PNG)
    assert first["figure"] == second["figure"]


def test_the_data_behind_are_those_of_the_document(surface, panels):
    data = {name: draw(surface=surface)["data"] for name, draw in DRAWN.items()}
    assert all(table.simulated for table in data.values())
    assert len(panels) == 3
    for row in surface["profiles"]:
        mine = data["profiles"].data[data["profiles"].data["parameter"] == row["name"]]
        assert mine["low"].tolist() == row["edges"][:-1]
        for name in ("n", "effective", "marginal_flagged"):
            assert mine[name].tolist() == row[name]
        assert np.array_equal(mine["best"], np.array(row["best"], float), equal_nan=True)
    table = data["pairs"].data
    for row in surface["pairs"]:
        mine = table[(table["first"] == row["first"]) & (table["second"] == row["second"])]
        wanted = np.array(row["log_mean"], float).ravel()
        assert np.array_equal(mine["log_mean"], wanted, equal_nan=True)
    bars = data["filters"].data
    assert bars["n"].tolist()[:2] == [surface["rejected"][k]["n"] for k in ("all", "several")]
    assert bars["n_only"].tolist()[2:] == [r["n_only"] for r in surface["rejected"]["filters"]]


def test_of_rows_of_a_table_there_are_counts_and_no_shares(surface, panels):
    chosen = document_of(gaussian(300), settings=OF_A_TABLE)
    data = {name: draw(surface=chosen)["data"].data for name, draw in DRAWN.items()}
    assert (
        data["filters"]["n"].tolist() == drawing.filters(surface=surface)["data"].data["n"].tolist()
    )
    for name in ("fraction", "low", "high"):
        assert np.isnan(data["filters"][name]).all()
    assert "share of the table" in panels[2].axes[0].get_xlabel()
    assert np.isnan(data["profiles"]["log_mean"]).all()
    assert np.isfinite(data["profiles"]["best"]).any()


def test_what_rests_on_few_models_has_no_colour(surface, panels):
    drawing.pairs(surface=surface)
    size = len(surface["profiles"])
    row = surface["pairs"][0]
    above, below = panels[0].axes[1], panels[0].axes[size]  # first across second, and the reverse
    shown = np.ma.getmaskarray(above.collections[0].get_array())
    assert np.array_equal(shown, np.array(row["marginal_flagged"]))
    assert shown.any()
    profile = np.ma.getmaskarray(below.collections[0].get_array())
    assert np.array_equal(profile, np.array(row["profile_flagged"]).T)


def test_a_galaxy_that_survives_is_marked_however_few_were_tried(surface, panels):
    few = copy.deepcopy(surface)
    row = few["pairs"][0]
    row["best"][0][2], row["profile_flagged"][0][2] = -1.0, True
    drawing.pairs(surface=few)
    (dots,) = panels[0].axes[len(few["profiles"])].lines
    level = max(one["delta_chi2"] for one in few["within"])
    wanted = np.argwhere(-2.0 * np.array(row["best"], float) <= level)
    edges = [np.array(row[f"edges_{one}"]) for one in ("first", "second")]
    middles = [0.5 * (ends[1:] + ends[:-1])[at] for ends, at in zip(edges, wanted.T, strict=True)]
    found = sorted(zip(*dots.get_data(), strict=True))
    assert found == sorted(zip(*middles, strict=True))
    assert [0, 2] in wanted.tolist()


def test_a_reference_far_above_is_told_and_not_drawn(surface, panels):
    far = copy.deepcopy(surface)
    for row in far["profiles"]:
        for name in ("best", "best_first", "best_second", "log_mean"):
            row[name] = [None if v is None else v - 3000.0 for v in row[name]]
    drawing.profiles(surface=far)
    axes = panels[0].axes[0]
    assert axes.get_ylim()[1] < -2900.0
    assert any("above" in text.get_text() for text in axes.texts)


def test_a_surface_without_cells_can_be_drawn(surface, panels):
    nothing = {**surface, "profiles": [], "pairs": []}
    for draw in DRAWN.values():
        draw(surface=nothing)
    assert len(panels) == 3
