"""Do apertures, line sums, backgrounds and errors say what they should?

Oracles: closed forms, constructions, Monte Carlo, and invariances.
"""

import numpy as np
import pytest
from scipy.stats import norm

import ard
from ard.likelihood import Noise
from pipeline.reduce.combine.grid import GridMismatchError
from pipeline.reduce.difference import background, summary
from pipeline.reduce.difference.apertures import (
    Shapes,
    apertures,
    moved_wcs,
    offset_arcsec,
    sky_spaxels,
    weights,
)
from pipeline.reduce.difference.background import Filled
from pipeline.reduce.difference.fraction import (
    LINE_FREE,
    RESIDUAL,
    Measured,
    Ratio,
    Spectrum,
    correlation,
    measure,
    mixture,
    propagated_error,
    ratio,
)
from pipeline.reduce.difference.functional import (
    Profile,
    effective_placements,
    functionals,
    group_lines,
    line_channels,
    others_of,
    placements,
)
from pipeline.reduce.difference.pointing import differenced
from pipeline.reduce.difference.stage import Config, run
from pipeline.reduce.instruments import lsf_for, psf_for

WAVE = 0.9703180286 + 0.000636 * np.arange(600)
EDGES = np.append(WAVE - 0.000318, WAVE[-1] + 0.000318)
LSF = lsf_for({"INSTRUME": "NIRSPEC", "GRATING": "G140M"}, WAVE)
AREA = 0.1**2


# ---- apertures


def test_apertures_have_their_areas_and_places(observe, target):
    """Closed forms: a polygon of 48 corners, a rectangle; sums over spaxels."""
    cube = observe(noise=0.0).combined["t001"]
    shapes = Shapes(wake_from_arcsec=-1.2, wake_to_arcsec=0.3)
    tip, wake = (weights(a, target, cube.wcs, cube.shape[1:]) for a in apertures(target, shapes))
    assert tip.sum() * AREA == pytest.approx(24 * 0.25**2 * np.sin(2 * np.pi / 48), rel=1e-6)
    assert wake.sum() * AREA == pytest.approx(1.5 * 0.6, rel=1e-6)
    y, x = np.mgrid[: cube.shape[1], : cube.shape[2]]
    centre = [float((tip * values).sum() / tip.sum()) for values in (x, y)]
    place = cube.wcs.all_world2pix(target.tip.ra_deg, target.tip.dec_deg, 0)
    # Light in a part of a spaxel counts at its middle.
    np.testing.assert_allclose(centre, place, atol=0.02)
    assert tip.max() == pytest.approx(1.0)


def test_the_offset_of_the_pointings_is_the_published_one(offset):
    """Oracle: 1.063 arcsec at PA 236.3 from the first to the second (reference/science.md 2.2)."""
    assert np.hypot(*offset) == pytest.approx(1.063, abs=0.002)
    assert np.rad2deg(np.arctan2(-offset[0], -offset[1])) % 360 == pytest.approx(236.3, abs=0.2)


def test_a_moved_grid_sees_the_sky_at_the_offset(offset, observe):
    wcs = observe(noise=0.0).combined["t001"].wcs
    here, there = (w.all_pix2world(7.0, 9.0, 0) for w in (wcs, moved_wcs(wcs, *offset)))
    keys = ("TARG_RA", "TARG_DEC")
    found = offset_arcsec(*(dict(zip(keys, w, strict=True)) for w in (there, here)))
    np.testing.assert_allclose(found, offset, atol=1e-5)


def test_the_sky_is_away_from_the_wake_and_beyond_its_tip(observe, target):
    cube = observe(noise=0.0).combined["t001"]
    sky = sky_spaxels(target, cube.wcs, cube.shape[1:], 0.6)
    tip, wake = (weights(a, target, cube.wcs, sky.shape) > 0 for a in apertures(target, Shapes()))
    assert not (sky & tip).any()
    assert not (sky & wake).any()
    x, y = (float(v) for v in cube.wcs.all_world2pix(target.tip.ra_deg, target.tip.dec_deg, 0))
    angle = np.deg2rad(target.position_angle_deg)
    beyond = round(y + 7 * np.cos(angle)), round(x - 7 * np.sin(angle))
    assert sky[beyond]


