"""Does a fit of a whole cube find the disc that others found in the gas of NGC 4324?

Oracles: two models of the same cube, by its observers (position angle 230 deg, inclination 65,
a ring at 20 arcsec, 175 km/s) and by a thin-disc fit (236.7, 66.1, 163 km/s, systemic 1660.6).
"""

import jax.numpy as jnp
import numpy as np
import pytest

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.likelihood import LinearPrior, Noise
from pipeline.commands.radio import beam_of, read_radio_cube
from pipeline.infer.families import LogUniform, Uniform
from pipeline.infer.optimum import dispersed, find_modes
from pipeline.infer.posterior import Posterior, scene_templates
from pipeline.infer.prior import Parameter, Prior
from pipeline.scene.cube import Component, Optics, count_disc
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel, coarsest_step
from pipeline.scene.psf import Gaussian

SIDE = 56  # spaxels of 1 arcsec: the ring, and a beam on either side of it
REST_UM = 2600.757634  # CO(1-0), 115.271202 GHz, as in the header
SYSTEMIC_KMS = 1650.0  # radio convention; velocities are fitted relative to it
LSF_KMS = 12.0  # a channel is 20 km/s wide, and is integrated over
RADII = np.linspace(0.0, 45.0, 61)
PRIOR = Prior(
    (
        Parameter("x_arcsec", "arcsec", Uniform(-6.0, 6.0)),
        Parameter("y_arcsec", "arcsec", Uniform(-6.0, 6.0)),
        Parameter("pa_deg", "deg", Uniform(140.0, 320.0)),
        Parameter("inclination_deg", "deg", Uniform(30.0, 85.0)),
        Parameter("v_sys_kms", "km/s", Uniform(-60.0, 60.0)),
        Parameter("v_flat_kms", "km/s", Uniform(80.0, 260.0)),
        Parameter("turnover_arcsec", "arcsec", LogUniform(0.3, 10.0)),
        Parameter("dispersion_kms", "km/s", LogUniform(1.0, 30.0)),
        Parameter("ring_arcsec", "arcsec", Uniform(10.0, 30.0)),
        Parameter("width_arcsec", "arcsec", LogUniform(1.0, 10.0)),
    )
)


@pytest.fixture
def double():
    from precision import x64

    with x64(True):
        yield


def disc_of(values):
    radii = jnp.asarray(RADII, jnp.result_type(float))
    rotation = values["v_flat_kms"] * jnp.tanh(radii / values["turnover_arcsec"])
    ring = jnp.exp(-0.5 * ((radii - values["ring_arcsec"]) / values["width_arcsec"]) ** 2)
    thin = jnp.asarray(0.3, radii.dtype)
    return Disc(
        *(values[name] for name in ("x_arcsec", "y_arcsec", "pa_deg", "inclination_deg")),
        values["ring_arcsec"],
        thin,
        values["v_sys_kms"],
        rotation,
        jnp.broadcast_to(values["dispersion_kms"], radii.shape),
        float(RADII[1]),
        ring,
    )


def posterior_of(cube):
    """A ring of gas in a flat disc, seen with the beam; its total flux is integrated out."""
    beam = beam_of(cube.meta)
    middle = slice(50 - SIDE // 2, 50 + SIDE // 2)
    flux, sigma = cube.flux[:, middle, middle], float(cube.err[0, 0, 0])
    edges = np.stack([cube.wave_edges[:-1], cube.wave_edges[1:]], axis=1)
    line = REST_UM / (1.0 - SYSTEMIC_KMS / SPEED_OF_LIGHT_KMS)
    lsf = np.array([LSF_KMS])
    sky = SkyGrid(SIDE, SIDE, 1.0, 1, 12)
    velocities = VelocityGrid(300.0, coarsest_step(lsf))
    model = LineModel(sky, velocities, edges, np.array([line]), lsf)
    sampler = Sampler(sky, 16)
    psf = Gaussian(beam.major_arcsec, beam.minor_arcsec, beam.pa_deg)

    def build(values):
        return Optics((psf,)), (Component((count_disc(model, sampler, disc_of(values)),)),)

    # Spaxels of a beam share their noise: as many errors as beams, not as spaxels.
    noise = Noise(
        np.full(flux.shape, sigma * np.sqrt(beam.area_arcsec2)), np.zeros(flux.shape, bool)
    )
    total = float(np.clip(flux, 3.0 * sigma, None).sum())
    amplitude = LinearPrior(np.array([0.0]), np.array([10.0 * total]))
    return Posterior(PRIOR, scene_templates(model, build), flux, noise, amplitude)


@pytest.mark.real_data
@pytest.mark.slow
def test_disc_of_ngc4324(shared_data, double):
    cube = read_radio_cube(shared_data / "ifu" / "KinMS_NGC4324.fits")
    target = posterior_of(cube).target()
    modes = find_modes(target, dispersed(PRIOR, 2, seed=4324))
    best = PRIOR.named(target.constrain(modes[0].z))
    # Marginal errors, of the posterior's Gaussian at its maximum: all other parameters are free.
    assert not modes[0].repaired
    near = np.random.default_rng(4324).multivariate_normal(modes[0].z, modes[0].covariance, 4000)
    drawn = PRIOR.named(target.constrain(near))
    spread = {name: float(values.std()) for name, values in drawn.items()}
    print({name: (round(float(best[name]), 2), round(spread[name], 2)) for name in PRIOR.names})
    assert 230.0 <= best["pa_deg"] <= 237.0
    assert 63.0 <= best["inclination_deg"] <= 68.0
    assert 160.0 <= best["v_flat_kms"] <= 178.0
    assert best["v_sys_kms"] + SYSTEMIC_KMS == pytest.approx(1660.6, abs=5.0)
    assert best["ring_arcsec"] == pytest.approx(20.0, abs=2.0)
    # A few degrees and km/s: the cube decides, not the prior.
    assert spread["pa_deg"] < 3.0
    assert spread["inclination_deg"] < 3.0
    assert spread["v_flat_kms"] < 8.0
