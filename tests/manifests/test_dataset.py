"""Is the declaration of the dataset complete, and refused where it is not?"""

import re

import pytest

from manifests import ManifestError
from manifests.catalogue import Agent, Event, Grant, Scope
from manifests.dataset import CARD_FIELDS, DATASET_FILE, load_dataset

AUTHOR = '[[authors]]\nname = "The rbh1-ard authors"\n'
PERSON = """
[[authors]]
family_name = "Doe"
given_name = "Jane"
orcid = "0000-0002-1825-0097"
affiliations = ["Institute of Tests"]
"""
EVENT = """
[[events]]
kind = "Collected"
date = "2025-07-01/2025-07-31"
source = "headers"
targets = ["rbh1"]
data = "observed"
"""
GRANT = """
[[grants]]
funder = "Fund"
ror = "01ggx4157"
number = "7"
title = "An award"
"""


def test_the_declaration_of_the_study_can_be_read():
    dataset = load_dataset()
    assert dataset.licence.spdx == "CC-BY-4.0"
    assert dataset.authors
    assert "{target}" in dataset.title
    assert set(dataset.card) == set(CARD_FIELDS)
    # A DOI has a registrant and a suffix (handbook of the DOI foundation, section 2.2).
    assert all(re.fullmatch(r"10\.\d{4,9}/\S+", row.doi) for row in dataset.references)


def test_people_days_grants_and_a_doi_of_the_software_can_be_declared(tmp_path):
    text = DATASET_FILE.read_text(encoding="utf-8")
    path = tmp_path / "dataset.toml"
    text = text.replace(AUTHOR, PERSON + '[[authors]]\nfamily_name = "Mono"\n' + EVENT + GRANT)
    path.write_text(text.replace('licence = "MIT"', 'licence = "MIT"\ndoi = "10.5072/zenodo.1"'))
    dataset = load_dataset(path)
    assert dataset.creators == (
        Agent("Doe, Jane", "Doe", "Jane", "0000-0002-1825-0097", ("Institute of Tests",)),
        Agent("Mono", "Mono"),
    )
    assert dataset.authors == ("Doe, Jane", "Mono")
    scope = Scope(("rbh1",), "observed")
    assert dataset.events == (Event("Collected", "2025-07-01/2025-07-31", scope),)
    assert dataset.grants == (Grant("Fund", "01ggx4157", "7", "An award"),)
    assert dataset.software.doi == "10.5072/zenodo.1"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[[authors]]", "[[others]]", "unknown field"),
        (AUTHOR, "", "no author"),
        ('keywords = ["astronomy"', 'keywords = ["", "astronomy"', "'keywords' must be a list"),
        ('purpose = "', 'porpoise = "', "unknown field"),
        ('people = "', 'people = "" # "', "'people' must be a text"),
        ('targets = ["rbh1"]\n', "", "'targets' must be a list"),
        ("[dataset.licence]", "[dataset.permit]", "unknown field"),
        ("Analysis-ready dataset of", "Analysis-ready\\ndataset of", "'title' must be one line"),
        ('role = "DataCollector"', 'role = "datacollector"', "'role' is not known"),
        ('relation = "References"', 'relation = "Quotes"', "'relation' is not known"),
        ('identifier = "arXiv:2512.04166"', 'identifier = "2512.04166"', "is no arXiv"),
        ('data = "observed"', 'data = "seen"', "'data' is not known"),
        ('doi = "10.3847/2041-8213/acba86"', 'doi = "acba86"', "'doi' is no DOI"),
        (AUTHOR, AUTHOR + AUTHOR, "named twice"),
        (AUTHOR, PERSON.replace("0097", "0098"), "no ORCID"),
        (AUTHOR, PERSON + 'email = "x"\n', "unknown field"),
        (AUTHOR, AUTHOR + EVENT.replace("2025-07", "2025-17"), "no date"),
        (AUTHOR, AUTHOR + EVENT.replace("Collected", "Seen"), "'kind' is not known"),
        (AUTHOR, AUTHOR + EVENT.replace("source", "origin"), "unknown field"),
        (AUTHOR, AUTHOR + GRANT.replace("01ggx4157", "x"), "no ROR"),
        (AUTHOR, AUTHOR + GRANT.replace('number = "7"\n', ""), "number and title"),
    ],
)
def test_a_declaration_with_a_gap_is_refused(tmp_path, old, new, problem):
    text = DATASET_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "dataset.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ManifestError, match=problem):
        load_dataset(path)
