"""What a workload costs a month: by API, on rented GPUs, on machines of one's own.

Usage: ``print(compare_costs(assume("gpt-6-luna", "RTX 4090", requests=1e6)))``

    API      requests × (uncached input × its price + cached × its price + output × its price)
    rented   machines × 730 hours × rent, or only the hours needed × rent; and people's time
    owned    machines × (price − resale) / months kept; power of busy and idle hours; people's time

A machine answers ``utilisation`` of its 730 hours at ``tokens_per_second``; work beyond that needs
one more, so cost rises in steps and a break-even can be lost again at the next step. Everything
assumed is a field of :class:`Assumptions`, with unit, source and date, and can be changed.

Not covered: taxes, interest, egress, volume and off-peak discounts, fine-tuning, and quality: an
hour with a small model and an hour with a great one are not the same good.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice

from ..catalog.quotes import Currency, is_old, show_age, show_dates, show_money, throughputs
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from .assumptions import LABELS, Assumptions

HOURS = 730
"""Of a month: 365 × 24 / 12."""

MOST = 200
"""Machines up to which a break-even is looked for."""


@dataclass(frozen=True)
class Curve:
    """Cost a month over requests a month: a straight line with a step at each further machine.

    fixed: US dollars a month. per_machine: likewise, for each. per_request: US dollars.
    requests_per_machine: that one machine can answer a month; infinite for an API.
    """

    fixed: float = 0.0
    per_machine: float = 0.0
    per_request: float = 0.0
    requests_per_machine: float = math.inf

    def machines(self, requests: float) -> int:
        """Machines for that many requests; at least one. Usage: ``curve.machines(1e6)``"""
        return max(1, math.ceil(requests / self.requests_per_machine - 1e-9))

    def cost(self, requests: float) -> float:
        """US dollars a month. Usage: ``curve.cost(1e6)``"""
        return self.fixed + self.machines(requests) * self.per_machine + requests * self.per_request


def curves(a: Assumptions) -> dict[str, Curve]:
    """The four ways, by key: ``api``, ``rent-hours``, ``rent-month``, ``own``.

    Usage: ``curves(a)["own"].cost(1e6)  # US dollars a month``
    """
    uncached = a.input_tokens - a.cached_tokens
    paid = uncached * a.input_price + a.cached_tokens * a.cached_price
    paid += a.output_tokens * a.output_price
    hours = a.output_tokens / a.tokens_per_second / 3600
    if a.prompt_tokens_per_second is not None:
        hours += uncached / a.prompt_tokens_per_second / 3600
    most = a.utilisation * HOURS / hours
    rented_people = a.rented_people_hours * a.wage
    kwh = a.power_overhead * a.tariff / 1000  # US dollars for one watt over an hour
    bought = (a.machine_price + a.host_price) * (1 - a.resale) / (12 * a.years)
    return {
        "api": Curve(per_request=a.api_token_ratio * paid / 1e6),
        "rent-hours": Curve(rented_people, 0.0, a.rent_per_hour * hours / a.utilisation),
        "rent-month": Curve(rented_people, a.rent_per_hour * HOURS, 0.0, most),
        "own": Curve(
            a.people_hours * a.wage,
            bought + a.idle_watts * HOURS * kwh,
            (a.watts - a.idle_watts) * hours * kwh,  # a busy hour takes the place of an idle one
            most,
        ),
    }


@dataclass(frozen=True)
class BreakEven:
    """From how many requests a month on one way costs no more than another.

    requests: None: nowhere up to ``searched``. lost_at: where a further machine makes it dearer
    again, None if it does not. searched: requests, up to 200 machines; None: without end.
    """

    way: str
    against: str
    requests: float | None
    lost_at: float | None
    searched: float | None


def break_even(a: Assumptions, way: str = "own", against: str = "api") -> BreakEven:
    """The first crossing of two of the :func:`curves`, exact, and the next one if there is one.

    Usage: ``break_even(assume()).requests``
    """
    both = curves(a)
    for name in (way, against):
        if name not in both:
            raise LabError(
                t(f"There is no way '{name}'.", f"没有名为 '{name}' 的方式。"),
                t(f"They are: {', '.join(both)}.", f"可用的有：{', '.join(both)}。"),
            )
    new, old = both[way], both[against]
    pays, lost = (*islice(_crossings(old, new), 2), None, None)[:2]
    steps = min(new.requests_per_machine, old.requests_per_machine)
    return BreakEven(way, against, pays, lost, None if math.isinf(steps) else MOST * steps)


def _crossings(old: Curve, new: Curve) -> Iterator[float]:
    """Where the order changes: *new* costs no more from the first on, more from the second, …"""
    steps = {old.requests_per_machine, new.requests_per_machine}
    end = MOST * min(steps)
    edges = {n * step for step in steps - {math.inf} for n in range(1, MOST + 1)}
    cheaper, low = False, 0.0
    for high in sorted(edge for edge in edges | {end} if edge <= end):
        inside = low + 1 if math.isinf(high) else (low + high) / 2
        height = new.fixed + new.machines(inside) * new.per_machine
        height -= old.fixed + old.machines(inside) * old.per_machine
        slope = new.per_request - old.per_request
        at_low = height + slope * low <= 0
        at_high = slope < 0 or (slope == 0 and at_low)
        if math.isfinite(high):
            at_high = height + slope * high <= 0
        if at_low != cheaper:
            yield low
        if at_high != at_low:
            yield -height / slope
        cheaper, low = at_high, high


@dataclass(frozen=True)
class Swing:
    """What one assumption does to the break-even: both its values, and the requests at each.

    at_low, at_high: requests a month; None: no break-even.
    """

    name: str
    low: float
    high: float
    at_low: float | None
    at_high: float | None

    @property
    def size(self) -> float:
        """By what factor the break-even moves, as a logarithm; infinite where one end has none."""
        if self.at_low is None or self.at_high is None:
            return 0.0 if self.at_low == self.at_high else math.inf
        return abs(math.log(max(self.at_high, 1) / max(self.at_low, 1)))


def sensitivity(
    a: Assumptions, way: str = "own", against: str = "api", *, change: float = 0.2
) -> tuple[Swing, ...]:
    """How the break-even moves as each assumption falls and rises by a share, the greatest first.

    Usage: ``sensitivity(a)[0].name``. Assumptions that move nothing are left out.
    """
    if not 0 < change < 1:
        raise LabError(
            t(f"change={change} does not work.", f"change={change} 不可用。"),
            t("It must lie between 0 and 1.", "取值应在 0 与 1 之间。"),
        )
    swings = []
    for name, value in a.values().items():
        if name in ("requests", "cny_per_usd"):  # the break-even is in requests, and in dollars
            continue
        bottom, top = a.limits(name)
        low, high = max(value * (1 - change), bottom), min(value * (1 + change), top)
        at_low, at_high = (
            break_even(a.change(**{name: v}), way, against).requests for v in (low, high)
        )
        swings.append(Swing(name, low, high, at_low, at_high))
    return tuple(sorted((s for s in swings if s.size), key=lambda s: -s.size))


def spread_costs(a: Assumptions) -> dict[str, list[tuple[float, float]]]:
    """Points of the curves for a plot: way to pairs of requests and US dollars, both a month.

    Usage: ``draw_lines(spread_costs(a), title="…", x="…", y="…", log_x=True, log_y=True)``. From a
    256th of ``a.requests`` to 256 times as many, each four times the one before.
    """
    places = [a.requests * 4.0**power for power in range(-4, 5)]
    return {ways()[key]: [(n, curve.cost(n)) for n in places] for key, curve in curves(a).items()}


# --- for a reader ------------------------------------------------------------------------------


def ways() -> dict[str, str]:
    """What the four ways are called. Usage: ``ways()["own"]``"""
    return {
        "api": t("API", "调用 API"),
        "rent-hours": t("rented by the hour needed", "按需租用（按小时）"),
        "rent-month": t("rented all month", "整月租用"),
        "own": t("owned", "自有"),
    }


@dataclass(frozen=True)
class Way:
    """One way to answer the requests of a month, and what it costs in US dollars.

    total: a month; people, machines_cost and use add up to it. use: what grows with each request.
    per_million_tokens: of input and output together. per_request: the total over the requests.
    """

    key: str
    total: float
    people: float
    machines_cost: float
    use: float
    machines: int
    per_request: float
    per_million_tokens: float


@dataclass(frozen=True, repr=False)
class Costs(ShowsTable):
    """The comparison: ways, break-evens, what moves them, and all it rests on; shows itself.

    currency: in which it is shown; every number in it is US dollars. old: names of assumptions
    whose quotation is too old, or of no known day.
    """

    assumptions: Assumptions
    ways: tuple[Way, ...]
    break_evens: tuple[BreakEven, ...]
    sensitivity: tuple[Swing, ...]
    old: tuple[str, ...]
    notes: tuple[str, ...]
    currency: Currency
    today: date | None

    def money(self, usd: float) -> str:
        """An amount in the currency shown. Usage: ``costs.money(100.0)``"""
        return show_money(usd, self.currency, self.assumptions.cny_per_usd)

    def table(self) -> Table:
        """The ways. Usage: ``print(costs.table())``"""
        header = (
            t("Way", "方式"), t("A month", "每月"), t("of it people", "其中人工"),
            t("machines", "机器"), t("use", "用量"), t("Machines", "台数"),
            t("A million tokens", "每百万词元"),
        )  # fmt: skip
        rows = [
            (
                ways()[w.key], self.money(w.total), self.money(w.people),
                self.money(w.machines_cost), self.money(w.use),
                "" if w.key == "api" else str(w.machines), self.money(w.per_million_tokens),
            )
            for w in self.ways
        ]  # fmt: skip
        return Table(header, rows, "\n".join([*map(describe, self.break_evens), *self.notes]))

    def assumptions_table(self) -> Table:
        """Every number it rests on, with unit, age and source. Usage: see :meth:`table`"""
        header = (
            t("Assumption", "假设"), t("Name", "字段"), t("Value", "取值"), t("Unit", "单位"),
            t("As of", "日期"), t("Source", "来源"),
        )  # fmt: skip
        rows = []
        for name, value in self.assumptions.values().items():
            label, unit = LABELS[name]
            source = self.assumptions.sources.get(name)
            day = show_age(source.as_of, self.today) if source else ""
            text = source.text if source else t("assumed: change it", "自行假设，可修改")
            rows.append((str(label), name, f"{value:,.6g}", str(unit), day, text))
        return Table(header, rows)

    def sensitivity_table(self) -> Table:
        """What moves the break-even of owning against the API. Usage: see :meth:`table`"""
        header = (
            t("Assumption", "假设"), t("Lower", "取低"), t("Break-even", "盈亏平衡点"),
            t("Higher", "取高"), t("Break-even", "盈亏平衡点"),
        )  # fmt: skip
        rows = [
            (
                str(LABELS[s.name][0]), f"{s.low:,.6g}", show_requests(s.at_low),
                f"{s.high:,.6g}", show_requests(s.at_high),
            )
            for s in self.sensitivity
        ]  # fmt: skip
        return Table(header, rows)


def compare_costs(
    a: Assumptions, *, currency: Currency = "USD", today: date | None = None
) -> Costs:
    """What the four ways cost, from where on they pay, and how sure that is.

    Usage: ``compare_costs(assume(requests=1e6), currency="CNY")``

    today: the day ages are counted from; None: today, in static renderings a frozen day.
    """
    show_money(0, currency)  # an unknown currency is refused here
    found = []
    for key, curve in curves(a).items():
        machines = 0 if key == "api" else curve.machines(a.requests)
        total, use = curve.cost(a.requests), a.requests * curve.per_request
        hardware = curve.machines(a.requests) * curve.per_machine
        tokens = a.requests * (a.input_tokens + a.output_tokens) / 1e6
        found.append(
            Way(
                key=key,
                total=total,
                people=curve.fixed,
                machines_cost=hardware,
                use=use,
                machines=machines,
                per_request=total / a.requests,
                per_million_tokens=total / tokens,
            )
        )
    pairs = (("own", "api"), ("rent-hours", "api"), ("rent-month", "api"), ("own", "rent-hours"))
    old = tuple(name for name, source in a.sources.items() if is_old(source.as_of, today))
    return Costs(
        assumptions=a,
        ways=tuple(found),
        break_evens=tuple(break_even(a, *pair) for pair in pairs),
        sensitivity=sensitivity(a),
        old=old,
        notes=tuple(_notes(a, old)),
        currency=currency,
        today=today,
    )


def _notes(a: Assumptions, old: tuple[str, ...]) -> Iterator[str]:
    yield show_dates(source.as_of for source in a.sources.values())
    if old:
        names = t(", ", "、").join(str(LABELS[name][0]) for name in old)
        yield t(
            f"Over 180 days old or undated, check again: {names}.",
            f"以下数据已超过 180 天或没有日期，请重新核实：{names}。",
        )
    measured = next((r for r in throughputs() if r.tokens_per_second == a.tokens_per_second), None)
    if measured and "tokens_per_second" in a.sources and a.prompt_tokens_per_second is None:
        ours = (a.input_tokens - a.cached_tokens) / a.output_tokens
        if ours > 1.25 * measured.input_tokens / measured.output_tokens:
            yield t(
                f"The throughput was measured with {measured.input_tokens} tokens in and "
                f"{measured.output_tokens} out; longer prompts lower it. "
                "Set prompt_tokens_per_second.",
                f"吞吐量是在输入 {measured.input_tokens}、输出 {measured.output_tokens} 个词元时"
                "测得的，提示更长则更低。请设置 prompt_tokens_per_second。",
            )
    yield t(
        "The models compared are not equally good: judge quality apart.",
        "所比较的模型质量并不相同：质量需另行评估。",
    )


def show_requests(requests: float | None) -> str:
    """Requests a month for a reader. Usage: ``show_requests(1234567.0)  # "1,234,567"``"""
    return t("never", "无") if requests is None else f"{math.ceil(requests - 1e-6):,}"


