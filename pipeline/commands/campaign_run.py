"""How is a campaign created, worked on, looked at and filled anew?"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ard.errors import ArdError
from ard.io import sha256_file
from pipeline.falsify.campaign import settings as campaigns
from pipeline.falsify.campaign import supply
from pipeline.falsify.campaign.broker import VARIABLE as BROKER
from pipeline.falsify.campaign.broker import Broker, BrokerAwayError, Depth, connect
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.patience import Pace, Patience, stopping
from pipeline.falsify.campaign.roles import roles_of
from pipeline.falsify.campaign.settings import ALL, CHAINS, ROLES, TABLE, Campaign, Settings
from pipeline.falsify.campaign.worker import Tally, Worker
from pipeline.falsify.tasks import Model
from pipeline.fit_inputs import inputs_of
from pipeline.store.troubles import VARIABLE as DATABASE
from pipeline.values import build

# Exit codes of a worker that could work: nothing is left, or something is dead.
_DONE: Final = (0, 1)
_NONE: Final[Mapping[str, Mapping[str, str]]] = {}

type Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where a campaign is kept.

    Attributes
    ----------
    root : path
        The run folder.
    name : str
        Of the campaign.
    database, broker : str, optional
        Addresses; else those of the environment; else embedded.
    """

    root: Path
    name: str
    database: str | None = None
    broker: str | None = None


@dataclass(frozen=True)
class Asked:
    """How does a worker work?

    Attributes
    ----------
    role : str
        One of `pipeline.falsify.campaign.settings.ROLES`, or "all".
    jobs : int
        Processes: of the dynamics, or for chains of whole workers.
    pace : Pace
    """

    role: str
    jobs: int = 1
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True)
class Ended:
    """How did a worker end?

    Attributes
    ----------
    complete : bool
        Whether its roles have nothing left to do.
    sound : bool
        Whether no task is dead and no answers differ.
    tallies : mapping of str to Tally
        What it did itself.
    """

    complete: bool
    sound: bool
    tallies: Mapping[str, Tally]


def create(place: Place, settings: Settings, table: Path | None = None) -> tuple[Campaign, bool]:
    """Register a campaign of an item of a run; give it, and whether it is new.

    Parameters
    ----------
    place : Place
    settings : Settings
        Digests, and what the target says, are put in.
    table : path, optional
        Has the galaxies.

    Raises
    ------
    ArdError
        If run, item, table or a scene are not there, or there is another campaign of the name.
    """
    from manifests.target import load_target
    from pipeline.falsify.physics.dynamics import DynamicsSettings
    from pipeline.infer.cutout import Cut
    from pipeline.infer.scenes import scene

    for chains in settings.chains:
        scene(chains.model)
    build(DynamicsSettings, settings.dynamics, "dynamics")
    build(Cut, settings.cut, "cut")
    inputs = inputs_of(place.root, settings.item)
    target = load_target(inputs.target)
    models: list[Model] = []
    if table is not None:
        from pipeline.falsify.physics.hypothesis import from_table

        models = from_table(table)
        sha256 = sha256_file(table)
        settings = replace(settings, kind=TABLE, n_model=len(models), table_sha256=sha256)
    cosmology = {"h0": target.cosmology.h0, "om0": target.cosmology.om0}
    given = {"redshift": target.redshift, **cosmology, **settings.dynamics}
    whole = replace(settings, name=place.name, inputs=inputs.digests, dynamics=given)
    with closing(_opened(place, may_make=True)) as ledger:
        return ledger.create(whole, campaigns.present_code(), models)


