"""Which files of a run does a fit of one of its items read?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ard import io, layout
from ard.errors import NotFoundError
from pipeline import folder
from pipeline.values import unknown_name

# The code that decides how probable the cube is, and so each draw.
CODE: Final = (
    "pipeline/infer",
    "pipeline/scene",
    "pipeline/linemaps/spaxels.py",
    "pipeline/lineprofile.py",
    "pipeline/lineset.py",
    "pipeline/reduce/apertures/covariance.py",
    "pipeline/reduce/apertures/wild.py",
)


@dataclass(frozen=True)
class Inputs:
    """The files of a run that a fit reads."""

    root: Path
    item: str
    cube: Path
    noise: Path
    target: Path

    @property
    def digests(self) -> dict[str, str]:
        """Give their sha256 by the names that provenance knows them by."""
        own = (self.cube, self.noise)
        inside = {path.relative_to(self.root).as_posix(): io.sha256_file(path) for path in own}
        return {**inside, self.target.name: io.sha256_file(self.target)}


def inputs_of(root: Path, item: str) -> Inputs:
    """Find what a fit of an item reads.

    Raises
    ------
    ArdError
        If the folder is no finished run, has no such item, or lacks cube, noise product or target.
    """
    plan_file = root / layout.STATE_DIR / folder.PLAN_FILE
    document = root / layout.PRODUCTS_DIR / layout.RUN_FILE
    if not plan_file.is_file() or not document.is_file():
        raise NotFoundError(
            "the folder holds no finished run",
            file=root,
            expected="a folder that `rbh1 run` or `rbh1 demo` made, to the end",
            found="a run that is not finished" if plan_file.is_file() else "no plan of a run",
            action="run to the end first",
        )
    plan = io.read_json(plan_file)
    if item not in plan["items"]:
        raise unknown_name("item", item, plan["items"])
    work = root / layout.WORK_DIR
    cube, noise = (
        _existing(work / f"{layout.product_stem(item, name)}.fits", words)
        for name, words in ((layout.CUBE, "cube"), (layout.NOISE, "noise product"))
    )
    target = _existing(Path(plan["inputs"]["target"]["path"]), "target's file")
    return Inputs(root, item, cube, noise, target)


def _existing(path: Path, words: str) -> Path:
    if not path.is_file():
        raise NotFoundError(
            f"the {words} of the run does not exist",
            file=path,
            expected=f"the {words} that the run made or used",
            found="no such file",
            action="run again: rbh1 run",
        )
    return path
