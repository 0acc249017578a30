"""Does the doctor know which device JAX uses, why not a GPU, and what to set?

Oracles: machines made of files, answers made for the purpose (the words are those of JAX 0.12 with
its CUDA plugin, on a machine without a driver), interpreters that hang or die; JAX of this process,
once.
"""

import json
import os
import sys
import time
from pathlib import Path

import jax
import pytest

from pipeline import devices
from pipeline.devices import Answer, Device, Machine, ask, examine, judge, look
from pipeline.findings import BAD, GOOD, NOTE

ON_CPU = Answer(1.5, "0.12.0", (Device("cpu", "cpu"),))
H100 = Device("gpu", "NVIDIA H100 80GB HBM3", 59 * 2**30)
WITH_GPU = Machine(("/dev/nvidia0", "driver 550.54.15"))
READY = Machine(WITH_GPU.signs, ("jax-cuda12-pjrt 0.12.0",))
GENERIC = (
    "An NVIDIA GPU may be present on this machine, but a CUDA-enabled jaxlib is not installed. "
    "Falling back to cpu."
)
NO_CUDNN = (
    "Jax plugin configuration error: Exception when calling jax_plugins.xla_cuda12.initialize(): "
    "Unable to load cuDNN. Is it installed?"
)


def found(environment=None, answer=ON_CPU, machine=READY):
    """The findings by name."""
    rows = examine(environment or {}, lambda _: answer, lambda _: machine)
    return {row.name: row for row in rows}


