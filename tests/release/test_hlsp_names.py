"""Are FITS products named as MAST asks of contributed products?

Oracle: the rules of the naming convention, written here once more as one pattern; names of real
archive files for the order of optical elements.
"""

import re
from dataclasses import replace

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import ard
from ard import layout
from manifests.dataset import load_dataset
from release.hlsp import collection_of, major, parse_name, product_name

WORD = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
RULE = re.compile(rf"hlsp_{WORD}_{WORD}_{WORD}_[a-z0-9][a-z0-9.+-]*_{WORD}_v[0-9]+_{WORD}\.fits")
NIRSPEC = {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
MIRI = {"TELESCOP": "JWST", "INSTRUME": "MIRI", "CHANNEL": "4", "BAND": "SHORT"}
WFC3 = {"TELESCOP": "HST", "INSTRUME": "WFC3", "FILTER": "F606W"}
RBH1 = {"name": "RBH-1", "item": "rbh1"}


def header(cards: dict[str, object]) -> fits.Header:
    return fits.Header([fits.Card(key, value) for key, value in cards.items()])


def collection(target=RBH1, version="0.1.0", **changes):
    return collection_of(load_dataset(), target, version, **{"simulated": False, **changes})


def named(cards, layer="likelihood", product="t001_cube", **about) -> str:
    return str(product_name(header(cards), collection(**about), layer, product))


@pytest.mark.parametrize(
    ("cards", "place", "about", "name"),
    [
        (
            NIRSPEC,
            ("likelihood", "t001_cube"),
            {},
            "hlsp_rbh1-ard_jwst_nirspec_rbh1-t001_g140m-f100lp_v0_likelihood-cube.fits",
        ),
        (
            NIRSPEC,
            ("inference", "t002_linemap-halpha"),
            {"version": "1.4.2"},
            "hlsp_rbh1-ard_jwst_nirspec_rbh1-t002_g140m-f100lp_v1_inference-linemap-halpha.fits",
        ),
        (
            # The archive calls this configuration ch4-short.
            MIRI,
            ("likelihood", "ngc7469_cube"),
            {"target": {"name": "NGC 7469", "item": "ngc7469"}},
            "hlsp_rbh1-ard_jwst_miri_ngc7469_ch4-short_v0_likelihood-cube.fits",
        ),
        (
            WFC3,
            ("representative", "disc"),
            {"version": "12.0.1"},
            "hlsp_rbh1-ard_hst_wfc3_rbh1_f606w_v12_representative-disc.fits",
        ),
        (
            {**WFC3, "GRATING": "N/A"},
            ("inference", "t001_map-O_III.b"),
            {"target": {"name": "NGC 7469"}},
            "hlsp_rbh1-ard_hst_wfc3_ngc-7469-t001_f606w_v0_inference-map-o-iii-b.fits",
        ),
    ],
)
def test_a_name_says_what_looked_at_what(cards, place, about, name):
    found = named(cards, *place, **about)
    assert found == name
    assert RULE.fullmatch(found)
    assert len(found) <= 90
    assert layout.may_hold(found, *place)
    assert str(parse_name(found)) == found


@pytest.mark.parametrize(
    ("lost", "missing"),
    [
        (("TELESCOP",), ["observatory (TELESCOP)"]),
        (("INSTRUME",), ["instrument (INSTRUME)"]),
        (("GRATING", "FILTER"), ["optical element (GRATING, FILTER, or CHANNEL and BAND)"]),
        (tuple(NIRSPEC), ["observatory", "instrument", "optical element"]),
    ],
)
def test_what_the_header_does_not_say_is_listed(lost, missing):
    cards = {key: value for key, value in NIRSPEC.items() if key not in lost}
    with pytest.raises(ard.ArdError, match="its primary header does not say") as refused:
        named(cards)
    assert all(text in refused.value.problem for text in missing)
    assert refused.value.problem.count("the ") == len(missing)
    assert "run again" in refused.value.action


@pytest.mark.parametrize("nothing", ["", "  ", "N/A", "none", fits.card.UNDEFINED])
def test_a_card_that_says_nothing_is_no_answer(nothing):
    with pytest.raises(ard.ArdError, match="does not say the instrument"):
        named({**NIRSPEC, "INSTRUME": nothing})


def test_a_name_that_breaks_a_rule_is_refused():
    assert len(named(NIRSPEC, product="t001_linemap-" + "x" * 13)) == 90
    with pytest.raises(ard.ArdError, match=r"has 91 characters, and 90 are allowed"):
        named(NIRSPEC, product="t001_linemap-" + "x" * 14)
    with pytest.raises(ard.ArdError, match=r"'2mass' cannot be the instrument"):
        named({**NIRSPEC, "INSTRUME": "2MASS"})


def test_only_the_major_version_is_in_the_name():
    # What a new version did not change keeps its name.
    assert {named(NIRSPEC, version=version) for version in ("1.0.0", "1.4.2", "1.9", "1")} == {
        "hlsp_rbh1-ard_jwst_nirspec_rbh1-t001_g140m-f100lp_v1_likelihood-cube.fits"
    }
    assert named(NIRSPEC, version="2.0.0") != named(NIRSPEC, version="1.0.0")


@pytest.mark.parametrize("version", ["", "next", "v1", "-1", "1a", ".5"])
def test_a_version_without_a_major_number_is_refused(version):
    with pytest.raises(ard.FormatError, match="no major number"):
        major(version)


@pytest.mark.parametrize(
    "name",
    [
        "likelihood_t001_cube.fits",
        "hlsp_a_b_c_d_e_v0_f-g.txt",
        "hlsp_a_b_c_d_e_v0.fits",
        "hlsp_a_b_c_d_e_v0_f_g.fits",
        "hslp_a_b_c_d_e_v0_f-g.fits",
    ],
)
def test_another_name_has_no_fields(name):
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"project": "Rbh1"}, "'Rbh1' cannot be the project"),
        ({"target": "-rbh1"}, "'-rbh1' cannot be the target"),
        ({"version": "1"}, "'1' cannot be the version"),
        ({"element": "g140m--f100lp"}, "cannot be the optical element"),
        ({"type": "likelihood.cube"}, "cannot be the product type"),
    ],
)
def test_the_rules_are_those_of_the_convention(changes, problem):
    good = parse_name(named(NIRSPEC))
    assert list(good.problems()) == []
    (found,) = replace(good, **changes).problems()
    assert problem in found
    assert not RULE.fullmatch(str(replace(good, **changes)))


VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(instrument=VALUES, grating=VALUES, item=st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True))
def test_whatever_a_header_says_the_name_follows_the_rules_or_is_refused(instrument, grating, item):
    cards = {**NIRSPEC, "INSTRUME": instrument, "GRATING": grating}
    try:
        found = named(cards, product=f"{item}_cube")
    except ard.ArdError:
        return
    assert RULE.fullmatch(found)
    assert len(found) <= 90
    assert ard.sums.is_safe_name(found)


def test_a_collection_is_declared_and_marked():
    plain = collection()
    assert (plain.project, plain.item, plain.version) == ("rbh1-ard", "rbh1", "v0")
    assert plain.title == "Analysis-ready dataset of RBH-1 (rbh1-ard)"
    assert (plain.licence, plain.doi) == ("CC BY 4.0", "not yet reserved")
    marked = collection(simulated=True, concept_doi="10.5072/zenodo.143")
    assert marked.title.startswith("[SIMULATED] ")
    assert marked.doi == "10.5072/zenodo.143"
