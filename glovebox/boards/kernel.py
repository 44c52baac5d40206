"""Where base `debian` takes a board's kernel from, and what it is asked for by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.config.build import KernelFrom

if TYPE_CHECKING:
    from glovebox.boards.boards import Board
    from glovebox.config.build import BuildConfig


def source(config: BuildConfig, board: Board) -> KernelFrom:
    """Give what image.yaml says, else what the board needs."""
    if config.base != "debian":
        return KernelFrom.SUITE  # an image brings its own kernel
    return config.kernel or board.kernel_from


def package(config: BuildConfig, board: Board) -> str:
    """Give the word that apt installs the kernel by; `/` stands before the suite it is taken of."""
    if source(config, board) is KernelFrom.SUITE:
        return board.kernel
    return f"{board.kernel}/{backports(config.suite)}"


def backports(suite: str) -> str:
    """Give the name of a suite's backports."""
    return f"{suite}-backports"
