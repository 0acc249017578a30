"""Is it told apart whether a shock, stars or both make the lines?

Oracles: at both ends of the mixture, the sum over all models of one kind; models of which the
truth is known, and the same mixture by hand; published ratios that no shock makes.
"""

import json
import math

import numpy as np
import pytest
from astropy.table import Table as AstropyTable
from click.testing import CliRunner
from shock_cases import LINES, allen_block

from ard.errors import ArdError
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline.cli import cli
from pipeline.shocks import stars
from pipeline.shocks.grid import Component, GridSource
from pipeline.shocks.gridfile import save_grid
from pipeline.shocks.hii import HiiGrid
from pipeline.shocks.interpolate import Steps, refine
from pipeline.shocks.likelihood import LineFluxes, prepare
from pipeline.shocks.stars import BOTH, SHOCK, STARS, Maker, Rivals
from pipeline.shocks.toy import TOY_LINES, toy_loglinear

ACCEPTANCE = load_acceptance()
ENOUGH, ASSUMED = ACCEPTANCE.limit("shock.p_predictive"), load_shocks().stars
NAMES = tuple(toy.line.name for toy in TOY_LINES)
SOURCE = GridSource("code", "1", "stars", Component.HII, "here", "none", "", "", 0.0)
AXES = (np.linspace(7.5, 9.0, 4), np.array([5.0, 6.0]), np.linspace(-4.0, -2.0, 4))


def of_stars(lines=TOY_LINES) -> HiiGrid:
    """Bright [O III] and faint other lines: what no shock of the toy grid makes."""
    oh, pk, u = np.meshgrid(*AXES, indexing="ij")
    by_line = {"OIII": 0.3 + 0.2 * (u + 3.0), "NII": -1.8 + 0.5 * (oh - 8.2)}
    ratio = [by_line.get(toy.line.name[:-5], -1.6 - 0.2 * (u + 3.0)) + 0.0 * pk for toy in lines]
    full = np.stack(ratio, axis=-1)
    return HiiGrid(SOURCE, *AXES, tuple(t.line for t in lines), full, np.zeros(full.shape, bool))


@pytest.fixture(scope="module")
def rivals():
    lattice = refine(toy_loglinear(), NAMES, Steps(2, 2))
    return lattice, Rivals(lattice, of_stars(), load_shocks(), 3)


def made_of(rivals, fraction):
    """Ratios of one shock and one H II region, by hand."""
    lattice, models = rivals
    shock = 10.0 ** lattice.log_ratio[0, 8, 30]
    hii = 10.0 ** of_stars().log_ratio[2, 0, 2]
    mixed = np.log10((1.0 - fraction) * shock + fraction * hii)
    return LineFluxes.of_ratios(models.lines, [mixed], 0.02)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_the_ends_of_the_mixture_are_the_sums(rivals, fraction):
    _, models = rivals
    data = made_of(rivals, fraction)
    (datum,) = prepare(data, models.errors)
    mixed = models.mixed(datum)
    ends = [float(one.log_evidence[0]) for q in models.sums for one in q.fit(data)]
    for mean, exact in zip(mixed.log_mean[[0, -1]], ends, strict=True):
        if exact > mixed.log_mean.max() - 12.0:  # else hardly a pair is near
            assert mean == pytest.approx(exact, abs=0.06)
    low, middle, high = mixed.quantiles((0.025, 0.5, 0.975))
    assert low <= middle <= high
    assert low - 0.05 <= fraction <= high + 0.05
    assert mixed.n_effective > 100
    # A flat fraction: the mean of the means, by trapezoids.
    peak = mixed.log_mean.max()
    area = np.trapezoid(np.exp(mixed.log_mean - peak), mixed.fractions)
    assert mixed.log_evidence == pytest.approx(peak + math.log(area), abs=1e-12)


