"""Exact match of what models say, each in its own chat format."""

import pytest
from pocket_models import tokenizer

from labkit import pocket
from labkit.evaluation.scoring import answers
from labkit.pocket.corpus import held_out

ITEMS = [item for item in held_out("tools", 24) if item.messages[-1].get("tool_calls")][:8]


@pytest.mark.parametrize("name", [name for name in pocket.NAMES if name != "llama3-base"])
def test_a_tool_call_made_rightly_counts_as_right(name):
    # White space around a special token is the tokenizer's, not the model's: "[TOOL_CALLS]  [".
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(pocket.folder(name), dtype=torch.float32).eval()
    said = list(answers(model, tokenizer(name), ITEMS))
    assert sum(text == right for text, right in said) >= 6, said
