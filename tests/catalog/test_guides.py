"""Trade-offs and rules: whole, dated, sourced, fair, and in both languages."""

import json
import re
import tomllib

import pytest
from pydantic import TypeAdapter

from labkit.catalog import DATA, Text, guides
from labkit.catalog.lessons import number_of
from labkit.core.i18n import use_language


@pytest.mark.parametrize("kind", guides.FILES, ids=lambda kind: kind.__name__)
def test_every_line_is_whole_dated_and_in_both_languages(kind):
    table = kind.__name__.lower()
    file = tomllib.loads((DATA / guides.FILES[kind]).read_text(encoding="utf-8"))
    assert set(file) == {table} and len(file[table]) > 5
    for row in file[table]:
        TypeAdapter(kind).validate_json(json.dumps(row))
    for row in guides._rows(kind):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.as_of) and row.source
        for text in (value for value in vars(row).values() if isinstance(value, Text)):
            assert re.search("[\u4e00-\u9fff]", text.zh) and not re.search(
                "[\u4e00-\u9fff]", text.en
            )


def test_both_sides_are_ahead_somewhere():
    ahead = [row.better for row in guides.tradeoffs()]
    assert min(ahead.count("open"), ahead.count("closed"), ahead.count("depends")) >= 3


def test_rules_of_both_places_in_the_order_of_their_days():
    for place in ("EU", "CN"):
        days = [row.since for row in guides.regulations(place)]
        assert len(days) >= 2 and days == sorted(days)
    assert len(guides.regulations()) == sum(len(guides.regulations(p)) for p in ("EU", "CN"))


def test_a_rule_read_in_a_report_says_so():
    shown = str(guides.show_regulations())
    assert shown.count("secondary source: ") == sum(r.secondary for r in guides.regulations()) > 0
    literacy = next(row for row in guides.regulations("EU") if "literacy" in str(row.name))
    assert "2026/1744" in literacy.source and "no level" in str(literacy.asks)


def test_threats_are_owasps_and_name_the_lesson_that_shows_them():
    assert all(re.fullmatch(r"LLM(0\d|10)", row.key) for row in guides.threats())
    assert len({row.key for row in guides.threats()}) == len(guides.threats())
    assert "" in {row.lesson for row in guides.threats()}
    assert "Prompt injection" in str(guides.show_threats())
    numbers = [row[-1] for row in guides.show_threats().rows]
    assert numbers == [number_of(row.lesson) for row in guides.threats()]


def test_tables_speak_both_languages_and_name_their_sources():
    assert "epoch.ai" in str(guides.show_tradeoffs())
    assert "not legal advice" in str(guides.show_regulations())
    use_language("zh")
    assert "谁占优" in str(guides.show_tradeoffs())
    assert "不构成法律意见" in str(guides.show_regulations("CN"))
    assert "2024/1689" not in str(guides.show_regulations("CN"))


def test_places_for_every_purpose_in_both_languages():
    for kind in ("community", "learning", "models", "machines"):
        assert guides.communities(kind)
    for language in ("en", "zh"):
        assert any(language in row.languages for row in guides.communities("learning"))
        assert any(language in row.languages for row in guides.communities("community"))
    assert len({row.url for row in guides.communities()}) == len(guides.communities())
    assert "modelscope.cn" in str(guides.show_communities())
    use_language("zh")
    assert "找模型" in str(guides.show_communities())
