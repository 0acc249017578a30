"""Which channels and lines of a spectrum can a group be measured on, and what does the fit show?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray, Lsf
from manifests import Target
from pipeline.lineprofile import Response
from pipeline.lineset import LineSet, line_set
from pipeline.reduce.apertures.continuum import WindowRule, plan_windows, residual_scale
from pipeline.reduce.apertures.kinematics import Measured, Search
from pipeline.reduce.apertures.model import GroupModel
from pipeline.reduce.apertures.spectrum import Spectrum


@dataclass(frozen=True)
class Rules:
    """How are lines of an aperture measured?

    Attributes
    ----------
    windows : WindowRule
    search : Search
    continuum_order : int
        Of the polynomial below each block of lines.
    min_seen : float
        A line with a smaller part of its light on channels that may be used is masked.
    rescale : bool
        Multiply errors with sqrt(chi2 / dof) of the continuum where that is above 1.
    """

    windows: WindowRule
    search: Search
    continuum_order: int
    min_seen: float
    rescale: bool


@dataclass(frozen=True, eq=False)
class Ready:
    """A group that can be measured.

    Attributes
    ----------
    model : GroupModel
        Of its lines that are inside the band and not masked.
    use : ndarray of bool, shape (n_span,)
        The channels of the spans that take part.
    scale : float
        What the errors of the spectrum were multiplied with.
    """

    model: GroupModel
    use: BoolArray
    scale: float

    @property
    def lines(self) -> LineSet:
        """The lines that are measured."""
        return self.model.response.lines

    @property
    def channels(self) -> np.ndarray:
        """The channels that take part, in the cube."""
        channels: np.ndarray = self.model.response.windows.channels[self.use]
        return channels


def ready_groups(
    spectrum: Spectrum,
    cube: Cube,
    target: Target,
    lsf: Lsf,
    *,
    velocity_kms: float,
    rules: Rules,
) -> dict[str, Ready]:
    """Prepare every group with a line inside the band and enough channels that may be used.

    Parameters
    ----------
    spectrum : Spectrum
    cube : Cube
        Wavelengths.
    target : Target
    lsf : Lsf
    velocity_kms : float
        Where lines are expected.
    rules : Rules

    Returns
    -------
    dict
        By name of the group.
    """
    ready = {}
    for group in target.groups:
        lines = line_set(target.group_lines(group.name), target.redshift, cube.wave_edges, lsf)
        response, use = _channels(spectrum, cube, target, lines, (velocity_kms, rules))
        if response is None:
            continue
        terms = len(response.windows.blocks) * (rules.continuum_order + 1)
        if int(use.sum()) > terms + response.lines.n_free + 2:
            ready[group.name] = _ready(spectrum, cube, target, response, use, rules)
    return ready


def _channels(
    spectrum: Spectrum,
    cube: Cube,
    target: Target,
    lines: LineSet,
    wanted: tuple[float, Rules],
) -> tuple[Response | None, BoolArray]:
    """Cut the windows of those lines that can be seen through the mask."""
    velocity_kms, rules = wanted
    while lines.names:
        plan = plan_windows(cube.wave_edges, lines, target, rules.windows)
        use = plan.use & ~spectrum.mask[plan.windows.channels]
        response = Response.of(cube.wave_edges, lines, plan.windows, target.redshift)
        light = response.shares(velocity_kms, rules.search.sigma_kms**2)
        seen = (light * use).sum(axis=1) >= rules.min_seen
        if seen.all():
            return response, use
        lines = lines.select(seen)
    return None, np.zeros(0, dtype=bool)


def _ready(
    spectrum: Spectrum,
    cube: Cube,
    target: Target,
    response: Response,
    use: BoolArray,
    rules: Rules,
) -> Ready:
    channels = response.windows.channels
    flux = np.where(use, spectrum.flux[channels], 0.0)
    covariance = spectrum.covariance[np.ix_(channels, channels)] * np.outer(use, use)
    sensitivity, scale = spectrum.response[channels], 1.0
    if rules.rescale:
        plan = plan_windows(cube.wave_edges, response.lines, target, rules.windows)
        free = plan.line_free & use
        scale = max(
            residual_scale(
                flux[part],
                covariance[part, part],
                free[part],
                rules.continuum_order,
            )
            for part in response.windows.blocks
        )
    model = GroupModel.of(
        response, flux[None, :], covariance * scale**2, sensitivity, rules.continuum_order
    )
    return Ready(model, use, scale)


def model_spectrum(
    ready: Mapping[str, Ready],
    found: Mapping[str, Measured],
    level: FloatArray,
    spectrum: Spectrum,
) -> FloatArray:
    """Give what the spectrum should show: continuum, and all lines at their best.

    Returns
    -------
    ndarray, shape (n_wave,)
    """
    model = np.array(level)
    for name, group in ready.items():
        result, response = found[name], group.model.response
        narrow = float(response.lines.sigma_lsf_kms.min()) ** 2
        variance = np.maximum(result.point[:1, 1], -0.9 * narrow)
        light, _, _ = response.templates(result.point[:1, 0], variance)
        channels = response.windows.channels
        model[channels] += spectrum.response[channels] * (light[0] @ result.amplitudes[0])
    return model
