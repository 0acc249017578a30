"""What is a column: its title, its description, its unit, its range?"""

from typing import Any

import pandera.pandas as pa


def column(title: str, description: str, unit: str = "", **checks: Any) -> Any:
    """Declare a column; title, description and unit feed the data dictionary."""
    return pa.Field(title=title, description=description, metadata={"unit": unit}, **checks)
