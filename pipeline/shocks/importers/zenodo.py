"""What is in the MAPPINGS V models on Zenodo (record 14140949)?

Two tables for each component, joined by `key`: `<prefix>_fluxes.csv` over H beta, and
`<prefix>_propts.csv` with the parameters. Columns are found by words in their names; the ones that
are not understood are left out, and said. The field is taken to be B, not B / sqrt(n); the
examination refuses it where it is not.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ard.errors import FormatError
from ard.fileio import sha256_file
from checks.shockgrid import GridFacts, LineFacts
from manifests.nebular import NEBULAR_LINES, NebularLine, nearest_line, nebular_line
from pipeline.shocks.assemble import assemble
from pipeline.shocks.grid import (
    HBETA,
    Abundance,
    Component,
    Defect,
    FloatArray,
    GridSource,
    ShockGrid,
)
from pipeline.shocks.importers.cells import number, parameter, table_rows
from pipeline.shocks.lines import blend, line_named

RECORD: Final = "doi:10.5281/zenodo.14140949"
COMPONENTS: Final = {
    "shck": Component.SHOCK,
    "prec": Component.PRECURSOR,
    "shckprec": Component.SHOCK_PLUS_PRECURSOR,
}
_DUSTY: Final = "-dst"
# Words that name a parameter, in any case: the first column that has one of them.
_WORDS: Final = {
    "metallicity": ("metallicity", "zgas", "z_gas"),
    "velocity": ("velocity", "vshock", "shck_vel"),
    "density": ("density", "dens"),
    "field": ("magnetic", "mag_fld", "bfield"),
}
# An ion, and one wavelength or a sum; nothing more. A slash may be a sum, or a ratio: not read.
_LABEL: Final = re.compile(
    r"\[?([A-Z][a-z]?)\s?([IVX]+)\]?[\s_]*(?:lambda)?[\s_]*"
    r"(\d+(?:\.\d+)?(?:\s?[+,]\s?\d+(?:\.\d+)?)*)\s?A?"
)
_BALMER: Final = {"halpha": "HI_6563", "hbeta": "HI_4861", "hgamma": "HI_4340", "hdelta": "HI_4102"}
_SAME_LINE: Final = 5e-4  # relative; a wavelength in vacuum is 2.8e-4 longer than that in air
_BETWEEN: Final = 0.15  # of the distance of two lines: what is further inside may mean both


def line_of(label: str) -> str | None:
    """Give the name of the line, or of the sum of lines, that a column means.

    Parameters
    ----------
    label : str
        "[OIII]5007", "OIII_5007", "[SII]6716+6731", "[OII]3727,29", "Halpha"; wavelengths are in
        Angstrom.

    Returns
    -------
    str or None
        None where the label is not understood: [O II] 3727 is between two lines, and may be the
        fainter one, or both.
    """
    plain = re.sub(r"[\s_]", "", label).lower()
    if plain in _BALMER:
        return _BALMER[plain]
    found = _LABEL.fullmatch(label.strip())
    if found is None:
        return None
    ion, words = found[1] + found[2], [word.strip() for word in re.split("[+,]", found[3])]
    if len(words) == 1:
        return _alone(ion, float(words[0]) * 1e-4)
    # Of "3727,29" the second has the first digits of the first.
    waves = [float(words[0][: max(len(words[0]) - len(word), 0)] + word) * 1e-4 for word in words]
    members = {line for wave in waves if (line := _near(ion, wave)) is not None}
    if len(members) < len(waves):
        return None
    return blend([line.name for line in sorted(members, key=lambda one: one.label_um)]).name


def _near(ion: str, wave_um: float) -> NebularLine | None:
    line = nearest_line(ion, wave_um)
    return line if line and abs(line.label_um / wave_um - 1.0) < _SAME_LINE else None


def _alone(ion: str, wave_um: float) -> str | None:
    """Name the only line that one wavelength can mean."""
    named = nebular_line(f"{ion}_{wave_um * 1e4:.0f}")
    if named is not None:
        return named.name
    line = _near(ion, wave_um)
    if line is None:
        return None
    off = wave_um - line.label_um
    beyond = [
        abs(other.label_um - line.label_um)
        for other in NEBULAR_LINES
        if other.ion == ion and (other.label_um - line.label_um) * off > 0
    ]
    return line.name if abs(off) < _BETWEEN * min(beyond, default=np.inf) else None


def _table(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    rows = table_rows(path)
    if len(rows) < 2 or rows[0][0] != "key":
        raise FormatError(
            "the file is no table of the Zenodo models",
            file=path,
            expected="a first column 'key', and rows",
            found=rows[0][0] if rows and rows[0] else "nothing",
            action="give <prefix>_fluxes.csv, with <prefix>_propts.csv beside it",
        )
    keys = [row[0] for row in rows[1:]]
    if len(set(keys)) < len(keys):
        raise FormatError(
            "a key occurs twice",
            file=path,
            expected="one row for each model",
            found=f"{len(keys)} rows of {len(set(keys))} keys",
            action="fetch the table again",
        )
    return rows[0][1:], {row[0]: row[1:] for row in rows[1:]}


def _parameter(name: str, head: Sequence[str], path: Path) -> int:
    for k, label in enumerate(head):
        if any(word in label.lower() for word in _WORDS[name]):
            return k
    raise FormatError(
        f"the table of parameters has no {name}",
        file=path,
        expected=f"a column with one of: {', '.join(_WORDS[name])}",
        found=", ".join(head),
        action="rename the column that holds it",
    )


def _parameters_of(fluxes: Path) -> Path:
    return fluxes.with_name(fluxes.name.replace("_fluxes", "_propts"))


def read_pair(fluxes: Path) -> tuple[GridFacts, tuple[str, ...]]:
    """Read the two tables of one component.

    Parameters
    ----------
    fluxes : Path
        `<prefix>_fluxes.csv`; `<prefix>_propts.csv` lies beside it.

    Returns
    -------
    GridFacts and tuple of str
        The models, and the columns of fluxes that were not understood.

    Raises
    ------
    FormatError
        If a table or parameter is missing, a row is not whole, or the two have different models.
    """
    fluxes = Path(fluxes)
    propts = _parameters_of(fluxes)
    if not propts.is_file():
        raise FormatError(
            "the parameters of the models are not there",
            file=propts,
            expected=f"the table of parameters beside {fluxes.name}",
            found="no such file",
            action="fetch both from the same version of the record, and keep their names",
        )
    (flux_head, flux_rows), (head, rows) = _table(fluxes), _table(propts)
    if set(flux_rows) != set(rows):
        raise FormatError(
            "fluxes and parameters have different models",
            file=fluxes,
            expected=f"the {len(rows)} keys of {propts.name}",
            found=f"{len(set(flux_rows) ^ set(rows))} keys in one of them only",
            action="fetch both from the same version of the record",
        )
    keys = sorted(rows)
    place = {name: _parameter(name, head, propts) for name in _WORDS}
    column = {
        name: np.array([parameter(rows[key][k], propts) for key in keys])
        for name, k in place.items()
    }
    named = {k: line_of(label) for k, label in enumerate(flux_head)}
    unread = tuple(flux_head[k] for k, name in named.items() if name is None)
    known = {k: name for k, name in named.items() if name is not None}
    values: list[FloatArray] = [
        np.array([number(flux_rows[key][k], fluxes) for key in keys]) for k in known
    ]
    lines = [LineFacts(flux_head[k], name, line_named(name).members) for k, name in known.items()]
    if HBETA not in known.values():
        lines.append(LineFacts(HBETA, HBETA, (HBETA,)))
        values.append(np.ones(len(keys)))
    facts = GridFacts(
        abundance=np.array([f"Z={value:g}" for value in column["metallicity"]]),
        density_cm3=column["density"],
        field_ug=column["field"],
        velocity_kms=column["velocity"],
        log_hbeta=np.full(len(keys), np.nan),
        lines=tuple(lines),
        ratio=np.stack(values, axis=1),
    )
    return facts, unread


def import_pair(fluxes: Path, *, retrieved: str = "", licence: str = "not read") -> ShockGrid:
    """Make the grid of one component, named by the file's prefix ("shck", "prec", "shckprec").

    Models with dust ("shck-dst") are a project of their own. The solar convention of the
    metallicities is not in the tables.

    Raises
    ------
    FormatError
        Also if the prefix is not known: H II models are other grids.
    """
    prefix = Path(fluxes).name.partition("_fluxes")[0]
    plain = prefix.removesuffix(_DUSTY)
    if plain not in COMPONENTS:
        raise FormatError(
            "the file is of no component that is known",
            file=fluxes,
            expected=", ".join(f"{name}_fluxes.csv" for name in COMPONENTS)
            + f", with or without {_DUSTY} before the _",
            found=Path(fluxes).name,
            action="keep the names of the record",
        )
    facts, unread = read_pair(Path(fluxes))
    digests = "".join(sha256_file(file) for file in (fluxes, _parameters_of(Path(fluxes))))
    detail = f"{len(unread)} columns are of no line that is known: {', '.join(unread)}"
    left = (Defect("UNREAD_COLUMN", "fluxes", detail, "left out"),) if unread else ()
    source = GridSource(
        code="MAPPINGS V",
        version="5.2.1",
        project="zenodo-14140949" + ("" if plain == prefix else " dusty"),
        component=COMPONENTS[plain],
        source=RECORD,
        licence=licence,
        sha256=hashlib.sha256(digests.encode()).hexdigest(),
        retrieved=retrieved,
        rounding=0.0,
        known_defects=left,
    )
    return assemble(facts, source, naming=_metallicity)


def _metallicity(name: str) -> Abundance:
    """Give an abundance set that is known by its metallicity alone: O/H is not in the tables."""
    return Abundance(name, np.nan, np.nan, np.nan)
