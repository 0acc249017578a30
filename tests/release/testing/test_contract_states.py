"""Do records pass through their states as the archive lets them?

Oracle: the state machine of the reference on Zenodo's API.
"""

from release.testing import ContractServer


def test_a_record_is_made_filled_and_read(server, owner, guest):
    ident = owner.draft({"a.fits": b"hello world", "README.md": b"read"})
    reserved = owner("POST", f"/records/{ident}/draft/pids/doi").json["pids"]["doi"]
    assert reserved["identifier"] == f"10.5072/zenodo.{ident}"

    published = owner("POST", f"/records/{ident}/draft/actions/publish")
    entries = published.json["files"]["entries"]
    assert published.status == 202
    assert entries["a.fits"]["checksum"] == "md5:5eb63bbbe01eeed093cb22bb8f5acdc3"
    assert published.json["parent"]["pids"]["doi"]["identifier"] == "10.5072/zenodo.1"

    seen = guest("GET", f"/records/{ident}").json
    assert seen["pids"]["doi"] == reserved
    content = f"/records/{ident}/files/a.fits/content"
    assert guest("GET", content).body == b"hello world"
    part = guest("GET", content, Range="bytes=6-")
    assert (part.status, part.body) == (206, b"world")
    assert part.headers["Content-Range"] == "bytes 6-10/11"
    assert server.world.published() == [ident]
    assert server.world.drafts() == []


def test_a_new_version_links_the_files_of_the_old_one(server: ContractServer, owner):
    first = owner.published({"a.fits": b"hello world"})
    draft = owner("POST", f"/records/{first}/versions").json
    assert owner("POST", f"/records/{first}/versions").json["id"] == draft["id"]
    assert draft["pids"] == {}
    assert "version" not in draft["metadata"]

    files = f"/records/{draft['id']}/draft/actions/files-import"
    assert owner("POST", files).status == 201
    assert owner("POST", files).errors == {"files.enabled": ["Please remove all files first."]}
    assert server.world.files(draft["id"]) == server.world.files(first)