def work(place: Place, asked: Asked, say: Say) -> Ended:
    """Work on a campaign until nothing is left, or until a signal.

    Raises
    ------
    StoreAwayError, BrokerAwayError
        If database or broker cannot be reached for longer than patience allows; nothing is lost.
    ExtraMissingError
        If a library of the role is missing.
    ArdError
        If the campaign is not there, or is of other settings, code or versions.
    """
    from pipeline.commands.campaign_science import CampaignScience

    patiently = Patience(asked.pace, lambda: False, say)
    with (
        closing(patiently(lambda: _opened(place))) as ledger,
        closing(patiently(lambda: connect(place.broker))) as broker,
    ):
        campaign = ledger.campaign(place.name)
        names = _names(campaign, asked.role, broker)
        admit(ledger, campaign, names)
        if asked.role == CHAINS and asked.jobs > 1:
            several(place, asked)
            return _ended(ledger, campaign, names, {})
        science = CampaignScience(
            campaign, ledger, place.root, jobs=asked.jobs, store_url=place.database, say=say
        )
        roles = roles_of(names, campaign, science, asked.jobs)
        with stopping() as stopped, closing(science):
            # Before a task is taken: what is wrong with the run is not the fault of galaxies, and
            # would kill every one of them.
            if asked.role != campaigns.DYNAMICS:
                science.inputs  # noqa: B018
            if campaigns.LIKELIHOOD in names:
                science.likelihood  # noqa: B018
            worker = Worker(campaign, ledger, broker, roles, pace=asked.pace, stopped=stopped,
                            say=say)  # fmt: skip
            say(f"{worker.name} works on {campaign.name}: {', '.join(names)}")
            return _ended(ledger, campaign, names, worker.run())


def admit(ledger: Ledger, campaign: Campaign, names: Sequence[str]) -> None:
    """Refuse a worker that would compute other numbers, or cannot compute at all.

    Raises
    ------
    ExtraMissingError
        If a library is missing.
    ArdError
        If settings, code or versions are not those of the campaign.
    """
    for role in names:
        campaigns.require_libraries(role)
    require_present(campaign, "worker")
    for role in names:
        kept = ledger.admit(campaign, role, campaigns.present_versions(role))
        require_present(campaign, "worker", {role: kept})


def require_present(
    campaign: Campaign, who: str, versions: Mapping[str, Mapping[str, str]] = _NONE
) -> None:
    """Refuse what would read the campaign in another way than those who computed it.

    Parameters
    ----------
    campaign : Campaign
    who : str
        What is refused, such as "worker".
    versions : mapping of str to mapping
        By role: the libraries that its answers were computed with.

    Raises
    ------
    ArdError
        If settings, code or versions are not those of the campaign.
    """
    pairs = {
        "settings, as it reads them,": (campaign.config_sha256, campaign.settings.sha256),
        "lines of code": (campaign.code_sha256, campaigns.present_code()),
        **{
            f"versions for '{role}'": (kept, campaigns.present_versions(role))
            for role, kept in versions.items()
        },
    }
    for what, (expected, found) in pairs.items():
        campaigns.require_same(f"{who}'s {what}", campaign.name, expected, found)


def requeue(place: Place, *, dead: bool) -> supply.Progress:
    """Empty the queues of a campaign, and let workers fill them with what the ledger lacks."""
    with closing(_opened(place)) as ledger, closing(connect(place.broker)) as broker:
        campaign = ledger.campaign(place.name)
        for role in ROLES:
            broker.queue(campaign.queue(role)).empty()
        supply.rewind(ledger, campaign, dead=dead)
        return supply.progress(ledger, campaign)


@dataclass(frozen=True)
class State:
    """How does a campaign stand?

    Attributes
    ----------
    campaign : Campaign
    progress : Progress
    depths : mapping of str to Depth
        Of the queues; none where the broker is embedded or away.
    broker : str
        What is known of it.
    workers, dead, conflicts : list
        Rows of the ledger.
    """

    campaign: Campaign
    progress: supply.Progress
    depths: Mapping[str, Depth]
    broker: str
    workers: list[Any]
    dead: list[Any]
    conflicts: list[Any]


