"""Is everything there, in its place and shape, and does it say where it comes from?"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import schemas
from ard import layout
from ard.errors import ArdError, ExtraMissingError
from ard.fileio import read_json
from checks.convergence.files import record_facts
from checks.folder import BUNDLE, RUN, UNKNOWN, Product, digest
from checks.load import document, table_columns
from checks.registry import Limits, any_file, check, in_layer, whole_folder
from checks.result import Outcome, failed, passed, skipped
from schemas import tables

# What every item of a run must have, and what it must have besides: where the truth is known, and
# where there are exposures.
PER_ITEM: Final = (
    *(layout.CUBE, layout.LINEMAP, layout.QUALITY),
    *(layout.NOISE, layout.NOISE_MODEL),
    *(layout.SPECTRA, layout.FLUXES),
)
COMBINE: Final = (layout.COMBINED, layout.RESAMPLING, layout.COMBINATION, layout.GHOSTMAP)
ITEM_OF_SOURCE: Final = {"twin": (layout.RECOVERY, *COMBINE), "archive": COMBINE}
# What every item must have besides, where the run says that it has the stage.
ITEM_OF_STAGE: Final = {
    "kinematics": (layout.KINEMATICS, layout.POSTERIORS),
    "shocks": (layout.SHOCKS, layout.SHOCK_VERDICTS),
}
ONCE_OF_STAGE: Final = {"shocks": (layout.SHOCK_GRID,)}
# What a run must have once, and what it must have besides, by where its cubes came from; what a
# run with images must have.
ONCE: Final = (layout.LINES,)
DIFFERENCE: Final = (layout.EXPOSURES, layout.GHOSTS, layout.STRENGTHS, layout.SUBTRACTION)
# What there is as soon as there are several items to put together.
TOGETHER: Final = (layout.MOSAIC, layout.DIFFERENCED, layout.DEGHOSTED, layout.SHARING)
IMAGING: Final = (layout.GEOMETRY, layout.PHOTOMETRY, layout.MAGNITUDES, layout.COLOURS)
ONCE_OF_SOURCE: Final = {
    "twin": (*DIFFERENCE, *IMAGING),
    "archive": (layout.ARCHIVE, *DIFFERENCE),
}
OWN_SCHEMAS: Final = {
    layout.RUN_FILE: "run",
    layout.MANIFEST_FILE: "manifest",
    layout.CHECKS_FILE: "check-report",
}
PAPERS: Final = (
    *(layout.README_FILE, layout.DATASHEET_FILE, layout.DICTIONARY_FILE),
    *(layout.CITATION_FILE, layout.CRATE_FILE, layout.CHECKS_FILE, layout.LANDING_FILE),
    *(layout.RECORD_FILE, layout.DATACITE_FILE, layout.DATAPACKAGE_FILE),
)
PASSED: Final = "PASSED"
OF_KIND: Final = {
    **{"cube": "cube", "map": "map", "noise": "noise"},
    **{"table": "table", "figure": "figure"},
}
WITH_RECORD: Final = ("cube", "map", "noise", "table", "document", "chains")


@check("structure.folder", whole_folder)
def folder(product: Product, _: Limits) -> Outcome:
    """Is this a run or a bundle, with a readable document and at least one product?"""
    here = product.folder
    if here.kind == UNKNOWN:
        return failed(here.problem, "give the folder of a run, or an unpacked bundle")
    if here.document is None:
        return failed(" ".join(here.problem.split()), "run again, or fetch the bundle again")
    if not here.products:
        return failed("no product was found", "run to the end first", measured=0, limit=">= 1")
    return passed(f"{here.kind} with {len(here.products)} products", len(here.products))


@check("structure.inventory", whole_folder)
def inventory(product: Product, _: Limits) -> Outcome:
    """Are all expected products there, and no others than the document lists?"""
    here = product.folder
    if here.document is None:
        return skipped("there is no run document or manifest", "see structure.folder")
    problems = [*_unlisted(product), *_missing(product), *_silent_layers(product)]
    if problems:
        remedy = "run to the end, or give the reason in absent_layers"
        return failed("; ".join(problems), remedy, measured=len(problems), limit="none")
    return passed(f"{len(here.products)} products as listed")


def _unlisted(product: Product) -> list[str]:
    here = product.folder
    rows = (here.document or {}).get("products")
    if here.kind != RUN or not isinstance(rows, list):
        return []
    listed = {str(row.get("path")) for row in rows if isinstance(row, dict)}
    present = {file.name for file in here.files} - {layout.RUN_FILE}
    return [f"{name} is listed and not there" for name in sorted(listed - present)] + [
        f"{name} is there and not listed" for name in sorted(present - listed)
    ]


def _missing(product: Product) -> list[str]:
    here, known = product.folder, product.folder.document or {}
    source = str(known.get("source"))
    per_item = PER_ITEM + ITEM_OF_SOURCE.get(source, ()) + _of_stages(product, ITEM_OF_STAGE)
    once = ONCE + ONCE_OF_SOURCE.get(source, ()) + _of_stages(product, ONCE_OF_STAGE)
    once += TOGETHER if source in ITEM_OF_SOURCE and len(here.items) > 1 else ()
    expected: list[tuple[str | None, str]]
    expected = [(item, name) for item in here.items for name in per_item]
    expected += [(None, name) for name in once]
    return [
        f"{layout.product_stem(item, name)} is missing from {layout.LAYER_OF[name]}"
        for item, name in expected
        if not any(p.layer == layout.LAYER_OF[name] for p in here.siblings(item, name))
    ]


def _of_stages(product: Product, made: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Name what the stages make that the run says it has, or that its products say they are of."""
    here = product.folder
    listed = (here.document or {}).get("stages")
    said = {str(name) for name in listed} if isinstance(listed, list) else set()
    said |= {str(row.get("stage")) for row in here.rows.values()}
    return tuple(name for stage in sorted(said) for name in made.get(stage, ()))


