"""Do imports point down, and does each room load only what it is allowed to load?

Oracles: import-linter's contracts in pyproject.toml (shown here to fail where they should), and
the modules a fresh process holds after importing a room.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stranger import run_python

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("ard", "checks", "manifests", "pipeline", "release", "schemas")

IMPORT_ALL = """
import importlib, pkgutil, sys
before = set(sys.modules)
room = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)), sep="\\n")
"""


def loaded_by(room: str) -> set[str]:
    """The top-level names, standard library aside, that importing all of a room brings."""
    # -P: a folder named like a package in the working directory must not be the one found.
    shown = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL, room],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name for name in shown.split() if not name.startswith("_")}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_imports_point_down():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("ard", "schemas"),
        ("schemas", "ard"),
        ("manifests", "ard"),
        ("checks", "pipeline"),
        ("release", "pipeline"),
        ("pipeline", "release"),
        ("pipeline/simulate", "pipeline.reduce"),
        ("pipeline/simulate", "pipeline.infer"),
        ("pipeline/falsify/cube", "pipeline.falsify.campaign"),
        ("pipeline/falsify/physics", "pipeline.falsify.cube"),
    ],
)
def test_the_contracts_can_fail(tmp_path, importer, imported):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    parts = ("cube", "physics", "surface", "campaign", "tasks")
    inner = ("simulate", "reduce", "infer", *(f"falsify/{part}" for part in ("", *parts)))
    for room in (*ROOMS, *(f"pipeline/{name}" for name in inner)):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    assert lint_imports(tmp_path).returncode == 0  # empty rooms keep every contract

    (tmp_path / importer / "__init__.py").write_text(f"import {imported}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert "1 broken" in result.stdout


def test_ard_needs_numpy_and_astropy_only(tmp_path, base_environment):
    # A copy of ard alone, so that no other room of ours can be found either.
    shutil.copytree(ROOT / "ard", tmp_path / "ard", ignore=shutil.ignore_patterns("__pycache__"))
    result = run_python(IMPORT_ALL, tmp_path, base_environment, args=("ard",))
    assert result.returncode == 0, result.stderr
    assert {"ard", "numpy", "astropy"} <= set(result.stdout.split())


@pytest.mark.parametrize("name", ["click", "scipy", "asdf", "jsonschema", "checks"])
def test_the_base_environment_is_bare(base_environment, name):
    result = run_python(f"import {name}", base_environment)
    assert f"No module named '{name}'" in result.stderr


@pytest.mark.parametrize("room", ["schemas", "manifests"])
def test_declarations_load_nothing_of_ours(room):
    assert not loaded_by(room) & (set(ROOMS) - {room})


@pytest.mark.parametrize("room", ["checks", "release"])
def test_the_judge_and_the_releaser_work_without_the_study(room):
    heavy = {
        "jax", "jaxlib", "galpy", "psycopg2", "sqlalchemy", "matplotlib", "pytask", "pipeline",
    }  # fmt: skip
    assert not loaded_by(room) & heavy


def test_the_judge_is_importable_without_pytest():
    assert "pytest" not in loaded_by("checks")
