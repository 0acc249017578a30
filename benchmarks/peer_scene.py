"""Which galaxy do all codes make, and what is the exact cube of it?

The scene of bench_scene.py. Other codes make one line, H-alpha, in channels of equal velocity. Each
has a vertical law or a dispersion of its own, so that the exact cube is made once for every galaxy:
by our code in float64, 8 x 8 sub-spaxels, 256 depths. That our code is the plain sum is shown by
tests/pipeline/scene/test_disc_cube.py, and here by the row of the plain sum.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from bench_scene import LINES, REDSHIFT, RESOLVING_POWER

from ard.cube import SPEED_OF_LIGHT_KMS
from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.losvd import require_safe
from pipeline.scene.model import LineModel, windows
from pipeline.scene.optics import split_width

NY, NX, PIXEL, FWHM = 53, 49, 0.1, 0.13
CHANNEL_UM: Final = 0.000636
GALAXY: Final = {
    "x_arcsec": 0.3,
    "y_arcsec": -0.2,
    "pa_deg": 34.0,
    "inclination_deg": 88.0,
    "scale_arcsec": 0.7,
    "height_arcsec": 0.08,
    "vmax_kms": 180.0,
    "turnover_arcsec": 0.5,
    "dispersion_kms": 40.0,
}
LINE_SETS: Final = {1: (4,), 3: (3, 4, 5), 8: tuple(range(8))}
H_ALPHA: Final = LINE_SETS[1][0]
WINDOW_KMS: Final = 1100.0
NARROW: Final = VelocityGrid(610.0, 61.0)  # just what `require_safe` asks for
WIDE: Final = VelocityGrid(780.0, 60.0)
_STAND_IN: Final = 20.0  # km/s, of a line-spread function where there is none
RADII: Final = np.linspace(0.0, 14.0, 2001)  # fine enough for the tables to be the analytic curve


def sigma_lsf(numbers: tuple[int, ...]) -> np.ndarray:
    """Give the width of the line-spread function at lines, km/s."""
    return SPEED_OF_LIGHT_KMS / np.array(RESOLVING_POWER)[list(numbers)] / 2.3548


def channels(numbers: tuple[int, ...]) -> np.ndarray:
    """Give the edges of the channels within the lines' windows, um, shape (n, 2)."""
    lines = np.array(LINES)[list(numbers)] * (1.0 + REDSHIFT)
    starts = 0.9700 + CHANNEL_UM * np.arange(1447)
    edges = np.stack([starts, starts + CHANNEL_UM], axis=1)
    return edges[windows(edges, lines, WINDOW_KMS)]


def edges_kms(numbers: tuple[int, ...]) -> np.ndarray:
    """Give edges from the first to the last of the lines' channels, from the first line, km/s."""
    wave, edges = LINES[numbers[0]] * (1.0 + REDSHIFT), channels(numbers)
    count = window_places(numbers)[-1] + 1
    whole = edges[0, 0] + CHANNEL_UM * np.arange(count + 1)
    return (whole / wave - 1.0) * SPEED_OF_LIGHT_KMS


def window_places(numbers: tuple[int, ...]) -> np.ndarray:
    """Give the places of the windows' channels among those of `edges_kms`."""
    low = channels(numbers)[:, 0]
    return np.rint((low - low[0]) / CHANNEL_UM).astype(int)


@dataclass(frozen=True)
class Case:
    """What is made, and how finely.

    Attributes
    ----------
    lines : int
        A key of LINE_SETS.
    oversample, depths, pad : int
    law : str
        Of the height.
    even : bool
        On 54 x 50 instead of 53 x 49 spaxels.
    sharp : bool
        Without point-spread function.
    lsf : bool
        Without it, the dispersion alone widens the line.
    wide : bool
        Count velocities far beyond the source's own, as an exact cube does.
    ale : float
        Height that adds a dispersion of height x speed / radius, arcsec.
    """

    lines: int = 1
    oversample: int = 2
    depths: int = 32
    pad: int = 3
    law: str = "sech2"
    even: bool = False
    sharp: bool = False
    lsf: bool = True
    wide: bool = False
    ale: float = 0.0

    @property
    def numbers(self) -> tuple[int, ...]:
        """The lines, by their place in LINES."""
        return LINE_SETS[self.lines]

    def model(self) -> LineModel:
        """Give grids, lines and channels."""
        lines = np.array(LINES)[list(self.numbers)] * (1.0 + REDSHIFT)
        # Our code wants a line-spread function. Without one, part of the dispersion stands for it.
        sigma = sigma_lsf(self.numbers) if self.lsf else np.full(len(lines), _STAND_IN)
        extra = int(self.even)
        sky = SkyGrid(NY + extra, NX + extra, PIXEL, self.oversample, self.pad)
        grid = WIDE if self.wide else NARROW
        if not self.lsf:
            grid = VelocityGrid(420.0, 10.0)  # fine enough for so narrow a stand-in
        elif not self.wide:
            narrowest = np.hypot(GALAXY["dispersion_kms"], split_width(sigma))
            require_safe(grid, float(narrowest), GALAXY["vmax_kms"])
        return LineModel(sky, grid, channels(self.numbers), lines, sigma)

    def disc(self, dtype: Any, radii: np.ndarray = RADII) -> Disc:
        """Give the disc, its tables at these radii."""
        import jax
        import jax.numpy as jnp

        galaxy = dict(GALAXY)
        vmax, turnover = galaxy.pop("vmax_kms"), galaxy.pop("turnover_arcsec")
        rotation = vmax * np.tanh(radii / turnover)
        # v / R at R = 0 is the curve's slope there.
        spin = np.append(vmax / turnover, rotation[1:] / radii[1:])
        variance = galaxy.pop("dispersion_kms") ** 2 + (self.ale * spin) ** 2
        variance = variance - (0.0 if self.lsf else _STAND_IN**2)
        disc = Disc(v_sys_kms=0.0, rotation_kms=rotation, dispersion_kms=np.sqrt(variance),
                    radius_step_arcsec=radii[1], **galaxy)  # fmt: skip
        return jax.tree.map(lambda value: jnp.asarray(value, dtype), disc)

    def function(self) -> Any:
        """Give the function of disc and fluxes that makes the cube."""
        model = self.model()
        sampler = Sampler(model.sky, self.depths, self.law)
        fwhm = 1e-3 if self.sharp else FWHM

        def make(disc: Disc, fluxes: Any) -> Any:
            return disc_cube(model, sampler, disc, fluxes, fwhm)

        return make


@cache
def exact_cube(case: Case) -> np.ndarray:
    """Give the cube without errors of sampling, shape (channel, y, x); wants float64."""
    import jax
    import jax.numpy as jnp

    fine = replace(case, oversample=8, depths=256, pad=6, wide=True)
    fluxes = jnp.ones(len(case.numbers))
    return np.asarray(jax.jit(fine.function())(fine.disc(fluxes.dtype), fluxes), np.float64)


def job(**settings: Any) -> dict[str, Any]:
    """Give what another code needs to know, for JSON."""
    even = bool(settings.pop("even", False))
    numbers = LINE_SETS[settings.pop("lines", 1)]
    return {
        "ny": NY + even,
        "nx": NX + even,
        "pixel_arcsec": PIXEL,
        "fwhm_arcsec": FWHM,
        "lsf_kms": float(sigma_lsf((H_ALPHA,))[0]),
        "edges_kms": edges_kms(numbers).tolist(),
        "lines_um": [LINES[number] * (1.0 + REDSHIFT) for number in numbers],
        "radii_arcsec": RADII.tolist(),
        "disc": GALAXY,
        **settings,
    }
