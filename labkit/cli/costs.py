"""``labkit costs``: a workload by API, on rented GPUs and on machines of one's own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.i18n import t
from .console import Json, both, print_json, print_table

if TYPE_CHECKING:
    from ..catalog import Price
    from ..catalog.quotes import Exchange, Purchase, Tariff, Throughput

HELP = both(
    "Compare what a workload costs a month by API, on rented GPUs and on your own machines.",
    "比较同一工作负载用 API、租用 GPU 和自有机器的月成本。",
)


@dataclass(frozen=True)
class PriceList:
    """What ``labkit costs --prices --json`` prints."""

    prices: "tuple[Price, ...]"
    purchases: "tuple[Purchase, ...]"
    tariffs: "tuple[Tariff, ...]"
    throughputs: "tuple[Throughput, ...]"
    exchange: "Exchange"


def command(
    api: Annotated[
        str,
        typer.Argument(
            metavar="[API]",
            help=both(
                "Words that name one price of the list, such as a model.",
                "能确定一个报价的关键词，如模型名。",
            ),
        ),
    ] = "",
    gpu: Annotated[
        str, typer.Option(help=both("GPU to rent or to buy.", "要租用或购买的 GPU。"))
    ] = "RTX 4090",
    place: Annotated[
        Literal["us", "cn"],
        typer.Option(
            help=both("Country whose electricity price is used.", "按哪个国家的电价计算。")
        ),
    ] = "us",
    requests: Annotated[
        float | None, typer.Option(help=both("Requests a month.", "每月请求数。"))
    ] = None,
    assumed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help=both(
                "Change another assumption, such as wage=25; may be repeated.",
                "修改其他假设，如 wage=25，可写多次。",
            ),
        ),
    ] = None,
    currency: Annotated[
        Literal["USD", "CNY"], typer.Option(help=both("Currency of the output.", "显示的货币。"))
    ] = "USD",
    prices: Annotated[
        bool,
        typer.Option(
            "--prices",
            help=both("Only list the prices that match the words.", "只列出与关键词匹配的价格。"),
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from ..catalog import quotes
    from ..costs import monthly
    from ..costs.assumptions import DEFAULT_API, assume

    if prices:
        if as_json:
            return print_json(
                PriceList(
                    prices=quotes.matching_prices(api),
                    purchases=quotes.purchases(),
                    tariffs=quotes.tariffs(),
                    throughputs=quotes.throughputs(),
                    exchange=quotes.exchange(),
                )
            )
        print_table(quotes.api_prices(api, currency=currency), drop=(3,), names=(1,))
        print()
        return print_table(quotes.gpu_prices(currency=currency), drop=(5,))
    values = dict(map(_assignment, assumed or ()))
    if requests is not None:
        values["requests"] = requests
    assumptions = assume(api or DEFAULT_API, gpu, place=place, **values)
    result = monthly.compare_costs(assumptions, currency=currency)
    if as_json:
        return print_json(result)
    print_table(result.assumptions_table(), drop=(5,), names=(1,))
    print()
    print_table(result.table(), drop=(5, 6))
    print()
    print_table(result.sensitivity_table())


def _assignment(text: str) -> tuple[str, float]:
    """The name and the number of ``wage=25``."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise typer.BadParameter(
            t(f"--set {text}: write name=number.", f"--set {text}：请写成 名称=数字。")
        ) from None
