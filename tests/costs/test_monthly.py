"""Quotes and their ages, assumptions, costs against examples worked by hand, break-evens."""

import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from labkit.catalog import prices, quotes
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.costs.assumptions import LABELS, Assumptions, assume, count_request
from labkit.costs.monthly import (
    BreakEven,
    Curve,
    break_even,
    compare_costs,
    curves,
    describe,
    sensitivity,
    spread_costs,
)

TODAY = date(2026, 11, 25)

# Round figures, so that every result below can be worked out on paper.
EXAMPLE = Assumptions(
    requests=1_000_000, input_tokens=1000, cached_tokens=400, output_tokens=200,
    input_price=1.0, cached_price=0.25, output_price=4.0, tokens_per_second=1000,
    rent_per_hour=0.5, machine_price=1900, host_price=500, years=2, resale=0.25, watts=400,
    idle_watts=100, power_overhead=1.5, tariff=0.2, utilisation=0.5, people_hours=10,
    rented_people_hours=4, wage=30, cny_per_usd=7,
)  # fmt: skip


# --- quotes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("as_of", "days"),
    [
        ("2026-11-25", 0), ("2026-11-24", 1), ("2026-05-29", 180), ("2026-05-28", 181),
        ("2026-11", 24), ("2025-11-25", 365), ("2027-01-01", 0),
        (None, None), ("", None), ("2026", None), ("2026-09/10", None), ("2026-13-01", None),
    ],
)  # fmt: skip
def test_ages_in_days(as_of, days):
    assert quotes.age(as_of, TODAY) == days
    assert quotes.is_old(as_of, TODAY) == (days is None or days > 180)
    assert ("check" in quotes.show_age(as_of, TODAY)) == quotes.is_old(as_of, TODAY)


