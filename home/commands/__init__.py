"""One module for each command: ``add`` names its options, ``run`` does it."""
