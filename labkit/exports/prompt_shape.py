"""A chat template taken apart into the texts between messages, for tools that run no Jinja.

Usage: ``read_shape(load("pocket/qwen2.5")).render(messages, tools)``

The texts are read off: the template renders conversations of marks, and what stands between two
marks is a part. Whether the parts put together are the template again is then tried on
conversations of every kind; what does not agree is refused.

Not covered: templates that look back (a system message in the last turn, thoughts of earlier turns
left out). White space that a template strips from the ends of a message stays there.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..conversation.chat_templates import Message, render
from ..core.errors import LabError
from ..core.i18n import t
from ..engines import Model


class Slot(Enum):
    """What an opening leaves open."""

    SYSTEM = "system"
    TOOLS = "tools"


Part = str | Slot


@dataclass(frozen=True)
class TemplateTurn:
    """What stands before the words of a message, and after them."""

    before: str
    after: str


@dataclass(frozen=True)
class ToolShape:
    """How tools are written. whole: as they are given, or only what is under ``function``.

    result: around what a tool gave. A call is opening, name, middle, arguments; then either
    separator and the next name, or closing. separator: None where only the first call is written.
    """

    whole: bool
    between: str
    result: TemplateTurn
    opening: str
    middle: str
    closing: str
    separator: str | None


@dataclass(frozen=True)
class PromptShape:
    """A chat template in parts.

    openings: by whether there is a system message and whether there are tools: what stands before
    the first question. generation: what an answer begins behind; answer: what stands between that
    and the words of one given before, and what comes after them. tools: None where the model knows
    none, or where they are not written in parts that fit.
    """

    openings: Mapping[tuple[bool, bool], tuple[Part, ...]]
    user: TemplateTurn
    generation: str
    answer: TemplateTurn
    tools: ToolShape | None

    @property
    def in_first_turn(self) -> bool:
        """Whether an opening takes the place of what stands before the first question."""
        return not all(
            isinstance(opening[-1], str) and opening[-1].endswith(self.user.before)
            for opening in self.openings.values()
        )

    def without_bos(self, bos: str) -> "PromptShape":
        """The same for a tool that writes the first token itself."""
        openings = {
            case: (str(first).removeprefix(bos) if isinstance(first, str) else first, *rest)
            for case, (first, *rest) in self.openings.items()
        }
        return replace(self, openings=openings)

    def render(self, messages: Sequence[Message], tools: Sequence[Message] | None = None) -> str:
        """The prompt, ready for the answer; system messages are gathered in front.

        Usage: ``shape.render([{"role": "user", "content": "Hi"}])``
        """
        system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
        offered = tools if self.tools else None
        fill = {Slot.SYSTEM: system, Slot.TOOLS: self._tools(offered or ())}
        opening = self.openings[bool(system), bool(offered)]
        said = [fill[part] if isinstance(part, Slot) else part for part in opening]
        begun = False
        for message in messages:
            if message["role"] == "user":
                said += [self.user.before if begun else "", message["content"], self.user.after]
                begun = True
            elif message["role"] == "assistant":
                said += [self.generation, self._answer(message)]
            elif message["role"] == "tool" and self.tools:
                said += [self.tools.result.before, message["content"], self.tools.result.after]
        return "".join([*said, self.generation])

    def _tools(self, tools: Sequence[Message]) -> str:
        if self.tools is None:
            return ""
        whole = self.tools.whole
        return self.tools.between.join(_json(tool if whole else tool["function"]) for tool in tools)

    def _answer(self, message: Message) -> str:
        shape, calls = self.tools, message.get("tool_calls")
        if not calls or shape is None:
            found: str = self.answer.before + message["content"] + self.answer.after
            return found
        functions = [call["function"] for call in calls]
        said = [f["name"] + shape.middle + _json(f["arguments"]) for f in functions]
        shown = said[:1] if shape.separator is None else said
        return shape.opening + (shape.separator or "").join(shown) + shape.closing


def read_shape(model: Model) -> PromptShape:
    """Take a model's chat template apart.

    Usage: ``read_shape(load("pocket/llama2")).user.before``

    Raises LabError where it cannot be had in parts; tools alone that cannot be are left out.
    """
    shape = _read(model)
    if shape is not None and not _agrees(model, shape, _TALKS, None):
        shape = None
    if shape is None:
        raise LabError(
            t(
                f"The chat template of '{model.name}' cannot be written without Jinja.",
                f"'{model.name}' 的对话模板离开 Jinja 就写不出来。",
            ),
            t(
                "Serve it with: labkit serve, or export it for LM Studio: both run the template.",
                "请用 labkit serve 提供服务，或导出到 LM Studio：两者都直接运行原模板。",
            ),
        )
    if shape.tools and not _agrees(model, shape, _TOOL_TALKS, _TOOLS):
        return replace(shape, tools=None, openings=_without_tools(shape.openings))
    return shape


# --- reading ----------------------------------------------------------------------------------


class _Other(Exception):
    """The template is not made of the parts that are looked for."""


class _Probe:
    """Renders conversations of marks and finds what stands between them."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __call__(
        self, messages: list[Message], tools: list[Message] | None = None, *, more: bool = False
    ) -> str:
        template = self._model.chat_template
        if template is None:
            raise _Other
        special = self._model.special_tokens
        try:
            return render(template, messages, tools, special, add_generation_prompt=more)
        except LabError:
            raise _Other from None


