"""How is a named scene fitted to the tip in a cube, and what is kept of the fit?

The posterior is made from cube, noise product and target; its maxima are looked for; chains start
there and go on until the gate of the judge is passed or a budget ends. What decides a draw is in
the `Run` that a store holds them by, so that the same call goes on where another stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from ard.cube import Cube, FloatArray
from ard.errors import ArdError
from ard.likelihood import LinearPrior
from checks.convergence import Convergence, chain_limits, gate
from checks.convergence.measurement import CHAINS
from manifests import Target
from pipeline.infer.adaptation import LEAST
from pipeline.infer.chain import Settings, require_seed
from pipeline.infer.conditional import Block, Conditional, blocks_of
from pipeline.infer.cutout import Cut, Cutout, cutout
from pipeline.infer.optimum import (
    MATTERS,
    Mode,
    dispersed,
    find_modes,
    places_of_chains,
    shares,
    starts_from,
)
from pipeline.infer.posterior import SINGLE, Posterior, scene_templates
from pipeline.infer.prior import Prior
from pipeline.infer.sampler import Budget, Outcome, Progress, Starts, config_of, sample
from pipeline.infer.scenes import Scene
from pipeline.infer.whitened import Whitened
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.scene.background import Smoothness
from pipeline.scene.background import templates as backgrounds
from pipeline.store.blocks import BlockStore, Run
from pipeline.store.netcdf import Content

# The prior of amplitudes, in median errors of a voxel: lines that would be seen at that in every
# spaxel, and a background at that everywhere. It is proper, and says nothing else.
_LINE_SNR, _BACKGROUND_SNR = 300.0, 100.0
# A fit to a tip that is masked would be one to the wake.
_AT_TIP_ARCSEC, _LEAST_LEFT = 0.2, 0.5
# ln of the likelihood of all voxels together, and of each block of spaxels given the others.
CUBE: Final = "cube"
SPAXELS: Final = "spaxels"
# Of how many draws they are exported: each costs two to three computations of the model.
_N_LIKELIHOOD: Final = 10_000


@dataclass(frozen=True)
class Fit:
    """How is it fitted?

    Attributes
    ----------
    n_chain : int
    seed : int
        Below 2^32.
    n_start : int
        Draws of the prior from which maxima are looked for. A climb takes as long as one to two
        hundred gradients; a maximum that one in twenty-four meets is missed once in three times.
    n_warmup : int
        Draws in which step and metric are learned.
    n_first, n_most : int
        Draws of each chain before the gate is asked, and at most.
    block : int
        Draws that are lost at most.
    wall_s : float
        Seconds after which no block is begun.
    acceptance : float
        Which acceptance the step is to have: nearer to 1, steps are smaller, and fewer diverge.

    Raises
    ------
    ArdError
        If the seed cannot be used.
    """

    n_chain: int = 4
    seed: int = 1
    n_start: int = 24
    n_warmup: int = 250
    n_first: int = 500
    n_most: int = 4000
    block: int = 50
    wall_s: float = np.inf
    acceptance: float = 0.8

    def __post_init__(self) -> None:
        require_seed(self.seed)

    @property
    def settings(self) -> Settings:
        """What decides the draws."""
        return Settings(n_warmup=self.n_warmup, target_acceptance=self.acceptance)

    @property
    def budget(self) -> Budget:
        """What decides how many there are."""
        return Budget(self.block, self.n_first, self.n_most, self.wall_s)

    def deciding(self) -> dict[str, Any]:
        """Give what another run would differ in, as JSON has it."""
        chosen = asdict(self.settings)
        return {**chosen, "n_chain": self.n_chain, "seed": self.seed, "n_start": self.n_start}


def require_passable(fit: Fit) -> None:
    """Refuse what would be sampled to the end of its budget for nothing.

    Raises
    ------
    ArdError
        If there are fewer chains than the gate asks for, or so short a warm-up that the sampler
        learns nothing but its step.
    """
    limit = chain_limits()[CHAINS]
    if not limit.accepts(fit.n_chain):
        raise ArdError(
            "the gate cannot be passed with so few chains",
            expected=f"chains {limit.comparison} {limit.value:g}",
            found=fit.n_chain,
            action="ask for more chains",
        )
    if fit.n_warmup < LEAST:
        raise ArdError(
            "the warm-up is too short to learn how wide the posterior is",
            expected=f"{LEAST} draws or more",
            found=fit.n_warmup,
            action="ask for a longer warm-up",
        )


@dataclass(frozen=True, eq=False)
class Problem:
    """A scene, and what it is held against.

    Attributes
    ----------
    scene : Scene
    cutout : Cutout
    posterior : Whitened
    """

    scene: Scene
    cutout: Cutout
    posterior: Whitened

    def derived(self, draws: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Give the derived quantities of draws, each of the shape of the parameters."""
        found = self.scene.derived(draws, self.cutout.frame)
        return {name: np.asarray(value, np.float64) for name, value in found.items()}

    def units(self) -> dict[str, str]:
        """Give the units of parameters and derived quantities."""
        own = {p.name: p.unit for p in self.scene.prior.parameters}
        return {**own, **self.scene.units}

    def content(self, **more: Any) -> Content:
        """Give what is exported beside the draws."""
        names = self.scene.prior.names

        def named(draws: FloatArray) -> dict[str, FloatArray]:
            return {name: draws[:, i] for i, name in enumerate(names)}

        def log_prior(draws: FloatArray) -> dict[str, FloatArray]:
            return named(np.asarray(self.scene.prior.log_prior(draws), np.float64))

        blocks = blocks_of(self.cutout.noise)
        density = Conditional(self.posterior, blocks)
        return Content(
            log_prior,
            lambda draws: dict(zip((CUBE, SPAXELS), density(draws), strict=True)),
            derived=lambda draws: self.derived(named(draws)),
            derived_units=self.scene.units,
            n_likelihood=_N_LIKELIHOOD,
            total=(CUBE,),
            groups={SPAXELS: [self._of_cube(block) for block in blocks]},
            **more,
        )

    def _of_cube(self, block: Block) -> dict[str, Any]:
        """Say where a block of spaxels is in the cube, and how many of its voxels are used."""
        y, x = self.cutout.rows.start, self.cutout.columns.start
        return {
            "y": [y + block.rows.start, y + block.rows.stop],
            "x": [x + block.columns.start, x + block.columns.stop],
            "n_voxel": int(block.voxels.size),
        }

    def reduced_chi2(self, outcome: Outcome) -> float:
        """Give chi2 over voxels at the draw of highest density: far above 1, the scene is wrong."""
        return float(self.posterior.chi2(best_of(outcome))) / self.cutout.noise.count