def test_static_renderings_count_from_a_frozen_day(monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    assert quotes.age("2026-11-24") == 1
    monkeypatch.delenv("LABKIT_STATIC")
    assert quotes.reference_date() == date.today()


def test_every_line_of_the_file_is_whole_and_dated():
    import json
    import tomllib

    text = (quotes.DATA / "costs.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    assert tables.keys() == quotes.TABLES.keys()
    for name, kind in quotes.TABLES.items():
        for row in tables[name]:
            TypeAdapter(kind).validate_json(json.dumps(row))
            assert quotes.age(row["as_of"], TODAY) is not None and row["source"]
    for row in quotes.purchases():
        assert quotes.find_device(row.device) and row.usd_low <= row.usd <= row.usd_high
    for run in quotes.throughputs():
        assert quotes.find_device(run.device)
    assert all(quotes.age(price.as_of, TODAY) is not None for price in prices())


def test_old_prices_are_flagged_in_the_lists():
    table = quotes.api_prices("together llama-3.1-8b", today=TODAY)
    assert len(table.rows) == 1 and "2025-07-03, 510 days old: check again" in table.rows[0][-1]
    assert "Prices of 2025-07-03." in table.note
    assert "check again" not in str(quotes.api_prices("gpt-6-luna", today=TODAY))
    assert "not verified" in str(quotes.gpu_prices(today=TODAY))


def test_a_price_is_found_by_words_that_mean_one():
    assert quotes.find_price("haiku anthropic 5.5").input == 0.1
    assert quotes.find_price("GPT-4O").model == "gpt-4o"  # and not gpt-4o-mini
    with pytest.raises(LabError, match=r"means 2 prices.*Bailian"):
        quotes.find_price("qwen-plus")
    with pytest.raises(LabError, match="No price is known for 'nonesuch'"):
        quotes.find_price("nonesuch")
    with pytest.raises(LabError, match=r"'RTX 9999' is not.*RTX 4090"):
        quotes.find_device("RTX 9999")


def test_money():
    assert quotes.show_money(1234.4) == "$1,234"
    assert quotes.show_money(0.0123) == "$0.0123"
    assert quotes.show_money(10, "CNY", 7.0) == "¥70.00"
    assert quotes.show_money(1, "CNY") == f"¥{quotes.exchange().cny_per_usd:.2f}"
    with pytest.raises(LabError, match="Currency 'EUR'"):
        quotes.show_money(1, "EUR")  # type: ignore[arg-type]


# --- by hand -----------------------------------------------------------------------------------


def test_the_example_worked_by_hand():
    ways = {way.key: way for way in compare_costs(EXAMPLE).ways}
    # A request: 600 × $1 + 400 × $0.25 + 200 × $4 = $1,500 for a million of them.
    assert ways["api"].total == pytest.approx(1500)
    # 200 tokens at 1,000 a second: 0.2 s, 1/18,000 h; a million take 55.56 h of work. Half of the
    # paid hours are busy, so 111.11 h are paid: $55.56, and 4 h of people at $30.
    assert ways["rent-hours"].total == pytest.approx(1_000_000 / 18_000 / 0.5 * 0.5 + 120)
    # One machine answers 365 h × 18,000 = 6.57 million; all 730 h of it are paid: $365.
    assert ways["rent-month"].total == pytest.approx(365 + 120)
    assert ways["rent-month"].machines == 1
    # $2,400 less a quarter over 24 months: $75. Idle: 100 W × 730 h × 1.5 = 109.5 kWh: $21.90.
    # Busy: 300 W more for 55.56 h × 1.5 = 25 kWh: $5. People: 10 h at $30.
    assert ways["own"].total == pytest.approx(75 + 21.90 + 5 + 300)
    assert ways["own"].use == pytest.approx(5)
    assert ways["own"].per_million_tokens == pytest.approx(401.90 / 1200)
    assert ways["own"].per_request == pytest.approx(401.90 / 1e6)


def test_break_evens_worked_by_hand():
    # Own: $396.90 and $0.000005 a request; the API: $0.0015 a request.
    assert break_even(EXAMPLE).requests == pytest.approx(396.90 / 0.001495)
    assert break_even(EXAMPLE).lost_at is None
    # By the hour: $120 and $0.00005556 a request.
    found = break_even(EXAMPLE, "rent-hours").requests
    assert found == pytest.approx(120 / (0.0015 - 1 / 18_000))
    with pytest.raises(LabError, match="no way 'lease'"):
        break_even(EXAMPLE, "lease")


def test_tokens_of_the_api_are_counted_by_its_own_tokenizer():
    assert curves(EXAMPLE.change(api_token_ratio=1.3))["api"].cost(1e6) == pytest.approx(1950)


def test_reading_the_prompt_takes_time_where_its_speed_is_given():
    a = EXAMPLE.change(prompt_tokens_per_second=3000)  # 600 uncached tokens: another 0.2 s
    assert curves(a)["own"].requests_per_machine == pytest.approx(365 * 9000)
    assert compare_costs(a.change(requests=4e6)).ways[3].machines == 2


def test_a_further_machine_can_lose_a_break_even():
    # One machine up to 100 requests at $90 each, the API $1 a request: cheaper from 90 to 100,
    # dearer up to 180, cheaper again from there to 200.
    api, own = Curve(per_request=1.0), Curve(per_machine=90.0, requests_per_machine=100.0)
    from labkit.costs.monthly import _crossings

    assert list(_crossings(api, own))[:4] == [90, 100, 180, 200]


def test_never_cheaper_is_said_so():
    a = EXAMPLE.change(input_price=0, cached_price=0, output_price=0)
    assert break_even(a).requests is None and sensitivity(a) == ()
    assert "never costs less" in describe(break_even(a))
    use_language("zh")
    try:
        assert "始终不比" in describe(break_even(a))
    finally:
        use_language(None)


def test_at_no_cost_of_its_own_it_pays_from_the_first_request():
    a = EXAMPLE.change(people_hours=0, machine_price=0, host_price=0, idle_watts=0)
    assert break_even(a).requests == 0
    assert "first request" in describe(break_even(a))
    assert "until 7" in describe(BreakEven("own", "api", 5.0, 7.0, None))


# --- properties --------------------------------------------------------------------------------

amount = st.floats(0.01, 1e4)
assumptions = st.builds(
    Assumptions, requests=st.floats(1, 1e8), input_tokens=st.floats(500, 1e4),
    cached_tokens=st.floats(0, 500), output_tokens=st.floats(1, 5000), input_price=amount,
    cached_price=amount, output_price=amount, tokens_per_second=st.floats(1, 1e5),
    rent_per_hour=amount, machine_price=amount, watts=st.floats(60, 2000), tariff=st.floats(0, 1),
    prompt_tokens_per_second=st.none() | st.floats(1, 1e6), utilisation=st.floats(0.01, 1),
    people_hours=st.floats(0, 100), years=st.floats(0.1, 10), resale=st.floats(0, 1),
)  # fmt: skip


@given(assumptions, st.floats(1, 1e9), st.floats(1, 1e9))
def test_more_requests_never_cost_less(a, one, other):
    for curve in curves(a).values():
        assert curve.cost(max(one, other)) >= curve.cost(min(one, other)) - 1e-9


DEARER = (
    "input_price", "output_price", "rent_per_hour", "machine_price", "host_price", "tariff",
    "people_hours", "wage", "power_overhead", "output_tokens", "watts",
)  # fmt: skip
CHEAPER = ("tokens_per_second", "years", "resale")


@given(assumptions, st.sampled_from(DEARER + CHEAPER), st.floats(1.01, 10))
def test_each_assumption_moves_costs_one_way_only(a, name, factor):
    low, high = a.limits(name)
    other = a.change(**{name: min(getattr(a, name) * factor, high)})
    for key, curve in curves(a).items():
        before, after = curve.cost(a.requests), curves(other)[key].cost(a.requests)
        if name in DEARER:
            assert after >= before * (1 - 1e-9)
        else:
            assert after <= before * (1 + 1e-9)


@given(assumptions)
def test_parts_add_up(a):
    for key, curve in curves(a).items():
        m = curve.machines(a.requests)
        parts = curve.fixed + m * curve.per_machine + a.requests * curve.per_request
        assert parts == pytest.approx(curve.cost(a.requests)), key
        assert m * curve.requests_per_machine >= a.requests * (1 - 1e-6)


@settings(max_examples=50, deadline=None)
@given(assumptions, st.sampled_from([("own", "api"), ("rent-month", "api"), ("own", "rent-hours")]))
def test_a_break_even_is_where_the_order_changes(a, pair):
    found, (way, against) = break_even(a, *pair), pair
    new, old = curves(a)[way].cost, curves(a)[against].cost
    if found.requests is None:
        for n in (1e-9, found.searched / 3, found.searched * 0.99):
            assert new(n) >= old(n) * (1 - 1e-9)
        return
    at = found.requests
    assert new(at * 1.000001 + 1e-6) <= old(at * 1.000001 + 1e-6) * (1 + 1e-5) + 1e-6
    for share in (0.2, 0.9, 0.999) if at else ():
        assert new(at * share) >= old(at * share) * (1 - 1e-9)


def test_sensitivity_orders_by_what_moves_most():
    swings = sensitivity(EXAMPLE)
    sizes = [swing.size for swing in swings]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    by_name = {swing.name: swing for swing in swings}
    assert by_name["wage"].at_low < break_even(EXAMPLE).requests < by_name["wage"].at_high
    assert by_name["output_price"].at_low > by_name["output_price"].at_high
    assert not {"requests", "cny_per_usd", "rent_per_hour"} & by_name.keys()
    with pytest.raises(LabError, match="change=1.5"):
        sensitivity(EXAMPLE, change=1.5)


def test_points_for_a_plot_lie_on_the_curves():
    points = spread_costs(EXAMPLE)
    assert len(points) == 4
    for line, curve in zip(points.values(), curves(EXAMPLE).values(), strict=True):
        assert all(usd == curve.cost(n) for n, usd in line)
        assert line[-1][0] == 256 * EXAMPLE.requests


# --- assumptions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("requests", 0, "> 0"), ("requests", -5, "> 0"), ("wage", -1, "≥ 0"),
        ("utilisation", 1.2, "and ≤ 1"), ("utilisation", 0, "> 0"), ("years", 0, "> 0"),
        ("tariff", math.nan, "≥ 0"), ("machine_price", math.inf, "≥ 0"), ("resale", 2, "≤ 1"),
        ("watts", 50, "≥ 100"), ("power_overhead", 0.9, "≥ 1"), ("wage", True, "≥ 0"),
        ("wage", "50", "≥ 0"), ("cached_tokens", 2000, "≤ 1000"), ("input_tokens", -1, "≥ 0"),
        ("prompt_tokens_per_second", 0, "> 0"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_range(name: str, value: Any, rule: str):
    with pytest.raises(LabError, match=f"{name}=.*{rule}"):
        EXAMPLE.change(**{name: value})


def test_an_unknown_assumption_is_answered_with_the_known_ones():
    with pytest.raises(LabError, match=r"no assumption 'salary'.*wage"):
        EXAMPLE.change(salary=3)
    with pytest.raises(LabError, match="cached_tokens=400 .*≤ 100"):
        EXAMPLE.change(input_tokens=100)
    with pytest.raises(LabError, match="no assumption 'sources'"):
        EXAMPLE.change(sources={})  # type: ignore[arg-type]
    with pytest.raises(LabError, match="no assumption 'salary'"):
        assume(salary=3)


def test_every_number_has_a_label_and_what_is_changed_loses_its_source():
    a = assume()
    names = set(a.values()) | {"prompt_tokens_per_second"}
    assert names == set(LABELS)
    assert a.sources["tariff"].as_of == "2026-02"
    changed = a.change(tariff=0.3)
    assert changed.tariff == 0.3 and "tariff" not in changed.sources and "tariff" in a.sources
    table = str(compare_costs(changed, today=TODAY).assumptions_table())
    assert "assumed: change it" in table and "321 days old: check again" in table


def test_prices_come_from_the_catalogue():
    a = assume("groq llama-3.1-8b", "RTX 4090", place="cn", requests=5, wage=25)
    assert (a.input_price, a.output_price, a.requests, a.wage) == (0.05, 0.08, 5, 25)
    assert a.cached_price == a.input_price  # none is quoted: paid in full
    assert a.tariff == 0.09 and "wage" not in a.sources
    with pytest.raises(
        LabError, match=r"Not known for L4: .*tokens_per_second.*tokens_per_second=…"
    ):
        assume(gpu="L4")
    assert assume(gpu="L4", tokens_per_second=500, machine_price=2500, input_tokens=300,
                  output_tokens=50).machine_price == 2500  # fmt: skip
    with pytest.raises(LabError, match=r"No tariff.*'mars'.*us, cn"):
        assume(place="mars")
    assert assume(place="mars", tariff=0.5).tariff == 0.5


def test_old_quotations_and_longer_prompts_are_noted():
    costs = compare_costs(assume(), today=TODAY)
    assert set(costs.old) == {"machine_price", "tariff", "cny_per_usd"}
    assert any("check again: card, tariff, exchange rate" in note for note in costs.notes)
    assert not any("measured with" in note for note in costs.notes)
    longer = compare_costs(assume(input_tokens=4000), today=TODAY)
    assert any("measured with 256 tokens in and 128 out" in note for note in longer.notes)


def test_both_currencies_and_languages():
    usd, cny = (compare_costs(EXAMPLE, currency=c) for c in ("USD", "CNY"))
    assert usd.ways == cny.ways and "$1,500" in str(usd) and "¥10,500" in str(cny)
    assert "<table>" in usd._repr_html_()
    use_language("zh")
    try:
        shown = str(compare_costs(EXAMPLE)) + str(compare_costs(EXAMPLE).assumptions_table())
        assert "自有" in shown and "自行假设" in shown and "assumed" not in shown
    finally:
        use_language(None)
    with pytest.raises(LabError, match="Currency 'EUR'"):
        compare_costs(EXAMPLE, currency="EUR")  # type: ignore[arg-type]


def test_a_request_is_counted_by_a_real_tokenizer():
    from tokenizers import Tokenizer

    from labkit.hub.resolver import locate

    encode = Tokenizer.from_file(str(locate("pocket/qwen2.5").path / "tokenizer.json")).encode
    size = count_request(encode, "你好", "Hello!", shared="Be brief.")
    assert size["cached_tokens"] == len(encode("Be brief.").ids) > 1
    assert size["input_tokens"] == size["cached_tokens"] + len(encode("你好").ids)
    assert EXAMPLE.change(**size).output_tokens == size["output_tokens"] > 0
    with pytest.raises(LabError, match="output_tokens=0"):
        EXAMPLE.change(**count_request(encode, "你好", ""))


# --- the decision of lesson adopt --------------------------------------------------------------


def printed(book, word):
    """What the cell of a made notebook that holds *word* shows as text."""
    cell = next(
        c for c in book["cells"] if c["cell_type"] == "code" and word in "".join(c["source"])
    )
    (shown,) = cell["outputs"]
    return "".join(shown.get("text") or shown["data"]["text/plain"])


def test_the_price_in_lesson_adopt_is_that_of_the_workload_it_states():
    import json
    import re
    from pathlib import Path

    (made,) = (Path(__file__).parents[2] / "notebooks" / "en").glob("*_adopt.ipynb")
    book = json.loads(made.read_text(encoding="utf-8"))
    needs = printed(book, "needs = (")
    requests, read, written = 200_000, 6000, 300
    assert f"{requests:,} requests a month" in needs
    assert f"{read:,} tokens in and {written} out" in needs

    price, card = quotes.find_price("gpt-6-luna"), quotes.find_device("RTX 4090")
    tariff = next(row.usd_per_kwh for row in quotes.tariffs() if row.key == "us")
    bought = next(row.usd for row in quotes.purchases() if row.device == card.name)
    api = requests * (read * price.input + written * price.output) / 1e6
    speeds = re.findall(
        r"'(\d+)', '(\d+\.\d)', '(\d+\.\d)', '([\d,]+)'", printed(book, "writes = (")
    )
    totals = re.findall(
        r"(\d+) \$([\d,.]+) \$([\d,.]+) \$([\d,.]+)", printed(book, "promise.append")
    )
    assert len(speeds) == len(totals) == 2
    for (reads, writes, seconds, hours), shown in zip(speeds, totals, strict=True):
        of_one = read / float(reads) + written / float(writes)
        work = requests * of_one / 3600
        assert float(seconds) == pytest.approx(of_one, abs=0.1)
        assert float(hours.replace(",", "")) == pytest.approx(work, rel=0.005)
        machines = math.ceil(work / (0.5 * 730))  # busy half of the hours of a month
        assert machines > 1  # the model fits on one card, the work does not
        # 8 h of people at $50; card and computer over 36 months, a fifth of the price comes back;
        # 60 W idle all month, what is above them in the hours of work, 1.2 W at the meter for one.
        each = (bought + 1500) * 0.8 / 36 + 60 * 730 * 1.2 * tariff / 1000
        power = (card.watts - 60) * work * 1.2 * tariff / 1000
        own = 8 * 50 + machines * each + power
        values = [float(value.replace(",", "")) for value in shown]
        assert values[0] == machines
        assert values[1:] == pytest.approx([own, api, own - api], rel=0.005)
