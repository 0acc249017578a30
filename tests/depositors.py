"""Somebody who deposits on an archive of this machine, and may be killed at any request."""

import hashlib
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests
from consignments import approve, write_consignment

from release.deposit.apply import Applied, apply
from release.deposit.line import LineAdapter
from release.deposit.plan import DepositPlan, make_plan
from release.deposit.publish import Published, publish
from release.deposit.records import Archive
from release.deposit.reserve import reserve
from release.deposit.token import Token
from release.deposit.transport import Policy, Transport
from release.reservation import Reservation
from release.testing import ContractServer

POLICY = Policy(backoff_s=0.5, read_s=5.0, slow_s=5.0)


class FakeClock:
    """Time that passes only while somebody waits; `now` is that of the wall."""

    def __init__(self) -> None:
        self.now = time.time()
        self.passed = 0.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.passed

    def wait(self, seconds: float, stop: threading.Event) -> None:
        with self._lock:
            self.waits.append(seconds)
            self.now += seconds
            self.passed += seconds


class Killed(BaseException):
    """The process ends here, and cleans nothing up."""


class Carrier(LineAdapter):
    """Carries requests, until the process is killed around one of them."""

    def __init__(self, depositor: "Depositor") -> None:
        super().__init__()
        self._depositor = depositor

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        depositor = self._depositor
        with depositor.lock:
            depositor.sent += 1
            last = depositor.sent == depositor.kill_at
            if depositor.dead or (last and depositor.kill_when == "before"):
                depositor.dead = True
                raise Killed
        response = super().send(request, **kwargs)
        if last:
            depositor.dead = True
            response.close()
            raise Killed
        if depositor.undated:
            del response.headers["Date"]
        return response


@dataclass
class Depositor:
    """Somebody with a token, a release.json and a bundle, who types the verbs."""

    server: ContractServer
    clock: FakeClock
    root: Path
    policy: Policy = POLICY
    workers: int = 1
    files: dict[str, bytes] = field(
        default_factory=lambda: {f"f{n}.txt": b"content %d" % n for n in range(2)}
    )
    sent: int = 0
    kill_at: int = 0
    kill_when: str = "before"
    dead: bool = False
    # The server dates its answers by the real clock, which does not go with one that jumps.
    undated: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    archives: list[Archive] = field(default_factory=list)

    @property
    def release(self) -> Path:
        return self.root / "release.json"

    @property
    def journal(self) -> Path:
        return self.root / "release.journal.jsonl"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    def archive(self, token: str | None = None) -> Archive:
        """A new process talks to the archive."""
        secret = Token(self.server.token if token is None else token)
        transport = Transport(
            self.server.url, secret, self.policy, clock=self.clock, adapter=lambda: Carrier(self)
        )
        self.archives.append(Archive(transport))
        return self.archives[-1]

    def close(self) -> None:
        """Nobody of this one's processes is left."""
        for archive in self.archives:
            archive.transport.close()

    def reserve(self, **options: Any) -> Reservation:
        return reserve(self.release, self.archive(), **options)

    def build(self, reservation: Reservation, **changes: Any) -> Path:
        return write_consignment(self.bundle, self.files, reservation, **changes)

    def plan(self) -> DepositPlan:
        return make_plan(self.bundle, self.release, self.archive(), ready=approve)

    def apply(self, plan: DepositPlan) -> Applied:
        return apply(plan, self.bundle, self.release, self.archive(), workers=self.workers)

    def publish(self, confirm: str) -> Published:
        return publish(self.bundle, self.release, self.archive(), confirm=confirm)

    def prepare(self) -> DepositPlan:
        """Reserve, build and plan."""
        self.build(self.reserve())
        return self.plan()

    def deposit(self) -> Published:
        """All verbs, one after the other."""
        plan = self.prepare()
        self.apply(plan)
        return self.publish(plan.doi)

    def next_version(self, name: str) -> "Depositor":
        """The same person, with another release in mind."""
        return replace(self, root=self.root / name, files=dict(self.files), sent=0)


def held(server: ContractServer, record_id: str) -> dict[str, tuple[str, int]]:
    """What the archive says it holds: md5 and size of each file."""
    return {name: (md5, size) for name, (md5, size, _) in server.world.files(record_id).items()}


def bundled(folder: Path) -> dict[str, tuple[str, int]]:
    """What a folder holds, in the same form."""
    return {
        path.name: (hashlib.md5(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in folder.iterdir()
    }
