"""Which galaxies of a campaign are kept, and what do they look like beside the data?

The best ones by ln L; and of those within the highest level of the reference, others that lie as
far from all that are kept as they can, each parameter counted by its rank among the proposed. The
same campaign always keeps the same models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ard.cube import Cube, FloatArray, frozen
from ard.errors import ArdError, misfit
from ard.maps import Map
from ard.provenance import Provenance
from pipeline.falsify.surface import Evaluations, Surface
from pipeline.falsify.tasks import Evaluation, Model

if TYPE_CHECKING:  # a rule needs no JAX
    from pipeline.infer.residuals import Residuals

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


@dataclass(frozen=True, eq=False)
class Rendered:
    """A galaxy beside the data.

    Attributes
    ----------
    residuals : Residuals
        Data, model and errors in each voxel of the sub-cube, as of a fit.
    flux : array, shape (ny, nx)
        Light of the brightest line in each spaxel, erg s-1 cm-2.
    velocity_kms, sigma_kms : array, shape (ny, nx)
        Its mean velocity and standard deviation there, as the point-spread function leaves them,
        without the line-spread function; NaN where there is no light.
    """

    residuals: "Residuals"
    flux: FloatArray
    velocity_kms: FloatArray
    sigma_kms: FloatArray

    def __post_init__(self) -> None:
        shape = self.residuals.data.shape[1:]
        for name in ("flux", "velocity_kms", "sigma_kms"):
            image = frozen(getattr(self, name), np.float64)
            if image.shape != shape:
                raise misfit(f"{name} of a galaxy is of another field", f"{shape}", image.shape)
            object.__setattr__(self, name, image)


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


def cubes_of(
    rendered: Rendered, cube: Cube, per_voxel: FloatArray, provenance: Provenance
) -> tuple[Cube, Cube]:
    """Give model and residual as cubes on the voxels of the sub-cube.

    Parameters
    ----------
    rendered : Rendered
    cube : Cube
        The observed one, of which the sub-cube is a part.
    per_voxel : array, shape (n_wave,)
        Flux in a voxel of the observed cube, erg s-1 cm-2, that is 1 MJy/sr.
    provenance : Provenance

    Raises
    ------
    FormatError
        If the sub-cube is no part of the cube.
    """
    left = rendered.residuals
    _, ny, nx = left.data.shape
    n_wave, all_y, all_x = cube.shape
    ends = (int(left.channels.max()) + 1, left.y + ny, left.x + nx)
    if any(end > size for end, size in zip(ends, cube.shape, strict=True)):
        raise misfit("the galaxy is of another cube", f"{(n_wave, all_y, all_x)}", ends)
    rows, columns = slice(left.y, left.y + ny), slice(left.x, left.x + nx)

    def part(values: Any) -> Any:
        return np.asarray(values)[left.channels, rows, columns]

    scale = np.asarray(per_voxel)[left.channels][:, None, None]
    # What the sub-cube masks besides, hits among it, is no data either.
    mask = np.asarray(left.mask) | part(cube.mask)
    seen = cube.replace(
        flux=np.where(mask, np.nan, left.model / scale),
        var=np.where(mask, np.nan, np.square(left.sigma / scale)),
        mask=mask,
        wave=cube.wave[left.channels],
        wcs=cube.wcs[rows, columns],
        dq=None,
        weight=None,
        provenance=provenance,
    )
    residual = np.where(mask, np.nan, (left.data - left.model) / scale)
    return seen, seen.replace(flux=residual)


def map_of(rendered: Rendered, model: Cube) -> Map:
    """Give the field of velocities as a map on the grid of the model's cube.

    Parameters
    ----------
    rendered : Rendered
    model : Cube
        As `cubes_of` gives it.
    """
    layers = {
        "flux": rendered.flux,
        "velocity": rendered.velocity_kms,
        "sigma": rendered.sigma_kms,
    }
    units = {"flux": "erg s-1 cm-2", "velocity": "km/s", "sigma": "km/s"}
    mask = ~np.all([np.isfinite(image) for image in layers.values()], axis=0)
    return Map(layers, units, mask, model.wcs, model.meta, model.provenance)
