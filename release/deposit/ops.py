"""Under which names do requests that write appear in plans and in the journal?"""

from typing import Final

CREATE: Final = "create"
NEW_VERSION: Final = "new-version"
RESERVE_DOI: Final = "reserve-doi"
DISCARD: Final = "discard"

PUT_METADATA: Final = "put-metadata"
IMPORT: Final = "import"
DELETE: Final = "delete"
INIT: Final = "init"
CONTENT: Final = "content"
COMMIT: Final = "commit"
LIST: Final = "list"
COMPARE: Final = "compare"

PUBLISH: Final = "publish"
