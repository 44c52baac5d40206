"""What goes wrong with a cause and a cure; only the command line turns it into a status."""

from __future__ import annotations


class HomeError(Exception):
    """One clear message for the user: what, where, and what to do."""

    exit_code = 1


class ConfigError(HomeError):
    """home.yaml has mistakes; the message lists all of them, one per line."""

    exit_code = 2


class BusyError(HomeError):
    """Another process has this folder."""

    exit_code = 4
