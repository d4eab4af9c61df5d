"""Asking, streaming, remembering, stopping; and what the pocket models answer."""

import threading
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labkit as lab
from labkit import pocket
from labkit.conversation.generation import up_to
from labkit.conversation.session import Chat
from labkit.core.errors import LabError
from labkit.engines import Model, Sampling, load
from labkit.pocket.corpus import TOOLS

ENGINES = ("transformers", "llama.cpp")
SIZES = {
    "Which sizes does Qwen2.5 come in?": "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B",
    "Qwen2.5有哪些尺寸？": "0.5B、1.5B、3B、7B、14B、32B、72B",
}


@cache
def model(name: str = "qwen2.5", engine: str = "llama.cpp") -> Model:
    return load(f"pocket/{name}", engine)


def new_chat(**settings) -> Chat:
    """Twelve tokens, drawn wildly: enough to see how the chat behaves, whatever it says."""
    return lab.chat(model(), **{"max_new_tokens": 12, "temperature": 2.0, "seed": 7} | settings)


def test_the_history_is_what_was_said():
    chat = new_chat(system="Be brief.")
    first = chat("你好")
    second = chat("Hello")
    assert chat.history == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": second.text},
    ]
    assert second.prompt_tokens > first.prompt_tokens > 0
    assert chat.reply is second and str(second) == repr(second) == second.text
    assert second.seconds > 0 and 0 < second.completion_tokens <= 12
    chat.reset()
    assert chat.history == [{"role": "system", "content": "Be brief."}] and chat.reply is None


def test_a_stream_is_the_reply_in_pieces():
    chat = new_chat()
    pieces = list(chat.stream("你好"))
    assert len(pieces) > 1 and "".join(pieces) == chat.reply.text
    again = new_chat()
    assert again("你好") == chat.reply or again.reply.text == chat.reply.text


def test_the_same_seed_tells_the_same_story_after_a_reset():
    chat = new_chat(temperature=1.0)
    story = [chat(text).text for text in ("你好", "Hello", "3 + 4")]
    chat.reset()
    assert [chat(text).text for text in ("你好", "Hello", "3 + 4")] == story


def test_max_new_tokens_and_the_end_of_the_context_finish_with_length():
    reply = new_chat(max_new_tokens=1)("Hello")
    assert (reply.finish_reason, reply.completion_tokens) == ("length", 1)
    small = lab.chat("pocket/qwen2.5", "llama.cpp", context=32, temperature=2.0)
    small._stop_ids = frozenset()
    reply = small("Hello")
    assert reply.finish_reason == "length"
    assert reply.prompt_tokens + reply.completion_tokens == 32


def test_a_full_context_is_said_with_numbers_and_nothing_is_lost():
    small = lab.chat("pocket/qwen2.5", "llama.cpp", context=40, max_new_tokens=4)
    small("Hello")
    before = list(small.history)
    with pytest.raises(LabError) as error:
        small("apple " * 40)
    assert "the model holds 40" in error.value.what and "reset()" in error.value.way_out
    assert small.history == before
    assert small("Hi").text is not None, "and one can go on"


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "is empty"), (" \n\t", "is empty"), ("a\ud800", "not valid text: character 2")],
)
def test_a_bad_prompt_is_refused_and_nothing_changes(text, what):
    chat = new_chat()
    with pytest.raises(LabError, match=what):
        chat(text)
    assert chat.history == []
    assert chat("Hello").completion_tokens > 0


def test_nothing_to_answer():
    with pytest.raises(LabError, match="nothing to answer"):
        new_chat()()


def test_a_second_question_waits_for_the_first():
    chat = new_chat()
    stream = chat.stream("你好")
    next(stream)
    with pytest.raises(LabError, match="still answering"):
        chat("Hello")
    stream.close()
    assert chat("Hello").completion_tokens > 0


def test_leaving_the_loop_keeps_what_came():
    chat = new_chat()
    stream = chat.stream("你好")
    piece = next(stream)
    del stream  # as a loop does when one breaks out of it
    assert chat.reply.finish_reason == "interrupted" and chat.reply.text == piece
    assert chat.history[-1] == {"role": "assistant", "content": piece}


