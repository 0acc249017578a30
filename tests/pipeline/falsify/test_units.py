"""Would the unit files that the documentation offers start a worker?

Oracles: click's parser of the command in them; bash's of the script; the doctor's variables.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import cli
from pipeline.commands.campaign import work_command
from pipeline.doctor import VARIABLES
from pipeline.falsify.campaign.patience import Pace

UNITS = Path(__file__).resolve().parents[3] / "docs" / "units"


def command_in(name: str) -> list[str]:
    """The words of the command, variables replaced by values."""
    (line,) = re.findall(r"rbh1 (campaign work .+)$", (UNITS / name).read_text(), flags=re.M)
    values = {"RBH1_RUN": "run", "RBH1_CAMPAIGN": "edge-on", "RBH1_ROLE": "dynamics",
              "RBH1_JOBS": "4", "jobs": "4"}  # fmt: skip
    line = re.sub(r"\$\{?(\w+)(?::-[\w-]+)?\}?", lambda found: values[found[1]], line)
    return shlex.split(line.replace("%i", "chains"))


@pytest.mark.parametrize("name", ["rbh1-worker@.service", "rbh1-worker.sbatch"])
def test_the_command_parses(name, monkeypatch):
    asked = {}
    monkeypatch.setattr(work_command, "callback", lambda **given: asked.update(given))
    done = CliRunner().invoke(cli.cli, command_in(name))
    assert done.exit_code == 0, done.output
    assert (asked["run"], asked["name"], asked["jobs"]) == (Path("run"), "edge-on", 4)
    assert asked["role"] in ("dynamics", "chains")


def test_the_script_is_one():
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    subprocess.run([bash, "-n", UNITS / "rbh1-worker.sbatch"], check=True)


def test_the_settings_have_what_the_unit_asks_for():
    settings = dict(
        line.split("=", 1)
        for line in (UNITS / "rbh1-worker.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    asked = set(re.findall(r"\$\{(\w+)\}", (UNITS / "rbh1-worker@.service").read_text()))
    assert asked <= set(settings)
    assert {name for name in settings if name.endswith("_URL")} <= set(VARIABLES)


def test_a_worker_that_is_refused_is_not_started_for_ever_and_one_that_waits_is():
    """Oracle: how often each fails within the interval that systemd counts in."""
    unit = dict(re.findall(r"^(\w+)=(\S+)$", (UNITS / "rbh1-worker@.service").read_text(), re.M))
    interval_s = 60.0 * float(unit["StartLimitIntervalSec"].removesuffix("min"))
    burst, pause_s = int(unit["StartLimitBurst"]), float(unit["RestartSec"])
    loading_s = 60.0  # of the libraries, on a slow disk
    assert burst * (loading_s + pause_s) < interval_s
    assert interval_s / (Pace().patience_s + pause_s) < burst
    # A worker that is told no patience has that one.
    assert "--patience" not in command_in("rbh1-worker@.service")
    (patience,) = (o for o in work_command.params if o.name == "patience")
    assert patience.default == Pace().patience_s
