"""What is wrong with a manifest, in which file, and what should its editor do?"""

from os import PathLike


class ManifestError(ValueError):
    """Say which manifest is wrong, where, and what to do about it.

    Parameters
    ----------
    problem : str
        One sentence that names the problem.
    file : path-like, optional
        The manifest.
    expected, found : optional
        What should have been there, and what was; anything with a readable `str`.
    action : str, optional
        The next thing to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | PathLike[str] | None = None,
        expected: object = None,
        found: object = None,
        action: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.action = action
        rows = [
            ("file", self.file),
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.action),
        ]
        super().__init__(problem + "".join(f"\n  {k}: {v}" for k, v in rows if v is not None))
