"""Adapters: LoRA by hand against PEFT; save, load, switch, stack, merge; what is refused."""

import json
import shutil

import pytest
import torch
from torch import nn

from labkit.core.errors import LabError
from labkit.engines import Model, load
from labkit.finetuning.lora import (
    add_lora,
    load_adapter,
    load_base,
    merge_adapters,
    save_adapter,
    save_model,
    stored_dtype,
    switch_adapters,
)

BASE = "pocket/qwen2.5"
IDS = torch.tensor([[5, 9, 300, 41, 7, 12]])


def logits(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model.model(IDS).logits


def adapted(seed: int, base: str = BASE, **options) -> Model:
    """A base with an adapter that does something, as after a training."""
    model = load_base(base)
    add_lora(model, seed=seed, **options)
    torch.manual_seed(seed)
    for name, p in model.model.named_parameters():
        if "lora_B" in name:
            p.data.normal_(0, 0.05)
    model.model.eval()
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two adapters in folders, and the logits of each."""
    found = {}
    for seed, name in enumerate(("one", "two")):
        model = adapted(seed)
        folder = save_adapter(model, tmp_path_factory.mktemp("adapters") / name)
        found[name] = (folder, logits(model))
    return found


# LoRA by hand -----------------------------------------------------------------------------


class LoRA(nn.Module):
    """y = W·x + (alpha / rank) · B·A·x, with W frozen."""

    def __init__(self, base: nn.Linear, rank: int, alpha: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.zeros(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


def test_lora_by_hand_equals_peft_in_output_and_gradients():
    theirs = adapted(3, rank=4, alpha=12, targets=("q_proj", "down_proj"))
    ours = load_base(BASE)
    net = ours.model.requires_grad_(False)
    pairs = []
    for name, module in list(net.named_modules()):
        if name.endswith(("q_proj", "down_proj")):
            hand = LoRA(module, rank=4, alpha=12)
            peft = theirs.model.base_model.model.get_submodule(name)
            hand.A.data.copy_(peft.lora_A["default"].weight)
            hand.B.data.copy_(peft.lora_B["default"].weight)
            parent, _, child = name.rpartition(".")
            setattr(net.get_submodule(parent), child, hand)
            pairs += [
                (hand.A, peft.lora_A["default"].weight),
                (hand.B, peft.lora_B["default"].weight),
            ]
    assert len(pairs) == 16
    outs = [m.model(IDS, labels=IDS) for m in (ours, theirs)]
    assert torch.allclose(outs[0].logits, outs[1].logits, rtol=0, atol=1e-5)
    assert (outs[0].logits - outs[1].logits).abs().max() <= 1e-6 * outs[1].logits.abs().max()
    for out in outs:
        out.loss.backward()
    for hand, peft in pairs:
        assert peft.grad.abs().max() > 0
        assert (hand.grad - peft.grad).abs().max() <= 1e-6 * max(1, float(peft.grad.abs().max()))


# Put on, saved, loaded, switched ----------------------------------------------------------


def test_a_new_adapter_changes_nothing_and_depends_on_its_seed_alone():
    plain = logits(load_base(BASE))
    torch.manual_seed(99)
    expected = torch.rand(1)
    torch.manual_seed(99)
    models = [load_base(BASE) for _ in range(3)]
    counts = [add_lora(m, rank=8, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert torch.equal(torch.rand(1), expected)  # whoever draws outside notices nothing
    assert all(torch.equal(logits(model), plain) for model in models)
    a, b, c = (next(p for n, p in m.model.named_parameters() if "lora_A" in n) for m in models)
    assert torch.equal(a, b) and not torch.equal(a, c)
    from labkit.estimation.memory import estimate

    assert set(counts) == {estimate(BASE, train="lora", rank=8).trainable_parameters}


def test_saved_loaded_switched_and_stacked(saved):
    model = load_base(BASE)
    plain = logits(model)
    for name, (folder, expected) in saved.items():
        assert load_adapter(model, folder, name) == name
        assert torch.allclose(logits(model), expected, atol=1e-5)
    switch_adapters(model)
    assert torch.allclose(logits(model), plain, atol=1e-6)
    switch_adapters(model, "one")
    assert torch.allclose(logits(model), saved["one"][1], atol=1e-5)
    switch_adapters(model, "one", "two")
    stacked = logits(model)
    layer = model.model.base_model.model.model.layers[0].self_attn.q_proj
    delta = layer.get_delta_weight("one") + layer.get_delta_weight("two")
    merge_adapters(model)
    assert torch.allclose(logits(model), stacked, atol=1e-4)
    merged = model.model.model.layers[0].self_attn.q_proj.weight
    base = load_base(BASE).model.model.layers[0].self_attn.q_proj.weight
    assert torch.allclose(merged, base + delta, atol=1e-5)


def test_peft_alone_reads_what_is_saved(saved):
    from peft import PeftModel

    folder, expected = saved["one"]
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == BASE
    net = PeftModel.from_pretrained(load_base(BASE).model, folder).eval()
    with torch.no_grad():
        assert torch.allclose(net(IDS).logits, expected, atol=1e-5)


def test_a_merged_model_is_saved_whole_and_loads_by_its_path(saved, tmp_path):
    model = load_base(BASE)
    load_adapter(model, saved["one"][0])
    merge_adapters(model)
    folder = save_model(model, tmp_path / "merged")
    again = load(folder)
    assert again.chat_template == load(BASE).chat_template
    assert stored_dtype(again.location) == torch.float16
    # Tied weights are stored once, as in the base.
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, load(BASE).location.path)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    assert next(load_base(folder, dtype="auto").model.parameters()).dtype == torch.float16
    assert torch.allclose(logits(again), saved["one"][1], atol=0.05)
    assert save_model(model, folder) == folder  # replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    with pytest.raises(LabError, match="holds something else"):
        save_model(model, tmp_path / "other")


# Refused ----------------------------------------------------------------------------------


def test_modules_that_do_not_exist_are_named_with_those_that_do():
    model = load_base(BASE)
    with pytest.raises(LabError) as caught:
        add_lora(model, targets=("q_proj", "c_attn"))
    assert "c_attn" in caught.value.what and "q_proj" not in caught.value.what
    assert all(name in caught.value.way_out for name in ("q_proj", "o_proj", "down_proj"))
    assert "lm_head" not in caught.value.way_out
    with pytest.raises(LabError, match="has no module 'q_proj'"):
        add_lora(model, targets="q_proj")  # a text, not a list


def test_an_adapter_of_another_base_is_refused_and_the_model_stays_usable(saved):
    model = load_base("pocket/llama2")
    plain = logits(model)
    with pytest.raises(LabError, match=r"was not trained on this 'pocket/llama2'.*qwen2.5"):
        load_adapter(model, saved["one"][0])
    assert torch.equal(logits(model), plain)


def test_without_a_note_of_its_base_the_shapes_decide(saved, tmp_path):
    folder = shutil.copytree(saved["one"][0], tmp_path / "foreign")
    (folder / "labkit.json").unlink()
    model = load_base("pocket/llama2")  # twice the key-value heads
    plain = logits(model)
    with pytest.raises(LabError, match=r"k_proj: 128 instead of 256"):
        load_adapter(model, folder)
    assert torch.equal(logits(model), plain)
    assert load_adapter(load_base(BASE), folder) == "foreign"


def test_damaged_missing_and_taken_are_told(saved, tmp_path):
    model = load_base(BASE)
    folder = shutil.copytree(saved["one"][0], tmp_path / "cut")
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LabError, match="damaged"):
        load_adapter(model, folder)
    with pytest.raises(LabError, match="holds no adapter"):
        load_adapter(model, tmp_path)
    load_adapter(model, saved["one"][0], "mine")
    with pytest.raises(LabError, match="'mine' already"):
        load_adapter(model, saved["two"][0], "mine")
    with pytest.raises(LabError, match="There are: mine"):
        switch_adapters(model, "other")


def test_a_gguf_file_cannot_be_tuned():
    from labkit.gguf.files import gguf_for
    from labkit.hub.resolver import locate

    with pytest.raises(LabError, match="is a GGUF file"):
        load_base(gguf_for(locate(BASE).path))
    with pytest.raises(LabError, match="nf4-double, nf4, int8"):
        load_base(BASE, quant="q4")
