"""lab.quantize: rows in the order asked for, by every tool, whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from labkit import pocket
from labkit.cli.entry import run
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.engines import load
from labkit.gguf.files import gguf_for, inspect_gguf
from labkit.hub.resolver import locate
from labkit.quantization.transformers_checkpoints import checkpoint_for
from labkit.quantization.versions import (
    FORMATS,
    Quantized,
    QuantizedFile,
    quantize,
    read_formats,
)

MODEL = "pocket/llama3"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    """One model by every tool but bitsandbytes' plain nf4, made once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("kept")))
        return quantize(
            MODEL,
            ["F16", "Q4_0", "Q4_0-imatrix", "gptq-8bit", "gptq-4bit", "autoround-4bit"]
            + ["nf4-double", "int8"],
        )


def row(made: Quantized, form: str) -> QuantizedFile:
    return next(row for row in made.rows if row.format == form)


# --- GGUF


def test_rows_say_what_is_in_the_files() -> None:
    made = quantize("pocket/llama2", ["q8_0", "Q4_0", "Q8_0"])
    assert [row.format for row in made.rows] == ["Q8_0", "Q4_0"]
    for row in made.rows:
        assert inspect_gguf(row.path).format == row.format
        assert row.file_size == row.path.stat().st_size
    # 8.5 and 4.5 bits for all but the norms, and more for the output head.
    assert 8.5 <= made.rows[0].bits_per_weight < 8.6
    assert 4.5 < made.rows[1].bits_per_weight < 5
    assert "pocket model" in made.note


def test_a_folder_and_a_gguf_file_will_do() -> None:
    (row,) = quantize(pocket.folder("yi"), "F16").rows
    (small,) = quantize(row.path, ["Q4_0"]).rows
    assert small.file_size < row.file_size


def test_an_importance_matrix_changes_codes_and_no_size(made: Quantized) -> None:
    plain, weighted = row(made, "Q4_0"), row(made, "Q4_0-imatrix")
    assert weighted.file_size == plain.file_size
    assert weighted.path.read_bytes() != plain.path.read_bytes()
    assert inspect_gguf(weighted.path).tensor_types == inspect_gguf(plain.path).tensor_types


# --- what Transformers loads


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("form", ["gptq-8bit", "gptq-4bit", "autoround-4bit"])
def test_gptq_checkpoints_have_the_formats_own_tensors(made: Quantized, form: str) -> None:
    path = row(made, form).path
    tensors = weights_of(path)
    layer = "model.layers.0.mlp.up_proj"
    parts = {name.removeprefix(f"{layer}.") for name in tensors if name.startswith(layer)}
    assert parts == {"qweight", "qzeros", "scales", "g_idx"}
    bits = 8 if "8" in form else 4
    original = weights_of(pocket.folder("llama3"))[f"{layer}.weight"]
    assert tensors[f"{layer}.qweight"].shape == (
        original.shape[1] * bits // 32,
        original.shape[0],
    )
    config = json.loads((path / "config.json").read_text("utf-8"))["quantization_config"]
    assert (config["quant_method"], config["bits"], config["sym"]) == ("gptq", bits, True)


@pytest.mark.parametrize(
    ("form", "kind", "bits"),
    [
        ("gptq-8bit", "QuantLinear", (8, 11)),
        ("gptq-4bit", "QuantLinear", (4, 8)),
        ("autoround-4bit", "QuantLinear", (4, 8)),
        ("nf4-double", "Linear4bit", (4, 8)),
        ("int8", "Linear8bitLt", (8, 11)),
    ],
)
def test_the_usual_loader_runs_it_quantized(
    made: Quantized, form: str, kind: str, bits: tuple[int, int]
) -> None:
    """It runs on the quantized layers, in float32 elsewhere, near the original's logits."""
    import torch

    entry = row(made, form)
    assert bits[0] < entry.bits_per_weight < bits[1]  # embeddings and head keep 16 bits
    assert entry.file_size == (entry.path / "model.safetensors").stat().st_size
    model, original = load(entry.path), load(MODEL)
    layer = model.model.model.layers[0].mlp.up_proj
    assert type(layer).__name__ == kind
    assert model.model.lm_head.weight.dtype == torch.float32
    ids = torch.tensor([model.encode("Qwen2.5有哪些尺寸？")])
    with torch.no_grad():
        change = (model.model(ids).logits - original.model(ids).logits).abs().max()
    assert 0 < change < 5


def test_gptq_codes_are_ours_and_made_for_the_inputs(made: Quantized) -> None:
    """The scales of the first layer are those of round_nearest until GPTQ moved the weights."""
    import numpy as np

    from labkit.quantization.gptq import (
        GPTQTensors,
        dequantize_gptq,
        round_nearest,
        unpack_gptq,
    )

    tensors = weights_of(row(made, "gptq-4bit").path)
    layer = "model.layers.0.self_attn.q_proj"
    parts = {p: tensors[f"{layer}.{p}"].numpy() for p in ("qweight", "qzeros", "scales", "g_idx")}
    stored = unpack_gptq(GPTQTensors(**parts), 4)
    original = weights_of(pocket.folder("llama3"))[f"{layer}.weight"].float().numpy()
    nearest = round_nearest(original, 4)
    assert np.array_equal(stored.scales[0], nearest.scales[0])  # nothing moved the first group
    assert not np.array_equal(stored.codes, nearest.codes)
    assert np.abs(dequantize_gptq(stored) - original).mean() < 0.3 * np.abs(original).mean()


