"""Which filters make a colour: declared passbands, in closed form."""

from pathlib import Path

import pytest

from manifests.errors import ManifestError
from manifests.filters import FILTERS_FILE, load_filters

TEXT = FILTERS_FILE.read_text(encoding="utf-8")


def test_a_long_pass_filter_inside_of_another_makes_a_difference():
    filters = load_filters()
    assert filters.overlap("F200LP", "F350LP") == 1.0
    for pair in (("F200LP", "F350LP"), ("F350LP", "F200LP")):
        assert filters.relation(*pair) == "difference"
        assert filters.ordered(*pair) == ("F200LP", "F350LP")


def test_neighbouring_broad_bands_make_a_colour_the_bluer_first():
    filters = load_filters()
    # F606W ends at 7180 A, F814W begins at 6870 A: 310 of 2550 A.
    assert filters.overlap("F814W", "F606W") == pytest.approx(310 / 2550)
    for pair in (("F606W", "F814W"), ("F814W", "F606W")):
        assert filters.relation(*pair) == "colour"
        assert filters.ordered(*pair) == ("F606W", "F814W")
    assert filters.overlap("F502N", "F814W") == 0.0


def test_a_filter_of_another_camera_is_told_by_the_header():
    declared = load_filters().named("F350LP")
    assert declared.contradictions({"INSTRUME": "WFC3", "DETECTOR": "UVIS"}) == ()
    assert declared.contradictions({}) == ()  # a cut-out says nothing, or only the observatory
    assert declared.contradictions({"INSTRUME": "HST"}) == ()
    assert declared.contradictions({"INSTRUME": "ACS", "DETECTOR": "UVIS"}) == ("INSTRUME ACS",)
    with pytest.raises(ManifestError, match="not declared"):
        load_filters().named("F999W")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path = tmp_path / "filters.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("blue_angstrom = 2000.0", "blue_angstrom = 6000.0", "passband is impossible"),
        ("psf_fwhm_arcsec = 0.075", "psf_fwhm_arcsec = 0.0", "passband is impossible"),
        ("zero_point_err_mag = 0.02", "zero_point_err_mag = 0.0", "no calibration is without"),
        ('name = "F350LP"', 'name = "F200LP"', "declared once"),
        ("difference_above = 0.5", "difference_above = 1.5", "part of a passband"),
        ("pivot_angstrom = 4971.9", "pivot = 4971.9", "unknown field"),
        (
            'keywords = { INSTRUME = "WFC3", DETECTOR = "UVIS" }',
            "keywords = {}",
            "known by its keywords",
        ),
    ],
)
def test_what_is_impossible_is_refused(old, new, says, tmp_path):
    with pytest.raises(ManifestError, match=says):
        load_filters(edited(tmp_path, old, new))
