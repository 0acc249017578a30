"""The simulated observation, written once, and the noise stage run on it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import noises
import pytest

import ard
from pipeline.reduce import exposures, ingest
from pipeline.reduce.noise import dithers, stage


class Observed(NamedTuple):
    """A prepared cube with its exposures, and what the stage made of them."""

    cube: ard.Cube
    exposures: dict[str, dithers.Dither]
    roles: ard.Table
    result: dict[str, Any]


def _observe(folder: Path, size: str) -> Observed:
    archive = noises.write_twin(folder, size)
    names = sorted(archive.glob("jw*_nrs1_s3d.fits"))
    level3 = next(path for path in archive.iterdir() if "t001" in path.name)
    found = {path.name: exposures.read_exposure(path) for path in names}
    ard.write(
        folder / "exposures.ecsv",
        exposures.run(exposures=found, config=exposures.Config())["exposures"],
    )
    roles = ard.read(folder / "exposures.ecsv")  # as the stage gets it
    assert isinstance(roles, ard.Table)
    read = {path.name: dithers.read_dither(path) for path in names}
    raw = ard.read_cube(level3)
    cube = ingest.run(cube=raw, target=noises.RBH1, config=ingest.Config())["cube"]
    result = stage.run(
        item="t001",
        cube=cube,
        target=noises.RBH1,
        exposures=read,
        roles=roles,
        config=stage.Config(),
    )
    return Observed(cube, read, roles, result)


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Observed]:
    @cache
    def make(size: str) -> Observed:
        return _observe(tmp_path_factory.mktemp(size), size)

    return make


@pytest.fixture(scope="session")
def tiny(observed: Callable[[str], Observed]) -> Observed:
    return observed("tiny")
