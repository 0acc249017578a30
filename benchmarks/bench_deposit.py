"""What does a deposit cost: requests, seconds, memory; and what does a second version send?

Deposits bundles of random bytes on the contract server, which runs in a process of its own, as does
every verb. The verbs are those of ``rbh1-release`` without the judge, who would find no products in
random bytes. Prints one line a verb.

    python benchmarks/bench_deposit.py [--gb 2] [--files 90] [--workers 4]
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from ard import layout
from ard.fileio import json_bytes
from ard.sums import format_sums
from release.deposit.apply import apply
from release.deposit.plan import make_plan, read_plan, write_plan
from release.deposit.publish import publish
from release.deposit.records import Archive
from release.deposit.reserve import reserve
from release.deposit.token import Token
from release.deposit.transport import Transport
from release.reservation import Reservation, read_reservation
from release.testing import ContractServer
from release.verdict import Rules, Verdict

CHUNK: Final = 1 << 20
# README.md and zenodo.json, and the two lists.
PAPERS: Final = 4
VERBS: Final = ("reserve", "plan", "apply", "publish")
METADATA: Final = {
    "title": "[SIMULATED] Random bytes",
    "publication_date": "2026-01-01",
    "resource_type": {"id": "dataset"},
    "creators": [{"person_or_org": {"type": "organizational", "name": "rbh1-ard"}}],
    "publisher": "Zenodo",
}


def random_file(path: Path, size: int, seed: int) -> None:
    """Write a file of so many random bytes."""
    random = np.random.default_rng(seed)
    with path.open("wb") as stream:
        for start in range(0, size, CHUNK):
            stream.write(random.bytes(min(CHUNK, size - start)))


def make_files(folder: Path, count: int, size: int) -> None:
    """Write the data of a bundle: `count` files of `size` bytes together, the last one small."""
    folder.mkdir()
    for number in range(count - 1):
        random_file(folder / f"data{number:03d}.bin", size // (count - 1), number)
    (folder / "small.txt").write_text("the first version\n")


def write_papers(folder: Path, reservation: Reservation, version: str) -> None:
    """Write what makes a folder a bundle that bears the reserved DOIs."""
    (folder / layout.README_FILE).write_text(f"# Random bytes {version}\n\n{reservation.doi}\n")
    record = {"metadata": {**METADATA, "version": version}}
    (folder / layout.RECORD_FILE).write_bytes(json_bytes(record))
    manifest = {
        "schema": "manifest",
        "name": "rbh1-ard",
        "version": version,
        "simulated": True,
        "toy_grid": False,
        "target": {"name": "random bytes"},
        "code_version": "0",
        "layers": {},
        "absent_layers": dict.fromkeys(layout.LAYERS, "a benchmark"),
        "date": METADATA["publication_date"],
        "doi": reservation.doi,
        "concept_doi": reservation.concept_doi,
        "previous_doi": reservation.previous_doi,
        "files": [entry(path) for path in sorted(folder.iterdir())],
    }
    (folder / layout.MANIFEST_FILE).write_bytes(json_bytes(manifest))
    sums = {path.name: digest(path, "sha256") for path in folder.iterdir()}
    (folder / layout.SUMS_FILE).write_text(format_sums(sums))


def digest(path: Path, algorithm: str) -> str:
    """Give the digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def entry(path: Path) -> dict[str, Any]:
    """Give the row of a file in the manifest."""
    fields = ("layer", "product", "schema", "provenance", "source_sha256")
    return {
        **dict.fromkeys(fields),
        "name": path.name,
        "kind": "text",
        "media_type": "text/plain",
        "size": path.stat().st_size,
        "sha256": digest(path, "sha256"),
        "md5": digest(path, "md5"),
        "parts": [],
    }


def serve(folder: Path) -> None:
    """Run the archive; each line that comes in is answered with the requests since the last."""
    with ContractServer(folder) as server:
        sys.stdout.write(json.dumps([server.url, server.token]) + "\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            rows = [
                {
                    "method": row.method,
                    "path": row.path,
                    "key": row.key,
                    "bytes": row.received_bytes,
                }
                for row in server.log
            ]
            server.clear_log()
            sys.stdout.write(json.dumps(rows) + "\n")
            sys.stdout.flush()


def _approve(_bundle: Path, _reservation: Reservation) -> Verdict:
    return Verdict((), Rules.now())


def step(verb: str, folder: Path, url: str, token: str, *, previous: str, workers: int) -> None:
    """Do one verb, and print what it cost."""
    release, bundle, plan = folder / "release.json", folder / "bundle", folder / "plan.json"
    began = time.perf_counter()
    with Archive(Transport(url, Token(token))) as archive:
        if verb == "reserve":
            reserve(release, archive, new_version_of=previous or None)
        elif verb == "plan":
            write_plan(plan, make_plan(bundle, release, archive, ready=_approve))
        elif verb == "apply":
            apply(read_plan(plan), bundle, release, archive, workers=workers)
        else:
            publish(bundle, release, archive, confirm=read_reservation(release).doi)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": peak}))


