"""What does the full posterior of a spaxel cost, and how does that compare with other ways to it?

On the same simulated spaxels, in one run: independent draws by quadrature, emcee (32 walkers, one
spaxel after another, its likelihood vectorised over the walkers), and lmfit, which gives a best fit
and errors only. CPU seconds, and effective draws of the velocity for each of them.
Run: python benchmarks/bench_spaxel.py [--spaxels 1000]; emcee is in the extra "samplers".
With --processes 2 nothing is compared: all spaxels, those of noise alone among them, are drawn from
in so many processes, and the seconds are those on the wall, start of the processes included.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.linalg import toeplitz

from ard.errors import ArdError
from ard.maps import Flag
from manifests import load_target
from pipeline.infer.spaxel.posterior import Posterior, fit
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.spectra import Scales, Spectra, continuum
from pipeline.infer.spaxel.templates import light
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import Response
from pipeline.lineset import LineSet, line_set
from pipeline.reduce.instruments import lsf_for

WAVE = 0.9703180286 + 0.000636 * np.arange(1447)
EDGES = np.append(WAVE - 0.000318, WAVE[-1] + 0.000318)
META = {"INSTRUME": "NIRSPEC", "GRATING": "G140M"}
PRIOR = Prior()
NUMERICS = Numerics(n_draw=1000)
N_LMFIT, N_EMCEE = 10, 2
WALKERS, STEPS, BURN = 32, 6000, 1500
GROUPS = {"oiii": ("oiii",), "halpha": ("halpha",), "every": ("oiii", "oi", "halpha", "sii")}


def tied(groups: tuple[str, ...]) -> LineSet:
    """Tie the lines of some groups of RBH-1 to one velocity and width."""
    target, lsf = load_target("rbh1"), lsf_for(META, WAVE)
    if lsf is None:
        raise ArdError("the line-spread function of G140M is not declared")
    lines = [line for name in groups for line in target.group_lines(name)]
    return line_set(lines, target.redshift, EDGES, lsf)


def response_of(lines: LineSet) -> Response:
    """Say which channels the lines reach."""
    redshift = load_target("rbh1").redshift
    return Response.of(EDGES, lines, cut(EDGES, lines, redshift, 1600.0), redshift)


def simulate(response: Response, n: int) -> tuple[Spectra, Scales]:
    """Simulate spaxels, of which a fifth have no line and the others a S/N of 1 to 100."""
    rng = np.random.default_rng(3149)
    size = response.windows.channels.size
    correlation = toeplitz(np.r_[1.0, 0.2, 0.03, np.zeros(size - 3)])
    sigma, good = rng.uniform(0.8, 1.2, (n, size)), rng.random((n, size)) > 0.02
    empty = Spectra(np.zeros((n, size)), sigma, good, correlation)
    scales = Scales.of(empty, response, PRIOR)
    height = 10 ** rng.uniform(0.0, 2.0, (n, 1)) * rng.uniform(0.2, 1.0, (n, scales.flux.size))
    height[::5] = 0.0
    velocity, width = rng.uniform(-600, 50, n), rng.uniform(20, 300, n)
    lines = np.einsum(
        "mnk,mk->mn", light(response, velocity, width**2), height * scales.flux / PRIOR.flux_snr
    )
    noise = rng.normal(size=(n, size)) @ np.linalg.cholesky(correlation).T * sigma
    return Spectra(lines + 30.0 + noise, sigma, good, correlation), scales


class OneSpaxel:
    """The posterior density of one spaxel in all its parameters, for samplers and fitters."""

    def __init__(self, spectra: Spectra, scales: Scales, response: Response, row: int) -> None:
        good = spectra.good[row]
        self.response, self.good, self.scales = response, good, scales
        sigma = spectra.sigma[row, good]
        lower = np.linalg.cholesky(spectra.correlation[np.ix_(good, good)])
        self.whitener = np.linalg.inv(lower) / sigma
        self.data = self.whitener @ spectra.flux[row, good]
        self.terms = (self.whitener @ continuum(response.windows)[good]).T
        self.count = scales.flux.size

    def residual(self, points: np.ndarray) -> np.ndarray:
        """Give whitened residuals at points (velocity, width, fluxes, continuum)."""
        shapes = light(self.response, points[:, 0], points[:, 1] ** 2)[:, self.good]
        fluxes = points[:, 2 : 2 + self.count] * self.scales.flux
        model = np.einsum("mnk,mk->mn", shapes, fluxes) @ self.whitener.T
        return np.asarray(model + points[:, 2 + self.count :] @ self.terms - self.data)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Give ln of likelihood times prior; -inf outside of the prior."""
        level = points[:, 2 + self.count :] / self.scales.continuum
        fluxes = points[:, 2 : 2 + self.count]
        inside = np.abs(points[:, 0]) < PRIOR.velocity_max_kms
        inside &= (points[:, 1] > 0) & (points[:, 1] < PRIOR.sigma_max_kms)
        inside &= (fluxes > 0).all(axis=1)
        safe = np.where(inside[:, None], points, np.abs(points[:1]))
        square = (self.residual(safe) ** 2).sum(axis=1) + (level**2).sum(axis=1)
        value = -0.5 * (square + (fluxes**2).sum(axis=1)) + PRIOR.log_sigma(safe[:, 1])
        return np.where(inside, value, -np.inf)