def test_who_makes_the_lines_is_found(rivals):
    _, models = rivals
    found = {f: models.judge(made_of(rivals, f), ACCEPTANCE) for f in (0.0, 0.6, 1.0)}
    assert found[0.0].maker in (Maker.SHOCK, Maker.UNDECIDED)
    assert found[0.0].log_evidence[SHOCK] > found[0.0].log_evidence[STARS] + 2.5
    assert found[1.0].maker in (Maker.STARS, Maker.UNDECIDED)
    assert found[1.0].log_evidence[STARS] > found[1.0].log_evidence[SHOCK] + 2.5
    assert found[0.6].p_predictive[BOTH] > 0.05
    odd = LineFluxes.of_ratios(models.lines, [[2.0, 1.0, 2.0, -3.0]], 0.02)
    assert models.judge(odd, ACCEPTANCE).maker == Maker.NONE
    weak = LineFluxes.of_errors(("HI_6563", *models.lines), np.ones((1, 5)), np.ones((1, 5)))
    assert models.judge(weak, ACCEPTANCE) is None


@pytest.mark.parametrize(
    ("evidence", "fits", "maker"),
    [
        ((0.0, -5.0, -4.0), (0.5, 0.5, 0.5), Maker.SHOCK),
        ((0.0, -5.0, -1.0), (0.5, 0.5, 0.5), Maker.UNDECIDED),
        ((0.0, -5.0, -1.0), (0.5, 0.01, 0.01), Maker.SHOCK),  # the only one that fits
        ((-9.0, 0.0, -3.0), (0.01, 0.5, 0.5), Maker.STARS),
        ((-9.0, -3.0, 0.0), (0.01, 0.01, 0.5), Maker.BOTH),
        ((-9.0, 0.0, -3.0), (0.01, 0.01, 0.5), Maker.UNDECIDED),  # what fits is less probable
        ((0.0, -5.0, -4.0), (0.01, 0.01, 0.01), Maker.NONE),
    ],
)
def test_the_answer_follows_from_its_numbers(evidence, fits, maker):
    names = (SHOCK, STARS, BOTH)
    pair = (dict(zip(names, one, strict=True)) for one in (evidence, fits))
    assert stars._decided(*pair, ENOUGH, ASSUMED, 1000.0)[0] == maker


def test_a_mixture_of_a_few_pairs_is_no_answer(rivals, monkeypatch):
    """The same lines, with so few pairs that hardly any is near."""
    names, fits = (SHOCK, STARS, BOTH), (0.01, 0.01, 0.5)
    numbers = (dict(zip(names, one, strict=True)) for one in ((-9.0, -3.0, 0.0), fits))
    maker, words = stars._decided(*numbers, ENOUGH, ASSUMED, 12.0)
    assert maker == Maker.UNDECIDED
    assert "12 pairs of models count, not 100" in words
    data = made_of(rivals, 0.6)
    assert rivals[1].judge(data, ACCEPTANCE).n_effective > 100
    monkeypatch.setattr(stars, "_N_PAIR", 400)
    few = Rivals(rivals[0], of_stars(), load_shocks(), 3)
    found = few.judge(data, ACCEPTANCE)
    assert found.n_effective < 100
    assert found.maker == Maker.UNDECIDED


def test_stars_without_the_lines_are_refused(rivals):
    lattice, _ = rivals
    with pytest.raises(ArdError, match="none of the lines that are compared"):
        Rivals(lattice.select(NAMES[:1]), of_stars(TOY_LINES[1:]), load_shocks(), 1)


@pytest.mark.real_data
def test_the_ratios_of_the_tip_are_asked_for_stars(shared_data, tmp_path):
    """RNAAS 2602.10682: no overlap with shocks, and H II regions near."""
    save_grid(tmp_path / "grid.fits", allen_block(shared_data))
    values = [0.76 - np.log10(2.86), -1.7, -1.1]
    table = AstropyTable(
        {"line": list(LINES[:3]), "log_ratio": values, "log_ratio_err": [0.05] * 3}
    )
    table.write(tmp_path / "tip.ecsv", format="ascii.ecsv")
    words = ["shocks", "fit", str(tmp_path / "tip.ecsv"), "--grid", str(tmp_path / "grid.fits"),
             "--stars", str(shared_data / "shocks/NB_HII_grid.fits.gz")]  # fmt: skip
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["alternatives"]
    evidence = found["log_evidence"]
    assert evidence["stars"] - evidence["shock"] > 10.0
    assert found["p_predictive"]["shock"] < 1e-3
    assert found["fraction_stars"][0] > 0.5
    assert found["maker"] == "BOTH"
    assert "spectrum made by: BOTH: " in CliRunner().invoke(cli, words).stdout
