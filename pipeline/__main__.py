"""How is the command reached as ``python -m pipeline``?"""

import sys

from pipeline.entry import main

sys.exit(main())
