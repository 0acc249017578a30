"""A run to export a toy campaign into, and a renderer of toy galaxies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import small_fit
from campaigns import CALIBRATION, REFERENCE, REFINED, SATURATED, SETTINGS, campaign_of

from ard import io
from ard.cube import SPEED_OF_LIGHT_KMS, Cube
from ard.maps import Map
from manifests import load_target
from pipeline.falsify.surface.export import Exported, Given, How, export_campaign
from pipeline.falsify.surface.survey import Evaluations
from pipeline.falsify.surface.survivors import Rule
from pipeline.falsify.tasks import Evaluation, Model

OBSERVED = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
HOW = How(SETTINGS, Rule(1, 1))


@dataclass(frozen=True, eq=False)
class ToyRendered:
    """What `pipeline.falsify.cube.render` gives of a galaxy."""

    cube: Cube
    light: np.ndarray
    motion: Map
    channels: np.ndarray
    rows: slice
    columns: slice


# The sub-cube of the toy galaxies, and the channels that are looked at.
ROWS, COLUMNS, CHANNELS = slice(1, 8), slice(0, 9), np.r_[4:12, 13:22]


class ToyRenderer:
    """A disc that shines in one line, redshifted to one side and blueshifted to the other."""

    def __init__(self) -> None:
        self.noise, drawn = small_fit.small_noise()
        blank = small_fit.blank_cube(self.noise, **OBSERVED)
        seen = self.lines(110.0, blank.wave) + small_fit.SIGMA_MJY_SR * drawn
        self.cube = blank.replace(flux=np.where(self.noise.mask, np.nan, seen))

    def lines(self, vmax_kms: float, wave: np.ndarray) -> np.ndarray:
        """Light in each voxel, MJy/sr."""
        light, velocity = self.fields(vmax_kms)
        speed = SPEED_OF_LIGHT_KMS * (wave / (0.6564632 * 1.964) - 1.0)
        u = (speed[:, None, None] - velocity) / 140.0
        return np.asarray(light * np.exp(-0.5 * u**2))

    def fields(self, vmax_kms: float) -> tuple[np.ndarray, np.ndarray]:
        """Light and velocity in each spaxel."""
        y, x = np.mgrid[-4.0:5.0, -4.0:5.0]
        return 0.4 * np.exp(-((x / 3.0) ** 2) - (y / 1.2) ** 2), vmax_kms * np.tanh(x / 2.0)

    def __call__(self, model: Model, evaluation: Evaluation) -> ToyRendered:
        """Render a model: its speed is that of its gas fraction."""
        assert model.number == evaluation.number
        speed = 220.0 * model.parameters["gas_fraction"]
        light = self.lines(speed, self.cube.wave)[:, ROWS, COLUMNS]
        mask = np.ones(light.shape, bool)
        mask[CHANNELS] = False
        cube = self.cube.replace(
            flux=light + 0.001,
            var=self.cube.var[:, ROWS, COLUMNS],
            mask=mask,
            wcs=self.cube.wcs[ROWS, COLUMNS],
            provenance=None,
        )
        velocity = self.fields(speed)[1][ROWS, COLUMNS]
        layers = {"velocity": velocity, "dispersion": np.full(velocity.shape, 20.0)}
        units = dict.fromkeys(layers, "km/s")
        motion = Map(layers, units, np.zeros(velocity.shape, bool), cube.wcs, cube.meta)
        return ToyRendered(cube, light, motion, CHANNELS, ROWS, COLUMNS)


def write_run(root: Path) -> Path:
    """Write a run with an empty cube."""
    root.mkdir(parents=True)
    (root / "test.toml").write_text(small_fit.TARGET)
    renderer = ToyRenderer()
    small_fit.write_run_of(root, renderer.cube, renderer.noise)
    document = root / "products/run.json"
    target = load_target(root / "test.toml").to_dict()
    io.write_json(document, {**io.read_json(document), "target": target}, overwrite=True)
    return root


def export(
    root: Path, evaluations: Evaluations, given: Given | None = None, **more: Any
) -> Exported:
    """Export a campaign into a run."""
    told = given or Given(REFERENCE, SATURATED, CALIBRATION, REFINED)
    return export_campaign(evaluations, campaign_of(evaluations, **more), root,
                           small_fit.ITEM, render=ToyRenderer(), given=told, how=HOW)  # fmt: skip
