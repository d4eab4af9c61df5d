"""A table for a reader: plain text in a terminal, HTML in a notebook."""

import html
import textwrap
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

CELL = "padding: 0.15em 0.8em 0.15em 0; text-align: left; vertical-align: top"


@dataclass(frozen=True)
class Table:
    """Column names and rows of words; shows itself.

    Usage: ``Table(("Model", "Size"), [("Qwen2.5-7B", "4.36 GiB")])``. note: a line below. below:
    for each row a text that runs under it over the whole width; none where empty.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    below: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(pad(word, size) for word, size in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        if self.below:
            under = ["", *(textwrap.indent(one, "    ") for one in self.below)]
            text = [line for pair in zip(text, under, strict=True) for line in pair if line]
        return "\n".join([*text, *filter(None, [self.note])])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{CELL}">{html.escape(word)}</th>' for word in self.header)
        wide = f'<tr><td colspan="{len(self.header)}" style="{CELL}; padding-left: 2em">'
        under = [f"{wide}{_lines(one)}</td></tr>" for one in self.below] or [""] * len(self.rows)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{CELL}">{_lines(word)}</td>' for word in row)
            + f"</tr>{more}"
            for row, more in zip(self.rows, under, strict=True)
        )
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


class ShowsTable(ABC):
    """A result that shows itself as its table; a dataclass of it is made with ``repr=False``."""

    @abstractmethod
    def table(self) -> Table:
        """As a person reads it."""

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def width(text: str) -> int:
    """Columns a text takes in a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def pad(text: str, size: int) -> str:
    """The text, filled with spaces to that many columns."""
    return text + " " * (size - width(text))


def _lines(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