def problem_for(
    cube: Cube, noise: GivenNoise, target: Target, scene: Scene, cut: Cut | None = None
) -> Problem:
    """Make the posterior of a scene.

    Raises
    ------
    ArdError
        If cube, noise and target do not allow it: see `cutout`; if the cube does not resolve what
        the scene is about, or has no voxel left around the tip.
    """
    seen = cutout(cube, noise, target, scene.groups, cut or scene.cut)
    _require_resolved(scene, seen)
    model = seen.observed.model
    amplitudes, smooth = linear_parts(seen, scene.n_part)
    posterior = Posterior(
        scene.prior,
        scene_templates(model, scene.build(seen.frame, model)),
        seen.data,
        seen.noise,
        amplitudes,
        smooth,
        model_dtype=SINGLE,
    )
    return Problem(scene, seen, Whitened(posterior))


def linear_parts(seen: Cutout, n_part: int = 1) -> tuple[LinearPrior, FloatArray]:
    """Give what of a scene is linear: the prior of its amplitudes, and the smooth backgrounds.

    Parameters
    ----------
    seen : Cutout
    n_part : int
        Parts of the scene that have fluxes of their own.

    Returns
    -------
    LinearPrior
        Of the free lines of each part, then of the backgrounds.
    ndarray, shape (n, n_channel, ny, nx)
    """
    model = seen.observed.model
    smooth = backgrounds(model.sky, model.wave_edges, Smoothness(1, 1))
    used = ~np.asarray(seen.noise.mask)
    error = float(np.median(np.asarray(seen.noise.sigma)[used]))
    n_line = len(seen.observed.amplitude_names) * n_part
    line = _LINE_SNR * error * np.sqrt(model.sky.ny * model.sky.nx)
    widths = np.r_[np.full(n_line, line), np.full(len(smooth), _BACKGROUND_SNR * error)]
    return LinearPrior(np.zeros(widths.size), widths), smooth


