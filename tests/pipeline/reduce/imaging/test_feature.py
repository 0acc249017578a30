"""Strip, ridge, cross-section, end and host of an analytic feature.

Oracles: integrals of Gaussians in closed form; the same sky on grids that are turned, mirrored or
of another scale (invariance); planted values, with pulls over seeds.
"""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf, ndtr
from skyimages import HOST, correlated, gaussian, grid, image

from ard.errors import FormatError
from manifests import Position
from manifests.filters import load_filters
from pipeline.reduce.imaging import host, noise, ridge, sources, strip, tip, view
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Measured, Seen

PA, LENGTH = 147.4, 5.0
FILTERS = load_filters()
FILTER = FILTERS.named("F350LP")
AXIS = Axis(*HOST, PA)
FWHM = 0.25
# Beads on a string: so close that they make an even line.
BEADS = np.arange(0.5, LENGTH, 0.05)
GRIDS = {
    "north up": grid(0.0, size=401),
    "turned": grid(67.0, size=401),
    "east to the right": grid(20.0, size=401, flipped=True),
    "finer": grid(-30.0, size=501, pixel=0.04),
}


def quiet(data, wcs, sigma=0.01) -> Seen:
    """An image whose noise is known, independent and not in the data."""
    size = data.shape[0]
    alone = np.zeros((3, 3))
    alone[1, 1] = 1.0
    known = noise.Noise(0.0, np.full(data.shape, sigma), alone, data == 0, sigma, np.nan)
    return Seen(image(data, wcs), known, np.zeros((size, size), bool))


def feature(wcs, size, bend=0.0, fwhm=FWHM):
    """A line from the host to the tip, one electron per second in all."""
    places = [AXIS.place(float(s), bend * float(s)) for s in BEADS]
    return sum(gaussian(wcs, size, place, 1.0 / BEADS.size, fwhm) for place in places)


def size_of(wcs) -> int:
    return int(2 * wcs.wcs.crpix[0] - 1)


@pytest.mark.parametrize("name", GRIDS)
def test_light_in_cells_does_not_depend_on_the_grid(name):
    """Oracle: the error function, for the share of a Gaussian line within a width."""
    wcs = GRIDS[name]
    seen = quiet(feature(wcs, size_of(wcs)), wcs)
    cells = strip.cut(seen, AXIS, view.edges(-1, 6, 0.05), view.edges(-1.5, 1.5, 0.05))
    whole = cells.binned(np.array([-1.0, 6.0]), (-1.5, 1.5))
    assert whole.rates(seen)[0] == pytest.approx(1.0, abs=2e-4)
    assert whole.area[0] == pytest.approx(21.0, rel=1e-3)
    inner = cells.binned(np.array([-1.0, 6.0]), (-0.25, 0.25)).rates(seen)[0]
    # A pixel that is shared by area puts light anywhere in it: two uniform places, p^2 / 6.
    pixel = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0
    sigma = np.hypot(FWHM / ridge.FWHM_PER_SIGMA, pixel / np.sqrt(6.0))
    assert inner == pytest.approx(erf(0.25 / sigma / np.sqrt(2)), abs=1e-3)
    part = cells.binned(np.array([2.0, 3.0]), (-1.5, 1.5)).rates(seen)[0]
    assert part == pytest.approx(20 / BEADS.size, rel=5e-3)


def test_cells_of_masked_pixels_lose_their_area():
    wcs = GRIDS["turned"]
    seen = quiet(np.ones((401, 401)), wcs)
    x, y = (round(float(v)) for v in wcs.all_world2pix(*AXIS.place(2.5), 0))
    holes = seen.excluded.copy()
    holes[y - 2 : y + 3, x - 2 : x + 3] = True
    part = strip.cut(
        Seen(seen.image, seen.noise, holes), AXIS, view.edges(0, 5, 0.5), view.edges(-1, 1, 0.5)
    )
    lost = part.full - part.sums.area
    assert lost.sum() == pytest.approx(25 * 0.05**2, rel=0.03)
    # What is left is as bright as before: a mean, not a sum.
    back = part.beside((0.0, 5.0), (0.5, 1.0))
    bright = strip.brightness(Seen(seen.image, seen.noise, holes), part.sums, back)
    # 400 electrons/s/arcsec^2; the pixels of a tangent projection differ by 1e-9.
    np.testing.assert_allclose(bright.value, 0.0, atol=1e-6)
    assert part.coverage(np.array([2.0, 3.0]), (-0.5, 0.5))[0] < 0.95