def interpreter(folder: Path, script: str) -> str:
    """A program that stands for Python."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_jax_says_what_it_computes_on_here():
    answer = ask(os.environ)
    assert answer.error == ""
    assert answer.version == jax.__version__
    assert [(d.platform, d.kind) for d in answer.devices] == [
        (d.platform, d.device_kind) for d in jax.devices()
    ]
    assert 0.0 < answer.seconds < devices.LIMIT_S


def test_a_platform_that_is_not_there_is_an_error_and_no_crash():
    environment = dict(os.environ) | {"JAX_PLATFORMS": "no_such_platform"}
    answer = ask(environment)
    assert answer.devices == ()
    assert "no_such_platform" in answer.error
    row = found(environment, answer, Machine())["JAX"]
    assert row.status == BAD
    assert row.action == "unset JAX_PLATFORMS, which asks for no_such_platform"


def test_a_file_in_the_working_directory_is_not_asked(tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert ask(os.environ).error == ""


def test_jax_that_hangs_is_given_up(tmp_path):
    began = time.monotonic()
    answer = ask({}, 0.3, interpreter(tmp_path, "exec /bin/sleep 60"))
    assert time.monotonic() - began < 30.0
    assert answer.error == "no answer within 0.3 s"
    row = found({}, answer, Machine())["JAX"]
    assert (row.status, row.value) == (BAD, "does not start: no answer within 0.3 s")
    assert row.action.startswith("try JAX_PLATFORMS=cpu")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo 'first' >&2; echo 'bad driver' >&2; exit 3",
         "its process died (exit code 3): bad driver"),
        ("kill -SEGV $$", "its process died (SIGSEGV)"),
        ("echo 'no json'", "its answer cannot be read"),
        ("""echo '{"said": [], "colour": 1}'""", "its answer cannot be read"),
        ("true", "its answer cannot be read"),
    ],
)  # fmt: skip
def test_jax_that_dies_or_mumbles_is_reported(tmp_path, script, error):
    assert ask({}, 20.0, interpreter(tmp_path, script)).error == error


def test_what_else_is_printed_does_not_matter(tmp_path):
    words = json.dumps({"said": ["a"], "version": "1", "devices": [vars(H100)]})
    answer = ask({}, 20.0, interpreter(tmp_path, f"echo 'a banner'; echo '{words}'"))
    assert (answer.devices, answer.said, answer.error) == ((H100,), ("a",), "")


def test_the_question_takes_no_memory_of_a_gpu_and_keeps_the_rest(tmp_path):
    asked = interpreter(tmp_path, 'echo "$XLA_PYTHON_CLIENT_PREALLOCATE $HERE" >&2; exit 1')
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "HERE": "kept"}
    assert ask(environment, 20.0, asked).error.endswith(": false kept")
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"


def test_signs_of_a_gpu_are_seen(tmp_path):
    assert look({"PATH": ""}, tmp_path).signs == ()
    (tmp_path / "dev").mkdir()
    for name in ("nvidia1", "nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / "dev" / name).touch()
    driver = tmp_path / "proc/driver/nvidia/version"
    driver.parent.mkdir(parents=True)
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n")
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    dev = tmp_path / "dev"
    assert look({"PATH": str(program.parent)}, tmp_path).signs == (
        f"{dev}/nvidia0",
        f"{dev}/nvidia1",
        f"{dev}/nvidiactl",
        "driver 550.54.15",
        str(program),
    )


def test_plugins_are_found_by_what_they_declare(tmp_path, monkeypatch):
    info = tmp_path / "jax_cuda12_pjrt-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jax-cuda12-pjrt\nVersion: 9.9\n")
    (info / "entry_points.txt").write_text("[jax_plugins]\nxla_cuda12 = jax_plugins.xla_cuda12\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "jax-cuda12-pjrt 9.9" in look({}, tmp_path).plugins


def test_a_machine_without_gpu_has_nothing_to_do():
    for machine in (Machine(), Machine((), READY.plugins)):
        rows = found({"JAX_PLATFORMS": "cpu"}, machine=machine)
        assert [row.status for row in rows.values()] == [GOOD, GOOD]
        assert rows["JAX"].value == "computes on CPU"
        assert rows["JAX"].origin == "asked JAX 0.12.0, 1.5 s"
        assert rows["GPU"].value == "none on this machine"
        assert rows["GPU"].action == ""


def test_a_gpu_that_is_used_needs_no_reasons():
    rows = found(answer=Answer(3.0, "0.12.0", (H100, H100)))
    assert rows["JAX"].value == "computes on 2 x GPU NVIDIA H100 80GB HBM3 (59.0 GiB)"
    assert "GPU" not in rows
    memory = rows["GPU memory"]
    assert (memory.status, memory.value) == (NOTE, "JAX takes 75% of it as it starts")
    assert "export XLA_PYTHON_CLIENT_PREALLOCATE=false" in memory.action
    assert "export XLA_CLIENT_MEM_FRACTION=0.9" in memory.action


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_memory_that_is_taken_as_needed_is_good(name):
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", name: "0.5"}
    memory = found(environment, Answer(3.0, "0.12.0", (H100,)))["GPU memory"]
    assert (memory.status, memory.action) == (GOOD, "")
    assert memory.value == "taken as needed, 50% of it at most"


def test_the_allocator_of_the_platform_reserves_nothing():
    environment = {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}
    memory = found(environment, Answer(3.0, "0.12.0", (H100,)))["GPU memory"]
    assert (memory.status, memory.value) == (GOOD, "taken as needed, and given back")


@pytest.mark.parametrize(
    ("environment", "machine", "said", "status", "value", "action"),
    [
        ({"JAX_PLATFORMS": "cpu"}, READY, (), NOTE,
         "not used: JAX_PLATFORMS=cpu", "unset JAX_PLATFORMS"),
        ({}, WITH_GPU, (GENERIC,), NOTE,
         "not used: JAX has no plugin for it", "pip install 'rbh1-ard[cuda]'"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, READY, (), NOTE,
         "not used: CUDA_VISIBLE_DEVICES='-1' hides it", "unset CUDA_VISIBLE_DEVICES"),
        ({"CUDA_VISIBLE_DEVICES": ""}, READY, (), NOTE,
         "not used: CUDA_VISIBLE_DEVICES='' hides it", "unset CUDA_VISIBLE_DEVICES"),
        ({"JAX_PLATFORMS": "cuda,cpu", "CUDA_VISIBLE_DEVICES": "0"}, READY, (NO_CUDNN, GENERIC),
         BAD, f"not used, the plugin cannot start: {NO_CUDNN}",
         "update the NVIDIA driver, and pip install -U 'rbh1-ard[cuda]'; or set JAX_PLATFORMS=cpu"),
    ],
    ids=["platforms", "no plugin", "hidden", "hidden by nothing", "cannot start"],
)  # fmt: skip
def test_why_a_gpu_is_not_used(environment, machine, said, status, value, action):
    row = found(environment, Answer(1.0, "0.12.0", ON_CPU.devices, said), machine)["GPU"]
    assert (row.status, row.value, row.action) == (status, value, action)
    assert row.origin.startswith("/dev/nvidia0, driver 550.54.15")
    assert row.origin.endswith("; jax-cuda12-pjrt 0.12.0") == (status == BAD)


def test_the_reason_is_what_jax_said_or_its_error_and_never_too_long():
    silent = found(answer=ON_CPU)["GPU"]
    assert silent.value.endswith("cannot start: it does not say why")
    failed = found(answer=Answer(1.0, error="RuntimeError: Unable to initialize 'cuda'"))
    assert failed["GPU"].value.endswith(": RuntimeError: Unable to initialize 'cuda'")
    long = found(answer=Answer(1.0, "1", ON_CPU.devices, ("two\nlines " + "x" * 1000,)))["GPU"]
    assert "two lines xxx" in long.value
    assert long.value.endswith("x...")
    assert len(long.value) < 400


@pytest.mark.parametrize("name", [devices.FRACTION, devices.OLD_FRACTION])
@pytest.mark.parametrize("value", ["0", "-0.1", "1.01", "75", "75%", "nan", "most"])
def test_a_share_that_is_none_is_bad(name, value):
    ((named, (status, action)),) = judge({name: value}).items()
    assert (named, status) == (name, BAD)
    assert action == "set it to a number above 0, 1 at most, or unset it"


def test_shares_that_are_good():
    for value in ("", "0.001", ".5", "1", "1.0"):
        assert judge({"XLA_CLIENT_MEM_FRACTION": value}) == {}
    (old,) = judge({"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5"}).values()
    assert old == (NOTE, "deprecated; set XLA_CLIENT_MEM_FRACTION instead")


@pytest.mark.parametrize(("old", "ending"), [("0.5", "too"), ("0.9", "they differ (0.5 and 0.9)")])
def test_both_names_of_the_share_are_one_too_many(old, ending):
    environment = {"XLA_CLIENT_MEM_FRACTION": "0.5", "XLA_PYTHON_CLIENT_MEM_FRACTION": old}
    ((name, (status, action)),) = judge(environment).items()
    assert (name, status) == ("XLA_PYTHON_CLIENT_MEM_FRACTION", BAD)
    assert action.startswith("unset it")
    assert action.endswith(ending)


def test_both_names_are_refused_by_jax_itself(monkeypatch):
    # Oracle: the function that every CUDA plugin of JAX calls as it starts.
    from jaxlib.xla_client import generate_pjrt_gpu_plugin_options as options

    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.5")
    assert options()["memory_fraction"] == 0.5
    for value, preallocate in (("no", True), ("FALSE", True), ("false", False), ("0", False)):
        monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", value)
        assert options()["preallocate"] is preallocate
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    with pytest.raises(ValueError, match="specified together"):
        options()


def test_yes_and_no_are_only_what_jax_reads_so():
    for value in ("", "true", "True", "1", "false", "False", "0"):
        assert judge({"XLA_PYTHON_CLIENT_PREALLOCATE": value}) == {}
    for value in ("no", "FALSE", "off"):
        (row,) = judge({"XLA_PYTHON_CLIENT_PREALLOCATE": value}).values()
        assert row == (BAD, "set it to true or false: JAX takes all else for true")


@pytest.mark.gpu
def test_a_real_gpu_is_named_with_its_memory():
    rows = {row.name: row for row in examine(os.environ)}
    assert rows["JAX"].value.partition("GPU ")[2].startswith(jax.devices()[0].device_kind)
    assert "GiB" in rows["JAX"].value
    assert look(os.environ).signs
