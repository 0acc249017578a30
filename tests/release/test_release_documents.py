"""Do the documents of a bundle say what is in it, and do their promises hold?

Oracles: the code blocks of the README are run in an environment of numpy and astropy alone; the
RO-Crate is read by the library of its own community; every name in the FITS files is looked up.
"""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from astropy.io import fits
from rocrate.rocrate import ROCrate
from small_run import CUBE, LINEMAP, FakeJudge, write_record, write_run
from stranger import ROOT, run_python

import ard
import schemas
from manifests.dataset import load_dataset
from release.build import build
from release.model import Release
from release.plan import make_plan
from release.render import render_template, table_cell
from release.render.datasheet import questions
from release.render.dictionary import structure

# The seven sections of Gebru et al. (2021), table of contents of the appendix.
SECTIONS = {
    *("Motivation", "Composition", "Collection", "Preprocessing"),
    *("Uses", "Distribution", "Maintenance"),
}
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def snippets(folder: Path) -> list[str]:
    return CODE.findall((folder / "README.md").read_text())


@pytest.fixture
def no_cube(run_folder: Path, tmp_path: Path) -> Path:
    """A bundle of a run that has no cube."""
    (run_folder / "products/likelihood/t001_cube.fits").unlink()
    write_record(run_folder)
    return build(run_folder, tmp_path / "without", judge=FakeJudge()).folder


@pytest.fixture
def lonely_ard(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "ard", tmp_path / "alone" / "ard", ignore=ignored)).parent


# ---- README


def test_the_first_snippet_has_ten_lines_and_needs_no_ard(built_bundle, base_environment):
    code = snippets(built_bundle)[0]
    assert len(code.splitlines()) == 10
    result = run_python(code, base_environment, cwd=built_bundle)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    cube = ard.open(built_bundle).cube()
    assert f"Test object {cube.shape} MJy/sr {(~cube.mask).mean():.0%}" in result.stdout


def test_both_snippets_agree(built_bundle, base_environment, lonely_ard):
    # Two roads to one number: bare FITS arrays, and the cube of `ard`.
    bare, with_ard = (
        run_python(code, lonely_ard, base_environment, cwd=built_bundle)
        for code in snippets(built_bundle)
    )
    assert with_ard.returncode == 0, with_ard.stderr
    number = re.compile(r"median of SCI over ERR (-?[0-9.]+)")
    assert number.search(bare.stdout)[1] == number.search(with_ard.stdout)[1]
    assert "inference/t001_linemap map linemap" in with_ard.stdout
    assert "SIMULATED DATA" in with_ard.stdout


def test_snippets_run_without_a_cube_too(no_cube, base_environment, lonely_ard):
    bare, with_ard = snippets(no_cube)
    assert len(bare.splitlines()) == 10
    result = run_python(bare, base_environment, cwd=no_cube)
    assert result.stdout.count("intact") == len(list(no_cube.iterdir())) - 2, result.stderr
    assert "DAMAGED" not in result.stdout
    result = run_python(with_ard, lonely_ard, base_environment, cwd=no_cube)
    assert result.returncode == 0, result.stderr


def test_the_readme_names_every_file_and_every_absence(built_bundle):
    text = (built_bundle / "README.md").read_text()
    for path in built_bundle.iterdir():
        if path.name != "README.md":
            assert f"`{path.name}`" in text
    assert "Absent: no synthetic cubes are made yet" in text
    assert "7 x 6 x 5 (wave, y, x), MJy/sr" in text
    assert "1 row, 2 columns" in text


def test_a_template_that_lacks_a_fact_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="release"):
        render_template("DATASHEET.md.j2", sections={})


def test_a_cell_stays_a_cell():
    assert table_cell("a | b\nc") == "a \\| b c"


# ---- dataset card


def release_of(run: Path, **changes: object) -> Release:
    made = Release(make_plan(run), load_dataset(), "1", None, (), FakeJudge().to_dict())
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize("simulated", [True, False])
def test_no_answer_of_the_dataset_card_is_empty(tmp_path, simulated):
    run = write_run(tmp_path / "run", simulated=simulated)
    if not simulated:
        write_record(run, simulated=False)
    answered = questions(release_of(run))
    assert len(answered) >= 40
    assert {row.section for row in answered} == SECTIONS
    assert len({row.question for row in answered}) == len(answered)
    for row in answered:
        assert len(row.answer.split()) >= 4, row
        assert "{" not in row.answer
        assert "None" not in row.answer
    collected = next(row.answer for row in answered if "observed, reported" in row.question)
    assert ("simulator" in collected) is simulated


def test_the_card_in_the_bundle_holds_every_answer(built_bundle):
    text = (built_bundle / "DATASHEET.md").read_text()
    blocks = re.findall(r"\*\*(.+?\?)\*\*\n\n(.*?)\n\n", text + "\n", re.DOTALL)
    assert len(blocks) >= 40
    assert all(answer.strip() for _, answer in blocks)
    assert "input_s3d.fits (sha256 " in text
    assert "numpy 2.1.0" in text
    assert "representative (no synthetic cubes are made yet)" in text


def test_a_card_says_so_where_nothing_is_missing(run_template):
    release = release_of(run_template)
    full = dataclasses.replace(release.plan, absent_layers={})
    answers = [row.answer for row in questions(dataclasses.replace(release, plan=full))]
    assert any(answer.startswith("All four layers have products.") for answer in answers)
    assert any("No product names an input file from elsewhere" in answer for answer in answers)


# ---- data dictionary


