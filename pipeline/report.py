"""What did this run do, is it sound, and what does it show? One page, readable anywhere.

The page is self-contained: pictures are inline, nothing is fetched, so it can be mailed and kept.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ard import io, layout
from ard.errors import ExtraMissingError
from pipeline.runner import RECORDS_DIR


@dataclass(frozen=True)
class Contents:
    """What a report is made from; everything is already computed.

    Attributes
    ----------
    run : mapping
        The run document.
    qualities : mapping of str to mapping
        The quality document of each item.
    recoveries : mapping of str to mapping
        The recovery document of each item; empty where the truth is not known.
    posteriors : mapping of str to mapping
        The document kinematics-recovery of each item; empty where the truth is not known.
    shocks : mapping of str to mapping
        The verdicts on shocks of each item; empty where no models were compared.
    noises : mapping of str to mapping
        The noise model of each item.
    wake : mapping
        The documents about the run as a whole, by product: geometry, subtraction; those there are.
    figures : mapping of str to bytes
        PNG bytes by file name.
    checks : mapping
        The check report of the bundle.
    tasks : sequence of mapping
        The record of each task: task, status, seconds.
    manifest : mapping or None
        The bundle's manifest; None where no bundle could be built.
    digest : str
        sha256 of the bundle's sha256sums.txt.
    problem : str
        Why there is no good bundle although the checks passed.
    """

    run: Mapping[str, Any]
    qualities: Mapping[str, Mapping[str, Any]]
    recoveries: Mapping[str, Mapping[str, Any]]
    posteriors: Mapping[str, Mapping[str, Any]]
    shocks: Mapping[str, Mapping[str, Any]]
    noises: Mapping[str, Mapping[str, Any]]
    wake: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, bytes]
    checks: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any] | None = None
    digest: str = ""
    problem: str = ""


def page(root: Path, problem: str = "") -> str:
    """Read what a run left in its folder, and render its report.

    Parameters
    ----------
    root : path
        The run folder: products/, checks.json, and bundle/ where the checks passed.
    problem : str
        Why there is no good bundle although the checks passed.
    """
    products = root / layout.PRODUCTS_DIR
    run = io.read_json(products / layout.RUN_FILE)
    validation = products / layout.LAYER_OF[layout.QUALITY]
    bundle = root / layout.BUNDLE_DIR
    checks = io.read_json(root / layout.CHECKS_FILE)
    # A bundle of an earlier run of this folder says nothing about products that failed.
    passed = checks["verdict"] == "PASSED" and not problem
    built = passed and (bundle / layout.MANIFEST_FILE).is_file()
    contents = Contents(
        run=run,
        qualities=_documents(validation, run["items"], layout.QUALITY),
        recoveries=_documents(validation, run["items"], layout.RECOVERY),
        posteriors=_documents(validation, run["items"], layout.KINEMATICS_RECOVERY),
        shocks=_documents(validation, run["items"], layout.SHOCK_VERDICTS),
        noises=_documents(validation, run["items"], layout.NOISE_MODEL),
        wake=_once(products, (layout.GEOMETRY, layout.SUBTRACTION)),
        figures={p.name: p.read_bytes() for p in validation.glob(f"{layout.FIGURES_DIR}/*.png")},
        checks=checks,
        tasks=_records(root),
        manifest=io.read_json(bundle / layout.MANIFEST_FILE) if built else None,
        digest=io.sha256_file(bundle / layout.SUMS_FILE) if built else "",
        problem=problem,
    )
    return render(contents)


def _documents(folder: Path, items: Sequence[str], product: str) -> dict[str, dict[str, Any]]:
    places = {item: folder / f"{layout.product_stem(item, product)}.json" for item in items}
    return {item: io.read_json(place) for item, place in places.items() if place.is_file()}


def _once(products: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    places = {name: products / layout.LAYER_OF[name] / f"{name}.json" for name in names}
    return {name: io.read_json(place) for name, place in places.items() if place.is_file()}


def _records(root: Path) -> list[dict[str, Any]]:
    folder = root / layout.STATE_DIR / RECORDS_DIR
    records = [io.read_json(path) for path in folder.glob("*.json")]
    return sorted(records, key=lambda record: str(record["start"]))


def render(contents: Contents) -> str:
    """Render the report as one HTML file.

    Parameters
    ----------
    contents : Contents
        What to show.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ExtraMissingError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ExtraMissingError.for_module("jinja2", "writing the report") from error
    environment = Environment(
        loader=PackageLoader("pipeline", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, size=_size, picture=_picture, seconds=_seconds)
    items = list(contents.run["items"])
    return environment.get_template("report.html.j2").render(
        c=contents,
        items=items,
        figures_of={item: _figures_of(item, contents.figures) for item in items},
        figures_of_run=_others(items, contents.figures),
        failed=[r for r in contents.checks["results"] if r["status"] != "PASSED"],
        layers=len(layout.LAYERS),
        bundle_name=layout.BUNDLE_DIR,
        total_bytes=sum(int(f["size"]) for f in (contents.manifest or {"files": []})["files"]),
    )


def _figures_of(item: str, figures: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Give an item's pictures: maps first, then spectrum and noise."""
    mine = [(name, data) for name, data in sorted(figures.items()) if name.startswith(f"{item}_")]
    return sorted(mine, key=lambda pair: "_maps" not in pair[0])


def _others(items: Sequence[str], figures: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the pictures that are about no single item, by name without the extension."""
    own = tuple(f"{item}_" for item in items)
    rest = {name: data for name, data in sorted(figures.items()) if not name.startswith(own)}
    return {name.removesuffix(".png"): data for name, data in rest.items()}


def _number(value: object, digits: int = 3) -> str:
    """Write a number as a person would; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool | str | int):
        return str(value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _size(value: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value} B"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _picture(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
