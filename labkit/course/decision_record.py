"""A decision on paper: what was needed, measured, decided, risked, and when it is looked at again.

Usage: ``record.save("decision.md")``, ``record.save("decision.html")``

The form follows M. Nygard's architecture decision records (Documenting Architecture Decisions,
2011: context, decision, status, consequences), with what choosing a model asks besides: candidates,
evidence with its source, risks with a measure each, rules, and the way out. A record with a gap is
refused when it is made, so that one which exists is whole. Headings are in the reader's language.

Which rules belong into it follows from answers about the use: ``applicable_rules(Use(…))``.

Not covered: what stands in the fields; nobody checks that it is true. Other places than the EU and
China, data that cross a border, and the rules of a trade are not in the list of rules.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Literal

from ..catalog.guides import Regulation, regulations
from ..core.cache import replacing
from ..core.errors import LabError
from ..core.i18n import language, t

Status = Literal["proposed", "accepted", "superseded"]

_CELL = "border: 1px solid #999; padding: 0.3em 0.6em; text-align: left; vertical-align: top"


@dataclass(frozen=True)
class Candidate:
    """A model that was looked at. quality, cost, licence: in words, with their numbers.

    verdict: why it was taken, or why not.
    """

    name: str
    quality: str
    cost: str
    licence: str
    verdict: str


@dataclass(frozen=True)
class Evidence:
    """What was measured or read, and where it can be checked."""

    claim: str
    source: str


@dataclass(frozen=True)
class Risk:
    """What may go wrong, and what is done about it."""

    risk: str
    measure: str


@dataclass(frozen=True)
class Use:
    """What a model is used for: the answers from which its rules follow.

    places: where it is used, "EU", "CN". public: it is offered to the public, not only to a
    company's own people. personal_data: of anybody, in what it reads or writes. talks: people
    speak with it directly. published: what it generates is published as text or picture. media: it
    makes pictures, video or sound. opinion: a public service that can shape opinion or mobilise
    people. high_risk: hiring, education, credit and the like (Annex III). puts_on_market: a model
    changed greatly is given to others.
    Raises LabError for no place or another one.
    """

    places: tuple[str, ...]
    public: bool = False
    personal_data: bool = False
    talks: bool = False
    published: bool = False
    media: bool = False
    opinion: bool = False
    high_risk: bool = False
    puts_on_market: bool = False

    def __post_init__(self) -> None:
        strange = [place for place in self.places if place not in ("EU", "CN")]
        if strange or not self.places:
            raise _wrong("places", ", ".join(strange), "EU, CN")


APPLIES: dict[str, Callable[[Use], bool]] = {
    "GDPR, personal data": lambda use: use.personal_data,
    "AI Act, AI literacy (Art. 4) and banned practices (Art. 5)": lambda use: True,
    "AI Act, general-purpose models (Art. 53)": lambda use: use.puts_on_market,
    "AI Act, transparency (Art. 50)": lambda use: use.talks or use.published,
    "AI Act, ban on intimate images without consent (Art. 5)": lambda use: use.media,
    "AI Act, high-risk uses (Annex III)": lambda use: use.high_risk,
    "Personal Information Protection Law": lambda use: use.personal_data,
    "Algorithm filing (Provisions on Algorithm Recommendation, Art. 24)": (
        lambda use: use.public and use.opinion
    ),
    "Interim Measures for generative AI services": lambda use: use.public,
    "Measures for labelling generated content": lambda use: use.public,
}
"""To which uses, in its place, each rule of ``regulations.toml`` applies; by its English name."""


def applicable_rules(use: Use) -> tuple[Regulation, ...]:
    """The rules of the list that a use falls under, by place and day; not legal advice.

    Usage: ``[str(rule.name) for rule in applicable_rules(Use(("EU",), personal_data=True))]``. Also
    those whose day is still to come: ``since`` names it.
    """
    mine = (rule for rule in regulations() if rule.place in use.places)
    return tuple(rule for rule in mine if APPLIES[rule.name.en](use))


@dataclass(frozen=True, repr=False)
class DecisionRecord:
    """A decision about a model; shows itself in a notebook, and saves as Markdown or HTML.

    chosen: name of a candidate, or words for none of them. needs: what it must do. rules: laws and
    licences it has to keep, in words. way_out: how one leaves this model again. decided_on,
    review_on: ISO dates, the second later. Raises LabError that names the field with a gap.
    """

    title: str
    status: Status
    decided_on: str
    decided_by: str
    context: str
    needs: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    evidence: tuple[Evidence, ...]
    chosen: str
    decision: str
    consequences: tuple[str, ...]
    risks: tuple[Risk, ...]
    rules: tuple[str, ...]
    way_out: str
    review_on: str

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_whole(field.name, getattr(self, field.name))
        if self.status not in ("proposed", "accepted", "superseded"):
            raise _wrong("status", self.status, "proposed, accepted, superseded")
        days = []
        for name in ("decided_on", "review_on"):
            try:
                days.append(date.fromisoformat(getattr(self, name)))
            except ValueError:
                raise _wrong(name, getattr(self, name), "2026-11-29") from None
        if days[1] <= days[0]:
            raise _wrong("review_on", self.review_on, t("a later day", "更晚的日期"))
        if len(self.candidates) < 2:
            raise _wrong("candidates", self.candidates[0].name, t("at least two", "至少两个"))
        names = [candidate.name for candidate in self.candidates]
        if self.chosen not in names:
            raise _wrong("chosen", self.chosen, t(", ", "、").join(names))

    def markdown(self) -> str:
        """As Markdown, with tables as GitHub reads them. Usage: ``print(record.markdown())``"""
        lines: list[str] = [f"# {_line(self.title)}", ""]
        for label, value in self._head():
            lines.append(f"- **{label}**{t(': ', '：')}{_line(value)}")
        for title, content in self._sections():
            lines += ["", f"## {title}", ""]
            if isinstance(content, str):
                lines += ["\n\n".join(map(_line, _paragraphs(content)))]
            elif isinstance(content, Grid):
                lines += [_row(content.header), _row("---" for _ in content.header)]
                lines += [_row(map(_cell, row)) for row in content.rows]
            else:
                lines += [f"- {_line(one)}" for one in content]
        return "\n".join([*lines, ""])

    def html(self) -> str:
        """As a whole HTML page that needs nothing else. Usage: ``record.html()``"""
        code = "zh-CN" if language() == "zh" else "en"
        style = "body { font-family: sans-serif; max-width: 50em; margin: 2em auto; }"
        return (
            f'<!doctype html>\n<html lang="{code}">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{style}</style>\n</head>\n"
            f"<body>\n{self._repr_html_()}\n</body>\n</html>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write it to a file ending in .md or .html, whole or not at all.

        Usage: ``record.save("decision.html")``. Raises LabError for another ending.
        """
        path = Path(path)
        form = {".md": self.markdown, ".html": self.html}.get(path.suffix.lower())
        if form is None:
            raise LabError(
                t(f"'{path.name}' is neither .md nor .html.", f"'{path.name}' 不是 .md 或 .html。"),
                t(
                    "Name it decision.md or decision.html.",
                    "请取名为 decision.md 或 decision.html。",
                ),
            )
        text = form()
        with replacing(path, len(text.encode())) as part:
            part.write_text(text, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        parts = [f"<h1>{html.escape(self.title)}</h1>"]
        items = (f"<li><b>{k}</b>{t(': ', '：')}{html.escape(v)}</li>" for k, v in self._head())
        parts.append(f"<ul>{''.join(items)}</ul>")
        for title, content in self._sections():
            parts.append(f"<h2>{title}</h2>")
            if isinstance(content, str):
                parts += [f"<p>{html.escape(one)}</p>" for one in _paragraphs(content)]
            elif isinstance(content, Grid):
                head = "".join(f'<th style="{_CELL}">{one}</th>' for one in content.header)
                rows = "".join(
                    "<tr>"
                    + "".join(f'<td style="{_CELL}">{html.escape(one)}</td>' for one in row)
                    + "</tr>"
                    for row in content.rows
                )
                table = '<table style="border-collapse: collapse">'
                parts.append(f"{table}<tr>{head}</tr>{rows}</table>")
            else:
                parts.append(
                    f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in content)}</ul>"
                )
        return "\n".join(parts)

    def _head(self) -> tuple[tuple[str, str], ...]:
        status = {
            "proposed": t("proposed", "提议"),
            "accepted": t("accepted", "通过"),
            "superseded": t("superseded", "已被取代"),
        }[self.status]
        return (
            (t("Status", "状态"), status),
            (t("Decided on", "决定日期"), self.decided_on),
            (t("Decided by", "决定人"), self.decided_by),
            (t("Chosen", "选定"), self.chosen),
            (t("To be reviewed on", "复审日期"), self.review_on),
        )

    def _sections(self) -> "Iterator[tuple[str, str | Grid | Sequence[str]]]":
        yield t("Context", "背景"), self.context
        yield t("Needs", "需求"), self.needs
        header = (
            t("Candidate", "候选"), t("Quality", "质量"), t("Cost", "成本"),
            t("Licence", "许可证"), t("Verdict", "结论"),
        )  # fmt: skip
        rows = [(c.name, c.quality, c.cost, c.licence, c.verdict) for c in self.candidates]
        yield t("Candidates", "候选模型"), Grid(header, rows)
        evidence = [(e.claim, e.source) for e in self.evidence]
        yield t("Evidence", "依据"), Grid((t("What", "内容"), t("Source", "出处")), evidence)
        yield t("Decision", "决定"), self.decision
        yield t("Consequences", "后果"), self.consequences
        risks = [(r.risk, r.measure) for r in self.risks]
        yield t("Risks", "风险"), Grid((t("Risk", "风险"), t("Measure", "对策")), risks)
        yield t("Rules", "须遵守的规定"), self.rules
        yield t("The way out", "退路"), self.way_out