def state(place: Place) -> State:
    """Say how a campaign stands; only the database is needed for that."""
    with closing(_opened(place)) as ledger:
        campaign = ledger.campaign(place.name)
        depths, broker = _depths(place, campaign)
        return State(
            campaign,
            supply.progress(ledger, campaign),
            depths,
            broker,
            ledger.workers(campaign),
            ledger.dead(campaign),
            ledger.conflicts(campaign),
        )


def _depths(place: Place, campaign: Campaign) -> tuple[dict[str, Depth], str]:
    try:
        with closing(connect(place.broker)) as broker:
            if broker.embedded:
                return {}, "within the worker"
            queues = {role: broker.queue(campaign.queue(role)) for role in ROLES}
            return {role: queue.depth() for role, queue in queues.items()}, broker.address
    except BrokerAwayError as error:
        return {}, f"away: {error.found}"


def _names(campaign: Campaign, role: str, broker: Broker) -> tuple[str, ...]:
    if role != ALL and broker.embedded:
        raise ArdError(
            f"the role '{role}' alone needs a broker that others can reach",
            expected=f"its address in {BROKER}, or --role {ALL}",
            found=broker.address,
            action="start a Redis-like server and name it, or let one worker do all",
        )
    every = tuple(name for name in ROLES if campaign.settings.tasks(name))
    if role == CHAINS and CHAINS not in every:
        raise ArdError(
            f"the campaign '{campaign.name}' has no chains",
            expected="fits of scenes among its tasks",
            found="none",
            action="create a campaign with --chains",
        )
    return every if role == ALL else (role,)


def _ended(
    ledger: Ledger, campaign: Campaign, names: Sequence[str], tallies: Mapping[str, Tally]
) -> Ended:
    roles = supply.progress(ledger, campaign).roles
    complete = all(roles[name].complete for name in names)
    clean = not any(roles[name].dead for name in names)
    rivals = [row for row in ledger.conflicts(campaign) if row.role in names]
    return Ended(complete, clean and not rivals, tallies)


def several(place: Place, asked: Asked) -> None:
    """Let several workers of one role work, each in a process of its own.

    Raises
    ------
    ArdError
        If one of them could not.
    """
    command = [sys.executable, "-m", "pipeline", "campaign", "work", str(place.root)]
    command += ["--name", place.name, "--role", asked.role]
    command += ["--patience", str(asked.pace.patience_s)]
    given = {DATABASE: place.database, BROKER: place.broker}
    environment = {**os.environ, **{key: value for key, value in given.items() if value}}
    # In sessions of their own: signals come from here, once each.
    started: list[subprocess.Popen[bytes]] = []
    with _handed_on(started) as begin:
        for _ in range(asked.jobs):
            started.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
                )
            )
        begin()
        codes = [process.wait() for process in started]
    failed = [code for code in codes if code not in _DONE]
    if failed:
        raise ArdError(
            f"{len(failed)} of {len(codes)} workers could not go on",
            expected="workers that end when nothing is left",
            found=f"exit codes {', '.join(map(str, failed))}",
            action="see what they said above; nothing is lost, the same command goes on",
        )


@contextmanager
def _handed_on(processes: Sequence["subprocess.Popen[bytes]"]) -> Iterator[Callable[[], None]]:
    """Hand signals on to processes, once all are there: those that come before are kept until then.

    Gives what says that all are there.
    """
    kept: list[int] = []
    there: list[bool] = []

    def hand_on() -> None:
        while kept:
            number = kept.pop(0)
            for process in processes:
                process.send_signal(number)  # which does nothing to one that has ended

    def note(number: int, _frame: FrameType | None) -> None:
        kept.append(number)
        if there:
            hand_on()

    def begin() -> None:
        there.append(True)
        hand_on()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield begin
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _opened(place: Place, *, may_make: bool = False) -> Ledger:
    return open_ledger(place.database, folder=place.root, may_make=may_make)
