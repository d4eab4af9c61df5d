"""Measure on this machine, and write the results into both READMEs between their markers.

Usage: ``python .ci/bench.py`` (or ``make bench``). A measurement is one function that gives a Row,
or several; to add one, write it and name it in MEASUREMENTS.
"""

import compileall
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from labkit.machine.hardware import hardware

ROOT = Path(__file__).parents[1]
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
MARKED = re.compile(r"(<!-- measured: make bench -->\n).*?(<!-- /measured -->)", re.S)
HEADS = {"en": "| What | Result | Command |", "zh": "| 项目 | 结果 | 命令 |"}


@dataclass(frozen=True)
class Row:
    en: str
    zh: str
    result: str
    command: str


def seconds(*command: str) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def result_of(name: str) -> dict[str, Any]:
    """What a benchmark of tests/benchmarks/ prints as its last line."""
    command = [sys.executable, str(ROOT / "tests/benchmarks" / name)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row_of(name: str, en: str, zh: str, result: str) -> Row:
    """One row of a benchmark of tests/benchmarks/; its figures stand in the words."""
    found = result_of(name)
    words = (text.format_map(found) for text in (en, zh, result))
    return Row(*words, f"`python tests/benchmarks/{name}`")


def import_time() -> Row:
    """Side by side with a bare start, so that a busy machine slows both alike."""
    python = (sys.executable, "-c")
    extra = median(seconds(*python, "import labkit") - seconds(*python, "pass") for _ in range(15))
    return Row(
        "`import labkit` adds to Python's own start",
        "`import labkit` 比 Python 自身启动多用的时间",
        f"{extra:.3f} s",
        '`python -c "import labkit"`',
    )


def doctor_time() -> Row:
    labkit = Path(sys.executable).with_name("labkit")
    taken = median(seconds(str(labkit), "doctor") for _ in range(5))
    return Row(
        "Looking at this machine and saying what runs on it",
        "检查本机并说明能运行哪些课",
        f"{taken:.2f} s",
        "`labkit doctor`",
    )


def chat_time() -> Row:
    """By turns in the terminal and by a bare script."""
    return row_of(
        "bench_chat.py",
        "`labkit chat`, cold start to last token; a bare script; ratio; the very first run",
        "`labkit chat` 从冷启动到最后一个词元；裸脚本；两者之比；第一次运行",
        "{labkit_chat} s; {bare_script} s; {ratio}; {first_run} s",
    )


def memory_errors() -> list[Row]:
    """By bench_memory.py; figures that are not judged are named there, with the reason."""
    found = result_of("bench_memory.py")

    def row(en: str, zh: str, error: dict[str, float]) -> Row:
        judged, rest = error["rows"], error["not_judged"]
        more, rest_zh = (f", {rest} more not judged", f"，另有 {rest} 个不计") if rest else ("", "")
        return Row(
            f"{en}: mean and worst error on {judged} published figures{more}",
            f"{zh}：{judged} 个公开数据上的平均与最大误差{rest_zh}",
            "{mean_percent:.3g} %; {worst_percent:.3g} %".format_map(error),
            "`python tests/benchmarks/bench_memory.py`",
        )

    words = {
        "GGUF sizes": ("GGUF sizes (not judged: Q2_K of an older recipe)",
                       "GGUF 文件大小（旧配方的 Q2_K 不计）"),
        "KV cache": ("KV cache", "KV 缓存"),
        "Transformers, running": ("Transformers, running", "Transformers 推理的显存"),
        "Training": ("Training", "训练的显存"),
    }  # fmt: skip
    rows = [row(*words[name], error) for name, error in found["errors"].items()]
    others = {
        "llmfit": " llmfit ",
        "NyxKrage's calculator": " NyxKrage 计算器",
        "the bits in the name": "名称里的位数",
    }
    for name, error in found["others"].items():
        mean = f"{error['on_67_files_percent']:g} %"
        en = f"GGUF sizes by {name} (on 67 other files {mean})"
        zh = f"GGUF 文件大小，按{others[name]}计算（另 67 个文件上 {mean}）"
        rows.append(row(en, zh, error))
    return rows


def picker_time() -> Row:
    """By tests/benchmarks/bench_picker.py."""
    found = result_of("bench_picker.py")
    every = found["every"]
    return Row(
        "Ranking {models} models × {types} GGUF types × 4 contexts: first pass; later, the memory "
        "changed".format_map(every),
        "{models} 个模型 × {types} 种 GGUF 类型 × 4 种上下文排序：第一次；之后改变内存再排"
        "".format_map(every),
        "{first} s; {later} s".format_map(every),
        "`python tests/benchmarks/bench_picker.py`",
    )


def quantization_time() -> list[Row]:
    """By bench_quantization.py: ours beside the tools themselves, in CPU seconds."""
    found = result_of("bench_quantization.py")
    command = "`python tests/benchmarks/bench_quantization.py`"
    shares = [f"{kind} {x['labkit'] / x['gguf']:.2f}" for kind, x in found["seconds"].items()]
    perplexity = found["perplexity"]["labkit"] / found["perplexity"]["llama_cpp"]
    return [
        Row(
            f"Quantizing {found['weights']:,} weights by hand in numpy: share of `gguf`'s time",
            f"用 numpy 手工量化 {found['weights']:,} 个权重，耗时相当于 `gguf` 的几倍",
            "; ".join(shares),
            command,
        ),
        Row(
            "Perplexity of a pocket model: share of a bare loop's time over llama-cpp-python",
            "测一个口袋模型的困惑度，耗时相当于直接调用 llama-cpp-python 的几倍",
            f"{perplexity:.2f}",
            command,
        ),
    ]


def server_throughput() -> Row:
    """Both servers up at once and asked by turns."""
    return row_of(
        "bench_server.py",
        "Requests/s of `lab.serve` ({clients} clients); of `python -m llama_cpp.server`; ratio",
        "`lab.serve` 每秒请求数（{clients} 个客户端）；`python -m llama_cpp.server`；两者之比",
        "{requests_per_second}; {requests_per_second_by_hand}; {ratio}",
    )


def replicas() -> Row:
    """All up at once and asked by turns."""
    return row_of(
        "bench_cluster.py",
        "Requests/s of two replicas on Ray Serve; of one; of `lab.serve` without Ray; two to one"
        " ({cores} cores)",
        "Ray Serve 上两个副本每秒的请求数；一个副本；不用 Ray 的 `lab.serve`；两个与一个之比"
        "（{cores} 核）",
        "{two_replicas}; {one_replica}; {without_ray}; {ratio}",
    )


def tuning_overhead() -> Row:
    """In CPU seconds."""
    return row_of(
        "bench_finetuning.py",
        "`lab.finetune` over a bare PyTorch loop doing the same {steps} steps",
        "`lab.finetune` 比裸 PyTorch 循环多用的时间（同样的 {steps} 步）",
        "{overhead_percent:+} %",
    )


MEASUREMENTS: tuple[Callable[[], Row | list[Row]], ...] = (
    import_time,
    doctor_time,
    chat_time,
    memory_errors,
    picker_time,
    quantization_time,
    server_throughput,
    replicas,
    tuning_overhead,
)


def main() -> None:
    # As a user's first start leaves it: where PYTHONDONTWRITEBYTECODE is set, every start of labkit
    # would be compiled anew, and that of the packages beside which it is measured would not.
    compileall.compile_dir(ROOT / "labkit", quiet=1)
    rows: list[Row] = []
    for measure in MEASUREMENTS:
        measured = measure()
        rows += measured if isinstance(measured, list) else [measured]
    here = hardware()
    where = f"{here.cpu.name}, {here.cpu.usable_cores} cores, Python {here.python}, {date.today()}"
    for language, path in READMES.items():
        lines = [where, "", HEADS[language], "|---|---|---|"]
        lines += [f"| {getattr(row, language)} | {row.result} | {row.command} |" for row in rows]
        table = "\n".join(lines)
        text, found = MARKED.subn(rf"\g<1>{table}\n\g<2>", path.read_text(encoding="utf-8"))
        if found != 1:
            sys.exit(f"{path.name} must hold the two markers of measured results exactly once")
        path.write_text(text, encoding="utf-8")
        print(table)


main()
