"""Does the documentation list the parameters of every source as the code has them?

Oracle: the tables in the code; RBH1_WRITE_DOCS=1 writes the page anew.
"""

import numpy as np
import pytest
from docs_table import DocsTable

from pipeline.scene import bow, disc, knot, psf, rotator, valid, wake

SOURCES = {"disc": disc, "rotator": rotator, "bow": bow, "wake": wake, "knot": knot}
TABLES = {name: source.PARAMETERS for name, source in SOURCES.items()}
TABLES |= {
    "instrument": valid.PARAMETERS,
    "optics": psf.PARAMETERS,
    "ghosts": psf.GHOSTS,
    **bow.SHAPES,
}


def limit(value):
    return f"{value:g}" if np.isfinite(value) else "no limit"


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_the_table_of_the_code(name):
    rows = TABLES[name]
    head = ("parameter", "unit", "from", "to", "why")
    table = DocsTable("scene_parameters.md", name, head, [f"`{row.name}`" for row in rows])
    for row in rows:
        table.hold(f"`{row.name}`", row.unit, limit(row.low), limit(row.high), row.source)
    assert table.names() == table.order


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_of_each_parameter_what_it_should(name):
    rows = TABLES[name]
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert row.low < row.high
        assert row.unit
        assert row.source
