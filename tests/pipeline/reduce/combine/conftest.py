"""Small exposures of a known scene, and a simulated observation on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from builders import make_wcs

import ard
from ard import io
from ard.fitsio import write_hdus
from pipeline.reduce.combine.exposure import ExposureCube, in_memory, open_exposure
from pipeline.simulate import TwinConfig, run

WAVE = 0.9703 + 0.000636 * np.arange(5)


@pytest.fixture(scope="session")
def moved() -> Callable[..., WCS]:
    """A grid whose pixels lie at (dx, dy) of that without an offset, turned about (5, 6)."""

    def make(dx: float = 0.0, dy: float = 0.0, angle: float = 0.0) -> WCS:
        wcs = make_wcs(angle)
        wcs.wcs.crpix = np.array([6.0, 7.0]) - [dx, dy]
        wcs.wcs.set()
        return wcs

    return make


@pytest.fixture(scope="session")
def science() -> Callable[..., list[ExposureCube]]:
    """Open the science exposures of a pointing of a simulated observation."""

    def give(twin: Path, item: str) -> list[ExposureCube]:
        listed = io.read_json(twin / "truth/truth.json")["pointings"][item]["science"]
        return [open_exposure(twin / "archive" / name) for name in listed]

    return give


@pytest.fixture(scope="session")
def level3() -> Callable[..., ExposureCube]:
    """Open the Level-3 cube of a pointing."""
    return lambda twin, item: open_exposure(next((twin / "archive").glob(f"*_{item}_*_s3d.fits")))


@pytest.fixture(scope="session")
def expose() -> Callable[..., ExposureCube]:
    """Make an exposure from what it holds; errors are 0.1 where not given."""

    def make(
        name: str, flux: np.ndarray, wcs: WCS, err: np.ndarray | float = 0.1, **more
    ) -> ExposureCube:
        flux = np.asarray(flux, float)
        var = np.broadcast_to(np.square(err), flux.shape)
        mask = more.pop("mask", ~(np.isfinite(flux) & np.isfinite(var) & (var > 0)))
        wave = more.pop("wave", WAVE[: flux.shape[0]])
        return in_memory(ard.Cube(flux, var, mask, wave, wcs, **more), name)

    return make


def write_twin(folder: Path, **settings) -> Path:
    for name, content in run(TwinConfig(**({"size": "tiny"} | settings))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            io.write_json(folder / name, content)
        else:
            write_hdus(folder / name, content)
    return folder


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny observation with its outliers."""
    return write_twin(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="session")
def clean_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny observation without outliers."""
    return write_twin(tmp_path_factory.mktemp("clean"), outliers=False)


@pytest.fixture(scope="session")
def real_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny observation on the dithers of GO-3149, parts of spaxels."""
    return write_twin(tmp_path_factory.mktemp("real"), dithers="real")
