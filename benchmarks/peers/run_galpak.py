"""How fast, and how exact, is GalPaK3D?

Conventions: reference/cubes.md section 4. `pa` is that of the approaching side, radii are in
pixels, the disc's is the half-light radius, and a local dispersion of thickness x speed / radius is
added in quadrature.
"""

from clock import channels, serve
from galpak import (
    DiskModel,
    GalaxyParameters,
    GaussianLineSpreadFunction,
    GaussianPointSpreadFunction,
    Instrument,
)


def prepare(job):
    """Set the galaxy and the instrument up."""
    pixel, disc = job["pixel_arcsec"], job["disc"]
    first, step, number = channels(job)
    shape = (number, job["ny"], job["nx"])
    model = DiskModel(
        flux_profile="exponential",
        thickness_profile="sech2",
        dispersion_profile="thick",
        rotation_curve="tanh",
        aspect=job["aspect"],
    )
    galaxy = GalaxyParameters(
        x=(job["nx"] - 1) / 2 + disc["x_arcsec"] / pixel,
        y=(job["ny"] - 1) / 2 + disc["y_arcsec"] / pixel,
        z=-first / step,
        flux=1.0,
        radius=job["half_light_arcsec"] / pixel,
        inclination=disc["inclination_deg"],
        pa=disc["pa_deg"] + 180.0,
        turnover_radius=disc["turnover_arcsec"] / pixel,
        maximum_velocity=disc["vmax_kms"],
        velocity_dispersion=disc["dispersion_kms"],
    )
    instrument = Instrument(
        psf=GaussianPointSpreadFunction(fwhm=job["fwhm_arcsec"]),
        lsf=GaussianLineSpreadFunction(fwhm=job["lsf_kms"] * 2.35482),
    )

    def make():
        cube, *_ = model._create_cube(galaxy, shape, step, zo=galaxy.z)
        cube.xy_step, cube.z_step = pixel, step
        return (instrument.convolve(cube) if job["convolved"] else cube).data

    return make, {}


if __name__ == "__main__":
    serve(prepare)
