"""Does each check find the fault it is there for, and no other check find it too?

The oracle is the construction: a run that is good in every respect, with one fault planted.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import vstack
from builders import make_wcs
from handmade import write_zip
from run_documents import SHA
from run_products import make_cube
from runs import (
    HLSP,
    PNG,
    Edit,
    edit_fits,
    edit_json,
    known_sources,
    make_bundle,
    make_run,
    pack,
    write_lists,
    write_run_document,
)

import ard
from ard import io, layout
from ard.fitsio import walk, write_hdus
from checks import all_checks, judge
from checks.folder import look
from checks.result import Status
from manifests import load_acceptance, load_target


@dataclass(frozen=True)
class Fault:
    """A fault: the check that has to find it, where it is planted, and how.

    `also` names other checks that such a fault cannot but break.
    """

    check: str
    where: str
    edit: Edit
    also: tuple[str, ...] = ()


def layer(name: str, value: float, where: tuple[int, int] = (2, 2)) -> Edit:
    def change(hdus: fits.HDUList) -> None:
        hdus[name].data[where] = value

    return edit_fits(change)


def whole_layer(**factors: float) -> Edit:
    def change(hdus: fits.HDUList) -> None:
        for name, factor in factors.items():
            hdus[name].data *= np.float32(factor)

    return edit_fits(change)


def voxel(extension: str, value: float) -> Edit:
    def change(hdus: fits.HDUList) -> None:
        hdus[extension].data[5, 0, 3] = value

    return edit_fits(change)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2880])


def replace_by_link(path: Path) -> None:
    kept = path.parents[3] / "kept.png"
    path.rename(kept)
    path.symlink_to(kept)


def flip_last_bit_of_n_used(path: Path) -> None:
    # The least significant bit of a float32: a change that no physics can see.
    start = next(span.data_start for span in walk(path) if span.name == "N_USED")
    data = bytearray(path.read_bytes())
    data[start + 3] ^= 1
    path.write_bytes(bytes(data))


def no_checksum(hdus: fits.HDUList) -> None:
    """Change nothing; the edit leaves the sums out."""


def compress(method: str, quantize_level: float) -> Edit:
    """Compress SCI, with right checksums of the table that it is stored in."""

    def edit(path: Path) -> None:
        with fits.open(path, memmap=False) as hdus:
            science = hdus["SCI"]
            hdus[1] = fits.CompImageHDU(
                science.data,
                science.header,
                name="SCI",
                compression_type=method,
                tile_shape=(1, *science.shape[1:]),
                quantize_level=quantize_level,
            )
            write_hdus(path, hdus, overwrite=True)
        with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
            write_hdus(path, hdus, overwrite=True)

    return edit


def mask_nearly_all(hdus: fits.HDUList) -> None:
    keep = np.zeros(hdus["SCI"].data.shape, dtype=bool)
    keep[:, 2, 1] = True  # the target's spaxel
    hdus["SCI"].data[~keep] = np.nan
    hdus["DQ"].data[~keep] = 513
    hdus["WMAP"].data[~keep] = 0


def swapped_wavelengths(path: Path) -> None:
    cube = make_cube(load_target("rbh1"))
    bent = cube.wave + 1e-5 * np.sin(np.arange(cube.wave.size))
    archive = path.parents[2] / "archive" / "t001_s3d.fits"
    record = ard.Provenance(
        "ingest", "0", SHA, SHA, None, True, {f"archive/{archive.name}": io.sha256_file(archive)}
    )
    ard.write(path, cube.replace(wave=bent, provenance=record), overwrite=True)

    def swap(hdus: fits.HDUList) -> None:
        table = hdus["WCS-TABLE"].data["wavelength"]
        table[0, [4, 5], 0] = table[0, [5, 4], 0]

    edit_fits(swap)(path)


def shift_fits_wcs(hdus: fits.HDUList) -> None:
    hdus["SCI"].header["CRPIX1"] += 0.01


def larger_pixel(hdus: fits.HDUList) -> None:
    hdus["SCI"].header["PIXAR_SR"] *= 1.01


def wrong_unit(hdus: fits.HDUList) -> None:
    hdus["N_USED"].header["BUNIT"] = "s"


def no_record(hdus: fits.HDUList) -> None:
    del hdus["PROVENANCE"]


def faint(hdus: fits.HDUList) -> None:
    hdus["SNR"].data[:] = 5
    for line in ("OIII4959", "OIII5007"):
        hdus[f"FLUX_{line}_ERR"].data[:] = hdus[f"FLUX_{line}"].data / 5


def bad_noise_in_faint_spaxels(hdus: fits.HDUList) -> None:
    for name in ("SNR", "CHI2_DOF"):
        hdus[name].data[4, :] = 6
    for line in ("OIII4959", "OIII5007"):
        hdus[f"FLUX_{line}_ERR"].data[4, :] = hdus[f"FLUX_{line}"].data[4, :] / 6


def misfit_in_bright_spaxels(hdus: fits.HDUList) -> None:
    bad_noise_in_faint_spaxels(hdus)
    for name in ("CHI2_DOF", "CHI2_CONTINUUM"):
        hdus[name].data[:4] = 12
        hdus[name].data[4] = 1


def text(old: str, new: str) -> Edit:
    def edit(path: Path) -> None:
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new))

    return edit


def set_field(*keys: str, value: object) -> Edit:
    def change(document: dict) -> None:
        inner = document
        for key in keys[:-1]:
            inner = inner[int(key) if key.isdigit() else key]
        inner[keys[-1]] = value

    return edit_json(change)


def group(field: str, value: float | None) -> Edit:
    return set_field("groups", "0", field, value=value)


def cell(column: str, line: str, value: object) -> Edit:
    """Change a column of a line in all apertures of a table of fluxes."""

    def edit(path: Path) -> None:
        table = ard.read(path)
        data = table.data.copy()
        rows = np.asarray(data["line"]) == line
        values = np.array(data[column])
        if values.dtype.kind == "U":
            values = values.astype("U20")
        values[rows] = value
        unit = data[column].unit
        data[column] = values if unit is None else values * unit
        ard.write(path, ard.Table(data, table.meta, table.provenance), overwrite=True)

    return edit


def twice_the_noise(path: Path) -> None:
    """Four faint groups, in two apertures, with a chi-square of twice what noise leaves."""
    cell("chi2", "OI6300", 60.0)(path)
    table = ard.read(path)
    other = table.data.copy()
    other["aperture"] = np.repeat("wake1", len(other))
    both = vstack([table.data, other])
    ard.write(path, ard.Table(both, table.meta, table.provenance), overwrite=True)


def bad_fit_of_a_bright_line(path: Path) -> None:
    """[O III] of another shape: its errors are widened, and its S/N is 3.2."""
    for line, flux in (("OIII4959", 1e-17), ("OIII5007", 2.984e-17)):
        cell("chi2", line, 300.0)(path)
        cell("misfit", line, 10.0**0.5)(path)
        cell("profile_err", line, 0.0)(path)
        cell("flux_err", line, 0.1 * flux * 10.0**0.5)(path)
        cell("snr", line, 10.0**0.5)(path)


def bright_limit(path: Path) -> None:
    """A line of five errors that is called a limit."""
    cell("flux", "OI6300", 5e-18)(path)
    cell("snr", "OI6300", 5.0)(path)


def brighter_by_a_tenth(path: Path) -> None:
    """A tied line that is too bright, error and all."""
    cell("flux", "OIII5007", 1.1 * 2.984e-17)(path)
    cell("flux_err", "OIII5007", 1.1 * 2.984e-18)(path)


def without_a_line(path: Path) -> None:
    table = ard.read(path)
    keep = np.asarray(table.data["line"]) != "SII6716"
    ard.write(path, ard.Table(table.data[keep], table.meta, table.provenance), overwrite=True)


def recovery_in_wrong_layer(path: Path) -> None:
    products = path.parent
    copy = products / "inference" / "t001_recovery.json"
    shutil.copy(products / "validation" / "t001_recovery.json", copy)
    path.unlink()
    write_run_document(products.parent)


def stray_file(path: Path) -> None:
    (path.parent / "likelihood" / "t001_lines.ecsv").write_bytes(
        (path.parent / "likelihood" / "lines.ecsv").read_bytes()
    )


def moved_map(hdus: fits.HDUList) -> None:
    for hdu in hdus:
        if "CRVAL2" in hdu.header:
            hdu.header["CRVAL2"] += 0.1 / 3600


def without(name: str) -> Callable[[fits.HDUList], None]:
    def change(hdus: fits.HDUList) -> None:
        del hdus[name]

    return change


def narrow_lsf(hdus: fits.HDUList) -> None:
    hdus["LSF"].data["WAVE"] = [1.1, 1.3]


def scale(value: float) -> Edit:
    return set_field("scale", "value", value=[value] * 12)


def white(form: str, field: str, value: object) -> Edit:
    return set_field("whitened", form, field, value=value)


def left_out(field: str, value: float) -> Edit:
    return set_field("dithers", "left_out", "0", field, value=value)


def left_out_white(field: str, value: object) -> Edit:
    return set_field("dithers", "left_out", "0", "whitened", field, value=value)


def other_unit(hdus: fits.HDUList) -> None:
    hdus["SIGMA"].header["BUNIT"] = "mJy/arcsec2"


def uses_what_the_cube_masks(hdus: fits.HDUList) -> None:
    hdus["MASK"].data[3, 0, 0] = 0


def no_error(hdus: fits.HDUList) -> None:
    hdus["SIGMA"].data[5, 1, 1] = -1.0


def other_scale(hdus: fits.HDUList) -> None:
    hdus["SCALE"].data[4] *= 1.01


def edited_afterwards(run_file: Path) -> None:
    """Make a quality document better after the run, where nothing is made from it."""
    set_field("cube", "noise_ratio", value=1.23)(
        run_file.parent / "validation" / "t001_quality.json"
    )


def called_a_table(run_file: Path) -> None:
    document = io.read_json(run_file)
    row = next(r for r in document["products"] if r["path"].endswith("t001_cube.fits"))
    row["kind"] = "table"
    io.write_json(run_file, document, overwrite=True)


def in_geometry(*place: str | int, value: float) -> Edit:
    """Change one number of the geometry document."""

    def change(document: dict) -> None:
        node: Any = document
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value

    return edit_json(change)


def edit_table(change: Callable[[Any], None]) -> Edit:
    """Make an edit of a table from a change of its columns."""

    def edit(path: Path) -> None:
        table = io.read(path)
        change(table.data)
        io.write(path, table, overwrite=True)

    return edit


def every(column: str, value: float) -> Edit:
    return edit_table(lambda data: data[column].__setitem__(slice(None), value))


def one(column: str, value: float, row: int = 0) -> Edit:
    return edit_table(lambda data: data[column].__setitem__(row, value))


def false_colour(data: Any) -> None:
    """Overlapping filters whose difference is sold as a colour."""
    data["kind"] = ["colour"] * len(data)
    for end in ("", "_err"):
        data[f"colour{end}"][:], data[f"difference{end}"][:] = 0.3, np.nan


# What the schema says as well.
SCHEMA = ("structure.schema",)

FAULTS = [
    Fault("integrity.readable", "linemap", truncate),
    Fault("integrity.readable", "quality", text("{", "")),
    Fault(
        "integrity.readable",
        "exposures",
        lambda p: p.write_bytes(b"<html>down</html>"),
        ("combine.roles",),
    ),
    Fault("integrity.names", "figure", replace_by_link),
    Fault("integrity.checksum", "linemap", flip_last_bit_of_n_used),
    Fault("integrity.checksum", "cube", edit_fits(no_checksum, checksum=False)),
    Fault("integrity.compression", "cube", compress("RICE_1", 16)),
    Fault("integrity.compression", "cube", compress("GZIP_2", 16)),
    Fault("structure.folder", "run", Path.unlink),
    Fault("structure.inventory", "run", stray_file),
    Fault("structure.inventory", "run", set_field("absent_layers", value={})),
    Fault("structure.inventory", "run", set_field("items", value=["t001", "t002"])),
    Fault("structure.inventory", "run", set_field("stages", value=["kinematics"])),
    Fault("structure.inventory", "run", set_field("stages", value=["shocks"])),
    Fault("structure.layout", "run", recovery_in_wrong_layer),
    Fault("structure.schema", "linemap", edit_fits(wrong_unit)),
    Fault("structure.schema", "lines", text("unit: um", "unit: nm")),
    Fault("structure.schema", "exposures", text("imprint t001", "sky t001")),
    Fault("structure.schema", "quality", set_field("invented", value=1)),
    Fault("structure.schema", "run", set_field("invented", value=1)),
    Fault("structure.provenance", "linemap", edit_fits(no_record)),
    Fault("structure.provenance", "quality", set_field("provenance", value=None)),
    Fault(
        "structure.provenance",
        "recovery",
        set_field("provenance", "inputs", value={"work/linemaps/t001.fits": SHA}),
    ),
    Fault(
        "structure.provenance",
        "recovery",
        set_field("provenance", "inputs", value={"products/likelihood/lines.ecsv": SHA}),
    ),
    Fault(
        "structure.provenance", "recovery", set_field("provenance", "inputs", value={"../x": SHA})
    ),
    Fault("structure.simulated", "exposures", text("simulated: true", "simulated: false")),
    Fault("physics.fluxes_lines", "fluxes", without_a_line),
    Fault("physics.fluxes_lines", "fluxes", cell("line", "SII6716", "SII9999")),
    Fault("physics.fluxes_snr", "fluxes", cell("snr", "OIII4959", 40.0)),
    Fault("physics.fluxes_snr", "fluxes", cell("snr", "OIII4959", np.nan)),
    Fault("physics.fluxes_snr", "fluxes", bright_limit),
    Fault("physics.fluxes_ratio", "fluxes", brighter_by_a_tenth),
    Fault("physics.fluxes_velocity", "fluxes", cell("velocity", "OIII4959", -2000.0)),
    Fault(
        "physics.fluxes_chi2", "fluxes", cell("chi2", "OI6300", 300.0), ("physics.fluxes_worst",)
    ),
    Fault("physics.fluxes_chi2", "fluxes", twice_the_noise),
    Fault(
        "physics.fluxes_worst", "fluxes", cell("chi2", "OI6300", 200.0), ("physics.fluxes_chi2",)
    ),
    Fault("recovery.fluxes", "fluxes", cell("flux_true", "OIII4959", 1.6e-17)),
    Fault("physics.fluxes_chi2", "fluxes", cell("chi2", "OI6300", 3.0)),
    Fault("structure.schema", "fluxes", cell("state", "OI6300", "seen")),
    Fault("structure.schema", "fluxes", cell("upper_limit", "OI6300", np.nan)),
    Fault("structure.schema", "spectra", text("tip box", "tip sum")),
    Fault("physics.cube_masked", "cube", edit_fits(mask_nearly_all)),
    Fault("physics.cube_flux", "cube", voxel("SCI", np.nan)),
    Fault("physics.cube_errors", "cube", voxel("ERR", 0.0)),
    Fault("physics.cube_errors", "cube", voxel("ERR", np.nan)),
    Fault("physics.cube_weights", "cube", voxel("WMAP", 0.0)),
    Fault("physics.cube_wave", "cube", swapped_wavelengths, ("physics.cube_widths",)),
    Fault("physics.cube_area", "cube", edit_fits(larger_pixel)),
    Fault("physics.cube_wcs", "cube", edit_fits(shift_fits_wcs), ("physics.map_grid",)),
    *(
        Fault(
            "physics.cube_position",
            "run",
            set_field("target", "tip", "dec_deg", value=value),
            ("imaging.tip_place",),
        )
        for value in (-8.3, 80.0)
    ),
    Fault("physics.map_values", "linemap", layer("VELOCITY", np.nan)),
    Fault("physics.map_values", "linemap", layer("FLUX_OIII5007", np.nan)),
    Fault("physics.map_errors", "linemap", layer("VELOCITY_ERR", -1.0)),
    Fault("physics.map_errors", "linemap", layer("SIGMA_ERR", 0.0)),
    Fault("physics.map_velocity", "linemap", layer("VELOCITY", -2000.0)),
    Fault("physics.map_sigma", "linemap", layer("SIGMA", -5.0)),
    Fault("physics.map_sigma", "linemap", layer("SIGMA", 1e4)),
    Fault("physics.map_ratio", "linemap", whole_layer(FLUX_OIII5007=1.1, FLUX_OIII5007_ERR=1.1)),
    Fault("physics.map_snr", "linemap", layer("SNR", 40.0)),
    Fault("physics.map_chi2", "linemap", whole_layer(CHI2_DOF=9.0, CHI2_CONTINUUM=9.0)),
    Fault("physics.map_fit", "linemap", whole_layer(CHI2_CONTINUUM=0.1)),
    Fault("physics.map_grid", "linemap", edit_fits(moved_map)),
    Fault("physics.cube_widths", "cube", edit_fits(without("LSF"))),
    Fault("physics.cube_widths", "cube", edit_fits(without("PSF"))),
    Fault("physics.cube_widths", "cube", edit_fits(narrow_lsf)),
    Fault(
        "physics.map_values",
        "linemap",
        whole_layer(FLUX_OIII4959=np.nan),
        ("physics.map_ratio",),
    ),
    Fault("physics.map_errors", "linemap", layer("VELOCITY_ERR", np.inf), ("physics.map_values",)),
    Fault("structure.as_written", "run", edited_afterwards),
    Fault("structure.as_listed", "run", called_a_table),
    Fault("physics.map_chi2", "linemap", edit_fits(bad_noise_in_faint_spaxels)),
    Fault("physics.detected", "linemap", edit_fits(faint)),
    Fault("physics.quality_noise", "quality", set_field("cube", "noise_ratio", value=5.0)),
    Fault("physics.quality_agrees", "quality", set_field("cube", "masked_fraction", value=0.2)),
    Fault("structure.schema", "noise", edit_fits(other_unit)),
    Fault("structure.schema", "noisemodel", set_field("invented", value=1)),
    Fault("noise.measured", "noisemodel", set_field("counts", "residuals", value=400)),
    Fault("noise.scale", "noisemodel", scale(5.0), ("noise.dithers", "noise.same")),
    Fault("noise.busy", "noisemodel", set_field("busy", value=[3, 4])),
    Fault("noise.odd", "noisemodel", set_field("counts", "spaxels_odd", value=10)),
    Fault("noise.dithers", "noisemodel", set_field("dithers", "scale", "value", value=[2.4] * 12)),
    Fault("noise.whitened", "noisemodel", white("kronecker", "variance", 1.3)),
    Fault("noise.whitened_filter", "noisemodel", white("fir", "variance", 0.8)),
    Fault("noise.chi2", "noisemodel", white("fir", "chi2_drawn", 1.3)),
    Fault("noise.chi2", "noisemodel", white("kronecker", "chi2", 0.6)),
    Fault("noise.left", "noisemodel", white("kronecker", "left", [[[0.02, 0.2, 0.02]]])),
    Fault("noise.left_filter", "noisemodel", white("fir", "left", [[[0.02, 0.2, 0.02]]])),
    Fault("noise.apertures", "noisemodel", set_field("apertures", "2", "ratio", value=1.4)),
    Fault("noise.apertures", "noisemodel", set_field("apertures", "0", "ratio", value=0.7)),
    Fault("noise.left_out", "noisemodel", left_out("ratio", 1.5)),
    Fault("noise.left_out", "noisemodel", left_out("aperture_ratio", 2.0)),
    Fault("noise.left_out_odd", "noisemodel", left_out("set_aside", 0.27)),
    Fault("noise.left_out_white", "noisemodel", left_out_white("variance", 1.5)),
    Fault("noise.left_out_white", "noisemodel", left_out_white("variance", 0.5)),
    Fault("noise.left_out_lags", "noisemodel", left_out_white("left", [[[0.02, 0.2, 0.02]]])),
    Fault("noise.mask", "noise", edit_fits(uses_what_the_cube_masks)),
    Fault("noise.mask", "noise", edit_fits(no_error)),
    Fault("noise.same", "noise", edit_fits(other_scale)),
    *(
        Fault("imaging.geometry_errors", "geometry", in_geometry(*place, value=0.0), SCHEMA)
        for place in (("wake", "pa_err"), ("bands", 0, "tip", "edge_err"))
    ),
    Fault("imaging.tip_place", "geometry", in_geometry("wake", "tip", "dec_deg", value=-8.3503)),
    Fault("imaging.noise", "geometry", in_geometry("images", 1, "aperture_ratio", value=2.2)),
    Fault("imaging.brightness", "photometry", every("brightness", np.nan), ("imaging.sum",)),
    Fault("imaging.sum", "photometry", one("brightness", 0.9)),
    Fault("imaging.magnitudes", "magnitudes", one("mag_ab", np.nan)),
    Fault("imaging.magnitudes", "magnitudes", one("correction", np.nan)),
    Fault("imaging.sum", "magnitudes", one("flux", 3.0, row=-1)),
    Fault("imaging.colours", "colours", edit_table(false_colour)),
    Fault(
        "combine.roles",
        "combination",
        set_field("exposures", "0", "filename", value="jw2_s3d.fits"),
    ),
    Fault("combine.exposures", "combination", set_field("exposures", "0", "good", value=0)),
    Fault("combine.archive_bias", "combination", set_field("archive", "median_err", value=-0.4)),
    Fault(
        "combine.archive_scatter", "combination", set_field("archive", "scatter_noise", value=1.4)
    ),
    Fault(
        "combine.archive_scatter", "combination", set_field("archive", "scatter_noise", value=None)
    ),
    Fault("combine.scatter", "combination", set_field("scatter_over_err", value=0.1)),
    Fault("combine.tail", "combination", set_field("tail", "beyond", value=60)),
    Fault("combine.tail", "combination", set_field("tail", "beyond", value=None), SCHEMA),
    Fault("combine.tail", "combination", set_field("tail", "compared", value=0)),
    Fault("combine.agrees", "combination", set_field("masked_fraction", value=0.2)),
    Fault("combine.correlation", "resampling", text("1 0 0.4 0.3 0.5", "1 0 0.4 0.3 1.2")),
    Fault("combine.correlation", "resampling", text("0 0 1.0 1.0 1.0", "0 0 0.5 0.5 0.5")),
    Fault("difference.values", "ghosts", text(" 4e-18 ", " nan ")),
    Fault("difference.filled", "ghosts", text(" 0.125 ", " 0.7 ")),
    Fault("difference.filled", "ghosts", text(" 0.125 ", " nan ")),
    Fault(
        "difference.strength", "ghosts", text("1.0 0.01 0.01 0.02 nan", "1.0 0.01 -0.9 0.02 nan")
    ),
    Fault(
        "difference.model",
        "strengths",
        text("all measured 1.005 ", "all measured 0.6 "),
        also=("recovery.ghost_strength",),
    ),
    Fault("recovery.ghost_strength", "strengths", text("measured 0.001 ", "measured 0.2 ")),
    Fault("recovery.ghost_model", "ghosts", text(" 0.015 ", " 0.5 ")),
    Fault("recovery.ghosts", "subtraction", set_field("recovery", "pull_largest", value=9.0)),
    Fault("recovery.ghosts", "subtraction", set_field("recovery", "pull_largest", value=None)),
    Fault("recovery.ghost_scatter", "subtraction", set_field("recovery", "pull_scatter", value=2)),
    Fault("recovery.ghost_scatter", "subtraction", set_field("recovery", "pull_scatter", value=0)),
    Fault("recovery.ghost_bias", "subtraction", set_field("recovery", "pull_mean", value=-1.0)),
    Fault("recovery.compared", "recovery", group("n_compared", 3)),
    Fault("recovery.velocity_bias", "recovery", group("velocity_bias_kms", -60.0)),
    Fault("recovery.velocity_bias", "recovery", group("velocity_bias_kms", None)),
    Fault("recovery.velocity_scatter", "recovery", group("velocity_scatter_kms", 150.0)),
    Fault("recovery.velocity_pull", "recovery", group("velocity_pull_scatter", 6.0)),
    Fault("recovery.flux_ratio", "recovery", group("flux_ratio_median", 0.5)),
]


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("good"))


def failing(report) -> set[str]:
    return {result.check for result in report.results if result.status is Status.FAILED}


def test_good_run_passes(good_run):
    report = judge(good_run)
    assert report.bad == ()
    assert report.verdict == "PASSED"
    assert report.counts["products"] == 22


def test_lossless_compression_passes(tmp_path):
    assert judge(make_run(tmp_path, {"cube": compress("GZIP_2", 0)})).bad == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.check}-{f.where}")
def test_planted_fault_is_found_by_its_check_alone(fault, tmp_path):
    report = judge(make_run(tmp_path, {fault.where: fault.edit}))
    assert failing(report) == {fault.check, *fault.also}, report.bad
    assert report.counts["ERROR"] == 0, report.bad
    assert report.verdict == "FAILED"
    for result in report.results:
        if result.status is Status.FAILED:
            assert result.detail
            assert result.remedy


def test_every_gating_check_has_a_planted_fault():
    """Checks that only report (no gate) and the bundle's own check are tested by themselves.

    So are those of chains, posteriors, grids of models and campaigns, which the run that faults are
    planted in has not.
    """
    planted = {fault.check for fault in FAULTS}
    planted |= {"integrity.bundle", "structure.papers", "recovery.sigma_bias"}
    planted |= {"imaging.direction", "imaging.registration"}
    planted |= {"recovery.model_error", "recovery.posteriors"}
    planted |= {"difference.fraction", "noise.exposures", "noise.left_out_errors"}
    names = {check.name for check in all_checks()}
    elsewhere = ("convergence.", "kinematics.", "shockgrid.", "shocks.", "campaign.")
    assert planted == {name for name in names if not name.startswith(elsewhere)}


def second_group(**changes: float) -> Edit:
    """Add a group of fewer spaxels whose velocities are wrong."""

    def change(document: dict) -> None:
        first = document["groups"][0]
        document["groups"].append(first | {"group": "oi", "velocity_bias_kms": 70.0} | changes)

    return edit_json(change)


def test_every_group_with_enough_spaxels_has_to_be_recovered(tmp_path):
    report = judge(make_run(tmp_path / "enough", {"recovery": second_group(n_compared=40)}))
    assert failing(report) == {"recovery.velocity_bias"}
    assert "oi 70" in report.bad[0].detail
    report = judge(make_run(tmp_path / "few", {"recovery": second_group(n_compared=2)}))
    assert report.bad == ()


def large_fraction(document: dict) -> None:
    """Of the difference of the pointings alone: rivals that take nothing off do not help."""
    document["apertures"][0]["artefacts"] |= {"fraction": 0.6, "p025": 0.56, "p975": 0.64}


def large_rival(document: dict) -> None:
    document["apertures"][0] |= {"p84": 0.5, "p975": 0.6}


def one_pointing(document: dict) -> None:
    nothing = {"lines": [], "apertures": [], "tension": [], "offsets": [], "recovery": None}
    document |= nothing | {"status": "NOT EVALUATED", "sentence": "The other is missing."}


def test_a_blank_sky_has_nothing_to_compare_and_says_so(tmp_path):
    nothing = {"compared": 0, "pull_mean": None, "pull_scatter": None, "pull_largest": None}
    run = make_run(tmp_path, {"subtraction": set_field("recovery", value=nothing)})
    bad = judge(run).bad
    assert {row.check for row in bad} == {
        "recovery.ghosts", "recovery.ghost_scatter", "recovery.ghost_bias",
    }  # fmt: skip
    for row in bad:
        assert row.status is Status.SKIPPED
        assert "waive it for a scene without lines" in row.remedy


def test_too_few_ghosts_are_not_taken_for_good_ones(tmp_path):
    """Oracle: the row of acceptance.toml that says how many tell a root mean square."""
    few = int(load_acceptance().limit("recovery.ghosts_compared").value) - 1
    run = make_run(tmp_path, {"subtraction": set_field("recovery", "compared", value=few)})
    bad = judge(run).bad
    assert {row.check for row in bad} == {"recovery.ghost_scatter", "recovery.ghost_bias"}
    assert {row.status for row in bad} == {Status.SKIPPED}
    assert f"{few} fractions are too few to judge" in bad[0].detail


def test_images_that_show_no_shift_pass_and_say_so(tmp_path):
    def unseen(document: dict) -> None:
        document["registration"][0]["status"] = "not measured"

    report = judge(make_run(tmp_path, {"geometry": edit_json(unseen)}))
    assert report.bad == ()
    row = next(r for r in report.results if r.check == "imaging.registration")
    assert (row.measured, row.detail) == (None, "no shift was measured (which is only reported)")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (large_fraction, "wake up to 0.640 (outside the limit, which is only reported)"),
        (large_rival, "wake up to 0.030"),
        (one_pointing, "not evaluated (which is only reported): The other is missing."),
    ],
)
def test_what_backgrounds_take_off_is_reported_and_passes(edit, says, tmp_path):
    report = judge(make_run(tmp_path, {"subtraction": edit_json(edit)}))
    assert report.bad == ()
    row = next(r for r in report.results if r.check == "difference.fraction")
    assert says in row.detail


def test_an_archive_cube_with_its_background_subtracted_is_not_compared(tmp_path):
    def subtracted(document: dict) -> None:
        nothing = dict.fromkeys(("median_err", "scatter_err", "scatter_noise", "agreeing_fraction"))
        document["archive"] = {"subtracted": True, "compared": 0, **nothing}

    bad = judge(make_run(tmp_path, {"combination": edit_json(subtracted)})).bad
    assert {row.check for row in bad} == {"combine.archive_bias", "combine.archive_scatter"}
    assert {row.status for row in bad} == {Status.SKIPPED}  # what was not looked at has not passed


@pytest.mark.parametrize("row", ["noise.whitened_filter", "noise.left_filter"])
def test_a_target_with_another_kronecker_limit_has_the_same_one_for_the_filter(row):
    wide = {"noise.whitened_filter": "noise.whitened", "noise.left_filter": "noise.left"}[row]
    limit = load_acceptance().limit
    assert limit(row, "ngc7469").value == limit(row).value == limit(wide).value
    assert limit(wide, "ngc7469").value != limit(wide).value


def test_exposures_that_could_not_be_used_are_reported_and_fail_nothing(tmp_path):
    def unusable(document: dict) -> None:
        nothing = {"scale": None, "lag1": None, "left_out": [], "files": []}
        document["dithers"] = {"reason": "jw1 is on no whole spaxels", "given": 4, **nothing}

    report = judge(make_run(tmp_path, {"noisemodel": edit_json(unusable)}))
    assert report.bad == ()
    row = next(r for r in report.results if r.check == "noise.exposures")
    assert row.measured == 0
    assert "not evaluated: jw1 is on no whole spaxels" in row.detail
    assert "only reported" in row.detail


def test_a_limit_without_gate_reports_and_passes(tmp_path):
    run = make_run(tmp_path, {"recovery": group("sigma_bias_kms", 500.0)})
    report = judge(run)
    assert report.verdict == "PASSED"
    row = next(r for r in report.results if r.check == "recovery.sigma_bias")
    assert "only reported" in row.detail


def test_every_light_of_a_cube_keeps_its_shift(tmp_path):
    """The line's small shift, which comes last, must not hide the larger one of white light."""

    def two_lights(document: dict) -> None:
        (white,) = document["registration"]
        white["east_arcsec"], white["north_arcsec"] = 0.3, 0.4
        document["registration"].append(
            white | {"light": "Halpha", "east_arcsec": 0.0, "north_arcsec": 0.01}
        )

    report = judge(make_run(tmp_path, {"geometry": edit_json(two_lights)}))
    row = next(r for r in report.results if r.check == "imaging.registration")
    assert row.measured == pytest.approx(0.5)
    assert "t001 white 0.500, t001 Halpha 0.010" in row.detail
    assert "only reported" in row.detail


