"""Questions that take an emulated processor long, so that they are asked before they are needed."""

from __future__ import annotations

_SCRIPT = """
import dataclasses, json, pathlib
import confluent_kafka, telematics.service, telematics.settings
settings = telematics.settings.load(pathlib.Path("/etc/glovebox/telematics.json"))
print(json.dumps([confluent_kafka.__version__, dataclasses.asdict(settings)]))
"""
# What the board's own Python finds of the service: its library's version, and its settings.
SERVICE = ("python3 -I -c %s", _SCRIPT)
