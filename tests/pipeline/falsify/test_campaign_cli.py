"""What does `rbh1 campaign` say, and with which exit code does it end?

Oracles: the documented exit codes; the toy campaign computed one by one; the run folder's digests.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner
from toy_campaign import Toy, serial

import pipeline
from ard import io
from ard.errors import ArdError
from manifests.instruments import INSTRUMENTS_FILE
from pipeline import cli
from pipeline.code import _sources as sources
from pipeline.commands import campaign_run, campaign_science
from pipeline.falsify import tasks
from pipeline.falsify.campaign.broker import BrokerAwayError
from pipeline.falsify.campaign.ledger import open_ledger
from pipeline.falsify.campaign.settings import (
    CHAINS,
    CODE,
    DYNAMICS,
    LIKELIHOOD,
    present_versions,
)

TARGET = """
[target]
name = "RBH-1"
item = "rbh1"
redshift = 0.964
[target.host]
ra_deg = 40.0
dec_deg = -8.0
[target.cosmology]
h0 = 70.0
om0 = 0.3
[sources.redshift]
source = "here"
evidence = "data"
[sources.host]
source = "here"
evidence = "data"
[sources.cosmology]
source = "here"
evidence = "computed"
[[groups]]
name = "oiii"
title = "[O III]"
[[lines]]
name = "OIII5007"
label = "[O III] 5007"
wave_vac_um = 0.50082
group = "oiii"
source = "here"
"""
NAMES = ("work/t001_cube.fits", "work/t001_noise.fits", "target.toml")


@pytest.fixture
def run_folder(tmp_path, monkeypatch) -> Path:
    """As much of a finished run as `create` and the toy look at."""
    for name in ("RBH1_DATABASE_URL", "RBH1_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "run"
    for name, text in zip(NAMES, ("cube", "noise", TARGET), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".rbh1").mkdir()
    (root / "products").mkdir()
    plan = {"items": ["t001"], "inputs": {"target": {"path": str(root / "target.toml")}}}
    io.write_json(root / ".rbh1/plan.json", plan)
    io.write_json(root / "products/run.json", {})
    return root


@pytest.fixture
def toy_science(monkeypatch) -> type:
    """The toy in place of the science; whether the run folder is the right one is still asked."""

    real = campaign_science.CampaignScience

    class Science(Toy, real):
        wrong_numbers: dict = {}  # noqa: RUF012 (set by tests)

        def __init__(self, *given, **named):
            real.__init__(self, *given, **named)
            Toy.__init__(self, wrong=self.wrong_numbers)

    monkeypatch.setattr(campaign_science, "CampaignScience", Science)
    return Science


def rbh1(*words, code=0):
    done = CliRunner().invoke(cli.cli, ["campaign", *map(str, words)])
    assert done.exit_code == code, done.stderr + done.stdout
    return done


def create(root, *more, models=60, code=0):
    return rbh1("create", root, "--item", "t001", "--models", models, *more, code=code)


def whole(root, name="edge-on"):
    ledger = open_ledger(folder=root)
    campaign = ledger.campaign(name)
    found = tuple({r.number: r.sha256 for r in ledger.rows(campaign, role)}
                  for role in (DYNAMICS, LIKELIHOOD))  # fmt: skip
    ledger.close()
    return found == serial(campaign.settings)


def test_one_command_does_all_on_one_machine(run_folder, toy_science):
    made = json.loads(create(run_folder, "--json").stdout)
    assert (made["campaign"], made["models"]) == ("edge-on", 60)
    again = create(run_folder)
    assert "is there already" in again.stderr
    done = json.loads(rbh1("work", run_folder, "--role", "all", "--json").stdout)
    assert (done["complete"], done["sound"]) == (True, True)
    assert done["roles"][DYNAMICS]["done"] == 60
    assert whole(run_folder)
    state = json.loads(rbh1("status", run_folder, "--json").stdout)
    assert state["roles"][DYNAMICS] == {
        "planned": 60, "done": 60, "missing": 0, "dead": 0, "waiting": None, "held": None,
        "rate": 0, "eta_s": None, "complete": True,
    }  # fmt: skip
    assert state["rejected"] == {"disc": 12, "toomre": 9}
    assert state["broker"] == "within the worker"
    # The run's own files, and what the target says, decide too.
    settings = state["settings"]
    assert settings["inputs"] == {name: io.sha256_file(run_folder / name) for name in NAMES}
    assert settings["dynamics"] == {"redshift": 0.964, "h0": 70.0, "om0": 0.3}
    text = rbh1("status", run_folder).stdout
    assert "dynamics" in text
    assert "toomre" in text
    assert "nothing is left to do" in rbh1("work", run_folder, "--role", "all").stdout


@pytest.mark.broker
def test_workers_of_one_role_each_and_a_queue_that_is_filled_anew(
    run_folder, toy_science, redis_server, monkeypatch
):
    redis_server.client.flushall()
    monkeypatch.setenv("RBH1_BROKER_URL", redis_server.url)
    create(run_folder, "--lease", "5")
    rbh1("work", run_folder, "--role", "dynamics")
    state = json.loads(rbh1("status", run_folder, "--json").stdout)
    n_possible = state["roles"][LIKELIHOOD]["planned"]
    assert state["roles"][LIKELIHOOD]["waiting"] == n_possible > 0
    assert state["roles"][DYNAMICS]["held"] == 0
    missing = json.loads(rbh1("requeue", run_folder, "--json").stdout)["missing"]
    assert missing == {"dynamics": 0, "likelihood": n_possible, "chains": 0}
    state = json.loads(rbh1("status", run_folder, "--json").stdout)
    assert state["roles"][LIKELIHOOD]["waiting"] == 0
    rbh1("work", run_folder, "--role", "likelihood")
    assert whole(run_folder)
    gone = rbh1("status", run_folder, "--broker", "redis://127.0.0.1:1").stdout
    assert "broker: away: redis://127.0.0.1:1" in gone


def test_what_is_dead_ends_with_1_and_can_be_tried_again(run_folder, toy_science):
    create(run_folder)
    toy_science.wrong_numbers = {8: ValueError("a bad day")}
    done = rbh1("work", run_folder, "--role", "all", code=1)
    assert "dynamics 8 is dead: ValueError: a bad day" in done.stderr
    assert "dead: dynamics 8: ValueError: a bad day" in rbh1("status", run_folder).stdout
    rbh1("work", run_folder, "--role", "all", code=1)
    toy_science.wrong_numbers = {}
    rbh1("requeue", run_folder, "--dead")
    rbh1("work", run_folder, "--role", "all")
    assert whole(run_folder)


def test_an_item_without_a_tip_kills_no_galaxy(run_folder, toy_science, monkeypatch):
    """What no galaxy could change ends the worker; the ledger knows of no death."""

    def likelihood(self):
        raise ArdError("the target RBH-1 has no tip", expected="a tip", found="none", action="-")

    monkeypatch.setattr(toy_science, "likelihood", property(likelihood))
    monkeypatch.setattr(toy_science, "evaluate", lambda self, *_: self.likelihood)
    create(run_folder)
    told = rbh1("work", run_folder, "--role", "all", code=3)
    assert "the target RBH-1 has no tip" in told.stderr
    roles = json.loads(rbh1("status", run_folder, "--json").stdout)["roles"]
    assert all(role["dead"] == 0 for role in roles.values())


def test_a_broker_or_database_that_is_away_ends_with_3(run_folder):
    create(run_folder)
    words = ("work", run_folder, "--role", "all", "--patience", "0")
    broker = rbh1(*words, "--broker", "redis://:s3cret@127.0.0.1:1", code=3)
    assert "the broker cannot be reached" in broker.stderr
    address = "postgresql://me:s3cret@127.0.0.1:1/db?connect_timeout=2"
    database = rbh1(*words, "--database", address, code=3)
    assert "the database cannot be reached" in database.stderr
    assert "s3cret" not in broker.stderr + database.stderr
    assert all("Nothing is lost" in told.stderr for told in (broker, database))


@pytest.mark.parametrize("away", ["open_ledger", "connect"])
def test_a_worker_waits_for_what_is_not_there_yet(run_folder, toy_science, monkeypatch, away):
    """As after a power cut, when workers are up before their servers."""
    create(run_folder)
    real, tries = getattr(campaign_run, away), []

    def late(*given, **named):
        tries.append(given)
        if len(tries) == 1:
            raise BrokerAwayError("it is away", expected="an answer", found="none", action="wait")
        return real(*given, **named)

    monkeypatch.setattr(campaign_run, away, late)
    told = rbh1("work", run_folder, "--role", "all").stderr
    assert "it is away, and is asked again: none" in told
    assert whole(run_folder)


def test_one_role_without_a_broker_is_refused(run_folder):
    create(run_folder)
    told = rbh1("work", run_folder, "--role", "dynamics", code=3).stderr
    assert "the role 'dynamics' alone needs a broker that others can reach" in told
    assert "RBH1_BROKER_URL, or --role all" in told


@pytest.mark.broker
def test_chains_that_a_campaign_has_not(run_folder, redis_server):
    create(run_folder)
    words = ("work", run_folder, "--role", "chains", "--broker", redis_server.url)
    assert "the campaign 'edge-on' has no chains" in rbh1(*words, code=3).stderr


WORKER = """#!/bin/sh
trap 'echo stopped >> "$LOG"; exit 0' TERM
echo "$RBH1_BROKER_URL $*" >> "$LOG"
test "$ENDS" = "" || exit "$ENDS"
while true; do sleep 0.02; done
"""


@pytest.mark.parametrize("ends", ["0", "1", "3", ""])
def test_several_workers_of_chains(tmp_path, monkeypatch, ends):
    """Programs that only note what they were told stand for the workers."""
    program, log = tmp_path / "worker", tmp_path / "log"
    program.write_text(WORKER)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("ENDS", ends)
    place = campaign_run.Place(tmp_path / "run", "edge-on", None, "redis://:pass@there")
    asked = campaign_run.Asked("chains", 2)

    def stop_both():
        while not log.is_file() or len(log.read_text().splitlines()) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(ArdError, match="2 of 2 workers") if ends == "3" else nullcontext():
        if not ends:
            threading.Thread(target=stop_both).start()
        campaign_run.several(place, asked)
    told = log.read_text().splitlines()
    words = (
        f"-m pipeline campaign work {tmp_path}/run --name edge-on --role chains --patience 300.0"
    )
    assert told[:2] == [f"redis://:pass@there {words}"] * 2
    assert told[2:] == ([] if ends else ["stopped"] * 2)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_before_all_workers_of_chains_have_started(tmp_path, monkeypatch):
    """It comes right after the first, and stops both: none is left to itself."""
    program, log = tmp_path / "worker", tmp_path / "log"
    program.write_text(WORKER)
    program.chmod(0o755)
    log.touch()
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("ENDS", "")
    real, started = subprocess.Popen, []

    def start(*given, **named):
        started.append(real(*given, **named))
        while len(log.read_text().splitlines()) < len(started):
            time.sleep(0.01)
        if len(started) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    def too_early(*_):
        for process in started:
            process.kill()
            process.wait()
        pytest.fail("nobody handed it on")

    monkeypatch.setattr(subprocess, "Popen", start)
    before = signal.signal(signal.SIGTERM, too_early)
    try:
        place = campaign_run.Place(tmp_path / "run", "edge-on", None, "redis://there")
        campaign_run.several(place, campaign_run.Asked("chains", 2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert log.read_text().splitlines()[2:] == ["stopped"] * 2


@pytest.mark.parametrize("role", ["settings", "code", "versions"])
def test_a_worker_of_another_version_is_refused(run_folder, toy_science, monkeypatch, role):
    create(run_folder)
    rbh1("work", run_folder, "--role", "all")
    if role == "settings":  # another version of the code has another default
        monkeypatch.setattr("pipeline.falsify.campaign.settings.Settings.sha256", "other")
    elif role == "code":
        monkeypatch.setattr("pipeline.falsify.campaign.settings.present_code", lambda: "other")
    else:
        newer = {"numpy": "99", "scipy": "1", "galpy": "1"}
        monkeypatch.setattr("pipeline.falsify.campaign.settings.present_versions", lambda _: newer)
    told = rbh1("work", run_folder, "--role", "all", code=3).stderr
    assert f"this worker's {'lines of code' if role == 'code' else role}" in told
    assert "not those of the campaign 'edge-on'" in told


def test_all_that_decides_a_number_is_compared():
    """Whoever asks for galaxy i draws it, and the instrument's resolution widens its lines."""
    for role, own in ((DYNAMICS, "galpy"), (LIKELIHOOD, "jax"), (CHAINS, "blackjax")):
        assert {"numpy", "scipy", own} <= set(present_versions(role))
    files = {file.resolve() for entry in CODE for file in sources(entry)[1]}
    for needed in (INSTRUMENTS_FILE, Path(campaign_science.__file__), Path(tasks.__file__)):
        assert needed.resolve() in files


