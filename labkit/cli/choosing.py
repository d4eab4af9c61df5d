"""The commands for choosing a model: ``models``, ``estimate``, ``pick`` and ``costs``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..core.i18n import t
from .console import Json, both, make_table, print_json, say

if TYPE_CHECKING:
    from ..catalog import CatalogModel, Price
    from ..catalog.quotes import Exchange, Purchase, Tariff, Throughput
    from ..core.tables import Table
    from ..picker.picks import Picks

app = typer.Typer()

SHOWN = 3
"""Of how many picks the terminal gives the reasons and the command."""


@dataclass(frozen=True)
class Catalogue:
    """What ``labkit models --json`` prints."""

    models: "tuple[CatalogModel, ...]"


@app.command(help=both("The catalogue of models.", "列出目录中的模型。"))
def models(
    course: Annotated[
        bool, typer.Option(help=both("Only those of the course.", "只列课程里的模型。"))
    ] = False,
    as_json: Json = False,
) -> None:
    from .. import catalog

    chosen = tuple(m for m in catalog.models() if m.course or not course)
    if as_json:
        return print_json(Catalogue(chosen))
    from rich.console import Console

    header = (
        t("Model", "模型"), t("Parameters", "参数"), t("Active", "激活"), t("Context", "上下文"),
        t("Licence", "许可证"), t("Released", "发布"), t("Superseded by", "后继"),
    )  # fmt: skip
    rows = [
        (
            m.name + (" *" if m.verification == "unverified" else ""),
            f"{m.parameters / 1e9:.2f}B", f"{m.active_parameters / 1e9:.2f}B", f"{m.context:,}",
            " + ".join(row.name for row in catalog.terms(m)), m.release_date, m.superseded_by or "",
        )
        for m in chosen
    ]  # fmt: skip
    Console().print(make_table(header, rows))
    say(t("* not verified.", "* 未经核实。"), catalog.not_legal_advice())


RUN_ONLY = ("quant", "context", "engine", "kv_type", "new_tokens", "n_gpu_layers", "group_size")
TRAIN_ONLY = ("seq", "rank", "precision", "checkpointing", "optimizer")


@app.command(
    help=both(
        "Memory to run a model, or with --train to fine-tune it.",
        "计算运行一个模型所需的内存；加上 --train 则计算微调所需。",
    )
)
def estimate(
    model: Annotated[
        str,
        typer.Argument(
            help=both(
                "A catalogue name, a pocket name, a folder, a .gguf or a config.json.",
                "目录中的名称、口袋模型名、文件夹、.gguf 或 config.json。",
            )
        ),
    ],
    quant: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Q4_K_M (default) and the other GGUF types, or bf16, int8, nf4, gptq-4bit …",
                "GGUF 类型，默认 Q4_K_M；或 bf16、int8、nf4、gptq-4bit 等。",
            )
        ),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help=both("Tokens, prompt and answer.", "提示与回答的词元总数。"))
    ] = None,
    engine: Annotated[
        Literal["llama.cpp", "transformers"] | None,
        typer.Option(help=both("What runs it.", "用什么引擎运行。")),
    ] = None,
    kv_type: Annotated[
        str | None, typer.Option(help=both("Of the KV cache: f16, q8_0, q4_0.", "KV 缓存类型。"))
    ] = None,
    new_tokens: Annotated[
        int | None, typer.Option(help=both("How many are the answer.", "其中回答占多少词元。"))
    ] = None,
    n_gpu_layers: Annotated[
        int | None, typer.Option(help=both("Layers on the GPU.", "放到 GPU 上的层数。"))
    ] = None,
    group_size: Annotated[
        int | None,
        typer.Option(help=both("Weights a scale, of GPTQ and AWQ.", "GPTQ 与 AWQ 的分组大小。")),
    ] = None,
    vram: Annotated[
        float | None,
        typer.Option(
            help=both("Free memory of one GPU, in GiB.", "一块 GPU 的可用显存，单位 GiB。")
        ),
    ] = None,
    gpus: Annotated[int, typer.Option(help=both("How many GPUs.", "GPU 数量。"))] = 1,
    batch: Annotated[
        int, typer.Option(help=both("Sequences, or samples, at once.", "同时处理的序列或样本数。"))
    ] = 1,
    train: Annotated[
        Literal["full", "lora", "qlora"] | None,
        typer.Option(help=both("Memory to fine-tune it so.", "按此方式微调所需的内存。")),
    ] = None,
    seq: Annotated[
        int | None, typer.Option(help=both("Tokens of a sample.", "每个样本的词元数。"))
    ] = None,
    rank: Annotated[int | None, typer.Option(help=both("Of LoRA.", "LoRA 的秩。"))] = None,
    precision: Annotated[
        Literal["bf16", "fp16", "fp32", "mixed"] | None,
        typer.Option(help=both("Of the training.", "训练精度。")),
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(help=both("Recompute activations.", "是否用梯度检查点重算激活。")),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help=both("adamw_torch, adamw_8bit …", "优化器名称。"))
    ] = None,
    as_json: Json = False,
) -> None:
    from ..core.units import GiB
    from ..estimation import memory

    given = {
        "quant": quant, "context": context, "engine": engine, "kv_type": kv_type,
        "new_tokens": new_tokens, "n_gpu_layers": n_gpu_layers, "group_size": group_size,
        "seq": seq, "rank": rank, "precision": precision, "checkpointing": checkpointing,
        "optimizer": optimizer,
        "vram": None if vram is None else round(vram * GiB),
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    foreign = next((name for name in (RUN_ONLY if train else TRAIN_ONLY) if name in options), None)
    if foreign:
        option = "--" + foreign.replace("_", "-")
        raise typer.BadParameter(
            t(f"{option} does not go with --train.", f"{option} 不能与 --train 同用。")
            if train
            else t(f"{option} needs --train.", f"{option} 需要与 --train 同用。")
        )
    result: Any = memory.estimate(model, train=train, batch=batch, gpus=gpus, **options)
    if as_json:
        return print_json(result)
    _print_estimate(result)


def _print_estimate(result: Any) -> None:
    """The parts of a running or a training estimate, in bytes for a reader."""
    from rich.console import Console

    from ..core.units import show_bytes

    parts = {
        "weights": t("weights", "权重"),
        "kv_cache": t("KV cache", "KV 缓存"),
        "adapter": t("adapter", "适配器"),
        "gradients": t("gradients", "梯度"),
        "optimizer": t("optimizer", "优化器"),
        "activations": t("activations", "激活值"),
        "runtime": t("runtime", "运行缓冲"),
        "total": t("total", "合计"),
        "file_size": t("GGUF file", "GGUF 文件"),
        "on_gpu": t("on the GPU", "其中在显存"),
        "in_ram": t("in RAM", "其中在内存"),
    }
    sizes = {part: getattr(result, part, None) for part in parts}
    rows = [(parts[part], show_bytes(size)) for part, size in sizes.items() if size is not None]
    Console().print(make_table((result.model, ""), rows))
    layers = getattr(result, "n_gpu_layers", None)
    if layers is not None:
        say(f"n_gpu_layers: {layers} / {result.n_layers}")
    validity = {
        "exact": t("Exact: follows from the shapes.", "精确：由张量形状直接得出。"),
        "calibrated": t("Calibrated: checked on measurements.", "已校准：与实测核对过。"),
        "rough": t("Rough: outside what was measured.", "粗略：超出实测范围。"),
    }
    say(validity[result.validity], *result.warnings)


def _print_picks(picks: "Picks") -> None:
    """The facts of all in a table; reasons and commands of the first."""
    from rich.console import Console

    table = picks.table()
    facts = [row[:7] for row in table.rows]
    say(str(picks.machine))
    if facts:
        Console().print(make_table(table.header[:7], facts))
    for option in picks.shown[:SHOWN]:
        say(f"\n{option.model} {option.quant}  ({option.huggingface})")
        say(*(f"  + {reason}" for reason in option.reasons_for))
        say(*(f"  - {reason}" for reason in option.reasons_against))
        say(f"  $ {option.command}")
    say("", *picks.notes())


@app.command(
    help=both(
        "Which model to run here, or on a machine you describe, with reasons.",
        "推荐适合本机或指定机器的模型，并说明理由。",
    )
)
def pick(
    need: Annotated[
        Literal["best", "chinese", "low-cost", "long-context", "code", "math", "chat", "tools"],
        typer.Option(help=both("What it is wanted for.", "用途。")),
    ] = "best",
    vram: Annotated[
        float | None,
        typer.Option(
            help=both(
                "Memory of the card in GB as on its box; counted as GiB, less 5% and 0.5 GiB that "
                "are never free.",
                "显卡标称显存（GB）；按 GiB 计，并扣除始终被占用的 5% 与 0.5 GiB。",
            )
        ),
    ] = None,
    ram: Annotated[
        float | None,
        typer.Option(
            help=both(
                "RAM in GB as on the box; counted as GiB, less a quarter, at least 2 GiB, for the "
                "system. Without --vram and --ram: what is free here.",
                "标称内存（GB）；按 GiB 计，并为系统保留四分之一（至少 2 GiB）。"
                "--vram 与 --ram 都不给时按本机空闲内存计。",
            )
        ),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help=both("Its name, as 'RTX 4090', for the speed.", "显卡型号，用于估算速度。")
        ),
    ] = None,
    ram_type: Annotated[
        str | None,
        typer.Option(help=both("As 'DDR5-5600 dual channel', likewise.", "内存类型，同上。")),
    ] = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help=both("For commercial use.", "需要商用。"))
    ] = False,
    context: Annotated[
        int | None, typer.Option(help=both("Tokens, prompt and answer.", "提示与回答的词元总数。"))
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help=both("ISO code it must know; may be repeated.", "须支持的语言，可写多次。")
        ),
    ] = None,
    course: Annotated[
        bool, typer.Option("--course", help=both("The course's own models.", "只看课程里的模型。"))
    ] = False,
    as_json: Json = False,
) -> None:
    from ..picker.picks import pick as rank_models

    picks = rank_models(
        need,
        vram,
        ram,
        commercial=commercial,
        context=context,
        languages=language or (),
        course=course,
        gpu=gpu,
        ram_type=ram_type,
    )
    print_json(picks) if as_json else _print_picks(picks)


@dataclass(frozen=True)
class PriceList:
    """What ``labkit costs --prices --json`` prints."""

    prices: "tuple[Price, ...]"
    purchases: "tuple[Purchase, ...]"
    tariffs: "tuple[Tariff, ...]"
    throughputs: "tuple[Throughput, ...]"
    exchange: "Exchange"


@app.command(
    "costs",
    help=both(
        "A workload by API, on rented GPUs and on your own: a month, break-even, what moves it.",
        "比较 API、租用 GPU 与自有机器的月成本、盈亏平衡点及其影响因素。",
    ),
)
def show_costs(
    api: Annotated[
        str, typer.Argument(help=both("Words that name one price.", "能确定一个报价的关键词。"))
    ] = "",
    gpu: Annotated[
        str, typer.Option(help=both("Of the catalogue.", "目录中的型号。"))
    ] = "RTX 4090",
    place: Annotated[
        Literal["us", "cn"], typer.Option(help=both("Of the tariff.", "电价所在地。"))
    ] = "us",
    requests: Annotated[float | None, typer.Option(help=both("A month.", "每月请求数。"))] = None,
    assumed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help=both(
                "Another assumption, as wage=25; may be repeated.",
                "修改其他假设，如 wage=25，可写多次。",
            ),
        ),
    ] = None,
    currency: Annotated[
        Literal["USD", "CNY"], typer.Option(help=both("To show.", "显示的货币。"))
    ] = "USD",
    prices: Annotated[
        bool,
        typer.Option(
            "--prices",
            help=both("List prices, those that match the words.", "列出匹配关键词的价格。"),
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
                    quotes.matching_prices(api),
                    quotes.purchases(),
                    quotes.tariffs(),
                    quotes.throughputs(),
                    quotes.exchange(),
                )
            )
        return _print_tables(
            quotes.api_prices(api, currency=currency), quotes.gpu_prices(currency=currency)
        )
    values = dict(map(_assignment, assumed or ()))
    if requests is not None:
        values["requests"] = requests
    assumptions = assume(api or DEFAULT_API, gpu, place=place, **values)
    result = monthly.compare_costs(assumptions, currency=currency)
    if as_json:
        return print_json(result)
    _print_tables(result.assumptions_table(), result.table(), result.sensitivity_table())


def _assignment(text: str) -> tuple[str, float]:
    """The name and the number of ``wage=25``."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise typer.BadParameter(
            t(f"--set {text}: write name=number.", f"--set {text}：请写成 名称=数字。")
        ) from None


def _print_tables(*tables: "Table") -> None:
    from rich.console import Console

    for table in tables:
        Console().print(make_table(table.header, table.rows))
        say(table.note)
