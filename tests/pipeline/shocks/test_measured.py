"""Are tables of lines read as what they say, and are blends the sums of their members?

Oracle: sums by hand, and the same numbers given as fluxes and as ratios.
"""

import dataclasses

import numpy as np
import pytest
from astropy.table import MaskedColumn
from astropy.table import Table as AstropyTable
from scipy import stats

from ard.errors import FormatError
from ard.table import Table
from manifests.shocks import load_shocks
from pipeline.shocks.grid import HALPHA, GridLine
from pipeline.shocks.likelihood import errors_for, log_likelihood, prepare
from pipeline.shocks.measured import for_grid, grid_name, read_measured
from pipeline.shocks.toy import TOY_LINES


def table(**columns) -> Table:
    return Table(AstropyTable(columns))


LINES = ["Halpha", "OIII5007", "SII6716", "SII6731"]


def test_names_of_lines_are_those_of_grids():
    named = {name: grid_name(name) for name in ("Halpha", "Hbeta", "OIII5007", "NI5200", "OI_6300")}
    assert list(named.values()) == ["HI_6563", "HI_4861", "OIII_5007", "NI_5200", "OI_6300"]
    assert grid_name("SII_6716+6731") == "SII_6716+6731"


def test_fluxes_of_several_spectra():
    flux = MaskedColumn([9.0, 8.0, 1.0, 2.0, 5.0, -1.0], mask=[0, 0, 0, 0, 0, 1])
    found = read_measured(table(
        aperture=["tip"] * 4 + ["wake1"] * 2, method=["box"] * 6, line=[*LINES, *LINES[:2]],
        flux=flux, flux_err=[1.0, 0.5, 0.1, 0.2, 0.3, 0.4],
    ))  # fmt: skip
    assert found.spectra == ("tip/box", "wake1/box")
    assert found.fluxes.names == (HALPHA, "OIII_5007", "SII_6716", "SII_6731")
    assert found.fluxes.flux[0].tolist() == [9.0, 8.0, 1.0, 2.0]
    assert np.isnan(found.fluxes.flux[1]).tolist() == [False, True, True, True]
    assert found.fluxes.cov[0, 1, 1] == 0.25


def test_lines_that_were_fitted_badly_are_used_and_named():
    flags = MaskedColumn([True, False, True, True], mask=[0, 0, 0, 1])
    given = {"line": LINES, "flux": [9.0, 8.0, 1.0, 2.0], "flux_err": [1.0, 0.5, 0.1, 0.2]}
    found = read_measured(table(**given, suspect=flags))
    assert found.suspect == {"spectrum": (HALPHA, "SII_6716")}
    for odd in (["False"] * 4, [np.nan] * 4):  # both are true, to numpy
        with pytest.raises(FormatError, match="neither yes nor no"):
            read_measured(table(**given, suspect=odd))
    plain = read_measured(table(**given))
    assert plain.suspect == {}
    assert np.array_equal(plain.fluxes.flux, found.fluxes.flux)
    assert np.array_equal(plain.fluxes.cov, found.fluxes.cov)


def test_ratios_are_fluxes_over_halpha():
    ratio = read_measured(table(line=LINES[1:], log_ratio=[0.1, -0.7, -0.9],
                                log_ratio_err=[0.02, 0.03, 0.04]))  # fmt: skip
    assert ratio.spectra == ("spectrum",)
    assert ratio.fluxes.flux[0] == pytest.approx([1.0, 10**0.1, 10**-0.7, 10**-0.9])
    sigma = np.sqrt(np.diag(ratio.fluxes.cov[0])) / ratio.fluxes.flux[0] / np.log(10.0)
    assert sigma == pytest.approx([0.0, 0.02, 0.03, 0.04])


def test_errors_in_dex_are_compared_in_dex():
    """Oracle: scipy's Gaussian. 0.12 dex is a S/N of 3.6: a flux so weak would be compared as flux,
    and allow a ratio of nothing."""
    given = read_measured(table(line=["OIII5007", "NII6583"], log_ratio=[0.3, -1.7],
                                log_ratio_err=[0.05, 0.12]))  # fmt: skip
    lines = [toy.line for toy in TOY_LINES[:2]]
    errors = dataclasses.replace(errors_for(lines, load_shocks(), 0.1), av_sigma_mag=0.0)
    (datum,) = prepare(for_grid(given.fluxes.take(slice(0, 1)), lines), errors)
    model = np.array([0.1, -3.0])
    expected = stats.norm(model, np.hypot([0.05, 0.12], 0.1)).logpdf([0.3, -1.7]).sum()
    assert float(log_likelihood(datum, model)[0]) == pytest.approx(expected, rel=1e-9)


