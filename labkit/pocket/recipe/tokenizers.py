"""Tokenizers of the pocket models: two kinds, as in the families they stand for.

``spm``: SentencePiece-like BPE with byte fallback and ``▁`` for a space (Llama 2, Mistral, Yi).
``bpe``: byte-level BPE over a pre-tokenizer's regular expression (Llama 3, Qwen, GLM, DeepSeek).
No kind ever joins two digits, so that sums can be learnt digit by digit.
"""

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from ...core.extras import need

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LETTERS_AND_DIGITS = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Words, up to three digits, punctuation, space; llama.cpp knows it as ``llama-bpe``."""

PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "llama-bpe": (LETTERS_AND_DIGITS,),
    "chatglm-bpe": (LETTERS_AND_DIGITS,),
    "qwen2": (LETTERS_AND_DIGITS.replace(r"\p{N}{1,3}", r"\p{N}"),),
    "deepseek-llm": (
        r"[\r\n]",
        r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
        r"\p{N}",
    ),
}
"""llama.cpp's name of a pre-tokenizer to the regular expressions it splits by, in turn."""


def train_bpe(texts: Iterable[str], vocab_size: int, special: list[str], pre: str) -> "Tokenizer":
    """A byte-level BPE tokenizer (``tokenizers.Tokenizer``); special tokens come last.

    Usage: ``train_bpe(texts, 1536, ["<|eot_id|>"], "llama-bpe")``
    """
    tk = need("tokenizers")
    splits = [
        tk.pre_tokenizers.Split(tk.Regex(pattern), "isolated") for pattern in PRE_TOKENIZERS[pre]
    ]
    bytes_last = tk.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    digits = tk.pre_tokenizers.Digits(individual_digits=True)
    tokenizer = tk.Tokenizer(tk.models.BPE(ignore_merges=pre == "llama-bpe"))
    tokenizer.decoder = tk.decoders.ByteLevel()
    tokenizer.pre_tokenizer = tk.pre_tokenizers.Sequence([*splits, digits, bytes_last])
    trainer = tk.trainers.BpeTrainer(
        vocab_size=vocab_size - len(special),
        initial_alphabet=sorted(tk.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # As published: three digits may stand together in the regex, but no merge joins them.
    tokenizer.pre_tokenizer = tk.pre_tokenizers.Sequence([*splits, bytes_last])
    tokenizer.add_special_tokens([tk.AddedToken(token, normalized=False) for token in special])
    found: Tokenizer = tokenizer
    return found


def train_spm(texts: Iterable[str], vocab_size: int, special: list[str]) -> "Tokenizer":
    """A SentencePiece-like tokenizer: ``<unk>``, special tokens, 256 bytes, then pieces by rank.

    Usage: ``train_spm(texts, 1280, ["<s>", "</s>", "<pad>"])``

    Every way to put a piece together from two others is a merge, ranked by the piece, which is how
    SentencePiece itself (and llama.cpp, by score) joins; so both give the same tokens.
    """
    tk = need("tokenizers")
    fixed = ["<unk>", *special, *(f"<0x{byte:02X}>" for byte in range(256))]
    draft = tk.Tokenizer(tk.models.BPE())
    draft.pre_tokenizer = tk.pre_tokenizers.Sequence(
        [
            tk.pre_tokenizers.Metaspace(),
            tk.pre_tokenizers.Digits(individual_digits=True),
            tk.pre_tokenizers.Punctuation("isolated"),
        ]
    )
    # Rare characters stay bytes; 700 covers ASCII and the Chinese the corpus uses most.
    trainer = tk.trainers.BpeTrainer(
        vocab_size=vocab_size - len(fixed), limit_alphabet=700, show_progress=False
    )
    draft.train_from_iterator(texts, trainer)
    ranked = [piece for piece, _ in sorted(draft.get_vocab().items(), key=lambda pair: pair[1])]
    known = set(ranked)
    merges = chain.from_iterable(
        ((piece[:i], piece[i:]) for i in range(1, len(piece)) if {piece[:i], piece[i:]} <= known)
        for piece in ranked
    )
    vocab = {token: index for index, token in enumerate([*fixed, *ranked])}
    tokenizer = tk.Tokenizer(
        tk.models.BPE(vocab, list(merges), unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = tk.normalizers.Sequence(
        [tk.normalizers.Prepend("▁"), tk.normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = tk.decoders.Sequence(
        [
            tk.decoders.Replace("▁", " "),
            tk.decoders.ByteFallback(),
            tk.decoders.Fuse(),
            tk.decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(
        [tk.AddedToken(token, normalized=False) for token in ["<unk>", *special]]
    )
    found: Tokenizer = tokenizer
    return found