def by_emcee(spaxels: list[OneSpaxel], starts: list[np.ndarray]) -> dict[str, Any]:
    """Sample with emcee from the posterior's own draws as starts: no burn-in is lost."""
    if importlib.util.find_spec("emcee") is None:
        return {"skipped": "emcee is not installed: pip install 'rbh1-ard[samplers]'"}
    import emcee

    begun, effective, tau = time.process_time(), [], []
    for spaxel, start in zip(spaxels, starts, strict=True):
        sampler = emcee.EnsembleSampler(WALKERS, start.shape[1], spaxel.log_density, vectorize=True)
        sampler.random_state = np.random.RandomState(7).get_state()
        sampler.run_mcmc(start, STEPS)
        worst = float(np.max(sampler.get_autocorr_time(discard=BURN, tol=0)))
        tau.append(worst)
        effective.append(WALKERS * (STEPS - BURN) / worst)
    spent = time.process_time() - begun
    return {
        "cpu_s_per_spaxel": round(spent / len(spaxels), 2),
        "autocorrelation_steps": [round(t) for t in tau],
        "ess_per_cpu_s": round(sum(effective) / spent, 2),
    }


def by_lmfit(spaxels: list[OneSpaxel], starts: list[np.ndarray]) -> dict[str, Any]:
    """Fit with lmfit, from a draw of the posterior: one start, no search."""
    if importlib.util.find_spec("lmfit") is None:
        return {"skipped": "lmfit is not installed: pip install 'rbh1-ard[test]'"}
    import lmfit

    begun = time.process_time()
    for spaxel, start in zip(spaxels, starts, strict=True):
        parameters = lmfit.Parameters()
        for k, value in enumerate(start[0]):
            parameters.add(f"p{k}", float(value), min=0.0 if 1 <= k < 2 + spaxel.count else -np.inf)

        def residual(p: Any, spaxel: OneSpaxel = spaxel) -> np.ndarray:
            return spaxel.residual(np.array([list(p.valuesdict().values())]))[0]

        lmfit.minimize(residual, parameters, scale_covar=False)
    return {"cpu_ms_per_spaxel": round(1e3 * (time.process_time() - begun) / len(spaxels), 1)}


def points_of(found: Posterior, response: Response, row: int) -> np.ndarray:
    """Give draws of a spaxel as points of `OneSpaxel`."""
    draws = found.draws
    if draws is None:
        raise ArdError("the draws were not kept")
    ratio = response.lines.ratio
    own = [2 + int(np.flatnonzero(ratio[:, k])[0]) for k in range(ratio.shape[1])]
    first = [ratio[place - 2, k] for k, place in enumerate(own)]
    lines = 2 + len(response.lines.names)
    fluxes = draws[row][:, own] / np.array(first) / found.scales.flux
    return np.concatenate([draws[row][:, :2], fluxes, draws[row][:, lines:]], axis=1)


