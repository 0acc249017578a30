"""How fast, and how noisy, is KinMS?

Conventions: reference/cubes.md section 4. Its centre lies at index n / 2, the middle of a voxel,
and its beam is only centred in a field with even sides. Of several lines it makes copies of the
first, shifted: all have its width in wavelength.
"""

import numpy as np
from clock import channels, serve
from kinms import KinMS


def prepare(job):
    """Draw the clouds' random numbers, which KinMS does once for all cubes."""
    pixel, disc = job["pixel_arcsec"], job["disc"]
    first, step, number = channels(job)
    several = len(job["lines_um"]) > 1
    code = KinMS(
        job["nx"] * pixel,
        job["ny"] * pixel,
        number * step,
        pixel,
        step,
        job["fwhm_arcsec"],
        nSamps=job["clouds"],
        spectral_resolution=job["lsf_kms"],
        multiple_line_lams=np.array(job["lines_um"]) if several else False,
    )
    radii = np.array(job["radii_arcsec"])

    def make():
        cube = code.model_cube(
            disc["inclination_deg"],
            disc["pa_deg"],
            gasSigma=disc["dispersion_kms"],
            diskThick=disc["height_arcsec"],
            sbRad=radii,
            sbProf=np.exp(-radii / disc["scale_arcsec"]),
            velRad=radii,
            velProf=disc["vmax_kms"] * np.tanh(radii / disc["turnover_arcsec"]),
            phaseCent=[disc["x_arcsec"] - pixel / 2, disc["y_arcsec"] - pixel / 2],
            multiple_line_relflux=np.ones(len(job["lines_um"])) if several else False,
            vOffset=-first - number / 2 * step,
        )
        return cube.transpose(2, 1, 0)

    return make, {"beam": code.psf.T}


if __name__ == "__main__":
    serve(prepare)
