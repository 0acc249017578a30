"""Do two codes that share nothing put the same disc into the same voxels?

Oracle: KinMS (Davis et al. 2013, MNRAS 429, 534), an optional package, `pip install
'rbh1-ard[peers]'`. It throws clouds at random and counts them in voxels. Without its beam
(`cleanOut`) a voxel holds a Poisson number whose mean is the integral over that voxel, which is
what our cube is when the point-spread function is narrow. Its `spectral_resolution` widens the
clouds' velocities as our line-spread function does. So Pearson's chi2 per voxel is 1 if, and only
if, both agree on centre, position angle, inclination, rotation, thickness and channels.

What KinMS means (reference/cubes.md section 4): axes x, y, v; the centre at index n / 2, which is
the middle of a voxel, so that `phaseCent` 0 is our +half a pixel; `posAng` is our `pa_deg`;
`diskThick` is the scale of an exponential. Its beam is sampled, not integrated: no part of this.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ard.cube import SPEED_OF_LIGHT_KMS
from pipeline.scene.cube import LineModel, disc_cube
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid

NX, NY, N_CHANNEL = 50, 54, 20
PIXEL, CHANNEL_KMS = 0.1, 40.0
SCALE, HEIGHT, INCLINATION, PA = 0.4, 0.08, 75.0, 34.0
X, Y, V = 0.23, -0.31, 13.0
GAS_KMS, LSF_KMS = 30.0, 40.0
RADII = np.linspace(0.0, 8.0, 321)  # to 20 scale lengths
ROTATION = 180.0 * np.tanh(RADII / 0.5)
FEWEST = 20  # clouds expected in a voxel that is compared: a Poisson number is nearly normal


def count_clouds(number, seed):
    """Clouds in every voxel, shape (channel, y, x)."""
    kinms = pytest.importorskip("kinms", reason="kinms: not installed; it is in the extra 'peers'")
    size = (NX * PIXEL, NY * PIXEL, N_CHANNEL * CHANNEL_KMS)
    code = kinms.KinMS(*size, PIXEL, CHANNEL_KMS, 0.13, nSamps=number, seed=seed, cleanOut=True,
                       spectral_resolution=LSF_KMS)  # fmt: skip
    cube = code.model_cube(
        INCLINATION, PA, gasSigma=GAS_KMS, diskThick=HEIGHT, sbRad=RADII,
        sbProf=np.exp(-RADII / SCALE), velRad=RADII, velProf=ROTATION, phaseCent=[X, Y], vOffset=V,
    )  # fmt: skip
    clouds = cube / cube[cube > 0].min()  # it comes as a part of all clouds; the faintest has one
    assert np.abs(clouds - np.round(clouds)).max() < 1e-6 * clouds.max()
    return np.round(clouds).transpose(2, 1, 0)


def our_code(oversample):
    """Give the function that makes the same cube, compiled once for all discs."""
    edges = (np.arange(N_CHANNEL + 1) - N_CHANNEL / 2 - 0.5) * CHANNEL_KMS
    wave = 1.0 + edges / SPEED_OF_LIGHT_KMS
    sky = SkyGrid(NY, NX, PIXEL, oversample, pad=1)
    model = LineModel(
        sky,
        VelocityGrid(600.0, 20.0),
        np.stack([wave[:-1], wave[1:]], axis=1),
        np.array([1.0]),
        np.array([LSF_KMS]),
    )
    sampler = Sampler(sky, 64, "exponential")
    return jax.jit(lambda disc: disc_cube(model, sampler, disc, jnp.ones(1), 1e-3))


def our_disc(*, shift=0.0, pa=PA):
    """The disc that KinMS was given; the shift is in pixels, along x and y."""
    return Disc(
        x_arcsec=X + (0.5 + shift) * PIXEL,
        y_arcsec=Y + (0.5 + shift) * PIXEL,
        pa_deg=pa,
        inclination_deg=INCLINATION,
        scale_arcsec=SCALE,
        height_arcsec=HEIGHT,
        v_sys_kms=V,
        rotation_kms=jnp.asarray(ROTATION),
        dispersion_kms=jnp.full(RADII.size, GAS_KMS),
        radius_step_arcsec=RADII[1],
    )


def chi2_per_voxel(clouds, cube):
    """Also the number of voxels; chosen by what is expected, or faint ones would be too bright."""
    expected = cube * clouds.sum() / cube.sum()
    bright = expected > FEWEST
    misses = (clouds[bright] - expected[bright]) ** 2 / expected[bright]
    return float(misses.mean()), misses.size


# The mean over n voxels scatters by sqrt(2 / n): 0.026 and 0.019. Half a pixel along both axes is
# what the centre is wrong by if index n / 2 is taken for an edge; what a wrong model adds to chi2
# goes with the number of clouds. Oversampling by 2 adds 0.04 at 8e6 clouds, by 4 less than 0.01.
@pytest.mark.parametrize(
    ("clouds", "oversample", "voxels", "tolerance", "shifted", "turned"),
    [
        pytest.param(1_000_000, 2, 2500, 0.12, 15.0, 1000.0, id="1e6"),
        pytest.param(8_000_000, 4, 5000, 0.08, 100.0, 10000.0, id="8e6", marks=pytest.mark.slow),
    ],
)
def test_kinms_counts_as_many_clouds_in_every_voxel(
    double, clouds, oversample, voxels, tolerance, shifted, turned
):
    counted, code = count_clouds(clouds, seed=1), our_code(oversample)

    def compare(**changes):
        return chi2_per_voxel(counted, np.asarray(code(our_disc(**changes))))

    chi2, compared = compare()
    assert compared > voxels
    assert chi2 == pytest.approx(1.0, abs=tolerance)
    assert compare(shift=0.5)[0] > shifted
    assert compare(shift=-0.5)[0] > shifted
    assert compare(pa=-PA)[0] > turned