@dataclass(frozen=True)
class Grid:
    """A table of a record: column names and rows of words."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def _check_whole(name: str, value: object) -> None:
    """Refuse what is empty, and texts in which nothing stands."""
    if isinstance(value, str):
        whole = bool(value.strip())
    elif isinstance(value, tuple):
        whole = bool(value)
        for one in value:
            if isinstance(one, str):
                _check_whole(name, one)
            else:
                for field in fields(one):
                    _check_whole(f"{name}.{field.name}", getattr(one, field.name))
    else:
        whole = False
    if not whole:
        raise LabError(
            t(f"'{name}' is empty: the record has a gap.", f"'{name}' 为空：记录有缺口。"),
            t(
                "Fill it in; if there is nothing to say, say why.",
                "请填写；若确实无话可说，请写明原因。",
            ),
        )


def _wrong(name: str, value: str, known: str) -> LabError:
    return LabError(
        t(f"{name}={value!r} does not work.", f"{name}={value!r} 不可用。"),
        t(f"It should be: {known}.", f"应为：{known}。"),
    )


def _paragraphs(text: str) -> list[str]:
    return [one for one in text.strip().split("\n\n") if one.strip()]


def _line(text: str) -> str:
    """A text on one line and without tags, so that nothing in it becomes a heading or runs."""
    return html.escape(" ".join(text.split()), quote=False)


def _cell(text: str) -> str:
    return _line(text).replace("\\", "\\\\").replace("|", "\\|")


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"
