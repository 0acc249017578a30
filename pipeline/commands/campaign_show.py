"""How do settings come from what was typed, and how does a campaign look on stdout?"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from ard.errors import ArdError
from pipeline import show
from pipeline.commands.campaign_run import Ended, State
from pipeline.falsify.campaign.settings import (
    LIKELIHOOD,
    ROLES,
    Campaign,
    Settings,
    settings_from,
    with_chains,
)
from pipeline.falsify.campaign.supply import Progress

# A worker that has said nothing for so long is not counted.
_SILENT_S: Final = 60.0
_SETTABLE: Final = ("dynamics", "cut", "batches", "sampling")
_SHOWN_DEAD: Final = 5


def settings_of(name: str, about: Mapping[str, Any]) -> Settings:
    """Make the settings of a campaign from the options that were typed.

    Raises
    ------
    ArdError
        If a value cannot be.
    """
    values: dict[str, Any] = {
        "name": name,
        "item": about["item"],
        "inputs": {},
        "n_model": about["models"],
        "seed": about["seed"],
        "kind": about["kind"],
        "disc_kind": about["disc"],
        "halo_kind": about["halo"],
        "bound": about["bound"],
        "lease_s": about["lease"],
        "deliveries": about["deliveries"],
    }
    for text in about["values"]:
        key, _, value = text.partition("=")
        table, _, field = key.partition(".")
        try:
            number = json.loads(value)
        except json.JSONDecodeError:
            number = None
        if table not in _SETTABLE or not field or number is None:
            raise ArdError(
                "this is no setting of a campaign",
                expected=f"TABLE.KEY=NUMBER, the table one of {', '.join(_SETTABLE)}",
                found=text,
                action="correct --set",
            )
        values.setdefault(table, {})[field] = number
    return with_chains(settings_from(values), about["chains"], about["chain_seeds"])


def created(campaign: Campaign, as_json: bool) -> None:
    """Show a campaign."""
    facts = {
        "campaign": campaign.name,
        "models": campaign.settings.n_model,
        "chains": len(campaign.settings.chains),
        "config_sha256": campaign.config_sha256,
    }
    show.paths({}, as_json, facts)


def ended(found: Ended, as_json: bool) -> None:
    """Show what a worker did."""
    roles = {name: vars(tally) for name, tally in found.tallies.items()}
    if as_json:
        _json({"complete": found.complete, "sound": found.sound, "roles": roles})
        return
    for name, tally in roles.items():
        did = ", ".join(f"{key} {value:.0f}" for key, value in tally.items() if value)
        click.echo(f"{name:<12}{did or 'nothing'}")
    click.echo("nothing is left to do" if found.complete else "stopped; the same command goes on")


def requeued(found: Progress, as_json: bool) -> None:
    """Show what is missing."""
    missing = {role: found.roles[role].missing for role in ROLES}
    show.paths({}, as_json, {"missing": missing})


def status(state: State, as_json: bool) -> None:
    """Show how a campaign stands."""
    document = _document(state)
    if as_json:
        _json(document)
        return
    headings = ("role", "planned", "done", "missing", "dead", "waiting", "held", "a second", "left")
    show.rows(headings, [[name, *(_cell(row, key) for key in _COLUMNS)]
                         for name, row in document["roles"].items()])  # fmt: skip
    if document["rejected"]:
        show.rows(("rejected by", "galaxies"), list(document["rejected"].items()))
    living = [row for row in document["workers"] if row["living"]]
    if living:
        names = ("worker", "role", "done", "again", "rejected", "failed", "rate", "peak_mb")
        show.rows(names, [[row[name] for name in names] for row in living])
    for row in document["dead"][:_SHOWN_DEAD]:
        click.echo(f"dead: {row['role']} {row['task']}: {row['reason']}")
    if document["conflicts"]:
        click.echo(f"{len(document['conflicts'])} answers differ from those that were kept")
    click.echo(f"broker: {document['broker']}")


_COLUMNS: Final = ("planned", "done", "missing", "dead", "waiting", "held", "rate", "left")


def _document(state: State) -> dict[str, Any]:
    now = time.time()
    workers = [
        {
            "worker": row.worker,
            "role": row.role,
            "living": not row.ended and now - row.seen_s < _SILENT_S,
            "seen_s_ago": round(now - row.seen_s, 1),
            **row.counts,
        }
        for row in state.workers
    ]
    return {
        "schema": "campaign-status",
        "campaign": state.campaign.name,
        "config_sha256": state.campaign.config_sha256,
        "settings": state.campaign.settings.to_dict(),
        "roles": {role: _role(state, role, workers) for role in ROLES},
        "rejected": state.progress.rejected,
        "n_rejected": state.progress.n_rejected,
        "broker": state.broker,
        "workers": workers,
        "dead": [
            {"role": r.role, "task": r.task, "reason": r.reason, "deliveries": r.deliveries}
            for r in state.dead
        ],
        "conflicts": [
            {"role": r.role, "number": r.number, "kept": r.kept_sha256, "other": r.sha256}
            for r in state.conflicts
        ],
    }


def _role(state: State, role: str, workers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found, depth = state.progress.roles[role], state.depths.get(role)
    rate = sum(row["rate"] for row in workers if row["living"] and row["role"] == role)
    return {
        "planned": found.planned,
        "done": found.done,
        "missing": found.missing,
        "dead": found.dead,
        "waiting": None if depth is None else depth.waiting,
        "held": None if depth is None else depth.held,
        "rate": round(rate, 3),
        "eta_s": round(_expected(state, role) / rate) if rate else None,
        "complete": found.complete,
    }


def _expected(state: State, role: str) -> float:
    """Give how many tasks are left; of the likelihood, by the part that was possible so far."""
    found = state.progress.roles[role]
    if role != LIKELIHOOD or not found.open_ended:
        return found.missing
    done = state.progress.roles["dynamics"].done
    part = found.planned / done if done else 1.0
    return part * state.campaign.settings.n_model - found.done


def _cell(row: Mapping[str, Any], key: str) -> str:
    if key == "left":
        return "" if row["eta_s"] is None else f"{row['eta_s']} s"
    return "" if row[key] is None else str(row[key])


def _json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True))
