"""Does the stage find the ghosts that are there, and none where there are none?

Oracles: two pointings at one wake that are made by hand, and the truth of the simulated
observation.
"""

import numpy as np
import pytest

import ard
import schemas
from ard.describe import unit_text
from ard.likelihood import Noise
from pipeline.reduce.difference.apertures import moved_wcs
from pipeline.reduce.difference.background import METHODS, SUBTRACTING
from pipeline.reduce.difference.mosaic import pairs_of
from pipeline.reduce.difference.pointing import partner_of
from pipeline.reduce.difference.stage import Config, measured, run
from pipeline.stages import STAGES
from schemas import tables

# The wake of the hand-made pointings is 0.8 arcsec wide here, so that it reaches over to its ghost.
WIDE = 0.8


def measure(made, target, config=None, *, truth=True, noise=None):
    models = {} if noise is None else {"noise": noise}
    return (run if noise is None else measured)(
        combined=made.combined,
        standard=made.standard,
        **models,
        truth=made.truth if truth else None,
        target=target,
        config=config or Config(clear_arcsec=1.6 if config is None else config.clear_arcsec),
    )


def rows(result, **wanted):
    data = result["ghosts"].data
    keep = np.ones(len(data), bool)
    for name, value in wanted.items():
        keep &= np.asarray(data[name]).astype(str) == value
    return data[keep]


@pytest.fixture(scope="module")
def narrow(observe, target):
    return measure(observe(), target, Config())


@pytest.fixture(scope="module")
def wide(observe, target):
    return measure(observe(width=WIDE), target, Config(clear_arcsec=1.6))


def test_the_table_and_the_document_follow_their_models(narrow):
    data = narrow["ghosts"].data
    columns = {name: np.asarray(data[name]).tolist() for name in data.colnames}
    units = {name: unit_text(data[name].unit) for name in data.colnames}
    assert tables.validate(columns, units, "ghosts") == ()
    document = narrow["subtraction"] | {"provenance": None}
    assert schemas.validate(document, "subtraction") == ()
    assert document["status"] == "EVALUATED"
    assert len(data) == 2 * 2 * 6 * len(METHODS)  # pointings, apertures, lines


def test_a_narrow_wake_loses_nothing_and_its_ghost_is_minus_one(narrow):
    for line in ("OIII5007", "Halpha", "SII6716"):
        for aperture in ("tip", "wake"):
            for method in SUBTRACTING:
                found = rows(narrow, line=line, aperture=aperture, method=method)
                assert set(np.asarray(found["status"]).tolist()) == {"measured"}
                off = np.asarray(found["ghost_fraction"]) / np.asarray(found["ghost_fraction_err"])
                assert np.abs(off).max() < 4
            for method, expected in (("combined", 0.0), ("standard", 0.0), ("pointings", -1.0)):
                found = rows(narrow, line=line, aperture=aperture, method=method)
                off = np.asarray(found["ghost_strength"]) - expected
                assert np.abs(off / np.asarray(found["ghost_strength_err"])).max() < 4
    assert narrow["subtraction"]["recovery"]["pull_largest"] < 4
    found = [row["artefacts"] for row in narrow["subtraction"]["apertures"]]
    assert all(row["probability_below"] > 0.99 for row in found)


def test_a_wide_wake_loses_what_the_truth_says(wide):
    """A large fraction, and errors far below it: the one that would hide a wrong sign or offset."""
    found = rows(wide, line="Halpha", aperture="wake", method="pointings")
    truth = np.asarray(found["truth_fraction"])
    assert (truth > 0.3).all()
    np.testing.assert_allclose(found["ghost_fraction"], truth, atol=0.04)
    assert (np.asarray(found["ghost_fraction_err"]) < 0.03).all()
    none = rows(wide, line="Halpha", aperture="wake", method="lowrank")
    assert np.abs(np.asarray(none["ghost_fraction"])).max() < 0.05
    recovery = wide["subtraction"]["recovery"]
    assert recovery["pull_largest"] < 4.5
    # Two methods, two pointings and apertures; [N II] and 6731 have no truth, [O I] no light.
    assert recovery["compared"] == 2 * 2 * 2 * 3
    assert 0.5 < recovery["pull_scatter"] < 1.5
    assert abs(recovery["pull_mean"]) < 0.7
    (row,) = (r for r in wide["subtraction"]["apertures"] if r["aperture"] == "wake")
    assert row["artefacts"]["probability_below"] < 1e-6
    assert row["artefacts"]["p025"] > 0.3
    assert row["p975"] > 0.3
    assert "below 20% with a probability of 0.000" in wide["subtraction"]["sentence"]


