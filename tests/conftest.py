"""What do all tests share: where they run, what they may use, and what they are handed?"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Before numpy, jax and matplotlib are imported, which read these once. The tests run in several
# processes, each of which would otherwise start one thread per core.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every program
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pgserver  # noqa: E402
import pytest  # noqa: E402
import redisserver  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from sharing import made_once  # noqa: E402
from stranger import link_base_environment  # noqa: E402

# "ci" draws the same examples every time and asks for no speed, which a shared machine has not;
# HYPOTHESIS_PROFILE=search looks for new examples.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile(
    "search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--run-long", action="store_true", help="run those marked long, and the slow")
    parser.addoption(
        "--run-network", action="store_true", help="run the tests that talk to the outside world"
    )
    parser.addoption(
        "--invenio-url", metavar="URL", help="a real InvenioRDM, with a token in INVENIO_TOKEN"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = config.getoption("--run-long")
    reasons = {
        "slow": None if long or config.getoption("--run-slow") else "slow: give --run-slow",
        "long": None if long else "long: give --run-long",
        "network": None if config.getoption("--run-network") else "network: give --run-network",
        "real_data": None if shared_data_folder() else _no_shared_data(),
        "gpu": None if _has_gpu(items) else "gpu: JAX sees none here",
        "postgres": pgserver.absent(),
        "broker": redisserver.absent(),
        "invenio": _no_invenio(config),
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def shared_data_folder() -> Path | None:
    """Where the real public data lie, or None where this machine has none."""
    folder = Path(os.environ.get("RBH1_SHARED_DATA") or ROOT.parent / "shared" / "data")
    return folder if (folder / "SHA256SUMS").is_file() else None


def _no_shared_data() -> str:
    return "real_data: no real data here; set RBH1_SHARED_DATA to the folder with SHA256SUMS"


def _no_invenio(config: pytest.Config) -> str | None:
    if not config.getoption("--invenio-url"):
        return "invenio: give --invenio-url URL"
    return _unset("invenio", "INVENIO_TOKEN")


def _unset(marker: str, variable: str) -> str | None:
    return None if os.environ.get(variable) else f"{marker}: {variable} is not set"


def _has_gpu(items: list[pytest.Item]) -> bool:
    if not any(item.get_closest_marker("gpu") for item in items):
        return False  # nobody asks, so JAX need not be imported
    import jax

    return any(device.platform == "gpu" for device in jax.devices())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data; skips, visibly, where there is none."""
    folder = shared_data_folder()
    if folder is None:
        pytest.skip(_no_shared_data())
    return folder


@pytest.fixture(scope="session")
def base_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An import path with the base dependencies and nothing else (see tests/stranger.py)."""
    return link_base_environment(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the smallest simulated observation, made once by the public command.

    The folder is called demo-run, as in the README; no test may change it. So small a field holds
    few spaxels, and one seed in several misses a limit of the comparison with the truth; the seed
    is one whose demonstration ends with a bundle.
    """
    return made_once(tmp_path_factory, "tiny", _demonstrate) / "demo-run"


def _demonstrate(folder: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "demo", "--out", "demo-run"]
    done = subprocess.run(
        [*command, "--size", "tiny", "--seed", "7", "-j", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RBH1_REPO_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
