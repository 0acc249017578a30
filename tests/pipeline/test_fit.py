"""Does a fit of a tiny cube survive, end among the products of its run, and stand before the judge?

Oracles: the scene that the cube was made of; the judge's own gate; the slower posterior, whose
numbers the whitened one has to give.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from precision import x64
from small_fit import DISC_TRUTH, ITEM, TRUTH, write_fit_run

import pipeline
from ard import io
from ard.describe import describe
from ard.errors import ArdError, FormatError
from checks.judging import judge
from checks.result import Status
from manifests.target import load_target
from pipeline import cli, fitted
from pipeline.commands import fit_scene
from pipeline.fit_inputs import inputs_of
from pipeline.graph import build_tasks
from pipeline.infer import fit as fitting
from pipeline.infer.cutout import FLUX_UNIT
from pipeline.infer.fit import Fit, Search, problem_for
from pipeline.infer.residuals import residuals_of
from pipeline.infer.sampler import Starts
from pipeline.infer.scenes import SCENES, scene
from pipeline.infer.target import as_place
from pipeline.plans import stages_for, twin_plan
from pipeline.reduce.apertures.covariance import read_given_noise
from pipeline.store.blocks import SAMPLE, Block, MemoryStore, Run
from pipeline.store.fitstable import export_table
from pipeline.store.netcdf import Content, export_netcdf

pytest.importorskip("blackjax", reason="needs the extra study")
pytest.importorskip("h5netcdf", reason="needs the extra study")

SOURCE = Path(pipeline.__file__).parent.parent
FIRST = "products/inference/t001_chains-jump.nc"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    with x64(True):
        return write_fit_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def chain_store():
    """Four short chains of one parameter, called x."""
    store = MemoryStore()
    store.begin(Run("x", ("speed_kms",), 4, 1, {}))
    rng = np.random.default_rng(1)
    for chain in range(4):
        draws = rng.normal(size=(50, 1))
        store.append("x", Block(chain, 0, SAMPLE, 0, draws, {"lp": draws[:, 0]}, b""))
    return store


def fit(root, *more, model="jump", item=ITEM):
    command = [sys.executable, "-m", "pipeline", "fit", str(root), "--item", item]
    command += ["--model", model, "--json", *map(str, more)]
    return command, {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def finished(root, *more):
    command, environment = fit(root, *more)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def judged(root):
    """What the judge says of the products of fits: by check, each with its statuses."""
    found: dict[str, set[Status]] = {}
    for row in judge(root, waivers=()).results:
        if "chain" in row.product:
            found.setdefault(row.check, set()).add(row.status)
    return found


def test_every_scene_has_fourteen_parameters_at_most_and_says_where_priors_come_from():
    for one in SCENES.values():
        assert len(one.prior.names) <= 14
        assert all(p.source and p.unit for p in one.prior.parameters)
        values = one.prior.named(one.prior.sample(np.random.default_rng(1), 5))
        frame = type("Frame", (), {"kpc_per_arcsec": 7.937})()
        derived = one.derived(values, frame)
        assert set(derived) == set(one.units)
        assert all(value.shape == (5,) for value in derived.values())


def test_the_velocity_jump_is_that_of_the_gas():
    values = {name: np.float64(value) for name, value in TRUTH.items()}
    frame = type("Frame", (), {"kpc_per_arcsec": 7.937})()
    found = scene("jump").derived(values, frame)
    assert found["delta_v_tip_kms"] == 400.0
    assert found["jump_kpc"] == pytest.approx(0.2 * 7.937)


@pytest.mark.parametrize("model", ["jump", "disc"])
def test_the_whitened_posterior_is_the_posterior(run_folder, model):
    cube = io.read(run_folder / "work/t001_cube.fits")
    noise = read_given_noise(run_folder / "work/t001_noise.fits")
    with x64(True):
        target = load_target(run_folder / "test.toml")
        problem = problem_for(cube, noise, target, scene(model))
        assert problem.cutout.noise.count == problem.cutout.data.size - 2
        for seed in (1, 2):
            draws = problem.scene.prior.sample(np.random.default_rng(seed), 1)[0]
            values = problem.scene.prior.named(draws)
            slow = problem.posterior.posterior.evaluate(values)
            found = float(problem.posterior.log_likelihood(values))
            assert found == pytest.approx(float(slow.log_likelihood), abs=1e-5)
            amplitudes = np.asarray(problem.posterior.amplitudes(values))
            assert amplitudes == pytest.approx(np.asarray(slow.amplitudes), rel=1e-5, abs=1e-5)


def test_what_is_exported_of_the_likelihood_and_left_of_the_data(run_folder):
    """Oracles: the posterior's own ln L, and chi2 of the slower one, from the residuals alone."""
    cube = io.read(run_folder / "work/t001_cube.fits")
    noise = read_given_noise(run_folder / "work/t001_noise.fits")
    with x64(True):
        problem = problem_for(cube, noise, load_target(run_folder / "test.toml"), scene("jump"))
        content = problem.content()
        draws = problem.scene.prior.sample(np.random.default_rng(3), 2)
        found = content.log_likelihood(draws)
        values = problem.scene.prior.named(draws[1])
        expected = float(problem.posterior.log_likelihood(values))
        # Models are in single precision, and compiled or not they are rounded elsewhere.
        assert found["cube"][1] == pytest.approx(expected, abs=1e-4)
        told = content.groups["spaxels"]
        assert found["spaxels"].shape == (2, len(told)) == (2, 25)
        assert content.total == ("cube",)
        assert sum(block["n_voxel"] for block in told) == problem.cutout.noise.count
        assert told[0] == {"y": [0, 2], "x": [0, 2], "n_voxel": 4 * len(problem.cutout.data)}

        left = residuals_of(problem, values)
        white = np.asarray(problem.cutout.noise.whiten((left.data - left.model) / FLUX_UNIT))
        slow = problem.posterior.posterior.evaluate(values)
        assert np.square(white).sum() == pytest.approx(float(slow.chi2), rel=1e-6)
        assert left.lines == {"Halpha": pytest.approx(0.6564632 * 1.964)}
        assert (left.y, left.x) == (0, 0)
        assert np.array_equal(left.channels, problem.cutout.observed.channels)


