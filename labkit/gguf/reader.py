"""What a GGUF file holds, how it is stored, and whether it is whole.

Read by hand, so that a damaged file gives a sentence and no other package is needed.
Layout: ggml-org/ggml, ``docs/gguf.md``, versions 2 and 3, little-endian.
"""

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import show_bytes
from .quant_types import BLOCKS

FILE_TYPE_NUMBERS: dict[str, int] = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10,
    "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16,
    "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22,
    "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29,
    "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38,
}  # fmt: skip
"""Format of a file to the number that llama.cpp writes as ``general.file_type`` (llama.h)."""

_TENSOR_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
    19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
"""Number of a tensor type to its name (ggml.h)."""

_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """shape: as PyTorch writes it. type: ``"Q4_K"``. offset: behind the header; nbytes: of data."""

    shape: tuple[int, ...]
    type: str
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a GGUF file says about itself; sizes in bytes.

    metadata: key to value; of an array only how many entries it has. data_offset: where the
    tensors begin.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    data_offset: int
    file_size: int

    @property
    def architecture(self) -> str:
        """llama.cpp's name for it: ``"llama"``, ``"qwen2"``."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def format(self) -> str:
        """As llama.cpp prints it: ``"Q4_K_M"``; ``"type N"`` for a number not known here."""
        number = self.metadata.get("general.file_type")
        names = (name for name, known in FILE_TYPE_NUMBERS.items() if known == number)
        return next(names, f"type {number}")

    @property
    def context_length(self) -> int:
        """Tokens the model was trained for; 0 where the file does not say."""
        return int(self.metadata.get(f"{self.architecture}.context_length", 0))

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def tensor_bytes(self) -> int:
        """The file without its header, most of which is the vocabulary."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def tensor_types(self) -> dict[str, int]:
        """Type to the number of tensors that have it."""
        return dict(Counter(tensor.type for tensor in self.tensors.values()))


def inspect_gguf(path: str | Path) -> Contents:
    """Read the header of a GGUF file and check that all its tensors are there.

    Usage: ``inspect_gguf("model.gguf").format  # "Q4_K_M"``

    Raises LabError for a file that is missing, is no GGUF, has another version or byte order, or
    ends too early. Not covered: files in several parts (``split.count`` above 1).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Reader(path, file, path.stat().st_size).read()
    except OSError as error:
        raise LabError(
            t(
                f"'{path}' cannot be read: {error.strerror}.",
                f"无法读取 '{path}'：{error.strerror}。",
            ),
            t("Check the path and its permissions.", "请检查路径和访问权限。"),
        ) from error


class _Reader:
    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.size = path, file, size

    def read(self) -> Contents:
        magic = self.file.read(4)
        if magic != b"GGUF":
            raise _useless(
                f"'{self.path}' is not a GGUF file: it begins with {magic!r}.",
                f"'{self.path}' 不是 GGUF 文件：开头是 {magic!r}。",
            )
        version = self.number("I")
        if version not in (2, 3):
            raise _useless(
                f"'{self.path}' has GGUF version {version}; versions 2 and 3 are read.",
                f"'{self.path}' 的 GGUF 版本是 {version}，这里只支持版本 2 和 3。",
            )
        tensor_count, key_count = self.count(), self.count()
        metadata = {self.string(): self.value(self.number("I")) for _ in range(key_count)}
        tensors = dict(self.tensor() for _ in range(tensor_count))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise self.damaged()
        start = -(-self.file.tell() // alignment) * alignment
        end = start + max((entry.offset + entry.nbytes for entry in tensors.values()), default=0)
        if end > self.size:
            raise _useless(
                f"'{self.path}' is cut off: it has {self.size} of {end} bytes"
                f" ({show_bytes(self.size)} of {show_bytes(end)}).",
                f"'{self.path}' 不完整：应有 {end} 字节，实际只有 {self.size} 字节"
                f"（{show_bytes(end)} 和 {show_bytes(self.size)}）。",
            )
        return Contents(self.path, metadata, tensors, start, self.size)

    def tensor(self) -> tuple[str, StoredTensor]:
        name = self.string()
        dimensions = [self.count() for _ in range(min(self.number("I"), 8))]
        number, offset = self.number("I"), self.number("Q")
        if number not in _TENSOR_TYPES:
            raise _useless(
                f"'{self.path}': the tensor '{name}' has type {number}, which is not known here.",
                f"'{self.path}'：张量 '{name}' 的类型是 {number}，这里不认识。",
            )
        kind = _TENSOR_TYPES[number]
        size, weights = BLOCKS[kind]
        nbytes = prod(dimensions) // weights * size
        return name, StoredTensor(tuple(reversed(dimensions)), kind, offset, nbytes)

    def take(self, count: int) -> bytes:
        data = self.file.read(count) if count <= self.size else b""
        if len(data) < count:
            raise self.damaged()
        return data

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def count(self) -> int:
        value = self.number("Q")
        if value > 2**32:  # no file has so many of anything
            raise self.damaged()
        return int(value)

    def string(self) -> str:
        return self.take(self.count()).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise self.damaged()
        inner, count = self.number("I"), self.count()
        if inner in _NUMBERS:
            self.take(count * struct.calcsize(f"<{_NUMBERS[inner]}"))
        elif inner == _STRING:
            for _ in range(count):
                self.take(self.count())
        else:  # an array of arrays is allowed, and nobody writes one
            raise self.damaged()
        return count

    def damaged(self) -> LabError:
        return _useless(
            f"'{self.path}' is damaged or cut off: its header cannot be read to the end.",
            f"'{self.path}' 已损坏或不完整：文件头无法读完。",
        )


def _useless(en: str, zh: str) -> LabError:
    return LabError(
        t(en, zh), t("Download or make the file again.", "请重新下载或重新生成这个文件。")
    )
