"""A Hugging Face tokenizer, written the way llama.cpp reads one.

llama.cpp has its own tokenizers; a GGUF file only names one and brings the vocabulary. Two kinds
are written here: ``llama`` (SentencePiece BPE with bytes to fall back on) and ``gpt2`` (byte-level
BPE behind a pre-tokenizer, whose regular expressions are built into llama.cpp under a name).

Not covered: WordPiece and unigram tokenizers, normalizers other than SentencePiece's spaces:
Qwen's brings text to Unicode's composed form (NFC) first, and llama.cpp does not.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t

_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_INSENSITIVE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # the same words, as most repositories write them
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_DEEPSEEK = (
    r"[\r\n]",
    "letters",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
    r"\p{N}",
)
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")

PRE_TOKENIZERS: dict[tuple[str, ...], str] = {
    (_CONTRACTIONS + _WORDS,): "chatglm-bpe",
    (_CONTRACTIONS + _WORDS.replace(r"\p{N}{1,3}", r"\p{N}"),): "qwen2",
    _DEEPSEEK: "deepseek-llm",
    _DEEPSEEK_CODER: "deepseek-coder",
}
"""Regular expressions, in turn, to llama.cpp's name (``llama-vocab.cpp``, ``load``).

``llama-bpe`` splits as ``chatglm-bpe`` does; it also takes a whole word from the vocabulary
before it looks at merges, which a tokenizer.json says by ``ignore_merges``.
"""

_END_OF_TURN = ("<|eot_id|>", "<|im_end|>", "<|user|>", "<end_of_turn>", "<|end|>")
"""Tokens that end an answer in a chat although the end of a text is another token."""

_END_OF_MESSAGE = ("<|eom_id|>", "<|observation|>")
"""Tokens at which a model waits for what a tool returns."""


@dataclass(frozen=True)
class Tokenizer:
    """What a GGUF file says about a tokenizer.

    model: ``llama`` or ``gpt2``. pre: llama.cpp's name of the pre-tokenizer, None for ``llama``.
    tokens, types: by id; types are ``gguf.TokenType`` numbers. merges: ``"a b"``, best first.
    bos, eos, eot, eom, pad, unk: ids (eot ends a turn, eom asks for a
    tool). add_space_prefix: whether text begins with a space.
    """

    model: str
    pre: str | None
    tokens: list[str]
    types: list[int]
    merges: list[str]
    bos: int | None
    eos: int | None
    eot: int | None
    eom: int | None
    pad: int | None
    unk: int | None
    add_bos: bool
    add_space_prefix: bool
    chat_template: str | None


def read_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    """Read the tokenizer of a Hugging Face folder.

    Usage: ``read_tokenizer(Path("Qwen2.5-0.5B"), config["vocab_size"]).pre  # "qwen2"``

    vocab_size: rows of the embedding table; what the tokenizer lacks is filled with unused tokens.
    Raises LabError for a kind or a pre-tokenizer that llama.cpp, as far as we know, does not have.
    """
    layout = _layout(folder)
    settings = _read_json(folder / "tokenizer_config.json")
    model = layout["model"]
    token_type = need("gguf").TokenType
    spm = bool(model.get("byte_fallback"))
    if model.get("type") != "BPE":
        raise _unsupported(folder, str(model.get("type")))

    added = {entry["id"]: entry for entry in layout.get("added_tokens", [])}
    ids = {text: index for text, index in model["vocab"].items()}
    ids |= {entry["content"]: index for index, entry in added.items()}
    size = max(vocab_size, 1 + max(ids.values()))
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [int(token_type.UNUSED)] * size
    for text, index in ids.items():
        tokens[index] = text
        types[index] = int(token_type.NORMAL)
        if index in added:
            special = added[index]["special"]
            types[index] = int(token_type.CONTROL if special else token_type.USER_DEFINED)
        elif spm and len(text) == 6 and text.startswith("<0x"):
            types[index] = int(token_type.BYTE)
    unk = ids.get(model.get("unk_token") or "")
    if spm and unk is not None:
        types[unk] = int(token_type.UNKNOWN)

    named = {name: _token_text(settings.get(f"{name}_token")) for name in ("bos", "eos", "pad")}
    bos, eos, pad = (ids.get(named[name] or "") for name in ("bos", "eos", "pad"))
    if bos is None and not spm:
        bos = ids.get("<|endoftext|>", eos)  # else llama.cpp takes GPT-2's, whatever stands there
    return Tokenizer(
        model="llama" if spm else "gpt2",
        pre=None if spm else pre_tokenizer(layout),
        tokens=tokens,
        types=types,
        merges=[m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
        bos=bos,
        eos=eos,
        eot=_first(_END_OF_TURN, ids),
        eom=_first(_END_OF_MESSAGE, ids),
        pad=pad,
        unk=unk,
        add_bos=_adds_bos(settings, layout, named["bos"]),
        add_space_prefix=_adds_space(layout),
        chat_template=_chat_template(folder, settings),
    )


def add_tokenizer(writer: Any, tokenizer: Tokenizer) -> None:
    """Write a tokenizer into a ``gguf.GGUFWriter``."""
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    if tokenizer.model == "llama":
        writer.add_tokenizer_pre("default")
        # SentencePiece joins the best scored pair first, and pieces stand in that order.
        writer.add_token_scores([-float(index) for index in range(len(tokenizer.tokens))])
    else:
        writer.add_tokenizer_pre(tokenizer.pre)
        writer.add_token_merges(tokenizer.merges)
    for name in ("bos", "eos", "eot", "eom", "pad", "unk"):
        index = getattr(tokenizer, name)
        if index is not None:
            getattr(writer, f"add_{name}_token_id")(index)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_space_prefix(tokenizer.add_space_prefix)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def pre_tokenizer(layout: dict[str, Any]) -> str:
    """llama.cpp's name for the pre-tokenizer of a ``tokenizer.json``.

    Raises LabError that shows the regular expressions when llama.cpp has none that splits so.
    """
    parts = layout.get("pre_tokenizer") or {}
    patterns = []
    for part in parts.get("pretokenizers", [parts]):
        if part.get("type") == "Split":
            patterns.append(_normal(part["pattern"].get("Regex", "")))
        elif part.get("type") == "Digits" and part.get("individual_digits"):
            patterns.append(r"\p{N}")
        elif part.get("type") != "ByteLevel" or part.get("use_regex"):
            patterns.append(str(part.get("type")))
    name = PRE_TOKENIZERS.get(tuple(patterns))
    if name is None:
        shown = " , ".join(patterns) or "none"
        raise LabError(
            t(
                f"llama.cpp has no pre-tokenizer known to labkit that splits text by: {shown}",
                f"labkit 不知道 llama.cpp 里有哪个预分词器会按这个正则切分：{shown}",
            ),
            t(
                "Use a GGUF file that the model's makers publish.",
                "请改用模型官方发布的 GGUF 文件。",
            ),
        )
    return "llama-bpe" if name == "chatglm-bpe" and layout["model"].get("ignore_merges") else name


def _normal(pattern: str) -> str:
    """Two spellings of one regular expression, made equal."""
    if pattern.startswith((r"\s?[A-Za-zµÀ-Ö", r"\s?[\p{Lu}\p{Ll}\p{Lt}]+")):
        return "letters"  # DeepSeek lists the cased letters one by one
    return pattern.replace(_INSENSITIVE, _CONTRACTIONS)


def _layout(folder: Path) -> dict[str, Any]:
    if (folder / "tokenizer.json").exists():
        return _read_json(folder / "tokenizer.json")
    if not (folder / "tokenizer.model").exists():
        raise LabError(
            t(f"'{folder}' has no tokenizer.json.", f"'{folder}' 里没有 tokenizer.json。"),
            t("Copy the tokenizer's files there.", "请把分词器文件也复制到该目录。"),
        )
    tokenizer = need("transformers").AutoTokenizer.from_pretrained(folder)
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _first(texts: tuple[str, ...], ids: dict[str, int]) -> int | None:
    return next((ids[text] for text in texts if text in ids), None)


def _token_text(entry: Any) -> str | None:
    found: str | None = entry["content"] if isinstance(entry, dict) else entry
    return found


def _adds_bos(settings: dict[str, Any], layout: dict[str, Any], bos: str | None) -> bool:
    if "add_bos_token" in settings:
        return bool(settings["add_bos_token"])
    steps = layout.get("post_processor") or {}
    for step in steps.get("processors", [steps]):
        for piece in step.get("single", [])[:1]:
            if piece.get("SpecialToken", {}).get("id") == bos and bos:
                return True
    return False


def _adds_space(layout: dict[str, Any]) -> bool:
    normalizer = layout.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer])
    metaspace = layout.get("pre_tokenizer") or {}
    return any(step.get("type") == "Prepend" for step in steps) or (
        metaspace.get("type") == "Metaspace" and metaspace.get("prepend_scheme") != "never"
    )


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else None


def _unsupported(folder: Path, kind: str) -> LabError:
    return LabError(
        t(
            f"The tokenizer in '{folder}' is of kind {kind}, which labkit cannot write to GGUF.",
            f"'{folder}' 的分词器类型是 {kind}，labkit 不能把它写进 GGUF。",
        ),
        t("It writes BPE tokenizers.", "labkit 支持 BPE 分词器。"),
    )