class Bench:
    """Deposits in processes of their own, and asks the archive what came.

    Parameters
    ----------
    archive : Popen
        The archive, see `serve`.
    workers : int
        Uploads at a time.
    """

    def __init__(self, archive: "subprocess.Popen[str]", workers: int) -> None:
        self._archive, self._workers = archive, workers
        self.url, self._token = json.loads(_line(archive.stdout))

    def requests(self) -> list[dict[str, Any]]:
        """Give the requests since this was asked last."""
        _pipe(self._archive.stdin).write("\n")
        _pipe(self._archive.stdin).flush()
        rows: list[dict[str, Any]] = json.loads(_line(self._archive.stdout))
        return rows

    def deposit(
        self, folder: Path, version: str, previous: str = ""
    ) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
        """Take what lies in the bundle's folder through all verbs; give costs and requests."""
        costs: dict[str, dict[str, float]] = {}
        rows: list[dict[str, Any]] = []
        for verb in VERBS:
            words = [verb, folder, self.url, self._token, previous, self._workers]
            done = subprocess.run(
                [sys.executable, __file__, "--step", *map(str, words)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"{verb} failed: {done.stderr}")
            found = self.requests()
            rows += found
            costs[verb] = {**json.loads(done.stdout), "requests": len(found)}
            if verb == "reserve":
                write_papers(folder / "bundle", read_reservation(folder / "release.json"), version)
        return costs, rows


def _pipe(stream: IO[str] | None) -> IO[str]:
    """Give a pipe that was asked for."""
    if stream is None:
        raise ValueError("the archive was started without pipes")
    return stream


def _line(stream: IO[str] | None) -> str:
    return _pipe(stream).readline()


@contextmanager
def bench(folder: Path, workers: int) -> Iterator[Bench]:
    """Start an archive, and stop it in the end."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as archive:
        try:
            yield Bench(archive, workers)
        finally:
            _pipe(archive.stdin).close()


def measure(root: Path, size: int, count: int, workers: int) -> dict[str, Any]:
    """Deposit a bundle of so many bytes and files, then a version with one small file changed."""
    first, second = root / "first", root / "second"
    first.mkdir()
    second.mkdir()
    make_files(first / "bundle", count - PAPERS, size)
    with bench(root / "archive", workers) as client:
        costs, rows = client.deposit(first, "1.0.0")
        doi = read_reservation(first / "release.json").doi
        (first / "bundle").rename(second / "bundle")
        for name in (
            layout.README_FILE,
            layout.RECORD_FILE,
            *(layout.MANIFEST_FILE, layout.SUMS_FILE),
        ):
            (second / "bundle" / name).unlink()
        (second / "bundle" / "small.txt").write_text("the second version\n")
        costs2, rows2 = client.deposit(second, "1.1.0", doi)
    sent = Counter[str]()
    for row in rows2:
        if row["path"].endswith("/content") and row["method"] == "PUT":
            sent[row["key"]] += row["bytes"]
    return {
        "bytes": size,
        "files": count,
        "first": costs,
        "first_requests": len(rows),
        "limit": 2 * count + 10,
        "second": costs2,
        "second_requests": len(rows2),
        "second_sent": dict(sorted(sent.items())),
    }


def show(found: dict[str, Any]) -> None:
    """Print one measurement."""
    out = sys.stdout.write
    out(f"{found['files']} files, {found['bytes'] / 1e9:g} GB\n")
    for version in ("first", "second"):
        out(f"  {version} version: {found[f'{version}_requests']} requests")
        out(f" (2N + 10 = {found['limit']})\n" if version == "first" else "\n")
        for verb, cost in found[version].items():
            out(f"    {verb:<8} {cost['requests']:>4.0f} requests {cost['seconds']:>7.2f} s")
            out(f"  peak {cost['peak_mib']:.0f} MiB\n")
    sent = found["second_sent"]
    out(f"  the second version sent {sum(sent.values())} bytes: {', '.join(sent)}\n")


def main() -> None:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the bundle, GB")
    parser.add_argument("--files", type=int, default=90, help="its files")
    parser.add_argument("--workers", type=int, default=4, help="uploads at a time")
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary one else")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.step:
        verb, folder, url, token, previous, workers = options.step
        step(verb, Path(folder), url, token, previous=previous, workers=int(workers))
    else:
        # A tenth of the size first: memory has to be the same.
        for size in (options.gb / 10, options.gb):
            with tempfile.TemporaryDirectory(dir=options.folder) as name:
                found = measure(Path(name), int(size * 1e9), options.files, options.workers)
            if options.json:
                sys.stdout.write(json.dumps(found) + "\n")
            else:
                show(found)


if __name__ == "__main__":
    main()
