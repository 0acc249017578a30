"""Do the declarations of the stages agree with their modules, and do they make one graph?

Oracle: the signature and the configuration class of each module.
"""

import dataclasses
import importlib
import inspect

import pytest

import schemas
import schemas.tables
from ard import layout
from pipeline import plans
from pipeline.code import code_sha256
from pipeline.config import config_class
from pipeline.graph import build_tasks
from pipeline.stages import SOURCES, STAGES

LAYERS = {*layout.LAYERS, f"validation/{layout.FIGURES_DIR}"}
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def test_names_are_unique():
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)


@each_stage
def test_run_takes_what_is_declared_and_nothing_else(stage):
    run = importlib.import_module(stage.module).run
    expected = {read.name for read in stage.reads} | {"config"}
    if stage.collects:
        expected |= {"products", "rows"}
    assert set(inspect.signature(run).parameters) == expected


@each_stage
def test_the_configuration_is_frozen_and_has_defaults(stage):
    config = config_class(stage)()
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


@each_stage
def test_the_declaration_is_complete(stage):
    assert stage.summary
    assert stage.code
    assert len(code_sha256(stage.code)) == 64
    assert set(stage.sources) <= set(SOURCES)
    for write in stage.writes:
        assert not write.layer or write.layer in LAYERS
        assert not (stage.per_item and "{item}" not in write.path)


def test_every_schema_that_is_named_exists():
    named = {write.schema for stage in STAGES for write in stage.writes if write.schema}
    assert named <= set(schemas.names()) | set(schemas.tables.names())


def test_the_simulation_makes_one_graph(tmp_path):
    plan = plans.twin_plan(tmp_path, settings=("simulate.size=tiny",))
    tasks = build_tasks(plan, plans.stages_for("twin"))
    made = {path for task in tasks for path in task.output_files().values()}
    assert plan.items == ("t001", "t002")
    assert len(made) == sum(len(task.output_files()) for task in tasks)
    outside = {p for t in tasks for p in t.input_files().values()} - made
    assert {path.name for path in outside} == {
        *("rbh1.toml", "filters.toml", "acceptance.toml", "shocks.toml"),
    }
    products = {p.relative_to(tmp_path).as_posix() for p in made if "products" in p.parts}
    assert "products/likelihood/t001_cube.fits" in products
    assert "products/run.json" in products


def test_what_a_stage_reads_is_nowhere_opened_by_its_code(tmp_path):
    """Oracle: the inputs of the tasks; their digests stand in the provenance of what they make."""
    plan = plans.twin_plan(tmp_path, settings=("simulate.size=tiny",))
    tasks = {task.name: task for task in build_tasks(plan, plans.stages_for("twin"))}
    for name in ("geometry", "photometry", "images"):
        assert tasks[name].inputs["filters"].name == "filters.toml"
    assert tasks["dashboard"].inputs["acceptance"].name == "acceptance.toml"


def test_a_setting_of_one_stage_leaves_the_others_settings_alone(tmp_path):
    def digests(*settings):
        plan = plans.twin_plan(tmp_path, settings=("simulate.size=tiny", *settings))
        return {t.name: t.config_sha256 for t in build_tasks(plan, plans.stages_for("twin"))}

    before, after = digests(), digests("maps.snr_shown=6")
    changed = {name for name in before if before[name] != after[name]}
    # materialize states the digest of all settings in run.json.
    assert changed == {"maps[t001]", "maps[t002]", "materialize"}


def test_stages_that_need_images_are_left_out_without_them(tmp_path):
    plan = plans.twin_plan(tmp_path, settings=("simulate.size=tiny",))
    whole = {task.name for task in build_tasks(plan, plans.stages_for("twin"))}
    bare = dataclasses.replace(
        plan, inputs={name: files for name, files in plan.inputs.items() if name != "images"}
    )
    rest = {task.name for task in build_tasks(bare, plans.stages_for("twin"))}
    assert whole - rest == {"geometry", "photometry", "images"}


def test_stages_of_shocks_are_left_out_without_models(tmp_path):
    plan = plans.twin_plan(tmp_path, settings=("simulate.size=tiny",))
    whole = {task.name for task in build_tasks(plan, plans.stages_for("twin"))}
    bare = {name: files for name, files in plan.inputs.items() if name != "shockgrid"}
    rest = build_tasks(dataclasses.replace(plan, inputs=bare), plans.stages_for("twin"))
    assert whole - {task.name for task in rest} == {"shocks", "shockfigures"}
