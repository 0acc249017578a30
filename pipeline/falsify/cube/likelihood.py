"""How probable is the observed cube, if the line of light is this galaxy?

The data around the tip are whitened once. Of a galaxy the light is counted by velocity; fluxes and
backgrounds are integrated out; systemic velocity, pointing, the line's turn, resolving power and
point-spread function are those of the highest density, priors included: where the density of the
best amplitudes is highest, that is, which is nearer than its own error to where the integral is.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import jax
import jax.numpy as jnp
import numpy as np

import ard
from ard.cube import Cube, FloatArray
from ard.errors import ArdError
from manifests import Target
from manifests.target import load_target
from pipeline.falsify.cube import placing
from pipeline.falsify.cube.climb import Top, climb
from pipeline.falsify.cube.held import Data, Held
from pipeline.falsify.cube.view import Grids, View
from pipeline.falsify.tasks import Curve, Evaluation, Model
from pipeline.fit_inputs import inputs_of
from pipeline.infer.cutout import Cut, cutout
from pipeline.infer.frame import Values
from pipeline.infer.prior import Prior
from pipeline.reduce.apertures.covariance import GivenNoise, read_given_noise
from pipeline.scene.disc import Disc

_TURN: Final = "turn_deg"
# Where a search begins; the middle of its prior for all others.
_MIDDLES: Final = {"v_sys_kms": -200.0, "psf_scale": 1.0, "psf_ratio": 0.86, "lsf_gain": 1.1}


@dataclass(frozen=True)
class Settings:
    """What decides the number that a galaxy is given?

    Attributes
    ----------
    cut : Cut
        Which part of the cube is looked at. By default as in the fits of the tip: what a disc
        cannot do is said there, and the time goes as the number of voxels.
    groups : tuple of str
        Groups of lines, where the cube covers them.
    n_step : int
        Evaluations of a search, at most.
    grids : Grids
    n_together : int
        Galaxies that an accelerator works on at a time: one compiled program, whatever is asked.
    """

    cut: Cut = field(default_factory=Cut)
    groups: tuple[str, ...] = ("oiii", "halpha")
    n_step: int = 24
    grids: Grids = field(default_factory=Grids)
    n_together: int = 32


class DiscLikelihood:
    """The likelihood of galaxies in the cube of an item.

    Parameters
    ----------
    cube : Cube
        In MJy/sr, with its point-spread function.
    noise : GivenNoise
        Its noise product.
    target : Target
        With host, tip and position angle.
    settings : Settings, optional

    Attributes
    ----------
    cube, noise, target, settings
        As given.
    seen : Cutout
    view : View
    data : Data
    prior : Prior
        Of the nuisances.
    away_arcsec : float
        From host to tip.

    Raises
    ------
    ArdError
        If JAX computes in float32, or as `pipeline.infer.cutout.cutout`.
    """

    def __init__(
        self, cube: Cube, noise: GivenNoise, target: Target, settings: Settings | None = None
    ) -> None:
        _require_double()
        chosen = settings or Settings()
        self.cube, self.noise, self.target, self.settings = cube, noise, target, chosen
        self.seen = cutout(cube, noise, target, chosen.groups, chosen.cut)
        self.view = View(self.seen, chosen.grids)
        self.data = Data(self.seen)
        self.prior: Prior = placing.nuisances(self.seen.frame)
        self.away_arcsec = placing.host_arcsec(target)
        self._held = Held(self.view, self.data, self.prior, (_TURN,), self._disc)
        self._white = jnp.asarray(self.data.data)
        self._one: Any = jax.jit(self._climbed)
        self._templates: Any = jax.jit(self._held.templates)
        self._planes: Any = jax.jit(self._held.planes)
        self._many: Any = jax.jit(jax.vmap(self._climbed, in_axes=(None, 0)))

    @classmethod
    def from_item(cls, root: Path, item: str, settings: Settings | None = None) -> Self:
        """Read what is needed of an item of a finished run.

        Raises
        ------
        ArdError
            If the folder is no finished run, or lacks the item, its cube, noise or target.
        """
        inputs = inputs_of(root, item)
        noise = read_given_noise(inputs.noise)
        return cls(ard.read_cube(inputs.cube), noise, load_target(inputs.target), settings)

    def with_data(self, data: FloatArray) -> Self:
        """Give the likelihood of other data on the same voxels; nothing is compiled again.

        Parameters
        ----------
        data : array, shape (n_channel, ny, nx)
            Flux in each voxel of the cut-out, `FLUX_UNIT`; anything finite where it is masked.
        """
        other = copy.copy(self)
        other._white = jnp.asarray(self.data.white(np.where(self.seen.noise.mask, 0.0, data)))
        return other

    @property
    def white(self) -> Any:
        """The data, whitened, shape (n_voxel,)."""
        return self._white

    def evaluate(self, models: Sequence[Model], curves: Sequence[Curve]) -> list[Evaluation]:
        """Hold galaxies against the cube.

        On a CPU each is computed alone, so that its numbers are the same to the last bit whatever
        it is computed with; on an accelerator many at a time, by a program whose ln L is the same
        to 0.05 on a CPU.

        Parameters
        ----------
        models : sequence of Model
        curves : sequence of Curve
            As many.

        Raises
        ------
        ArdError
            If one has no place, or moves so fast that its light cannot be counted.
        """
        asked = [self._extra(model, curve) for model, curve in zip(models, curves, strict=True)]
        tops = self._together(asked) if jax.default_backend() != "cpu" else self._apart(asked)
        return [self._evaluation(m.number, top) for m, top in zip(models, tops, strict=True)]

    def templates(self, model: Model, curve: Curve, nuisances: Values) -> FloatArray:
        """Give the cube of each free line of flux 1 in the cut-out, (n_line, n_channel, ny, nx).

        Raises
        ------
        ArdError
            As `evaluate`; if a nuisance has no value.
        """
        values = self._values(nuisances)
        return np.asarray(self._templates(values, self._extra(model, curve)), np.float64)

    def planes(self, model: Model, curve: Curve, nuisances: Values) -> FloatArray:
        """Give the light by velocity (`view.model.velocities`) and spaxel, shape (n_v, ny, nx).

        Velocities are relative to the galaxy's own.

        Raises
        ------
        ArdError
            As `templates`.
        """
        values = self._values(nuisances)
        return np.asarray(self._planes(values, self._extra(model, curve)), np.float64)

    def _values(self, nuisances: Values) -> Any:
        placing.require_seen(nuisances, self.prior)
        return jnp.asarray([nuisances[name] for name in self.prior.names], jnp.result_type(float))

    def _disc(self, values: Values, extra: Any) -> Disc:
        place, tables = extra
        return placing.disc_of(place, tables, values[_TURN], self.seen.frame, self.away_arcsec)

    def _climbed(self, white: Any, extra: Any) -> Top:
        start = jnp.asarray([_MIDDLES.get(name, 0.0) for name in self.prior.names])
        return climb(
            lambda values: self._held.height(values, white, extra),
            start,
            *self._held.bounds,
            self.settings.n_step,
        )

    def _extra(self, model: Model, curve: Curve) -> tuple[FloatArray, FloatArray]:
        tables = placing.tables_of(curve)
        self._require_counted(model, curve)
        return placing.place_of(model), tables

    def _require_counted(self, model: Model, curve: Curve) -> None:
        tables = placing.tables_of(curve)
        good = np.isfinite(tables).all() and (tables[2:] >= 0.0).all() and tables[3].any()
        if not good or not curve.radius_kpc[1] > curve.radius_kpc[0]:
            raise ArdError(
                f"the motion of galaxy {model.number} is none",
                expected="finite tables, radii that grow, light and dispersion of 0 or more",
                found="others",
                action="compute its dynamics again: rbh1 campaign requeue",
            )
        width = curve.dispersion_kms
        fastest = float(np.abs(curve.rotation_kms).max())
        self.view.model.require_counted(fastest, float(width.min()), float(width.max()))

    def _apart(self, asked: Sequence[Any]) -> Iterator[Top]:
        for extra in asked:
            yield self._one(self._white, extra)

    def _together(self, asked: Sequence[Any]) -> Iterator[Top]:
        count = self.settings.n_together
        for first in range(0, len(asked), count):
            some = list(asked[first : first + count])
            filled = some + [some[0]] * (count - len(some))
            stacked = tuple(np.stack(one) for one in zip(*filled, strict=True))
            found = self._many(self._white, stacked)
            for number in range(len(some)):
                yield jax.tree_util.tree_map(lambda one, n=number: one[n], found)

    def _evaluation(self, number: int, top: Top) -> Evaluation:
        return evaluation_of(number, top, self.prior.names, self.seen.noise.reference)


def evaluation_of(number: int, top: Top, names: Sequence[str], reference: float) -> Evaluation:
    """Give what a search found, as plain numbers.

    Raises
    ------
    ArdError
        If there is no finite likelihood where it looked.
    """
    fitted = top.height.more
    value = float(fitted.log_likelihood) + reference
    if not np.isfinite(float(top.height.value)) or not np.isfinite(value):
        raise ArdError(
            f"galaxy {number} has no likelihood",
            expected="a finite ln L at some nuisances",
            found="none",
            action="look at its curve: rotation, dispersion and brightness have to be finite",
        )
    best = dict(zip(names, np.asarray(top.place, np.float64).tolist(), strict=True))
    return Evaluation(number, value, float(fitted.chi2), best, bool(top.reached))


def _require_double() -> None:
    if not jax.config.jax_enable_x64:
        raise ArdError(
            "ln L of a cube has no digits left in float32",
            expected="JAX in float64: pipeline.runtime.start('float64')",
            found="float32",
            action="start JAX in float64 before the likelihood is made",
        )