# ln |d value / d z| of the maps of docs/chains.md, from the value.
JACOBIANS = {
    "affine": lambda v, shift, scale: np.log(scale) + 0.0 * v,
    "logit": lambda v, low, high: np.log((v - low) * (high - v) / (high - low)),
    "log": lambda v, low, scale: np.log(v - low),
    "log_below": lambda v, high, scale: np.log(high - v),
    "log_scaled": lambda v, scale, power: np.log(power * v),
    "logit_log": lambda v, low, high: np.log(
        v * np.log(v / low) * np.log(high / v) / np.log(high / low)
    ),
}


def test_what_lp_is_follows_from_the_file_alone(run_folder, tmp_path):
    """Oracle: prior, likelihood and the maps that the file describes, but for a constant."""
    cube = io.read(run_folder / "work/t001_cube.fits")
    noise = read_given_noise(run_folder / "work/t001_noise.fits")
    store, path = MemoryStore(), tmp_path / "t001_chains-jump.nc"
    with x64(True):
        problem = problem_for(cube, noise, load_target(run_folder / "test.toml"), scene("jump"))
        prior, target = problem.scene.prior, problem.posterior.target
        store.begin(Run("x", prior.names, 2, 1, {}, prior.describe()))
        for chain in range(2):
            draws = prior.sample(np.random.default_rng(chain), 2)
            lp = [target.log_density(as_place(z), target.data) for z in prior.unconstrain(draws)]
            stats = {"lp": np.array(lp, np.float64)}
            store.append("x", Block(chain, 0, SAMPLE, 0, draws, stats, b""))
        export_netcdf(store, "x", path, problem.content())
    export_table(path, tmp_path / "table.fits")
    rows = Table.read(tmp_path / "table.fits", hdu="POSTERIOR")
    header = fits.getheader(tmp_path / "table.fits", "POSTERIOR")
    assert "ln |d value / d z|" in " ".join(str(header["COMMENT"]).split())
    with h5py.File(path) as file:
        assert "ln |d value / d z|" in file["sample_stats/lp"].attrs["comment"]
        told = json.loads(file.attrs["prior_spec"])
        left = file["sample_stats/lp"][:] - file["log_likelihood_total/cube"][:]
        in_table = np.array(rows["lp"] - rows["log_likelihood_cube"])
        for name, row in told.items():
            form = dict(row["transform"])
            kind = form.pop("map")
            value = file[f"posterior/{name}"][:].astype(float)
            left -= file[f"log_prior/{name}"][:] + JACOBIANS[kind](value, **form)
            in_table -= rows[f"log_prior_{name}"] + JACOBIANS[kind](
                rows[name].astype(float), **form
            )
    # Models and parameters are in single precision; without the maps it varies by several.
    np.testing.assert_allclose(left, left[0, 0], atol=1e-3)
    np.testing.assert_allclose(in_table, left.ravel(), atol=1e-12)


