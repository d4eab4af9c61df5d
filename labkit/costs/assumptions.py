"""What a comparison of costs rests on: every number with its unit, source and date.

Usage: ``assume("gpt-6-luna", "RTX 4090", requests=1e6).change(years=5)``

Nothing here is hidden in a formula: what is not quoted by somebody is ours, and says so.
"""

import math
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field, fields, replace

from ..catalog import Text
from ..catalog.quotes import (
    exchange,
    find_device,
    find_price,
    purchases,
    rentals,
    tariffs,
    throughputs,
)
from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_number

DEFAULT_API = "gpt-6-luna"
"""A small closed model of autumn 2026, among the cheapest: what open ones are measured against."""


@dataclass(frozen=True)
class CitedSource:
    """Where a number is from, and of which day; as_of None: it has no date."""

    text: str
    as_of: str | None = None


@dataclass(frozen=True)
class Assumptions:
    """Everything a comparison rests on; :func:`assume` makes one, :meth:`change` another.

    requests: a month. input_tokens, cached_tokens, output_tokens: of a request on average, counted
    with the local model's tokenizer; cached ones are part of the input, and neither read again nor
    paid in full. api_token_ratio: tokens that the API's tokenizer makes of one of ours.
    input_price, cached_price, output_price: US dollars a million tokens.
    tokens_per_second: output of one machine, of all requests together. prompt_tokens_per_second:
    what it reads; None: included in the former. utilisation: share of the hours it is busy.
    rent_per_hour: US dollars a GPU. machine_price: US dollars a card, host_price: of the computer
    around it. years: how long it is kept. resale: share of the price it then brings.
    watts, idle_watts: of the machine. power_overhead: what the meter counts for one watt of it
    (cooling, PUE). tariff: US dollars a kilowatt-hour. people_hours, rented_people_hours: a month,
    for own and for rented machines, beyond what an API takes. wage: US dollars an hour.
    sources: of the fields that have one; the others are ours, or yours.

    Raises LabError for a value that is no number or outside its range.
    """

    requests: float
    input_tokens: float
    output_tokens: float
    input_price: float
    cached_price: float
    output_price: float
    tokens_per_second: float
    rent_per_hour: float
    machine_price: float
    watts: float
    tariff: float
    cached_tokens: float = 0.0
    api_token_ratio: float = 1.0
    prompt_tokens_per_second: float | None = None
    utilisation: float = 0.5
    host_price: float = 1500.0
    years: float = 3.0
    resale: float = 0.2
    idle_watts: float = 60.0
    power_overhead: float = 1.2
    people_hours: float = 8.0
    rented_people_hours: float = 4.0
    wage: float = 50.0
    cny_per_usd: float = 7.0
    sources: Mapping[str, CitedSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            low, high = self.limits(name)
            low = 0.0 if name == "input_tokens" else low  # too few: cached_tokens says it
            above_zero = name in _POSITIVE
            known = is_number(value)
            if (
                known
                and math.isfinite(value)
                and low <= value <= high
                and (value or not above_zero)
            ):
                continue
            rule = f"> {low:g}" if above_zero else f"≥ {low:g}"
            rule += "" if math.isinf(high) else t(f" and ≤ {high:g}", f"，且 ≤ {high:g}")
            raise LabError(
                t(f"{name}={value!r} does not work.", f"{name}={value!r} 不可用。"),
                t(f"It must be a number {rule}.", f"取值应为数字，{rule}。"),
            )

    def limits(self, name: str) -> tuple[float, float]:
        """The least and the greatest value that makes sense, the others as they are.

        Usage: ``a.limits("cached_tokens")  # up to input_tokens``
        """
        return {
            "input_tokens": (self.cached_tokens, math.inf),
            "cached_tokens": (0.0, self.input_tokens),
            "utilisation": (0.0, 1.0),
            "resale": (0.0, 1.0),
            "watts": (self.idle_watts, math.inf),
            "idle_watts": (0.0, self.watts),
            "power_overhead": (1.0, math.inf),
        }.get(name, (0.0, math.inf))

    def values(self) -> dict[str, float]:
        """The numbers by name; one that is not set (None) is left out.

        Usage: ``a.values()["tariff"]``
        """
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "sources")
        return {name: value for name, value in pairs if value is not None}

    def change(self, **values: float) -> "Assumptions":
        """The same with other values; what you set has no source any more.

        Usage: ``a.change(years=5, utilisation=0.9)``. Raises LabError for a name that is none.
        """
        unknown = next((name for name in values if name not in LABELS), None)
        if unknown is not None:
            raise LabError(
                t(f"There is no assumption '{unknown}'.", f"没有名为 '{unknown}' 的假设。"),
                t(f"They are: {', '.join(LABELS)}", f"可用的有：{', '.join(LABELS)}"),
            )
        kept = {name: source for name, source in self.sources.items() if name not in values}
        return replace(self, **values, sources=kept)


