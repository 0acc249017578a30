"""Does the runner read what is declared, write all or nothing, and say where things come from?

Oracle: sha256 computed here with hashlib; the declarations of the toy graph.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ard.errors import ArdError
from pipeline import graph, runner
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
