"""Does ``rbh1-release metadata`` print each paper as it is, and find those that are not valid?"""

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from papers import DEPOSIT, validators_environment
from small_run import FakeJudge

from ard.errors import IntegrityError, NotFoundError
from release import validation
from release.build import build
from release.cli import cli
from release.ready import readiness
from release.validation import FORMATS, examine, own_verdicts, read_paper


@pytest.fixture(scope="module")
def deposit(run_template, tmp_path_factory):
    """A bundle that could be deposited."""
    out = tmp_path_factory.mktemp("command") / "bundle"
    return build(run_template, out, DEPOSIT, judge=FakeJudge()).folder


@pytest.fixture
def damaged(deposit, tmp_path):
    return Path(shutil.copytree(deposit, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def environment():
    return validators_environment()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Other people's validators are asked where a test says so."""
    monkeypatch.delenv("RBH1_VALIDATORS", raising=False)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["metadata", *map(str, arguments)])


def seal(folder: Path, name: str, change) -> None:
    """Change a JSON paper and the manifest with it, as a faulty build would have written both."""
    path = folder / name
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    manifest = json.loads((folder / "manifest.json").read_text())
    row = next(row for row in manifest["files"] if row["name"] == name)
    row |= {"sha256": validation.sha256_file(path), "size": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "format", ["zenodo", "datacite", "cff", "rocrate", "datapackage", "html", "readme", "datasheet",
               "dictionary", "manifest", "checks"],
)  # fmt: skip
def test_a_paper_is_printed_byte_for_byte(deposit, format):
    shown = call(deposit, "--format", format)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == (deposit / FORMATS[format]).read_text()
    document = json.loads(call(deposit, "--format", format, "--json").stdout)
    assert document == {"format": format, "file": FORMATS[format], "text": shown.stdout}


def test_papers_are_listed_with_who_looked_at_them(deposit):
    shown = call(deposit)
    assert shown.exit_code == 0, shown.output
    rows = {line[24:].split()[0]: line for line in shown.stdout.splitlines()}
    assert set(rows) == {path.name for path in deposit.iterdir()} & set(FORMATS.values())
    for line in rows.values():
        assert line.startswith("not asked " if "; not installed: " in line else "valid ")
    assert "schema deposit-record" in rows["zenodo.json"]
    assert "DataCite 4.5" in rows["datacite.json"]


def test_the_list_is_json_on_demand(deposit):
    document = json.loads(call(deposit, "--json").stdout)
    assert document["valid"] is True
    assert document["bundle"] == str(deposit)
    row = next(row for row in document["papers"] if row["format"] == "zenodo")
    assert row == {
        "format": "zenodo",
        "file": "zenodo.json",
        "valid": True,
        "asked": ["manifest.json", "schema deposit-record"],
        "missing": [],
        "problems": [],
    }


def test_the_validators_of_others_are_asked_where_they_are(deposit, environment):
    verdicts = {row.format: row for row in examine(deposit, environment)}
    for format, tool in (("cff", "cffconvert"), ("datapackage", "frictionless"),
                         ("rocrate", "roc-validator")):  # fmt: skip
        assert verdicts[format].asked == ("manifest.json", "required fields", tool)
        assert verdicts[format].valid


def test_validators_that_are_not_there_are_named(deposit, monkeypatch):
    monkeypatch.setattr("release.validators.find_spec", lambda name: None)
    missing = {row.format: row.missing for row in examine(deposit) if row.missing}
    assert missing == {
        "cff": ("cffconvert",),
        "rocrate": ("roc-validator",),
        "datapackage": ("frictionless",),
    }
    shown = call(deposit).stdout
    assert "not installed: cffconvert" in shown
    assert [line for line in shown.splitlines() if line.startswith("valid      cff")] == []


def test_a_validator_that_is_not_installed_has_not_agreed(deposit, monkeypatch):
    monkeypatch.setitem(sys.modules, "datacite.schema45", None)
    (verdict,) = (row for row in own_verdicts(deposit) if row.format == "datacite")
    assert (verdict.asked, verdict.missing) == (("manifest.json",), ("DataCite 4.5",))
    problems = {row.file: row.problem for row in readiness(deposit, judge=FakeJudge())}
    assert problems["datacite.json"] == "DataCite 4.5 could not be asked"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("CITATION.cff", "nothing: here", "it has no authors"),
        ("CITATION.cff", "a: [", "it is no YAML"),
        ("CITATION.cff", "just words", "it is missing, or has no fields"),
        ("ro-crate-metadata.json", '{"@graph": []}', "the entity './' is missing"),
        ("ro-crate-metadata.json", "{}", "it does not list 'README.md'"),
        ("datapackage.json", '{"resources": []}', "it has no resources"),
        ("datapackage.json", '{"resources": [{"path": "x"}]}', "it lists 'x', which is not in"),
        ("datapackage.json", '{"resources": [{"path": "x"}]}', "resources[0] has no name"),
    ],
)
def test_what_a_paper_cannot_do_without_is_asked_for_without_validators(
    damaged, name, text, problem
):
    (damaged / name).write_text(text)
    verdict = next(row for row in own_verdicts(damaged) if row.file == name)
    assert any(problem in found for found in verdict.problems), verdict.problems


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("zenodo.json", lambda d: d["metadata"].update(title="x"), "metadata.title: 'x' is too sh"),
        ("datacite.json", lambda d: d.pop("creators"), "'creators' is a required property"),
        ("checks.json", lambda d: d.pop("verdict"), "'verdict' is a required property"),
    ],
)
def test_a_paper_that_is_not_valid_ends_with_1(damaged, name, change, problem):
    seal(damaged, name, change)
    shown = call(damaged)
    assert shown.exit_code == 1
    assert (
        f"NOT VALID  {next(key for key, file in FORMATS.items() if file == name)}" in shown.stdout
    )
    assert problem in shown.stdout
    assert json.loads(call(damaged, "--json").stdout)["valid"] is False


