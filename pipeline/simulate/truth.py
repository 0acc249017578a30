"""What is the answer that a reduction and a fit of the simulated observation should find?

Kept apart from the archive files. Maps are noiseless, on the Level-3 grid of each pointing,
after the PSF and without the LSF: what a perfect per-spaxel measurement would give.
"""

from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from pipeline.simulate import geometry, optics, scenes
from pipeline.simulate.lines import LINES, REDSHIFT
from pipeline.simulate.scenes import Scene

FloatArray = NDArray[np.float64]

# Where the wake is measured when a ghost is weighed against it, arcsec from the tip.
APERTURE_ALONG: Final = (-2.5, 0.3)
APERTURE_HALF_WIDTH: Final = 0.3
_FAINT: Final = 1e-6  # of the peak: below it a velocity has no meaning
FLUX_UNIT: Final = "erg s-1 cm-2 arcsec-2"


def maps(scene: Scene, cut: geometry.Window, pointing: int) -> dict[str, FloatArray]:
    """What are the true flux, velocity and dispersion maps of a pointing?

    Components have line ratios of their own, so each line weighs the gas along a line of sight
    differently and has a velocity of its own.

    Returns
    -------
    dict of ndarray, shape (ny, nx)
        `velocity_<line>` and `sigma_<line>` (km/s, NaN where there is no light of the line),
        `flux_<line>` (erg/s/cm2/arcsec2) and `continuum` (MJy/sr).
    """
    shape = cut.shape[1:]
    wcs = geometry.sky(cut, pointing)
    moments = {line.name: np.zeros((3, *shape)) for line in LINES}
    for component in scene:
        extra = component.sigma_kms**2 - optics.sharing_variance(component)
        for fwhm, group in optics.by_psf().items():
            planes = optics.velocity_planes(component, wcs, shape, fwhm)
            v = planes.velocity
            powers = np.stack([np.ones_like(v), v, v**2 + extra])
            of_component = np.tensordot(powers, planes.halpha, axes=1)
            for line in group:
                moments[line.name] += component.ratios[line.name] * of_component
    layers = {"continuum": optics.continuum(scene, wcs, shape)}
    for name, of_line in moments.items():
        mean, spread = _kinematics(of_line)
        layers |= {f"velocity_{name}": mean, f"sigma_{name}": spread}
        layers[f"flux_{name}"] = of_line[0] / geometry.SPAXEL_ARCSEC**2
    return layers