def _require_resolved(scene: Scene, seen: Cutout) -> None:
    widest = max(seen.frame.fwhm_arcsec)
    if widest > scene.widest_arcsec:
        raise ArdError(
            f"the cube does not resolve the tip: the scene '{scene.name}' would be its prior",
            expected=f"a point-spread function of {scene.widest_arcsec:g} arcsec FWHM or less",
            found=f"{widest:.2f} arcsec",
            action="take a cube of a sharper instrument, or another scene",
        )
    tip = _spaxels_at(seen)
    left = float(np.mean(~np.asarray(seen.noise.mask)[:, tip]))
    if left < _LEAST_LEFT:
        raise ArdError(
            "the cube has hardly any data at the tip",
            expected=f"{_LEAST_LEFT:.0%} of the voxels within {_AT_TIP_ARCSEC:g} arcsec of it",
            found=f"{left:.0%}, the others are masked",
            action="take another cube, or see why ingestion or the noise product masks them",
        )


def _spaxels_at(seen: Cutout) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say which spaxels of the cut-out lie at the declared tip."""
    sky, frame = seen.observed.model.sky, seen.frame
    y, x = (0.5 * (edges[1:] + edges[:-1]) for edges in (sky.edges(sky.ny), sky.edges(sky.nx)))
    away = np.hypot(y[:, None] - frame.y_arcsec, x[None, :] - frame.x_arcsec)
    return np.asarray(away < _AT_TIP_ARCSEC)


def best_of(outcome: Outcome) -> dict[str, Any]:
    """Give the parameters of the draw of highest density."""
    lp = np.asarray(outcome.stats["lp"])
    best = np.unravel_index(int(np.argmax(lp)), lp.shape)
    return {name: jnp.asarray(draws[best]) for name, draws in outcome.draws.items()}


@dataclass(frozen=True, eq=False)
class Search:
    """What did the search for maxima find?

    Attributes
    ----------
    starts : Starts
        Where chains start.
    modes : tuple of mapping
        The maxima as JSON has them, the one with most of the posterior first: ``share`` of it by
        Laplace's approximation, ``log_density`` on the scale of the sampler, how many of
        ``n_start`` climbs ended there (``n_found``), whether the curvature was ``repaired``, how
        many chains start there (``n_chain``), and the parameters (``values``).
    """

    starts: Starts
    modes: tuple[Mapping[str, Any], ...]


def find_starts(
    problem: Problem, fit: Fit, say: Callable[[int, int, float], None] | None = None
) -> Search:
    """Look for the maxima, and give a start for each chain."""
    target = problem.posterior.target
    places = dispersed(problem.scene.prior, fit.n_start, fit.seed)
    modes = find_modes(target, places, say=say)
    starts = starts_from(target, modes, fit.n_chain, fit.seed)
    return Search(starts, modes_told(problem.scene.prior, modes, fit))


def modes_told(prior: Prior, modes: Sequence[Mode], fit: Fit) -> tuple[dict[str, Any], ...]:
    """Give maxima as `Search.modes` has them."""
    found, places = shares(modes), places_of_chains(modes, fit.n_chain)

    def row(number: int) -> dict[str, Any]:
        mode = modes[number]
        values = prior.named(prior.constrain(mode.z))
        return {
            "share": float(found[number]),
            "log_density": mode.log_density,
            "n_found": mode.n_found,
            "n_start": fit.n_start,
            "repaired": mode.repaired,
            "n_chain": places.count(number),
            "values": {name: float(value) for name, value in values.items()},
        }

    return tuple(row(int(number)) for number in np.argsort(-found, kind="stable"))


def sentence_on(modes: Sequence[Mapping[str, Any]]) -> str:
    """Say in words which rivals the first maximum has; nothing where it has none."""
    if len(modes) < 2:
        return ""
    rivals = "; ".join(
        f"{mode['share']:.1e} of the posterior, {mode['n_found']} climbs, {_chains_at(mode)}"
        for mode in modes[1:]
    )
    first = f"{modes[0]['n_found']} of {modes[0]['n_start']} climbs"
    return f"besides the maximum of {first} there are rivals ({rivals})"


def _chains_at(mode: Mapping[str, Any]) -> str:
    if mode["n_chain"]:
        return f"chains that start there: {mode['n_chain']}"
    return "no chain" if mode["share"] < MATTERS else "no chain, because there are too few"


def search_to_dict(search: Search) -> dict[str, Any]:
    """Give starts and maxima as JSON has them, to the last bit."""
    starts = {
        "z": np.asarray(search.starts.z, np.float64).tolist(),
        "inverse_mass": np.asarray(search.starts.inverse_mass, np.float64).tolist(),
        "step": float(search.starts.step),
    }
    return {"starts": starts, "modes": [dict(mode) for mode in search.modes]}


def search_from_dict(document: Mapping[str, Any]) -> Search:
    """Make what `search_to_dict` gave; the settings of a run hold the same.

    Raises
    ------
    ArdError
        If the document is another.
    """
    try:
        starts = document["starts"]
        z, metric = (np.asarray(starts[name], np.float64) for name in ("z", "inverse_mass"))
        modes = tuple(dict(mode) for mode in document["modes"])
        return Search(Starts(z, metric, float(starts["step"])), modes)
    except (KeyError, TypeError, ValueError) as error:
        raise ArdError(
            "the starts of chains cannot be read",
            expected="modes, and starts with z, inverse_mass and step",
            found=f"{type(error).__name__}: {error}",
            action="remove the file: the maxima are looked for again",
        ) from error


def run_of(
    problem: Problem, fit: Fit, search: Search, name: str, digests: Mapping[str, str], **more: Any
) -> Run:
    """Give what a store holds the chains by."""
    return Run(
        name,
        problem.scene.prior.names,
        fit.n_chain,
        fit.seed,
        digests,
        prior=problem.scene.prior.describe(),
        config={
            **config_of(fit.settings, search.starts),
            "model": problem.scene.name,
            "modes": search_to_dict(search)["modes"],
        },
        **more,
    )


def sample_problem(
    problem: Problem,
    fit: Fit,
    starts: Starts,
    run: Run,
    store: BlockStore,
    *,
    item: str | None = None,
    workers: int = 1,
    say: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Sample until the judge's gate is passed or the budget ends; goes on with what is stored.

    Parameters
    ----------
    item : str, optional
        Name of the target, which may have limits of its own.
    workers : int
        Processes in which chains are computed; the draws are the same.
    """
    limits = chain_limits(item)

    def judge(draws: Mapping[str, Any], stats: Mapping[str, Any]) -> Convergence:
        return gate({**draws, **problem.derived(draws)}, stats, limits)

    return sample(
        problem.posterior.target,
        starts,
        run,
        store,
        settings=fit.settings,
        budget=fit.budget,
        gate=judge,
        say=say,
        workers=workers,
    )
