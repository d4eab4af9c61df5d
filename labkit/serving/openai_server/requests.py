"""What becomes of a request: its prompt by the model's own template, its answer, its tool calls.

llama.cpp's app does the rest: the protocol, sampling, grammars, streaming. Ours is what it lacks:
the tokenizer's own rendering of every template, calls of tools read from the answer, a clear error
before a stream begins, and an end to work that nobody waits for.
"""

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ...conversation.chat_templates import Message, encode_chat, end_of_turn
from ...conversation.tool_calls import ToolCall, read_tool_calls
from ...core.errors import LabError
from ...core.extras import need
from ...engines import Model

SHORT = 64_000
"""Bytes of a request up to which its prompt is made at once, within a millisecond or two."""

Chunk = dict[str, Any]


@dataclass(frozen=True)
class ChatRequest:
    """A request under way: the ids of its prompt, and whether its client has gone."""

    prompt: list[int]
    gone: threading.Event = field(default_factory=threading.Event)


_asked: ContextVar[ChatRequest] = ContextVar("asked")
"""Set while a request is checked; the thread that answers it inherits it."""


def read_messages(messages: Any) -> list[Message]:
    """Messages as chat templates know them, from how OpenAI's protocol writes them.

    Usage: ``read_messages(body["messages"])``. Parts of text become one text, no content becomes
    an empty one, and the arguments of a call, there JSON in a string, become an object. Raises
    ValueError for what is no list of messages.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages is not a list of messages")
    return [_read_message(message) for message in messages]


def _read_message(message: Any) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"{message!r} is not a message: it has no role")
    read = {key: value for key, value in message.items() if value is not None}
    content = read.get("content", "")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    read["content"] = content
    if calls := read.get("tool_calls"):
        read["tool_calls"] = [_read_call(call) for call in calls]
    return read


def _read_call(call: Any) -> Message:
    try:
        function, arguments = call["function"], call["function"]["arguments"]
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
        made: Message = call | {"function": function | {"arguments": read}}
        return made
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{call!r} is not a call of a tool") from None


def read_prompt(model: Model, body: Message) -> list[int]:
    """Ids of the prompt of a request: of a chat, or of a text to go on with.

    Usage: ``read_prompt(model, {"messages": [{"role": "user", "content": "你好"}]})``. Raises
    LabError when the template refuses, ValueError for what is no list of messages.
    """
    if "messages" not in body:
        text = body.get("prompt") or ""
        text = text if isinstance(text, str) else "".join(text)
        return [*model.bos, *model.encode(text, special=True)]
    tools = body.get("tools") or None
    if body.get("tool_choice") == "none":
        tools = None
    return encode_chat(model, read_messages(body["messages"]), tools)


def set_up(app: Any, model: Model) -> None:
    """Check every request before llama.cpp's app answers it, and word all errors as OpenAI does.

    Usage: ``set_up(llama_cpp.server.app.create_app(…), model)``
    """
    fastapi = need("fastapi")
    llama_app = need("llama_cpp.server.app")
    types = need("llama_cpp.server.types")
    http_error = need("starlette.exceptions").HTTPException
    in_thread = need("starlette.concurrency").run_in_threadpool
    settings_given = fastapi.Depends(llama_app.get_server_settings)
    key_given = fastapi.Depends(llama_app.bearer_scheme)
    right_key = llama_app.authenticate
    Request = fastapi.Request

    def refuse(message: str, code: str) -> Any:
        return fastapi.HTTPException(400, {"message": message, "code": code})

    async def check(
        request: Request,  # type: ignore[valid-type]
        settings: Any = settings_given,
        authorization: Any = key_given,
    ) -> AsyncIterator[None]:
        await right_key(settings, authorization)
        body = await request.json() if await request.body() else None  # type: ignore[attr-defined]
        if not isinstance(body, dict) or not ("messages" in body or "prompt" in body):
            yield
            return
        try:
            if len(await request.body()) < SHORT:  # type: ignore[attr-defined]
                prompt = read_prompt(model, body)  # sooner done than handed over
            else:
                prompt = await in_thread(read_prompt, model, body)
            form = types.CreateCompletionRequest
            if "messages" in body:
                form = types.CreateChatCompletionRequest
                # They are read now, and the app refuses some that OpenAI allows (no content beside
                # a call of tools). FastAPI reads the body from this very object.
                body["messages"] = []
            form.model_validate(body)  # the app would call what is malformed an error of its own
        except (LabError, ValueError) as error:
            raise refuse(str(error), "invalid_request") from None
        if not 0 < len(prompt) < model.context_length:
            raise refuse(
                f"The prompt has {len(prompt)} tokens; this model takes 1 to"
                f" {model.context_length - 1}, answer not included. Send a shorter prompt.",
                "context_length_exceeded",
            )
        asked = ChatRequest(prompt)
        _asked.set(asked)
        if body.get("stream"):  # there, the app sees by itself that a client has gone
            yield
            return
        watch = asyncio.create_task(_watch(request, asked.gone))
        try:
            yield
        finally:
            watch.cancel()

    async def show(_: Any, error: Any) -> Any:
        known = error.detail if isinstance(error.detail, dict) else {"message": error.detail}
        kind = "authentication_error" if error.status_code == 401 else "invalid_request_error"
        shown = {"type": kind, "param": None, "code": None} | known
        return fastapi.responses.JSONResponse({"error": shown}, error.status_code, error.headers)

    app.dependency_overrides[right_key] = check
    app.add_exception_handler(http_error, show)


async def _watch(request: Any, gone: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.5)
    gone.set()


class _Prompted:
    """A Llama whose prompt is tokenised already."""

    verbose = False

    def __init__(self, llama: Any, prompt: list[int]) -> None:
        self.create_completion = llama.create_completion
        self._prompt = prompt

    def tokenize(self, *_: Any, **__: Any) -> list[int]:
        return self._prompt


class _Watcher:
    """llama.cpp asks it before every further token whether to stop; it counts them besides."""

    def __init__(self, asked: ChatRequest, stop_ids: frozenset[int]) -> None:
        self.asked, self.stop_ids, self.calls = asked, stop_ids, 0

    def __call__(self, ids: Any, logits: Any) -> bool:
        self.calls += 1
        begun = len(ids) > len(self.asked.prompt)
        return self.asked.gone.is_set() or (begun and int(ids[-1]) in self.stop_ids)


def chat_handler(model: Model) -> Callable[..., Any]:
    """What ``llama_cpp.Llama`` calls for a chat completion.

    Usage: ``model.model.chat_handler = chat_handler(model)``
    """
    formats = need("llama_cpp.llama_chat_format")
    # Those that llama.cpp knows end the answer anyway.
    more_stop_ids = end_of_turn(model) - model.stop_ids

    def handle(*, llama: Any, stream: bool = False, **settings: Any) -> Any:
        asked = _asked.get()
        watcher = _Watcher(asked, more_stop_ids)
        criteria = need("llama_cpp").StoppingCriteriaList([watcher])
        shown = formats.ChatFormatterResponse(prompt="", stopping_criteria=criteria)
        tools, choice = settings.get("tools"), settings.get("tool_choice")
        if choice == "required" and tools and len(tools) == 1:
            name = tools[0]["function"]["name"]
            choice = {"type": "function", "function": {"name": name}}
        settings["tool_choice"] = choice
        answer = formats.chat_formatter_to_chat_completion_handler(lambda **_: shown)(
            llama=_Prompted(llama, asked.prompt), stream=stream, **settings
        )
        free = bool(tools) and choice in (None, "auto", "required")
        if not stream:
            return _with_calls(answer) if free else answer
        chunks = _with_usage(answer, watcher)
        return _calls_streamed(chunks) if free else chunks

    return handle


def _with_calls(answer: Chunk) -> Chunk:
    """The answer with its calls of tools where OpenAI's clients look for them."""
    choice = answer["choices"][0]
    if choice["finish_reason"] == "stop" and (calls := _calls(choice["message"]["content"] or "")):
        words = _words_before(choice["message"]["content"])
        choice["message"] |= {"content": words, "tool_calls": calls}
        choice["finish_reason"] = "tool_calls"
    return answer


