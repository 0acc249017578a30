"""How does fetching behave in a process of its own, which can be killed, limited and measured?

    python -m pipeline.acquire.testing.worker SELECTION LOCK STORE URL [WORKERS]

fetches the files of a lock without asking the catalogue (whose client takes longer to import than
small files to fetch), and prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

from manifests.lock import load_lock
from manifests.selection import load_selection
from pipeline.acquire.archive import Catalogue, Listing
from pipeline.acquire.fetcher import Fetcher
from pipeline.acquire.http import Waiter
from pipeline.acquire.plan import make_plan
from pipeline.acquire.record import FileRecord
from pipeline.acquire.runner import execute
from pipeline.acquire.settings import Network, Policy
from pipeline.acquire.store import Store


class Silent:
    """An observer that says nothing."""

    def started(self, name: str, total: int | None) -> None:
        """A file is being fetched."""

    def have(self, name: str, count: int) -> None:
        """So many bytes are there."""

    def ended(self, record: FileRecord) -> None:
        """A file has its record."""


def _memory_mib(field: str) -> float:
    """Read VmRSS (now) or VmHWM (peak) of this process, MiB; Linux only.

    Not getrusage: its peak begins with what the parent process needed.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) / 1024


def main(words: list[str]) -> int:
    """Fetch, and say how every file stands, how long it took and how far memory grew."""
    selection = load_selection(Path(words[0]))
    lock = load_lock(words[1], selection)
    store, network = Store(Path(words[2])), Network(words[3], backoff_s=0.01)
    policy = Policy(workers=int(words[4]) if len(words) > 4 else 2, reserve_bytes=0)
    listings = {f.name: Listing(f.uri, f.name, f.group, size=f.size) for f in lock.files}
    catalogue = Catalogue(network.server, listings, ())
    store.create()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = _memory_mib("VmRSS")
    with store.locked():
        plan = make_plan(selection, lock, store, catalogue, network=network, policy=policy)
        began = time.monotonic()
        report = execute(plan, Fetcher(selection, store, network, policy, Waiter(), Silent()))
        seconds = time.monotonic() - began
    document = {
        "seconds": seconds,
        "grown_mib": _memory_mib("VmHWM") - before,
        "files": {record.name: record.to_dict() for record in report.records},
    }
    sys.stdout.write(json.dumps(document) + "\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
