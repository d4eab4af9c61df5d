"""A chat template in Go's template language, as Ollama reads it in a Modelfile.

Usage: ``write_go_template(read_shape(load("pocket/qwen2.5")))``

Ollama hands the template ``.System`` (all system messages), ``.Messages`` and ``.Tools``; see
``template/template.go`` of github.com/ollama/ollama. Its ``json`` writes no spaces, so objects are
written out here as Python's ``json.dumps`` does. Ollama does not keep the order of what is in an
object: names come in alphabetical order, and a tool's schema in that of Transformers'
``get_json_schema``. And its ``json`` writes ``<``, ``>`` and ``&`` as ``\\u003c`` and so on.

Not covered: ``anyOf`` and objects within objects in the schema of a tool.
"""

from .prompt_shape import Part, PromptShape, Slot, ToolShape

_VALUES = r"""{{ define "value"
}}{{ $kind := printf "%T" .
}}{{ if eq $kind "map[string]interface {}" }}{{ template "object" .
}}{{ else if eq $kind "[]interface {}" }}{{ template "list" .
}}{{ else }}{{ json . }}{{ end }}{{ end
}}{{ define "object" }}{{ "{" }}{{ $comma := ""
}}{{ range $name, $value := . }}{{ $comma }}{{ json $name }}: {{ template "value" $value
}}{{ $comma = ", " }}{{ end }}}{{ end
}}{{ define "list" }}[{{ $comma := ""
}}{{ range . }}{{ $comma }}{{ template "value" . }}{{ $comma = ", " }}{{ end }}]{{ end
}}"""

_SCHEMA = r"""{{ define "property" }}{"type": {{
if gt (len .Type) 1 }}{{ template "list" .Type }}{{ else }}{{ json .Type }}{{ end
}}{{ with .Items }}, "items": {{ template "value" . }}{{ end
}}{{ with .Enum }}, "enum": {{ template "list" . }}{{ end
}}{{ with .Description }}, "description": {{ json . }}{{ end }}}{{ end
}}{{ define "properties" }}{{ "{" }}{{ $comma := ""
}}{{ range $name, $property := . }}{{ $comma }}{{ json $name }}: {{ template "property" $property
}}{{ $comma = ", " }}{{ end }}}{{ end
}}{{ define "function" }}{"name": {{ json .Name
}}{{ with .Description }}, "description": {{ json . }}{{ end
}}, "parameters": {"type": {{ json .Parameters.Type
}}, "properties": {{ template "properties" .Parameters.Properties
}}{{ with .Parameters.Required }}, "required": {{ template "list" . }}{{ end }}}}{{ end
}}"""

_WHOLE = '{"type": {{ json .Type }}, "function": {{ template "function" .Function }}}'


def write_go_template(shape: PromptShape) -> str:
    """The template as text; lines are broken only inside of actions, where they mean nothing.

    Usage: ``write_go_template(shape)``
    """
    tools = shape.tools
    text = _VALUES + _SCHEMA + _define_tools(tools) if tools else ""
    opening = _opening(shape)
    before_user = _text(shape.user.before)
    if shape.in_first_turn:
        text += "{{ $begun := false\n}}"
        before_user = f"{{{{ if $begun }}}}{before_user}{{{{ else }}}}{opening}{{{{ end\n}}}}"
        before_user += "{{ $begun = true }}"
    else:
        text += opening
    answer = f"{_text(shape.answer.before)}{{{{ .Content }}}}{_text(shape.answer.after)}"
    if tools:
        called = f"{{{{ if .ToolCalls }}}}{_calls(tools)}"
        answer = f"{called}{{{{ else }}}}{answer}{{{{ end }}}}"
    text += (
        '{{ range .Messages }}{{ if eq .Role "user"\n}}'
        f"{before_user}{{{{ .Content }}}}{_text(shape.user.after)}"
        '{{ else if eq .Role "assistant"\n}}'
        f"{_text(shape.generation)}{answer}"
    )
    if tools:
        before, after = _text(tools.result.before), _text(tools.result.after)
        text += f'{{{{ else if eq .Role "tool"\n}}}}{before}{{{{ .Content }}}}{after}'
    return text + "{{ end }}{{ end\n}}" + _text(shape.generation)


def _opening(shape: PromptShape) -> str:
    """What stands before the first question: as it is with a system message, with tools, …"""
    cases = {
        (True, True): "if and $.System $.Tools",
        (True, False): "if $.System",
        (False, True): "if $.Tools",
    }
    own = "" if shape.in_first_turn else shape.user.before
    written = {case: _parts(parts, own) for case, parts in shape.openings.items()}
    conditions = [(words, written[case]) for case, words in cases.items() if case in written]
    branches = "{{ else ".join(f"{words}\n}}}}{text}" for words, text in conditions)
    return f"{{{{ {branches}{{{{ else\n}}}}{written[False, False]}{{{{ end\n}}}}"


def _parts(parts: tuple[Part, ...], own: str) -> str:
    """own: what the first question writes before itself."""
    fields = {Slot.SYSTEM: "{{ $.System }}", Slot.TOOLS: '{{ template "tools" $.Tools }}'}
    *front, last = parts
    said = [fields[part] if isinstance(part, Slot) else _text(part) for part in front]
    return "".join([*said, _text(str(last).removesuffix(own))])


def _define_tools(tools: ToolShape) -> str:
    one = _WHOLE if tools.whole else '{{ template "function" .Function }}'
    between = _text(tools.between)
    return (
        f'{{{{ define "tools" }}}}{{{{ range $i, $_ := . }}}}{{{{ if $i }}}}{between}{{{{ end }}}}'
        f"{one}{{{{ end }}}}{{{{ end\n}}}}"
    )


def _calls(tools: ToolShape) -> str:
    one = f'{{{{ .Function.Name }}}}{_text(tools.middle)}{{{{ template "object" .Function.Arguments'
    one += "\n}}"
    if tools.separator is None:
        some = f"{{{{ with index .ToolCalls 0 }}}}{one}{{{{ end }}}}"
    else:
        next_one = f"{{{{ if $i }}}}{_text(tools.separator)}{{{{ end }}}}"
        some = f"{{{{ range $i, $_ := .ToolCalls }}}}{next_one}{one}{{{{ end }}}}"
    return _text(tools.opening) + some + _text(tools.closing)


def _text(text: str) -> str:
    """As it is; only what would begin an action is written by one, and so is a last brace."""
    text = text.replace("{{", '{{ "{{" }}')
    return text[:-1] + '{{ "{" }}' if text.endswith("{") else text
