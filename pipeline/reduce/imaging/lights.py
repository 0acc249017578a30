"""What does one filter say about host and wake: how much light, over which pixels, how wrong?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import vstack

from ard.cube import FloatArray
from ard.errors import FormatError
from manifests.filters import Filter
from pipeline.reduce.imaging import host, strip, systematics, view
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Measured
from pipeline.reduce.imaging.view import AB_UJY, View

HOST: Final = "host"
WAKE: Final = "wake"


@dataclass(frozen=True)
class Config(view.Looking):
    """Settings of the photometry stage, besides those of `view.Looking`.

    Attributes
    ----------
    host_radius_arcsec, host_total_arcsec : float
        Radius of the host's aperture, and of the circle that stands for all of its light.
    host_step_arcsec : float
        Step of the curve of growth.
    host_sky_arcsec : (float, float)
        Radii of the ring that gives the host's sky.
    bin_arcsec : float
        Length of the intervals of the profile.
    total_half_width_arcsec : float
        Half of the width over which the wake is taken to be complete.
    beyond_tip_arcsec : float
        The wake is added up to so far beyond its edge.
    coverage_min : float
        Intervals with less of their area on usable pixels have no brightness.
    snr_min : float
        A colour needs both fluxes with more than this.
    """

    host_radius_arcsec: float = 0.7
    host_total_arcsec: float = 1.2
    host_step_arcsec: float = 0.1
    host_sky_arcsec: tuple[float, float] = (1.5, 2.5)
    bin_arcsec: float = 0.25
    total_half_width_arcsec: float = 0.7
    beyond_tip_arcsec: float = 0.3
    coverage_min: float = 0.7
    snr_min: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.host_radius_arcsec < self.host_total_arcsec <= self.host_sky_arcsec[0]:
            raise ValueError("host_radius < host_total <= host_sky, all above 0, needed")
        if not self.half_width_arcsec < self.total_half_width_arcsec <= self.sky_arcsec[0]:
            raise ValueError("half_width < total_half_width <= sky, needed")
        if self.bin_arcsec <= 0 or not 0 < self.coverage_min <= 1:
            raise ValueError("bin_arcsec above 0 and coverage_min in 0 to 1 needed")


@dataclass(frozen=True, eq=False)
class Light:
    """What one filter says: fluxes in uJy.

    `wake` holds the mean brightness in the intervals, over the strip and then over the whole
    width; `host` the curve of growth. `overlap` holds, for each source, the light of the other in
    aperture and total, `choice` what other choices change there, both in uJy.
    """

    declared: Filter
    edges: FloatArray
    coverage: FloatArray
    wake: Measured
    radii: FloatArray
    host: Measured
    rate_of_ujy: float
    overlap: Mapping[str, FloatArray]
    choice: Mapping[str, FloatArray]

    @property
    def band(self) -> str:
        """Name of the filter."""
        return self.declared.name


def measure_light(views: Sequence[View], axis: Axis, edge: float, config: Config) -> Light:
    """Measure wake and host in the images of one filter.

    Parameters
    ----------
    views : sequence of View
    axis : Axis
        From the host along the wake.
    edge : float
        Where the wake ends, arcsec from the host.
    config : Config

    Raises
    ------
    FormatError
        If the host cannot be seen whole.
    """
    ends = view.edges(config.wake_from_arcsec, edge + config.beyond_tip_arcsec, config.bin_arcsec)
    radii = view.edges(0.0, config.host_total_arcsec, config.host_step_arcsec)[1:]
    circles = host.Circles(
        tuple(float(r) for r in radii),
        config.host_sky_arcsec,
        config.mirror_from_arcsec,
        config.mirror_half_arcsec,
    )
    wakes, hosts, covered = [], [], []
    wrong: list[tuple[systematics.Host, FloatArray]] = []
    halves = (config.half_width_arcsec, config.total_half_width_arcsec)
    for each in views:
        cells = view.strip_of(each, axis, edge, config)
        widths = [(-half, half) for half in halves]
        rows = vstack([cells.binning(ends, np.array(width)) for width in widths])
        sky = view.sky_of(cells, edge, config)
        wakes.append(strip.brightness(each.seen, cells.sums.combined(rows), sky))
        covered.append(np.concatenate([cells.coverage(ends, width) for width in widths]))
        hosts.append(_complete(host.grow(each, axis, circles), each.image.file))
        both = (cells, sky)
        wrong.append(
            (
                systematics.of_host(each, axis, circles, both, config),
                systematics.of_wake(each, both, halves, config),
            )
        )
    coverage = np.min(covered, axis=0)
    return Light(
        declared=views[0].declared,
        edges=ends,
        coverage=coverage,
        wake=view.averaged([_seen(part, coverage, config) for part in wakes], views),
        radii=np.array(circles.radii_arcsec),
        host=view.averaged(hosts, views),
        rate_of_ujy=float(np.mean([10 ** (0.4 * v.image.zero_point_ab) for v in views]) / AB_UJY),
        **_systematic(wrong, views, np.array(circles.radii_arcsec), config),
    )


def _systematic(
    wrong: Sequence[tuple[systematics.Host, FloatArray]],
    views: Sequence[View],
    radii: FloatArray,
    config: Config,
) -> dict[str, dict[str, FloatArray]]:
    """Average the systematic terms of the images of one filter: they are wrong in the same way."""
    ends = [int(np.argmin(np.abs(radii - config.host_radius_arcsec))), radii.size - 1]
    ujy = np.array([AB_UJY * 10 ** (-0.4 * v.image.zero_point_ab) for v in views])
    of_host = float(np.mean([w.overlap * f for (w, _), f in zip(wrong, ujy, strict=True)]))
    choice = np.mean([w.choice[ends] * f for (w, _), f in zip(wrong, ujy, strict=True)], axis=0)
    of_wake = np.mean([w * f for (_, w), f in zip(wrong, ujy, strict=True)], axis=0)
    return {
        "overlap": {HOST: np.full(2, of_host), WAKE: of_wake},
        "choice": {HOST: choice, WAKE: np.zeros(2)},
    }


def _seen(part: Measured, coverage: FloatArray, config: Config) -> Measured:
    """Make intervals that are hardly covered not a number."""
    value = np.where(coverage >= config.coverage_min, part.value, np.nan)
    return Measured(value, part.covariance)


def _complete(growth: host.Growth, file: str) -> Measured:
    if not growth.usable().all():
        raise FormatError(
            "the host cannot be seen whole",
            file=file,
            expected="less than a tenth of each aperture masked on both sides of its centre",
            found=f"{growth.lost.max():.0%} masked",
            action="make photometry.host_total_arcsec smaller, or leave the image out",
        )
    return growth.rate
