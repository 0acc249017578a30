"""Does the distribution hold what it promises, and say what to type where something is missing?

Oracles: the wheel that hatchling builds, run against the base dependencies alone; git's list of
files; the packages' own import statements.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from stranger import run_python

import checks.entry

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = ("ard", "checks", "manifests", "pipeline", "release", "schemas")
INSTALL_LINE = "pip install 'rbh1-ard[study]'"

# What the study's plan names, used by the present code or not.
PLANNED = {
    "astropy", "astroquery", "numpy", "scipy", "jax", "jaxlib", "galpy", "pandera", "pytest",
    "hypothesis", "requests", "jsonschema", "matplotlib", "psycopg2-binary",
}  # fmt: skip
PLANNED_BOUNDS = {
    "astropy": "6.0", "astroquery": "0.4.11", "scipy": "1.12", "matplotlib": "3.8", "jax": "0.4",
    "galpy": "1.9", "numpy": "2.1",
}  # fmt: skip


def requirements(*extras: str) -> dict[str, Requirement]:
    optional = PROJECT["optional-dependencies"]
    lines = PROJECT["dependencies"] + [line for extra in extras for line in optional[extra]]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def project_files() -> list[str]:
    """Files that are, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing says which files are the project's")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files alone, as an installation without dependencies leaves them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {name for name in project_files() if name.split("/")[0] in ROOMS and "/" in name}
    assert names == ours
    suffixes = {Path(name).suffix for name in names}
    assert {".py", ".json", ".toml", ".typed"} <= suffixes  # data files travel too


def test_a_stranger_can_import_ard_from_the_wheel(installed, base_environment, tmp_path):
    code = "import ard; print(ard.__file__); print(sorted(set(ard.__all__) - set(dir(ard))))"
    result = run_python(code, installed, base_environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(installed / "ard" / "__init__.py"), "[]"]


@pytest.mark.parametrize("program", ["rbh1", "rbh1-check", "rbh1-release"])
@pytest.mark.parametrize("argument", ["--help", "anything"])
def test_without_the_extra_each_command_says_what_to_type(
    installed, base_environment, tmp_path, program, argument
):
    (scripts,) = installed.glob("*.dist-info/entry_points.txt")
    parser = ConfigParser()
    parser.read(scripts)
    module, _, function = parser["console_scripts"][program].partition(":")
    code = f"from {module} import {function}\nsys.exit({function}())"
    result = run_python(code, installed, base_environment, args=(argument,), cwd=tmp_path)
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.startswith(f"{program} needs the library '")
    assert INSTALL_LINE in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_installation_is_not_taken_for_a_missing_extra(monkeypatch):
    def import_module(name: str) -> None:
        raise ModuleNotFoundError("No module named 'checks.gone'", name="checks.gone")

    monkeypatch.setattr(checks.entry, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError, match=r"checks\.gone"):
        checks.entry.launch("checks.cli", "rbh1-check")


def test_the_exit_code_of_a_command_is_handed_on(monkeypatch):
    class Module:
        @staticmethod
        def cli(prog_name: str) -> int:
            assert prog_name == "rbh1-check"
            return 1

    monkeypatch.setattr(checks.entry, "import_module", lambda name: Module)
    assert checks.entry.launch("checks.cli", "rbh1-check") == 1


def test_name_python_and_extras():
    assert PROJECT["name"] == "rbh1-ard"
    assert PROJECT["requires-python"] == ">=3.12"
    assert (ROOT / ".python-version").read_text().split() == ["3.12"]
    assert set(PROJECT["optional-dependencies"]) == {
        "study", "cuda", "mdb", "peers", "samplers", "docs", "test",
    }  # fmt: skip
    assert set(requirements()) == {"numpy", "astropy"}


def test_lower_bounds_are_at_least_the_plans():
    for name, requirement in requirements("study").items():
        lowest = [part.version for part in requirement.specifier if part.operator == ">="]
        assert lowest, f"{name} has no lower bound"
        assert Version(lowest[0]) >= Version(PLANNED_BOUNDS.get(name, "0")), name


def imported_distributions(folders: tuple[str, ...]) -> set[str]:
    """The distributions whose modules the given folders import, anywhere in their code."""
    brings = metadata.packages_distributions()
    names = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    outside = names - set(sys.stdlib_module_names) - set(ROOMS)
    return {canonicalize_name(brings.get(name, [name])[0]) for name in outside}


def test_what_the_rooms_import_is_declared_and_the_other_way_round():
    declared = set(requirements("study"))
    used = imported_distributions(ROOMS)
    # astropy requires pyyaml, and reads ECSV with it; mdb is imported where it is asked for; pytest
    # is there where it loads the plugin of the contract server.
    assert used - declared - {"pyyaml", "pymysql", "pytest"} == set()
    idle = declared - used - PLANNED
    # asdf-astropy is found by asdf, as its plug-in, to write the transforms of a gwcs.
    assert idle <= {"asdf-astropy"}


def lock_entries(lock: str) -> dict[str, str]:
    """Name to the whole text of its entry in a lock."""
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.M)
    entries = re.split(r"\n(?=\S)", text.strip())
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.lock", ("study", "test", "docs")), ("requirements-lowest.lock", ("study",))],
)
def test_a_lock_pins_and_hashes_all_that_is_declared(lock, extras):
    entries = lock_entries(lock)
    for entry in entries.values():
        assert "--hash=sha256:" in entry, entry
    for name, requirement in requirements(*extras).items():
        version = re.match(r"[^=\s\[]+(?:\[[^]]*])?==(\S+)", entries[name])
        assert version, name
        assert requirement.specifier.contains(version[1]), f"{name} is locked at {version[1]}"


def test_the_lowest_lock_is_the_lowest():
    entries = lock_entries("requirements-lowest.lock")
    for name, requirement in requirements().items():
        lowest = [part.version for part in requirement.specifier if part.operator == ">="]
        assert entries[name].startswith(f"{name}=={lowest[0]}"), entries[name][:40]


def test_no_file_names_a_package_index_or_a_place_on_one_machine():
    # Spelled in two parts, or this file would be the one that does.
    hosts = ["py" + "pi.org", "python" + "hosted", "deb" + "ian.org", "npm" + "js.org"]
    roots = ["/" + word + "/" for word in ("root", "work", "farm", "tmp", "opt")]
    forbidden = re.compile("|".join(map(re.escape, hosts + roots)))
    named = []
    for name in project_files():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        named += [
            f"{name}: {line.strip()[:80]}" for line in text.split("\n") if forbidden.search(line)
        ]
    assert named == []


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    software = (ROOT / "CHANGELOG.md").read_text().partition("## Software")[2]
    newest = re.search(r"^### (\S+)", software, flags=re.M)
    assert newest
    assert newest[1] == PROJECT["version"]
    assert "\n## Dataset\n" in software
    assert metadata.version("rbh1-ard") == PROJECT["version"]


def test_the_workflow_runs_what_continuous_integration_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["run"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    script = (ROOT / ".ci/run").read_text()
    for target in ("demo", "test", "lowest", "lint", "types", "layers", "docs"):
        assert re.search(rf"^step \w+ make\b.* {target}\b", script, flags=re.M), target


def test_the_data_files_of_the_rooms_parse():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.json"):
            json.loads(path.read_text())
        for path in (ROOT / room).rglob("*.toml"):
            tomllib.loads(path.read_text())