def test_other_lines_are_never_fitted_in_place_of_a_scenes_own(run_folder):
    cube = io.read(run_folder / "work/t001_cube.fits")
    noise = read_given_noise(run_folder / "work/t001_noise.fits")
    target = load_target(run_folder / "test.toml")
    elsewhere = dataclasses.replace(scene("jump"), groups=("siii",))
    with pytest.raises(ArdError, match="covers no line that the scene is fitted to"):
        problem_for(cube, noise, target, elsewhere)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (["--model", "jmp"], 2, "unknown model 'jmp'"),
        (["--item", "t009"], 3, "unknown item 't009'"),
        (["--store", "mysql://x/y"], 3, "not the address of a database"),
        (["--store", "postgresql://127.0.0.1:1/chains"], 3, "database"),
        (["--chains", "0"], 2, "chains"),
        (["--chains", "3"], 2, "chains >= 4"),
        (["--warmup", "59"], 2, "60 draws"),
        (["--starts", "0"], 2, "starts"),
        (["--seed", str(2**63)], 2, "from 0 to 4294967295"),
        (["--seed", str(2**32)], 2, "from 0 to 4294967295"),
        (["--seed", "-1"], 2, "from 0 to 4294967295"),
    ],
)
def test_what_cannot_be_fitted_is_said(run_folder, change, code, words):
    given = {"--item": ITEM, "--model": "jump", change[0]: change[1]}
    arguments = ["fit", str(run_folder), *(text for pair in given.items() for text in pair)]
    with x64(True):
        found = CliRunner().invoke(cli.cli, arguments)
    assert found.exit_code == code, found.output
    assert words in found.stderr


def test_a_run_without_noise_or_end_is_refused(run_folder, tmp_path):
    arguments = ["fit", str(tmp_path), "--item", ITEM, "--model", "jump"]
    found = CliRunner().invoke(cli.cli, arguments)
    assert found.exit_code == 3
    assert "no finished run" in found.stderr
    (tmp_path / ".rbh1").mkdir()
    (tmp_path / "products").mkdir()
    for name in (".rbh1/plan.json", "products/run.json"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    (tmp_path / "work").mkdir()
    (tmp_path / "work/t001_cube.fits").write_bytes(b"")
    found = CliRunner().invoke(cli.cli, arguments)
    assert found.exit_code == 3
    assert "the noise product of the run does not exist" in found.stderr


def test_a_file_of_chains_is_known_by_its_bytes(chain_store, tmp_path):
    whole = tmp_path / "t001_chains-jump.nc"
    content = Content(
        lambda draws: {name: draws[:, i] for i, name in enumerate(chain_store.run("x").parameters)},
        lambda draws: {"cube": draws[:, 0]},
        derived=lambda draws: {"twice": 2.0 * draws[:, 0]},
        derived_units={"twice": "km/s"},
    )
    export_netcdf(chain_store, "x", whole, content)
    assert describe(whole)["kind"] == "chains"
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(FormatError, match="chains is damaged"):
        describe(cut)
    wrong = tmp_path / "wrong.nc"
    wrong.write_text("<html>")
    with pytest.raises(FormatError, match="not what its name promises"):
        describe(wrong)


def test_the_next_run_collects_what_was_fitted(tmp_path):
    (tmp_path / "work/fits").mkdir(parents=True)
    for name in ("t001_chains-jump.nc", "t002_chains-jump.nc", "t001_chains-jump.png", "x.part"):
        (tmp_path / "work/fits" / name).touch()
    found = fitted.products_of(tmp_path, ("t001",))
    names = ["inference/t001_chains-jump.nc", "validation/figures/t001_chains-jump.png"]
    assert sorted(found) == names
    assert fitted.row(names[0]) == {"path": names[0], "kind": "chains", "stage": "fit"}
    plan = twin_plan(tmp_path)
    last = build_tasks(plan, stages_for(plan.source))[-1]
    assert set(names) <= {row["path"] for row in last.values["rows"]}
    assert last.inputs["products"][names[0]] == tmp_path / "work/fits/t001_chains-jump.nc"
    assert last.outputs["products"][names[0]] == tmp_path / "products" / names[0]


def test_a_fit_goes_on_with_the_starts_of_its_store(run_folder, tmp_path, monkeypatch):
    """As on another machine, whose search ends a last digit off, and which has no file of it."""
    root = shutil.copytree(run_folder, tmp_path / "run")
    rng = np.random.default_rng(1)
    first = Starts(rng.normal(size=(4, 11)), np.eye(11))
    other = Starts(first.z * (1.0 + 2e-16), first.inverse_mass)
    begun = []

    def sampled(problem, fit, starts, run, store, **_):
        store.begin(run)
        begun.append(starts.z)
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "sample_problem", sampled)
    address = f"sqlite:///{tmp_path}/shared.db"
    for starts in (first, other):
        search = Search(starts, ({"share": 1.0, "n_found": 3},))
        monkeypatch.setattr(fitting, "find_starts", lambda *_, found=search: found)
        with x64(True), pytest.raises(KeyboardInterrupt):
            fit_scene.fit_item(inputs_of(root, ITEM), "jump", Fit(), store_url=address)
        shutil.rmtree(root / ".rbh1" / "fits", ignore_errors=True)
    assert np.array_equal(*begun)
    assert np.array_equal(begun[0], first.z)


