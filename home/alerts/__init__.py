"""Alerts: a message for each change, and none while things stay as they are.

`rules.py` decides (pure), `outbox.py` keeps state and messages together, `sinks.py` delivers,
`watch.py` asks the home for the facts and strings them together.
"""
