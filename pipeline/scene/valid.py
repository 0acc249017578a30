"""Can this scene be computed on this model, before anything of it is compiled?

Within compiled code nothing can be refused: light that leaves a grid is lost without a word, and
what leaves the range of float32 becomes zero. So it is asked here, of values that are known.
"""

from types import SimpleNamespace
from typing import Any, Final

import jax
import numpy as np

from ard.errors import ArdError
from pipeline.scene import disc as discs
from pipeline.scene import psf as psfs
from pipeline.scene.cube import Optics
from pipeline.scene.disc import Disc
from pipeline.scene.model import LineModel
from pipeline.scene.parameters import ParameterRow, require_in_range
from pipeline.scene.points import Points
from pipeline.scene.psf import Gaussian, Ghosts, Psf

PARAMETERS: Final = (
    ParameterRow("lsf_gain", "1", 1.0, 1.25, "Shajib et al. 2025: science.md section 5"),
    ParameterRow("slice_offset", "channel", -0.5, 0.5, "97 km/s: science.md section 2.4 (4)"),
)


_NODE: Final = ("x_arcsec", "y_arcsec", "speed_kms", "dispersion_kms", "light")
# Of the light: a tenth of what the calibration of the flux may be wrong by (science.md section 5).
_COARSE: Final = 5e-3
_FINEST: Final = 33


def require_computable(
    model: LineModel,
    optics: Optics,
    *sources: Disc | Points,
    slice_offset: float = 0.0,
    vertical: str = "sech2",
) -> None:
    """Make sure that a model can compute a scene, at the values that are given.

    For a prior, ask at its ends: the largest speeds, the smallest and largest dispersions, the
    widest point-spread function.

    Parameters
    ----------
    model : LineModel
    optics : Optics
    *sources : Disc or Points
        All sources of the scene.
    slice_offset : float
        The largest of its components.
    vertical : str
        Law of the discs; see `Sampler`.

    Raises
    ------
    ArdError
        If a parameter is outside of its range, a grid does not hold a source, or velocities leave
        the range that float32 can count.
    """
    seen = SimpleNamespace(lsf_gain=optics.lsf_gain, slice_offset=slice_offset)
    require_in_range(PARAMETERS, seen, "spectrograph")
    if not float(optics.lsf_gain) <= model.gain_max or len(optics.psfs) != len(model.groups):
        raise ArdError(
            "the optics do not fit the model",
            expected=f"a gain of at most {model.gain_max:g}, "
            f"{len(model.groups)} point-spread functions",
            found=f"{float(optics.lsf_gain):g}, {len(optics.psfs)}",
            action="make the model with a larger gain_max, and one group for each function",
        )
    for psf in optics.psfs:
        _require_psf(psf)
    for source in sources:
        if isinstance(source, Disc):
            discs.require_valid(source)
            for psf in optics.psfs:
                psfs.require_margin(model.sky, psf)
            _require_fine(model, source, vertical)
            _require_motion(model, *_disc_motion(source))
        elif isinstance(source, Points):
            _require_finite(source)
            speed, width = np.asarray(source.speed_kms), np.asarray(source.dispersion_kms)
            _require_motion(model, np.abs(speed), width)
        else:
            raise ArdError(
                "this is no source whose motion and place are known",
                expected="discs, and the nodes of other sources: wake.nodes(...), bow.ring(...)",
                found=type(source).__name__,
                action="give the nodes; `require_valid` of its module checks its parameters",
            )


def _require_psf(psf: Psf) -> None:
    if not all(np.all(np.isfinite(np.asarray(leaf))) for leaf in jax.tree_util.tree_leaves(psf)):
        raise ArdError(
            "a point-spread function is impossible",
            expected="finite numbers",
            found="NaN or infinity",
            action="correct widths, places and pictures",
        )
    if isinstance(psf, Ghosts):
        for strength in np.asarray(psf.strength):
            require_in_range(psfs.GHOSTS, SimpleNamespace(strength=strength), "ghost")
        _require_psf(psf.psf)
    elif isinstance(psf, Gaussian):
        psfs.require_valid(psf)


def _require_fine(model: LineModel, disc: Disc, vertical: str) -> None:
    side, n = model.sky.pixel_arcsec, model.sky.oversample
    found = discs.coarseness(disc, side / n, vertical)
    if found <= _COARSE:
        return
    finer = (m for m in range(n, _FINEST) if discs.coarseness(disc, side / m, vertical) <= _COARSE)
    enough = next(finer, None)
    raise ArdError(
        "the sub-spaxels are too coarse for a disc as thin or as small as this",
        expected=f"light that is right to {_COARSE:g}: "
        + (f"an oversampling of {enough}" if enough else "a thicker disc"),
        found=f"an oversampling of {n}, which may be wrong by {found:.1g} of the light",
        action="take a larger `oversample`, or a narrower prior",
    )


def _disc_motion(disc: Disc) -> tuple[Any, Any]:
    turning = np.abs(np.asarray(disc.rotation_kms)) * np.sin(np.deg2rad(disc.inclination_deg))
    return abs(float(disc.v_sys_kms)) + turning, np.asarray(disc.dispersion_kms)


def _require_motion(model: LineModel, speed: Any, width: Any) -> None:
    model.require_counted(float(speed.max()), float(width.min()), float(width.max()))


def _require_finite(points: Points) -> None:
    shape = np.shape(points.light)
    shapes = {name: np.shape(getattr(points, name)) for name in _NODE}
    if len(shape) != 2 or shapes != {n: shape[:1] if n.endswith("_kms") else shape for n in _NODE}:
        raise ArdError(
            "nodes, places and motions do not belong together",
            expected="places and light of shape (n, m), speeds and dispersions of shape (n,)",
            found=", ".join(f"{name} {sides}" for name, sides in shapes.items()),
            action="make the nodes by the functions of their modules",
        )
    for name in _NODE:
        values = np.asarray(getattr(points, name))
        bad = ~np.isfinite(values) | ((name in {"dispersion_kms", "light"}) & (values < 0))
        if bad.any():
            raise ArdError(
                f"a node's {name} is impossible",
                expected="finite numbers; dispersion and light of 0 or more",
                found=float(values[bad][0]),
                action="correct the source's parameters (its module has `require_valid`)",
            )
