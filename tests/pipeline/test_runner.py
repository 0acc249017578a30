"""Does the runner read what is declared, write all or nothing, and say where things come from?

Oracle: sha256 computed here with hashlib; the declarations of the toy graph.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ard.errors import ArdError
from manifests.target import TARGETS_DIR
from pipeline import graph, runner
from pipeline.code import tool_versions
from pipeline.graph import build_tasks
from pipeline.runner import Failure, execute, record_path
from pipeline.stages import Read, Stage, Write


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_first(toy_run, n):
    tasks = toy_run.tasks()
    for task in tasks[:n]:
        assert execute(task).failure is None
    return tasks


def test_the_graph_has_the_declared_files(toy_run):
    tasks = {task.name: task for task in toy_run.tasks()}
    root = toy_run.root
    assert list(tasks) == ["make", "double[a]", "double[b]", "total", "show", "gather"]
    assert tasks["double[b]"].input_files() == {"number": root / "archive/b.json"}
    assert tasks["double[b]"].output_files() == {"doubled": root / "work/double/b_doubled.json"}
    assert tasks["total"].inputs["doubled"] == {
        "a": root / "work/double/a_doubled.json",
        "b": root / "work/double/b_doubled.json",
    }
    assert sorted(tasks["gather"].output_files()) == [
        "products/inference/a_doubled.json",
        "products/inference/b_doubled.json",
        "products/validation/total.json",
        "run",
    ]


def test_a_stage_of_another_source_is_left_out(toy_run):
    names = [task.name for task in toy_run.tasks(source="cube")]
    assert names == ["double[a]", "double[b]", "total", "show", "gather"]


def test_products_say_where_they_come_from(toy_run):
    tasks = run_first(toy_run, 4)
    total = json.loads((toy_run.root / "work/total/total.json").read_text())
    found = total["provenance"]
    assert found["stage"] == "total"
    assert found["simulated"] is True
    assert found["inputs"] == {
        name: sha256(toy_run.root / name)
        for name in ("work/double/a_doubled.json", "work/double/b_doubled.json")
    }
    assert found["config_sha256"] == tasks[3].config_sha256
    assert found["code_sha256"] == tasks[3].code_sha256
    assert set(found["tools"]) >= {"numpy", "astropy"}
    assert found["seed"] is None
    made = json.loads((toy_run.root / "archive/a.json").read_text())
    assert made["provenance"]["seed"] == 5


READER = """
import json

def read_scaled(path, *, scale):
    found = json.loads(path.read_text())
    return found | {"value": found["value"] * scale}

def read_scale(path):
    return int(path.read_text())
