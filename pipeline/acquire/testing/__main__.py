"""Start a rehearsal archive by hand: python -m pipeline.acquire.testing --folder DIR."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from ard.errors import ArdError
from manifests import load_lock, load_selection, lock_path
from pipeline.acquire.testing import ArchiveFile, ArchiveServer, archive_of, make_archive


def main(words: list[str] | None = None) -> int:
    """Serve a folder until interrupted; the address is printed."""
    options = _parser().parse_args(words)
    try:
        files = _files(options.folder, options.selection, options.scale)
        with ArchiveServer(
            files, token=options.token, rate=options.rate, port=options.port
        ) as server:
            sys.stdout.write(f"{server.url}\n")
            sys.stdout.flush()
            _wait()
    except (ArdError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.acquire.testing", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True,
                        help="its files are served; if it is empty, it is filled")  # fmt: skip
    parser.add_argument("--selection", default="rbh1", help="which files the archive has")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--scale", type=float, default=1e-3, help="size over real size")
    parser.add_argument("--rate", type=float, help="bytes per second of each connection")
    parser.add_argument("--token", help="files that are not public need it")
    return parser


def _files(folder: Path, name: str, scale: float) -> tuple[ArchiveFile, ...]:
    selection = load_selection(name)
    if folder.is_dir() and any(folder.iterdir()):
        return archive_of(folder, selection)
    lock = load_lock(lock_path(selection.name), selection)
    return make_archive(folder, selection, lock, scale=scale)


def _wait() -> None:
    """Wait for Ctrl-C, or for the signal to end."""
    done = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: done.set())
    done.wait()


if __name__ == "__main__":
    sys.exit(main())
