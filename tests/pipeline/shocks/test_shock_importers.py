"""Does each importer give the models that its file holds?

Oracles: the closed form that the small files were written from; the printed identity of the tables
of Allen et al. 2008, and that of the files of the library.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from shock_tables import (
    FIELDS,
    VELOCITIES,
    good_facts,
    law,
    over_hbeta,
    rows_taken,
    write_library,
    write_long,
    write_wide,
    write_zenodo,
)

from ard.errors import ArdError, FormatError
from pipeline.shocks.assemble import assemble, examine
from pipeline.shocks.combine import combine, weighted
from pipeline.shocks.grid import NOT_STATED, Component, GridSource, ShockGrid
from pipeline.shocks.gridfile import content_sha256
from pipeline.shocks.importers import allen, mdb, nebulabayes, select, webtable, zenodo
from pipeline.shocks.toy import toy_loglinear

SOLAR = webtable.Setting("Allen2008_Solar", 1.0, 0.5)
SOURCE = GridSource("code", "1", "test", Component.SHOCK, "here", "none", "", "", 0.0)


def solar():
    """The four velocities of one setting: solar, n = 1, B = 0.5."""
    facts = good_facts()
    rows = (facts.abundance == "Allen2008_Solar") & (facts.density_cm3 == 1.0)
    return rows_taken(facts, np.flatnonzero(rows & (facts.field_ug == 0.5)))


EXPECTED = law("NII_6583", np.array(0.5), np.array(VELOCITIES)) * 10.0**0.3


def test_long_table(tmp_path):
    grid = mdb.import_long(write_long(tmp_path / "long.csv", good_facts()))
    assert grid.b.tolist() == list(FIELDS)
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(EXPECTED, abs=6e-6)
    assert grid.source.known_defects == ()


def test_long_table_keeps_what_is_not_given_out(tmp_path):
    file = write_long(tmp_path / "long.csv", good_facts())
    rows = file.read_text().splitlines()
    cells = rows[5].split(",")
    cells[4] = ""
    file.write_text("\n".join([*rows[:5], ",".join(cells), *rows[6:]]))
    grid = mdb.import_long(file)
    assert grid.mask.sum() == 1
    assert grid.mask[..., grid.line_index(["OIII_5007"])[0]].sum() == 1


def test_wide_table_is_that_part_of_the_long_one(tmp_path):
    long = mdb.import_long(write_long(tmp_path / "long.csv", good_facts()))
    wide = webtable.import_wide(write_wide(tmp_path / "wide.csv", solar()), SOLAR)
    part = long.take(z=[1], n=[1], b=[0], v=range(4), lines=range(len(long.lines)))
    assert content_sha256(wide) == content_sha256(part)


def test_library_file(tmp_path):
    file = write_library(tmp_path / "lib.txt", solar())
    grid = allen.import_library(file)
    assert grid.component is Component.SHOCK
    assert [a.name for a in grid.abundances] == ["Allen2008_Solar"]
    assert over_hbeta(grid, "NII_6583")[0, 0, 0] == pytest.approx(EXPECTED, abs=6e-6)
    sums = over_hbeta(grid, "SIII_9069") + over_hbeta(grid, "SIII_9531")
    assert over_hbeta(grid, "SIII_9069+9531") == pytest.approx(sums, rel=1e-12)
    # The [S II] sum is the importer's own: the library gives both members.
    assert next(line for line in grid.lines if "+" in line.name).members == ("SII_6716", "SII_6731")


@pytest.mark.parametrize(
    ("what", "component", "b"),
    [
        ("J_n1_b0.5 PRECURSOR", Component.PRECURSOR, 0.5),
        ("J_n1_be SHOCK+ J_n1_be PRECURSOR", Component.SHOCK_PLUS_PRECURSOR, 3.23),
    ],
)
def test_library_header_says_which_models(tmp_path, what, component, b):
    grid = allen.import_library(write_library(tmp_path / "lib.txt", solar(), what))
    assert (grid.component, grid.b.tolist()) == (component, [b])
    assert grid.abundances[0].name == "Allen2008_Dopita2005"


def test_equipartition_is_of_the_density_of_the_model(tmp_path):
    """Oracle: the field of the same models in the public table, 10.2 uG at n = 10 cm-3."""
    ten = dataclasses.replace(solar(), log_hbeta=solar().log_hbeta + 1.0)
    file = write_library(tmp_path / "lib.txt", ten, "V_n10_be SHOCK")
    assert allen.read_library(file).facts.field_ug == pytest.approx(10.2, abs=0.05)
    assert allen.import_library(file).b.tolist() == [3.23]


@pytest.mark.parametrize("prefix", ["shck", "prec-dst", "shckprec-dst"])
def test_zenodo_grids_with_dust_are_a_project_of_their_own(tmp_path, prefix):
    source = zenodo.import_pair(write_zenodo(tmp_path, good_facts(), prefix)).source
    assert source.component is zenodo.COMPONENTS[prefix.removesuffix("-dst")]
    assert source.project == "zenodo-14140949" + (" dusty" if "-dst" in prefix else "")


def test_a_solar_convention_that_nobody_states_is_not_recorded(tmp_path):
    facts = good_facts()
    assert zenodo.import_pair(write_zenodo(tmp_path, facts)).source.solar == NOT_STATED
    file = write_long(tmp_path / "long.csv", facts)
    source = mdb.import_long(file).source
    assert (source.solar, source.project) == ("anders-grevesse-1989", "Allen08")
    file.write_text(file.read_text().replace("Allen2008_LMC", "Gutkin16_ISM0d004_C0d26"))
    mixed = mdb.import_long(file).source
    assert (mixed.solar, mixed.project) == (NOT_STATED, NOT_STATED)


def test_zenodo_tables_are_joined_by_key(tmp_path):
    fluxes = write_zenodo(tmp_path, good_facts())
    grid = zenodo.import_pair(fluxes)
    assert [a.name for a in grid.abundances] == ["Z=0.008", "Z=0.02"]
    assert over_hbeta(grid, "NII_6583")[1, 1, 0] == pytest.approx(EXPECTED, abs=1e-6)
    assert [(d.code, d.handling) for d in grid.source.known_defects] == [
        ("UNREAD_COLUMN", "left out")
    ]
    assert "total" in grid.source.known_defects[0].detail


@pytest.mark.parametrize(
    ("label", "name"),
    [
        *(("SII_6716+6731", "SII_6716+6731"), ("[S II] 6716,6731", "SII_6716+6731")),
        *(("[OII]3727,29", "OII_3726+3729"), ("[OIII]5007+4959", "OIII_4959+5007")),
        *(("[NII]6548+6583", "NII_6548+6583"), ("Halpha", "HI_6563"), ("[OIII]5007", "OIII_5007")),
        *(("OII_3726", "OII_3726"), ("OII_3729", "OII_3729"), ("OII_7330", "OII_7330")),
        *(("[SIII]9532", "SIII_9531"), ("[SII] 6718", "SII_6716"), ("OIII_5006.8", "OIII_5007")),
        *(("CIV_1548", "CIV_1548"), ("OI_6300.3A", "OI_6300"), ("SIII lambda 9069", "SIII_9069")),
    ],
)
def test_label_of_a_zenodo_column_is_read_whole(label, name):
    assert zenodo.line_of(label) == name


@pytest.mark.parametrize(
    "label",
    [
        *("OII_3727", "OII_7325", "SII_6725", "SII_6720", "CIV_1549", "NV_1240", "[NI]5199"),
        *("CIII_1907", "MgII_2796", "[SII]6716+6720", "[SII]6716+9999", "[SII]6716+6716"),
        *("SII_6716/6731", "[SII]6716-6731", "SII_6716_err", "[OIV]25.9um", "total"),
    ],
)
def test_a_label_that_may_mean_two_lines_is_left_unread(label):
    """A wavelength between two lines may be either, or both; a slash a sum, or a ratio."""
    assert zenodo.line_of(label) is None


def test_a_sum_of_the_zenodo_tables_stays_a_sum(tmp_path):
    fluxes = write_zenodo(tmp_path, good_facts())
    text = fluxes.read_text().replace("[SII]6716", "[SII]6716+6731").replace("[OI]6300", "OII_3727")
    fluxes.write_text(text.replace("[SII]6731", "x").replace("[OI]6364", "y"))
    grid = zenodo.import_pair(fluxes)
    names = [line.name for line in grid.lines]
    assert "SII_6716+6731" in names
    assert not {"SII_6716", "OII_3726"} & set(names)
    assert "OII_3727" in grid.source.known_defects[0].detail
    line = grid.lines[names.index("SII_6716+6731")]
    assert line.members == ("SII_6716", "SII_6731")


def test_zenodo_components_are_told_by_their_names(tmp_path):
    prec = zenodo.import_pair(write_zenodo(tmp_path, good_facts(), "prec"))
    assert prec.component is Component.PRECURSOR
    with pytest.raises(FormatError, match="of no component that is known"):
        zenodo.import_pair(write_zenodo(tmp_path, good_facts(), "bpass"))


def test_both_zenodo_tables_are_in_the_digest_of_the_import(tmp_path):
    fluxes = write_zenodo(tmp_path, good_facts())
    propts = tmp_path / PROPTS
    digests = {zenodo.import_pair(fluxes).source.sha256}
    for file in (propts, fluxes):
        file.write_text(file.read_text() + "\n")
        digests.add(zenodo.import_pair(fluxes).source.sha256)
    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {64}


def test_zenodo_tables_of_other_models_are_refused(tmp_path):
    fluxes = write_zenodo(tmp_path, good_facts())
    text = fluxes.read_text()
    fluxes.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(FormatError, match="different models"):
        zenodo.import_pair(fluxes)
    propts = tmp_path / "shck_propts.csv"
    propts.write_text(propts.read_text().replace("magnetic field", "plasma"))
    fluxes.write_text(text)
    with pytest.raises(FormatError, match="no field"):
        zenodo.import_pair(fluxes)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("long", "no long table"),
        ("wide", "no wide table"),
        ("library", "not one of the MAPPINGS III"),
        ("zenodo", "no table of the Zenodo models"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, form, says):
    file = tmp_path / "shck_fluxes.csv"
    file.write_text("a,b\n1,2\n")
    (tmp_path / "shck_propts.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match=says):
        select.import_grid(select.Asked(form, file, SOLAR))


def test_a_cell_that_is_no_number_is_refused(tmp_path):
    file = write_wide(tmp_path / "wide.csv", solar())
    file.write_text(file.read_text().replace("1.00000", "one", 1))
    with pytest.raises(FormatError, match="a cell of the table is no number"):
        webtable.import_wide(file, SOLAR)


# ---- damaged files

LONG, WIDE, LIBRARY = "long.csv", "wide.csv", "lib.txt"
FLUXES, PROPTS = "shck_fluxes.csv", "shck_propts.csv"


def last_cut(text: str) -> str:
    """A transfer that broke off within the last row."""
    return text.rstrip("\n")[:-12]


DAMAGE = {
    "long cut": (LONG, last_cut, "a row of the table has another number of cells"),
    "long bytes": (LONG, lambda text: text + "\udcff", "is not UTF-8"),
    "long empty": (LONG, lambda _: "", "no long table"),
    "long without lines": (
        LONG,
        lambda _: "abundance,preshck_dens,mag_fld,shck_vel,log Hβ\na,1,1,100,-5\n",
        "no long table",
    ),
    "wide cut": (WIDE, lambda text: text[: text.index(",", 60)], "another number of cells"),
    "wide without H beta": (WIDE, lambda text: text[: text.index("log")], "no wide table"),
    "wide without a velocity": (
        WIDE,
        lambda text: text.replace("200,", ",", 1),
        "lacks a parameter",
    ),
    "library without H beta": (
        LIBRARY,
        lambda text: text[: text.index("log(Hb)")],
        "not one of the MAPPINGS III",
    ),
    "library of another letter": (
        LIBRARY,
        lambda text: text.replace("M_n1", "X_n1"),
        "a set of abundances that is not known",
    ),
    "library stars": (LIBRARY, lambda text: text.replace("1.00000", "*******"), "no number"),
    "library velocity": (LIBRARY, lambda text: text.replace("200.", "2oo.", 1), "no number"),
    "library cut": (LIBRARY, last_cut, "not one of the MAPPINGS III"),
    "fluxes cut": (FLUXES, last_cut, "another number of cells"),
    "fluxes empty": (FLUXES, lambda _: "", "no table of the Zenodo models"),
    "parameters cut": (PROPTS, last_cut, "another number of cells"),
    "parameters missing": (PROPTS, None, "the parameters of the models are not there"),
    "a key twice": (
        PROPTS,
        lambda text: text.replace("m63,", "m62,"),
        "a key occurs twice",
    ),
}


def written(folder: Path, name: str) -> select.Asked:
    """A good file of each form."""
    if name == LONG:
        return select.Asked("long", write_long(folder / LONG, good_facts()))
    if name == WIDE:
        return select.Asked("wide", write_wide(folder / WIDE, solar()), SOLAR)
    if name == LIBRARY:
        return select.Asked("library", write_library(folder / LIBRARY, solar()))
    return select.Asked("zenodo", write_zenodo(folder, good_facts()))


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_refused_in_words(tmp_path, what):
    name, harm, says = DAMAGE[what]
    asked, file = written(tmp_path, name), tmp_path / name
    if harm is None:
        file.unlink()
    else:
        file.write_bytes(harm(file.read_text("utf-8")).encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=says) as caught:
        select.import_grid(asked)
    assert caught.value.file == str(file)


@pytest.mark.parametrize("name", [LONG, WIDE, LIBRARY, FLUXES, PROPTS])
def test_empty_lines_at_the_end_are_no_models(tmp_path, name):
    asked, file = written(tmp_path, name), tmp_path / name
    before = content_sha256(select.import_grid(asked))
    file.write_text(file.read_text("utf-8") + "\n\n", "utf-8")
    assert content_sha256(select.import_grid(asked)) == before


# ---- shock and precursor


def precursor_of(grid: ShockGrid, brighter: float, hbeta: float) -> ShockGrid:
    names = [line.name for line in grid.lines]
    shift = np.where([name.startswith("HI") for name in names], 0.0, np.log10(brighter))
    source = dataclasses.replace(grid.source, component=Component.PRECURSOR)
    return dataclasses.replace(
        grid,
        source=source,
        log_ratio=grid.log_ratio + shift,
        log_hbeta=grid.log_hbeta + np.log10(hbeta),
    )


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_shock_and_precursor_add_up(fraction):
    """A precursor with a third of the H beta and 7 times the metal lines."""
    shock = assemble(good_facts(), SOURCE)
    both = combine(shock, precursor_of(shock, 7.0, 1 / 3), fraction=fraction)
    expected = over_hbeta(shock, "OIII_5007") * (1 + 7 * fraction / 3) / (1 + fraction / 3)
    assert over_hbeta(both, "OIII_5007") == pytest.approx(expected, rel=1e-12)
    assert both.log_hbeta == pytest.approx(shock.log_hbeta + np.log10(1 + fraction / 3), abs=1e-12)
    assert both.component is Component.SHOCK_PLUS_PRECURSOR


def test_only_a_shock_and_its_precursor_are_combined():
    shock = assemble(good_facts(), SOURCE)
    with pytest.raises(FormatError, match="only a shock and a part of its precursor"):
        combine(shock, shock)
    slow = precursor_of(shock, 1.0, 1.0)
    slow = dataclasses.replace(slow, v_kms=slow.v_kms + 1.0)
    with pytest.raises(FormatError, match="share nothing"):
        combine(shock, slow)


@pytest.mark.real_data
def test_tables_6_and_7_of_allen_give_table_8(shared_data):
    """Every line, within 1e-3: absolute of weak lines, relative of bright ones, and in dex.

    The tables are rounded to 1e-3 of H beta and to 1e-3 dex of its flux.
    """
    settings = webtable.Setting("Allen2008_Solar", 1.0, 3.23)
    tables = {
        number: webtable.read_wide(
            shared_data / "shocks" / f"allen2008_table{number}_{name}_solar_n1_B3.23.csv", settings
        )
        for number, name in ((6, "shock"), (7, "precursor"), (8, "shock_plus_precursor"))
    }
    shock, precursor, both = tables[6], tables[7], tables[8]
    at = np.isin(shock.velocity_kms, both.velocity_kms)
    compared = 0
    for line in both.lines:
        printed, first, second = (table.column(line.name) for table in (both, shock, precursor))
        if first is None or second is None or printed is None:
            continue
        sums = weighted(first[at], shock.log_hbeta[at], second, precursor.log_hbeta)
        assert (np.abs(sums - printed) / (1.0 + printed)).max() < 1e-3, line.label
        bright = printed > 0.3
        assert np.abs(np.log10(sums[bright] / printed[bright])).max(initial=0.0) < 1e-3, line.label
        compared += 1
    assert compared >= 28


@pytest.mark.real_data
def test_library_of_mappings_3(shared_data):
    """Shock and precursor files give the file of the sum, strong lines to 1e-3 dex."""
    grids = [
        allen.import_library(shared_data / "shocks" / f"J_n1_b0_5_{which}_lines.txt")
        for which in ("s", "p", "sp")
    ]
    assert [grid.component for grid in grids] == [
        Component.SHOCK,
        Component.PRECURSOR,
        Component.SHOCK_PLUS_PRECURSOR,
    ]
    assert {examine(grid) for grid in grids} == {()}
    assert grids[0].v_kms.tolist() == list(np.arange(100.0, 1001.0, 25.0))
    names = ["OIII_5007", "NII_6583", "SII_6716+6731", "SIII_9069+9531", "OI_6300", "HeI_5876"]
    both = combine(grids[0], grids[1]).block(lines=names)
    assert both.log_ratio == pytest.approx(grids[2].block(lines=names).log_ratio, abs=1e-3)


@pytest.mark.real_data
def test_h_ii_grid_of_nebulabayes(shared_data):
    grid = nebulabayes.import_hii(shared_data / "shocks" / "NB_HII_grid.fits.gz")
    assert grid.log_ratio.shape[:3] == (12, 12, 9)
    names = [line.name for line in grid.lines]
    k = names.index("SII_6716+6731")
    # The first row of the file: log U -4, log P/k 4.2, 12 + log O/H 7.061.
    assert grid.log_oh[0] == pytest.approx(7.061, abs=1e-4)
    assert grid.log_ratio[0, 0, 0, k] == pytest.approx(np.log10(0.08571 / 2.946), abs=1e-3)
    needed = [names.index(n) for n in ("NII_6583", "SII_6716+6731", "SIII_9069+9531", "HI_4861")]
    assert not grid.mask[..., needed].any()
    # [O III] is not given where the gas is rich and the radiation weak, and is not made up.
    assert np.argwhere(grid.mask[..., names.index("OIII_5007")])[:, 0].min() == 10
    assert (grid.source.licence, grid.source.solar) == ("MIT", NOT_STATED)


# ---- names in a configuration


def test_toy_is_the_closed_form_and_zenodo_has_to_be_fetched():
    assert select.open_grid("toy").source.synthetic
    assert content_sha256(select.open_grid("toy")) == content_sha256(toy_loglinear())
    with pytest.raises(ArdError, match="fetched first"):
        select.open_grid("zenodo:14140949")


def test_a_form_that_nobody_reads_is_refused(tmp_path):
    with pytest.raises(ArdError, match="no importer reads this form"):
        select.published(select.Asked("parquet", tmp_path / "x"))
    with pytest.raises(FormatError, match="does not say which models"):
        select.published(select.Asked("wide", tmp_path / "x"))
