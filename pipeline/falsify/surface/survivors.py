"""Which galaxies of a campaign are kept, and what do they look like beside the data?

The best ones by ln L; and of those within the highest level of the reference, others that lie as
far from all that are kept as they can, each parameter counted by its rank among the proposed. The
same campaign always keeps the same models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ard.cube import SPEED_OF_LIGHT_KMS, Cube, FloatArray
from ard.errors import ArdError, misfit
from ard.maps import Map
from ard.provenance import Provenance
from manifests import Target
from pipeline.falsify.surface.survey import Evaluations, Surface
from pipeline.falsify.tasks import Evaluation, Model
from pipeline.reduce.apertures.covariance import GivenNoise

if TYPE_CHECKING:  # a rule needs no JAX
    from pipeline.infer.residuals import Residuals

_NEAR_KMS: Final = 400.0  # light within that of a line is taken for that of the line
BEST: Final = "best"
SPREAD: Final = "spread"
RULE: Final = (
    "the {n_best} models with the highest ln L among those that converged; then, of the converged "
    "models with -2 (ln L - ln L of the reference) at most {level:g}, up to {n_spread} in turn "
    "whose smallest distance to those kept is largest, in the ranks of all parameters among the "
    "proposed models; the lower number where equal"
)


@dataclass(frozen=True)
class Rule:
    """How many models are kept: the best ones, and others that survive far from them."""

    n_best: int = 3
    n_spread: int = 5

    def __post_init__(self) -> None:
        if self.n_best < 1 or self.n_spread < 0 or self.n_best + self.n_spread > 99:
            raise ArdError(
                "so many galaxies cannot be kept",
                expected="one or more of the best, and 99 at most in all",
                found=f"{self.n_best} and {self.n_spread}",
                action="give other numbers",
            )


@dataclass(frozen=True)
class Kept:
    """A model that is kept.

    Attributes
    ----------
    number : int
    why : str
        BEST or SPREAD.
    """

    number: int
    why: str


class Rendered(Protocol):
    """A galaxy as a cut-out of the cube shows it (`pipeline.falsify.cube.render`)."""

    @property
    def cube(self) -> Cube:
        """Its lines and the background, MJy/sr, on all channels of the item's cube."""

    @property
    def light(self) -> FloatArray:
        """Its lines alone, shape (n_wave, ny, nx), MJy/sr."""

    @property
    def motion(self) -> Map:
        """Its gas in each spaxel: `velocity`, `dispersion` (km/s) and others."""

    @property
    def channels(self) -> NDArray[np.intp]:
        """Numbers of the channels that are looked at, shape (n_channel,)."""

    @property
    def rows(self) -> slice:
        """Where the cut-out lies in the item's cube."""

    @property
    def columns(self) -> slice:
        """Where the cut-out lies in the item's cube."""


type Renderer = Callable[[Model, Evaluation], Rendered]


def choose(evaluations: Evaluations, surface: Surface, rule: Rule) -> tuple[Kept, ...]:
    """Choose the models that are kept, the best first.

    Parameters
    ----------
    evaluations : Evaluations
    surface : Surface
        Of the same campaign.
    rule : Rule
    """
    known = np.flatnonzero(evaluations.evaluated & evaluations.converged)
    order = known[np.argsort(-evaluations.log_likelihood[known], kind="stable")]
    kept = [int(row) for row in order[: rule.n_best]]
    n_best = len(kept)
    delta = -2.0 * (evaluations.log_likelihood - surface.reference.log_likelihood)
    level = max(surface.settings.delta_chi2)
    others = [int(row) for row in known if delta[row] <= level and row not in kept]
    places = _ranks(evaluations)
    while others and len(kept) < n_best + rule.n_spread:
        apart = np.square(places[others][:, None] - places[kept][None]).sum(axis=2).min(axis=1)
        kept.append(others.pop(int(np.argmax(apart))))
    return tuple(
        Kept(int(evaluations.number[row]), BEST if place < n_best else SPREAD)
        for place, row in enumerate(kept)
    )


def _ranks(evaluations: Evaluations) -> FloatArray:
    """Give every model's rank in each parameter, 0 to 1, equal values the same, (n, n_par)."""
    columns = [np.unique(values, return_inverse=True) for values in evaluations.parameters.values()]
    ranks = [place / max(len(distinct) - 1, 1) for distinct, place in columns]
    return np.stack(ranks, axis=1) if ranks else np.zeros((len(evaluations), 1))


