"""Which stages draw the figures, each a function of products?"""

from typing import Final

from pipeline.stages.declare import ARCHIVE, TWIN, Read, Stage, Write

_FIGURES: Final = "validation/figures"
_IMAGING: Final = ("pipeline/reduce/imaging", "pipeline/reduce/outliers.py", "manifests")
_TARGET: Final = Read("target", "plan.target", load="target")
_FILTERS: Final = Read("filters", "plan.filters", load="manifests.filters:load_filters")
_IMAGES: Final = Read(
    *("images", "plan.images", "pipeline.reduce.imaging.images:read_images"),
    given=(_TARGET, _FILTERS),
)

DRAWING: Final[tuple[Stage, ...]] = (
    Stage(
        name="maps",
        module="pipeline.figures.maps",
        summary="draw the line maps",
        reads=(Read("linemaps", "linemaps.linemaps"), _TARGET),
        writes=(
            Write(
                "figure", "work/figures/{item}_maps{part}.png", "figure", _FIGURES, parts="groups"
            ),
            Write("data", "work/figures/{item}_maps{part}.ecsv", "table", _FIGURES, parts="groups"),
        ),
        code=("pipeline/figures", "manifests"),
        per_item=True,
        typical_seconds=6.0,
    ),
    Stage(
        name="kinematicsfigure",
        module="pipeline.figures.kinematics",
        summary="draw the posteriors of the spaxels, and the run of velocity along the wake",
        reads=(
            Read("kinematics", "kinematics.kinematics"),
            Read("cube", "ingest.cube"),
            _TARGET,
        ),
        writes=tuple(
            Write(name, f"work/figures/{{item}}_{file}", kind, _FIGURES, parts="groups")
            for name, file, kind in (
                ("figure", "kinematics{part}.png", "figure"),
                ("data", "kinematics{part}.ecsv", "table"),
                ("pv", "pv{part}.png", "figure"),
                ("pv_data", "pv{part}.ecsv", "table"),
            )
        ),
        code=("pipeline/figures", "pipeline/lineprofile.py", *_IMAGING),
        per_item=True,
        typical_seconds=6.0,
    ),
    Stage(
        name="spectra",
        module="pipeline.figures.spectra",
        summary="draw spectrum and noise",
        reads=(Read("cube", "ingest.cube"), Read("seen", "ingest.seen"), _TARGET),
        writes=(
            Write("spectrum", "work/figures/{item}_spectrum.png", "figure", _FIGURES),
            Write("spectrum_data", "work/figures/{item}_spectrum.ecsv", "table", _FIGURES),
            Write("noise", "work/figures/{item}_noise.png", "figure", _FIGURES),
            Write("noise_data", "work/figures/{item}_noise.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        per_item=True,
        typical_seconds=3.0,
    ),
    Stage(
        name="noisefigure",
        module="pipeline.figures.noise",
        summary="draw the noise model",
        reads=(Read("model", "noise.model"), _TARGET),
        writes=(
            Write("figure", "work/figures/{item}_noisemodel.png", "figure", _FIGURES),
            Write("data", "work/figures/{item}_noisemodel.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        per_item=True,
        typical_seconds=2.0,
    ),
    Stage(
        name="apertures",
        module="pipeline.figures.apertures",
        summary="draw the spectra of the apertures with their lines",
        reads=(
            Read("spectra", "extract.spectra"),
            Read("fluxes", "extract.fluxes"),
            _TARGET,
        ),
        writes=(
            Write("figure", "work/figures/{item}_apertures.png", "figure", _FIGURES),
            Write("data", "work/figures/{item}_apertures.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        per_item=True,
        typical_seconds=4.0,
    ),
    Stage(
        name="images",
        module="pipeline.figures.images",
        summary="draw the images, and the light along the wake",
        reads=(
            _IMAGES,
            Read("geometry", "geometry.geometry"),
            Read("photometry", "photometry.photometry"),
            Read("colours", "photometry.colours"),
            _TARGET,
        ),
        writes=(
            Write("panel", "work/figures/images.png", "figure", _FIGURES),
            Write("panel_data", "work/figures/images.ecsv", "table", _FIGURES),
            Write("wake", "work/figures/wake.png", "figure", _FIGURES),
            Write("wake_data", "work/figures/wake.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", *_IMAGING),
        sources=(TWIN, ARCHIVE),
        needs=("images",),
        typical_seconds=4.0,
    ),
    Stage(
        name="ghostfigures",
        module="pipeline.figures.ghosts",
        summary="draw what the difference of the pointings does to the lines",
        reads=(
            Read("ghostmap", "difference.ghostmap"),
            Read("ghosts", "difference.ghosts"),
            Read("subtraction", "difference.subtraction"),
            _TARGET,
        ),
        writes=(
            Write("figure", "work/figures/{item}_ghostlines.png", "figure", _FIGURES),
            Write("data", "work/figures/{item}_ghostlines.ecsv", "table", _FIGURES),
            Write("overview", "work/figures/ghost-fractions.png", "figure", _FIGURES),
            Write("overview_data", "work/figures/ghost-fractions.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        sources=(TWIN, ARCHIVE),
        typical_seconds=4.0,
    ),
    Stage(
        name="shockfigures",
        module="pipeline.figures.shockfit",
        summary="draw what the lines of an aperture say of a shock",
        reads=(
            Read("fluxes", "extract.fluxes"),
            Read("tables", "shocks.table"),
            Read("verdicts", "shocks.verdicts"),
            Read("grid", "plan.shockgrid", load="pipeline.shocks.gridfile:read_part"),
            Read("assumed", "plan.shocks", load="manifests.shocks:load_shocks"),
        ),
        writes=(
            Write("figure", "work/figures/{item}_shockfit.png", "figure", _FIGURES),
            Write("data", "work/figures/{item}_shockfit.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "pipeline/shocks", "pipeline/infer/families.py", "manifests"),
        needs=("shockgrid",),
        typical_seconds=5.0,
    ),
    Stage(
        name="dashboard",
        module="pipeline.figures.dashboard",
        summary="draw how the run stands against what is accepted",
        reads=(
            Read("models", "noise.model"),
            Read("combinations", "combine.combination", optional=True),
            Read("subtraction", "difference.subtraction", optional=True),
            Read("recoveries", "recovery.recovery", optional=True),
            Read("fluxes", "extract.fluxes"),
            Read("geometry", "geometry.geometry", optional=True),
            _TARGET,
            Read("acceptance", "plan.acceptance", load="manifests.acceptance:load_acceptance"),
        ),
        writes=(
            Write("figure", "work/figures/dashboard.png", "figure", _FIGURES),
            Write("data", "work/figures/dashboard.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        typical_seconds=2.0,
    ),
)
