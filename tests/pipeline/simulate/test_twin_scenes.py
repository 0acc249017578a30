"""Do the truths move as the equations they stand for say?"""

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from ard import ArdError
from manifests.target import load_target
from pipeline.simulate import geometry, lines, scenes, truth

FWHM = 2.3548200450309493
# The set-up of the table in science.md section 2.4.
PSF_ARCSEC, SLIT_HALF_WIDTH, STEP, FLOOR = 0.125, 0.15, 0.1, 0.02


def _position_velocity(component: scenes.Component) -> NDArray[np.float64]:
    """Mean velocity of each column along the wake that is bright enough, from behind to ahead."""
    sigma = PSF_ARCSEC / FWHM
    edges = np.arange(-3, 3, STEP)
    column = np.diff(ndtr((edges[:, None] - component.along) / sigma), axis=0)
    inside = ndtr((SLIT_HALF_WIDTH - component.across) / sigma)
    inside -= ndtr((-SLIT_HALF_WIDTH - component.across) / sigma)
    flux = column @ (inside * component.halpha)
    moment = column @ (inside * component.halpha * component.velocity)
    bright = flux > FLOOR * flux.max()
    return np.asarray(moment[bright] / flux[bright])


@pytest.mark.parametrize(
    ("component", "lowest", "highest", "step"),
    [(scenes.bow_ring, -640, 24, 394), (scenes.thin_shell, -291, -42, 86)],
)
def test_bow_shocks_span_the_tabulated_velocities(
    component: type, lowest: float, highest: float, step: float
) -> None:
    """Oracle: the forward check of science.md section 2.4, made by other code."""
    curve = _position_velocity(component())
    assert curve.min() == pytest.approx(lowest, abs=20)
    assert curve.max() == pytest.approx(highest, abs=20)
    assert np.abs(np.diff(curve)).max() == pytest.approx(step, abs=25)


def test_ring_is_red_ahead_and_symmetric_across() -> None:
    """Oracle: the signs of science.md section 2.3 for a source that approaches."""
    ring = scenes.bow_ring()
    ahead = ring.velocity[ring.along > 0.05]
    behind = ring.velocity[ring.along < -0.05]
    assert ahead.min() > -150
    assert behind.max() < -450
    sides = [ring.velocity[s * ring.across > 0].mean() for s in (1, -1)]
    assert sides[0] == pytest.approx(sides[1], abs=1e-6)


@pytest.mark.parametrize(
    ("behind", "expected"), [(0.0, -301.0), (16.0, -301.0), (42.0, -111.0), (62.0, -51.0)]
)
def test_wake_slows_down_as_published(behind: float, expected: float) -> None:
    """Oracle: Eq. 19 evaluated in science.md section 2.1."""
    assert scenes.wake_velocity(np.array([behind]))[0] == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize(
    ("x", "expected"), [(1, 34.8), (2, 50.1), (5, 72.6), (10, 88.8), (15, 98.2), (20, 106.0)]
)
def test_edge_on_disc_has_the_closed_form_mean_velocity(x: float, expected: float) -> None:
    """Oracle: the test numbers of science.md section 3 (V = 110, R_d = 7, R_max = 22.5 kpc)."""
    place, _, share, weight = scenes.edge_on(22.5, 7.0, 1.2)
    column = np.abs(place - x) < 0.06
    mean = 110.0 * np.average(share[column], weights=weight[column])
    assert mean == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("pointing", [0, 1])
def test_velocity_along_the_wake_is_red_then_bluest_then_minus_300(pointing: int) -> None:
    """Oracle: the published ordering: +50, -600 about 1 kpc behind, then about -300."""
    cut = geometry.window("full")
    velocity = truth.maps(scenes.scene("bow_ring"), cut, pointing)["velocity_Halpha"]
    wcs = geometry.sky(cut, pointing)
    x0, y0 = wcs.wcs_world2pix(*scenes.TIP_DEG, 0)
    pa = np.deg2rad(scenes.WAKE_PA_DEG)
    behind = np.arange(-2, 16)  # spaxels, from ahead of the tip to 1.5 arcsec behind it
    column = np.round(x0 + behind * np.sin(pa)).astype(int)
    row = np.round(y0 - behind * np.cos(pa)).astype(int)
    curve = velocity[row, column]
    bluest = int(np.argmin(curve))
    assert curve[0] > 0
    assert 3 <= bluest <= 5  # 0.1 to 0.3 arcsec behind the tip
    assert curve[bluest] < -450
    np.testing.assert_allclose(curve[bluest + 4 :], -301, atol=6)


def test_disc_and_rotator_do_what_they_are_called() -> None:
    disc, knot = scenes.scene("disc")
    end = disc.along > -0.3
    assert np.average(disc.velocity[end], weights=disc.halpha[end]) == pytest.approx(-306, abs=5)
    assert knot.ratios["NII6583"] == pytest.approx(10**-1.7)
    rotator = scenes.scene("rotator")[0]
    assert rotator.velocity[rotator.along > 0].min() > scenes.ROTATOR_V0 - 1e-9
    assert rotator.velocity.min() == pytest.approx(-600, abs=1)
    assert scenes.scene("blank") == ()


@pytest.mark.parametrize("name", ["bow_ring", "thin_shell", "rotator"])
def test_knot_has_the_published_oiii_flux(name: str) -> None:
    """Oracle: L([O III]) = 1.9e41 erg/s is 3.98e-17 erg/s/cm2."""
    bow = scenes.scene(name)[0]
    assert bow.halpha.sum() * bow.ratios["OIII5007"] == pytest.approx(3.98e-17, rel=1e-12)


@pytest.mark.parametrize("name", sorted(scenes.TRUTHS))
def test_components_are_finite_and_positive(name: str) -> None:
    for component in scenes.scene(name):
        for values in (component.along, component.across, component.velocity):
            assert np.isfinite(values).all()
        assert (component.halpha >= 0).all()
        assert component.continuum.sum() == pytest.approx(1.0)


def test_line_ratios_are_the_atomic_ones() -> None:
    """Oracle: PyNeb ratios of science.md section 7."""
    for table in (lines.SHOCK, lines.WAKE, lines.HII):
        assert table["OIII5007"] / table["OIII4959"] == pytest.approx(2.984)
        assert table["NII6583"] / table["NII6548"] == pytest.approx(2.942)
        assert table["SIII9531"] / table["SIII9069"] == pytest.approx(2.469)


def test_own_line_list_agrees_with_the_target() -> None:
    """Oracle: the target's manifest, which the simulator does not read."""
    target = load_target("rbh1")
    assert target.redshift == lines.REDSHIFT
    theirs = {line.name: line.wave_vac_um for line in target.lines}
    assert {line.name: line.rest_um for line in lines.LINES} == pytest.approx(theirs)


def test_unknown_truth_is_named() -> None:
    names = "bow_ring, thin_shell, disc, rotator, broad_wake, blank"
    with pytest.raises(ArdError, match=re.escape(names)):
        scenes.scene("comet")