def describe(b: BreakEven) -> str:
    """A break-even as a sentence. Usage: ``describe(break_even(a))``"""
    new, old = ways()[b.way], ways()[b.against]
    if b.requests is None:
        up_to = "" if b.searched is None else show_requests(b.searched)
        limit = t(f" up to {up_to} requests a month", f"（查到每月 {up_to} 次请求）")
        return t(
            f"{new} never costs less than {old}{limit if up_to else ''}.",
            f"{_spaced(new)}始终不比{_spaced(old)}便宜{limit if up_to else ''}。",
        )
    pays = show_requests(b.requests)
    lost = "" if b.lost_at is None else show_requests(b.lost_at)
    if b.requests == 0:
        until = t(f" up to {lost} requests a month", f"，直到每月 {lost} 次请求")
        return t(
            f"{new} costs no more than {old} from the first request on{until if lost else ''}.",
            f"{_spaced(new)}从第一次请求起就不比{_spaced(old)}贵{until if lost else ''}。",
        )
    again = t(f", until {lost}", f"，到 {lost} 次时又变贵")
    return t(
        f"{new} costs no more than {old} from {pays} requests a month on{again if lost else ''}.",
        f"每月 {pays} 次请求起，{_spaced(new)}不比{_spaced(old)}贵{again if lost else ''}。",
    )


def _spaced(name: str) -> str:
    """A name in front of a Chinese character: a space after Latin letters."""
    return f"{name} " if name[-1].isascii() else name
