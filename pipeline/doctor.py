"""Is this machine ready for a run, and what should be changed?

Looks only: nothing is imported beyond metadata, nothing is changed, no secret is shown. What JAX
has to say is asked of a process of its own (`pipeline.devices`).
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pipeline import devices
from pipeline.findings import BAD, GOOD, NOTE, Finding

DISTRIBUTION: Final = "rbh1-ard"
STUDY: Final = "study"
OLDEST_PYTHON: Final = (3, 12)
# The import names of the project; they are generic, so something else may have taken them.
OUR_NAMES: Final = ("ard", "checks", "manifests", "pipeline", "release", "schemas", "tests")
BYTES_PER_GIB: Final = 2**30

# Environment variables: what each is for, and what holds where it is not set.
VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "RBH1_DATA_DIR": ("archive store", "in the user's data folder"),
    "RBH1_MAST_URL": ("archive", "MAST"),
    "RBH1_REPO_DIR": ("working root of runs", "the current directory"),
    "RBH1_CACHE_DIR": ("downloads by DOI", "the platform's cache"),
    "RBH1_ZENODO_URL": ("archive of every DOI", "Zenodo, or its sandbox"),
    "RBH1_DATABASE_URL": ("database of chains and campaigns", "SQLite in the run folder"),
    "RBH1_BROKER_URL": ("queue of campaigns", "embedded"),
    "RBH1_VALIDATORS": ("validators of a bundle's papers", "those of this Python"),
    "MAST_API_TOKEN": ("proprietary archive data", "public data only"),
    "ZENODO_TOKEN": ("deposits", "no deposits"),
    "MdB_HOST": ("server of the shock database", "grids from files only"),
    "MdB_USER": ("its user", "grids from files only"),
    "MdB_PASSWD": ("its password", "grids from files only"),
    "MdB_PORT": ("its port", "grids from files only"),
    "XLA_PYTHON_CLIENT_PREALLOCATE": ("whether JAX takes GPU memory at once", "JAX's own"),
    "XLA_CLIENT_MEM_FRACTION": ("share of GPU memory for JAX", "JAX's own"),
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ("the same, by its older name", "JAX's own"),
    "XLA_PYTHON_CLIENT_ALLOCATOR": ("GPU allocator of JAX", "JAX's own"),
    "XLA_FLAGS": ("compiler options of JAX", "none"),
    "JAX_PLATFORMS": ("devices of JAX", "JAX's own"),
    "CUDA_VISIBLE_DEVICES": ("GPUs that programs may see", "all"),
    "JAX_COMPILATION_CACHE_DIR": ("compiled code of JAX", "none"),
}
SECRETS: Final = frozenset({"MAST_API_TOKEN", "MdB_PASSWD", "ZENODO_TOKEN"})


def examine(
    environment: Mapping[str, str], folder: Path, ask_jax: devices.Ask = devices.ask
) -> tuple[Finding, ...]:
    """Look at Python, packages, variables, import names, resources and devices.

    Parameters
    ----------
    environment : mapping of str to str
        Usually ``os.environ``.
    folder : path
        The working directory.
    ask_jax : callable
        Gives what JAX says about its devices.
    """
    with ThreadPoolExecutor(1) as pool:
        # JAX starts while the rest is looked at. That it is missing is said with the packages.
        answer = pool.submit(ask_jax, environment) if _version("jax") else None
        return (
            *_python(),
            *_packages(),
            *_variables(environment),
            *_import_names(folder),
            *_resources(folder),
            *(devices.examine(environment, lambda _: answer.result()) if answer else ()),
        )


def _python() -> Iterable[Finding]:
    fits = sys.version_info[:2] >= OLDEST_PYTHON
    needed = ".".join(map(str, OLDEST_PYTHON))
    yield Finding(
        "python",
        "python",
        platform.python_version(),
        sys.executable,
        GOOD if fits else BAD,
        "" if fits else f"install Python {needed} or later",
    )


def _packages() -> Iterable[Finding]:
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        action = f"pip install '{DISTRIBUTION}[study]', or pip install -e . in the checkout"
        yield Finding("packages", DISTRIBUTION, "not installed", "", BAD, action)
        return
    yield Finding("packages", DISTRIBUTION, version)
    for name, extras in _wanted(requirements).items():
        found = _version(name)
        group = "required" if "" in extras else f"extra {', '.join(extras)}"
        if found is not None:
            yield Finding("packages", name, found, group)
            continue
        # Only `study` is what a run needs; the other extras are for a purpose.
        status = BAD if "" in extras or STUDY in extras else NOTE
        extra = STUDY if STUDY in extras else extras[0]
        action = f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {name}"
        yield Finding("packages", name, "missing", group, status, action)


def _wanted(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Give the extras that ask for each distribution; an empty text is no extra."""
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        name, extra = _parse_requirement(requirement)
        # An extra that contains another is listed with the members of both.
        if name != DISTRIBUTION and extra not in wanted.setdefault(name, []):
            wanted[name].append(extra)
    return {name: sorted(extras) for name, extras in wanted.items()}