_POSITIVE = {
    "requests", "output_tokens", "tokens_per_second", "prompt_tokens_per_second", "utilisation",
    "years", "api_token_ratio", "cny_per_usd",
}  # fmt: skip

LABELS: dict[str, tuple[Text, Text]] = {
    "requests": (Text("requests", "请求数"), Text("a month", "次/月")),
    "input_tokens": (Text("input", "输入"), Text("tokens a request", "词元/次")),
    "cached_tokens": (Text("of it cached", "其中命中缓存"), Text("tokens a request", "词元/次")),
    "output_tokens": (Text("output", "输出"), Text("tokens a request", "词元/次")),
    "api_token_ratio": (
        Text("API's tokens per token of ours", "API 词元数与本地之比"), Text("×", "倍"),
    ),
    "input_price": (Text("API, input", "API 输入价"), Text("$ / 1M tokens", "美元/百万词元")),
    "cached_price": (Text("API, cached", "API 缓存价"), Text("$ / 1M tokens", "美元/百万词元")),
    "output_price": (Text("API, output", "API 输出价"), Text("$ / 1M tokens", "美元/百万词元")),
    "tokens_per_second": (Text("a machine writes", "单机输出"), Text("tokens/s", "词元/秒")),
    "prompt_tokens_per_second": (
        Text("a machine reads", "单机读入"), Text("tokens/s", "词元/秒"),
    ),
    "utilisation": (Text("utilisation", "利用率"), Text("share of the hours", "占总时长")),
    "rent_per_hour": (Text("rent", "租金"), Text("$ / hour", "美元/小时")),
    "machine_price": (Text("card", "显卡价格"), Text("$", "美元")),
    "host_price": (Text("computer around it", "其余整机价格"), Text("$", "美元")),
    "years": (Text("kept", "使用年限"), Text("years", "年")),
    "resale": (Text("resale", "残值"), Text("share of the price", "占购价")),
    "watts": (Text("power, busy", "满载功率"), Text("W", "瓦")),
    "idle_watts": (Text("power, idle", "空闲功率"), Text("W", "瓦")),
    "power_overhead": (Text("cooling and losses", "制冷与损耗"), Text("× (PUE)", "倍（PUE）")),
    "tariff": (Text("tariff", "电价"), Text("$ / kWh", "美元/千瓦时")),
    "people_hours": (Text("people, own", "人工（自有）"), Text("hours a month", "小时/月")),
    "rented_people_hours": (
        Text("people, rented", "人工（租用）"), Text("hours a month", "小时/月"),
    ),
    "wage": (Text("wage", "人工单价"), Text("$ / hour", "美元/小时")),
    "cny_per_usd": (Text("exchange rate", "汇率"), Text("CNY per USD", "人民币/美元")),
}  # fmt: skip
"""What a field is called, and its unit, in both languages."""


