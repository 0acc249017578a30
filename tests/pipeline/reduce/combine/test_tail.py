"""Are hits that a combination left in counted, and nothing else?

Oracles: what was planted, and the normal distribution.
"""

import numpy as np
import pytest
from builders import make_wcs

import ard
from manifests import load_acceptance, load_target
from pipeline.reduce.combine.grid import grid_of
from pipeline.reduce.combine.stack import Config, combine
from pipeline.reduce.combine.stage import Config as StageConfig
from pipeline.reduce.combine.tail import Tail, deviations, tail
from pipeline.reduce.noise.channels import free_channels

SHAPE = (120, 14, 15)


def scene(seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Flux and noise: loud channels, loud spaxels, a slope, a bright star."""
    rng = np.random.default_rng(seed)
    noise = 10.0 ** rng.uniform(-1, 0.5, SHAPE[0])[:, None, None]
    noise = noise * 10.0 ** rng.uniform(-0.5, 0.5, SHAPE[1:])
    flux = noise * rng.normal(size=SHAPE) + np.linspace(0, 3, SHAPE[0])[:, None, None]
    flux[:, 3, 4] += 100.0
    return flux, noise


def cube(flux: np.ndarray, mask: np.ndarray | None = None) -> ard.Cube:
    mask = np.zeros(flux.shape, bool) if mask is None else mask
    wave = 1.0 + 1e-3 * np.arange(flux.shape[0])
    return ard.Cube(flux, np.ones(flux.shape), mask, wave, make_wcs(0.0))


def test_noise_of_any_size_has_no_tail():
    flux, _ = scene()
    off = deviations(flux)
    # Scales of 120 and 210 values have errors of a tenth, of which the squares add up.
    assert np.std(off) == pytest.approx(1.05, abs=0.05)
    assert np.abs(off).max() < 6
    assert tail(cube(flux), np.ones(SHAPE[0], bool), 8.0) == Tail(flux.size, 0)


def test_what_was_planted_is_counted_and_lines_and_masked_voxels_are_not():
    flux, noise = scene()
    rng = np.random.default_rng(1)
    free, mask = np.ones(SHAPE[0], bool), rng.random(SHAPE) < 0.1
    free[50:60] = False
    line = np.exp(-0.5 * ((np.arange(SHAPE[0]) - 55) / 1.5) ** 2)
    flux += 500.0 * line[:, None, None]
    chosen = rng.random(SHAPE) < 0.01
    flux = np.where(chosen, flux + rng.choice([-30, 30], SHAPE) * noise, flux)
    flux[mask] = 1e6
    looked_at = ~mask & free[:, None, None]
    found = tail(cube(flux, mask), free, 8.0)
    assert found == Tail(int(looked_at.sum()), int((chosen & looked_at).sum()))


def test_spaxels_that_say_nothing_are_not_looked_at():
    flux, _ = scene()
    flux[:, 0, 0] = 1.0  # constant
    mask = np.zeros(SHAPE, bool)
    mask[19:, 1, 1] = True
    free = np.ones(SHAPE[0], bool)
    assert tail(cube(flux, mask), free, 8.0).compared == (14 * 15 - 2) * SHAPE[0]
    assert tail(cube(flux), np.zeros(SHAPE[0], bool), 8.0) == Tail(0, 0)


@pytest.mark.parametrize(("settings", "good"), [({}, True), ({"reject_samples": 3}, False)])
def test_a_cube_with_hits_left_at_its_edge_is_told(settings, good, real_twin, science, level3):
    """Oracle: the hits of the simulated detector; 3 keeps what only two dithers saw."""
    made = combine(
        science(real_twin, "t001"), grid_of(level3(real_twin, "t001")), config=Config(**settings)
    )
    free = free_channels(made.grid.wave, load_target("rbh1"), 1200.0, 900.0, least=0).free
    found = tail(made.cube(), free, 8.0)
    limits = load_acceptance()
    share, errors = (limits.limit(f"combine.{name}") for name in ("tail", "tail_errors"))
    least = found.beyond - errors.value * np.sqrt(found.beyond)
    assert found.compared > 10_000
    assert bool(least <= share.value * found.compared) is good


@pytest.mark.parametrize("name", ["tail_sigma", "blue_kms", "red_kms"])
def test_settings_of_the_count_are_positive(name):
    with pytest.raises(ValueError, match=name):
        StageConfig(**{name: 0.0})
