"""What a model writes when it wants a tool: each family its own way, one reading."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ToolCall:
    """The model asks for ``name`` to be called with ``arguments``."""

    name: str
    arguments: Mapping[str, Any]


def read_tool_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls an answer consists of; none where it is plain text or not well-formed.

    Usage: ``read_tool_calls('{"name": "add", "parameters": {"a": 1}}')``

    Known forms: ``<tool_call>{…}</tool_call>`` (Qwen), ``[TOOL_CALLS] [{…}]`` (Mistral), the name
    on a line of its own and its arguments after it (ChatGLM3), and the bare object (Llama 3 and
    others); arguments are called ``arguments`` or ``parameters``.
    """
    text = text.strip()
    if texts := re.findall(r"<tool_call>(.*?)(?:</tool_call>|\Z)", text, re.DOTALL):
        return _calls([_json(part) for part in texts])
    if text.startswith("[TOOL_CALLS]"):
        return _calls(_json(text.removeprefix("[TOOL_CALLS]")))
    if named := re.fullmatch(r"([\w.-]+)\n(\{.*\})", text, re.DOTALL):
        return _calls([{"name": named[1], "arguments": _json(named[2])}])
    whole = _json(text)
    return _calls(whole if isinstance(whole, list) else [whole])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _calls(found: Any) -> tuple[ToolCall, ...]:
    """All of them, or none: half a call must not be carried out."""
    calls = []
    for call in found if isinstance(found, list) else [found]:
        if not isinstance(call, dict):
            return ()
        name, arguments = call.get("name"), call.get("arguments", call.get("parameters"))
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return ()
        calls.append(ToolCall(name, arguments))
    return tuple(calls)