def test_a_profile_that_is_not_gaussian_is_no_noise_problem(tmp_path):
    """Bright spaxels with a large chi-square, as in NGC 7469, beside faint ones with a good one."""
    run = make_run(tmp_path, {"linemap": edit_fits(misfit_in_bright_spaxels)})
    assert judge(run).bad == ()


def test_a_bad_fit_does_not_make_a_line_faint(tmp_path):
    """Errors hold the misfit, so that the S/N of the table is no measure of brightness."""
    run = make_run(tmp_path, {"fluxes": bad_fit_of_a_bright_line})
    assert judge(run).bad == ()


# ---- bundles


def spoil_bytes(bundle: Path) -> None:
    path = bundle / "likelihood_lines.ecsv"
    path.write_text(path.read_text().replace("H alpha", "H alpho"))


def drop_file(bundle: Path) -> None:
    (bundle / "validation_t001_velocity.png").unlink(missing_ok=True)
    (bundle / layout.README_FILE).unlink()


def add_file(bundle: Path) -> None:
    (bundle / "extra.txt").write_text("not listed\n")


def spoil_verdict(bundle: Path) -> None:
    set_field("verdict", value="FAILED")(bundle / layout.CHECKS_FILE)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (spoil_bytes, {"integrity.bundle"}),
        (add_file, {"integrity.bundle"}),
        (drop_file, {"integrity.bundle", "structure.papers"}),
        (spoil_verdict, {"integrity.bundle", "structure.papers"}),
    ],
)
def test_bundle_fault_is_found(spoil: Callable[[Path], None], expected, good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    assert judge(bundle).bad == ()
    spoil(bundle)
    assert failing(judge(bundle)) == expected


def test_items_whose_maps_were_swapped_are_found(tmp_path):
    """Each map is sound by itself; only what it was made into tells."""
    other = tmp_path / "other.fits"
    run = make_run(tmp_path / "run")
    place = run / "products" / "inference" / "t001_linemap.fits"
    ard.write(other, ard.read(place).replace(meta={"TARGNAME": "another"}))
    place.write_bytes(other.read_bytes())
    assert {"structure.as_written", "structure.provenance"} <= failing(judge(run))


def test_bundle_input_that_is_another_file_is_found(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    document = io.read_json(good_run / "products" / layout.RUN_FILE)
    wrong = {"products/inference/t001_linemap.fits": SHA}
    set_field("provenance", "inputs", value=wrong)(bundle / "validation_t001_quality.json")
    write_lists(bundle, document)
    assert failing(judge(bundle)) == {"structure.provenance"}


def row_of(manifest: dict, name: str) -> dict:
    return next(row for row in manifest["files"] if row["name"] == name)


CUBE = HLSP.format(item="t001", layer="likelihood", product="cube")


def test_a_stamped_product_is_known_by_the_digest_of_the_runs_product(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    cube = good_run / "products/likelihood/t001_cube.fits"
    assert (bundle / CUBE).read_bytes() != cube.read_bytes()
    assert row_of(io.read_json(bundle / layout.MANIFEST_FILE), CUBE)["source_sha256"] == (
        io.sha256_file(cube)
    )
    rows = [row for row in judge(bundle).results if row.check == "structure.provenance"]
    assert len(rows) == 21
    assert {row.status for row in rows} == {Status.PASSED}


def test_a_wrong_digest_of_the_runs_product_is_found(good_run, tmp_path):
    # What was made from the cube names it by the run's digest; the manifest tells of another.
    bundle = make_bundle(good_run, tmp_path / "bundle")
    document = io.read_json(good_run / "products" / layout.RUN_FILE)
    write_lists(bundle, document, {**known_sources(bundle), CUBE: SHA})
    report = judge(bundle)
    assert failing(report) == {"structure.provenance"}
    assert {row.product for row in report.bad} == {
        HLSP.format(item="t001", layer="inference", product="linemap"),
        HLSP.format(item="t001", layer="likelihood", product="noise"),
        "validation_t001_noisemodel.json",
        "inference_t001_fluxes.ecsv",
        "inference_t001_spectra.ecsv",
    }


def test_only_a_fits_file_may_differ_from_the_runs_product(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    document = io.read_json(good_run / "products" / layout.RUN_FILE)
    inputs = {"products/likelihood/lines.ecsv": SHA}
    set_field("provenance", "inputs", value=inputs)(bundle / "validation_t001_quality.json")
    write_lists(bundle, document, {**known_sources(bundle), "likelihood_lines.ecsv": SHA})
    assert failing(judge(bundle)) == {"structure.provenance"}


def test_the_manifest_says_what_a_file_of_a_bundle_is(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    products = {file.name: file for file in look(bundle).products}
    assert (products[CUBE].layer, products[CUBE].item) == ("likelihood", "t001")
    assert (products[CUBE].product, products[CUBE].run_name) == ("cube", "t001_cube.fits")
    assert products[CUBE].place == "likelihood/t001_cube.fits"
    manifest = io.read_json(bundle / layout.MANIFEST_FILE)
    row_of(manifest, CUBE).update(layer="validation", product="t002_quality")
    io.write_json(bundle / layout.MANIFEST_FILE, manifest, overwrite=True)
    moved = {file.name: file for file in look(bundle).products}[CUBE]
    assert (moved.layer, moved.item, moved.product) == ("validation", "t002", "quality")
    assert {"integrity.bundle", "structure.schema"} <= failing(judge(bundle))


# ---- bundles in which small products share an archive

PACKED = ["validation_t001_quality.json", "validation_t001_recovery.json"]
ARCHIVE = "validation_packed.zip"


@pytest.fixture
def packed(good_run, tmp_path) -> Path:
    bundle = make_bundle(good_run, tmp_path / "bundle")
    pack(bundle, PACKED, ARCHIVE)
    write_lists(bundle, io.read_json(good_run / "products" / layout.RUN_FILE))
    return bundle


def test_products_that_share_an_archive_are_judged_one_by_one(packed):
    report = judge(packed)
    assert report.bad == ()
    asked = {row.check for row in report.results if row.product == f"{ARCHIVE}!t001_quality.json"}
    assert {"integrity.readable", "structure.schema", "structure.provenance"} <= asked
    assert {"physics.quality_noise", "physics.quality_agrees"} <= asked


def test_figures_in_several_zips_are_figures(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    figures = good_run / "products" / "validation" / layout.FIGURES_DIR
    for number, path in enumerate(sorted(figures.iterdir()), start=1):
        name = f"validation_figures-{number:03d}.zip"
        write_zip(bundle / name, {path.name: path.read_bytes()})
    write_lists(bundle, io.read_json(good_run / "products" / layout.RUN_FILE))
    report = judge(bundle)
    assert report.bad == ()
    assert any(row.product == "validation_figures-001.zip" for row in report.results)


def test_a_fault_inside_of_an_archive_is_found(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    set_field("cube", "noise_ratio", value=5.0)(bundle / PACKED[0])
    pack(bundle, PACKED, ARCHIVE)
    write_lists(bundle, io.read_json(good_run / "products" / layout.RUN_FILE))
    (row,) = judge(bundle).bad
    assert (row.check, row.product) == ("physics.quality_noise", f"{ARCHIVE}!t001_quality.json")


def test_an_archive_that_cannot_be_read_hides_nothing(packed):
    (packed / ARCHIVE).write_bytes(b"PK\x03\x04 no zip")
    report = judge(packed)
    assert {"integrity.bundle", "integrity.readable", "structure.inventory"} <= failing(report)
    assert report.counts["ERROR"] == 0, report.bad


def test_bundle_without_manifest_fails_and_does_not_raise(good_run, tmp_path):
    bundle = make_bundle(good_run, tmp_path / "bundle")
    (bundle / layout.MANIFEST_FILE).unlink()
    report = judge(bundle)
    assert {"structure.folder", "integrity.bundle"} <= failing(report)
    assert report.counts["ERROR"] == 0


def test_wrong_kind_under_a_known_name_breaks_no_check(tmp_path):
    """A map where the cube should be: reported by the schema, and nothing raises."""

    def swap(path: Path) -> None:
        other = ard.Map(
            {"velocity": np.zeros((2, 2))}, {"velocity": "km/s"}, np.zeros((2, 2), bool), make_wcs()
        )
        ard.write(path, other, overwrite=True)

    report = judge(make_run(tmp_path, {"cube": swap}))
    assert "structure.schema" in failing(report)
    assert report.counts["ERROR"] == 0, report.bad


def bare(hdus: fits.HDUList) -> None:
    for name in ("ERR", "WMAP", "DQ", "ASDF"):
        del hdus[name]


def no_layers(hdus: fits.HDUList) -> None:
    for name in ("VELOCITY", "SIGMA", "SNR", "CHI2_DOF"):
        del hdus[name]


@pytest.mark.parametrize(
    ("where", "edit", "expected"),
    [
        ("cube", edit_fits(bare), {"cube_errors", "cube_weights", "cube_wcs"}),
        ("linemap", edit_fits(no_layers), {"map_values", "map_velocity", "map_sigma", "map_snr"}),
        ("quality", lambda p: p.write_text('{"schema": "quality"}'), {"quality_noise"}),
        ("recovery", lambda p: p.write_text('{"schema": "recovery", "groups": 3}'), set()),
        ("noisemodel", lambda p: p.write_text('{"schema": "noise-model"}'), set()),
        ("noise", edit_fits(without("SIGMA")), set()),
        ("run", lambda p: p.write_text('{"schema": "run"}'), set()),
    ],
)
def test_missing_parts_fail_and_never_break_a_check(where, edit, expected, tmp_path):
    report = judge(make_run(tmp_path, {where: edit}))
    assert report.counts["ERROR"] == 0, report.bad
    assert {f"physics.{name}" for name in expected} <= failing(report)
    assert "structure.schema" in failing(report)


def all_masked(hdus: fits.HDUList) -> None:
    hdus["MASK"].data[:] = 1


def test_map_without_a_single_spaxel_fails(tmp_path):
    found = failing(judge(make_run(tmp_path, {"linemap": edit_fits(all_masked)})))
    assert {"physics.map_velocity", "physics.map_sigma", "physics.map_chi2"} <= found
    assert "physics.detected" in found


def rename(name: str) -> Edit:
    def edit(path: Path) -> None:
        place = path.parent / name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)

    return edit


@pytest.mark.parametrize(
    ("where", "edit", "expected", "says"),
    [
        ("figure", rename("T001 velocity.png"), "integrity.names", "unsafe name"),
        ("recovery", rename("../drafts/t001_recovery.json"), "structure.layout", "lies in drafts"),
        ("recovery", rename("t001_invented.json"), "structure.layout", "is no known product"),
        ("recovery", rename("t009_recovery.json"), "structure.layout", "item 't009'"),
        ("recovery", set_field("schema", value="invented"), "structure.schema", "no schema"),
        ("lines", lambda p: p.write_bytes(PNG), "integrity.readable", "not what its name"),
        ("exposures", rename("exposures.json"), "integrity.readable", "not what its name"),
        ("run", set_field("target", value="RBH-1"), "structure.schema", "target"),
        ("run", set_field("products", value=[]), "structure.inventory", "not listed"),
        ("run", set_field("simulated", value=None), "structure.schema", "simulated"),
    ],
)
def test_misplaced_and_misnamed_products_are_found(where, edit, expected, says, tmp_path):
    """Such faults break more than one rule; the right one has to be among them."""
    report = judge(make_run(tmp_path, {where: edit}))
    details = [row.detail for row in report.results if row.check == expected and not row.good]
    assert any(says in detail for detail in details), report.bad
    assert report.counts["ERROR"] == 0, report.bad
    assert report.verdict == "FAILED"
