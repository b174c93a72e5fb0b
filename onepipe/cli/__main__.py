"""`python -m onepipe.cli`, the same as the command `onepipe`."""

import sys

from onepipe.cli import main

sys.exit(main())
