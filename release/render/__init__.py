"""How do the facts of a release become the documents of a bundle?

One module for each document; those in prose are templates in `release/templates`.
"""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ard.bundle import human_size


def render_template(name: str, **facts: Any) -> str:
    """Fill in a template; a fact that it asks for and does not get is an error.

    Parameters
    ----------
    name : str
        File name in `release/templates`.
    **facts
        What the template may use.
    """
    return _environment().get_template(name).render(**facts).rstrip("\n") + "\n"


def table_cell(value: object) -> str:
    """Write a value so that it stays one cell of a Markdown table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _is_page(name: str | None) -> bool:
    """Say whether a template is HTML; in Markdown and code nothing is escaped but table cells."""
    return name is not None and ".html" in name


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("release"),
        undefined=StrictUndefined,
        autoescape=_is_page,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = table_cell
    environment.filters["human_size"] = human_size
    return environment