def test_the_same_again_is_found_and_another_seed_is_not(
    made: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = row(made, "gptq-4bit")
    monkeypatch.setenv("LABKIT_CACHE", str(entry.path.parents[1]))
    begun = entry.path.stat().st_mtime_ns
    assert checkpoint_for(locate(MODEL), "gptq-4bit") == entry.path
    assert entry.path.stat().st_mtime_ns == begun
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):

        def stop(done: int, total: int | None) -> None:
            calls.append(done)
            raise KeyboardInterrupt

        checkpoint_for(locate(MODEL), "gptq-4bit", seed=1, callback=stop)
    assert calls == [1]  # a worker was at it, and reported its first block


@pytest.mark.parametrize("form", ["gptq-4bit", "autoround-4bit"])
def test_routed_experts_are_refused_where_they_would_come_back_wrong(form: str) -> None:
    with pytest.raises(LabError, match="routed experts"):
        quantize("pocket/deepseek-v2", form)


# --- whole or not at all


STOPPED = f"""
import signal
from labkit.quantization.versions import quantize
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where CI runs in the background
def report(done, total):
    print(done, flush=True)
quantize({MODEL!r}, ["Q4_0", "autoround-8bit"], callback=report)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupt_leaves_no_half_checkpoint(cache: Path) -> None:
    work = subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert work.stdout and work.stdout.readline() == "1\n"
    deadline = time.monotonic() + 120
    while not list(cache.glob("checkpoints/.*.part/*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    work.send_signal(signal.SIGINT)
    _, errors = work.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    assert list(cache.glob("checkpoints/*")) == list(cache.glob("checkpoints/.*")) == []


def test_a_full_disk_is_told_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(pocket.folder("llama3"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(LabError, match="There is no room"):
        quantize(MODEL, "nf4")
    assert not [path for path in cache.rglob("*") if path.is_file()]


# --- what is refused


@pytest.mark.parametrize("formats", [["Q4_0", "Q4_Z"], "gptq", ["F16-imatrix"], []])
def test_a_wrong_format_is_told_before_anything_is_made(formats: list[str], cache: Path) -> None:
    with pytest.raises(LabError, match="Q4_K_M.*autoround-4bit"):
        quantize("pocket/llama2", formats)
    assert not cache.exists()


def test_formats_may_be_written_in_any_case() -> None:
    assert read_formats(["q4_k_m", "NF4", "Q4_K_M", "q2_k-IMATRIX"]) == [
        "Q4_K_M", "nf4", "Q2_K-imatrix",
    ]  # fmt: skip
    assert read_formats(list(FORMATS)) == list(FORMATS)


def test_a_broken_config_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": ')
    for form in ("nf4", "Q4_0"):
        with pytest.raises(LabError, match="is no valid configuration"):
            quantize(tmp_path, form)


def test_quantizing_twice_is_refused(made: Quantized) -> None:
    for form in ("gptq-4bit", "nf4", "Q4_0", "Q4_0-imatrix"):
        with pytest.raises(LabError, match=r"already quantized \(gptq\)"):
            quantize(row(made, "gptq-8bit").path, form)
    with pytest.raises(LabError, match=r"already quantized \(Q4_0\)"):
        quantize(row(made, "Q4_0").path, "Q2_K")


@pytest.mark.parametrize("form", ["nf4", "gptq-4bit", "Q4_0-imatrix"])
def test_gguf_files_are_no_start_for_what_needs_the_folder(form: str) -> None:
    with pytest.raises(LabError, match="GGUF"):
        quantize(gguf_for(pocket.folder("llama3")), form)


def test_a_text_too_short_to_calibrate_on() -> None:
    with pytest.raises(LabError, match="too short"):
        quantize(MODEL, "gptq-4bit", text="Hello")


def test_a_missing_tool_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.core import extras
    from labkit.quantization import transformers_checkpoints

    named = {"autoround-4bit": "[gptq]", "nf4": "[finetune]", "gptqmodel-8bit": '"gptqmodel>='}
    absent = ("auto_round", "bitsandbytes", "gptqmodel")
    for module in (transformers_checkpoints, extras):
        monkeypatch.setattr(module, "has", lambda name: name not in absent)
    for form, wanted in named.items():
        with pytest.raises(LabError) as caught:
            quantize(MODEL, form)
        assert wanted in caught.value.way_out


# --- as a reader sees it


TABLE = Quantized("a<b", (QuantizedFile("Q4_0", Path("x") / "m&m.gguf", 3 * 2**20, 4.567),), "tiny")


def test_it_shows_itself_as_a_table() -> None:
    header, row, note = str(TABLE).splitlines()
    assert header.split("  ")[-1] == "a<b"
    assert row.split() == ["Q4_0", "3.00", "MiB", "4.57", "m&m.gguf"]
    assert note == "tiny"
    page = TABLE._repr_html_()
    for cell in ("a&lt;b", "3.00 MiB", "4.57", "m&amp;m.gguf", "tiny"):
        assert f">{cell}<" in page
    use_language("zh")
    assert "每权重位数" in str(TABLE)


def test_the_command_makes_files_or_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["quantize", "pocket/llama2", "--no-measure", "--to", "Q5_0", "--to", "Q8_0"]
    assert run([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["format"] for row in rows] == ["Q5_0", "Q8_0"]
    assert Path(rows[0]["path"]).stat().st_size == rows[0]["file_size"]
    assert run(command) == 0
    assert "Q5_0" in capsys.readouterr().out
    assert run(["quantize", "pocket/llama2", "--to", "Q5_9"]) == 1
    assert "Did you mean 'Q5_" in capsys.readouterr().err
    assert run(["quantize", "pocket/lama2", "--to", "Q5_0"]) == 1
    assert "pocket/llama2" in capsys.readouterr().err
