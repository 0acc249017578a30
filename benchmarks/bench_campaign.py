"""What does a task of a campaign cost beside its computing, and how many machines can share it?

Measured, on servers that it starts (redis-server, and PostgreSQL with fsync on): processor seconds
of a worker and of the servers, for each task, with messages as real ones are; commits a second;
how many tasks 1, 2 and 4 workers do whose computing is only waiting, so that cores count little;
the dynamics of real galaxies. From these, and from the time of a likelihood, which is asked for,
follows what up to 100 nodes wait for: CPU nodes, GPUs (in one node of four), the broker (one core),
or the database (so many cores; commits).
Run: python benchmarks/bench_campaign.py [--tasks 2000] [--likelihood-ms 20]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from nursery import Nursery
from pgserver import PostgresServer
from redisserver import RedisServer
from toy_campaign import Toy, toy_settings

from pipeline.falsify.campaign.broker import Limits, connect
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.roles import encode
from pipeline.falsify.campaign.rows import evaluation_row, motion_row
from pipeline.falsify.campaign.settings import DYNAMICS, LIKELIHOOD, Batches, Campaign
from pipeline.falsify.campaign.supply import Supply, progress
from pipeline.falsify.tasks import Model

BATCH = 64
WORKERS = (1, 2, 4)
NODES = (4, 12, 20, 40, 60, 80, 100)
SLEEP_S = 0.004
CONNECTIONS = 8
_SHARED = ("broker", "database", "commits")
_MS = 1e3


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and of those that it started and that live."""
    total = 0.0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if pid in (parent, int(entry.name)):
                total += int((entry / "schedstat").read_text().split()[0]) / 1e9
        except OSError:  # it ended meanwhile
            continue
    return total


@contextmanager
def measured(n_task: int, pid: int | None, into: dict[str, float]) -> Iterator[None]:
    """Give milliseconds a task: on the wall, of this process, of a server."""
    server = cpu_of(pid) if pid else 0.0
    clock, cpu = time.perf_counter(), time.process_time()
    yield
    into["wall_ms"] = round(_MS * (time.perf_counter() - clock) / n_task, 4)
    into["worker_cpu_ms"] = round(_MS * (time.process_time() - cpu) / n_task, 4)
    if pid:
        into["server_cpu_ms"] = round(_MS * (cpu_of(pid) - server) / n_task, 4)


def parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut into batches."""
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def broker_costs(address: str, pid: int | None, n_task: int) -> dict[str, Any]:
    """Put, take and acknowledge messages of both roles, in batches."""
    curve = Toy().motion(Model(1, {})).curve.to_bytes()
    found: dict[str, Any] = {}
    broker = connect(address)
    for role, content in ((DYNAMICS, b""), (LIKELIHOOD, curve)):
        queue = broker.queue(f"bench:{role}", Limits(bound=n_task))
        bodies = [encode(Supply(number, content)) for number in range(n_task)]
        cost: dict[str, float] = {}
        with measured(n_task, pid, cost):
            for some in parts(bodies):
                queue.put(some)
                queue.ack([one.id for one in queue.take(BATCH)])
        found[role] = cost
    broker.close()
    return found


def ledger_costs(url: str, pid: int | None, n_task: int, folder: Path) -> dict[str, Any]:
    """Commit answers of both roles, in batches, as a worker does: asked for first."""
    toy = Toy()
    models = [model for model in toy.propose(range(2 * n_task)) if model.number % 35]
    found = [m for m in toy.motions(models) if m.curve is not None][:n_task]
    held = toy.evaluate([Model(m.number, {"x": 0.0}) for m in found], [m.curve for m in found])
    rows = {DYNAMICS: [motion_row(one) for one in found],
            LIKELIHOOD: [evaluation_row(one) for one in held]}  # fmt: skip
    ledger = open_ledger(url, folder=folder)
    campaign, _ = ledger.create(toy_settings("bench", 4 * n_task), "code")
    costs: dict[str, Any] = {}
    for role, answers in rows.items():
        costs[role] = {}
        with measured(len(answers), pid, costs[role]):
            for some in parts(answers):
                ledger.known(campaign, role, [row["number"] for row in some])
                ledger.settle(campaign, role, some, "bench")
    costs["commits_per_second"] = {
        str(threads): commits_per_second(ledger, campaign, threads) for threads in (1, CONNECTIONS)
    }
    ledger.remove(campaign)
    ledger.close()
    return costs


def commits_per_second(ledger: Ledger, campaign: Campaign, threads: int, count: int = 60) -> float:
    """Give how many of the smallest transactions that write are on the disk in a second."""

    def write(name: int) -> None:
        for number in range(count):
            ledger.beat(campaign, f"bench-{name}", DYNAMICS, {"n": number}, ended=False)

    clock = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(threads)))
    return round(threads * count / (time.perf_counter() - clock), 1)


def scaling(url: str, broker: str, n_task: int, folder: Path, nursery: Nursery) -> dict[str, Any]:
    """Let 1, 2 and 4 workers do tasks that only wait."""
    ledger = open_ledger(url, folder=folder)
    found: dict[str, Any] = {}
    for count in WORKERS:
        settings = toy_settings(f"scaling-{count}", n_task, bound=1024, lease_s=60.0)
        campaign, _ = ledger.create(settings, "code")
        family = nursery.family(url, broker, settings.name, SLEEP_S)
        clock = time.perf_counter()
        for _ in range(count):
            family.start()
        family.wait(600.0)
        seconds = time.perf_counter() - clock
        roles = progress(ledger, campaign).roles
        done = roles[DYNAMICS].done + roles[LIKELIHOOD].done
        found[str(count)] = {"tasks_per_second": round(done / seconds, 1),
                             "of_ideal": round(done * SLEEP_S / seconds / count, 3)}  # fmt: skip
        ledger.remove(campaign)
    ledger.close()
    return found


def dynamics_ms(count: int = 1000) -> dict[str, float]:
    """Give the milliseconds of the dynamics of a galaxy, and how many are possible."""
    from pipeline.falsify.physics.dynamics import DynamicsSettings, motion
    from pipeline.falsify.physics.hypothesis import propose

    models = propose(range(count + 1), 1, "sobol")
    motion(models[0], DynamicsSettings())
    clock = time.process_time()
    possible = sum(motion(model, DynamicsSettings()).possible for model in models[1:])
    seconds = time.process_time() - clock
    return {"cpu_ms": round(_MS * seconds / count, 2), "possible": possible / count}


def capacities(report: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    """Give the galaxies a second that each shared thing bears, and each node and GPU, by its costs.

    A galaxy is one task of the dynamics and, if it is possible, one of the likelihood.
    """
    part = report["dynamics"]["possible"]
    redis, postgres = report["broker"]["redis"], report["ledger"]["postgresql"]

    def of_galaxy(costs: dict[str, Any], key: str) -> float:
        shares = ((DYNAMICS, 1.0), (LIKELIHOOD, part))
        return sum(share * costs[role][key] / _MS for role, share in shares)

    own = report["dynamics"]["cpu_ms"] / _MS
    own += redis[DYNAMICS]["worker_cpu_ms"] / _MS + postgres[DYNAMICS]["worker_cpu_ms"] / _MS
    batches = Batches()
    commits = 1.0 / batches.dynamics + part / batches.likelihood
    return {
        "broker": 1.0 / of_galaxy(redis, "server_cpu_ms"),
        "database": options.database_cores / of_galaxy(postgres, "server_cpu_ms"),
        "commits": postgres["commits_per_second"][str(CONNECTIONS)] / commits,
        "a_cpu_node": options.cores / own,
        "a_gpu": _MS / (options.likelihood_ms * part),
    }


def nodes(limits: dict[str, float], likelihood_ms: float) -> list[dict[str, Any]]:
    """Say how many galaxies a number of nodes does in a second, and what they wait for."""
    rows = []
    for count in NODES:
        n_gpu = max(count // 4, 1)
        bears = {name: limits[name] for name in _SHARED}
        bears["dynamics"] = (count - n_gpu) * limits["a_cpu_node"]
        bears["gpu"] = n_gpu * limits["a_gpu"]
        first = min(bears, key=lambda name: bears[name])
        rows.append({
            "nodes": count,
            "gpus": n_gpu,
            "galaxies_per_second": round(bears[first], 1),
            "waits_for": first,
            "load": {name: round(bears[first] / bears[name], 4) for name in bears},
            # With a faster likelihood than that, broker or database would be waited for.
            "likelihood_ms_to_saturate": round(n_gpu * likelihood_ms * limits["a_gpu"]
                                               / min(limits[name] for name in _SHARED), 3),
        })  # fmt: skip
    return rows


def main() -> None:
    """Print the measurements as JSON; end with 1 if 4 workers are less than 2.5 times one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--likelihood-ms", type=float, default=20.0,
                        help="of a galaxy, on one GPU")  # fmt: skip
    parser.add_argument("--cores", type=int, default=32, help="of a CPU node")
    parser.add_argument("--database-cores", type=int, default=8)
    options = parser.parse_args()
    report: dict[str, Any] = {"tasks": options.tasks, "batch": BATCH}
    redis, postgres, nursery = RedisServer(), PostgresServer(), Nursery()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            report |= measure(redis, postgres, nursery, folder, options.tasks)
        finally:
            nursery.close()
            redis.remove()
            postgres.remove()
    report["dynamics"] = dynamics_ms()
    limits = capacities(report, options)
    report["galaxies_per_second"] = {name: round(value) for name, value in limits.items()}
    report["nodes"] = nodes(limits, options.likelihood_ms)
    report["load"] = round(os.getloadavg()[0], 1)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    rates = report["scaling"]["postgresql"]
    sys.exit(0 if rates["4"]["tasks_per_second"] > 2.5 * rates["1"]["tasks_per_second"] else 1)


def measure(
    redis: RedisServer, postgres: PostgresServer, nursery: Nursery, folder: Path, n_task: int
) -> dict[str, Any]:
    """Measure everything that needs a server."""
    sqlite = f"sqlite:///{folder}/campaigns.db"
    return {
        "broker": {
            "redis": broker_costs(redis.url, redis.pid, n_task),
            "embedded": broker_costs("memory://", None, n_task),
        },
        "ledger": {
            "postgresql": ledger_costs(postgres.url, postgres.pid, n_task, folder),
            "sqlite": ledger_costs(sqlite, None, n_task, folder),
        },
        "scaling": {
            "sleep_ms": _MS * SLEEP_S,
            "postgresql": scaling(postgres.url, redis.url, n_task, folder, nursery),
            "sqlite": scaling(sqlite, redis.url, n_task, folder, nursery),
        },
    }


if __name__ == "__main__":
    main()
