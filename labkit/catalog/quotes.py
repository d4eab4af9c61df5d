"""Prices as they were quoted, each with its source and its age: models, GPUs, power, currency.

Usage: ``print(api_prices("qwen"))``; ``age("2026-07-02")  # days``

A price older than :data:`OLD` days is flagged, and so is one without a date. Static renderings
and the tests count from :data:`FROZEN`, so that what they show does not change overnight.
"""

import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Literal, TypeVar

from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import Table
from .reader import DATA, devices, prices
from .schema import DataRow, Device, Price, Rental, Text

Currency = Literal["USD", "CNY"]

OLD = 180
"""Days after which a price is flagged."""

FROZEN = date(2026, 11, 25)
"""The day that ages are counted from where ``LABKIT_STATIC`` is set."""


@dataclass(frozen=True)
class Exchange(DataRow):
    """What a US dollar was worth in yuan."""

    cny_per_usd: float
    as_of: str
    source: str


@dataclass(frozen=True)
class Tariff(DataRow):
    """What power costs somewhere, in US dollars a kilowatt-hour."""

    key: str
    name: Text
    usd_per_kwh: float
    as_of: str
    source: str


@dataclass(frozen=True)
class Purchase(DataRow):
    """What a new card costs in US dollars, without the computer around it."""

    device: str
    usd_low: float
    usd_high: float
    as_of: str
    source: str

    @property
    def usd(self) -> float:
        """The middle of the range."""
        return (self.usd_low + self.usd_high) / 2


@dataclass(frozen=True)
class Throughput(DataRow):
    """Output tokens a second, of all requests at once; reading their prompts is included.

    concurrency: requests at a time. input_tokens, output_tokens: of each request.
    """

    device: str
    model: str
    engine: str
    tokens_per_second: float
    concurrency: int
    input_tokens: int
    output_tokens: int
    as_of: str
    source: str


TABLES: dict[str, type[DataRow]] = {
    "exchange": Exchange,
    "tariff": Tariff,
    "purchase": Purchase,
    "throughput": Throughput,
}
"""Name of a table in ``costs.toml`` to the class of its lines."""

R = TypeVar("R", bound=DataRow)


@cache
def _rows(kind: type[R]) -> tuple[R, ...]:
    file = tomllib.loads((DATA / "costs.toml").read_text(encoding="utf-8"))
    name = next(name for name, row in TABLES.items() if row is kind)
    return tuple(kind(**{k: _text(v) for k, v in row.items()}) for row in file[name])


def _text(value: Any) -> Any:
    return Text(**value) if isinstance(value, dict) else value


def exchange() -> Exchange:
    """The newest exchange rate known here. Usage: ``exchange().cny_per_usd``"""
    found: Exchange = max(_rows(Exchange), key=lambda row: row.as_of)
    return found


def tariffs() -> tuple[Tariff, ...]:
    """Average tariffs by place. Usage: ``{row.key: row.usd_per_kwh for row in tariffs()}``"""
    return _rows(Tariff)


def purchases() -> tuple[Purchase, ...]:
    """What cards cost to buy. Usage: ``{row.device: row.usd for row in purchases()}``"""
    return _rows(Purchase)


def throughputs() -> tuple[Throughput, ...]:
    """Published throughputs. Usage: ``throughputs()[0].tokens_per_second``"""
    return _rows(Throughput)


# --- ages --------------------------------------------------------------------------------------


def reference_date() -> date:
    """The day ages are counted from: today, in static renderings :data:`FROZEN`."""
    return FROZEN if os.environ.get("LABKIT_STATIC") == "1" else date.today()


def age(as_of: str | None, today: date | None = None) -> int | None:
    """Days since an ISO date; None where there is none, or it is no date.

    Usage: ``age("2026-07-02", date(2026, 11, 25))  # 146``. A month without a day counts from its
    first: rather too old than too new. A day still to come is 0 days old.
    """
    parts = (as_of or "").split("-")
    if len(parts) not in (2, 3) or not all(part.isdecimal() for part in parts):
        return None
    try:
        day = date(int(parts[0]), int(parts[1]), int(parts[2]) if len(parts) == 3 else 1)
    except ValueError:
        return None
    return max(0, ((today or reference_date()) - day).days)


def is_old(as_of: str | None, today: date | None = None) -> bool:
    """Whether a price must be looked up again: over :data:`OLD` days, or of no known day.

    Usage: ``is_old("2026-01-08", date(2026, 11, 25))  # True``
    """
    days = age(as_of, today)
    return days is None or days > OLD


def show_age(as_of: str | None, today: date | None = None) -> str:
    """A date with its age for a reader; old ones are flagged.

    Usage: ``show_age("2026-01-08")  # "2026-01-08, 321 days old: check again"``
    """
    days = age(as_of, today)
    if days is None:
        return t("no date: check", "无日期：请核实")
    flag = t(": check again", "，请重新核实") if is_old(as_of, today) else ""
    return t(f"{as_of}, {days} days old{flag}", f"{as_of}，距今 {days} 天{flag}")