def _parse_requirement(text: str) -> tuple[str, str]:
    name = re.match(r"[A-Za-z0-9._-]+", text)
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", text)
    return (name.group() if name else text), (extra.group(1) if extra else "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _variables(environment: Mapping[str, str]) -> Iterable[Finding]:
    judged = devices.judge(environment)
    for name, (purpose, default) in VARIABLES.items():
        value = environment.get(name)
        if value is None:
            yield Finding("environment", name, f"({default})", f"default; {purpose}", NOTE)
        else:
            status, action = judged.get(name, (GOOD, ""))
            origin = f"environment; {purpose}"
            yield Finding("environment", name, shown(name, value), origin, status, action)


def shown(name: str, value: str) -> str:
    """Give the value of a variable as it may be printed: no token, no password."""
    if name in SECRETS:
        return f"set ({len(value)} characters, not shown)" if value else "set, but empty"
    # To the last "@": a password may hold any character, even one that should have been quoted.
    value = re.sub(r"(?s)(://[^:/@\s]*):.*@", r"\1:***@", value)
    return re.sub(
        r"(?i)(\w*(?:password|passwd|token|key)\s*=\s*)('[^']*'|[^&\s]*)", r"\1***", value
    )


def _import_names(folder: Path) -> Iterable[Finding]:
    ours = Path(__file__).resolve().parent.parent
    owners = importlib.metadata.packages_distributions()
    for name in OUR_NAMES:
        others = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        in_folder = shadow_in(folder, name, ours)
        origin = _origin(name)
        if origin is not None and origin != ours and name != "tests":
            action = "uninstall that package, or use an environment of its own for the study"
            yield Finding(
                "import names", name, "taken by another package", str(origin), BAD, action
            )
        elif in_folder is not None:
            action = "rename it, or start from another directory"
            value = "shadowed where the working directory comes first"
            yield Finding("import names", name, value, str(in_folder), NOTE, action)
        elif others:
            action = f"pip uninstall {others[0]}, or use an environment of its own"
            value = f"also brought by {', '.join(others)}"
            yield Finding("import names", name, value, "", NOTE, action)
        else:
            yield Finding("import names", name, "ours", str(origin or ""))


def shadow_in(folder: Path, name: str, ours: Path) -> Path | None:
    """Give the file or folder in a directory that would be imported instead of our package."""
    if folder.resolve() == ours:
        return None
    candidates = (folder / f"{name}.py", folder / name / "__init__.py", folder / name)
    return next(
        (c for c in candidates if c.is_file() or (c.is_dir() and any(c.glob("*.py")))), None
    )


def _origin(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin else None


def cores() -> int:
    """Say how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _resources(folder: Path) -> Iterable[Finding]:
    yield Finding("resources", "cores", str(cores()), "usable by this process")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = available_memory()
    free = "" if available is None else f", {available / BYTES_PER_GIB:.1f} GiB free"
    yield Finding("resources", "memory", f"{total / BYTES_PER_GIB:.1f} GiB{free}")
    usage = shutil.disk_usage(folder)
    disk = f"{usage.total / BYTES_PER_GIB:.0f} GiB, {usage.free / BYTES_PER_GIB:.1f} GiB free"
    yield Finding("resources", "disk", disk, str(folder))


def available_memory() -> int | None:
    """Say how many bytes of memory are free; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 if found else None
