"""What does a bundle say about itself: which files, of which kind, with which bytes?

`manifest.json` is read by hand, as untrusted text: every field is checked, and a name in it
counts only if it is a flat, safe one, so that no entry can lead out of the folder.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ard import layout
from ard.errors import ArdError
from ard.fileio import parse_json
from ard.parts import Part
from ard.provenance import Provenance
from ard.sums import Finding, case_twins, is_md5, is_safe_name, is_sha256, quote

NAME: Final = "rbh1-ard"
SCHEMA: Final = "manifest"
KINDS: Final = (
    "cube",
    "map",
    "noise",
    "table",
    "image",
    "chains",
    "document",
    "figure",
    "archive",
    "text",
    "page",
)
_LISTS: Final = frozenset({layout.MANIFEST_FILE, layout.SUMS_FILE})


@dataclass(frozen=True)
class Entry:
    """Say what one file of a bundle is and which bytes it has.

    Attributes
    ----------
    name : str
        File name in the bundle.
    layer, product : str or None
        The layer and the name of the product in it; None for files about the whole bundle.
    kind : str
        One of `KINDS`.
    media_type : str
        Media type (MIME).
    schema : str or None
        The schema the content follows, where there is one.
    size : int
        Bytes.
    sha256, md5 : str
        Digests in hexadecimal.
    provenance : Provenance or None
        What made the product.
    source_sha256 : str or None
        Digest of the run's product that this file was made from: the provenance of other products
        names it so. None for files about the whole bundle and for archives.
    parts : tuple of Part
        The HDUs of a FITS file, the members of a zip; empty for anything else.
    """

    name: str
    layer: str | None
    product: str | None
    kind: str
    media_type: str
    schema: str | None
    size: int
    sha256: str
    md5: str
    provenance: Provenance | None = None
    source_sha256: str | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Hold what a bundle says about itself.

    Attributes
    ----------
    version, code_version : str
        Version of the data, and of the distribution that made them.
    simulated, toy_grid : bool
        True where the data are a simulation, or rest on the toy shock grid.
    target : mapping
        The target as the run declared it (name, coordinates, redshift).
    absent_layers : mapping of str to str
        Layers without a product, and why.
    entries : tuple of Entry
        Every file except the manifest and the list of sums, sorted by name.
    date : str or None
        Day of release, ISO 8601.
    doi, concept_doi, previous_doi : str or None
        Identifier of this version, of the dataset in all versions, and of the version before it;
        None where none is reserved, or there was none before.
    """

    version: str
    code_version: str
    simulated: bool
    toy_grid: bool
    target: Mapping[str, Any]
    absent_layers: Mapping[str, str]
    entries: tuple[Entry, ...]
    date: str | None = None
    doi: str | None = None
    concept_doi: str | None = None
    previous_doi: str | None = None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_name_or_null(value: object) -> bool:
    return value is None or _is_text(value)


