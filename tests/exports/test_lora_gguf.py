"""An adapter as GGUF: llama.cpp with it gives what Transformers gives; merged, the same again."""

import numpy as np
import pytest
import torch
from finetuning.test_lora import adapted
from llama_cpp import Llama
from pocket_models import llama_cpp_logits, transformers_logits

from labkit.core.errors import LabError
from labkit.exports.lora_gguf import write_lora_gguf
from labkit.finetuning.lora import save_adapter
from labkit.finetuning.merging import merge
from labkit.gguf.files import gguf_for
from labkit.hub.resolver import locate

IDS = [5, 9, 300, 41, 7, 12, 88, 640]
NAMES = ("qwen2.5", "llama3", "llama2", "chatglm3", "mistral")


def with_lora(name: str, lora: str | None) -> np.ndarray:
    path = gguf_for(locate(f"pocket/{name}").path, "F32")
    model = Llama(
        str(path), n_ctx=64, logits_all=True, type_k=0, type_v=0, n_threads=1, lora_path=lora,
        verbose=False,
    )  # fmt: skip
    model.eval(IDS)
    return np.array(model.scores[: len(IDS)])


@pytest.mark.parametrize("name", NAMES)
def test_llama_cpp_puts_the_adapter_on_as_peft_does(name, tmp_path):
    model = adapted(1, f"pocket/{name}", rank=4, alpha=12)
    folder = save_adapter(model, tmp_path / "adapter")
    file = write_lora_gguf(folder, f"pocket/{name}", tmp_path / "adapter.gguf")
    with torch.no_grad():
        expected = model.model(torch.tensor([IDS])).logits[0].numpy()
    plain, put_on = with_lora(name, None), with_lora(name, str(file))
    # ChatGLM's own logits differ by 1e-2 between the engines, without any adapter.
    allowed = 5e-2 if name == "chatglm3" else 5e-3
    assert np.abs(put_on - expected).max() < allowed
    assert np.abs(plain - expected).max() > 10 * allowed  # it does something


def test_merged_and_converted_llama_cpp_gives_the_same(tmp_path):
    folder = save_adapter(adapted(2), tmp_path / "adapter")
    merged = merge(folder, "pocket/qwen2.5", tmp_path / "merged")
    expected = transformers_logits(merged, IDS)
    found = llama_cpp_logits(gguf_for(merged, "F32"), IDS)
    assert np.abs(found - expected).max() < 5e-3


def test_layers_llama_cpp_splits_are_refused_with_the_way_out(tmp_path):
    model = adapted(1, "pocket/deepseek-v2", targets=("kv_b_proj",))
    folder = save_adapter(model, tmp_path / "adapter")
    with pytest.raises(LabError, match=r"kv_b_proj.*Merge the adapter instead"):
        write_lora_gguf(folder, "pocket/deepseek-v2", tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()
    with pytest.raises(LabError, match="holds no adapter"):
        write_lora_gguf(tmp_path, "pocket/qwen2.5", tmp_path / "adapter.gguf")
