"""How do chains of a bow become draws of the shock's velocity, among the products of a run?"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy import units
from astropy.table import Column
from astropy.table import Table as AstropyTable

import ard
from ard import io, layout
from ard.cube import FloatArray
from ard.errors import ExtraMissingError, NotFoundError
from ard.fileio import sha256_file
from ard.provenance import Provenance
from ard.table import Table
from checks.convergence import Convergence, chain_limits, measure_file
from manifests.shocks import SHOCKS_FILE, load_shocks
from manifests.target import load_target
from pipeline import fitted, folder
from pipeline.code import code_sha256, tool_versions
from pipeline.infer.prior import prior_from
from pipeline.shocks import geometry, report
from pipeline.values import sha256_of, unknown_name

_CODE: Final = (
    *("pipeline/shocks", "pipeline/infer/families.py", "pipeline/infer/prior.py"),
    "pipeline/commands/draw_geometry.py",
)
_LEVELS: Final = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class Made:
    """How did it end?

    Attributes
    ----------
    reasons : tuple of str
        Why the chains are refused; empty if they are not.
    sentence : str
    facts : mapping
    paths : mapping of str to path
    """

    reasons: tuple[str, ...]
    sentence: str
    facts: Mapping[str, Any]
    paths: Mapping[str, Path]


def draw(root: Path, item: str, count: int, seed: int) -> Made:
    """Draw the shock's velocity from chains that passed the gate, and put the table among products.

    Parameters
    ----------
    root : path
        The folder of a finished run with chains of the scene `bow`.
    item : str
    count : int
        Draws.
    seed : int

    Raises
    ------
    ArdError
        If there is no such run, item or file of chains, or it holds no bow.
    """
    plan, chains, verdict = _chains(root, item)
    if not verdict.passed:
        return Made(tuple(verdict.reasons), "", {}, {})
    draws, about = _read(chains)
    rng = np.random.default_rng(seed)
    found = geometry.draws_of(draws, prior_from(about["prior_spec"]), load_shocks(), count, rng)
    made = Provenance(
        stage=fitted.STAGE,
        code_version=ard.__version__,
        code_sha256=code_sha256(_CODE),
        config_sha256=sha256_of({"draws": count}),
        seed=seed,
        simulated=about["simulated"],
        inputs={
            chains.relative_to(root).as_posix(): sha256_file(chains),
            SHOCKS_FILE.name: sha256_file(SHOCKS_FILE),
        },
        tools=dict(tool_versions()),
    )
    table = dataclasses.replace(_table(found, item, simulated=about["simulated"]), provenance=made)
    path = chains.parent / f"{layout.product_stem(item, layout.SHOCK_GEOMETRY)}.ecsv"
    with folder.locked(root):
        io.write(path, table, overwrite=True)
        folder.clear_results(root)
        named = {n: p for n, p in fitted.products_of(root, (item,)).items() if p == path}
        fitted.collect(root, named, plan)
    ends = [round(float(v), 1) for v in np.quantile(found.v_shock_kms, _LEVELS)]
    told = report.geometry_information(table)
    counts = {"n_effective": found.n_effective, "share_possible": found.share_possible}
    facts = {"v_shock_kms": ends, "information_nat": told, **counts}
    sentence = (
        f"{ends[0]:.0f} to {ends[2]:.0f} km/s (95 %), {told:.2f} nat from the prior; "
        f"{found.share_possible:.0%} of the chains' draws can be such a bow"
    )
    return Made((), sentence, facts, {"geometry": path})


def _chains(root: Path, item: str) -> tuple[Path, Path, Convergence]:
    """Find the plan and the chains of a run, and hear the gate."""
    plan = _existing(root / layout.STATE_DIR / folder.PLAN_FILE, "plan", "rbh1 run")
    known = io.read_json(plan)
    if item not in known["items"]:
        raise unknown_name("item", item, known["items"])
    name = layout.fit_files(item, geometry.SCENE)["chains"]
    command = f"rbh1 fit RUN --item {item} --model {geometry.SCENE}"
    chains = _existing(root / layout.FITS_DIR / name, "file of chains", command)
    target = load_target(_existing(Path(known["inputs"]["target"]["path"]), "target", "rbh1 run"))
    measured = measure_file(chains)
    return plan, chains, Convergence(measured, measured.findings(chain_limits(target.item)))


def _existing(path: Path, words: str, command: str) -> Path:
    if not path.is_file():
        raise NotFoundError(
            f"the {words} of the run does not exist",
            file=path,
            expected="a finished run, with chains of the scene 'bow'",
            found="no such file",
            action=f"run {command}",
        )
    return path


def _read(path: Path) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Read the draws that a bow needs, and the prior that they had."""
    try:
        import h5netcdf
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("h5netcdf", "reading chains") from error
    with h5netcdf.File(path, "r") as file:
        held = file.groups["posterior"].variables
        draws = {n: np.ravel(held[n][...]).astype(float) for n in geometry.NEEDED if n in held}
        about = {
            "prior_spec": json.loads(file.attrs["prior_spec"]),
            "simulated": bool(file.attrs["simulated"]),
        }
    return draws, about


def _table(found: geometry.BowDraws, item: str, *, simulated: bool) -> Table:
    speed = units.km / units.s
    rows = (
        ("v_shock", found.v_shock_kms, speed, "Normal to the bow, weighted with its light."),
        ("v_shock_prior", found.prior_kms, speed, "The same, before the data."),
        ("v_star", found.v_star_kms, speed, "Speed of the body."),
        ("curvature", found.curvature_kpc, units.kpc, "Radius of curvature of the apex."),
        ("compression", found.compression, None, "Of the shock."),
        ("conserving", found.conserving, None, "Whether outward speed has 1 - 1 / compression."),
    )
    data = AstropyTable()
    for name, values, unit, text in rows:
        data[name] = Column(values, unit=unit, description=text)
    meta = {"item": item, "scene": geometry.SCENE, "apertures": list(geometry.APERTURES),
            "share_possible": round(found.share_possible, 4)}  # fmt: skip
    return Table(data, {"SIMULATD": simulated, **meta})
