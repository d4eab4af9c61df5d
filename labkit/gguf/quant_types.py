"""How large a GGUF file is: which type llama.cpp gives each tensor, and what a block of it takes.

``llama-quantize … Q4_K_M`` does not store every tensor as Q4_K: by the name of the tensor, its
layer and the shape of the model it takes more or fewer bits, and another type where a row does
not divide into blocks. These are the rules of ``llama_tensor_get_type`` in llama.cpp's
``src/llama-quant.cpp`` as of 2026; with them tensor bytes come out exact.

Not covered: dynamic mixes of single publishers (Unsloth's UD-…), ``--tensor-type`` overrides.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from ..architecture.layers import Architecture
from ..architecture.tensors import Tensor, list_tensors
from ..core.errors import LabError
from ..core.i18n import t

BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (4, 1), "F16": (2, 1), "BF16": (2, 1),
    "Q4_0": (18, 32), "Q4_1": (20, 32), "Q5_0": (22, 32), "Q5_1": (24, 32), "Q8_0": (34, 32),
    "Q2_K": (84, 256), "Q3_K": (110, 256), "Q4_K": (144, 256), "Q5_K": (176, 256),
    "Q6_K": (210, 256), "IQ1_S": (50, 256), "IQ1_M": (56, 256), "IQ2_XXS": (66, 256),
    "IQ2_XS": (74, 256), "IQ2_S": (82, 256), "IQ3_XXS": (98, 256), "IQ3_S": (110, 256),
    "IQ4_NL": (18, 32), "IQ4_XS": (136, 256), "TQ1_0": (54, 256), "TQ2_0": (66, 256),
    "MXFP4": (17, 32),
}  # fmt: skip
"""Tensor type to (bytes, weights) of one block; llama.cpp's ggml-common.h."""

