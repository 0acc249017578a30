"""How long does a synthetic cube of eight tied lines take, and how much memory, with its gradient?

The scene of reference/cubes.md section 0: 53 x 49 spaxels, an edge-on disc, eight lines in the
88 channels or so that they touch, oversampling 2, 32 depths, float32. Best of several runs.

    python benchmarks/bench_scene.py
"""

import argparse
import os
import sys
import time
from dataclasses import fields, replace

import numpy as np

from pipeline import runtime

REDSHIFT = 0.964
LINES = (0.4960295, 0.500824, 0.6302046, 0.654986, 0.6564632, 0.658527, 0.6718294, 0.6732674)
RESOLVING_POWER = (694.0, 701.0, 883.0, 918.0, 920.0, 923.0, 942.0, 942.0)


def make_scene(dtype):
    """Give model, sampler, disc and fluxes."""
    import jax.numpy as jnp

    from pipeline.scene.disc import Disc, Sampler
    from pipeline.scene.grid import SkyGrid, VelocityGrid
    from pipeline.scene.model import LineModel, windows

    lines = np.array(LINES) * (1.0 + REDSHIFT)
    starts = 0.9700 + 0.000636 * np.arange(1447)
    edges = np.stack([starts, starts + 0.000636], axis=1)
    edges = edges[windows(edges, lines, 1100.0)]
    sigma = 299792.458 / np.array(RESOLVING_POWER) / 2.3548
    model = LineModel(SkyGrid(53, 49, 0.1, 2, 3), VelocityGrid(780.0, 60.0), edges, lines, sigma)
    radii = np.linspace(0.0, 12.0, 64)
    disc = Disc(
        x_arcsec=0.3, y_arcsec=-0.2, pa_deg=34.0, inclination_deg=88.0, scale_arcsec=0.7,
        height_arcsec=0.08, v_sys_kms=0.0, rotation_kms=180.0 * np.tanh(radii / 0.5),
        dispersion_kms=np.full(64, 40.0), radius_step_arcsec=radii[1],
    )  # fmt: skip
    values = {f.name: jnp.asarray(getattr(disc, f.name), dtype) for f in fields(disc)}
    return model, Sampler(model.sky, 32), replace(disc, **values), jnp.ones(8, dtype)


def best_ms(function, *arguments, runs: int = 15) -> float:
    """Give the shortest time of several calls, ms."""
    import jax

    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def main() -> None:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=runtime.PRECISIONS, default="float32")
    options = parser.parse_args()
    jnp = runtime.start(options.precision)
    import jax

    from pipeline.scene.cube import disc_cube

    model, sampler, disc, fluxes = make_scene(jnp.dtype(options.precision))

    def make(disc, fluxes):
        return disc_cube(model, sampler, disc, fluxes, 0.13)

    data = jax.jit(make)(disc, fluxes)

    def chi2(disc, fluxes):
        return jnp.sum((make(disc, fluxes) - data * 1.01) ** 2)

    forward = jax.jit(make).lower(disc, fluxes).compile()
    gradient = jax.jit(jax.value_and_grad(chi2, argnums=(0, 1))).lower(disc, fluxes).compile()
    for name, function in (("cube", forward), ("value and gradient", gradient)):
        scratch = function.memory_analysis().temp_size_in_bytes / 1e6
        sys.stdout.write(
            f"{name}: {best_ms(function, disc, fluxes):.1f} ms, {scratch:.1f} MB of scratch "
            f"({options.precision}, {data.shape[0]} channels, {jax.devices()[0].device_kind}, "
            f"{os.cpu_count()} cores)\n"
        )


if __name__ == "__main__":
    main()