@pytest.mark.parametrize("missing", ["galpy", "jax"])
def test_a_worker_without_a_library_says_which_line_to_type(run_folder, monkeypatch, missing):
    create(run_folder)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == missing else real(name)
    )
    told = rbh1("work", run_folder, "--role", "all", code=3).stderr
    assert f"needs the library '{missing}'" in told
    assert "pip install 'rbh1-ard[study]'" in told


def test_another_run_folder_is_refused(run_folder, toy_science):
    create(run_folder)
    (run_folder / NAMES[0]).write_text("another cube")
    told = rbh1("work", run_folder, "--role", "all", code=3).stderr
    assert "this run folder is not the one that the campaign 'edge-on' is of" in told
    assert NAMES[0] in told


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (("--name", "Two Words"), 2, "name of a campaign cannot be"),
        (("--set", "dynamics"), 2, "no setting of a campaign"),
        (("--set", "run.seed=3"), 2, "no setting of a campaign"),
        (("--set", "batches.dynamics=0"), 2, "'dynamics' of a campaign cannot be"),
        (("--seed", 2**63), 2, "seed of a campaign cannot be"),
        (("--models", 2**30 + 1), 2, "'n_model' of a campaign cannot be"),
        (("--models", 2**31, "--kind", "random"), 2, "'n_model' of a campaign cannot be"),
        (("--bound", 2**31), 2, "'bound' of a campaign cannot be"),
        (("--set", "sampling.n_chain=3"), 2, "'n_chain' of the sampling cannot be"),
        (("--set", "sampling.n_warmup=59"), 2, "'n_warmup' of the sampling cannot be"),
        (("--set", "sampling.n_first=7"), 2, "'n_first' of the sampling cannot be"),
        (("--set", "sampling.n_most=-4"), 2, "'n_most' of the sampling cannot be"),
        (("--set", "dynamics.q_last=2"), 3, "unknown key of [dynamics]"),
        (("--set", "cut.half_arcsec=2", "--item", "t002"), 3, "unknown item 't002'"),
        (("--chains", "galaxy"), 3, "unknown model 'galaxy'"),
        (("--table", "none.ecsv"), 3, "none.ecsv"),
    ],
)
def test_what_cannot_be_created(run_folder, words, code, match):
    assert match in create(run_folder, *words, code=code).stderr