def row_of(evaluations: Evaluations, number: int) -> tuple[Model, Evaluation]:
    """Give a model and its evaluation by number.

    Raises
    ------
    ArdError
        If it was not evaluated.
    """
    found = np.flatnonzero((evaluations.number == number) & evaluations.evaluated)
    if not found.size:
        raise ArdError(
            f"model {number} of the campaign has no likelihood",
            expected="a model that was evaluated",
            found="one that was rejected, or none",
            action="let workers run: rbh1 campaign work --role likelihood",
        )
    row = int(found[0])

    def named(columns: Mapping[str, FloatArray]) -> dict[str, float]:
        return {name: float(values[row]) for name, values in columns.items()}

    return Model(number, named(evaluations.parameters)), Evaluation(
        number,
        float(evaluations.log_likelihood[row]),
        float(evaluations.chi2[row]),
        named(evaluations.nuisances),
        bool(evaluations.converged[row]),
    )


def cubes_of(rendered: Rendered, observed: Cube, provenance: Provenance) -> tuple[Cube, Cube]:
    """Give model and residual as cubes of the channels that are looked at.

    Parameters
    ----------
    rendered : Rendered
    observed : Cube
        The item's cube, of which the cut-out is a part.
    provenance : Provenance

    Raises
    ------
    FormatError
        If the galaxy is of another cube.
    """
    channels, rows, columns = rendered.channels, rendered.rows, rendered.columns
    whole = rendered.cube
    _, ny, nx = observed.flux[:, rows, columns].shape
    if whole.shape != (observed.wave.size, ny, nx):
        raise misfit("the galaxy is of another cube", f"{(observed.wave.size, ny, nx)}",
                     whole.shape)  # fmt: skip
    # What the observed cube masks is not compared with any model.
    mask = whole.mask[channels] | observed.mask[:, rows, columns][channels]
    model = np.where(mask, np.nan, whole.flux[channels])
    seen = whole.replace(
        flux=model,
        var=np.where(mask, np.nan, whole.var[channels]),
        mask=mask,
        wave=whole.wave[channels],
        dq=None,
        weight=None,
        provenance=provenance,
    )
    return seen, seen.replace(flux=observed.flux[:, rows, columns][channels] - model)


def map_of(rendered: Rendered, provenance: Provenance) -> Map:
    """Give the motion of a galaxy with its record."""
    return rendered.motion.replace(provenance=provenance)


def residuals_of(
    rendered: Rendered, observed: Cube, noise: GivenNoise, target: Target
) -> "Residuals":
    """Give what a galaxy leaves of the data, voxel by voxel, as a figure shows it.

    Parameters
    ----------
    rendered : Rendered
    observed : Cube
        The item's cube.
    noise : GivenNoise
        Its noise product.
    target : Target
        With lines.
    """
    from pipeline.infer.cutout import FLUX_UNIT, flux_per_voxel
    from pipeline.infer.residuals import Residuals

    channels, rows, columns = rendered.channels, rendered.rows, rendered.columns
    own = noise.noise
    scale = np.broadcast_to(np.asarray(own.scale, np.float64), (observed.wave.size,))[channels]
    per_voxel = flux_per_voxel(observed)[channels][:, None, None] * FLUX_UNIT

    def part(values: Any) -> Any:
        return np.asarray(values)[:, rows, columns][channels]

    mask = part(observed.mask) | part(own.mask)
    return Residuals(
        np.where(mask, np.nan, part(observed.flux)) * per_voxel,
        np.asarray(rendered.cube.flux)[channels] * per_voxel,
        part(own.sigma) * scale[:, None, None] * per_voxel,
        mask,
        channels,
        observed.wave[channels],
        rows.start,
        columns.start,
        _brightest(rendered, target),
    )


def _brightest(rendered: Rendered, target: Target) -> dict[str, float]:
    """Give the line of each group about which the galaxy is brightest, and its wavelength, um."""
    wave = rendered.cube.wave[rendered.channels]
    light = rendered.light[rendered.channels].sum(axis=(1, 2))
    found = {}
    for group in target.groups:
        places = {n: target.line(n).wave_obs_um(target.redshift) for n in group.lines}
        # Of a line that is not looked at, there is no light.
        bright = {
            name: float(light[np.abs(wave / place - 1.0) * SPEED_OF_LIGHT_KMS < _NEAR_KMS].sum())
            for name, place in places.items()
        }
        name = max(bright, key=lambda name: bright[name])
        if bright[name] > 0.0:
            found[name] = places[name]
    return found