def _read(model: Model) -> PromptShape | None:
    probe = _Probe(model)
    try:
        after_user = _after(probe([_user("1")]), _mark("1"))
        talk = probe([_user("1"), _assistant("2"), _user("3")])
        after_answer = _after(probe([_user("1"), _assistant("2")]), _mark("2"))
        user = TemplateTurn(_rest(_between(talk, "2", "3"), after_answer), after_user)
        generation = _rest(_after(probe([_user("1")], more=True), _mark("1")), after_user)
        before_answer = _rest(_between(talk, "1", "2"), after_user + generation)
        openings = {(system, False): _opening(probe, system, None) for system in (False, True)}
        shape = PromptShape(
            openings, user, generation, TemplateTurn(before_answer, after_answer), None
        )
    except _Other:
        return None
    try:
        return _with_tools(probe, shape)
    except _Other:
        return replace(shape, openings=_without_tools(shape.openings))


def _with_tools(probe: _Probe, shape: PromptShape) -> PromptShape:
    text = probe([_user("1")], _TOOLS)
    first, second = _TOOLS[:2]
    whole = _json(first) in text and _json(second) in text
    if not whole:
        first, second = first["function"], second["function"]
    between = _before(_after(text, _json(first)), _json(second))
    listed = between.join(_json(tool if whole else tool["function"]) for tool in _TOOLS)
    openings = dict(shape.openings)
    for system in (False, True):
        openings[system, True] = _opening(probe, system, listed)
    one, two = (_call(name) for name in ("alpha", "beta"))
    called = [_user("1"), {"role": "assistant", "content": "", "tool_calls": [one]}]
    body = _rest(_after(probe(called, _TOOLS), _mark("1")), shape.user.after + shape.generation)
    opening, rest = _before(body, "alpha"), _after(body, "alpha")
    arguments = _json(one["function"]["arguments"])
    middle, closing = _before(rest, arguments), _after(rest, arguments)
    both = _after(probe([_user("1"), called[1] | {"tool_calls": [one, two]}], _TOOLS), _mark("1"))
    separator = _before(_after(both, arguments), "beta") if "beta" in both else None
    answered = probe([*called, {"role": "tool", "content": _mark("2")}], _TOOLS)
    before = _rest(
        _between(answered, "1", "2"),
        shape.user.after + shape.generation + opening + "alpha" + middle + arguments + closing,
    )
    result = TemplateTurn(before, _after(answered, _mark("2")))
    tools = ToolShape(
        whole=whole,
        between=between,
        result=result,
        opening=opening,
        middle=middle,
        closing=closing,
        separator=separator,
    )
    return replace(shape, openings=openings, tools=tools)


