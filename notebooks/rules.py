"""What a lesson's source must keep to; STYLE.md says the same in words and by example."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jupytext
from nbformat import NotebookNode

from labkit.catalog.glossary import count_terms, terms
from labkit.catalog.lessons import fill_numbers
from labkit.core.errors import LabError
from labkit.core.i18n import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)
LONG_CELL = 25
OFTEN = 4
"""Uses of a term in one language that cannot go without one in the other."""

OPENING = {
    "en": ("**You will be able to**", "**You will learn**", "**You need**"),
    "zh": ("**学完你能**", "**你会明白**", "**需要准备**"),
}
ENDING = {"en": ["Recap", "Exercises", "On real models"], "zh": ["小结", "练习", "换成真实模型"]}

CODE_OPTIONS = {"exercise", "check", "points", "varies", "tags"}

NO_PROSE = re.compile(r"$|\s|#|[-*+] |\d+[.)] |\||>|<|!\[|\$\$")
"""How a line begins that stands alone: blank, heading, list, table, quotation, HTML, formula."""

SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION[ \t]*\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.M | re.S
)


class BuildError(Exception):
    """A source that breaks a rule, or a cell that fails; says where, one problem a line."""


@dataclass(frozen=True)
class Cell:
    """A cell of a source. line: where its ``# %%`` stands, counted from 1."""

    line: int
    kind: str
    text: str
    options: dict[str, Any]


def topic_of(source: Path) -> str:
    """What a lesson is about, by the name of its file; empty for what is no lesson.

    Usage: ``topic_of(Path("13_lora.py"))  # "lora"``
    """
    return source.stem.partition("_")[2]


def read(source: Path) -> list[Cell]:
    """The cells of a source, with the lines they start at. Raises BuildError."""
    text = _fill(source)
    cells = jupytext.reads(text, fmt="py:percent").cells
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    if len(lines) != len(cells):
        raise BuildError(f"{source}:1: there is text outside of cells, or '# %%' inside of one")
    return [_cell(line, cell) for line, cell in zip(lines, cells, strict=True)]


def _fill(source: Path) -> str:
    """A source, line by line, with the numbers of the lessons that its texts name."""
    filled, is_text = [], False
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# %%"):
            is_text = line.startswith("# %% [markdown]")
        try:
            filled.append(fill_numbers(line) if is_text else line)
        except LabError as error:
            raise BuildError(f"{source}:{number}: {error}") from None
    return "\n".join(filled) + "\n"


def _cell(line: int, read: NotebookNode) -> Cell:
    # jupytext notes here what it needs to write the cell again: blank lines, quotation marks
    noted = ("lines_to_", "cell_marker")
    options = {key: value for key, value in read.metadata.items() if not key.startswith(noted)}
    text = read.source
    if read.cell_type == "markdown":
        text = join_sentences(text, "" if options.get("lang") == "zh" else " ")
    return Cell(line, read.cell_type, text, options)


def join_sentences(text: str, glue: str) -> str:
    """Markdown in which a paragraph is one line, from one in which a sentence may be.

    Usage: ``join_sentences("One. It\\nis short.\\n\\nTwo.", " ")  # "One. It is short.\\n\\nTwo."``
    """
    lines: list[str] = []
    is_code = after_prose = False
    for line in text.split("\n"):
        is_fence = line.startswith("```")
        is_prose = not (is_code or is_fence or NO_PROSE.match(line))
        if is_prose and after_prose:
            lines[-1] += glue + line
        else:
            lines.append(line)
        is_code, after_prose = is_code != is_fence, is_prose
    return "\n".join(lines)


def check(source: Path) -> list[str]:
    """Check a source against the rules of STYLE.md; returns warnings. Raises BuildError."""
    cells = read(source)
    texts = [cell for cell in cells if cell.kind == "markdown"]
    code = [cell for cell in cells if cell.kind == "code"]
    problems = [
        *_pairs(cells),
        *_headings(texts),
        *_words(topic_of(source), texts),
        *_code(topic_of(source), code),
    ]
    if problems:
        raise BuildError("\n".join(f"{source}:{line}: {words}" for line, words in sorted(problems)))
    sizes = {cell.line: len(cell.text.splitlines()) for cell in code}
    return [
        f"{source}:{line}: warning: {size} lines in a cell (at most {LONG_CELL})"
        for line, size in sizes.items()
        if size > LONG_CELL
    ]


Problems = Iterator[tuple[int, str]]


