"""Could nature and the instrument have made these numbers?"""

import io
import warnings
from typing import Any, Final

import numpy as np
from astropy import units as u

from ard import layout, spectral
from ard.headers import celestial_wcs
from checks.folder import Product
from checks.load import (
    CubeArrays,
    FloatArray,
    cube_arrays,
    document,
    fixed_ratios,
    line_map,
    number,
    opened,
)
from checks.registry import Limits, check, of_kind, whole_folder
from checks.result import Outcome, compare, failed, skipped

CUBE: Final = of_kind("cube")
LINEMAP: Final = of_kind("map", layout.LINEMAP)
QUALITY: Final = of_kind("document", layout.QUALITY)
# Layers that have a value wherever a fit was made; a flux may be absent with its line.
CORE: Final = ("velocity", "velocity_err", "sigma", "sigma_err", "snr", "chi2_dof", "n_used")
WIDTHS: Final = ("LSF", "PSF")
MASK_IT: Final = "mask these voxels when the cube is ingested"
REFIT: Final = "mask these spaxels, or correct the fit"

# ---- cubes


@check("physics.cube_masked", CUBE, ("cube.masked_fraction",))
def cube_masked(product: Product, limits: Limits) -> Outcome:
    """Is enough of the cube usable?"""
    masked = number(product.facts or {}, "masked_fraction")
    detail = f"{masked:.1%} of the voxels are masked"
    remedy = "look at the outlier rejection, or at the input"
    return compare(limits["cube.masked_fraction"], masked, detail, remedy)


@check("physics.cube_flux", CUBE, ("cube.missing_flux",))
def cube_flux(product: Product, limits: Limits) -> Outcome:
    """Is the flux a number wherever the cube says that it can be used?"""
    cube = cube_arrays(product)
    bad = np.count_nonzero(~np.isfinite(cube.flux) & ~cube.masked)
    return compare(limits["cube.missing_flux"], bad, f"{bad} usable voxels have no flux", MASK_IT)


@check("physics.cube_errors", CUBE, ("cube.bad_errors",))
def cube_errors(product: Product, limits: Limits) -> Outcome:
    """Is the error positive and finite wherever the flux can be used?"""
    cube = cube_arrays(product)
    if cube.err is None:
        return failed("there is no ERR of the shape of SCI", "write the cube with ard.write")
    good = np.isfinite(cube.err) & (cube.err > 0)
    bad = np.count_nonzero(~good & _usable(cube))
    return compare(limits["cube.bad_errors"], bad, f"{bad} usable voxels without error", MASK_IT)


@check("physics.cube_weights", CUBE, ("cube.flux_without_weight",))
def cube_weights(product: Product, limits: Limits) -> Outcome:
    """Is there no usable flux where no detector pixel contributed?"""
    cube = cube_arrays(product)
    if cube.weight is None:
        return failed("there is no WMAP of the shape of SCI", "write the cube with ard.write")
    bad = np.count_nonzero(_usable(cube) & ~(cube.weight > 0))
    detail = f"{bad} usable voxels have no weight"
    return compare(limits["cube.flux_without_weight"], bad, detail, MASK_IT)


def _usable(cube: CubeArrays) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.isfinite(cube.flux) & ~cube.masked


@check("physics.cube_wave", CUBE, ("cube.wave_step",))
def cube_wave(product: Product, limits: Limits) -> Outcome:
    """Do the vacuum wavelengths increase from channel to channel?"""
    wave = (product.facts or {}).get("wave", {})
    step = number(wave, "step_median") if wave.get("increasing") else float("nan")
    detail = wave.get("problem") or f"{wave.get('n')} channels, {step:g} um apart"
    return compare(limits["cube.wave_step"], step, detail, "mend the spectral WCS of SCI")


