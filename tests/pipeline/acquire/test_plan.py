"""Is the right thing done with every file, from what lock, archive and store say of it?

Oracle: a table of cases, written down from the requirements of the acquisition.
"""

from dataclasses import replace

import pytest

from ard.errors import ArdError
from manifests import load_selection
from manifests.lock import Lock, LockedFile
from pipeline.acquire.archive import Catalogue, Listing
from pipeline.acquire.entry import Entry, Held, with_served
from pipeline.acquire.plan import make_plan, require_space, size_text
from pipeline.acquire.settings import Network, Policy
from pipeline.acquire.store import Store

NAME = "jw03149001001_02101_00001_nrs1_s3d.fits"
URI = f"mast:JWST/product/{NAME}"
ONE, TWO = b"one", b"other"
SHA = {
    ONE: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    TWO: "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
}
MD5 = {
    ONE: "f97c5d29941bfb1b2fdab0874906ab82",
    TWO: "795f3202b17cb6bc3d4b771d8c6c9eaf",
}
LOCKED = LockedFile(URI, NAME, "jwst_s3d")
KNOWN = replace(
    LOCKED,
    size=3,
    sha256=SHA[ONE],
    verified="archive",
    checksum=MD5[ONE],
    cal_ver="1.17.1",
)
LISTED = Listing(URI, NAME, "jwst_s3d", size=3, checksum=MD5[ONE], cal_ver="1.17.1")
AGAIN = replace(LISTED, size=5, checksum=MD5[TWO], cal_ver="1.18.0")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    return store


def hold(store, content, **values):
    part = store.part_path(URI, NAME)
    part.write_bytes(content)
    store.put(part, SHA[content])
    store.name(store.link_path("jwst_s3d", NAME), SHA[content])
    held = Held(SHA[content], len(content), "archive", store.mtime_ns(SHA[content]))
    return replace(held, **{"checksum": MD5[content], "cal_ver": "1.17.1", **values})


def decide(store, locked=LOCKED, listing=LISTED, *, policy=None, token=None, asked=True):
    catalogue = Catalogue("http://x", {NAME: listing} if listing else {}, ()) if asked else None
    plan = make_plan(
        load_selection(),
        Lock("rbh1", (locked,)),
        store,
        catalogue,
        network=Network(token=token),
        policy=policy or Policy(),
    )
    return plan.steps[0]


@pytest.mark.parametrize(
    ("holds", "locked", "listing", "action", "status"),
    [
        ("nothing", LOCKED, LISTED, "fetch", "MISSING"),
        ("nothing", KNOWN, LISTED, "fetch", "MISSING"),
        ("nothing", KNOWN, AGAIN, "nothing", "CHANGED"),
        ("nothing", LOCKED, None, "nothing", "FAILED"),
        ("nothing", LOCKED, replace(LISTED, rights="EXCLUSIVE_ACCESS"), "nothing", "FAILED"),
        ("the file", LOCKED, LISTED, "keep", "OK"),
        ("the file", KNOWN, LISTED, "keep", "OK"),
        ("the file", KNOWN, None, "keep", "OK"),
        ("the file", KNOWN, AGAIN, "keep", "CHANGED"),
        ("the file", LOCKED, AGAIN, "keep", "CHANGED"),
        ("another", KNOWN, LISTED, "fetch", "MISSING"),
        ("another", replace(LOCKED, size=3), LISTED, "fetch", "MISSING"),
        ("the file", replace(LOCKED, size=5), LISTED, "nothing", "CHANGED"),
        ("the file", replace(LOCKED, size=5), AGAIN, "fetch", "MISSING"),
        ("no record", KNOWN, LISTED, "link", "MISSING"),
        ("a version", KNOWN, LISTED, "link", "MISSING"),
        ("no name", KNOWN, LISTED, "link", "MISSING"),
        ("damaged", KNOWN, LISTED, "fetch", "MISSING"),
        ("damaged", LOCKED, LISTED, "fetch", "MISSING"),
    ],
)
def test_every_case_has_its_action(store, holds, locked, listing, action, status):
    entry = Entry(NAME, URI, "jwst_s3d")
    if holds in ("the file", "damaged", "no name"):
        store.save(replace(entry, held=hold(store, ONE)))
    elif holds == "another":
        store.save(replace(entry, held=hold(store, TWO)))
    elif holds == "a version":
        store.save(with_served(replace(entry, held=hold(store, TWO)), hold(store, ONE)))
    elif holds == "no record":
        hold(store, ONE)
    if holds in ("no name", "a version"):
        store.link_path("jwst_s3d", NAME).unlink()
    if holds == "damaged":
        path = store.object_path(SHA[ONE])
        path.chmod(0o644)
        path.write_bytes(b"oen")
    step = decide(store, locked, listing)
    assert (step.action, step.status) == (action, status)
    assert step.in_store == (action == "keep")
    assert bool(step.problem) == (status in ("FAILED", "CHANGED"))
    assert bool(step.remedy) == bool(step.problem)


@pytest.mark.parametrize("held", [True, False])
def test_a_changed_file_is_taken_only_when_asked_for(store, held):
    if held:
        store.save(Entry(NAME, URI, "jwst_s3d", held=hold(store, ONE)))
    step = decide(store, KNOWN, AGAIN, policy=Policy(take_changed=True))
    assert (step.action, step.status, step.need_bytes) == ("take", "CHANGED", 5)
    assert step.changes == (
        f"checksum: {MD5[ONE]} in the lock, {MD5[TWO]} in the archive",
        "size: 3 in the lock, 5 in the archive",
        "cal_ver: 1.17.1 in the lock, 1.18.0 in the archive",
    )


