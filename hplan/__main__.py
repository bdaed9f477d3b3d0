"""`python -m hplan` is `hplan`."""

import sys

from hplan.cli import main

sys.exit(main())
