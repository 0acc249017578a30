"""Which small tables of shock models do several tests use? Closed forms: nothing is published."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from checks.shockgrid import GridFacts, LineFacts
from pipeline.shocks.grid import HBETA, ShockGrid

# d log10 (flux over H beta) / d ln v and / d ln(b + 0.3), and its value at 300 km/s and b = 0.7.
LAWS = {
    "OIII_5007": (0.3, 0.4, 0.1),
    "NII_6583": (-0.2, -0.1, 0.2),
    "SII_6716": (-0.3, -0.15, 0.0),
    "SIII_9069": (0.4, 0.05, -0.4),
    "OI_6300": (-0.1, -0.3, -0.2),
}
DOUBLETS = {
    "OIII_4959": ("OIII_5007", 1 / 2.984),
    "NII_6548": ("NII_6583", 1 / 2.942),
    "SII_6731": ("SII_6716", 1 / 1.3),
    "SIII_9531": ("SIII_9069", 2.469),
    "OI_6364": ("OI_6300", 1 / 3.1),
}
SUMS = {"SII_6716+6731": ("SII_6716", "SII_6731")}
DENSITIES = (0.01, 1.0)
FIELDS = (0.5, 1.0, 5.0, 10.0)  # b
VELOCITIES = (200.0, 300.0, 400.0, 500.0)
ABUNDANCES = ("Allen2008_LMC", "Allen2008_Solar")


def law(name: str, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    slope_v, slope_b, zero = LAWS[name]
    return 10.0 ** (zero + slope_v * np.log(v / 300.0) + slope_b * np.log(b + 0.3))


def good_facts() -> GridFacts:
    """A complete table without a defect: 2 abundances, 2 densities, 4 fields, 4 velocities."""
    z, n, b, v = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(2), np.array(DENSITIES), np.array(FIELDS), np.array(VELOCITIES), indexing="ij"
        )
    )
    columns = {name: law(name, b, v) * 10.0 ** (0.3 * z) for name in LAWS}
    columns |= {name: columns[of] * share for name, (of, share) in DOUBLETS.items()}
    columns |= {name: columns[i] + columns[j] for name, (i, j) in SUMS.items()}
    columns |= {"HI_4861": np.ones(z.size), "HI_6563": 2.9 + 0.1 * (v / 500.0)}
    lines = tuple(
        LineFacts(name, name, SUMS.get(name, (name,)), "HI" if name.startswith("HI") else "")
        for name in columns
    )
    return GridFacts(
        abundance=np.array(ABUNDANCES)[z],
        density_cm3=n,
        field_ug=b * np.sqrt(n),
        velocity_kms=v,
        log_hbeta=-5.2 + 2.3 * np.log10(v / 100.0) + np.log10(n),
        lines=lines,
        ratio=np.stack([columns[line.name] for line in lines], axis=1),
    )


def rows_taken(facts: GridFacts, rows: np.ndarray) -> GridFacts:
    """The table with these rows, in this order."""
    names = ("abundance", "density_cm3", "field_ug", "velocity_kms", "log_hbeta", "ratio")
    return dataclasses.replace(facts, **{name: getattr(facts, name)[rows] for name in names})


def with_line(facts: GridFacts, name: str, change: Callable[[np.ndarray], np.ndarray]) -> GridFacts:
    """The table with the fluxes of one line changed."""
    ratio = facts.ratio.copy()
    k = [line.name for line in facts.lines].index(name)
    ratio[:, k] = change(ratio[:, k])
    return dataclasses.replace(facts, ratio=ratio)


def over_hbeta(grid: ShockGrid, name: str) -> np.ndarray:
    """Fluxes of a line over H beta in a grid."""
    k, hbeta = grid.line_index([name, HBETA])
    return 10.0 ** (grid.log_ratio[..., k] - grid.log_ratio[..., hbeta])


WEB_LABELS = {
    "OIII_5007": "[O III] λ5007",
    "NII_6583": "[N II] λ6583",
    "SII_6716+6731": "[S II] λλ6716+6731",
    "HI_4861": "Hβ λ4861",
    "HI_6563": "Hα λ6563",
}
FLUX = "log Hβ ergs/cm2/s"


def write_long(path: Path, facts: GridFacts) -> Path:
    """The long CSV of the database's web form."""
    names = [line.name for line in facts.lines]
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(
            [*("abundance", "preshck_dens", "mag_fld", "shck_vel"), *WEB_LABELS.values(), FLUX]
        )
        for k in range(len(facts.abundance)):
            values = [f"{facts.ratio[k, names.index(name)]:.5f}" for name in WEB_LABELS]
            out.writerow(
                [
                    facts.abundance[k],
                    *(f"{x[k]:g}" for x in (facts.density_cm3, facts.field_ug, facts.velocity_kms)),
                    *values,
                    f"{facts.log_hbeta[k]:.4f}",
                ]
            )
    return path


def write_wide(path: Path, facts: GridFacts) -> Path:
    """The wide CSV of the web form; all rows of the table are one setting."""
    names = [line.name for line in facts.lines]
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["", *(f"{v:g}" for v in facts.velocity_kms)])
        for name, label in WEB_LABELS.items():
            out.writerow([label, *(f"{x:.5f}" for x in facts.ratio[:, names.index(name)])])
        out.writerow([FLUX, *(f"{x:.4f}" for x in facts.log_hbeta)])
    return path


def write_library(path: Path, facts: GridFacts, what: str = "M_n1_b0.5 SHOCK") -> Path:
    """A file of the MAPPINGS III library; all rows of the table are one setting."""
    velocity = " ".join(f"{v:g}." for v in facts.velocity_kms)
    text = ["# Mappings IIIq Shock Model Library", f"# Model Name: {what}", "#"]
    text.append(f"#    ID Atom Species Wavelength {velocity}")
    for k, line in enumerate(facts.lines):
        if "+" in line.name:
            continue
        ion, _, wave = line.name.partition("_")
        atom = "".join(c for c in ion if c not in "IVX")
        atom, species = (atom, ion[len(atom) :]) if atom else ("I", ion[1:])
        values = " ".join(f"{x:.5f}" for x in facts.ratio[:, k])
        text.append(f"{k:8d} {atom} {species} {float(wave):.7f} {values}")
    text.append("log(Hb) - - - " + " ".join(f"{x:.5f}" for x in facts.log_hbeta))
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def write_zenodo(folder: Path, facts: GridFacts, prefix: str = "shck") -> Path:
    """The two tables of one component; rows of parameters in another order than fluxes."""
    names = [line.name for line in facts.lines if "+" not in line.name]
    places = [k for k, line in enumerate(facts.lines) if "+" not in line.name]
    labels = ["[" + name.replace("_", "]") if name[:2] != "HI" else name for name in names]
    fluxes, propts = folder / f"{prefix}_fluxes.csv", folder / f"{prefix}_propts.csv"
    number = len(facts.abundance)
    with fluxes.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["key", *labels, "total"])
        for k in range(number):
            out.writerow([f"m{k}", *(f"{x:.6f}" for x in facts.ratio[k, places]), "1.0"])
    metallicity = np.where(facts.abundance == ABUNDANCES[0], 0.008, 0.02)
    with propts.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["key", "metallicity", "velocity", "density", "magnetic field"])
        for k in reversed(range(number)):
            columns = (metallicity, facts.velocity_kms, facts.density_cm3, facts.field_ug)
            out.writerow([f"m{k}", *(f"{column[k]:g}" for column in columns)])
    return fluxes