def test_settings_that_are_set(run_folder):
    create(run_folder, "--set", "dynamics.q_least=2", "--set", "batches.likelihood=8",
           "--chains", "bow", "--chain-seeds", "2", "--halo", "compact")  # fmt: skip
    settings = json.loads(rbh1("status", run_folder, "--json").stdout)["settings"]
    assert settings["dynamics"]["q_least"] == 2.0
    assert settings["batches"]["likelihood"] == 8
    assert settings["halo_kind"] == "compact"
    assert settings["chains"] == [{"model": "bow", "seed": 1}, {"model": "bow", "seed": 2}]


def test_a_campaign_that_is_not_there(run_folder):
    for words in (("status",), ("requeue",), ("work", "--role", "all")):
        told = rbh1(words[0], run_folder, *words[1:], code=3).stderr
        assert "there is no campaign, nor a database of any" in told
    # Who only looks leaves nothing behind.
    assert sorted(path.name for path in (run_folder / ".rbh1").iterdir()) == ["plan.json"]
    create(run_folder)
    for verb in ("status", "requeue"):
        told = rbh1(verb, run_folder, "--name", "other", code=3).stderr
        assert "there is no campaign 'other'" in told
        assert "one of: edge-on" in told


def test_galaxies_of_a_table(run_folder, toy_science):
    from pipeline.falsify.physics.hypothesis import propose

    (model,) = propose([0], 1, "random")
    rows = [" ".join(model.parameters), " ".join(map(str, model.parameters.values()))]
    columns = "".join(f"# - {{name: {name}, datatype: float64}}\n" for name in model.parameters)
    table = run_folder / "galaxies.ecsv"
    table.write_text(f"# %ECSV 1.0\n# ---\n# datatype:\n{columns}" + "\n".join(rows) + "\n")
    create(run_folder, "--table", table)
    settings = json.loads(rbh1("status", run_folder, "--json").stdout)["settings"]
    assert (settings["kind"], settings["n_model"]) == ("table", 1)
    assert settings["table_sha256"] == io.sha256_file(table)


def test_the_program_starts_without_what_it_does_not_need(tmp_path):
    """Workers of the dynamics do not wait for JAX, nor those of the likelihood for galpy."""
    asked = (
        "import sys, pipeline.falsify.campaign.worker; "
        "print({'jax', 'galpy', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(pipeline.__file__).parent.parent)},
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