def _silent_layers(product: Product) -> list[str]:
    reasons = (product.folder.document or {}).get("absent_layers")
    explained = set(reasons) if isinstance(reasons, dict) else set()
    present = {file.layer for file in product.folder.products}
    silent = [layer for layer in layout.LAYERS if layer not in present | explained]
    both = [layer for layer in layout.LAYERS if layer in present & explained]
    return [f"layer {layer} is absent without a reason" for layer in silent] + [
        f"layer {layer} is called absent and is there" for layer in both
    ]


@check("structure.layout", in_layer, reads=False)
def place(product: Product, _: Limits) -> Outcome:
    """Does the product lie in its layer, under the name of a known product and item?"""
    parts = PurePosixPath(product.name).parts
    if product.of_figure:
        return passed("a figure, or the data behind one")
    if product.folder.kind == BUNDLE and layout.is_packed(product.product):
        return passed("an archive of products that are judged one by one")
    above = () if product.folder.kind == BUNDLE else (product.layer,)
    if product.layer not in layout.LAYERS or parts[:-1] != above:
        found, remedy = f"lies in {'/'.join(parts[:-1])}", "move it into its layer"
        return failed(found, remedy, limit="one of " + ", ".join(layout.LAYERS))
    home = layout.LAYER_OF.get(product.product)
    if home != product.layer:
        text = "is no known product" if home is None else f"belongs into {home}"
        remedy = "rename or move it; names of products stand in ard/layout.py"
        return failed(f"'{product.product}' {text}", remedy, limit=home or "a known product")
    if product.item is not None and product.item not in product.folder.items:
        items = ", ".join(product.folder.items) or "none"
        return failed(f"item '{product.item}' is not one of the run's", "rename it", limit=items)
    return passed(f"{product.layer}, item {product.item or 'none'}")


@check("structure.schema", any_file)
def follows_schema(product: Product, _: Limits) -> Outcome:
    """Does the product follow its schema, and a table the model of its columns?"""
    problems: list[str] = []
    names = _schemas_of(product)
    for name in names:
        problems += [str(problem) for problem in _problems(product, name)]
    if problems:
        detail = f"not as {' and '.join(names)} should be: {'; '.join(problems)}"
        remedy = "correct the stage that writes it, or the schema"
        return failed(detail, remedy, measured=len(problems), limit="none")
    return passed(f"follows {' and '.join(names)}" if names else "no schema for this kind")


def _schemas_of(product: Product) -> tuple[str, ...]:
    facts = product.facts or {}
    if product.layer is None:
        own = OWN_SCHEMAS.get(product.name)
        return () if own is None else (own,)
    found = [OF_KIND.get(product.kind), facts.get("schema")]
    if not product.of_figure and product.product in (*schemas.names(), *tables.names()):
        found.append(product.product)
    if product.product == layout.LINEMAP:
        found.remove(OF_KIND.get(product.kind))  # the line map's schema says all of it
    return tuple(dict.fromkeys(str(name) for name in found if name is not None))


def _problems(product: Product, name: str) -> tuple[schemas.Problem, ...]:
    if name in tables.names():
        if product.kind != "table":
            return (schemas.Problem(".", f"a {product.kind} is not a table"),)
        return tables.validate(*table_columns(product), name)
    if name not in schemas.names():
        return (schemas.Problem("schema", f"there is no schema '{name}'"),)
    content: dict[str, Any] = product.facts or {}
    return schemas.validate(document(product) if product.kind == "document" else content, name)


def _with_record(product: Product) -> bool:
    unreadable = product.facts is None
    return in_layer(product) and (unreadable or product.kind in WITH_RECORD)


