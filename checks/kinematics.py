"""Can the posteriors of spaxels be trusted: proper numbers, ordered quantiles, enough draws?"""

from typing import Final

import numpy as np

from ard import layout
from ard.maps import Flag
from checks.folder import Product
from checks.load import document, line_map, number
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed

KINEMATICS: Final = of_kind("map", layout.KINEMATICS)
POSTERIORS: Final = of_kind("document", layout.POSTERIORS)
ENDINGS: Final = ("_p025", "_p160", "_p500", "_p840", "_p975")
AGAIN: Final = "correct the stage that writes it"
TWO: Final = "two_log_bayes"


@check("kinematics.values", KINEMATICS, ("kinematics.bad_values",))
def values(product: Product, limits: Limits) -> Outcome:
    """Has every unmasked spaxel a number in every layer, and an error above zero?"""
    data = line_map(product)
    bad = 0
    tried = ~data.mask
    if TWO in data.layers:  # two components are tried where one is there without doubt
        tried = tried & np.isfinite(data[TWO])
    for name, layer in data.layers.items():
        inside = layer[tried if name.startswith("two_") else ~data.mask]
        good = np.isfinite(inside)
        bad += int((~(good & (inside > 0)) if name.endswith("_err") else ~good).sum())
    return compare(limits["kinematics.bad_values"], bad, f"{bad} values are none", AGAIN)


@check("kinematics.quantiles", KINEMATICS, ("kinematics.quantile_order",))
def quantiles(product: Product, limits: Limits) -> Outcome:
    """Are the quantiles of every quantity in order?"""
    data = line_map(product)
    stems = [n.removesuffix(ENDINGS[0]) for n in data.layers if n.endswith(ENDINGS[0])]
    whole = [s for s in stems if all(f"{s}{ending}" in data.layers for ending in ENDINGS)]
    if not whole or len(whole) < len(stems):
        return failed("quantiles are missing", AGAIN)
    bad = 0
    for stem in whole:
        rows = np.stack([data[f"{stem}{ending}"][~data.mask] for ending in ENDINGS])
        bad += int((~(np.diff(rows, axis=0) >= 0).all(axis=0)).sum())
    return compare(limits["kinematics.quantile_order"], bad, f"{bad} are out of order", AGAIN)


@check("kinematics.gate", KINEMATICS, ("kinematics.khat", "kinematics.ess"))
def gate(product: Product, limits: Limits) -> Outcome:
    """Have all spaxels enough effective draws and weights without a heavy tail, or a flag?"""
    data = line_map(product)
    absent = [name for name in ("khat", "ess", "flag") if name not in data.layers]
    if absent:
        return failed(f"no layer {', '.join(absent)}", AGAIN)
    khat, ess, flag = (data[name][~data.mask] for name in ("khat", "ess", "flag"))
    unflagged = np.nan_to_num(flag).astype(int) & Flag.BELOW_GATE == 0
    few = float(np.min(ess[unflagged], initial=np.inf))
    heavy = float(np.max(khat[unflagged], initial=-np.inf))
    detail = f"k-hat up to {heavy:.2f}, {few:.0f} effective draws or more without a flag"
    if not unflagged.all():
        detail += f"; {np.count_nonzero(~unflagged)} spaxels are flagged"
    remedy = "flag spaxels below the gate, or draw more"
    if not unflagged.any():
        return failed("no spaxel is above the gate", remedy)
    heavy_outcome = compare(limits["kinematics.khat"], heavy, detail, remedy)
    few_outcome = compare(limits["kinematics.ess"], few, detail, remedy)
    return heavy_outcome if limits["kinematics.ess"].accepts(few) else few_outcome


@check("kinematics.flagged", POSTERIORS, ("kinematics.below_gate",))
def flagged(product: Product, limits: Limits) -> Outcome:
    """Are nearly all spaxels of every group above the gate?"""
    groups = document(product).get("groups")
    rows = groups if isinstance(groups, list) else []
    inferred = sum(number(row, "inferred") for row in rows)
    below = sum(number(row, "below_gate") for row in rows)
    share = below / inferred if inferred > 0 else float("nan")
    detail = f"{below:g} of {inferred:g} posteriors are below the gate"
    return compare(limits["kinematics.below_gate"], share, detail, "draw more")


@check("kinematics.found", POSTERIORS, ("kinematics.with_line",))
def found(product: Product, limits: Limits) -> Outcome:
    """Was a line found anywhere?"""
    groups = document(product).get("groups")
    rows = groups if isinstance(groups, list) else []
    lines = sum(number(row, "with_line") for row in rows)
    detail = str(document(product).get("sentence", "nothing is said"))
    remedy = "look at the redshift, and at whether this is the target"
    return compare(limits["kinematics.with_line"], lines, detail, remedy)
