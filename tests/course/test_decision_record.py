"""A record is whole or is not made; what is saved reads as what was written."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from labkit.catalog.guides import regulations
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.course.decision_record import (
    APPLIES,
    Candidate,
    DecisionRecord,
    Evidence,
    Risk,
    Use,
    applicable_rules,
)

RECORD = DecisionRecord(
    title="A model for the service desk",
    status="proposed",
    decided_on="2026-11-29",
    decided_by="the platform team",
    context="Tickets wait for two days.\n\nThey hold personal data.",
    needs=("answers in Chinese", "nothing leaves the house"),
    candidates=(
        Candidate("Qwen2.5-7B", "38 of 40", "$481 a month", "Apache 2.0", "taken"),
        Candidate("Yi|6B", "31 of 40", "$481\na month", "<Yi>", "weaker"),
    ),
    evidence=(Evidence("38 of 40 right", "questions.jsonl, 29 November"),),
    chosen="Qwen2.5-7B",
    decision="We run it on our own machine.",
    consequences=("one more machine to look after",),
    risks=(Risk("prompt injection", "no tools that write"),),
    rules=("AI Act, Art. 50",),
    way_out="OpenAI's protocol: change the address.",
    review_on="2027-05-29",
)


MARKDOWN = MarkdownIt("commonmark").enable("table")
"""As GitHub reads it; tags in a text would pass."""


class Tables(HTMLParser):
    """Cells of all tables of a page, and the titles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.titles: list[str] = []
        self.tags: list[str] = []
        self._into: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th", "h1", "h2"):
            self._into = self.titles if tag[0] == "h" and tag != "th" else self.cells
            self._into.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th", "h1", "h2"):
            self._into = None

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data


def test_markdown_read_by_a_parser_has_the_cells_of_the_html():
    rendered = MARKDOWN.render(RECORD.markdown())
    from_markdown, page = Tables(rendered), Tables(RECORD.html())
    one_line = [" ".join(cell.split()) for cell in page.cells]
    assert from_markdown.cells == one_line and "Yi|6B" in one_line and "<Yi>" in one_line
    assert from_markdown.titles == page.titles
    assert page.titles[:3] == ["A model for the service desk", "Context", "Needs"]
    assert rendered.count("<p>") >= 4  # the context's two paragraphs stay two


@pytest.mark.parametrize("field", ["title", "context", "decision", "way_out", "decided_by"])
def test_what_is_written_never_becomes_markup(field):
    evil = replace(RECORD, **{field: "<script>alert(1)</script>\n# not a title"})
    rendered = MARKDOWN.render(evil.markdown())
    for page in (Tables(evil.html()), Tables(rendered)):
        assert "script" not in page.tags
        assert len(page.titles) == len(Tables(RECORD.html()).titles)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("context", " "),
        ("needs", ()),
        ("needs", ("one", "")),
        ("risks", (Risk("something", ""),)),
        ("evidence", (Evidence("a claim", " "),)),
        ("candidates", RECORD.candidates[:1]),
        ("chosen", "Nova-9B"),
        ("status", "maybe"),
        ("decided_on", "yesterday"),
        ("review_on", "2026-11-29"),
        ("rules", None),
    ],
)
def test_a_gap_or_a_contradiction_is_refused_by_its_name(field, value):
    with pytest.raises(LabError, match=field):
        replace(RECORD, **{field: value})


def test_it_is_saved_in_both_forms_and_in_no_other(tmp_path):
    page = RECORD.save(tmp_path / "decision.html").read_text(encoding="utf-8")
    text = RECORD.save(tmp_path / "decision.md").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and 'charset="utf-8"' in page
    assert text.startswith("# A model for the service desk\n")
    with pytest.raises(LabError, match=r"decision\.docx"):
        RECORD.save(tmp_path / "decision.docx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decision.html", "decision.md"]


def test_headings_are_in_the_readers_language():
    assert '<html lang="en">' in RECORD.html()
    use_language("zh")
    assert '<html lang="zh-CN">' in RECORD.html()
    assert "## 退路" in RECORD.markdown() and "Context" not in RECORD.markdown()


# --- which rules apply -------------------------------------------------------------------------


def names(use):
    return {rule.name.en for rule in applicable_rules(use)}


GDPR, PIPL = "GDPR, personal data", "Personal Information Protection Law"
INTERIM, LABELS = (
    "Interim Measures for generative AI services",
    "Measures for labelling generated content",
)
FILING = "Algorithm filing (Provisions on Algorithm Recommendation, Art. 24)"
LITERACY = "AI Act, AI literacy (Art. 4) and banned practices (Art. 5)"
TALKS, RISKY = "AI Act, transparency (Art. 50)", "AI Act, high-risk uses (Annex III)"
IMAGES = "AI Act, ban on intimate images without consent (Art. 5)"
MAKERS = "AI Act, general-purpose models (Art. 53)"


def test_every_rule_of_the_list_has_its_condition_and_no_other():
    assert {rule.name.en for rule in regulations()} == set(APPLIES)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (Use(("EU",)), {LITERACY}),
        (Use(("CN",)), set()),
        (Use(("CN",), talks=True, published=True), set()),  # inside a company only
        (Use(("EU", "CN"), personal_data=True, talks=True), {GDPR, LITERACY, TALKS, PIPL}),
        (Use(("EU",), published=True), {LITERACY, TALKS}),
        (Use(("EU",), media=True), {LITERACY, IMAGES}),
        (Use(("EU",), high_risk=True, puts_on_market=True), {LITERACY, RISKY, MAKERS}),
        (Use(("CN",), public=True), {INTERIM, LABELS}),
        (Use(("CN",), public=True, opinion=True), {INTERIM, LABELS, FILING}),
        (Use(("CN",), opinion=True), set()),
    ],
)
def test_the_rules_follow_from_the_answers(use, expected):
    assert names(use) == expected


def test_a_rule_of_one_place_never_applies_in_the_other():
    every = {field: True for field in Use.__dataclass_fields__ if field != "places"}
    for place in ("EU", "CN"):
        assert {rule.place for rule in applicable_rules(Use((place,), **every))} == {place}
    assert len(applicable_rules(Use(("EU", "CN"), **every))) == len(regulations())


@pytest.mark.parametrize("places", [(), ("US",), ("EU", "Mars")])
def test_a_place_without_rules_is_refused(places):
    with pytest.raises(LabError, match="EU, CN"):
        Use(places)
