"""`python -m checks` is `rbh1-check`."""

import sys

from checks.entry import main

sys.exit(main())
