"""How many effective draws does a second of CPU give, for a cube whose velocity jumps at its tip?

The problem of reference/inference.md section 2b: 12 parameters (place of the tip, direction, decay,
width, velocity, jump, place of the jump, dispersion, two fluxes, point-spread function), 64 x 16 x
16 voxels (there 24 x 24: `--side 24`), the point-spread function as two products of matrices.
Beside our sampler: the same posterior with both fluxes integrated out, emcee and numpyro with their
defaults, where they are installed (extra `samplers`). CPU seconds of the whole process, the search
for the mode and compilation included. All go on until they pass the gate, R-hat < 1.01 and 400
effective draws of bulk and tails, or until a budget of CPU seconds is spent, whichever is first;
who did not pass is said to have not. About 10 minutes on two idle cores.

    python benchmarks/bench_sampler.py
    python benchmarks/bench_sampler.py ours integrated --starts 64
    python benchmarks/bench_sampler.py disc

The last is a scene of `rbh1 fit`, a disc of which the field sees the end.
"""

import argparse
import importlib.util
import sys
import time
from dataclasses import dataclass

import numpy as np

from pipeline import runtime

CHANNELS = 64
RHAT, EFFECTIVE = 1.01, 400.0
SIDE, CHANNEL_KMS, LSF_KMS = 0.1, 60.0, 95.0
DOUBLET_KMS = 2390.0  # from the first line to the second
TRUTH = {
    "x_arcsec": 0.55, "y_arcsec": 0.35, "pa_deg": -60.0, "decay_arcsec": 0.8, "width_arcsec": 0.08,
    "v_kms": -120.0, "jump_kms": 300.0, "jump_arcsec": 0.25, "sigma_kms": 45.0, "flux": 30.0,
    "flux_2": 20.0, "fwhm_arcsec": 0.16,
}  # fmt: skip

