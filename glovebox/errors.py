"""The one tree of errors; each class is an exit code, each instance says what, where and the cure.

Only ``tasks.py`` ends the process: everything else raises one of these.
"""

from __future__ import annotations


class GloveboxError(Exception):
    """Stop the run with a message a person can act on."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message and, where there is one, the cure."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Give the message, and below it the cure."""
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class ConfigError(GloveboxError):
    """The configuration has mistakes; the message lists all of them."""

    exit_code = 2


class HostError(GloveboxError):
    """The machine lacks something the run needs."""

    exit_code = 3


class StepError(GloveboxError):
    """A step of the build failed."""

    exit_code = 4


class VerifyError(GloveboxError):
    """The image was built, and its tests say that it is not right."""

    exit_code = 5


class LockError(GloveboxError):
    """Packages or sources could not be resolved, fetched or matched to their hashes."""

    exit_code = 6


class ImageError(GloveboxError):
    """A file that should be a disk image is not one, or is damaged."""

    exit_code = 7
