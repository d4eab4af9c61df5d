"""The calls of every family, and what is no call."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.conversation.tool_calls import ToolCall, read_tool_calls

WEATHER = ToolCall("get_weather", {"city": "巴黎"})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (
            '<tool_call>\n{"name": "get_weather", "arguments": {"city": "巴黎"}}\n</tool_call>',
            (WEATHER,),
        ),
        (
            '<tool_call>{"name": "a", "arguments": {}}</tool_call>\n'
            '<tool_call>{"name": "b", "arguments": {"x": 1}}</tool_call>',
            (ToolCall("a", {}), ToolCall("b", {"x": 1})),
        ),
        ('[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "巴黎"}}]', (WEATHER,)),
        ('get_weather\n{"city": "巴黎"}', (WEATHER,)),
        (' {"name": "get_weather", "parameters": {"city": "巴黎"}}', (WEATHER,)),
        ('{"name": "get_weather", "arguments": {"city": "巴黎"}}', (WEATHER,)),
        # No calls: words, broken or half JSON, an object that is an answer.
        ("It is 21 degrees in Paris.", ()),
        ("", ()),
        ('{"name": "get_weather"}', ()),
        ('{"name": "get_weather", "arguments": "Paris"}', ()),
        ('{"degrees": 21}', ()),
        ('[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city"', ()),
        ('get_weather\n{"city": ', ()),
        ('<tool_call>{"name": "a", "arguments": {}}</tool_call><tool_call>{', ()),
    ],
)
def test_calls_are_read(text, calls):
    assert read_tool_calls(text) == calls


arguments = st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.booleans())


@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), arguments)
def test_what_is_written_in_any_form_is_read_back(name, arguments):
    written = json.dumps(arguments, ensure_ascii=False)
    call = f'{{"name": "{name}", "arguments": {written}}}'
    forms = (
        call,
        f"<tool_call>\n{call}\n</tool_call>",
        f"[TOOL_CALLS] [{call}]",
        f"{name}\n{written}",
    )
    # A text of the arguments may itself hold the mark that ends Qwen's form.
    for form in (
        forms if "<tool_call>" not in written and "</tool_call>" not in written else forms[:1]
    ):
        assert read_tool_calls(form) == (ToolCall(name, arguments),)


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    assert isinstance(read_tool_calls(text), tuple)