# ---- sums over channels


def lines_of(target, group: str, profile: Profile = Profile(-250.0, 120.0)):  # noqa: B008
    lines = group_lines(target, group, EDGES, LSF)
    return functionals(
        EDGES, lines, target.redshift, profile, np.ones(WAVE.size), others_of(target, group),
        live=np.ones(WAVE.size, bool),
    )  # fmt: skip


@pytest.mark.parametrize("group", ["oiii", "halpha", "sii"])
def test_the_flux_of_a_line_on_a_slope_is_found_exactly(group, target):
    """Construction: the profiles themselves, and straight continua."""
    found = lines_of(target, group)
    spectrum = np.zeros(WAVE.size)
    flux = 1e-17 * (1 + np.arange(len(found)))
    channels, basis = found[0].channels, found[0].basis
    spectrum[channels] = basis[:, : len(found)] @ flux + 3e-15 + 1e-16 * WAVE[channels]
    ratios = group_lines(target, group, EDGES, LSF).ratio.max(axis=0)
    for k, functional in enumerate(found):
        assert functional(spectrum) == pytest.approx(flux[k] * ratios[k], rel=1e-9)


def test_the_blue_edge_has_a_window_of_one_side(target):
    """[O III] 4959 lies in channel 6: what is blue of it is all there is."""
    (found,) = lines_of(target, "oiii")
    assert found.line == "OIII5007"
    assert found.channels[0] == 0
    assert found.channels.max() == 28
    level = np.ones(WAVE.size)
    assert abs(found(level)) < 1e-10
    assert abs(found(WAVE)) < 1e-10


def test_sums_are_moved_only_where_no_line_is(target):
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    assert blocked[[4, 20, 500]].all()
    assert not blocked[[60, 300, 450]].any()
    for group in ("oiii", "oi", "halpha", "sii"):
        functional = lines_of(target, group)[0]
        shifts = placements(functional, blocked)
        assert shifts.size > 100
        for shift in shifts:
            assert not blocked[functional.channels + shift].any()
        everywhere = set(range(-functional.channels[0], 600 - functional.channels[-1]))
        for shift in everywhere - set(shifts.tolist()):
            assert blocked[functional.channels + shift].any()


# ---- backgrounds


def test_a_masked_voxel_is_filled_as_its_place_demands(observe, target):
    """The brightest spaxel of the wake, in the brightest channel, is none of its neighbours."""
    cube = observe(noise=0.0).combined["t001"]
    image = cube.flux[501]
    peak = np.unravel_index(image.argmax(), image.shape)
    mask = cube.mask.copy()
    mask[501, peak[0], peak[1]] = True
    mask[:, 0, 0] = True
    flux = np.where(mask, np.nan, cube.flux)
    found = background.filled(cube.replace(flux=flux, mask=mask))
    assert found.flux[501][peak] == pytest.approx(image[peak], rel=0.08)
    assert not found.seen[0, 0]
    assert (found.flux[:, 0, 0] == 0).all()
    untouched = found.seen & ~mask.any(axis=0)
    np.testing.assert_array_equal(found.flux[:, untouched], cube.flux[:, untouched])


def test_a_low_rank_sky_holds_no_line_whatever_the_lines_are(observe, target):
    """Invariance: lines in every spaxel, wake and sky alike, change nothing that is taken off."""
    cube = observe(noise=0.3).combined["t001"]
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    sky = sky_spaxels(target, cube.wcs, cube.shape[1:], 0.6)
    bright = cube.replace(flux=cube.flux + np.where(blocked, 50.0, 0.0)[:, None, None])
    one, other = (
        background.low_rank(background.filled(c), sky, blocked, 3).flux for c in (cube, bright)
    )
    np.testing.assert_allclose(other, one, atol=1e-9)


