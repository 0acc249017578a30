"""Which stages are there, in which order, and what does each read and write?

A stage is a module with a frozen dataclass ``Config`` and a pure function
``run(*, <reads by name>, config)``. It is declared once, in a module of this package, one for each
phase; the task graph is built from this declaration (`pipeline.graph`), and the runner does the
reading and writing (`pipeline.runner`). A module is imported when it is needed, never here.
"""

from typing import Final

from pipeline.stages.declare import ARCHIVE, CUBE, SOURCES, TWIN, Read, Stage, Write
from pipeline.stages.drawing import DRAWING
from pipeline.stages.inference import INFERENCE
from pipeline.stages.observation import OBSERVATION
from pipeline.stages.reduction import REDUCTION

__all__ = ["ARCHIVE", "CUBE", "SOURCES", "STAGES", "TWIN", "Read", "Stage", "Write"]

# Last: it collects what all others wrote.
_RELEASE: Final[tuple[Stage, ...]] = (
    Stage(
        name="materialize",
        module="pipeline.materialize",
        summary="put the products into their layers",
        reads=(Read("target", "plan.target", load="target"), Read("context", "plan.context")),
        writes=(Write("run", "products/run.json", "document", schema="run"),),
        code=("pipeline/materialize.py", "pipeline/fitted.py", "manifests"),
        collects=True,
        typical_seconds=1.0,
    ),
)

STAGES: Final[tuple[Stage, ...]] = (
    *OBSERVATION,
    *REDUCTION,
    *INFERENCE,
    *DRAWING,
    *_RELEASE,
)
