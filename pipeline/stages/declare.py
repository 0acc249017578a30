"""How does a stage say what it reads, what it writes, and where it belongs?"""

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
    given : tuple of Read
        What the reader of the file is handed besides, as keywords of these names; `run` is not.
    """

    name: str
    source: str
    load: str = "product"
    optional: bool = False
    given: tuple["Read", ...] = ()


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
    least_items : int
        Number of items (cubes) below which the stage is left out of a run.
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
    least_items: int = 1
    collects: bool = False
    in_main: bool = False
    typical_seconds: float = 1.0
    config: str = "Config"
