"""Which columns must each table have, of which type, unit and range?

These are pandera models, and importing this package imports pandera: ask `schemas.tables`, which
does so when it is needed.
"""

from typing import Final

from schemas.models.apertures import Fluxes, Spectra
from schemas.models.campaign import Evaluations
from schemas.models.difference import Ghosts, Resampling, Sharing, Strengths
from schemas.models.images import Colours, Magnitudes, Photometry
from schemas.models.observation import Archive, Exposures, Lines
from schemas.models.shocks import GeometryDraws, ShockModels, ShockVelocities

MODELS: Final = {
    "archive": Archive,
    "colours": Colours,
    "evaluations": Evaluations,
    "exposures": Exposures,
    "fluxes": Fluxes,
    "ghosts": Ghosts,
    "lines": Lines,
    "magnitudes": Magnitudes,
    "photometry": Photometry,
    "resampling": Resampling,
    "sharing": Sharing,
    "shockgeometry": GeometryDraws,
    "shockmodels": ShockModels,
    "shocks": ShockVelocities,
    "spectra": Spectra,
    "strengths": Strengths,
}
