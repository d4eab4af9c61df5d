"""Figures used in more than one lesson."""

from .charts import (
    LINES,
    Plot,
    chinese_font,
    draw_bars,
    draw_heatmap,
    draw_lines,
    draw_timeline,
)

__all__ = [
    "LINES",
    "Plot",
    "chinese_font",
    "draw_bars",
    "draw_heatmap",
    "draw_lines",
    "draw_timeline",
]
