"""How do our cubes compare with those of other codes, in accuracy and in time?

One scene, one run, one table: ours, KinMS, GalPaK3D, DysmalPy and a plain sum in numpy. The others
get an environment of their own, made on the first run; one that cannot be installed or crashes has
a row that says why. All use the same cores. Times are of one cube; what a code computes once for
all cubes is left out.

    python benchmarks/bench_peers.py [--peers FOLDER] [--threads 2] [--write FILE]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peer_scene
from peer_scene import GALAXY, LINE_SETS, Case
from peer_table import Row, header, table, targets
from peers.clock import measure

from pipeline import runtime

HERE = Path(__file__).resolve().parent
RUNS = 15
FEWER = 16  # depths that are still far more exact than any of the others
LIMIT_S = 900
HEIGHT, SCALE = GALAXY["height_arcsec"], GALAXY["scale_arcsec"]
GALPAK_HALF = 1.6721 * SCALE  # its b_n = 1.9992 n - 0.3271
GALPAK_THICK = 0.88 * HEIGHT  # its thickness over the scale of sech2
SERSIC_HALF = 1.67835 * SCALE
TABLE = np.linspace(0.0, 12.0, 256)


@dataclass(frozen=True)
class Peer:
    """A setting of another code, and which exact cube it is held against."""

    key: str
    name: str
    code: str
    setting: str
    case: Case
    note: str
    job: dict[str, Any]


def peers() -> list[Peer]:
    """Give all settings that are measured."""
    galpak = {"aspect": GALPAK_THICK / GALPAK_HALF, "half_light_arcsec": GALPAK_HALF}
    sampled = "one sample a spaxel; PSF and channels sampled, not integrated"
    rows = []
    for clouds in (1e5, 5e5):
        for lines in (1, 8):
            job = {"clouds": clouds, "even": True, "lines": lines, "runs": RUNS}
            rows.append(Peer(
                f"kinms {clouds:.0e} {lines}", "KinMS", "kinms", f"{clouds:.0e} clouds",
                Case(lines=lines, law="exponential", even=True),
                "not the same cube: one width in wavelength for all lines", job,
            ))  # fmt: skip
    for fine, channels in ((1, "one channel each"), (5, "5 channels for one, summed")):
        for convolved in (True, False):
            what = "convolved" if convolved else "no PSF, no LSF"
            case = Case(ale=GALPAK_THICK, sharp=not convolved, lsf=convolved)
            job = {**galpak, "convolved": convolved, "fine": fine, "runs": RUNS}
            rows.append(Peer(f"galpak {what} {fine}", "GalPaK3D", "galpak", f"{what}, {channels}",
                             case, sampled, job))  # fmt: skip
    for fine, runs in ((1, 5), (5, 3), (15, 3)):
        rows.append(Peer(
            f"dysmalpy {fine}", "DysmalPy", "dysmalpy",
            f"oversampling 2, {fine} channel{'s' * (fine > 1)} for one",
            Case(law="gaussian"), "sampled PSF" if fine > 1 else "light lost between channels",
            {"oversample": 2, "half_light_arcsec": SERSIC_HALF, "fine": fine, "runs": runs},
        ))  # fmt: skip
    rows.append(Peer("plain", "plain numpy", "plain", "float64, oversampling 2, 64 depths", Case(),
                     "64 equal depths", {"oversample": 2, "depths": 64, "runs": 5}))  # fmt: skip
    return rows


def prepare_environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make the peers' environment if it is not there; give its Python, and what failed and why."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pins = dict(re.findall(r"^(\w+)==(\S+)$", (HERE / "peers.txt").read_text(), flags=re.M))
    failed = {}
    for name, version in pins.items():
        look = f"import importlib.metadata as m; print(m.version({name!r}))"
        found = subprocess.run([python, "-c", look], capture_output=True, text=True, check=False)
        if found.stdout.strip() == version:
            continue
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                   "--constraint", HERE / "peers.txt", f"{name}=={version}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            failed[name] = "does not install: " + last_line(done.stderr)
    return python, failed


def last_line(text: str) -> str:
    """Give the last line that says something, for a cell of the table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no message")[:150].replace("|", "/")


def run_peer(peer: Peer, python: Path, folder: Path) -> dict[str, np.ndarray] | str:
    """Let a code make its cubes in a process of its own; give its arrays, or why there are none."""
    source, target = folder / "job.json", folder / f"{peer.key}.npz".replace(" ", "-")
    source.write_text(json.dumps(peer_scene.job(**peer.job)))
    script = HERE / "peers" / f"run_{peer.code}.py"
    try:
        done = subprocess.run(
            [python, script, source, target],
            cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT_S} s"
    if done.returncode:
        return "crashes: " + last_line(done.stderr)
    with np.load(target) as file:
        return dict(file)