def test_a_low_rank_sky_follows_a_sky_of_its_rank(observe, target):
    cube = observe(noise=0.01).combined["t001"]
    y, x = np.mgrid[:41, :41] / 40.0
    slope = np.linspace(-1, 1, 600)[:, None, None]
    sky = 2.0 + slope * x + 0.5 * slope**2 * y
    line = cube.flux - 1.0
    made = background.filled(cube.replace(flux=line + sky))
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    clear = sky_spaxels(target, cube.wcs, cube.shape[1:], 0.6)
    found = background.low_rank(made, clear, blocked, 3).flux
    assert np.abs(found - sky)[~blocked].max() < 0.06
    assert np.abs(found - sky).max() < 0.15  # bridged by straight lines where lines are


def test_a_low_rank_sky_has_the_error_of_what_it_takes_off(target):
    """Monte Carlo: noise that rises along the spectrum, and nothing in the lines: the truth is 0.

    Of 24 draws of five lines the root mean square is known to a fifteenth, the errors by which they
    are divided to a tenth each: beyond a fifth once in two hundred. Components that are learned
    from bridges have 0.2 to 0.5, or 3, as the error is scaled.
    """
    rng = np.random.default_rng(41)
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    lines = [f for group in ("oiii", "oi", "halpha", "sii") for f in lines_of(target, group)]
    sigma = 0.2 * (1.0 + np.arange(600) / 400.0)[:, None, None]
    sky = np.ones((24, 24), bool)
    sky[9:15, 9:15] = False
    whole = np.ones((24, 24), bool)
    pulls = []
    for _ in range(24):
        flux = 1.0 + sigma * rng.normal(size=(600, 24, 24))
        var = np.broadcast_to(sigma**2, flux.shape)
        cube = Filled(flux, var, whole, np.ones(flux.shape, bool))
        found = background.low_rank(cube, sky, blocked, 3)
        density = found.flux[:, 9:15, 9:15].sum(axis=(1, 2))
        spectrum = Spectrum(density, np.sqrt(found.var[:, 9:15, 9:15].sum(axis=(1, 2))), density)
        measured = [measure(line, spectrum, blocked) for line in lines]
        assert {m.source for m in measured} == {LINE_FREE}
        pulls += [m.value / m.err for m in measured]
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.2


@pytest.mark.parametrize("size", [100.0, -1e5])
def test_a_hit_in_the_wake_is_not_taken_for_its_sky(target, size):
    """Oracle: the same noise without it. A hit of so many errors, in one channel without lines.

    It may count as five errors do in one of 400 channels: a quarter of an error of the score, of
    which a channel holds a twentieth.
    """
    rng = np.random.default_rng(42)
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    flux = 1.0 + 0.2 * rng.normal(size=(600, 16, 16))
    # So bright that every channel is beyond the limit, with a slope that is a component.
    slope = np.linspace(0.0, 1.0, 600)[:, None, None]
    flux += slope * rng.normal(0.0, 2.0, (16, 16))
    flux[:, 8, 8] += 3.0 * slope[:, 0, 0]
    sky, whole = np.ones((16, 16), bool), np.ones((16, 16), bool)
    sky[7:10, 7:10] = False
    hit = flux.copy()
    hit[np.flatnonzero(~blocked)[200], 8, 8] += 0.2 * size
    measured, var = np.ones(flux.shape, bool), np.full(flux.shape, 0.04)
    clean, found = (
        background.low_rank(Filled(f, var, whole, measured), sky, blocked, 3).flux
        for f in (flux, hit)
    )
    assert np.abs(found - clean)[blocked].max() < 0.2 * 0.05
    # The spectrum itself is followed: what is left is noise, of which rank 3 takes little.
    assert np.std((flux - clean)[~blocked][:, 8, 8]) == pytest.approx(0.2, rel=0.1)


def test_the_difference_leaves_a_negative_copy_at_the_offset(observe, target, offset):
    """Construction: W(x) - W(x - d), with d from the wake to its ghost."""
    made = observe(noise=0.0).combined
    found = differenced(made["t001"], made["t002"])
    tip = apertures(target, Shapes())[0]
    own, ghost = (weights(a, target, found.wcs, found.shape[1:]) for a in (tip, tip.moved(*offset)))
    image = np.nan_to_num(found.flux[501])
    assert (own * image).sum() == pytest.approx(-(ghost * image).sum(), rel=5e-3)
    assert (own * image).sum() > 10
    assert found.meta["S_BKDSUB"] == "COMPLETE"
    np.testing.assert_allclose(found.var[~found.mask], 2 * 0.15**2)
    back = differenced(made["t002"], made["t001"])
    np.testing.assert_allclose(np.nan_to_num(back.flux), -np.nan_to_num(found.flux), atol=1e-6)