@check("structure.provenance", _with_record)
def provenance(product: Product, _: Limits) -> Outcome:
    """Does the product say what made it, and are the inputs it names the ones that are there?"""
    found = record_facts(product)
    if isinstance(found, ArdError):
        return _unread(found)
    record = found.get("provenance")
    if not isinstance(record, dict) or not isinstance(record.get("inputs"), dict):
        return failed("there is no provenance record", "write it with ard.write", limit="a record")
    inputs: dict[str, Any] = record["inputs"]
    problems = [text for name, sha in inputs.items() if (text := _unresolved(product, name, sha))]
    if problems:
        remedy = "run again from the inputs that are there"
        return failed("; ".join(problems), remedy, measured=len(problems), limit="none")
    return passed(f"stage {record.get('stage')}, {len(inputs)} inputs")


def _unread(error: ArdError) -> Outcome:
    """Say why a record inside of a file was not read."""
    if isinstance(error, ExtraMissingError):
        return skipped(error.problem, error.action or "")
    return failed(f"{error.problem}: {error.found}", error.action or "export it again")


def _unresolved(product: Product, name: str, sha256: Any) -> str:
    """Say what is wrong with one input; empty where nothing is.

    Inputs are named relative to the run folder, or by file name alone where they came from
    elsewhere. Products are copies of what the stages wrote: an input with the name of a product
    has to be that product, for it is the product that is released.
    """
    here = product.folder
    same = [file for file in here.products if file.run_name == PurePosixPath(name).name]
    if same and all(sha256 not in file.digests for file in same):
        return f"{name} is not the file that was used"
    if here.kind == BUNDLE:
        return ""
    inside = here.root / name
    if not inside.resolve().is_relative_to(here.root.resolve()):
        return f"{name} lies outside of the run"
    if inside.is_file():
        return "" if digest(inside) == sha256 else f"{name} is not the file that was used"
    return f"{name} is gone" if "/" in name else ""


def _of_run(product: Product) -> bool:
    here = product.folder
    return in_layer(product) and here.kind == RUN and bool(here.row(product))


@check("structure.as_written", _of_run, reads=False)
def as_written(product: Product, _: Limits) -> Outcome:
    """Is the product still what the last stage put there?"""
    record = (product.folder.document or {}).get("provenance")
    inputs = record.get("inputs") if isinstance(record, dict) else None
    sums = inputs if isinstance(inputs, dict) else {}
    known = {sha for name, sha in sums.items() if PurePosixPath(name).name == product.path.name}
    if not known:
        return failed("the run document does not name it", "run again", limit="a sha256")
    found = digest(product.path)
    if found not in known:
        remedy = "run again; a product is never edited by hand"
        return failed("it has been changed since", remedy, measured=found, limit=" or ".join(known))
    return passed("as the run document says")


def _whole_bundle(product: Product) -> bool:
    return whole_folder(product) and product.folder.kind == BUNDLE


@check("structure.papers", _whole_bundle)
def papers(product: Product, _: Limits) -> Outcome:
    """Has the bundle all its papers, and was it judged good when it was built?"""
    root = product.folder.root
    missing = [name for name in PAPERS if not (root / name).is_file()]
    if missing:
        return failed(f"no {', no '.join(missing)}", "build the bundle again", limit="all papers")
    try:
        verdict = read_json(root / layout.CHECKS_FILE).get("verdict")
    except ArdError as error:
        return failed(error.problem, "build the bundle again", limit=PASSED)
    if verdict != PASSED:
        return failed(f"its own check report says {verdict}", "do not use it", limit=PASSED)
    return passed(f"{len(PAPERS)} papers, judged {verdict}", len(PAPERS))


def _listed(product: Product) -> bool:
    return in_layer(product) and bool(product.folder.row(product))


@check("structure.as_listed", _listed)
def as_listed(product: Product, _: Limits) -> Outcome:
    """Is the product of the kind, and from the source, that the document says?"""
    row, facts = product.folder.row(product), product.facts or {}
    wrong = [
        f"{name} is {facts[name]!r} and listed as {row[name]!r}"
        for name in ("kind", "media_type", "provenance")
        if name in row and name in facts and row[name] != facts[name]
    ]
    if wrong:
        return failed("; ".join(wrong), "make the folder again", limit="as described")
    return passed(f"a {product.kind}, as listed")


@check("structure.simulated", _with_record)
def simulated(product: Product, _: Limits) -> Outcome:
    """Does the product say the same as the whole about whether it is simulated?"""
    here = product.folder
    if here.document is None or not isinstance(here.document.get("simulated"), bool):
        return skipped("the document does not say if this is simulated", "see structure.schema")
    facts = record_facts(product)
    if isinstance(facts, ArdError):
        return _unread(facts)
    expected, found = here.document["simulated"], facts.get("simulated")
    if found is not expected:
        detail = f"simulated is {found} here and {expected} in the {here.kind}'s document"
        return failed(detail, "make the product again", measured=found, limit=str(expected))
    return passed(f"simulated: {found}", found)
