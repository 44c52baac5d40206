"""Packages and sources to exact versions and hashes."""
