"""How is a scene fitted to an item of a run, so that its products can be judged with the others?

Reads cube, noise product and target of the run; samples into the durable store; exports chains,
table, summary and figure; puts them among the products. Whatever stops it, the same call goes on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import ard
from ard import io, layout
from ard.errors import NotFoundError
from ard.fileio import atomic_write_bytes
from ard.provenance import Provenance
from checks.convergence import Convergence, chain_limits, measure_file
from manifests import Target
from manifests.target import load_target
from pipeline import fitted, folder, runtime
from pipeline.code import code_sha256, tool_versions
from pipeline.figures import chains as figures
from pipeline.figures import residuals as left_figure
from pipeline.fit_inputs import CODE, Inputs
from pipeline.infer import fit as fitting
from pipeline.infer.cutout import Cut
from pipeline.infer.fit import Fit, Problem, Search
from pipeline.infer.residuals import Residuals, residuals_of
from pipeline.infer.sampler import Outcome, Progress
from pipeline.infer.scenes import Scene, scene
from pipeline.reduce.apertures.covariance import read_given_noise
from pipeline.store.blocks import BlockStore, Run
from pipeline.store.durable import open_store
from pipeline.store.fitstable import export_table
from pipeline.store.netcdf import export_netcdf
from pipeline.values import sha256_of

# Another version of these computes other last digits, and so other chains.
_TOOLS: Final = ("blackjax", "jax", "jaxlib")
# Of the cube's keywords, those of the observation: products of a dataset are named by them.
_OBSERVATION: Final = (
    *("TELESCOP", "INSTRUME", "GRATING", "FILTER", "CHANNEL", "BAND", "TARGNAME"),
    *("TIMESYS", "DATE-BEG", "DATE-END", "XPOSURE", "EFFEXPTM", "EXPTIME", "PROGRAM", "PROPOSID"),
)
_CACHE: Final = "jax"
_STARTS: Final = "fits"
_SECONDS: Final = 5.0  # between two lines of progress
_WAIT_S: Final = 60.0  # for another fit that puts its products there
_KEPT: Final = ("rhat", "ess_bulk", "ess_tail", "mcse")

type Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """How did a fit end?

    Attributes
    ----------
    passed : bool
        Whether the chains have converged, as the judge will say of the products.
    sentence : str
    facts : mapping
        Numbers for people and programs.
    paths : mapping of str to path
        The products; none where there are no draws yet.
    """

    passed: bool
    sentence: str
    facts: Mapping[str, Any]
    paths: Mapping[str, Path]


def fit_item(
    inputs: Inputs,
    model: str,
    fit: Fit,
    *,
    store_url: str | None = None,
    cut: Cut | None = None,
    jobs: int = 1,
    say: Say = lambda _: None,
) -> Report:
    """Fit a scene to an item, from where an earlier call stopped, and export what there is.

    Parameters
    ----------
    inputs : Inputs
    model : str
        Name of the scene.
    fit : Fit
    store_url : str, optional
        Address of the database; else RBH1_DATABASE_URL; else a file in the run folder.
    cut : Cut, optional
        Which part of the cube is fitted; that of the scene if absent.
    jobs : int
        Processes in which chains are computed; the draws are the same.
    say : callable
        Told of progress.

    Raises
    ------
    ArdError
        If the model cannot be computed, or the store cannot be used.
    """
    chosen = scene(model)
    state = inputs.root / layout.STATE_DIR
    runtime.start("float64", state / _CACHE)
    target = load_target(inputs.target)
    with open_store(store_url, folder=inputs.root) as store:
        cube = ard.read_cube(inputs.cube)
        problem = fitting.problem_for(cube, read_given_noise(inputs.noise), target, chosen, cut)
        say(f"{inputs.item} {model}: {problem.cutout.noise.count} voxels, "
            f"{len(chosen.prior.names)} parameters")  # fmt: skip
        provenance = _provenance(inputs, chosen, fit, cut or chosen.cut, cube.simulated)
        run = _run(problem, fit, provenance, inputs, store, say)
        search = fitting.search_from_dict(run.config)
        outcome = fitting.sample_problem(
            problem, fit, search.starts, run, store, item=target.item,
            workers=min(jobs, fit.n_chain), say=_Teller(say),
        )  # fmt: skip
        facts = {"run": run.name, "status": outcome.status, "modes": list(search.modes)}
        rivals = fitting.sentence_on(search.modes)
        if not next(iter(outcome.draws.values())).size:
            return Report(False, _joined(outcome.sentence, rivals), facts, {})
        if isinstance(outcome.verdict, Convergence):
            # The file of chains then says of itself how well they are mixed.
            store.put_summaries(run.name, _diagnostics(outcome.verdict, problem))
        meta = {key: cube.meta[key] for key in _OBSERVATION if key in cube.meta}
        left = residuals_of(problem, fitting.best_of(outcome))
        files, verdict = _export(problem, run, store, inputs, target, provenance=provenance,
                                 residuals=left, meta=meta, modes=search.modes)  # fmt: skip
    with folder.locked(inputs.root, _WAIT_S):
        folder.clear_results(inputs.root)
        found = {name: p for name, p in fitted.products_of(inputs.root, (inputs.item,)).items()
                 if p in files.values()}  # fmt: skip
        fitted.collect(inputs.root, found, state / folder.PLAN_FILE)
    facts |= _facts(problem, outcome, verdict)
    sentence = outcome.sentence
    if isinstance(outcome.verdict, Convergence) and outcome.verdict.strayed:
        sentence += f"; take smaller steps: --acceptance nearer to 1 than {fit.acceptance:g}"
    if outcome.passed and not verdict.passed:
        sentence = f"as stored, the gate is not passed: {'; '.join(verdict.reasons)}"
    paths = {key: inputs.root / layout.PRODUCTS_DIR / name for name, path in found.items()
             for key, source in files.items() if source == path}  # fmt: skip
    return Report(verdict.passed, _joined(sentence, rivals), facts, paths)


def _joined(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)


def _run(
    problem: Problem, fit: Fit, provenance: Provenance, inputs: Inputs, store: BlockStore, say: Say
) -> Run:
    """Give the run; its name follows from all that decides the draws, so that it is found again."""
    digests = {
        "data": sha256_of(dict(provenance.inputs)),
        "model": sha256_of({"scene": problem.scene.name, "prior": problem.scene.prior.describe()}),
        "config": provenance.config_sha256,
        "code": provenance.code_sha256,
        "tools": sha256_of(dict(provenance.tools)),
    }
    name = f"{inputs.item}-{problem.scene.name}-{sha256_of(digests)[:12]}"
    place = inputs.root / layout.STATE_DIR / _STARTS / f"{name}.json"
    search = _begun(store, name) or _kept(place)
    if search is None:
        search = _searched(problem, fit, say)
        place.parent.mkdir(parents=True, exist_ok=True)
        io.write_json(place, fitting.search_to_dict(search), overwrite=True)
    tools = dict(provenance.tools)
    return fitting.run_of(problem, fit, search, name, digests, provenance=tools)


def _begun(store: BlockStore, name: str) -> Search | None:
    # Maxima that are found on another machine differ in the last digit, and are another run's.
    try:
        return fitting.search_from_dict(store.run(name).config)
    except NotFoundError:
        return None


def _kept(place: Path) -> Search | None:
    # Of a search whose fit ended before the run was begun.
    return fitting.search_from_dict(io.read_json(place)) if place.is_file() else None


def _searched(problem: Problem, fit: Fit, say: Say) -> Search:
    def told(done: int, count: int, best: float) -> None:
        if done % 8 == 0 or done == count:
            say(f"search {done}/{count}, best ln density {best:.1f}")

    found = fitting.find_starts(problem, fit, told)
    if rivals := fitting.sentence_on(found.modes):
        say(rivals)
    return found


def _provenance(inputs: Inputs, chosen: Scene, fit: Fit, cut: Cut, simulated: bool) -> Provenance:
    config = {"model": chosen.name, "fit": fit.deciding(), "cut": asdict(cut)}
    return Provenance(
        fitted.STAGE,
        ard.__version__,
        code_sha256(CODE),
        sha256_of(config),
        fit.seed,
        simulated,
        inputs.digests,
        {**dict(tool_versions()), **{name: version(name) for name in _TOOLS}},
    )


def _export(
    problem: Problem,
    run: Run,
    store: BlockStore,
    inputs: Inputs,
    target: Target,
    *,
    provenance: Provenance,
    residuals: Residuals,
    meta: Mapping[str, Any],
    modes: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Path], Convergence]:
    """Write the products below work/; the summary is of the very file of chains."""
    place = inputs.root / layout.FITS_DIR
    place.mkdir(parents=True, exist_ok=True)
    names = layout.fit_files(inputs.item, problem.scene.name)
    files = {key: place / name for key, name in names.items()}
    digests = inputs.digests
    cube, noise = (path.relative_to(inputs.root).as_posix() for path in (inputs.cube, inputs.noise))
    content = problem.content(
        observed={"cube": {"file": cube, "sha256": digests[cube]}},
        constant={"noise": {"file": noise, "sha256": digests[noise]}},
        provenance=provenance,
    )
    export_netcdf(store, run.name, files["chains"], content, overwrite=True)
    export_table(files["chains"], files["table"], meta=meta, overwrite=True)
    measured = measure_file(files["chains"])
    verdict = Convergence(measured, measured.findings(chain_limits(target.item)))
    said = verdict.to_dict(problem.units())
    document = {
        "schema": "chain-summary",
        "item": inputs.item,
        "model": problem.scene.name,
        "simulated": provenance.simulated,
        **said,
        "modes": list(modes),
        "provenance": _of_chains(provenance, files["chains"], inputs.root).to_dict(),
    }
    io.write_json(files["summary"], document, overwrite=True)
    title = f"{inputs.item}: {problem.scene.name}"
    for name, drawn in (
        ("figure", figures.run(chains=files["chains"], summary=document, target=target)),
        ("residuals", left_figure.run(residuals=residuals, title=title, target=target,
                                      simulated=provenance.simulated)),
    ):  # fmt: skip
        atomic_write_bytes(files[name], drawn["figure"], overwrite=True)
        made = _of_chains(provenance, files["chains"], inputs.root)
        data = ard.Table(drawn["data"].data, drawn["data"].meta, made)
        io.write(files[f"{name}_data"], data, overwrite=True)
    return files, verdict


def _diagnostics(verdict: Convergence, problem: Problem) -> dict[str, dict[str, float]]:
    rows = verdict.to_dict(problem.units())["scalars"]
    return {
        row["name"]: {key: float("nan") if row[key] is None else row[key] for key in _KEPT}
        for row in rows
    }


def _of_chains(provenance: Provenance, chains: Path, root: Path) -> Provenance:
    more = {chains.relative_to(root).as_posix(): io.sha256_file(chains)}
    record = {**provenance.to_dict(), "inputs": {**provenance.inputs, **more}}
    return Provenance.from_dict(record)


def _facts(problem: Problem, outcome: Outcome, verdict: Convergence) -> dict[str, Any]:
    said = verdict.to_dict(problem.units())
    keys = ("mean", "sd", "p16", "p84", "unit")
    return {
        "verdict": said["verdict"],
        "n_chain": said["n_chain"],
        "n_draw": said["n_draw"],
        "rhat": max((row["rhat"] or float("inf") for row in said["scalars"]), default=None),
        "ess": min((row["ess_bulk"] or 0.0 for row in said["scalars"]), default=None),
        "chi2_red": round(problem.reduced_chi2(outcome), 3),
        "scalars": {row["name"]: {key: row[key] for key in keys} for row in said["scalars"]},
    }


class _Teller:
    """Tells of progress, not more often than one can read."""

    def __init__(self, say: Say) -> None:
        self._say, self._phase, self._told_s = say, "", -_SECONDS

    def __call__(self, progress: Progress) -> None:
        """Say a line, if the phase is another or some seconds are over."""
        same = progress.phase == self._phase
        if same and progress.elapsed_s < self._told_s + _SECONDS:
            return
        self._phase, self._told_s = progress.phase, progress.elapsed_s
        found, left = progress.mixing, progress.eta_s
        more = f", about {left:.0f} s left" if math.isfinite(left) else ""
        mixed = f", R-hat {found.rhat:.3f}, ESS {found.ess:.0f}" if math.isfinite(found.ess) else ""
        self._say(
            f"{progress.phase} {progress.n_draw}/{progress.n_planned} draws a chain{mixed}, "
            f"{progress.n_diverging} diverging, {progress.elapsed_s:.0f} s{more}"
        )