def test_errors_of_sums_count_the_pixels():
    """Independent pixels: the error of a sum is sigma times the root of the squared shares."""
    wcs = GRIDS["north up"]
    seen = quiet(np.zeros((401, 401)), wcs, sigma=0.5)
    cells = strip.cut(seen, AXIS, view.edges(0, 5, 0.5), view.edges(-1, 1, 0.5))
    one = cells.binned(np.array([0.0, 5.0]), (-1.0, 1.0))
    assert np.sqrt(one.covariance(seen)[0, 0]) == pytest.approx(0.5 * np.sqrt(4000), rel=0.01)


def test_an_image_that_ends_before_the_strip_is_refused():
    seen = quiet(np.zeros((151, 151)), grid(0.0, size=151))
    with pytest.raises(FormatError, match="does not cover the target") as raised:
        strip.cut(seen, AXIS, view.edges(0, 6, 0.5), view.edges(-1, 1, 1))
    assert raised.value.file == "a_drc.fits"


@pytest.mark.parametrize("name", GRIDS)
def test_a_straight_ridge_is_found_at_its_angle(name):
    """A slope of 0.02 turns it by 1.146 deg; the beads' width comes back with it."""
    wcs = GRIDS[name]
    seen = quiet(feature(wcs, size_of(wcs), bend=0.02), wcs)
    across = view.edges(-0.6, 0.6, 0.05)
    cells = strip.cut(seen, AXIS, view.edges(-1, 6, 0.05), view.edges(-1.5, 1.5, 0.05))
    back = cells.beside((1.0, 4.5), (1.0, 1.5))
    pairs = [(a, a + 0.5) for a in np.arange(1.0, 4.5, 0.5)]
    profiles = [
        strip.brightness(seen, cells.sums.combined(cells.binning(np.array(p), across)), back)
        for p in pairs
    ]
    found = ridge.fit_line(profiles, np.array([np.mean(p) for p in pairs]), across, 0.1)
    assert found.slope == pytest.approx(0.02, abs=4e-4)
    assert found.offset_arcsec == pytest.approx(0.0, abs=1e-3)
    assert found.at(4.0)[0] == pytest.approx(0.08, abs=1e-3)
    width = ridge.fit_width(profiles[3], across, 0.1)
    # Sharing pixels between cells smears by p^2 / 6.
    expected = np.hypot(FWHM, 0.05 * ridge.FWHM_PER_SIGMA / np.sqrt(6.0))
    assert width.fwhm_arcsec == pytest.approx(expected, abs=0.01)


def test_the_mean_of_a_gaussian_over_cells_is_the_integral():
    edges = np.array([-0.3, -0.1, 0.0, 0.4])
    fine = np.linspace(-0.3, 0.4, 70001)
    density = np.exp(-0.5 * ((fine - 0.05) / 0.1) ** 2) / (0.1 * np.sqrt(2 * np.pi))
    slow = [
        np.trapezoid(np.where((fine >= a) & (fine <= b), density, 0.0), fine) / (b - a)
        for a, b in pairwise(edges)
    ]
    np.testing.assert_allclose(ridge.gaussian(edges, 0.05, 0.1), slow, rtol=1e-3)


def test_widths_and_ridges_have_the_errors_they_say():
    """80 noises of one profile: pulls of width and centre to 1/sqrt(160) = 8 %."""
    rng = np.random.default_rng(31)
    across = view.edges(-0.6, 0.6, 0.05)
    shape = ridge.gaussian(across, 0.02, 0.12)
    lag = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    covariance = 0.12**2 * 0.5**lag
    pulls = []
    for _ in range(80):
        noisy = rng.multivariate_normal(shape, covariance)
        found = ridge.fit_width(Measured(noisy, covariance), across, 0.1)
        fwhm = 0.12 * ridge.FWHM_PER_SIGMA
        off = (found.fwhm_arcsec - fwhm, found.centre_arcsec - 0.02)
        pulls.append([off[0] / found.fwhm_err, off[1] / found.centre_err])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.45
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.25)


