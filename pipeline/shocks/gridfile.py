"""How is a grid kept in a file, and when are two grids the same?

The arrays are FITS images in double precision, everything else is in a JSON file of the same name
beside it (the schema `shock-grid`). No value of a masked cell is kept: it is NaN.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

import schemas
from ard.errors import FormatError, IntegrityError
from ard.fileio import read_json, write_json
from ard.fitsio import native, open_hdus, write_hdus
from checks.shockgrid import LEFT, GridFacts
from pipeline.shocks.assemble import examine
from pipeline.shocks.grid import (
    Abundance,
    Component,
    Defect,
    FloatArray,
    GridLine,
    GridSource,
    ShockGrid,
)

KIND: Final = "shockgrid"
SCHEMA: Final = "shock-grid"
# The digest once covered names, axes and values alone; what was written then is refused as well.
_REPLACE: Final = (
    "import the grid again (rbh1 shocks grid import); one that an earlier version wrote has to be "
    "as well. If it is a run's copy of the database, remove both of its files"
)
_ARRAYS: Final = {
    "LOG_N": ("log_n", "log10 of density, cm-3"),
    "B": ("b", "B / sqrt(n), uG cm^1.5"),
    "V": ("v_kms", "velocity, km/s"),
    "LOGRATIO": ("log_ratio", "log10 of flux over H alpha; NaN = do not use"),
    "LOGHBETA": ("log_hbeta", "log10 of H beta flux, erg cm-2 s-1"),
}


def content_sha256(grid: ShockGrid) -> str:
    """Give the digest of what a grid predicts, not of where that came from.

    That are axes and values, and what fits and verdicts take from its document: compositions,
    lines with wavelength and members, component, rounding, solar convention, and whether it is
    synthetic. Axes are in canonical order, so that the order of rows in a table has no effect.
    """
    digest = hashlib.sha256(json.dumps(_about(grid), sort_keys=True, allow_nan=False).encode())
    for name, _ in _ARRAYS.values():
        values = np.array(getattr(grid, name), dtype="<f8")
        values[np.isnan(values)] = np.nan  # one NaN of the many
        values[values == 0.0] = 0.0  # and one zero of the two
        digest.update(repr(values.shape).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _about(grid: ShockGrid) -> dict[str, Any]:
    """Give what the document says of the content, as far as an answer depends on it."""
    source = grid.source
    return {
        "synthetic": source.synthetic,
        "component": str(source.component),
        "rounding": float(source.rounding),
        "solar": source.solar,
        "abundances": [
            {
                "name": a.name,
                **{key: _or_null(getattr(a, key)) for key in ("log_oh", "log_nh", "log_sh")},
            }
            for a in grid.abundances
        ],
        "lines": [
            {"name": line.name, "wave_vac_um": float(line.wave_um), "members": list(line.members)}
            for line in grid.lines
        ],
    }


def _or_null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def record(grid: ShockGrid, *, simulated: bool = False) -> dict[str, Any]:
    """Give the document that goes with a grid (schema `shock-grid`).

    The grid is examined anew: what is still wrong with it is among its defects, as left.

    Parameters
    ----------
    grid : ShockGrid
    simulated : bool
        True where it is about a simulated observation.
    """
    source = grid.source
    known = {(row.code, row.subject): row for row in source.known_defects}
    for one in examine(grid):
        row = Defect(str(one.code), one.subject, one.detail, LEFT, one.limit, one.value)
        known.setdefault((row.code, row.subject), row)
    rows = [{**asdict(row), "value": _or_null(row.value)} for row in known.values()]
    return {
        "schema": SCHEMA,
        "simulated": simulated,
        **_about(grid),
        "code": source.code,
        "version": source.version,
        "project": source.project,
        "source": source.source,
        "licence": source.licence,
        "sha256": source.sha256,
        "content_sha256": content_sha256(grid),
        "retrieved": source.retrieved,
        "n_models": int((~grid.mask.all(axis=-1)).sum()),
        "masked_fraction": float(grid.mask.mean()),
        "known_defects": rows,
    }


def sidecar(path: Path) -> Path:
    """Give the path of the document beside a grid."""
    return Path(path).with_suffix(".json")


def save_grid(path: Path, grid: ShockGrid, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write a grid and its document; equal grids give equal bytes.

    Parameters
    ----------
    path : Path
        Ends in ``.fits``.
    grid : ShockGrid
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    tuple of Path
        The FITS file and the document.

    Raises
    ------
    ArdError
        If the name does not end in .fits, or a file is there.
    """
    if Path(path).suffix != ".fits":
        raise FormatError(
            "a grid is kept as FITS", file=path, expected="a name ending in .fits", found=path
        )
    primary = fits.PrimaryHDU()
    primary.header["ARDKIND"] = (KIND, "product type of rbh1-ard")
    hdus = fits.HDUList([primary])
    for name, (attribute, comment) in _ARRAYS.items():
        hdu = fits.ImageHDU(np.array(getattr(grid, attribute)), name=name)
        hdu.header.comments["EXTNAME"] = comment
        hdus.append(hdu)
    write_hdus(path, hdus, overwrite=overwrite)
    write_json(sidecar(path), record(grid), overwrite=overwrite)
    return Path(path), sidecar(path)


