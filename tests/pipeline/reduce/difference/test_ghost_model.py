"""Does the fit find the strength of the ghosts, where they lie on the wake as well?

Oracle: the simulator's scene of a wake as wide as the pointings are apart, whose truth is exact.
Twelve draws, each with noise that is correlated as in the real cubes and larger than its ERR.
"""

import ghost_scenes as scenes
import numpy as np
import pytest
from astropy.table import QTable

import ard
from ard.describe import unit_text
from pipeline.reduce.difference.apertures import apertures, moved_wcs
from pipeline.reduce.difference.functional import line_channels
from pipeline.reduce.difference.pointing import prepare
from pipeline.reduce.difference.recovery import true_fractions
from pipeline.reduce.difference.rows import Given, Rules, aperture_rows
from pipeline.reduce.difference.stage import Config
from pipeline.reduce.difference.strengths import ALL, common_strengths, strength_rows, true_strength
from schemas import tables

DRAWS = 12
RULES = Rules(3.0, 0.3, -250.0, 150.0)
# So far that no spaxel is sky: neither annulus nor low-rank sky are made, which saves time.
EVERYWHERE = Config(clear_arcsec=9.0)


def fit(cubes, target, standard=None):
    """Strengths, and rows of the wake aperture, of one draw."""
    standard = standard or cubes
    reach = (EVERYWHERE.line_low_kms, EVERYWHERE.line_high_kms)
    blocked = {
        item: line_channels(cube.wave, target.lines, target.redshift, reach)
        for item, cube in cubes.items()
    }
    pointings = prepare(cubes, standard, target, blocked, EVERYWHERE, 3)
    return pointings, blocked, strength_rows(pointings, blocked, target, EVERYWHERE, RULES)


def of(rows, **wanted):
    (found,) = (r for r in rows if all(r[key] == value for key, value in wanted.items()))
    return found


@pytest.fixture(scope="module")
def draws(target):
    """Strengths, and fractions of H alpha in the wake with the true ones, draw by draw."""
    found = []
    place = next(a for a in apertures(target, EVERYWHERE) if a.name == "wake")
    for seed in range(DRAWS):
        cubes = scenes.observe("broad_wake", seed)
        pointings, blocked, rows = fit(cubes, target)
        truth = scenes.scene("broad_wake").truth
        known = true_fractions(pointings, cubes, truth, [place], target, EVERYWHERE)
        fractions = []
        for item, pointing in pointings.items():
            given = Given(None, common_strengths(rows))
            measured = aperture_rows(pointing, place, target, blocked[item], RULES, given)
            row = of(list(measured), line="Halpha", method="pointings")
            fractions.append(row | {"truth": known[item, "wake", "halpha", "pointings"]})
        found.append((rows, fractions))
    return found


def pulls(draws, item, line):
    rows = [of(rows, method="pointings", item=item, line=line) for rows, _ in draws]
    assert {row["status"] for row in rows} == {"measured"}
    return np.array([(row["strength"] - 1.0) / row["strength_err"] for row in rows])


def test_the_scene_has_ghosts_on_the_wake():
    for item in scenes.ITEMS:
        assert 0.3 < scenes.true_fraction("broad_wake", item) < 0.5


def test_the_strength_is_recovered_within_its_error(draws):
    """Root mean square of (strength - 1) / error over draws: 1 where errors are right.

    Two lines and two pointings, which share noise: 24 independent pulls know it to 0.14, and the
    errors are known to a tenth. Right errors leave [0.65, 1.4] once in two hundred times.
    """
    each = np.concatenate(
        [pulls(draws, item, line) for item in scenes.ITEMS for line in ("Halpha", "NII6583")]
    )
    assert 0.65 < np.sqrt(np.mean(each**2)) < 1.4
    assert np.abs(each).max() < 4.0


def test_one_strength_of_both_pointings_is_known_better_than_each(draws):
    """What one pointing adds to the ratio the other takes away; twelve pulls know 1 to a fifth."""
    both = np.concatenate([pulls(draws, ALL, line) for line in ("Halpha", "NII6583")])
    assert 0.6 < np.sqrt(np.mean(both**2)) < 1.5
    rows, _ = draws[0]
    one, alone = (of(rows, method="pointings", item=i, line="Halpha") for i in (ALL, "t001"))
    assert one["strength_err"] < 0.4 * alone["strength_err"]
    assert one["strength_err"] < 0.02
    assert one["places"] == 2 * alone["places"]
    misfits = [of(rows, method="pointings", item=ALL, line=ALL)["misfit"] for rows, _ in draws]
    assert np.mean(misfits) == pytest.approx(1.0, abs=0.1)


def test_fractions_are_recovered_within_their_errors(draws):
    """Of the fitted model and as measured; their noise is that of different pointings."""
    rows = [row for _, fractions in draws for row in fractions]
    assert all(0.3 < row["truth"] < 0.5 for row in rows)
    for name in ("ghost_fraction", "model_fraction"):
        off = np.array([(row[name] - row["truth"]) / row[f"{name}_err"] for row in rows])
        assert 0.65 < np.sqrt(np.mean(off**2)) < 1.4, name
        assert abs(off.mean()) < 0.8, name
        assert np.median([row[f"{name}_err"] for row in rows]) < 0.08


