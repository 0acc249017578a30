"""How does a command line start when the libraries it needs may be missing?

`pip install rbh1-ard` brings numpy and astropy only, and puts the three commands on the path all
the same. So the entry points import nothing but the standard library until they know that the
rest is there.
"""

import sys
from importlib import import_module

EXTRA = "study"
COULD_NOT_RUN = 3  # the exit code all three commands share

_OURS = frozenset({"ard", "checks", "manifests", "pipeline", "release", "schemas"})


def launch(module: str, program: str) -> int:
    """Run the click command named ``cli`` of a module, or say which line installs it.

    Parameters
    ----------
    module : str
        The module that holds ``cli`` (``"checks.cli"``).
    program : str
        The name the command was called by, for its help and messages.

    Returns
    -------
    int
        The exit code, where the command did not itself end the process.

    Raises
    ------
    ModuleNotFoundError
        One of our own modules is missing: a broken installation, which no extra repairs.
    """
    try:
        command = import_module(module).cli
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OURS:
            raise
        sys.stderr.write(
            f"{program} needs the library '{missing}', which is not installed. Type:\n"
            f"    pip install 'rbh1-ard[{EXTRA}]'\n"
        )
        return COULD_NOT_RUN
    result = command(prog_name=program)
    return result if isinstance(result, int) else 0


def main() -> int:
    """Start ``rbh1-check``."""
    return launch("checks.cli", "rbh1-check")


if __name__ == "__main__":
    sys.exit(main())
