"""Toy stages: tiny, pure, quick, with a log of what was executed (outside of the run folder)."""

from pathlib import Path

from pipeline.stages import Read, Stage, Write

MAKE = """
from collections.abc import Iterator
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    start: int = 1
    names: tuple[str, ...] = ("a", "b")
    seed: int = 5

def file_names(config):
    return config.names

def run(*, config):
    for i, name in enumerate(config.names):
        yield name, {"value": config.start + i}
"""

DOUBLE = """
import os, time
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    factor: float = 2.0
    fail_on: int = -1
    die_on: int = -1
    sleep: float = 0.0
    sign: str = ""

def run(*, number, config):
    if config.sign:
        with open(f"{config.sign}{number['value']}", "w"):
            pass
    time.sleep(config.sleep)
    if number["value"] == config.fail_on:
        from ard.errors import FormatError
        raise FormatError("the toy number is odd", file="toy.json", expected="an even number",
                          found=number["value"], action="change the number")
    if number["value"] == config.die_on:
        os._exit(17)
    return {"doubled": {"value": number["value"] * config.factor}}
"""

TOTAL = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    offset: int = 0

def run(*, doubled, missing, config):
    if missing is not None:
        raise ValueError("an optional input appeared")
    return {"total": {"value": sum(d["value"] for d in doubled.values()) + config.offset,
                      "items": sorted(doubled)}}
"""

SHOW = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    title: str = "toy"

def run(*, total, config):
    return {"page": f"{config.title}: {total['value']}"}
"""

GATHER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    pass

def run(*, products, rows, context, config):
    return {"products": products, "run": {"rows": rows, "items": context["items"]}}
"""

SOURCES = {"make": MAKE, "double": DOUBLE, "total": TOTAL, "show": SHOW, "gather": GATHER}


def write_package(folder: Path, name: str) -> None:
    """Write the toy stages as a package with one subpackage for each stage."""
    for stage, source in SOURCES.items():
        package = folder / name / stage
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "stage.py").write_text(source)
    (folder / name / "__init__.py").write_text("")


def declare(name: str) -> tuple[Stage, ...]:
    """Declare the toy stages: make -> double[a, b] -> total -> show -> gather."""

    def stage(key: str, **fields: object) -> Stage:
        return Stage(
            key,
            f"{name}.{key}.stage",
            f"toy {key}",
            code=(f"{name}/{key}",),
            **fields,  # type: ignore[arg-type]
        )

    return (
        stage(
            "make",
            writes=(Write("files", "archive/{name}.json", "archive", names="file_names"),),
            sources=("twin",),
        ),
        stage(
            "double",
            reads=(Read("number", "plan.number"),),
            writes=(Write("doubled", "work/double/{item}_doubled.json", "document", "inference"),),
            per_item=True,
        ),
        stage(
            "total",
            reads=(Read("doubled", "double.doubled"), Read("missing", "none.such", optional=True)),
            writes=(Write("total", "work/total/total.json", "document", "validation"),),
        ),
        stage(
            "show",
            reads=(Read("total", "total.total"),),
            writes=(Write("page", "work/show/page.html", "page"),),
        ),
        stage(
            "gather",
            reads=(Read("context", "plan.context"),),
            writes=(Write("run", "products/run.json", "document"),),
            collects=True,
        ),
    )
