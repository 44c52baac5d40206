"""Polled sources: any JSON over HTTP, on a schedule down to seconds, each row once.

`settings.py` reads ``sources:`` of home.yaml, `paths.py` finds fields, `ask.py` asks with patience,
`poll.py` goes through the pages, `rows.py` keeps the rows of tables, and `run.py` strings them
together: a source with ``point:`` gives positions on the map, any other a table for `home sql`.
"""