DISC = {
    "along_arcsec": 0.05, "across_arcsec": -0.04, "turn_deg": 2.0, "radius_arcsec": 2.2,
    "scale_arcsec": 0.9, "height_arcsec": 0.12, "v_sys_kms": -180.0, "v_max_kms": -110.0,
    "turnover_arcsec": 0.5, "dispersion_kms": 40.0, "lsf_gain": 1.1,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one sampler gave."""

    name: str
    cpu_s: float
    rhat: float
    bulk: float
    tail: float
    steps: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the gate is passed."""
        return self.rhat < RHAT and min(self.bulk, self.tail) >= EFFECTIVE

    @property
    def rate(self) -> float:
        """Effective draws of a CPU second."""
        return self.bulk / self.cpu_s


def make_prior(fluxes: bool):
    """Give the prior, with or without the fluxes."""
    from pipeline.infer.families import LogNormal, Uniform
    from pipeline.infer.prior import Parameter, Prior

    rows = {
        "x_arcsec": Uniform(-1.0, 1.0), "y_arcsec": Uniform(-1.0, 1.0),
        "pa_deg": Uniform(-120.0, 0.0), "decay_arcsec": Uniform(0.1, 3.0),
        "width_arcsec": Uniform(0.02, 0.3), "v_kms": Uniform(-600.0, 600.0),
        "jump_kms": Uniform(-800.0, 800.0), "jump_arcsec": Uniform(0.0, 1.0),
        "sigma_kms": Uniform(5.0, 150.0), "flux": LogNormal(25.0, 1.0),
        "flux_2": LogNormal(25.0, 1.0), "fwhm_arcsec": Uniform(0.1, 0.25),
    }  # fmt: skip
    kept = {n: f for n, f in rows.items() if fluxes or not n.startswith("flux")}
    return Prior(tuple(Parameter(n, n.rpartition("_")[2], f) for n, f in kept.items()))


def templates(values, side):
    """Give the cubes of both lines for a flux of 1."""
    import jax
    import jax.numpy as jnp

    from pipeline.scene.optics import FWHM_PER_SIGMA, pixel_matrix

    dtype = jnp.result_type(float)
    edges = (np.arange(side + 1) - side / 2) * SIDE
    middles = jnp.asarray(0.5 * (edges[1:] + edges[:-1]), dtype)
    x, y = middles[None, :] - values["x_arcsec"], middles[:, None] - values["y_arcsec"]
    pa = jnp.deg2rad(values["pa_deg"])
    behind = x * jnp.sin(pa) - y * jnp.cos(pa)
    across = x * jnp.cos(pa) + y * jnp.sin(pa)
    begins = jax.nn.sigmoid(behind / 0.03)
    light = begins * jnp.exp(-jnp.maximum(behind, 0.0) / values["decay_arcsec"])
    light = light * jnp.exp(-0.5 * (across / values["width_arcsec"]) ** 2)
    light = light / light.sum()
    ahead = jax.nn.sigmoid((values["jump_arcsec"] - behind) / 0.05)
    speed = values["v_kms"] + values["jump_kms"] * ahead
    sigma = jnp.sqrt(values["sigma_kms"] ** 2 + LSF_KMS**2)
    psf = pixel_matrix(edges, middles, values["fwhm_arcsec"] / FWHM_PER_SIGMA)
    bounds = jnp.asarray((np.arange(CHANNELS + 1) - CHANNELS / 2) * CHANNEL_KMS, dtype)
    cubes = []
    for at in (-0.5 * DOUBLET_KMS, 0.5 * DOUBLET_KMS):
        off = (bounds[:, None, None] - at - speed) / (sigma * np.sqrt(2.0))
        part = jnp.diff(0.5 * jax.scipy.special.erf(off), axis=0) * light
        cubes.append(jnp.einsum("ay,cyx,bx->cab", psf, part, psf))
    return jnp.stack(cubes)


def make_problem(sigma: float, side: int, seed: int = 0):
    """Give data and noise."""
    import jax.numpy as jnp

    from ard.likelihood import Noise

    values = {n: jnp.asarray(v, jnp.result_type(float)) for n, v in TRUTH.items()}
    both = np.asarray(templates(values, side), np.float64)
    cube = TRUTH["flux"] * both[0] + TRUTH["flux_2"] * both[1]
    data = cube + np.random.default_rng(seed).normal(0.0, sigma, cube.shape)
    return data, Noise(np.full(cube.shape, sigma), np.zeros(cube.shape, bool))


def make_targets(sigma: float, side: int):
    """Give the target with 12 parameters, and the one with both fluxes integrated out."""
    import jax.numpy as jnp

    from ard import likelihood
    from pipeline.infer.posterior import Posterior
    from pipeline.infer.target import Target

    data, noise = make_problem(sigma, side)
    prior = make_prior(fluxes=True)

    def log_density(z, seen):
        values = prior.named(prior.constrain(z))
        both = templates(values, side)
        cube = values["flux"] * both[0] + values["flux_2"] * both[1]
        ratio = likelihood.log_likelihood(seen, cube, noise).log_ratio
        return ratio + prior.log_density(z)

    seen = jnp.asarray(data, jnp.result_type(float))
    amplitudes = likelihood.LinearPrior(np.full(2, 25.0), np.full(2, 25.0))
    inner = Posterior(
        make_prior(fluxes=False), lambda values: templates(values, side), data, noise, amplitudes
    )
    whole = Target(prior.names, log_density, prior.constrain, seen)
    return (prior, whole), (inner.prior, inner.target())


def gradient_ms(target, z) -> float:
    """Give the time of one value with its gradient."""
    import jax

    from pipeline.infer.chain import compiled_value
    from pipeline.infer.target import as_place

    function, place = compiled_value(target.log_density), as_place(z)
    jax.block_until_ready(function(place, target.data))
    began = time.process_time()
    for _ in range(50):
        jax.block_until_ready(function(place, target.data))
    return 1e3 * (time.process_time() - began) / 50


def make_disc(sigma_mjy_sr: float = 0.02):
    """Give prior and target of the scene `disc`, for the end of a disc in 9 x 9 x 26 voxels."""
    import jax.numpy as jnp
    from astropy.wcs import WCS

    import ard
    from ard.likelihood import Noise
    from manifests import load_target
    from pipeline.infer.cutout import flux_per_voxel
    from pipeline.infer.fit import problem_for
    from pipeline.infer.scenes import scene
    from pipeline.reduce.apertures.covariance import GivenNoise

    target, shape = load_target("rbh1"), (26, 9, 9)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [5.0, 5.0]
    wcs.wcs.crval = [target.anchor.ra_deg, target.anchor.dec_deg]
    wcs.wcs.cdelt = [-SIDE / 3600.0, SIDE / 3600.0]
    wave = 0.6564632 * (1.0 + target.redshift) + 0.000636 * (np.arange(26) - 13.0)
    noise = Noise(np.full(shape, sigma_mjy_sr), np.zeros(shape, bool))
    cube = ard.Cube(
        *(np.zeros(shape), noise.sigma**2, noise.mask, wave, wcs),
        lsf=ard.Lsf([0.9, 1.4], [0.0013, 0.0013], "a mock"),
        psf=ard.Psf([0.9, 1.4], [0.179, 0.179], "a mock"),
    )
    given = GivenNoise(noise, "mock_noise.fits")
    blank = problem_for(cube, given, target, scene("disc"))
    values = {name: jnp.asarray(value) for name, value in DISC.items()}
    lines = np.asarray(blank.posterior.posterior.templates(values))
    channels = blank.cutout.observed.channels
    flux = sigma_mjy_sr * np.random.default_rng(0).normal(size=shape)
    flux[channels] += 300.0 * lines.sum(axis=0) / flux_per_voxel(cube)[channels][:, None, None]
    problem = problem_for(cube.replace(flux=flux), given, target, scene("disc"))
    return problem.scene.prior, problem.posterior.target


def run_ours(name, prior, target, options) -> Row:
    """Search, start and sample with our own machinery."""
    from pipeline.infer import optimum
    from pipeline.infer.chain import Settings
    from pipeline.infer.sampler import Budget, config_of, sample
    from pipeline.store.blocks import MemoryStore, Run

    began = time.process_time()
    modes = optimum.find_modes(target, optimum.dispersed(prior, options.starts, 1))
    searched = time.process_time() - began
    starts = optimum.starts_from(target, modes, 4, seed=2)
    settings = Settings(n_warmup=options.warmup)
    budget = Budget(n_first=options.draws, n_most=options.most)

    class Gate:
        def __init__(self, draws, stats):
            row = _row(name, began, np.stack([*draws.values(), stats["lp"]]), 1.0, "")
            self.passed = row.passed or row.cpu_s > options.budget
            self.reasons = () if self.passed else ("not yet",)
            self.final = False

    run = Run("bench", target.names, 4, 3, {}, config=config_of(settings, starts))
    outcome = sample(target, starts, run, MemoryStore(), settings=settings, budget=budget,
                     gate=Gate)  # fmt: skip
    note = f"{len(modes)} mode(s) of {options.starts} climbs in {searched:.0f} s"
    stats = outcome.stats
    note += f", {int(stats['diverging'].sum())} divergent, step {stats['step_size'].mean():.2f}"
    for key in ("jump_kms", "v_max_kms"):
        if key in outcome.draws:
            note += f", {key} {outcome.draws[key].mean():.0f} +- {outcome.draws[key].std():.0f}"
    draws = np.stack([*outcome.draws.values(), stats["lp"]])
    note += f", 4 x {draws.shape[2]} draws"
    return _row(name, began, draws, float(stats["n_steps"].mean()), note)


def run_emcee(prior, target, options) -> Row:
    """32 walkers around the truth, one call for all of them; a quarter of the steps is dropped."""
    import emcee
    import jax

    began = time.process_time()
    function = jax.jit(lambda z: jax.lax.map(lambda one: target.log_density(one, target.data), z))
    rng = np.random.default_rng(1)
    middle = prior.unconstrain(np.array([TRUTH[n] for n in target.names]))
    state = middle + 0.05 * rng.normal(size=(32, middle.size))
    sampler = emcee.EnsembleSampler(
        32, middle.size, lambda z: np.asarray(function(z)), vectorize=True
    )
    sampler.random_state = np.random.RandomState(1).get_state()
    while True:
        state = sampler.run_mcmc(state, options.emcee)
        steps = sampler.iteration
        draws = np.moveaxis(sampler.get_chain(discard=steps // 4), (0, 1, 2), (2, 1, 0))
        row = _row("emcee, 32 walkers", began, draws, 1.0, f"{steps} steps of each walker")
        if row.passed or row.cpu_s > options.budget:
            return row


def run_numpyro(prior, target, options) -> Row:
    """NUTS with a diagonal metric, as numpyro does it when nothing is said."""
    import jax
    from numpyro.infer import MCMC, NUTS

    began = time.process_time()
    kernel = NUTS(potential_fn=lambda z: -target.log_density(z, target.data))
    mcmc = MCMC(kernel, num_warmup=options.warmup, num_samples=options.draws, num_chains=4,
                chain_method="sequential", progress_bar=False)  # fmt: skip
    middle = prior.unconstrain(np.array([TRUTH[n] for n in target.names]))
    first = middle + 0.05 * np.random.default_rng(1).normal(size=(4, middle.size))
    parts, steps = [], []
    while True:
        key = mcmc.post_warmup_state.rng_key if parts else jax.random.key(3)
        mcmc.run(key, init_params=None if parts else first, extra_fields=("num_steps",))
        parts.append(np.moveaxis(np.asarray(mcmc.get_samples(group_by_chain=True)), 2, 0))
        steps.append(float(np.mean(np.asarray(mcmc.get_extra_fields()["num_steps"]))))
        draws = np.concatenate(parts, axis=2)
        note = f"starts near the truth, 4 x {draws.shape[2]} draws"
        row = _row("numpyro, defaults", began, draws, float(np.mean(steps)), note)
        if row.passed or row.cpu_s > options.budget:
            return row
        mcmc.post_warmup_state = mcmc.last_state


def _row(name, began, draws, steps, note) -> Row:
    from arviz_stats.base import array_stats

    cpu = time.process_time() - began
    axes = {"chain_axis": 1, "draw_axis": 2}
    return Row(
        name,
        cpu,
        float(array_stats.rhat(draws, method="rank", **axes).max()),
        float(array_stats.ess(draws, method="bulk", **axes).min()),
        float(array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes).min()),
        steps,
        note,
    )


def describe(row: Row, budget: float) -> str:
    """Say in a line what a sampler gave."""
    end = "passes the gate" if row.passed else f"did NOT reach the gate in {budget:.0f} CPU s"
    return (
        f"{row.name}: {row.cpu_s:.0f} CPU s, R-hat {row.rhat:.4f}, effective draws "
        f"{row.bulk:.0f} bulk {row.tail:.0f} tail, {row.rate:.2f} a CPU s, "
        f"{row.steps:.1f} gradients a draw; {end} ({row.note})"
    )


def ratios(rows: list[Row]) -> list[str]:
    """Hold the first row against the others: effective draws of a CPU second."""
    ours = rows[0]
    if not ours.passed:
        return [f"{ours.name} did not reach the gate: there is no ratio"]
    lines = []
    for row in rows[1:]:
        # Effective draws of chains that have not mixed say too much of them.
        at_least = "" if row.passed else "at least "
        lines.append(f"{ours.name} over {row.name}: {at_least}{ours.rate / row.rate:.1f}")
    return lines


def main() -> None:
    """Run what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = ("ours", "integrated", "emcee", "numpyro")
    parser.add_argument("which", nargs="*", default=usual, help=f"{', '.join(usual)}, disc")
    parser.add_argument("--side", type=int, default=16, help="spaxels a side")
    parser.add_argument("--budget", type=float, default=120.0, help="CPU seconds of each")
    parser.add_argument("--starts", type=int, default=32, help="climbs from draws of the prior")
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500, help="of a chain, before the first look")
    parser.add_argument("--most", type=int, default=4000, help="of a chain of ours")
    parser.add_argument("--emcee", type=int, default=1000, help="steps of a walker between looks")
    parser.add_argument("--sigma", type=float, default=0.1, help="noise of a voxel")
    options = parser.parse_args()
    runtime.start("float64")
    whole, inner = make_targets(options.sigma, options.side)
    middle = whole[0].unconstrain(np.array([TRUTH[n] for n in whole[1].names]))
    say = sys.stdout.write
    say(f"value and gradient: {gradient_ms(whole[1], middle):.2f} ms of CPU\n")
    makers = {
        "ours": lambda: run_ours("ours, 12 parameters", *whole, options),
        "disc": lambda: run_ours("ours, the scene disc, 11 parameters", *make_disc(), options),
        "integrated": lambda: run_ours("ours, fluxes integrated out", *inner, options),
        "emcee": lambda: run_emcee(*whole, options),
        "numpyro": lambda: run_numpyro(*whole, options),
    }
    rows = []
    for name in options.which:
        if name in ("emcee", "numpyro") and importlib.util.find_spec(name) is None:
            say(f"{name}: not installed; pip install 'rbh1-ard[samplers]'\n")
            continue
        rows.append(makers[name]())
        say(f"{describe(rows[-1], options.budget)}\n")
        sys.stdout.flush()
    say("".join(f"{line}\n" for line in ratios(rows)) if rows else "")


if __name__ == "__main__":
    main()