_SHOWN: Final = re.compile(r"[ -~]{1,200}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_DOI: Final = re.compile(r"10\.\d{4,9}/[0-9A-Za-z._;()/:-]+")


def is_doi(value: object) -> bool:
    """Tell whether this is a DOI as such, without resolver or prefix ``doi:``."""
    return isinstance(value, str) and _DOI.fullmatch(value) is not None


def _is_doi_or_null(value: object) -> bool:
    return value is None or is_doi(value)


def _is_day_or_null(value: object) -> bool:
    return value is None or (isinstance(value, str) and _DAY.fullmatch(value) is not None)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_shown(value: object) -> bool:
    """Names are printed on terminals, which obey control characters."""
    return isinstance(value, str) and _SHOWN.fullmatch(value) is not None


def _is_shown_or_null(value: object) -> bool:
    return value is None or _is_shown(value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(text) for text in value.values())


def _is_list_map(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in value.values()
    )


_Rules = Mapping[str, tuple[Callable[[object], bool], str]]

_FIELDS: Final[_Rules] = {
    "schema": (lambda value: value == SCHEMA, repr(SCHEMA)),
    "name": (lambda value: value == NAME, repr(NAME)),
    "version": (_is_text, "a text"),
    "code_version": (_is_text, "a text"),
    "simulated": (lambda value: isinstance(value, bool), "true or false"),
    "toy_grid": (lambda value: isinstance(value, bool), "true or false"),
    "target": (_is_object, "an object"),
    "layers": (_is_list_map, "an object of lists of file names"),
    "absent_layers": (_is_text_map, "an object of texts"),
    "date": (_is_day_or_null, "a day YYYY-MM-DD or null"),
    "doi": (_is_doi_or_null, "a DOI or null"),
    "concept_doi": (_is_doi_or_null, "a DOI or null"),
    "previous_doi": (_is_doi_or_null, "a DOI or null"),
    "files": (lambda value: isinstance(value, list), "a list"),
}

_ENTRY_FIELDS: Final[_Rules] = {
    "name": (is_safe_name, "a safe file name"),
    "layer": (lambda value: value is None or value in layout.LAYERS, "a layer or null"),
    "product": (_is_shown_or_null, "a name in plain characters or null"),
    "kind": (lambda value: value in KINDS, "one of " + ", ".join(KINDS)),
    "media_type": (_is_text, "a text"),
    "schema": (_is_name_or_null, "a name or null"),
    "size": (_is_size, "a positive integer"),
    "sha256": (is_sha256, "64 lower-case hex digits"),
    "md5": (is_md5, "32 lower-case hex digits"),
    "provenance": (lambda value: value is None or _is_object(value), "an object or null"),
    "source_sha256": (lambda value: value is None or is_sha256(value), "a sha256 or null"),
    "parts": (lambda value: isinstance(value, list), "a list"),
}
_PART_FIELDS: Final[_Rules] = {
    "name": (_is_shown, "a name in plain characters"),
    "offset": (lambda value: value == 0 or _is_size(value), "a number of bytes"),
    "size": (lambda value: value == 0 or _is_size(value), "a number of bytes"),
    "sha256": (is_sha256, "64 lower-case hex digits"),
}


def parse_manifest_bytes(data: bytes) -> tuple[Manifest | None, list[Finding]]:
    """Read the text of a manifest, as `parse_manifest` reads its JSON form."""
    try:
        document = parse_json(data)
    except ValueError as error:
        found = quote(str(error))
        return None, [Finding(layout.MANIFEST_FILE, "cannot be read", "a JSON object", found)]
    if not isinstance(document, dict):
        found = quote(document)
        return None, [Finding(layout.MANIFEST_FILE, "cannot be read", "a JSON object", found)]
    return parse_manifest(document)


def parse_manifest(document: Mapping[str, Any]) -> tuple[Manifest | None, list[Finding]]:
    """Turn the JSON form of a manifest into a `Manifest`, with all that is wrong with it.

    Parameters
    ----------
    document : mapping
        The JSON object.

    Returns
    -------
    manifest : Manifest or None
        With those entries that are sound; None if the document itself is not.
    findings : list of Finding
    """
    findings = _field_findings(document, _FIELDS, "")
    if findings:
        return None, findings
    entries: dict[str, Entry] = {}
    for number, row in enumerate(document["files"]):
        entry, more = _parse_entry(row, f"files[{number}]")
        findings += more
        if entry is not None and entry.name in entries:
            findings.append(
                Finding(layout.MANIFEST_FILE, "a file is listed twice", found=entry.name)
            )
        elif entry is not None:
            entries[entry.name] = entry
    findings += case_twins(entries)
    manifest = Manifest(
        version=document["version"],
        code_version=document["code_version"],
        simulated=document["simulated"],
        toy_grid=document["toy_grid"],
        target=MappingProxyType(document["target"]),
        absent_layers=MappingProxyType(document["absent_layers"]),
        entries=tuple(entries[name] for name in sorted(entries)),
        date=document["date"],
        doi=document["doi"],
        concept_doi=document["concept_doi"],
        previous_doi=document["previous_doi"],
    )
    return manifest, findings + _layer_findings(manifest, document["layers"])


def _field_findings(document: Mapping[str, Any], rules: _Rules, where: str) -> list[Finding]:
    findings: list[Finding] = []
    for field, (is_good, expected) in rules.items():
        if field not in document:
            problem = f"{where}{field} is missing"
            findings.append(Finding(layout.MANIFEST_FILE, problem, expected))
        elif not is_good(document[field]):
            problem, found = f"{where}{field} is wrong", quote(document[field])
            findings.append(Finding(layout.MANIFEST_FILE, problem, expected, found))
    return findings


def _parse_entry(row: object, where: str) -> tuple[Entry | None, list[Finding]]:
    if not isinstance(row, dict):
        return None, [Finding(layout.MANIFEST_FILE, f"{where} is wrong", "an object", quote(row))]
    label = f"{where} {row['name']}: " if is_safe_name(row.get("name")) else f"{where}: "
    findings = _field_findings(row, _ENTRY_FIELDS, label)
    if findings:
        return None, findings
    if row["name"] in _LISTS:
        found = row["name"]
        return None, [Finding(layout.MANIFEST_FILE, "lists one of the two lists", found=found)]
    layer, product = row["layer"], row["product"]
    half = (layer is None) != (product is None)
    if half or (layer is not None and not layout.may_hold(row["name"], layer, product)):
        problem, found = f"{label}name and layer differ", quote(layer)
        expected = "neither layer nor product, or both as the name tells them"
        return None, [Finding(layout.MANIFEST_FILE, problem, expected, found)]
    try:
        record = row["provenance"]
        provenance = None if record is None else Provenance.from_dict(record)
    except (ArdError, AttributeError, TypeError) as error:
        problem, found = f"{label}provenance is wrong", quote(str(error))
        return None, [Finding(layout.MANIFEST_FILE, problem, found=found)]
    parts, findings = _parse_parts(row, label)
    if findings:
        return None, findings
    values = {field: row[field] for field in _ENTRY_FIELDS}
    return Entry(**values | {"provenance": provenance, "parts": parts}), []


def _parse_parts(row: Mapping[str, Any], label: str) -> tuple[tuple[Part, ...], list[Finding]]:
    """Read the parts of a file: named once each, and inside of it."""
    parts: dict[str, Part] = {}
    findings: list[Finding] = []
    for number, value in enumerate(row["parts"]):
        where = f"{label}parts[{number}] "
        if not isinstance(value, dict):
            found = quote(value)
            findings.append(Finding(layout.MANIFEST_FILE, f"{where}is wrong", "an object", found))
            continue
        wrong = _field_findings(value, _PART_FIELDS, where)
        findings += wrong
        if wrong:
            continue
        part = Part(**{field: value[field] for field in _PART_FIELDS})
        if part.name in parts:
            findings.append(
                Finding(layout.MANIFEST_FILE, f"{where}is named twice", found=part.name)
            )
        if part.offset + part.size > row["size"]:
            problem, limit = f"{where}lies outside of the file", f"{row['size']} bytes"
            found = f"{part.offset + part.size}"
            findings.append(Finding(layout.MANIFEST_FILE, problem, limit, found))
        parts[part.name] = part
    return tuple(parts.values()), findings


def _layer_findings(manifest: Manifest, layers: Mapping[str, list[str]]) -> list[Finding]:
    """Compare the table of layers with the entries: each layer has products or a reason."""
    name, findings = layout.MANIFEST_FILE, []
    for layer in sorted({*layers, *manifest.absent_layers} - set(layout.LAYERS)):
        findings.append(Finding(name, "unknown layer", ", ".join(layout.LAYERS), quote(layer)))
    for layer in layout.LAYERS:
        expected = sorted(entry.name for entry in manifest.entries if entry.layer == layer)
        if sorted(layers.get(layer, [])) != expected:
            problem = f"the products of layer {layer} differ from its files"
            findings.append(Finding(name, problem, str(expected), quote(layers.get(layer, []))))
        if bool(expected) == (layer in manifest.absent_layers):
            problem = f"layer {layer} has to have products or a reason for their absence"
            findings.append(Finding(name, problem, "one of the two"))
    return findings + _hidden_findings(manifest)


def _hidden_findings(manifest: Manifest) -> list[Finding]:
    """Find files of one layer and product: only one of them could be asked for by its name."""
    names: dict[tuple[str, str], list[str]] = {}
    for entry in manifest.entries:
        if entry.layer is not None and entry.product is not None:
            names.setdefault((entry.layer, entry.product), []).append(entry.name)
    return [
        Finding(same[1], f"has the layer and product of {same[0]}", "a product of its own")
        for same in names.values()
        if len(same) > 1
    ]