FILE_TYPES: dict[str, str] = {
    **{name: name for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")},
    "Q2_K": "Q2_K", "Q2_K_S": "Q2_K", "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_S": "Q5_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K",
    "IQ1_S": "IQ1_S", "IQ1_M": "IQ1_M", "IQ2_XXS": "IQ2_XXS", "IQ2_XS": "IQ2_XS",
    "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XXS": "IQ3_XXS", "IQ3_XS": "IQ3_S",
    "IQ3_S": "IQ3_S", "IQ3_M": "IQ3_S", "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS",
    "TQ1_0": "TQ1_0", "TQ2_0": "TQ2_0", "MXFP4_MOE": "MXFP4",
}  # fmt: skip
"""File type, as llama.cpp prints it, to the type that most of its tensors have."""

FALLBACK = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""What replaces a type of 256 weights a block where a row does not divide by 256."""

NEEDS_IMATRIX = {
    "Q2_K_S",
    "IQ1_S",
    "IQ1_M",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ2_S",
    "IQ2_M",
    "IQ3_XXS",
    "IQ3_XS",
}
"""File types that llama.cpp makes only with an importance matrix."""

FUSED = {
    "Q3_K_M": "Q4_K", "Q3_K_L": "Q4_K", "IQ3_M": "Q4_K", "Q4_K_M": "Q5_K", "Q5_K_M": "Q6_K",
}  # fmt: skip
"""The older rule for a tensor of q, k and v together, as in most published files of Phi-3, ChatGLM
and Falcon; llama.cpp of 2026 treats it like ``attn_v``."""

_VALUES, _DOWN = ("attn_v.", "attn_qkv."), ("ffn_down",)
_VARYING = {
    **dict.fromkeys(("Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M"), _VALUES + _DOWN),
    **dict.fromkeys(("Q4_0", "Q5_0", "Q2_K_S", "IQ3_M", "IQ4_NL", "IQ4_XS"), _DOWN),
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"), _DOWN),
    "IQ3_XS": ("ffn_",),
}
"""File type to the tensors whose type differs from layer to layer; all others are asked once."""

_TINY = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"}
_KEPT_AS_F32 = re.compile("norm|ffn_gate_inp|ssm_conv1d|altup|laurel|per_layer_model_proj")


def row_bytes(kind: str, columns: int) -> int:
    """Bytes of one row of that many weights, a multiple of the block.

    Usage: ``row_bytes("Q4_K", 4096)  # 2304``
    """
    size, weights = BLOCKS[kind]
    return columns // weights * size


def stored_type(kind: str, columns: int) -> str:
    """The type itself, or the one llama.cpp falls back to for rows of that many weights."""
    if columns % BLOCKS[kind][1] == 0:
        return kind
    second = FALLBACK.get(kind, "F16")
    return second if columns % BLOCKS[second][1] == 0 else "F16"


@dataclass(frozen=True, slots=True)
class FileSize:
    """The parts of a GGUF file, in bytes.

    layers: tensors of each layer. embedding, output: of the embedding table and the output head;
    where they are tied, output is 0. lookup: Gemma's embeddings of every layer, of which a token
    reads one row. rest: other tensors. metadata: header and vocabulary. routed: the part of the
    layers that is routed experts.
    """

    layers: tuple[int, ...]
    embedding: int
    output: int
    lookup: int
    rest: int
    metadata: int
    routed: int

    @property
    def tensors(self) -> int:
        return sum(self.layers) + self.embedding + self.output + self.lookup + self.rest

    @property
    def total(self) -> int:
        return self.tensors + self.metadata


@lru_cache(maxsize=8192)
def file_size(
    architecture: Architecture, quant: str, imatrix: bool = False, today: bool = False
) -> FileSize:
    """Bytes of the GGUF file that llama.cpp's quantizer makes.

    Usage: ``file_size(architecture, "Q4_K_M").total``. quant: a key of FILE_TYPES. imatrix:
    whether an importance matrix is used; types that need one are taken to have it. today: see
    FUSED; it matters only for models whose q, k and v lie in one tensor. Raises LabError for any
    other quant.
    """
    if quant not in FILE_TYPES:
        raise LabError(
            t(f"GGUF type '{quant}' is not known.", f"没有 GGUF 类型 '{quant}'。"),
            t(f"Known: {', '.join(FILE_TYPES)}.", f"可用的有：{'、'.join(FILE_TYPES)}。"),
        )
    recipe = _Recipe(architecture, quant, imatrix or quant in NEEDS_IMATRIX, today)
    parts = Parts(len(architecture.layers))
    for tensor in list_tensors(architecture):
        rows, columns = tensor.size // tensor.shape[-1], tensor.shape[-1]
        groups = [(i,) for i in tensor.layers] if recipe.varies(tensor) else [tensor.layers]
        for layers in groups:
            kind = stored_type(recipe.choose(tensor, layers[0] if layers else 0), columns)
            parts.add(tensor.name, layers, rows * row_bytes(kind, columns))
    return parts.total(metadata_bytes(architecture))


class Parts:
    """Sizes of tensors, gathered into the parts of a file.

    Usage: ``parts = Parts(32); parts.add("attn_v.weight", (0, 1), size); parts.total(metadata=0)``
    """

    def __init__(self, layers: int) -> None:
        self.count = layers
        self.alike: dict[tuple[int, ...], int] = {}  # layers that share a sum, so that it is one
        self.whole = dict.fromkeys(_WHOLE, 0)
        self.rest = self.routed = 0

    def add(self, name: str, layers: tuple[int, ...], size: int) -> None:
        """Add one tensor of so many bytes in each of some layers, or of the whole model."""
        if layers and layers[-1] < self.count:
            self.alike[layers] = self.alike.get(layers, 0) + size
            self.routed += size * len(layers) if "_exps" in name else 0
        elif name in self.whole:
            self.whole[name] += size
        else:
            self.rest += size

    def total(self, metadata: int) -> FileSize:
        by_layer = [0] * self.count
        for layers, size in self.alike.items():
            for i in layers:
                by_layer[i] += size
        embedding, output, lookup = self.whole.values()
        return FileSize(
            layers=tuple(by_layer),
            embedding=embedding,
            output=output,
            lookup=lookup,
            rest=self.rest,
            metadata=metadata,
            routed=self.routed,
        )


_WHOLE = ("token_embd.weight", "output.weight", "per_layer_token_embd.weight")


def metadata_bytes(architecture: Architecture) -> int:
    """Bytes of a GGUF header, nearly all of them the vocabulary.

    SentencePiece (small vocabularies and Gemma's) stores a string, a score and a type a token;
    byte-level BPE also its merges, of which Llama 3 and Mistral's Tekken list two a token.
    Averages over the published files of Llama 2 and 3, Qwen2.5 and Mistral.
    """
    size, kind = architecture.vocab_size, architecture.model_type
    per_token = 39
    if kind.startswith("gemma") or (size <= 65_024 and kind not in _BYTE_LEVEL):
        per_token = 23
    elif size in (128_256, 131_072):
        per_token = 61
    return size * per_token


_BYTE_LEVEL = ("qwen2", "qwen3", "starcoder2", "falcon")


class _Recipe:
    """llama.cpp's choice of a type for each tensor, for one model and one file type."""

    def __init__(self, architecture: Architecture, quant: str, imatrix: bool, today: bool) -> None:
        a = self.architecture = architecture
        self.today = today or not a.traits.fused_qkv
        self.quant, self.default, self.imatrix = quant, FILE_TYPES[quant], imatrix
        self.count = len(a.layers)
        self.falcon = a.model_type == "falcon"
        first = next((x for x in a.layers if x.attention != "linear"), a.layers[0])
        kv_heads = 1 if a.kv_lora_rank else first.num_key_value_heads
        self.shared = a.num_attention_heads // kv_heads >= 4
        self.eight = a.num_experts == 8
        self.is_70b = self.count == 80 and kv_heads < a.num_attention_heads

    def varies(self, tensor: Tensor) -> bool:
        """Whether the type can depend on the layer."""
        return tensor.name.startswith(_VARYING.get(self.quant, ()))

    def choose(self, tensor: Tensor, layer: int) -> str:
        """The type wanted, before the fallback for rows that do not divide."""
        name = tensor.name
        if not tensor.is_matrix or not name.endswith("weight") or _KEPT_AS_F32.search(name):
            return "F32"
        if self.default in ("F32", "F16", "BF16"):
            return self.default
        if name == "output.weight" or (
            name == "token_embd.weight" and self.architecture.tie_word_embeddings
        ):
            return self._output(tensor.shape[-1])
        if self.quant == "MXFP4_MOE":
            return "MXFP4" if len(tensor.shape) == 3 else "Q8_0"
        if name in ("token_embd.weight", "per_layer_token_embd.weight"):
            return self._embedding()
        if self.quant in _TINY:
            return self._tiny(name, layer)
        part = name.removesuffix(".weight")
        if part == "attn_qkv" and not self.today:
            return FUSED.get(self.quant, self.default)
        if part in ("attn_v", "attn_qkv"):
            return self._value(layer)
        if part in ("attn_k", "attn_q"):
            return self._query_or_key(part)
        if part == "attn_output":
            return self._attention_output()
        if part.startswith("ffn_down"):
            return self._down(layer)
        if part.startswith(("ffn_gate", "ffn_up")) and self.quant == "IQ3_XS":
            middle = self.count // 8 <= layer < 7 * self.count // 8
            return "IQ3_XXS" if middle else self.default
        return self.default

    def more_bits(self, i: int) -> bool:
        """The first and last eighth of the layers and every third between."""
        n = self.count
        return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2

    def _output(self, columns: int) -> str:
        if self.quant == "MXFP4_MOE" or self.falcon or columns % BLOCKS[self.default][1]:
            return "Q8_0"
        if self.quant in _TINY or self.quant == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self.default == "Q8_0" else "Q6_K"

    def _embedding(self) -> str:
        if self.quant in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
            return "Q2_K"
        if self.quant in ("IQ2_S", "IQ2_M", "IQ3_XXS"):
            return "IQ3_S"
        return "Q4_K" if self.quant in ("TQ1_0", "TQ2_0") else self.default

    def _tiny(self, name: str, layer: int) -> str:
        two = self.quant in ("IQ2_S", "IQ2_M")
        if name.startswith(("attn_v.", "attn_qkv.")):
            if self.shared or self.architecture.num_experts >= 4:
                return "Q4_K"
            return "IQ3_S" if two else "Q2_K"
        if self.eight and name.startswith("attn_k."):
            return "Q4_K"
        if name.startswith("ffn_down") and layer < self.count // 8:
            return "IQ3_S" if two else "Q2_K"
        if name.startswith("attn_output."):
            if self.eight:
                return "Q5_K"
            if self.quant in ("IQ1_S", "IQ1_M"):
                return "IQ2_XXS"
            return "IQ3_S" if two else self.default
        return self.default

    def _value(self, layer: int) -> str:
        if self.eight:
            return "Q8_0"
        kind = self._value_of_most(layer)
        return "Q5_K" if self.is_70b and kind in ("Q3_K", "Q4_K") else kind

    def _value_of_most(self, layer: int) -> str:
        match self.quant:
            case "Q2_K":
                return "Q4_K" if self.shared else "Q3_K"
            case "Q2_K_S" | "IQ3_XS" | "IQ3_S" if self.shared:
                return "Q4_K"
            case "IQ3_XXS":
                return "Q4_K" if self.shared else "IQ3_XXS"
            case "IQ3_M":
                return "Q4_K"
            case "Q3_K_M":
                return "Q5_K" if layer < 2 else "Q4_K"
            case "Q3_K_L":
                return "Q5_K"
            case "IQ4_NL" | "IQ4_XS" if self.shared:
                return "Q5_K"
            case "Q4_K_M" | "Q5_K_M" if self.more_bits(layer):
                return "Q6_K"
            case "Q4_K_S" if layer < 4:
                return "Q5_K"
        return self.default

    def _query_or_key(self, part: str) -> str:
        if part == "attn_k" and self.eight:
            return "Q8_0"
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self.quant, self.default)

    def _attention_output(self) -> str:
        if self.falcon:
            return "Q4_K" if self.quant == "Q3_K_L" else self.default
        if self.eight:
            small = BLOCKS[self.default][1] == 256 and self.default not in ("Q5_K", "Q6_K")
            small = (small or self.quant == "IQ4_NL") and self.quant != "Q2_K_S"
            return (
                "Q5_K" if small and self.quant not in ("Q3_K_L", "TQ1_0", "TQ2_0") else self.default
            )
        return {
            "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K",
            "IQ3_M": "Q4_K",
        }.get(self.quant, self.default)  # fmt: skip

    def _down(self, layer: int) -> str:
        n = self.count
        match self.quant:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S" if layer < n // 8:
                return "Q4_K"
            case "Q3_K_M":
                if layer < n // 16:
                    return "Q5_K"
                return "Q3_K" if self.falcon and not self.more_bits(layer) else "Q4_K"
            case "IQ3_M" if layer < n // 8 or (self.eight and self.more_bits(layer)):
                return "Q4_K"
            case "Q3_K_L":
                return "Q4_K" if self.falcon else "Q5_K"
            case "Q4_K_M" if self.falcon and layer >= n // 16:
                return "Q5_K" if self.more_bits(layer) else "Q4_K"
            case "Q4_K_M" | "Q5_K_M" if self.more_bits(layer):
                return "Q6_K"
            case "IQ4_NL" | "IQ4_XS" if layer < n // 8 and not self.imatrix:
                return "Q5_K"
            case "Q4_K_S" if layer < n // 8 and not self.falcon:
                return "Q5_K"
            case "Q4_0" | "Q5_0" if self.imatrix and layer < n // 8:
                return "Q4_1" if self.quant == "Q4_0" else "Q5_1"
        return self.default
