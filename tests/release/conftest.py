"""Runs and bundles for the tests of the release."""

import shutil
from pathlib import Path

import pytest
from small_run import FakeJudge, write_run

from release.build import Options, build


@pytest.fixture(scope="session")
def run_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def run_folder(run_template: Path, tmp_path: Path) -> Path:
    """A simulated run that the test may change."""
    return Path(shutil.copytree(run_template, tmp_path / "run"))


@pytest.fixture
def observed_run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "observed", simulated=False)


@pytest.fixture(scope="session")
def built_bundle(run_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody changes."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    return build(run_template, out, Options(), judge=FakeJudge()).folder


@pytest.fixture
def bundle_folder(built_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that the test may damage."""
    return Path(shutil.copytree(built_bundle, tmp_path / "bundle"))


@pytest.fixture
def passing() -> FakeJudge:
    return FakeJudge()
