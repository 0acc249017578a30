"""Which stages are there, in which order, and what does each read and write?

A stage is a module with a frozen dataclass ``Config`` and a pure function
``run(*, <reads by name>, config)``. It is declared once, in `STAGES`; the task graph is built from
this declaration (`pipeline.graph`), and the runner does the reading and writing
(`pipeline.runner`). A module is imported when it is needed, never here.
"""

from dataclasses import dataclass
from typing import Final

TWIN: Final = "twin"
CUBE: Final = "cube"
ARCHIVE: Final = "archive"
SOURCES: Final = (TWIN, CUBE, ARCHIVE)


@dataclass(frozen=True)
class Read:
    """One input of a stage.

    Attributes
    ----------
    name : str
        The keyword of `run` that receives it.
    source : str
        ``<stage>.<write>``, or ``plan.<name>`` for what the plan brings: the input cube, the
        target, ``plan.item`` (the item's name), ``plan.context`` (facts about the run). The item
        is implied: a stage that runs per item gets the value of its own item; a stage that runs
        once gets a mapping of item to value.
    load : str
        How the file is handed over: ``product`` (what `ard.read` gives), ``path``, ``target``,
        ``headers`` (the FITS headers of every extension), ``bytes``; or ``module:function``,
        a reader of a path.
    optional : bool
        Hand over None where the plan has no such input.
    """

    name: str
    source: str
    load: str = "product"
    optional: bool = False


