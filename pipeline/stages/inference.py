"""Which stages infer what the data say of the gas, with priors, evidence and draws?"""

from typing import Final

from pipeline.stages.declare import Read, Stage, Write

_TARGET: Final = Read("target", "plan.target", load="target")
_KINEMATICS: Final = (
    *("pipeline/infer/kinematics.py", "pipeline/infer/spaxel", "pipeline/linemaps"),
    *("pipeline/reduce/apertures", "pipeline/reduce/instruments.py"),
    *("pipeline/lineprofile.py", "pipeline/lineset.py", "manifests"),
)

INFERENCE: Final[tuple[Stage, ...]] = (
    Stage(
        name="kinematics",
        module="pipeline.infer.kinematics",
        summary="infer velocity, width and fluxes of every spaxel",
        reads=(
            Read("item", "plan.item"),
            Read("cube", "ingest.cube"),
            Read(
                "noise",
                "noise.noise",
                load="pipeline.reduce.apertures.covariance:read_given_noise",
                optional=True,
            ),
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
        typical_seconds=12.0,
    ),
)