class Ours:
    """Our cubes in float32, compiled once, timed as often as asked, never between other codes'."""

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        self.rows: list[Row] = []
        self.cubes: dict[str, np.ndarray] = {}
        self._calls = []
        for lines, depths in [*((lines, 32) for lines in LINE_SETS), (8, FEWER)]:
            case = Case(lines=lines, depths=depths)
            make, disc = case.function(), case.disc(jnp.float32, TABLE)
            fluxes = jnp.ones(lines, jnp.float32)
            data = jax.jit(make)(disc, fluxes)

            def chi2(disc: Any, fluxes: Any, make: Any = make, data: Any = data) -> Any:
                return jnp.sum((make(disc, fluxes) - data * 1.01) ** 2)

            kinds = {"cube": make, "value and gradient": jax.value_and_grad(chi2, argnums=(0, 1))}
            for kind, function in kinds.items():
                code = jax.jit(function).lower(disc, fluxes).compile()
                setting = f"float32, oversampling 2, {depths} depths: {kind}"
                row = Row("ours", setting, lines, len(data))
                if kind == "cube":
                    self.cubes[f"{setting}, {lines}"] = np.asarray(data, np.float64)
                row.scratch_mb = code.memory_analysis().temp_size_in_bytes / 1e6
                self.rows.append(row)
                self._calls.append((row, code, disc, fluxes))

    def time(self) -> None:
        """Add times to every row."""
        import jax

        for row, code, disc, fluxes in self._calls:

            def call(code: Any = code, disc: Any = disc, fluxes: Any = fluxes) -> None:
                jax.block_until_ready(code(disc, fluxes))

            row.times = np.append(row.times, measure(call, RUNS)[1])

    def judge(self) -> None:
        """Add the error of every row; wants float64."""
        for row in self.rows:
            if row.setting.endswith("cube"):
                exact = peer_scene.exact_cube(Case(lines=int(row.lines)))
                row.error = max_error(self.cubes[f"{row.setting}, {row.lines}"], exact)
                row.note = "sub-spaxels and depths"


def max_error(cube: np.ndarray, exact: np.ndarray, *, same_light: bool = False) -> float:
    """Give the largest error, as part of the peak, of a cube that may first get the same light."""
    scaled = cube * (exact.sum() / cube.sum()) if same_light else cube
    return float(np.abs(scaled - exact).max() / exact.max())


def clouds_noise(found: dict[str, np.ndarray], case: Case) -> tuple[float, float]:
    """Give rms and largest error of KinMS against what it would make of infinitely many clouds.

    That is the exact cube without optics, convolved with KinMS's own sampled beam. The rms is over
    voxels brighter than 1 % of the peak.
    """
    from scipy.signal import convolve2d

    sharp = peer_scene.exact_cube(Case(law=case.law, even=case.even, sharp=True))
    beam = found["beam"] / found["beam"].sum()
    exact = np.stack([convolve2d(plane, beam, mode="same") for plane in sharp])
    off = (found["cube"] * (exact.sum() / found["cube"].sum()) - exact) / exact.max()
    bright = exact > 0.01 * exact.max()
    return float(np.sqrt((off[bright] ** 2).mean())), float(np.abs(off).max())


def judge_peer(peer: Peer, found: dict[str, np.ndarray] | str) -> Row:
    """Make the row of another code; wants float64."""
    if isinstance(found, str):
        return Row(peer.name, peer.setting, peer.case.lines, note=f"not measured: {found}")
    exact, cube = peer_scene.exact_cube(peer.case), found["cube"]
    lines, made = peer.case.lines, len(found["cube"]) * peer.job.get("fine", 1)
    row = Row(peer.name, peer.setting, lines, made, found["times"], note=peer.note)
    cube = cube[peer_scene.window_places(peer.case.numbers)]
    row.error = max_error(cube, exact, same_light=peer.code != "plain")
    if peer.code == "kinms" and lines == 1:
        rms, largest = clouds_noise(found, peer.case)
        row.note = f"clouds' noise alone, rms {rms:.1e}; with its sampled PSF {row.error:.1e}"
        row.error = largest
    return row


def main() -> None:
    """Measure all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".cache" / "peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    # Before JAX is imported, which counts the cores that it may use; other processes inherit both.
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(len(cores))
    python, failed = prepare_environment(options.peers.resolve())
    runtime.start("float32")
    ours, loads = Ours(), [os.getloadavg()[0]]
    ours.time()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for peer in peers():
            ours_too = peer.code == "plain"
            found = failed.get(peer.code) or run_peer(
                peer, Path(sys.executable) if ours_too else python, Path(folder)
            )
            results.append((peer, found))
    loads.append(os.getloadavg()[0])
    ours.time()
    loads.append(os.getloadavg()[0])
    runtime.start("float64")
    ours.judge()
    rows = ours.rows + [judge_peer(peer, found) for peer, found in results]
    text = header(len(cores), loads) + table(rows) + "\nTargets\n\n" + targets(rows)
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
