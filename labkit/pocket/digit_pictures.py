"""Small pictures of digits, for a model that learns to see.

Usage: ``paint_digits([4, 7], torch.Generator().manual_seed(0)).shape  # (2, 8, 8)``
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

SIZE = 8
"""Height and width of a picture, in pixels."""

_ROWS = (
    "7555557", "2622227", "7117447", "7117117", "5557111",
    "7447117", "7447557", "7111111", "7557557", "7557117",
)  # fmt: skip
"""For each digit seven rows of three pixels, a row an octal digit."""


def paint_digits(digits: Sequence[int], generator: "Generator", noise: float = 0.15) -> "Tensor":
    """A picture for each digit, at a place of its own and with noise.

    Usage: ``paint_digits(range(10), torch.Generator().manual_seed(0))``

    noise: standard deviation of what is added to the pixels, which are 0 or 1 before. Shape:
    (digits, 8, 8).
    """
    import torch

    glyphs = torch.tensor(
        [[[int(bits) >> n & 1 for n in (2, 1, 0)] for bits in rows] for rows in _ROWS]
    )
    pictures = torch.zeros(len(digits), SIZE, SIZE)
    tops = torch.randint(0, 2, (len(digits),), generator=generator).tolist()
    lefts = torch.randint(0, 6, (len(digits),), generator=generator).tolist()
    for picture, digit, top, left in zip(pictures, digits, tops, lefts, strict=True):
        picture[top : top + 7, left : left + 3] = glyphs[digit]
    return pictures + noise * torch.randn(pictures.shape, generator=generator)
