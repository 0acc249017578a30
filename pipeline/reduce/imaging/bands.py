"""What does each filter say about direction, length and width of the wake?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ard.cube import FloatArray
from ard.errors import FormatError
from manifests import Position
from pipeline.reduce.imaging import ridge, strip, tip, view
from pipeline.reduce.imaging.sphere import Axis, position_angle_deg, separation_arcsec
from pipeline.reduce.imaging.strip import Measured, Strip
from pipeline.reduce.imaging.view import View

# Gives the brightness in cells: edges along the axis and across it.
Profile = Callable[[FloatArray, FloatArray], Measured]


@dataclass(frozen=True)
class Config(view.Looking):
    """Settings of the geometry stage, besides those of `view.Looking`.

    Attributes
    ----------
    interval_arcsec : float
        Length of the intervals in which the ridge is fitted.
    section_arcsec : float
        Length of the intervals in which the cross-section is fitted.
    whole_sections_arcsec : (float, float)
        One more section, between these distances from the host, where the wake is brightest.
    ridge_half_arcsec : float
        How far from the axis light takes part in these fits.
    sigma_start_arcsec : float
        Width that the fits begin with.
    tip_search_arcsec : float
        How far from the declared tip, to either side, the peak is looked for.
    smoothing_arcsec : float
        FWHM of the smoothing of the profile near the tip.
    draws : int
        Profiles drawn for the errors of the tip.
    snr_min : float
        A cross-section of a lower signal-to-noise ratio has no width, and an end whose peak has a
        lower one is none.
    line_kms : float
        Half width of what is left out around lines, for the white light of a cube.
    shift_line : str
        The line whose image is registered besides the white light, where a cube covers it.
    shift_line_kms : float
        Half width of that line; the continuum is taken from one to three of it.
    shift_search_arcsec : float
        Largest shift between cube and image.
    shift_snr_min : float
        A cube in which the image is seen with less has no shift.
    seed : int
        Of the draws.
    """

    interval_arcsec: float = 0.5
    section_arcsec: float = 1.0
    whole_sections_arcsec: tuple[float, float] = (4.0, 7.5)
    ridge_half_arcsec: float = 0.6
    sigma_start_arcsec: float = 0.1
    tip_search_arcsec: float = 0.7
    smoothing_arcsec: float = 0.15
    draws: int = 400
    snr_min: float = 5.0
    line_kms: float = 1500.0
    shift_line: str = "Halpha"
    shift_line_kms: float = 600.0
    shift_search_arcsec: float = 0.3
    shift_snr_min: float = 8.0
    seed: int = 17301

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 10 or min(self.interval_arcsec, self.section_arcsec) <= 0:
            raise ValueError("10 draws or more, and intervals above 0 needed")
        if self.ridge_half_arcsec > self.sky_arcsec[0]:
            raise ValueError("ridge_half_arcsec must end before sky_arcsec begins")


@dataclass(frozen=True, eq=False)
class Band:
    """What the images of one filter say.

    Attributes
    ----------
    name : str
        The filter.
    views : tuple of View
        Its images.
    line : ridge.Line
        The ridge, against the axis it was measured along.
    end : tip.Tip
        Peak and edge, from the host along the axis.
    sections : tuple of dict
        The cross-section in intervals, as the document holds them.
    tip_place : (float, float)
        The ridge at the peak: right ascension and declination, deg.
    pa_deg, pa_err : float
        Direction from the host to there, deg.
    length_arcsec, length_err : float
        From the host to the edge.
    """

    name: str
    views: tuple[View, ...]
    line: ridge.Line
    end: tip.Tip
    sections: tuple[dict[str, Any], ...]
    tip_place: tuple[float, float]
    pa_deg: float
    pa_err: float
    length_arcsec: float
    length_err: float


def host_of(views: Sequence[View]) -> tuple[Position, FloatArray]:
    """Average the host's centres; filters that see other parts of it make the error larger.

    Returns
    -------
    place : Position
    covariance : ndarray, shape (2, 2)
        To the east and north, arcsec^2.
    """
    first = views[0].host_place
    north = Axis(first.ra_deg, first.dec_deg, 0.0)
    # Across a circle to the north is east.
    offsets = np.array([north.offsets(*vars(v.host_place).values())[::-1] for v in views])
    weight = np.array([1.0 / np.trace(v.host_covariance) for v in views])
    weight /= weight.sum()
    mean = weight @ offsets
    covariance = sum(
        (w**2 * v.host_covariance for w, v in zip(weight, views, strict=True)), np.zeros((2, 2))
    )
    if len(views) > 1:
        apart = offsets - mean
        scatter = (weight[:, None] * apart).T @ apart / (len(views) - 1)
        covariance = covariance + scatter
    ra, dec = north.place(float(mean[1]), float(mean[0]))
    return Position(ra, dec), np.asarray(covariance)


def host_choice(views: Sequence[View], axis: Axis, config: Config) -> tuple[float, float]:
    """Give how far the host's mean centre moves at most when it is looked at in other ways.

    Returns
    -------
    east, north : float
        Largest change of each, arcsec; a choice is the same in all images, so that they are
        averaged first.
    """
    weight = np.array([1.0 / np.trace(v.host_covariance) for v in views])
    moved = []
    for v in views:
        north = Axis(v.host_place.ra_deg, v.host_place.dec_deg, 0.0)
        others = view.varied(v, axis, config, 2.0 * config.host_arcsec + config.sky_arcsec[0])
        moved.append([north.offsets(*vars(o.host_place).values())[::-1] for o, _ in others])
    mean = np.average(np.array(moved, dtype=float), axis=0, weights=weight)
    east, other = np.abs(mean).max(axis=0)
    return float(east), float(other)


def measure_bands(
    views: Sequence[View], axis: Axis, length: float, host_cov: FloatArray, config: Config
) -> list[Band]:
    """Measure ridge, tip and cross-section in every filter.

    Parameters
    ----------
    views : sequence of View
    axis : Axis
        From the host; nearly along the wake.
    length : float
        About to the tip, arcsec.
    host_cov : ndarray, shape (2, 2)
        As `host_of` gives it.
    config : Config

    Raises
    ------
    FormatError
        If no filter shows a ridge with an end.
    """
    strips = [view.strip_of(v, axis, length, config) for v in views]
    found = []
    for name, numbers in view.by_band(views).items():
        band = _band(
            name,
            [views[k] for k in numbers],
            [strips[k] for k in numbers],
            (axis, length, host_cov),
            config,
        )
        if band is not None:
            found.append(band)
    if not found:
        raise FormatError(
            "no filter shows a ridge that ends",
            file=", ".join(v.image.file for v in views),
            expected=f"a feature along PA {axis.pa_deg:.1f} deg that ends near {length:.1f} arcsec",
            found="none above the noise",
            action="look at the images; the target's manifest may point elsewhere",
        )
    return found


def _band(
    name: str,
    views: list[View],
    strips: list[Strip],
    where: tuple[Axis, float, FloatArray],
    config: Config,
) -> Band | None:
    """Measure one filter; None where it shows no ridge or no end."""
    axis, length, host_cov = where
    cells = config.cell_arcsec
    across = view.edges(-config.ridge_half_arcsec, config.ridge_half_arcsec, cells)

    def profile(along: FloatArray, sideways: FloatArray) -> Measured:
        parts = [
            strip.brightness(
                v.seen,
                s.sums.combined(s.binning(along, sideways)),
                view.sky_of(s, length, config),
            )
            for v, s in zip(views, strips, strict=True)
        ]
        return view.averaged(parts, views)

    ends = view.edges(config.wake_from_arcsec, length, config.interval_arcsec)
    pairs = list(pairwise(ends))
    profiles = [profile(np.array(pair), across) for pair in pairs]
    middles = np.array([np.mean(pair) for pair in pairs])
    line = ridge.fit_line(profiles, middles, across, config.sigma_start_arcsec)
    near = view.edges(length - 2.5, length + config.sky_arcsec[1], cells)
    half = config.half_width_arcsec
    search = tip.Search(
        length - config.tip_search_arcsec,
        length + config.tip_search_arcsec,
        config.smoothing_arcsec,
        config.draws,
    )
    rng = np.random.default_rng(config.seed)
    along = 0.5 * (near[1:] + near[:-1])
    end = tip.find_tip(profile(near, np.array([-half, half])), along, search, rng)
    if line is None or end is None or end.snr < config.snr_min:
        return None
    psf = views[0].declared.psf_fwhm_arcsec
    sections = _sections(profile, across, end.edge_arcsec, psf, config)
    return _placed(name, tuple(views), line, end, (axis, host_cov), sections)


def _placed(
    name: str,
    views: tuple[View, ...],
    line: ridge.Line,
    end: tip.Tip,
    where: tuple[Axis, FloatArray],
    sections: tuple[dict[str, Any], ...],
) -> Band:
    """Put the tip on the sky: on the ridge, where the profile peaks."""
    axis, host_cov = where
    offset, offset_err = line.at(end.peak_arcsec)
    offset_err *= float(np.sqrt(max(line.chi2_dof, 1.0)))
    place = axis.place(end.peak_arcsec, offset)
    host = (axis.ra_deg, axis.dec_deg)
    pa = np.deg2rad(axis.pa_deg)
    sideways = np.array([np.cos(pa), -np.sin(pa)])
    forward = np.array([np.sin(pa), np.cos(pa)])
    across_err = float(np.sqrt(offset_err**2 + sideways @ host_cov @ sideways))
    length = separation_arcsec(host, axis.place(end.edge_arcsec, offset))
    turn = (position_angle_deg(host, place) - axis.pa_deg + 180.0) % 360.0 - 180.0
    return Band(
        name=name,
        views=views,
        line=line,
        end=end,
        sections=sections,
        tip_place=place,
        pa_deg=axis.pa_deg + turn,
        pa_err=float(np.rad2deg(across_err / end.peak_arcsec)),
        length_arcsec=length,
        length_err=float(np.sqrt(end.edge_err**2 + forward @ host_cov @ forward)),
    )


def _sections(
    profile: Profile, across: FloatArray, edge: float, psf: float, config: Config
) -> tuple[dict[str, Any], ...]:
    """Fit the cross-section in intervals along the axis, and once over the brightest part."""
    ends = view.edges(config.wake_from_arcsec, edge, config.section_arcsec)
    low, high = config.whole_sections_arcsec
    pairs = [(a, b, "section") for a, b in pairwise(ends)]
    pairs.append((low, min(high, float(ends[-1])), "whole"))
    rows = []
    for first, last, kind in pairs:
        if last <= first:
            continue
        found = ridge.fit_width(
            profile(np.array([first, last]), across), across, config.sigma_start_arcsec
        )
        seen = found is not None and found.snr >= config.snr_min
        width, err = (
            ridge.deconvolved(found.fwhm_arcsec, found.fwhm_err, psf)
            if found is not None and seen
            else (None, None)
        )
        rows.append(
            {
                "kind": kind,
                "from_arcsec": float(first),
                "to_arcsec": float(last),
                "fwhm_arcsec": found.fwhm_arcsec if found and seen else None,
                "fwhm_err": found.fwhm_err if found and seen else None,
                "intrinsic_arcsec": width,
                "intrinsic_err": err,
                "centre_arcsec": found.centre_arcsec if found and seen else None,
                "centre_err": found.centre_err if found and seen else None,
                "snr": found.snr if found else None,
                "chi2_dof": found.chi2_dof if found else None,
            }
        )
    return tuple(rows)


def averaged(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float | None]:
    """Average numbers by their errors; where they disagree, the error grows with the disagreement.

    Returns
    -------
    mean, err : float
    chi2_dof : float or None
        Its square root is by how much the error grew, where above 1 (Birge 1932, Phys. Rev. 40,
        207); None for a single number.
    """
    values, errors = np.array(pairs, dtype=float).T
    weight = errors**-2 / (errors**-2).sum()
    mean = float(weight @ values)
    err = float((errors**-2).sum() ** -0.5)
    if values.size == 1:
        return mean, err, None
    chi2 = float((((values - mean) / errors) ** 2).sum() / (values.size - 1))
    return mean, err * float(np.sqrt(max(chi2, 1.0))), chi2
