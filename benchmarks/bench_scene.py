"""How long does a synthetic cube of eight tied lines take, and how much memory, with its gradient?

The scene of reference/cubes.md section 0: 53 x 49 spaxels, an edge-on disc, eight lines in the
88 channels or so that they touch, oversampling 2, 32 depths, float32. Beside it a bow shock with
its wake and a knot, through an ellipse and its ghosts, and the likelihood of the disc with its
fluxes integrated out. Best of several runs.

    python benchmarks/bench_scene.py
    python benchmarks/bench_scene.py --batch 4096 --budget-gib 16   # where there is a GPU
"""

import argparse
import os
import sys
import time
from dataclasses import replace

import numpy as np

from pipeline import runtime

REDSHIFT = 0.964
LINES = (0.4960295, 0.500824, 0.6302046, 0.654986, 0.6564632, 0.658527, 0.6718294, 0.6732674)
RESOLVING_POWER = (694.0, 701.0, 883.0, 918.0, 920.0, 923.0, 942.0, 942.0)


def make_scene(dtype):
    """Give model, sampler, disc and fluxes."""
    import jax
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
    disc = jax.tree.map(lambda value: jnp.asarray(value, dtype), disc)
    return model, Sampler(model.sky, 32), disc, jnp.ones(8, dtype)


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


def make_bow_scene(model):
    """Give the function of a few parameters whose value is the cube of shock, wake and knot."""
    import jax.numpy as jnp

    from pipeline.scene import bow, knot, wake
    from pipeline.scene.cube import Component, Optics, scene_cube
    from pipeline.scene.psf import Gaussian, Ghosts

    place = {"x_arcsec": 0.5, "y_arcsec": 0.1, "pa_deg": -90.0, "kpc_per_arcsec": 7.937}
    shock = bow.Bow(inclination_deg=29.0, v_star_kms=954.0, compression=3.0, v_sys_kms=0.0,
                    dispersion_kms=30.0, **place)  # fmt: skip
    tail = wake.Wake(length_kpc=62.0, fade_kpc=30.0, width_kpc=0.4, v_start_kms=-301.0,
                     delay_kpc=16.0, mixing_kpc=26.0, dispersion_kms=31.0, **place)  # fmt: skip
    blob = knot.Knot(0.3, 0.2, 0.05, 0.0, 30.0)

    def cube(values, fluxes):
        psf = Ghosts.of_pointings(Gaussian(values[0], 0.14, 28.2), 1.063, 236.3, values[1])
        moved = replace(shock, v_star_kms=values[2])
        sources = (bow.ring(moved, 1.35, 1.5, 55.0), wake.nodes(tail), knot.nodes(blob))
        return scene_cube(model, Optics((psf,)), [Component((s,), fluxes) for s in sources])

    return cube, jnp.asarray([0.18, 0.4, 900.0], jnp.result_type(float))


def make_likelihood(model, sampler, disc, fluxes):
    """Give the function of a disc whose value is ln L / L0, fluxes integrated out."""
    import jax
    import jax.numpy as jnp

    from ard import likelihood
    from pipeline.scene.cube import Component, Optics, count_disc, disc_cube, line_templates
    from pipeline.scene.psf import Gaussian

    truth = np.asarray(disc_cube(model, sampler, disc, fluxes, 0.18), np.float64)
    sigma = np.full(truth.shape, 0.02 * truth.max())
    data = truth + sigma * np.random.default_rng(0).normal(size=truth.shape)
    noise = likelihood.Noise(sigma, np.zeros(truth.shape, bool))
    prior = likelihood.LinearPrior(np.zeros(8), np.full(8, 10.0))
    seen = jnp.asarray(data, jnp.result_type(float))

    def value(disc):
        component = Component((count_disc(model, sampler, disc),), fluxes)
        cubes = line_templates(model, Optics((Gaussian.round(0.18),)), component)
        return likelihood.marginal_likelihood(seen, cubes, noise, prior).log_ratio

    return jax.value_and_grad(value)


def report(name, function, *arguments):
    """Compile, measure, and say what was found."""
    import jax

    compiled = jax.jit(function).lower(*arguments).compile()
    scratch = compiled.memory_analysis().temp_size_in_bytes / 1e6
    sys.stdout.write(
        f"{name}: {best_ms(compiled, *arguments):.1f} ms, {scratch:.1f} MB of scratch\n"
    )


def copy_bandwidth() -> float:
    """Give the bytes a second that the device reads and writes when it copies 256 MiB."""
    import jax
    import jax.numpy as jnp

    values = jnp.ones(2**26, jnp.float32)
    return 2 * values.nbytes / (1e-3 * best_ms(jax.jit(lambda v: v + 1.0), values))


def report_batch(value, disc, count: int, budget: int) -> None:
    """Measure a gradient for many discs in batches within a budget of memory."""
    import jax

    from pipeline.batches import Batched

    many = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *leaf.shape)).copy(), disc)
    many = replace(many, pa_deg=np.linspace(20.0, 50.0, count, dtype=many.pa_deg.dtype))
    batched = Batched(value, budget)
    batched(many)
    began = time.perf_counter()
    batched(many)
    each = (time.perf_counter() - began) / count
    largest = batched.programs[-1]
    moved = batched.programs[0].executable.cost_analysis()
    moved = (moved[0] if isinstance(moved, list) else moved).get("bytes accessed", float("nan"))
    sys.stdout.write(
        f"value and gradient of {count} likelihoods: {1e3 * each:.3f} ms each, batches of "
        f"{largest.size} in {(largest.n_bytes or 0) / 2**30:.2f} GiB of {budget / 2**30:.0f}; "
        f"{moved / 1e6:.0f} MB moved for each by the compiler's account, "
        f"{moved / each / copy_bandwidth():.0%} of the bandwidth of a copy\n"
    )


def main() -> None:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=runtime.PRECISIONS, default="float32")
    parser.add_argument("--batch", type=int, default=0, help="discs to evaluate in batches")
    parser.add_argument("--budget-gib", type=float, default=16.0, help="memory of a batch")
    options = parser.parse_args()
    jnp = runtime.start(options.precision)
    import jax

    from pipeline.scene.cube import disc_cube

    model, sampler, disc, fluxes = make_scene(jnp.dtype(options.precision))
    channels, load = len(model.wave_edges), os.getloadavg()[0]
    sys.stdout.write(
        f"{options.precision}, {channels} channels, {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, load {load:.1f}\n"
    )

    def make(disc, fluxes):
        return disc_cube(model, sampler, disc, fluxes, 0.13)

    def squares(function):
        data = jax.jit(function[0])(*function[1:])
        return lambda *a: jnp.sum((function[0](*a) - data * 1.01) ** 2)

    bow, values = make_bow_scene(model)
    for name, function, arguments in (
        ("disc", make, (disc, fluxes)),
        ("bow", bow, (values, fluxes)),
    ):
        chi2 = squares((function, *arguments))
        report(f"{name}, cube", function, *arguments)
        report(f"{name}, value and gradient", jax.value_and_grad(chi2, argnums=(0, 1)), *arguments)
    value = make_likelihood(model, sampler, disc, fluxes)
    report("disc, likelihood and gradient, 8 fluxes integrated out", value, disc)
    if options.batch:
        report_batch(value, disc, options.batch, int(options.budget_gib * 2**30))


if __name__ == "__main__":
    main()
