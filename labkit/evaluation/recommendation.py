"""Which variant to take: from a table of measurements to one format, with its reasons in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import read_bytes, show_bytes
from .comparison import Comparison, Row


@dataclass(frozen=True)
class Recommendation:
    """One format and why. frontier: formats that nothing beats in size and KL at once, by size.

    knee: the one on the frontier beyond which more bytes buy little; None for fewer than three.
    """

    format: str
    reasons: tuple[str, ...]
    frontier: tuple[str, ...]
    knee: str | None

    def __str__(self) -> str:
        return "\n".join([self.format, *self.reasons])

    __repr__ = __str__


def recommend(
    table: Comparison, *, memory: int | str | None = None, at_most_kl: float | None = None
) -> Recommendation:
    """The variant to take, and why.

    Usage: ``lab.recommend(table, memory="8GiB")``, ``lab.recommend(table, at_most_kl=0.01)``

    memory: bytes or a text like "8GiB" for the weights; the KV cache comes on top
    (``lab.estimate``). With memory: of what fits, the one nearest to full precision. With
    at_most_kl: of those within it, the smallest, which must fit too when memory is given. With
    neither: the knee of the frontier. Raises LabError when nothing qualifies, with what comes
    nearest, and for a table without KL.
    """
    rows = [row for row in table.rows if row.kl_mean is not None]
    if not rows:
        raise LabError(
            t("This table has no KL divergence.", "这张表里没有 KL 散度。"),
            t(
                "Compare with a variant in full precision, such as F16.",
                "请加入一个全精度版本（例如 F16）再比较。",
            ),
        )
    best = frontier(rows)
    bend = knee(best)
    names = tuple(row.format for row in best)
    room = _bytes(memory)
    fitting = [row for row in rows if room is None or row.file_size <= room]
    if not fitting:
        least = min(rows, key=lambda row: row.file_size)
        raise LabError(
            t(
                f"Nothing fits in {show_bytes(room or 0)}: the smallest, {least.format}, takes"
                f" {show_bytes(least.file_size)}.",
                f"{show_bytes(room or 0)} 装不下任何版本：最小的 {least.format} 也要"
                f" {show_bytes(least.file_size)}。",
            ),
            t("Choose a smaller model, or more memory.", "请换更小的模型，或增加内存。"),
        )
    if at_most_kl is not None:
        near = [row for row in fitting if _kl(row) <= at_most_kl]
        if not near:
            closest = min(fitting, key=_kl)
            raise LabError(
                t(
                    f"No variant{' that fits' if room else ''} has a KL of at most {at_most_kl:g};"
                    f" the nearest, {closest.format}, has {_kl(closest):.2g}.",
                    f"没有{'装得下且' if room else ''} KL 不超过 {at_most_kl:g} 的版本；"
                    f"最接近的 {closest.format} 是 {_kl(closest):.2g}。",
                ),
                t("Allow a larger KL, or more bits.", "请放宽 KL，或使用更多位数。"),
            )
        chosen = min(near, key=lambda row: (row.file_size, _kl(row)))
        reason = t(
            f"The smallest with a KL of at most {at_most_kl:g}: {_kl(chosen):.2g}.",
            f"在 KL 不超过 {at_most_kl:g} 的版本中最小：KL 为 {_kl(chosen):.2g}。",
        )
    elif room is not None:
        chosen = min(fitting, key=lambda row: (_kl(row), row.file_size))
        reason = t(
            f"Of the {len(fitting)} that fit in {show_bytes(room)}, the nearest to full precision:"
            f" a KL of {_kl(chosen):.2g}.",
            f"{show_bytes(room)} 装得下 {len(fitting)} 个版本，其中它离全精度最近：KL 为"
            f" {_kl(chosen):.2g}。",
        )
    else:
        chosen = bend or best[-1]
        reason = t(
            "The knee of the frontier: smaller ones lose quality fast, larger ones gain little.",
            "它在前沿的拐点上：再小，质量下降得快；再大，收益很少。",
        )
    reasons = [reason, _size_reason(chosen, rows)]
    if room is not None:
        reasons.append(
            t(
                "The KV cache and the runtime come on top: lab.estimate says how much.",
                "KV 缓存和运行时另占内存：用 lab.estimate 可以算出。",
            )
        )
    if chosen not in best:
        other = next(row for row in best if row.file_size <= chosen.file_size)
        reasons.append(
            t(f"{other.format} is no larger and no worse.", f"{other.format} 不更大也不更差。")
        )
    return Recommendation(
        chosen.format, tuple(filter(None, reasons)), names, bend.format if bend else None
    )


def frontier(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other beats in both size and KL, small to large.

    Usage: ``[row.format for row in frontier(table.rows)]``
    """
    best: list[Row] = []
    for row in sorted((r for r in rows if r.kl_mean is not None), key=_by_size):
        if not best or _kl(row) < _kl(best[-1]):
            best.append(row)
    return best


def knee(best: Sequence[Row]) -> Row | None:
    """The row of a frontier that lies farthest below the line from its first to its last.

    Usage: ``knee(frontier(table.rows))``. Measured in size and the logarithm of KL, both from 0 to
    1; the reference itself, whose KL is 0, has no logarithm and is left out. None when fewer than
    three are left or none lies below the line. Source: V. Satopaa et al., Finding a "kneedle" in a
    haystack, 2011, without smoothing.
    """
    points = [(row.file_size, math.log(_kl(row)), row) for row in best if _kl(row) > 0]
    if len(points) < 3:
        return None
    (x0, y0, _), (x1, y1, _) = points[0], points[-1]
    below = [(1 - (x - x0) / (x1 - x0) - (y - y1) / (y0 - y1), row) for x, y, row in points]
    depth, row = max(below, key=lambda pair: pair[0])
    return row if depth > 1e-9 else None


def _by_size(row: Row) -> tuple[int, float]:
    return row.file_size, _kl(row)


def _kl(row: Row) -> float:
    assert row.kl_mean is not None
    return row.kl_mean


def _bytes(memory: int | str | None) -> int | None:
    try:
        return read_bytes(memory) if isinstance(memory, str) else memory
    except ValueError:
        raise LabError(
            t(f"'{memory}' is not a size.", f"'{memory}' 不是大小。"),
            t("Write bytes or a text like '8GiB'.", "请写字节数，或 '8GiB' 这样的文字。"),
        ) from None


def _size_reason(chosen: Row, rows: Sequence[Row]) -> str:
    largest = max(rows, key=lambda row: row.file_size)
    if chosen is largest:
        return ""
    share = chosen.file_size / largest.file_size
    return t(
        f"It takes {show_bytes(chosen.file_size)}, {share:.0%} of {largest.format}.",
        f"大小为 {show_bytes(chosen.file_size)}，是 {largest.format} 的 {share:.0%}。",
    )
