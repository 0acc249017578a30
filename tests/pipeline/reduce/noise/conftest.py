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
from pipeline.simulate import geometry


class Observed(NamedTuple):
    """A prepared cube with its exposures, and what the stage made of them."""

    cube: ard.Cube
    exposures: dict[str, dithers.Dither]
    roles: ard.Table
    result: dict[str, Any]


def _observe(folder: Path, size: str, dithers_of: str) -> Observed:
    archive = noises.write_twin(folder, size, dithers=dithers_of)
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
def observed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Observed]:
    @cache
    def make(size: str, dithers_of: str = geometry.WHOLE) -> Observed:
        return _observe(tmp_path_factory.mktemp(size), size, dithers_of)

    return make


@pytest.fixture(scope="session")
def tiny(observed: Callable[..., Observed]) -> Observed:
    return observed("tiny")


@pytest.fixture(scope="session")
def divided(observed: Callable[..., Observed]) -> Observed:
    """The same with the dithers of GO-3149, which are parts of spaxels."""
    return observed("tiny", geometry.REAL)
