"""Is a cube that cannot be reduced refused before anything is computed, with its file named?

Oracle: the error that the linemaps stage itself raises for the same cube.
"""

from dataclasses import replace

import numpy as np
import pytest
from builders import make_cube

import ard
from ard.errors import ArdError, NotFoundError
from manifests import Position, load_target
from pipeline import plans
from pipeline.graph import build_tasks
from pipeline.linemaps import spaxels

NIRSPEC = {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "SIMULATD": True}
STRANGER = {"TELESCOP": "GEMINI", "INSTRUME": "GMOS", "SIMULATD": True}
SIZE = 60


@pytest.fixture
def written(tmp_path):
    """Write a cube around [O III] at the redshift of RBH-1, with a header of choice."""

    def write(meta, **changes):
        cube = make_cube(shape=(SIZE, 4, 3)).replace(
            wave=0.97 + 0.000636 * np.arange(SIZE), meta=meta, **changes
        )
        path = tmp_path / "mine.fits"
        ard.write(path, cube)
        return path

    return write


def plan(path, *settings):
    return plans.cube_plan(path.parent / "run", path, "rbh1", settings=settings)


def test_a_cube_of_an_unknown_instrument_is_refused_with_the_remedy_of_extract(written):
    path = written(STRANGER, lsf=None)
    with pytest.raises(ArdError, match="line-spread function of this cube is not known") as early:
        plan(path)
    # The small cube does not show the tip; the stage would say that first.
    target = replace(load_target("rbh1"), host=Position(40.44, -8.35), tip=None)
    with pytest.raises(ArdError) as late:
        spaxels.run(cube=ard.read_cube(path), target=target, config=spaxels.Config())
    assert early.value.file == str(path)
    for name in ("problem", "expected", "found", "action"):
        assert getattr(early.value, name) == getattr(late.value, name)
    assert early.value.action == "give the resolving power: --set linemaps.resolving_power=1000"


def test_the_remedy_helps(written):
    path = written(STRANGER, lsf=None)
    assert plan(path, "linemaps.resolving_power=1000").parts == {"groups": ("oiii",)}


@pytest.mark.parametrize("known", ["instrument", "extension"])
def test_a_known_line_spread_function_is_enough(written, known):
    path = written(NIRSPEC, lsf=None) if known == "instrument" else written(STRANGER)
    assert plan(path).items == ("rbh1",)


def test_a_file_that_is_no_cube_is_named_with_its_path(tmp_path):
    path = tmp_path / "mine.fits"
    path.write_bytes(b"nothing")
    with pytest.raises(ArdError) as error:
        plan(path)
    assert error.value.file == str(path)


def test_a_spectrum_of_the_archive_reaches_the_stage_that_compares(tmp_path, written):
    """Oracle: the inputs of the task; without the option the stage gets None."""
    small_cube = written(NIRSPEC)
    given = tmp_path / "my_x1d.fits"
    given.write_bytes(b"a spectrum")
    plan = plans.cube_plan(tmp_path / "run", small_cube, "rbh1", x1d=given)
    tasks = {task.name: task for task in build_tasks(plan, plans.stages_for("cube"))}
    assert tasks["extract[rbh1]"].inputs["archive"] == given
    assert tasks["extract[rbh1]"].inputs["noise"].name == "rbh1_noise.fits"
    plan = plans.cube_plan(tmp_path / "run", small_cube, "rbh1")
    tasks = {task.name: task for task in build_tasks(plan, plans.stages_for("cube"))}
    assert tasks["extract[rbh1]"].values["archive"] is None
    with pytest.raises(NotFoundError, match="the spectrum does not exist"):
        plans.cube_plan(tmp_path / "run", small_cube, "rbh1", x1d=tmp_path / "none.fits")
