"""Does a person see how an acquisition gets on: files, bytes, rate, time left, trouble?"""

import io

import pytest
from rich.console import Console

from manifests import load_selection
from manifests.lock import Lock, LockedFile
from pipeline.acquire import display
from pipeline.acquire.display import Display
from pipeline.acquire.entry import Entry
from pipeline.acquire.plan import FETCH, MISSING, Plan, Step
from pipeline.acquire.record import FileRecord, Problem

NAMES = ("a_s3d.fits", "b_s3d.fits")


def record(name, status="OK", **values):
    return FileRecord(name, f"mast:{name}", "jwst_s3d", status, **values)


@pytest.fixture
def plan():
    files = tuple(LockedFile(f"mast:{name}", name, "jwst_s3d") for name in NAMES)
    steps = tuple(
        Step(file, FETCH, MISSING, None, Entry(file.name, file.uri, file.group), need_bytes=need,
             partial_bytes=part)
        for file, need, part in zip(files, (60_000_000, 20_000_000), (0, 20_000_000), strict=True)
    )  # fmt: skip
    return Plan(load_selection(), Lock("rbh1", files), None, steps)


def show(plan, *, terminal: bool, width: int = 120):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, highlight=False)
    return Display(plan, console), stream


def test_lines_where_there_is_no_terminal(plan, monkeypatch):
    monkeypatch.setattr(display, "_LINE_EVERY_S", 0.0)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    shown, stream = show(plan, terminal=False)
    with shown:
        shown.started("a_s3d.fits", 60_000_000)
        shown.have("a_s3d.fits", 30_000_000)
        shown.ended(record("a_s3d.fits", done="fetched", size=60_000_000, attempts=2))
        problem = Problem("the archive forbids this file", "b_s3d.fits", action="ask")
        shown.ended(record("b_s3d.fits", "FAILED", problem=problem, attempts=1))
    first, *rest = stream.getvalue().splitlines()
    # 30 of 80 MB came, besides 20 MB that were there; the third look at the clock is at 30 s.
    assert first.startswith("50.0 MB of 100.0 MB, 1.0 MB/s, about 1 min left")
    assert rest[0] == "[1/2] OK      fetched a_s3d.fits  60.0 MB"
    assert rest[1] == "[2/2] FAILED  nothing b_s3d.fits"
    assert [line.strip() for line in rest[2:]] == [
        "the archive forbids this file", "what to do: ask",
    ]  # fmt: skip


def test_bars_on_a_terminal(plan):
    shown, stream = show(plan, terminal=True)
    with shown:
        shown.started("a_s3d.fits", 60_000_000)
        shown.have("a_s3d.fits", 30_000_000)
        shown.started("a_s3d.fits", 60_000_000)  # fetched again, after a damaged transfer
        shown.have("a_s3d.fits", 10_000_000)
        shown._progress.refresh()
    text = stream.getvalue()
    assert "all files" in text
    assert "30.0/100.0 MB" in text
    assert "10.0/60.0 MB" in text


def test_what_was_there_already_is_not_worth_a_line(plan):
    shown, stream = show(plan, terminal=False)
    with shown:
        shown.ended(record("a_s3d.fits", done="kept"))
    assert stream.getvalue() == ""
