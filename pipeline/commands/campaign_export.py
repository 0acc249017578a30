"""How does a campaign become products of its run, and with which curves?"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard import layout
from ard.errors import ArdError
from pipeline.code import code_sha256
from pipeline.commands.campaign_compare import Asked, Kept, compare
from pipeline.commands.campaign_run import Place, require_present
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.results import evaluations
from pipeline.falsify.campaign.rows import motion_of
from pipeline.falsify.campaign.settings import (
    CHAINS,
    CODE,
    DYNAMICS,
    LIKELIHOOD,
    Campaign,
    present_versions,
)
from pipeline.falsify.surface.export import Exported, Given, How, export_campaign
from pipeline.falsify.surface.report import Campaign as About
from pipeline.falsify.surface.survey import require_models
from pipeline.falsify.surface.survivors import Rendered, Rule
from pipeline.falsify.tasks import Evaluation, Model
from pipeline.values import sha256_of

# This file decides too what galaxies are compared with, and how that is kept.
_COMPARES: Final = "pipeline/commands/campaign_compare.py"
_KEPT: Final = "campaigns"

type Say = Callable[[str], None]


def export(place: Place, asked: Asked, say: Say) -> Exported:
    """Export a campaign, complete or not.

    Raises
    ------
    ArdError
        If the campaign or its run is not there, was computed with other settings, code or
        libraries, nothing is known of any model, or a library is missing.
    """
    from pipeline.commands.campaign_science import CampaignScience
    from pipeline.falsify.physics.hypothesis import PRIOR

    rule = Rule(asked.n_best, asked.n_spread)
    with closing(open_ledger(place.database, folder=place.root)) as ledger:
        campaign = ledger.campaign(place.name)
        # Galaxies are drawn again here, and stand beside answers that others gave.
        versions = ledger.versions(campaign)
        require_present(campaign, "export", {r: v for r, v in versions.items() if r != CHAINS})
        science = CampaignScience(campaign, ledger, place.root, say=say)
        with closing(science):
            item = science.inputs.item
            found = evaluations(ledger, campaign, science.propose)
            require_models(found, campaign.settings.n_model)  # before what takes hours
            decided = int(np.count_nonzero(~found.possible | found.evaluated))
            say(f"{decided} of {campaign.settings.n_model} galaxies are decided")
            given = _given(science, campaign, place.root, asked, say)

            def render(model: Model, evaluation: Evaluation) -> Rendered:
                curve = _curve(ledger, campaign, model.number)
                shown: Rendered = science.render(model, curve, evaluation)
                return shown

            how = How(rule=rule, units={p.name: p.unit for p in PRIOR.parameters})
            about = About(
                campaign.name,
                campaign.settings.n_model,
                campaign.settings.seed,
                campaign.settings.to_dict(),
                campaign.config_sha256,
                len(ledger.conflicts(campaign)),
            )
            return export_campaign(
                found, about, place.root, item, render=render, given=given, how=how, say=say
            )


def _curve(ledger: Ledger, campaign: Campaign, number: int) -> Any:
    (row,) = ledger.rows(campaign, DYNAMICS, [number])
    curve = motion_of(row).curve
    if curve is None:
        raise ArdError(
            f"model {number} of the campaign has a likelihood and no curve",
            expected="the curve that it was evaluated with",
            found="none",
            action="report this as a defect, with the database",
        )
    return curve


def _given(science: Any, campaign: Campaign, root: Path, asked: Asked, say: Say) -> Given:
    """Give what galaxies are compared with; what an earlier export found is not asked for again."""
    decides = {
        "campaign": campaign.config_sha256,
        "code": code_sha256((*CODE, _COMPARES)),
        "versions": present_versions(LIKELIHOOD),
    }
    name = f"{campaign.name}-{sha256_of(decides)[:12]}.json"
    kept = Kept(root / layout.STATE_DIR / _KEPT / name)
    return compare(science.likelihood, asked, campaign.settings.seed, kept, say)