def test_a_bundle_without_a_day_of_release_is_told_so(built_bundle):
    shown = call(built_bundle)
    assert shown.exit_code == 1
    assert "'publication_date' is a required property" in shown.stdout
    assert "'publicationYear' is a required property" in shown.stdout


def test_a_paper_that_was_changed_is_neither_valid_nor_printed(damaged):
    path = damaged / "README.md"
    path.write_text(path.read_text() + "more\n")
    shown = call(damaged)
    assert shown.exit_code == 1
    assert "it is not the file that the manifest lists" in shown.stdout
    with pytest.raises(IntegrityError, match="changed after the bundle was built"):
        read_paper(damaged, "readme")
    assert call(damaged, "--format", "readme").exit_code == 3


def test_a_paper_that_is_no_json_is_a_problem_and_no_crash(damaged):
    for name in ("zenodo.json", "datacite.json", "checks.json"):
        (damaged / name).write_text("{")
    (damaged / "index.html").write_bytes(b"\xff<title>")
    shown = call(damaged)
    assert shown.exit_code == 1
    assert shown.stdout.count("not valid JSON") == 3
    assert shown.stdout.count("NOT VALID") == 4


def test_a_paper_that_is_missing_is_told(damaged):
    (damaged / "datacite.json").unlink()
    with pytest.raises(NotFoundError, match="no such paper"):
        read_paper(damaged, "datacite")
    shown = call(damaged, "--format", "datacite")
    assert (shown.exit_code, shown.stdout) == (3, "")


def test_what_is_no_bundle_or_no_format_is_told(tmp_path, deposit):
    assert call(tmp_path).exit_code == 3
    assert call(tmp_path, "--format", "cff").exit_code == 3
    assert call(deposit, "--format", "bibtex").exit_code == 2
    assert call(deposit, "--validators", tmp_path).exit_code == 3
