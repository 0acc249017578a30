"""Which stages infer what the data say of the gas, with priors, evidence and draws?"""

from typing import Final

from pipeline.stages.declare import TWIN, Read, Stage, Write

_TARGET: Final = Read("target", "plan.target", load="target")
_NOISE: Final = Read(
    *("noise", "noise.noise", "pipeline.reduce.apertures.covariance:read_given_noise"),
    optional=True,
)
_KINEMATICS: Final = (
    *("pipeline/infer/kinematics.py", "pipeline/infer/spaxel", "checks/convergence"),
    *("pipeline/linemaps", "pipeline/lineprofile.py", "pipeline/lineset.py", "manifests"),
    *("pipeline/reduce/apertures", "pipeline/reduce/instruments.py"),
)

INFERENCE: Final[tuple[Stage, ...]] = (
    Stage(
        name="kinematics",
        module="pipeline.infer.kinematics",
        summary="infer velocity, width and fluxes of every spaxel",
        reads=(
            Read("item", "plan.item"),
            Read("cube", "ingest.cube"),
            _NOISE,
            _TARGET,
        ),
        writes=(
            Write(
                "kinematics",
                "work/{item}_kinematics{part}.fits",
                "map",
                layer="inference",
                schema="kinematics",
                parts="groups",
            ),
            Write(
                "posteriors",
                "work/{item}_posteriors.json",
                "document",
                layer="validation",
                schema="posteriors",
            ),
        ),
        code=_KINEMATICS,
        per_item=True,
        typical_seconds=25.0,
    ),
    Stage(
        name="shocks",
        module="pipeline.shocks.stage",
        summary="hold the lines of the apertures against models of shocks",
        reads=(
            Read("fluxes", "extract.fluxes"),
            Read("grid", "plan.shockgrid", load="pipeline.shocks.gridfile:read_part"),
            Read("geometry", "plan.shockgeometry", optional=True),
            Read("assumed", "plan.shocks", load="manifests.shocks:load_shocks"),
            Read("acceptance", "plan.acceptance", load="manifests.acceptance:load_acceptance"),
        ),
        writes=(
            Write("table", "work/{item}_shocks.ecsv", "table", "inference", "shocks"),
            Write(
                "verdicts",
                "work/{item}_shockverdicts.json",
                "document",
                layer="validation",
                schema="shock-verdicts",
            ),
            Write("grid", "work/shockgrid.json", "document", "inference", "shock-grid"),
        ),
        code=("pipeline/shocks", "pipeline/infer/families.py", "checks/shockgrid.py", "manifests"),
        needs=("shockgrid",),
        typical_seconds=2.0,
    ),
    Stage(
        name="kinematicsrecovery",
        module="pipeline.infer.recovery",
        summary="hold the posteriors of spaxels against what was put in",
        reads=(
            Read("item", "plan.item"),
            Read("cube", "ingest.cube"),
            _NOISE,
            _TARGET,
            Read("kinematics", "kinematics.kinematics"),
            Read("truth", "plan.truth", load="pipeline.linemaps.recovery:read_truth"),
            Read("noiseless", "plan.noiseless", load="pipeline.infer.recovery:read_noiseless"),
        ),
        writes=(
            Write(
                "recovery",
                "work/{item}_kinematicsrecovery.json",
                "document",
                layer="validation",
                schema="kinematics-recovery",
            ),
        ),
        code=(*_KINEMATICS, "pipeline/infer/recovery.py"),
        per_item=True,
        sources=(TWIN,),
        typical_seconds=5.0,
    ),
)
