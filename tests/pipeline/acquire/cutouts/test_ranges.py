"""Parts of a file cost little, and are of one version, or there are none (oracle: the whole)."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from cutting import CUBE, CX, CY, Client, archive_in, large, opened, serving
from hypothesis import example, given
from hypothesis import strategies as st

from ard.errors import ArdError
from pipeline.acquire.cutouts.boxes import PixelBox
from pipeline.acquire.cutouts.cutout import Cutout, cut_out
from pipeline.acquire.cutouts.plan import CutoutRequest, plan_cutout
from pipeline.acquire.cutouts.ranges import GAP_BYTES, RangeReader, grouped
from pipeline.acquire.http import Stopped, TransferError, Waiter
from pipeline.acquire.testing import (
    ChangedETag,
    Drip,
    Fault,
    Gzipped,
    HtmlPage,
    NoETag,
    NoLength,
    NoRanges,
    Status,
    Truncate,
    Unauthorized,
    WeakETag,
    WrongRange,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    return archive_in(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def client(paths) -> Iterator[Client]:
    yield from serving(paths)


# ---- what it costs


def test_a_small_box_costs_a_small_part_of_the_file(tmp_path):
    path = large(tmp_path / "large.fits", 4000, 4000, slice(1900, 2100))
    size = path.stat().st_size
    for client in serving([path]):
        plan = plan_cutout(
            client.session, client.wanted("large.fits"),
            CutoutRequest(PixelBox(1000, 1100, 1950, 2050), ("SCI", "WHT")), client.waiter,
        )  # fmt: skip
        assert plan.requests == 2, "rows of 16 kB are nearer than a request is worth"
        cutout = client.cut("large.fits", PixelBox(1000, 1100, 1950, 2050), ("SCI", "WHT"))
        assert cutout.received_bytes < 0.02 * size
        assert cutout.requests == 3 + plan.requests, "the first header is with that of SCI"
    with opened(cutout) as part, fits.open(path) as whole:
        np.testing.assert_array_equal(part["WHT"].data, whole["WHT"].section[1950:2050, 1000:1100])


def test_rows_far_apart_are_read_by_themselves(tmp_path):
    # As wide as a sky cell: 80 kB a row.
    path = large(tmp_path / "wide.fits", 20_000, 60, slice(0, 60))
    for client in serving([path]):
        cutout = client.cut("wide.fits", PixelBox(5, 105, 20, 50))
    assert cutout.requests == 3 + 30
    assert cutout.received_bytes <= 30 * 400 + 3 * GAP_BYTES
    with opened(cutout) as part, fits.open(path) as whole:
        np.testing.assert_array_equal(part["SCI"].data, whole["SCI"].section[20:50, 5:105])


@example(steps=[GAP_BYTES + 1, GAP_BYTES + 2, GAP_BYTES + 3], width=2)
@given(steps=st.lists(st.integers(10, 200_000), max_size=30), width=st.integers(1, 10))
def test_pieces_are_grouped_where_gaps_are_small(steps, width):
    starts = np.cumsum([3, *steps]).tolist()
    groups = list(grouped(starts, width))
    assert [i for first, last in groups for i in range(first, last + 1)] == list(range(len(starts)))
    edges = {last for _, last in groups[:-1]}
    for i in range(len(starts) - 1):
        assert (i in edges) == (starts[i + 1] - starts[i] - width >= GAP_BYTES)


def test_no_pieces_are_no_groups_and_a_group_is_bounded():
    assert list(grouped([], 5)) == []
    starts = list(range(0, 100_000_000, 50_000))
    groups = list(grouped(starts, 40_000))
    assert max(starts[b] + 40_000 - starts[a] for a, b in groups) <= 1 << 25
    assert len(groups) == 3


def test_the_limit_is_said_before_a_pixel_is_read(client):
    with pytest.raises(ArdError, match="none of it was read") as caught:
        client.cut("s3d.fits", PixelBox(0, CX, 0, CY), CUBE, limit_bytes=50_000)
    assert "0 MB at most" in str(caught.value)
    small = client.files["s3d.fits"].stat().st_size
    assert sum(request.sent for request in client.server.requests) <= small
    with pytest.raises(ArdError, match="none of it was read"):
        client.cut("s3d.fits", PixelBox(0, 1, 0, 1), tables=("HDRTAB",), limit_bytes=100)


# ---- what can go wrong on the way


@dataclass(frozen=True)
class Headers(Fault):
    """A reply with other headers."""

    changes: tuple[tuple[str, str], ...]

    def reply(self, reply):
        return reply.with_headers(dict(self.changes))


@dataclass(frozen=True)
class Longer(Fault):
    """More bytes than Content-Range says."""

    said: bool

    def reply(self, reply):
        length = {"Content-Length": str(reply.length + 10) if self.said else None}
        longer = replace(reply, stop=reply.stop + 10)
        return longer.with_headers({**length, "Connection": "close"})


class NoVersion(Fault):
    """206 without an ETag."""

    def reply(self, reply):
        return reply.with_headers({"ETag": None})


OTHER = Headers((("ETag", '"other"'),))
CHANGED = "changed in the archive"
FINAL = [
    # fault, after how many good answers, what is said
    (NoRanges(), 0, "does not send parts"),
    (NoRanges(), 2, "ceased to send parts"),
    (NoETag(), 0, "which version"),
    (WeakETag(), 0, "which version"),
    (ChangedETag(), 2, CHANGED),
    (OTHER, 2, CHANGED),
    (NoVersion(), 2, CHANGED),
    (Headers((("Content-Range", "bytes 0-9/1000000"),)), 2, CHANGED),
    (Headers((("Content-Range", "bytes 0-9/*"),)), 0, "which part"),
    (Headers((("Content-Range", "lines 0-9/99"),)), 2, "another part"),
    (WrongRange(), 2, "another part"),
    (Longer(said=True), 0, "another part"),
    (Longer(said=False), 0, "more than was asked"),
    (Gzipped(), 0, "another coding"),
    (Unauthorized(), 0, "who you are"),
    (Unauthorized(), 2, "who you are"),
    (Status(403), 0, "forbids"),
    (Status(404), 0, "does not have"),
    (Status(416), 1, "refuses"),
]
TRANSIENT = [
    (HtmlPage(), 0, "a page"),
    (HtmlPage(), 2, "a page"),
    (Status(503), 1, "cannot answer now"),
    (Truncate(0), 2, "broke off"),
    (Truncate(50), 2, "broke off"),
    (NoLength(0.5), 2, "ended early"),
]


def outcome(client: Client, fault: Fault, after: int, times: int | None, path: Path) -> Cutout:
    if after:
        client.server.fault("tab.fits", Fault(), times=after)
    client.server.fault("tab.fits", fault, times=times)
    cutout = client.cut("tab.fits", PixelBox(1, 9, 2, 5), CUBE, wave_um=(5.0, 5.01))
    cutout.write(path)
    return cutout


@pytest.mark.parametrize(("fault", "after", "said"), FINAL + TRANSIENT)
def test_a_fault_that_stays_ends_in_an_error_with_the_name_and_no_file(
    client, tmp_path, fault, after, said
):
    with pytest.raises(TransferError, match=said) as caught:
        outcome(client, fault, after, None, tmp_path / "cut.fits")
    assert caught.value.file == "tab.fits"
    assert caught.value.action
    assert list(tmp_path.iterdir()) == []
    tries = 3 if (fault, after, said) in TRANSIENT else 1
    if not isinstance(fault, Truncate | NoLength):  # which get a little further each time
        assert len(client.server.requests) == after + tries


@pytest.mark.parametrize(("fault", "after", "said"), TRANSIENT)
def test_a_fault_that_passes_leaves_no_trace(client, tmp_path, fault, after, said):
    cutout = outcome(client, fault, after, 1, tmp_path / "cut.fits")
    assert (tmp_path / "cut.fits").read_bytes() == cutout.content
    again = client.cut("tab.fits", PixelBox(1, 9, 2, 5), CUBE, wave_um=(5.0, 5.01))
    assert again.content == cutout.content
    assert again.requests == cutout.requests - 1


def test_a_transfer_goes_on_where_it_broke_off(client):
    client.server.fault("s3d.fits", Truncate(0.75))
    reader = RangeReader(client.session, client.wanted("s3d.fits"), client.waiter)
    whole = client.files["s3d.fits"].read_bytes()
    assert reader.read(100, 60_100) == whole[100:60_100]
    first, second = client.server.requests
    assert (first.range, second.range) == ("bytes=100-60099", f"bytes={100 + first.sent}-60099")
    assert second.if_range == reader.version.etag
    assert reader.received_bytes == 60_000
    assert reader.read(len(whole) - 5, len(whole) + 100) == whole[-5:]


def test_an_archive_without_ranges_sends_next_to_nothing(tmp_path):
    """The whole file is not downloaded in passing: what is not read does not come."""
    path = large(tmp_path / "large.fits", 4000, 4000, slice(0, 1))
    for client in serving([path], ranges=False):
        with pytest.raises(TransferError, match="does not send parts"):
            client.cut("large.fits", PixelBox(0, 9, 0, 9))
        client.session.close()
    # What lies in the buffers of the two sockets; the file has 192 MB.
    assert sum(request.sent for request in client.server.requests) < 32_000_000


def test_a_trickle_ends(client):
    client.session.network = replace(client.session.network, slow_s=0.1, slow_bytes_per_s=1e6,
                                     attempts=1)  # fmt: skip
    client.server.fault("s3d.fits", Drip(20_000.0), times=None)
    with pytest.raises(TransferError, match="too slowly"):
        client.cut("s3d.fits", PixelBox(0, 9, 0, 9))


def test_the_user_can_stop(client):
    client.waiter = Waiter(threading.Event())
    client.waiter.stop.set()
    with pytest.raises(Stopped):
        client.cut("s3d.fits", PixelBox(0, 9, 0, 9))


def test_a_size_that_is_not_the_listed_one_is_an_error(client):
    wanted = client.wanted("s3d.fits")
    request = CutoutRequest(PixelBox(0, 9, 0, 9))
    with pytest.raises(TransferError, match="another number of bytes than it lists"):
        cut_out(client.session, replace(wanted, size=wanted.size - 2880), request, client.waiter)
    cutout = cut_out(client.session, replace(wanted, size=None), request, client.waiter)
    assert any("lists no size" in note for note in cutout.notes)
