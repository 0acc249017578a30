"""Line windows against channels counted by hand (reference/science.md section 5)."""

import numpy as np
import pytest

from pipeline.linemaps.windows import cut
from pipeline.lineprofile import velocity_kms
from pipeline.lineset import LineSet, covered

Z = 0.964
EDGES = 0.9703180286 + 0.000636 * (np.arange(1448) - 0.5)


def lines(*rest):
    n = len(rest)
    names = tuple(f"l{i}" for i in range(n))
    return LineSet(names, np.array(rest), np.eye(n), np.full(n, 150.0))


def test_velocity_is_relative_to_the_redshift():
    # Oracle: closed form; a source receding by v stretches by 1 + v/c on top of 1 + z.
    assert velocity_kms(np.array([0.5 * 1.964]), 0.5, Z) == pytest.approx(0.0, abs=1e-9)
    wave = 0.5 * 1.964 * (1 + 300.0 / 299792.458)
    assert velocity_kms(np.array([wave]), 0.5, Z) == pytest.approx(300.0)


def test_which_lines_the_nirspec_cube_covers():
    # Oracle: the table of science.md: H beta (0.955 um) and [O II] are outside, [O III] 4959
    # lies in channel 6.1, [S III] 9531 in channel 1418.
    rest = np.array([0.4862683, 0.3728, 0.4960295, 0.5008240, 0.95332, 0.97])
    assert covered(EDGES, rest, Z).tolist() == [False, False, True, True, True, False]


def test_a_line_needs_channels_on_both_sides():
    # Oracle: counting; its own channel and two more on each side.
    edges = np.arange(1.0, 2.05, 0.1)  # channels [1.0, 1.1), [1.1, 1.2), ...
    assert covered(edges, np.array([1.15, 1.25, 1.75, 1.85]), 0.0).tolist() == [
        *(False, True),
        *(True, False),
    ]


def test_the_window_ends_where_the_cube_ends():
    # [O III] 4959 is six channels from the edge: all of them are used, and more on the red side.
    found = cut(EDGES, lines(0.4960295), Z, 1500.0)
    assert found.channels[0] == 0
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    velocity = velocity_kms(centre[found.channels], 0.4960295, Z)
    assert velocity.min() == pytest.approx(-1195.0, abs=5.0)
    assert 1300.0 < velocity.max() < 1500.0  # one channel is 196 km/s


def test_windows_that_touch_are_one_block():
    # Oracle: cubes.md: eight lines, +-1500 km/s, 108 channels with the cube's own grid (its
    # simplified axis starts at 0.9703; ours gives 106); four separate regions.
    rest = (0.4960295, 0.5008240, 0.6302046, 0.654986, 0.6564632, 0.658527, 0.6718294, 0.6732674)
    found = cut(EDGES, lines(*rest), Z, 1500.0)
    assert abs(found.channels.size - 108) <= 2
    assert len(found.blocks) == 4
    assert found.line_block == (0, 0, 1, 2, 2, 2, 3, 3)
    assert [b.stop for b in found.blocks[:-1]] == [b.start for b in found.blocks[1:]]
    for part in found.blocks:
        assert (np.diff(found.channels[part]) == 1).all()


def test_channels_of_other_lines_are_left_out():
    # H alpha with a wide window would take [S II]; its channels belong to another group.
    alone = cut(EDGES, lines(0.6564632), Z, 8000.0)
    beside = cut(EDGES, lines(0.6564632), Z, 8000.0, np.array([0.6718294]))
    gone = np.setdiff1d(alone.channels, beside.channels)
    middle = 0.5 * (0.6564632 + 0.6718294) * (1 + Z)
    assert (0.5 * (EDGES[gone] + EDGES[gone + 1]) > middle - 0.001).all()
    assert gone.size > 20


def test_choosing_lines_keeps_the_amplitudes_they_need():
    every = LineSet(
        ("a", "b", "c"),
        np.array([0.4, 0.5, 0.6]),
        np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]]),
        np.full(3, 100.0),
    )
    kept = every.select(np.array([False, True, False]))
    assert kept.names == ("b",)
    assert kept.ratio.tolist() == [[3.0]]
