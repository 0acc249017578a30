"""Which answers of a campaign are there, and can one be lost, doubled or changed?

The database is the truth: what is in it is done, and what is not will be. An answer that is there
stays; a second one that is equal is dropped, one that differs is kept beside it as a conflict.
"""

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from ard.errors import ArdError, NotFoundError
from pipeline.falsify.campaign.rows import Death, Settled, packed, unpacked
from pipeline.falsify.campaign.settings import (
    CHAINS,
    DYNAMICS,
    LIKELIHOOD,
    Campaign,
    Settings,
    settings_from,
)
from pipeline.falsify.tasks import Model
from pipeline.store.address import SQLITE, resolve
from pipeline.store.campaigns import (
    CAMPAIGNS,
    CONFLICTS,
    DEAD,
    EVALUATIONS,
    FITS,
    MODELS,
    MOTIONS,
    VERSIONS,
    WORKERS,
)
from pipeline.store.database import Database
from pipeline.store.engine import lock, make_engine
from pipeline.store.schema import prepare
from pipeline.store.troubles import VARIABLE

ANSWERS: Final[Mapping[str, Table]] = {
    DYNAMICS: MOTIONS,
    LIKELIHOOD: EVALUATIONS,
    CHAINS: FITS,
}
# Numbers in one question: SQLite takes 32766 variables at most.
_CHUNK: Final = 2000
# Whoever creates a campaign holds this lock; (0, 1) and (0, 2) are the schema's and the runs'.
_CREATE: Final = (0, 3)
_BLOBS: Final = ("curve",)


def open_ledger(
    url: str | None = None,
    *,
    folder: Path,
    environment: Mapping[str, str] = os.environ,
    may_make: bool = True,
) -> "Ledger":
    """Open the database of campaigns; make its tables, or bring them up to date.

    Parameters
    ----------
    url : str, optional
        As of `pipeline.store.durable.open_store`; chains and campaigns share a database.
    folder : path
        The run folder.
    environment : mapping of str to str
        Usually ``os.environ``.
    may_make : bool
        Make an SQLite file if it is not there.

    Raises
    ------
    NotFoundError
        If there is no such file, and it may not be made.
    StoreAwayError
        If the database cannot be reached.
    ArdError
        If the address is wrong, or the tables are of a later version.
    """
    target, address = resolve(url, folder, environment)
    if (
        not may_make
        and target.get_backend_name() == SQLITE
        and not Path(str(target.database)).exists()
    ):
        raise NotFoundError(
            "there is no campaign, nor a database of any",
            file=target.database,
            expected="the file that `rbh1 campaign create` made",
            found="no such file",
            action=f"correct the folder, set {VARIABLE}, or create a campaign",
        )
    engine = make_engine(target)
    prepare(engine, address)
    return Ledger(engine, address)


