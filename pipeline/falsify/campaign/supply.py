"""What does the ledger lack of a campaign, and how does that get into the queues?

A cursor for each role says up to which number its queue was filled. A queue that lost what it held
is filled anew by setting its cursor back: what has an answer, or is dead, is passed over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from pipeline.falsify.campaign.ledger import ANSWERS, Ledger
from pipeline.falsify.campaign.settings import CHAINS, DYNAMICS, LIKELIHOOD, ROLES, Campaign
from pipeline.store.campaigns import CAMPAIGNS, DEAD, EVALUATIONS, MOTIONS
from pipeline.store.engine import lock

_CURSORS: Final = {
    DYNAMICS: CAMPAIGNS.c.fed_dynamics,
    LIKELIHOOD: CAMPAIGNS.c.fed_likelihood,
    CHAINS: CAMPAIGNS.c.fed_chains,
}
# Negative, where chains' locks are not: one worker at a time fills the queue of a role.
_LOCKS: Final = {role: -1 - place for place, role in enumerate(ROLES)}

type Put = Callable[[Sequence["Supply"]], int]


@dataclass(frozen=True)
class Supply:
    """A task for a queue: its number, and what goes with it."""

    number: int
    content: bytes = b""


@dataclass(frozen=True)
class RoleProgress:
    """How far is a role?

    Attributes
    ----------
    planned : int
        Tasks that it has; of the likelihood, as many as are known to be possible.
    done, dead : int
        Of those, with an answer; given up.
    fed : int
        The number up to which its queue was filled.
    open_ended : bool
        Whether more may be planned.
    """

    planned: int
    done: int
    dead: int
    fed: int
    open_ended: bool

    @property
    def missing(self) -> int:
        """Tasks that have no answer and are not given up."""
        return max(self.planned - self.done - self.dead, 0)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.open_ended and self.missing == 0


@dataclass(frozen=True)
class Progress:
    """How far is a campaign?

    Attributes
    ----------
    roles : mapping of str to RoleProgress
    rejected : mapping of str to int
        Galaxies that each filter rejects; a galaxy may be rejected by several.
    n_rejected : int
        Galaxies that are rejected.
    """

    roles: dict[str, RoleProgress]
    rejected: dict[str, int]
    n_rejected: int


def feed(ledger: Ledger, campaign: Campaign, role: str, room: int, put: Put) -> int:
    """Put what comes next into the queue of a role; say how many tasks that were.

    They are put before the cursor moves: a worker that dies in between leaves some twice, never
    none.

    Parameters
    ----------
    ledger : Ledger
    campaign : Campaign
    role : str
    room : int
        How many at most.
    put : callable
        Takes supplies, in order, and says how many of them it took.
    """
    end = campaign.settings.tasks(role)
    if cursor(ledger, campaign, role) >= end:
        return 0
    with ledger.writing() as connection:
        lock(connection, _LOCKS[role], campaign.id)
        fed = _cursor(connection, campaign, role)
        if fed >= end or room < 1:
            return 0
        chosen: list[Supply] = []
        while fed < end and not chosen:  # what has answers already is passed over
            chosen, fed = _next(connection, campaign, role, fed, room)
        count = put(chosen) if chosen else 0
        _set(connection, campaign, role, fed if count == len(chosen) else chosen[count].number)
    return count


def cursor(ledger: Ledger, campaign: Campaign, role: str) -> int:
    """Say up to which number the queue of a role was filled."""
    with ledger.reading() as connection:
        return _cursor(connection, campaign, role)


def rewind(
    ledger: Ledger, campaign: Campaign, roles: Sequence[str] = ROLES, *, dead: bool = False
) -> None:
    """Let the queues of roles be filled anew with what the ledger lacks.

    Parameters
    ----------
    ledger : Ledger
    campaign : Campaign
    roles : sequence of str
    dead : bool
        Forget that tasks are dead, so that they are tried again.
    """
    with ledger.writing() as connection:
        # Whoever fills a queue just now would set its cursor to where it is; all locks come first,
        # and in one order: nobody waits for one who waits for him.
        for role in sorted(roles, key=ROLES.index):
            lock(connection, _LOCKS[role], campaign.id)
        for role in roles:
            if dead:
                where = (DEAD.c.campaign_id == campaign.id, DEAD.c.role == role)
                connection.execute(delete(DEAD).where(*where))
            _set(connection, campaign, role, 0)


def progress(ledger: Ledger, campaign: Campaign) -> Progress:
    """Count what a campaign has."""
    with ledger.reading() as connection:
        row = connection.execute(select(CAMPAIGNS).where(CAMPAIGNS.c.id == campaign.id)).one()
        reasons = connection.execute(
            select(MOTIONS.c.possible, MOTIONS.c.reasons, func.count())
            .where(MOTIONS.c.campaign_id == campaign.id)
            .group_by(MOTIONS.c.possible, MOTIONS.c.reasons)
        ).all()
        done = {role: _count(connection, campaign, role) for role in (LIKELIHOOD, CHAINS)}
        dead = {role: _dead(connection, campaign, role) for role in ROLES}
    rejected: dict[str, int] = {}
    for _, text, count in reasons:
        for name in filter(None, text.split(",")):
            rejected[name] = rejected.get(name, 0) + count
    n_possible = sum(count for possible, _, count in reasons if possible)
    done[DYNAMICS] = sum(count for *_, count in reasons)
    n_model = campaign.settings.n_model
    waits = n_model > done[DYNAMICS] + dead[DYNAMICS]
    planned = {
        DYNAMICS: n_model,
        LIKELIHOOD: n_possible,
        CHAINS: len(campaign.settings.chains),
    }
    roles = {
        role: RoleProgress(
            planned[role],
            done[role],
            dead[role],
            getattr(row, _CURSORS[role].name),
            waits and role == LIKELIHOOD,
        )
        for role in ROLES
    }
    return Progress(roles, rejected, done[DYNAMICS] - n_possible)


def _next(
    connection: Connection, campaign: Campaign, role: str, fed: int, room: int
) -> tuple[list[Supply], int]:
    """Give the next tasks without an answer, and the number after what was looked at."""
    if role == LIKELIHOOD:
        return _next_possible(connection, campaign, fed, room)
    after = min(fed + room, campaign.settings.tasks(role))
    table = ANSWERS[role]
    known = select(table.c.number).where(
        table.c.campaign_id == campaign.id, table.c.number >= fed, table.c.number < after
    )
    passed = set(connection.execute(known).scalars()) | _dead_numbers(connection, campaign, role)
    return [Supply(number) for number in range(fed, after) if number not in passed], after


def _next_possible(
    connection: Connection, campaign: Campaign, fed: int, room: int
) -> tuple[list[Supply], int]:
    answered = select(EVALUATIONS.c.number).where(
        EVALUATIONS.c.campaign_id == campaign.id, EVALUATIONS.c.number == MOTIONS.c.number
    )
    statement = (
        select(MOTIONS.c.number, MOTIONS.c.curve)
        .where(
            MOTIONS.c.campaign_id == campaign.id,
            MOTIONS.c.number >= fed,
            MOTIONS.c.possible,
            ~answered.exists(),
        )
        .order_by(MOTIONS.c.number)
        .limit(room)
    )
    rows = connection.execute(statement).all()
    after = rows[-1].number + 1 if len(rows) == room else campaign.settings.n_model
    dead = _dead_numbers(connection, campaign, LIKELIHOOD)
    return [Supply(row.number, bytes(row.curve)) for row in rows if row.number not in dead], after


def _cursor(connection: Connection, campaign: Campaign, role: str) -> int:
    statement = select(_CURSORS[role]).where(CAMPAIGNS.c.id == campaign.id)
    return int(connection.execute(statement).scalar_one())


def _set(connection: Connection, campaign: Campaign, role: str, value: int) -> None:
    of_campaign = CAMPAIGNS.c.id == campaign.id
    values = {_CURSORS[role].name: value}
    connection.execute(update(CAMPAIGNS).where(of_campaign).values(**values))


def _count(connection: Connection, campaign: Campaign, role: str) -> int:
    table = ANSWERS[role]
    statement = select(func.count()).where(
        table.c.campaign_id == campaign.id, *_asked(role, campaign, table.c.number)
    )
    return int(connection.execute(statement).scalar_one())


def _asked(role: str, campaign: Campaign, number: ColumnElement[int]) -> tuple[Any, ...]:
    """Give what holds of a task that there is: of the likelihood, that its galaxy is possible.

    One that was asked for all the same must not stand in for one that is missing.
    """
    if role != LIKELIHOOD:
        return ()
    possible = select(MOTIONS.c.number).where(
        MOTIONS.c.campaign_id == campaign.id, MOTIONS.c.number == number, MOTIONS.c.possible
    )
    return (possible.exists(),)


def _dead_numbers(connection: Connection, campaign: Campaign, role: str) -> set[int]:
    statement = select(DEAD.c.number).where(
        DEAD.c.campaign_id == campaign.id, DEAD.c.role == role, DEAD.c.number.is_not(None)
    )
    return set(connection.execute(statement).scalars())


def _dead(connection: Connection, campaign: Campaign, role: str) -> int:
    """Count dead tasks without an answer: of two deliveries, the other may have had one."""
    table = ANSWERS[role]
    answered = select(table.c.number).where(
        table.c.campaign_id == campaign.id, table.c.number == DEAD.c.number
    )
    statement = select(func.count()).where(
        DEAD.c.campaign_id == campaign.id,
        DEAD.c.role == role,
        DEAD.c.number.is_not(None),
        ~answered.exists(),
        *_asked(role, campaign, DEAD.c.number),
    )
    return int(connection.execute(statement).scalar_one())