def _calls_streamed(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same for a stream: the answer is held back, for its first words may begin a call."""
    held: list[Chunk] = []
    text = ""
    for chunk in chunks:
        choice = chunk["choices"][0]
        if (piece := choice["delta"].get("content")) is not None:
            held.append(chunk)
            text += piece
        elif choice["finish_reason"] is None:
            yield chunk  # the role
        elif choice["finish_reason"] == "stop" and (calls := _calls(text)):
            delta: Chunk = {"tool_calls": [c | {"index": i} for i, c in enumerate(calls)]}
            if words := _words_before(text):
                delta["content"] = words
            yield chunk | {"choices": [choice | {"delta": delta, "finish_reason": None}]}
            yield chunk | {"choices": [choice | {"finish_reason": "tool_calls"}]}
        else:
            yield from held
            yield chunk


def _calls(text: str) -> list[Message]:
    return [_as_sent(call) for call in read_tool_calls(text)]


def _as_sent(call: ToolCall) -> Message:
    """A call in OpenAI's words. Its id has nine letters and digits, as Mistral's template asks."""
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": secrets.token_hex(5)[:9], "type": "function", "function": function}


def _words_before(text: str) -> str | None:
    words, mark, _ = text.partition("<tool_call>")  # Qwen may say something first
    return (words.strip() or None) if mark else None


def _with_usage(chunks: Iterator[Chunk], watcher: _Watcher) -> Iterator[Chunk]:
    """The last chunk says how many tokens there were, as it does without streaming."""
    for chunk in chunks:
        if reason := chunk["choices"][0]["finish_reason"]:
            asked = len(watcher.asked.prompt)
            # It was asked once more after the last token, and for the token that ends an answer.
            told = watcher.calls - (2 if reason == "stop" else 1)
            usage = {"prompt_tokens": asked, "completion_tokens": told}
            chunk = chunk | {"usage": usage | {"total_tokens": asked + told}}
        yield chunk