def _opening(probe: _Probe, system: bool, listed: str | None) -> tuple[Part, ...]:
    """What stands before the first question, with slots for the system message and the tools."""
    messages = [{"role": "system", "content": _mark("0")}] if system else []
    parts: list[Part] = [
        _before(probe([*messages, _user("1")], _TOOLS if listed else None), _mark("1"))
    ]
    for slot, words in ((Slot.SYSTEM, _mark("0") if system else None), (Slot.TOOLS, listed)):
        if words:
            at = next((i for i, p in enumerate(parts) if isinstance(p, str) and words in p), None)
            if at is None:
                raise _Other
            whole = str(parts[at])
            parts[at : at + 1] = [_before(whole, words), slot, _after(whole, words)]
    return tuple(parts)


def _without_tools(
    openings: Mapping[tuple[bool, bool], tuple[Part, ...]],
) -> dict[tuple[bool, bool], tuple[Part, ...]]:
    return {case: parts for case, parts in openings.items() if not case[1]}


def _agrees(
    model: Model,
    shape: PromptShape,
    talks: Iterable[list[Message]],
    tools: list[Message] | None,
) -> bool:
    probe = _Probe(model)
    try:
        return all(
            shape.render(talk, tools) == probe(talk, tools, more=True)
            for talk in ([*front, *talk] for talk in talks for front in ([], _SYSTEM))
        )
    except _Other:
        return False


def _mark(name: str) -> str:
    return f"\ue000{name}\ue001"


def _user(name: str) -> Message:
    return {"role": "user", "content": _mark(name)}


def _assistant(name: str) -> Message:
    return {"role": "assistant", "content": _mark(name)}


def _call(name: str) -> Message:
    return {"type": "function", "function": {"name": name, "arguments": {"at": f"<{name[0]}>"}}}


def _tool(name: str) -> Message:
    city = {"type": "string", "description": "Where, 城市"}
    parameters = {"type": "object", "properties": {"at": city}, "required": ["at"]}
    function = {"name": name, "description": f"What {name} does", "parameters": parameters}
    return {"type": "function", "function": function}


def _json(value: object) -> str:
    """As Transformers writes it into templates."""
    return json.dumps(value, ensure_ascii=False)


def _before(text: str, words: str) -> str:
    if words not in text:
        raise _Other
    return text.partition(words)[0]


def _after(text: str, words: str) -> str:
    if words not in text:
        raise _Other
    return text.partition(words)[2]


def _between(text: str, first: str, second: str) -> str:
    return _before(_after(text, _mark(first)), _mark(second))


def _rest(text: str, front: str) -> str:
    if not text.startswith(front):
        raise _Other
    return text.removeprefix(front)


_SYSTEM: list[Message] = [{"role": "system", "content": "Be brief. 请简短。"}]
_TOOLS = [_tool("alpha"), _tool("beta"), _tool("gamma")]
_TALKS: list[list[Message]] = [
    [{"role": ("user", "assistant")[i % 2], "content": f"{i}: 你好\n<b>"} for i in range(turns)]
    for turns in (1, 3, 5)
]
_RESULT: Message = {"role": "tool", "content": '{"degrees": "21"}'}
_ASKED: list[Message] = [
    {"role": "user", "content": "巴黎天气？"},
    {"role": "assistant", "content": "", "tool_calls": [_call("alpha")]},
    _RESULT,
]
_TOOL_TALKS: list[list[Message]] = [
    *_TALKS,
    _ASKED,
    [*_ASKED, {"role": "assistant", "content": "21"}, {"role": "user", "content": "谢谢"}],
    [*_ASKED, {"role": "assistant", "content": "21"}, *_ASKED],
    [
        _ASKED[0],
        {"role": "assistant", "content": "", "tool_calls": [_call("alpha"), _call("beta")]},
        _RESULT,
        _RESULT,
    ],
]
