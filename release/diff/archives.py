"""Which members of an archive changed?"""

from ard.bundle import BundleFile
from ard.parts import Part
from release.diff.model import Bounds, Listing, MemberChange, MemberSide
from release.diff.pairs import pair_up
from release.diff.parts import members_of


def member_changes(before: BundleFile, after: BundleFile, bounds: Bounds) -> Listing[MemberChange]:
    """Compare two archives by the digests of their members; nothing is unpacked."""
    old, new = members_of(before), members_of(after)
    rows = [
        MemberChange(pair.state, _side(pair.before), _side(pair.after))
        for pair in pair_up(old, new, digest=lambda part: part.sha256)
        if pair.state is not None
    ]
    return Listing.of(rows, bounds)


def _side(part: Part | None) -> MemberSide | None:
    return None if part is None else MemberSide(part.name, part.size, part.sha256)
