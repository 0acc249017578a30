"""Do the validators of other people accept the papers, and would they notice a fault?

Oracles: datacite, cffconvert, frictionless and roc-validator (RO-Crate 1.1 and Process Run Crate),
none of which is given the network. Each of them is also shown papers with a planted fault, all in
one process, for roc-validator takes seconds to start.
"""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from datacite import schema45
from papers import DEPOSIT, FIRST, SECOND, full_dataset, make_release, validators_environment
from small_run import HLSP, FakeJudge

import ard
import release.build
from ard.errors import ArdError, NotFoundError
from release import validators
from release.build import Options, build
from release.record import record_of
from release.render.datacite import datacite_document
from release.validators import ask_outside, crate_context


def edit_json(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return damage


def crate(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Change one entity of the crate after another."""
    return edit_json(
        "ro-crate-metadata.json", lambda document: list(map(change, document["@graph"]))
    )


def table(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def change_table(document: dict) -> None:
        (resource,) = (row for row in document["resources"] if row.get("type") == "table")
        change(resource)

    return edit_json("datapackage.json", change_table)


def edit_cff(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        document = yaml.safe_load((folder / "CITATION.cff").read_text())
        change(document)
        (folder / "CITATION.cff").write_text(yaml.safe_dump(document))

    return damage


def append(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / name).open("a") as stream:
            stream.write(text)

    return damage


def without(key: str, kind: str) -> Callable[[dict], object]:
    return lambda entity: entity.pop(key, None) if entity["@type"] == kind else None


CUBE = HLSP.format(major=1, type="likelihood-cube")
# Fault: the format, the damage, and a word of what its validator has to say.
FAULTS = {
    "no author": ("cff", edit_cff(lambda d: d.update(authors=[])), "too short"),
    "wrong doi": ("cff", edit_cff(lambda d: d.update(doi="nonsense")), "nonsense"),
    "invented key": ("cff", edit_cff(lambda d: d.update(invented=1)), "invented"),
    "wrong licence": ("cff", edit_cff(lambda d: d.update(license="CC-BY-9")), "CC-BY-9"),
    "no YAML": ("cff", append("CITATION.cff", "\n: [\n"), "while parsing"),
    "changed table": ("datapackage", append("likelihood_lines.ecsv", "Hb 0.4861\n"), "hash"),
    "changed cube": ("datapackage", append(CUBE, "x"), "hash"),
    "wrong type": (
        "datapackage",
        table(lambda row: row["schema"]["fields"][0].update(type="number")),
        "number",
    ),
    "wrong row of names": (
        "datapackage",
        table(lambda row: row["dialect"].update(headerRows=[2])),
        "wave_vac_um",
    ),
    "no resources": ("datapackage", edit_json("datapackage.json", lambda d: d.pop("resources")),
                     "resources"),
    "no licence": ("rocrate", crate(without("license", "Dataset")), "license"),
    "no day": ("rocrate", crate(without("datePublished", "Dataset")), "date"),
    "no instrument": ("rocrate", crate(without("instrument", "CreateAction")), "instrument"),
    "lost file": ("rocrate", lambda folder: (folder / "checks.json").unlink(), "checks.json"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bundles(run_template, tmp_path_factory, monkeypatch_module) -> dict[str, Path]:
    """A first version, a second with something in every field, and one for each fault."""
    root = tmp_path_factory.mktemp("papers")
    first = build(run_template, root / "deposit", DEPOSIT, judge=FakeJudge()).folder
    second = Options("2.0.0", "2026-03-04", reservation=SECOND, previous=first)
    good = {"deposit": first}
    monkeypatch_module.setattr(release.build, "load_dataset", full_dataset)
    good["second"] = build(run_template, root / "second", second, judge=FakeJudge()).folder
    for fault, (_, damage, _) in FAULTS.items():
        good[fault] = Path(shutil.copytree(good["deposit"], root / fault))
        damage(good[fault])
    return good


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def answers(bundles) -> dict[tuple[str, str], tuple[str, ...]]:
    """What the outsiders say, by name of the bundle and format; one process asks them all."""
    papers = [
        (format, bundles[name])
        for name in ("deposit", "second")
        for format in ("cff", "datapackage", "rocrate")
    ]
    papers += [(format, bundles[fault]) for fault, (format, _, _) in FAULTS.items()]
    found = ask_outside(papers, validators_environment())
    return {(folder.name, format): problems for (format, folder), problems in found.items()}


@pytest.mark.parametrize("format", ["cff", "datapackage", "rocrate"])
@pytest.mark.parametrize("name", ["deposit", "second"])
def test_the_validators_of_others_accept_the_papers(answers, name, format):
    assert answers[name, format] == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validators_of_others_notice_a_planted_fault(answers, fault):
    format, _, word = FAULTS[fault]
    problems = answers[fault, format]
    assert problems
    assert word.lower() in " ".join(problems).lower(), problems


def test_the_tables_are_read_as_they_were_written(bundles, tmp_path):
    # Oracle: frictionless reads the package's description, astropy the table itself.
    code = (
        "import json, sys; from frictionless import Package\n"
        "package = Package(sys.argv[1])\n"
        "rows = {r.name: [list(map(str, row.values())) for row in r.read_rows()]\n"
        "        for r in package.resources if r.type == 'table'}\n"
        "print(json.dumps(rows))"
    )
    python = validators_environment() / "bin" / "python"
    command = [python, "-I", "-c", code, bundles["deposit"] / "datapackage.json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = ard.open(bundles["deposit"]).table("lines").data
    expected = [[row["name"], str(row["wave_vac_um"])] for row in lines.filled()]
    assert json.loads(shown.stdout) == {"likelihood.lines": expected}


# ---- DataCite


def datacite_errors(document: dict) -> list[str]:
    return [error.message for error in schema45.validator.iter_errors(document)]


def test_datacite_accepts_its_paper(bundles):
    for name in ("deposit", "second"):
        document = json.loads((bundles[name] / "datacite.json").read_text())
        assert datacite_errors(document) == []
        assert schema45.tostring(document)  # its XML form can be made as well


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("publicationYear"),
        lambda document: document.update(doi="nonsense"),
        lambda document: document.update(invented=1),
        lambda document: document["types"].update(resourceTypeGeneral="Cube"),
        lambda document: document["relatedIdentifiers"][0].update(relationType="isversionof"),
        lambda document: document["contributors"][0].update(contributorType="datacollector"),
        lambda document: document["dates"][0].update(dateType="Reserved"),
        lambda document: document["creators"][0].pop("name"),
    ],
)
def test_datacite_notices_a_planted_fault(run_template, change):
    release = make_release(run_template, dataset=full_dataset())
    document = copy.deepcopy(datacite_document(record_of(release)))
    assert datacite_errors(document) == []
    change(document)
    assert datacite_errors(document)


def test_datacite_learns_of_the_other_versions(run_template):
    first = datacite_document(record_of(make_release(run_template)))
    assert first["doi"] == FIRST.doi
    assert first["url"] == "https://archive.example.org/records/144"
    second = datacite_document(record_of(make_release(run_template, reservation=SECOND)))
    relations = {
        (row["relationType"], row["relatedIdentifier"]) for row in second["relatedIdentifiers"]
    }
    assert ("IsVersionOf", SECOND.concept_doi) in relations
    assert ("IsNewVersionOf", SECOND.previous_doi) in relations
    assert "IsNewVersionOf" not in {row["relationType"] for row in first["relatedIdentifiers"]}


def test_without_a_reservation_datacite_has_no_doi(run_template):
    document = datacite_document(record_of(make_release(run_template, reservation=None)))
    assert not {"doi", "url"} & set(document)
    assert datacite_errors(document) == []


# ---- asking


def test_an_environment_that_is_not_there_is_told(bundles, tmp_path):
    with pytest.raises(NotFoundError, match="no such environment of validators"):
        ask_outside([("cff", bundles["deposit"])], tmp_path)


def test_a_validator_that_is_not_installed_is_told(bundles, tmp_path, monkeypatch):
    papers = [("cff", bundles["deposit"]), ("rocrate", bundles["deposit"])]
    monkeypatch.setattr(validators, "find_spec", lambda name: None)
    assert ask_outside(papers) == dict.fromkeys(papers)
    assert crate_context() is None
    # An environment without any of them: a Python that belongs to no environment.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    assert ask_outside(papers, tmp_path) == dict.fromkeys(papers)


def test_a_validator_that_breaks_is_told(bundles, tmp_path):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(ArdError, match=r"validator of other people broke[\s\S]*out of order"):
        ask_outside([("cff", bundles["deposit"])], tmp_path)
