"""Which quantities are quoted? Oracle: construction."""

import pytest

from manifests.errors import ManifestError
from manifests.headlines import is_headline, load_headlines
from pipeline.infer.scenes import SCENES
from pipeline.shocks.lattice import V

ROW = '[[quantities]]\nname = "v"\nwhat = "a velocity"\nsource = "a test"\n'


def test_the_study_says_what_it_quotes():
    found = load_headlines()
    assert {"delta_v_tip_kms", "span_kms", "inclination_deg", "v_kms"} <= set(found)
    assert is_headline("span_kms")
    assert is_headline("span_kms[3]")
    assert not is_headline("span")
    assert not is_headline("lp")


def test_every_quantity_is_one_that_chains_have():
    """A name that is in no chains asks nothing. Oracle: the names of the models themselves."""
    names = {V, "pa_deg", "v_flat_kms"}  # the last two: tests/pipeline/infer/test_ngc4324.py
    for scene in SCENES.values():
        names |= {*scene.prior.names, *scene.units}
    assert set(load_headlines()) <= names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROW + ROW, "declared twice"),
        (ROW.replace("what", "why"), "why"),
        (ROW.replace('source = "a test"\n', ""), "source"),
    ],
)
def test_a_bad_list_is_refused(text, words, tmp_path):
    file = tmp_path / "headlines.toml"
    file.write_text(ROW)
    assert load_headlines(file) == {"v": "a velocity"}
    file.write_text(text)
    with pytest.raises(ManifestError, match=words):
        load_headlines(file)
