"""Is every defect of a table of models found by name, and dealt with?

Oracles: one planted defect each in a closed-form table that has none; the defects of the public
table as they were found by hand (reference/shocks.md 2.2).
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shock_tables import good_facts, rows_taken, with_line

from ard.errors import ArdError, FormatError
from checks.shockgrid import Code, GridFacts, LineFacts, defects, grid_limits
from manifests.shocks import load_shocks
from pipeline.shocks.assemble import assemble, examine, facts_of, join, snapped
from pipeline.shocks.grid import HALPHA, Component, GridSource
from pipeline.shocks.gridfile import content_sha256
from pipeline.shocks.importers import mdb
from pipeline.shocks.likelihood import LineFluxes, errors_for, log_likelihood, prepare
from pipeline.shocks.toy import toy_loglinear

LIMITS = grid_limits()
SOURCE = GridSource("code", "1", "test", Component.SHOCK, "here", "none", "", "", 0.0)


def found(facts: GridFacts) -> list[tuple[str, str]]:
    return [(str(one.code), one.subject) for one in defects(facts, LIMITS)]


def line(facts: GridFacts, name: str) -> np.ndarray:
    values = facts.column(name)
    assert values is not None
    return values


def relabel(facts: GridFacts, name: str, ion: str, *waves_um: float) -> GridFacts:
    lines = [
        dataclasses.replace(row, ion=ion, waves_um=waves_um) if row.name == name else row
        for row in facts.lines
    ]
    return dataclasses.replace(facts, lines=tuple(lines))


def mixed(facts: GridFacts) -> GridFacts:
    """Every fourth model again, from another project: what a query without `ref` gives."""
    again = rows_taken(facts, np.arange(0, len(facts.abundance), 4))
    for name in ("NII_6583", "NII_6548"):
        again = with_line(again, name, lambda x: 1.3 * x)
    return join([facts, again])


def of_lmc(facts: GridFacts) -> np.ndarray:
    return facts.abundance == "Allen2008_LMC"


def repeated(facts: GridFacts, later: float = 300.0, earlier: float = 200.0) -> GridFacts:
    """Every model of a velocity with the fluxes of the one before it."""
    columns = (facts.abundance, facts.density_cm3, facts.field_ug, facts.velocity_kms)
    place = {key: k for k, key in enumerate(zip(*columns, strict=True))}
    ratio = facts.ratio.copy()
    for (*track, v), k in place.items():
        if v == later and (*track, earlier) in place:
            ratio[k] = facts.ratio[place[*track, earlier]]
    return dataclasses.replace(facts, ratio=ratio)


# In a part of the models alone, or between two of them; of the closed form and of the public table.
IN_PART = {
    "fluxes missing": (
        lambda f: with_line(f, "NII_6583", lambda x: np.where(np.arange(x.size) % 33, x, np.nan)),
        ("MISSING_MODEL", "NII_6583"),
    ),
    "velocity missing in a set": (
        lambda f: rows_taken(f, np.flatnonzero(~of_lmc(f) | (f.velocity_kms != 300.0))),
        ("MISSING_MODEL", "Allen2008_LMC n=1 B=5 v=300"),
    ),
    "constant in a set": (
        lambda f: with_line(f, "NII_6583", lambda x: np.where(of_lmc(f), 1.234, x)),
        ("CONSTANT_LINE", "NII_6583"),
    ),
    "copied in a set": (
        lambda f: with_line(f, "NII_6583", lambda x: np.where(of_lmc(f), line(f, "OIII_5007"), x)),
        ("DUPLICATE_LINE", "OIII_5007 = NII_6583"),
    ),
    "velocity repeated": (repeated, ("CONSTANT_LINE", "OIII_5007")),
    "velocity repeated in a set": (
        lambda f: dataclasses.replace(
            f, ratio=np.where(of_lmc(f)[:, None], repeated(f).ratio, f.ratio)
        ),
        ("CONSTANT_LINE", "OIII_5007"),
    ),
    "H alpha constant": (
        lambda f: with_line(f, "HI_6563", lambda x: 3.0 + 0.0 * x),
        ("BALMER_RATIO", "HI_6563 / HI_4861"),
    ),
}

PLANTED = IN_PART | {
    "constant": (
        lambda f: with_line(f, "OI_6300", lambda x: 3.126 + 0.001 * (np.arange(x.size) % 2)),
        ("CONSTANT_LINE", "OI_6300"),
    ),
    "copied": (
        lambda f: with_line(f, "NII_6583", lambda _: line(f, "OIII_5007")),
        ("DUPLICATE_LINE", "OIII_5007 = NII_6583"),
    ),
    "wrong wavelength": (
        lambda f: relabel(f, "SIII_9069", "SIII", 0.9069, 0.9031),
        ("MISLABELLED_LINE", "SIII_9069"),
    ),
    "wrong ion": (
        lambda f: relabel(f, "OIII_5007", "NeV", 15.5),
        ("MISLABELLED_LINE", "OIII_5007"),
    ),
    "unknown ion": (
        lambda f: relabel(f, "OIII_5007", "Xx", 0.5),
        ("MISLABELLED_LINE", "OIII_5007"),
    ),
    "missing": (
        lambda f: rows_taken(f, np.delete(np.arange(64), 21)),
        ("MISSING_MODEL", "Allen2008_LMC n=1 B=1 v=300"),
    ),
    "twice": (
        lambda f: rows_taken(f, np.append(np.arange(64), 21)),
        ("DUPLICATE_MODEL", "Allen2008_LMC n=1 B=1 v=300"),
    ),
    "zero": (
        lambda f: with_line(f, "OI_6300", lambda x: np.where(x < np.median(x), 0.0, x)),
        ("ROUNDED_ZERO", "OI_6300"),
    ),
    "negative": (
        lambda f: with_line(f, "OI_6300", lambda x: np.where(np.arange(x.size) == 7, -x, x)),
        ("IMPOSSIBLE_FLUX", "OI_6300"),
    ),
    "infinite": (
        lambda f: with_line(f, "OI_6300", lambda x: np.where(np.arange(x.size) == 7, np.inf, x)),
        ("IMPOSSIBLE_FLUX", "OI_6300"),
    ),
    "doublet": (
        lambda f: with_line(f, "OIII_4959", lambda x: 1.2 * x),
        ("DOUBLET_RATIO", "OIII_5007 / OIII_4959"),
    ),
    "doublet upside down": (
        lambda f: with_line(f, "NII_6548", lambda _: 3.0 * line(f, "NII_6583")),
        ("DOUBLET_RATIO", "NII_6583 / NII_6548"),
    ),
    "sulphur doubled": (
        lambda f: with_line(f, "SII_6716+6731", lambda _: 2.0 * line(f, "SII_6716")),
        ("BLEND_DOUBLED", "SII_6716+6731"),
    ),
    "sum of something else": (
        lambda f: with_line(f, "SII_6716+6731", lambda x: 1.1 * x),
        ("BLEND_SUM", "SII_6716+6731"),
    ),
    "balmer": (
        lambda f: with_line(f, "HI_6563", lambda x: x / 2.0),
        ("BALMER_RATIO", "HI_6563 / HI_4861"),
    ),
    "over H alpha": (
        lambda f: dataclasses.replace(f, ratio=f.ratio / line(f, "HI_6563")[:, None]),
        ("NORMALISATION", "HI_4861"),
    ),
    "b for B": (
        lambda f: dataclasses.replace(f, field_ug=f.field_ug / np.sqrt(f.density_cm3)),
        ("FIELD_NOT_SCALED", "B / sqrt(n)"),
    ),
    "velocity in m/s": (
        lambda f: dataclasses.replace(f, velocity_kms=f.velocity_kms * 1e3),
        ("UNITS", "velocity"),
    ),
    "field in gauss": (
        lambda f: dataclasses.replace(f, field_ug=f.field_ug * 1e-6),
        ("UNITS", "magnetic field"),
    ),
    "density in m-3": (
        lambda f: dataclasses.replace(
            f, density_cm3=f.density_cm3 * 1e6, field_ug=f.field_ug * 1e3
        ),
        ("UNITS", "H beta flux over n"),
    ),
    "density and velocity swapped": (
        lambda f: dataclasses.replace(f, density_cm3=f.velocity_kms, velocity_kms=f.density_cm3),
        ("UNITS", "velocity"),
    ),
    "H beta in W/m2": (
        lambda f: dataclasses.replace(f, log_hbeta=f.log_hbeta - 3.0),
        ("UNITS", "H beta flux over n"),
    ),
}


def test_nothing_is_found_where_nothing_is_wrong():
    assert found(good_facts()) == []


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_defect_is_found_by_name(what):
    plant, expected = PLANTED[what]
    assert expected in found(plant(good_facts()))


def test_what_rounding_makes_constant_is_no_defect():
    """Weak lines of hydrogen in a table of three decimals; of six they are what they were."""
    facts = good_facts()
    weak = dataclasses.replace(
        facts.lines[-1], label="HI_9546", name="HI_9546", members=("HI_9546",)
    )
    flux = 0.037 * (1.0 + 0.01 * np.sin(np.arange(64.0)))
    facts = dataclasses.replace(
        facts, lines=(*facts.lines, weak), ratio=np.column_stack([facts.ratio, flux])
    )
    rounded = dataclasses.replace(facts, ratio=np.round(facts.ratio, 3))
    assert "CONSTANT_LINE" not in {code for code, _ in found(rounded)}
    dead = with_line(facts, "HI_9546", lambda _: np.full(64, 0.037))
    assert ("CONSTANT_LINE", "HI_9546") in found(dead)


def test_a_table_without_models_is_not_found_good():
    grid = toy_loglinear()
    nothing = np.full(grid.log_ratio.shape, np.nan)
    with pytest.raises(FormatError, match="no models"):
        examine(dataclasses.replace(grid, log_ratio=nothing, mask=np.isnan(nothing)))


def without(facts: GridFacts, name: str) -> GridFacts:
    kept = [k for k, row in enumerate(facts.lines) if row.name != name]
    lines = tuple(facts.lines[k] for k in kept)
    return dataclasses.replace(facts, lines=lines, ratio=facts.ratio[:, kept])


def test_a_doubled_member_is_found_in_a_table_of_three_decimals():
    """Rounding hides it in faint models; and without a member nothing can tell it at all."""
    facts = with_line(good_facts(), "SII_6716", lambda x: x * np.geomspace(0.02, 1.0, x.size))
    doubled = np.round(2.0 * line(facts, "SII_6716"), 3)
    facts = with_line(facts, "SII_6716", lambda x: np.round(x, 3))
    facts = with_line(facts, "SII_6716+6731", lambda _: doubled)
    alone = without(facts, "SII_6731")
    assert ("BLEND_DOUBLED", "SII_6716+6731") in found(alone)
    assert found(without(alone, "SII_6716")) == []


def test_every_code_has_a_planted_defect():
    assert {code for _, (code, _) in PLANTED.values()} == {str(code) for code in Code}


# What else such a defect breaks of itself.
ALSO = {
    "doublet upside down": set(),
    "sulphur doubled": {"BLEND_SUM"},
    "copied": {"DOUBLET_RATIO"},
    "constant": {"DOUBLET_RATIO"},
}


@pytest.mark.parametrize("what", ["missing", "twice", "zero", "doublet", "copied", "b for B"])
def test_nothing_else_is_found_beside_it(what):
    plant, (code, subject) = PLANTED[what]
    others = {c for c, s in found(plant(good_facts())) if (c, s) != (code, subject)}
    assert others <= ALSO.get(what, set())


# ---- what is done about them


@pytest.mark.parametrize(
    "what",
    ["balmer", "over H alpha", "b for B", "velocity in m/s", "H alpha constant",
     "velocity repeated"],
)  # fmt: skip
def test_what_masking_does_not_cure_is_refused(what):
    with pytest.raises(ArdError, match="defects that masking does not cure"):
        assemble(PLANTED[what][0](good_facts()), SOURCE)


@pytest.mark.parametrize(
    "what",
    [
        *("constant", "copied", "missing", "zero", "doublet", "negative"),
        *("fluxes missing", "velocity missing in a set", "constant in a set", "copied in a set"),
    ],
)
def test_after_assembly_no_defect_is_left(what):
    grid = assemble(PLANTED[what][0](good_facts()), SOURCE)
    assert PLANTED[what][1] in [(d.code, d.subject) for d in grid.source.known_defects]
    assert all(d.handling != "none" for d in grid.source.known_defects)
    assert examine(grid) == ()


def test_masked_is_what_was_wrong_and_no_more():
    facts = good_facts()
    zeros = line(facts, "OI_6300") < np.median(line(facts, "OI_6300"))
    grid = assemble(PLANTED["zero"][0](facts), SOURCE)
    k = grid.line_index(["OI_6300"])[0]
    assert grid.mask[..., k].sum() == zeros.sum()
    assert not np.delete(grid.mask, k, axis=-1).any()


def test_zeros_of_a_rounded_table_are_bounds_and_void_no_model():
    """Table in steps of 0.001; what may be between 0 and 0.0005 H beta is not excluded."""
    facts = PLANTED["zero"][0](good_facts())
    zero = line(facts, "OI_6300") == 0
    rounded = dataclasses.replace(SOURCE, rounding=1e-3)
    grid = assemble(facts, rounded)
    assert ("OI_6300", "bounded: below 0.0005") in [
        (d.subject, d.handling) for d in grid.source.known_defects
    ]
    assert not grid.mask.any()
    k = grid.line_index(["OI_6300"])[0]
    bounded = grid.log_ratio[..., k] < -3.5
    assert bounded.sum() == zero.sum()
    halpha = 2.9 + 0.1 * grid.v_kms / 500.0
    middle = np.log10(2.5e-4 / np.broadcast_to(halpha, bounded.shape)[bounded])
    assert grid.log_ratio[..., k][bounded] == pytest.approx(middle, abs=1e-12)
    assert examine(grid) == ()
    errors = errors_for([grid.lines[k]], load_shocks(), rounding=grid.source.rounding)
    model = np.array([np.log10(2.5e-4 / 2.86)])
    for seen, sigma in ((0.0, 1e-4), (4e-4, 5e-5), (6e-4, 1e-4), (3e-3, 1e-4), (1e-2, 1e-4)):
        flux, error = [[1.0, seen / 2.86]], [[1e-9, sigma / 2.86]]
        (datum,) = prepare(LineFluxes.of_errors((HALPHA, "OI_6300"), flux, error), errors)
        _, chi2 = log_likelihood(datum, model)
        # The nearest flux that is printed as 0, in sigma.
        least = max(0.0, (seen - 5e-4) / sigma)
        assert bool(chi2 < 4.0) is (least < 2.0)


def test_the_copy_is_masked_if_it_is_known_and_both_if_not():
    copied = PLANTED["copied"][0](good_facts())
    one, both = assemble(copied, SOURCE, copies=("NII_6583",)), assemble(copied, SOURCE)
    hidden = [
        [line.name for k, line in enumerate(grid.lines) if grid.mask[..., k].all()]
        for grid in (one, both)
    ]
    assert "OIII_5007" not in hidden[0]
    assert {"NII_6583"} <= set(hidden[0])
    assert {"OIII_5007", "NII_6583"} <= set(hidden[1])


def test_a_mislabelled_line_is_left_out_unless_its_name_is_known():
    wrong = PLANTED["wrong wavelength"][0](good_facts())
    assert "SIII_9069" not in [row.name for row in assemble(wrong, SOURCE).lines]
    known = assemble(wrong, SOURCE, relabelled=("SIII_9069",))
    assert "SIII_9069" in [row.name for row in known.lines]
    assert [d.handling for d in known.source.known_defects] == ["relabelled"]


def test_two_predictions_for_one_model_are_refused_and_the_same_twice_is_not():
    grid = assemble(PLANTED["twice"][0](good_facts()), SOURCE)
    assert content_sha256(grid) == content_sha256(assemble(good_facts(), SOURCE))
    with pytest.raises(FormatError, match="one model with two predictions"):
        assemble(mixed(good_facts()), SOURCE)


@pytest.mark.parametrize("off", [1.0, 1e-6, np.nan])
def test_a_model_with_two_h_beta_fluxes_is_refused(off):
    """Oracle: which of its rows comes last must not decide anything."""
    facts = PLANTED["twice"][0](good_facts())
    hbeta = facts.log_hbeta.copy()
    hbeta[-1] += off
    with pytest.raises(FormatError, match="one model with two predictions") as caught:
        assemble(dataclasses.replace(facts, log_hbeta=hbeta), SOURCE)
    assert "Allen2008_LMC n=1 B=1 v=300" in str(caught.value)
    unknown = dataclasses.replace(facts, log_hbeta=np.full(hbeta.size, np.nan))
    assert assemble(unknown, SOURCE).log_hbeta.size == 64


def test_grid_holds_the_closed_form():
    facts = good_facts()
    grid = assemble(facts, SOURCE)
    assert grid.log_ratio.shape == (2, 2, 4, 4, len(facts.lines) - 1)
    assert [a.name for a in grid.abundances] == ["Allen2008_LMC", "Allen2008_Solar"]
    k = grid.line_index(["OIII_5007"])[0]
    expected = 0.1 + 0.3 * np.log(400 / 300) + 0.4 * np.log(5.3) - np.log10(2.98)
    assert grid.log_ratio[0, 1, 2, 2, k] == pytest.approx(expected, abs=1e-12)


def test_same_b_of_other_densities_is_one_place():
    """(n = 0.1, B = 0.316) and (n = 10, B = 3.16) have b = 1 (reference/shocks.md 6 f)."""
    b = np.array([0.316 / 0.1**0.5, 3.16 / 10**0.5, 1.0, 0.32 / 0.1**0.5, 3.23, 10 / 10**0.5])
    assert snapped(b).tolist() == [1.0, 1.0, 1.0, 1.0, 3.23, 3.162]


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_has_no_effect(random):
    facts = good_facts()
    rows, columns = list(range(64)), list(range(len(facts.lines)))
    random.shuffle(rows)
    random.shuffle(columns)
    other = rows_taken(facts, np.array(rows))
    other = dataclasses.replace(
        other, lines=tuple(facts.lines[k] for k in columns), ratio=other.ratio[:, columns]
    )
    assert content_sha256(assemble(other, SOURCE)) == content_sha256(assemble(facts, SOURCE))


def test_one_other_value_is_another_content():
    facts = good_facts()
    other = with_line(facts, "OIII_5007", lambda x: x * (1 + 1e-9 * (np.arange(64) == 5)))
    assert content_sha256(assemble(other, SOURCE)) != content_sha256(assemble(facts, SOURCE))


def test_a_grid_gives_its_table_back():
    facts = good_facts()
    back = facts_of(assemble(facts, SOURCE))
    row = np.flatnonzero(
        (back.abundance == "Allen2008_Solar")
        & (back.density_cm3 == 0.01)
        & np.isclose(back.field_ug, 0.1)
        & (back.velocity_kms == 500.0)
    )
    mine = np.flatnonzero(
        (facts.abundance == "Allen2008_Solar")
        & (facts.density_cm3 == 0.01)
        & np.isclose(facts.field_ug, 0.1)
        & (facts.velocity_kms == 500.0)
    )
    for name in ("OIII_5007", "HI_6563", "SII_6716+6731"):
        assert line(back, name)[row] == pytest.approx(line(facts, name)[mine], rel=1e-12)


def test_a_table_without_h_alpha_or_with_other_columns_is_refused():
    facts = good_facts()
    places = [k for k, row in enumerate(facts.lines) if row.name != "HI_6563"]
    bare = dataclasses.replace(
        facts, lines=tuple(facts.lines[k] for k in places), ratio=facts.ratio[:, places]
    )
    with pytest.raises(FormatError, match="no H alpha"):
        assemble(bare, SOURCE)
    with pytest.raises(FormatError, match="different columns"):
        join([facts, bare])


def test_an_unread_line_says_what_it_lacks():
    facts = good_facts()
    odd = LineFacts("odd", "odd", ("odd",))
    lines = tuple(odd if row.name == "OIII_5007" else row for row in facts.lines)
    with pytest.raises(FormatError, match="a line has a name that is not known"):
        assemble(dataclasses.replace(facts, lines=lines), SOURCE)


# ---- the public table


@pytest.fixture(scope="module")
def public(shared_data):
    return mdb.import_long(shared_data / "shocks" / "allen08_mappingsV_shockonly_long.csv")


@pytest.mark.real_data
def test_defects_of_the_public_table_are_named(public):
    rows = {(d.code, d.subject): d.handling for d in public.source.known_defects}
    assert {s: h for (code, s), h in rows.items() if code == "CONSTANT_LINE"} == {
        "[O I] λ6300": "masked",
        "[N I] λ5200": "masked",
    }
    pair = "Ne III λ3869 = [O II] λλ3727+3729"
    assert rows["DUPLICATE_LINE", pair] == "masked: [O II] λλ3727+3729"
    labels = {s: h for (code, s), h in rows.items() if code == "MISLABELLED_LINE"}
    assert labels == {"[S III] λλ9069+9031": "relabelled", "[Ne V] λ15.5 μm": "relabelled"}
    assert [s for code, s in rows if code == "MISSING_MODEL"] == [
        "Allen2008_Solar n=1 B=1 v=700",
        "Allen2008_Solar n=10 B=50 v=875",
        "Allen2008_Solar n=1000 B=1 v=950",
    ]
    zeros = {s: h for (code, s), h in rows.items() if code == "ROUNDED_ZERO"}
    assert len(zeros) == 24
    whole = [s for s, handling in zeros.items() if handling == "masked"]
    assert whole == ["[O II] λλ3727+3729"]  # no line of its own
    assert set(zeros.values()) - {"masked"} == {"bounded: below 0.0005"}
    others = {"ROUNDED_ZERO", "MISSING_MODEL", "MISLABELLED_LINE", "CONSTANT_LINE"}
    assert {code for code, _ in rows} - others == {"DUPLICATE_LINE", "B_ROUNDED"}
    assert examine(public) == ()


@pytest.fixture(scope="module")
def published(shared_data):
    facts = mdb.read_long(shared_data / "shocks" / "allen08_mappingsV_shockonly_long.csv")
    return facts, set(found(facts))


@pytest.mark.real_data
@pytest.mark.parametrize("what", IN_PART)
def test_a_defect_that_is_planted_in_the_public_table_is_found(published, what):
    facts, before = published
    plant, (code, subject) = IN_PART[what]
    if what.startswith("velocity repeated"):
        planted = plant_repeated(facts, of_lmc(facts) if "set" in what else slice(None))
    else:
        planted = plant(facts)
    label = {row.name: row.label for row in facts.lines}
    subject = label.get(subject, subject)
    if code == "DUPLICATE_LINE":
        subject = f"{label['OIII_5007']} = {label['NII_6583']}"
    assert (code, subject) in set(found(planted)) - before


def plant_repeated(facts: GridFacts, rows: object) -> GridFacts:
    ratio = facts.ratio.copy()
    ratio[rows] = repeated(facts, 500.0, 475.0).ratio[rows]
    return dataclasses.replace(facts, ratio=ratio)


@pytest.mark.real_data
def test_nitrogen_of_the_public_table_has_every_other_velocity_twice(published):
    """[N I] 5200 at 125 km/s is that at 100, at 175 that at 150, in all 107 tracks."""
    facts, before = published
    assert ("CONSTANT_LINE", "[N I] λ5200") in before
    ni = line(facts, "NI_5200")
    track = (facts.abundance == "Allen2008_LMC") & (facts.field_ug == 3.23)
    values = ni[track][np.argsort(facts.velocity_kms[track])]
    assert np.array_equal(values[:-1:2], values[1::2])
    assert not np.array_equal(values[1:-1:2], values[2::2])


@pytest.mark.real_data
def test_bad_rows_are_masked_and_blocks_are_those_found_by_hand(public):
    for name in ("OI_6300", "OII_3726+3729", "NI_5200"):
        assert public.mask[..., public.line_index([name])[0]].all()
    lines = ["OIII_5007", "NII_6583", "SII_6716+6731", "SIII_9069+9531"]
    block = public.block(lines=lines)
    assert block.log_ratio.shape == (5, 1, 8, 36, 4)
    assert block.b.tolist() == [0.0001, 0.5, 1.0, 2.0, 3.23, 4.0, 5.0, 10.0]
    assert sorted(set(public.v_kms) - set(block.v_kms)) == [700.0]
    dense = public.block(
        abundances=["Allen2008_Solar"], b=[0.5, 1.0, 2.0, 4.0, 5.0, 10.0], lines=lines
    )
    assert dense.log_n.tolist() == [-2.0, 0.0, 2.0, 3.0]


@pytest.mark.real_data
def test_public_table_holds_what_was_read_from_it(public):
    """Solar, n = 1, B = 3.23: [O III]/H beta 1.48 at 300, 2.39 at 500 km/s (shocks.md 2.5)."""
    at = public.block(
        abundances=["Allen2008_Solar"], log_n=[0.0], b=[3.23], lines=["OIII_5007", "HI_4861"]
    )
    oiii = 10.0 ** (at.log_ratio[0, 0, 0, :, 0] - at.log_ratio[0, 0, 0, :, 1])
    values = dict(zip(at.v_kms, oiii, strict=True))
    assert values[300.0] == pytest.approx(1.48, abs=0.005)
    assert values[500.0] == pytest.approx(2.39, abs=0.005)


@pytest.mark.real_data
@pytest.mark.parametrize("power", [-0.5, 0.5])
def test_field_of_the_public_table_cannot_be_confused(shared_data, power):
    """b in the place of B, as a public client has it, and the other way round."""
    facts = mdb.read_long(shared_data / "shocks" / "allen08_mappingsV_shockonly_long.csv")
    wrong = dataclasses.replace(facts, field_ug=facts.field_ug * facts.density_cm3**power)
    assert ("FIELD_NOT_SCALED", "B / sqrt(n)") in found(wrong)
    assert "FIELD_NOT_SCALED" not in {code for code, _ in found(facts)}
