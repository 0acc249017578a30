"""What does somebody have who typed `pip install rbh1-ard` and no extra?

A folder of links to just those installed distributions that the base dependencies of
pyproject.toml lead to, for a Python that is told to look nowhere else. It needs no network, and
astropy's plug-ins (asdf-astropy registers one) are not there either.
"""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def base_distributions() -> set[str]:
    """Names of all distributions that the base dependencies bring, directly or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting, found = list(project["dependencies"]), set()
    while waiting:
        needed = Requirement(waiting.pop())
        wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if wanted and needed.name not in found:
            found.add(needed.name)
            waiting += metadata.requires(needed.name) or []
    return found


def link_base_environment(folder: Path) -> Path:
    """Fill a folder with links to what `base_distributions` put into this environment."""
    for name in base_distributions():
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def run_python(code: str, *path: Path, args: tuple[str, ...] = (), cwd: Path | None = None):
    """Run code in a process whose import path is the given folders and the standard library."""
    start = f"import sys; sys.path[:0] = {[str(folder) for folder in path]!r}\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
