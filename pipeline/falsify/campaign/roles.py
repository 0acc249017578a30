"""What does a worker of each role make of its tasks, and what follows from that?

A role is a plug-in: it reads a message, computes the rows of the ledger, and says what goes into
the queue after its own. The science is handed to it, so that the machinery can be tried with any.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ard.errors import FormatError
from pipeline.falsify.campaign.broker import Delivery
from pipeline.falsify.campaign.rows import evaluation_row, fit_row, motion_row
from pipeline.falsify.campaign.settings import CHAINS, DYNAMICS, LIKELIHOOD, Campaign, Chains
from pipeline.falsify.campaign.supply import Supply
from pipeline.falsify.tasks import Curve, Evaluation, Model, Motion

_SUM_LENGTH: Final = 16

type Row = Mapping[str, Any]


class Science(Protocol):
    """What is computed; every answer is a function of its task and of the campaign alone."""

    def propose(self, numbers: Sequence[int]) -> list[Model]:
        """Give the galaxies of some numbers."""

    def motions(self, models: Sequence[Model]) -> list[Motion]:
        """Compute the dynamics of galaxies."""

    def evaluate(self, models: Sequence[Model], curves: Sequence[Curve]) -> list[Evaluation]:
        """Hold galaxies against the observed cube."""

    def fit(self, chains: Chains) -> Mapping[str, Any]:
        """Fit a scene, and say how that ended."""


@dataclass(frozen=True)
class Order:
    """A task in the hands of a worker.

    Attributes
    ----------
    id : str
        Of the message.
    number : int
    content : bytes
    deliveries : int
    """

    id: str
    number: int
    content: bytes
    deliveries: int


def encode(supply: Supply) -> bytes:
    """Write a task as a message, with a digest."""
    head = f"{supply.number}:{_sum(supply.number, supply.content)}:"
    return head.encode() + supply.content


def decode(delivery: Delivery, n_number: int) -> Order:
    """Read a message.

    Parameters
    ----------
    delivery : Delivery
    n_number : int
        Numbers that the role has.

    Raises
    ------
    FormatError
        If it is no task of the campaign.
    """
    number, _, rest = delivery.body.partition(b":")
    sum_, _, content = rest.partition(b":")
    # No number has more digits than the largest: Python reads none of thousands of digits.
    if not number.isdigit() or len(number) > len(str(n_number)):
        raise _unreadable(f"a number below {n_number}", delivery)
    if sum_ != _sum(int(number), content).encode():
        raise _unreadable("a number, its digest and what goes with it", delivery)
    if int(number) >= n_number:
        raise _unreadable(f"a number below {n_number}", delivery)
    return Order(delivery.id, int(number), content, delivery.deliveries)


class Role(Protocol):
    """How a worker deals with the tasks of a role."""

    @property
    def name(self) -> str:
        """Which role it is."""

    @property
    def batch(self) -> int:
        """How many tasks it takes at a time."""

    def compute(self, orders: Sequence[Order]) -> list[Row]:
        """Give the rows of the ledger, one a task, in their order."""

    def follow(self, rows: Sequence[Row]) -> list[Supply]:
        """Give what goes on to the role after this one."""


@dataclass(frozen=True)
class Dynamics:
    """Galaxies are proposed, and their dynamics computed."""

    campaign: Campaign
    science: Science
    jobs: int = 1
    name: str = DYNAMICS

    @property
    def batch(self) -> int:
        """How many tasks it takes at a time."""
        return self.campaign.settings.batches.dynamics * self.jobs

    def compute(self, orders: Sequence[Order]) -> list[Row]:
        """Give the rows of the ledger, one a task, in their order."""
        models = self.science.propose([order.number for order in orders])
        return _checked(orders, [motion_row(motion) for motion in self.science.motions(models)])

    def follow(self, rows: Sequence[Row]) -> list[Supply]:
        """Give what is possible to the likelihood."""
        return [Supply(row["number"], bytes(row["curve"])) for row in rows if row["possible"]]


@dataclass(frozen=True)
class Likelihood:
    """Possible galaxies are held against the observed cube."""

    campaign: Campaign
    science: Science
    name: str = LIKELIHOOD

    @property
    def batch(self) -> int:
        """How many tasks it takes at a time."""
        return self.campaign.settings.batches.likelihood

    def compute(self, orders: Sequence[Order]) -> list[Row]:
        """Give the rows of the ledger, one a task, in their order."""
        curves = [Curve.from_bytes(order.content) for order in orders]
        models = self.science.propose([order.number for order in orders])
        found = self.science.evaluate(models, curves)
        return _checked(orders, [evaluation_row(evaluation) for evaluation in found])

    def follow(self, rows: Sequence[Row]) -> list[Supply]:
        """Give nothing: nothing follows."""
        del rows
        return []


@dataclass(frozen=True)
class ChainFits:
    """Whole scenes are fitted, by chains."""

    campaign: Campaign
    science: Science
    name: str = CHAINS

    @property
    def batch(self) -> int:
        """How many tasks it takes at a time."""
        return self.campaign.settings.batches.chains

    def compute(self, orders: Sequence[Order]) -> list[Row]:
        """Give the rows of the ledger, one a task, in their order."""
        chains = self.campaign.settings.chains
        return [fit_row(o.number, self.science.fit(chains[o.number])) for o in orders]

    def follow(self, rows: Sequence[Row]) -> list[Supply]:
        """Give nothing: nothing follows."""
        del rows
        return []


# Which role's queue is filled by which.
NEXT: Final[Mapping[str, str]] = {DYNAMICS: LIKELIHOOD}


def roles_of(
    names: Sequence[str], campaign: Campaign, science: Science, jobs: int = 1
) -> list[Role]:
    """Give the plug-ins of some roles, in the order of their turns.

    Parameters
    ----------
    names : sequence of str
    campaign : Campaign
    science : Science
    jobs : int
        Processes that it computes dynamics in: so many batches are taken together.
    """
    # What takes long comes last.
    made: dict[str, Role] = {
        DYNAMICS: Dynamics(campaign, science, jobs),
        LIKELIHOOD: Likelihood(campaign, science),
        CHAINS: ChainFits(campaign, science),
    }
    return [role for name, role in made.items() if name in names]


def _checked(orders: Sequence[Order], rows: list[Row]) -> list[Row]:
    asked, found = [order.number for order in orders], [row["number"] for row in rows]
    if asked != found:
        raise FormatError(
            "the answers are not those to the tasks",
            expected=f"numbers {asked[:3]}...",
            found=f"numbers {found[:3]}...",
            action="correct the science of the role",
        )
    return rows


def _sum(number: int, content: bytes) -> str:
    return hashlib.sha256(b"%d:" % number + content).hexdigest()[:_SUM_LENGTH]


def _unreadable(expected: str, delivery: Delivery) -> FormatError:
    return FormatError(
        "a message is no task",
        expected=expected,
        found=repr(delivery.body[:60]),
        action="see who else writes into this queue",
    )