def measure(groups: tuple[str, ...], n: int) -> dict[str, Any]:
    """Measure all ways on one set of lines."""
    lines = tied(groups)
    response = response_of(lines)
    spectra, scales = simulate(response, n)
    begun, clock = time.process_time(), time.perf_counter()
    found = fit(spectra, response, PRIOR, NUMERICS, scales=scales, keep_draws=True)
    spent, wall = time.process_time() - begun, time.perf_counter() - clock
    passing = found.flag & Flag.BELOW_GATE == 0
    bright = np.argsort(np.abs(found.log_bayes - 50.0))[: max(N_LMFIT, N_EMCEE)]
    spaxels = [OneSpaxel(spectra, scales, response, int(row)) for row in bright]
    starts = [points_of(found, response, int(row))[:WALKERS] for row in bright]
    emcee = by_emcee(spaxels[:N_EMCEE], starts[:N_EMCEE])
    rate = found.ess.sum() / spent
    return {
        "lines": len(lines.names),
        "fluxes": lines.n_free,
        "channels": int(response.windows.channels.size),
        "quadrature": {
            "spaxels": n,
            "draws": NUMERICS.n_draw,
            "cpu_ms_per_spaxel": round(1e3 * spent / n, 2),
            "wall_s": round(wall, 1),
            "cpu_s_per_1000_spaxels": round(1e3 * spent / n, 1),
            "ess_per_cpu_s": round(rate),
            "passing": f"{int(passing.sum())} of {n}",
        },
        "emcee": emcee,
        "lmfit": by_lmfit(spaxels[:N_LMFIT], starts[:N_LMFIT]),
        "ess_rate_over_emcee": round(rate / emcee["ess_per_cpu_s"])
        if "skipped" not in emcee
        else None,
    }


def _share(task: tuple[tuple[str, ...], int, int, int]) -> tuple[int, int, int]:
    """Draw from every spaxel of a share; give how many there are, pass, and have no line."""
    groups, n, first, last = task
    response = response_of(tied(groups))
    spectra, scales = simulate(response, n)
    rows = np.arange(first, last)
    found = fit(
        *(spectra.take(rows), response, PRIOR, NUMERICS),
        scales=scales,
        streams=list(rows),
        keep_draws=True,
    )
    if found.draws is None or found.draws.shape[:2] != (rows.size, NUMERICS.n_draw):
        raise ArdError("draws are missing")
    passing = found.flag & Flag.BELOW_GATE == 0
    return rows.size, int(passing.sum()), int((rows % 5 == 0).sum())


def at_once(groups: tuple[str, ...], n: int, processes: int) -> dict[str, Any]:
    """Draw from all spaxels in some processes, and look at the clock on the wall."""
    ends = np.linspace(0, n, processes + 1).astype(int)
    tasks = [(groups, n, int(low), int(high)) for low, high in pairwise(ends)]
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # threads of both would wait for one another
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.map(_share, tasks, chunksize=1)
    wall = time.perf_counter() - begun
    spaxels, passing, noise = (sum(column) for column in zip(*done, strict=True))
    return {
        "spaxels": spaxels,
        "of noise alone": noise,
        "draws of each": NUMERICS.n_draw,
        "passing": f"{passing} of {spaxels}",
        "processes": processes,
        "wall_s": round(wall, 1),
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaxels", type=int, default=1000, help="of each set of lines")
    parser.add_argument("--processes", type=int, help="draw only, in so many processes")
    options = parser.parse_args()
    spaxels, processes = options.spaxels, options.processes
    if processes:
        report = {name: at_once(groups, spaxels, processes) for name, groups in GROUPS.items()}
    else:
        report = {name: measure(groups, spaxels) for name, groups in GROUPS.items()}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
