"""What every engine offers: the sampling settings, and a model that encodes, generates, decodes."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ..core.errors import LabError
from ..core.i18n import t
from ..hub.resolver import Location

Engine = Literal["transformers", "llama.cpp"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, and when to stop.

    temperature: 0 takes the likeliest token always (greedy); else logits are divided by it.
    top_k: keep the k likeliest (0: all). top_p: keep the likeliest that make up this probability.
    min_p: keep those at least this fraction as likely as the likeliest. repeat_penalty: divides
    the score of tokens already there (1: off). max_new_tokens: None goes on to the end of the
    context. seed: the same seed gives the same text, on one engine and machine. stop: texts that
    end the answer, themselves left out.

    Raises LabError for a value outside its range. The engines filter in their own order:
    llama.cpp applies the temperature last, Transformers first.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    max_new_tokens: int | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        limit = self.max_new_tokens
        for name, right, rule in (
            ("temperature", 0 <= self.temperature < 100, "0 ≤ … < 100"),
            ("top_k", self.top_k >= 0, "≥ 0"),
            ("top_p", 0 < self.top_p <= 1, "0 < … ≤ 1"),
            ("min_p", 0 <= self.min_p <= 1, "0 ≤ … ≤ 1"),
            ("repeat_penalty", self.repeat_penalty > 0, "> 0"),
            ("max_new_tokens", limit is None or limit > 0, "> 0"),
            ("seed", 0 <= self.seed < 2**32 - 1, "0 ≤ … < 2³² - 1"),
            ("stop", "" not in self.stop, t("texts, not empty ones", "不能含空文本")),
        ):
            if not right:
                value = getattr(self, name)
                raise LabError(
                    t(f"{name}={value!r} does not work.", f"{name}={value!r} 不可用。"),
                    t(f"It must be: {rule}.", f"取值应为：{rule}。"),
                )


class Model(ABC):
    """A model that is ready to run; made by :func:`load`.

    model, tokenizer, config: the engine's own objects, brought in when first asked for.
    context_length: how many tokens fit, prompt and answer together. chat_template: its Jinja
    source, None for a base model. special_tokens: the texts a template calls ``bos_token`` and so
    on. bos: ids that begin every text. stop_ids: tokens that end an answer. special: matches the
    text of any special token, in one group; None if there are none.
    """

    engine: Engine
    location: Location
    context_length: int
    chat_template: str | None
    special_tokens: Mapping[str, str]
    bos: tuple[int, ...]
    stop_ids: frozenset[int]
    special: re.Pattern[str] | None
    model: Any
    tokenizer: Any
    config: Any

    @property
    def name(self) -> str:
        return self.location.name

    @property
    def note(self) -> str:
        """What must be said wherever its answers are shown; empty for a real model."""
        return self.location.note

    def __repr__(self) -> str:
        return f"<{self.name} · {self.engine} · {self.context_length} tokens>"

    @abstractmethod
    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a text, nothing added. special: whether texts of special tokens become them.

        Usage: ``model.encode("你好")``
        """

    @abstractmethod
    def decode(self, ids: Iterable[int], *, special: bool = False) -> Iterator[str]:
        """Pieces of text as the ids come in, in whole characters; bytes that are none are dropped.

        Usage: ``"".join(model.decode(ids))``. special: whether special tokens are shown.
        """

    @abstractmethod
    def next_tokens(self, ids: list[int], sampling: Sampling) -> Iterator[int]:
        """Ids that follow, one by one, without end; the caller stops."""

    def generate(
        self,
        ids: list[int],
        sampling: Sampling | None = None,
        *,
        stop_ids: frozenset[int] | None = None,
    ) -> Iterator[int]:
        """Ids that follow, up to and with a stop token, the limit, or the end of the context.

        Usage: ``list(model.generate(model.encode("1 + 1 =")))``. ids: at least one, and fewer than
        ``context_length``; else LabError. stop_ids: None takes the model's own.
        """
        sampling = sampling or Sampling()
        stop_ids = self.stop_ids if stop_ids is None else stop_ids
        room = self.context_length - len(ids)
        if not ids or room < 1:
            raise LabError(
                t(
                    f"The prompt has {len(ids)} tokens; this model takes 1 to"
                    f" {self.context_length - 1}.",
                    f"提示词有 {len(ids)} 个词元；"
                    f"这个模型可接受 1 到 {self.context_length - 1} 个。",
                ),
                t("Give another prompt.", "请换一个提示词。"),
            )
        for id in islice(
            self.next_tokens(ids, sampling), min(room, sampling.max_new_tokens or room)
        ):
            yield id
            if id in stop_ids:
                return

    @abstractmethod
    def forget(self) -> None:
        """Drop what an engine keeps of earlier prompts to save time; sums are then done afresh.

        Usage: ``model.forget()``. Kept parts are right to the last bits of a float only, and those
        can tip a draw: after forgetting, the same seed gives the same text.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the memory back. Usage: ``model.close()``"""


def fitting_context(asked: int | None, trained: int) -> int:
    """The context in tokens: what was asked for, or all the model was trained for."""
    if asked is None or 0 < asked <= trained:
        return asked or trained
    raise LabError(
        t(
            f"A context of {asked} tokens does not work: the model was trained for {trained}.",
            f"上下文不能设为 {asked} 个词元：模型训练时最长为 {trained}。",
        ),
        t(f"Ask for 1 to {trained}.", f"请设为 1 到 {trained}。"),
    )


def any_of(tokens: Iterable[tuple[str, bool, bool]]) -> re.Pattern[str] | None:
    """A pattern of one group for these texts, and the spaces that some swallow left or right."""
    texts = [
        r"\s*" * left + re.escape(text) + r"\s*" * right
        for text, left, right in sorted(tokens, key=lambda token: -len(token[0]))
    ]
    return re.compile(f"({'|'.join(texts)})") if texts else None
