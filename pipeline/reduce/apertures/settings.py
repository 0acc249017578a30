"""How are apertures extracted where nobody says otherwise, and which are they?"""

from dataclasses import dataclass

from manifests import Aperture, Target
from manifests.aperture import CIRCLE, POINT
from pipeline.reduce.apertures.registration import REGISTRATIONS, Rule


@dataclass(frozen=True)
class Config:
    """Settings of the extract stage.

    Attributes
    ----------
    min_coverage : float
        Channels with a smaller part of the aperture's light in usable spaxels are masked.
    zone_kms : float
        Channels nearer to a line of the target than this belong to it: the search below, and
        two widths of the line-spread function.
    continuum_channels, continuum_reach : int
        Continuum channels wanted for each block of lines, and how far they are looked for.
    continuum_order : int
        Of the polynomial below each block.
    clip_mad : float
        Voxels, and channels of a spectrum, further than this many median absolute deviations
        from the continuum are left out, in line-free channels (see `wild` for others).
    smooth_channels : int
        Channels over which the continuum of a spaxel or spectrum is taken (odd).
    velocity_min_kms, velocity_max_kms, sigma_max_kms : float
        Search range of velocity and intrinsic width.
    sigma_kms : float
        Intrinsic width at which lines are looked for.
    snr_reference, snr_free : float
        See `kinematics.Search`.
    spread_kms : float
        How far groups of one aperture differ in velocity and width by nature; one that differs by
        more than three times this and its errors is measured at those of the brightest. A third of
        a channel at [O III]: lines weigh the gas in the line of sight differently.
    min_seen : float
        A line with a smaller part of its light on usable channels is called masked.
    err_excess : float
        A voxel whose ERR is larger by this factor than that of its neighbours on the sky is left
        out, on lines too. Photon noise alone does so for no image wider than
        1.5 spaxels (FWHM); bright lines of NGC 7469 reach 2.2 over the whole field.
    strange_sigma, strange_part : float
        A voxel on a line is left out that is brighter than the profile by more than so many
        standard deviations and this part of the brightest spaxel of the line.
    profile_snr : float
        Significance from which a line map gives the profile across the wake.
    profile_error : float
        By which part of its brightest spaxel a line may differ from the profile: keeps the
        weights of the optimal extraction from trusting the profile more than the data. At 0.1
        fluxes along the simulated wake scatter as their errors say; at 0 they are off by several
        errors where it is bright, and by half in the ring of NGC 7469.
    error_scale : str
        "residual" multiplies errors with sqrt(chi2 / dof) of the continuum where that is above
        1 and the errors are those of ERR alone; "none" never does.
    default_radius_arcsec : float
        Radius of the one aperture of a target that declares none.
    registration : str
        "measured" moves the apertures by how far the cube lies off the images, where that is
        known and significant; "none" takes the cube's own coordinates.
    shift_sigma : float
        Such an offset is significant from this many of its errors on: by chance, one in ninety
        is larger than three.
    shift_line_arcsec : float
        Error of an offset that was measured in the light of a line: its light need not lie where
        that of the image does. In the simulated observation it is off by up to 0.018 arcsec.
    """

    min_coverage: float = 0.5
    zone_kms: float = 1200.0
    continuum_channels: int = 20
    continuum_reach: int = 40
    continuum_order: int = 1
    clip_mad: float = 6.0
    smooth_channels: int = 25
    velocity_min_kms: float = -800.0
    velocity_max_kms: float = 800.0
    sigma_max_kms: float = 500.0
    sigma_kms: float = 50.0
    snr_reference: float = 6.0
    snr_free: float = 10.0
    spread_kms: float = 65.0
    min_seen: float = 0.5
    err_excess: float = 2.5
    strange_sigma: float = 8.0
    strange_part: float = 1.0
    profile_snr: float = 20.0
    profile_error: float = 0.1
    error_scale: str = "residual"
    default_radius_arcsec: float = 0.5
    registration: str = "measured"
    shift_sigma: float = 3.0
    shift_line_arcsec: float = 0.02

    def __post_init__(self) -> None:
        if not (0 < self.min_coverage <= 1 and 0 < self.min_seen <= 1):
            raise ValueError("min_coverage and min_seen must be above 0, and 1 at most")
        fastest = max(abs(self.velocity_min_kms), abs(self.velocity_max_kms))
        if not (self.velocity_min_kms < self.velocity_max_kms and self.zone_kms > fastest):
            raise ValueError("zone_kms must be above the largest velocity that is searched")
        if self.continuum_channels < 4 or self.continuum_reach < self.continuum_channels // 2:
            raise ValueError("continuum_channels of 4 or more, and a reach of half of them, needed")
        if self.smooth_channels % 2 == 0:
            raise ValueError("smooth_channels must be odd")
        if self.continuum_order < 0 or self.smooth_channels < 3 or self.clip_mad <= 0:
            raise ValueError("continuum_order of 0, smooth_channels of 3 or more, clip_mad above 0")
        if not (0 < self.sigma_kms < self.sigma_max_kms and self.default_radius_arcsec > 0):
            raise ValueError("0 < sigma_kms < sigma_max_kms, default_radius_arcsec above 0 needed")
        if self.snr_reference <= 0 or self.snr_free <= 0 or self.profile_snr <= 0:
            raise ValueError("snr_reference, snr_free and profile_snr must be positive")
        if min(self.profile_error, self.strange_part, self.spread_kms) < 0:
            raise ValueError("profile_error, strange_part and spread_kms must be 0 or more")
        if self.err_excess <= 1 or self.strange_sigma <= 0:
            raise ValueError("err_excess must be above 1, strange_sigma above 0")
        if self.error_scale not in ("residual", "none"):
            raise ValueError("error_scale must be 'residual' or 'none'")
        if self.registration not in REGISTRATIONS:
            raise ValueError(f"registration must be one of {', '.join(REGISTRATIONS)}")
        if self.shift_sigma <= 0 or self.shift_line_arcsec < 0:
            raise ValueError("shift_sigma above 0, shift_line_arcsec of 0 or more needed")

    @property
    def rule(self) -> Rule:
        """Give when an offset of the cube's coordinates is applied."""
        return Rule(self.registration, self.shift_sigma, self.shift_line_arcsec)


def apertures_of(target: Target, config: Config) -> tuple[Aperture, ...]:
    """Give the declared apertures, or one circle about the target where there are none."""
    if target.apertures:
        return target.apertures
    where = target.anchor
    return (
        Aperture(
            name="target",
            title=target.name,
            shape=CIRCLE,
            along_arcsec=None,
            across_arcsec=None,
            ra_deg=where.ra_deg,
            dec_deg=where.dec_deg,
            length_arcsec=None,
            width_arcsec=None,
            radius_arcsec=config.default_radius_arcsec,
            profile=POINT,
            velocity_kms=0.0,
            source="the target declares no aperture: a circle about it",
            evidence="choice",
        ),
    )