def test_what_is_left_is_what_is_not_taken_off(wide):
    """Closed form: F - R = F (1 - g), and its ratio to the standard, which takes nothing off."""
    plain = rows(wide, line="Halpha", aperture="wake", method="combined")
    for method in SUBTRACTING:
        found = rows(wide, line="Halpha", aperture="wake", method=method)
        left = np.asarray(plain["flux"]) * (1 - np.asarray(found["ghost_fraction"]))
        np.testing.assert_allclose(np.asarray(found["flux"]), left, rtol=1e-9)
        expected = 1 - np.asarray(found["ghost_fraction"])
        np.testing.assert_allclose(found["relative_flux"], expected, rtol=1e-9)
    limit = np.asarray(plain["flux_limit"]) - np.asarray(plain["flux"])
    np.testing.assert_allclose(limit, 1.6448536 * np.asarray(plain["flux_err"]), rtol=1e-6)


def test_an_archive_cube_that_is_subtracted_shows_its_ghost(observe, target):
    made = observe(width=WIDE, ghost=1.0)
    for item, cube in made.standard.items():
        made.standard[item] = cube.replace(meta=dict(cube.meta) | {"S_BKDSUB": "COMPLETE"})
    result = measure(made, target, Config(clear_arcsec=1.6))
    found = rows(result, line="Halpha", aperture="wake", method="standard")
    lost = rows(result, line="Halpha", aperture="wake", method="pointings")["truth_fraction"]
    np.testing.assert_allclose(found["ghost_fraction"], lost, atol=0.04)
    np.testing.assert_array_equal(found["truth_fraction"], lost)
    loss = [r for r in result["subtraction"]["tension"]
            if (r["line"], r["aperture"]) == ("Halpha", "wake")]  # fmt: skip
    truth = np.asarray(rows(result, line="Halpha", aperture="wake", method="pointings")
                       ["truth_fraction"])  # fmt: skip
    np.testing.assert_allclose(sorted(r["loss"] for r in loss), sorted(truth), atol=0.04)
    assert all(r["sigma"] > 5 for r in loss)


def test_a_lone_pointing_is_not_evaluated_and_says_so(observe, target):
    result = measure(observe(items=("t001",)), target, Config())
    document = result["subtraction"]
    assert document["status"] == "NOT EVALUATED"
    assert document["sentence"].startswith("The other pointing of t001 is missing")
    assert document["offsets"] == []
    assert schemas.validate(document | {"provenance": None}, "subtraction") == ()
    missing = rows(result, method="pointings")
    assert set(np.asarray(missing["status"]).tolist()) == {"not evaluated"}
    assert np.isfinite(np.asarray(rows(result, line="Halpha", method="annulus")["flux"])).all()
    assert not any(n.startswith("differenced") for n in result["ghostmap"]["t001"].layers)


@pytest.mark.parametrize(("east", "alone"), [(4.8, False), (5.2, True), (3e5, True)])
def test_a_pointing_at_another_field_is_no_partner(east, alone, observe):
    """Fields of 4.1 arcsec; the other, 0.9 arcsec west, is moved east by so many arcsec."""
    made = observe()
    cube = made.combined["t002"]
    meta = dict(cube.meta) | {"TARG_RA": float(cube.meta["TARG_RA"]) + east / 3600}
    wcs = moved_wcs(cube.wcs, east, 0.0)
    made.combined["t002"] = cube.replace(wcs=wcs, meta=meta)
    for item in made.combined:
        assert (partner_of(item, made.combined) is None) is alone
    if alone:
        with pytest.raises(ard.FormatError, match="needs two pointings") as caught:
            pairs_of(made.combined)
        assert "overlap" in caught.value.expected


def test_of_two_pointings_the_one_that_overlaps_is_the_partner(observe):
    """The near one looks past the field with all that it has seen."""
    made = observe()
    own, other = made.combined["t001"], made.combined["t002"]
    mask = other.mask.copy()
    mask[:, :, 3:] = True  # what is left lies in the east
    blind = other.replace(mask=mask, wcs=moved_wcs(other.wcs, 3.0, 0.0))
    cubes = {"t001": own, "t002": blind, "t003": other.replace(wcs=moved_wcs(other.wcs, 1.0, 1.0))}
    assert partner_of("t001", cubes) == "t003"
    assert partner_of("t001", {"t001": own, "t002": blind}) is None


