"""What does every extension, layer, column and field of the bundle mean, and in which unit?"""

from collections.abc import Mapping
from typing import Any, Final

import schemas
from ard import layout
from release.model import FileRecord, Release
from release.render import render_template
from schemas import tables

# What the files about the whole bundle follow.
_OWN: Final = ("manifest", "check-report", "provenance", "deposit-record")
# Papers whose fields others have defined.
_OTHERS: Final = {
    layout.CITATION_FILE: "Citation File Format 1.2.0",
    layout.DATACITE_FILE: "DataCite Metadata Schema 4.5, JSON form",
    layout.CRATE_FILE: "RO-Crate 1.1 with Process Run Crate 0.5",
    layout.DATAPACKAGE_FILE: "Data Package 2, Table Schema",
    layout.LANDING_FILE: "HTML, with a Dataset of schema.org in it",
}


def render_dictionary(release: Release) -> str:
    """Write the data dictionary of a bundle, from the schemas and from the products themselves."""
    users: dict[str, list[FileRecord]] = {}
    for product in release.described:
        if product.schema is not None:
            users.setdefault(product.schema, []).append(product)
    known = {*schemas.names(), *tables.names()}
    sections = [
        {"name": name, "fields": schemas.fields(name), "files": [row.name for row in users[name]]}
        for name in sorted(users)
        if name in known
    ]
    own = [{"name": name, "fields": schemas.fields(name)} for name in _OWN]
    structures = [
        {"name": product.name, "rows": structure(product.description)}
        for product in release.described
    ]
    return render_template(
        "data-dictionary.md.j2",
        release=release,
        sections=sections,
        own=own,
        others=_OTHERS,
        structures=[row for row in structures if row["rows"]],
    )


def structure(description: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """List the parts of one product: name, what it is, type and shape, unit."""
    rows = []
    for column in description.get("columns", ()):
        rows.append((column["name"], "column", column["dtype"], column["unit"]))
    for layer in description.get("layers", ()):
        rows.append((layer["name"], "layer", "", layer["unit"]))
    for hdu in description.get("hdus", ()):
        shape = " x ".join(map(str, hdu["shape"]))
        dtype = f"{hdu['dtype']} {shape}".strip()
        rows.append((hdu["name"], f"HDU, {hdu['type']}", dtype, hdu["unit"] or ""))
    for member in description.get("members", ()):
        rows.append((member["name"], "member", f"{member['size']} bytes", ""))
    return rows
