"""Whatever the archive or the network does: is the outcome good bytes, or an error with a name?

Oracle: the bytes of the archive's own folder. Every fault is put before the public command, alone
and in random sequences. The table of outcomes in docs/acquire.md is made here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from archives import HST, JWST, run_cli
from docs_table import DocsTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.acquire.testing import (
    ArchiveServer,
    BitFlip,
    ChangedETag,
    Drip,
    Drop,
    Fault,
    Gzipped,
    HtmlPage,
    LostExtension,
    NoETag,
    NoLength,
    NoRanges,
    OtherContent,
    RetryAfter,
    ShortBody,
    Stall,
    Status,
    Truncate,
    Unauthorized,
    WeakETag,
    WrongRange,
)


@dataclass(frozen=True)
class Row:
    """A fault, by the words of the table, and what the server is told to do."""

    words: str
    make: Callable[[], Fault]
    # A fault of its own that comes first, so that there is something to resume.
    before: Fault | None = None
    # With nothing but size and structure to go by, these bytes cannot be told from good ones.
    passes_on_trust: bool = False


DROP = Drop(100_000)
ROWS = (
    Row("transfer truncated, true length announced", lambda: Truncate(100_000)),
    Row("file cut short, and the length says so", lambda: ShortBody(100_000)),
    Row("an extension lost, and the length says so", LostExtension),
    Row("one bit flipped", lambda: BitFlip(100_000), passes_on_trust=True),
    Row("same size, other content", OtherContent, passes_on_trust=True),
    Row("silence in the middle", lambda: Stall(100_000, 20)),
    Row("a trickle of bytes", lambda: Drip(200)),
    Row("connection reset in the middle", lambda: Drop(100_000)),
    Row("HTML page with status 200", HtmlPage),
    Row("packed with gzip though not asked for", Gzipped),
    Row("status 500", lambda: Status(500)),
    Row("status 503", lambda: Status(503)),
    Row("status 429 with Retry-After", lambda: RetryAfter(429, 7)),
    Row("status 503 with Retry-After of an hour", lambda: RetryAfter(503, 3600)),
    Row("status 401", Unauthorized),
    Row("status 403", lambda: Status(403)),
    Row("status 404", lambda: Status(404)),
    Row("no Content-Length", NoLength),
    Row("no Content-Length, cut short", lambda: NoLength(100_000)),
    Row("no ranges, where the rest is asked for", NoRanges, before=DROP),
    Row("no ETag", NoETag),
    Row("weak ETag", WeakETag),
    Row("another ETag, where the rest is asked for", ChangedETag, before=DROP),
    Row("another range than asked for", WrongRange, before=DROP),
)


def outcome(result, name: str, final: Path, truth: bytes) -> str:
    """Say in words what became of a file, and hold it against the truth."""
    row = result.files[name]
    if row["status"] == "OK":
        good = final.read_bytes() == truth
        assert good or row["first_use"], f"wrong bytes under a final name: {row}"
        number = row["attempts"]
        tries = f"{number} requests" if number > 1 else "at once"
        return f"good, {tries}" if good else "**taken on trust, wrong**"
    assert result.code != 0
    assert not final.exists(), "a file that did not pass has a final name"
    assert name in result.text
    problem = row["problem"]
    assert problem["problem"]
    assert problem["action"]
    if row["status"] == "CHANGED":
        return "CHANGED: kept aside"
    return f"FAILED: {problem['problem']}"


@pytest.fixture
def try_fault(acquire, mini, tmp_path):
    """Put a fault before the command, once or for ever, and say what comes of it."""

    def run(row: Row, name: str, lock: str, times: int | None, *words: str) -> str:
        store = tmp_path / f"{lock}-{times}-{name}"
        with ArchiveServer(mini.files.values()) as server:
            if row.before is not None:
                server.fault(name, row.before)
            server.fault(name, row.make(), times=times)
            result = acquire("run", "--store", store, *words, lock=lock, url=server.url)
        place = store / "files" / ("jwst" if name == JWST else "hst") / name
        said = outcome(result, name, place, mini.truth(name))
        others = [row for row in result.document["files"] if row["name"] != name]
        assert len(others) == 3
        assert {row["status"] for row in others} == {"OK"}, "one failure hid the others"
        return said

    return run


# What the archive answers, and will answer again.
FINAL = ("status 401", "status 403", "status 404", "status 503 with Retry-After of an hour")
TABLE = DocsTable(
    "acquire.md",
    "faults",
    (
        "fault",
        "once, lock",
        "for ever, lock",
        "for ever, first use, archive checksum",
        "for ever, first use",
    ),
    [row.words for row in ROWS],
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_a_fault_ends_in_good_bytes_or_a_name(try_fault, row):
    """Every cell of the table in docs/acquire.md; RBH1_WRITE_DOCS=1 writes the row anew."""
    once = try_fault(row, HST, "known", 1)
    assert once.startswith("FAILED" if row.words in FINAL else "good")
    stays = try_fault(row, HST, "known", None)
    by_checksum = try_fault(row, JWST, "unknown", None)
    on_trust = try_fault(row, HST, "unknown", None)
    assert "trust" not in stays + by_checksum
    assert (on_trust == "**taken on trust, wrong**") == row.passes_on_trust
    TABLE.hold(row.words, once, stays, by_checksum, on_trust)


def test_the_table_has_these_rows_and_no_others():
    assert TABLE.names() == TABLE.order


@pytest.mark.parametrize("row", [row for row in ROWS if row.passes_on_trust], ids=lambda r: r.words)
def test_fetching_twice_finds_what_trust_does_not(try_fault, row):
    assert try_fault(row, HST, "unknown", 1, "--confirm").startswith("FAILED: two transfers")


faults = st.one_of(
    st.builds(Truncate, st.integers(0, 300_000)),
    st.builds(ShortBody, st.integers(0, 300_000)),
    st.builds(BitFlip, st.integers(0, 200_000)),
    st.builds(Drop, st.integers(0, 300_000)),
    st.builds(NoLength, st.none() | st.integers(0, 300_000)),
    st.sampled_from(
        [
            LostExtension(), OtherContent(), HtmlPage(), Gzipped(), Status(500), Status(503),
            Status(404), RetryAfter(429, 1), Unauthorized(), NoRanges(), NoETag(), WeakETag(),
            ChangedETag(), WrongRange(),
        ]
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stores")
    return (folder / str(number) for number in range(100_000))


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(sequence=st.lists(faults, max_size=6), again=st.lists(faults, max_size=3))
def test_any_sequence_of_faults_ends_in_good_bytes_or_a_name(mini, waits, stores, sequence, again):
    """Two runs in a row, each with faults of its own; then one without."""
    store = next(stores)
    place = store / "files" / "hst" / HST
    with ArchiveServer(mini.files.values()) as server:
        for planned in (sequence, again, []):
            for fault in planned:
                server.fault(HST, fault)
            result = run_cli(
                "run", "--json", "--selection", mini.selection, "--lock", mini.known, "--store",
                store, "--server", server.url, "--attempts", "3",
            )  # fmt: skip
            outcome(result, HST, place, mini.truth(HST))
            server.clear_faults()
    assert result.code == 0
    assert place.read_bytes() == mini.truth(HST)
