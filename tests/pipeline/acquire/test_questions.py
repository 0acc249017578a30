"""Does a question to the archive end in the whole answer, or in an error that says what to do?

Oracle: the files that the local archive has. The client is the unmodified astroquery.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from archives import FILES, HST, JWST
from docs_table import DocsTable

from ard.errors import ArdError
from manifests import load_selection
from pipeline.acquire.archive import list_files
from pipeline.acquire.http import Waiter
from pipeline.acquire.settings import Network
from pipeline.acquire.testing import (
    ArchiveServer,
    BrokenJson,
    DuplicateRows,
    Executing,
    QueryError,
    QueryFault,
    QueryHtml,
    QueryStall,
    QueryStatus,
    UnknownTypes,
    ZeroRows,
)

SERVICE = "Mast.Caom.Products"


@dataclass(frozen=True)
class Row:
    words: str
    make: Callable[[], QueryFault]


ROWS = (
    Row("status 503", lambda: QueryStatus(503)),
    Row("HTML page with status 200", QueryHtml),
    Row("JSON that breaks off", BrokenJson),
    Row("status ERROR in the answer", lambda: QueryError("the database is away")),
    Row("EXECUTING", lambda: Executing(None)),
    Row("zero rows", ZeroRows),
    Row("duplicate rows", DuplicateRows),
    Row("unknown column types", UnknownTypes),
    Row("silence", lambda: QueryStall(20)),
)


TABLE = DocsTable(
    "acquire.md",
    "questions",
    ("fault of the catalogue", "once", "for ever"),
    [row.words for row in ROWS],
)


def ask(mini, server, **changes):
    network = replace(Network(server.url, read_s=0.5, attempts=3), **changes)
    return list_files(load_selection(mini.selection), network, Waiter())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_a_fault_of_the_catalogue_loses_nothing(mini, acquire, waits, tmp_path, row):
    """Every cell of the second table in docs/acquire.md; RBH1_WRITE_DOCS=1 writes it anew."""
    said = []
    for times in (1, None):
        with ArchiveServer(mini.files.values()) as server:
            fault = Executing(1) if times == 1 and row.words == "EXECUTING" else row.make()
            server.query_fault(SERVICE, fault, times=times)
            store = tmp_path / str(times)
            result = acquire("run", "--store", store, url=server.url)
            fetched = [r for r in server.requests if "Download" in r.path]
        if result.code == 0:
            assert len(fetched) == 4
            said.append("good")
            continue
        assert fetched == [], "bytes were fetched though the catalogue was not understood"
        assert result.code == 3
        assert "what to do:" in result.text
        problem = next(line for line in result.text.splitlines() if not line.startswith("asking"))
        said.append(f"ends: {problem}")
    TABLE.hold(row.words, *said)


def test_the_table_has_these_rows_and_no_others():
    assert TABLE.names() == TABLE.order


def test_the_catalogue_says_what_the_archive_says(mini, server):
    found = ask(mini, server)
    assert set(found.listings) == set(FILES)
    for name, listing in found.listings.items():
        file = mini.files[name]
        assert (listing.uri, listing.size, listing.checksum) == (file.uri, file.size, file.checksum)
    assert found.listings[JWST].cal_ver == mini.files[JWST].cal_ver
    assert found.listings[HST].cal_ver is None
    assert [query.request["service"] for query in found.queries] == [
        "Mast.Caom.Filtered", "Mast.Caom.Products",
        "Mast.Caom.Filtered", "Mast.Caom.Products", "Mast.Jwst.Filtered.Nirspec",
    ]  # fmt: skip
    assert all("cacheBreaker" not in query.request for query in found.queries)


def test_polling_slows_down(mini, server, waits):
    """astroquery alone asks 22 times a second, for ten minutes."""
    server.query_fault("Mast.Caom.Filtered", Executing(6))
    assert set(ask(mini, server).listings) == set(FILES)
    assert waits == pytest.approx([0.5 * 1.5**n for n in range(6)])


def test_polling_ends(mini, server, waits):
    server.query_fault("Mast.Caom.Filtered", Executing(None), times=None)
    with pytest.raises(ArdError, match="did not finish a question"):
        ask(mini, server, query_limit_s=60.0)
    assert sum(waits) <= 60.0
    assert len(waits) < 20


@pytest.mark.parametrize(("missing", "group"), [(JWST, "jwst"), (HST, "hst")])
def test_another_number_of_files_is_an_error(mini, waits, missing, group):
    files = [file for name, file in mini.files.items() if name != missing]
    with ArchiveServer(files) as server, pytest.raises(ArdError) as error:
        ask(mini, server)
    assert error.value.expected == f"2 in {group}"
    assert error.value.found == f"1 in {group}"


def test_a_programme_without_observations_is_an_error(mini, waits):
    files = [file for file in mini.files.values() if file.collection == "HST"]
    with ArchiveServer(files) as server, pytest.raises(ArdError, match="no observation of JWST"):
        ask(mini, server)


def test_nothing_is_asked_for_groups_that_are_not_wanted(mini, server):
    selection = load_selection(mini.selection).only(["hst"])
    found = list_files(selection, Network(server.url), Waiter())
    assert {name[:2] for name in found.listings} == {"if"}
    assert not any("JWST" in str(query.request) for query in found.queries)


def test_a_debug_log_of_astroquery_shows_no_token(mini, caplog, waits):
    """astroquery logs the headers of its own session, token included."""
    from astroquery import log

    level = log.level
    log.setLevel("DEBUG")
    log.propagate, before = True, log.propagate
    try:
        with ArchiveServer(mini.files.values(), token="sesame-open") as server:
            ask(mini, server, token="sesame-open")
    finally:
        log.setLevel(level)
        log.propagate = before
    assert "sesame-open" not in caplog.text
    assert any(request.authorization_present for request in server.requests)
