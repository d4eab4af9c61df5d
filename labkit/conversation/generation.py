"""One answer under way: by a model loaded here, or by one behind a URL.

A turn is gone through once for the pieces of its text, and then knows how it ended.
"""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Literal, Protocol

from ..engines import Model, RemoteModel, Sampling
from .chat_templates import Message
from .tool_calls import ToolCall

FinishReason = Literal["stop", "length", "tool_calls", "interrupted"]


class Turn(Protocol):
    """What a conversation asks of an answer; the rest holds once all pieces have come.

    completion_tokens: a closing stop token counts, where it is told. tool_calls: those that came
    apart from the text.
    """

    @property
    def finish_reason(self) -> FinishReason: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int: ...

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]: ...

    def __iter__(self) -> Iterator[str]: ...


class LocalTurn:
    """The answer of a model loaded here, from the ids of its prompt.

    stop_ids: tokens that end it. special: whether special tokens are shown. stopped: set by another
    thread, it ends the answer after the next token.
    """

    tool_calls: tuple[ToolCall, ...] = ()

    def __init__(
        self,
        model: Model,
        ids: list[int],
        sampling: Sampling,
        stop_ids: frozenset[int],
        special: bool,
        stopped: threading.Event,
    ) -> None:
        self._model, self._ids, self._sampling = model, ids, sampling
        self._stop_ids, self._special, self._stopped = stop_ids, special, stopped
        self._new: list[int] = []
        self.prompt_tokens = len(ids)

    def __iter__(self) -> Iterator[str]:
        pieces = self._model.decode(self._until_stop(), special=self._special)
        if self._model.chat_template is not None:
            pieces = without_leading_space(pieces)
        return up_to(pieces, self._sampling.stop)

    def _until_stop(self) -> Iterator[int]:
        for id in self._model.generate(self._ids, self._sampling, stop_ids=self._stop_ids):
            self._new.append(id)
            if id not in self._stop_ids:
                yield id
            if self._stopped.is_set():
                return

    @property
    def completion_tokens(self) -> int:
        return len(self._new)

    @property
    def finish_reason(self) -> FinishReason:
        room = self._model.context_length - len(self._ids)
        limit = min(room, self._sampling.max_new_tokens or room)
        ended = self._new[-1] in self._stop_ids or len(self._new) < limit
        return "stop" if ended else "length"


class RemoteTurn:
    """The answer of a model behind a URL.

    Tokens are what the server says; where it does not, its pieces are counted, and 0 stands for
    those of the prompt.
    """

    def __init__(
        self,
        model: RemoteModel,
        messages: list[Message],
        tools: list[Message],
        sampling: Sampling,
        stopped: threading.Event,
    ) -> None:
        self._chunks = model.stream(messages, tools, sampling)
        self._stopped = stopped
        self._calls: dict[int, dict[str, str]] = {}
        self.finish_reason: FinishReason = "stop"
        self.prompt_tokens = self.completion_tokens = 0

    def __iter__(self) -> Iterator[str]:
        return without_leading_space(self._pieces())

    def _pieces(self) -> Iterator[str]:
        with closing(self._chunks):  # type: ignore[type-var]  # a generator: ends the connection
            for chunk in self._chunks:
                if usage := chunk.get("usage"):
                    self.prompt_tokens = usage["prompt_tokens"]
                    self.completion_tokens = usage["completion_tokens"]
                for choice in chunk.get("choices") or ():
                    delta = choice.get("delta") or {}
                    self._add_calls(delta.get("tool_calls") or ())
                    if choice.get("finish_reason") == "length":
                        self.finish_reason = "length"
                    if text := delta.get("content"):
                        self.completion_tokens += 1
                        yield text
                if self._stopped.is_set():
                    return

    def _add_calls(self, deltas: Iterable[dict[str, Any]]) -> None:
        """Calls come in pieces: a name once, and their arguments bit by bit."""
        for delta in deltas:
            call = self._calls.setdefault(delta.get("index", 0), {"name": "", "arguments": ""})
            for key, text in (delta.get("function") or {}).items():
                call[key] = call.get(key, "") + (text or "")

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All of them, or none where one is no JSON: half a call must not be carried out."""
        try:
            read = [(call["name"], json.loads(call["arguments"])) for call in self._calls.values()]
        except ValueError:
            return ()
        return tuple(ToolCall(name, arguments) for name, arguments in read)


def without_leading_space(pieces: Iterable[str]) -> Iterator[str]:
    """Some families begin an answer with a space or a line break that is no part of it."""
    begun = False
    for piece in pieces:
        piece = piece if begun else piece.lstrip()
        begun = begun or bool(piece)
        if piece:
            yield piece


def up_to(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """The pieces before the first stop text; what may begin one is held back until it is clear."""
    held = ""
    for piece in pieces:
        held += piece
        if found := [at for stop in stops if (at := held.find(stop)) >= 0]:
            if min(found):
                yield held[: min(found)]
            return
        keep = max((_overlap(held, stop) for stop in stops), default=0)
        if ready := held[: len(held) - keep]:
            yield ready
        held = held[len(held) - keep :]
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text could begin the stop text."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
