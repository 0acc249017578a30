"""Do lock, store and archive keep to one version of a file, whatever each of them knows?

Oracle: the bytes of the archive's own folder, and those that lay on disk before.
"""

import json

import pytest
from archives import HST, JWST, downloads, reprocessed

from ard.fileio import sha256_file
from pipeline.acquire.testing import BitFlip


def test_an_hst_file_processed_again_can_be_taken(acquire, server, mini, tmp_path, place):
    """Nothing that the archive lists tells its versions apart; only the bytes do."""
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    result = acquire("run", lock=lock)
    assert (result.code, result.status(HST)) == (3, "CHANGED")
    assert acquire("run", lock=lock).code == 3
    assert f"lock --update --take {HST}" in acquire("plan", lock=lock).text
    assert acquire("lock", "--update", "--take", HST, lock=lock).code == 0
    rows = {row["name"]: row for row in json.loads(lock.read_text())["files"]}
    assert rows[HST]["sha256"] == sha256_file(new.path)
    server.reset_log()
    assert acquire("run", lock=lock).code == 0
    assert downloads(server) == []
    assert place(HST).read_bytes() == new.path.read_bytes()


def test_taking_a_version_that_was_not_served_says_so(acquire, mini, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    acquire("run", lock=lock)
    result = acquire("lock", "--update", "--take", HST, lock=lock)
    assert result.code == 3
    assert "has served no other version" in result.text
    assert lock.read_bytes() == mini.known.read_bytes()


def test_the_lock_never_pairs_a_checksum_with_other_bytes(acquire, mini, tmp_path, server, place):
    """An altered cube of the right size, adopted without asking: the archive's checksum tells."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    altered = reprocessed(mini, tmp_path, JWST).path
    (folder / JWST).write_bytes(altered.read_bytes())
    assert acquire("adopt", folder, "--offline", lock="unknown").code == 0
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    result = acquire("run", lock=lock)
    assert (result.code, result.status(JWST)) == (1, "CHANGED")
    acquire("lock", "--update", lock=lock)
    rows = {row["name"]: row for row in json.loads(lock.read_text())["files"]}
    assert rows[JWST]["sha256"] is None
    assert acquire("run", "--take-changed", lock=lock).code in (0, 1)
    acquire("lock", "--update", lock=lock)
    assert acquire("run", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_locked_bytes_are_adopted_though_the_archive_has_moved_on(
    acquire, mini, tmp_path, server, place
):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / JWST).write_bytes(mini.truth(JWST))
    server.replace(reprocessed(mini, tmp_path, JWST))
    adopted = acquire("adopt", folder)
    assert adopted.code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)
    # The archive's words are about other bytes, so they are not put down for these.
    record = json.loads((tmp_path / "store" / "records" / f"{JWST}.json").read_text())
    assert record["held"]["checksum"] is None
    assert record["held"]["cal_ver"] == "1.17.1"
    # A record that is lost is made again, and the lock's bytes are not put aside for it.
    (tmp_path / "store" / "records" / f"{JWST}.json").unlink()
    again = acquire("run")
    assert again.files[JWST]["in_store"]
    assert place(JWST).read_bytes() == mini.truth(JWST)


def locked_with_checksums(acquire, mini, tmp_path):
    """A lock with every sha256 and every checksum of the archive, and a store that equals it."""
    lock = tmp_path / "full.json"
    lock.write_bytes(mini.unknown.read_bytes())
    acquire("run", lock=lock)
    acquire("lock", "--update", lock=lock)
    return lock


def row_of(lock, name):
    return next(row for row in json.loads(lock.read_text())["files"] if row["name"] == name)


def test_a_file_adopted_after_it_was_processed_again_is_still_changed(
    acquire, mini, tmp_path, server
):
    lock = locked_with_checksums(acquire, mini, tmp_path)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / JWST).write_bytes(mini.truth(JWST))
    (tmp_path / "store").rename(tmp_path / "old-store")
    new = reprocessed(mini, tmp_path, JWST)
    server.replace(new)
    acquire("adopt", tmp_path / "downloads", lock=lock)
    status = acquire("status", lock=lock)
    assert status.status(JWST) == "CHANGED"
    acquire("lock", "--update", lock=lock)
    row = row_of(lock, JWST)
    assert (row["sha256"], row["checksum"]) in [(None, new.checksum), (row["sha256"], None)]


def test_the_new_version_is_not_adopted_under_the_name_of_the_old(
    acquire, mini, tmp_path, server, place
):
    """The lock knows the archive's checksum and no sha256; the folder has both versions."""
    document = json.loads(mini.unknown.read_text())
    for row in document["files"]:
        row["checksum"] = mini.files[row["name"]].checksum
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    new = reprocessed(mini, tmp_path, JWST)
    server.replace(new)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / JWST).write_bytes(new.path.read_bytes())
    assert acquire("adopt", tmp_path / "a", lock=lock).code == 3
    assert not place(JWST).exists()
    (tmp_path / "a" / JWST).write_bytes(mini.truth(JWST))
    assert acquire("adopt", tmp_path / "a", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_a_flipped_bit_is_no_version_where_the_archive_has_a_checksum(
    acquire, mini, tmp_path, server, place
):
    """The lock knows the sha256, and no checksum: two equal bad transfers prove nothing."""
    server.fault(JWST, BitFlip(100_000), times=None)
    result = acquire("run")
    assert (result.code, result.status(JWST)) == (3, "FAILED")
    assert not place(JWST).exists()
    assert not list((tmp_path / "store" / "versions").rglob("*.fits"))


def test_a_lock_with_a_refuted_sha256_can_be_mended(acquire, mini, tmp_path, server, place):
    """An altered file was adopted and locked without asking the archive."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / JWST).write_bytes(reprocessed(mini, tmp_path, JWST).path.read_bytes())
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    acquire("adopt", tmp_path / "a", "--offline", lock=lock)
    acquire("lock", "--update", "--offline", lock=lock)
    assert row_of(lock, JWST)["sha256"] is not None
    assert acquire("run", lock=lock).status(JWST) == "CHANGED"
    acquire("run", "--take-changed", lock=lock)
    acquire("lock", "--update", lock=lock)
    assert row_of(lock, JWST)["sha256"] == sha256_file(mini.files[JWST].path)
    assert acquire("run", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_taking_a_version_twice_is_taking_it_once(acquire, server, mini, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    acquire("run", lock=lock)
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    (tmp_path / "store").rename(tmp_path / "old-store")
    acquire("run", lock=lock)
    for _ in range(3):
        assert acquire("lock", "--update", "--take", HST, lock=lock).code == 0
        assert row_of(lock, HST)["sha256"] == sha256_file(new.path)
        assert acquire("run", lock=lock).code == 0


def test_the_archives_version_is_fetched_once(acquire, server, mini, tmp_path):
    lock = locked_with_checksums(acquire, mini, tmp_path)
    server.replace(reprocessed(mini, tmp_path, JWST))
    acquire("run", "--take-changed", lock=lock)
    for _ in range(2):
        server.reset_log()
        assert acquire("run", "--take-changed", lock=lock).status(JWST) == "CHANGED"
        assert downloads(server) == []


@pytest.mark.parametrize("broken", ["absent", "elsewhere"])
def test_confirming_leaves_the_name_where_it_belongs(acquire, mini, place, broken):
    acquire("run", lock="unknown")
    place(HST).unlink()
    if broken == "elsewhere":
        place(HST).write_bytes(b"junk")
    assert acquire("run", "--confirm", lock="unknown").code == 0
    assert place(HST).read_bytes() == mini.truth(HST)


def test_one_damaged_transfer_does_not_shake_what_is_confirmed(acquire, server, mini, place):
    acquire("run", lock="unknown")
    server.fault(HST, BitFlip(100_000))
    result = acquire("run", "--confirm", lock="unknown")
    assert result.code == 0
    assert result.files[HST]["verified"] == "twice"


def test_a_lock_keeps_what_it_knows_better(acquire, mini, tmp_path):
    document = json.loads(mini.known.read_text())
    for row in document["files"]:
        row["verified"] = "twice" if row["name"] == HST else row["verified"]
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    acquire("run", lock=mini.unknown)
    acquire("lock", "--update", lock=lock)
    assert row_of(lock, HST)["verified"] == "twice"


def test_a_row_that_no_longer_fits_its_group_is_removed(acquire, mini, tmp_path):
    document = json.loads(mini.unknown.read_text())
    row = dict(document["files"][0], name="other_flt.fits", uri="mast:HST/product/other_flt.fits")
    document["files"].append(row)
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    assert acquire("plan", "--offline", lock=lock).code == 2
    assert acquire("lock", "--update", lock=lock).code == 0
    assert acquire("plan", "--offline", lock=lock).code == 0


def test_trust_can_be_confirmed_later(acquire, server):
    acquire("run", lock="unknown")
    server.reset_log()
    result = acquire("run", "--confirm", lock="unknown")
    assert result.code == 0
    assert {row["verified"] for row in result.files.values()} == {"archive", "twice"}
    assert {row["done"] for row in result.files.values()} == {"kept", "confirmed"}
    assert len(downloads(server)) == 2
    server.reset_log()
    acquire("run", "--confirm", lock="unknown")
    assert downloads(server) == []


def test_trust_that_is_not_confirmed_is_said(acquire, server, mini, tmp_path, place):
    acquire("run", lock="unknown")
    server.replace(reprocessed(mini, tmp_path, HST))
    result = acquire("run", "--confirm", lock="unknown")
    assert (result.code, result.status(HST)) == (1, "CHANGED")
    assert place(HST).read_bytes() == mini.truth(HST)


def test_a_damaged_lock_is_made_anew_and_kept(acquire, tmp_path, mini):
    lock = tmp_path / "lock.json"
    lock.write_text("{")
    assert acquire("plan", "--offline", lock=lock).code == 2
    assert acquire("lock", "--update", lock=lock).code == 0
    assert (tmp_path / "lock.json.damaged").read_text() == "{"
    assert acquire("run", lock=lock).code == 0


def test_a_lock_of_another_selection_is_not_replaced(acquire, tmp_path):
    from manifests import lock_path

    lock = tmp_path / "lock.json"
    lock.write_bytes(lock_path().read_bytes())
    assert acquire("lock", "--update", lock=lock).code == 2
    assert lock.read_bytes() == lock_path().read_bytes()


def test_an_empty_lock_is_not_made(acquire, tmp_path):
    result = acquire("lock", "--update", "--offline", lock=tmp_path / "none.json")
    assert result.code == 3
    assert "nothing to make a lock of" in result.text
    assert not (tmp_path / "none.json").exists()