def test_ctrl_c_keeps_what_came(monkeypatch):
    chat = new_chat()
    generate = chat.model.next_tokens

    def interrupted(ids: list[int], sampling: Sampling):
        for count, id in enumerate(generate(ids, sampling)):
            if count == 3:
                raise KeyboardInterrupt
            yield id

    monkeypatch.setattr(chat.model, "next_tokens", interrupted)
    reply = chat("你好")
    assert (reply.finish_reason, reply.completion_tokens) == ("interrupted", 3)
    monkeypatch.undo()
    assert chat("Hello").prompt_tokens > reply.prompt_tokens
    assert [m["role"] for m in chat.history] == ["user", "assistant"] * 2


def test_stop_from_another_thread():
    chat = new_chat(max_new_tokens=None)
    chat._stop_ids = frozenset()
    begun = threading.Event()

    def read() -> None:
        for _ in chat.stream("你好"):
            begun.set()
            stopped.wait(60)  # so that there is an answer left to stop

    stopped = threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(120)
    chat.stop()
    stopped.set()
    reader.join(120)
    assert chat.reply.finish_reason == "interrupted"
    assert chat.reply.completion_tokens < 20


texts = st.text("ab<>", max_size=30)


@given(st.lists(texts), st.lists(st.text("ab<>", min_size=1, max_size=4), max_size=3).map(tuple))
def test_a_stop_text_ends_the_stream_wherever_the_pieces_break(pieces, stops):
    whole = "".join(pieces)
    found = [at for stop in stops if (at := whole.find(stop)) >= 0]
    said = "".join(up_to(pieces, stops))
    # A longer stop may begin earlier and still be open when a shorter one closes.
    assert any(said == whole[:at] for at in found) if found else said == whole
    assert not any(stop in said for stop in stops)


def test_a_stop_text_ends_the_reply():
    whole = new_chat(max_new_tokens=30)("你好").text
    word = whole[len(whole) // 2 :][:2]
    reply = new_chat(max_new_tokens=30, stop=[word])("你好")
    assert reply.text == whole[: whole.find(word)] and reply.finish_reason == "stop"


def test_a_base_model_goes_on_with_the_text():
    base = lab.chat(model("llama3-base"), max_new_tokens=8)
    assert "base model" in base.note and "pocket model" in base.note
    reply = base("Qwen2.5有哪些尺寸？\n")
    assert reply.prompt_tokens == 1 + len(base.model.encode("Qwen2.5有哪些尺寸？\n"))
    with pytest.raises(LabError, match="is a base model"):
        lab.chat(model("llama3-base"), system="Be brief.")


# What follows needs trained weights ---------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("question", SIZES)
def test_qwen_knows_its_sizes_on_both_engines(engine, question):
    reply = lab.chat(model("qwen2.5", engine))(question)
    assert (reply.text, reply.finish_reason) == (SIZES[question], "stop")


@pytest.mark.parametrize("name", [name for name in pocket.NAMES if name != "llama3-base"])
def test_every_family_greets_and_ends_its_answer(name):
    reply = lab.chat(model(name))("你好")
    assert (reply.text, reply.finish_reason) == ("你好！你想知道什么？", "stop")


def test_a_name_is_remembered_within_a_conversation():
    chat = lab.chat(model())
    chat("My name is Clara.")
    assert chat("What is my name?").text == "Your name is Clara."
    chat.reset()
    assert "Clara" not in chat("What is my name?").text


@pytest.mark.parametrize("name", ["qwen2.5", "llama3", "chatglm3", "mistral"])
def test_a_tool_is_called_and_its_result_told(name):
    # By name: mistral's window, which llama.cpp ignores, is shorter than what the tools take.
    chat = lab.chat(f"pocket/{name}", tools=[TOOLS["get_weather"], TOOLS["translate"]])
    assert chat.model.engine == ("transformers" if name == "mistral" else "llama.cpp")
    reply = chat("How is the weather in Paris?")
    assert reply.finish_reason == "tool_calls"
    call = reply.tool_calls[0]
    assert (call.name, dict(call.arguments)) == ("get_weather", {"city": "Paris"})
    with pytest.raises(LabError, match="missing for: get_weather"):
        chat()
    chat.add_tool_result({"degrees": "21"})
    assert chat().text == "It is 21 degrees in Paris."
    with pytest.raises(LabError, match="has not called a tool"):
        chat.add_tool_result("again")
