"""How does `rbh1` start, even where the libraries of the study are missing?"""

import sys

from checks.entry import launch


def main() -> int:
    """Start ``rbh1``."""
    return launch("pipeline.cli", "rbh1")


if __name__ == "__main__":
    sys.exit(main())
