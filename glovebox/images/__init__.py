"""Verbs for the image of any card: look, compare, enter, mount, resize."""
