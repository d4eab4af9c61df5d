"""``labkit bench-serve``: how a server answers when many ask at once."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Json, both, print_json, print_table

HELP = both(
    "Measure how a server answers when many ask at once: requests/s, waits, errors.",
    "压力测试：许多人同时提问时的吞吐、等待时间和错误。",
)


def command(
    url: Annotated[
        str,
        typer.Argument(
            help=both(
                "Address of the server, ending in /v1. Its key is read from LABKIT_API_KEY.",
                "服务地址，以 /v1 结尾。密钥从环境变量 LABKIT_API_KEY 读取。",
            )
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Name of the model on the server. [default: the first it lists]",
                "模型在该服务上的名称。［默认：列表中的第一个］",
            )
        ),
    ] = None,
    clients: Annotated[
        list[int] | None,
        typer.Option(
            help=both(
                "Clients that ask at the same time; may be repeated. [default: 1, 4, 16]",
                "同时提问的客户端数，可写多次。［默认 1、4、16］",
            )
        ),
    ] = None,
    requests: Annotated[
        int,
        typer.Option(
            help=both("Requests for each number of clients.", "每个并发数下发送的请求数。")
        ),
    ] = 32,
    prompt_words: Annotated[
        int, typer.Option(help=both("Length of a prompt, in words.", "提示长度（英文单词数）。"))
    ] = 24,
    max_new_tokens: Annotated[
        int, typer.Option(help=both("Longest answer, in tokens.", "回答最多多少个词元。"))
    ] = 32,
    retries: Annotated[
        int,
        typer.Option(
            help=both("Times a request is sent again after an error.", "请求出错后重发几次。")
        ),
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(
            help=both("PNG file to draw the waits into.", "把等待时间画进这个 PNG 文件。")
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..serving.load_test import measure_load

    test = measure_load(
        url,
        model=model,
        clients=clients or (1, 4, 16),
        requests=requests,
        prompt_words=prompt_words,
        max_new_tokens=max_new_tokens,
        retries=retries,
    )
    if plot:
        from ..plots.load import draw_waits

        draw_waits(test).save(plot)
    if as_json:
        return print_json(test)
    table = test.table()
    print_table(table, drop=(6, 9, 5, 8), names=range(len(table.header)))