def _pairs(cells: list[Cell]) -> Problems:
    waiting: Cell | None = None
    for cell in [*cells, None]:
        language = cell.options.get("lang") if cell and cell.kind == "markdown" else None
        if waiting and language != "zh":
            yield waiting.line, 'this text stands alone: a lang="zh" cell must follow it'
        if cell and cell.kind == "markdown":
            if set(cell.options) != {"lang"} or language not in LANGUAGES:
                yield cell.line, 'a text cell is tagged lang="en" or lang="zh", and nothing else'
            elif language == "zh" and waiting is None:
                yield cell.line, 'this text stands alone: a lang="en" cell must come before it'
            elif language == "zh" and waiting:
                yield from _twins(waiting, cell)
            for alt in re.findall(r"!\[(.*?)\]\(", cell.text) + _html_alts(cell.text):
                if not alt.strip():
                    yield cell.line, "an image has no alt text"
        waiting = cell if language == "en" else None


def _twins(en: Cell, zh: Cell) -> Problems:
    if [level for level, _ in _titles(en)] != [level for level, _ in _titles(zh)]:
        yield zh.line, f"the headings differ from those of line {en.line}"
    if len(re.findall(r"!\[|<img", en.text)) != len(re.findall(r"!\[|<img", zh.text)):
        yield zh.line, f"the images differ from those of line {en.line}"
    if not re.search(r"[\u4e00-\u9fff]", zh.text):
        yield zh.line, "there is no Chinese in this text"


def _html_alts(text: str) -> list[str]:
    images = re.findall(r"<img\b[^>]*>", text)
    found = [re.search(r'\balt="([^"]*)"', image) for image in images]
    return [match[1] if match else "" for match in found]


def _titles(cell: Cell) -> list[tuple[int, str]]:
    prose = re.sub(r"^```.*?^```", "", cell.text, flags=re.M | re.S)
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#{1,6}) +(.+)$", prose, re.M)]


def _headings(texts: list[Cell]) -> Problems:
    for language in LANGUAGES:
        mine = [cell for cell in texts if cell.options.get("lang") == language]
        titles = [(cell.line, *title) for cell in mine for title in _titles(cell)]
        above = 0
        for line, level, title in titles:
            if level > above + 1 or (level == 1 and above > 0):
                yield line, f"heading '{title}' is of level {level}, after one of level {above}"
            above = level
        first, last = (mine[0].line, mine[-1].line) if mine else (1, 1)
        if missing := [
            words for words in OPENING[language] if not mine or words not in mine[0].text
        ]:
            yield first, f"the opening lacks {', '.join(missing)}"
        if [title for _, level, title in titles if level == 2][-3:] != ENDING[language]:
            yield last, f"the last sections must be {', '.join(ENDING[language])}"


def _words(topic: str, texts: list[Cell]) -> Problems:
    en, zh = (
        count_terms("\n".join(c.text for c in texts if c.options.get("lang") == code), code)
        for code in LANGUAGES
    )
    line = texts[-1].line if texts else 1
    for term in terms():
        counts = en.get(term.id, 0), zh.get(term.id, 0)
        if term.lesson == topic and not all(counts):
            yield (
                line,
                f"'{term.name.en}' / '{term.name.zh}' is to be explained here, says the glossary",
            )
        elif min(counts) == 0 and max(counts) >= OFTEN:
            yield line, f"'{term.name.en}' / '{term.name.zh}' stands in one language only: {counts}"


def _code(topic: str, code: list[Cell]) -> Problems:
    open_exercises: list[str] = []
    for cell in code:
        options = cell.options
        if unknown := set(options) - CODE_OPTIONS:
            yield cell.line, f"unknown cell options: {', '.join(sorted(unknown))}"
        if "nbval-ignore-output" in options.get("tags", []):
            yield cell.line, 'write varies="the reason" instead of the tag nbval-ignore-output'
        if "varies" in options and not str(options["varies"]).strip():
            yield cell.line, "varies needs a reason"
        if ("### BEGIN SOLUTION" in cell.text) != ("exercise" in options):
            yield cell.line, "an exercise cell, and no other, has a solution"
        if cell.text.count("### BEGIN SOLUTION") != len(SOLUTION.findall(cell.text)):
            yield cell.line, "a '### BEGIN SOLUTION' has no '### END SOLUTION'"
        if "exercise" in options:
            open_exercises.append(options["exercise"])
        if (name := options.get("check")) is not None:
            if name not in open_exercises:
                yield cell.line, f"no exercise '{name}' stands before this check"
            else:
                open_exercises.remove(name)
            if f'"{topic}.{name}"' not in cell.text:
                yield cell.line, f"this cell does not check '{topic}.{name}'"
    for name in open_exercises:
        yield code[-1].line, f"exercise '{name}' has no check"
