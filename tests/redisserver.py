"""How is a Redis server of the tests' own started, stopped and flushed?

`redis-server` of the operating system, on a socket in a folder of its own; nothing on this machine
that anybody else may use is touched.
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis

START_SECONDS = 30.0


def absent() -> str | None:
    """Why there can be no server; None where there can."""
    if shutil.which("redis-server"):
        return None
    return "broker: redis-server is not installed (it is in the operating system's package)"


class RedisServer:
    """A server that is ours to stop, to start and to flush. What it holds ends with it."""

    def __init__(self) -> None:
        # A short path: a socket's name has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="rbh1-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/socket"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def client(self) -> "redis.Redis":
        import redis  # conftest asks if there can be a server, where nobody needs one

        return redis.Redis(unix_socket_path=f"{self.folder}/socket")

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", f"{self.folder}/socket", "--save", ""]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", *options, "--dir", self.folder], stdout=log, stderr=log
            )
        until = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _ready(self) -> bool:
        import redis

        try:
            with self.client as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False
