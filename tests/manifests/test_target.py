"""Do target manifests hold the study's values, and is anything incomplete refused?"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.cosmology import FlatLambdaCDM

from manifests import ManifestError, load_target, target_names
from manifests.target import TARGETS_DIR

RBH1 = (TARGETS_DIR / "rbh1.toml").read_text(encoding="utf-8")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    assert old in RBH1
    path = tmp_path / "edited.toml"
    path.write_text(RBH1.replace(old, new, 1), encoding="utf-8")
    return path


def test_names():
    assert target_names() == ("ngc7469", "rbh1")


def test_rbh1_geometry_is_consistent():
    """Oracle: published_values.json (7.80 +- 0.05 arcsec, PA 147.4 +- 0.3 deg), by astropy."""
    target = load_target("rbh1")
    host = SkyCoord(target.host.ra_deg, target.host.dec_deg, unit="deg")
    tip = SkyCoord(target.tip.ra_deg, target.tip.dec_deg, unit="deg")
    assert host.separation(tip).arcsec == pytest.approx(7.80, abs=0.05)
    assert host.position_angle(tip).deg == pytest.approx(target.position_angle_deg, abs=0.6)
    assert target.anchor == target.tip


def test_rbh1_cosmology_gives_the_published_scale():
    """Oracle: 7.937 kpc/arcsec (published_values.json), by astropy."""
    target = load_target("rbh1")
    cosmology = FlatLambdaCDM(target.cosmology.h0, target.cosmology.om0)
    scale = cosmology.kpc_proper_per_arcmin(target.redshift).to_value(u.kpc / u.arcsec)
    assert scale == pytest.approx(7.937, abs=1e-3)


def test_rbh1_lines_are_vacuum_wavelengths():
    """Oracle: air wavelengths of the NIST list through the IAU refractive index (Morton 1991)."""
    air = {"OIII5007": 5006.843, "Halpha": 6562.819, "SII6716": 6716.440, "SIII9069": 9068.6}
    target = load_target("rbh1")
    for name, wave in air.items():
        k2 = (1e4 / wave) ** 2
        index = 1 + 6.4328e-5 + 2.94981e-2 / (146 - k2) + 2.5540e-4 / (41 - k2)
        assert target.line(name).wave_vac_um * 1e4 == pytest.approx(wave * index, abs=0.1)


def test_rbh1_observed_wavelengths():
    """Oracle: table of reference/science.md section 5."""
    target = load_target("rbh1")
    expected = {"OIII4959": 0.97420, "OIII5007": 0.98362, "Halpha": 1.28929, "SIII9531": 1.87232}
    for name, wave in expected.items():
        assert target.line(name).wave_obs_um(target.redshift) == pytest.approx(wave, abs=6e-6)


def test_rbh1_groups_and_ratios():
    target = load_target("rbh1")
    assert [group.name for group in target.groups] == ["oiii", "oi", "halpha", "sii", "siii"]
    assert [line.name for line in target.group_lines("halpha")] == ["NII6548", "Halpha", "NII6583"]
    ratios = {line.name: (line.ratio_to, line.ratio) for line in target.lines if line.ratio}
    assert ratios == {
        "OIII5007": ("OIII4959", 2.984),
        "NII6583": ("NII6548", 2.942),
        "SIII9531": ("SIII9069", 2.469),
    }
    assert target.tied().lines == tuple(line.name for line in target.lines)
    waves = [line.wave_vac_um for line in target.lines]
    assert np.all(np.diff(waves) > 0)


def test_ngc7469_is_the_nucleus_of_its_cube():
    target = load_target("ngc7469")
    assert (target.tip, target.position_angle_deg) == (None, None)
    assert target.anchor == target.host
    (line,) = target.lines
    assert line.wave_obs_um(target.redshift) == pytest.approx(19.018, abs=1e-3)


@pytest.mark.parametrize("name", ["rbh1", "ngc7469"])
def test_every_given_value_has_a_source(name):
    target = load_target(name)
    given = {"redshift", "host", "cosmology"}
    given |= {"tip"} if target.tip else set()
    given |= {"position_angle_deg"} if target.position_angle_deg is not None else set()
    assert set(target.sources) == given
    assert all(line.source for line in target.lines)
    assert json.loads(json.dumps(target.to_dict(), allow_nan=False)) == target.to_dict()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("redshift = 0.964", "redshift = -2", "must be above -1"),
        ("redshift = 0.964", "redshift = 'high'", "must be a number"),
        ("redshift = 0.964", "redshift = nan", "must be finite"),
        ("redshift = 0.964", "redshift = true", "must be a number"),
        ("redshift = 0.964", "redshift = 0.964\nmood = 1", "unknown field"),
        ('item = "rbh1"', 'item = "RBH 1"', "begins file names"),
        ('name = "RBH-1"', 'name = ""', "must be a text"),
        ("ra_deg = 40.439292", "ra_deg = 400", "no place on the sky"),
        ("ra_deg = 40.439292", "", "must be a number"),
        ("position_angle_deg = 147.4", "position_angle_deg = 400", "is no angle"),
        ("h0 = 70.0", "h0 = -70.0", "impossible cosmology"),
        ("[target.host]", "[target.hosts]", "unknown field"),
        ("[sources.tip]", "[sources.top]", "unknown field"),
        ('evidence = "data"', 'evidence = "hearsay"', "is not known"),
        ("ratio = 2.984", "", "belong together"),
        ("ratio = 2.984", "ratio = -1", "must be positive"),
        ('ratio_to = "OIII4959"', 'ratio_to = "Halpha"', "no free line"),
        ("wave_vac_um = 0.4960295", "wave_vac_um = 0", "must be positive"),
        ('name = "OIII5007"', 'name = "OIII4959"', "names of their own"),
        ('name = "oi"', 'name = "oiii"', "a name of its own"),
        ('group = "oi"', 'group = "none"', "a name of its own"),
        ('[[groups]]\nname = "oi"\ntitle = "[O I] 6300"\n', "", "groups that do not exist"),
        ("[target]", "[target", "cannot be read as TOML"),
        ('name = "wake1"', 'name = "tip"', "apertures need names of their own"),
        ('name = "wake1"', 'name = "Wake 1"', "'name' stands in tables"),
        ('shape = "box"', 'shape = "star"', "is not known"),
        ('shape = "box"', 'shape = "circle"', "a circle has no length_arcsec"),
        ('profile = "wake"', 'profile = "gas"', "is not known"),
        ("length_arcsec = 0.5", "", "must be a number"),
        ("length_arcsec = 0.5", "length_arcsec = 0", "must be positive"),
        ("along_arcsec = -0.05", "", "given in one of two ways"),
        ("along_arcsec = -0.05", "along_arcsec = 0\nra_deg = 40.0", "given in one of two ways"),
        ("velocity_kms = -301.0", "speed = 3", "unknown field"),
    ],
)
def test_incomplete_or_impossible_manifest_is_refused(old, new, says, tmp_path):
    path = edited(tmp_path, old, new)
    with pytest.raises(ManifestError, match=says) as caught:
        load_target(path)
    assert caught.value.file == str(path)
    assert "what to do" in str(caught.value)


def test_apertures_walk_down_the_wake_from_the_tip():
    """Oracle: 0.5 arcsec steps without gap or overlap, as the manifest's comment says."""
    apertures = load_target("rbh1").apertures
    assert [a.name for a in apertures] == [
        "tip", "wake1", "wake2", "wake3", "wake4", "host_side",
    ]  # fmt: skip
    ends = [(a.along_arcsec + a.length_arcsec / 2, a.along_arcsec - a.length_arcsec / 2)
            for a in apertures]  # fmt: skip
    for (_, low), (high, _) in pairwise(ends):
        assert low == pytest.approx(high, abs=1e-12)
    assert all(a.source and a.evidence for a in apertures)


