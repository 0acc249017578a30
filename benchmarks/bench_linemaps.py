"""How long does the line fit of a whole cube take, and how much faster is it than spaxel by spaxel?

Both ways are timed in one run on the same spectra: the vectorised fit of 2597 spaxels with eight
tied lines, and scipy.optimize.curve_fit on a sample of them.
Run: python benchmarks/bench_linemaps.py [--spaxels 2597] [--sample 20]
"""

import argparse
import json
import sys
import time

import numpy as np
from scipy.optimize import curve_fit

from manifests import Target, load_target
from pipeline.linemaps import linefit
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import Response
from pipeline.lineset import LineSet, line_set
from pipeline.reduce.instruments import lsf_for

N_SPAXELS = 53 * 49
REPEATS = 3
LINES = ("OIII4959", "OIII5007", "OI6300", "NII6548", "Halpha", "NII6583", "SII6716", "SII6731")
# The wavelength axis of the Level-3 cubes of GO-3149 (reference/science.md section 5).
WAVE = 0.9703180286 + 0.000636 * np.arange(1447)
EDGES = np.append(WAVE - 0.000318, WAVE[-1] + 0.000318)
META = {"INSTRUME": "NIRSPEC", "GRATING": "G140M"}


def lines_of(target: Target) -> LineSet:
    """Tie the eight lines of cubes.md section 3b to one velocity and width."""
    wanted = [line for line in target.lines if line.name in LINES]
    return line_set(wanted, target.redshift, EDGES, lsf_for(META, WAVE))


def spectra(lines: LineSet, redshift: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make noisy spectra, shape (n, n_wave), with their velocities and widths."""
    rng = np.random.default_rng(1)
    velocity, sigma = rng.uniform(-600, 50, n), rng.uniform(30, 200, n)
    window = cut(EDGES, lines, redshift, linefit.Config().window_kms)
    response = Response.of(EDGES, lines, window, redshift)
    amplitudes = rng.uniform(0.5, 3.0, (n, lines.n_free, 1))
    flux = rng.normal(size=(n, WAVE.size)) * 100.0 + 50.0
    flux[:, window.channels] += (response.templates(velocity, sigma**2)[0] @ amplitudes)[..., 0]
    return flux, velocity, sigma


def one_by_one(flux: np.ndarray, lines: LineSet, redshift: float) -> tuple[float, np.ndarray]:
    """Fit spectra with curve_fit; give seconds for one spaxel and the velocities."""
    window = cut(EDGES, lines, redshift, linefit.Config().window_kms)
    response = Response.of(EDGES, lines, window, redshift)
    columns = np.zeros((window.channels.size, 2 * len(window.blocks)))
    for k, part in enumerate(window.blocks):
        columns[part, 2 * k] = 1.0
        columns[part, 2 * k + 1] = np.linspace(-1, 1, part.stop - part.start)

    def model(_: np.ndarray, velocity: float, sigma: float, *linear: float) -> np.ndarray:
        shape = response.templates(np.array([velocity]), np.array([sigma**2]))[0][0]
        return shape @ np.array(linear[: lines.n_free]) + columns @ np.array(linear[lines.n_free :])

    start = [-250.0, 100.0, *([1.0] * lines.n_free), *([0.0] * columns.shape[1])]
    clock, found = time.perf_counter(), []
    for row in flux[:, window.channels]:
        best, _ = curve_fit(model, WAVE[window.channels], row, start, np.full(row.shape, 100.0))
        found.append(best[0])
    return (time.perf_counter() - clock) / len(flux), np.array(found)


def main() -> None:
    """Print the timings as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaxels", type=int, default=N_SPAXELS, help="fitted at once")
    parser.add_argument("--sample", type=int, default=20, help="of these, fitted one by one")
    options = parser.parse_args()
    n, n_sample = options.spaxels, min(options.sample, options.spaxels)
    target = load_target("rbh1")
    lines, redshift = lines_of(target), target.redshift
    flux, velocity, _ = spectra(lines, redshift, n)
    ivar = np.full(flux.shape, 1e-4)
    times = []
    for _ in range(REPEATS):
        clock = time.perf_counter()
        fit = linefit.fit(flux, ivar, EDGES, lines, redshift, linefit.Config())
        times.append(time.perf_counter() - clock)
    single, sample = one_by_one(flux[:n_sample], lines, redshift)
    same = np.abs(sample - fit.velocity[:n_sample]) < 0.1 * fit.velocity_err[:n_sample]
    report = {
        "spaxels": n,
        "lines": len(lines.names),
        "channels": int(cut(EDGES, lines, redshift, linefit.Config().window_kms).channels.size),
        "cube_ms_min": round(1e3 * min(times)),
        "cube_ms_median": round(1e3 * float(np.median(times))),
        "failed": int((fit.status == linefit.Status.FAILED).sum()),
        "velocity_rms_kms": round(float(np.nanstd(fit.velocity - velocity)), 2),
        "curve_fit_ms_per_spaxel": round(1e3 * single, 2),
        "curve_fit_s_per_cube": round(single * n, 1),
        "ratio": round(single * n / min(times)),
        "same_velocity_in_sample": f"{int(same.sum())} of {n_sample}",
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