@dataclass(frozen=True)
class Write:
    """One output of a stage.

    Attributes
    ----------
    name : str
        The key in the mapping that `run` returns.
    path : str
        Where it goes, relative to the run folder. ``{item}`` is replaced by the item (a stage that
        runs once returns a mapping of item to product), ``{part}`` by each entry of `parts` (a
        mapping of part to product; nothing if there is one part, else ``-<part>``), and ``{name}``
        by each name that `names` gives (a mapping of name to product).
    kind : str
        cube, map, noise, table, document, figure, archive, text or page.
    layer : str
        The folder under products/ to which `materialize` copies it; empty for a work file.
    schema : str
        The schema that its content follows.
    parts : str
        The list of the plan over which ``{part}`` runs, such as ``groups``.
    names : str
        The function of the stage's module that lists the values of ``{name}`` for a config.
    """

    name: str
    path: str
    kind: str
    layer: str = ""
    schema: str = ""
    parts: str = ""
    names: str = ""


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: where its code is, what it reads, what it writes.

    Attributes
    ----------
    name : str
        Its name in task names, configuration tables and records.
    module : str
        The module with `Config` and `run`.
    summary : str
        One line for people.
    reads, writes : tuple
        Inputs and outputs.
    code : tuple of str
        The packages or modules (``pipeline/reduce``) whose sources decide, with the versions of
        the numeric libraries, whether results are still current.
    per_item : bool
        Run once for each item (cube) instead of once.
    sources : tuple of str
        The kinds of plan it belongs to: twin, cube, archive.
    needs : tuple of str
        Inputs of the plan without which the stage is left out of a run: a store need not hold
        images.
    collects : bool
        It also receives every output that has a layer, and puts them into products/.
    in_main : bool
        Run in the main process (JAX holds state that workers must not duplicate).
    typical_seconds : float
        How long one task takes on one core of a laptop for the compact twin: what `rbh1 plan`
        says before there is a record of this run.
    config : str
        The name of the module's configuration class.
    """

    name: str
    module: str
    summary: str
    reads: tuple[Read, ...] = ()
    writes: tuple[Write, ...] = ()
    code: tuple[str, ...] = ()
    per_item: bool = False
    sources: tuple[str, ...] = SOURCES
    needs: tuple[str, ...] = ()
    collects: bool = False
    in_main: bool = False
    typical_seconds: float = 1.0
    config: str = "Config"


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
    *("pipeline/reduce/noise", "pipeline/reduce/outliers.py", "pipeline/roles.py", "manifests"),
)
_APERTURES: Final = (*_REDUCE, "pipeline/descent.py", "pipeline/lineprofile.py")
_IMAGING: Final = ("pipeline/reduce/imaging", "pipeline/reduce/outliers.py", "manifests")
_FIGURES: Final = "validation/figures"
_OPEN: Final = "pipeline.reduce.combine.exposure:open_exposure"
_TRUTH: Final = "pipeline.linemaps.recovery:read_truth"
_TARGET: Final = Read("target", "plan.target", load="target")
_IMAGES: Final = Read("images", "plan.images", load="pipeline.reduce.imaging.images:read_images")

STAGES: Final[tuple[Stage, ...]] = (
    Stage(
        name="simulate",
        module="pipeline.simulate.twin",
        summary="simulate the observation, with its truth",
        writes=(Write("files", "{name}", "archive", names="file_names"),),
        code=("pipeline/simulate",),
        sources=(TWIN,),
        config="TwinConfig",
        typical_seconds=25.0,
    ),
    Stage(
        name="acquire",
        module="pipeline.acquire.table",
        summary="identify the archive's files, and hold them against the lock",
        reads=(
            Read("files", "plan.archive", load="pipeline.acquire.table:read_given"),
            Read("lock", "plan.lock", load="manifests.lock:read_lock"),
            _TARGET,
        ),
        writes=(
            Write("archive", "work/archive.ecsv", "table", layer="likelihood", schema="archive"),
        ),
        code=("pipeline/acquire", "pipeline/roles.py", "manifests"),
        sources=(ARCHIVE,),
        typical_seconds=5.0,
    ),
    Stage(
        name="exposures",
        module="pipeline.reduce.exposures",
        summary="give every exposure its role and pointing",
        reads=(
            Read("exposures", "plan.exposures", load="pipeline.reduce.exposures:read_exposure"),
        ),
        writes=(
            Write(
                "exposures",
                "work/exposures.ecsv",
                "table",
                layer="likelihood",
                schema="exposures",
            ),
        ),
        code=_REDUCE,
        sources=(TWIN, ARCHIVE),
        typical_seconds=4.0,
    ),
    Stage(
        name="combine",
        module="pipeline.reduce.combine.stage",
        summary="combine the science exposures of a pointing",
        reads=(
            Read("item", "plan.item"),
            Read("exposures", "plan.exposures", load=_OPEN),
            Read("roles", "exposures.exposures"),
            Read("cube", "plan.cube", load=_OPEN),
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
        name="geometry",
        module="pipeline.reduce.imaging.geometry",
        summary="measure where the wake lies on the images",
        reads=(_IMAGES, Read("cubes", "ingest.cube"), _TARGET),
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
        name="photometry",
        module="pipeline.reduce.imaging.photometry",
        summary="measure the light of host and wake on the images",
        reads=(_IMAGES, Read("geometry", "geometry.geometry"), _TARGET),
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
            Write(
                "subtraction",
                "work/subtraction.json",
                "document",
                layer="validation",
                schema="subtraction",
            ),
            Write("ghostmap", "work/{item}_ghostmap.fits", "map", layer="validation", schema="map"),
        ),
        code=(*_REDUCE, "pipeline/linemaps"),
        sources=(TWIN, ARCHIVE),
        typical_seconds=6.0,
    ),
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
        ),
        writes=(
            Write("figure", "work/figures/dashboard.png", "figure", _FIGURES),
            Write("data", "work/figures/dashboard.ecsv", "table", _FIGURES),
        ),
        code=("pipeline/figures", "manifests"),
        typical_seconds=2.0,
    ),
    Stage(
        name="materialize",
        module="pipeline.materialize",
        summary="put the products into their layers",
        reads=(_TARGET, Read("context", "plan.context")),
        writes=(Write("run", "products/run.json", "document", schema="run"),),
        code=("pipeline/materialize.py", "manifests"),
        collects=True,
        typical_seconds=1.0,
    ),
)
