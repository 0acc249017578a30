"""Which parts does a file have, HDUs or members?"""

import zipfile

from ard import layout
from ard.bundle import BundleFile
from ard.errors import IntegrityError
from ard.parts import Part, file_parts


def parts_of(file: BundleFile) -> tuple[Part, ...]:
    """Give the HDUs or members of a file, from the manifest, or from the file where it lists none.

    Raises
    ------
    ArdError
        If the file has to be read and is damaged.
    """
    if file.entry.parts:
        return file.entry.parts
    try:
        return file_parts(file.path)
    except zipfile.BadZipFile as error:
        raise IntegrityError(
            "the file is not a readable zip",
            file=file.path,
            found=str(error),
            action="verify the bundle in full",
        ) from error


def members_of(file: BundleFile) -> dict[str, Part]:
    """Give the members of an archive by name, its own list left out."""
    return {part.name: part for part in parts_of(file) if part.name != layout.SUMS_FILE}