def test_a_far_pointing_is_not_evaluated_and_says_so(observe, target):
    made = observe()
    for cubes in (made.combined, made.standard):
        cube = cubes["t002"]
        meta = dict(cube.meta) | {"TARG_DEC": float(cube.meta["TARG_DEC"]) + 30 / 3600}
        cubes["t002"] = cube.replace(wcs=moved_wcs(cube.wcs, 0.0, 30.0), meta=meta)
    document = measure(made, target, Config())["subtraction"]
    assert document["status"] == "NOT EVALUATED"
    assert "t001, t002 is missing or does not overlap it" in document["sentence"]
    assert document["offsets"] == []


def test_a_pointing_that_does_not_say_where_it_looks_is_not_evaluated(observe, target):
    made = observe()
    cube = made.combined["t002"]
    meta = {key: value for key, value in cube.meta.items() if key != "TARG_RA"}
    made.combined["t002"] = cube.replace(meta=meta)
    document = measure(made, target, Config())["subtraction"]
    assert document["status"] == "NOT EVALUATED"
    assert "t001, t002" in document["sentence"]


def test_a_field_without_lines_has_no_fraction(observe, target):
    made = observe(bright=0.0)
    # Of two dozen sums, 3 sigma and an error that is known to a tenth are too near.
    result = measure(made, target, Config(detected_snr=6.0), truth=False)
    assert "measured" not in set(np.asarray(result["ghosts"].data["status"]).tolist())
    assert result["subtraction"]["status"] == "NOT EVALUATED"
    assert "No line is bright enough" in result["subtraction"]["sentence"]
    assert result["subtraction"]["recovery"] is None
    assert np.isnan(np.asarray(result["ghosts"].data["truth_fraction"])).all()
    limit = np.asarray(result["ghosts"].data["flux_limit"], float)
    assert (limit > 0).all()


def test_a_noise_model_is_used_where_there_is_one(observe, target, narrow):
    """Closed form: independent voxels of known scatter, as sums over line-free channels show."""
    made = observe()
    noise = {item: Noise(np.full(c.shape, 0.15), c.mask, scale=2.0)
             for item, c in made.combined.items()}  # fmt: skip
    told, empirical = (
        rows(result, line="Halpha", method="combined")
        for result in (measure(made, target, Config(), noise=noise), narrow)
    )
    assert set(np.asarray(told["error_from"]).tolist()) == {"noise"}
    ratio = np.asarray(told["flux_err"]) / np.asarray(empirical["flux_err"])
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)  # placements know it to a tenth


def inflated(cube):
    """An error as a hit leaves it, in one voxel of the wake at H alpha."""
    var = cube.var.copy()
    var[501, 20, 20] *= 1e6
    return cube.replace(var=var)


def test_a_noise_model_of_another_cube_is_refused(observe, target):
    """The archive's cube has one error that the combination has not: as its hits have."""
    made = observe()
    archive = {i: inflated(c) for i, c in made.standard.items()}
    noise = {i: Noise(np.sqrt(c.var), c.mask, scale=2.0) for i, c in archive.items()}
    with pytest.raises(ard.FormatError, match="noise model of t001 is not that of the cube"):
        measure(made, target, Config(), noise=noise)
    mask = made.combined["t001"].mask.copy()
    mask[3, 2, 1] = True
    made.combined["t001"] = made.combined["t001"].replace(mask=mask)
    noise = {"t001": Noise(np.full(mask.shape, 0.15), np.zeros(mask.shape, bool))}
    with pytest.raises(ard.FormatError, match="1 voxels that it lacks"):
        measure(made, target, Config(), noise=noise)


def test_errors_of_the_archive_do_not_reach_fluxes_of_the_combination(observe, target, narrow):
    """Invariance, with what the stage reads in a run."""
    reads = {read.name for read in next(s for s in STAGES if s.name == "difference").reads}
    assert "noise" not in reads
    made = observe()
    made.standard["t001"] = inflated(made.standard["t001"])
    found = measure(made, target, Config())
    for method in ("combined", "pointings"):
        one, other = (rows(r, method=method)["flux_err"].value for r in (found, narrow))
        np.testing.assert_array_equal(one, other)


def without_channels(made, item, channels):
    """A combined cube in which channels are masked over the whole field."""
    cube = made.combined[item]
    mask, flux = cube.mask.copy(), cube.flux.copy()
    mask[channels], flux[channels] = True, np.nan
    made.combined[item] = cube.replace(flux=flux, mask=mask)