def test_a_changed_file_is_taken_once(store):
    version = hold(store, TWO, cal_ver="1.18.0")
    entry = Entry(NAME, URI, "jwst_s3d", held=hold(store, ONE))
    store.save(with_served(entry, version))
    step = decide(store, KNOWN, AGAIN, policy=Policy(take_changed=True))
    assert (step.action, step.status) == ("keep", "CHANGED")


def adopted_offline(store, content):
    """Content that no checksum of the archive was ever held against."""
    held = hold(store, content, checksum=None, cal_ver=None, verified="size")
    store.save(Entry(NAME, URI, "jwst_s3d", held=held))


def test_the_archive_vouches_for_what_was_adopted(store):
    adopted_offline(store, ONE)
    step = decide(store, LOCKED, LISTED)
    assert (step.action, step.status) == ("keep", "OK")
    assert step.held is not None
    assert (step.held.checksum, step.held.verified) == (MD5[ONE], "archive")


def test_the_archive_refutes_what_was_adopted(store):
    """Bytes of the right size, taken on trust, that have not the checksum which it publishes."""
    adopted_offline(store, ONE)
    step = decide(store, LOCKED, replace(LISTED, checksum=MD5[TWO]))
    assert (step.action, step.status) == ("keep", "CHANGED")
    assert "has not the checksum" in step.problem
    assert step.changes == (f"checksum: not the one of the store's file: {MD5[TWO]}",)


def test_a_checksum_of_another_kind_is_no_other_version(store):
    sha1 = "fe05bcdcdc4928012781a5f1a2a77cbb5398e106"
    store.save(Entry(NAME, URI, "jwst_s3d", held=hold(store, ONE)))
    step = decide(store, KNOWN, replace(LISTED, checksum=sha1.upper()))
    assert (step.action, step.status, step.changes) == ("keep", "OK", ())


def test_what_the_archive_served_instead_is_not_fetched_for_ever(store):
    """HST has no checksums: only the bytes themselves told that there is another version."""
    listing = replace(LISTED, checksum=None, cal_ver=None)
    locked = replace(LOCKED, size=3, sha256=SHA[ONE], verified="size")
    other = replace(hold(store, TWO, checksum=None, cal_ver=None), size=3)
    store.save(with_served(Entry(NAME, URI, "jwst_s3d"), other))
    step = decide(store, locked, listing)
    assert (step.action, step.status) == ("nothing", "CHANGED")
    assert f"--take {NAME}" in step.remedy
    again = decide(store, locked, listing, policy=Policy(take_changed=True))
    assert again.action == "fetch"


def test_what_is_held_on_trust_is_fetched_again_to_confirm_it(store):
    held = hold(store, ONE, checksum=None, verified="size")
    store.save(Entry(NAME, URI, "jwst_s3d", held=held))
    listing = replace(LISTED, checksum=None)
    assert decide(store, LOCKED, listing).action == "keep"
    assert decide(store, LOCKED, listing, policy=Policy(confirm=True)).action == "confirm"


def test_equal_checksums_mean_equal_bytes_whatever_the_versions_say(store):
    """The archive writes a new context without processing a file again."""
    step = decide(store, KNOWN, replace(LISTED, crds_ctx="jwst_9999.pmap", cal_ver="9"))
    assert (step.action, step.changes) == ("fetch", ())


def test_a_size_alone_tells_versions_of_hst_apart(store):
    locked = replace(LOCKED, size=3)
    listing = replace(LISTED, size=5, checksum=None, cal_ver=None)
    assert decide(store, locked, listing).status == "CHANGED"


def test_restricted_files_are_fetched_with_a_token(store):
    step = decide(store, LOCKED, replace(LISTED, rights="RESTRICTED"), token="t")
    assert step.action == "fetch"


@pytest.mark.parametrize(("last", "action"), [("FAILED", "fetch"), ("MISSING", "nothing")])
def test_only_what_failed_is_tried_when_asked_for(store, last, action):
    store.save(Entry(NAME, URI, "jwst_s3d", last={"status": last}))
    assert decide(store, policy=Policy(retry_failed=True)).action == action


def test_nothing_is_fetched_offline(store):
    step = decide(store, asked=False)
    assert (step.action, step.status) == ("nothing", "MISSING")
    assert step.need_bytes == load_selection().group("jwst_s3d").typical_bytes
    assert not step.size_known


def test_planning_needs_no_store(tmp_path):
    assert decide(Store(tmp_path / "none")).action == "fetch"


def test_space_is_asked_for_before_the_first_byte(store, tmp_path):
    catalogue = Catalogue("http://x", {NAME: replace(LISTED, size=4_000_000_000)}, ())
    plan = make_plan(
        load_selection(), Lock("rbh1", (LOCKED,)), store, catalogue,
        network=Network(), policy=Policy(),
    )  # fmt: skip
    require_space(plan, 5_000_000_000, Policy(), tmp_path)
    with pytest.raises(ArdError, match="not enough space") as error:
        require_space(plan, 4_999_999_999, Policy(), tmp_path)
    assert error.value.expected == "4.0 GB for 1 files, and 1.0 GB that stay free"
    assert "nothing was fetched" in (error.value.action or "")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e6, "2.5 MB"), (50.4e9, "50.4 GB"),
     (3.2e12, "3200.0 GB")],
)  # fmt: skip
def test_sizes_are_written_for_people(count, text):
    assert size_text(count) == text
