"""``labkit models``, ``estimate`` and ``pick`` from inside the process: status, stdout, stderr."""

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from labkit import catalog
from labkit.cli import entry
from labkit.cli import pick as pick_command
from labkit.cli.entry import run
from labkit.core.i18n import use_language
from labkit.costs.assumptions import assume
from labkit.costs.monthly import Costs, compare_costs
from labkit.estimation.inference_memory import Estimate
from labkit.estimation.memory import estimate
from labkit.estimation.training_memory import TrainingEstimate
from labkit.exports.targets import TARGETS, writer
from labkit.picker.needs import list_needs
from labkit.picker.picks import Option, Picks, pick


@pytest.fixture
def labkit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "160")

    def call(line: str) -> tuple[int, str, str]:
        status = run(line.split())
        return (status, *capsys.readouterr())

    return call


def result(labkit: Any, line: str) -> dict[str, Any]:
    status, out, errors = labkit(line + " --json")
    assert (status, errors) == (0, "")
    return json.loads(out)  # one object and nothing else


def fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def test_models_lists_the_catalogue(labkit):
    listed = result(labkit, "models")["models"]
    assert [m["name"] for m in listed] == [m.name for m in catalog.models()]
    assert list(listed[0]) == fields(catalog.CatalogModel)
    assert len(result(labkit, "models --course")["models"]) < len(listed)
    status, out, _ = labkit("models")
    assert status == 0 and "Qwen2.5-7B" in out and "not legal advice" in out


def test_estimate_runs(labkit):
    got = result(labkit, "estimate Qwen2.5-7B --quant Q4_K_M --context 8192 --kv-type q8_0")
    assert list(got) == fields(Estimate)
    e = estimate("Qwen2.5-7B", quant="Q4_K_M", context=8192, kv_type="q8_0")
    assert (got["total"], got["file_size"]) == (e.total, e.file_size)
    got = result(labkit, "estimate Qwen2.5-7B --engine transformers --quant nf4 --new-tokens 64")
    assert got["engine"] == "transformers" and got["file_size"] is None
    got = result(labkit, "estimate Qwen2.5-7B --vram 4 --batch 2")
    assert 0 < got["n_gpu_layers"] < got["n_layers"] and got["batch"] == 2


def test_estimate_trains(labkit):
    line = "estimate Llama-2-7B --train lora --batch 2 --seq 1024 --rank 8 --precision bf16"
    got = result(labkit, line + " --no-checkpointing")
    assert list(got) == fields(TrainingEstimate)
    e = estimate("Llama-2-7B", train="lora", batch=2, seq=1024, rank=8, checkpointing=False)
    assert got["total"] == e.total > result(labkit, line)["total"]


def test_estimate_for_a_reader(labkit):
    status, out, _ = labkit("estimate Qwen2.5-7B --vram 4")
    assert status == 0
    for words in ("KV cache", "in RAM", "n_gpu_layers", "Exact"):
        assert words in out
    _, chinese, _ = labkit("estimate Llama-2-7B --train qlora --lang zh")
    assert "优化器" in chinese and "gradients" not in chinese


def test_a_context_above_the_maximum_is_answered_with_a_warning(labkit):
    got = result(labkit, "estimate Llama-2-7B --context 100000")
    assert got["kv_cache"] > 0 and "above the model's maximum of 4096" in got["warnings"][0]


def test_pick_keeps_to_its_contract(labkit):
    got = result(labkit, "pick --need chinese --vram 8")
    assert list(got) == fields(Picks) and got["nothing_fits"] is None
    assert list(got["options"][0]) == fields(Option)
    same = pick("chinese", 8)
    assert [o["model"] for o in got["options"]] == [o.model for o in same.options]
    got = result(labkit, "pick --need chinese --vram 2 --context 131072")
    assert "are missing" in got["nothing_fits"]


def test_pick_hands_every_option_on(labkit):
    line = "pick --vram 24 --ram 64 --commercial --course --context 4096 --language zh --need code "
    line += "--gpu RTX-4090 --ram-type DDR5-5600-dual-channel"
    got = result(labkit, line)
    same = pick("code", 24, 64, commercial=True, course=True, context=4096, languages=["zh"])
    assert [o["model"] for o in got["options"]] == [o.model for o in same.options]
    assert all(o["tokens_per_second_low"] > 0 for o in got["options"])


def test_pick_for_a_reader(labkit):
    status, out, _ = labkit("pick --vram 8")
    assert status == 0 and "llama-server -hf" in out and "   +  " in out and "   -  " in out
    _, chinese, _ = labkit("pick --vram 8 --lang zh")
    assert "许可证" in chinese and "Licence" not in chinese


def test_pick_without_figures_asks_this_machine(labkit):
    got = result(labkit, "pick")
    assert got["machine"]["ram"] or got["machine"]["vram"]


def test_the_needs_in_the_help_are_those_of_the_table():
    annotation = (
        inspect.signature(pick_command.command, eval_str=True).parameters["need"].annotation
    )
    assert list(get_args(get_args(annotation)[0])) == list(list_needs())


