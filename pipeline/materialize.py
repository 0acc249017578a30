"""Which products of a run belong to the dataset, and in which layer?

The stage copies every product that has a layer into products/<layer>/, byte for byte, and writes
run.json, which says what the run was about, which products there are, and why a layer is absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ard
from ard import layout
from manifests import Target
from pipeline import fitted

# Why a layer may have no product, in the words that the dataset's readers see.
ABSENT: Final = {
    "likelihood": "no cube was ingested",
    "inference": "no line was fitted",
    "representative": "no campaign has been exported yet, so there are no synthetic cubes",
    "validation": "no quality document was written",
}


@dataclass(frozen=True)
class Config:
    """Materialising has no settings."""


def run(
    *,
    products: Mapping[str, Path],
    rows: Sequence[Mapping[str, str]],
    target: Target,
    context: Mapping[str, Any],
    config: Config,
) -> dict[str, Any]:
    """Collect the products, and describe the run.

    Parameters
    ----------
    products : mapping of str to path
        Each file by its name below products/.
    rows : sequence of mapping
        For each product its path, kind, stage and schema.
    target : Target
        What the run was about.
    context : mapping
        Facts of the plan: source, items, simulated, toy grid, code and configuration digests.
    config : Config
        Nothing.

    Returns
    -------
    dict
        ``products``: the files to copy; ``run``: the run document.
    """
    filled = {name.partition("/")[0] for name in products}
    document = {
        "schema": "run",
        "target": target.to_dict(),
        "simulated": bool(context["simulated"]),
        "toy_grid": bool(context["toy_grid"]),
        "source": context["source"],
        "items": list(context["items"]),
        "code_version": ard.__version__,
        "code_sha256": context["code_sha256"],
        "config_sha256": context["config_sha256"],
        "products": [{"schema": None, **row} for row in rows],
        # What the plan was to make; fits and campaigns come and go.
        "stages": sorted({row["stage"] for row in rows} - fitted.STAGES),
        "absent_layers": {n: ABSENT[n] for n in layout.LAYERS if n not in filled},
    }
    return {"products": dict(products), "run": document}
