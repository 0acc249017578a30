"""On which device does JAX compute here, why not on a GPU, and what should be set?

JAX is asked in a process of its own: it takes a second or two to start, and a broken driver can
hang it or end it.
"""

import importlib.metadata
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.findings import BAD, NOTE, Finding

# JAX starts in 1 to 2 s; from a cold disk, or with many GPUs, in some tens.
LIMIT_S: Final = 60.0
SECTION: Final = "devices"
CUDA_LINE: Final = "pip install 'rbh1-ard[cuda]'"
BYTES_PER_GIB: Final = 2**30

PREALLOCATE: Final = "XLA_PYTHON_CLIENT_PREALLOCATE"
ALLOCATOR: Final = "XLA_PYTHON_CLIENT_ALLOCATOR"
FRACTION: Final = "XLA_CLIENT_MEM_FRACTION"
OLD_FRACTION: Final = "XLA_PYTHON_CLIENT_MEM_FRACTION"
PLATFORMS: Final = "JAX_PLATFORMS"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
# What JAX reads as "no"; whatever else is set is "yes" to it (jaxlib.xla_client, 0.4.36 and 0.12).
_NO: Final = ("false", "False", "0")
_YES: Final = ("true", "True", "1")
_JAX_SHARE: Final = 0.75  # of GPU memory, where nothing is set

# A plugin that fails is logged by JAX and left out; only then does it say why.
_QUESTION: Final = """
import json, logging
said = []
class Ear(logging.Handler):
    def emit(self, record):
        cause = record.exc_info[1] if record.exc_info else None
        said.append(record.getMessage() + (f": {cause}" if cause else ""))
logging.getLogger("jax").addHandler(Ear(logging.WARNING))
answer = {"said": said}
try:
    import jax
    answer["version"] = jax.__version__
    answer["devices"] = [
        {"platform": d.platform, "kind": d.device_kind,
         "n_bytes": (d.memory_stats() or {}).get("bytes_limit")} for d in jax.devices()]
except Exception as error:
    answer["error"] = f"{type(error).__name__}: {error}".removesuffix(": ")
print("\\n" + json.dumps(answer))
"""


@dataclass(frozen=True)
class Device:
    """A device that JAX computes on; `n_bytes` is the memory it may use, None if it is not said."""

    platform: str
    kind: str
    n_bytes: int | None = None


@dataclass(frozen=True)
class Answer:
    """What did JAX say, in which time?

    Attributes
    ----------
    seconds : float
    version : str
    devices : tuple of Device
        Empty if JAX did not start.
    said : tuple of str
        Its warnings.
    error : str
        Why it did not start, or did not answer.
    """

    seconds: float
    version: str = ""
    devices: tuple[Device, ...] = ()
    said: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Machine:
    """What can be seen without JAX: signs of an NVIDIA GPU, and the plugins of JAX."""

    signs: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


type Ask = Callable[[Mapping[str, str]], Answer]
type Look = Callable[[Mapping[str, str]], Machine]


