"""Are the answers of the dataset card true, and do the links of the crate lead to the right file?

Oracles: the declaration that went in; the digests under which products name their inputs.
"""

import dataclasses

import pytest
from papers import FIRST, full_dataset, make_release

from release.render.datasheet import questions, render_datasheet
from release.render.rocrate import crate_document


@pytest.fixture(scope="module")
def release(run_template):
    return make_release(run_template)


def answer(release, word: str) -> str:
    (found,) = [row.answer for row in questions(release) if word in row.question]
    return found


def test_what_is_declared_is_answered(release):
    full = dataclasses.replace(release, dataset=full_dataset())
    assert answer(release, "Who made it") == ("The rbh1-ard authors. No institution is declared.")
    assert answer(full, "Who made it") == (
        "Doe, Jane; A group; Mono, of Institute of Tests; Second Institute."
    )
    assert answer(release, "Who paid") == "No funding is declared."
    assert answer(full, "Who paid") == "Paid for by Fund (7-1, An award); A patron."
    assert answer(release, "be reached").startswith("The authors, by way of the record at Zenodo")
    assert answer(full, "be reached").startswith("Doe, Jane, by way of")
    assert answer(release, "Over which time") == "Simulated data have no day of observation."
    assert answer(full, "Over which time") == "Collected on 2025-07-01/2025-08."


def test_what_the_run_decides_is_computed(release):
    cube = next(product for product in release.products if product.kind == "cube")
    masked = cube.description["masked_fraction"]
    assert f"{cube.name} {masked:.0%}" in answer(release, "missing from single files")
    assert "4 products" in answer(release, "How much")
    assert "numpy 2.1.0" in answer(release, "software")
    assert "under the licence MIT" in answer(release, "software")


def test_the_card_names_the_dataset_and_no_version_of_it(release):
    text = render_datasheet(release)
    assert FIRST.concept_doi in text
    assert FIRST.doi not in text
    assert release.version not in text
    without = render_datasheet(dataclasses.replace(release, reservation=None))
    assert "DOI of all versions: not yet reserved." in without
    assert "Not yet: without a DOI" in without


def test_the_crate_knows_a_product_by_what_the_run_called_it(release):
    # A card that the build writes into a file changes its digest; others name the run's.
    cube = next(product for product in release.products if product.kind == "cube")
    stamped = dataclasses.replace(cube, sha256="e" * 64)
    table = next(product for product in release.products if product.kind == "table")
    made_by = {**table.provenance, "stage": "later", "inputs": {cube.name: cube.source_sha256}}
    user = dataclasses.replace(table, provenance=made_by)
    document = crate_document(dataclasses.replace(release, products=(stamped, user)), ())
    action = next(row for row in document["@graph"] if row.get("name") == "stage later")
    assert action["object"] == {"@id": cube.name}
    assert f"#input-{cube.source_sha256}" not in {row["@id"] for row in document["@graph"]}