@pytest.mark.slow
def test_a_killed_fit_goes_on_and_passes_and_one_that_is_cut_short_fails(tmp_path):
    with x64(True):
        root = write_fit_run(tmp_path / "run")
    options = ("--draws", 600, "--warmup", 150, "--most", 1800)
    command, environment = fit(root, *options)
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        until = time.monotonic() + 600.0
        while "sample 0/" not in log.read_text():  # another phase is always told of
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        time.sleep(1.0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (root / FIRST).exists()
    shutil.rmtree(root / ".rbh1" / "fits")  # as on another machine; the store has all
    second = finished(root, *options)
    assert second.returncode == 0, second.stderr
    assert "warmup" not in second.stderr
    assert "search" not in second.stderr
    facts = json.loads(second.stdout)
    summary = json.loads((root / "products/inference/t001_chainsummary-jump.json").read_text())
    assert summary["modes"] == facts["modes"]
    assert sum(mode["n_chain"] for mode in summary["modes"]) == 4
    for name, value in {**TRUTH, "delta_v_tip_kms": 400.0}.items():
        row = facts["scalars"][name]
        assert abs(row["mean"] - value) < 3.0 * row["sd"], name
    said = judged(root)
    assert {"convergence.rhat", "convergence.agrees", "structure.as_written"} <= set(said)
    assert set().union(*said.values()) == {Status.PASSED}, said
    before = (root / FIRST).read_bytes()
    assert finished(root, *options).returncode == 0
    assert (root / FIRST).read_bytes() == before

    short = finished(root, "--draws", 40, "--warmup", 150, "--most", 40, "--seed", 2)
    assert short.returncode == 1, short.stderr
    assert "the gate is not passed" in short.stderr
    said = judged(root)
    assert said["convergence.ess_bulk"] == {Status.FAILED}
    assert said["structure.schema"] == {Status.PASSED}


@pytest.mark.slow
def test_chains_in_two_processes_give_the_same_file(run_folder, tmp_path):
    options = ("--draws", 20, "--warmup", 60, "--most", 20)
    found = []
    for jobs in (1, 2):
        root = shutil.copytree(run_folder, tmp_path / f"run{jobs}")
        done = finished(root, *options, "--jobs", jobs)
        assert done.returncode == 1, done.stderr  # the gate wants more
        found.append((root / FIRST).read_bytes())
    assert found[0] == found[1]


@pytest.mark.long
def test_a_disc_is_sampled_to_the_gate_and_holds_its_truth(tmp_path):
    with x64(True):
        root = write_fit_run(tmp_path / "run", "disc")
    command, environment = fit(root, "--draws", 400, "--warmup", 200, "--most", 1600, model="disc")
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert found.returncode == 0, found.stderr
    facts = json.loads(found.stdout)
    assert facts["verdict"] == "PASSED"
    assert facts["rhat"] < 1.01
    assert facts["ess"] > 400
    assert facts["chi2_red"] == pytest.approx(1.0, abs=0.15)
    rows = facts["scalars"]
    for name, value in DISC_TRUTH.items():
        assert abs(rows[name]["mean"] - value) < 3.0 * rows[name]["sd"], name
    # Not what the prior says already: 0.15 twice, and 0.04.
    assert max(rows[name]["sd"] for name in ("along_arcsec", "across_arcsec")) < 0.1
    assert rows["height_arcsec"]["sd"] < 0.025
    # What the field does not show is not known: the radius keeps the width of its prior.
    assert rows["radius_arcsec"]["sd"] == pytest.approx(3.0 / 12.0**0.5, rel=0.1)