def ask(
    environment: Mapping[str, str], limit_s: float = LIMIT_S, python: str = sys.executable
) -> Answer:
    """Which devices does JAX see with these variables?

    Parameters
    ----------
    environment : mapping of str to str
    limit_s : float
        When to give up, s.
    python : str
        The interpreter to ask.
    """
    # Otherwise the question would take most of the memory of a GPU that others may be using.
    variables = {**environment, PREALLOCATE: "false"}
    began = time.monotonic()
    process = subprocess.Popen(
        # -P: a file of the working directory must not be taken for a library.
        [python, "-P", "-c", _QUESTION],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        out, log = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return Answer(limit_s, error=f"no answer within {limit_s:g} s")
    finally:
        _end(process)
    return _read(time.monotonic() - began, process.returncode, out, log)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        # A process that hangs in a driver does not end even then; it is left alone.
        with suppress(subprocess.TimeoutExpired):
            process.wait(2.0)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _read(seconds: float, code: int, out: str, log: str) -> Answer:
    last = log.strip().rpartition("\n")[2]
    if code != 0:
        how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        return Answer(seconds, error=f"its process died ({how})" + (f": {last}" if last else ""))
    try:
        fields: dict[str, Any] = json.loads(out.strip().rpartition("\n")[2])
        fields["devices"] = tuple(Device(**device) for device in fields.get("devices", ()))
        return Answer(seconds, **fields | {"said": tuple(fields["said"])})
    except (ValueError, TypeError, KeyError):
        return Answer(seconds, error="its answer cannot be read" + (f": {last}" if last else ""))


def look(environment: Mapping[str, str], root: Path = Path("/")) -> Machine:
    """Which signs of an NVIDIA GPU, and which plugins of JAX for one, are there?"""
    # The places where JAX itself looks (jax._src.hardware_utils), and cards beyond the first.
    files = [*sorted((root / "dev").glob("nvidia[0-9]*")), root / "dev/nvidiactl", root / "dev/dxg"]
    signs = [str(file) for file in files if file.exists()]
    with suppress(OSError):
        text = (root / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        version = re.search(r"\s(\d+\.[\d.]+)\s", text)
        signs.append(f"driver {version.group(1)}" if version else "a driver")
    if program := shutil.which("nvidia-smi", path=environment.get("PATH", "")):
        signs.append(program)
    found = importlib.metadata.entry_points(group="jax_plugins")
    plugins = {f"{entry.dist.name} {entry.dist.version}" for entry in found if entry.dist}
    return Machine(tuple(signs), tuple(sorted(plugins)))


def examine(
    environment: Mapping[str, str], ask_jax: Ask = ask, look_around: Look = look
) -> Iterable[Finding]:
    """Say on what JAX computes, why not on a GPU, and how it takes the memory of one.

    Parameters
    ----------
    environment : mapping of str to str
    ask_jax, look_around : callable
        Give what JAX says and what is to be seen; tests bring their own.
    """
    answer, machine = ask_jax(environment), look_around(environment)
    asked = f"asked JAX {answer.version}".rstrip() + f", {answer.seconds:.1f} s"
    if answer.error:
        yield Finding(SECTION, "JAX", f"does not start: {_short(answer.error)}", asked, BAD,
                      _restart(environment))  # fmt: skip
    else:
        yield Finding(SECTION, "JAX", f"computes on {_names(answer.devices)}", asked)
    if any(device.platform == "gpu" for device in answer.devices):
        yield _memory(environment)
    else:
        yield _no_gpu(environment, answer, machine)


def _names(devices: Iterable[Device]) -> str:
    counts: dict[str, int] = {}
    for device in devices:
        memory = f" ({device.n_bytes / BYTES_PER_GIB:.1f} GiB)" if device.n_bytes else ""
        name = f"{device.platform.upper()}{memory}"
        if device.kind.lower() != device.platform:
            name = f"{device.platform.upper()} {device.kind}{memory}"
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())


def _restart(environment: Mapping[str, str]) -> str:
    if environment.get(PLATFORMS) not in (None, "", "cpu"):
        return f"unset {PLATFORMS}, which asks for {environment[PLATFORMS]}"
    return f"try {PLATFORMS}=cpu; if JAX starts then, the fault is with the GPU, driver or plugin"


def _no_gpu(environment: Mapping[str, str], answer: Answer, machine: Machine) -> Finding:
    """Say why JAX computes on no GPU; the first reason is the one to remove first."""
    if not machine.signs:
        return Finding(SECTION, "GPU", "none on this machine", "no NVIDIA device, no driver")
    seen = ", ".join(machine.signs)
    asked = environment.get(PLATFORMS, "")
    if asked and not {"cuda", "gpu"} & set(asked.split(",")):
        value = f"not used: {PLATFORMS}={asked}"
        return Finding(SECTION, "GPU", value, seen, NOTE, f"unset {PLATFORMS}")
    if not machine.plugins:
        value = "not used: JAX has no plugin for it"
        return Finding(SECTION, "GPU", value, seen, NOTE, CUDA_LINE)
    hidden = environment.get(VISIBLE)
    if hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        value = f"not used: {VISIBLE}='{hidden}' hides it"
        return Finding(SECTION, "GPU", value, seen, NOTE, f"unset {VISIBLE}")
    # That a GPU "may be present" is what JAX says when it has already said why it is not used.
    reasons = [text for text in answer.said if "may be present" not in text]
    why = "; ".join(reasons) or answer.error or "it does not say why"
    value = f"not used, the plugin cannot start: {_short(why)}"
    seen = f"{seen}; {', '.join(machine.plugins)}"
    action = (
        f"update the NVIDIA driver, and pip install -U 'rbh1-ard[cuda]'; or set {PLATFORMS}=cpu"
    )
    return Finding(SECTION, "GPU", value, seen, BAD, action)


def _memory(environment: Mapping[str, str]) -> Finding:
    share = _share(environment.get(FRACTION) or environment.get(OLD_FRACTION) or str(_JAX_SHARE))
    most = "a share of it" if share is None else f"{share:.0%} of it"
    if environment.get(ALLOCATOR) == "platform":
        return Finding(SECTION, "GPU memory", "taken as needed, and given back", ALLOCATOR)
    if environment.get(PREALLOCATE) in _NO:
        return Finding(SECTION, "GPU memory", f"taken as needed, {most} at most", PREALLOCATE)
    return Finding(
        SECTION,
        "GPU memory",
        f"JAX takes {most} as it starts",
        f"{PREALLOCATE}, {FRACTION}",
        NOTE,
        f"where others use this GPU: export {PREALLOCATE}=false; "
        f"where nobody does: export {FRACTION}=0.9",
    )


def judge(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Which variables of JAX are set to what it cannot use?

    Returns
    -------
    dict of str to (str, str)
        For each such variable: how bad it is, and what to do.
    """
    found = {}
    for name in (FRACTION, OLD_FRACTION):
        value = environment.get(name)
        if value and _share(value) is None:
            found[name] = (BAD, "set it to a number above 0, 1 at most, or unset it")
    new, old = environment.get(FRACTION), environment.get(OLD_FRACTION)
    if new and old:
        differ = "" if new == old else f", and they differ ({new} and {old})"
        action = f"unset it: JAX starts no GPU if {FRACTION} is set too{differ}"
        found[OLD_FRACTION] = (BAD, action)
    elif old and OLD_FRACTION not in found:
        found[OLD_FRACTION] = (NOTE, f"deprecated; set {FRACTION} instead")
    value = environment.get(PREALLOCATE)
    if value and value not in _NO + _YES:
        found[PREALLOCATE] = (BAD, "set it to true or false: JAX takes all else for true")
    return found


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0.0 < share <= 1.0 else None


def _short(text: str, most: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
