"""Has everything that is assumed of shocks its source, and is what is impossible refused?"""

import pytest

from manifests import ManifestError
from manifests.shocks import SHOCKS_FILE, load_shocks


def changed(tmp_path, old, new):
    text = SHOCKS_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "shocks.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_studys_assumptions():
    found = load_shocks()
    # reference/shocks.md 2.5 and section 5; published_values v_bh.
    assert found.floor_dex("OIII_5007") == 0.12
    assert found.floor_dex("ArIII_7136") == 0.1
    assert found.floors_dex == (0.03, 0.1, 0.15, 0.2)
    assert found.gradient_kms == (954.0, 828.0, 1064.0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("snr_linear = 5.0", "snr_linear = 0.0", "'snr_linear' must be positive"),
        ("sigma_mag = 0.5", "sigma_mag = -0.5", "a width is not negative"),
        ("floors_dex = [0.03, 0.1, 0.15, 0.2]", "floors_dex = []", "must be a list of numbers"),
        ('ion = "NII"', 'ion = "OIII"', "an ion has one floor"),
        ('ion = "other"', 'ion = "OI"', "ions without a row need a floor"),
        ('evidence = "data"', 'evidence = "hearsay"', "'evidence' is not known"),
        ("half = 0.5", "half = 0.5\nthird = 1", "unknown field"),
    ],
)
def test_what_is_impossible_is_refused(tmp_path, old, new, says):
    with pytest.raises(ManifestError, match=says):
        load_shocks(changed(tmp_path, old, new))


def test_a_virial_velocity_is_declared_with_its_source_or_not_at_all(tmp_path):
    assert load_shocks().v_virial_kms is None
    declared = '[virial]\nv_kms = 180.0\nsource = "a mass"\nevidence = "choice"\n\n[bow]'
    assert load_shocks(changed(tmp_path, "[bow]", declared)).v_virial_kms == 180.0
    for old, new, says in (
        ('source = "a mass"\n', "", "source"),
        ("180.0", "-1.0", "'v_kms' must be positive"),
        ("v_kms = 180.0", "v_kms = 180.0\nsigma = 3.0", "unknown field"),
    ):
        (place := tmp_path / says[:3]).mkdir()
        with pytest.raises(ManifestError, match=says):
            load_shocks(changed(place, "[bow]", declared.replace(old, new)))
