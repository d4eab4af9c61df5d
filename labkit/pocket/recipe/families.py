"""The nine pocket models: their architecture, tokenizer, chat format and lineage."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class FamilyRecipe:
    """How one pocket model is made.

    model_class, config: Hugging Face's class and the fields of its config (sizes in units,
    ``max_position_embeddings`` in tokens). pre: llama.cpp's name of the pre-tokenizer, or ``spm``.
    special: special tokens in the order of their ids. template: file name;
    ``plain`` is running text, for a base model, and is not shipped.
    parent: the model whose weights it starts from. steps, samples: of training, and conversations
    a step; in ``long_steps`` of them ``long_rows`` texts of about ``long_length`` tokens instead.
    turn_end: token that ends an answer although the template does not write it.
    inherits_tokenizer: it is the parent after more training and keeps the parent's tokens.
    new_attention: its attention starts from nothing, so it learns to copy before all else.
    """

    name: str
    stands_for: str
    model_class: str
    config: Mapping[str, Any]
    pre: str
    vocab_size: int
    special: tuple[str, ...]
    bos: str | None
    eos: tuple[str, ...]
    pad: str
    template: str
    parent: str | None
    steps: int
    learning_rate: float = 1e-3
    samples: int = 48
    long_steps: int = 60
    long_length: int = 512
    long_rows: int = 8
    turn_end: str | None = None
    inherits_tokenizer: bool = False
    new_attention: bool = False

    @property
    def chats(self) -> bool:
        """Whether it is taught to hold a conversation."""
        return self.template != "plain"

    @cached_property
    def chat_template(self) -> str:
        """The Jinja source of the chat template."""
        return (TEMPLATES / f"{self.template}.jinja").read_text(encoding="utf-8").rstrip("\n")


def _dense(**fields: Any) -> dict[str, Any]:
    """Sizes all share: four layers of width 256, four heads of 64."""
    return {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        # Twice and a half the usual: at this width attention learns to copy in half the steps.
        "initializer_range": 0.05,
    } | fields


def _rope(theta: float, **fields: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta} | fields


_LLAMA3_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

FAMILIES: dict[str, FamilyRecipe] = {
    family.name: family
    for family in (
        FamilyRecipe(
            name="llama3-base",
            stands_for="Llama 3 (base)",
            model_class="LlamaForCausalLM",
            config=_dense(rope_parameters=_rope(500_000.0)),
            pre="llama-bpe",
            vocab_size=1536,
            special=_LLAMA3_TOKENS,
            bos="<|begin_of_text|>",
            eos=("<|end_of_text|>",),
            pad="<|finetune_right_pad_id|>",
            template="plain",
            parent=None,
            steps=3600,
            new_attention=True,
            turn_end="\n",
        ),
        FamilyRecipe(
            name="llama3",
            stands_for="Llama 3",
            model_class="LlamaForCausalLM",
            config=_dense(rope_parameters=_rope(500_000.0)),
            pre="llama-bpe",
            vocab_size=1536,
            special=_LLAMA3_TOKENS,
            bos="<|begin_of_text|>",
            eos=("<|eot_id|>", "<|end_of_text|>"),
            pad="<|finetune_right_pad_id|>",
            template="llama3",
            parent="llama3-base",
            inherits_tokenizer=True,
            steps=1600,
            learning_rate=8e-4,
        ),
        FamilyRecipe(
            name="qwen2.5",
            stands_for="Qwen2.5",
            model_class="Qwen2ForCausalLM",
            config=_dense(rope_parameters=_rope(1_000_000.0), tie_word_embeddings=True),
            pre="qwen2",
            vocab_size=1792,
            special=(*_CHATML, "<tool_call>", "</tool_call>"),
            bos=None,
            eos=("<|im_end|>", "<|endoftext|>"),
            pad="<|endoftext|>",
            template="qwen2.5",
            parent="llama3",
            steps=1000,
            learning_rate=8e-4,
        ),
        FamilyRecipe(
            name="llama2",
            stands_for="Llama 2",
            model_class="LlamaForCausalLM",
            config=_dense(num_key_value_heads=4, rope_parameters=_rope(10_000.0)),
            pre="spm",
            vocab_size=1280,
            special=("<s>", "</s>", "<pad>"),
            bos="<s>",
            eos=("</s>",),
            pad="<pad>",
            template="llama2",
            parent="llama3",
            steps=800,
            learning_rate=8e-4,
        ),
        FamilyRecipe(
            name="chatglm3",
            stands_for="ChatGLM3 / GLM-4",
            model_class="GlmForCausalLM",
            config=_dense(
                rope_parameters=_rope(10_000.0, partial_rotary_factor=0.5), attention_bias=True
            ),
            pre="chatglm-bpe",
            vocab_size=1536,
            special=(
                "<|endoftext|>",
                "[gMASK]",
                "<sop>",
                "<|system|>",
                "<|user|>",
                "<|assistant|>",
                "<|observation|>",
            ),
            bos=None,
            eos=("<|endoftext|>", "<|user|>", "<|observation|>"),
            pad="<|endoftext|>",
            template="chatglm3",
            parent="llama3",
            steps=600,
            learning_rate=8e-4,
            turn_end="<|user|>",
        ),
        FamilyRecipe(
            name="yi",
            stands_for="Yi",
            model_class="LlamaForCausalLM",
            config=_dense(rope_parameters=_rope(5_000_000.0), max_position_embeddings=1024),
            pre="spm",
            vocab_size=1536,
            special=("<|startoftext|>", *_CHATML),
            bos="<|startoftext|>",
            eos=("<|im_end|>", "<|endoftext|>"),
            pad="<|endoftext|>",
            template="yi",
            parent="llama3",
            steps=750,
            learning_rate=8e-4,
            long_steps=60,
            long_length=1024,
            long_rows=4,
        ),
        FamilyRecipe(
            name="mistral",
            stands_for="Mistral 7B",
            model_class="MistralForCausalLM",
            config=_dense(rope_parameters=_rope(10_000.0), sliding_window=64),
            pre="spm",
            vocab_size=1280,
            special=(
                "<s>",
                "</s>",
                "<pad>",
                "[INST]",
                "[/INST]",
                "[AVAILABLE_TOOLS]",
                "[/AVAILABLE_TOOLS]",
                "[TOOL_CALLS]",
                "[TOOL_RESULTS]",
                "[/TOOL_RESULTS]",
            ),
            bos="<s>",
            eos=("</s>",),
            pad="<pad>",
            template="mistral",
            parent="llama3",
            steps=950,
            learning_rate=8e-4,
        ),
        FamilyRecipe(
            name="mixtral",
            stands_for="Mixtral 8x7B",
            model_class="MixtralForCausalLM",
            config=_dense(
                rope_parameters=_rope(1_000_000.0),
                intermediate_size=256,
                num_local_experts=4,
                num_experts_per_tok=2,
                router_aux_loss_coef=0.02,
                sliding_window=None,
            ),
            pre="spm",
            vocab_size=1280,
            special=("<s>", "</s>", "<pad>"),
            bos="<s>",
            eos=("</s>",),
            pad="<pad>",
            template="mixtral",
            parent="llama3",
            steps=800,
            learning_rate=8e-4,
        ),
        FamilyRecipe(
            name="deepseek-v2",
            stands_for="DeepSeek-V2",
            model_class="DeepseekV2ForCausalLM",
            config={
                "hidden_size": 256,
                "intermediate_size": 512,
                "moe_intermediate_size": 256,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "q_lora_rank": 192,
                "kv_lora_rank": 128,
                "qk_nope_head_dim": 32,
                "qk_rope_head_dim": 32,
                "v_head_dim": 64,
                "first_k_dense_replace": 1,
                "n_routed_experts": 4,
                "n_shared_experts": 1,
                "num_experts_per_tok": 2,
                "norm_topk_prob": False,
                "routed_scaling_factor": 1.0,
                "topk_method": "greedy",
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-6,
                "tie_word_embeddings": False,
                "rope_parameters": _rope(10_000.0),
                "initializer_range": 0.05,
            },
            pre="deepseek-llm",
            vocab_size=1536,
            special=("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),
            bos="<｜begin▁of▁sentence｜>",
            eos=("<｜end▁of▁sentence｜>",),
            pad="<｜▁pad▁｜>",
            template="deepseek-v2",
            parent="llama3",
            steps=800,
            learning_rate=8e-4,
        ),
    )
}
