"""Chat templates: from messages to the tokens a model was trained to read.

A message's own words never become special tokens, whatever they spell: ``<|im_end|>`` typed by a
user ends nothing. Only what the template itself writes does.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..engines import Model

Message = dict[str, Any]
"""``{"role": "user", "content": "…"}``; a call of tools has ``tool_calls`` besides."""


def encode_chat(model: Model, messages: list[Message], tools: list[Message] | None) -> list[int]:
    """Token ids of a conversation by the model's own template, ready for the answer.

    Usage: ``encode_chat(model, [{"role": "user", "content": "你好"}], None)``

    Equals ``tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)``
    unless a message spells a special token; then the text between special tokens is tokenised
    piece by piece. Raises LabError when the template refuses the messages or cannot be read.
    """
    if model.chat_template is None:
        raise LabError(
            t(f"'{model.name}' has no chat template.", f"'{model.name}' 没有对话模板。"),
            t(
                "It is a base model: give it text to go on with.",
                "它是基座模型：请给它一段文本续写。",
            ),
        )
    mark = _unused_character(messages, tools)
    shown = _broken_up(messages, model.special, mark)
    offered = _broken_up(tools, model.special, mark)
    text = render(model.chat_template, shown, offered, model.special_tokens)
    if mark not in text or model.special is None:
        return model.encode(text, special=True)
    ids = []
    for index, part in enumerate(model.special.split(text)):  # special tokens stand at odd places
        ids += model.encode(part.replace(mark, ""), special=index % 2 == 1) if part else []
    return ids


def end_of_turn(model: Model) -> frozenset[int]:
    """The special token that the template writes right behind an answer, if it does.

    Usage: ``model.stop_ids | end_of_turn(model)``. Some models name only the end of a whole text
    as their end token and leave the end of an answer to the template.
    """
    if model.chat_template is None or model.special is None:
        return frozenset()
    said = "42"
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]
    text = render(
        model.chat_template, talk, None, model.special_tokens, add_generation_prompt=False
    )
    behind = model.special.match(text.rpartition(said)[2].lstrip())
    return frozenset(model.encode(behind[0], special=True) if behind else ())


def render(
    template: str,
    messages: list[Message],
    tools: list[Message] | None = None,
    special_tokens: Mapping[str, str] | None = None,
    *,
    add_generation_prompt: bool = True,
) -> str:
    """The text a chat template makes of a conversation, as Transformers would render it.

    Usage: ``render(model.chat_template, chat.history)``. tools: JSON schemas. special_tokens: what
    the template calls ``bos_token`` and so on. Raises LabError when the template refuses.
    """
    jinja2 = need("jinja2")
    try:
        text: str = _compiled(template).render(
            messages=messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            **(special_tokens or {}),
        )
        return text
    except (jinja2.TemplateError, TypeError) as error:
        raise LabError(
            t(f"The chat template refuses: {error}", f"对话模板拒绝了这段对话：{error}"),
            t(
                "See what it allows: print(model.chat_template)",
                "可用 print(model.chat_template) 查看要求。",
            ),
        ) from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """Templates come from strangers: they run in Jinja's sandbox, with Transformers' helpers."""
    jinja2 = need("jinja2")
    sandbox = need("jinja2.sandbox")

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    # Marks the assistant's words for training; here it changes nothing.
    template = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", template)
    template = re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", template)
    return environment.from_string(template)


def _unused_character(*values: Any) -> str:
    """A private-use character that none of the values contains."""
    used = set(json.dumps(values, ensure_ascii=False))
    return next(c for c in map(chr, range(0xE000, 0xF900)) if c not in used)


def _broken_up(value: Any, special: re.Pattern[str] | None, mark: str) -> Any:
    """The same messages, with a mark inside everything that spells a special token."""
    if special is None or value is None:
        return value
    begins = re.compile(rf"(?={special.pattern})(\S)", re.DOTALL)

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            return begins.sub(rf"\g<2>{mark}", part)
        if isinstance(part, Mapping):
            return {walk(key): walk(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [walk(item) for item in part]
        return part

    return walk(value)
