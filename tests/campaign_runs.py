"""A run to export a toy campaign into, and a renderer of toy galaxies."""

from pathlib import Path
from typing import Any

import numpy as np
import small_fit
from campaigns import CALIBRATION, REFERENCE, REFINED, SATURATED, SETTINGS, campaign_of

from ard import io
from ard.cube import SPEED_OF_LIGHT_KMS
from manifests import load_target
from pipeline.falsify.export import Exported, Given, How, export_campaign
from pipeline.falsify.surface import Evaluations
from pipeline.falsify.survivors import Rendered, Rule
from pipeline.falsify.tasks import Evaluation, Model
from pipeline.infer.cutout import FLUX_UNIT, flux_per_voxel
from pipeline.infer.residuals import Residuals

OBSERVED = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
HOW = How(SETTINGS, Rule(1, 1))


class ToyLedger:
    """Gives what it is made of."""

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations

    def evaluations(self, campaign: str) -> Evaluations:
        """Give it, whatever the name."""
        assert campaign
        return self._evaluations


class ToyRenderer:
    """A disc that shines in one line, redshifted to one side and blueshifted to the other."""

    def __init__(self) -> None:
        noise, drawn = small_fit.small_noise()
        self.noise, self.cube = noise, small_fit.blank_cube(noise, **OBSERVED)
        per_voxel = flux_per_voxel(self.cube)[:, None, None] * FLUX_UNIT
        self.sigma = small_fit.SIGMA_MJY_SR * np.ones(self.cube.shape) * per_voxel
        self.data = self.model(110.0) + drawn * self.sigma

    def model(self, vmax_kms: float) -> np.ndarray:
        """Flux in each voxel, erg s-1 cm-2."""
        light, velocity = self.fields(vmax_kms)
        speed = SPEED_OF_LIGHT_KMS * (self.cube.wave / (0.6564632 * 1.964) - 1.0)
        u = (speed[:, None, None] - velocity) / 140.0
        return light * np.exp(-0.5 * u**2)

    def fields(self, vmax_kms: float) -> tuple[np.ndarray, np.ndarray]:
        """Light and velocity in each spaxel."""
        y, x = np.mgrid[-4.0:5.0, -4.0:5.0]
        return 3e-19 * np.exp(-((x / 3.0) ** 2) - (y / 1.2) ** 2), vmax_kms * np.tanh(x / 2.0)

    def __call__(self, model: Model, evaluation: Evaluation) -> Rendered:
        """Render a model: its speed is that of its gas fraction."""
        assert model.number == evaluation.number
        speed = 220.0 * model.parameters["gas_fraction"]
        light, velocity = self.fields(speed)
        residuals = Residuals(
            np.where(self.noise.mask, np.nan, self.data),
            self.model(speed),
            self.sigma,
            self.noise.mask,
            np.arange(len(self.cube.wave)),
            self.cube.wave,
            0,
            0,
            {"Halpha": 0.6564632 * 1.964},
        )
        return Rendered(residuals, light, velocity, np.full(light.shape, 20.0))


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
    return export_campaign(ToyLedger(evaluations), campaign_of(evaluations, **more), root,
                           small_fit.ITEM, render=ToyRenderer(), given=told, how=HOW)  # fmt: skip