def _kinematics(moments: FloatArray) -> tuple[FloatArray, FloatArray]:
    total = moments[0]
    seen = total > _FAINT * total.max(initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(seen, moments[1] / total, np.nan)
        spread = np.sqrt(np.maximum(moments[2] / total - mean**2, 0.0))
    return mean, np.where(seen, spread, np.nan)


def unit_of(layer: str) -> str:
    """In which unit is a layer?"""
    if layer.startswith(("velocity_", "sigma_")):
        return "km/s"
    return "MJy/sr" if layer == "continuum" else FLUX_UNIT


def hdus(layers: dict[str, dict[str, FloatArray]], cut: geometry.Window) -> fits.HDUList:
    """How are the maps written: one image a layer and pointing, named `<item>_<layer>`?

    Parameters
    ----------
    layers : dict
        Item to layer name to map.
    cut : geometry.Window
    """
    head = fits.PrimaryHDU()
    head.header["SIMULATD"] = (True, "simulated, not observed")
    head.header["HISTORY"] = "TRUTH of a simulated observation, after the PSF, without noise."
    images = [head]
    for pointing, (item, maps_of_item) in enumerate(layers.items()):
        for layer, values in maps_of_item.items():
            header = geometry.sky(cut, pointing).to_header()
            header["BUNIT"] = unit_of(layer)
            header["ITEM"], header["LAYER"] = item, layer
            data = values.astype(np.float32)
            images.append(fits.ImageHDU(data, header=header, name=f"{item}_{layer}".upper()))
    return fits.HDUList(images)


def cube_hdus(cubes: dict[str, NDArray[np.float32]], cut: geometry.Window) -> fits.HDUList:
    """How is what each pointing sees without noise written: one image a pointing, MJy/sr?

    Line profiles are after PSF and LSF, with the light of everything along the line of sight: what
    a measurement of infinite exposure would fit.

    Parameters
    ----------
    cubes : dict
        Item to cube, shape (n_wave, ny, nx).
    cut : geometry.Window
    """
    head = fits.PrimaryHDU()
    head.header["SIMULATD"] = (True, "simulated, not observed")
    head.header["HISTORY"] = "TRUTH of a simulated observation: the sky without noise."
    images = [head]
    for pointing, (item, values) in enumerate(cubes.items()):
        header = geometry.sky(cut, pointing).to_header()
        header.update(geometry.spectral_cards(cut))
        header["BUNIT"], header["ITEM"], header["LAYER"] = "MJy/sr", item, "noiseless"
        images.append(fits.ImageHDU(values, header=header, name=f"{item}_noiseless".upper()))
    return fits.HDUList(images)


def ghost_fraction(
    halpha: tuple[FloatArray, FloatArray], cut: geometry.Window, pointing: int
) -> float | None:
    """Which share of the wake's H alpha would the other pointing's subtraction remove?

    Parameters
    ----------
    halpha : (ndarray, ndarray)
        True maps of this pointing and of the other, shape (ny, nx), same detector positions.
    cut : geometry.Window
    pointing : int

    Returns
    -------
    float or None
        Flux of the ghost over flux of the wake in an aperture along the wake; None where the
        scene is blank.
    """
    ny, nx = cut.shape[1:]
    x0, y0 = geometry.sky(cut, pointing).wcs_world2pix(*scenes.TIP_DEG, 0)
    y, x = np.mgrid[0:ny, 0:nx]
    east, north = -(x - x0) * geometry.SPAXEL_ARCSEC, (y - y0) * geometry.SPAXEL_ARCSEC
    pa = np.deg2rad(scenes.WAKE_PA_DEG)
    along = east * np.sin(pa) + north * np.cos(pa)
    across = east * np.cos(pa) - north * np.sin(pa)
    inside = (np.abs(across) < APERTURE_HALF_WIDTH) & (along > APERTURE_ALONG[0])
    inside &= along < APERTURE_ALONG[1]
    own = halpha[0][inside].sum()
    return float(halpha[1][inside].sum() / own) if own > 0 else None


def describe_scene(scene: Scene) -> list[dict[str, Any]]:
    """Which components were simulated, in numbers?"""
    return [
        {
            "name": c.name,
            "flux_halpha_erg_s_cm2": float(c.halpha.sum()),
            "sigma_kms": c.sigma_kms,
            "ratios_to_halpha": dict(c.ratios),
            "velocity_range_kms": [float(c.velocity.min()), float(c.velocity.max())],
            "f350lp_ab": c.ab_mag,
        }
        for c in scene
    ]


def describe_model() -> dict[str, float]:
    """Which parameters of the velocity models were used?"""
    return {
        "v_star_kms": scenes.V_STAR,
        "inclination_deg": scenes.INCLINATION_DEG,
        "compression": scenes.CHI,
        "theta_deg": scenes.THETA_DEG,
        "curvature_kpc": scenes.CURVATURE_KPC,
        "wake_v0_kms": scenes.WAKE_V0,
        "wake_delay_kpc": scenes.WAKE_DELAY_KPC,
        "wake_mixing_kpc": scenes.WAKE_MIXING_KPC,
        "disc_vmax_kms": scenes.DISC_VMAX,
        "disc_v0_kms": scenes.DISC_V0,
        "kpc_per_arcsec": scenes.KPC_PER_ARCSEC,
    }


def describe_lines(gain: float) -> list[dict[str, Any]]:
    """Which lines, with which instrument at each?"""
    rows = []
    for line in LINES:
        observed = line.rest_um * (1 + REDSHIFT)
        rows.append(
            {
                "name": line.name,
                "rest_um": line.rest_um,
                "observed_um": observed,
                "lsf_fwhm_um": float(optics.lsf_fwhm_um(np.array([observed]), gain)[0]),
                "psf_fwhm_arcsec": list(optics.psf_fwhm_arcsec(observed)),
            }
        )
    return rows
