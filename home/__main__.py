"""Let ``python -m home`` be the command, in a checkout too."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("telematics") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "app"))

from home.cli import main

if __name__ == "__main__":
    sys.exit(main())
