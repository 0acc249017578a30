"""What was declared before any data were looked at: targets, thresholds, waivers.

Every value stands in a TOML file with its source; this room reads those files and refuses what
is incomplete. It imports the standard library only.
"""

from manifests.acceptance import Acceptance, Limit, load_acceptance
from manifests.errors import ManifestError
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
    "Cosmology",
    "Group",
    "Limit",
    "Line",
    "ManifestError",
    "Position",
    "Source",
    "Target",
    "Waiver",
    "load_acceptance",
    "load_target",
    "load_waivers",
    "may_waive",
    "target_names",
]
