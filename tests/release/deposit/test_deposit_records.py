"""Is an answer read only if it has its documented form?

Oracle: documents written by hand after the recorded ones, each spoiled in one place.
"""

import copy

import pytest

from release.deposit.errors import DepositError, UnexpectedAnswerError, UnknownOutcomeError
from release.deposit.paths import draft_path, file_path
from release.deposit.records import Archive, unexpected_errors
from release.deposit.transport import Answer

MD5 = "5eb63bbbe01eeed093cb22bb8f5acdc3"
RECORD = {
    "id": "82",
    "revision_id": 5,
    "parent": {"id": "81", "pids": {"doi": {"identifier": "10.5072/zenodo.81"}}},
    "versions": {"is_latest": True},
    "is_published": False,
    "is_draft": True,
    "pids": {"doi": {"identifier": "10.5072/zenodo.82", "provider": "datacite"}},
    "metadata": {"title": "A dataset"},
    "files": {
        "entries": {
            "a.fits": {"key": "a.fits", "size": 11, "checksum": f"md5:{MD5}"},
            "b.txt": {"key": "b.txt", "metadata": None},
        }
    },
    "errors": [{"field": "files.enabled", "messages": ["Missing uploaded files."]}],
}
LIST = {
    "entries": [
        {"key": "a.fits", "status": "completed", "size": 11, "checksum": f"md5:{MD5}"},
        # What was promised, not what is there.
        {"key": "b.txt", "status": "pending", "size": 99, "checksum": f"md5:{MD5}"},
    ]
}


class Parrot:
    """A transport that has one answer."""

    target = "http://127.0.0.1:1"

    def __init__(self, document):
        self.document = document

    def read(self, path, **_):
        return Answer(200, self.document)

    def write(self, method, path, **_):
        return Answer(201, self.document)


def spoiled(document, path, value):
    found = copy.deepcopy(document)
    place = found
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return found


def test_a_record_is_read():
    record = Archive(Parrot(RECORD)).draft("82")
    assert (record.id, record.parent_id, record.revision) == ("82", "81", 5)
    assert (record.doi, record.concept_doi) == ("10.5072/zenodo.82", "10.5072/zenodo.81")
    assert (record.published, record.latest, record.title) == (False, True, "A dataset")
    assert record.files["a.fits"].to_dict() == {
        "key": "a.fits",
        "status": "completed",
        "size": 11,
        "md5": MD5,
    }
    assert not record.files["b.txt"].completed
    assert record.errors == ("files.enabled: Missing uploaded files.",)
    assert unexpected_errors(record) == ()


def test_a_pending_file_has_neither_size_nor_md5():
    files = Archive(Parrot(LIST)).files("82")
    assert files["a.fits"].completed
    assert (files["b.txt"].status, files["b.txt"].size, files["b.txt"].md5) == ("pending", 0, "")


def test_what_is_not_there_yet_is_none():
    bare = {"id": "82", "revision_id": 4, "parent": {"id": "81"}}
    record = Archive(Parrot(bare)).draft("82")
    assert (record.doi, record.concept_doi, record.title, dict(record.files)) == (
        None,
        None,
        "",
        {},
    )


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("id",), 82, "id"),
        (("id",), "", "id"),
        (("parent",), None, "parent"),
        (("parent", "id"), None, "id"),
        (("revision_id",), "5", "revision_id"),
        (("revision_id",), True, "revision_id"),
        (("revision_id",), -1, "revision_id"),
        (("pids",), [], "pids"),
        (("pids", "doi"), "10.5072/zenodo.82", r"pids\.doi"),
        (("pids", "doi", "identifier"), None, "identifier"),
        (("metadata",), "none", "metadata"),
        (("files", "entries"), "none", "entries"),
        (("files", "entries", "a.fits"), "none", r"entries\[\]"),
        (("files", "entries", "a.fits", "key"), None, "key of a file"),
        (("files", "entries", "a.fits", "size"), None, "size"),
        (("files", "entries", "a.fits", "checksum"), f"sha1:{MD5}", "checksum"),
        (("files", "entries", "a.fits", "checksum"), None, "checksum"),
    ],
)
def test_a_record_of_another_form_is_not_read(path, value, where):
    archive = Archive(Parrot(spoiled(RECORD, path, value)))
    with pytest.raises(UnexpectedAnswerError, match=f"no usable {where}"):
        archive.draft("82")
    with pytest.raises(UnknownOutcomeError, match=f"no usable {where}"):
        archive.publish("82")


