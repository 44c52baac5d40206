"""Where this checkout lies: the folder with image.yaml, stages/ and tests/."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