@pytest.mark.parametrize("item", ["t001", "t002"])
def test_channels_that_nobody_measured_have_no_part(item, observe, target, narrow):
    """Construction: three channels at the blue edge, and one at H alpha, are lost.

    Errors and fluxes are nearly those with all channels: one of a dozen has a part of the line.
    """
    made = observe()
    without_channels(made, item, [0, 1, 2, 503])
    found = measure(made, target, Config())
    for line in ("OIII5007", "Halpha"):
        for method in ("combined", "pointings", "annulus", "lowrank"):
            less, full = (rows(r, line=line, method=method) for r in (found, narrow))
            assert set(np.asarray(less["status"]).tolist()) == {"measured"}
            if line == "Halpha":  # the hand-made [O III] has no 4959, so its channels matter
                off = (less["flux"] - full["flux"]).value / full["flux"].value
                assert np.abs(off).max() < 0.05
            ratio = less["flux_err"].value / full["flux_err"].value
            assert np.all((ratio > 0.6) & (ratio < 2.0))
    assert np.abs(found["subtraction"]["recovery"]["pull_largest"]) < 5


def test_a_line_in_channels_that_nobody_measured_is_not_evaluated(observe, target):
    made = observe()
    without_channels(made, "t001", slice(495, 507))
    found = rows(measure(made, target, Config()), line="Halpha")
    status = np.asarray(found["status"]).astype(str)
    assert set(status[np.asarray(found["item"]) == "t001"]) == {"not evaluated"}
    assert set(status[np.asarray(found["item"]) == "t002"]) <= {"not evaluated", "measured"}


def test_how_much_of_a_sum_was_filled_is_told(observe, target):
    """Construction: every other spaxel is masked at H alpha, so half of its sum is filled."""
    made = observe(items=("t001",))
    cube = made.combined["t001"]
    y, x = np.mgrid[:41, :41]
    mask = cube.mask.copy()
    mask[470:530, (x + y) % 2 == 0] = True
    made.combined["t001"] = cube.replace(mask=mask)
    result = measure(made, target, Config(), truth=False)
    wake = rows(result, aperture="wake", method="combined")
    part = dict(zip(np.asarray(wake["line"]).tolist(), np.asarray(wake["filled"]), strict=True))
    assert part["Halpha"] == pytest.approx(0.5, abs=0.03)
    assert part["OIII5007"] == 0.0


def test_a_line_without_a_truth_has_none(narrow):
    """Of [N II] nothing was put in, and nothing is said: 0 would be a truth."""
    known = {
        line: np.isfinite(np.asarray(rows(narrow, line=line)["truth_fraction"], float))
        for line in ("Halpha", "NII6583")
    }
    assert known["Halpha"].all()
    assert not known["NII6583"].any()


def test_a_wrong_ghost_is_not_hidden_by_other_methods(observe, target):
    """The truth of the other pointing is doubled: the pointings alone are off, and it shows."""
    made = observe(width=WIDE)
    made.truth["t002"] = {k: 2.0 * v for k, v in made.truth["t002"].items()}
    recovery = measure(made, target)["subtraction"]["recovery"]
    assert recovery["pull_scatter"] > 5.0
    assert recovery["pull_largest"] > 5.0


def test_maps_show_the_wake_and_its_ghost(narrow, target, offset):
    linemap = narrow["ghostmap"]["t001"]
    plain, less = linemap["plain_halpha"], linemap["differenced_halpha"]
    y, x = np.unravel_index(np.nanargmin(less), less.shape)
    ra, dec = linemap.wcs.all_pix2world(float(x), float(y), 0)
    tip = target.tip
    east = (float(ra) - tip.ra_deg) * np.cos(np.deg2rad(tip.dec_deg)) * 3600 - offset[0]
    north = (float(dec) - tip.dec_deg) * 3600 - offset[1]
    angle = np.deg2rad(target.position_angle_deg)
    assert abs(east * np.cos(angle) - north * np.sin(angle)) < 0.15  # on the ghost's ridge
    assert np.nanmin(plain) > 0.3 * np.nanmin(less)


@pytest.mark.parametrize(
    "wrong",
    [{"tip_radius_arcsec": 0.0}, {"wake_from_arcsec": 1.0}, {"rank": 0}, {"min_coverage": 0.0},
     {"line_low_kms": 700.0}, {"criterion": 0.0}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"need|below|positive"):
        Config(**wrong)


def test_an_unknown_instrument_is_refused(observe, target):
    made = observe()
    made.combined["t001"] = made.combined["t001"].replace(lsf=None)
    with pytest.raises(ard.ArdError, match="line-spread function of t001"):
        measure(made, target, Config())
