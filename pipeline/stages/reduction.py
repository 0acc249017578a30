"""Which stages make cubes, spectra, photometry and the noise model from the files?"""

from typing import Final

from pipeline.stages.declare import ARCHIVE, TWIN, Read, Stage, Write

_REDUCE: Final = ("pipeline/reduce", "pipeline/lineset.py", "pipeline/roles.py", "manifests")
_LINEMAPS: Final = (
    "pipeline/linemaps",
    "pipeline/reduce/instruments.py",
    "pipeline/descent.py",
    "pipeline/lineprofile.py",
    "pipeline/lineset.py",
    "manifests",
)
_NOISE: Final = (
    *("pipeline/reduce/noise", "pipeline/reduce/combine", "pipeline/reduce/outliers.py"),
    *("pipeline/roles.py", "manifests"),
)
_APERTURES: Final = (*_REDUCE, "pipeline/descent.py", "pipeline/lineprofile.py")
_IMAGING: Final = ("pipeline/reduce/imaging", "pipeline/reduce/outliers.py", "manifests")
_OPEN: Final = "pipeline.reduce.combine.exposure:open_exposure"
_TRUTH: Final = "pipeline.linemaps.recovery:read_truth"
_TARGET: Final = Read("target", "plan.target", load="target")
_FILTERS: Final = Read("filters", "plan.filters", load="manifests.filters:load_filters")
_IMAGES: Final = Read(
    *("images", "plan.images", "pipeline.reduce.imaging.images:read_images"),
    given=(_TARGET, _FILTERS),
)

