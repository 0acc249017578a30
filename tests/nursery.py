"""How do tests start workers of a campaign, kill them at random, and wait for the rest?"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import toy_campaign

ROOT = Path(__file__).resolve().parent.parent


class Nursery:
    """A process that loads the libraries once, and forks workers as they are asked for."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [sys.executable, toy_campaign.__file__],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
            text=True, bufsize=1,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._family: Family | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def family(self, database: str, broker: str, name: str, sleep_s: float = 0.0) -> "Family":
        """Workers of a campaign, of which there are none yet."""
        return Family(self, [database, broker, name], sleep_s)

    def fork(self, family: "Family", words: list[object]) -> None:
        """Start a worker, and wait until it lives."""
        before = len(family.all)
        with self._lock:
            self._family = family
        self._process.stdin.write(json.dumps(words) + "\n")
        until = time.monotonic() + 60.0
        while len(family.all) == before:
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(self.said())
            time.sleep(0.002)

    def said(self) -> str:
        """What workers wrote to stderr so far."""
        self._said.seek(0)
        return self._said.read()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60.0)
        self._reader.join()
        self._process.stdout.close()
        self._said.close()

    def _read(self) -> None:
        families: dict[int, Family] = {}
        for line in self._process.stdout:
            word, pid, *code = line.split()
            if word == "started":
                with self._lock:
                    families[int(pid)] = self._family
                families[int(pid)].all.append(int(pid))
            else:
                families.pop(int(pid)).ended[int(pid)] = int(code[0])


class Family:
    """Workers of one campaign."""

    def __init__(self, nursery: Nursery, about: list[str], sleep_s: float) -> None:
        self._nursery, self._about, self._sleep_s = nursery, about, sleep_s
        self.all: list[int] = []
        self.ended: dict[int, int] = {}

    @property
    def living(self) -> list[int]:
        return [pid for pid in self.all if pid not in self.ended]

    def start(self, roles: str = "dynamics,likelihood", deadly: int | None = None) -> None:
        """Start a worker; it kills itself over a number, if one is said to be deadly."""
        self._nursery.fork(self, [*self._about, roles, self._sleep_s, deadly])

    def signal(self, number: int, which: int = 0) -> bool:
        """Send a signal to one of those that live; False if there is none.

        A process that has ended is there until the nursery has looked, so no other has its number.
        """
        living = self.living
        if not living:
            return False
        try:
            os.kill(living[which % len(living)], number)
        except ProcessLookupError:
            return False
        return True

    def kill(self, which: int = 0) -> bool:
        """Kill one of those that live."""
        return self.signal(signal.SIGKILL, which)

    def wait(self, seconds: float = 60.0) -> list[int]:
        """Wait until all have ended; give their exit codes."""
        until = time.monotonic() + seconds
        while self.living:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self.living)} workers are still there")
            time.sleep(0.005)
        return list(self.ended.values())
