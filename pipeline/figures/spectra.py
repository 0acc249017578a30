"""What does the spectrum look like where the object is brightest, and how noisy is the cube?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import Cube, FloatArray
from ard.table import Table
from manifests import Target
from pipeline.figures import style


@dataclass(frozen=True)
class Config:
    """Settings of the spectrum and noise figures.

    Attributes
    ----------
    aperture_arcsec : float
        Radius of the circle around the target over which the spectrum is averaged.
    """

    aperture_arcsec: float = 0.5


def run(*, cube: Cube, seen: Mapping[str, Any], target: Target, config: Config) -> dict[str, Any]:
    """Draw the spectrum at the target and the noise of one cube.

    Parameters
    ----------
    cube : Cube
        The ingested cube.
    seen : mapping
        The document of the ingest stage.
    target : Target
        Centre of the aperture, and the lines to mark.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``spectrum``, ``noise``: PNG bytes; ``spectrum_data``, ``noise_data``: Tables.
    """
    flux, err, count = _aperture(cube, target, config)
    typical = np.array([_median(cube.err[k][~cube.mask[k]]) for k in range(cube.wave.size)])
    scale = np.array([np.nan if v is None else v for v in seen["noise"]["scale"]], dtype=float)
    meta = {"SIMULATD": cube.simulated}
    unit = u.MJy / u.sr
    spectrum = QTable(
        {"wave": cube.wave * u.um, "flux": flux * unit, "err": err * unit, "n_spaxels": count}
    )
    noise = QTable({"wave": cube.wave * u.um, "err_median": typical * unit, "scale": scale})
    return {
        "spectrum": _draw_spectrum(cube, flux, err, target, config),
        "spectrum_data": Table(spectrum, meta),
        "noise": _draw_noise(cube, typical, scale, target),
        "noise_data": Table(noise, meta),
    }


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else np.nan


def _aperture(
    cube: Cube, target: Target, config: Config
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Average over a circle. The error is that of independent spaxels, which they are not."""
    place = target.anchor
    x0, y0 = (float(v) for v in cube.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0))
    _, ny, nx = cube.shape
    y, x = np.mgrid[:ny, :nx]
    inside = np.hypot(x - x0, y - y0) * style.pixel_arcsec(cube.wcs) <= config.aperture_arcsec
    used = ~cube.mask & inside
    count = used.sum(axis=(1, 2))
    total = np.where(used, cube.flux, 0.0).sum(axis=(1, 2))
    variance = np.where(used, cube.var, 0.0).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count, np.sqrt(variance) / count, count


def _draw_spectrum(
    cube: Cube, flux: FloatArray, err: FloatArray, target: Target, config: Config
) -> bytes:
    with style.style():
        figure = style.new(10.5, 2.8)
        axes = figure.subplots()
        axes.fill_between(cube.wave, flux - err, flux + err, step="mid", color=style.GREY, lw=0)
        axes.step(cube.wave, flux, where="mid", color=style.BLACK, lw=0.8)
        low, high = style.limits(flux, 0.5, 100.0)
        axes.set_ylim(low - 0.1 * (high - low), high + 0.6 * (high - low))
        axes.set_xlim(cube.wave[0], cube.wave[-1])
        for line in target.lines:
            wave = line.wave_obs_um(target.redshift)
            if cube.wave[0] <= wave <= cube.wave[-1]:
                axes.axvline(wave, color=style.VERMILION, lw=0.8, ls=":")
                axes.annotate(
                    line.label,
                    (wave, 0.98),
                    xycoords=("data", "axes fraction"),
                    rotation=90,
                    va="top",
                    ha="right",
                    fontsize=7,
                    color=style.VERMILION,
                )
        axes.set_xlabel("vacuum wavelength, observed [um]")
        axes.set_ylabel("mean flux [MJy/sr]")
        axes.set_title(
            f"{target.name}: mean within {config.aperture_arcsec:g} arcsec of the target; grey: "
            f"one sigma for independent spaxels{_note(cube)}"
        )
        return style.png(figure)


def _draw_noise(cube: Cube, typical: FloatArray, scale: FloatArray, target: Target) -> bytes:
    with style.style():
        figure = style.new(10.5, 2.8)
        left, right = figure.subplots(1, 2)
        left.step(cube.wave, typical, where="mid", color=style.BLACK, lw=0.8)
        left.set_ylim(bottom=0)
        left.set_ylabel("median ERR [MJy/sr]")
        right.step(cube.wave, scale, where="mid", color=style.BLUE, lw=0.8)
        right.axhline(1.0, color=style.GREY, lw=0.8, ls="--")
        right.set_ylim(bottom=0)
        right.set_ylabel("scatter about the continuum / ERR")
        for axes in (left, right):
            axes.set_xlim(cube.wave[0], cube.wave[-1])
            axes.set_xlabel("vacuum wavelength, observed [um]")
        figure.suptitle(f"{target.name}: noise of the cube{_note(cube)}", fontsize=9)
        return style.png(figure)


def _note(cube: Cube) -> str:
    return "  (SIMULATED)" if cube.simulated else ""