def show_dates(dates: Iterable[str | None]) -> str:
    """From when the prices shown are. Usage: ``show_dates(p.as_of for p in prices())``"""
    known = sorted(filter(None, dates))
    if not known:
        return t("Prices without a date.", "价格没有日期。")
    span = known[0] if known[0] == known[-1] else f"{known[0]} – {known[-1]}"
    return t(f"Prices of {span}.", f"价格日期：{span}。")


# --- money -------------------------------------------------------------------------------------


def show_money(usd: float, currency: Currency = "USD", cny_per_usd: float | None = None) -> str:
    """An amount for a reader. Usage: ``show_money(1234.5, "CNY")``

    usd: US dollars. cny_per_usd: None takes :func:`exchange`. Small prices keep three digits.
    """
    if currency not in ("USD", "CNY"):
        raise LabError(
            t(f"Currency '{currency}' is not known.", f"不认识货币 '{currency}'。"),
            t("Use 'USD' or 'CNY'.", "可用 'USD' 或 'CNY'。"),
        )
    sign, rate = ("$", 1.0) if currency == "USD" else ("¥", cny_per_usd or exchange().cny_per_usd)
    value = abs(usd * rate)
    digits = 0 if value >= 1000 else 2 if value >= 1 or value == 0 else 4
    return f"{'-' if usd < 0 else ''}{sign}{value:,.{digits}f}"


# --- what is found, and shown ------------------------------------------------------------------


def find_price(name: str) -> Price:
    """The price of a hosted model by a part of "provider model"; it must mean just one.

    Usage: ``find_price("groq llama-3.1-8b")``. All its words must occur, in any order. Raises
    LabError with those it could mean.
    """
    found = matching_prices(name)
    exact = [p for p in found if p.model.lower() == name.strip().lower()]
    if len(exact or found) == 1:
        return (exact or found)[0]
    listed = "; ".join(f"{p.provider} {p.model}" for p in found[:5])
    if found:
        raise LabError(
            t(f"'{name}' means {len(found)} prices.", f"'{name}' 对应 {len(found)} 个报价。"),
            t(f"Be more exact: {listed}", f"请写得更具体：{listed}"),
        )
    raise LabError(
        t(f"No price is known for '{name}'.", f"没有 '{name}' 的报价。"),
        t("List them with: labkit costs --prices", "用 labkit costs --prices 可列出全部报价。"),
    )


def matching_prices(words: str = "") -> tuple[Price, ...]:
    """Prices that all the words occur in. Usage: ``matching_prices("groq qwen3")``"""
    wanted = words.lower().split()
    return tuple(p for p in prices() if all(w in f"{p.provider} {p.model}".lower() for w in wanted))


def find_device(name: str) -> Device:
    """A device of the catalogue by its name. Raises LabError with the names that are known.

    Usage: ``find_device("rtx 4090").watts``
    """
    found = [d for d in devices() if d.name.lower() == name.strip().lower()]
    if found:
        return found[0]
    names = ", ".join(d.name for d in devices() if d.kind == "gpu")
    raise LabError(
        t(f"GPU '{name}' is not in the catalogue.", f"目录里没有 GPU '{name}'。"),
        t(f"Known are: {names}", f"已有：{names}"),
    )


def rentals(device: Device) -> Sequence[Rental]:
    """What renting it costs, the cheapest first, those with a source before those without.

    Usage: ``rentals(find_device("RTX 4090"))[0].usd_per_hour``
    """
    return sorted(device.rentals, key=lambda row: (row.unverified, row.usd_per_hour))


def api_prices(search: str = "", *, currency: Currency = "USD", today: date | None = None) -> Table:
    """Prices of hosted models a million tokens, the cheapest output first, with their age.

    Usage: ``api_prices("qwen", currency="CNY")``. search: words of provider or model.
    """
    found = sorted(matching_prices(search), key=lambda p: (p.output, p.input))

    def money(usd: float | None) -> str:
        return "" if usd is None else show_money(usd, currency)

    header = (
        t("Provider", "服务商"), t("Model", "模型"), t("Input", "输入"),
        t("Cached input", "缓存输入"), t("Output", "输出"), t("As of", "日期"),
    )  # fmt: skip
    rows = [
        (
            p.provider, p.model, money(p.input), money(p.cached_input), money(p.output),
            show_age(p.as_of, today),
        )
        for p in found
    ]  # fmt: skip
    unit = t("Per million tokens. ", "每百万词元价格。")
    return Table(header, rows, unit + show_dates(p.as_of for p in found))


def gpu_prices(*, currency: Currency = "USD", today: date | None = None) -> Table:
    """What GPUs cost to rent by the hour and to buy, with provider, age and source.

    Usage: ``print(gpu_prices())``
    """
    header = (
        "GPU", t("Rent an hour", "每小时租金"), t("Buy", "购买"), t("Provider", "服务商"),
        t("As of", "日期"), t("Source", "来源"),
    )  # fmt: skip
    unknown = t("from memory, not verified", "凭记忆填写，未经核实")
    rows = [
        (
            d.name, show_money(r.usd_per_hour, currency), "", r.provider or "",
            show_age(r.as_of, today), r.source or unknown,
        )
        for d in devices()
        for r in rentals(d)
    ]  # fmt: skip
    rows += [
        (p.device, "", show_money(p.usd, currency), "", show_age(p.as_of, today), p.source)
        for p in purchases()
    ]
    return Table(header, rows)