def test_no_width_where_nothing_shines():
    across = view.edges(-0.6, 0.6, 0.05)
    dark = Measured(np.full(24, -1.0), np.eye(24))
    assert ridge.fit_width(dark, across, 0.1) is None


def test_deconvolution_is_in_quadrature():
    width, err = ridge.deconvolved(0.5, 0.02, 0.3)
    assert width == pytest.approx(0.4)
    # d(w) = f df / w
    assert err == pytest.approx(0.02 * 0.5 / 0.4)
    assert ridge.deconvolved(0.2, 0.01, 0.3) == (None, None)


# ---- the end


def step(along, edge, width, height=1.0):
    return height * (1.0 - ndtr((along - edge) / width))


SEARCH = tip.Search(4.0, 5.5, 0.1, 100)
ALONG = np.arange(2.025, 7.0, 0.05)


def test_an_even_feature_ends_where_it_has_half_its_light():
    """Oracle: a smoothed step passes a half exactly at its edge; the bump before it is the peak."""
    bump = 0.4 * np.exp(-0.5 * ((ALONG - 4.7) / 0.15) ** 2)
    profile = step(ALONG, 5.0, 0.05) * (1.0 + bump)
    found = tip.find_tip(
        Measured(profile, 1e-6 * np.eye(ALONG.size)), ALONG, SEARCH, np.random.default_rng(1)
    )
    assert found.peak_arcsec == pytest.approx(4.7, abs=0.01)
    # Half of the peak (1.37), on a flank whose height there is 1.05 to 1.1.
    assert found.edge_arcsec == pytest.approx(4.98, abs=0.02)
    assert found.peak_err < 0.01
    assert found.drop_is_limit or found.drop > 100


def test_the_error_of_the_edge_is_its_scatter():
    """60 noises: the ratio of scatter and error is known to 1/sqrt(120) = 9 %."""
    rng = np.random.default_rng(5)
    covariance = 0.06**2 * 0.3 ** np.abs(np.subtract.outer(*[np.arange(ALONG.size)] * 2))
    truth = step(ALONG, 5.0, 0.08)
    edges, errors = [], []
    for _ in range(60):
        noisy = Measured(rng.multivariate_normal(truth, covariance), covariance)
        found = tip.find_tip(noisy, ALONG, SEARCH, np.random.default_rng(2))
        edges.append(found.edge_arcsec)
        errors.append(found.edge_err)
    # A peak that is a maximum of noise is too high, so its half lies a little further in.
    assert np.mean(edges) == pytest.approx(5.0, abs=0.03)
    assert np.std(edges) / np.mean(errors) == pytest.approx(1.0, abs=0.3)


def test_how_far_the_light_drops_is_a_limit_where_nothing_is_left():
    rng = np.random.default_rng(1)
    covariance = 0.02**2 * np.eye(ALONG.size)
    tail = step(ALONG, 5.0, 0.05, 0.9) + 0.1
    left = tip.find_tip(Measured(tail, covariance), ALONG, SEARCH, rng)
    assert (left.drop, left.drop_is_limit) == (pytest.approx(10.0, rel=0.1), False)
    gone = tip.find_tip(Measured(step(ALONG, 5.0, 0.05), covariance), ALONG, SEARCH, rng)
    assert gone.drop_is_limit
    # Two sigma of the mean of ten cells: 2 * 0.02 / sqrt(10).
    assert gone.drop == pytest.approx(1.0 / (2 * 0.02 / np.sqrt(10)), rel=0.1)


def test_a_feature_that_goes_on_has_no_end():
    even = Measured(np.ones(ALONG.size), 1e-4 * np.eye(ALONG.size))
    assert tip.find_tip(even, ALONG, SEARCH, np.random.default_rng(1)) is None


# ---- the host


CIRCLES = host.Circles((0.1, 0.2, 0.3, 0.5, 0.7, 1.2), (1.5, 2.5), 0.1, 0.4)


