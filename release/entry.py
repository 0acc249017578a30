"""How does `rbh1-release` start, even where the libraries of the study are missing?"""

import sys

from checks.entry import launch


def main() -> int:
    """Start ``rbh1-release``."""
    return launch("release.cli", "rbh1-release")


if __name__ == "__main__":
    sys.exit(main())
