"""The chat box without a browser: the plain object, the widgets by their own events, the page."""

import time
from collections.abc import Iterator
from functools import cache

import pytest

import labkit as lab
from labkit.core.i18n import use_language
from labkit.engines import Model, load
from labkit.widgets.chat_box import Talk, chat_box


@cache
def model() -> Model:
    return load("pocket/qwen2.5", "llama.cpp")


@pytest.fixture
def chat() -> lab.chat:
    return lab.chat(model(), max_new_tokens=12, temperature=2.0, seed=7)


@pytest.fixture
def live(monkeypatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def parts(box) -> dict[str, object]:
    """The widgets of a box by their CSS classes, without ``labkit-chat-``."""
    log, row, note = box.children
    widgets = [log, *row.children, note]
    return {w._dom_classes[0].removeprefix("labkit-chat-"): w for w in widgets}


def enter(field, text: str) -> None:
    """As a page does: first that Enter was pressed, then the new text."""
    field._handle_custom_msg({"event": "submit"}, [])
    field.value = text


def until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def test_a_talk_shows_what_was_said(chat):
    drawn = []
    talk = Talk(chat, lambda: drawn.append(talk.lines))
    talk.send("你好").join(120)
    assert drawn[0] == [("user", "你好"), ("assistant", "…")], "at once, before the answer"
    assert talk.lines == [("user", "你好"), ("assistant", chat.reply.text)] == drawn[-1]
    assert not talk.busy
    talk.clear()
    assert talk.lines == [] and chat.history == []


def test_what_is_said_is_text_and_never_markup(chat):
    talk = Talk(chat)
    talk.send("<script>alert('你好')</script> & <|im_end|>").join(120)
    page = talk._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#x27;你好&#x27;)&lt;/script&gt; &amp; &lt;|im_end|&gt;" in page
    assert 'class="labkit-chat-log"' in page and "is a pocket model" in page


def test_a_question_that_cannot_be_asked_is_given_back(chat):
    talk = Talk(chat)
    talk.send("apple " * 2000).join(120)
    assert "context is full" in talk.error and talk.unsent == "apple " * 2000
    assert talk.lines == [("error", talk.error)]
    talk.send("你好").join(120)
    assert talk.error == "" and len(talk.lines) == 2


def test_static_renderings_have_no_widget(chat, monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    chat("你好")
    shown = chat_box(chat)
    assert isinstance(shown, Talk)
    said = f"You: 你好\nModel: {chat.reply.text}\npocket/qwen2.5 is a pocket model"
    assert repr(shown).startswith(said)
    use_language("zh")
    assert repr(shown).startswith("你：你好\n模型：") and "口袋模型" in shown._repr_html_()


def test_enter_sends_and_the_answer_appears(chat, live):
    on = parts(chat_box(chat))
    assert on["stop"].disabled and not on["send"].disabled
    enter(on["input"], "你好")
    until(lambda: chat.reply and not on["send"].disabled)
    assert on["input"].value == ""
    assert "你好" in on["log"].value and "labkit-chat-assistant" in on["log"].value
    assert "pocket model" in on["note"].value


def test_enter_sends_what_the_page_had_told_before(chat, live):
    on = parts(chat_box(chat))
    on["input"].value = "你好"  # typed, then clicked elsewhere: not sent
    time.sleep(0.1)
    assert chat.history == []
    on["input"]._handle_custom_msg({"event": "submit"}, [])  # back in the field, only Enter
    until(lambda: chat.reply is not None)
    assert chat.history[0]["content"] == "你好"


def test_the_buttons_send_stop_and_clear(chat, live, monkeypatch):
    generate, words = chat.model.next_tokens, iter(range(10**6))

    def slow(*arguments) -> Iterator[int]:
        for id in generate(*arguments):
            next(words)
            time.sleep(0.05)
            yield id

    monkeypatch.setattr(chat.model, "next_tokens", slow)
    on = parts(chat_box(chat))
    on["input"].value = "你好"
    on["send"].click()
    assert on["send"].disabled and on["clear"].disabled and not on["stop"].disabled
    enter(on["input"], "and another")  # waits: an answer is under way
    on["stop"].click()
    until(lambda: not on["send"].disabled)
    assert chat.reply.finish_reason == "interrupted" and len(chat.history) == 2
    assert on["input"].value == "and another", "what was typed meanwhile is still there"
    on["clear"].click()
    assert chat.history == [] and "你好" not in on["log"].value


def test_labels_speak_the_language_of_the_reader(chat, live):
    use_language("zh")
    on = parts(chat_box(chat))
    assert [on[name].description for name in ("send", "stop", "clear")] == ["发送", "停止", "清空"]
    assert "回车" in on["input"].placeholder