@pytest.mark.parametrize(
    "line, words",
    [
        ("estimate Qwen2.5-7", "Did you mean 'Qwen2.5-7B'"),
        ("estimate Qwen2.5-7B --context -5", "context is -5"),
        ("estimate Qwen2.5-7B --batch 0", "batch is 0"),
        ("estimate Qwen2.5-7B --quant Q9", "'Q9' is not known"),
        ("estimate Qwen2.5-7B --vram 0", "vram is 0"),
        ("estimate Llama-2-7B --train lora --rank 0", "rank"),
        ("pick --vram 0", "no memory to run a model"),
        ("pick --vram -8", "vram is -8.0"),
        ("pick --ram 1e12", "ram is 1000000000000.0"),
        ("pick --vram 8 --context 0", "context is 0"),
    ],
)
def test_bad_input_is_a_sentence_and_a_way_out(labkit, line, words):
    status, out, errors = labkit(line)
    assert (status, out) == (1, "")
    assert words in errors and len(errors.splitlines()) == 2 and "Traceback" not in errors


@pytest.mark.parametrize(
    "line",
    [
        "estimate Llama-2-7B --rank 8",
        "estimate Llama-2-7B --train lora --quant Q4_K_M",
        "pick --need fun",
        "estimate",
    ],
)
def test_wrong_usage_is_2(labkit, line):
    status, out, errors = labkit(line)
    assert (status, out) == (2, "") and errors


def test_costs_prints_the_comparison(labkit):
    line = "costs llama-3.1-8b-instant --requests 2e6 --place cn --set wage=25"
    got = result(labkit, line)
    assert list(got) == fields(Costs)
    a = assume("llama-3.1-8b-instant", place="cn", requests=2e6, wage=25)
    assert [w["total"] for w in got["ways"]] == [w.total for w in compare_costs(a).ways]
    assert got["assumptions"]["sources"]["tariff"]["as_of"] == "2024-03"
    status, out, _ = labkit("costs --currency CNY --lang zh")
    assert status == 0 and "盈亏平衡点" in out and "¥" in out and "tariff" in out


def test_costs_lists_prices(labkit):
    got = result(labkit, "costs gpt-4o --prices")
    assert {p["model"] for p in got["prices"]} == {"gpt-4o", "gpt-4o-mini"}
    assert got["exchange"]["as_of"] and got["purchases"] and got["tariffs"]
    status, out, _ = labkit("costs deepseek --prices")
    assert status == 0 and "deepseek-v4-flash" in out and "days old" in out and "H100" in out


def test_costs_refuses_nonsense(labkit):
    for line, words in (
        ("costs qwen-plus", "means 2 prices"),
        ("costs --set wage=-1", "wage=-1.0 does not work"),
        ("costs --set salary=1", "no assumption 'salary'"),
        ("costs --gpu L4", "Not known for L4"),
    ):
        status, out, errors = labkit(line)
        assert (status, out) == (1, "") and words in errors
    assert labkit("costs --set wage")[0] == 2


def test_every_command_is_a_file_and_every_file_is_known():
    shared = {"__init__", "console", "entry", "start"}
    files = {path.stem for path in Path(entry.__file__).parent.glob("*.py")} - shared
    assert files == {name.replace("-", "_") for name in entry.COMMANDS}


def test_a_command_brings_no_other():
    code = (
        "import sys; from labkit.cli.entry import run; run(['models', '--json'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('labkit.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == (
        "['labkit.cli.console', 'labkit.cli.entry', 'labkit.cli.models']"
    )


def test_every_target_has_a_writer_that_takes_its_options():
    for name, target in TARGETS.items():
        parameters = inspect.signature(writer(name)).parameters
        assert set(target.options) <= set(parameters), name
        assert (next(iter(parameters)) == "task") == target.tunes


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_help_text_is_a_sentence_in_the_readers_language(lang):
    """Each option says what it does: no fragment such as "Of LoRA.", no word of the other one."""
    use_language(lang)
    command = typer.main.get_command(entry.make_app())
    entry._speak(command)

    def texts(part: Any, path: str) -> Iterator[tuple[str, str]]:
        yield path, part.help or ""
        for parameter in part.params:
            if parameter.name != "help":
                yield f"{path} {parameter.name}", parameter.help or ""
        for name, sub in getattr(part, "commands", {}).items():
            yield from texts(sub, f"{path} {name}")

    for path, text in texts(command, "labkit"):
        assert len(text) >= (8 if lang == "en" else 4), f"{path}: {text!r}"
        chinese = any("\u4e00" <= letter <= "\u9fff" for letter in text)
        assert chinese == (lang == "zh"), f"{path}: {text!r}"
        if lang == "en":
            assert not text.startswith(("Of ", "For ", "As ", "So ")), f"{path}: {text!r}"
            assert text[0].isupper() or text.split()[0] in ("full", "0.0.0.0"), f"{path}: {text!r}"
