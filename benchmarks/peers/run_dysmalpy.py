"""How fast, and how exact, is DysmalPy?

Conventions: reference/cubes.md section 4. `pa` is that of the approaching side; lengths are in kpc,
and one kpc is made one arcsec here; `oversize` has to be 1.
"""

import logging

import numpy as np
from astropy import units as u
from clock import channels, serve
from dysmalpy.instrument import LSF, GaussianBeam, Instrument
from dysmalpy.models import DispersionConst, Geometry, LightTruncateSersic, ModelSet, ZHeightGauss
from dysmalpy.models.base import MassModel
from dysmalpy.observation import Observation
from dysmalpy.parameters import DysmalParameter

KMS = u.km / u.s


class TanhRotation(MassModel):
    """A rotation curve, given instead of a mass."""

    vmax = DysmalParameter(default=100.0)
    turnover = DysmalParameter(default=1.0)
    _subtype = "combined"

    @staticmethod
    def evaluate(r, vmax, turnover):
        """Give the speed of rotation at a radius, km/s."""
        return vmax * np.tanh(r / turnover)

    def enclosed_mass(self, r):
        """Give nothing: no mass is known."""
        raise NotImplementedError

    def circular_velocity(self, r):
        """Give the speed of rotation at a radius, km/s."""
        return self.evaluate(r, self.vmax.value, self.turnover.value)


def _model(job):
    disc, pixel = job["disc"], job["pixel_arcsec"]
    model = ModelSet()
    model.add_component(
        TanhRotation(vmax=disc["vmax_kms"], turnover=disc["turnover_arcsec"], name="rotation")
    )
    model.add_component(
        LightTruncateSersic(r_eff=job["half_light_arcsec"], n=1.0, L_tot=1.0, tracer="line",
                            name="light"),
        light=True,
    )  # fmt: skip
    model.add_component(
        DispersionConst(sigma0=disc["dispersion_kms"], tracer="line", name="dispersion")
    )
    model.add_component(ZHeightGauss(sigmaz=disc["height_arcsec"], name="height"))
    model.add_component(
        Geometry(inc=disc["inclination_deg"], pa=disc["pa_deg"] - 180.0, obs_name="cube",
                 xshift=disc["x_arcsec"] / pixel, yshift=disc["y_arcsec"] / pixel,
                 name="geometry")
    )  # fmt: skip
    # Without a correction for pressure, 2.0.0 returns a name that it never set
    # (kinematic_options.py:305). With a radius this large the correction is nothing.
    model.kinematic_options.pressure_support = True
    model.kinematic_options.pressure_support_re = 1e30
    return model


def prepare(job):
    """Set the galaxy and the instrument up."""
    logging.disable(logging.INFO)
    first, step, number = channels(job)
    instrument = Instrument(
        beam=GaussianBeam(major=job["fwhm_arcsec"] * u.arcsec),
        lsf=LSF(job["lsf_kms"] * KMS),
        pixscale=job["pixel_arcsec"] * u.arcsec,
        spec_type="velocity",
        spec_start=first * KMS,
        spec_step=step * KMS,
        nspec=number,
        fov=[job["nx"], job["ny"]],
        ndim=3,
    )
    observation = Observation(name="cube", tracer="line", instrument=instrument)
    observation.mod_options.oversample = job["oversample"]
    model = _model(job)

    def make():
        observation.create_single_obs_model_data(model, 1.0)
        return observation.model_cube.data.unmasked_data[:].value

    return make, {}


if __name__ == "__main__":
    serve(prepare)
