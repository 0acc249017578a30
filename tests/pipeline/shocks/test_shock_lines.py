"""Are labels of tables read rightly, and are wavelengths those in vacuum?

Oracles: the labels of the public table; specutils for the refraction of air; the target's list of
lines, which was typed from another source.
"""

import numpy as np
import pytest
from astropy import units as u
from specutils.utils.wcs_utils import air_to_vac

from ard.errors import FormatError
from manifests import load_target
from manifests.nebular import NEBULAR_LINES
from pipeline.shocks.lines import air_to_vacuum, known_line, line_named, read_label, vacuum_um


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("[O III] λ5007", "OIII_5007"),
        ("O VI λλ1032, 1037", "OVI_1032+1038"),
        ("SiIV + O IV λ1400", "SiIV+OIV_1400"),
        ("Si iv + O iv λ1400", "SiIV+OIV_1400"),
        ("[S ii] λλ4067, 4076", "SII_4069+4076"),
        ("C III] λ1909", "CIII_1909"),
        ("H α λ6563", "HI_6563"),
        ("Lyα λ1215", "HI_1216"),
        ("Brα λ4.051 μm", "HI_4.05um"),
        ("[Ne II] λ12.8 μm", "NeII_12.81um"),
        ("9.454e-5 7.785e-5 [Ar ii] λ6.983µm", "ArII_6.99um"),
    ],
)
def test_labels_are_read(label, name):
    line = known_line(*read_label(label))
    assert line.name == name
    assert line_named(name) == line


@pytest.mark.parametrize("label", ["", "log Hβ", "λ5007", "[O III]", "key"])
def test_what_is_no_label_is_refused(label):
    with pytest.raises(FormatError, match="not that of a line"):
        read_label(label)


def test_unknown_ions_and_lines_are_refused():
    with pytest.raises(FormatError, match="no lines of this ion"):
        known_line(*read_label("[Xe III] λ5847"))
    with pytest.raises(FormatError, match="a name that is not known"):
        line_named("OIII_1234")


def test_air_to_vacuum_is_that_of_another_package():
    air = np.array([0.3426, 0.5006843, 0.656282, 0.9530, 1.875])
    theirs = air_to_vac(air * u.um, method="Ciddor1996", scheme="iteration").to_value(u.um)
    mine = np.array([air_to_vacuum(wave) for wave in air])
    assert np.abs(mine / theirs - 1.0).max() < 5e-8
    assert air_to_vacuum(0.5006843) == pytest.approx(0.5008240, abs=5e-8)
    assert vacuum_um(0.1909) == 0.1909


def test_wavelengths_agree_with_the_targets_list():
    """To 0.1 Angstrom, a tenth of the precision of a label."""
    here = {line.ion + f"{line.label_um * 1e4:.0f}": line for line in NEBULAR_LINES}
    for line in load_target("rbh1").lines:
        name = "HI6563" if line.name == "Halpha" else line.name
        assert vacuum_um(here[name].label_um) == pytest.approx(line.wave_vac_um, abs=1.5e-5)


def test_names_are_unique():
    names = [line.name for line in NEBULAR_LINES]
    assert len(set(names)) == len(names)


def test_wavelength_of_a_sum_is_weighted_by_flux():
    """[S III] 9531 is 2.469 times as bright as 9069."""
    sum_ = line_named("SIII_9069+9531")
    first, second = (line_named(name).wave_um for name in ("SIII_9069", "SIII_9531"))
    assert sum_.members == ("SIII_9069", "SIII_9531")
    assert sum_.wave_um == pytest.approx((first + 2.469 * second) / 3.469, rel=1e-12)
