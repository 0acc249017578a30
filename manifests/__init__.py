"""What was declared before any data were looked at: targets, thresholds, waivers,
the files that the study starts from.

Every value stands in a TOML file with its source; this room reads those files and refuses what
is incomplete. It imports the standard library only.
"""

from manifests.acceptance import Acceptance, Limit, load_acceptance
from manifests.aperture import Aperture
from manifests.errors import ManifestError
from manifests.lock import Lock, LockedFile, load_lock, lock_path
from manifests.selection import (
    Extension,
    ProductGroup,
    Programme,
    Selection,
    load_selection,
)
from manifests.target import (
    Cosmology,
    Group,
    Line,
    Position,
    Source,
    Target,
    load_target,
    target_names,
)
from manifests.waivers import Waiver, load_waivers, may_waive

__all__ = [
    "Acceptance",
    "Aperture",
    "Cosmology",
    "Extension",
    "Group",
    "Limit",
    "Line",
    "Lock",
    "LockedFile",
    "ManifestError",
    "Position",
    "ProductGroup",
    "Programme",
    "Selection",
    "Source",
    "Target",
    "Waiver",
    "load_acceptance",
    "load_lock",
    "load_selection",
    "load_target",
    "load_waivers",
    "lock_path",
    "may_waive",
    "target_names",
]
