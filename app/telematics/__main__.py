"""Let ``python3 -m telematics`` be the command."""

import sys

from telematics.cli import main

if __name__ == "__main__":
    sys.exit(main())