class Pages:
    """A transport that lists drafts without end, in pages as full as they can be."""

    target = "http://127.0.0.1:1"

    def __init__(self):
        self.asked = []

    def read(self, path, **_):
        self.asked.append(path)
        rows = [{"id": f"{len(self.asked)}{n:03}"} for n in range(100)]
        return Answer(200, {"hits": {"hits": rows, "total": 10**6}})


def test_a_list_without_end_is_not_taken_for_the_whole():
    pages = Pages()
    with pytest.raises(DepositError, match="more drafts than can be looked through") as caught:
        Archive(pages).drafts()
    assert len(pages.asked) == 100
    assert "10000" in caught.value.found


@pytest.mark.parametrize(
    "odd",
    [
        {"pids": {"doi": {"identifier": "", "provider": "external"}}},
        {"pids": []},
        {"metadata": None},
        {"metadata": {"title": 7}, "parent": None},
        {"files": {"entries": {"x": {}}}, "revision_id": None},
    ],
)
def test_of_a_list_only_what_is_asked_for_has_to_have_its_form(odd):
    hits = {"hits": {"hits": [{**RECORD, "id": "7", **odd}, RECORD], "total": 2}}
    found = Archive(Parrot(hits)).drafts()
    assert [hit.id for hit in found] == ["7", "82"]
    assert (found[1].title, found[1].doi, found[1].published) == (
        "A dataset",
        "10.5072/zenodo.82",
        False,
    )
    with pytest.raises(UnexpectedAnswerError, match="no usable id"):
        Archive(Parrot({"hits": {"hits": [{**RECORD, "id": None}]}})).drafts()


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_no_object_is_no_answer(document):
    archive = Archive(Parrot(document))
    for ask in (archive.draft, archive.files, archive.record):
        with pytest.raises(UnexpectedAnswerError, match="no usable answer"):
            ask("82")
    with pytest.raises(UnexpectedAnswerError, match="no usable"):
        archive.drafts()
    with pytest.raises(UnknownOutcomeError, match="nobody knows"):
        archive.commit("82", "a.fits")


def test_errors_in_a_list_of_files_are_no_success():
    archive = Archive(Parrot(LIST | {"errors": "File upload transfer failed."}))
    with pytest.raises(UnknownOutcomeError, match="File upload transfer failed"):
        archive.init("82", ["a.fits"])


def test_a_latest_version_without_redirect():
    assert Archive(Parrot(RECORD)).latest("82").id == "82"
    older = spoiled(RECORD, ("versions", "is_latest"), False)
    assert Archive(Parrot(older)).latest("82").id == "82", "what the archive calls the latest"


@pytest.mark.parametrize(
    ("key", "quoted"),
    [
        ("a.fits", "a.fits"),
        ("a b", "a%20b"),
        ("a%20b", "a%2520b"),
        ("dir/ä.txt", "dir%2F%C3%A4.txt"),
        ("a?b#c", "a%3Fb%23c"),
        ("../x", "..%2Fx"),
        ("a+b", "a%2Bb"),
        ("a\\b", "a%5Cb"),
    ],
)
def test_names_are_quoted(key, quoted):
    assert file_path("82", key, "content") == f"/api/records/82/draft/files/{quoted}/content"
    assert draft_path("8/2") == "/api/records/8%2F2/draft"
