"""What is in an image around the feature: the host, the feature itself, its neighbours, the sky?

Both stages, geometry and photometry, look at an image in this one way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from ard.errors import ArdError, FormatError
from manifests import Position, Target
from manifests.filters import Filter, Filters
from pipeline.reduce.imaging import noise, parts, sources, strip
from pipeline.reduce.imaging.images import Image
from pipeline.reduce.imaging.parts import Box, solid_angles
from pipeline.reduce.imaging.sphere import Axis, position_angle_deg, separation_arcsec
from pipeline.reduce.imaging.strip import Measured, Seen, Strip, Sums

_SPARE_PIXELS: Final = 5  # beyond what is asked for, for gradients and the noise of neighbours
# What is varied to see how much hangs on a choice, and by which factor.
_CHOICES: Final = (
    ("window_arcsec", 2.0 / 3.0),
    ("window_arcsec", 1.5),
    ("mirror_from_arcsec", 0.5),
    ("mirror_from_arcsec", 1.5),
)
# Flux density of AB magnitude 0, 10^(-0.4 48.60) erg/s/cm2/Hz, in uJy.
AB_UJY: Final = 10 ** (-0.4 * 48.60) * 1e29


@dataclass(frozen=True)
class Looking:
    """How an image is looked at; lengths are on the sky.

    Attributes
    ----------
    peak_sigma, edge_sigma : float
        A source peaks above the first and ends below the second, in units of the smoothed noise.
    compact_arcsec, extended_arcsec : float
        Standard deviations of the two smoothings that compact and extended sources are found with.
    background_arcsec : float
        Light that varies over more than this is background, not noise.
    correlation_pixels : int
        How far the noise of pixels is followed.
    feature_arcsec : float
        A source whose peak lies this near to the axis, between host and tip, is part of the
        feature; others are neighbours and masked.
    host_arcsec : float
        A source with its peak this near to the host is the host.
    window_arcsec : float
        Standard deviation of the window in which the host's centre is found.
    mirror_from_arcsec, mirror_half_arcsec : float
        From the first distance to the host's centre on, and within the second of the axis, the
        feature may outshine the host: there the host's other side stands in for it, and neither
        side takes part in finding the centre. Nearer, a real host is too lopsided for that.
    sky_arcsec : (float, float)
        Distances from the axis between which the sky beside the feature is taken.
    cell_arcsec : float
        Side of the cells into which the light is sorted.
    half_width_arcsec : float
        Half of the width over which light across the axis is added up.
    wake_from_arcsec : float
        The feature is measured from here on; nearer to its centre is the host's.
    """

    peak_sigma: float = 5.0
    edge_sigma: float = 2.5
    compact_arcsec: float = 0.06
    extended_arcsec: float = 0.25
    background_arcsec: float = 1.0
    correlation_pixels: int = 4
    feature_arcsec: float = 0.3
    host_arcsec: float = 0.6
    window_arcsec: float = 0.15
    mirror_from_arcsec: float = 0.3
    mirror_half_arcsec: float = 0.4
    sky_arcsec: tuple[float, float] = (0.75, 1.75)
    cell_arcsec: float = 0.05
    half_width_arcsec: float = 0.25
    wake_from_arcsec: float = 1.0

    def __post_init__(self) -> None:
        near, far = self.sky_arcsec
        if not 0 < self.edge_sigma <= self.peak_sigma or self.correlation_pixels < 0:
            raise ValueError("0 < edge_sigma <= peak_sigma and correlation_pixels >= 0 needed")
        if not 0 < self.half_width_arcsec < near < far:
            raise ValueError("half_width_arcsec below sky_arcsec, which must increase, needed")
        lengths = (self.compact_arcsec, self.extended_arcsec, self.background_arcsec)
        if min(*lengths, self.window_arcsec, self.cell_arcsec, self.wake_from_arcsec) <= 0:
            raise ValueError("lengths must be positive")
        for width in (near, far, self.half_width_arcsec, self.wake_from_arcsec):
            if abs(width / self.cell_arcsec - round(width / self.cell_arcsec)) > 1e-6:
                raise ValueError("widths must be whole numbers of cell_arcsec")


@dataclass(frozen=True, eq=False)
class View:
    """One image, with what was found in it.

    Attributes
    ----------
    seen : Seen
        Image and noise; neighbours are excluded.
    host : sources.Centroid
        Centre of the host, in pixels.
    host_place : Position
        The same on the sky.
    host_covariance : ndarray, shape (2, 2)
        Of its place to the east and north, arcsec^2.
    neighbours : int
        How many sources were masked within the strip and the sky beside it.
    pixel_arcsec : float
        Side of a square pixel of the same area.
    declared : Filter
        What is declared about its filter.
    """

    seen: Seen
    host: sources.Centroid
    host_place: Position
    host_covariance: FloatArray
    neighbours: int
    pixel_arcsec: float
    declared: Filter

    @property
    def image(self) -> Image:
        """The image."""
        return self.seen.image

    def part(self, x: float, y: float, reach_arcsec: float) -> "View":
        """Give what lies around a pixel: sums over it need no plane of a whole mosaic."""
        pixels = int(np.ceil(reach_arcsec / self.pixel_arcsec)) + _SPARE_PIXELS
        box = parts.box_at(x, y, pixels, self.image.shape)
        found = replace(
            self.seen.noise, sigma=self.seen.noise.sigma[box], blank=self.seen.noise.blank[box]
        )
        host = replace(self.host, x=self.host.x - box[1].start, y=self.host.y - box[0].start)
        seen = Seen(_cut(self.image, box), found, self.seen.excluded[box])
        return replace(self, seen=seen, host=host)


# A view of the host, and how it was looked at.
Varied = tuple[View, Looking]


def declared_axis(target: Target) -> tuple[Axis, float]:
    """Give the declared axis of the feature, from the host, and its length in arcsec.

    Raises
    ------
    ArdError
        If the target declares no tip.
    """
    if target.tip is None:
        raise ArdError(
            "the target has no feature to measure",
            expected="a [target.tip] in its manifest",
            found=f"{target.name} has a host alone",
            action="declare the tip, or run without images",
        )
    host = (target.host.ra_deg, target.host.dec_deg)
    tip = (target.tip.ra_deg, target.tip.dec_deg)
    return Axis(*host, position_angle_deg(host, tip)), separation_arcsec(host, tip)


def covering(images: Mapping[str, Iterable[Image]], axis: Axis, length: float) -> tuple[Image, ...]:
    """Choose, of the chips of each file, the one that shows host and tip; of a large one a part.

    Raises
    ------
    FormatError
        If no chip of a file does; it names the file.
    """
    chosen = []
    for name in sorted(images):
        showing = [image for image in images[name] if _shows(image, axis, length)]
        if not showing:
            raise FormatError(
                "the image does not cover the target",
                file=name,
                expected=f"host ({axis.ra_deg:.5f}, {axis.dec_deg:.5f}) and tip, "
                f"{length:.2f} arcsec away, on usable pixels",
                found="pixels that end before, or are masked there",
                action="leave the image out, or check host and tip in the target's manifest",
            )
        chosen.append(_near(showing[0], axis, length))
    return tuple(chosen)


def _near(image: Image, axis: Axis, length: float) -> Image:
    """Cut what lies around host and tip out of a large image, whatever it was pointed at."""
    box = parts.box_around((axis.place(0.5 * length),), image.wcs, image.shape)
    return _cut(image, box)


def _cut(image: Image, box: Box) -> Image:
    return replace(
        image,
        flux=image.flux[box],
        weight=image.weight[box],
        mask=image.mask[box],
        wcs=parts.shifted(image.wcs, box),
    )


def _shows(image: Image, axis: Axis, length: float) -> bool:
    places = [axis.place(0.0), axis.place(length)]
    x, y = image.wcs.all_world2pix(*np.transpose(places), 0, quiet=True)
    ny, nx = image.shape
    columns, rows = np.rint(np.nan_to_num(np.stack([x, y]), nan=-9.0)).astype(int)
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    return bool(inside.all()) and not image.mask[rows, columns].any()


def look(image: Image, axis: Axis, length: float, looking: Looking, filters: Filters) -> View:
    """Find host, feature and neighbours in an image, and measure its noise.

    Parameters
    ----------
    image : Image
    axis : Axis
        From the host toward the tip.
    length : float
        To the tip, arcsec.
    looking : Looking
    filters : Filters
        The declared filters.

    Raises
    ------
    FormatError
        If the image has too little sky, or no source at the place of the host.
    ManifestError
        If its filter is not declared.
    """
    declared = filters.named(image.band)
    x0, y0 = (float(v) for v in image.wcs.all_world2pix(axis.ra_deg, axis.dec_deg, 0))
    pixel = float(np.sqrt(solid_angles(image.wcs, np.array([x0]), np.array([y0]))[0]))
    compact, extended = (
        sources.find(
            image,
            peak_sigma=looking.peak_sigma,
            edge_sigma=looking.edge_sigma,
            smoothing_pixels=size / pixel,
        )
        for size in (looking.compact_arcsec, looking.extended_arcsec)
    )
    rows, columns = np.indices(image.shape)
    along, across = axis.offsets(*image.wcs.all_pix2world(columns, rows, 0))
    reach = looking.sky_arcsec[0]
    feature = (np.abs(across) < reach) & (along > -reach) & (along < length + reach)
    found = noise.measure(
        image,
        compact.any | extended.any | feature,
        looking.correlation_pixels,
        looking.background_arcsec / pixel,
    )
    own = _own(compact, along, across, length, looking)
    near = (np.abs(across) < looking.sky_arcsec[1]) & (along > -reach) & (along < length + reach)
    centre = _centre(image, found, axis, (x0, y0), looking.window_arcsec / pixel, looking)
    ra, dec = (float(v) for v in image.wcs.all_pix2world(centre.x, centre.y, 0))
    return View(
        seen=Seen(image, found, image.mask | compact.chosen(~own)),
        host=centre,
        host_place=Position(ra, dec),
        host_covariance=_on_sky(image, centre),
        neighbours=int(np.count_nonzero(~own & near[compact.peaks[:, 1], compact.peaks[:, 0]])),
        pixel_arcsec=pixel,
        declared=declared,
    )


def _centre(
    image: Image,
    found: noise.Noise,
    axis: Axis,
    start: tuple[float, float],
    sigma_pixels: float,
    looking: Looking,
) -> sources.Centroid:
    """Find the host's centre, first with all light, then without the feature and its mirror image.

    What is left out is the same on both sides of the first centre, so that a host that is
    symmetric keeps its centre, while light of the feature on one side cannot pull at it.
    """
    first = sources.centroid(image, found, start, sigma_pixels)
    ra, dec = (float(v) for v in image.wcs.all_pix2world(first.x, first.y, 0))
    rows, columns = np.indices(image.shape)
    along, across = Axis(ra, dec, axis.pa_deg).offsets(*image.wcs.all_pix2world(columns, rows, 0))
    feature = (np.abs(along) > looking.mirror_from_arcsec) & (
        np.abs(across) < looking.mirror_half_arcsec
    )
    return sources.centroid(image, found, (first.x, first.y), sigma_pixels, without=feature)


def varied(view: View, axis: Axis, looking: Looking, reach_arcsec: float) -> list[Varied]:
    """Look at the host with other choices: window and inner end of the mirror, one at a time.

    Parameters
    ----------
    view : View
    axis : Axis
        From the host toward the tip.
    looking : Looking
        What was chosen.
    reach_arcsec : float
        How much around the host is needed.

    Returns
    -------
    list of (View, Looking)
        Of the part around the host, with its other centre; what was chosen is not among them.
    """
    near = view.part(view.host.x, view.host.y, reach_arcsec)
    found: list[Varied] = []
    for name, factor in _CHOICES:
        other = replace(looking, **{name: factor * getattr(looking, name)})
        sigma = other.window_arcsec / view.pixel_arcsec
        start = (near.host.x, near.host.y)
        centre = _centre(near.image, near.seen.noise, axis, start, sigma, other)
        place = near.image.wcs.all_pix2world(centre.x, centre.y, 0)
        found.append((replace(near, host=centre, host_place=Position(*map(float, place))), other))
    return found


def _own(
    found: sources.Sources, along: FloatArray, across: FloatArray, length: float, looking: Looking
) -> BoolArray:
    """Say which sources are host or feature, by their peaks."""
    columns, rows = found.peaks.T.astype(int)
    s, c = along[rows, columns], across[rows, columns]
    is_feature = (np.abs(c) < looking.feature_arcsec) & (s > 0) & (s < length + looking.host_arcsec)
    return np.asarray(is_feature | (np.hypot(s, c) < looking.host_arcsec))


def _on_sky(image: Image, centre: sources.Centroid) -> FloatArray:
    """Turn the covariance of a centre from pixels to arcsec to the east and north."""
    ra, dec = (float(v) for v in image.wcs.all_pix2world(centre.x, centre.y, 0))
    north = Axis(ra, dec, 0.0)
    half = 0.5
    steps = np.array([[half, 0.0], [-half, 0.0], [0.0, half], [0.0, -half]])
    places = image.wcs.all_pix2world(centre.x + steps[:, 0], centre.y + steps[:, 1], 0)
    offsets = np.stack(north.offsets(*places)[::-1])  # across a circle to the north is east
    jacobian = np.stack([offsets[:, 0] - offsets[:, 1], offsets[:, 2] - offsets[:, 3]], axis=1)
    return np.asarray(jacobian @ centre.covariance @ jacobian.T)


def edges(start: float, stop: float, step: float) -> FloatArray:
    """Give edges that are whole numbers of steps, so that equal edges are equal numbers."""
    first, last = round(start / step), round(stop / step)
    return np.round(np.arange(first, last + 1) * step, 9)


def strip_of(view: View, axis: Axis, length: float, looking: Looking) -> Strip:
    """Cut the strip around the feature out of an image, from behind the host to beyond the tip."""
    far = looking.sky_arcsec[1]
    along = edges(-far, length + far, looking.cell_arcsec)
    return strip.cut(view.seen, axis, along, edges(-far, far, looking.cell_arcsec))


def sky_of(cells: Strip, length: float, looking: Looking) -> Sums:
    """Give the sky beside the feature, from where it is measured to its tip."""
    stop = float(edges(0.0, length, looking.cell_arcsec)[-1])
    return cells.beside((looking.wake_from_arcsec, stop), looking.sky_arcsec)


def by_band(views: Sequence[View]) -> dict[str, list[int]]:
    """Give the numbers of the views of each filter, filters in order of their declared pivot.

    The header's own pivot is not asked: cut-outs without PHOTPLAM have none.
    """
    bands: dict[str, list[int]] = {}
    pivot = [v.declared.pivot_angstrom for v in views]
    order = sorted(range(len(views)), key=lambda k: (pivot[k], k))
    for k in order:
        bands.setdefault(views[k].image.band, []).append(k)
    return bands


def averaged(parts: Sequence[Measured], views: Sequence[View]) -> Measured:
    """Average the images of one filter, in uJy (or uJy/arcsec^2)."""
    scaled = [
        part.scaled(AB_UJY * 10 ** (-0.4 * view.image.zero_point_ab))
        for part, view in zip(parts, views, strict=True)
    ]
    return strip.mean(scaled)


def ab_magnitude(flux_ujy: float) -> float:
    """Give the AB magnitude of a flux density; NaN where it is not above 0."""
    return -2.5 * float(np.log10(flux_ujy / AB_UJY)) if flux_ujy > 0 else float("nan")