REDUCTION: Final[tuple[Stage, ...]] = (
    Stage(
        name="combine",
        module="pipeline.reduce.combine.stage",
        summary="combine the science exposures of a pointing",
        reads=(
            Read("item", "plan.item"),
            Read("exposures", "plan.exposures", load=_OPEN),
            Read("roles", "exposures.exposures"),
            Read("cube", "plan.cube", load=_OPEN),
            _TARGET,
        ),
        writes=(
            Write("cube", "work/{item}_combined.fits", "cube", layer="likelihood", schema="cube"),
            Write(
                "resampling",
                "work/{item}_resampling.ecsv",
                "table",
                layer="likelihood",
                schema="resampling",
            ),
            Write(
                "combination",
                "work/{item}_combination.json",
                "document",
                layer="validation",
                schema="combination",
            ),
        ),
        code=_REDUCE,
        per_item=True,
        sources=(TWIN, ARCHIVE),
        typical_seconds=4.0,
    ),
    Stage(
        name="lines",
        module="pipeline.reduce.lines",
        summary="write the line list",
        reads=(_TARGET,),
        writes=(Write("lines", "work/lines.ecsv", "table", layer="likelihood", schema="lines"),),
        code=_REDUCE,
        typical_seconds=0.1,
    ),
    Stage(
        name="ingest",
        module="pipeline.reduce.ingest",
        summary="read a cube, judge it, mask what cannot be used",
        reads=(Read("cube", "plan.cube"), _TARGET),
        writes=(
            Write("cube", "work/{item}_cube.fits", "cube", layer="likelihood", schema="cube"),
            Write("seen", "work/{item}_seen.json", "document"),
        ),
        code=_REDUCE,
        per_item=True,
        typical_seconds=6.0,
    ),
    Stage(
        name="noise",
        module="pipeline.reduce.noise.stage",
        summary="measure the noise of a cube, and make it data",
        reads=(
            Read("item", "plan.item"),
            Read("cube", "ingest.cube"),
            _TARGET,
            Read(
                *("exposures", "plan.exposures"),
                load="pipeline.reduce.noise.dithers:read_dither",
                optional=True,
            ),
            Read("roles", "exposures.exposures", optional=True),
        ),
        writes=(
            Write("noise", "work/{item}_noise.fits", "noise", layer="likelihood", schema="noise"),
            Write(
                "model",
                "work/{item}_noisemodel.json",
                "document",
                layer="validation",
                schema="noise-model",
            ),
        ),
        code=_NOISE,
        per_item=True,
        typical_seconds=6.0,
    ),
    Stage(
        name="linemaps",
        module="pipeline.linemaps.spaxels",
        summary="fit the lines in every spaxel",
        reads=(Read("cube", "ingest.cube"), _TARGET),
        writes=(
            Write(
                "linemaps",
                "work/{item}_linemap{part}.fits",
                "map",
                layer="inference",
                schema="linemap",
                parts="groups",
            ),
        ),
        code=_LINEMAPS,
        per_item=True,
        typical_seconds=10.0,
    ),
    Stage(
        name="geometry",
        module="pipeline.reduce.imaging.geometry",
        summary="measure where the wake lies on the images",
        reads=(_IMAGES, Read("cubes", "ingest.cube"), _TARGET, _FILTERS),
        writes=(
            Write(
                "geometry",
                "work/geometry.json",
                "document",
                layer="inference",
                schema="geometry",
            ),
        ),
        code=_IMAGING,
        sources=(TWIN, ARCHIVE),
        needs=("images",),
        typical_seconds=25.0,
    ),
    Stage(
        name="extract",
        module="pipeline.reduce.apertures.stage",
        summary="extract the spectra of the apertures, and measure their lines",
        reads=(
            Read("item", "plan.item"),
            Read("cube", "ingest.cube"),
            Read("linemaps", "linemaps.linemaps"),
            _TARGET,
            Read(
                "noise",
                "noise.noise",
                load="pipeline.reduce.apertures.covariance:read_given_noise",
                optional=True,
            ),
            Read(
                "archive", "plan.x1d", load="pipeline.reduce.apertures.x1d:read_x1d", optional=True
            ),
            Read("truth", "plan.truth", load=_TRUTH, optional=True),
            Read("geometry", "geometry.geometry", optional=True),
        ),
        writes=(
            Write("spectra", "work/{item}_spectra.ecsv", "table", "inference", "spectra"),
            Write("fluxes", "work/{item}_fluxes.ecsv", "table", "inference", "fluxes"),
        ),
        code=_APERTURES,
        per_item=True,
        typical_seconds=6.0,
    ),
    Stage(
        name="quality",
        module="pipeline.reduce.quality",
        summary="put the quality of a cube and its maps into one document",
        reads=(
            Read("item", "plan.item"),
            Read("seen", "ingest.seen"),
            Read("linemaps", "linemaps.linemaps"),
        ),
        writes=(
            Write(
                "quality",
                "work/{item}_quality.json",
                "document",
                layer="validation",
                schema="quality",
            ),
        ),
        code=_REDUCE,
        per_item=True,
        typical_seconds=0.5,
    ),
    Stage(
        name="recovery",
        module="pipeline.linemaps.recovery",
        summary="compare what was found with what was put in",
        reads=(
            Read("item", "plan.item"),
            Read("linemaps", "linemaps.linemaps"),
            Read("truth", "plan.truth", load="pipeline.linemaps.recovery:read_truth"),
        ),
        writes=(
            Write(
                "recovery",
                "work/{item}_recovery.json",
                "document",
                layer="validation",
                schema="recovery",
            ),
        ),
        code=_LINEMAPS,
        per_item=True,
        sources=(TWIN,),
        typical_seconds=0.5,
    ),
    Stage(
        name="photometry",
        module="pipeline.reduce.imaging.photometry",
        summary="measure the light of host and wake on the images",
        reads=(_IMAGES, Read("geometry", "geometry.geometry"), _TARGET, _FILTERS),
        writes=tuple(
            Write(name, f"work/{name}.ecsv", "table", layer="inference", schema=name)
            for name in ("photometry", "magnitudes", "colours")
        ),
        code=_IMAGING,
        sources=(TWIN, ARCHIVE),
        needs=("images",),
        typical_seconds=12.0,
    ),
    Stage(
        name="difference",
        module="pipeline.reduce.difference.stage",
        summary="measure what every background takes off the wake",
        reads=(
            Read("combined", "combine.cube"),
            Read("standard", "ingest.cube"),
            Read("truth", "plan.truth", load=_TRUTH, optional=True),
            _TARGET,
        ),
        writes=(
            Write("ghosts", "work/ghosts.ecsv", "table", layer="validation", schema="ghosts"),
            Write("strengths", "work/strengths.ecsv", "table", "validation", "strengths"),
            Write(
                "subtraction",
                "work/subtraction.json",
                "document",
                layer="validation",
                schema="subtraction",
            ),
            Write(
                "ghostmap",
                "work/{item}_ghostmap.fits",
                "map",
                layer="validation",
                schema="ghostmap",
            ),
        ),
        code=(*_REDUCE, "pipeline/linemaps"),
        sources=(TWIN, ARCHIVE),
        typical_seconds=6.0,
    ),
    Stage(
        name="mosaic",
        module="pipeline.reduce.difference.mosaic",
        summary="put the pointings together, with and without each taken off the other",
        reads=(
            Read("combined", "combine.cube"),
            Read("strengths", "difference.strengths"),
            _TARGET,
        ),
        writes=(
            *(
                Write(name, f"work/{name}.fits", "cube", layer="likelihood", schema="cube")
                for name in ("mosaic", "differenced", "deghosted")
            ),
            Write("sharing", "work/sharing.ecsv", "table", "likelihood", "sharing"),
        ),
        code=(*_REDUCE, "pipeline/linemaps"),
        sources=(TWIN, ARCHIVE),
        least_items=2,
        typical_seconds=6.0,
    ),
)