@check("physics.cube_area", CUBE, ("cube.pixel_area",))
def cube_area(product: Product, limits: Limits) -> Outcome:
    """Is the solid angle in PIXAR_SR that of the WCS?"""
    header = cube_arrays(product).header
    side = (product.facts or {})["wcs"]["pixel_scale_arcsec"] * u.arcsec
    area = float((side * side).to_value(u.sr))
    declared = number({"sr": header.get("PIXAR_SR")}, "sr")
    deviation = abs(declared / area - 1.0)
    detail = f"PIXAR_SR {declared:g} sr, WCS {area:g} sr"
    return compare(limits["cube.pixel_area"], deviation, detail, "correct PIXAR_SR or the WCS")


@check("physics.cube_wcs", CUBE, ("cube.wcs_agreement",))
def cube_wcs(product: Product, limits: Limits) -> Outcome:
    """Do the gwcs and the FITS WCS put every voxel at the same place?"""
    if (product.facts or {})["wave"]["step_median"] is None:
        return skipped("the wavelengths do not increase", "see physics.cube_wave")
    try:
        import asdf
        import gwcs  # noqa: F401  asdf needs its converters
    except ImportError as error:
        return skipped(f"needs the library {error.name}", "pip install 'rbh1-ard[study]'")
    with opened(product.path) as hdus:
        if "ASDF" not in hdus:
            return failed("there is no gwcs (extension ASDF)", "write the cube with ard.write")
        header = cube_arrays(product).header
        sky = celestial_wcs(header, product.path.name)
        wave = spectral.read_wave(hdus, header, product.path.name)
        blob = np.asarray(hdus["ASDF"].data).tobytes()
        pixels = _corners(cube_arrays(product).flux.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with asdf.open(io.BytesIO(blob)) as tree:
                ra, dec, micron = tree["meta"]["wcs"](*pixels)
    x, y = sky.world_to_pixel_values(ra, dec)
    expected = np.interp(pixels[-1], np.arange(wave.size), wave)
    off_sky = np.abs(np.stack([x, y]) - np.stack(pixels[:-1]))
    off_wave = np.abs(micron - expected) / np.diff(wave).min()
    worst = float(max(off_sky.max(), off_wave.max()))
    detail = f"largest distance {worst:.2g} of a voxel, over corners and centre"
    remedy = "write the cube again: its gwcs belongs to another grid"
    return compare(limits["cube.wcs_agreement"], worst, detail, remedy)


def _corners(shape: tuple[int, ...]) -> list[FloatArray]:
    """Give x, y and channel of the corners and the centre of a cube, zero-based."""
    ends = [np.array([0.0, np.mean([0, size - 1]), size - 1.0]) for size in reversed(shape)]
    return [axis.ravel() for axis in np.meshgrid(*ends)]


@check("physics.cube_position", CUBE, ("cube.target_live_fraction",))
def cube_position(product: Product, limits: Limits) -> Outcome:
    """Does the cube hold usable data at the place of the target?"""
    target = product.folder.target
    place = target.get("tip") or target.get("host")
    if not isinstance(place, dict):
        return skipped("the document does not say where the target is", "see structure.schema")
    cube = cube_arrays(product)
    sky = celestial_wcs(cube.header, product.path.name)
    ra, dec = number(place, "ra_deg"), number(place, "dec_deg")
    x, y = (int(v) for v in np.rint(np.nan_to_num(sky.world_to_pixel_values(ra, dec), nan=-1.0)))
    _, ny, nx = cube.flux.shape
    inside = 0 <= x < nx and 0 <= y < ny
    live = float(_usable(cube)[:, y, x].mean()) if inside else 0.0
    detail = f"target at x={x}, y={y} of {nx} x {ny}: {live:.0%} of the channels usable"
    remedy = "check the pointing, and the position in the target's manifest"
    return compare(limits["cube.target_live_fraction"], live, detail, remedy)


# ---- line maps


@check("physics.map_values", LINEMAP, ("map.missing_values",))
def map_values(product: Product, limits: Limits) -> Outcome:
    """Has every unmasked spaxel a number in every layer of a line that was observed?"""
    data = line_map(product)
    absent = [name for name in CORE if name not in data.layers]
    if absent:
        return failed(f"no layer {', '.join(absent)}", "correct the stage that writes it")
    # A line outside of the cube has no layer at all. Other layers are diagnostics.
    observed = [
        layer for name, layer in data.layers.items() if name in CORE or name.startswith("flux_")
    ]
    bad = sum(np.count_nonzero(~np.isfinite(layer[~data.mask])) for layer in observed)
    detail = f"{bad} values are missing in unmasked spaxels"
    return compare(limits["map.missing_values"], bad, detail, REFIT)


@check("physics.map_errors", LINEMAP, ("map.bad_errors",))
def map_errors(product: Product, limits: Limits) -> Outcome:
    """Is every error positive and finite?"""
    data = line_map(product)
    errors = [layer[~data.mask] for name, layer in data.layers.items() if name.endswith("_err")]
    bad = sum(np.count_nonzero(~(np.isfinite(error) & (error > 0))) for error in errors)
    return compare(limits["map.bad_errors"], bad, f"{bad} errors are not positive", REFIT)


@check("physics.cube_widths", CUBE, ("cube.width_coverage",))
def cube_widths(product: Product, limits: Limits) -> Outcome:
    """Does the cube say how sharp it is, on the sky and in wavelength, at every channel?"""
    wave = (product.facts or {}).get("wave", {})
    first, last = number(wave, "min"), number(wave, "max")
    fewest = float("inf")
    with opened(product.path) as hdus:
        for name in WIDTHS:
            if name not in hdus:
                return failed(f"no extension {name}", "declare the instrument", limit="both")
            nodes, width = (np.asarray(hdus[name].data[c], float) for c in ("WAVE", "FWHM"))
            if not (np.isfinite(width) & (width > 0)).all() or not width.size:
                return failed(f"{name} has widths that are not positive", "correct them")
            shared = min(last, nodes.max()) - max(first, nodes.min())
            fewest = min(fewest, shared / (last - first) if last > first else float("nan"))
    detail = f"widths cover {fewest:.0%} of the wavelength range"
    return compare(limits["cube.width_coverage"], fewest, detail, "declare the whole range")


@check("physics.map_grid", LINEMAP, ("map.grid",))
def map_grid(product: Product, limits: Limits) -> Outcome:
    """Does the map lie on the grid of the cube that it was made from?"""
    cubes = product.folder.siblings(product.item, layout.CUBE)
    if not cubes or cubes[0].facts is None:
        return failed("there is no readable cube of its item", "put the cube back")
    data, cube = line_map(product), cube_arrays(cubes[0])
    if data.shape != cube.flux.shape[1:]:
        detail = f"the map is {data.shape} and the cube {cube.flux.shape[1:]}"
        return failed(detail, "make the map again", measured=str(data.shape))
    ny, nx = data.shape
    x, y = np.array([0, nx - 1, 0, nx - 1]), np.array([0, 0, ny - 1, ny - 1])
    sky = celestial_wcs(cube.header, cubes[0].name).all_pix2world(x, y, 0)
    back = data.wcs.all_world2pix(*sky, 0, quiet=True)
    off = float(np.hypot(back[0] - x, back[1] - y).max())
    detail = f"corners differ by up to {off:.2g} spaxels"
    return compare(limits["map.grid"], off, detail, "make the map again from the cube")


@check("physics.map_fit", LINEMAP, ("map.fit_excess", "map.detection_snr"))
def map_fit(product: Product, limits: Limits) -> Outcome:
    """Does the fit leave no more over where the lines are than beside them?"""
    data = line_map(product)
    if not {"chi2_dof", "chi2_continuum", "snr"} <= set(data.layers):
        return failed("no layer chi2_dof, chi2_continuum or snr", "correct the stage")
    both = ~data.mask & np.isfinite(data["chi2_continuum"]) & np.isfinite(data["chi2_dof"])
    bright = both & np.vectorize(limits["map.detection_snr"].accepts, otypes=[bool])(data["snr"])
    asked = bright if bright.any() else both
    whole, beside = (
        float(np.median(data[name][asked])) if asked.any() else float("nan")
        for name in ("chi2_dof", "chi2_continuum")
    )
    excess = whole / beside if beside > 0 else float("nan")
    detail = f"chi2/dof {whole:.2f} with the lines, {beside:.2f} beside, {asked.sum()} spaxels"
    return compare(limits["map.fit_excess"], excess, detail, "look at the line profile and the LSF")


@check("physics.map_velocity", LINEMAP, ("map.velocity_abs",))
def map_velocity(product: Product, limits: Limits) -> Outcome:
    """Are all velocities inside the window in which the lines were looked for?"""
    velocity = _unmasked(product, "velocity")
    worst = float(np.abs(velocity).max()) if velocity.size else float("nan")
    detail = f"largest speed {worst:.0f} km/s over {velocity.size} spaxels"
    return compare(limits["map.velocity_abs"], worst, detail, REFIT)


@check("physics.map_sigma", LINEMAP, ("map.sigma",))
def map_sigma(product: Product, limits: Limits) -> Outcome:
    """Are all widths those of lines: not negative, and narrower than the window?"""
    sigma, limit = _unmasked(product, "sigma"), limits["map.sigma"]
    if not sigma.size:
        return compare(limit, float("nan"), "no spaxel has a width", REFIT)
    outside = [float(value) for value in sigma if not limit.accepts(float(value))]
    worst = outside[0] if outside else float(sigma.max())
    detail = f"{sigma.min():.0f} to {sigma.max():.0f} km/s, {len(outside)} outside"
    return compare(limit, worst, detail, REFIT)


def _unmasked(product: Product, layer: str) -> FloatArray:
    """Give the finite values of a layer in unmasked spaxels; empty where it does not exist."""
    data = line_map(product)
    if layer not in data.layers:
        return np.empty(0)
    values = data.layers[layer][~data.mask]
    return values[np.isfinite(values)]


def _has_fixed_pair(product: Product) -> bool:
    return LINEMAP(product) and bool(fixed_ratios(product))


@check("physics.map_ratio", _has_fixed_pair, ("map.ratio",))
def map_ratio(product: Product, limits: Limits) -> Outcome:
    """Do lines whose ratio atomic physics fixes have that ratio?"""
    data = line_map(product)
    layers = {name.lower(): layer[~data.mask] for name, layer in data.layers.items()}
    worst, where = float("nan"), "no unmasked spaxel has both"
    for name, to, ratio in fixed_ratios(product):
        both = np.isfinite(layers[name]) & np.isfinite(layers[to])
        if not both.any():
            return compare(limits["map.ratio"], float("nan"), f"no spaxel has {name}", REFIT)
        expected = ratio * layers[to][both]
        scale = np.where(expected == 0, 1.0, np.abs(expected))
        off = float(np.max(np.abs(layers[name][both] - expected) / scale, initial=0.0))
        if not off < worst:
            worst, where = off, f"{name} over {to} is off by up to {off:.2g} of {ratio:g}"
    return compare(limits["map.ratio"], worst, where, "tie the fluxes in the fit")


@check("physics.map_snr", LINEMAP, ("map.snr",))
def map_snr(product: Product, limits: Limits) -> Outcome:
    """Is the signal to noise that of the brightest line, flux over error?"""
    data = line_map(product)
    lines = [n for n in data.layers if n.startswith("flux_") and f"{n}_err" in data.layers]
    if "snr" not in data.layers or not lines:
        return failed("no snr, or no line with its error", "correct the stage that writes it")
    snr = data["snr"][~data.mask]
    flux = np.stack([data[name][~data.mask] for name in lines])
    error = np.stack([data[f"{name}_err"][~data.mask] for name in lines])
    best = np.where(np.isfinite(flux), flux, -np.inf).argmax(axis=0)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (np.take_along_axis(flux, best, 0) / np.take_along_axis(error, best, 0))[0]
    off = np.abs(ratio - snr) / np.maximum(np.abs(snr), 1.0)
    worst = float(np.max(np.where(np.isnan(off), np.inf, off), initial=0.0))
    detail = f"differs from flux over error by up to {worst:.2g}"
    return compare(limits["map.snr"], worst, detail, "compute snr from the layers of the map")


@check("physics.map_chi2", LINEMAP, ("map.chi2_dof", "map.detection_snr"))
def map_chi2(product: Product, limits: Limits) -> Outcome:
    """Do the errors explain what the fit leaves over, where noise and not the source decides?

    In a bright spaxel every line profile that is not quite Gaussian makes chi-square large,
    however good the errors are. So undetected spaxels are asked, if there are any.
    """
    data = line_map(product)
    if "chi2_dof" not in data.layers or "snr" not in data.layers:
        return failed("no layer chi2_dof or snr", "correct the stage that writes it")
    chi2, snr = data["chi2_dof"][~data.mask], data["snr"][~data.mask]
    chi2, snr = chi2[np.isfinite(chi2)], snr[np.isfinite(chi2)]
    faint = np.array([not limits["map.detection_snr"].accepts(float(v)) for v in snr], dtype=bool)
    asked = chi2[faint] if faint.any() else chi2
    middle = float(np.median(asked)) if asked.size else float("nan")
    whole = float(np.median(chi2)) if chi2.size else float("nan")
    which = "undetected spaxels" if faint.any() else "spaxels"
    detail = f"median chi2/dof {middle:.2f} over {asked.size} {which}, {whole:.2f} over all"
    return compare(limits["map.chi2_dof"], middle, detail, "look at the noise model of the cube")


def _has_maps(product: Product) -> bool:
    return whole_folder(product) and any(LINEMAP(file) for file in product.folder.products)


@check("physics.detected", _has_maps, ("map.detected", "map.detection_snr"))
def detected(product: Product, limits: Limits) -> Outcome:
    """Is the object seen in each item, in at least one group of lines?"""
    best: dict[str, int] = {}
    for file in product.folder.products:
        if LINEMAP(file):
            snr, item = _unmasked(file, "snr"), file.item or ""
            count = sum(limits["map.detection_snr"].accepts(float(value)) for value in snr)
            best[item] = max(best.get(item, 0), count)
    fewest = min(best, key=lambda item: best[item])
    detail = ", ".join(f"{item}: {count} spaxels" for item, count in sorted(best.items()))
    remedy = "check the line list, the redshift and the exposure"
    return compare(limits["map.detected"], best[fewest], detail, remedy)


# ---- quality


@check("physics.quality_noise", QUALITY, ("quality.noise_ratio",))
def quality_noise(product: Product, limits: Limits) -> Outcome:
    """Are the declared errors as large as the scatter of the data?"""
    ratio = number(_part(document(product), "cube"), "noise_ratio")
    detail = f"scatter over error is {ratio:.2f}"
    return compare(limits["quality.noise_ratio"], ratio, detail, "rescale the errors")


@check("physics.quality_agrees", QUALITY, ("quality.disagreement",))
def quality_agrees(product: Product, limits: Limits) -> Outcome:
    """Is what the quality document says about a cube true of that cube?"""
    cubes = [p for p in product.folder.siblings(product.item, layout.CUBE) if p.facts]
    if not cubes:
        return skipped("the cube it is about is not there or cannot be read", "see the cube")
    said = number(_part(document(product), "cube"), "masked_fraction")
    found = number(cubes[0].facts or {}, "masked_fraction")
    detail = f"masked fraction {said:.6f} here, {found:.6f} in the cube"
    remedy = "make the quality document again from the cube that is there"
    return compare(limits["quality.disagreement"], abs(said - found), detail, remedy)


def _part(values: dict[str, Any], name: str) -> dict[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}