# ---- errors


def test_the_error_is_that_of_correlated_noise_with_a_wrong_scale(target):
    """Monte Carlo: channels correlate by 0.4 and scatter 1.9 times the stated error."""
    rng = np.random.default_rng(8)
    functional = lines_of(target, "halpha")[0]
    blocked = line_channels(WAVE, target.lines, target.redshift, (-1200.0, 600.0))
    white = rng.normal(size=(400, 601))
    noise = 1.9 * (white[:, 1:] + 0.5 * white[:, :-1]) / np.sqrt(1.25)
    found = [measure(functional, Spectrum(row, np.ones(600)), blocked) for row in noise]
    assert {m.source for m in found} == {LINE_FREE}
    scatter = float(np.std([m.value for m in found]))
    told = float(np.median([m.err for m in found]))
    assert told == pytest.approx(scatter, rel=0.12)  # 400 draws know it to 4 %
    pulls = np.array([m.value / m.err for m in found])
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.15)


def test_few_channels_leave_the_residuals_of_the_fit(target):
    rng = np.random.default_rng(9)
    functional = lines_of(target, "halpha")[0]
    noise = 1.9 * rng.normal(size=(400, 600))
    found = [measure(functional, Spectrum(row, np.ones(600)), np.ones(600, bool)) for row in noise]
    assert {m.source for m in found} == {RESIDUAL}
    scatter = float(np.std([m.value for m in found]))
    assert float(np.median([m.err for m in found])) == pytest.approx(scatter, rel=0.12)


def test_overlapping_placements_count_for_what_they_know(target):
    """A slow sum over pairs, and Monte Carlo: the limit of a fifth is where a scatter has it.

    3000 draws know a scatter of scatters to 2 %.
    """
    functional = lines_of(target, "halpha")[0]
    white = np.random.default_rng(31).normal(size=(600, 3000))
    told = {}
    for count in (20, 60, 120):
        shifts = placements(functional, np.zeros(600, bool))[:count]
        dense = np.zeros((count, 600))
        for k, shift in enumerate(shifts):
            dense[k, functional.channels + shift] = functional.values
        pairs = dense @ dense.T / (dense[0] @ dense[0])
        effective = effective_placements(functional, shifts)
        assert effective == pytest.approx(count**2 / (pairs**2).sum(), rel=1e-9)
        scatter = np.median(np.abs(dense @ white), axis=0)
        told[count] = effective, float(scatter.std() / scatter.mean())
    assert told[20][0] < 10
    assert told[20][1] > 0.3  # twenty that overlap are far from a fifth
    for effective, spread in told.values():
        assert (spread < 0.22) == (effective >= 20)
    assert effective_placements(functional, shifts[:0]) == 0.0
    assert effective_placements(functional, shifts[:1]) == 1.0


def test_placements_that_overlap_too_much_leave_the_residuals(target):
    functional = lines_of(target, "halpha")[0]
    spectrum = Spectrum(np.random.default_rng(32).normal(size=600), np.ones(600))
    span = int(functional.channels[-1] - functional.channels[0]) + 1
    for count, source in ((30, RESIDUAL), (120, LINE_FREE)):
        blocked = np.ones(600, bool)
        blocked[100 : 100 + span + count - 1] = False
        assert placements(functional, blocked).size == count
        found = measure(functional, spectrum, blocked)
        assert found.source == source
        assert found.pulls.size == (count if source == LINE_FREE else 0)


