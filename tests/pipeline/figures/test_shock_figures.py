"""Does the figure of a shock show what is in the posterior, the same bytes every time?

Oracle: the data that go with it, held against the posterior they were drawn from.
"""

import dataclasses

import numpy as np
import pytest

from ard.errors import ArdError
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline.figures import shocks
from pipeline.shocks.draws import draw, extinctions
from pipeline.shocks.interpolate import refine
from pipeline.shocks.likelihood import LineFluxes, errors_for, prepare
from pipeline.shocks.measured import Measured
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.report import fit, table_of
from pipeline.shocks.toy import TOY_LINES, toy_loglinear

NAMES = tuple(toy.line.name for toy in TOY_LINES)
ASSUMED = load_shocks()


@pytest.fixture(scope="module")
def parts():
    grid = toy_loglinear()
    lattice = refine(grid, NAMES)
    errors = errors_for(lattice.lines, ASSUMED)
    data = LineFluxes.of_ratios(NAMES, grid.log_ratio[:1, 0, 4, 16] + errors.reddening, 0.02)
    quadrature = Quadrature(lattice, errors, priors_for(lattice, ASSUMED)[:1])
    (datum,) = prepare(data, errors)
    rng = np.random.default_rng(4)
    found = draw(lattice, quadrature.priors[0], quadrature.joint(datum), 2000, rng)
    av = extinctions(lattice, datum, found, ASSUMED.av_mean_mag, rng)
    oh = np.array([one.log_oh for one in lattice.sets])[found.sets]
    fitted = fit(grid, Measured(("tip",), data), ASSUMED, load_acceptance())
    own = shocks.shown_of(fitted, 0, ASSUMED, 4)
    table = table_of(fitted)
    # What is drawn of a fit is the same posterior.
    assert np.median(own.draws.values, axis=0) == pytest.approx(
        np.median(found.values, axis=0), rel=0.1
    )
    return shocks.Shown("tip", lattice, datum, found, av, oh), table


def test_the_figure_and_its_data(parts):
    shown, table = parts
    made = shocks.run(shown=shown, table=table)
    assert made["figure"].startswith(b"\x89PNG")
    assert shocks.run(shown=shown, table=table)["figure"] == made["figure"]
    data = made["data"].data
    assert set(data["panel"]) == {"ratios", "draws", "sensitivity", "pull"}
    measured = data[(data["panel"] == "ratios") & (data["item"] == "measured")]
    assert measured["x"][0] == pytest.approx(shown.datum.log_ratio[0])
    assert len(set(data["item"][data["panel"] == "sensitivity"])) == 4 * 5
    pulls = data[data["panel"] == "pull"]
    assert list(pulls["item"]) == list(NAMES)
    assert np.all(np.abs(pulls["x"]) < 1.5)


def test_extinction_is_where_the_lines_put_it(parts):
    """Oracle: ratios reddened by 1 mag; the prior, 0 +- 0.5 mag, and the floors hold back."""
    shown, _ = parts
    assert 0.0 < np.mean(shown.av_mag) < 1.0
    assert np.std(shown.av_mag) <= 0.55


def test_a_spectrum_without_lines_is_not_drawn(parts):
    shown, table = parts
    other = shocks.Shown(
        "wake", shown.lattice, shown.datum, shown.draws, shown.av_mag, shown.log_oh
    )
    with pytest.raises(ArdError, match="nothing to draw"):
        shocks.run(shown=other, table=table)


def test_of_a_single_line_nothing_is_drawn():
    grid = toy_loglinear()
    data = LineFluxes.of_ratios(NAMES[:1], grid.log_ratio[:1, 0, 4, 16, :1], 0.02)
    found = fit(grid, Measured(("tip",), data), ASSUMED, load_acceptance())
    assert shocks.shown_of(found, 0, ASSUMED, 1) is None


def test_unknown_metals_are_not_drawn(parts):
    shown, table = parts
    unknown = dataclasses.replace(shown, log_oh=np.full(len(shown.log_oh), np.nan))
    data = shocks.run(shown=unknown, table=table)["data"].data
    assert set(data["item"][data["panel"] == "draws"]) == {"b", "v_kms", "A_V"}
