"""What of a bundle is compared: what it says about itself, its files, and its check report?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ard import layout
from ard.bundle import Bundle, BundleFile
from ard.errors import FormatError
from ard.manifest import Manifest
from schemas import validate

_REPORT: Final = "check-report"


@dataclass(frozen=True)
class Snapshot:
    """One of the two things that are compared.

    Attributes
    ----------
    manifest : Manifest
    files : mapping of str to BundleFile
        By ``layer/product``, or by file name where a file is about the whole bundle.
    checks : BundleFile, mapping or None
        The check report, or the file that holds it, which is read when it is needed.
    """

    manifest: Manifest
    files: Mapping[str, BundleFile]
    checks: BundleFile | Mapping[str, Any] | None

    @classmethod
    def of(cls, bundle: Bundle) -> "Snapshot":
        """Look at a whole bundle."""
        files = {**bundle.documents, **dict(bundle.items())}
        return cls(bundle.manifest, files, files.get(layout.CHECKS_FILE))

    @property
    def products(self) -> "Snapshot":
        """The same without the files about the whole bundle."""
        files = {n: file for n, file in self.files.items() if file.entry.layer is not None}
        return replace(self, files=files)

    def same_checks(self, other: "Snapshot") -> bool:
        """Tell, without reading them, whether two reports are the same file."""
        mine, theirs = self.checks, other.checks
        return (
            isinstance(mine, BundleFile)
            and isinstance(theirs, BundleFile)
            and mine.entry.sha256 == theirs.entry.sha256
        )

    def results(self) -> tuple[Mapping[str, Any], ...]:
        """Give the rows of the check report; none where there is no report.

        Raises
        ------
        FormatError
            If the report does not follow its schema.
        """
        if self.checks is None:
            return ()
        if not isinstance(self.checks, BundleFile):
            return tuple(self.checks["results"])
        report = self.checks.load()
        problems = validate(report, _REPORT)
        if problems:
            raise FormatError(
                "the check report of a bundle cannot be compared",
                file=self.checks.entry.name,
                expected=f"the schema {_REPORT}",
                found="; ".join(map(str, problems)),
                action="verify the bundle; if it is intact, use the version that made it",
            )
        return tuple(report["results"])
