"""Where does the wake lie on the images, what of it does the IFU see, how does its light run?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack
from scipy.ndimage import map_coordinates

from ard.cube import FloatArray
from ard.table import Table
from manifests import Target
from manifests.filters import COLOUR
from pipeline.figures import style
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.sphere import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIELD_COLOURS: Final = (style.BLUE, style.VERMILION, style.COMPASS, style.BLACK)
_BAND_COLOURS: Final = (style.BLUE, style.VERMILION, style.COMPASS, style.BLACK)
_BAND_MARKS: Final = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Config:
    """Settings of the figures of the images.

    Attributes
    ----------
    margin_arcsec : float
        Sky that is shown around host, wake and fields.
    pixel_arcsec : float
        Pixel of the panels, which are turned to have north up.
    stretch_sigma : float
        Where the grey scale turns from linear to logarithmic, in units of the pixel noise.
    bright_sigma : float
        What is black.
    """

    margin_arcsec: float = 1.2
    pixel_arcsec: float = 0.03
    stretch_sigma: float = 2.0
    bright_sigma: float = 25.0


def run(
    *,
    images: Mapping[str, Sequence[Image]],
    geometry: Mapping[str, Any],
    photometry: Table,
    colours: Table,
    target: Target,
    config: Config,
) -> dict[str, Any]:
    """Draw the images with the fields of the cubes, and the light along the wake.

    Parameters
    ----------
    images : mapping of str to sequence of Image
        The chips of each file.
    geometry : mapping
        The document of the geometry stage.
    photometry, colours : Table
        The tables of the photometry stage.
    target : Target
        Its name is the title.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``panel``, ``wake``: PNG bytes; ``panel_data``, ``wake_data``: Tables.
    """
    meta = {"SIMULATD": bool(geometry["simulated"])}
    return {
        "panel": _draw_panel(images, geometry, target, config),
        "panel_data": Table(_outlines(geometry), meta),
        "wake": _draw_wake(geometry, photometry, colours, target),
        "wake_data": Table(_series(geometry, photometry, colours), meta),
    }


# ---- the images


def _draw_panel(
    images: Mapping[str, Sequence[Image]],
    geometry: Mapping[str, Any],
    target: Target,
    config: Config,
) -> bytes:
    shown = _one_of_each(images, geometry)
    north = Axis(geometry["host"]["ra_deg"], geometry["host"]["dec_deg"], 0.0)
    box = _box(geometry, north, config)
    with style.style():
        figure = style.new(4.6 * len(shown) + 0.4, 5.8)
        row = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (image, facts) in zip(row, shown, strict=True):
            _show(axes, image, facts, north, box, config)
            _mark(axes, geometry, north)
            axes.set_title(f"{image.band}, {image.meta.get('INSTRUME', 'HST')}")
            axes.set_xlabel("east offset from the host [arcsec]")
        row[0].set_ylabel("north offset from the host [arcsec]")
        _scale_bar(row[0], box, float(geometry["wake"]["kpc_per_arcsec"]))
        legend = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}
        row[-1].legend(loc="upper left", fontsize=8, **legend)
        wake = geometry["wake"]
        figure.suptitle(
            f"{target.name}: PA {wake['pa_deg']:.2f} ± {wake['pa_err']:.2f} deg, "
            f"{wake['length_arcsec']:.2f} ± {wake['length_err']:.2f} arcsec from host to edge"
            f"{_note(geometry)}",
            fontsize=9,
        )
        return style.png(figure)


def _one_of_each(
    images: Mapping[str, Sequence[Image]], geometry: Mapping[str, Any]
) -> list[tuple[Image, Mapping[str, Any]]]:
    """Give the first image of each filter, in the order of the document, with its facts."""
    chips = [image for name in sorted(images) for image in images[name]]
    found = []
    for band in geometry["bands"]:
        facts = next(row for row in geometry["images"] if row["band"] == band["band"])
        key = (facts["file"], facts["band"])
        found.append((next(c for c in chips if (c.file, c.band) == key), facts))
    return found


def _box(geometry: Mapping[str, Any], north: Axis, config: Config) -> tuple[float, ...]:
    """Give the ends of the panel: east, west, south, north of the host, arcsec."""
    tip = geometry["wake"]["tip"]
    places = [[tip["ra_deg"], tip["dec_deg"]], [north.ra_deg, north.dec_deg]]
    places += [corner for field in geometry["fields"] for corner in field["corners_deg"]]
    n, e = north.offsets(*np.transpose(places))
    half = 0.5 * float(max(np.ptp(n), np.ptp(e))) + config.margin_arcsec
    middle_e, middle_n = (0.5 * float(k.min() + k.max()) for k in (e, n))
    return middle_e + half, middle_e - half, middle_n - half, middle_n + half


def _show(
    axes: "Axes",
    image: Image,
    facts: Mapping[str, Any],
    north: Axis,
    box: tuple[float, ...],
    config: Config,
) -> None:
    """Show the image with north up: the nearest pixels, joined by straight lines."""
    east, west, south, top = box
    n = round((east - west) / config.pixel_arcsec)
    e_grid, n_grid = np.meshgrid(np.linspace(east, west, n), np.linspace(south, top, n))
    corners = [north.place(float(b), float(a)) for a in (east, west) for b in (south, top)]
    # Over so small a field offsets to the east and north are linear in the pixels of the corners.
    x, y = image.wcs.all_world2pix(*np.transpose(corners), 0, quiet=True)
    u_, v_ = (e_grid - east) / (west - east), (n_grid - south) / (top - south)
    columns, rows = (
        c[0] + (c[2] - c[0]) * u_ + (c[1] - c[0]) * v_ for c in (np.asarray(x), np.asarray(y))
    )
    filled = np.where(image.mask, facts["sky"], np.nan_to_num(image.flux))
    values = map_coordinates(filled, [rows, columns], order=1, mode="constant", cval=facts["sky"])
    scaled = (values - facts["sky"]) / (facts["sigma"] * config.stretch_sigma)
    grey = np.arcsinh(scaled)
    top_value = np.arcsinh(config.bright_sigma / config.stretch_sigma)
    axes.imshow(
        grey, extent=(east, west, south, top), cmap="gray_r", vmin=-0.6, vmax=float(top_value)
    )


def _mark(axes: "Axes", geometry: Mapping[str, Any], north: Axis) -> None:
    """Draw the fields of the cubes, the host, the edge of the wake, and its direction."""
    for field, colour in zip(geometry["fields"], _FIELD_COLOURS, strict=False):
        ra, dec = np.transpose(field["corners_deg"])
        n, e = north.offsets(ra, dec)
        # White below, so that the line is seen on the sky and on bright sources.
        around = (np.append(e, e[0]), np.append(n, n[0]))
        axes.plot(*around, color="white", lw=3.2)
        axes.plot(*around, color=colour, lw=1.6, label=f"IFU {field['item']}")
    wake = geometry["wake"]
    axis = Axis(north.ra_deg, north.dec_deg, wake["pa_deg"])
    ends = [axis.place(s, c) for c in (-0.9, 0.9) for s in (1.0, wake["length_arcsec"])]
    n, e = north.offsets(*np.transpose(ends))
    for k in (0, 2):
        axes.plot(
            e[k : k + 2], n[k : k + 2], color=style.GREY, lw=0.9, ls="--",
            label="direction of the wake" if k == 0 else None,
        )  # fmt: skip
    n, e = north.offsets(*axis.place(wake["length_arcsec"]))
    axes.plot(0, 0, "+", color=style.COMPASS, ms=10, mew=1.6, label="host")
    axes.plot(float(e), float(n), "x", color=style.COMPASS, ms=8, mew=1.6, label="edge of the wake")


def _scale_bar(axes: "Axes", box: tuple[float, ...], kpc_per_arcsec: float) -> None:
    """Draw a bar of 10 kpc in the lower left corner, and which way north and east are."""
    east, west, south, top = box
    x, y = east - 0.06 * (east - west), south + 0.07 * (top - south)
    length = 10.0 / kpc_per_arcsec
    axes.plot([x, x - length], [y, y], color=style.BLACK, lw=2.0)
    axes.text(x - length / 2, y + 0.15, "10 kpc", ha="center", va="bottom", fontsize=8)


def _outlines(geometry: Mapping[str, Any]) -> QTable:
    """Give what is drawn on the images: corners of fields, host, peak, as places on the sky."""
    rows = [("host", geometry["host"]), ("peak", geometry["wake"]["tip"])]
    names = [name for name, _ in rows]
    places = [(place["ra_deg"], place["dec_deg"]) for _, place in rows]
    for field in geometry["fields"]:
        names += [f"field {field['item']}"] * len(field["corners_deg"])
        places += [tuple(corner) for corner in field["corners_deg"]]
    ra, dec = np.transpose(places)
    return QTable({"what": names, "ra_deg": ra * u.deg, "dec_deg": dec * u.deg})


# ---- the light along the wake


def _draw_wake(
    geometry: Mapping[str, Any], photometry: Table, colours: Table, target: Target
) -> bytes:
    with style.style():
        figure = style.new(7.2, 7.4)
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1.3, 1.0, 1.0))
        bands = [row["band"] for row in geometry["bands"]]
        for k, band in enumerate(bands):
            _profile(top, photometry, band, k)
            _widths(bottom, geometry["bands"][k], k)
        top.axhline(0.0, color=style.GREY, lw=0.8)
        top.set_ylabel("surface brightness\n[uJy / arcsec$^2$]")
        top.legend(fontsize=8, loc="upper left")
        _comparison(middle, colours)
        bottom.set_ylabel("cross-section FWHM\n[arcsec]")
        bottom.set_ylim(0.0, 1.45 * bottom.get_ylim()[1])
        bottom.legend(fontsize=8, loc="upper left", ncol=len(bands))
        bottom.set_xlabel("distance from the host along the wake [arcsec]")
        wake = geometry["wake"]
        for axes in (top, middle, bottom):
            low, high = (wake["length_arcsec"] + s * wake["length_err"] for s in (-1, 1))
            axes.axvspan(low, high, color=style.GREY, alpha=0.35, lw=0)
        top.annotate(
            "edge", (wake["length_arcsec"], 0.97), xycoords=("data", "axes fraction"),
            ha="left", va="top", fontsize=8, xytext=(4, 0), textcoords="offset points",
        )  # fmt: skip
        _fields(top, geometry)
        figure.suptitle(f"{target.name}: light along the wake{_note(geometry)}", fontsize=9)
        return style.png(figure)


def _profile(axes: "Axes", photometry: Table, band: str, k: int) -> None:
    data = photometry.data[np.asarray(photometry.data["band"]) == band]
    middle, half = _intervals(data)
    axes.errorbar(
        middle, data["brightness"].value, yerr=data["brightness_err"].value, xerr=half,
        fmt=_BAND_MARKS[k], ms=3.5, lw=1.0, color=_BAND_COLOURS[k], label=band,
    )  # fmt: skip


def _intervals(data: QTable) -> tuple[FloatArray, FloatArray]:
    first, last = data["from_arcsec"].value, data["to_arcsec"].value
    return 0.5 * (first + last), 0.5 * (last - first)


def _comparison(axes: "Axes", colours: Table) -> None:
    """Draw the colour of the first pair of filters along the wake, or their difference."""
    data = colours.data[np.asarray(colours.data["source"]) == "profile"]
    first, second = str(data["first"][0]), str(data["second"][0])
    data = data[(np.asarray(data["first"]) == first) & (np.asarray(data["second"]) == second)]
    middle, half = _intervals(data)
    is_colour = str(data["kind"][0]) == COLOUR
    name = "colour" if is_colour else "difference"
    axes.errorbar(
        middle, data[name].value, yerr=data[f"{name}_err"].value, xerr=half,
        fmt="o", ms=3.5, lw=1.0, color=style.BLACK,
    )  # fmt: skip
    if is_colour:
        axes.set_ylabel(f"{first} - {second}\n[mag AB]")
        return
    axes.axhline(0.0, color=style.GREY, lw=0.8)
    axes.set_ylabel(f"light that only {first} passes,\nnot {second} [uJy]")


def _widths(axes: "Axes", band: Mapping[str, Any], k: int) -> None:
    rows = [r for r in band["sections"] if r["kind"] == "section" and r["fwhm_arcsec"] is not None]
    colour, mark, name = _BAND_COLOURS[k], _BAND_MARKS[k], band["band"]
    middle = np.array([0.5 * (r["from_arcsec"] + r["to_arcsec"]) for r in rows]) + 0.04 * k
    axes.errorbar(
        middle, [r["fwhm_arcsec"] for r in rows], yerr=[r["fwhm_err"] for r in rows],
        fmt=mark, ms=4.0, lw=1.0, color=colour, label=f"{name}, observed",
    )  # fmt: skip
    sharp = [(m, r) for m, r in zip(middle, rows, strict=True) if r["intrinsic_arcsec"] is not None]
    axes.errorbar(
        [m for m, _ in sharp], [r["intrinsic_arcsec"] for _, r in sharp],
        yerr=[r["intrinsic_err"] for _, r in sharp],
        fmt=mark, ms=4.0, lw=0.8, mfc="white", color=colour, label=f"{name}, PSF taken off",
    )  # fmt: skip
    axes.axhline(band["psf_fwhm_arcsec"], color=colour, lw=0.9, ls=":", label=f"{name}, PSF")


def _fields(axes: "Axes", geometry: Mapping[str, Any]) -> None:
    """Say at the lower edge what of the wake each cube sees."""
    for k, (field, colour) in enumerate(zip(geometry["fields"], _FIELD_COLOURS, strict=False)):
        if field["from_arcsec"] is None:
            continue
        height = 0.03 + 0.06 * k
        axes.plot(
            [field["from_arcsec"], field["to_arcsec"]], [height, height],
            transform=axes.get_xaxis_transform(), color=colour, lw=3.0, solid_capstyle="butt",
        )  # fmt: skip
        axes.annotate(
            f"IFU {field['item']} ", (field["from_arcsec"], height),
            xycoords=axes.get_xaxis_transform(), ha="right", va="center", fontsize=7, color=colour,
        )  # fmt: skip


def _series(geometry: Mapping[str, Any], photometry: Table, colours: Table) -> QTable:
    """Give the values behind the figure: quantity, filter, interval, value, error."""
    parts = []
    data = photometry.data
    parts.append(_part("brightness", data["band"], data, "brightness", "uJy/arcsec2"))
    profile = colours.data[np.asarray(colours.data["source"]) == "profile"]
    pairs = [f"{a} - {b}" for a, b in zip(profile["first"], profile["second"], strict=True)]
    for name, unit in (("colour", "mag"), ("difference", "uJy")):
        parts.append(_part(name, pairs, profile, name, unit))
    rows = [(b["band"], r) for b in geometry["bands"] for r in b["sections"] if r["fwhm_arcsec"]]
    if rows:
        section = QTable(
            {
                "from_arcsec": [r["from_arcsec"] for _, r in rows] * u.arcsec,
                "to_arcsec": [r["to_arcsec"] for _, r in rows] * u.arcsec,
                "fwhm": [r["fwhm_arcsec"] for _, r in rows] * u.arcsec,
                "fwhm_err": [r["fwhm_err"] for _, r in rows] * u.arcsec,
            }
        )
        parts.append(_part("fwhm", [band for band, _ in rows], section, "fwhm", "arcsec"))
    table = vstack(parts)
    return table[np.isfinite(table["value"])]


def _part(name: str, bands: Any, data: QTable, column: str, unit: str) -> QTable:
    return QTable(
        {
            "quantity": [name] * len(data),
            "band": [str(band) for band in bands],
            "unit_of_value": [unit] * len(data),
            "from_arcsec": data["from_arcsec"],
            "to_arcsec": data["to_arcsec"],
            "value": data[column].value,
            "err": data[f"{column}_err"].value,
        }
    )


def _note(geometry: Mapping[str, Any]) -> str:
    return "  (SIMULATED)" if geometry["simulated"] else ""
