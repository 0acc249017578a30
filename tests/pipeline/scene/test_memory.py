"""Does a cube of the real size stay within its memory, and is it the same on a GPU?

Oracles: the compiler's own account of the scene of benchmarks/bench_scene.py; the same cube in
float64 on the CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loading import BENCHMARKS, load
from precision import x64
from scenes import make_model, tanh_disc

from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Sampler

MOST_BYTES = 10e6  # scratch of one cube


@pytest.fixture(scope="module")
def bench():
    return load(BENCHMARKS / "bench_scene.py")


def scratch(function, *arguments):
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_eight_lines_and_their_gradient_stay_within_10_megabytes(bench):
    with x64(False):
        model, sampler, disc, fluxes = bench.make_scene(jnp.float32)

        def cube(disc, fluxes):
            return disc_cube(model, sampler, disc, fluxes, 0.13)

        def light(disc, fluxes):
            return (cube(disc, fluxes) ** 2).sum()

        assert scratch(cube, disc, fluxes) < MOST_BYTES
        assert scratch(jax.grad(light, argnums=(0, 1)), disc, fluxes) < MOST_BYTES
        shock, values = bench.make_bow_scene(model)
        assert scratch(shock, values, fluxes) < MOST_BYTES


@pytest.mark.gpu
def test_a_gpu_gives_the_same_cube():
    """Products of float32 matrices keep all of their digits there: see `runtime.start`."""
    cubes = []
    for enabled, platform in ((True, "cpu"), (False, "gpu")):
        with x64(enabled), jax.default_device(jax.devices(platform)[0]):
            model = make_model(16)
            with jax.default_matmul_precision("highest"):
                made = disc_cube(model, Sampler(model.sky), tanh_disc(), jnp.ones(1), 0.13)
            cubes.append(np.asarray(made, np.float64))
    assert np.abs(cubes[0] - cubes[1]).max() < 3e-6 * cubes[0].max()
