"""Which quantities are quoted? Oracle: construction."""

import pytest

from manifests.errors import ManifestError
from manifests.headlines import is_headline, load_headlines

ROW = '[[quantities]]\nname = "v"\nwhat = "a velocity"\nsource = "a test"\n'


def test_the_study_says_what_it_quotes():
    found = load_headlines()
    assert {"delta_v_tip_kms", "span_kms", "inclination_deg", "v_shock_kms"} <= set(found)
    assert is_headline("span_kms")
    assert is_headline("span_kms[3]")
    assert not is_headline("span")
    assert not is_headline("lp")


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
