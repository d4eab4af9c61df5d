"""The pocket models as both engines see them, for tests that compare the two."""

from functools import cache
from pathlib import Path
from typing import Any

from labkit import pocket
from labkit.gguf.files import gguf_for

TEXTS = (
    "Hello world",
    "  two spaces before and after  ",
    " ",
    "\n",
    "line\n\n  indented\n\tand a tab\r\n",
    "你好，世界！“引号”——……　全角空格",
    "Qwen2.5有哪些尺寸？",
    "12+34=46, 1234567 and 3.14",
    "Ａ１２ Ⅷ½² १२३",
    "😀👍🏽 👩‍👩‍👧 ❤️",
    "I'm, you'RE, IT'S",
    'def f(x):\n    return {"a": x**2}\n',
    "Ω Ж ß ñ é 한국어 العربية ไทย 𝒜𐐀 ǅ",
    "\u200b\u200d\ufeff\u00a0\u2028\x85\x1c",
    "▁ <0x0A> Ġ Ċ",
)
"""Chinese, English, digits, emoji, white space of all kinds, and what tokenizers trip over."""


@cache
def tokenizer(name: str) -> Any:
    """The tokenizer as Transformers loads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(pocket.folder(name))


@cache
def vocabulary(path: Path) -> Any:
    """A GGUF file as llama.cpp loads it, without the weights."""
    from llama_cpp import Llama

    return Llama(str(path), vocab_only=True, verbose=False)


def transformers_ids(name: str, text: str, special: bool) -> list[int]:
    """special: whether the text of a special token becomes that token."""
    encoded = tokenizer(name)(text, add_special_tokens=False, split_special_tokens=not special)
    return list(encoded["input_ids"])


def llama_cpp_ids(name: str, text: str, special: bool) -> list[int]:
    vocab = vocabulary(gguf_for(pocket.folder(name), "F32"))
    return list(vocab.tokenize(text.encode(), add_bos=False, special=special))


def transformers_logits(folder: Path, ids: list[int]) -> Any:
    """Logits in float32, of shape (tokens, vocabulary)."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def llama_cpp_logits(path: Path, ids: list[int]) -> Any:
    """The same by llama.cpp, whose cache is here in float32 too."""
    import numpy as np
    from llama_cpp import Llama

    model = Llama(
        str(path), n_ctx=512, logits_all=True, type_k=0, type_v=0, n_threads=1, verbose=False
    )
    model.eval(ids)
    return np.array(model.scores[: len(ids)])