def test_the_dictionary_names_every_part_of_every_product(built_bundle):
    text = (built_bundle / "data-dictionary.md").read_text()
    parts = text.split("## Structure of each product")[1].split("\n### ")
    sections = {part.partition("\n")[0]: part for part in parts}
    for path in built_bundle.glob("*.fits"):
        with fits.open(path) as hdus:
            for hdu in hdus:
                assert f"| `{hdu.name}` | HDU" in sections[path.name]
    assert "| `wave_vac_um` | column | float64 | um |" in sections["likelihood_lines.ecsv"]
    assert "| `velocity` | layer |  | km/s |" in sections[LINEMAP]
    assert "| `velocity.png` | member |" in sections["validation_figures.zip"]


@pytest.mark.parametrize("name", ["cube", "linemap", "lines", "quality", "manifest", "provenance"])
def test_the_dictionary_explains_every_field_of_a_schema(built_bundle, name):
    text = (built_bundle / "data-dictionary.md").read_text()
    assert f"### {name}\n" in text
    for field in schemas.fields(name):
        assert f"`{field.name}`" in text
        assert table_cell(field.description) in text


def test_a_figure_has_no_structure():
    assert structure({"kind": "figure", "shape": [1, 1]}) == []


# ---- CITATION.cff


def test_the_citation_has_what_version_1_2_of_the_format_asks_for(built_bundle):
    document = yaml.safe_load((built_bundle / "CITATION.cff").read_text())
    assert {"authors", "cff-version", "message", "title"} <= set(document)  # required by 1.2.0
    assert document["cff-version"] == "1.2.0"
    assert document["type"] == "dataset"
    assert document["title"].startswith("[SIMULATED] ")
    assert document["license"] == "CC-BY-4.0"
    assert "simulated" in document["keywords"]
    assert "date-released" not in document
    dois = [reference["doi"] for reference in document["references"]]
    assert dois == [
        "10.3847/2041-8213/acba86",
        "10.3847/2041-8213/ae3d0e",
        "10.1051/0004-6361/202346430",
    ]
    assert all(
        {"authors", "title", "type"} <= set(reference) for reference in document["references"]
    )


def test_another_target_has_no_references_to_rbh1(run_folder, tmp_path):
    record = json.loads((run_folder / "products/run.json").read_text())
    write_record(run_folder, target={**record["target"], "item": "ngc7469", "name": "NGC 7469"})
    folder = build(run_folder, tmp_path / "b", judge=FakeJudge()).folder
    document = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert "references" not in document
    assert "NGC 7469" in document["title"]
    assert "citation" not in ROCrate(folder).root_dataset.properties()


# ---- RO-Crate


def test_the_crate_is_read_by_its_own_library(built_bundle):
    crate = ROCrate(built_bundle)
    assert crate.name.startswith("[SIMULATED] Analysis-ready dataset of Test object")
    assert crate.root_dataset["license"]["identifier"] == "CC-BY-4.0"
    files = {entity.id: entity for entity in crate.data_entities}
    assert set(files) == {path.name for path in built_bundle.iterdir()} - {"ro-crate-metadata.json"}
    manifest = ard.open(built_bundle).manifest
    for entry in manifest.entries:
        if entry.name in files:
            assert files[entry.name]["sha256"] == entry.sha256
            assert files[entry.name]["contentSize"] == str(entry.size)
            assert files[entry.name]["encodingFormat"] == entry.media_type
    dois = {entity.id for entity in crate.root_dataset["citation"]}
    assert "https://doi.org/10.3847/2041-8213/acba86" in dois


def test_the_crate_says_which_run_made_each_product(built_bundle):
    crate = ROCrate(built_bundle)
    assert crate.root_dataset["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    actions = {row["name"]: row for row in crate.get_by_type("CreateAction")}
    assert set(actions) == {"stage ingest", "stage linemap", "stage validate"}
    ingest = actions["stage ingest"]
    assert {row.id for row in ingest["result"]} == {
        CUBE,
        "likelihood_lines.ecsv",
    }
    assert ingest["instrument"]["name"] == "rbh1-ard"
    assert ingest["instrument"]["softwareVersion"] == "0.1.0"
    needed = {row["name"] for row in ingest["instrument"]["softwareRequirements"]}
    assert needed == {"numpy", "astropy"}
    assert ingest["object"]["name"] == "input_s3d.fits"
    assert ingest["object"]["identifier"] == "sha256:" + "c" * 64


def test_every_reference_within_the_crate_leads_somewhere(built_bundle):
    document = json.loads((built_bundle / "ro-crate-metadata.json").read_text())
    ids = [row["@id"] for row in document["@graph"]]
    assert len(ids) == len(set(ids))

    def links(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(links, value))
        return {value["@id"]} if isinstance(value, dict) else set()

    used = set().union(*(links(value) for row in document["@graph"] for value in row.values()))
    assert used - set(ids) == {"https://w3id.org/ro/crate/1.1"}


def test_a_product_that_is_an_input_of_another_is_named_as_such(run_folder, tmp_path):
    # The line map was made from the cube of the same bundle: the crate links the two.
    cube, path = (run_folder / "products" / name for name in (
        "likelihood/t001_cube.fits", "inference/t001_linemap.fits"
    ))  # fmt: skip
    maps = ard.read(path)
    inputs = {"t001_cube.fits": ard.io.sha256_file(cube)}
    made_by = dataclasses.replace(maps.provenance, inputs=inputs)
    ard.write(path, maps.replace(provenance=made_by), overwrite=True)
    crate = ROCrate(build(run_folder, tmp_path / "b", judge=FakeJudge()).folder)
    action = next(row for row in crate.get_by_type("CreateAction") if "linemap" in row["name"])
    assert action["object"].id == CUBE