"""


def test_a_reader_is_given_what_is_declared_for_it_and_the_stage_is_not(toy_run):
    """Oracle: the toy stage, which takes one input; its record names the other one as well."""
    run_first(toy_run, 1)
    (toy_run.code / "toy_reader.py").write_text(READER)
    scale = toy_run.root.parent / "scale.txt"
    scale.write_text("7")
    task = toy_run.tasks()[1]
    aid = Read("scale", "plan.scale", load="toy_reader:read_scale")
    read = Read("number", "plan.number", load="toy_reader:read_scaled", given=(aid,))
    task = replace(
        task,
        stage=replace(task.stage, reads=(read,)),
        inputs={**task.inputs, "scale": scale},
    )
    assert execute(task).failure is None
    doubled = json.loads((toy_run.root / "work/double/a_doubled.json").read_text())
    assert doubled["value"] == 7 * 2.0
    assert doubled["provenance"]["inputs"]["scale.txt"] == sha256(scale)


def test_what_a_reader_is_given_is_an_input_of_the_task(toy_run):
    make, double, *_ = toy_run.stages
    aid = Read("scale", "plan.scale", load="bytes")
    read = Read("number", "plan.number", given=(aid,))
    with pytest.raises(ArdError, match=r"reads 'plan\.scale', which nothing provides"):
        toy_run.tasks(stages=(make, replace(double, reads=(read,))))


def test_simulated_is_inherited_from_the_inputs(toy_run):
    run_first(toy_run, 1)
    task = next(t for t in toy_run.tasks(source="cube") if t.name == "double[a]")
    assert task.simulated is False
    assert execute(task).failure is None
    product = json.loads((toy_run.root / "work/double/a_doubled.json").read_text())
    assert product["provenance"]["simulated"] is True


def test_times_and_hosts_are_in_the_record_only(toy_run):
    run_first(toy_run, 2)
    record = json.loads(record_path(toy_run.root, "double[a]").read_text())
    output = toy_run.root / "work/double/a_doubled.json"
    assert record["status"] == "done"
    assert record["outputs"] == {"work/double/a_doubled.json": sha256(output)}
    assert record["start"] <= record["end"]
    assert record["host"]
    text = output.read_text()
    assert record["start"][:10] not in text
    assert str(toy_run.root) not in text


def test_a_copied_product_keeps_its_bytes(toy_run):
    run_first(toy_run, 6)
    for item in "ab":
        copy = toy_run.root / f"products/inference/{item}_doubled.json"
        assert sha256(copy) == sha256(toy_run.root / f"work/double/{item}_doubled.json")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return {}", "does not give what"),
        ("return {'total': {}, 'more': {}}", "does not give what"),
        ("return 3", "does not give what"),
        ("return {'total': {'x': float('nan')}}", "cannot be written as JSON"),
        ("raise ValueError('no good')", "ValueError: no good"),
    ],
)
def test_a_wrong_result_leaves_no_output(toy_run, body, problem):
    source = toy_run.code / toy_run.name / "total" / "stage.py"
    head = source.read_text().partition("def run")[0]
    source.write_text(f"{head}def run(*, doubled, missing, config):\n    {body}\n")
    tasks = run_first(toy_run, 3)
    result = execute(tasks[3])
    assert result.failure is not None
    assert problem in result.failure.problem
    folder = toy_run.root / "work/total"
    assert not folder.exists() or list(folder.iterdir()) == []
    record = json.loads(record_path(toy_run.root, "total").read_text())
    assert record["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("yield 'a', {'value': 1}", "they were not made"),
        ("yield 'c', {'value': 1}", "c"),
    ],
)
def test_a_stream_has_to_give_every_file_and_no_other(toy_run, body, found):
    source = toy_run.code / toy_run.name / "make" / "stage.py"
    head = source.read_text().partition("def run")[0]
    source.write_text(f"{head}def run(*, config):\n    {body}\n")
    result = execute(toy_run.tasks()[0])
    assert result.failure is not None
    assert result.failure.found == found


def test_a_failure_keeps_the_old_output(toy_run):
    run_first(toy_run, 2)
    output = toy_run.root / "work/double/a_doubled.json"
    before = output.read_bytes()
    task = next(t for t in toy_run.tasks("double.fail_on=1") if t.name == "double[a]")
    assert execute(task).failure is not None
    assert output.read_bytes() == before


def test_a_failure_reads_as_problem_file_expected_found_action():
    error = ArdError("it broke", file="x.fits", expected="a", found="b", action="do c")
    assert Failure.of(error).lines() == [
        "it broke",
        "  file: x.fits",
        "  expected: a",
        "  found: b",
        "  what to do: do c",
    ]


def test_a_read_that_nothing_provides_is_refused(toy_run):
    broken = replace(toy_run.stages[2], reads=(Read("doubled", "double.dobled"),))
    toy_run.stages = (*toy_run.stages[:2], broken)
    with pytest.raises(ArdError, match=r"reads 'double.dobled', which nothing provides"):
        toy_run.tasks()


def test_two_products_of_one_name_are_refused(toy_run):
    clash = replace(
        toy_run.stages[2],
        writes=(Write("total", "work/total/a_doubled.json", "document", "inference"),),
    )
    toy_run.stages = (*toy_run.stages[:2], clash, toy_run.stages[4])
    with pytest.raises(ArdError, match="two stages make the same product"):
        toy_run.tasks()


@pytest.mark.parametrize(
    ("groups", "names"),
    [(("all",), ["a_map.json"]), (("x", "y"), ["a_map-x.json", "a_map-y.json"])],
)
def test_parts_are_named_only_where_there_are_several(toy_run, groups, names):
    stage = Stage(
        "split", f"{toy_run.name}.show.stage", "parts", per_item=True, code=(toy_run.name,),
        writes=(Write("maps", "work/{item}_map{part}.json", "document", parts="groups"),),
    )  # fmt: skip
    from pipeline.config import make_config

    config = make_config(stages=(stage,))
    plan = graph.Plan(toy_run.root, "cube", ("a",), {}, {}, {"groups": groups}, {}, config)
    (task,) = build_tasks(plan, (stage,))
    assert sorted(p.name for p in task.output_files().values()) == names
    assert list(task.outputs["maps"]) == list(groups)  # type: ignore[arg-type]


def test_headers_and_own_readers_load_what_they_promise(tmp_path: Path):
    from astropy.io import fits

    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")]).writeto(path)
    assert list(runner._load(path, "headers")) == ["PRIMARY", "SCI"]
    assert runner._load({"n": path}, "path") == {"n": path}
    assert runner._load(path, "os.path:basename") == "x.fits"


def outside(toy_run, tmp_path, body, extra=()):
    """A task of the toy stage 'double' that reads a file of the user, with another body."""
    source = toy_run.code / toy_run.name / "double" / "stage.py"
    head = source.read_text().partition("def run")[0]
    names = "".join(f"{name}, " for name in ("number", *extra))
    source.write_text(f"{head}def run(*, {names}config):\n    {body}\n")
    task = next(t for t in toy_run.tasks(source="cube") if t.name == "double[a]")
    cube = tmp_path / "given" / "cube.json"
    cube.parent.mkdir()
    cube.write_text('{"value": 3}')
    return replace(task, inputs={"number": cube}), cube


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("None", "7"),
        ("'jw1_s3d.fits'", "7; the header calls it jw1_s3d.fits"),
        ("'cube.json'", "7"),
        ("'/no/such/jw1_s3d.fits'", "7; the header calls it jw1_s3d.fits"),
    ],
)
def test_an_error_names_the_file_that_the_user_gave(toy_run, tmp_path, file, found):
    body = f"from ard.errors import ArdError; raise ArdError('odd', file={file}, found=7)"
    task, cube = outside(toy_run, tmp_path, body)
    failure = execute(task).failure
    assert failure is not None
    assert (failure.problem, failure.file, failure.found) == ("odd", str(cube), found)


def test_an_error_about_a_file_that_exists_is_left_alone(toy_run, tmp_path):
    other = tmp_path / "other"
    other.write_text("")
    body = f"from ard.errors import ArdError; raise ArdError('odd', file={str(other)!r})"
    task, _ = outside(toy_run, tmp_path, body)
    failure = execute(task).failure
    assert failure is not None
    assert failure.file == str(other)


def test_the_file_of_the_target_is_not_taken_for_the_cube(toy_run, tmp_path):
    body = "from ard.errors import ArdError; raise ArdError('odd')"
    task, cube = outside(toy_run, tmp_path, body, ("target",))
    reads = (*task.stage.reads, Read("target", "plan.target", load="target"))
    target = TARGETS_DIR / "rbh1.toml"
    task = replace(
        task,
        stage=replace(task.stage, reads=reads),
        inputs={"number": cube, "target": target},
    )
    failure = execute(task).failure
    assert failure is not None
    assert failure.file == str(cube)


@pytest.mark.parametrize("change", ["write_text('{}')", "unlink()"])
def test_an_input_that_changes_meanwhile_fails_the_task(toy_run, tmp_path, change):
    place = tmp_path / "given" / "cube.json"
    body = f"import pathlib; pathlib.Path({str(place)!r}).{change}; return {{'doubled': {{}}}}"
    task, cube = outside(toy_run, tmp_path, body)
    failure = execute(task).failure
    assert failure is not None
    assert failure.problem == "an input of 'double[a]' changed while it was being used"
    assert failure.file == str(cube)
    assert "run again" in (failure.action or "")
    assert not any(path.exists() for path in task.output_files().values())


def test_two_inputs_of_one_name_are_both_on_record(toy_run, tmp_path):
    task, cube = outside(toy_run, tmp_path, "return {'doubled': {}}", ("flat",))
    second = tmp_path / cube.name
    second.write_text('{"value": 4}')
    reads = (*task.stage.reads, Read("flat", "plan.flat"))
    inputs = {"number": cube, "flat": {"x": second}}
    result = execute(replace(task, stage=replace(task.stage, reads=reads), inputs=inputs))
    assert result.failure is None
    product = json.loads((toy_run.root / "work/double/a_doubled.json").read_text())
    expected = {"number:cube.json": sha256(cube), "flat.x:cube.json": sha256(second)}
    assert product["provenance"]["inputs"] == expected
    assert json.loads(record_path(toy_run.root, "double[a]").read_text())["inputs"] == expected


def test_an_error_of_the_file_system_is_explained():
    failure = Failure.of(PermissionError(13, "Permission denied", "/data/x.fits"))
    assert failure.file == "/data/x.fits"
    assert failure.found == "Permission denied"
    assert failure.expected
    assert "report it" not in (failure.action or "")


def test_every_library_that_decides_about_bytes_is_named():
    # Cubes hold a gwcs in an ASDF extension, figures come from matplotlib.
    assert {"matplotlib", "asdf", "gwcs"} <= set(dict(tool_versions()))