class Ledger(Database):
    """Keep what campaigns find, in SQLite or PostgreSQL; each call is one transaction.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database, with tables of this version.
    address : str
        How it is shown, without its password.
    """

    def create(
        self, settings: Settings, code_sha256: str, models: Iterable[Model] = ()
    ) -> tuple[Campaign, bool]:
        """Register a campaign; give it, and whether it is new.

        Parameters
        ----------
        settings : Settings
        code_sha256 : str
            Of the code that will have to compute it.
        models : iterable of Model
            Those that come from a file.

        Raises
        ------
        ArdError
            If there is another one of this name.
        """
        with self.writing() as connection:
            lock(connection, *_CREATE)
            row = _row(connection, settings.name)
            if row is not None:
                _require_same(row, settings, code_sha256)
                return _campaign(row), False
            values = {
                "name": settings.name,
                "uid": secrets.token_hex(8),
                "settings": settings.to_dict(),
                "config_sha256": settings.sha256,
                "code_sha256": code_sha256,
                "fed_dynamics": 0,
                # Whatever is possible goes there from the dynamics.
                "fed_likelihood": settings.n_model,
                "fed_chains": 0,
            }
            connection.execute(insert(CAMPAIGNS).values(**values))
            made = _campaign(_row(connection, settings.name))
            rows = [
                {"campaign_id": made.id, "number": m.number, "parameters": packed(m.parameters)}
                for m in models
            ]
            if rows:
                connection.execute(insert(MODELS), rows)
        return made, True

    def campaign(self, name: str) -> Campaign:
        """Give a campaign by its name (else `NotFoundError`)."""
        with self.reading() as connection:
            row = _row(connection, name)
            names = connection.execute(select(CAMPAIGNS.c.name).order_by(CAMPAIGNS.c.name))
            known = ", ".join(names.scalars())
        if row is None:
            raise NotFoundError(
                f"there is no campaign '{name}'",
                expected=f"one of: {known}" if known else "a campaign that was created",
                found=f"none of this name in {self.address}",
                action="create it: rbh1 campaign create",
            )
        return _campaign(row)

    def admit(self, campaign: Campaign, role: str, versions: Mapping[str, str]) -> dict[str, str]:
        """Give the versions of libraries that a role is worked with; the first worker sets them."""
        key = {"campaign_id": campaign.id, "role": role}
        with self.writing() as connection:
            statement = _insert(connection, VERSIONS).on_conflict_do_nothing()
            connection.execute(statement, {**key, "versions": dict(versions)})
            kept = connection.execute(_where(select(VERSIONS.c.versions), VERSIONS, key))
            return dict(kept.scalar_one())

    def versions(self, campaign: Campaign) -> dict[str, dict[str, str]]:
        """Give the versions of libraries of each role that was worked in."""
        return {row.role: dict(row.versions) for row in self._all(VERSIONS, campaign)}

    def settle(
        self, campaign: Campaign, role: str, rows: Sequence[Mapping[str, Any]], worker: str
    ) -> Settled:
        """Keep answers: rows of `pipeline.falsify.campaign.rows`, one a number.

        Parameters
        ----------
        campaign : Campaign
        role : str
            Whose answers they are.
        rows : sequence of mapping
        worker : str
            Who gives them.
        """
        if not rows:
            return Settled(0, frozenset(), 0)
        table = ANSWERS[role]
        # In order, so that no two workers wait for one another.
        full = [
            {**row, "campaign_id": campaign.id, "worker": worker}
            for row in sorted(rows, key=lambda row: row["number"])
        ]
        with self.writing() as connection:
            statement = _insert(connection, table).on_conflict_do_nothing()
            new = set(connection.execute(statement.returning(table.c.number), full).scalars())
            others = [row for row in full if row["number"] not in new]
            kept = dict(
                _of_numbers(
                    connection, table, campaign, [row["number"] for row in others], "sha256"
                )
            )
            rivals = [row for row in others if kept[row["number"]] != row["sha256"]]
            if rivals:
                found = [_conflict(role, row, kept[row["number"]]) for row in rivals]
                connection.execute(_insert(connection, CONFLICTS).on_conflict_do_nothing(), found)
        return Settled(len(new), frozenset(kept), len(rivals))

    def known(self, campaign: Campaign, role: str, numbers: Sequence[int]) -> set[int]:
        """Give those numbers that have an answer of a role."""
        with self.reading() as connection:
            return {n for (n,) in _of_numbers(connection, ANSWERS[role], campaign, numbers)}

    def rows(
        self, campaign: Campaign, role: str, numbers: Sequence[int] | None = None
    ) -> list[Any]:
        """Give whole answers of a role, in the order of numbers: those asked for, or all."""
        table = ANSWERS[role]
        names = [column.name for column in table.columns if column.name != "number"]
        with self.reading() as connection:
            if numbers is not None:
                return list(_of_numbers(connection, table, campaign, numbers, *names))
            statement = select(table).where(table.c.campaign_id == campaign.id)
            return list(connection.execute(statement.order_by(table.c.number)))

    def found(self, campaign: Campaign, numbers: range) -> list[Any]:
        """Give reasons and facts of motions, with the answer of the likelihood to what is possible.

        Parameters
        ----------
        campaign : Campaign
        numbers : range
            Of which galaxies, in steps of 1; those without a motion are left out.
        """
        evaluated = EVALUATIONS.c
        statement = (
            select(
                *(MOTIONS.c.number, MOTIONS.c.reasons, MOTIONS.c.facts),
                *(evaluated.log_likelihood, evaluated.chi2),
                *(evaluated.nuisances, evaluated.converged),
            )
            .outerjoin_from(
                MOTIONS,
                EVALUATIONS,
                and_(
                    evaluated.campaign_id == MOTIONS.c.campaign_id,
                    evaluated.number == MOTIONS.c.number,
                    MOTIONS.c.possible,
                ),
            )
            .where(
                MOTIONS.c.campaign_id == campaign.id,
                MOTIONS.c.number >= numbers.start,
                MOTIONS.c.number < numbers.stop,
            )
        )
        with self.reading() as connection:
            return list(connection.execute(statement.order_by(MOTIONS.c.number)))

    def models(self, campaign: Campaign, numbers: Sequence[int]) -> list[Model]:
        """Give galaxies that came from a file, in the order of numbers."""
        with self.reading() as connection:
            rows = _of_numbers(connection, MODELS, campaign, numbers, "parameters")
            return [Model(row.number, unpacked(row.parameters)) for row in rows]

    def bury(self, campaign: Campaign, role: str, deaths: Sequence[Death], worker: str) -> None:
        """Note tasks that are given up; the first reason stays."""
        rows = [
            {
                "campaign_id": campaign.id,
                "role": role,
                "task": death.task,
                "number": death.number,
                "reason": death.reason,
                "deliveries": death.deliveries,
                "worker": worker,
            }
            for death in deaths
        ]
        if rows:
            with self.writing() as connection:
                connection.execute(_insert(connection, DEAD).on_conflict_do_nothing(), rows)

    def dead(self, campaign: Campaign) -> list[Any]:
        """Give the tasks that were given up, with their reasons."""
        return self._all(DEAD, campaign)

    def conflicts(self, campaign: Campaign) -> list[Any]:
        """Give the answers that differ from those that were kept."""
        return self._all(CONFLICTS, campaign)

    def beat(
        self, campaign: Campaign, worker: str, role: str, counts: Mapping[str, Any], *, ended: bool
    ) -> None:
        """Note that a worker lives, and what it has done so far."""
        now = time.time()
        said = {"counts": dict(counts), "seen_s": now, "ended": ended}
        values = {"campaign_id": campaign.id, "worker": worker, "role": role, "started_s": now}
        with self.writing() as connection:
            statement = _insert(connection, WORKERS).values(**values, **said)
            keys = ["campaign_id", "worker", "role"]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=said))

    def workers(self, campaign: Campaign) -> list[Any]:
        """Give what workers said of themselves."""
        return self._all(WORKERS, campaign)

    def remove(self, campaign: Campaign) -> None:
        """Remove a campaign with all that it found, for good."""
        with self.writing() as connection:
            connection.execute(delete(CAMPAIGNS).where(CAMPAIGNS.c.id == campaign.id))

    def _all(self, table: Table, campaign: Campaign) -> list[Any]:
        keys = list(table.primary_key.columns)
        with self.reading() as connection:
            statement = select(table).where(table.c.campaign_id == campaign.id).order_by(*keys)
            return list(connection.execute(statement))


