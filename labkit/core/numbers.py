"""Numbers that a person or a file gave: a bool is none, although Python counts it as an int."""

from math import inf
from typing import TypeGuard


def is_whole(value: object, least: float = -inf, most: float = inf) -> TypeGuard[int]:
    """Whether a value is an int from least to most.

    Usage: ``is_whole(4096, 1)``; ``is_whole(True)  # False``
    """
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is an int or a float.

    Usage: ``is_number(0.5)``; ``is_number(True)  # False``
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
