"""A conversation with a model: ask, stream, remember, call tools.

Usage: ``chat = lab.chat("pocket/qwen2.5")``; ``chat("你好")``; ``print(*chat.stream("Hi"))``
"""

import json
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t
from ..engines import Engine, Model, RemoteModel, Sampling, connect, default_engine, load
from ..hub.resolver import locate
from .chat_templates import Message, encode_chat, end_of_turn
from .generation import FinishReason, LocalTurn, RemoteTurn, Turn
from .tool_calls import ToolCall, read_tool_calls


@dataclass(frozen=True, repr=False)
class Reply:
    """An answer; ``str()`` is its text, and so is what a notebook shows.

    text: what the model wrote, a call of tools in its own words included. finish_reason: "stop"
    (it ended by itself or at a stop text), "length" (max_new_tokens or the context was reached),
    "tool_calls" or "interrupted". prompt_tokens, completion_tokens: a closing stop token counts.
    seconds: from the question to the last token.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    tool_calls: tuple[ToolCall, ...] = ()

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class Chat:
    """One conversation with one model; made by :func:`chat`.

    model: the :class:`labkit.engines.Model` or :class:`~labkit.engines.RemoteModel`. sampling: may
    be replaced between questions. history: the messages so far, as chat templates know them.
    reply: the last :class:`Reply`.
    """

    def __init__(
        self,
        model: Model | RemoteModel,
        *,
        system: str | None = None,
        tools: Iterable[Message] | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self.model = model
        self.sampling = sampling or Sampling()
        self.tools = list(tools or [])
        self._stop_ids: frozenset[int] = frozenset()
        if isinstance(model, Model):
            self._stop_ids = model.stop_ids | end_of_turn(model)
        self._system = [] if system is None else [_message("system", system)]
        self._busy = threading.Lock()
        self._stopped = threading.Event()
        if _is_base(model) and (self._system or self.tools):
            raise LabError(
                t(
                    f"'{model.name}' is a base model: it knows neither a system prompt nor tools.",
                    f"'{model.name}' 是基座模型：没有系统提示词，也不会调用工具。",
                ),
                t("Leave them out, or take a chat model.", "请去掉它们，或换用对话模型。"),
            )
        self.reset()

    def __call__(self, text: str | None = None) -> Reply:
        """Ask and wait for the answer; an interrupt (Ctrl-C) keeps what came so far.

        Usage: ``chat("What is 12 + 34?").text``. See :meth:`stream`.
        """
        for _ in self.stream(text):
            pass
        assert self.reply is not None  # stream ends with a reply or raises
        return self.reply

    def stream(self, text: str | None = None) -> Generator[str, None, None]:
        """Ask and yield the answer piece by piece; afterwards it stands in ``reply``.

        Usage: ``for piece in chat.stream("Hello!"): print(piece, end="", flush=True)``

        text: None goes on from the results of tools. A base model has no conversation: it goes on
        with the text, each time afresh. Ctrl-C, :meth:`stop` and leaving the loop early end the
        answer as "interrupted". Raises LabError, with history as it was, for an empty or broken
        text, when the context is full, or while another answer is under way.
        """
        if not self._busy.acquire(blocking=False):
            raise LabError(
                t("The model is still answering.", "模型还在回答。"),
                t("Wait for it, or stop it first.", "请等它答完，或先停止。"),
            )
        try:
            yield from self._answer(text)
        finally:
            self._busy.release()

    def stop(self) -> None:
        """End the answer under way after its next token; callable from another thread.

        Usage: ``chat.stop()``
        """
        self._stopped.set()

    def add_tool_result(self, result: Any, name: str | None = None) -> None:
        """Give the model what a tool returned; then go on with ``chat()``.

        Usage: ``chat.add_tool_result({"degrees": 21})``, once for every call and in their order.
        result: a text, or what JSON can hold. name: the tool's; None takes the next one called.
        """
        open_calls = self._unanswered()
        if not open_calls:
            raise LabError(
                t("The model has not called a tool.", "模型没有调用工具。"),
                t("Ask it something first: chat(…).", "请先向它提问：chat(…)。"),
            )
        content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        call = open_calls[0]
        message = _message("tool", content) | {"tool_call_id": call["id"]}
        self.history.append(message | {"name": name or call["function"]["name"]})

    def reset(self) -> None:
        """Forget the conversation; the model, its system prompt and tools stay.

        Usage: ``chat.reset()``
        """
        self.history: list[Message] = list(self._system)
        self.reply: Reply | None = None
        self.model.forget()

    def close(self) -> None:
        """Give the model's memory back. Usage: ``chat.close()``"""
        self.model.close()

    @property
    def note(self) -> str:
        """What a reader must know about this model's answers; may be empty."""
        base = t(
            f"{self.model.name} is a base model: it goes on with your text and does not converse.",
            f"{self.model.name} 是基座模型：只会接着你的文本往下写，不会对话。",
        )
        notes = (self.model.note, base if _is_base(self.model) else "")
        return t(" ", "").join(note for note in notes if note)

    def __repr__(self) -> str:
        turns = sum(message["role"] == "user" for message in self.history)
        return f"<Chat with {self.model.name} · {self.model.engine} · {turns} turns>"

    def _unanswered(self) -> list[Any]:
        """Calls of tools at the end of the history that have no result yet."""
        answered = {message.get("tool_call_id") for message in self.history}
        calls = (m["tool_calls"] for m in reversed(self.history) if m.get("tool_calls"))
        return [call for call in next(calls, []) if call["id"] not in answered]

    def _asked(self, text: str | None) -> list[Message]:
        """The history with the question."""
        if text is not None:
            _check(text)
            return [*self.history, _message("user", text)]
        if missing := self._unanswered():
            names = ", ".join(call["function"]["name"] for call in missing)
            raise LabError(
                t(f"Results are still missing for: {names}.", f"还缺少这些工具的结果：{names}。"),
                t("Give them with chat.add_tool_result(…).", "请用 chat.add_tool_result(…) 提供。"),
            )
        if not self.history or self.history[-1]["role"] != "tool":
            raise LabError(
                t("There is nothing to answer.", "没有要回答的内容。"),
                t("Ask something: chat('Hello!')", "请提问：chat('你好')"),
            )
        return list(self.history)

    def _answer(self, text: str | None) -> Iterator[str]:
        start = perf_counter()
        asked = self._asked(text)
        turn = self._turn(asked, text)
        pieces = iter(turn)
        self._stopped.clear()
        said: list[str] = []
        finish: FinishReason | None = None
        try:
            for piece in pieces:
                said.append(piece)
                yield piece
            finish = "interrupted" if self._stopped.is_set() else turn.finish_reason
        except KeyboardInterrupt:
            finish = "interrupted"
        except GeneratorExit:  # the reader left the loop
            finish = "interrupted"
            raise
        finally:
            if finish is not None:
                answer = "".join(said)
                calls: tuple[ToolCall, ...] = ()
                if self.tools and finish == "stop":
                    calls = turn.tool_calls or read_tool_calls(answer)
                seconds = perf_counter() - start
                tokens = (turn.prompt_tokens, turn.completion_tokens)
                self.reply = Reply(
                    answer, "tool_calls" if calls else finish, *tokens, seconds, calls
                )
                self.history = [*asked, self._said(answer, calls)]

    def _turn(self, asked: list[Message], text: str | None) -> Turn:
        model = self.model
        if isinstance(model, RemoteModel):
            return RemoteTurn(model, asked, self.tools, self.sampling, self._stopped)
        if model.chat_template is None:
            ids = [*model.bos, *model.encode(text or "")]
        else:
            ids = encode_chat(model, asked, self.tools or None)
        self._check_room(model, len(ids))
        return LocalTurn(model, ids, self.sampling, self._stop_ids, bool(self.tools), self._stopped)

    def _said(self, answer: str, calls: tuple[ToolCall, ...]) -> Message:
        """The answer as a message. Ids of calls are nine characters, as Mistral's template asks."""
        if not calls:
            return _message("assistant", answer)
        number = sum(len(m.get("tool_calls", ())) for m in self.history)
        made = [
            {
                "type": "function",
                "id": f"call{number + index:05d}",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for index, call in enumerate(calls)
        ]
        words, mark, _ = answer.partition("<tool_call>")  # Qwen may say something first
        return _message("assistant", words.strip() if mark else "") | {"tool_calls": made}

    def _check_room(self, model: Model, tokens: int) -> None:
        if tokens < model.context_length:
            return
        raise LabError(
            t(
                f"The context is full: the conversation takes {tokens} tokens,"
                f" the model holds {model.context_length}, answer included.",
                f"上下文已满：这段对话有 {tokens} 个词元，"
                f"而模型连同回答最多容纳 {model.context_length} 个。",
            ),
            t(
                "Ask something shorter, or begin anew with chat.reset(); nothing has been lost.",
                "请缩短问题，或用 chat.reset() 重新开始；已有对话没有丢失。",
            ),
        )


def chat(
    name: str | Path | Model | RemoteModel,
    engine: Engine | None = None,
    *,
    system: str | None = None,
    tools: Iterable[Message] | None = None,
    context: int | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repeat_penalty: float = 1.0,
    max_new_tokens: int | None = None,
    seed: int = 0,
    stop: Iterable[str] = (),
    api_key: str | None = None,
) -> Chat:
    """Begin a conversation with a model.

    Usage: ``chat = lab.chat("pocket/qwen2.5", temperature=0.7)``; ``chat("你好")``

    name: what :func:`labkit.engines.load` takes, the URL of a server that speaks OpenAI's protocol
    (``http://…/v1``; api_key is its key, else LABKIT_API_KEY), or a loaded model. engine: None
    takes llama.cpp where it is installed, else Transformers. tools: JSON schemas of functions, as
    OpenAI and Transformers know them. context: tokens. The rest is
    :class:`labkit.engines.Sampling`.
    """
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repeat_penalty=repeat_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
        stop=tuple(stop),
    )
    if str(name).startswith(("http://", "https://")):
        if engine or context:
            raise LabError(
                t(
                    f"engine and context are chosen by the server at '{name}'.",
                    f"engine 和 context 由 '{name}' 的服务端决定。",
                ),
                t("Leave them out.", "请去掉这两个参数。"),
            )
        name = connect(str(name), api_key=api_key)
    elif not isinstance(name, Model | RemoteModel):
        found = locate(name)
        name = load(found, engine or default_engine(found), context=context)
    return Chat(name, system=system, tools=tools, sampling=sampling)


def _is_base(model: Model | RemoteModel) -> bool:
    return isinstance(model, Model) and model.chat_template is None


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _check(text: str) -> None:
    if not text.strip():
        raise LabError(
            t("The prompt is empty.", "提示词是空的。"),
            t("Type a question.", "请输入问题。"),
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise LabError(
            t(
                f"The prompt is not valid text: character {at + 1} is half of a broken one.",
                f"提示词不是有效文本：第 {at + 1} 个字符已损坏。",
            ),
            t("Type it again, or save it as UTF-8.", "请重新输入，或另存为 UTF-8。"),
        ) from None