def _insert(connection: Connection, table: Table) -> Any:
    # Both know ON CONFLICT, each by a class of its own.
    made = sqlite if connection.dialect.name == SQLITE else postgresql
    return made.insert(table)


def _where(statement: Any, table: Table, key: Mapping[str, Any]) -> Any:
    return statement.where(*(table.c[name] == value for name, value in key.items()))


def _of_numbers(
    connection: Connection, table: Table, campaign: Campaign, numbers: Sequence[int], *names: str
) -> Iterator[Any]:
    columns = [table.c.number, *(table.c[name] for name in names)]
    ordered = sorted(numbers)
    for first in range(0, len(ordered), _CHUNK):
        part = ordered[first : first + _CHUNK]
        statement = select(*columns).where(
            table.c.campaign_id == campaign.id, table.c.number.in_(part)
        )
        yield from connection.execute(statement.order_by(table.c.number))


def _conflict(role: str, row: Mapping[str, Any], kept: str) -> dict[str, Any]:
    about = ("campaign_id", "number", "sha256", "worker")
    answer = {key: value for key, value in row.items() if key not in (*about, *_BLOBS)}
    return {
        **{key: row[key] for key in about},
        "role": role,
        "kept_sha256": kept,
        "answer": answer,
    }


def _row(connection: Connection, name: str) -> Any:
    return connection.execute(select(CAMPAIGNS).where(CAMPAIGNS.c.name == name)).one_or_none()


def _campaign(row: Any) -> Campaign:
    settings = settings_from(row.settings)
    return Campaign(row.id, row.uid, settings, row.config_sha256, row.code_sha256)


def _require_same(row: Any, settings: Settings, code_sha256: str) -> None:
    if (row.config_sha256, row.code_sha256) == (settings.sha256, code_sha256):
        return
    old, new = dict(row.settings), settings.to_dict()
    differing = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    raise ArdError(
        f"there is another campaign '{settings.name}'",
        expected="the same settings and the same code, or another name",
        found=f"other {', '.join(differing)}" if differing else "other code",
        action="choose another name: --name",
    )
