"""What tokenizers make of one text: real ones as we counted them, and any at hand.

Usage: ``{row.name: row.chinese for row in token_counts()}``; ``show_tokens(tokenizer, "你好")``
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .reader import DATA

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenCount:
    """Tokens a real tokenizer makes of each of :func:`sample_texts`, special tokens left out.

    models: those of the catalogue that use it; more may. vocab_size: entries of the tokenizer.
    """

    name: str
    models: tuple[str, ...]
    vocab_size: int
    english: int
    chinese: int
    code: int
    source: str
    as_of: str


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads((DATA / "tokenizers.toml").read_text(encoding="utf-8"))


def sample_texts() -> dict[str, str]:
    """Three short texts: ``english``, ``chinese`` (the same in Chinese), ``code``.

    Usage: ``len(sample_texts()["chinese"])``
    """
    return dict(_file()["texts"])


def token_counts() -> tuple[TokenCount, ...]:
    """What seven real tokenizers make of the sample texts, each with its source.

    Usage: ``min(token_counts(), key=lambda row: row.chinese).name``
    """
    rows = _file()["tokenizer"]
    return tuple(
        TokenCount(**{**row, "models": tuple(row["models"])}, as_of=_file()["as_of"])
        for row in rows
    )


def show_tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[str]:
    """The tokens of a text as a reader sees them; a part of a character is shown by its bytes.

    Usage: ``show_tokens(model.tokenizer, "你好")  # ["你", "好"]`` or ``["<E4>", "<BD>", …]``
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = []
    for id, token in zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True):
        if match := re.fullmatch(r"<0x([0-9A-F]{2})>", token):
            shown.append(f"<{match[1]}>")
            continue
        words = tokenizer.decode([id])
        if "\N{REPLACEMENT CHARACTER}" in words:
            words = "".join(f"<{byte:02X}>" for byte in _bytes(token))
        shown.append(words)
    return shown


def _bytes(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary, which writes each as a character (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    table |= {chr(256 + n): byte for n, byte in enumerate(others)}
    return bytes(table[letter] for letter in token)
