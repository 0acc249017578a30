"""How does a campaign become products of its run: against what is it held, and with which curves?

The best bow shock, the saturated scene, the best disc and the injections are asked for once, and
kept in the run folder: they take longer than the export.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard import io, layout
from ard.errors import ArdError
from pipeline.code import code_sha256
from pipeline.commands.campaign_run import Place, require_present
from pipeline.falsify.campaign.ledger import Ledger, open_ledger
from pipeline.falsify.campaign.results import evaluations
from pipeline.falsify.campaign.rows import motion_of
from pipeline.falsify.campaign.settings import CHAINS, CODE, DYNAMICS, Campaign
from pipeline.falsify.surface.exclusion import Calibration, Refined, Saturated
from pipeline.falsify.surface.export import Exported, Given, How, export_campaign
from pipeline.falsify.surface.report import Campaign as About
from pipeline.falsify.surface.survey import BOW, Reference, require_models
from pipeline.falsify.surface.survivors import Rendered, Rule
from pipeline.falsify.tasks import Evaluation, Model
from pipeline.values import sha256_of

# This file decides too what galaxies are compared with, and how that is kept.
_COMPARES: Final = "pipeline/commands/campaign_export.py"
_KEPT: Final = "campaigns"
_PER_BOW: Final = 10  # galaxies that are injected for each bow shock

type Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What galaxies are compared with, and how many are kept.

    Attributes
    ----------
    bow_starts : int
        Of the search for the best bow shock; none: the best galaxy is the reference.
    injections : int
        Galaxies that are injected to calibrate T, and a tenth as many bow shocks, if the best one
        was searched; none: there is no verdict.
    disc : bool
        Whether the best disc is searched.
    n_best, n_spread : int
        See `pipeline.falsify.surface.survivors.Rule`.
    """

    bow_starts: int = 12
    injections: int = 0
    disc: bool = True
    n_best: int = 3
    n_spread: int = 5


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
    """Give what galaxies are compared with, as it was kept or computed now."""
    decides = {
        "campaign": campaign.config_sha256,
        "code": code_sha256((*CODE, _COMPARES)),
        "asked": [asked.bow_starts, asked.injections, asked.disc],
    }
    place = root / layout.STATE_DIR / _KEPT / f"{campaign.name}-{sha256_of(decides)[:12]}.json"
    if place.is_file():
        return given_from(io.read_json(place))
    given = compare(science.likelihood, asked, campaign.settings.seed, say)
    place.parent.mkdir(parents=True, exist_ok=True)
    io.write_json(place, asdict(given), overwrite=True)
    say("what galaxies are compared with is kept in the run folder")
    return given


def given_from(document: Mapping[str, Any]) -> Given:
    """Read what was kept of comparisons."""
    reference, saturated, calibration, refined = (
        document[name] for name in ("reference", "saturated", "calibration", "refined")
    )
    return Given(
        None if reference is None else Reference(**reference),
        None if saturated is None else Saturated(**saturated),
        None if calibration is None else Calibration(**calibration),
        None if refined is None else Refined(**{**refined, "ends": tuple(refined["ends"])}),
    )


def compare(likelihood: Any, asked: Asked, seed: int, say: Say) -> Given:
    """Fit what galaxies are compared with to the voxels of a likelihood.

    Parameters
    ----------
    likelihood : DiscLikelihood
    asked : Asked
    seed : int
        Of starts and injections.
    say : callable
        Told of progress.
    """
    reference, shown = None, None
    if asked.bow_starts:
        say(f"the best bow shock, from {asked.bow_starts} starts")
        from pipeline.falsify.cube.reference import best_scene

        best = best_scene(likelihood, asked.bow_starts, seed)
        words = f"best of {asked.bow_starts} searches, which {best.n_found} of them found"
        reference = Reference(BOW, best.scene, best.log_likelihood, words)
        shown = best.shown
    if not (asked.disc or asked.injections):
        return Given(reference)
    say("the saturated scene, and the best disc")
    from pipeline.falsify.cube.calibrate import Judge, bound_of

    judge = Judge(likelihood)
    found = judge.statistic()
    dof = float(likelihood.seen.noise.count - judge.saturated.n_free)
    disc = found.disc
    refined = Refined(
        dict(disc.parameters),
        disc.evaluation.log_likelihood,
        disc.evaluation.chi2,
        disc.evaluation.converged,
        tuple(float(end) for end in disc.ends),
    )
    calibration = None
    if asked.injections:
        say(f"{asked.injections} galaxies are injected")
        tried = judge.calibrate(asked.injections, seed, judge.strength())
        words = f"{asked.injections} injected galaxies of seed {seed}"
        n_bow, n_rejected = 0, 0
        if shown is not None:
            # Could the test have said otherwise? The best bow shock, with other noise.
            n_bow = -(-asked.injections // _PER_BOW)
            say(f"the best bow shock is injected {n_bow} times")
            values = judge.others(shown, n_bow, seed)
            n_rejected = int(np.count_nonzero(values > tried.threshold))
            words += f", and the best bow shock in {n_bow} draws of noise"
        low = np.where(tried.converged, tried.values, tried.values.min())
        calibration = Calibration(
            tried.threshold,
            bound_of(low, tried.level),
            float(tried.level),
            len(tried.values),
            n_bow,
            n_rejected,
            words,
        )
    return Given(reference, Saturated(float(found.chi2_saturated), dof), calibration, refined)
