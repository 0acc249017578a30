"""Line-free channels: the windows, the edges of the band, and lines that nobody declared."""

import dataclasses

import noises as cases
import numpy as np
import pytest

from ard.errors import ArdError
from pipeline.reduce.noise.channels import FreeChannels, free_channels, without_busy
from pipeline.simulate import geometry

RBH1 = cases.RBH1


def test_windows_are_those_of_the_velocity():
    """Oracle: the velocity of each channel from each line, in a loop."""
    wave = geometry.window("full").wave
    found = free_channels(wave, RBH1, 1200.0, 900.0, 24)
    for k in range(wave.size):
        near = [
            -1200 <= 299792.458 * (wave[k] / (line.wave_vac_um * 1.964) - 1) <= 900
            for line in RBH1.lines
        ]
        assert found.free[k] == (not any(near))
    assert {row["line"] for row in found.windows} == {line.name for line in RBH1.lines}


def test_a_line_at_the_blue_edge_has_a_window_that_ends_there():
    wave = geometry.window("full").wave
    found = free_channels(wave, RBH1, 1200.0, 900.0, 24)
    row = next(row for row in found.windows if row["line"] == "OIII4959")
    centre = int(np.argmin(np.abs(wave - 0.4960295 * 1.964)))
    assert row["first"] == 0
    assert row["last"] - centre == 4  # 900 km/s in channels of 196 km/s, to the red alone


def test_a_line_outside_of_the_band_has_no_window():
    found = free_channels(cases.make_wave(60), RBH1, 1200.0, 900.0, 24)
    assert found.windows == ()
    assert found.free.all()


def test_nothing_free_of_lines_is_an_error():
    wave = 0.6564632 * 1.964 + geometry.CDELT3 * np.arange(-20, 20)
    with pytest.raises(ArdError, match="too few channels of the cube are free of lines") as error:
        free_channels(wave, RBH1, 3000.0, 3000.0, 24)
    assert "noise.blue_kms" in error.value.action


def test_an_undeclared_line_makes_its_channels_busy():
    rng = np.random.default_rng(3)
    channels = FreeChannels(np.ones(200, bool), ())
    square = 3.6 * rng.chisquare(500, 200) / 500
    assert without_busy(channels, square, 6.0, 24).busy == ()
    square[80:84] *= 2.0
    found = without_busy(channels, square, 6.0, 24)
    assert found.busy == tuple(range(79, 85))
    assert found.free.sum() == 194
    # What is quieter than its surroundings is noise that is small, not a line.
    assert without_busy(channels, 1.0 / square, 6.0, 24).busy == ()


def test_a_channel_without_a_residual_is_neither_busy_nor_in_the_way():
    rng = np.random.default_rng(3)
    channels = FreeChannels(np.ones(200, bool), ())
    square = 3.6 * rng.chisquare(500, 200) / 500
    square[[0, 50]] = 0.0
    assert without_busy(channels, square, 6.0, 24).busy == ()
    square[80:84] *= 2.0
    assert without_busy(channels, square, 6.0, 24).busy == tuple(range(79, 85))


def test_too_many_busy_channels_are_an_error():
    channels = FreeChannels(np.ones(30, bool), ())
    square = 1.0 + 0.01 * np.cos(np.arange(30.0))
    square[10:14] = 9.0
    with pytest.raises(ArdError, match="too few channels"):
        without_busy(channels, square, 6.0, 25)


def test_the_target_decides():
    far = dataclasses.replace(RBH1, redshift=3.0)
    assert free_channels(geometry.window("tiny").wave, far, 1200.0, 900.0, 24).free.all()
