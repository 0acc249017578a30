"""Which stages bring the observation: its files, and what each of them is?"""

from typing import Final

from pipeline.stages.declare import ARCHIVE, TWIN, Read, Stage, Write

_REDUCE: Final = ("pipeline/reduce", "pipeline/lineset.py", "pipeline/roles.py", "manifests")
_TARGET: Final = Read("target", "plan.target", load="target")

OBSERVATION: Final[tuple[Stage, ...]] = (
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
)
