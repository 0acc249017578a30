"""Files get their part (oracles: what the simulator planted, and its geometry)."""

import json
from dataclasses import replace

import pytest
from astropy.coordinates import SkyCoord

from ard.fitsio import write_hdus
from manifests import load_target
from pipeline import roles
from pipeline.acquire.headers import FileFacts, Member, read_facts
from pipeline.acquire.roles import Config, assign
from pipeline.simulate import TwinConfig, geometry, run

TARGET = load_target("rbh1")


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> dict[str, FileFacts]:
    """Facts of every file of the simulated observation."""
    path = tmp_path_factory.mktemp("twin") / "part"
    facts = {}
    for file, hdus in run(TwinConfig(size="tiny")):
        folder, _, name = file.partition("/")
        if folder == "archive":
            write_hdus(path, hdus, checksum=False, overwrite=True)
            facts[name] = read_facts(path, name)
    return facts


def parts(facts, **changes):
    changed = [replace(f, **changes.get(n.split(".")[0], {})) for n, f in facts.items()]
    return {part.name: part for part in assign(changed, TARGET)}


def exposure(name: str, **changes) -> FileFacts:
    base = FileFacts(
        name, "JWST", "NIRSPEC", "2b", False, False, None, 3501.3, 1, 40.44051, -8.350361, "NRS1",
        *[None] * 9, (), (), None, False,
    )  # fmt: skip
    return replace(base, **changes)


def test_the_simulated_observation(twin):
    found = parts(twin)
    assert list(found) == sorted(twin)
    assert all(part.note == "" for part in found.values())
    for planted in geometry.EXPOSURES:
        part = found[f"{planted.name}_s3d.fits"]
        assert part.role == ("imprint" if planted.imprint else "science")
        assert (part.pointing, part.dither) == (planted.item, planted.dither + 1)
        assert (part.level, part.detector, part.covers_target) == ("2b", "NRS1", True)
    levels = [(p.level, p.role, p.pointing) for p in found.values() if "-o001_" in p.name]
    assert levels == [("3", "science", "t001"), ("3", "science", "t002")]
    exposures = [p for p in found.values() if p.level == "2b"]
    assert [sum(p.role == role for p in exposures) for role in ("science", "imprint")] == [8, 8]
    images = [p for p in found.values() if p.name.startswith("hst_")]
    # The simulated images have no S_REGION and no target position.
    assert [(p.role, p.pointing, p.covers_target) for p in images] == [("science", None, None)] * 2
    json.dumps([part.to_dict() for part in found.values()], allow_nan=False)


def test_grids_and_members_of_the_simulated_observation(twin):
    cubes = [f for f in twin.values() if f.telescope == "JWST"]
    assert len({f.wave_sha256 for f in cubes}) == 1
    assert all(f.simulated for f in twin.values())
    combined = [f for f in cubes if f.level == "3"]
    science = [f"{e.name}_cal.fits" for e in geometry.EXPOSURES if not e.imprint]
    assert sorted(m.name for f in combined for m in f.members) == sorted(science)
    assert {m.is_imprint for f in combined for m in f.members} == {False}


def test_the_real_field_covers_the_tip_in_every_exposure():
    cut = geometry.window("full")
    _, ny, nx = geometry.EXPOSURE_SHAPE
    for e in geometry.EXPOSURES:
        region = geometry.s_region(geometry.sky(cut, e.pointing, e.shift), ny, nx)
        (part,) = assign([exposure(e.name, regions=(region,))], TARGET)
        assert part.covers_target is True


def test_a_distance_to_a_rounded_centre_would_have_been_fooled(twin):
    """The rule of the earlier acquisition passes a field that is 20 arcsec from the wake."""
    rounded, tolerance = SkyCoord(40.43, -8.35, unit="deg"), 1.0  # arcmin
    name = "jw03149001001_02101_00001_nrs1_s3d"
    astray = geometry.sky(geometry.window("full"), 0)
    astray.wcs.crval = [40.44051 - 20 / 3600, -8.350361]
    astray.wcs.set()
    _, ny, nx = geometry.EXPOSURE_SHAPE
    planted = {
        "ra_deg": float(astray.wcs.crval[0]),
        "regions": (geometry.s_region(astray, ny, nx),),
    }
    for fact in [*twin.values(), replace(twin[f"{name}.fits"], **planted)]:
        if fact.ra_deg is not None:
            there = SkyCoord(fact.ra_deg, fact.dec_deg, unit="deg")
            assert there.separation(rounded).arcmin < tolerance
    part = parts(twin, **{name: planted})[f"{name}.fits"]
    assert part.covers_target is False
    assert part.note == "it does not show RBH-1: the footprint misses the target"
    assert part.role == "science"
    # A field that is near enough, but ends 0.1 arcsec short of the tip.
    tip = TARGET.anchor
    edge = tip.dec_deg + 0.1 / 3600
    short = f"POLYGON ICRS 40.4 {edge} 40.5 {edge} 40.5 -8.3 40.4 -8.3"
    assert parts(twin, **{name: {"regions": (short,)}})[f"{name}.fits"].covers_target is False