@pytest.mark.parametrize("shared", [0.0, 0.7, 0.95])
def test_the_error_of_a_ratio_knows_what_its_parts_share(shared):
    """Monte Carlo of correlated pairs about a ratio of 0.3."""
    rng, n = np.random.default_rng(10), 20_000
    below = rng.normal(size=n)
    above = shared * below + np.sqrt(1 - shared**2) * rng.normal(size=n)
    drawn = np.std((3.0 + 0.3 * above) / (10.0 + 0.4 * below))
    pulls = rng.normal(size=(2, 3000))
    pulls[1] = shared * pulls[0] + np.sqrt(1 - shared**2) * pulls[1]
    found = ratio(Measured(3.0, 0.3, pulls[1], ""), Measured(10.0, 0.4, pulls[0], ""))
    assert found.value == pytest.approx(0.3)
    assert found.err == pytest.approx(drawn, rel=0.05)
    assert correlation(pulls[1], pulls[0]) == pytest.approx(shared, abs=0.05)


def inverse_cholesky(n: int, lag: float) -> np.ndarray:
    place = np.arange(n)
    return np.linalg.inv(np.linalg.cholesky(lag ** np.abs(place[:, None] - place)))


@pytest.mark.parametrize("sky", [False, True])
def test_a_noise_model_gives_the_error_of_its_draws(sky):
    """Monte Carlo: 4000 draws of Kronecker noise know a scatter to 1.1 %."""
    rng, shape = np.random.default_rng(11), (9, 4, 5)
    factors = [inverse_cholesky(n, lag) for n, lag in zip(shape, (0.2, 0.5, 0.6), strict=True)]
    sigma = rng.uniform(0.5, 2.0, shape)
    roots = [np.linalg.inv(f) for f in factors]
    draws = (
        sigma
        * 1.4
        * np.einsum("ai,bj,ck,nijk->nabc", *roots, rng.normal(size=(4000, *shape)), optimize=True)
    )
    used = [factors[0], np.kron(factors[1], factors[2])] if sky else factors
    noise = Noise(sigma, np.zeros(shape, bool), tuple(used), scale=1.4)
    channels = np.array([2, 3, 4, 6])
    weight = rng.normal(size=(4, 4, 5))
    drawn = np.std((draws[:, channels] * weight).sum(axis=(1, 2, 3)))
    assert propagated_error(noise, weight, channels) == pytest.approx(drawn, rel=0.04)
    assert propagated_error(None, weight, channels) is None


def test_the_mixture_is_that_of_draws():
    """Monte Carlo: half a million draws of three normal distributions."""
    ratios = [Ratio(0.0, 0.01), Ratio(0.1, 0.02), Ratio(0.3, 0.1)]
    rng = np.random.default_rng(12)
    draws = np.concatenate([r.value + r.err * rng.normal(size=200_000) for r in ratios])
    shares = (0.025, 0.16, 0.5, 0.84, 0.975)
    np.testing.assert_allclose(mixture(ratios, shares), np.quantile(draws, shares), atol=2e-3)
    below = np.mean([r.below(0.2) for r in ratios])
    assert below == pytest.approx((np.abs(draws) < 0.2).mean(), abs=3e-3)
    assert Ratio(0.1, 0.02).upper == pytest.approx(norm.ppf(0.95, 0.1, 0.02))
    assert np.isnan(Ratio(float("nan"), 1.0).below(0.2))


def channels_fewer(cube):
    return ard.Cube(
        cube.flux[1:], cube.var[1:], cube.mask[1:], cube.wave[1:], cube.wcs, meta=cube.meta,
        lsf=lsf_for(cube.meta, cube.wave[1:]), psf=psf_for(cube.meta, cube.wave[1:]),
    )  # fmt: skip


def channels_moved(cube):
    wave = cube.wave + 5 * 0.000636
    return ard.Cube(
        cube.flux, cube.var, cube.mask, wave, cube.wcs, meta=cube.meta,
        lsf=lsf_for(cube.meta, wave), psf=psf_for(cube.meta, wave),
    )  # fmt: skip


def spaxels_moved(cube):
    wcs = cube.wcs.deepcopy()
    wcs.wcs.crpix += [4.0, 0.0]
    wcs.wcs.set()
    return cube.replace(wcs=wcs)


def spaxels_fewer(cube):
    return cube.replace(flux=cube.flux[:, 1:], var=cube.var[:, 1:], mask=cube.mask[:, 1:])


def turned(cube):
    wcs = cube.wcs.deepcopy()
    angle = np.deg2rad(3.0)
    wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    wcs.wcs.set()
    return cube.replace(wcs=wcs)


