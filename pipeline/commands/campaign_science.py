"""What do workers of a campaign compute: which galaxies, which dynamics, which likelihood?

The glue between the machinery of `pipeline.falsify.campaign.roles` and the science; each role loads
what it needs when it has its first task.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.errors import ArdError
from pipeline.falsify.campaign.ledger import Ledger
from pipeline.falsify.campaign.pool import Pool
from pipeline.falsify.campaign.settings import TABLE, Campaign, Chains
from pipeline.falsify.tasks import Curve, Evaluation, Model, Motion
from pipeline.fit_inputs import Inputs, inputs_of

_CACHE: Final = "jax"
# Of what a fit says, that which is worth a row.
_KEPT: Final = ("run", "status", "verdict", "n_chain", "n_draw", "rhat", "ess", "chi2_red")

type Say = Callable[[str], None]


class CampaignScience:
    """The science of a campaign.

    Parameters
    ----------
    campaign : Campaign
    ledger : Ledger
        Has the galaxies that came from a file.
    root : path
        The run folder.
    jobs : int
        Processes that compute dynamics.
    store_url : str, optional
        The database of chains.
    say : callable
        Told of the progress of fits.
    """

    def __init__(
        self,
        campaign: Campaign,
        ledger: Ledger,
        root: Path,
        *,
        jobs: int = 1,
        store_url: str | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self._campaign, self._ledger, self._root = campaign, ledger, root
        self._pool, self._store_url, self._say = Pool(jobs), store_url, say

    def propose(self, numbers: Sequence[int]) -> list[Model]:
        """Give the galaxies of some numbers, in their order."""
        settings = self._campaign.settings
        if settings.kind != TABLE:
            from pipeline.falsify.physics.hypothesis import propose

            return propose(numbers, settings.seed, settings.kind)
        found = {m.number: m for m in self._ledger.models(self._campaign, numbers)}
        return [found[number] for number in numbers]

    def motions(self, models: Sequence[Model]) -> list[Motion]:
        """Compute the dynamics of galaxies, in several processes if there are to be several."""
        settings = self._campaign.settings
        given = dict(settings.dynamics)
        kinds = (settings.disc_kind, settings.halo_kind)
        return self._pool.map(_motion, [(model, kinds, given) for model in models])

    def evaluate(self, models: Sequence[Model], curves: Sequence[Curve]) -> list[Evaluation]:
        """Hold galaxies against the observed cube."""
        found: list[Evaluation] = self.likelihood.evaluate(models, curves)
        return found

    def fit(self, chains: Chains) -> Mapping[str, Any]:
        """Fit a scene from where an earlier try stopped, and say how that ended."""
        from pipeline.commands import fit_scene
        from pipeline.infer.fit import Fit
        from pipeline.infer.scenes import scene

        chosen = self._campaign.settings.sampling
        fit = Fit(
            n_chain=chosen.n_chain,
            seed=chains.seed,
            n_warmup=chosen.n_warmup,
            n_first=chosen.n_first,
            n_most=chosen.n_most,
            acceptance=scene(chains.model).acceptance,
        )
        report = fit_scene.fit_item(
            self.inputs, chains.model, fit, store_url=self._store_url, say=self._say
        )
        kept = {key: _plain(report.facts[key]) for key in _KEPT if key in report.facts}
        said = {"passed": report.passed, "sentence": report.sentence}
        return {"model": chains.model, "seed": chains.seed, **said, **kept}

    @cached_property
    def inputs(self) -> Inputs:
        """The files of the run, held against those that the campaign was created for.

        Raises
        ------
        ArdError
            If one is missing, or is another.
        """
        settings = self._campaign.settings
        inputs = inputs_of(self._root, settings.item)
        found = inputs.digests
        for name, expected in settings.inputs.items():
            if found.get(name) != expected:
                raise ArdError(
                    f"this run folder is not the one that the campaign '{settings.name}' is of",
                    file=self._root,
                    expected=f"{name} with sha256 {expected}",
                    found=found.get(name, "no such file"),
                    action="name the run folder of the campaign, or a copy of it",
                )
        return inputs

    def render(self, model: Model, curve: Curve, evaluation: Evaluation) -> Any:
        """Show a galaxy as the cube would."""
        from pipeline.falsify.cube.render import render

        return render(self.likelihood, model, curve, evaluation)

    @cached_property
    def likelihood(self) -> Any:
        """The likelihood of galaxies in the cube of the run."""
        from pipeline import runtime

        runtime.start("float64", self._root / layout.STATE_DIR / _CACHE)
        from pipeline.falsify.cube import likelihood
        from pipeline.infer.cutout import Cut

        settings = self._campaign.settings
        inputs = self.inputs  # held against those of the campaign
        how = likelihood.Settings(cut=Cut(**settings.cut), n_step=settings.n_step)
        return likelihood.DiscLikelihood.from_item(inputs.root, inputs.item, how)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


def _motion(task: tuple[Model, tuple[str, str], Mapping[str, float]]) -> Motion:
    from pipeline.falsify.physics.dynamics import DynamicsSettings, motion

    model, (disc_kind, halo_kind), more = task
    return motion(model, DynamicsSettings(disc_kind, halo_kind, **more))


def _plain(value: Any) -> Any:
    """Give a number as every database's JSON has it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