def test_one_chip_is_enough_and_unknown_is_unknown():
    far, near = "CIRCLE ICRS 10 10 1", "CIRCLE ICRS 40.44 -8.35 0.01"
    for regions, covers, word in (
        ((far, near), True, ""),
        ((far,), False, "misses the target"),
        ((), None, ""),
        (("CIRCLE ICRS somewhere",), None, "SOMEWHERE"),
        ((far, "CIRCLE ICRS somewhere"), None, "SOMEWHERE"),
        ((near, "CIRCLE ICRS somewhere"), True, "SOMEWHERE"),
    ):
        (part,) = assign([exposure("a", regions=regions)], TARGET)
        assert part.covers_target is covers
        assert word in part.note
        assert (part.note == "") == (word == "")


def test_header_and_time_that_disagree_become_a_note(twin):
    """The header has the word, and the other files are as they were."""
    lying = "jw03149001001_08101_00004_nrs1_s3d"
    honest, found = parts(twin), parts(twin, **{lying: {"is_imprint": False}})
    assert found[f"{lying}.fits"].role == "science"
    assert "IS_IMPRT and exposure time disagree: F, 145.889 s" in found[f"{lying}.fits"].note
    assert {n: p for n, p in found.items() if lying not in n} == {
        n: p for n, p in honest.items() if lying not in n
    }
    lying = "jw03149001001_02101_00001_nrs1_s3d"
    part = parts(twin, **{lying: {"is_imprint": True}})[f"{lying}.fits"]
    assert (part.role, "disagree: T" in part.note) == ("imprint", True)


def test_a_silent_header_is_decided_by_the_time():
    files = [exposure("a", is_imprint=None), exposure("b", is_imprint=None, exptime_s=145.9),
             exposure("c", is_imprint=None, exptime_s=None)]  # fmt: skip
    found = assign(files, TARGET)
    assert [part.role for part in found] == ["science", "imprint", "science"]
    assert [part.note for part in found] == [
        "no IS_IMPRT: science because the exposure is long",
        "no IS_IMPRT: imprint because the exposure is short",
        "neither IS_IMPRT nor an exposure time: taken for science",
    ]
    (alone,) = assign(files[1:2], TARGET)
    assert alone.role == "science"
    gentle = assign(files[:2], TARGET, config=Config(short_fraction=0.01))
    assert [part.role for part in gentle] == ["science", "science"]


def test_times_are_compared_within_a_kind():
    """Neither a sum of exposures, nor another instrument, nor imprints alone, make one short."""
    files = [
        exposure("a"),
        exposure("b", level="3", exptime_s=28010.7),
        exposure("c", instrument="NIRCAM", exptime_s=50000.0),
        exposure("d", telescope="HST", level="2", exptime_s=90000.0),
    ]
    assert [(p.role, p.note) for p in assign(files, TARGET)] == [("science", "")] * 4
    alone = [exposure(n, is_imprint=True, exptime_s=145.9) for n in "ab"]
    assert [(p.role, p.note) for p in assign(alone, TARGET)] == [("imprint", "")] * 2


def test_backgrounds_hubble_and_combined_products():
    members = (Member("x", False), Member("y", True), Member("z", None))
    files = [
        exposure("a", is_background=True),
        exposure("b", telescope="HST", image_type="EXT"),
        exposure("c", telescope="HST", image_type="DARK"),
        exposure("d", level="3", members=members),
        exposure("e", level="3", is_imprint=True),
    ]
    assert [(p.role, p.note) for p in assign(files, TARGET)] == [
        ("background", ""),
        ("science", ""),
        ("background", "IMAGETYP is DARK: no exposure of the sky"),
        ("science", "made of the imprint y"),
        ("science", "IS_IMPRT is T in a combined product"),
    ]


def test_pointings_count_within_an_instrument():
    files = [
        exposure("a", ra_deg=40.440262, dec_deg=-8.350525),
        exposure("b"),
        exposure("c", telescope="HST", ra_deg=0.00001),
        exposure("d", telescope="HST", ra_deg=359.99999),
        exposure("e", ra_deg=None),
    ]
    found = [part.pointing for part in assign(files, TARGET)]
    assert found == ["t001", "t002", "t001", "t001", None]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [(True, True), (False, False), ("T", True), (" false ", False), (None, None), ("", None),
     (float("nan"), None), (1, None)],
)  # fmt: skip
def test_flags(value, meaning):
    assert roles.flag(value) is meaning


def test_nothing_has_no_parts():
    assert assign([], TARGET) == ()