def load_grid(path: Path) -> ShockGrid:
    """Read a grid with its document, and make sure that they belong together.

    Raises
    ------
    ArdError
        If a file is missing, damaged or of another kind; IntegrityError if the values are not
        those that the document is about.
    """
    document = _document(sidecar(path))
    return _matched(_arrays(path), document, path)


def read_part(path: Path) -> dict[str, Any]:
    """Read one of the two files of a grid, its document or its arrays, for `joined`.

    Raises
    ------
    ArdError
        As `load_grid`: the arrays are held against the document beside them, so that what is wrong
        is said of a file.
    """
    if path.suffix == ".json":
        return _document(path)
    document, arrays = _document(sidecar(path)), _arrays(path)
    _matched(arrays, document, path)
    return arrays


def joined(arrays: Mapping[str, FloatArray], document: Mapping[str, Any]) -> ShockGrid:
    """Make a grid of its arrays and its document, and make sure that they belong together.

    Parameters
    ----------
    arrays, document : mapping
        As `read_part` gives them.

    Raises
    ------
    ArdError
        If the document does not follow its schema; IntegrityError as `load_grid`.
    """
    _require_schema(document)
    return _matched(arrays, document)


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path)
    _require_schema(document, path)
    return document


def _require_schema(document: Mapping[str, Any], file: Path | None = None) -> None:
    problems = schemas.validate(dict(document), SCHEMA)
    if problems:
        raise FormatError(
            "the document of the grid does not follow its schema",
            file=file,
            expected=f"the schema {SCHEMA}",
            found="; ".join(str(problem) for problem in problems[:3]),
            action="import the grid again",
        )


def _matched(
    arrays: Mapping[str, FloatArray], document: Mapping[str, Any], file: Path | None = None
) -> ShockGrid:
    grid = _grid(document, arrays)
    if content_sha256(grid) != document["content_sha256"]:
        raise IntegrityError(
            "the grid is not the one that its document is about",
            file=file,
            expected=f"content {document['content_sha256']}",
            found=content_sha256(grid),
            action=_REPLACE,
        )
    return grid


def _arrays(path: Path) -> dict[str, FloatArray]:
    with open_hdus(path) as hdus:
        missing = [name for name in _ARRAYS if name not in hdus]
        if hdus[0].header.get("ARDKIND") != KIND or missing:
            raise FormatError(
                "the file is no grid of shock models",
                file=path,
                expected=f"ARDKIND = {KIND}, and {', '.join(_ARRAYS)}",
                found=f"without {', '.join(missing)}" if missing else "another kind",
                action="import the grid again",
            )
        return {name: native(hdus[hdu].data) for hdu, (name, _) in _ARRAYS.items()}


def _grid(document: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> ShockGrid:
    return ShockGrid(
        source=_source(document),
        abundances=tuple(
            Abundance(row["name"], *(_or_nan(row[key]) for key in ("log_oh", "log_nh", "log_sh")))
            for row in document["abundances"]
        ),
        lines=tuple(
            GridLine(row["name"], row["wave_vac_um"], tuple(row["members"]))
            for row in document["lines"]
        ),
        mask=np.isnan(arrays["log_ratio"]),
        **arrays,
    )


def _source(document: Mapping[str, Any]) -> GridSource:
    plain = ("code", "version", "project", "source", "licence", "sha256", "retrieved", "rounding")
    return GridSource(
        **{name: document[name] for name in (*plain, "solar", "synthetic")},
        component=Component(document["component"]),
        known_defects=tuple(
            Defect(**{**row, "value": _or_nan(row["value"])}) for row in document["known_defects"]
        ),
    )


def long_columns(facts: GridFacts) -> tuple[dict[str, Any], dict[str, str]]:
    """Give the long form of a table of models, a row for each model and line, and its units.

    Columns are those of the table model `shockmodels`.
    """
    n_model, n_line = facts.ratio.shape
    names = [line.name for line in facts.lines]
    per_model = {
        "abundance": facts.abundance,
        "density_cm3": facts.density_cm3,
        "field_ug": facts.field_ug,
        "velocity_kms": facts.velocity_kms,
    }
    columns: dict[str, Any] = {name: np.repeat(v, n_line) for name, v in per_model.items()}
    columns["line"] = np.tile(np.array(names), n_model)
    columns["ratio"] = facts.ratio.ravel()
    columns["log_hbeta"] = np.repeat(facts.log_hbeta, n_line)
    units = {"density_cm3": "cm-3", "field_ug": "uG", "velocity_kms": "km/s", "log_hbeta": "dex"}
    return columns, units