def viewed(data, wcs, sigma=1e-3) -> view.View:
    seen = quiet(data, wcs, sigma)
    x, y = (float(v) for v in wcs.all_world2pix(*HOST, 0))
    centre = sources.Centroid(x, y, np.eye(2) * 1e-6)
    return view.View(seen, centre, Position(*HOST), np.eye(2) * 1e-6, 0, 0.05, FILTER)


@pytest.mark.parametrize("name", ["north up", "turned", "east to the right"])
def test_the_curve_of_growth_of_a_gaussian(name):
    """Oracle: 1 - exp(-r^2 / 2 sigma^2), widened by the pixel that the image integrates over."""
    wcs = GRIDS[name]
    data = gaussian(wcs, 401, HOST, 10.0, 0.4)
    found = host.grow(viewed(data, wcs), AXIS, CIRCLES)
    sigma2 = (0.4 / ridge.FWHM_PER_SIGMA) ** 2 + 0.05**2 / 6.0
    expected = 10.0 * (1.0 - np.exp(-0.5 * found.radii_arcsec**2 / sigma2))
    np.testing.assert_allclose(found.rate.value, expected, rtol=0.012)
    assert found.rate.value[-1] == pytest.approx(10.0, rel=1e-3)
    assert found.usable().all()


def test_a_feature_on_one_side_is_not_counted():
    wcs = GRIDS["turned"]
    bright = gaussian(wcs, 401, HOST, 10.0, 0.4) + 5.0 * feature(wcs, 401)
    alone = host.grow(viewed(gaussian(wcs, 401, HOST, 10.0, 0.4), wcs), AXIS, CIRCLES)
    both = host.grow(viewed(bright, wcs), AXIS, CIRCLES)
    np.testing.assert_allclose(both.rate.value, alone.rate.value, rtol=5e-3)
    assert 0.1 < both.mirrored[-1] < 0.3
    # Counted, it would add a seventh of the feature: 0.7 arcsec of it lie within 1.2 arcsec.
    open_circles = host.Circles(CIRCLES.radii_arcsec, CIRCLES.sky_arcsec, 2.0, 0.4)
    counted = host.grow(viewed(bright, wcs), AXIS, open_circles)
    assert counted.rate.value[-1] - alone.rate.value[-1] > 0.5


def test_what_is_masked_on_both_sides_is_said():
    wcs = GRIDS["north up"]
    seen = viewed(gaussian(wcs, 401, HOST, 10.0, 0.4), wcs)
    _, x = np.indices((401, 401))
    holes = np.abs(x - 200) < 6
    hidden = view.View(
        Seen(seen.image, seen.seen.noise, holes), seen.host, seen.host_place,
        seen.host_covariance, 0, 0.05, FILTER,
    )  # fmt: skip
    found = host.grow(hidden, AXIS, CIRCLES)
    assert not found.usable().all()
    assert found.lost.max() > 0.5


# ---- looking at an image


def test_looking_needs_settings_that_fit():
    with pytest.raises(ValueError, match="whole numbers"):
        view.Looking(cell_arcsec=0.07)
    with pytest.raises(ValueError, match="half_width_arcsec below"):
        view.Looking(half_width_arcsec=1.0)
    with pytest.raises(ValueError, match="edge_sigma"):
        view.Looking(edge_sigma=9.0)


def test_neighbours_are_masked_and_the_feature_is_not():
    rng = np.random.default_rng(3)
    wcs = GRIDS["turned"]
    neighbour = AXIS.place(3.0, 0.7)
    data = (
        gaussian(wcs, 401, HOST, 20.0, 0.4)
        + 20.0 * feature(wcs, 401)
        + gaussian(wcs, 401, neighbour, 4.0, 0.15)
        + correlated(rng, 401, 0.01, 0.2)
    )
    found = view.look(image(data, wcs), AXIS, LENGTH, view.Looking(), FILTERS)
    x, y = (round(float(v)) for v in wcs.all_world2pix(*neighbour, 0))
    assert found.seen.excluded[y, x]
    assert found.neighbours == 1
    for s in (0.0, 2.0, 4.0):
        x, y = (round(float(v)) for v in wcs.all_world2pix(*AXIS.place(s), 0))
        assert not found.seen.excluded[y, x]
    offset = AXIS.offsets(found.host_place.ra_deg, found.host_place.dec_deg)
    assert np.hypot(*offset) < 0.01
