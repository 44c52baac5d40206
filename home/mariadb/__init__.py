"""The same numbers in a MariaDB that people already have: filled by day, asked by its own views.

The tables of the days are the embedded engine's, loaded as they are; gaps, windows and stops are
views of the same texts of SQL. ``trips`` and ``tripLines`` are what charts of the original expect.
"""
