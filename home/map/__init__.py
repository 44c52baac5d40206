"""The map: one page that works from a file without a network, and live when it is served.

`page.py` makes the page out of the parts in ``page/`` and of packages that npm brought, see
`parts.py`; `document.py` makes the one JSON document that it draws, `line.py`
simplifies and packs the lines.

A server answers, relative to the page: ``map.json`` (the document), ``live`` (server-sent events,
`live.py`), and ``streets.pmtiles`` with ranges, if the owner has given one.
"""