def rolled(cube):
    """North is up in both cubes; the telescope was turned."""
    return cube.replace(meta=dict(cube.meta) | {"PA_APER": 40.0})


GRIDS = [
    ("standard", spaxels_fewer, "shape differ"),
    ("standard", spaxels_moved, "places of spaxels differ"),
    ("standard", channels_moved, "wavelengths differ"),
    ("standard", channels_fewer, "shape differ"),
    ("both", channels_fewer, "t001 and that of t002 .* wavelengths differ"),
    ("both", channels_moved, "t001 and that of t002 .* wavelengths differ"),
    ("both", turned, "t001 and that of t002 .* orientations differ"),
    ("both", rolled, "t001 and that of t002 .* rolls .PA_APER. differ"),
]


@pytest.mark.parametrize(("where", "change", "says"), GRIDS)
def test_cubes_of_two_grids_are_refused(where, change, says, observe, target):
    made = observe(noise=0.0)
    first = made.combined["t001"]
    made.combined["t001"] = first.replace(meta=dict(first.meta) | {"PA_APER": 37.0})
    made.standard["t002"] = change(made.standard["t002"])
    if where == "both":
        made.combined["t002"] = change(made.combined["t002"])
    with pytest.raises(GridMismatchError, match=says):
        run(
            combined=made.combined, standard=made.standard, truth=None, target=target,
            config=Config(),
        )  # fmt: skip


def test_the_difference_of_cubes_of_two_grids_is_refused(observe):
    made = observe(noise=0.0).combined
    with pytest.raises(GridMismatchError, match="wavelengths differ"):
        differenced(made["t001"], channels_fewer(made["t002"]))


def test_a_model_that_is_bridged_over_a_whole_window_has_no_error_there(target):
    """Closed form: the flux of a straight line is 0, and so is its error, whatever the model does
    where no line is; a cube that holds such a model keeps the error of its own noise.
    """
    rng = np.random.default_rng(30)
    functional = lines_of(target, "sii")[0]
    blocked = np.zeros(WAVE.size, bool)
    blocked[functional.channels[0] - 2 : functional.channels[-1] + 3] = True
    model = background.bridged(rng.normal(size=(600, 1)), blocked)[:, 0]
    noise = rng.normal(size=600)
    plain = measure(functional, Spectrum(model, np.ones(600)), blocked)
    taken = measure(functional, Spectrum(model, np.ones(600), model), blocked)
    assert abs(taken.value) < 1e-12 * plain.err
    assert taken.err < 1e-12 * plain.err
    alone, left = (
        measure(functional, spectrum, blocked)
        for spectrum in (
            Spectrum(noise, np.ones(600)), Spectrum(noise - model, np.ones(600), -model),
        )
    )  # fmt: skip
    assert left.err == pytest.approx(alone.err, rel=1e-9)


def ghost_row(method, value, err):
    facts = {"item": "t001", "aperture": "wake", "line": "Halpha", "status": "measured"}
    return facts | {"method": method, "ghost_fraction": value, "ghost_fraction_err": err}


def test_rivals_that_take_nothing_off_do_not_outvote_the_pointings():
    """Closed form: a normal distribution of 0.60 +- 0.02 is 20 errors above 0.2."""
    rivals = [ghost_row("annulus", 0.001, 0.004), ghost_row("lowrank", 0.0, 0.01)]
    (row,) = summary.pooled([ghost_row("pointings", 0.60, 0.02), *rivals], 0.2)
    assert row["artefacts"]["probability_below"] < 1e-12
    assert row["artefacts"]["p025"] == pytest.approx(norm.ppf(0.025, 0.60, 0.02), abs=1e-9)
    assert row["artefacts"]["p975"] == pytest.approx(norm.ppf(0.975, 0.60, 0.02), abs=1e-9)
    assert row["probability_below"] == pytest.approx(2 / 3)
    assert "takes off: wake: 60.0% (56.1% to 63.9%), below 20%" in summary.sentence([], [row], 0.2)
    (row,) = summary.pooled(rivals, 0.2)
    assert row["artefacts"] is None
    assert not summary.judged([row])
