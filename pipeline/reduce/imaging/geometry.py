"""Which way does the wake run, how long and wide is it, where does it end, and what of it does
the IFU see?

Everything is measured on the sky: great circles from the centre of the host, never rows and
columns. What several filters say is averaged, with an error that grows where they disagree.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ard.cube import Cube, FloatArray
from manifests import Position, Target
from manifests.filters import Filters
from pipeline.reduce.imaging import footprint, noise, register, view
from pipeline.reduce.imaging.bands import (
    Band,
    Config,
    averaged,
    host_choice,
    host_of,
    measure_bands,
)
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.sphere import Axis, separation_arcsec
from pipeline.reduce.imaging.view import View

__all__ = ["Config", "kpc_per_arcsec", "run"]

_APERTURE_PIXELS: Final = 8  # side of the blank squares on which the noise is tried
_PASSES: Final = 2  # the declared axis, then the measured one


def run(
    *,
    images: Mapping[str, Sequence[Image]],
    cubes: Mapping[str, Cube],
    target: Target,
    filters: Filters,
    config: Config,
) -> dict[str, Any]:
    """Measure the geometry of the wake on images, and the fields of the cubes.

    Parameters
    ----------
    images : mapping of str to sequence of Image
        The chips of each file.
    cubes : mapping of str to Cube
        The ingested cube of each item.
    target : Target
        Host and tip are where it begins to look.
    filters : Filters
        The declared filters.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``geometry``: the geometry document.

    Raises
    ------
    FormatError
        If an image does not cover the target, or no filter shows a ridge with an end.
    ArdError
        If the target has no tip.
    """
    declared, length = view.declared_axis(target)
    chosen = view.covering(images, declared, length)
    views = tuple(view.look(image, declared, length, config, filters) for image in chosen)
    host, host_cov = host_of(views)
    axis = Axis(host.ra_deg, host.dec_deg, declared.pa_deg)
    for _ in range(_PASSES):
        bands = measure_bands(views, axis, length, host_cov, config)
        pa, pa_err, pa_chi2 = averaged([(b.pa_deg - axis.pa_deg, b.pa_err) for b in bands])
        axis = axis.turned(pa)
        length = float(np.mean([b.end.edge_arcsec for b in bands]))
    choice = host_choice(views, axis, config)
    document = {
        "schema": "geometry",
        "simulated": any(v.image.simulated for v in views)
        or any(cube.simulated for cube in cubes.values()),
        "target": target.name,
        "host": _host_document(host, host_cov, choice, target),
        "wake": _wake(bands, axis, (pa_err, pa_chi2), choice, target),
        "bands": [_band_document(band) for band in bands],
        "images": [_image_document(v, config) for v in views],
        "fields": [_field(item, cubes[item], axis, length) for item in sorted(cubes)],
        "registration": _registrations(cubes, views, target, config),
    }
    return {"geometry": document}


def kpc_per_arcsec(target: Target) -> float:
    """Give the transverse scale at the target in its declared cosmology."""
    from astropy.cosmology import FlatLambdaCDM  # not for a plan, which wants the settings only

    cosmology = FlatLambdaCDM(H0=target.cosmology.h0, Om0=target.cosmology.om0)
    distance = cosmology.angular_diameter_distance(target.redshift).to_value("kpc")
    return float(distance * np.deg2rad(1 / 3600.0))


def _wake(
    bands: Sequence[Band],
    axis: Axis,
    pa: tuple[float, float | None],
    choice: tuple[float, float],
    target: Target,
) -> dict[str, Any]:
    scale = kpc_per_arcsec(target)
    length, length_err, length_chi2 = averaged([(b.length_arcsec, b.length_err) for b in bands])
    peak, peak_err, _ = averaged([(b.end.peak_arcsec, b.end.peak_err) for b in bands])
    line, line_err, line_chi2 = averaged([_ridge_pa(b, axis) for b in bands])
    ra, dec = axis.place(peak)
    # The host's centre moves within a box of these half sides: seen across and along the axis.
    sine, cosine = abs(np.sin(np.deg2rad(axis.pa_deg))), abs(np.cos(np.deg2rad(axis.pa_deg)))
    pa_choice = float(np.rad2deg((choice[0] * cosine + choice[1] * sine) / peak))
    length_choice = float(choice[0] * sine + choice[1] * cosine)
    return {
        "pa_deg": axis.pa_deg,
        "pa_err": pa[0],
        "pa_choice_deg": pa_choice,
        "pa_combined_err": float(np.hypot(pa[0], pa_choice)),
        "pa_chi2_dof": pa[1],
        "ridge_pa_deg": axis.pa_deg + line,
        "ridge_pa_err": line_err,
        "ridge_pa_chi2_dof": line_chi2,
        "length_arcsec": length,
        "length_err": length_err,
        "length_choice_arcsec": length_choice,
        "length_combined_err": float(np.hypot(length_err, length_choice)),
        "length_chi2_dof": length_chi2,
        "length_kpc": length * scale,
        "length_kpc_err": length_err * scale,
        "kpc_per_arcsec": scale,
        "peak_arcsec": peak,
        "peak_err": peak_err,
        "tip": {"ra_deg": ra, "dec_deg": dec},
    }


def _ridge_pa(band: Band, axis: Axis) -> tuple[float, float]:
    """Give the direction of the ridge itself against the axis, deg, with its error.

    `turned` kept the slope small, so that the angle is its arc tangent on the sky at hand.
    """
    factor = max(band.line.chi2_dof, 1.0)
    err = float(np.sqrt(band.line.covariance[1, 1] * factor))
    return float(np.rad2deg(np.arctan(band.line.slope))), float(np.rad2deg(err))


def _host_document(
    host: Position, covariance: FloatArray, choice: tuple[float, float], target: Target
) -> dict[str, Any]:
    place = (host.ra_deg, host.dec_deg)
    err = np.sqrt(np.diag(covariance))
    combined = np.hypot(err, choice)
    return {
        "ra_deg": host.ra_deg,
        "dec_deg": host.dec_deg,
        "east_err_arcsec": float(err[0]),
        "north_err_arcsec": float(err[1]),
        "east_choice_arcsec": choice[0],
        "north_choice_arcsec": choice[1],
        "east_combined_err_arcsec": float(combined[0]),
        "north_combined_err_arcsec": float(combined[1]),
        "from_declared_arcsec": separation_arcsec((target.host.ra_deg, target.host.dec_deg), place),
    }


def _band_document(band: Band) -> dict[str, Any]:
    declared = band.views[0].declared
    return {
        "band": band.name,
        "images": len(band.views),
        "psf_fwhm_arcsec": declared.psf_fwhm_arcsec,
        "psf_evidence": declared.evidence,
        "pa_deg": band.pa_deg % 360.0,
        "pa_err": band.pa_err,
        "length_arcsec": band.length_arcsec,
        "length_err": band.length_err,
        "tip": {
            "ra_deg": band.tip_place[0],
            "dec_deg": band.tip_place[1],
            **{key: getattr(band.end, key) for key in ("peak_arcsec", "peak_err")},
            **{key: getattr(band.end, key) for key in ("edge_arcsec", "edge_err")},
            **{key: getattr(band.end, key) for key in ("drop", "drop_is_limit", "snr")},
        },
        "ridge": {
            "offset_at_host_arcsec": band.line.offset_arcsec,
            "offset_at_host_err": float(np.sqrt(band.line.covariance[0, 0])),
            "sigma_arcsec": band.line.sigma_arcsec,
            "chi2_dof": band.line.chi2_dof,
            "intervals": band.line.intervals,
        },
        "sections": list(band.sections),
    }


def _image_document(found: View, config: Config) -> dict[str, Any]:
    image, measured = found.image, found.seen.noise
    ratio = noise.aperture_ratio(
        image, measured, _APERTURE_PIXELS, config.background_arcsec / found.pixel_arcsec
    )
    declared = measured.declared_ratio
    return {
        "file": image.file,
        "band": image.band,
        "zero_point_ab": image.zero_point_ab,
        "pivot_angstrom": image.pivot_angstrom if np.isfinite(image.pivot_angstrom) else None,
        "exptime_s": image.exptime_s,
        "exposures": image.exposures,
        "weight_kind": image.weight_kind,
        "pixel_arcsec": found.pixel_arcsec,
        "sky": measured.sky,
        "sigma": measured.typical,
        "inflation": measured.inflation,
        "aperture_ratio": ratio if np.isfinite(ratio) else None,
        "declared_ratio": declared if np.isfinite(declared) else None,
        "neighbours_masked": found.neighbours,
        "masked_fraction": float(image.mask.mean()),
    }


def _field(item: str, cube: Cube, axis: Axis, length: float) -> dict[str, Any]:
    corners = footprint.outline(cube, item)
    return {
        "item": item,
        "corners_deg": [[float(v) for v in corner] for corner in corners],
        **footprint.seen_part(corners, axis, length),
    }


def _registrations(
    cubes: Mapping[str, Cube], views: Sequence[View], target: Target, config: Config
) -> list[dict[str, Any]]:
    """Register every cube to the image whose passband lies nearest, the reddest."""
    last = views[list(view.by_band(views).values())[-1][0]]
    return [
        _registration({"item": item, "light": light, "image": last.image.file}, plane, last, config)
        for item in sorted(cubes)
        for light, plane in _planes(cubes[item], target, config).items()
    ]


def _planes(cube: Cube, target: Target, config: Config) -> dict[str, register.Plane]:
    """Give the images of a cube: its white light, and the line that is declared for it."""
    planes = {"white": register.white_light(cube, target, config.line_kms)}
    wave = next(
        (
            line.wave_obs_um(target.redshift)
            for line in target.lines
            if line.name == config.shift_line
        ),
        None,
    )
    reach = 1.0 + 3.0 * config.shift_line_kms / register.C_KMS
    if wave is not None and cube.wave[0] * reach < wave < cube.wave[-1] / reach:
        planes[config.shift_line] = register.line_light(cube, wave, config.shift_line_kms)
    return planes


def _registration(
    base: dict[str, Any], plane: register.Plane, onto: View, config: Config
) -> dict[str, Any]:
    psf = onto.declared.psf_fwhm_arcsec
    found = None
    if np.isfinite(plane.fwhm_arcsec):
        found = register.register(plane, onto.seen, psf, config.shift_search_arcsec)
    if found is None or found.snr < config.shift_snr_min:
        reason = "the cube has no point-spread function, or the shift runs out of its range"
        if found is not None:
            reason = f"the image is seen in the cube at only {found.snr:.1f} sigma"
        empty = dict.fromkeys(("east_arcsec", "north_arcsec", "east_err", "north_err"))
        return (
            base
            | empty
            | {
                "status": "not measured",
                "reason": reason,
                "correlation": None,
                "snr": None if found is None else found.snr,
                "chi2_dof": None,
                "spaxels": 0 if found is None else found.spaxels,
            }
        )
    err = np.sqrt(np.diag(found.covariance))
    return base | {
        "status": "measured",
        "reason": "",
        "east_arcsec": found.east_arcsec,
        "north_arcsec": found.north_arcsec,
        "east_err": float(err[0]),
        "north_err": float(err[1]),
        "correlation": float(found.covariance[0, 1] / (err[0] * err[1])),
        "snr": found.snr,
        "chi2_dof": found.chi2_dof,
        "spaxels": found.spaxels,
    }