def test_a_blend_is_the_sum_of_its_members():
    found = read_measured(table(line=LINES, flux=[9.0, 8.0, 1.0, 2.0],
                                flux_err=[1.0, 0.5, 0.3, 0.4]))  # fmt: skip
    lines = [
        GridLine("SII_6716+6731", 0.67, ("SII_6716", "SII_6731")),
        GridLine("OIII_5007", 0.5, ("OIII_5007",)),
        GridLine("SIII_9069+9531", 0.9, ("SIII_9069", "SIII_9531")),
    ]
    kept = for_grid(found.fluxes, lines)
    assert kept.names == (HALPHA, "OIII_5007", "SII_6716+6731")
    assert kept.flux[0].tolist() == [9.0, 8.0, 3.0]
    assert kept.cov[0, 2, 2] == pytest.approx(0.25)
    # Each measured line is used once, and alone where it can be.
    alone = for_grid(found.fluxes, [*lines, GridLine("SII_6716", 0.67, ("SII_6716",))])
    assert alone.names == (HALPHA, "OIII_5007", "SII_6716")


def test_a_sum_without_one_member_is_not_used():
    found = read_measured(table(
        spectrum=["a"] * 4 + ["b"] * 4, line=LINES * 2,
        flux=[9.0, 8.0, np.nan, 2.0, 9.0, np.nan, 1.0, 2.0],
        flux_err=[1.0, 0.5, np.nan, 0.4, 1.0, np.nan, 0.3, 0.4],
    ))  # fmt: skip
    lines = [GridLine("SII_6716+6731", 0.67, ("SII_6716", "SII_6731"))]
    kept = for_grid(found.fluxes, lines)
    assert np.isnan(kept.flux).tolist() == [[False, True], [False, False]]
    assert np.isfinite(kept.cov).all()
    # What no spectrum has is no line of the fit: models are not dropped for the lack of it.
    assert for_grid(found.fluxes.take(slice(0, 1)), lines).names == (HALPHA,)


def test_tables_that_say_nothing_are_refused():
    with pytest.raises(FormatError, match="no lines to compare"):
        read_measured(table(line=LINES, flux=[1.0] * 4))
    with pytest.raises(FormatError, match="there twice"):
        read_measured(table(line=["Halpha"] * 2, flux=[1.0] * 2, flux_err=[1.0] * 2))
    with pytest.raises(FormatError, match="need H alpha"):
        read_measured(table(line=LINES[1:], flux=[1.0] * 3, flux_err=[1.0] * 3))


@pytest.mark.parametrize(
    ("values", "errors", "pair"),
    [
        ([-np.inf, -0.7, -0.9], [0.1] * 3, "log_ratio"),  # no flux at all, and no error of it
        ([0.1, -0.7, -0.9], [0.1, -0.1, 0.1], "log_ratio"),
        ([9.0, 1.0, 2.0], [1.0, -0.1, 0.2], "flux"),
        ([9.0, 1.0, 0.0], [1.0, 0.1, 0.0], "flux"),  # a perfect zero is no upper limit
    ],
)
def test_numbers_that_would_be_taken_for_perfect_ones_are_refused(values, errors, pair):
    names = LINES[1:] if pair == "log_ratio" else LINES[:3]
    with pytest.raises(FormatError, match="no measurement of a line"):
        read_measured(table(line=names, **{pair: values, f"{pair}_err": errors}))


def test_flux_and_error_are_in_one_unit():
    one = AstropyTable({"line": LINES, "flux": [9.0] * 4, "flux_err": [1.0] * 4})
    one["flux"].unit, one["flux_err"].unit = "erg / (s cm2)", "W / m2"
    with pytest.raises(FormatError, match="different units"):
        read_measured(Table(one))
