"""How are products put in a few words?"""

from typing import Any

from release.counting import count
from release.model import FileRecord


def summary(product: FileRecord) -> str:
    """Say in a few words what a product holds."""
    facts: dict[str, Any] = dict(product.description)
    if product.kind == "cube":
        wave = facts["wave"]
        shape = " x ".join(map(str, facts["shape"]))
        return f"{shape} (wave, y, x), {facts['unit']}, {wave['min']:.4g} to {wave['max']:.4g} um"
    if product.kind == "map":
        shape = " x ".join(map(str, facts["shape"]))
        return f"{count(len(facts['layers']), 'layer')} of {shape} (y, x)"
    if product.kind == "noise":
        shape = " x ".join(map(str, facts["shape"]))
        return f"noise of {shape} (wave, y, x), {count(facts['used'], 'voxel')} used"
    if product.kind == "table":
        return f"{count(facts['rows'], 'row')}, {count(len(facts['columns']), 'column')}"
    if product.kind == "archive":
        return f"{count(len(facts['members']) - 1, 'file')} and a list of their sums"
    return f"schema {product.schema}" if product.schema else product.media_type
