"""How are spectra and fluxes of apertures written down?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import Cube, FloatArray
from ard.layout import flux_layer
from ard.table import Table
from manifests import Target
from manifests.aperture import BOX
from pipeline.reduce.apertures.fluxes import LIMIT_SIGMA, LineFlux
from pipeline.reduce.apertures.place import Placed, declared_area
from pipeline.reduce.apertures.spectrum import Spectrum

LAGS: Final = (1, 2, 3)
_FLUX: Final = u.Unit("erg s-1 cm-2")
_DENSITY: Final = u.Unit("erg s-1 cm-2 um-1")
_KMS: Final = u.km / u.s
_DIGITS: Final = 7  # of floating numbers: errors are known to two or three


@dataclass(frozen=True, eq=False)
class Extraction:
    """One aperture extracted in one way; no spectrum where it has none.

    Attributes
    ----------
    placed : Placed
    inside : float
        Part of the area of the aperture that saw the sky.
    on_grid : ndarray, shape (n_wave,)
        Part of the light of the aperture, by its profile, that lies on the grid.
    method : str
    spectrum : Spectrum or None
    continuum, model : ndarray, shape (n_wave,), or None
        As they should be in the spectrum.
    clipped : ndarray of bool, shape (n_wave,), or None
        Wild channels of the continuum, which were left out.
    rows : tuple of LineFlux
    light : str
        Its profile, in words.
    """

    placed: Placed
    inside: float
    on_grid: FloatArray
    method: str
    spectrum: Spectrum | None
    continuum: FloatArray | None
    model: FloatArray | None
    clipped: np.ndarray | None
    rows: tuple[LineFlux, ...]
    light: str


def spectra_table(cube: Cube, extractions: Sequence[Extraction], meta: Mapping[str, Any]) -> Table:
    """Write the spectra below one another; a channel without data has a true mask and NaN."""
    parts: dict[str, list[Any]] = {name: [] for name in _SPECTRUM_UNITS}
    for one in extractions:
        spectrum = one.spectrum
        if spectrum is None or one.continuum is None or one.model is None:
            continue
        n_wave = cube.wave.size
        bad = spectrum.mask | (np.zeros(n_wave, bool) if one.clipped is None else one.clipped)
        columns = {
            "aperture": np.full(n_wave, one.placed.aperture.name),
            "method": np.full(n_wave, one.method),
            "wave": cube.wave,
            "flux": spectrum.flux,
            "err": spectrum.err,
            "continuum": one.continuum,
            "model": one.model,
            "coverage": spectrum.coverage,
            **{f"corr{lag}": spectrum.correlation(lag) for lag in LAGS},
            "mask": bad,
        }
        for name, values in columns.items():
            parts[name].append(values)
    if not parts["wave"]:
        return Table(_empty(cube), meta)
    data = {name: np.concatenate(values) for name, values in parts.items()}
    return Table(_with_units(data, _SPECTRUM_UNITS), meta)


def _empty(cube: Cube) -> QTable:
    """Give the one row of a cube that none of the apertures lies in: no value, masked."""
    none = {name: np.array([np.nan]) for name in _SPECTRUM_UNITS}
    none |= {"aperture": np.array(["none"]), "method": np.array([BOX])}
    none |= {"wave": cube.wave[:1], "coverage": np.zeros(1), "mask": np.array([True])}
    return _with_units(none, _SPECTRUM_UNITS)


_SPECTRUM_UNITS: Final[dict[str, Any]] = {
    "aperture": None,
    "method": None,
    "wave": u.um,
    "flux": _DENSITY,
    "err": _DENSITY,
    "continuum": _DENSITY,
    "model": _DENSITY,
    "coverage": None,
    **{f"corr{lag}": None for lag in LAGS},
    "mask": None,
}


def fluxes_table(
    cube: Cube,
    target: Target,
    extractions: Sequence[Extraction],
    meta: Mapping[str, Any],
    truth: Mapping[str, FloatArray],
) -> Table:
    """Write one row for each aperture, method and line.

    Parameters
    ----------
    cube : Cube
    target : Target
    extractions : sequence of Extraction
    meta : mapping
    truth : mapping of str to ndarray, shape (ny * nx,)
        By flux layer: what a simulation put into each spaxel, erg s-1 cm-2.
    """
    rows = [
        _flux_row(target, one, row) | {"flux_true": _true_flux(cube, target, one, row, truth)}
        for one in extractions
        for row in one.rows
    ]
    data = {name: np.array([row[name] for row in rows]) for name in _FLUX_UNITS}
    facts = dict(meta) | {"LIMIT": f"max(flux, 0) + {LIMIT_SIGMA:g} flux_err, where not detected"}
    return Table(_with_units(data, _FLUX_UNITS), facts)


def _true_flux(
    cube: Cube, target: Target, one: Extraction, row: LineFlux, truth: Mapping[str, FloatArray]
) -> float:
    """Give the true flux; what lies on the grid stands, by the profile, for the whole aperture."""
    layer = truth.get(flux_layer(row.line.name))
    part = float(np.interp(row.line.wave_obs_um(target.redshift), cube.wave, one.on_grid))
    if layer is None or part <= 0:
        return float("nan")
    return float(layer[one.placed.spaxels] @ one.placed.share) / part


def _flux_row(target: Target, one: Extraction, row: LineFlux) -> dict[str, Any]:
    return {
        "aperture": one.placed.aperture.name,
        "method": one.method,
        "line": row.line.name,
        "group": row.line.group,
        "wave_obs": row.line.wave_obs_um(target.redshift),
        "state": str(row.state),
        "flux": row.flux,
        "flux_err": row.err,
        "snr": row.snr,
        "upper_limit": row.upper_limit,
        "velocity": row.velocity_kms,
        "velocity_err": row.velocity_err_kms,
        "sigma": row.sigma_kms,
        "sigma_err": row.sigma_err_kms,
        "sigma_limit": row.sigma_limit_kms,
        "kinematics": row.kinematics,
        "continuum": row.continuum,
        "chi2": row.chi2,
        "dof": row.dof,
        "coverage": row.coverage,
        "err_scale": row.err_scale,
        "misfit": row.misfit,
        "profile_err": row.profile_err,
        "suspect": row.suspect,
        "area": declared_area(one.placed.aperture),
        "inside": one.inside,
    }


_FLUX_UNITS: Final[dict[str, Any]] = {
    "aperture": None,
    "method": None,
    "line": None,
    "group": None,
    "wave_obs": u.um,
    "state": None,
    "flux": _FLUX,
    "flux_err": _FLUX,
    "snr": None,
    "upper_limit": _FLUX,
    "velocity": _KMS,
    "velocity_err": _KMS,
    "sigma": _KMS,
    "sigma_err": _KMS,
    "sigma_limit": _KMS,
    "kinematics": None,
    "continuum": _DENSITY,
    "chi2": None,
    "dof": None,
    "coverage": None,
    "err_scale": None,
    "misfit": None,
    "profile_err": None,
    "suspect": None,
    "area": u.arcsec**2,
    "inside": None,
    "flux_true": _FLUX,
}


def _with_units(data: Mapping[str, Any], units: Mapping[str, Any]) -> QTable:
    table = QTable()
    for name, unit in units.items():
        values = data[name]
        if values.dtype.kind == "f" and name not in ("wave", "wave_obs"):
            values = _rounded(values)
        table[name] = values if unit is None else values * unit
    return table


def _rounded(values: FloatArray) -> FloatArray:
    """Keep some digits: tables are text, and the rest is noise of noise."""
    return np.array([float(f"{value:.{_DIGITS - 1}e}") for value in values])
