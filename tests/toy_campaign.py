"""A campaign whose science is a cheap function of numbers, and processes that work on it.

Run as a program, it starts workers that may be killed: every line of input, the arguments of
`_work` in JSON, forks one, so that the libraries are loaded once for all of them. It says "started
PID", and "ended PID CODE" when one has ended.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ard.errors import ArdError
from pipeline.falsify.campaign.broker import Broker, connect
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.patience import Pace, stopping
from pipeline.falsify.campaign.roles import roles_of
from pipeline.falsify.campaign.settings import Batches, Chains, Settings
from pipeline.falsify.campaign.worker import Worker
from pipeline.falsify.tasks import N_RADIUS, Curve, Evaluation, Model, Motion

QUICK = Pace(patience_s=60.0, longest_s=0.05, count_s=0.1, beat_s=0.5)


def toy_settings(name: str = "toy", n_model: int = 300, **more: Any) -> Settings:
    given = {"bound": 64, "lease_s": 0.5, "deliveries": 3, "batches": Batches(16, 64), **more}
    return Settings(name, "t001", {"cube": "0" * 64}, n_model, **given)


@dataclass
class Toy:
    """Every answer is a function of the number and the seed; `asked` notes who was asked."""

    seed: int = 1
    sleep_s: float = 0.0
    deadly: int | None = None  # kills the process that computes it
    wrong: Mapping[int, Exception] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    likelihood: ClassVar[None] = None  # of the science; here `evaluate` is all

    def propose(self, numbers: Sequence[int]) -> list[Model]:
        return [Model(n, {"x": float(np.sin(n + self.seed)), "n": float(n)}) for n in numbers]

    def motions(self, models: Sequence[Model]) -> list[Motion]:
        return [self.motion(model) for model in models]

    def motion(self, model: Model) -> Motion:
        self.asked.append(model.number)
        time.sleep(self.sleep_s)
        if model.number == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if model.number in self.wrong:
            raise self.wrong[model.number]
        rng = np.random.default_rng([self.seed, model.number])
        reasons = [
            name for name, every in (("disc", 5), ("toomre", 7)) if model.number % every == 0
        ]
        facts = {"vmax_kms": rng.normal(), "q_min": float("nan")}
        curve = None if reasons else Curve(*rng.normal(size=(4, N_RADIUS)))
        return Motion(model.number, tuple(reasons), facts, curve)

    def evaluate(self, models: Sequence[Model], curves: Sequence[Curve]) -> list[Evaluation]:
        time.sleep(self.sleep_s * len(models))
        found = []
        for model, curve in zip(models, curves, strict=True):
            value = -float(np.square(curve.rotation_kms).sum()) + model.parameters["x"]
            nuisances = {"v_sys": float(curve.brightness[3])}
            found.append(
                Evaluation(model.number, value, -2 * value, nuisances, model.number % 2 == 0)
            )
        return found

    def fit(self, chains: Chains) -> Mapping[str, Any]:
        time.sleep(self.sleep_s)
        return {"passed": True, "rhat": 1.0 + chains.seed / 1000, "model": chains.model}


def serial(settings: Settings, seed: int = 1) -> tuple[dict[int, str], dict[int, str]]:
    """The digests of all answers, computed one by one and without any of the machinery."""
    from pipeline.falsify.campaign.rows import evaluation_row, motion_row

    toy = Toy(seed)
    motions, evaluations = {}, {}
    for model in toy.propose(range(settings.n_model)):
        motion = toy.motion(model)
        motions[model.number] = motion_row(motion)["sha256"]
        if motion.curve is not None:
            (found,) = toy.evaluate([model], [motion.curve])
            evaluations[model.number] = evaluation_row(found)["sha256"]
    return motions, evaluations


def toy_worker(
    ledger: Ledger, broker: Broker, name: str, roles: Sequence[str], toy: Toy, **more: Any
) -> Worker:
    campaign = ledger.campaign(name)
    return Worker(
        campaign, ledger, broker, roles_of(roles, campaign, toy), **{"pace": QUICK, **more}
    )


def _work(
    database: str, broker: str, name: str, roles: str, sleep_s: float, deadly: int | None
) -> int:
    ledger = open_ledger(database, folder=Path.cwd())
    with stopping() as stopped:
        toy = Toy(sleep_s=sleep_s, deadly=deadly)
        toy_worker(ledger, connect(broker), name, roles.split(","), toy, stopped=stopped).run()
    return 0


def main() -> None:
    living: set[int] = set()
    open_ = True
    while open_ or living:
        ready = select.select([sys.stdin], [], [], 0.005)[0] if open_ else []
        line = sys.stdin.readline().strip() if ready else ""
        if ready and not line:
            open_ = False
        if line:
            child = os.fork()
            if child == 0:
                try:
                    code = _work(*json.loads(line))
                except ArdError:
                    traceback.print_exc()
                    code = 3
                os._exit(code)
            living.add(child)
            os.write(1, b"started %d\n" % child)
        for pid in list(living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                living.remove(pid)
                os.write(1, b"ended %d %d\n" % (pid, os.waitstatus_to_exitcode(status)))
        if not open_:
            time.sleep(0.005)


if __name__ == "__main__":
    main()
