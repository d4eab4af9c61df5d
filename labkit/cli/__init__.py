"""The ``labkit`` command: one file a command, and the shared console beside them."""

from .entry import main, run

__all__ = ["main", "run"]
