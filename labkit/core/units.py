"""Bytes, GB and GiB, bits: integers inside, words where a person reads."""

import re

KB, MB, GB = 10**3, 10**6, 10**9
KiB, MiB, GiB = 2**10, 2**20, 2**30

_SIZES = {"": 1, "b": 1, "kb": KB, "mb": MB, "gb": GB, "kib": KiB, "mib": MiB, "gib": GiB}
_SIZES |= {"k": KiB, "m": MiB, "g": GiB}  # as Docker and the JVM read a bare letter


def show_bytes(count: int) -> str:
    """A number of bytes for a reader, in binary units: GiB, MiB, KiB or B.

    Usage: ``show_bytes(5_033_164_800)  # "4.69 GiB"``
    """
    size = abs(count)
    for unit, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size >= unit:
            return (
                f"{count / unit:.2f} {name}" if size < 100 * unit else f"{count / unit:.0f} {name}"
            )
    return f"{count} B"


def read_bytes(text: str) -> int:
    """A number of bytes from what a person wrote.

    Usage: ``read_bytes("8 GiB")  # 8589934592``; ``"8GB"`` is 8·10⁹, a bare number is bytes.
    Raises ValueError for anything else, negative numbers included.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not match or match[2] not in _SIZES:
        raise ValueError(f"{text!r} is not a size; write for example '8GiB', '500MB' or '1024'")
    return round(float(match[1]) * _SIZES[match[2]])


def bits_per_weight(size: int, weights: int) -> float:
    """Average bits that one weight takes. size: bytes. weights: how many, at least one.

    Usage: ``bits_per_weight(3_825_807_360, 6_738_415_616)  # 4.54``
    """
    if weights < 1:
        raise ValueError(f"{weights} weights have no average size")
    return 8 * size / weights
