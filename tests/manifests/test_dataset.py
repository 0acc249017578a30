"""Is the declaration of the dataset complete, and refused where it is not?"""

import re

import pytest

from manifests import ManifestError
from manifests.dataset import CARD_FIELDS, DATASET_FILE, load_dataset


def test_the_declaration_of_the_study_can_be_read():
    dataset = load_dataset()
    assert dataset.licence.spdx == "CC-BY-4.0"
    assert dataset.authors
    assert "{target}" in dataset.title
    assert set(dataset.card) == set(CARD_FIELDS)
    # A DOI has a registrant and a suffix (handbook of the DOI foundation, section 2.2).
    assert all(re.fullmatch(r"10\.\d{4,9}/\S+", row.doi) for row in dataset.references)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[[authors]]", "[[others]]", "unknown field"),
        ('[[authors]]\nname = "The rbh1-ard authors"', "", "no author"),
        ('keywords = ["astronomy"', 'keywords = ["", "astronomy"', "'keywords' must be a list"),
        ('purpose = "', 'porpoise = "', "unknown field"),
        ('people = "', 'people = "" # "', "'people' must be a text"),
        ('targets = ["rbh1"]\n', "", "'targets' must be a list"),
        ("[dataset.licence]", "[dataset.permit]", "unknown field"),
    ],
)
def test_a_declaration_with_a_gap_is_refused(tmp_path, old, new, problem):
    text = DATASET_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "dataset.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ManifestError, match=problem):
        load_dataset(path)
