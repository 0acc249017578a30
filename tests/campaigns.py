"""A campaign whose likelihood is a Gaussian over the unit cube, and a run to export it into."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import small_fit

from ard.cube import SPEED_OF_LIGHT_KMS
from pipeline.falsify.exclusion import Calibration, Saturated
from pipeline.falsify.export import Exported, Given, How, export_campaign
from pipeline.falsify.report import Campaign
from pipeline.falsify.surface import BOW, Evaluations, Reference, Settings
from pipeline.falsify.survivors import Rendered, Rule
from pipeline.falsify.tasks import Evaluation, Model
from pipeline.infer.cutout import FLUX_UNIT, flux_per_voxel
from pipeline.infer.residuals import Residuals

SHA = "cd" * 32
AXES = ("r_d_kpc", "gas_fraction", "vmax_kms")
CENTRE, WIDTH = np.array([0.5, 0.45, 0.55]), np.array([0.08, 0.1, 0.09])
BEST = 1000.0  # ln L at the peak
CHI2 = 5000.0  # there


def gaussian(n: int, seed: int = 3, *, rejected: bool = True, unconverged: int = 2) -> Evaluations:
    """Give models drawn over the unit cube; what two filters reject has no likelihood.

    The last parameter of `AXES` is a fact, known of all models but those that `fast` rejects.
    """
    rng = np.random.default_rng(seed)
    places = rng.random((n, 3))
    z = (places - CENTRE) / WIDTH
    log_likelihood = BEST - 0.5 * np.square(z).sum(axis=1)
    fast, thick = places[:, 2] > 0.9, places[:, 0] > 0.85
    reasons = [
        tuple(name for name, bad in (("fast", f), ("thick", t)) if bad and rejected)
        for f, t in zip(fast, thick, strict=True)
    ]
    out = np.array([bool(row) for row in reasons])
    vmax = np.where(fast & rejected, np.nan, places[:, 2])
    converged = ~out
    # Far from the peak, and still not excluded by that.
    far = np.flatnonzero(converged & (np.abs(z[:, 0]) > 4.0))[:unconverged]
    converged[far] = False
    found = np.where(out, np.nan, log_likelihood)
    return Evaluations(
        np.arange(n),
        {"r_d_kpc": places[:, 0], "gas_fraction": places[:, 1]},
        tuple(reasons),
        {"vmax_kms": vmax},
        found,
        np.where(out, np.nan, CHI2 - 2.0 * (log_likelihood - BEST)),
        {"v_sys_kms": np.where(out, np.nan, places[:, 0])},
        converged,
    )


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


OBSERVED = {"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
REFERENCE = Reference(BOW, "bow", BEST + 3.0, "a test")
CALIBRATION = Calibration(12.0, 0.95, 200, 50, 45, "a test")
SATURATED = Saturated(CHI2 - 100.0, 4900)
HOW = How(Settings(n_bin=5, n_bin_pair=3, axes=AXES), Rule(2, 2), {"gas_fraction": ""})


def write_run(root: Path) -> Path:
    """Write a run with an empty cube."""
    root.mkdir(parents=True)
    (root / "test.toml").write_text(small_fit.TARGET)
    renderer = ToyRenderer()
    return small_fit.write_run_of(root, renderer.cube, renderer.noise)


def campaign_of(evaluations: Evaluations, **more: Any) -> Campaign:
    """Give the campaign that these are the models of."""
    settings: Mapping[str, Any] = {"kind": "random", "disc_kind": "razor"}
    given = {"name": "toy", "n_model": len(evaluations), "seed": 3, "settings": settings,
             "settings_sha256": SHA}  # fmt: skip
    return Campaign(**{**given, **more})


def export(
    root: Path, evaluations: Evaluations, given: Given | None = None, **more: Any
) -> Exported:
    """Export a campaign into a run."""
    told = given or Given(REFERENCE, SATURATED, CALIBRATION)
    return export_campaign(ToyLedger(evaluations), campaign_of(evaluations, **more), root,
                           small_fit.ITEM, render=ToyRenderer(), given=told, how=HOW)  # fmt: skip
