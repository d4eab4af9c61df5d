"""``labkit pick``: which model to run, which file, with what command, and why."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.i18n import t
from .console import Json, both, print_facts, print_json, print_table, say

if TYPE_CHECKING:
    from ..picker.picks import Option, Picks

HELP = both(
    "Recommend a model for this machine, or for one you describe, with reasons.",
    "推荐适合本机或指定机器的模型，并说明理由。",
)

SHOWN = 3
"""Of how many options the reasons and the command are given; the others stand in a table."""


def command(
    need: Annotated[
        Literal["best", "chinese", "low-cost", "long-context", "code", "math", "chat", "tools"],
        typer.Option(help=both("What the model is for.", "模型的用途。")),
    ] = "best",
    vram: Annotated[
        float | None,
        typer.Option(
            help=both(
                "Memory of the graphics card in GB, as on its box. 5% and 0.5 GiB of it are taken"
                " as never free.",
                "显卡的标称显存（GB）。其中 5% 与 0.5 GiB 视为始终被占用。",
            )
        ),
    ] = None,
    ram: Annotated[
        float | None,
        typer.Option(
            help=both(
                "RAM in GB, as on the box. A quarter of it, at least 2 GiB, is left to the system."
                " Without --vram and --ram, what is free on this machine is used.",
                "标称内存（GB）。其中四分之一（至少 2 GiB）留给系统。"
                "--vram 与 --ram 都不给时，按本机空闲的内存计算。",
            )
        ),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Name of the graphics card, such as 'RTX 4090'; the speed is computed from it.",
                "显卡型号，如 'RTX 4090'，用于估算速度。",
            )
        ),
    ] = None,
    ram_type: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Kind of RAM, such as 'DDR5-5600 dual channel'; the speed is computed from it.",
                "内存类型，如 'DDR5-5600 dual channel'，用于估算速度。",
            )
        ),
    ] = None,
    commercial: Annotated[
        bool,
        typer.Option(
            "--commercial",
            help=both(
                "Leave out models whose licence forbids commercial use.",
                "排除许可证禁止商用的模型。",
            ),
        ),
    ] = False,
    context: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Tokens the context must hold, prompt and answer together.",
                "上下文至少要容纳的词元数，提示与回答合计。",
            )
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help=both(
                "ISO 639 code of a language the model must know; may be repeated.",
                "模型必须支持的语言（ISO 639 代码），可写多次。",
            )
        ),
    ] = None,
    course: Annotated[
        bool,
        typer.Option(
            "--course",
            help=both("Choose among the models of the lessons only.", "只在课程里用到的模型中选。"),
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from ..picker.picks import pick

    picks = pick(
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
    print_json(picks) if as_json else _show(picks)


def _show(picks: "Picks") -> None:
    """The answer first, then two more in full, and the rest as a table."""
    from ..core.tables import Table

    say(str(picks.machine), picks.nothing_fits or "")
    for number, option in enumerate(picks.shown[:SHOWN], 1):
        say(f"\n{number}. {option.model}")
        _show_option(option, picks)
    table = picks.table()
    if rest := table.rows[SHOWN:]:
        say("\n" + t("More that fit", "其他放得下的"))
        print_table(Table(table.header, rest), drop=(6, 2, 5), names=range(6))
    print()
    say(*(note for note in picks.notes() if note != picks.nothing_fits))


def _show_option(option: "Option", picks: "Picks") -> None:
    from ..core.units import show_bytes

    whole = show_bytes(picks.machine.total)
    speed = t(f"{option.speed} tokens/s", f"{option.speed} 词元/秒")
    if option.tokens_per_second_low is None:
        speed = t("unknown for this machine", "这台机器未知")
    print_facts(
        (
            (t("   file", "   文件"), f"{option.quant}, {show_bytes(option.download)}"),
            (
                t("   memory", "   内存"),
                t(
                    f"{show_bytes(option.total)} of {whole}, with {option.context:,} tokens of"
                    " context",
                    f"{show_bytes(option.total)}（共 {whole}），上下文 {option.context:,} 个词元",
                ),
            ),
            (t("   speed", "   速度"), speed),
            (t("   licence", "   许可证"), option.license),
            (t("   command", "   命令"), option.command),
        )
    )
    print_facts(("   +", reason) for reason in option.reasons_for)
    print_facts(("   -", reason) for reason in option.reasons_against)
