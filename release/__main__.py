"""How is the command reached as ``python -m release``?"""

import sys

from release.entry import main

sys.exit(main())