def test_apertures_of_a_target_without_axis_are_given_by_coordinates(tmp_path):
    apertures = load_target("ngc7469").apertures
    assert {a.shape for a in apertures} == {"circle"}
    assert all(a.along_arcsec is None and a.ra_deg is not None for a in apertures)
    text = (TARGETS_DIR / "ngc7469.toml").read_text(encoding="utf-8")
    path = tmp_path / "x.toml"
    path.write_text(text.replace("ra_deg = 345.815084\ndec_deg = 8.873953",
                                 "along_arcsec = 0\nacross_arcsec = 0"))  # fmt: skip
    with pytest.raises(ManifestError, match="offsets count from the tip"):
        load_target(path)
    path.write_text(text.replace("ra_deg = 345.815084", "ra_deg = 361"))
    with pytest.raises(ManifestError, match="no place on the sky"):
        load_target(path)
    path.write_text(text.replace('profile = "point"', 'profile = "wake"'))
    with pytest.raises(ManifestError, match="needs an axis"):
        load_target(path)


def test_a_target_may_have_no_apertures(tmp_path):
    text = (TARGETS_DIR / "ngc7469.toml").read_text(encoding="utf-8")
    path = tmp_path / "x.toml"
    path.write_text(text[: text.index("# Apertures")])
    assert load_target(path).apertures == ()


def test_lines_that_are_no_tables_are_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("lines = 3\n[target]\nname = 'x'\n")
    with pytest.raises(ManifestError, match="must be a list of tables"):
        load_target(path)


def test_manifest_without_a_target_is_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("")
    with pytest.raises(ManifestError, match="the table 'target' is missing"):
        load_target(path)


def test_unknown_names_are_refused():
    with pytest.raises(ManifestError, match="no target has this name"):
        load_target("andromeda")
    with pytest.raises(ManifestError, match="does not exist"):
        load_target("andromeda.toml")
    target = load_target("rbh1")
    with pytest.raises(ManifestError, match="has no line of this name"):
        target.line("Hbeta")
    with pytest.raises(ManifestError, match="has no group of this name"):
        target.group("balmer")