def test_false_alarms_are_rare(draws):
    """No draw of a right offset is taken for a wrong one: three errors, once in 370 times."""
    together = pulls(draws, ALL, ALL)
    assert (np.abs(together) > 3.0).sum() == 0


def test_an_archive_cube_without_subtraction_has_no_ghost(draws):
    for rows, _ in draws:
        row = of(rows, method="standard", item=ALL, line=ALL)
        assert abs(row["strength"]) < 3 * row["strength_err"]
        assert row["strength_err"] < 0.01


def test_an_archive_cube_that_is_subtracted_has_a_whole_one(target):
    cubes = scenes.observe("broad_wake", 40)
    meta = {"S_BKDSUB": "COMPLETE"}
    first, second = (cubes[item] for item in scenes.ITEMS)
    standard = {
        "t001": first.replace(flux=first.flux - second.flux, meta=dict(first.meta) | meta),
        "t002": second.replace(flux=second.flux - first.flux, meta=dict(second.meta) | meta),
    }
    _, _, rows = fit(cubes, target, standard)
    row = of(rows, method="standard", item=ALL, line=ALL)
    assert abs(row["strength"] - 1.0) < 4 * row["strength_err"]
    assert true_strength("standard", ALL, standard) == 1.0
    assert true_strength("standard", "t001", cubes) == 0.0
    mixed = {"t001": standard["t001"], "t002": cubes["t002"]}
    assert np.isnan(true_strength("standard", ALL, mixed))


@pytest.mark.parametrize("seed", [50, 51, 52, 53])
def test_a_scene_without_ghosts_has_none(target, seed):
    """The other pointing looks at a field without light: four errors, once in 16,000 times."""
    _, _, rows = fit(scenes.observe("broad_wake", seed, blind="t002"), target)
    for item in ("t001", ALL):
        row = of(rows, method="pointings", item=item, line=ALL)
        assert abs(row["strength"]) < 4 * row["strength_err"]
        assert row["strength_err"] < 0.1


def across(target, arcsec):
    """East and north of a step across the wake."""
    angle = np.deg2rad(target.position_angle_deg + 90.0)
    return arcsec * np.sin(angle), arcsec * np.cos(angle)


def require_noticed(row):
    assert row["strength"] < 0.7
    assert 1.0 - row["strength"] > 8 * row["strength_err"]
    assert row["misfit"] - 1.0 > 8 * row["misfit_err"]


def test_a_place_on_the_sky_that_is_wrong_is_noticed(target):
    """The wake of RBH-1, and coordinates of one pointing that are half an arcsec off across it."""
    cubes = scenes.observe("bow_ring", 60)
    right = of(fit(cubes, target)[2], method="pointings", item=ALL, line=ALL)
    assert abs(right["strength"] - 1.0) < 4 * right["strength_err"]
    other = cubes["t002"]
    wrong = other.replace(wcs=moved_wcs(other.wcs, *across(target, 0.5)))
    rows = fit(cubes | {"t002": wrong}, target)[2]
    require_noticed(of(rows, method="pointings", item=ALL, line=ALL))


def test_an_offset_that_is_not_that_of_the_archive_is_noticed(target):
    """The archive has subtracted place by place of the detector; the headers give another offset.

    The difference that the study makes is at the offset of the headers, whatever that is.
    """
    cubes = scenes.observe("bow_ring", 61)
    first, second = (cubes[item] for item in scenes.ITEMS)
    east, north = across(target, 0.5)
    meta = dict(second.meta)
    meta["TARG_RA"] += east / 3600 / np.cos(np.deg2rad(meta["TARG_DEC"]))
    meta["TARG_DEC"] += north / 3600
    standard = {
        "t001": first.replace(flux=first.flux - second.flux),
        "t002": second.replace(flux=second.flux - first.flux),
    }
    rows = fit(cubes | {"t002": second.replace(meta=meta)}, target, standard)[2]
    require_noticed(of(rows, method="standard", item=ALL, line=ALL))
    own = of(rows, method="pointings", item=ALL, line=ALL)
    assert abs(own["strength"] - 1.0) < 5 * own["strength_err"] + 0.05


def test_a_field_without_lines_has_no_strength(target):
    _, _, rows = fit(scenes.observe("blank", 70), target)
    assert {row["status"] for row in rows} == {"undetected"}
    assert common_strengths(rows) == {}
    assert all(row["places"] > 100 for row in rows)  # they are there; nothing shines in them


def test_a_pointing_at_another_field_gives_no_strength(target):
    """It lies beyond that of the first, so neither has a partner; lines are as bright as ever."""
    cubes = scenes.observe("broad_wake", 72)
    other = cubes["t002"]
    meta = dict(other.meta)
    meta["TARG_DEC"] += 5.0 / 3600  # more than the 32 spaxels of the field
    moved = other.replace(meta=meta, wcs=moved_wcs(other.wcs, 0.0, 5.0))
    assert fit(cubes | {"t002": moved}, target)[2] == []


def test_a_lone_pointing_has_no_strength(target):
    cubes = {"t001": scenes.observe("broad_wake", 71)["t001"]}
    assert fit(cubes, target)[2] == []


def test_the_table_follows_its_model(draws):
    rows = [row | {"truth_strength": 1.0} for row in draws[0][0]]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    data = ard.Table(QTable(columns), {}).data
    units = {name: unit_text(data[name].unit) for name in data.colnames}
    assert tables.validate(columns, units, "strengths") == ()
