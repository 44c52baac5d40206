"""Finished results, each under its key, and downloads."""
