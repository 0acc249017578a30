"""Is a result still current? Which code and which versions of the numeric libraries made it?"""

import hashlib
import importlib.metadata
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

from ard.errors import NotFoundError

# The libraries whose version can change a number, or another byte of a product.
NUMERIC_TOOLS: Final = ("numpy", "scipy", "astropy", "asdf", "gwcs", "matplotlib")
# The code that every task runs through, whichever its stage.
SHARED_CODE: Final = ("ard", "pipeline/runner.py")


@lru_cache
def tool_versions() -> tuple[tuple[str, str], ...]:
    """Give the versions of the numeric libraries that are installed."""
    found = []
    for name in NUMERIC_TOOLS:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


@lru_cache
def code_sha256(code: tuple[str, ...]) -> str:
    """Digest the sources of packages and modules, names included.

    Parameters
    ----------
    code : tuple of str
        Import paths with slashes: ``pipeline/reduce`` (a package, with everything below it) or
        ``pipeline/runner.py`` (one module).

    Raises
    ------
    NotFoundError
        If one of them cannot be found.
    """
    digest = hashlib.sha256()
    for entry in sorted(set(code) | set(SHARED_CODE)):
        top, files = _sources(entry)
        for file in files:
            name = f"{entry}:{file.relative_to(top).as_posix()}"
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def state_sha256(code: tuple[str, ...]) -> str:
    """Digest what decides if a result of this code is current: sources and library versions."""
    text = code_sha256(code) + repr(tool_versions())
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(entry: str) -> tuple[Path, list[Path]]:
    module = entry.removesuffix(".py").replace("/", ".")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise NotFoundError(
            f"the code of a stage, '{entry}', cannot be found",
            expected=f"an importable module {module}",
            found="nothing of that name",
            action="correct the field 'code' of the stage in pipeline/stages",
        )
    if spec.submodule_search_locations is None:
        path = Path(str(spec.origin))
        return path.parent, [path]
    top = Path(next(iter(spec.submodule_search_locations)))
    files = [p for p in top.rglob("*") if p.is_file() and _counts(p)]
    return top, sorted(files)


def _counts(path: Path) -> bool:
    # Compiled files and the temporary files of editors say nothing about the code.
    return "__pycache__" not in path.parts and not path.name.startswith(".")
