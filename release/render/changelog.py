"""What changed from version to version: CHANGELOG.md, the newest version first."""

from release.diff.markdown import first_section, section
from release.diff.model import Version
from release.model import Release


def render_changelog(release: Release) -> str:
    """Write the CHANGELOG.md of a bundle: this version, then what the version before has in its."""
    if release.difference is None:
        newest = first_section(Version(release.version, release.date, release.doi))
    else:
        newest = section(release.difference)
    parts = [f"# Changes: {release.title}\n", newest, release.history]
    return "\n".join(part for part in parts if part)
