"""How do tests start workers of a campaign, kill them at random, and wait for the rest?"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import toy_campaign

ROOT = Path(__file__).resolve().parent.parent


class Nursery:
    """Processes of `toy_campaign`, at most so many at a time."""

    def __init__(self, database: str, broker: str, name: str, sleep_s: float = 0.0) -> None:
        self.living: list[int] = []
        self.codes: list[int] = []
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, toy_campaign.__file__, database, broker, name, str(sleep_s)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, bufsize=1,
        )  # fmt: skip
        self._asked = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, roles: str) -> None:
        """Start a worker, and wait until it lives."""
        self._asked += 1
        self._process.stdin.write(f"{roles}\n")
        until = time.monotonic() + 60.0
        while self._started < self._asked:
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(self._process.stderr.read())
            time.sleep(0.005)

    @property
    def _started(self) -> int:
        with self._lock:
            return len(self.living) + len(self.codes)

    def signal(self, number: int, which: int = 0) -> bool:
        """Send a signal to one of those that live; False if there is none."""
        with self._lock:
            if not self.living:
                return False
            os.kill(self.living[which % len(self.living)], number)
        return True

    def kill(self, which: int) -> bool:
        """Kill one of those that live."""
        return self.signal(signal.SIGKILL, which)

    def wait(self, seconds: float = 60.0) -> list[int]:
        """Wait until all have ended; give their exit codes."""
        until = time.monotonic() + seconds
        while self.living:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self.living)} workers are still there")
            time.sleep(0.01)
        return self.codes

    def errors(self) -> str:
        """What they wrote to stderr, all having ended."""
        self._process.stdin.close()
        self._process.wait(60.0)
        return self._process.stderr.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.kill(0):
            time.sleep(0.01)
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(60.0)
        self._reader.join()
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            word, pid, *code = line.split()
            with self._lock:
                if word == "started":
                    self.living.append(int(pid))
                else:
                    self.living.remove(int(pid))
                    self.codes.append(int(code[0]))
