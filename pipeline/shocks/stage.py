"""Which shocks make the lines of a run's apertures, and what is the verdict on the criteria?"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ard.table import Table
from manifests.acceptance import Acceptance
from manifests.shocks import ShockAssumptions

if TYPE_CHECKING:  # a plan knows the settings of all stages, and fits nothing: JAX can wait
    from pipeline.shocks.grid import ShockGrid
    from pipeline.shocks.report import Fit, Geometry


@dataclass(frozen=True)
class Config:
    """Settings of the inference of shocks.

    Attributes
    ----------
    grid : str
        The path of an imported grid, "3mdbs" or "3mdbs:Gutkin16:shock" (as of
        `pipeline.shocks.importers.select.open_grid`), or "toy", the closed form; by default that
        for a simulated observation, and none, so that nothing is inferred, for any other.
    log_n : float
        log10 of the density of the models that are taken, cm^-3.
    geometry : str
        The path of a table of draws of the geometry's velocity, as `rbh1 shocks geometry` makes it
        (column v_shock, km/s; column v_shock_prior, the same before the data, where it is known).
    """

    grid: str = ""
    log_n: float = 0.0
    geometry: str = ""


def run(
    *,
    fluxes: Mapping[str, Table],
    grid: Mapping[str, Any],
    geometry: Table | None,
    assumed: ShockAssumptions,
    acceptance: Acceptance,
    config: Config,
) -> dict[str, Any]:
    """Hold the line fluxes of every aperture against models of shocks, and judge.

    Parameters
    ----------
    fluxes : mapping of str to Table
        The line fluxes in the apertures of each item.
    grid : mapping
        The files of the grid, ``arrays`` and ``record``; empty for the closed form.
    geometry : Table or None
        Draws of the geometry's velocity; without it criterion C1 is not evaluated.
    assumed : ShockAssumptions
    acceptance : Acceptance
    config : Config

    Returns
    -------
    dict
        ``table`` and ``verdicts``, each a mapping of item to Table or document; ``grid``: the
        record of the models.

    Raises
    ------
    ArdError
        If the grid has none of the lines or no models of that density, or `geometry` has no
        velocities.
    """
    from pipeline.shocks import report
    from pipeline.shocks.gridfile import record
    from pipeline.shocks.measured import read_measured

    models = grid_of(grid)
    bow = None if geometry is None else report.Geometry.of(geometry)
    about = record(models, simulated=any(table.simulated for table in fluxes.values()))
    made: dict[str, dict[str, Any]] = {"table": {}, "verdicts": {}}
    for item, table in fluxes.items():
        found = report.fit(
            *(models, read_measured(table), assumed, acceptance),
            log_n=config.log_n,
            geometry=bow,
        )
        made["table"][item] = report.table_of(found)
        simulated = table.simulated or (bow is not None and bow.simulated)
        about_item = about | {"simulated": simulated, "log_n": config.log_n}
        made["verdicts"][item] = _document(item, found, about_item, assumed, bow)
    return {**made, "grid": about}


def grid_of(parts: Mapping[str, Any]) -> "ShockGrid":
    """Give the grid that the plan brought; the closed form where it brought no files."""
    from pipeline.shocks.gridfile import joined
    from pipeline.shocks.toy import toy_loglinear

    return joined(parts["arrays"], parts["record"]) if parts else toy_loglinear()


def _document(
    item: str,
    found: "Fit",
    about: Mapping[str, Any],
    assumed: ShockAssumptions,
    bow: "Geometry | None",
) -> dict[str, Any]:
    from pipeline.shocks.lattice import V
    from pipeline.shocks.nodes import B_PRIORS
    from pipeline.shocks.report import OWN, document_of

    first = found.summaries[B_PRIORS[0], OWN]
    speeds = found.lattice.axis(V).native
    said = document_of(found)
    kept = ("code", "version", "project", "component", "synthetic", "content_sha256")
    ends = [] if bow is None else [float(v) for v in np.quantile(bow.v_kms, (0.025, 0.5, 0.975))]
    return {
        "schema": "shock-verdicts",
        "item": item,
        "simulated": about["simulated"],
        "sentence": _sentence(found),
        "grid": {name: about[name] for name in kept}
        | {
            "log_n": about["log_n"],
            "v_low_kms": float(speeds[0]),
            "v_high_kms": float(speeds[-1]),
        },
        "geometry_kms": ends,
        "geometry_apertures": [] if bow is None else list(bow.apertures),
        "prior": B_PRIORS[0],
        "floor": OWN,
        "solar": first.solar,
        "half_solar": assumed.half_solar,
        "lines": said["lines"],
        "notes": said["notes"],
        "spectra": [
            {
                "spectrum": name,
                "sets": [
                    {"name": one.name, "metal_poor": poor, "probability": float(share)}
                    for one, poor, share in zip(
                        found.lattice.sets, first.metal_poor, first.sets[row], strict=True
                    )
                    if np.isfinite(share)
                ],
            }
            for row, name in enumerate(found.spectra)
        ],
        "verdicts": said["verdicts"],
    }


def _sentence(found: "Fit") -> str:
    counts: dict[str, Counter[str]] = {}
    for _, criterion, verdict in found.verdicts:
        counts.setdefault(criterion, Counter())[str(verdict.gate)] += 1
    parts = (
        f"{criterion}: {', '.join(f'{n} {gate}' for gate, n in sorted(gates.items()))}"
        for criterion, gates in sorted(counts.items())
    )
    return f"{len(found.spectra)} spectra. {'; '.join(parts)}."
