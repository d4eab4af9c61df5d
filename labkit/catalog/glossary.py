"""The words of the course in both languages, and where a text uses them.

Usage: ``for term in terms("deepseek"): print(term.name, term.text)``
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache

from ..core.i18n import Language
from .reader import DATA
from .schema import DataRow, Text


@dataclass(frozen=True)
class Term(DataRow):
    """A word a learner meets. lesson: topic of the one that explains it first."""

    id: str
    lesson: str
    name: Text
    text: Text
    forms: dict[str, tuple[str, ...]]


@cache
def _terms() -> tuple[Term, ...]:
    rows = tomllib.loads((DATA / "glossary.toml").read_text(encoding="utf-8"))["terms"]
    return tuple(
        Term(
            row["id"],
            row["lesson"],
            Text(row["en"], row["zh"]),
            Text(**row["text"]),
            {language: (row[language], *row["forms"][language]) for language in ("en", "zh")},
        )
        for row in rows
    )


def terms(lesson: str | None = None) -> tuple[Term, ...]:
    """All terms, or those that one lesson explains. Usage: ``terms("deepseek")``"""
    return tuple(term for term in _terms() if lesson in (None, term.lesson))


def count_terms(text: str, language: Language) -> dict[str, int]:
    """How often a text uses each term, by id; those it does not use are left out.

    Usage: ``count_terms("The KV cache grows.", "en") == {"kv-cache": 1}``. Latin letters are
    found as whole words, case aside; Chinese ones anywhere, for Chinese has no word breaks.
    """
    found = {term.id: len(_pattern(term, language).findall(text)) for term in _terms()}
    return {id: times for id, times in found.items() if times}


def _pattern(term: Term, language: Language) -> re.Pattern[str]:
    longest_first = sorted(term.forms[language], key=len, reverse=True)
    return re.compile("|".join(map(_edged, longest_first)), re.IGNORECASE)


def _edged(form: str) -> str:
    """Where a form begins or ends in a Latin letter or digit, a word begins or ends."""
    before = r"(?<![A-Za-z0-9])" if form[0].isascii() else ""
    after = r"(?![A-Za-z0-9])" if form[-1].isascii() else ""
    return f"{before}{re.escape(form)}{after}"
