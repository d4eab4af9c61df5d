"""Merging a QLoRA adapter: into what, and how far each way is from what was trained."""

from dataclasses import replace

import pytest
import torch

from labkit.core.errors import LabError
from labkit.finetuning.lora import load_adapter, load_base, save_adapter
from labkit.finetuning.merging import INTO, compare_merges, merge, merged
from labkit.finetuning.settings import Settings
from labkit.finetuning.tasks import load_task
from labkit.finetuning.trainer import open_base

BASE = "pocket/qwen2.5"
IDS = torch.tensor([[5, 9, 300, 41, 7, 12]])


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    model = open_base(BASE, Settings("qlora", rank=4), "float32")
    torch.manual_seed(0)
    for name, p in model.model.named_parameters():
        if "lora_B" in name:
            p.data.normal_(0, 0.02)
    return save_adapter(model, tmp_path_factory.mktemp("qlora") / "adapter")


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.model(IDS).logits


def test_the_dequantized_base_is_what_was_trained_on(adapter):
    trained = load_base(BASE, quant="nf4-double")
    load_adapter(trained, adapter)
    expected = logits(trained)
    far = {into: float((logits(merged(adapter, BASE, into=into)) - expected).abs().max())
           for into in INTO}  # fmt: skip
    assert far["dequantized"] < 1e-3 < far["quantized"]
    assert far["dequantized"] < far["original"] / 10


def test_the_ways_are_measured_beside_each_other(adapter):
    task = load_task("rotate")
    found = compare_merges(adapter, BASE, replace(task, test=task.test[:6]))
    assert [row.into for row in found.rows] == [None, *INTO]
    by = {row.into: row for row in found.rows}
    assert by["dequantized"].loss == pytest.approx(by[None].loss, rel=1e-3)
    assert by["original"].loss != pytest.approx(by[None].loss, rel=1e-3)
    assert by["quantized"].memory < by[None].memory < by["original"].memory
    assert all(0 <= row.exact_match <= 1 for row in found.rows)
    assert "original 16-bit base" in str(found) and "pocket model" in str(found)


def test_a_way_that_cannot_be_written_is_refused(adapter, tmp_path):
    with pytest.raises(LabError, match="into='quantized'"):
        merge(adapter, BASE, tmp_path / "out", into="quantized")
    assert not (tmp_path / "out").exists()