def assume(
    api: str = DEFAULT_API, gpu: str = "RTX 4090", *, place: str = "us", **values: float
) -> Assumptions:
    """Assumptions from the price list; what you name yourself is taken as you say.

    Usage: ``assume("deepseek-v4-flash", "RTX 4090", place="cn", requests=2e6, wage=25)``

    api: words that name one price. gpu: of the catalogue; its cheapest sourced rent is taken.
    place: of the tariff, "us" or "cn".
    Requests are of the size at which the throughput was measured, and input that the provider has
    no cached price for is paid in full. Raises LabError where a number is neither known nor given.
    """
    price, device = find_price(api), find_device(gpu)
    found: dict[str, tuple[float, CitedSource | None]] = {"requests": (100_000, None)}
    paid = CitedSource(f"{price.provider} {price.model}: {price.source}", price.as_of)
    cached = price.input if price.cached_input is None else price.cached_input
    found |= {"input_price": (price.input, paid), "output_price": (price.output, paid)}
    found["cached_price"] = (cached, paid)
    for run in (row for row in throughputs() if row.device == device.name):
        text = f"{run.model}, {run.engine}, {run.concurrency} requests at once: {run.source}"
        found["tokens_per_second"] = (run.tokens_per_second, CitedSource(text, run.as_of))
        found["input_tokens"] = (run.input_tokens, None)
        found["output_tokens"] = (run.output_tokens, None)
    for rent in rentals(device)[:1]:
        text = f"{rent.provider or ''} {rent.source or ''}".strip()
        found["rent_per_hour"] = (
            rent.usd_per_hour,
            CitedSource(f"{device.name}: {text}", rent.as_of),
        )
    for row in (row for row in purchases() if row.device == device.name):
        found["machine_price"] = (row.usd, CitedSource(row.source, row.as_of))
    if device.watts:
        text = "" if "watts" in device.unverified else device.source or ""
        found["watts"] = (
            device.watts,
            CitedSource(text or t("unverified", "未经核实"), device.as_of),
        )
    local = next((row for row in tariffs() if row.key == place), None)
    if local is not None:
        found["tariff"] = (
            local.usd_per_kwh,
            CitedSource(f"{local.name}: {local.source}", local.as_of),
        )
    elif "tariff" not in values:
        keys = ", ".join(row.key for row in tariffs())
        raise LabError(
            t(f"No tariff is known for '{place}'.", f"没有 '{place}' 的电价。"),
            t(f"Known are: {keys}.", f"已有：{keys}。"),
        )
    rate = exchange()
    found["cny_per_usd"] = (rate.cny_per_usd, CitedSource(rate.source, rate.as_of))
    needed = [f.name for f in fields(Assumptions)[:11]]
    missing = [name for name in needed if name not in found | values]
    if missing:
        raise LabError(
            t(
                f"Not known for {device.name}: {', '.join(missing)}.",
                f"没有 {device.name} 的 {'、'.join(missing)}。",
            ),
            t("Give it yourself: ", "请自行给出：") + ", ".join(f"{name}=…" for name in missing),
        )
    known = {name: value for name, (value, _) in found.items() if name not in values}
    sources = {name: source for name, (_, source) in found.items() if source and name in known}
    first = {name: values[name] for name in needed if name in values}
    return Assumptions(**known, **first, sources=sources).change(**values)


def count_request(
    encode: Callable[[str], Sized], prompt: str, answer: str, *, shared: str = ""
) -> dict[str, float]:
    """The size of a request, counted by a real tokenizer, as fields of :class:`Assumptions`.

    Usage: ``a.change(**count_request(lab.load("pocket/qwen2.5").encode, "Hi", "Hello!"))``

    encode: from a text to its tokens; ``tokenizer.encode`` and tiktoken's will do. shared: what
    stands before every prompt, such as a system prompt, which a provider can cache. Not counted:
    the few tokens of the chat template.
    """
    cached = len(encode(shared)) if shared else 0
    return {
        "input_tokens": cached + len(encode(prompt)),
        "cached_tokens": cached,
        "output_tokens": len(encode(answer)),
    }
