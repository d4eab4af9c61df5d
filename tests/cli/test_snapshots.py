"""What every reporting command prints, at 80 and 120 columns, in both languages.

The snapshots lie beside this file; after a change that is meant, write and look at them:
``LABKIT_SNAPSHOTS=write .venv/bin/python -m pytest -q tests/cli/test_snapshots.py``
"""

import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from labkit.catalog import models
from labkit.cli.entry import run
from labkit.core.i18n import use_language
from labkit.core.units import GiB
from labkit.course import doctor
from labkit.course.class_progress import write_sample_class
from labkit.evaluation.comparison import Comparison, Row
from labkit.finetuning.report import Report
from labkit.machine.gpu_detection import GPU
from labkit.machine.hardware import CPU, Disk, Hardware, Memory, Platform
from labkit.serving.load_test import Load, LoadTest, Waits

SNAPSHOTS = Path(__file__).parent / "snapshots"

MACHINE = Hardware(
    cpu=CPU("AMD Ryzen 7 7800X3D", "x86_64", 8, 16, 16, ("avx2", "avx512f", "avx512_bf16")),
    memory=Memory(32 * GiB, 27 * GiB, None),
    gpus=(GPU("NVIDIA", "GeForce RTX 4060 Ti", 16 * GiB, 15 * GiB, "560.35", "8.9"),),
    cache_disk=Disk("/home/lei/.cache/labkit", 900 * GiB, 120 * GiB),
    work_disk=Disk("/home/lei/a folder with a rather long name/course", 900 * GiB, 120 * GiB),
    platform=Platform("Linux", "Debian GNU/Linux 12 (bookworm)", None, False, None),
    python="3.11.7",
)

ROWS = tuple(
    Row(
        format=name,
        file_size=size,
        bits_per_weight=bits,
        perplexity=perplexity,
        perplexity_stderr=0.31,
        kl_mean=kl,
        kl_p99=None if kl is None else 9 * kl,
        top1_agreement=None if kl is None else 1 - kl,
        exact_match=None,
        prompt_tokens_per_second=1893.2,
        tokens_per_second=speed,
        peak_memory=size + 10**8,
    )
    for name, size, bits, perplexity, kl, speed in (
        ("F16", 270_885_376, 16.0, 17.22, None, 48.1),
        ("Q8_0", 144_811_520, 8.5, 17.24, 0.0041, 80.2),
        ("Q4_K_M-imatrix", 105_454_080, 6.2, 17.9, 0.031, 99.4),
        ("autoround-4bit", 90_112_000, 5.1, 18.4, 0.058, 7.1),
    )
)
COMPARISON = Comparison("SmolLM2-135M-Instruct", ROWS, tuple(Path(r.format) for r in ROWS))

REPORT = Report(
    method="qlora", task="clinic", exact_match_before=0.0, exact_match_after=0.958,
    old_skills_before=0.875, old_skills_after=0.823, trainable_parameters=114_688,
    adapter_size=461_352, seconds=68.2, peak_memory=214_000_000, predicted_memory=198_000_000,
    model="Qwen/Qwen2.5-0.5B-Instruct", steps=450, best_step=400, steps_per_second=6.6,
    test_questions=48, old_questions=96, seed=0, device="cpu", folder=Path("adapter"),
    history=(), notes=("A note that must be said of this model, wherever its results are shown.",),
)  # fmt: skip


def load(clients: int) -> Load:
    waits = Waits(0.0912 * clients, 0.1413 * clients, 0.2051 * clients)
    return Load(
        clients=clients, requests=32, answered=31, retried=0, errors={"HTTP 500": 1}, seconds=4.2,
        requests_per_second=7.6, output_tokens_per_second=243.1, prompt_tokens=31.0,
        output_tokens=32.0, first_token=waits, between_tokens=waits, whole=waits,
    )  # fmt: skip


COMMANDS = {
    "doctor": "doctor",
    "doctor-class": "doctor --for class",
    "models": "models",
    "estimate": "estimate DeepSeek-R1-Distill-Llama-70B --quant Q4_K_M --context 32768 --vram 24",
    "estimate-train": "estimate Llama-2-7B --train qlora --batch 4 --seq 1024",
    "pick": "pick --need chinese --vram 24 --ram 64 --gpu RTX-4090 --ram-type DDR5-5600",
    "pick-nothing": "pick --vram 2 --context 131072",
    "costs": "costs --requests 2e6",
    "prices": "costs llama --prices",
    "quantize": "quantize pocket/llama3 --to Q8_0 --to Q4_0",
    "quantize-made": "quantize pocket/llama3 --to Q8_0 --to Q4_0 --no-measure",
    "finetune": "finetune pocket/qwen2.5 --task clinic",
    "bench-serve": "bench-serve http://127.0.0.1:1/v1",
    "export": "export pocket/llama3 --to axolotl --task clinic --out out",
    "lessons": "lessons list",
    "lessons-track": "lessons list --track enterprise",
    "progress": "progress show",
    "progress-class": "progress class class",
}
SHOWS_MODELS = {"models", "estimate", "estimate-train", "pick", "pick-nothing", "prices"}


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine, a day and measurements that are always the same: here the layout is tested."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_STATIC", "1")  # ages are counted from a fixed day
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.delenv("LABKIT_BUNDLE", raising=False)
    monkeypatch.setattr("labkit.machine.hardware.hardware", lambda: MACHINE)
    packages = tuple(replace(package, version="1.2.3") for package in doctor._packages())
    monkeypatch.setattr(doctor, "_packages", lambda: packages)
    monkeypatch.setattr("labkit.evaluation.comparison.compare", lambda *_, **__: COMPARISON)
    monkeypatch.setattr("labkit.finetuning.experiment.finetune", lambda *_, **__: REPORT)
    test = LoadTest("http://127.0.0.1:1/v1", "pocket/qwen2.5", "", (load(1), load(16)), ())
    monkeypatch.setattr("labkit.serving.load_test.measure_load", lambda *_, **__: test)
    write_sample_class("class", students=4)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_what_was_looked_at(
    name: str, width: int, lang: Any, computer: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    use_language(lang)
    assert run(COMMANDS[name].split()) == 0
    # The recipe names the checkpoint's folder, and so its size is this clone's.
    printed = re.sub(r"(axolotl\.yaml +)\d\.\d\d", r"\1?.??", capsys.readouterr().out)
    path = SNAPSHOTS / f"{name}-{width}-{lang}.txt"
    if os.environ.get("LABKIT_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(printed, encoding="utf-8")
    assert printed == path.read_text(encoding="utf-8")
    lines = printed.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in printed.replace("……", "")
    assert not any(line != line.rstrip() for line in lines)
    assert not any(not a and not b for a, b in pairwise(lines)), "two empty lines"
    if name in SHOWS_MODELS:
        assert not broken_names(lines)


def broken_names(lines: list[str]) -> list[str]:
    """Names of models that begin at the end of a line and go on in the next."""
    names = [model.name for model in models()]
    ends = [line.split()[-1] for line in lines if line.split()]
    return [end for end in ends if end.endswith("-") and any(n.startswith(end) for n in names)]


def test_a_broken_name_would_be_found() -> None:
    assert broken_names(["  Qwen2.5-", "  7B"]) == ["Qwen2.5-"]
